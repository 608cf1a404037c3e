//! Goal: with `--verbose` the log is a full account: every connection that came or was refused, what it got, released
//! and left behind, and how it ended; each once, in order, with every byte of a name. Method: a life of several hundred
//! random commands by several clients, of which the test keeps its own account from what the clients heard. Then every
//! line of the log must be in that account, and the other way round, as text and as JSON.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use support::{Client, Daemon, PATIENCE, poll, tell};
use tempfile::TempDir;

/// Names of locks, odd ones among them. White space in them is as the daemon folds it.
const NAMES: [&[u8]; 9] = [
    b"a",
    b"nightly backup",
    b"",
    b"\xff\x00\xfe",
    b"\"quoted\" \\ back",
    "größe".as_bytes(),
    b"\x1b[31mred",
    b"a\" by 1.2.3.4:5 got lock \"b",
    b"x=1 y='2'",
];

/// A generator of numbers (xorshift). Its seed is in every failure.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// A line of the log without its time and its fields.
type Line = String;

/// A client, and what the log must think of it.
struct Known {
    client: Client,
    address: String,
    /// With the word for its kind, as in the log.
    held: BTreeSet<(&'static str, Vec<u8>)>,
    /// The locks among them that an operator has taken away, which the log does not know yet.
    stolen: BTreeSet<Vec<u8>>,
}

/// A life under way.
struct Life {
    daemon: Daemon,
    admin: PathBuf,
    rng: Rng,
    clients: Vec<Known>,
    /// What the log must say of each address, in order.
    account: BTreeMap<String, Vec<Line>>,
    /// How often connections have ended in each way.
    ends: BTreeMap<&'static str, u64>,
    steps: BTreeMap<&'static str, usize>,
    /// Stolen locks that a `ra` did not release.
    not_released: usize,
    _dir: TempDir,
}

fn quoted(name: &[u8]) -> String {
    format!("\"{}\"", name.escape_ascii())
}

/// The most clients beside the operator.
const MOST: usize = 6;

impl Life {
    fn start(seed: u64, format: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let admin = dir.path().join("admin.sock");
        let most = MOST.to_string();
        let flags =
            ["--verbose", "--log-format", format, "--max-connections", &most, "--max-line-bytes", "4200"];
        let daemon = Daemon::start(&[&flags[..], &["--admin-unix", admin.to_str().unwrap()]].concat());
        daemon.wait_for_log("for operators");
        Self {
            daemon,
            admin,
            rng: Rng(seed),
            clients: Vec::new(),
            account: BTreeMap::new(),
            ends: BTreeMap::new(),
            steps: BTreeMap::new(),
            not_released: 0,
            _dir: dir,
        }
    }

    fn note(&mut self, address: &str, line: &str) {
        self.account.entry(address.to_owned()).or_default().push(line.to_owned());
    }

    fn connect(&mut self) {
        let mut client = if self.rng.below(2) == 0 { self.daemon.tcp() } else { self.daemon.unix() };
        // A connection that is not accepted yet cannot be kicked.
        assert_eq!(client.ask("ping"), "1 pong");
        let address = client.address();
        self.note(&address, &format!("INFO {address} connected"));
        self.clients.push(Known { client, address, held: BTreeSet::new(), stolen: BTreeSet::new() });
    }

    /// One more than are allowed.
    fn is_refused(&mut self) {
        let mut client = self.daemon.tcp();
        let address = client.address();
        client.expect("0 Too Many Connections\n");
        self.note(&address, &format!("INFO {address} refused: too many connections"));
        client.expect_end();
    }

    fn got(&mut self, at: usize, kind: &'static str, name: &[u8]) {
        let known = &mut self.clients[at];
        if kind == "lock" {
            known.stolen.remove(name);
        }
        if known.held.insert((kind, name.to_vec())) {
            let address = known.address.clone();
            self.note(&address, &format!("INFO {address} got {kind} {}", quoted(name)));
        }
    }

