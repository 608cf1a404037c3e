//! The reference model: the lock machine a second time, written to be obviously right and nothing else.
//!
//! One map from names to holders, one list of connections; every count is counted anew when it is asked
//! for. It shares with core the types of inputs and configuration, and of what comes out no more than
//! [`Reason`]: it writes its own text, and knows neither codec nor storage. Keep it naive. A trick in
//! here could hide the same mistake in there.

use crate::observe::Event;
use elockd_core::{Cause, Command, Config, Conn, Input, Kind, Now, Origin, Reason, Verb};
use std::collections::BTreeMap;

/// The lock machine, naively.
#[derive(Clone, Debug)]
pub struct Reference {
    config: Config,
    now: u64,
    draining: bool,
    /// The highest connection number seen.
    highest: Option<Conn>,
    /// The open connections, the longest silent first.
    open: Vec<Client>,
    /// Who holds what, in the order in which they got it. A name without holders is not in it.
    locks: BTreeMap<(Kind, Vec<u8>), Vec<Conn>>,
    /// Registered names, the latest last.
    registered: Vec<(Conn, Vec<u8>)>,
    /// What only ever goes up, by its key in `q full`.
    counts: BTreeMap<&'static str, u64>,
    /// How often each verb was answered with a failure.
    failures: BTreeMap<&'static str, u64>,
    /// Since when each holder holds each lock, also a lock that it held before.
    since: BTreeMap<(Kind, Vec<u8>, Conn), u64>,
    /// How long each hold lasted that is over, in milliseconds.
    over: Vec<(Kind, u64)>,
}

/// An open connection.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Its number.
    pub conn: Conn,
    /// Where it comes from.
    pub origin: Origin,
    /// When it last said something, or opened.
    pub active: u64,
}

