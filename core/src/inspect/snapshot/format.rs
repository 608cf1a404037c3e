//! The contents of a snapshot, and its bytes.

use super::{RestoreError, damaged};
use crate::inspect::{ByVerb, Counters, for_each_counter};
use crate::machine::Cause;
use crate::record::shared::{AccountsRecord, AddrRecord};
use crate::record::{RecordError, decode, encode_into};
use crate::table::{Tally, Times};
use crate::types::{ByKind, Kind};
use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

const MAGIC: &[u8] = b"elockd snapshot\n";
const VERSION: u16 = 8;
/// Bytes that decoding may allocate. Without a limit a damaged length could ask for any amount.
const LIMIT: usize = 1 << 30;

/// The highest value of anything counted. Sums of a few such values fit into 64 bits. At a billion a second a machine
/// gets there in 36 years.
pub(super) const MAX_FIGURE: u64 = 1 << 60;

#[derive(Encode, Decode)]
pub(super) struct MachineRecord {
    pub(super) now: u64,
    pub(super) seq: u64,
    /// By number.
    pub(super) nodes: Vec<NodeRecord>,
    pub(super) last_registration: u64,
    pub(super) counters: CountersRecord,
    pub(super) hold_times: ByKind<TimesRecord>,
    pub(super) wait_times: ByKind<TimesRecord>,
    /// The last order of a tied hold or a wait.
    pub(super) last_order: u64,
    /// The next fencing token, and the last that may be given out.
    pub(super) tokens: (u64, u64),
    /// What keys are made under.
    pub(super) secret: [u8; 16],
    pub(super) accounts: AccountsRecord,
    /// What each account has, by number. It follows from the rest, and shows damage.
    pub(super) sums: Vec<SumRecord>,
    /// The longest idle first.
    pub(super) connections: Vec<ConnectionRecord>,
    /// By the connection that left them.
    pub(super) sessions: Vec<SessionRecord>,
    /// Locks with several holders, by kind and name.
    pub(super) ties: Vec<TieRecord>,
    /// By beginning.
    pub(super) waits: Vec<WaitRecord>,
}

/// What is known of a node.
#[derive(Encode, Decode)]
pub(super) struct NodeRecord {
    pub(super) number: u16,
    /// Serials below this are never opened again.
    pub(super) next_serial: u64,
    pub(super) drains: bool,
}

/// What one account has.
#[derive(Debug, Encode, Decode, PartialEq, Eq)]
pub(in crate::inspect) struct SumRecord {
    pub(super) account: u16,
    pub(super) connections: u32,
    pub(super) holds: u32,
    pub(super) waits: u32,
    pub(super) ends: u32,
    pub(super) memory_bytes: u64,
}

#[derive(Encode, Decode)]
pub(super) struct ConnectionRecord {
    pub(super) conn: u64,
    pub(super) addr: AddrRecord,
    pub(super) account: u16,
    pub(super) registered: Option<(Vec<u8>, u64)>,
    pub(super) active: u64,
    pub(super) grace: Option<GraceRecord>,
    /// Locks that it alone holds, the oldest first, by kind.
    pub(super) soles: ByKind<Vec<SoleRecord>>,
}

#[derive(Encode, Decode)]
pub(super) struct GraceRecord {
    pub(super) number: u64,
    pub(super) ms: u32,
}

/// What a connection left. The connection is still listed as a holder of its holds.
#[derive(Encode, Decode)]
pub(super) struct SessionRecord {
    pub(super) conn: u64,
    pub(super) addr: AddrRecord,
    pub(super) account: u16,
    pub(super) registered: Option<(Vec<u8>, u64)>,
    pub(super) grace: GraceRecord,
    pub(super) due: u64,
    /// Locks that it alone holds, the oldest first, by kind.
    pub(super) soles: ByKind<Vec<SoleRecord>>,
}

#[derive(Encode, Decode, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SoleRecord {
    pub(super) name: Vec<u8>,
    /// The bits of a `Moment`.
    pub(super) since: u64,
    /// 0 for none.
    pub(super) token: u64,
}

#[derive(Encode, Decode)]
pub(super) struct TieRecord {
    /// The number of its kind.
    pub(super) kind: u8,
    pub(super) name: Vec<u8>,
    /// The oldest hold first.
    pub(super) holders: Vec<HolderRecord>,
}