    fn released(&mut self, at: usize, kind: &'static str, name: &[u8]) {
        let known = &mut self.clients[at];
        known.held.remove(&(kind, name.to_vec()));
        let address = known.address.clone();
        self.note(&address, &format!("INFO {address} released {kind} {}", quoted(name)));
    }

    /// What was stolen is not released, and no orphan later.
    fn released_all(&mut self, at: usize) {
        for name in std::mem::take(&mut self.clients[at].stolen) {
            self.clients[at].held.remove(&("lock", name));
            self.not_released += 1;
        }
        for (kind, name) in self.clients[at].held.clone() {
            self.released(at, kind, &name);
        }
    }

    /// Notes whose lock was stolen.
    fn stolen(&mut self, name: &[u8]) {
        let lock = ("lock", name.to_vec());
        let holds = |known: &&mut Known| known.held.contains(&lock) && !known.stolen.contains(name);
        let robbed = self.clients.iter_mut().find(holds).expect("somebody held it");
        robbed.stolen.insert(name.to_vec());
    }

    /// Says a verb with a name. Whether that succeeded.
    fn ask(&mut self, at: usize, verb: &str, name: &[u8]) -> bool {
        let client = &mut self.clients[at].client;
        client.send([verb.as_bytes(), b" ", name, b"\n"].concat());
        !client.line_bytes().starts_with(b"0 ")
    }

    /// A client has ended: its locks are orphans. What was stolen from it is one too, for nobody has told it.
    fn ended(&mut self, at: usize, cause: &'static str) {
        let Known { client, address, held, .. } = self.clients.swap_remove(at);
        drop(client);
        self.note(&address, &format!("INFO {address} disconnected ({cause})"));
        for (kind, name) in held {
            self.note(&address, &format!("INFO {address} orphaned {kind} {}", quoted(&name)));
        }
        *self.ends.entry(cause).or_default() += 1;
    }

    /// Waits until the daemon knows of all ends.
    fn settle(&mut self, operator: &mut Client) {
        let ends = self.ends.clone();
        poll("the ends to be known", PATIENCE, || {
            let figures = operator.figures();
            ends.iter().all(|(cause, count)| figures[&format!("closed_{cause}")] == *count).then_some(())
        });
    }

