//! How a sequence goes on. The next input is random, but depends on the state that the inputs before have led to.

use super::rng::Rng;
use super::tables::{ACCOUNTS, table};
use super::{Step, origin};
use crate::observe::Event;
use crate::reference::{Reference, line_of, rival};
use elockd_core::{
    Account, Accounts, Cause, Command, Config, Conn, Input, Kind, Now, Origin, Refusal, Verb, VerbSet, Wish,
};
use std::sync::Arc;

/// Names and their weights. The long ones have the length that just fits a slot, one more, and the limit. `TOO_LONG` is
/// one over the limit.
const NAMES: [(&[u8], u32); 11] = [
    (b"a", 12),
    (b"b", 12),
    (b"c", 8),
    (b"d", 8),
    (b"e", 5),
    (b"", 2),
    (b"two words", 2),
    (b"\xff\x00\xfe", 1),
    (b"29-bytes-just-fit-into-a-slot", 2),
    (b"30-bytes-are-too-many-for-slot", 3),
    (b"forty-bytes-are-the-limit-of-every-case-", 2),
];
const TOO_LONG: &[u8] = b"forty-one-bytes-are-over-the-limit-of-all";

/// The nodes of a case. Half of the cases have a single daemon.
const NODES: [&[u16]; 6] = [&[0], &[0], &[0], &[1, 2], &[0, u16::MAX], &[1, 2, 3]];

/// A sequence in the making.
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub(super) struct Course {
    /// The state after the inputs so far.
    reference: Reference,
    /// How many connections it tries to keep open.
    connections: u64,
    /// The last serial given to a connection. Nodes share the count, so that each has gaps.
    serial: u64,
    /// The nodes that connections come to: a single daemon, or several.
    nodes: &'static [u16],
    accounts: u64,
    /// Whether there is a table of accounts, and connections log in.
    logs_in: bool,
    /// Whether some connections are operators'.
    has_operators: bool,
    /// In a crowd, how many names there are. These are so few that connections are always in each other's way, and most
    /// commands are about that.
    crowd: Option<u64>,
    /// Whether many commands are about registered names.
    registers: bool,
    /// Tenths of waits that are for exclusive locks. The rest are for shared ones.
    exclusive: u64,
    /// Whether half of the waits are for readers and writers.
    reads: bool,
    /// Percentage of gets that have a limit or wait.
    waits: u64,
    /// Percentage of inputs that come at the time of the one before.
    standstill: u64,
    /// Percentage of commands that release something.
    releases: u64,
    /// Whether many commands ask for grace, or resume.
    lingers: bool,
    drain_at: Option<u64>,
}

impl Course {
    pub(super) fn new(rng: &mut Rng, config: Config, length: u64) -> Self {
        let most = u64::from(config.limits.connections);
        let logs_in = *config.accounts != Accounts::default();
        let crowd = (rng.below(2) == 0).then(|| 1 + rng.below(3));
        Self {
            connections: most.min(4 + rng.below(3)),
            serial: 0,
            nodes: NODES[rng.below(NODES.len() as u64) as usize],
            // With a short idle limit, connections could do nothing if time passed fast.
            standstill: match config.limits.idle_ms {
                2 => 88,
                _ if crowd.is_some() => 80,
                _ => 60,
            },
            reference: Reference::new(config),
            accounts: if logs_in { ACCOUNTS.into() } else { 1 + rng.below(4) / 3 },
            logs_in,
            has_operators: rng.below(2) == 0,
            crowd,
            registers: rng.below(4) == 0,
            exclusive: [0, 3, 4, 9][rng.below(4) as usize],
            reads: rng.below(4) == 0,
            waits: [0, 30, 60, 85][rng.below(4) as usize],
            releases: [3, 10, 25][rng.below(3) as usize],
            lingers: rng.below(3) == 0,
            drain_at: (rng.below(6) == 0).then(|| rng.below(length)),
        }
    }