impl Reference {
    /// A reference model at its start.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            now: 0,
            draining: false,
            highest: None,
            open: Vec::new(),
            locks: BTreeMap::new(),
            registered: Vec::new(),
            counts: BTreeMap::new(),
            failures: BTreeMap::new(),
            since: BTreeMap::new(),
            over: Vec::new(),
        }
    }

    /// Applies one input and says what comes of it.
    pub fn apply(&mut self, now: Now, input: &Input<Vec<u8>>) -> Vec<Event> {
        self.now = self.now.max(now.0);
        let mut events = self.expire();
        match input {
            Input::Opened(conn, origin) => events.extend(self.opened(*conn, *origin)),
            Input::Command(conn, command) if self.is_open(*conn) => {
                events.extend(self.command(*conn, command));
            }
            Input::Closed(conn, cause) if self.is_open(*conn) => self.close(*conn, *cause),
            Input::Command(..) | Input::Closed(..) => self.count("ignored_inputs"),
            Input::Tick => {}
            Input::Drain => self.draining = true,
        }
        self.note_peak("peak_connections", self.open.len());
        self.note_peak("peak_holds", self.holds(|_, _| true));
        self.note_peak("peak_lock_bytes", self.lock_bytes() as usize);
        for conn in self.open.clone().iter().map(|client| client.conn) {
            self.note_peak("peak_connection_holds", self.holds(|_, holder| holder == conn));
        }
        for name in self.locks.clone().keys().map(|(_, name)| name) {
            self.note_peak("peak_name_bytes", name.len());
        }
        events
    }

    /// The open connections, the longest silent first.
    #[must_use]
    pub fn open(&self) -> &[Client] {
        &self.open
    }

    /// The highest connection number seen.
    #[must_use]
    pub fn highest(&self) -> Option<Conn> {
        self.highest
    }

    /// The latest time seen.
    #[must_use]
    pub fn now(&self) -> Now {
        Now(self.now)
    }

    /// Whether nothing is granted any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Everything that is held, and by whom, in the order in which they got it.
    #[must_use]
    pub fn locks(&self) -> &BTreeMap<(Kind, Vec<u8>), Vec<Conn>> {
        &self.locks
    }

    /// Who holds a lock, in the order in which they got it.
    #[must_use]
    pub fn holders(&self, kind: Kind, name: &[u8]) -> &[Conn] {
        self.locks.get(&(kind, name.to_vec())).map_or(&[], |holders| holders)
    }

    /// How long a holder has held a lock, in milliseconds; from 2^40 on it is counted from 0 again.
    #[must_use]
    pub fn held_ms(&self, kind: Kind, name: &[u8], holder: Conn) -> u64 {
        (self.now - self.since[&(kind, name.to_vec(), holder)]) % (1 << 40)
    }

    /// How long each hold lasted that is over, in milliseconds.
    #[must_use]
    pub fn over(&self) -> &[(Kind, u64)] {
        &self.over
    }

    /// Registered names, the latest last.
    #[must_use]
    pub fn registered(&self) -> &[(Conn, Vec<u8>)] {
        &self.registered
    }

    /// When the connection that is silent longest is due to be closed for it.
    #[must_use]
    pub fn idle_due(&self) -> Option<Now> {
        let limit = self.config.limits.idle_ms;
        self.open.first().filter(|_| limit > 0).map(|client| Now(client.active.saturating_add(limit)))
    }

    /// Ends the connections that were silent for too long.
    fn expire(&mut self) -> Vec<Event> {
        let limit = self.config.limits.idle_ms;
        let is_due = |client: &&Client| limit > 0 && self.now - client.active >= limit;
        let due: Vec<Conn> = self.open.iter().filter(is_due).map(|client| client.conn).collect();
        for conn in &due {
            self.close(*conn, Cause::Idle);
        }
        due.into_iter().map(|conn| Event::Disconnected(conn, Reason::Idle, Vec::new())).collect()
    }

    fn opened(&mut self, conn: Conn, origin: Origin) -> Option<Event> {
        if self.highest >= Some(conn) {
            self.count("ignored_inputs");
            return None;
        }
        self.highest = Some(conn);
        let others = self.open.iter().filter(|client| client.origin.account == origin.account).count();
        if others >= self.config.limits.connections as usize {
            self.count("connections_refused");
            let last_line = b"0 Too Many Connections\n".to_vec();
            return Some(Event::Disconnected(conn, Reason::TooManyConnections, last_line));
        }
        self.count("connections_opened");
        self.open.push(Client { conn, origin, active: self.now });
        None
    }

    fn close(&mut self, conn: Conn, cause: Cause) {
        for ((kind, name), holders) in &self.locks {
            if holders.contains(&conn) {
                self.over.push((*kind, self.held_ms(*kind, name, conn)));
                *self
                    .counts
                    .entry(if *kind == Kind::Exclusive { "orphans" } else { "shared_orphans" })
                    .or_default() += 1;
            }
        }
        for holders in self.locks.values_mut() {
            holders.retain(|holder| *holder != conn);
        }
        self.locks.retain(|_, holders| !holders.is_empty());
        self.registered.retain(|(of, _)| *of != conn);
        self.open.retain(|client| client.conn != conn);
        self.count(match cause {
            Cause::Eof => "closed_eof",
            Cause::Error => "closed_error",
            Cause::Stalled => "closed_stalled",
            Cause::Shutdown => "closed_shutdown",
            Cause::Quit => "closed_quit",
            Cause::Idle => "closed_idle",
        });
    }

    fn command(&mut self, conn: Conn, command: &Command<Vec<u8>>) -> Option<Event> {
        let mut client = self.client(conn);
        client.active = self.now;
        self.open.retain(|other| other.conn != conn);
        self.open.push(client);

        let (verb, name) = verb_and_name(command);
        // After these an empty line ends the reply.
        let end = if ["d", "sd", "who", "q", "help"].contains(&verb) { "\n" } else { "" };
        if name.is_some_and(|name| name.len() > usize::from(self.config.limits.name_bytes)) {
            self.count("invalid_commands");
            return Some(Event::Sent(conn, format!("0 Name Too Long\n{end}").into_bytes()));
        }
        self.count(if verb.is_empty() { "invalid_commands" } else { verb });

        let features = &self.config.features;
        let is_disabled = match verb {
            "d" | "sd" | "dump" => !features.dump,
            "iam" => !features.registry,
            "who" => !features.dump || !features.registry,
            _ => false,
        };
        if is_disabled {
            *self.failures.entry(verb).or_default() += 1;
            return Some(Event::Sent(conn, format!("0 disabled\n{end}").into_bytes()));
        }
        let text = match command {
            Command::Get(kind, name) => self.get(conn, *kind, name),
            Command::Release(kind, name) => self.release(conn, *kind, name),
            Command::Inspect(kind, name) => self.inspect(*kind, name),
            Command::List(kind, name) => self.list(*kind, name),
            Command::Dump(kind) => self.dump(*kind),
            Command::Me => {
                [b"1 ", client.origin.addr.to_string().as_bytes(), b" ", &self.name_of(conn), b"\n"].concat()
            }
            Command::Iam(name) => self.iam(conn, name),
            Command::Who(name) => self.who(name),
            Command::Query { full } => self.figures(*full),
            Command::Ping => b"1 pong\n".to_vec(),
            Command::Help => help(),
            Command::Quit => {
                self.close(conn, Cause::Quit);
                return Some(Event::Disconnected(conn, Reason::Quit, Vec::new()));
            }
            Command::Unknown(_) if features.silent_errors => return None,
            Command::Unknown(verb) => line("0 Unknown Command: ", verb),
            Command::LineTooLong => line("0 Line Too Long", b""),
        };
        if ["g", "sg", "i", "si", "r", "sr"].contains(&verb) && text.starts_with(b"0 ") {
            *self.failures.entry(verb).or_default() += 1;
        }
        Some(Event::Sent(conn, text))
    }

    fn get(&mut self, conn: Conn, kind: Kind, name: &[u8]) -> Vec<u8> {
        if self.draining {
            return line("0 Shutting Down", b"");
        }
        if !self.holders(kind, name).contains(&conn) {
            let account = self.client(conn).origin.account;
            let own = self.holds(|_, holder| holder == conn);
            let in_account = self.holds(|_, holder| self.client(holder).origin.account == account);
            let limits = &self.config.limits;
            if own >= limits.locks_per_connection as usize || in_account >= limits.locks as usize {
                self.count("locks_refused");
                return line("0 Too Many Locks: ", name);
            }
            if kind == Kind::Exclusive && !self.holders(kind, name).is_empty() {
                return line("0 Lock Get Failure: ", name);
            }
            self.locks.entry((kind, name.to_vec())).or_default().push(conn);
            self.since.insert((kind, name.to_vec(), conn), self.now);
        }
        match (kind, self.holders(kind, name).len()) {
            (Kind::Exclusive, _) => line("1 Lock Get Success: ", name),
            (Kind::Shared, holders) => line(&format!("{holders} Shared Lock Get Success: "), name),
        }
    }

    fn release(&mut self, conn: Conn, kind: Kind, name: &[u8]) -> Vec<u8> {
        let was_holder = self.holders(kind, name).contains(&conn);
        if was_holder {
            self.over.push((kind, self.held_ms(kind, name, conn)));
        }
        if let Some(holders) = self.locks.get_mut(&(kind, name.to_vec())) {
            holders.retain(|holder| *holder != conn);
        }
        self.locks.retain(|_, holders| !holders.is_empty());
        match (kind, was_holder) {
            (Kind::Exclusive, true) => line("1 Lock Release Success: ", name),
            (Kind::Exclusive, false) => line("0 Lock Release Failure: ", name),
            (Kind::Shared, true) => line("1 Shared Lock Release Success: ", name),
            (Kind::Shared, false) => line("0 Shared Lock Release Failure: ", name),
        }
    }

    fn inspect(&self, kind: Kind, name: &[u8]) -> Vec<u8> {
        match (kind, self.holders(kind, name).len()) {
            (Kind::Exclusive, 0) => line("0 Lock Not Locked: ", name),
            (Kind::Exclusive, _) => line("1 Lock Is Locked: ", name),
            (Kind::Shared, 0) => line("0 Shared Lock Not Locked: ", name),
            (Kind::Shared, holders) => line(&format!("{holders} Shared Lock Is Locked: "), name),
        }
    }

    fn list(&self, kind: Kind, only: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for ((of, name), holders) in &self.locks {
            if *of == kind && (only.is_empty() || only == name) {
                for holder in holders {
                    text.extend([name, &b": "[..], &self.name_of(*holder), b"\n"].concat());
                }
            }
        }
        text.extend(b"\n");
        text
    }

    fn dump(&self, kind: Kind) -> Vec<u8> {
        let mut locks = Vec::new();
        for ((of, name), holders) in &self.locks {
            if *of == kind {
                let addrs: Vec<String> =
                    holders.iter().map(|holder| self.client(*holder).origin.addr.to_string()).collect();
                let addrs = addrs.join(" ");
                let holders = if kind == Kind::Shared { format!("[{addrs}]") } else { addrs };
                locks.push([name, &b":"[..], holders.as_bytes()].concat());
            }
        }
        [b"map[", &locks.join(&b' ')[..], b"]\n"].concat()
    }

    fn iam(&mut self, conn: Conn, name: &[u8]) -> Vec<u8> {
        self.registered.retain(|(of, _)| *of != conn);
        if !name.is_empty() {
            self.registered.push((conn, name.to_vec()));
        }
        line("1 ok", b"")
    }

    fn who(&self, only: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for (conn, name) in &self.registered {
            if only.is_empty() || only == name {
                text.extend(line(&format!("{}: ", self.client(*conn).origin.addr), name));
            }
        }
        text.extend(b"\n");
        text
    }

    fn figures(&self, full: bool) -> Vec<u8> {
        let count = |key| self.counts.get(key).copied().unwrap_or(0);
        let names = |kind| self.locks.keys().filter(|(of, _)| *of == kind).count() as u64;
        let holds = |kind| self.holds(|of, _| of == kind) as u64;
        let mut figures: BTreeMap<String, String> = BTreeMap::new();
        let mut number = |key: &str, value: u64| figures.insert(key.to_owned(), value.to_string());
        for verb in ["d", "dump", "g", "i", "q", "r", "sd", "sg", "si", "sr"] {
            number(&format!("command_{verb}"), count(verb));
        }
        for verb in ["help", "iam", "me", "ping", "quit", "who"] {
            if count(verb) > 0 {
                number(&format!("command_{verb}"), count(verb));
            }
        }
        number("connections", self.open.len() as u64);
        number("locks", names(Kind::Exclusive));
        number("shared_locks", names(Kind::Shared));
        for key in ["invalid_commands", "orphans", "shared_orphans"] {
            number(key, count(key));
        }
        if full {
            for verb in ["d", "dump", "g", "i", "q", "r", "sd", "sg", "si", "sr"] {
                number(&format!("failed_{verb}"), self.failures.get(verb).copied().unwrap_or(0));
            }
            for verb in ["help", "iam", "me", "ping", "quit", "who"] {
                if count(verb) > 0 {
                    number(&format!("failed_{verb}"), self.failures.get(verb).copied().unwrap_or(0));
                }
            }
            for key in [
                "closed_eof",
                "closed_error",
                "closed_idle",
                "closed_quit",
                "closed_shutdown",
                "closed_stalled",
                "connections_opened",
                "connections_refused",
                "ignored_inputs",
                "locks_refused",
                "peak_connection_holds",
                "peak_connections",
                "peak_holds",
                "peak_lock_bytes",
                "peak_name_bytes",
            ] {
                number(key, count(key));
            }
            number("holds", holds(Kind::Exclusive));
            number("shared_holds", holds(Kind::Shared));
            number("limit_connections", self.config.limits.connections.into());
            number("limit_idle_ms", self.config.limits.idle_ms);
            number("limit_locks", self.config.limits.locks.into());
            number("limit_locks_per_connection", self.config.limits.locks_per_connection.into());
            number("limit_name_bytes", self.config.limits.name_bytes.into());
            number("lock_bytes", self.lock_bytes());
            number("pid", self.config.identity.pid.into());
            number("uptime_ms", self.now);
            figures.insert("version".to_owned(), self.config.identity.version.clone());
        }
        let lines: Vec<_> = figures.into_iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        line(&lines.concat(), b"")
    }

    /// What the locks take, by the rule that operators are given: 48 bytes a name, 40 for each holder
    /// after its first, and the name itself where it is longer than 29 bytes.
    fn lock_bytes(&self) -> u64 {
        let of_lock = |name: &[u8], holders: usize| {
            48 + 40 * (holders as u64 - 1) + if name.len() > 29 { name.len() as u64 } else { 0 }
        };
        self.locks.iter().map(|((_, name), holders)| of_lock(name, holders.len())).sum()
    }

    fn is_open(&self, conn: Conn) -> bool {
        self.open.iter().any(|client| client.conn == conn)
    }

    fn client(&self, conn: Conn) -> Client {
        *self.open.iter().find(|client| client.conn == conn).expect("it is open")
    }

    /// Its registered name, else its address.
    fn name_of(&self, conn: Conn) -> Vec<u8> {
        match self.registered.iter().find(|(of, _)| *of == conn) {
            Some((_, name)) => name.clone(),
            None => self.client(conn).origin.addr.to_string().into_bytes(),
        }
    }

    /// How many holds there are of those that are wanted.
    fn holds(&self, is_wanted: impl Fn(Kind, Conn) -> bool) -> usize {
        let all =
            self.locks.iter().flat_map(|((kind, _), holders)| holders.iter().map(|holder| (*kind, *holder)));
        all.filter(|(kind, holder)| is_wanted(*kind, *holder)).count()
    }

    fn count(&mut self, key: &'static str) {
        *self.counts.entry(key).or_default() += 1;
    }

    fn note_peak(&mut self, key: &'static str, value: usize) {
        let peak = self.counts.entry(key).or_default();
        *peak = (*peak).max(value as u64);
    }
}

