//! Plays an example on one of the two machines, as the server would. While a connection waits, its further lines are
//! kept. The ticker ticks when something is due.

use super::driver::Driver;
use super::{Act, Example, Expected, START, Turn};
use crate::generate::origin;
use crate::lines;
use crate::observe::{Event, observe};
use crate::reference::Reference;
use elockd_core::wire::Decoder;
use elockd_core::{Account, Addr, Cause, Command, Config, Conn, Input, Machine, Now, Origin};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write;

/// The machine that an example is played on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The reference model and the naive decoder.
    Reference,
    /// The machine and its own decoder.
    Machine,
}

impl Example {
    /// Plays it.
    ///
    /// # Errors
    ///
    /// The first line that is not as written: its file and number, what was expected, and what came instead.
    pub fn play(&self, on: On) -> Result<(), String> {
        let mut stage = Stage::new(self, on);
        for turn in &self.turns {
            let told = stage.act(&turn.act).map_err(|problem| {
                format!("{}:{}: {}: {problem}: `{}`", self.file, turn.at, self.title, turn.text)
            })?;
            self.compare(turn, &told, on)?;
        }
        Ok(())
    }

    fn compare(&self, turn: &Turn, told: &[String], on: On) -> Result<(), String> {
        let Some((at, expected, got)) = difference(turn, told) else { return Ok(()) };
        let on = if on == On::Reference { "the reference" } else { "the machine" };
        Err(format!(
            "{}:{at}: {}, on {on}\n  after     {}\n  expected  {expected}\n  got       {got}",
            self.file, self.title, turn.text
        ))
    }
}

/// The first difference between expected and told lines: its place, the expected line, and the told one.
fn difference<'a>(turn: &'a Turn, told: &'a [String]) -> Option<(usize, &'a str, &'a str)> {
    let mut told = told.iter().map(String::as_str).peekable();
    let mut skipped = None;
    for Expected { at, text } in &turn.outcome {
        if text.ends_with("< ...") {
            skipped = text.strip_suffix(" ...");
            continue;
        }
        if let Some(of) = skipped.take() {
            while told.next_if(|line| line.starts_with(of) && line != text).is_some() {}
        }
        match told.next() {
            Some(line) if line == text => {}
            other => return Some((*at, text, other.unwrap_or("nothing"))),
        }
    }
    if let Some(of) = skipped {
        while told.next_if(|line| line.starts_with(of)).is_some() {}
    }
    told.next().map(|line| (turn.at, "nothing", line))
}

/// One of the machines, with its clients.
struct Stage {
    subject: Subject,
    now: Now,
    line_bytes: usize,
    name_bytes: u16,
    driver: Driver,
    clients: Vec<Caller>,
    told: Vec<String>,
}

enum Subject {
    Reference(Box<Reference>),
    Machine(Box<Machine>),
}

/// A connection that is or was open.
struct Caller {
    name: String,
    conn: Conn,
    is_open: bool,
    is_waiting: bool,
    /// What it said while it waited.
    unrun: VecDeque<Command<Vec<u8>>>,
}

impl Stage {
    fn new(example: &Example, on: On) -> Self {
        let config: Config = example.config.clone();
        let subject = match on {
            On::Reference => Subject::Reference(Box::new(Reference::new(config))),
            On::Machine => Subject::Machine(Box::new(Machine::new(config))),
        };
        let mut stage = Self {
            subject,
            now: START,
            line_bytes: example.line_bytes,
            name_bytes: example.config.limits.name_bytes,
            driver: example.driver.clone(),
            clients: Vec::new(),
            told: Vec::new(),
        };
        if example.tokens > 0 {
            stage.subject.apply(START, &Input::Tokens { first: 1, last: example.tokens });
        }
        stage
    }

    /// Does what a line says. Returns what everybody heard, a line each.
    fn act(&mut self, act: &Act) -> Result<Vec<String>, String> {
        match act {
            Act::Open(name) => self.open(name)?,
            Act::Say(name, line) => self.say(name, line)?,
            Act::Close(name) => self.end(name, Cause::Eof)?,
            Act::Break(name) => self.end(name, Cause::Error)?,
            Act::Pass(ms, ticks) => self.pass(*ms, *ticks)?,
            Act::Lapse(ms) => {
                self.now.0 += ms;
                self.apply(&Input::Lapse { ms: *ms })?;
            }
            Act::Drain => self.apply(&Input::Drain(0))?,
            Act::Account(row) => {
                self.driver.set(row.clone());
                self.apply(&Input::Accounts(self.driver.accounts()))?;
            }
            Act::Tokens(first, last) => self.apply(&Input::Tokens { first: *first, last: *last })?,
        }
        Ok(std::mem::take(&mut self.told))
    }

    fn open(&mut self, name: &str) -> Result<(), String> {
        if self.client(name).is_ok() {
            return Err(format!("{name} is connected already"));
        }
        let number = self.clients.len() as u64 + 1;
        let account = if name.starts_with("admin") { Account::ADMIN.0 } else { 0 };
        let origin = Origin { addr: Addr::Unix(number), ..origin(number, account) };
        let conn = Conn::new(0, number);
        let (name, unrun) = (name.to_owned(), VecDeque::new());
        self.clients.push(Caller { name, conn, is_open: true, is_waiting: false, unrun });
        self.apply(&Input::Opened(conn, origin))
    }