    pub(super) fn step(&mut self, rng: &mut Rng, at: u64) -> Step {
        let now = self.time(rng);
        // A tick would use up the time that was a lapse.
        let lapse = (rng.below(40) == 0).then(|| Input::Lapse { ms: self.lapse(rng, now) });
        let input = lapse.unwrap_or_else(|| {
            // Connections that are idle for too long are gone before the input comes.
            self.reference.apply(now, &Input::Tick);
            if self.drain_at == Some(at) { Input::Drain(self.node(rng)) } else { self.input(rng) }
        });
        self.reference.apply(now, &input);
        Step { now, input }
    }

    fn time(&self, rng: &mut Rng) -> Now {
        let Now(last) = self.reference.now();
        Now(match rng.below(100) {
            rest if rest < self.standstill => last,
            ..92 => last.saturating_add(1 + rng.below(3)),
            92..96 => last.saturating_sub(rng.below(5)),
            96..99 => last.saturating_add(rng.below(40)),
            _ if rng.below(20) == 0 => u64::MAX - rng.below(60),
            _ => last.saturating_add(1_000_000),
        })
    }

    /// The length of a lapse: all of the time that passed, or some, or more, or any.
    fn lapse(&self, rng: &mut Rng, now: Now) -> u64 {
        let passed = now.0.saturating_sub(self.reference.now().0);
        match rng.below(8) {
            0..4 => passed,
            4 => passed / 2,
            5 => passed.saturating_add(1 + rng.below(3)),
            6 => rng.below(4),
            _ => u64::MAX,
        }
    }

    fn input(&mut self, rng: &mut Rng) -> Input<Command<Vec<u8>>> {
        let is_lonely = (self.reference.open().len() as u64) < self.connections;
        if self.nodes.len() > 1 {
            match rng.below(120) {
                0 => return Input::Drain(self.node(rng)),
                1..25 if let Some(node) = self.node_in_the_way() => return Input::Drain(node),
                25..28 => return Input::Gone(self.node(rng)),
                _ => {}
            }
        }
        match rng.below(100) {
            0..4 => Input::Tick,
            4 => self.tokens(rng),
            5..9 => Input::Closed(self.any_conn(rng), cause(rng)),
            9 if self.logs_in && rng.below(3) == 0 => Input::Accounts(Arc::new(table(rng))),
            9..11 => Input::Closed(self.greediest(), cause(rng)),
            11 => Input::Opened(self.old_conn(rng), self.origin(rng, self.serial + 1)),
            12 => self.open(rng),
            13..40 if is_lonely => self.open(rng),
            40..90 if self.reference.open().is_empty() => self.open(rng),
            _ => {
                let conn = self.conn(rng);
                Input::Command(conn, self.command(rng, conn))
            }
        }
    }

    /// A range of tokens: mostly a few, right behind those before.
    fn tokens(&self, rng: &mut Rng) -> Input<Command<Vec<u8>>> {
        let next = self.reference.next_token() + self.reference.tokens_left();
        let (first, last) = match rng.below(40) {
            0..24 => (next, next + rng.below(4)),
            24..28 => (next + rng.below(5), next + 5),
            28..32 => (next.saturating_sub(2), next + 2),
            32..36 => (rng.below(6), rng.below(8)),
            36..39 => (next + 2, next + rng.below(2)),
            _ => ((1 << 53) - 3, u64::MAX - rng.below(2)),
        };
        Input::Tokens { first, last }
    }

    /// Opens a connection. Sometimes numbers are skipped.
    fn open(&mut self, rng: &mut Rng) -> Input<Command<Vec<u8>>> {
        self.serial += 1 + u64::from(rng.below(10) == 0);
        Input::Opened(Conn::new(self.node(rng), self.serial), self.origin(rng, self.serial))
    }

    fn node(&self, rng: &mut Rng) -> u16 {
        self.nodes[rng.below(self.nodes.len() as u64) as usize]
    }

