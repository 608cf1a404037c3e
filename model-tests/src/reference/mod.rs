//! The reference model: a second lock machine, written only to be obviously right.
//!
//! It has one map from names to holders, one list of connections and one of waits. What there is now is counted when it
//! is asked for. After every input it looks for waits to grant in every line. It shares with core the types of inputs
//! and configuration, and [`Reason`]. It writes its own replies, and knows no codec and no storage. Keep it naive: a
//! trick here could hide the same mistake in the machine.

mod accounts;
mod deadlock;
mod figures;
mod linger;
mod listing;
#[cfg(test)]
mod tests;
mod waits;

pub use linger::Session;
pub use waits::{Wait, line_of, rival};

use crate::observe::Event;
use elockd_core::{
    Account, Accounts, Addr, Cause, Command, Config, Conn, Input, Kind, Limits, Now, Origin, Reason, Refusal,
    VerbSet,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use waits::word;

/// The lock machine, naively.
#[derive(Clone, Debug)]
pub struct Reference {
    config: Config,
    now: u64,
    /// The nodes that drain.
    draining: BTreeSet<u16>,
    /// The highest serial that each node has used.
    highest: BTreeMap<u16, u64>,
    /// The open connections, the longest idle first.
    open: Vec<Client>,
    /// The holders of each lock, in the order in which they got it. A name without holders is not in the map. A lock of
    /// readers and writers is under the kind of those who hold it.
    locks: BTreeMap<(Kind, Vec<u8>), Vec<Conn>>,
    /// The waits, in the order in which they began.
    waits: Vec<Wait>,
    /// The fencing token of each hold whose holder has asked for it.
    tokens: BTreeMap<(Kind, Vec<u8>, Conn), u64>,
    /// The fencing token to be given out next. Below: the last that may be given out.
    next_token: u64,
    last_token: u64,
    /// Registered names, the latest last.
    registered: Vec<(Conn, Vec<u8>)>,
    /// What open connections asked for with `linger`: a number, and a time in milliseconds.
    graces: BTreeMap<Conn, (Conn, u32)>,
    /// What accounts may have and see.
    table: Arc<Accounts>,
    /// What ended connections left, by when it is due.
    sessions: Vec<Session>,
    /// Counters that only go up, by their keys in `q full`.
    counts: BTreeMap<&'static str, u64>,
    /// How often each verb was answered with a failure.
    failures: BTreeMap<&'static str, u64>,
    /// When each hold began.
    since: BTreeMap<(Kind, Vec<u8>, Conn), u64>,
    /// How long each past hold lasted, in milliseconds.
    over: Vec<(Kind, u64)>,
    /// How long each past wait lasted, in milliseconds.
    waited: Vec<(Kind, u64)>,
    /// What could be counted when it is asked for, and is kept for speed: the account of each open connection, how many
    /// locks each holds, how many each account holds, how many bytes all locks take, and what they count for the
    /// limit of memory.
    accounts: BTreeMap<Conn, Account>,
    held: BTreeMap<Conn, usize>,
    held_by_account: BTreeMap<Account, usize>,
    bytes: u64,
    memory_of_locks: u64,
}

/// An open connection.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Its number.
    pub conn: Conn,
    /// Its origin.
    pub origin: Origin,
    /// When it opened, or last sent a command, or its last wait ended. Later by the lapses since.
    pub active: u64,
}

