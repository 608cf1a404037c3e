//! `elock shell`: the protocol by hand, on one connection, with history, completion and help. If stdin is no terminal,
//! it answers the lines that come there.

use crate::channel::Channel;
use crate::name::Name;
use crate::options::Options;
use crate::output::{Style, print, tell};
use crate::rows::LockRow;
use crate::status::{Failure, Outcome};
use elockd_client::{Command, Verb};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, Helper};
use std::fs::DirBuilder;
use std::io::{BufRead, IsTerminal, stdin, stdout};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// How long the names for a completion may take.
const NAMES: Duration = Duration::from_millis(500);
/// How many names are offered.
const MOST_NAMES: usize = 100;

/// What the shell itself understands.
const OWN: [&str; 2] = ["exit", "help"];

/// Reads lines, sends them, shows the answers.
pub(crate) fn shell(options: &Options) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::system("start the runtime", error))?;
    let mut dialogue = Dialogue {
        options,
        runtime: &runtime,
        channel: Some(runtime.block_on(Channel::open(options))?),
        is_colored: options.color.is_on(&stdout()),
    };
    if stdin().is_terminal() {
        edit(&mut dialogue)?;
    } else {
        read(&mut dialogue)?;
    }
    if let Some(channel) = dialogue.channel.take() {
        runtime.block_on(channel.quit());
    }
    Ok(ExitCode::SUCCESS)
}

/// Lines from a pipe or a file, which may have any bytes.
fn read(dialogue: &mut Dialogue<'_>) -> Result<(), Failure> {
    for line in stdin().lock().split(b'\n') {
        let line = line.map_err(|error| Failure::system("read stdin", error))?;
        if !dialogue.say(&line)? {
            break;
        }
    }
    Ok(())
}

/// Lines that a person edits.
fn edit(dialogue: &mut Dialogue<'_>) -> Result<(), Failure> {
    let broken = |error: ReadlineError| Failure::system("read from the terminal", error);
    let config = Config::builder().auto_add_history(false).history_ignore_space(true).build();
    let mut editor = Editor::<Completion<'_>, FileHistory>::with_config(config).map_err(broken)?;
    editor.set_helper(Some(Completion { options: dialogue.options, runtime: dialogue.runtime }));
    let history = history();
    if let Some(history) = &history {
        // There is none yet at the first time.
        let _ = editor.load_history(history);
    }
    if let Some(channel) = &dialogue.channel {
        let server = channel.server();
        print(&format!("{server}: `help` lists the requests, Tab completes, Ctrl-D ends\n"))?;
    }
    'lines: loop {
        match editor.readline("elock> ") {
            Ok(line) => {
                // The key of a session is a secret, and so is a token.
                if !["resume", "auth"].iter().any(|verb| line.trim_start().starts_with(verb)) {
                    let _ = editor.add_history_entry(&line);
                }
                // What was pasted may be several lines.
                for line in line.lines() {
                    if !dialogue.say(line.as_bytes())? {
                        break 'lines;
                    }
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(broken(error)),
        }
    }
    if let Some(history) = &history {
        // Without it the next shell knows less, and that is all.
        let _ = editor.save_history(history);
    }
    Ok(())
}

/// Where the history is kept, in a folder of the user alone.
fn history() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let folder = state.or_else(home)?.join("elock");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    Some(folder.join("history"))
}

/// The connection and what is said on it.
struct Dialogue<'a> {
    options: &'a Options,
    runtime: &'a Runtime,
    /// `None` after it was lost, until something is to be asked.
    channel: Option<Channel>,
    is_colored: bool,
}