    /// A node whose drain would let connections of another one have what they wait for.
    fn node_in_the_way(&self) -> Option<u16> {
        let lets_in = |node: &&u16| {
            let events = self.reference.clone().apply(self.reference.now(), &Input::Drain(**node));
            events.iter().any(|event| matches!(event, Event::Sent(conn, _) if conn.node() != **node))
        };
        self.nodes.iter().find(lets_in).copied()
    }

    fn origin(&self, rng: &mut Rng, serial: u64) -> Origin {
        let is_operator = self.has_operators && rng.below(4) == 0;
        let account = if is_operator { Account::ADMIN.0 } else { rng.below(self.accounts) as u16 };
        // Sometimes two connections have one address.
        origin(serial - u64::from(rng.below(6) == 0), account)
    }

    /// A connection for a command: mostly one that is open and does not wait.
    fn conn(&self, rng: &mut Rng) -> Conn {
        let open = self.reference.open().iter().map(|client| client.conn);
        let free: Vec<Conn> = open.filter(|conn| !self.reference.is_waiting(*conn)).collect();
        if free.is_empty() || rng.below(25) == 0 {
            return self.any_conn(rng);
        }
        // The fewer connections there are, the more often they meet each other.
        free[rng.below(free.len() as u64) as usize]
    }

    /// A connection, mostly one that is open.
    fn any_conn(&self, rng: &mut Rng) -> Conn {
        let open = self.reference.open();
        if open.is_empty() || rng.below(25) == 0 {
            return self.old_conn(rng);
        }
        open[rng.below(open.len() as u64) as usize].conn
    }

    /// Any number up to the next one, open or not.
    fn old_conn(&self, rng: &mut Rng) -> Conn {
        Conn::new(self.node(rng), 1 + rng.below(self.serial + 1))
    }

    /// The connection with the most holds.
    fn greediest(&self) -> Conn {
        let holds = |conn| self.reference.locks().values().filter(|holders| holders.contains(&conn)).count();
        let greediest =
            self.reference.open().iter().map(|client| client.conn).max_by_key(|conn| holds(*conn));
        greediest.unwrap_or(Conn::new(self.nodes[0], self.serial))
    }

    fn command(&self, rng: &mut Rng, conn: Conn) -> Command<Vec<u8>> {
        if rng.below(if self.logs_in { 12 } else { 80 }) == 0 {
            return self.log_in(rng, conn);
        }
        if self.lingers && rng.below(4) == 0 {
            return self.grace(rng, conn);
        }
        if self.crowd.is_some() && rng.below(4) > 0 {
            return self.crowded(rng, conn);
        }
        if self.registers && rng.below(2) == 0 {
            return match rng.below(8) {
                0..3 => Command::Who(Vec::new()),
                3 if self.has_operators => Command::Kick(self.registered_name(rng)),
                3 => Command::Iam(Vec::new()),
                _ => Command::Iam(name(rng)),
            };
        }
        let kind = any_kind(rng);
        if rng.below(100) < self.releases {
            return match rng.below(12) {
                0 => Command::ReleaseAll,
                _ => Command::Release(kind, self.held_name(rng, kind)),
            };
        }
        match rng.below(100) {
            0..52 if rng.below(100) < self.waits => self.wait(rng, conn),
            0..48 => Command::get(kind, self.name(rng)),
            // A get of what is held already: it may change how.
            48..52 => Command::get(kind, self.own_name(rng, conn, kind)),
            52..57 => Command::Fence(kind, self.own_name(rng, conn, kind)),
            57 => Command::ReleaseAll,
            58 => Command::BadArgument(
                [
                    Verb::GetWait,
                    Verb::SharedGetLimited,
                    Verb::SharedGetWait,
                    Verb::ReadGetWait,
                    Verb::WriteGetWait,
                    Verb::AwaitEnd,
                    Verb::SharedAwaitEnd,
                ][rng.below(5) as usize],
            ),
            59..64 if !self.has_operators && rng.below(8) > 0 => self.wait(rng, conn),
            59..64 => self.operate(rng),
            64..68 => Command::Inspect(kind, name(rng)),
            68..71 => Command::List(old_kind(kind), if rng.below(2) == 0 { name(rng) } else { Vec::new() }),
            71..74 => Command::Dump(old_kind(kind)),
            74..78 => Command::ListAll(prefix(rng)),
            78 => Command::Me,
            79 => Command::Iam(Vec::new()),
            80..84 => Command::Iam(name(rng)),
            84..87 => Command::Who(if rng.below(2) == 0 { name(rng) } else { Vec::new() }),
            87..91 => Command::Query { full: rng.below(3) > 0 },
            91 => Command::Ping,
            92 => Command::Help(VerbSet::ALL),
            93..96 => Command::Quit,
            96..98 => Command::Unknown(name(rng)),
            _ => Command::LineTooLong,
        }
    }

