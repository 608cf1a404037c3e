//! Examples: scripts written by hand in the words of the wire, in `model-tests/examples/`. One script is one
//! conversation with the replies that it must get. Each is played on the reference model and on the machine.
//!
//! ```text
//! # A comment says why.
//! == A title begins a script
//! limit waiters 1                      settings come first, where they are not the default
//! alice> g job                         a client says a line; it connects when it first speaks
//! alice< 1 Lock Get Success: job       what it hears, in the very next lines
//! bob> gw 1000 job
//! bob waits
//! (500 ms pass)
//! alice closes
//! bob< 1 Lock Get Success: job
//! ```
//!
//! After each input come all the lines that anybody hears because of it, in order. No lines mean silence. The text that
//! a client says or hears may contain `\t`, `\r`, `\0`, `\\` and `\xNN`. White space at the end of a line is ignored.
//!
//! | input | meaning |
//! |---|---|
//! | `alice> TEXT` | Alice sends a line. If she waits, it is kept and runs when her wait has ended. |
//! | `alice opens` | She connects without a word. The Nth connection of a script has the address `unix:N`. |
//! | `alice closes`, `alice breaks` | She sends FIN; her connection fails. |
//! | `(5 ms pass)` | Time passes. The ticker ticks whenever something is due. |
//! | `(5 ms pass, no tick)` | Time passes and nothing has looked at the clock yet. |
//! | `(5 ms lapse)` | Time passes in which the daemon serves nobody, as when its process was stopped. |
//! | `drain` | The daemon begins to shut down. |
//! | `account web locks 1` | From now on this account is so. As a setting it makes the account. |
//! | `tokens 1 to 5` | These fencing tokens are reserved. A script starts with a million, unless it says `no tokens`. |
//!
//! | outcome | meaning |
//! |---|---|
//! | `alice< TEXT` | Alice hears a line. |
//! | `alice< ...` | Any number of lines that do not matter here. |
//! | `alice waits` | Her request has no reply yet. |
//! | `alice is closed` | The daemon closes her connection. |
//!
//! `admin` and names that begin with it are operators: they connect to the administrative listener.
//!
//! With accounts the scripts have a driver between clients and machine, as the server is one. It takes these settings.
//! Whoever has not said `auth` has the account `default`.
//!
//! | setting | meaning |
//! |---|---|
//! | `account web locks 1 waiters 2` | An account with quotas: `connections`, `locks`, `memory_bytes`, `waiters`. |
//! | `account web names a,b` | Listings show it the names that begin so. |
//! | `account web verbs g,r,ls` | Besides `auth`, `ping`, `help` and `quit` it may say these. |
//! | `account web figures own`, `account web operator` | It sees its own figures alone; it is an operator. |
//! | `token SECRET web` | Whoever says `auth SECRET` logs in to this account. |
//! | `auth required` | The account `default` may say nothing but `auth`, `ping`, `help` and `quit`. |

mod driver;
mod play;

pub use play::On;

use driver::{Driver, Row};
use elockd_core::{Config, Now};
use std::fs;
use std::path::{Path, PathBuf};

/// One script.
#[derive(Debug)]
pub struct Example {
    /// Its file, for the messages of failures.
    pub file: String,
    /// What it shows.
    pub title: String,
    /// The configuration of both machines.
    pub config: Config,
    /// The limit of a line, in bytes.
    pub line_bytes: usize,
    /// How many fencing tokens are reserved at the start.
    pub tokens: u64,
    /// The accounts, and who may say what.
    driver: Driver,
    /// What happens.
    pub turns: Vec<Turn>,
}

/// One input, and its whole outcome.
#[derive(Debug)]
pub struct Turn {
    /// Where it stands in its file, counted from 1.
    pub at: usize,
    /// The line as it is written.
    pub text: String,
    /// What it means.
    pub act: Act,
    /// The lines that somebody must hear because of it, in order.
    pub outcome: Vec<Expected>,
}

/// A line that says what somebody must hear.
#[derive(Debug)]
pub struct Expected {
    /// Where it stands in its file, counted from 1.
    pub at: usize,
    /// The line as it is written.
    pub text: String,
}

/// What an input line means.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// A client sends a line, whose `\n` is added.
    Say(String, Vec<u8>),
    /// A client connects.
    Open(String),
    /// A client sends FIN.
    Close(String),
    /// A client's connection fails.
    Break(String),
    /// Milliseconds pass. The flag tells whether the ticker ticks meanwhile.
    Pass(u64, bool),
    /// Milliseconds pass in which nobody is served.
    Lapse(u64),
    /// The daemon begins to shut down.
    Drain,
    /// Fencing tokens are reserved.
    Tokens(u64, u64),
    /// From now on an account is so.
    Account(Row),
}

