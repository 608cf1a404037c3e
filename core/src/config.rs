//! The machine's configuration: limits, switches, and the sizes of its storage. Nothing here changes while it runs.

/// The machine's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The limits beyond which it refuses.
    pub limits: Limits,
    /// The commands and replies that are switched on.
    pub features: Features,
    /// The layout of its memory. No reply depends on it.
    pub storage: Storage,
    /// The daemon's own lines in `q full`.
    pub identity: Identity,
}

/// Upper limits, each inclusive: the last value that is still allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, counted for each account but [`Account::ADMIN`](crate::Account::ADMIN).
    pub connections: u32,
    /// Holds at a time, counted for each account. A shared lock with three holders is three holds. A wait
    /// counts as the hold that it may become.
    pub locks: u32,
    /// Holds at a time of one connection.
    pub locks_per_connection: u32,
    /// Waits at a time, counted for each account.
    pub waiters: u32,
    /// Waits for one name at a time.
    pub waiters_per_name: u32,
    /// Bytes of a name after its white space was folded.
    pub name_bytes: u16,
    /// Milliseconds without a command after which a connection is closed and its locks are orphaned; 0 means never. A
    /// connection that waits for a lock is not idle; its time begins again with the end of the wait.
    pub idle_ms: u64,
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
    /// Sub-tables of each index: a power of two. With more of them each growth step is shorter.
    pub index_tables: u32,
    /// Dead holds that one `Tick` frees.
    pub sweep_slice: u32,
    /// Entries that one step of a listing copies.
    pub scan_slice: u32,
    /// Key of the hash over names. Keep it secret and random in production: an attacker who knows it can choose names
    /// that all land in one bucket.
    pub hash_key: (u64, u64),
}

/// The daemon's version and process id, for `q full`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Release of the daemon.
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits {
                connections: 10_000,
                locks: 1_000_000,
                locks_per_connection: 1_000_000,
                waiters: 10_000,
                waiters_per_name: 10_000,
                name_bytes: 4096,
                idle_ms: 0,
            },
            features: Features { dump: true, registry: true, silent_errors: false },
            storage: Storage {
                chunk_slots: 4096,
                index_tables: 1024,
                sweep_slice: 256,
                scan_slice: 256,
                hash_key: (0, 0),
            },
            identity: Identity::default(),
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
        config.storage.index_tables = 1;
        config.storage.sweep_slice = 1;
        config.storage.scan_slice = 1;
        config
    }
}