    /// What a driver says for `auth`, or instead of what it does not allow.
    fn log_in(&self, rng: &mut Rng, conn: Conn) -> Command<Vec<u8>> {
        let why = if rng.below(2) == 0 { Refusal::AuthRequired } else { Refusal::NotAllowed };
        match rng.below(12) {
            0 => Command::Auth(name(rng)),
            1 => Command::Refused(Verb::ALL[rng.below(Verb::COUNT as u64) as usize], why),
            2 => Command::Help(VerbSet::BEFORE_AUTH),
            3 => Command::Login(None),
            4 => Command::Login(self.reference.account_of(conn)),
            5 if rng.below(3) == 0 => Command::Login(Some(Account::ADMIN)),
            _ => Command::Login(Some(Account(rng.below(u64::from(ACCOUNTS) + 1) as u16))),
        }
    }

    /// A command about holds that outlive their connection. Who holds nothing mostly resumes what another left or has.
    fn grace(&self, rng: &mut Rng, conn: Conn) -> Command<Vec<u8>> {
        const MS: [u32; 10] = [0, 1, 2, 3, 3, 8, 20, 100, 60_000, u32::MAX];
        let keys = self.reference.keys();
        let is_operator = self.reference.is_open(conn) && self.reference.profile(conn).is_operator;
        if is_operator && !self.reference.sessions().is_empty() && rng.below(4) > 0 {
            return self.operate(rng);
        }
        let holds = self.reference.locks().values().any(|holders| holders.contains(&conn));
        let resumes = if holds { rng.below(8) == 0 } else { rng.below(3) > 0 };
        if !resumes {
            return Command::Linger(MS[rng.below(10) as usize]);
        }
        let left = self.reference.sessions().len() as u64;
        match rng.below(8) {
            0 => Command::Resume(name(rng)),
            1 => Command::Resume(b"0123456789abcdef0123456789abcdef".to_vec()),
            2.. if left > 0 && rng.below(3) > 0 => Command::Resume(keys[rng.below(left) as usize].clone()),
            2.. if !keys.is_empty() => Command::Resume(keys[rng.below(keys.len() as u64) as usize].clone()),
            _ => Command::Resume(Vec::new()),
        }
    }

    /// A command that gets connections into each other's way, or out of it.
    fn crowded(&self, rng: &mut Rng, conn: Conn) -> Command<Vec<u8>> {
        let kind = self.kind(rng);
        match rng.below(26) {
            0..14 => self.wait(rng, conn),
            14 if !self.reads => Command::get(kind, self.name(rng)),
            14 | 15 => self.change(rng, conn),
            16 | 21 if self.has_operators => self.operate(rng),
            16..20 => Command::Release(kind, self.own_name(rng, conn, kind)),
            20 => Command::ReleaseAll,
            21 => Command::ListAll(Vec::new()),
            _ => Command::Fence(kind, self.own_name(rng, conn, kind)),
        }
    }

    fn kind(&self, rng: &mut Rng) -> Kind {
        if self.reads && rng.below(3) > 0 {
            return if rng.below(5) < 2 { Kind::Read } else { Kind::Write };
        }
        if rng.below(10) < self.exclusive { Kind::Exclusive } else { Kind::Shared }
    }