impl Reference {
    /// A reference model at its start.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            now: 0,
            draining: BTreeSet::new(),
            highest: BTreeMap::new(),
            open: Vec::new(),
            locks: BTreeMap::new(),
            waits: Vec::new(),
            tokens: BTreeMap::new(),
            next_token: 1,
            last_token: 0,
            registered: Vec::new(),
            graces: BTreeMap::new(),
            table: Arc::clone(&config.accounts),
            sessions: Vec::new(),
            counts: BTreeMap::new(),
            failures: BTreeMap::new(),
            since: BTreeMap::new(),
            over: Vec::new(),
            waited: Vec::new(),
            accounts: BTreeMap::new(),
            held: BTreeMap::new(),
            held_by_account: BTreeMap::new(),
            bytes: 0,
            memory_of_locks: 0,
            config,
        }
    }

    /// Applies one input and returns the outcome.
    pub fn apply(&mut self, now: Now, input: &Input<Command<Vec<u8>>>) -> Vec<Event> {
        let before = self.now;
        self.now = self.now.max(now.0);
        if let Input::Lapse { ms } = input {
            let lapsed = (self.now - before).min(*ms);
            self.open.iter_mut().for_each(|client| client.active += lapsed);
        }
        // What is due is done first, whatever the input is.
        let mut events = self.time_out();
        events.extend(self.expire(*input == Input::Tick));
        self.end_due_sessions();
        events.extend(self.grant());
        match input {
            Input::Opened(conn, origin) => events.extend(self.opened(*conn, *origin)),
            Input::Command(conn, command) if self.is_open(*conn) && !self.is_waiting(*conn) => {
                events.extend(self.command(*conn, command));
            }
            Input::Closed(conn, cause) if self.is_open(*conn) => {
                events.extend(self.hang_up(*conn, *cause));
                self.close(*conn, *cause);
            }
            Input::Command(..) | Input::Closed(..) => self.count("ignored_inputs"),
            Input::Tick | Input::Lapse { .. } => {}
            Input::Gone(node) => self.lose(*node),
            Input::Drain(node) => events.extend(self.drain(*node)),
            Input::Tokens { first, last } => self.reserve(*first, *last),
            Input::Accounts(table) => self.table = Arc::clone(table),
        }
        events.extend(self.grant());
        events
    }

    /// The open connections, the longest idle first.
    #[must_use]
    pub fn open(&self) -> &[Client] {
        &self.open
    }

    /// The highest serial that a node has used; 0 if none.
    #[must_use]
    pub fn highest(&self, node: u16) -> u64 {
        self.highest.get(&node).copied().unwrap_or(0)
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// The latest time seen.
    #[must_use]
    pub fn now(&self) -> Now {
        Now(self.now)
    }

    /// The nodes to whose connections nothing is granted any more.
    #[must_use]
    pub fn draining(&self) -> &BTreeSet<u16> {
        &self.draining
    }

    /// The holders of each lock, in the order in which they got it.
    #[must_use]
    pub fn locks(&self) -> &BTreeMap<(Kind, Vec<u8>), Vec<Conn>> {
        &self.locks
    }

    /// Who holds a lock, in the order in which they got it.
    #[must_use]
    pub fn holders(&self, kind: Kind, name: &[u8]) -> &[Conn] {
        self.locks.get(&(kind, name.to_vec())).map_or(&[], |holders| holders)
    }

    /// How long a holder has held a lock, in milliseconds. From 2^40 on it is counted from 0 again.
    #[must_use]
    pub fn held_ms(&self, kind: Kind, name: &[u8], holder: Conn) -> u64 {
        (self.now - self.since(kind, name, holder)) % (1 << 40)
    }

    /// When a holder got a lock.
    #[must_use]
    pub fn since(&self, kind: Kind, name: &[u8], holder: Conn) -> u64 {
        self.since[&(kind, name.to_vec(), holder)]
    }

    /// How long each past hold lasted, in milliseconds.
    #[must_use]
    pub fn over(&self) -> &[(Kind, u64)] {
        &self.over
    }

    /// Registered names, the latest last.
    #[must_use]
    pub fn registered(&self) -> &[(Conn, Vec<u8>)] {
        &self.registered
    }

    /// The fencing token of a hold, if its holder has asked for it.
    #[must_use]
    pub fn token(&self, kind: Kind, name: &[u8], holder: Conn) -> Option<u64> {
        self.tokens.get(&(kind, name.to_vec(), holder)).copied()
    }

    /// The next fencing token, if one is left. No token below it will be given out.
    #[must_use]
    pub fn next_token(&self) -> u64 {
        self.next_token
    }

    /// How many fencing tokens may still be given out.
    #[must_use]
    pub fn tokens_left(&self) -> u64 {
        (self.last_token + 1).saturating_sub(self.next_token)
    }

    /// When the next wait or the next session must end, or the next idle connection be closed.
    #[must_use]
    pub fn due(&self) -> Option<Now> {
        let limit = self.config.limits.idle_ms;
        let silent = self.open.iter().filter(|client| limit > 0 && !self.is_waiting(client.conn));
        let idle = silent.map(|client| client.active.saturating_add(limit));
        let sessions = self.sessions.iter().map(|session| session.due);
        idle.chain(self.waits.iter().map(|wait| wait.deadline)).chain(sessions).min().map(Now)
    }

    /// Ends the connections that were idle for too long, the longest idle first. If several hold too much together,
    /// only ticks do that: each ends as many as are not too much, or one. A connection counts as its holds and one
    /// more.
    fn expire(&mut self, is_tick: bool) -> Vec<Event> {
        let limit = self.config.limits.idle_ms;
        if limit == 0 {
            return Vec::new();
        }
        let is_due = |client: &&Client| !self.is_waiting(client.conn) && self.now - client.active >= limit;
        let mut due: Vec<Conn> = self.open.iter().filter(is_due).map(|client| client.conn).collect();
        let weight = |conn: &Conn| 1 + self.held.get(conn).copied().unwrap_or(0);
        let is_too_much =
            |due: &[Conn]| due.iter().map(weight).sum::<usize>() > self.config.limits.step_holds as usize;
        while due.len() > 1 && is_too_much(&due) {
            if !is_tick {
                return Vec::new();
            }
            due.pop();
        }
        for conn in &due {
            self.close(*conn, Cause::Idle);
        }
        due.into_iter().map(|conn| Event::Disconnected(conn, Reason::Idle, Vec::new())).collect()
    }

    fn opened(&mut self, conn: Conn, origin: Origin) -> Option<Event> {
        if self.highest.get(&conn.node()).is_some_and(|highest| *highest >= conn.serial()) {
            self.count("ignored_inputs");
            return None;
        }
        self.highest.insert(conn.node(), conn.serial());
        if self.has_no_connection_left(origin.account) {
            self.count("connections_refused");
            let last_line = b"0 Too Many Connections\n".to_vec();
            return Some(Event::Disconnected(conn, Reason::TooManyConnections, last_line));
        }
        let limit = self.config.limits.connections_per_address as usize;
        if limit > 0 && address(origin).is_some_and(|address| self.count_from(&address) >= limit) {
            self.count("address_refused");
            let last_line = b"0 Too Many Connections\n".to_vec();
            return Some(Event::Disconnected(conn, Reason::TooManyConnections, last_line));
        }
        self.count("connections_opened");
        self.open.push(Client { conn, origin, active: self.now });
        self.accounts.insert(conn, origin.account);
        self.note_peak("peak_connections", self.open.len());
        if let Some(address) = address(origin) {
            self.note_peak("peak_address_connections", self.count_from(&address));
        }
        self.note_memory();
        None
    }

    /// How many connections come from an address.
    fn count_from(&self, wanted: &str) -> usize {
        self.open.iter().filter(|client| address(client.origin).as_deref() == Some(wanted)).count()
    }

    fn close(&mut self, conn: Conn, cause: Cause) {
        if let Some(wait) = self.waits.iter().find(|wait| wait.conn == conn).cloned() {
            self.forget_wait(&wait);
        }
        if !self.leaves_a_session(conn, cause) {
            self.orphan(conn);
        }
        self.open.retain(|client| client.conn != conn);
        self.count(match cause {
            Cause::Eof => "closed_eof",
            Cause::Error => "closed_error",
            Cause::Stalled => "closed_stalled",
            Cause::Shutdown => "closed_shutdown",
            Cause::Quit => "closed_quit",
            Cause::Idle => "closed_idle",
            Cause::Kicked => "closed_kicked",
            Cause::Resumed => "closed_resumed",
            Cause::Refused => "closed_refused",
            Cause::NodeLost => "closed_node_lost",
        });
    }

    /// Ends all connections of a node.
    fn lose(&mut self, node: u16) {
        let mut lost: Vec<Conn> = self.open.iter().map(|client| client.conn).collect();
        lost.retain(|conn| conn.node() == node);
        lost.sort();
        for conn in lost {
            self.close(conn, Cause::NodeLost);
        }
        self.draining.remove(&node);
    }

    /// Ends all that a connection or a session holds, as orphans, and forgets its name.
    fn orphan(&mut self, conn: Conn) {
        for kind in Kind::ALL {
            let ended = self.end_holds(conn, kind);
            self.count_more(
                match kind {
                    Kind::Exclusive => "orphans",
                    Kind::Shared => "shared_orphans",
                    Kind::Read => "read_orphans",
                    Kind::Write => "write_orphans",
                },
                ended,
            );
        }
        self.held.remove(&conn);
        self.accounts.remove(&conn);
        self.registered.retain(|(of, _)| *of != conn);
    }

    /// Makes a connection a holder. It must not be one yet.
    fn hold(&mut self, conn: Conn, kind: Kind, name: &[u8]) {
        let before = self.bytes_of(kind, name);
        let memory_before = Self::memory_of_lock(name, self.holders(kind, name).len());
        self.locks.entry((kind, name.to_vec())).or_default().push(conn);
        self.since.insert((kind, name.to_vec(), conn), self.now);
        self.bytes += self.bytes_of(kind, name) - before;
        self.memory_of_locks += Self::memory_of_lock(name, self.holders(kind, name).len()) - memory_before;
        let account = self.accounts[&conn];
        *self.held_by_account.entry(account).or_default() += 1;
        let own = self.held.entry(conn).or_default();
        *own += 1;
        let own = *own;
        self.note_peaks(own, name);
    }

    /// Ends a hold.
    fn end_hold(&mut self, conn: Conn, kind: Kind, name: &[u8]) {
        self.over.push((kind, self.held_ms(kind, name, conn)));
        self.since.remove(&(kind, name.to_vec(), conn));
        self.tokens.remove(&(kind, name.to_vec(), conn));
        let before = self.bytes_of(kind, name);
        let memory_before = Self::memory_of_lock(name, self.holders(kind, name).len());
        let lock = (kind, name.to_vec());
        let holders = self.locks.get_mut(&lock).expect("it is held");
        holders.retain(|holder| *holder != conn);
        if holders.is_empty() {
            self.locks.remove(&lock);
        }
        for wait in self.waits.iter_mut().filter(|wait| wait.kind == kind && wait.name == name) {
            wait.still.iter_mut().for_each(|still| still.retain(|holder| *holder != conn));
        }
        self.bytes -= before - self.bytes_of(kind, name);
        self.memory_of_locks -= memory_before - Self::memory_of_lock(name, self.holders(kind, name).len());
        let account = self.accounts[&conn];
        *self.held_by_account.get_mut(&account).expect("it holds") -= 1;
        *self.held.get_mut(&conn).expect("it holds") -= 1;
    }

    /// Ends every hold that a connection has of a kind. Returns how many ended.
    fn end_holds(&mut self, conn: Conn, kind: Kind) -> u64 {
        let held = self.locks.iter().filter(|((of, _), holders)| *of == kind && holders.contains(&conn));
        let names: Vec<Vec<u8>> = held.map(|((_, name), _)| name.clone()).collect();
        for name in &names {
            self.end_hold(conn, kind, name);
        }
        names.len() as u64
    }

    /// Treats a connection as if it had just sent a command.
    fn touch(&mut self, conn: Conn) {
        let mut client = self.client(conn);
        client.active = self.now;
        let at = self.open.iter().rposition(|other| other.conn == conn).expect("it is open");
        self.open.remove(at);
        self.open.push(client);
    }

    fn command(&mut self, conn: Conn, command: &Command<Vec<u8>>) -> Vec<Event> {
        self.touch(conn);
        let (verb, name) = verb_and_name(command);
        // For these verbs an empty line ends the reply.
        let end = if ["d", "sd", "ls", "who", "q", "help"].contains(&verb) { "\n" } else { "" };
        if name.is_some_and(|name| name.len() > usize::from(self.config.limits.name_bytes)) {
            self.count("invalid_commands");
            return vec![Event::Sent(conn, format!("0 Name Too Long\n{end}").into_bytes())];
        }
        self.count(if verb.is_empty() { "invalid_commands" } else { verb });

        let client = self.client(conn);
        let is_operator = self.profile(conn).is_operator;
        let features = &self.config.features;
        let is_disabled = match verb {
            "d" | "sd" | "dump" => !features.dump,
            "ls" => !features.dump && !is_operator,
            "iam" => !features.registry,
            "who" => !features.dump || !features.registry,
            _ => false,
        };
        let mut closed = Vec::new();
        let text = match command {
            Command::Refused(_, Refusal::AuthRequired) => format!("0 Auth Required\n{end}").into_bytes(),
            Command::Refused(..) => format!("0 Not Allowed: {verb}\n{end}").into_bytes(),
            _ if is_disabled => format!("0 disabled\n{end}").into_bytes(),
            Command::Kick(_) | Command::Steal(..) if !is_operator => line("0 Not Allowed: ", verb.as_bytes()),
            Command::Get(wish) => match self.get(conn, wish) {
                Event::Sent(_, text) => text,
                other => return vec![other],
            },
            Command::AwaitEnd { kind, ms, name } => match self.wait_for_end(conn, *kind, *ms, name) {
                Event::Sent(_, text) => text,
                other => return vec![other],
            },
            Command::Release(kind, name) => self.release(conn, *kind, name),
            Command::ReleaseAll => self.release_all(conn),
            Command::Fence(kind, name) => self.fence(conn, *kind, name),
            Command::Inspect(kind, name) => self.inspect(*kind, name),
            Command::List(kind, name) => self.list(conn, *kind, name),
            Command::Dump(kind) => self.dump(conn, *kind),
            Command::ListAll(prefix) => self.list_all(conn, prefix),
            Command::Kick(addr) => {
                let (kicked, sessions) = self.kick(addr);
                let count = kicked.len() + sessions;
                closed.extend(kicked.into_iter().map(|conn| (conn, Reason::Kicked)));
                match count {
                    0 => line("0 Kick Failure: ", addr),
                    connections => line(&format!("{connections} Kick Success: "), addr),
                }
            }
            Command::Linger(ms) => self.linger(conn, *ms),
            Command::Resume(key) => {
                let (text, old) = self.resume(conn, key);
                closed.extend(old.map(|old| (old, Reason::Resumed)));
                text
            }
            Command::Steal(kind, name) => self.steal(*kind, name),
            Command::Me => {
                [b"1 ", client.origin.addr.to_string().as_bytes(), b" ", &self.name_of(conn), b"\n"].concat()
            }
            Command::Iam(name) => self.iam(conn, name),
            Command::Who(name) => self.who(conn, name),
            Command::Query { .. } if !self.profile(conn).all_figures => self.own_figures(conn),
            Command::Query { full } => self.figures(*full),
            Command::Auth(_) => line("0 Auth Failure", b""),
            Command::Login(account) => match self.login(conn, *account) {
                Event::Sent(_, text) => text,
                other => {
                    self.note_failure(verb, b"0 ");
                    return vec![other];
                }
            },
            Command::Ping => b"1 pong\n".to_vec(),
            Command::Help(verbs) => help(*verbs),
            Command::Quit => {
                self.close(conn, Cause::Quit);
                return vec![Event::Disconnected(conn, Reason::Quit, Vec::new())];
            }
            Command::BadArgument(verb) => line("0 Bad Argument: ", verb.word().as_bytes()),
            Command::Unknown(_) if features.silent_errors => return Vec::new(),
            Command::Unknown(verb) => line("0 Unknown Command: ", visible(verb).as_bytes()),
            Command::LineTooLong => line("0 Line Too Long", b""),
        };
        // Listings are left out: a line that begins with `0 ` may be one of their names.
        let is_listing = ["d", "sd", "dump", "ls", "who", "q", "help"].contains(&verb)
            && !is_disabled
            && !matches!(command, Command::Refused(..));
        if !verb.is_empty() && !is_listing {
            self.note_failure(verb, &text);
        }
        let closed = closed.into_iter().map(|(conn, reason)| Event::Disconnected(conn, reason, Vec::new()));
        [Event::Sent(conn, text)].into_iter().chain(closed).collect()
    }

    fn release(&mut self, conn: Conn, kind: Kind, name: &[u8]) -> Vec<u8> {
        let word = word(kind);
        if !self.holders(kind, name).contains(&conn) {
            return line(&format!("0 {word} Release Failure: "), name);
        }
        self.end_hold(conn, kind, name);
        line(&format!("1 {word} Release Success: "), name)
    }

    fn release_all(&mut self, conn: Conn) -> Vec<u8> {
        let mut released = 0;
        for (kind, key) in [
            (Kind::Exclusive, "released_together"),
            (Kind::Shared, "shared_released_together"),
            (Kind::Read, "read_released_together"),
            (Kind::Write, "write_released_together"),
        ] {
            let ended = self.end_holds(conn, kind);
            self.count_more(key, ended);
            released += ended;
        }
        line(&format!("{released} Locks Released"), b"")
    }

    /// Adds fencing tokens. What is left of the tokens before is used first, unless there is a gap behind it.
    fn reserve(&mut self, first: u64, last: u64) {
        let last = last.min((1 << 53) - 1);
        if last > self.last_token && last >= first {
            let is_gap = first > self.last_token + 1;
            self.next_token = if is_gap { first } else { self.next_token };
            self.last_token = last;
        }
    }

    fn fence(&mut self, conn: Conn, kind: Kind, name: &[u8]) -> Vec<u8> {
        let word = word(kind);
        if !self.holders(kind, name).contains(&conn) {
            return line(&format!("0 {word} Not Held: "), name);
        }
        let hold = (kind, name.to_vec(), conn);
        if !self.tokens.contains_key(&hold) {
            if self.tokens_left() == 0 {
                return line("0 No Tokens", b"");
            }
            self.tokens.insert(hold.clone(), self.next_token);
            self.next_token += 1;
            self.count("tokens_given");
        }
        line(&format!("{} {word} Fence: ", self.tokens[&hold]), name)
    }

    /// Closes every connection whose address prints so or that is registered so, in the order of their numbers. Ends
    /// the sessions too whose address prints so, or that have this name. Returns the connections, and how many
    /// sessions.
    fn kick(&mut self, wanted: &[u8]) -> (Vec<Conn>, usize) {
        let is_there = |client: &Client| client.origin.addr.to_string().as_bytes() == wanted;
        let is_called = |client: &Client| self.called(client.conn) == Some(wanted);
        let is_it = |client: &&Client| is_there(client) || is_called(client);
        let mut kicked: Vec<Conn> = self.open.iter().filter(is_it).map(|client| client.conn).collect();
        kicked.sort();
        let sessions = self.kick_sessions(wanted);
        for conn in &kicked {
            self.close(*conn, Cause::Kicked);
        }
        (kicked, sessions)
    }

    fn steal(&mut self, kind: Kind, name: &[u8]) -> Vec<u8> {
        let word = word(kind);
        let Some(holder) = self.holders(kind, name).first().copied() else {
            return line(&format!("0 {word} Steal Failure: "), name);
        };
        self.end_hold(holder, kind, name);
        line(&format!("1 {word} Steal Success: "), name)
    }

    fn inspect(&self, kind: Kind, name: &[u8]) -> Vec<u8> {
        let word = word(kind);
        match self.holders(kind, name).len() {
            0 => line(&format!("0 {word} Not Locked: "), name),
            holders => line(&format!("{holders} {word} Is Locked: "), name),
        }
    }

    fn iam(&mut self, conn: Conn, name: &[u8]) -> Vec<u8> {
        let old = self.called(conn).map_or(0, memory_of_registration);
        let new = if name.is_empty() { 0 } else { memory_of_registration(name) };
        if new > old && !(self.has_memory(new - old) && self.account_has_memory(conn, new - old)) {
            return line("0 Out Of Memory: ", name);
        }
        self.registered.retain(|(of, _)| *of != conn);
        if !name.is_empty() {
            self.registered.push((conn, name.to_vec()));
        }
        self.note_memory();
        line("1 ok", b"")
    }

    /// Whether a connection is open.
    #[must_use]
    pub fn is_open(&self, conn: Conn) -> bool {
        self.open.iter().rev().any(|client| client.conn == conn)
    }

    /// A connection. Searched from the one that spoke last: it is mostly that one.
    fn client(&self, conn: Conn) -> Client {
        *self.open.iter().rev().find(|client| client.conn == conn).expect("it is open")
    }
}