/// Reads all scripts, file by file, and the recipes. Panics if one cannot be read.
#[must_use]
pub fn all() -> Vec<Example> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files =
        fs::read_dir(folder).expect("the examples are there").map(|file| file.expect("readable").path());
    let is_script = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "txt");
    let mut files: Vec<PathBuf> = files.filter(is_script).collect();
    files.sort();
    files.iter().flat_map(|path| of_file(path)).chain(recipes()).collect()
}

/// Reads the scripts of the page of recipes. Each section is one: its title, and what stands in its fence.
fn recipes() -> Vec<Example> {
    let page = include_str!("../../../docs/recipes.md");
    let mut is_script = false;
    let line = |line: &str| {
        let is_fence = line.starts_with("```");
        is_script ^= is_fence;
        match line.strip_prefix("## ") {
            Some(title) => format!("== {title}\n"),
            None if is_script && !is_fence => format!("{line}\n"),
            None => "\n".to_owned(),
        }
    };
    let scripts: String = page.lines().map(line).collect();
    read("docs/recipes.md", &scripts).unwrap_or_else(|problem| panic!("{problem}"))
}

fn of_file(path: &Path) -> Vec<Example> {
    let file = format!("model-tests/examples/{}", path.file_name().expect("a file has a name").display());
    let text = fs::read_to_string(path).expect("the script is readable");
    let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("# ")).collect();
    let sentences = header.iter().filter(|line| line.ends_with('.')).count();
    assert!(sentences >= 2, "{file} must open with two sentences: what it shows, and where that is promised");
    let scripts = read(&file, &text).unwrap_or_else(|problem| panic!("{problem}"));
    assert!(!scripts.is_empty(), "{file} has no script");
    scripts
}

/// Reads the scripts of a file.
///
/// # Errors
///
/// The first line that cannot stand in a script, with its file and number.
pub fn read(file: &str, text: &str) -> Result<Vec<Example>, String> {
    let mut examples: Vec<Example> = Vec::new();
    for (at, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix("== ") {
            examples.push(Example::new(file, title));
            continue;
        }
        let understood = examples.last_mut().ok_or("a script begins with `== TITLE`");
        understood
            .and_then(|example| example.take(at, line))
            .map_err(|problem| format!("{file}:{at}: {problem}: `{line}`"))?;
    }
    Ok(examples)
}

impl Example {
    fn new(file: &str, title: &str) -> Self {
        Self {
            file: file.to_owned(),
            title: title.to_owned(),
            config: Config::smallest_storage(),
            line_bytes: 8192,
            tokens: 1_000_000,
            driver: Driver::default(),
            turns: Vec::new(),
        }
    }

    /// Reads the next line of the script.
    fn take(&mut self, at: usize, line: &str) -> Result<(), &'static str> {
        let text = line.to_owned();
        if is_outcome(line) {
            let turn = self.turns.last_mut().ok_or("nothing has happened that this could come of")?;
            turn.outcome.push(Expected { at, text });
        } else if let Some(act) =
            act(line).filter(|act| !matches!(act, Act::Account(_)) || !self.turns.is_empty())
        {
            self.turns.push(Turn { at, text, act, outcome: Vec::new() });
        } else if self.turns.is_empty() {
            self.set(line).ok_or("neither a setting nor an input")?;
            self.config.accounts = self.driver.accounts();
        } else {
            return Err("neither an input nor an outcome");
        }
        Ok(())
    }

    fn set(&mut self, line: &str) -> Option<()> {
        let Config { limits, features, .. } = &mut self.config;
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["account", ..] => self.driver.set(Row::read(line)?),
            ["token", token, account] => self.driver.set_token(token, account)?,
            ["auth", "required"] => self.driver.require_auth(),
            ["no", "tokens"] => self.tokens = 0,
            ["dump", "off"] => features.dump = false,
            ["registry", "off"] => features.registry = false,
            ["silent_errors", "on"] => features.silent_errors = true,
            ["limit", "line_bytes", most] => self.line_bytes = most.parse().ok()?,
            ["limit", "name_bytes", most] => limits.name_bytes = most.parse().ok()?,
            ["limit", "memory_bytes", most] => limits.memory_bytes = most.parse().ok()?,
            ["limit", "idle_ms", most] => limits.idle_ms = most.parse().ok()?,
            ["limit", what, most] => {
                let limit = match what {
                    "connections" => &mut limits.connections,
                    "connections_per_address" => &mut limits.connections_per_address,
                    "locks" => &mut limits.locks,
                    "locks_per_connection" => &mut limits.locks_per_connection,
                    "waiters" => &mut limits.waiters,
                    "waiters_per_name" => &mut limits.waiters_per_name,
                    "linger_ms" => &mut limits.linger_ms,
                    "step_holds" => &mut limits.step_holds,
                    _ => return None,
                };
                *limit = most.parse().ok()?;
            }
            _ => return None,
        }
        Some(())
    }
}

