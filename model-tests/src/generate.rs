//! Sequences of inputs at random, made to meet each other: few names, few connections, small limits.
//!
//! A reference model runs along while a sequence is made, so that most inputs make sense where they
//! stand (releases of what is held, commands of who is open) and some do not. Every subsequence of a
//! sequence is one too, which is what makes failures shrink. How much happens in them is counted by
//! [`crate::census`], and has to be enough.

use crate::reference::Reference;
use elockd_core::{
    Account, Addr, Cause, Command, Config, Conn, Identity, Input, Kind, Now, Origin, Storage, Verb,
};
use quickcheck::{Arbitrary, Gen};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// A configuration, and a sequence of inputs for it.
#[derive(Clone)]
pub struct Case {
    /// The configuration of both machines.
    pub config: Config,
    /// What they are given.
    pub steps: Vec<Step>,
}

/// An input, and when it comes.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    /// The time, which may be before that of the step before.
    pub now: Now,
    /// The input.
    pub input: Input<Vec<u8>>,
}

/// Storage sizes and a hash key: no reply may depend on them.
#[derive(Clone, Debug)]
pub struct Layout(pub Storage);

/// What several connections send, as pieces of bytes that know nothing of lines.
#[derive(Clone)]
pub struct Chatter {
    /// A connection's serial, and the bytes that come from it.
    pub pieces: Vec<(u64, Vec<u8>)>,
}

/// One thing done to the bytes of a snapshot. Places count from the start, modulo its length.
#[derive(Clone, Debug)]
pub enum Damage {
    /// It ends here.
    Cut(u16),
    /// One bit is the other way round.
    Flip(u16, u8),
    /// A byte is another one.
    Set(u16, u8),
    /// In place of each of some bytes there is a large number, with this many bits, as the format writes it.
    Huge(u16, u8, u8),
    /// Bytes are put in between.
    Insert(u16, Vec<u8>),
    /// So many bytes are there once more.
    Repeat(u16, u8),
    /// Everything behind the header is something else.
    Garbage(Vec<u8>),
}

/// The limit for names in every case.
const NAME_BYTES: u16 = 40;

/// The weight says how often; the longest that fits a slot, one more, the limit, and one over it.
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

impl Arbitrary for Case {
    /// Up to `g.size()` steps.
    fn arbitrary(g: &mut Gen) -> Self {
        let mut dice = Dice(g);
        let config = config(&mut dice);
        let length = 1 + dice.below(dice.0.size() as u64);
        let mut course = Course::new(&mut dice, config.clone(), length);
        let steps = (0..length).map(|at| course.step(&mut dice, at)).collect();
        Self { config, steps }
    }

    /// Fewer steps first, then a plainer configuration.
    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let config = self.config.clone();
        let fewer = self.steps.shrink().map(move |steps| Self { config: config.clone(), steps });
        let plain = plain_config();
        let mut plainer =
            [self.config.clone(), self.config.clone(), self.config.clone(), self.config.clone()];
        plainer[0].storage = plain.storage;
        plainer[1].features = plain.features;
        plainer[2].limits.idle_ms = 0;
        plainer[3].limits = elockd_core::Limits { idle_ms: self.config.limits.idle_ms, ..plain.limits };
        let own = self.clone();
        let plainer = plainer.into_iter().filter(move |config| *config != own.config);
        let steps = self.steps.clone();
        Box::new(fewer.chain(plainer.map(move |config| Self { config, steps: steps.clone() })))
    }
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut dice = Dice(g);
        Course::new(&mut dice, plain_config(), 1).step(&mut dice, 0)
    }

    /// A time before all others counts as the latest one: it is the plainest.
    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let plainer = Self { now: Now(0), input: self.input.clone() };
        Box::new((self.now != Now(0)).then_some(plainer).into_iter())
    }
}