/// What a registered name counts for the limit of memory.
fn memory_of_registration(name: &[u8]) -> u64 {
    64 + name.len() as u64
}

/// The address that a connection counts for, if it counts for one. Of IPv6 only the first four groups count.
fn address(origin: Origin) -> Option<String> {
    match origin.addr {
        Addr::Ip(_) if origin.account == Account::ADMIN => None,
        Addr::Ip(addr) => Some(match addr.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) => ip.to_string(),
                None => format!("{:x?}", &ip.segments()[..4]),
            },
        }),
        Addr::Unix(_) => None,
    }
}

/// The verb that a command is counted under, or an empty one. Also its name, which the limit applies to.
fn verb_and_name(command: &Command<Vec<u8>>) -> (&'static str, Option<&[u8]>) {
    match command {
        Command::Get(wish) => (wish.verb().word(), Some(wish.name())),
        Command::AwaitEnd { kind: Kind::Exclusive | Kind::Write, name, .. } => ("iw", Some(name)),
        Command::AwaitEnd { kind: Kind::Shared | Kind::Read, name, .. } => ("siw", Some(name)),
        Command::Release(Kind::Exclusive, name) => ("r", Some(name)),
        Command::Release(Kind::Shared, name) => ("sr", Some(name)),
        Command::Release(Kind::Read, name) => ("rr", Some(name)),
        Command::Release(Kind::Write, name) => ("wr", Some(name)),
        Command::ReleaseAll => ("ra", None),
        Command::Fence(Kind::Exclusive, name) => ("f", Some(name)),
        Command::Fence(Kind::Shared, name) => ("sf", Some(name)),
        Command::Fence(Kind::Read, name) => ("rf", Some(name)),
        Command::Fence(Kind::Write, name) => ("wf", Some(name)),
        Command::Inspect(Kind::Exclusive, name) => ("i", Some(name)),
        Command::Inspect(Kind::Shared, name) => ("si", Some(name)),
        Command::Inspect(Kind::Read, name) => ("ri", Some(name)),
        Command::Inspect(Kind::Write, name) => ("wi", Some(name)),
        Command::List(Kind::Exclusive | Kind::Write, name) => ("d", Some(name)),
        Command::List(Kind::Shared | Kind::Read, name) => ("sd", Some(name)),
        Command::Dump(_) => ("dump", None),
        Command::ListAll(prefix) => ("ls", Some(prefix)),
        Command::Kick(addr) => ("kick", Some(addr)),
        Command::Linger(_) => ("linger", None),
        Command::Resume(_) => ("resume", None),
        Command::Steal(Kind::Exclusive | Kind::Shared, name) => ("steal", Some(name)),
        Command::Steal(Kind::Read | Kind::Write, name) => ("wsteal", Some(name)),
        Command::Me => ("me", None),
        Command::Iam(name) => ("iam", Some(name)),
        Command::Who(name) => ("who", Some(name)),
        Command::Query { .. } => ("q", None),
        Command::Ping => ("ping", None),
        Command::Auth(_) | Command::Login(_) => ("auth", None),
        Command::Refused(verb, _) => (verb.word(), None),
        Command::Help(_) => ("help", None),
        Command::Quit => ("quit", None),
        Command::BadArgument(_) | Command::Unknown(_) | Command::LineTooLong => ("", None),
    }
}

/// The wording of help decides nothing, so it is taken from core.
fn help(verbs: VerbSet) -> Vec<u8> {
    let lines: Vec<_> = verbs.iter().map(|verb| format!("{}\n", verb.help())).collect();
    line(&lines.concat(), b"")
}

/// An unknown verb for people: of long ones the first 256 bytes. One that looks like that already stays so.
fn visible(verb: &[u8]) -> String {
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    let is_cut = verb.ends_with(b"...") && verb.len() <= 256 + 3;
    if verb.iter().all(|byte| is_plain(*byte)) && (verb.len() <= 256 || is_cut) {
        return verb.iter().map(|byte| char::from(*byte)).collect();
    }
    let symbols = verb.iter().map(|byte| match *byte {
        byte if is_plain(byte) => char::from(byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    });
    let mut text = String::new();
    for symbol in symbols {
        if text.len() + symbol.len() > 256 {
            return text + "...";
        }
        text += &symbol;
    }
    text
}

fn line(text: &str, name: &[u8]) -> Vec<u8> {
    [text.as_bytes(), name, b"\n"].concat()
}
