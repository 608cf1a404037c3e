//! The machine's configuration: limits, switches, and the sizes of its storage. Nothing here changes while it runs, but
//! the accounts.

use crate::accounts::Accounts;
use crate::probe::HashBits;

use std::ops::RangeInclusive;
use std::sync::Arc;

/// The machine's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The limits. The machine refuses what would exceed one.
    pub limits: Limits,
    /// The commands and replies that are switched on.
    pub features: Features,
    /// The layout of its memory. No reply depends on it.
    pub storage: Storage,
    /// The daemon's own lines in `q full`.
    pub identity: Identity,
    /// What the keys of `linger` are made under.
    pub secret: Secret,
    /// The accounts at the start. An input may replace them.
    pub accounts: Arc<Accounts>,
}

/// A row of a table of limits: everything about one limit except its value. `C` is the structure that has the value.
///
/// The table of the machine's limits is [`Limits::ROWS`]; a driver may have limits of its own. Flags, keys of the
/// configuration file, environment variables, `q full` and the documentation are made from the rows.
#[derive(Debug)]
pub struct Limit<C: 'static> {
    /// The flag, without its dashes: the key of the configuration file too.
    pub flag: &'static str,
    /// The key in `q full`. Empty if `q full` does not show the limit.
    pub figure: &'static str,
    /// The metric's name for exporters, without their prefix. `None` if the limit is not exported.
    pub metric: Option<&'static str>,
    /// What is counted.
    pub unit: Unit,
    /// The value unless it is set.
    pub default: u64,
    /// The values that may be set.
    pub allowed: RangeInclusive<u64>,
    /// What 0 means, if 0 is allowed beside the range.
    pub zero: Option<&'static str>,
    /// Whether it can change while the daemon runs.
    pub is_reloadable: bool,
    /// One sentence that says what is limited, and what happens beyond it.
    pub help: &'static str,
    /// Further sentences, for the documentation alone. May be empty.
    pub note: &'static str,
    /// Reads the value.
    pub get: fn(&C) -> u64,
    /// Sets the value. Panics if the field's type has no room for it.
    pub set: fn(&mut C, u64),
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things: locks, connections, commands.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
}

/// The highest count that a limit may allow: slots are numbered in 32 bits.
pub const MAX_COUNT: u64 = 2_000_000_000;
/// The longest time: further ahead than any process lives, and far from where a clock would overflow.
pub const MAX_TIME_MS: u64 = 100 * 365 * 24 * 3_600_000;

/// Declares the machine's limits. Each has its field with documentation, then its row. The key in `q full` is `limit_`
/// and the field's name.
macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty { $($column:ident: $value:expr),+ $(,)? })+) => {
        /// Upper limits, each inclusive: the last value that is still allowed.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl Limits {
            /// The table of these limits.
            pub const ROWS: &'static [Limit<Self>] = &[$(Limit {
                figure: concat!("limit_", stringify!($field)),
                get: |limits| limits.$field.into(),
                set: |limits, value| limits.$field = value.try_into().expect("a value within the range"),
                is_reloadable: false,
                $($column: $value,)+
            },)+];
        }

        impl Default for Limits {
            fn default() -> Self {
                let mut limits = Self { $($field: 0,)+ };
                for row in Self::ROWS {
                    (row.set)(&mut limits, row.default);
                }
                limits
            }
        }
    };
}

