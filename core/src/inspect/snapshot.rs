//! The machine's state as bytes, and back. This is the only place that knows of bincode.
//!
//! A snapshot says who holds what, not how it is stored: a restored machine gives the same replies as
//! the original for ever after, and may keep them in other slots. Nothing dead is in it.

use crate::config::Config;
use crate::inspect::Counters;
use crate::inspect::Violation;
use crate::machine::{Cause, Machine};
use crate::storage::Id;
use crate::table::{Lock, Registered, State, Times, Tokens};
use crate::types::{Account, Addr, ByKind, Conn, Kind, Now, Origin, Seq};
use crate::wire::Verb;
use bincode::de::{BorrowDecode, BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Why bytes did not become a machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// They do not start as a snapshot does.
    #[error("this is not a snapshot of elockd")]
    NotASnapshot,
    /// Another release wrote them, in a format that this one does not know.
    #[error("the snapshot has format {found}, and this release reads format {known}")]
    Version {
        /// The format of the bytes.
        found: u16,
        /// The one that could be read.
        known: u16,
    },
    /// They stop early, go on too long, or say something impossible.
    #[error("the snapshot is damaged: {0}")]
    Damaged(String),
    /// What they describe does not fit the configuration's limits, or contradicts itself.
    #[error("the snapshot does not make a sound machine here: {0}")]
    Unsound(#[from] Violation),
}

const MAGIC: &[u8] = b"elockd snapshot\n";
const VERSION: u16 = 3;
/// Bytes that decoding may ask for: it bounds what a damaged length can make it allocate.
const LIMIT: usize = 1 << 30;

/// The highest that anything counted can be: sums of a few of them stay in 64 bits, and a machine gets there
/// in 36 years of a billion a second.
const MAX_FIGURE: u64 = 1 << 60;

fn bincode_config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<LIMIT>()
}

#[derive(Encode, Decode)]
struct MachineRecord {
    now: u64,
    seq: u64,
    draining: bool,
    highest: Option<u64>,
    last_registration: u64,
    counters: CountersRecord,
    hold_times: ByKind<TimesRecord>,
    wait_times: ByKind<TimesRecord>,
    /// The next fencing token, and the last that may be given out.
    tokens: (u64, u64),
    /// The longest idle first.
    connections: Vec<ConnectionRecord>,
    /// Locks with several holders, by kind and name.
    ties: Vec<TieRecord>,
    /// By beginning.
    waits: Vec<WaitRecord>,
}

#[derive(Encode, Decode)]
struct ConnectionRecord {
    conn: u64,
    addr: AddrRecord,
    account: u16,
    registered: Option<(Vec<u8>, u64)>,
    active: u64,
    /// Locks that it alone holds, the oldest first: exclusive ones, then shared ones.
    soles: ByKind<Vec<SoleRecord>>,
}

#[derive(Encode, Decode, PartialEq, Eq, PartialOrd, Ord)]
struct SoleRecord {
    name: Vec<u8>,
    /// The bits of a `Moment`.
    since: u64,
    /// 0 for none.
    token: u64,
}

#[derive(Encode, Decode)]
struct TieRecord {
    shared: bool,
    name: Vec<u8>,
    /// Connections and since when they hold it, the oldest hold first.
    holders: Vec<(u64, u64)>,
}

#[derive(Encode, Decode)]
struct WaitRecord {
    conn: u64,
    shared: bool,
    name: Vec<u8>,
    limit: u32,
    began: u64,
    deadline: u64,
}

#[derive(Encode, Decode)]
struct TimesRecord {
    counts: [u64; Times::BOUNDS_MS.len() + 1],
    sum_ms: u64,
}

impl<T: Encode> Encode for ByKind<T> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.iter().try_for_each(|(_, value)| value.encode(encoder))
    }
}

impl<C, T: Decode<C> + 'static> Decode<C> for ByKind<T> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Decode::decode(decoder).map(Self::from_array)
    }
}

/// What `Decode` can be derived with.
impl<'de, C, T: BorrowDecode<'de, C> + 'static> BorrowDecode<'de, C> for ByKind<T> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        BorrowDecode::borrow_decode(decoder).map(Self::from_array)
    }
}

/// bincode knows the standard library's addresses only with its own `std` feature.
#[derive(Encode, Decode)]
enum AddrRecord {
    V4 { ip: [u8; 4], port: u16 },
    V6 { ip: [u8; 16], port: u16, flow: u32, scope: u32 },
    Unix(u64),
}

