//! Tells the command line of this user where the cluster is: contexts `dev` and `dev-operator`.

use std::path::Path;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use super::files;

/// Puts `[context.NAME]` into the context file. It becomes the usual one if there was none.
///
/// Everything else in the file stays, but for its comments and order when something has to change.
pub(super) fn remember(file: &Path, name: &str, endpoint: &str, token_file: &Path) -> Result<()> {
    let before = match std::fs::read_to_string(file) {
        Ok(text) => text.parse::<Table>().with_context(|| format!("cannot parse {}", file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Table::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let after = with_context(before.clone(), name, endpoint, token_file)?;
    if after == before {
        return Ok(());
    }
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    files::write_private(file, &toml::to_string(&after)?)
}

fn with_context(mut file: Table, name: &str, endpoint: &str, token_file: &Path) -> Result<Table> {
    let token_file = token_file.to_str().context("the data directory's name is not UTF-8")?;
    let ours = [("endpoint", endpoint), ("token_file", token_file)];
    let ours = ours.map(|(key, value)| (key.to_owned(), Value::from(value)));
    let contexts = file.entry("context").or_insert_with(|| Value::Table(Table::new()));
    let contexts = contexts.as_table_mut().context("`context` is not a section")?;
    contexts.insert(name.to_owned(), Value::Table(ours.into_iter().collect()));
    file.entry("current").or_insert_with(|| Value::from(name));
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_added_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("starling/config.toml");
        remember(&file, "dev", "http://127.0.0.1:7400", Path::new("/d/demo.token")).unwrap();
        remember(&file, "work", "http://work:1", Path::new("/work.token")).unwrap();
        remember(&file, "dev", "http://127.0.0.1:7410", Path::new("/d/demo.token")).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let expected = "current = \"dev\"\n\n\
            [context.dev]\nendpoint = \"http://127.0.0.1:7410\"\ntoken_file = \"/d/demo.token\"\n\n\
            [context.work]\nendpoint = \"http://work:1\"\ntoken_file = \"/work.token\"\n";
        assert_eq!(text.parse::<Table>().unwrap(), expected.parse::<Table>().unwrap());
    }

    #[test]
    fn a_file_that_needs_no_change_keeps_its_comments() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        let text = "# mine\ncurrent = 'dev'\n[context.dev]\ntoken_file = '/t'\nendpoint = 'http://h:1'\n";
        std::fs::write(&file, text).unwrap();
        remember(&file, "dev", "http://h:1", Path::new("/t")).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}