impl Arbitrary for Layout {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut dice = Dice(g);
        Self(Storage {
            chunk_slots: 1 << dice.below(5),
            index_tables: 1 << dice.below(6),
            sweep_slice: 1 + dice.below(5) as u32,
            scan_slice: 1 + dice.below(5) as u32,
            hash_key: (u64::arbitrary(dice.0), u64::arbitrary(dice.0)),
        })
    }
}

impl Arbitrary for Chatter {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut dice = Dice(g);
        let length = 1 + dice.below(dice.0.size() as u64);
        let pieces = (0..length).map(|_| (1 + dice.below(4), chatter(&mut dice))).collect();
        Self { pieces }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.pieces.shrink().map(|pieces| Self { pieces }))
    }
}

impl Arbitrary for Damage {
    fn arbitrary(g: &mut Gen) -> Self {
        let at = u16::arbitrary(g);
        let byte = u8::arbitrary(g);
        match Dice(g).below(16) {
            0..2 => Self::Cut(at),
            2..6 => Self::Flip(at, byte % 8),
            6..10 => Self::Set(at, byte),
            10..13 => {
                let mut dice = Dice(g);
                Self::Huge(at, 1 + dice.below(6) as u8, 55 + dice.below(10) as u8)
            }
            13 => Self::Insert(at, Arbitrary::arbitrary(g)),
            14 => Self::Repeat(at, byte),
            _ => Self::Garbage(Arbitrary::arbitrary(g)),
        }
    }
}