/// Whether a line is an outcome, not an input.
fn is_outcome(line: &str) -> bool {
    let of_name = |rest: &str| line.strip_suffix(rest).is_some_and(is_name);
    of_name(" waits") || of_name(" is closed") || line.split_once('<').is_some_and(|(name, _)| is_name(name))
}

fn act(line: &str) -> Option<Act> {
    if let Some((name, text)) = line.split_once('>').filter(|(name, _)| is_name(name)) {
        return Some(Act::Say(name.to_owned(), unescaped(text.strip_prefix(' ').unwrap_or(text))?));
    }
    if let Some(time) = line.strip_prefix('(').and_then(|rest| rest.strip_suffix(" ms lapse)")) {
        return Some(Act::Lapse(time.parse().ok()?));
    }
    if let Some(time) = line.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        let (time, ticks) = match time.strip_suffix(", no tick") {
            Some(time) => (time, false),
            None => (time, true),
        };
        return Some(Act::Pass(time.strip_suffix(" ms pass")?.parse().ok()?, ticks));
    }
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["account", ..] => Some(Act::Account(Row::read(line)?)),
        ["drain"] => Some(Act::Drain),
        ["tokens", first, "to", last] => Some(Act::Tokens(first.parse().ok()?, last.parse().ok()?)),
        [name, "opens"] if is_name(name) => Some(Act::Open(name.to_owned())),
        [name, "closes"] if is_name(name) => Some(Act::Close(name.to_owned())),
        [name, "breaks"] if is_name(name) => Some(Act::Break(name.to_owned())),
        _ => None,
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// The bytes that a text with escapes stands for.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b't' => b'\t',
                b'r' => b'\r',
                b'0' => 0,
                b'\\' => b'\\',
                b'x' => {
                    let digit = |digit: u8| char::from(digit).to_digit(16);
                    (digit(rest.next()?)? * 16 + digit(rest.next()?)?) as u8
                }
                _ => return None,
            },
            other => other,
        });
    }
    Some(bytes)
}

/// The time at which each script starts. It is not 0, so that nothing is right by chance.
const START: Now = Now(1_000);

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(script: &str) -> String {
        let text = format!("# Why.\n== A script\n{script}");
        let all = read("some.txt", &text).and_then(|examples| examples[0].play(On::Reference));
        all.expect_err("it must fail")
    }

    #[test]
    fn what_is_no_script_is_refused_with_its_place() {
        assert_eq!(failure("alice sings\n"), "some.txt:3: neither a setting nor an input: `alice sings`");
        assert_eq!(failure("limit waiters\n"), "some.txt:3: neither a setting nor an input: `limit waiters`");
        assert_eq!(
            failure("alice opens\ndump off\n"),
            "some.txt:4: neither an input nor an outcome: `dump off`"
        );
        assert_eq!(
            failure("bob waits\n"),
            "some.txt:3: nothing has happened that this could come of: `bob waits`"
        );
        assert!(read("some.txt", "drain\n").is_err_and(|problem| problem.contains("begins with")));
    }

    #[test]
    fn a_failure_names_file_line_expected_and_got() {
        let wrong = failure("alice> g a\nalice< 1 Lock Get Success: b\n");
        assert!(wrong.starts_with("some.txt:4: A script, on the reference\n"), "{wrong}");
        assert!(wrong.contains("after     alice> g a\n"), "{wrong}");
        assert!(wrong.contains("expected  alice< 1 Lock Get Success: b\n"), "{wrong}");
        assert!(wrong.contains("got       alice< 1 Lock Get Success: a"), "{wrong}");

        let unexpected = failure("alice> ping\n");
        assert!(unexpected.starts_with("some.txt:3: "), "{unexpected}");
        assert!(unexpected.contains("expected  nothing\n"), "{unexpected}");
        let missing = failure("alice opens\nalice< 1 pong\n");
        assert!(missing.contains("got       nothing"), "{missing}");
    }

    #[test]
    fn a_script_that_cannot_be_played_is_refused() {
        assert!(failure("alice opens\nalice closes\nalice> ping\n").contains("alice is not connected"));
        assert!(failure("alice opens\nalice opens\n").contains("alice is connected"));
        assert!(failure("bob closes\n").contains("bob is not connected"));
    }

    #[test]
    fn escapes_stand_for_bytes() {
        assert_eq!(unescaped(r"a\tb\r\0\\\xfF"), Some(b"a\tb\r\0\\\xff".to_vec()));
        assert_eq!(unescaped(r"\n"), None, "a line has one end");
        assert_eq!(unescaped(r"\x0"), None);
    }
}