#[derive(Encode, Decode)]
struct CountersRecord {
    commands: [u64; Verb::COUNT],
    failures: [u64; Verb::COUNT],
    invalid_commands: u64,
    orphans: ByKind<u64>,
    opened: u64,
    refused: u64,
    closed: [u64; Cause::ALL.len()],
    ignored: u64,
    locks_refused: u64,
    waits: u64,
    waits_granted: u64,
    waits_timed_out: u64,
    waits_drained: u64,
    deadlocks_refused: u64,
    queue_full: u64,
    released_together: ByKind<u64>,
    tokens_given: u64,
    peak_waiters: u32,
    peak_connections: u32,
    peak_holds: u32,
    peak_connection_holds: u32,
    peak_lock_bytes: u64,
    peak_name_bytes: u32,
}

impl Machine {
    /// The state as bytes. It first sweeps all that is dead, which changes no reply.
    ///
    /// Panics when the state takes more than a gibibyte, which [`restore`](Self::restore) would refuse.
    #[must_use]
    pub fn snapshot(&mut self) -> Vec<u8> {
        self.holds.sweep(u32::MAX);
        assert!(self.holds.is_swept(), "a snapshot has nothing dead in it");
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        let state = bincode::encode_to_vec(self.state(), bincode_config());
        bytes.extend(state.expect("encoding to memory does not fail"));
        assert!(bytes.len() <= LIMIT, "a snapshot of {} bytes could not be restored", bytes.len());
        bytes
    }