    /// One thing happens.
    fn step(&mut self, operator: &mut Client, operator_shown: &str) {
        if self.clients.len() < 2 || self.clients.len() < MOST && self.rng.below(6) == 0 {
            return self.connect();
        }
        if self.clients.len() == MOST && self.rng.below(8) == 0 {
            return self.is_refused();
        }
        let at = self.rng.below(self.clients.len());
        let name = self.rng.one_of(&NAMES);
        let kind = self.rng.one_of(&["lock", "shared lock"]);
        let what = self.rng.below(36);
        *self.steps.entry(KINDS[what.min(KINDS.len() - 1)]).or_default() += 1;
        match KINDS[what.min(KINDS.len() - 1)] {
            "get" => {
                let verb = match kind {
                    "lock" => self.rng.one_of(&["g", "gw 0"]),
                    _ => self.rng.one_of(&["sg", "sgl 2", "sgw 0 2"]),
                };
                if self.ask(at, verb, name) {
                    self.got(at, kind, name);
                }
            }
            "release" => {
                if self.ask(at, if kind == "lock" { "r" } else { "sr" }, name) {
                    self.released(at, kind, name);
                } else {
                    // It may have been stolen, of which the log learns now.
                    self.clients[at].held.remove(&(kind, name.to_vec()));
                    self.clients[at].stolen.retain(|stolen| kind != "lock" || stolen != name);
                }
            }
            "release all" => {
                self.ask(at, "ra", b"");
                self.released_all(at);
            }
            "wait" => self.wait(at, name),
            "name" => {
                self.ask(at, "iam", name);
                let address = self.clients[at].address.clone();
                self.note(&address, &format!("INFO {address} is called {}", quoted(name)));
            }
            "unknown" => {
                assert!(!self.ask(at, "what\x07is", b""));
                let address = self.clients[at].address.clone();
                self.note(
                    &address,
                    &format!("INFO {address} sent an unknown command {}", quoted(b"what\x07is")),
                );
            }
            "long" => {
                assert!(!self.ask(at, "g", &[b'x'; 5000]));
                let address = self.clients[at].address.clone();
                self.note(&address, &format!("INFO {address} sent a line that is too long"));
            }
            "silent" => {
                let verb = self.silent_verb();
                self.ask(at, verb, b"");
            }
            "quit" => {
                self.clients[at].client.send("quit\ng after\n");
                self.clients[at].client.expect_end();
                self.ended(at, "quit");
            }
            "fin" => {
                self.clients[at].client.send("g half a li");
                self.clients[at].client.half_close();
                self.clients[at].client.expect_end();
                self.ended(at, "eof");
            }
            "reset" => {
                let known = &mut self.clients[at];
                let is_tcp = !known.address.starts_with("unix:");
                if is_tcp {
                    known.client.socket().set_linger(Some(std::time::Duration::ZERO)).unwrap();
                }
                self.ended(at, if is_tcp { "error" } else { "eof" });
            }
            "kick" => {
                let address = self.clients[at].address.clone();
                assert_eq!(operator.ask(&format!("kick {address}")), format!("1 Kick Success: {address}"));
                self.note(
                    operator_shown,
                    &format!("WARN operator {operator_shown} closed {}", quoted(address.as_bytes())),
                );
                self.clients[at].client.wait_for_end();
                self.ended(at, "kicked");
            }
            _ => {
                operator.send([b"steal ", name, b"\n"].concat());
                let is_success = operator.line_bytes().starts_with(b"1 ");
                let line = if is_success {
                    self.stolen(name);
                    format!("stole lock {}", quoted(name))
                } else {
                    format!("wanted to steal lock {}: nobody holds it", quoted(name))
                };
                self.note(operator_shown, &format!("WARN operator {operator_shown} {line}"));
            }
        }
        self.settle(operator);
    }

    /// A verb that the log has nothing to say of.
    fn silent_verb(&mut self) -> &'static str {
        self.rng.one_of(&["ping", "i", "si", "me", "f", "dump", "kick x", "gw", "gw x y"])
    }

    /// One waits for what another has: until that releases it, or until its time is over.
    fn wait(&mut self, at: usize, name: &[u8]) {
        let other = (at + 1) % self.clients.len();
        if !self.ask(other, "g", name) {
            return;
        }
        self.got(other, "lock", name);
        self.clients[at].client.send([b"gw 60000 ", name, b"\n"].concat());
        poll("the wait", PATIENCE, || (self.clients[other].client.figure("waiters") == 1).then_some(()));
        match self.rng.below(3) {
            0 => {
                assert!(self.ask(other, "r", name));
                self.released(other, "lock", name);
                assert!(self.clients[at].client.line_bytes().starts_with(b"1 "));
                self.got(at, "lock", name);
            }
            1 => {
                self.clients[at].client.half_close();
                assert!(self.clients[at].client.line_bytes().starts_with(b"0 Lock Get Timeout"));
                self.clients[at].client.expect_end();
                self.ended(at, "eof");
            }
            _ => {
                self.clients[other].client.half_close();
                self.clients[other].client.expect_end();
                assert!(self.clients[at].client.line_bytes().starts_with(b"1 "));
                self.got(at, "lock", name);
                self.ended(other, "eof");
            }
        }
    }
}

/// What can happen in a step. The last has the rest of the draws.
const KINDS: [&str; 24] = [
    "get",
    "get",
    "get",
    "get",
    "get",
    "get",
    "get",
    "release",
    "release",
    "release",
    "release",
    "release",
    "release all",
    "wait",
    "wait",
    "name",
    "unknown",
    "long",
    "silent",
    "quit",
    "fin",
    "reset",
    "kick",
    "steal",
];

