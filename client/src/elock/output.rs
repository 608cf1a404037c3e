//! What the program prints: answers on stdout, as tables for people or as JSON for programs, and everything else on
//! stderr. Colours are for terminals.

use crate::status::Failure;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use unicode_width::UnicodeWidthStr;

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether there are colours on this stream.
    pub(crate) fn is_on(self, stream: &impl IsTerminal) -> bool {
        let is_set = |key| std::env::var_os(key).is_some_and(|value| !value.is_empty());
        let is_dumb = || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => !is_set("NO_COLOR") && !is_dumb() && stream.is_terminal(),
        }
    }
}

/// The few styles there are. Each is readable on dark and on light ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
    Dim,
    Green,
    Magenta,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Green => "\x1b[32m",
            Self::Magenta => "\x1b[35m",
        }
    }

    /// The text in this style, if there are colours.
    pub(crate) fn paint(self, text: &str, is_colored: bool) -> String {
        if is_colored && self != Self::Plain {
            format!("{}{text}\x1b[0m", self.code())
        } else {
            text.to_owned()
        }
    }
}

/// Writes a text on stdout. If the reader has gone, the program ends in order: it has seen enough.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::system("write to stdout", error)),
    }
}

/// Writes one JSON document on stdout, on a line of its own.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::system("write JSON", error))?;
    print(&(text + "\n"))
}

/// Says a line on stderr. If nobody reads it, nobody is told.
pub(crate) fn tell(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "elock: {line}");
}

/// A table of words. A column is as wide as its widest word; the last one is not padded.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[(String, Style); N]>,
    is_right: [bool; N],
}

impl<const N: usize> Table<N> {
    /// A table with this head. Columns that end in `>` stand at the right.
    pub(crate) fn new(head: [&str; N]) -> Self {
        let is_right = head.map(|word| word.ends_with('>'));
        let head = head.map(|word| (word.trim_end_matches('>').to_owned(), Style::Bold));
        Self { rows: vec![head], is_right }
    }

    pub(crate) fn push(&mut self, row: [(String, Style); N]) {
        self.rows.push(row);
    }

    pub(crate) fn text(&self, is_colored: bool) -> String {
        let widths: [usize; N] =
            std::array::from_fn(|at| self.rows.iter().map(|row| row[at].0.width()).max().unwrap_or(0));
        let mut text = String::new();
        for row in &self.rows {
            for (at, (word, style)) in row.iter().enumerate() {
                let gap = " ".repeat(widths[at] - word.width());
                let gap_after = if at + 1 == N { "" } else { gap.as_str() };
                let styled = style.paint(word, is_colored);
                let parts = if self.is_right[at] {
                    [gap.as_str(), styled.as_str()]
                } else {
                    [styled.as_str(), gap_after]
                };
                text.extend(parts);
                text.push_str(if at + 1 == N { "\n" } else { "  " });
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_whatever_is_in_them() {
        let mut table = Table::new(["NAME", "FOR>", "WHO"]);
        let plain = |word: &str| (word.to_owned(), Style::Plain);
        table.push([plain("Käse"), plain("9 s"), plain("a")]);
        table.push([plain("日本語"), (("12 min").to_owned(), Style::Dim), plain("bcd")]);
        let expected = "NAME       FOR  WHO\nKäse       9 s  a\n日本語  12 min  bcd\n";
        assert_eq!(table.text(false), expected);
        let colored = table.text(true);
        assert!(colored.contains("\x1b[2m12 min\x1b[0m"));
        let bare =
            ["\x1b[1m", "\x1b[2m", "\x1b[0m"].iter().fold(colored, |text, code| text.replace(code, ""));
        assert_eq!(bare, expected);
    }

    #[test]
    fn colours_are_forced_or_forbidden() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(
            [Color::Always, Color::Never, Color::Auto].map(|color| color.is_on(&file)),
            [true, false, false]
        );
    }
}