    /// A machine that goes on where the one of the snapshot stopped: also in time, so that the driver's
    /// clock has to go on from there too. Until it does, no time passes for the machine.
    ///
    /// There is no checksum: bytes that were changed may describe another sound machine.
    ///
    /// # Errors
    ///
    /// When the bytes are not a whole snapshot of a known format, or describe what this configuration
    /// does not allow. Nothing is lost: the bytes are only read.
    pub fn restore(config: Config, bytes: &[u8]) -> Result<Self, RestoreError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(RestoreError::NotASnapshot)?;
        let Some((version, rest)) = rest.split_first_chunk() else {
            return Err(RestoreError::Damaged("it ends within its header".to_owned()));
        };
        let found = u16::from_le_bytes(*version);
        if found != VERSION {
            return Err(RestoreError::Version { found, known: VERSION });
        }
        let decoded: Result<(MachineRecord, usize), DecodeError> =
            bincode::decode_from_slice(rest, bincode_config());
        let (state, consumed) = decoded.map_err(|error| RestoreError::Damaged(error.to_string()))?;
        if consumed != rest.len() {
            return Err(damaged(format!("{} bytes follow its end", rest.len() - consumed)));
        }
        let mut machine = Self::new(config);
        machine.set_state(state)?;
        machine.check()?;
        Ok(machine)
    }

    fn state(&self) -> MachineRecord {
        let mut connections: Vec<_> = self.connections.slots().iter().map(|(id, _)| id).collect();
        connections.sort_by_key(|id| self.connections[*id].conn());
        if self.config.limits.idle_ms > 0 {
            let (waiting, _): (Vec<_>, Vec<_>) =
                connections.into_iter().partition(|id| self.connections[*id].wait().is_some());
            connections = self.connections.by_activity().map(|(id, _)| id).chain(waiting).collect();
        }
        let mut ties = Vec::new();
        let mut lone = Vec::new();
        for (id, lock) in self.holds.locks().slots().iter() {
            let State::Tied(tie) = self.holds.state(id) else { continue };
            let holds = self.holds.ties().holds_from(self.holds.ties()[tie].oldest());
            let holders: Vec<(u64, u64)> =
                holds.map(|(_, hold)| (self.holder(hold.tenure()).bits(), hold.since().bits())).collect();
            let name = self.holds.locks().name(lock).to_vec();
            match holders[..] {
                [(holder, since)] => {
                    let token = self.holds.token(id).unwrap_or(0);
                    // Those that will be sole come first: in the order in which they will be kept.
                    let is_tied_again = token > 0 || self.holds.waiting(id) > 0;
                    lone.push((is_tied_again, holder, lock.kind(), SoleRecord { name, since, token }));
                }
                _ => ties.push(TieRecord { shared: lock.kind() == Kind::Shared, name, holders }),
            }
        }
        ties.sort_by(|a, b| (a.shared, &a.name).cmp(&(b.shared, &b.name)));
        lone.sort();
        let mut connections: Vec<_> = connections.into_iter().map(|id| self.connection_record(id)).collect();
        let place_of: BTreeMap<u64, usize> =
            connections.iter().enumerate().map(|(place, record)| (record.conn, place)).collect();
        for (_, holder, kind, sole) in lone {
            connections[place_of[&holder]].soles[kind].push(sole);
        }
        MachineRecord {
            now: self.now.0,
            seq: self.seq.0,
            draining: self.draining && !bug!(SnapshotForgetsDraining),
            highest: self.connections.highest().map(Conn::bits),
            last_registration: self.connections.last_registration(),
            counters: (&self.counters).into(),
            hold_times: self.holds.counts().hold_times().clone().map(TimesRecord::from),
            wait_times: self.holds.counts().wait_times().clone().map(TimesRecord::from),
            tokens: (self.tokens.next(), self.tokens.last()),
            connections,
            ties,
            waits: self.wait_records(),
        }
    }

    fn wait_records(&self) -> Vec<WaitRecord> {
        let waits = self.holds.waits().by_beginning().map(|(_, wait)| {
            let lock = &self.holds.locks()[wait.lock()];
            WaitRecord {
                conn: self.connections[wait.by()].conn().bits(),
                shared: lock.kind() == Kind::Shared,
                name: self.holds.locks().name(lock).to_vec(),
                limit: wait.place().limit(),
                began: wait.began().0,
                deadline: wait.deadline().0,
            }
        });
        waits.filter(|_| !bug!(SnapshotForgetsTheLine)).collect()
    }

    fn connection_record(&self, id: Id<crate::table::Connection>) -> ConnectionRecord {
        let connection = &self.connections[id];
        let mut soles = ByKind::<Vec<_>>::default();
        for (_, lock) in connection.tenure().into_iter().flat_map(|tenure| self.holds.soles(tenure)) {
            let sole = SoleRecord {
                name: self.holds.locks().name(lock).to_vec(),
                since: lock.since().bits(),
                token: 0,
            };
            soles[lock.kind()].push(sole);
        }
        ConnectionRecord {
            conn: connection.conn().bits(),
            addr: connection.origin().addr.into(),
            account: connection.origin().account.0,
            registered: connection.registered().map(|of| (of.name().to_vec(), of.order())),
            active: connection.active().0,
            soles: soles.map(|newest_first| newest_first.into_iter().rev().collect()),
        }
    }

    fn holder(&self, tenure: Id<crate::table::Tenure>) -> Conn {
        let owner = self.holds.tenure(tenure).owner().expect("a tied holder lives");
        self.connections[owner].conn()
    }

    /// Fills a new machine. What bytes can get wrong is an error here or in `check`, never a panic.
    fn set_state(&mut self, state: MachineRecord) -> Result<(), RestoreError> {
        if state.figures().any(|figure| figure > MAX_FIGURE) {
            return Err(damaged("a figure is impossibly high".to_owned()));
        }
        let mut connections = state.connections;
        // The order of activity, whether or not the original had an idle limit.
        connections.sort_by_key(|record| record.active);
        for record in connections {
            self.set_connection(record)?;
        }
        for TieRecord { shared, name, mut holders } in state.ties {
            if bug!(SnapshotReversesHolders) {
                holders.reverse();
            }
            let kind = if shared { Kind::Shared } else { Kind::Exclusive };
            for (holder, since) in holders {
                self.set_hold(holder, kind, &name, since)?;
            }
        }
        for record in state.waits {
            self.set_wait(record, state.now)?;
        }
        let (next, last) = state.tokens;
        self.tokens = Tokens::restored(next, last);
        self.now = Now(state.now);
        self.seq = Seq(state.seq);
        self.draining = state.draining;
        self.connections.restore_history(state.highest.map(Conn::from_bits), state.last_registration);
        self.counters = state.counters.into();
        self.holds.restore_times(state.hold_times.map(Times::from), state.wait_times.map(Times::from));
        Ok(())
    }

    fn set_connection(&mut self, record: ConnectionRecord) -> Result<(), RestoreError> {
        let conn = Conn::from_bits(record.conn);
        if self.connections.find(conn).is_some() {
            return Err(damaged(format!("{conn:?} is in it twice")));
        }
        let origin = Origin { addr: record.addr.into(), account: Account(record.account) };
        let active = Now(record.active);
        let id = self.connections.open(active, conn, origin);
        if self.config.limits.idle_ms > 0 {
            self.connections.link(id, active);
        }
        if let Some((name, order)) = record.registered {
            self.connections.restore_registration(id, Registered::restored(name.into(), order));
        }
        for (kind, soles) in record.soles.iter() {
            for SoleRecord { name, since, token } in soles {
                let lock = self.set_hold(record.conn, kind, name, *since)?;
                if *token > 0 && kind == Kind::Exclusive {
                    self.holds.set_token(lock, *token, Now(*since));
                } else if *token > 0 {
                    return Err(damaged("a shared lock has a token".to_owned()));
                }
            }
        }
        Ok(())
    }

    fn set_hold(
        &mut self,
        holder: u64,
        kind: Kind,
        name: &[u8],
        since: u64,
    ) -> Result<Id<Lock>, RestoreError> {
        let Some(id) = self.connections.find(Conn::from_bits(holder)) else {
            return Err(damaged(format!("holder {holder} is not connected")));
        };
        let tenure = self.connections[id].tenure().unwrap_or_else(|| self.begin_tenure(id));
        let found = self.holds.find(kind, name);
        let is_holder = found.lock().is_some_and(|lock| self.holds.is_holder(lock, tenure));
        if is_holder || (kind == Kind::Exclusive && found.holders() > 0) {
            return Err(damaged("a lock has a holder too many".to_owned()));
        }
        self.holds.add(found, name, tenure, Now(since));
        let tally = self.connections[id].tally();
        self.connections.tally_mut(tally).add_hold();
        Ok(self.holds.find(kind, name).lock().expect("it was just added"))
    }

    fn set_wait(&mut self, record: WaitRecord, now: u64) -> Result<(), RestoreError> {
        let WaitRecord { conn, shared, name, limit, began, deadline } = record;
        let id = self.connections.find(Conn::from_bits(conn));
        let Some(id) = id.filter(|id| self.connections[*id].wait().is_none()) else {
            return Err(damaged(format!("connection {conn} is gone or waits twice")));
        };
        let found = self.holds.find(if shared { Kind::Shared } else { Kind::Exclusive }, &name);
        let tenure = self.connections[id].tenure();
        let is_holder =
            found.lock().zip(tenure).is_some_and(|(lock, tenure)| self.holds.is_holder(lock, tenure));
        if found.holders() == 0 || is_holder || (!shared && limit != 1) {
            return Err(damaged("a wait for a lock that is not waited for so".to_owned()));
        }
        let waits = self.holds.waits();
        let newest = waits.newest().map_or(0, |newest| waits[newest].began().0);
        if began < newest || began > now || deadline <= now {
            return Err(damaged("a wait that began or ends at the wrong time".to_owned()));
        }
        assert!(self.holds.due(Now(began)).is_none(), "nothing is due before the time of the snapshot");
        let wait = self.holds.begin_wait(found, id, limit, (Now(began), Now(deadline)));
        self.connections.set_wait(id, wait);
        if self.config.limits.idle_ms > 0 {
            self.connections.unlink(id);
        }
        Ok(())
    }
}