    fn say(&mut self, name: &str, line: &[u8]) -> Result<(), String> {
        if !self.clients.iter().any(|client| client.name == name) {
            self.open(name)?;
        }
        let commands = self.subject.commands(line, self.line_bytes);
        self.client(name)?.unrun.extend(commands);
        self.run_what_waits()
    }

    fn end(&mut self, name: &str, cause: Cause) -> Result<(), String> {
        let client = self.client(name)?;
        client.unrun.clear();
        let conn = client.conn;
        self.apply(&Input::Closed(conn, cause))?;
        self.clients
            .iter_mut()
            .filter(|client| client.conn == conn)
            .for_each(|client| client.is_open = false);
        Ok(())
    }

    fn pass(&mut self, ms: u64, ticks: bool) -> Result<(), String> {
        let until = Now(self.now.0 + ms);
        while let Some(due) = self.subject.due().filter(|due| ticks && *due <= until) {
            self.now = self.now.max(due);
            self.apply(&Input::Tick)?;
        }
        self.now = until;
        if ticks { self.apply(&Input::Tick) } else { Ok(()) }
    }

    /// Applies an input, and then every kept line that can run now.
    fn apply(&mut self, input: &Input<Command<Vec<u8>>>) -> Result<(), String> {
        self.apply_one(input)?;
        self.run_what_waits()
    }

    fn run_what_waits(&mut self) -> Result<(), String> {
        let can_run = |client: &&mut Caller| client.is_open && !client.is_waiting && !client.unrun.is_empty();
        while let Some(client) = self.clients.iter_mut().find(can_run) {
            let command = client.unrun.pop_front().expect("something is kept");
            let conn = client.conn;
            let by = self.subject.account_of(conn).ok_or("who speaks is not open")?;
            let input = Input::Command(conn, self.driver.judge(by, command, self.name_bytes));
            self.apply_one(&input)?;
        }
        Ok(())
    }

    fn apply_one(&mut self, input: &Input<Command<Vec<u8>>>) -> Result<(), String> {
        for event in self.subject.apply(self.now, input) {
            self.note(&event);
        }
        self.subject.check()
    }

    fn note(&mut self, event: &Event) {
        let (Event::Sent(conn, _) | Event::Waits(conn) | Event::Disconnected(conn, ..)) = event;
        let client = self.clients.iter_mut().find(|client| client.conn == *conn).expect("it was opened");
        client.is_waiting = matches!(event, Event::Waits(_));
        let name = &client.name;
        if let Event::Sent(_, text) | Event::Disconnected(_, _, text) = event {
            let lines = text.split_inclusive(|byte| *byte == b'\n');
            self.told.extend(lines.map(|line| format!("{name}< {}", shown(line)).trim_end().to_owned()));
        }
        match event {
            Event::Waits(_) => self.told.push(format!("{name} waits")),
            Event::Disconnected(..) => {
                client.is_open = false;
                self.told.push(format!("{name} is closed"));
            }
            Event::Sent(..) => {}
        }
    }

    /// The open connection of this name.
    fn client(&mut self, name: &str) -> Result<&mut Caller, String> {
        let is_it = |client: &&mut Caller| client.is_open && client.name == name;
        self.clients.iter_mut().find(is_it).ok_or_else(|| format!("{name} is not connected"))
    }
}

impl Subject {
    fn apply(&mut self, now: Now, input: &Input<Command<Vec<u8>>>) -> Vec<Event> {
        match self {
            Self::Reference(reference) => reference.apply(now, input),
            Self::Machine(machine) => observe(machine, now, input.as_ref()),
        }
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Reference(_) => Ok(()),
            Self::Machine(machine) => machine.check().map_err(|violation| violation.to_string()),
        }
    }

    fn account_of(&self, conn: Conn) -> Option<Account> {
        match self {
            Self::Reference(reference) => reference.account_of(conn),
            Self::Machine(machine) => machine.account_of(conn),
        }
    }

    fn due(&self) -> Option<Now> {
        match self {
            Self::Reference(reference) => reference.due(),
            Self::Machine(machine) => machine.deadline(),
        }
    }

    /// The commands in a line without its end, read by this machine's decoder.
    fn commands(&self, line: &[u8], line_bytes: usize) -> Vec<Command<Vec<u8>>> {
        let stream = [line, b"\n"].concat();
        match self {
            Self::Reference(_) => lines::commands(&stream, line_bytes),
            Self::Machine(_) => {
                let mut decoder = Decoder::new(line_bytes);
                let mut rest = &stream[..];
                std::iter::from_fn(|| decoder.next(&mut rest).map(|command| command.map(Cow::into_owned)))
                    .collect()
            }
        }
    }
}

/// A line that was heard, without its end. Unprintable bytes are escaped.
fn shown(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").expect("every line has its end");
    let mut text = String::new();
    for byte in line {
        match byte {
            b' '..=b'~' if *byte != b'\\' => text.push(char::from(*byte)),
            b'\t' => text.push_str("\\t"),
            b'\r' => text.push_str("\\r"),
            0 => text.push_str("\\0"),
            b'\\' => text.push_str("\\\\"),
            other => write!(text, "\\x{other:02x}").expect("a string takes all"),
        }
    }
    text
}