    /// A get of a lock of readers and writers that the connection holds otherwise, if it holds one.
    fn change(&self, rng: &mut Rng, conn: Conn) -> Command<Vec<u8>> {
        let held = self.reference.locks().iter();
        let own = held.filter(|(_, by)| by.contains(&conn));
        let own: Vec<_> = own.filter_map(|((kind, name), _)| Some((rival(*kind)?, name))).collect();
        if own.is_empty() {
            return Command::get(self.kind(rng), self.name(rng));
        }
        // Mostly one that somebody waits for: a change lets some in, or passes them.
        let is_wanted = |(kind, name): &&(Kind, &Vec<u8>)| !self.reference.line(*kind, name).is_empty();
        let wanted: Vec<_> = own.iter().filter(is_wanted).copied().collect();
        let own = if wanted.is_empty() { own } else { wanted };
        let (kind, name) = own[rng.below(own.len() as u64) as usize];
        Command::get(kind, name.clone())
    }

    /// What only operators may say.
    fn operate(&self, rng: &mut Rng) -> Command<Vec<u8>> {
        match rng.below(2) {
            0 if rng.below(3) == 0 => Command::Kick(self.registered_name(rng)),
            0 => match self.reference.sessions() {
                [] => Command::Kick(self.addr(rng)),
                left if rng.below(3) > 0 => {
                    let left = left[rng.below(left.len() as u64) as usize];
                    Command::Kick(format!("~{}", left.origin.addr).into_bytes())
                }
                _ => Command::Kick(self.addr(rng)),
            },
            _ => {
                let left =
                    |conn: &Conn| self.reference.sessions().iter().any(|session| session.conn == *conn);
                let kind = if rng.below(3) == 0 { Kind::Write } else { Kind::Exclusive };
                let names = self.names_held(kind, |holders| holders.iter().any(left));
                match names[..] {
                    [name, ..] if rng.below(2) == 0 => Command::Steal(kind, name.clone()),
                    _ => Command::Steal(kind, self.held_name(rng, kind)),
                }
            }
        }
    }

    /// A get with a limit or a wait, or a wait for an end, mostly for a lock that is held.
    fn wait(&self, rng: &mut Rng, conn: Conn) -> Command<Vec<u8>> {
        const MS: [u32; 12] = [0, 1, 1, 2, 3, 3, 8, 20, 20, 100, 5000, u32::MAX];
        const LIMITS: [u32; 8] = [0, 1, 1, 1, 2, 2, 2, 3];
        let kind = self.kind(rng);
        let others = self.names_held(kind, |holders| !holders.contains(&conn));
        let name = match rng.below(4) {
            1.. if !others.is_empty() => others[rng.below(others.len() as u64) as usize].clone(),
            _ => self.name(rng),
        };
        let ms = MS[rng.below(12) as usize];
        let limit = LIMITS[rng.below(8) as usize];
        if rng.below(8) == 0 {
            return Command::AwaitEnd { kind: old_kind(kind), ms, name };
        }
        match kind {
            Kind::Exclusive | Kind::Read | Kind::Write => Command::Get(Wish::at_once(kind, name).waiting(ms)),
            Kind::Shared if rng.below(6) == 0 => {
                Command::Get(Wish::at_once(Kind::Shared, name).limited(limit))
            }
            Kind::Shared => Command::Get(Wish::at_once(Kind::Shared, name).limited(limit).waiting(ms)),
        }
    }

    /// Mostly the name of a lock that the connection holds.
    fn own_name(&self, rng: &mut Rng, conn: Conn, kind: Kind) -> Vec<u8> {
        let names = self.names_held(kind, |holders| holders.contains(&conn));
        if names.is_empty() || rng.below(10) == 0 {
            return self.held_name(rng, kind);
        }
        names[rng.below(names.len() as u64) as usize].clone()
    }

    /// The name of a lock to get.
    fn name(&self, rng: &mut Rng) -> Vec<u8> {
        match self.crowd {
            Some(names) if rng.below(20) > 0 => NAMES[rng.below(names) as usize].0.to_vec(),
            _ => name(rng),
        }
    }

