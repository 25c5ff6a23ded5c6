//! Where a command writes: data on standard output, words on standard error.

use std::io::{self, IsTerminal as _, Write};

use clap::ValueEnum;

use super::failure::Failure;
use crate::config::Environment;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Standard output and standard error, and what they can do.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    words: Box<dyn Write + Send>,
    /// Whether the data may carry colour.
    pub color: bool,
    /// Whether somebody watches the words: progress may be redrawn.
    pub live: bool,
    /// Whether the data is read by people on a terminal, so that wide cells are wrapped.
    pub terminal: bool,
    /// How many columns there are, when somebody says so.
    pub columns: Option<u16>,
}

impl Screen {
    /// The process's own.
    pub(super) fn new(choice: ColorChoice, env: &Environment) -> Self {
        let terminal = io::stdout().is_terminal();
        let color = match choice {
            ColorChoice::Auto => terminal && !env.no_color(),
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        Self {
            out: Box::new(io::stdout()),
            words: Box::new(io::stderr()),
            color,
            live: io::stderr().is_terminal() && env.get("TERM") != Some("dumb"),
            terminal,
            columns: console_width(env),
        }
    }

    /// A line of data.
    pub(super) fn data(&mut self, line: impl std::fmt::Display) -> Result<(), Failure> {
        writeln!(self.out, "{line}")?;
        Ok(())
    }

    /// Data byte for byte, with no line's end added.
    pub(super) fn exactly(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes)?;
        Ok(self.out.flush()?)
    }

    /// A line of words. Losing it is no failure.
    pub(super) fn say(&mut self, line: impl std::fmt::Display) {
        drop(writeln!(self.words, "{line}"));
    }
}

/// What the terminal says it has; `None` lets the table ask for itself.
fn console_width(env: &Environment) -> Option<u16> {
    env.get("COLUMNS")?.parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    //! A screen whose data can be read back.

    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written as data.
    #[derive(Clone, Default)]
    pub(in crate::cli) struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        pub(in crate::cli) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A plain screen and its page.
    pub(in crate::cli) fn page() -> (Screen, Page) {
        let page = Page::default();
        let screen = Screen {
            out: Box::new(page.clone()),
            words: Box::new(io::sink()),
            color: false,
            live: false,
            terminal: false,
            columns: None,
        };
        (screen, page)
    }
}
