//! Where a command writes: data on standard output, words on standard error.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

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
    /// Whether words are kept back, but for failures.
    quiet: bool,
}

impl Screen {
    /// The process's own.
    pub(super) fn new(choice: ColorChoice, quiet: bool, env: &Environment) -> Self {
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
            live: !quiet && io::stderr().is_terminal() && env.get("TERM") != Some("dumb"),
            terminal,
            columns: console_width(env),
            quiet,
        }
    }

    /// One for a file: no colour, no words.
    pub(super) fn plain(out: Box<dyn Write + Send>) -> Self {
        let words = Box::new(io::sink());
        Self { out, words, color: false, live: false, terminal: false, columns: None, quiet: true }
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
        if !self.quiet {
            self.fail(line);
        }
    }

    /// A line of words that is never kept back.
    pub(super) fn fail(&mut self, line: impl std::fmt::Display) {
        drop(writeln!(self.words, "{line}"));
    }

    /// A bar for bytes, whose number is told later; hidden where nobody watches.
    pub(super) fn progress(&self, verb: &str) -> ProgressBar {
        let bar = if self.live { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let template = format!("{verb} {{bar:30}} {{bytes}}/{{total_bytes}} {{bytes_per_sec}} {{eta}}");
        bar.set_style(ProgressStyle::with_template(&template).expect("the template is sound"));
        bar
    }
}

/// What was written, to be read back.
#[derive(Clone, Default)]
pub(super) struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    /// All of it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the terminal says it has; `None` lets the table ask for itself.
fn console_width(env: &Environment) -> Option<u16> {
    env.get("COLUMNS")?.parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    //! A screen whose data can be read back.

    use super::*;

    impl Page {
        pub(in crate::cli) fn text(&self) -> String {
            String::from_utf8(self.bytes()).unwrap()
        }
    }

    /// A plain screen and its page.
    pub(in crate::cli) fn page() -> (Screen, Page) {
        let page = Page::default();
        let screen = Screen::plain(Box::new(page.clone()));
        (screen, page)
    }
}