impl Dialogue<'_> {
    /// Says a line and shows the answer. Returns whether to go on.
    fn say(&mut self, line: &[u8]) -> Result<bool, Failure> {
        let line = line.trim_ascii();
        let (verb, rest) = line.split_at(line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len()));
        match (verb, rest.trim_ascii()) {
            (b"", _) => {}
            (b"exit" | b"quit", _) => return Ok(false),
            (b"help", about) if !about.is_empty() => {
                if let Some(text) = self.ask(b"help") {
                    let start = [about, b" "].concat();
                    let is_about =
                        |line: &&[u8]| line.starts_with(&start) || line.starts_with(&[about, b":"].concat());
                    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(is_about).collect();
                    if lines.is_empty() {
                        tell(format_args!("there is no request {}", Name::told(about)));
                    }
                    self.show(&lines.join(&b'\n'))?;
                }
            }
            _ => {
                if let Some(text) = self.ask(line) {
                    self.show(&text)?;
                }
            }
        }
        Ok(true)
    }

    /// Asks, with Ctrl-C in mind. Without an answer the reason was told.
    fn ask(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        let channel = match self.channel.take() {
            Some(channel) => Ok(channel),
            None => self.runtime.block_on(Channel::open(self.options)),
        };
        let mut channel = match channel {
            Ok(channel) => channel,
            Err(failure) => {
                tell(failure.message);
                return None;
            }
        };
        let asking = async {
            match channel.connection().send_line(line) {
                Ok(true) => channel.connection().receive().await.map(|answer| answer.text().to_vec()),
                Ok(false) => Ok(Vec::new()),
                Err(error) => Err(error),
            }
        };
        let answer = self.runtime.block_on(async {
            tokio::select! {
                answer = asking => Some(answer),
                _ = tokio::signal::ctrl_c() => None,
            }
        });
        match answer {
            Some(Ok(text)) => {
                self.channel = Some(channel);
                return Some(text);
            }
            Some(Err(error)) => tell(format_args!("{error}; what this connection held is released")),
            None => tell("only the end of a connection ends a wait; what it held is released"),
        }
        None
    }

    fn show(&self, text: &[u8]) -> Result<(), Failure> {
        let mut shown = String::new();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // A tab stands between the two names of a row.
            let parts: Vec<String> =
                line.split(|byte| *byte == b'\t').map(|part| Name::told(part).to_string()).collect();
            let style = if line.starts_with(b"0 ") { Style::Magenta } else { Style::Plain };
            shown += &style.paint(&parts.join("  "), self.is_colored);
            shown.push('\n');
        }
        print(&shown)
    }
}

/// Completes verbs, and names of locks that somebody holds or waits for.
struct Completion<'a> {
    options: &'a Options,
    runtime: &'a Runtime,
}

impl Completer for Completion<'_> {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let line = line.get(..at).unwrap_or_default();
        let Some(start) = name_start(line) else {
            let words = Verb::ALL.iter().map(|verb| verb.word()).chain(OWN);
            let mut found: Vec<String> =
                words.filter(|word| word.starts_with(line)).map(str::to_owned).collect();
            found.sort();
            found.dedup();
            return Ok((0, found));
        };
        let prefix = &line.as_bytes()[start..];
        let names = self.runtime.block_on(async { timeout(NAMES, names(self.options, prefix)).await });
        Ok((start, names.ok().flatten().unwrap_or_default()))
    }
}

/// Where the name begins in a line that has a verb: behind the verb and its numbers.
fn name_start(line: &str) -> Option<usize> {
    let mut start = line.find(' ')? + 1;
    while let Some(end) = line[start..].find(' ')
        && line[start..start + end].bytes().all(|byte| byte.is_ascii_digit())
    {
        start += end + 1;
    }
    Some(start)
}

/// Names that begin so. A name that is not UTF-8 cannot be typed.
async fn names(options: &Options, prefix: &[u8]) -> Option<Vec<String>> {
    let mut channel = Channel::open(options).await.ok()?;
    let rows = LockRow::of(&channel.ask(&Command::ListAll(prefix)).await.ok()?).ok()?;
    channel.quit().await;
    let mut names: Vec<String> =
        rows.iter().filter_map(|row| String::from_utf8(row.name.bytes().to_vec()).ok()).collect();
    names.dedup();
    names.truncate(MOST_NAMES);
    Some(names)
}

impl Hinter for Completion<'_> {
    type Hint = String;
}
impl Highlighter for Completion<'_> {}
impl Validator for Completion<'_> {}
impl Helper for Completion<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_behind_the_numbers() {
        for (line, start) in [
            ("g", None),
            ("g ", Some(2)),
            ("g foo b", Some(2)),
            ("gw 500 fo", Some(7)),
            ("sgw 500 3 fo", Some(10)),
            ("gw 500", Some(3)),
        ] {
            assert_eq!(name_start(line), start, "{line}");
        }
    }
}