/// A line of the text log: its level and its words.
fn of_text(line: &str) -> Line {
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.len() == 27, "{line}");
    rest.trim_start().to_owned()
}

/// The same of a JSON line. What it is about must be in its fields too.
fn of_json(line: &str) -> Line {
    let json: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let text = |key: &str| json.get(key).map(|value| value.as_str().unwrap());
    let message = text("message").unwrap();
    let words: Vec<&str> = message.split(' ').collect();
    if let Some(addr) = text("addr") {
        assert!(message.starts_with(addr) || text("operator").is_some(), "{line}");
    }
    let expected = match &words[..] {
        [_, "got" | "released" | "orphaned", ..] => {
            let shared = if text("kind") == Some("shared") { "shared " } else { "" };
            format!("{} {} {shared}lock \"{}\"", text("addr").unwrap(), words[1], text("lock").unwrap())
        }
        [_, "disconnected", _] => {
            format!("{} disconnected ({})", text("addr").unwrap(), text("cause").unwrap())
        }
        [_, "is", "called", ..] => {
            format!("{} is called \"{}\"", text("addr").unwrap(), text("registered").unwrap())
        }
        ["operator", ..] if message.contains(" closed ") => {
            format!("operator {} closed \"{}\"", text("operator").unwrap(), text("kicked").unwrap())
        }
        ["operator", ..] if message.contains(" stole ") => {
            format!("operator {} stole lock \"{}\"", text("operator").unwrap(), text("lock").unwrap())
        }
        _ => message.to_owned(),
    };
    assert_eq!(expected, message, "{line}");
    format!("{} {message}", text("level").unwrap())
}

/// Lines that tell of the daemon and of no connection.
fn is_of_the_daemon(line: &str) -> bool {
    ["INFO elockd ", "INFO listening on ", "INFO shutting down on SIGTERM", "INFO shut down"]
        .iter()
        .any(|beginning| line.starts_with(beginning))
}

fn adds_up(seed: u64, format: &str, parse: fn(&str) -> Line) {
    let mut life = Life::start(seed, format);
    let mut operator = Client::unix(&life.admin);
    let address = operator.address();
    let shown =
        format!("{address} (user {}, process {})", rustix::process::getuid().as_raw(), std::process::id());
    life.note(&shown, &format!("INFO {shown} connected as an operator"));
    for _ in 0..400 {
        life.step(&mut operator, &shown);
    }
    for kind in KINDS {
        assert!(life.steps.contains_key(kind), "nobody did this: {kind} (seed {seed})");
    }
    assert!(life.not_released > 0, "no ra came after a theft (seed {seed})");
    // The rest ends with the daemon.
    let figures = operator.figures();
    for (cause, count) in &life.ends {
        assert_eq!(figures[&format!("closed_{cause}")], *count, "{cause} (seed {seed})");
    }
    life.daemon.signal(Signal::TERM);
    while let Some(mut known) = life.clients.pop() {
        known.client.expect_end();
        life.clients.push(known);
        life.ended(life.clients.len() - 1, "shutdown");
    }
    operator.expect_end();
    life.note(&shown, &format!("INFO {address} disconnected (shutdown)"));
    drop(operator);
    life.daemon.wait_for_success();

    let mut said: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for line in life.daemon.log().lines().map(parse) {
        if is_of_the_daemon(&line) {
            continue;
        }
        let addresses = life.account.keys();
        let of = addresses.filter(|of| {
            let of_operator = **of == shown && line.starts_with(&format!("INFO {address} "));
            of_operator
                || line
                    .split_once(' ')
                    .unwrap()
                    .1
                    .trim_start_matches("operator ")
                    .starts_with(&format!("{of} "))
        });
        let of =
            of.max_by_key(|of| of.len()).unwrap_or_else(|| panic!("nobody did this (seed {seed}): {line}"));
        said.entry(of.clone()).or_default().push(line);
    }
    for (of, account) in &life.account {
        let said = said.remove(of).unwrap_or_default();
        let missing: Vec<_> = account.iter().filter(|line| !said.contains(line)).collect();
        assert_eq!(
            &said, account,
            "what the log says of {of}, and what happened (seed {seed}); missing: {missing:#?}"
        );
    }
}

