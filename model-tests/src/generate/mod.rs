//! Random sequences of inputs, with few names, few connections and small limits, so that the inputs affect each other.
//!
//! A reference model runs along while a sequence is made. So most inputs make sense at their place, such as releases of
//! held locks and commands of open connections, and some do not. Every subsequence of a sequence is a sequence too. So
//! failures can shrink. [`crate::census`] counts what happens in the sequences, and fails if it is not enough.

mod chatter;
mod course;
mod damage;
mod rng;
mod tables;

pub use chatter::Chatter;
pub use damage::Damage;

use course::Course;
use elockd_core::probe::HashBits;
use elockd_core::{Account, Addr, Command, Config, Identity, Input, Now, Origin, Storage};
use quickcheck::{Arbitrary, Gen};
use rng::Rng;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// A configuration, and a sequence of inputs for it.
#[derive(Clone)]
pub struct Case {
    /// The configuration of both machines.
    pub config: Config,
    /// The inputs.
    pub steps: Vec<Step>,
}

/// An input, and when it comes.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    /// The time. It may be before that of the step before.
    pub now: Now,
    /// The input.
    pub input: Input<Command<Vec<u8>>>,
}

/// Storage sizes, a hash key and how much is left of each hash: no reply may depend on them.
#[derive(Clone, Debug)]
pub struct Layout(pub Storage);

/// The limit of a name's length in every case.
const NAME_BYTES: u16 = 40;

impl Arbitrary for Case {
    /// Up to `g.size()` steps.
    fn arbitrary(g: &mut Gen) -> Self {
        let mut rng = Rng(g);
        let config = config(&mut rng);
        let length = 1 + rng.below(rng.0.size() as u64);
        let mut course = Course::new(&mut rng, config.clone(), length);
        let steps = (0..length).map(|at| course.step(&mut rng, at)).collect();
        Self { config, steps }
    }

    /// Fewer steps first, then a plainer configuration.
    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let config = self.config.clone();
        let fewer = self.steps.shrink().map(move |steps| Self { config: config.clone(), steps });
        let plain = plain_config();
        let mut plainer = [0; 5].map(|_| self.config.clone());
        plainer[0].storage = plain.storage;
        plainer[1].features = plain.features;
        plainer[2].limits.idle_ms = 0;
        plainer[3].limits = elockd_core::Limits { idle_ms: self.config.limits.idle_ms, ..plain.limits };
        plainer[4].accounts = plain.accounts;
        let own = self.clone();
        let plainer = plainer.into_iter().filter(move |config| *config != own.config);
        let steps = self.steps.clone();
        Box::new(fewer.chain(plainer.map(move |config| Self { config, steps: steps.clone() })))
    }
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut rng = Rng(g);
        Course::new(&mut rng, plain_config(), 1).step(&mut rng, 0)
    }

    /// The plainest time is 0: the machine takes it as the latest time seen.
    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let plainer = Self { now: Now(0), input: self.input.clone() };
        Box::new((self.now != Now(0)).then_some(plainer).into_iter())
    }
}

impl Arbitrary for Layout {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut rng = Rng(g);
        Self(Storage {
            chunk_slots: 1 << rng.below(5),
            text_chunk_bytes: 1 << rng.below(9),
            index_tables: 1 << rng.below(6),
            sweep_slice: 1 + rng.below(5) as u32,
            scan_slice: 1 + rng.below(5) as u32,
            hash_key: (u64::arbitrary(rng.0), u64::arbitrary(rng.0)),
            // With few bits, names and holds get the hashes of others.
            hash_bits: HashBits::lowest([0, 0, 1, 2, 4, 32][rng.below(6) as usize]),
        })
    }
}

/// The origin of a connection, in every sequence. Each serial has an address of its own.
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

/// The smallest storage, and no limit that a short sequence could reach.
fn plain_config() -> Config {
    let mut config = Config::smallest_storage();
    config.limits.name_bytes = NAME_BYTES;
    config.identity = Identity { version: "1.2.3".to_owned(), pid: 7, node: 0 };
    config
}

fn config(rng: &mut Rng) -> Config {
    let mut config = plain_config();
    match rng.below(10) {
        0 => config.storage = Config::default().storage,
        1 => config.storage = Layout::arbitrary(rng.0).0,
        _ => {}
    }
    if rng.below(3) == 0 {
        config.limits.connections = 2 + rng.below(4) as u32;
    }
    if rng.below(3) == 0 {
        config.limits.locks = 2 + rng.below(12) as u32;
    }
    if rng.below(3) == 0 {
        config.limits.locks_per_connection = [0, 1, 2, 3, 3, 4, 4, 5][rng.below(8) as usize];
    }
    if rng.below(3) == 0 {
        config.limits.waiters = [0, 1, 2, 2, 3][rng.below(5) as usize];
    }
    if rng.below(3) == 0 {
        config.limits.waiters_per_name = [0, 1, 1, 2][rng.below(4) as usize];
    }
    if rng.below(4) == 0 {
        config.limits.step_holds = [0, 1, 2, 2, 3, 4, 6][rng.below(7) as usize];
    }
    if rng.below(4) == 0 {
        config.limits.connections_per_address = [1, 2, 2, 3][rng.below(4) as usize];
    }
    if rng.below(3) == 0 {
        // A few connections, and beside them a few names, holds and waits.
        config.limits.memory_bytes = 1024 * (2 + rng.below(6)) + 50 * rng.below(40);
    }
    config.limits.linger_ms = [60_000, 60_000, 60_000, 10, 0][rng.below(5) as usize];
    config.limits.idle_ms = [0, 0, 0, 2, 12, 40][rng.below(6) as usize];
    if rng.below(3) == 0 {
        config.accounts = Arc::new(tables::table(rng));
    }
    config.features.dump = rng.below(12) > 0;
    config.features.registry = rng.below(12) > 0;
    config.features.silent_errors = rng.below(4) == 0;
    config
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { limits, features, storage, accounts, .. } = &self.config;
        write!(f, "{limits:?}, {features:?}, {storage:?}, {accounts:?}: {:?}", self.steps)
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{} ", self.now.0)?;
        match &self.input {
            Input::Opened(conn, origin) => {
                write!(f, "{conn} opens from {} in account {}", origin.addr, origin.account.0)
            }
            Input::Closed(conn, cause) => write!(f, "{conn} closes: {cause:?}"),
            Input::Tick => f.write_str("tick"),
            Input::Lapse { ms } => write!(f, "a lapse of {ms} ms"),
            Input::Gone(node) => write!(f, "node {node} is gone"),
            Input::Drain(node) => write!(f, "node {node} drains"),
            Input::Tokens { first, last } => write!(f, "tokens {first} to {last}"),
            Input::Accounts(accounts) => write!(f, "{accounts:?}"),
            Input::Command(conn, command) => {
                let line = command.line();
                match command {
                    Command::Login(account) => write!(f, "{conn} logs in to {account:?}"),
                    Command::Refused(verb, why) => {
                        write!(f, "{}> \"{}\", refused: {why:?}", conn, verb.word())
                    }
                    Command::LineTooLong => write!(f, "{conn}> (a line over the limit)"),
                    _ => write!(f, "{}> \"{}\"", conn, line.escape_ascii()),
                }
            }
        }
    }
}
