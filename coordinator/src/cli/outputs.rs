//! `-o FORMAT[=FILE]`, as often as one likes: what is written where.

use std::fs;
use std::path::{Path, PathBuf};

use super::failure::{Exit, Failure};
use super::screen::{Page, Screen};

/// One output: a format of `F`, and where it goes; `None` is standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted<F> {
    pub format: F,
    pub file: Option<PathBuf>,
}

/// Reads `FORMAT` or `FORMAT=FILE`.
pub(super) fn parse<F: Copy>(text: &str, formats: &[(&str, F)]) -> Result<Wanted<F>, String> {
    let (word, file) = match text.split_once('=') {
        Some((_, "")) => return Err(format!("{text:?} names no file behind the =")),
        Some((word, file)) => (word, Some(PathBuf::from(file))),
        None => (text, None),
    };
    let found = formats.iter().find(|(known, _)| *known == word);
    let (_, format) = found.ok_or_else(|| {
        let all: Vec<_> = formats.iter().map(|(word, _)| *word).collect();
        format!("there is no format {word:?}, only {}", all.join(", "))
    })?;
    Ok(Wanted { format: *format, file })
}

/// Two outputs cannot share standard output, nor a file.
pub(super) fn check<F: Copy>(outputs: &[Wanted<F>]) -> Result<(), Failure> {
    for (at, output) in outputs.iter().enumerate() {
        if outputs[..at].iter().any(|other| other.file == output.file) {
            let place =
                output.file.as_ref().map_or("standard output".to_owned(), |f| f.display().to_string());
            return Err(Failure::new(Exit::Usage, format!("two outputs go to {place}"))
                .next("name a file for each: -o FORMAT=FILE"));
        }
    }
    Ok(())
}

/// Stands in the name of a file for the image's platform.
const PLATFORM: &str = "{platform}";

impl<F> Wanted<F> {
    /// Whether it is a file of its own for each platform.
    pub(super) fn is_by_platform(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.to_string_lossy().contains(PLATFORM))
    }

    /// The file for a platform, by the word for it.
    pub(super) fn file_for(&self, mark: &str) -> Option<PathBuf> {
        let file = self.file.as_deref().map(Path::to_string_lossy);
        file.map(|file| PathBuf::from(file.replace(PLATFORM, mark)))
    }
}

/// Of all platforms, formats that have room for one image only need a file for each.
pub(super) fn check_platforms<F>(
    outputs: &[Wanted<F>],
    holds_several: impl Fn(&F) -> bool,
) -> Result<(), Failure> {
    let lacking = outputs.iter().find(|output| !output.is_by_platform() && !holds_several(&output.format));
    let failure = || {
        Failure::new(Exit::Usage, "a document of this format is of one image, and --platform all has several")
            .next("write one for each: -o FORMAT=NAME-{platform}.json")
    };
    lacking.map_or(Ok(()), |_| Err(failure()))
}

/// Shows something where it is wanted: on the screen, or plainly in a file.
pub(super) fn show(
    screen: &mut Screen,
    file: Option<&PathBuf>,
    shown: impl FnOnce(&mut Screen) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if file.is_none() {
        return shown(screen);
    }
    let page = Page::default();
    shown(&mut Screen::plain(Box::new(page.clone())))?;
    put(screen, file, &page.bytes())
}

/// Writes bytes where they are wanted.
pub(super) fn put(screen: &mut Screen, file: Option<&PathBuf>, bytes: &[u8]) -> Result<(), Failure> {
    match file {
        None => screen.exactly(bytes),
        Some(file) => fs::write(file, bytes)
            .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMATS: &[(&str, u8)] = &[("a", 1), ("b", 2)];

    #[test]
    fn an_output_is_a_format_and_perhaps_a_file() {
        assert_eq!(parse("a", FORMATS), Ok(Wanted { format: 1, file: None }));
        assert_eq!(parse("b=x=y", FORMATS), Ok(Wanted { format: 2, file: Some("x=y".into()) }));
        assert_eq!(parse("c", FORMATS).unwrap_err(), "there is no format \"c\", only a, b");
        assert!(parse("a=", FORMATS).is_err());
    }

    #[test]
    fn a_file_may_be_one_for_each_platform() {
        let wanted = |text: &str| parse(text, FORMATS).unwrap();
        let each = wanted("a=x-{platform}.json");
        assert_eq!(each.file_for("linux-arm64"), Some("x-linux-arm64.json".into()));
        assert!(each.is_by_platform() && !wanted("a=x").is_by_platform() && !wanted("a").is_by_platform());
        let check = |text: &str| check_platforms(&[wanted(text)], |format| *format == 2).is_ok();
        assert_eq!(
            [check("a"), check("a=x"), check("a=x-{platform}"), check("b")],
            [false, false, true, true]
        );
    }

    #[test]
    fn each_output_has_its_own_place() {
        let wanted = |texts: &[&str]| texts.iter().map(|t| parse(t, FORMATS).unwrap()).collect::<Vec<_>>();
        assert!(check(&wanted(&["a", "b=f", "a=g"])).is_ok());
        assert_eq!(check(&wanted(&["a", "b"])).unwrap_err().message, "two outputs go to standard output");
        assert_eq!(check(&wanted(&["a=f", "b=f"])).unwrap_err().message, "two outputs go to f");
    }
}