limits! {
    /// Connections at a time, counted for each account but [`Account::ADMIN`](crate::Account::ADMIN).
    connections: u32 {
        flag: "max-connections",
        unit: Unit::Count,
        default: 10_000,
        allowed: 1..=MAX_COUNT,
        zero: None,
        metric: Some("connections_limit"),
        help: "Connections allowed at a time; one more is told `0 Too Many Connections`.",
        note: "Connections to the administrative socket do not count.",
    }
    /// Connections at a time from one address, counted for all accounts but
    /// [`Account::ADMIN`](crate::Account::ADMIN). 0 is no limit.
    connections_per_address: u32 {
        flag: "max-connections-per-address",
        unit: Unit::Count,
        default: 0,
        allowed: 0..=MAX_COUNT,
        zero: None,
        metric: Some("address_connections_limit"),
        help: "Connections allowed at a time from one IP address; 0 is no limit.",
        note: "One more is told `0 Too Many Connections`. IPv6 addresses with the same first 64 bits count as one. \
               Connections to Unix sockets do not count.",
    }
    /// Holds at a time, counted for each account. A shared lock with three holders is three holds. A wait
    /// counts as the hold that it may become.
    locks: u32 {
        flag: "max-locks",
        unit: Unit::Count,
        default: 1_000_000,
        allowed: 1..=MAX_COUNT,
        zero: None,
        metric: Some("holds_limit"),
        help: "Holds of both kinds allowed at a time; each holder of a shared lock counts.",
        note: "Each wait counts as the hold that it may become. A get beyond the limit is told `0 Too Many Locks`.",
    }
    /// Holds at a time of one connection.
    locks_per_connection: u32 {
        flag: "max-locks-per-connection",
        unit: Unit::Count,
        default: 10_000,
        allowed: 1..=MAX_COUNT,
        zero: None,
        metric: Some("connection_holds_limit"),
        help: "Holds allowed at a time for one connection.",
        note: "A get beyond the limit is told `0 Too Many Locks`.",
    }
    /// Waits at a time, counted for each account.
    waiters: u32 {
        flag: "max-waiters",
        unit: Unit::Count,
        default: 10_000,
        allowed: 1..=MAX_COUNT,
        zero: None,
        metric: Some("waiters_limit"),
        help: "Clients allowed to wait for a lock at a time; one more is told `0 … Queue Full`.",
        note: "",
    }
    /// Waits for one name at a time.
    waiters_per_name: u32 {
        flag: "max-waiters-per-name",
        unit: Unit::Count,
        default: 10_000,
        allowed: 1..=MAX_COUNT,
        zero: None,
        metric: Some("name_waiters_limit"),
        help: "Clients allowed to wait for one lock at a time; one more is told `0 … Queue Full`.",
        note: "",
    }
    /// Holds and waits that one step looks at or ends. A deadlock search that needs more is refused, and idle
    /// connections that are due at the same time end in several steps.
    step_holds: u32 {
        flag: "max-step-holds",
        unit: Unit::Count,
        default: 10_000,
        allowed: 1..=MAX_COUNT,
        zero: None,
        metric: Some("step_holds_limit"),
        help: "Holds and waits that a deadlock check may look at; a wait that takes more is told `0 … Queue Full`.",
        note: "Idle connections that are due at the same time end in steps, each of which ends about as many holds.",
    }
    /// Bytes of memory that connections, names, holds and waits may take together, by the table in the page on
    /// operations. Whatever takes more is refused, but connections.
    memory_bytes: u64 {
        flag: "max-memory",
        unit: Unit::Bytes,
        default: 1 << 30,
        allowed: 1 << 20..=1 << 50,
        zero: None,
        metric: Some("memory_limit_bytes"),
        help: "Bytes of memory allowed for connections, names, holds and waits together, at least 1048576.",
        note: "A get or an `iam` beyond the limit is told `0 Out Of Memory`. [Capacity](operations.md#capacity) says \
               what counts how much.",
    }
    /// Bytes of a name after its white space was folded.
    name_bytes: u16 {
        flag: "max-name-bytes",
        unit: Unit::Bytes,
        default: 4096,
        allowed: 1..=u16::MAX as u64,
        zero: None,
        metric: None,
        help: "Bytes allowed in the name of a lock or a connection, at most 65535.",
        note: "",
    }
    /// Milliseconds without a command after which a connection is closed and its locks are orphaned. 0 means never. A
    /// connection that waits for a lock is not idle. When the wait ends, its time begins again.
    idle_ms: u64 {
        flag: "idle-timeout",
        unit: Unit::Milliseconds,
        default: 0,
        allowed: 1..=MAX_TIME_MS,
        zero: Some("for never"),
        metric: None,
        help: "Time without a command after which a connection is closed and loses its locks; 0 is never.",
        note: "A connection that waits for a lock is not idle.",
    }
    /// Milliseconds for which `linger` may have holds outlive their connection. 0 means that it may not.
    linger_ms: u32 {
        flag: "max-linger",
        unit: Unit::Milliseconds,
        default: 60_000,
        allowed: 1..=u32::MAX as u64,
        zero: Some("to switch it off"),
        metric: None,
        help: "Longest time for which `linger` may have locks outlive their connection; 0 switches it off.",
        note: "More is told `0 Linger Failure`.",
    }
}