impl Damage {
    /// Does it to a snapshot, whose header is `header` bytes long.
    pub fn apply(&self, header: usize, bytes: &mut Vec<u8>) {
        // What is cut away cannot be damaged any more.
        if bytes.is_empty() {
            return;
        }
        let place = |at: &u16| usize::from(*at) % bytes.len();
        match self {
            Self::Cut(at) => bytes.truncate(place(at)),
            Self::Flip(at, bit) => {
                let at = place(at);
                bytes[at] ^= 1 << bit;
            }
            Self::Set(at, byte) => {
                let at = place(at);
                bytes[at] = *byte;
            }
            Self::Huge(at, count, bits) => {
                let at = place(at);
                let end = (at + usize::from(*count)).min(bytes.len());
                // With room left to count on, whatever the limit of what is counted may be.
                let number = ((u64::MAX >> (64 - bits)) - u64::from(u32::MAX)).to_le_bytes();
                // A byte that announces eight more, and those.
                let huge = [253].into_iter().chain(number);
                bytes.splice(at..end, std::iter::repeat_n(huge, end - at).flatten());
            }
            Self::Insert(at, more) => {
                let at = place(at);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Repeat(at, count) => {
                let at = place(at);
                let end = (at + usize::from(*count)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            Self::Garbage(garbage) => {
                bytes.truncate(header);
                bytes.extend(garbage);
            }
        }
    }
}

/// The origin of a connection in every sequence: its address tells it from all others.
#[must_use]
pub fn origin(serial: u64, account: u16) -> Origin {
    let port = 1024 + (serial % 60_000) as u16;
    let addr = match serial % 3 {
        0 => Addr::Unix(serial),
        1 => Addr::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        _ => Addr::Ip(SocketAddr::from((Ipv6Addr::LOCALHOST, port))),
    };
    Origin { addr, account: Account(account) }
}

/// A sequence in the making.
struct Course {
    /// What the inputs so far have led to.
    reference: Reference,
    /// How many connections it tries to keep open.
    connections: u64,
    /// The last number given to one.
    serial: u64,
    accounts: u64,
    /// Whether some connections are operators'.
    has_operators: bool,
    /// How many names there are, when there are so few that connections are in each other's way all the time;
    /// and then most commands are about that.
    crowd: Option<u64>,
    /// Whether much is said about names of connections.
    registers: bool,
    /// Of 10 waits, how many are for exclusive locks.
    exclusive: u64,
    /// Of 100 gets, how many carry a limit or wait.
    waits: u64,
    /// Of 100 inputs, how many come at the time of the one before.
    standstill: u64,
    /// Of 100 inputs that are commands, how many release something.
    releases: u64,
    drain_at: Option<u64>,
}

impl Course {
    fn new(dice: &mut Dice, config: Config, length: u64) -> Self {
        let most = u64::from(config.limits.connections);
        let crowd = (dice.below(2) == 0).then(|| 1 + dice.below(3));
        Self {
            connections: most.min(4 + dice.below(3)),
            serial: 0,
            // With a short idle limit connections could do nothing if time went on fast.
            standstill: match config.limits.idle_ms {
                2 => 88,
                _ if crowd.is_some() => 80,
                _ => 60,
            },
            reference: Reference::new(config),
            accounts: 1 + dice.below(4) / 3,
            has_operators: dice.below(2) == 0,
            crowd,
            registers: dice.below(4) == 0,
            exclusive: [0, 4, 5, 9][dice.below(4) as usize],
            waits: [0, 30, 60, 85][dice.below(4) as usize],
            releases: [3, 10, 25][dice.below(3) as usize],
            drain_at: (dice.below(6) == 0).then(|| dice.below(length)),
        }
    }

    fn step(&mut self, dice: &mut Dice, at: u64) -> Step {
        let now = self.time(dice);
        // Whoever is silent for too long by now is gone before the input comes.
        self.reference.apply(now, &Input::Tick);
        let input = if self.drain_at == Some(at) { Input::Drain } else { self.input(dice) };
        self.reference.apply(now, &input);
        Step { now, input }
    }

    fn time(&self, dice: &mut Dice) -> Now {
        let Now(last) = self.reference.now();
        Now(match dice.below(100) {
            rest if rest < self.standstill => last,
            ..92 => last.saturating_add(1 + dice.below(3)),
            92..96 => last.saturating_sub(dice.below(5)),
            96..99 => last.saturating_add(dice.below(40)),
            _ if dice.below(20) == 0 => u64::MAX - dice.below(60),
            _ => last.saturating_add(1_000_000),
        })
    }

    fn input(&mut self, dice: &mut Dice) -> Input<Vec<u8>> {
        let is_lonely = (self.reference.open().len() as u64) < self.connections;
        match dice.below(100) {
            0..4 => Input::Tick,
            4 => self.tokens(dice),
            5..9 => Input::Closed(self.any_conn(dice), cause(dice)),
            9..11 => Input::Closed(self.greediest(), cause(dice)),
            11 => Input::Opened(self.old_conn(dice), self.origin(dice, self.serial + 1)),
            12 => self.open(dice),
            13..40 if is_lonely => self.open(dice),
            40..90 if self.reference.open().is_empty() => self.open(dice),
            _ => {
                let conn = self.conn(dice);
                Input::Command(conn, self.command(dice, conn))
            }
        }
    }

    /// Tokens to be given out: mostly few, and right behind those before.
    fn tokens(&self, dice: &mut Dice) -> Input<Vec<u8>> {
        let next = self.reference.next_token() + self.reference.tokens_left();
        let (first, last) = match dice.below(40) {
            0..24 => (next, next + dice.below(4)),
            24..28 => (next + dice.below(5), next + 5),
            28..32 => (next.saturating_sub(2), next + 2),
            32..36 => (dice.below(6), dice.below(8)),
            36..39 => (next + 2, next + dice.below(2)),
            _ => ((1 << 53) - 3, u64::MAX - dice.below(2)),
        };
        Input::Tokens { first, last }
    }

    /// A connection to be opened. Sometimes numbers are passed over.
    fn open(&mut self, dice: &mut Dice) -> Input<Vec<u8>> {
        self.serial += 1 + u64::from(dice.below(10) == 0);
        Input::Opened(Conn::new(0, self.serial), self.origin(dice, self.serial))
    }

    fn origin(&self, dice: &mut Dice, serial: u64) -> Origin {
        let is_operator = self.has_operators && dice.below(4) == 0;
        let account = if is_operator { Account::ADMIN.0 } else { dice.below(self.accounts) as u16 };
        // Two may come from one address.
        origin(serial - u64::from(dice.below(6) == 0), account)
    }

    /// A connection to say something: mostly one that is open and does not wait.
    fn conn(&self, dice: &mut Dice) -> Conn {
        let open = self.reference.open().iter().map(|client| client.conn);
        let free: Vec<Conn> = open.filter(|conn| !self.reference.is_waiting(*conn)).collect();
        if free.is_empty() || dice.below(25) == 0 {
            return self.any_conn(dice);
        }
        // The fewer there are to choose from, the more do they meet themselves and each other.
        free[dice.below(free.len() as u64) as usize]
    }

    /// A connection, mostly one that is open.
    fn any_conn(&self, dice: &mut Dice) -> Conn {
        let open = self.reference.open();
        if open.is_empty() || dice.below(25) == 0 {
            return self.old_conn(dice);
        }
        open[dice.below(open.len() as u64) as usize].conn
    }

    /// A number up to the next one, whatever became of it.
    fn old_conn(&self, dice: &mut Dice) -> Conn {
        Conn::new(0, 1 + dice.below(self.serial + 1))
    }

    /// The connection with the most holds.
    fn greediest(&self) -> Conn {
        let holds = |conn| self.reference.locks().values().filter(|holders| holders.contains(&conn)).count();
        let greediest =
            self.reference.open().iter().map(|client| client.conn).max_by_key(|conn| holds(*conn));
        greediest.unwrap_or(Conn::new(0, self.serial))
    }

    fn command(&self, dice: &mut Dice, conn: Conn) -> Command<Vec<u8>> {
        if self.crowd.is_some() && dice.below(4) > 0 {
            return self.crowded(dice, conn);
        }
        if self.registers && dice.below(2) == 0 {
            return match dice.below(8) {
                0..3 => Command::Who(Vec::new()),
                3 => Command::Iam(Vec::new()),
                _ => Command::Iam(name(dice)),
            };
        }
        let kind = if dice.below(5) < 2 { Kind::Exclusive } else { Kind::Shared };
        if dice.below(100) < self.releases {
            return match dice.below(12) {
                0 => Command::ReleaseAll,
                _ => Command::Release(kind, self.held_name(dice, kind)),
            };
        }
        match dice.below(100) {
            0..52 if dice.below(100) < self.waits => self.wait(dice, conn),
            0..52 => Command::Get(kind, self.name(dice)),
            52..57 => Command::Fence(self.own_name(dice, conn, Kind::Exclusive)),
            57 => Command::ReleaseAll,
            58 => Command::BadArgument(
                [Verb::GetWait, Verb::SharedGetLimited, Verb::SharedGetWait][dice.below(3) as usize],
            ),
            59..64 if !self.has_operators && dice.below(8) > 0 => self.wait(dice, conn),
            59..64 => self.operate(dice),
            64..68 => Command::Inspect(kind, name(dice)),
            68..71 => Command::List(kind, if dice.below(2) == 0 { name(dice) } else { Vec::new() }),
            71..74 => Command::Dump(kind),
            74..78 => Command::ListAll(prefix(dice)),
            78 => Command::Me,
            79 => Command::Iam(Vec::new()),
            80..84 => Command::Iam(name(dice)),
            84..87 => Command::Who(if dice.below(2) == 0 { name(dice) } else { Vec::new() }),
            87..91 => Command::Query { full: dice.below(3) > 0 },
            91 => Command::Ping,
            92 => Command::Help,
            93..96 => Command::Quit,
            96..98 => Command::Unknown(name(dice)),
            _ => Command::LineTooLong,
        }
    }

    /// What gets connections into each other's way, and out of it.
    fn crowded(&self, dice: &mut Dice, conn: Conn) -> Command<Vec<u8>> {
        let kind = self.kind(dice);
        match dice.below(26) {
            0..14 => self.wait(dice, conn),
            14..16 => Command::Get(kind, self.name(dice)),
            16 | 21 if self.has_operators => self.operate(dice),
            16..20 => Command::Release(kind, self.own_name(dice, conn, kind)),
            20 => Command::ReleaseAll,
            21 => Command::ListAll(Vec::new()),
            _ => Command::Fence(self.own_name(dice, conn, Kind::Exclusive)),
        }
    }

    fn kind(&self, dice: &mut Dice) -> Kind {
        if dice.below(10) < self.exclusive { Kind::Exclusive } else { Kind::Shared }
    }

    /// What only operators may say.
    fn operate(&self, dice: &mut Dice) -> Command<Vec<u8>> {
        match dice.below(2) {
            0 => Command::Kick(self.addr(dice)),
            _ => Command::Steal(self.held_name(dice, Kind::Exclusive)),
        }
    }

    /// Something with a limit, or that may wait: mostly for what is held.
    fn wait(&self, dice: &mut Dice, conn: Conn) -> Command<Vec<u8>> {
        const MS: [u32; 12] = [0, 1, 1, 2, 3, 3, 8, 20, 20, 100, 5000, u32::MAX];
        const LIMITS: [u32; 8] = [0, 1, 1, 1, 2, 2, 2, 3];
        let kind = self.kind(dice);
        let others = self.names_held(kind, |holders| !holders.contains(&conn));
        let name = match dice.below(4) {
            1.. if !others.is_empty() => others[dice.below(others.len() as u64) as usize].clone(),
            _ => self.name(dice),
        };
        let ms = MS[dice.below(12) as usize];
        let limit = LIMITS[dice.below(8) as usize];
        match kind {
            Kind::Exclusive => Command::GetWait { ms, name },
            Kind::Shared if dice.below(3) == 0 => Command::SharedGetLimited { limit, name },
            Kind::Shared => Command::SharedGetWait { ms, limit, name },
        }
    }

    /// The name of a lock that a connection holds, mostly.
    fn own_name(&self, dice: &mut Dice, conn: Conn, kind: Kind) -> Vec<u8> {
        let names = self.names_held(kind, |holders| holders.contains(&conn));
        if names.is_empty() || dice.below(10) == 0 {
            return self.held_name(dice, kind);
        }
        names[dice.below(names.len() as u64) as usize].clone()
    }

    /// The name of something to get.
    fn name(&self, dice: &mut Dice) -> Vec<u8> {
        match self.crowd {
            Some(names) if dice.below(20) > 0 => NAMES[dice.below(names) as usize].0.to_vec(),
            _ => name(dice),
        }
    }

    /// An address to be kicked: mostly of one that is open, and sometimes not quite as it prints.
    fn addr(&self, dice: &mut Dice) -> Vec<u8> {
        let open = self.reference.open();
        if open.is_empty() || dice.below(6) == 0 {
            return self.held_name(dice, Kind::Exclusive);
        }
        let in_line = self.reference.waits().iter();
        let in_the_way = in_line.flat_map(|wait| self.reference.holders(wait.kind, &wait.name));
        let in_the_way: Vec<Conn> = in_the_way.copied().collect();
        let waiting: Vec<Conn> = self.reference.waits().iter().map(|wait| wait.conn).collect();
        let all = open.iter().map(|client| client.conn).collect();
        let conns = match dice.below(3) {
            0 if !in_the_way.is_empty() => in_the_way,
            1 if !waiting.is_empty() => waiting,
            _ => all,
        };
        let conn = conns[dice.below(conns.len() as u64) as usize];
        let client = open.iter().find(|client| client.conn == conn).expect("who holds or waits is open");
        let addr = client.origin.addr.to_string();
        match dice.below(12) {
            0 => addr.replace("unix:", "unix:0").replace("[::1]", "[0::1]").into_bytes(),
            1 => addr.replace("unix:", "unix:+").into_bytes(),
            _ => addr.into_bytes(),
        }
    }

    /// The name of something to release: mostly of something that is held, by whomever.
    fn held_name(&self, dice: &mut Dice, kind: Kind) -> Vec<u8> {
        let names = self.names_held(kind, |_| true);
        if names.is_empty() || dice.below(10) == 0 {
            return self.name(dice);
        }
        names[dice.below(names.len() as u64) as usize].clone()
    }

    /// The names of a kind that are held by such as are wanted.
    fn names_held(&self, kind: Kind, is_wanted: impl Fn(&[Conn]) -> bool) -> Vec<&Vec<u8>> {
        let held = self.reference.locks().iter();
        held.filter(|((of, _), by)| *of == kind && is_wanted(by)).map(|((_, name), _)| name).collect()
    }
}

fn name(dice: &mut Dice) -> Vec<u8> {
    if dice.below(60) == 0 {
        return TOO_LONG.to_vec();
    }
    let mut rest = dice.below(NAMES.iter().map(|(_, weight)| u64::from(*weight)).sum()) as u32;
    for (name, weight) in NAMES {
        if rest < weight {
            return name.to_vec();
        }
        rest -= weight;
    }
    unreachable!("the weights sum up to where the dice end")
}

/// The start of some names, or of all.
fn prefix(dice: &mut Dice) -> Vec<u8> {
    let mut prefix = name(dice);
    prefix.truncate([0, 0, 1, 3, usize::MAX][dice.below(5) as usize]);
    prefix
}

fn cause(dice: &mut Dice) -> Cause {
    // The last three are reported by the machine only.
    Cause::ALL[dice.below(4) as usize]
}

/// The smallest storage, and no limit that a short sequence could meet.
fn plain_config() -> Config {
    let mut config = Config::smallest_storage();
    config.limits.name_bytes = NAME_BYTES;
    config.identity = Identity { version: "1.2.3".to_owned(), pid: 7 };
    config
}

fn config(dice: &mut Dice) -> Config {
    let mut config = plain_config();
    match dice.below(10) {
        0 => config.storage = Config::default().storage,
        1 => config.storage = Layout::arbitrary(dice.0).0,
        _ => {}
    }
    if dice.below(3) == 0 {
        config.limits.connections = 2 + dice.below(4) as u32;
    }
    if dice.below(3) == 0 {
        config.limits.locks = 2 + dice.below(12) as u32;
    }
    if dice.below(3) == 0 {
        config.limits.locks_per_connection = [0, 1, 2, 3, 3, 4, 4, 5][dice.below(8) as usize];
    }
    if dice.below(3) == 0 {
        config.limits.waiters = [0, 1, 2, 2, 3][dice.below(5) as usize];
    }
    if dice.below(3) == 0 {
        config.limits.waiters_per_name = [0, 1, 1, 2][dice.below(4) as usize];
    }
    config.limits.idle_ms = [0, 0, 0, 2, 12, 40][dice.below(6) as usize];
    config.features.dump = dice.below(12) > 0;
    config.features.registry = dice.below(12) > 0;
    config.features.silent_errors = dice.below(4) == 0;
    config
}

/// Some bytes of a client: words of the protocol, what stands between them, and anything else.
fn chatter(dice: &mut Dice) -> Vec<u8> {
    const WORDS: [&[u8]; 44] = [
        b"g ",
        b"sg ",
        b"gw 2 ",
        b"sgw 3 1 ",
        b"sgl 2 ",
        b"f ",
        b"r ",
        b"sr ",
        b"i ",
        b"si ",
        b"gw 9 ",
        b"gw ",
        b"sgw ",
        b"sgl ",
        b"4294967295 ",
        b"4294967296 ",
        b"0 ",
        b"ra\n",
        b"ls ",
        b"ls\n",
        b"kick unix:3\n",
        b"steal ",
        b"d ",
        b"sd",
        b"dump ",
        b"shared",
        b"me",
        b"iam ",
        b"who ",
        b"q ",
        b"full",
        b"ping",
        b"help",
        b"quit\n",
        b"nonsense",
        b"\n",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\x0b",
        b"a",
        b"b",
        b"a name that takes much more than the line limit of the fuzzed decoder",
    ];
    let words = dice.below(8);
    let mut bytes = Vec::new();
    for _ in 0..words {
        match dice.below(10) {
            0 => bytes.push(u8::arbitrary(dice.0)),
            1..5 => {
                bytes.extend(WORDS[dice.below(10) as usize]);
                bytes.extend([b"a\n", b"b\n", b"c\n"][dice.below(3) as usize]);
            }
            _ => bytes.extend(WORDS[dice.below(WORDS.len() as u64) as usize]),
        }
    }
    bytes
}

/// Random numbers without quickcheck's liking for extremes.
struct Dice<'a>(&'a mut Gen);

impl Dice<'_> {
    /// A number from 0 to `end`, which is not among them.
    fn below(&mut self, end: u64) -> u64 {
        const BYTES: [u8; 256] = {
            let mut bytes = [0; 256];
            let mut at = 0;
            while at < 256 {
                bytes[at] = at as u8;
                at += 1;
            }
            bytes
        };
        let byte = |g: &mut Gen| u64::from(*g.choose(&BYTES).expect("there are bytes to choose from"));
        let number = (byte(self.0) << 16) | (byte(self.0) << 8) | byte(self.0);
        number % end
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { limits, features, storage, .. } = &self.config;
        write!(f, "{limits:?}, {features:?}, {storage:?}: {:?}", self.steps)
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{} ", self.now.0)?;
        let kind = |kind: &Kind| if *kind == Kind::Exclusive { "" } else { "s" };
        match &self.input {
            Input::Opened(conn, origin) => {
                write!(f, "{} opens from {} in account {}", conn.serial(), origin.addr, origin.account.0)
            }
            Input::Closed(conn, cause) => write!(f, "{} closes: {cause:?}", conn.serial()),
            Input::Tick => f.write_str("tick"),
            Input::Drain => f.write_str("drain"),
            Input::Tokens { first, last } => write!(f, "tokens {first} to {last}"),
            Input::Command(conn, command) => {
                write!(f, "{}>", conn.serial())?;
                match command {
                    Command::Get(of, name) => write!(f, "{}g \"{}\"", kind(of), name.escape_ascii()),
                    Command::GetWait { ms, name } => write!(f, "gw {ms} \"{}\"", name.escape_ascii()),
                    Command::SharedGetLimited { limit, name } => {
                        write!(f, "sgl {limit} \"{}\"", name.escape_ascii())
                    }
                    Command::SharedGetWait { ms, limit, name } => {
                        write!(f, "sgw {ms} {limit} \"{}\"", name.escape_ascii())
                    }
                    Command::Fence(name) => write!(f, "f \"{}\"", name.escape_ascii()),
                    Command::ListAll(name) => write!(f, "ls \"{}\"", name.escape_ascii()),
                    Command::Kick(addr) => write!(f, "kick \"{}\"", addr.escape_ascii()),
                    Command::Steal(name) => write!(f, "steal \"{}\"", name.escape_ascii()),
                    Command::Release(of, name) => write!(f, "{}r \"{}\"", kind(of), name.escape_ascii()),
                    Command::Inspect(of, name) => write!(f, "{}i \"{}\"", kind(of), name.escape_ascii()),
                    Command::List(of, name) => write!(f, "{}d \"{}\"", kind(of), name.escape_ascii()),
                    Command::Iam(name) => write!(f, "iam \"{}\"", name.escape_ascii()),
                    Command::Who(name) => write!(f, "who \"{}\"", name.escape_ascii()),
                    Command::Unknown(verb) => write!(f, "unknown \"{}\"", verb.escape_ascii()),
                    other => write!(f, "{other:?}"),
                }
            }
        }
    }
}

impl fmt::Debug for Chatter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (conn, bytes) in &self.pieces {
            write!(f, "{conn}>\"{}\" ", bytes.escape_ascii())?;
        }
        Ok(())
    }
}