impl MachineRecord {
    /// Every number that goes on to be counted up.
    fn figures(&self) -> impl Iterator<Item = u64> {
        let counters = &self.counters;
        let single = [
            self.seq,
            self.last_registration,
            self.tokens.0,
            self.tokens.1,
            counters.invalid_commands,
            counters.opened,
            counters.refused,
            counters.ignored,
            counters.locks_refused,
            counters.waits,
            counters.waits_granted,
            counters.waits_timed_out,
            counters.waits_drained,
            counters.deadlocks_refused,
            counters.queue_full,
            counters.tokens_given,
        ];
        let times = self.hold_times.iter().chain(self.wait_times.iter()).flat_map(|(_, times)| times.counts);
        let verbs = counters.commands.into_iter().chain(counters.failures);
        single
            .into_iter()
            .chain(verbs)
            .chain(Kind::ALL.map(|kind| counters.orphans[kind]))
            .chain(counters.closed)
            .chain(Kind::ALL.map(|kind| counters.released_together[kind]))
            .chain(times)
    }
}

impl From<Times> for TimesRecord {
    fn from(times: Times) -> Self {
        Self { counts: *times.counts(), sum_ms: times.sum_ms() }
    }
}

impl From<TimesRecord> for Times {
    fn from(TimesRecord { counts, sum_ms }: TimesRecord) -> Self {
        Self::restored(counts, sum_ms)
    }
}

fn damaged(what: String) -> RestoreError {
    RestoreError::Damaged(what)
}

impl From<Addr> for AddrRecord {
    fn from(addr: Addr) -> Self {
        match addr {
            Addr::Ip(SocketAddr::V4(addr)) => Self::V4 { ip: addr.ip().octets(), port: addr.port() },
            Addr::Ip(SocketAddr::V6(addr)) => Self::V6 {
                ip: addr.ip().octets(),
                port: addr.port(),
                flow: addr.flowinfo(),
                scope: addr.scope_id(),
            },
            Addr::Unix(number) => Self::Unix(number),
        }
    }
}

