//! What is fixed before a run begins, beside its script: the number of hosts, the speed of the network, the limits of
//! the server. A seed decides all of it.

use crate::accounts::RunAccounts;
use crate::log::Life;
use bincode::{Decode, Encode};
use elockd_core::{Config as MachineConfig, Features, Identity, Limits, Secret};
use elockd_server::Config;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A run without its script.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Plan {
    /// The seed that it was drawn from, and the seed of the network's own random numbers.
    pub seed: u64,
    /// What kind of run it is.
    pub scenario: Scenario,
    /// Hosts that clients run on.
    pub hosts: u8,
    /// The network.
    pub network: Network,
    /// The server.
    pub server: Settings,
    /// Milliseconds until faults stop and the liveness phase begins.
    pub duration_ms: u32,
    /// Milliseconds of virtual time within which the liveness phase must end, in addition to the server's own
    /// timeouts.
    pub liveness_ms: u32,
    /// Locks that every client must get in the liveness phase, of both kinds.
    pub names: Vec<Vec<u8>>,
}

/// What kind of run it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Scenario {
    /// Anything, at random.
    Swarm,
    /// Many connections with many locks end in the same millisecond, while others look on.
    MassOrphaning(Orphaning),
    /// Many connections wait in one line.
    Line,
    /// Anything, and connections log in to accounts.
    Accounts,
}

impl Scenario {
    /// Whether anything may happen in it.
    #[must_use]
    pub fn is_swarm(self) -> bool {
        matches!(self, Self::Swarm | Self::Accounts)
    }
}

impl Plan {
    /// The configuration of the production server in one of its lives.
    #[must_use]
    pub fn config(&self, life: Life) -> Config {
        let mut config = self.server.config(life);
        if let Some(accounts) = RunAccounts::of(self) {
            config.access = Some(Arc::new(accounts.access()));
            // Nobody is closed for being a stranger too long: judges know no such end.
            config.auth_timeout = Duration::from_hours(24);
            // The server makes the same table.
            config.machine.accounts = accounts.table(config.max_unauthenticated);
        }
        config
    }
}

/// The way in which many connections end at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Orphaning {
    /// Their hosts crash.
    Crash,
    /// Their hosts are cut off and crash. The server never hears of it, and its idle limit ends them.
    HalfOpen,
    /// Their hosts crash while the server shuts down.
    Shutdown,
}

/// The simulated network.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Network {
    /// The shortest and the longest time of a message, in microseconds.
    pub latency_us: (u32, u32),
    /// Bytes that may be on their way to a client: written and not read.
    pub window_bytes: u32,
    /// The most bytes that the server gets from one read.
    pub read_bytes: u32,
    /// Every how many accepts one fails; 0 is never.
    pub accept_fails_every: u32,
    /// Milliseconds until the server's kernel gives up a peer that is cut off.
    pub peer_timeout_ms: u32,
}

/// The server's settings.
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the server")]
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Settings {
    /// See [`Limits::connections`].
    pub connections: u32,
    /// See [`Limits::locks`].
    pub locks: u32,
    /// See [`Limits::locks_per_connection`].
    pub locks_per_connection: u32,
    /// See [`Limits::connections_per_address`].
    pub connections_per_address: u32,
    /// See [`Limits::memory_bytes`].
    pub memory_bytes: u32,
    /// See [`Limits::waiters`].
    pub waiters: u32,
    /// See [`Limits::waiters_per_name`].
    pub waiters_per_name: u32,
    /// See [`Limits::name_bytes`].
    pub name_bytes: u16,
    /// See [`Limits::idle_ms`].
    pub idle_ms: u32,
    /// See [`Limits::linger_ms`].
    pub linger_ms: u32,
    /// See [`Features::dump`].
    pub dump: bool,
    /// See [`Features::registry`].
    pub registry: bool,
    /// Whether it listens for operators too.
    pub admin: bool,
    /// The number of fencing tokens that it reserves at a time; 0 means that it can never reserve any.
    pub tokens: u32,
    /// See [`Config::verbose`].
    pub verbose: bool,
    /// See [`Features::silent_errors`].
    pub silent_errors: bool,
    /// Whether storage has the smallest sizes, which reach every boundary soon.
    pub smallest_storage: bool,
    /// See [`Config::max_line_bytes`].
    pub line_bytes: u32,
    /// See [`Config::max_listing_bytes`].
    pub listing_bytes: u32,
    /// See [`Config::write_timeout`].
    pub write_timeout_ms: u32,
    /// See [`Config::shutdown_timeout`].
    pub shutdown_timeout_ms: u32,
}

impl Settings {
    /// The configuration of the production server in one of its lives. Each life numbers its connections from 1, so
    /// each has a secret of its own.
    #[must_use]
    #[allow(clippy::needless_update, reason = "a new limit is at its default until plans draw it")]
    pub fn config(&self, life: Life) -> Config {
        let defaults =
            if self.smallest_storage { MachineConfig::smallest_storage() } else { MachineConfig::default() };
        Config {
            machine: MachineConfig {
                limits: Limits {
                    connections: self.connections,
                    locks: self.locks,
                    locks_per_connection: self.locks_per_connection,
                    connections_per_address: self.connections_per_address,
                    memory_bytes: self.memory_bytes.into(),
                    waiters: self.waiters,
                    waiters_per_name: self.waiters_per_name,
                    name_bytes: self.name_bytes,
                    idle_ms: self.idle_ms.into(),
                    linger_ms: self.linger_ms,
                    ..defaults.limits
                },
                features: Features {
                    dump: self.dump,
                    registry: self.registry,
                    silent_errors: self.silent_errors,
                },
                storage: defaults.storage,
                identity: Identity { version: "0.0.0-sim".to_owned(), pid: 1, node: 0 },
                secret: Secret(u128::from(life.0).to_le_bytes()),
                ..defaults
            },
            max_line_bytes: self.line_bytes as usize,
            max_listing_bytes: self.listing_bytes as usize,
            write_timeout: Some(Duration::from_millis(self.write_timeout_ms.into())),
            shutdown_timeout: Duration::from_millis(self.shutdown_timeout_ms.into()),
            // With verbose logging it warns of long holds too.
            verbose: self.verbose,
            warn_held: self.verbose.then(|| Duration::from_millis(50)),
            ..Config::default()
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, scenario, hosts, network, server, duration_ms, liveness_ms, names } = self;
        let shown: Vec<_> = names.iter().take(8).map(|name| name.escape_ascii().to_string()).collect();
        writeln!(
            f,
            "seed {seed}: {scenario:?}, {hosts} hosts, {duration_ms} ms until faults stop, {liveness_ms} ms then"
        )?;
        writeln!(f, "{network:?}")?;
        writeln!(f, "{server:?}")?;
        write!(f, "{} names: {shown:?}{}", names.len(), if names.len() > 8 { " and more" } else { "" })
    }
}