/// Commands and replies that can be switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Whether `d`, `sd`, `dump`, `ls` and `who` answer. Otherwise they say `0 disabled`.
    pub dump: bool,
    /// Whether `iam` and `who` answer. Otherwise they say `0 disabled`.
    pub registry: bool,
    /// Whether unknown verbs get no reply at all, as with glockd.
    pub silent_errors: bool,
}

/// Sizes of the machine's storage. With the smallest sizes a few inputs reach every boundary; the test harnesses use
/// those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Slots allocated at a time: a power of two.
    pub chunk_slots: u32,
    /// Bytes allocated at a time for names that do not fit into slots. A longer one is allocated alone.
    pub text_chunk_bytes: u32,
    /// Sub-tables of each index: a power of two. With more of them each growth step is shorter.
    pub index_tables: u32,
    /// Dead holds that one `Tick` frees.
    pub sweep_slice: u32,
    /// Entries that one step of a listing copies.
    pub scan_slice: u32,
    /// Key of the hash over names. Keep it secret and random in production: an attacker who knows it can choose names
    /// that all land in one bucket.
    pub hash_key: (u64, u64),
    /// How much of each hash over names is kept: all, except in tests.
    pub hash_bits: HashBits,
}

/// What the keys of `linger` are made under. In production it must be random, and drawn anew whenever connections are
/// numbered from the start again: otherwise an old key would open what a stranger left.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a secret")
    }
}

/// What `q full` says of the daemon that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Release of the daemon.
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// The daemon's number in its cluster. 0 for a daemon that is alone: then `q full` has no such line.
    pub node: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            features: Features { dump: true, registry: true, silent_errors: false },
            storage: Storage {
                chunk_slots: 4096,
                text_chunk_bytes: 1 << 20,
                index_tables: 1024,
                sweep_slice: 256,
                scan_slice: 256,
                hash_key: (0, 0),
                hash_bits: HashBits::ALL,
            },
            identity: Identity::default(),
            secret: Secret::default(),
            accounts: Arc::default(),
        }
    }
}

impl Config {
    /// The default with the smallest storage sizes: a few inputs reach every boundary of a chunk, a table or a slice,
    /// and a machine is cheap to clone.
    #[must_use]
    pub fn smallest_storage() -> Self {
        let mut config = Self::default();
        config.storage.chunk_slots = 2;
        config.storage.text_chunk_bytes = 100;
        config.storage.index_tables = 1;
        config.storage.sweep_slice = 1;
        config.storage.scan_slice = 1;
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set_from_its_lowest_to_its_highest_value() {
        for row in Limits::ROWS {
            let mut limits = Limits::default();
            assert_eq!((row.get)(&limits), row.default, "{}", row.flag);
            assert!(row.allowed.contains(&row.default) || row.zero.is_some() && row.default == 0);
            for value in [*row.allowed.start(), *row.allowed.end()] {
                (row.set)(&mut limits, value);
                assert_eq!((row.get)(&limits), value, "{}", row.flag);
            }
        }
    }

    #[test]
    fn every_limit_is_its_own() {
        // Each has a value of its own. So a row that reads or sets its neighbour's field fails.
        let mut limits = Limits::default();
        Limits::ROWS.iter().zip(11..).for_each(|(row, value)| (row.set)(&mut limits, value));
        for (row, value) in Limits::ROWS.iter().zip(11..) {
            assert_eq!((row.get)(&limits), value, "{}", row.flag);
        }
    }
}