/// The verb that a command is counted under, empty for none, and the name that it carries, which has to
/// be within the limit.
fn verb_and_name(command: &Command<Vec<u8>>) -> (&'static str, Option<&[u8]>) {
    match command {
        Command::Get(Kind::Exclusive, name) => ("g", Some(name)),
        Command::Get(Kind::Shared, name) => ("sg", Some(name)),
        Command::Release(Kind::Exclusive, name) => ("r", Some(name)),
        Command::Release(Kind::Shared, name) => ("sr", Some(name)),
        Command::Inspect(Kind::Exclusive, name) => ("i", Some(name)),
        Command::Inspect(Kind::Shared, name) => ("si", Some(name)),
        Command::List(Kind::Exclusive, name) => ("d", Some(name)),
        Command::List(Kind::Shared, name) => ("sd", Some(name)),
        Command::Dump(_) => ("dump", None),
        Command::Me => ("me", None),
        Command::Iam(name) => ("iam", Some(name)),
        Command::Who(name) => ("who", Some(name)),
        Command::Query { .. } => ("q", None),
        Command::Ping => ("ping", None),
        Command::Help => ("help", None),
        Command::Quit => ("quit", None),
        Command::Unknown(_) | Command::LineTooLong => ("", None),
    }
}

/// Its wording is no decision, so it is taken from core.
fn help() -> Vec<u8> {
    let lines: Vec<_> = Verb::ALL.iter().map(|verb| format!("{}\n", verb.help())).collect();
    line(&lines.concat(), b"")
}

fn line(text: &str, name: &[u8]) -> Vec<u8> {
    [text.as_bytes(), name, b"\n"].concat()
}
