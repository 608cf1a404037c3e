//! etcd's messages, as far as locks need them. They are written by hand after etcd's `rpc.proto` and `v3lock.proto`:
//! fields that nothing here sets or reads are left out, and their numbers are etcd's.

use prost::{Enumeration, Message, Oneof};

/// What stands at the head of every answer.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Header {
    #[prost(uint64, tag = "2")]
    pub(super) member_id: u64,
}

/// Operations that run if all comparisons hold.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Txn {
    #[prost(message, repeated, tag = "1")]
    pub(super) compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub(super) success: Vec<Operation>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TxnAnswer {
    #[prost(bool, tag = "2")]
    pub(super) succeeded: bool,
}

/// What of a key is compared. `result` is left out: its default is "equal".
#[derive(Clone, PartialEq, Message)]
pub(super) struct Compare {
    #[prost(enumeration = "Compared", tag = "2")]
    pub(super) target: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) key: Vec<u8>,
    #[prost(oneof = "Revision", tags = "5")]
    pub(super) revision: Option<Revision>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(super) enum Compared {
    Version = 0,
    CreateRevision = 1,
}

/// The revision at which the key was created: 0 if it is not there.
#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Revision {
    #[prost(int64, tag = "5")]
    Created(i64),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Operation {
    #[prost(oneof = "Kind", tags = "2")]
    pub(super) kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Kind {
    #[prost(message, tag = "2")]
    Put(Put),
}

/// The value is left out: it is empty.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Put {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub(super) lease: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Delete {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeleteAnswer {
    #[prost(int64, tag = "2")]
    pub(super) deleted: i64,
}

/// Asks for a lease. etcd chooses its number.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Grant {
    #[prost(int64, tag = "1")]
    pub(super) ttl_s: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GrantAnswer {
    #[prost(int64, tag = "2")]
    pub(super) lease: i64,
    #[prost(int64, tag = "3")]
    pub(super) ttl_s: i64,
}

/// Names a lease: to end it, or to keep it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Lease {
    #[prost(int64, tag = "1")]
    pub(super) lease: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeepAnswer {
    /// 0 if the lease is over.
    #[prost(int64, tag = "3")]
    pub(super) ttl_s: i64,
}

/// An answer of which nothing is read, or a question that says nothing.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Nothing {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusAnswer {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<Header>,
    /// The leader's number. 0 if the member knows none.
    #[prost(uint64, tag = "4")]
    pub(super) leader: u64,
}

/// Waits for the lock of this name, and has it as long as the lease lives.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Lock {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) name: Vec<u8>,
    #[prost(int64, tag = "2")]
    pub(super) lease: i64,
}

/// The key by which the lock is held.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LockAnswer {
    #[prost(bytes = "vec", tag = "2")]
    pub(super) key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Unlock {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
}
