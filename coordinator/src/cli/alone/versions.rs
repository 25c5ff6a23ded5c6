//! `starling version`: this program's version, and how versions of packages are ordered.

use std::cmp::Ordering;
use std::io::{BufRead as _, Read as _};

use clap::{Args, Subcommand};
use version::{Scheme, compare};

use super::super::failure::{Exit, Failure};
use super::super::screen::Screen;

/// Examples for the help.
pub(in crate::cli) const EXAMPLES: &str = "Examples:
  starling version compare debian 1.0~rc1 1.0
  starling version compare maven 1.0-alpha-1 1.0
  printf '1.0\\t1.0.0\\n2.0\\t10.0\\n' | starling version compare semver";

/// The longest line that is read.
const LINE_BYTES: usize = 4096;

/// Shows this program's version, or how versions of packages are ordered.
#[derive(Debug, Args)]
pub(in crate::cli) struct Version {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say how two versions are ordered: <, = or >
    #[command(after_help = EXAMPLES)]
    Compare(Compare),
}

#[derive(Debug, Args)]
struct Compare {
    /// The rules: apk, cran, debian, go, hackage, hex, maven, nuget, packagist, pep440, pub, rpm, rubygems
    /// or semver
    #[arg(value_parser = parse_scheme)]
    scheme: Scheme,
    /// One version; without both, pairs are read from standard input, one a line with a tab between
    #[arg(requires = "b")]
    a: Option<String>,
    /// The other
    b: Option<String>,
}

fn parse_scheme(word: &str) -> Result<Scheme, String> {
    Scheme::from_word(word).ok_or_else(|| {
        let all: Vec<_> = Scheme::ALL.iter().map(|scheme| scheme.as_str()).collect();
        format!("there is no scheme {word:?}, only {}", all.join(", "))
    })
}

impl Version {
    /// Does it.
    pub(in crate::cli) fn run(self, screen: &mut Screen) -> Result<(), Failure> {
        match self.command {
            None => screen.data(format!("starling {}", env!("CARGO_PKG_VERSION"))),
            Some(Command::Compare(Compare { scheme, a: Some(a), b: Some(b) })) => {
                screen.data(sign(scheme, &a, &b)?)
            }
            Some(Command::Compare(Compare { scheme, .. })) => {
                pairs(scheme, std::io::stdin().lock(), |sign| screen.data(sign))
            }
        }
    }
}

fn sign(scheme: Scheme, a: &str, b: &str) -> Result<char, Failure> {
    let order = compare(scheme, a, b).map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(match order {
        Ordering::Less => '<',
        Ordering::Equal => '=',
        Ordering::Greater => '>',
    })
}

/// Answers each line as it comes.
fn pairs(
    scheme: Scheme,
    mut input: impl std::io::BufRead,
    mut answer: impl FnMut(char) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for number in 1_u64.. {
        let mut line = Vec::new();
        let read = input.by_ref().take(LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        let at = |what: String| Failure::new(Exit::Failed, format!("line {number}: {what}"));
        let text = std::str::from_utf8(line.strip_suffix(b"\n").unwrap_or(&line));
        let pair = text
            .ok()
            .filter(|_| read <= LINE_BYTES)
            .and_then(|text| text.trim_end_matches('\r').split_once('\t'));
        let Some((a, b)) = pair else {
            return Err(at("it is not two versions with a tab between".to_owned()));
        };
        answer(sign(scheme, a, b).map_err(|failure| at(failure.message))?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(input: &str) -> Result<String, Failure> {
        let mut signs = String::new();
        pairs(Scheme::Debian, input.as_bytes(), |sign| {
            signs.push(sign);
            Ok(())
        })?;
        Ok(signs)
    }

    #[test]
    fn each_line_has_its_sign() {
        assert_eq!(signs("1.0~rc1\t1.0\n1.0\t1.0-0\r\n2\t1").unwrap(), "<=>");
        assert_eq!(signs("").unwrap(), "");
    }

    #[test]
    fn a_line_that_is_no_pair_is_named() {
        assert_eq!(
            signs("1\t2\n1 2\n").unwrap_err().message,
            "line 2: it is not two versions with a tab between"
        );
        let refused = signs("1\t2\n1\t \n").unwrap_err().message;
        assert!(refused.starts_with("line 2: \" \" is not a debian version"), "{refused}");
        assert!(signs(&format!("{}\t1\n", "1".repeat(LINE_BYTES))).is_err());
    }

    #[test]
    fn schemes_are_called_by_their_words() {
        assert_eq!(parse_scheme("debian"), Ok(Scheme::Debian));
        assert!(parse_scheme("deb").unwrap_err().starts_with("there is no scheme \"deb\", only apk, "));
    }
}