#[derive(Clone, Encode, Decode)]
pub(super) struct HolderRecord {
    pub(super) conn: u64,
    /// The bits of a `Moment`.
    pub(super) since: u64,
    /// 0 for none.
    pub(super) token: u64,
    /// Its place among the holds and waits of its lock.
    pub(super) order: u64,
}

#[derive(Encode, Decode)]
pub(super) struct WaitRecord {
    pub(super) conn: u64,
    /// The number of its kind.
    pub(super) kind: u8,
    pub(super) name: Vec<u8>,
    /// `None` for a wait for the end.
    pub(super) limit: Option<u32>,
    pub(super) order: u64,
    pub(super) began: u64,
    pub(super) deadline: u64,
}

#[derive(Encode, Decode)]
pub(in crate::inspect) struct TimesRecord {
    pub(super) counts: [u64; Times::BOUNDS_MS.len() + 1],
    pub(super) sum_ms: u64,
}

impl Encode for ByVerb {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C> Decode<C> for ByVerb {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Decode::decode(decoder).map(Self)
    }
}

bincode::impl_borrow_decode!(ByVerb);

/// The counters, field by field as the machine has them.
macro_rules! counters_record {
    ($($(#[doc = $doc:literal])* $field:ident: $type:ty,)+) => {
        #[derive(Encode, Decode)]
        pub(in crate::inspect) struct CountersRecord {
            $(pub(super) $field: $type,)+
        }

        impl CountersRecord {
            /// The highest number of each field.
            fn highest(&self) -> impl Iterator<Item = u64> {
                [$(self.$field.highest()),+].into_iter()
            }
        }

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
for_each_counter!(counters_record);

/// A counter, or several of one sort.
trait Counted {
    /// The highest of its numbers.
    fn highest(&self) -> u64;
}

impl Counted for u64 {
    fn highest(&self) -> u64 {
        *self
    }
}

impl Counted for u32 {
    fn highest(&self) -> u64 {
        u64::from(*self)
    }
}

impl Counted for ByKind<u64> {
    fn highest(&self) -> u64 {
        self.iter().map(|(_, count)| *count).max().unwrap_or(0)
    }
}

impl Counted for ByVerb {
    fn highest(&self) -> u64 {
        self.0.highest()
    }
}

impl<const N: usize> Counted for [u64; N] {
    fn highest(&self) -> u64 {
        self.iter().copied().max().unwrap_or(0)
    }
}

impl MachineRecord {
    /// The record as bytes, behind a magic number and the version of the format. Panics if they take more than a
    /// gibibyte.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        encode_into(self, &mut bytes);
        assert!(bytes.len() <= LIMIT, "a snapshot of {} bytes could not be restored", bytes.len());
        bytes
    }

    /// The record in these bytes. Fails unless they are a whole snapshot of this format, and no figure in it is
    /// impossibly high.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, RestoreError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(RestoreError::NotASnapshot)?;
        let Some((version, rest)) = rest.split_first_chunk() else {
            return Err(damaged("it ends within its header".to_owned()));
        };
        let found = u16::from_le_bytes(*version);
        if found != VERSION {
            return Err(RestoreError::Version { found, known: VERSION });
        }
        let record = decode::<Self, LIMIT>(rest).map_err(|error| match error {
            RecordError::Trailing(left) => damaged(format!("{left} bytes follow its end")),
            error => damaged(error.to_string()),
        })?;
        if record.figures().any(|figure| figure > MAX_FIGURE) {
            return Err(damaged("a figure is impossibly high".to_owned()));
        }
        Ok(record)
    }

    /// Every number that will be counted up further, or a number that is at least as high.
    fn figures(&self) -> impl Iterator<Item = u64> {
        let single = [self.seq, self.last_registration, self.last_order, self.tokens.0, self.tokens.1];
        let times = self.hold_times.iter().chain(self.wait_times.iter()).flat_map(|(_, times)| times.counts);
        single.into_iter().chain(self.counters.highest()).chain(times)
    }
}

/// The kind with this number.
pub(super) fn kind_of(number: u8) -> Result<Kind, RestoreError> {
    Kind::ALL
        .get(usize::from(number))
        .copied()
        .ok_or_else(|| damaged(format!("it has a lock of kind {number}")))
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

impl From<&Tally> for SumRecord {
    fn from(tally: &Tally) -> Self {
        Self {
            account: tally.account().0,
            connections: tally.connections(),
            holds: tally.holds(),
            waits: tally.waits(),
            ends: tally.ends(),
            memory_bytes: tally.memory(),
        }
    }
}