    /// An address to kick: mostly that of an open connection, and sometimes misspelt.
    fn addr(&self, rng: &mut Rng) -> Vec<u8> {
        let open = self.reference.open();
        if open.is_empty() || rng.below(6) == 0 {
            return self.held_name(rng, Kind::Exclusive);
        }
        let in_line = self.reference.waits().iter();
        let in_the_way = in_line.flat_map(|wait| self.reference.holders(wait.kind, &wait.name));
        let in_the_way: Vec<Conn> = in_the_way.copied().collect();
        let waiting: Vec<Conn> = self.reference.waits().iter().map(|wait| wait.conn).collect();
        let all = open.iter().map(|client| client.conn).collect();
        let conns = match rng.below(3) {
            0 if !in_the_way.is_empty() => in_the_way,
            1 if !waiting.is_empty() => waiting,
            _ => all,
        };
        let conn = conns[rng.below(conns.len() as u64) as usize];
        let addr = self.reference.address_of(conn);
        match rng.below(12) {
            0 => addr.replace("unix:", "unix:0").replace("[::1]", "[0::1]").into_bytes(),
            1 => addr.replace("unix:", "unix:+").into_bytes(),
            _ => addr.into_bytes(),
        }
    }

    /// A registered name to be kicked: mostly one that several have, if there is one.
    fn registered_name(&self, rng: &mut Rng) -> Vec<u8> {
        let registered = self.reference.registered();
        let is_shared = |name: &[u8]| registered.iter().filter(|(_, other)| other == name).count() > 1;
        let shared: Vec<_> = registered.iter().filter(|(_, name)| is_shared(name)).collect();
        let names = if rng.below(3) == 0 { registered.iter().collect() } else { shared };
        match names[..] {
            [] => name(rng),
            _ => names[rng.below(names.len() as u64) as usize].1.clone(),
        }
    }

    /// The name of something to release: mostly of something that is held, by whomever.
    fn held_name(&self, rng: &mut Rng, kind: Kind) -> Vec<u8> {
        let names = self.names_held(kind, |_| true);
        if names.is_empty() || rng.below(10) == 0 {
            return self.name(rng);
        }
        names[rng.below(names.len() as u64) as usize].clone()
    }

    /// The names of held locks of a kind's name space, if `is_wanted` accepts the holders.
    fn names_held(&self, kind: Kind, is_wanted: impl Fn(&[Conn]) -> bool) -> Vec<&Vec<u8>> {
        let held = self.reference.locks().iter();
        let is_of = |of| line_of(of) == line_of(kind);
        held.filter(|((of, _), by)| is_of(*of) && is_wanted(by)).map(|((_, name), _)| name).collect()
    }
}

fn any_kind(rng: &mut Rng) -> Kind {
    match rng.below(10) {
        0..3 => Kind::Exclusive,
        3..7 => Kind::Shared,
        7 | 8 => Kind::Read,
        _ => Kind::Write,
    }
}

/// A kind that `d` and `dump` have.
fn old_kind(kind: Kind) -> Kind {
    if kind.is_counted() { Kind::Shared } else { Kind::Exclusive }
}

fn name(rng: &mut Rng) -> Vec<u8> {
    if rng.below(60) == 0 {
        return TOO_LONG.to_vec();
    }
    let mut rest = rng.below(NAMES.iter().map(|(_, weight)| u64::from(*weight)).sum()) as u32;
    for (name, weight) in NAMES {
        if rest < weight {
            return name.to_vec();
        }
        rest -= weight;
    }
    unreachable!("the weights add up to the bound of the random number")
}

/// The start of some names, or of all.
fn prefix(rng: &mut Rng) -> Vec<u8> {
    let mut prefix = name(rng);
    prefix.truncate([0, 0, 1, 3, usize::MAX][rng.below(5) as usize]);
    prefix
}

fn cause(rng: &mut Rng) -> Cause {
    // No driver says the others.
    Cause::ALL[rng.below(4) as usize]
}