#[test]
fn every_line_of_text_is_accounted_for_and_none_is_missing() {
    (1..=3).for_each(|seed| adds_up(seed * 0x9e37_79b9, "text", of_text));
}

#[test]
fn every_line_of_json_is_accounted_for_with_its_fields() {
    (4..=6).for_each(|seed| adds_up(seed * 0x9e37_79b9, "json", of_json));
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Both at once: the log has been moved away, and the settings are wrong. The log is opened anew, and the error is in
/// the new file. The settings stay.
#[test]
fn wrong_settings_do_not_keep_a_moved_log_from_being_opened_anew() {
    let dir = TempDir::new().unwrap();
    let [config, log, old] = ["toml", "log", "log.1"].map(|name| dir.path().join(name));
    let write = |text: &str| {
        let whole = format!("log-file = \"{}\"\nwrite-timeout = \"7s\"\n{text}", log.display());
        std::fs::write(&config, whole).unwrap();
    };
    write("verbose = true\n");
    let mut command = support::program();
    let socket = dir.path().join("sock");
    command.args(["--port", "0", "--config"]).arg(&config).arg("--unix").arg(&socket);
    let daemon = Daemon::spawn(command, TempDir::new().unwrap());
    let wait_for = |text: &str| {
        poll(&format!("{text:?} in the log"), PATIENCE, || read(&log).contains(text).then_some(()));
    };
    wait_for("listening on unix");
    let mut client = Client::unix(&socket);
    assert_eq!(client.ask("g before"), "1 Lock Get Success: before");
    for wrong in ["max-locks = 0\n", "no-such-setting = 1\n", "verbose = \"perhaps\"\n", "not even TOML\n"] {
        std::fs::rename(&log, &old).unwrap();
        write(wrong);
        daemon.signal(Signal::HUP);
        wait_for("reloaded nothing, the settings are wrong: ");
        assert_eq!(client.ask("g after"), "1 Lock Get Success: after");
        assert_eq!(client.ask("r after"), "1 Lock Release Success: after");
        wait_for("got lock \"after\"");
        wait_for("released lock \"after\"");
        assert!(!read(&old).contains("reloaded nothing") || wrong != "max-locks = 0\n", "{}", read(&old));
        assert!(!read(&log).contains("got lock \"before\""), "{}", read(&log));
    }
    // Right again: nothing of what was wrong has been taken over.
    write("verbose = true\n");
    daemon.signal(Signal::HUP);
    wait_for("reloaded on SIGHUP, 0 settings changed");
}

/// The number of a limit in /proc: its soft or its hard value.
fn file_limits(pid: u32) -> (u64, u64) {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut words = line.split_whitespace().map(|word| word.parse().unwrap());
    (words.next().unwrap(), words.next().unwrap())
}

#[test]
fn the_soft_limit_of_files_is_raised_to_the_hard_one_and_the_hard_one_stays() {
    for (soft, hard) in [(256, 1000), (700, 700)] {
        let mut command = std::process::Command::new("sh");
        let limits = format!("ulimit -S -n {soft}; ulimit -H -n {hard}; exec \"$0\" \"$@\"");
        command.args(["-c", &limits, env!("CARGO_BIN_EXE_elockd")]);
        let daemon = Daemon::start_by(command, &["--max-connections", "400"]);
        assert_eq!(file_limits(daemon.pid()), (hard, hard), "started with {soft}");
        tell(format!("a limit of {soft} files, at most {hard}, became {:?}", file_limits(daemon.pid())));
    }
}