impl From<AddrRecord> for Addr {
    fn from(record: AddrRecord) -> Self {
        use std::net::{SocketAddrV4, SocketAddrV6};
        match record {
            AddrRecord::V4 { ip, port } => Self::Ip(SocketAddrV4::new(ip.into(), port).into()),
            AddrRecord::V6 { ip, port, flow, scope } => {
                Self::Ip(SocketAddrV6::new(ip.into(), port, flow, scope).into())
            }
            AddrRecord::Unix(number) => Self::Unix(number),
        }
    }
}

/// The same fields in both directions; a field that one of them lacks does not compile.
macro_rules! convert_counters {
    ($($field:ident),+) => {
        impl From<&Counters> for CountersRecord {
            fn from(counters: &Counters) -> Self {
                let Counters { $($field),+ } = counters.clone();
                Self { $($field),+ }
            }
        }
        impl From<CountersRecord> for Counters {
            fn from(record: CountersRecord) -> Self {
                let CountersRecord { $($field),+ } = record;
                Self { $($field),+ }
            }
        }
    };
}
convert_counters!(
    commands,
    failures,
    invalid_commands,
    orphans,
    opened,
    refused,
    closed,
    ignored,
    locks_refused,
    waits,
    waits_granted,
    waits_timed_out,
    waits_drained,
    deadlocks_refused,
    queue_full,
    released_together,
    tokens_given,
    peak_waiters,
    peak_connections,
    peak_holds,
    peak_connection_holds,
    peak_lock_bytes,
    peak_name_bytes
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{DriverInput, Input};
    use crate::wire::Command;

    /// Restores what becomes of a state: two connections hold the shared lock `s`, the first alone `a`.
    fn restore(change: impl FnOnce(&mut MachineRecord)) -> Result<Machine, RestoreError> {
        let mut machine = Machine::new(Config::smallest_storage());
        for serial in [1, 2] {
            let conn = Conn::new(0, serial);
            let origin = Origin { addr: Addr::Unix(serial), account: Account::default() };
            machine.apply(Now(0), DriverInput::Opened(conn, origin), &mut |_, _| {});
            for command in [Command::get(Kind::Shared, "s"), Command::get(Kind::Exclusive, "a")] {
                machine.apply(Now(0), Input::Command(conn, &command), &mut |_, _| {});
            }
        }
        let mut state = machine.state();
        change(&mut state);
        let mut bytes = [MAGIC, &VERSION.to_le_bytes()].concat();
        bytes.extend(bincode::encode_to_vec(state, bincode_config()).unwrap());
        Machine::restore(Config::smallest_storage(), &bytes)
    }

    fn damage(change: impl FnOnce(&mut MachineRecord)) -> String {
        restore(change).expect_err("damaged").to_string()
    }

    #[test]
    fn an_unchanged_state_is_restored() {
        assert!(restore(|_| {}).is_ok());
    }

    #[test]
    fn figures_are_allowed_up_to_their_limit() {
        assert!(restore(|state| state.seq = MAX_FIGURE).is_ok());
        assert!(damage(|state| state.seq = MAX_FIGURE + 1).contains("impossibly high"));
    }

    #[test]
    fn holders_are_there_once_and_an_exclusive_lock_has_one() {
        let twice = damage(|state| state.ties[0].holders = vec![(1, 0), (2, 0), (1, 0)]);
        assert!(twice.contains("a holder too many"), "{twice}");
        let two = damage(|state| {
            state.connections[1].soles[Kind::Exclusive].push(SoleRecord {
                name: b"a".to_vec(),
                since: 0,
                token: 0,
            });
        });
        assert!(two.contains("a holder too many"), "{two}");
        let stranger = damage(|state| state.ties[0].holders.push((9, 0)));
        assert!(stranger.contains("not connected"), "{stranger}");
    }

    #[test]
    fn tokens_end_where_they_always_do() {
        assert!(restore(|state| state.tokens = (1, Tokens::MAX)).is_ok());
        let beyond = restore(|state| state.tokens = (1, Tokens::MAX + 1)).expect_err("too high").to_string();
        assert!(beyond.contains("does not make a sound machine"), "{beyond}");
    }

    #[test]
    fn a_connection_is_there_once() {
        let twice = damage(|state| state.connections[1].conn = state.connections[0].conn);
        assert!(twice.contains("twice"), "{twice}");
    }
}
