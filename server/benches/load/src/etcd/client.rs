//! A client of etcd as its users are told to write one: a lease that ends with the client, and keys that end with the
//! lease. A lock that is taken at once is a key, put by a transaction if it was never created. A lock that is waited
//! for is etcd's own lock service, which keeps the order.

use super::channel::Channel;
use super::messages::{
    Compare, Compared, Delete, DeleteAnswer, Grant, GrantAnswer, KeepAnswer, Kind, Lease, Lock, LockAnswer,
    Nothing, Operation, Put, Revision, StatusAnswer, Txn, TxnAnswer, Unlock,
};
use crate::{LoadError, expect, name};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use prost::Message;
use std::cell::Cell;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// How long it waits for an answer before it gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits for a lock.
const LONG_PATIENCE: Duration = Duration::from_mins(1);
/// How long it waits before it asks again, if the answer was a refusal.
const PAUSE: Duration = Duration::from_millis(10);
/// The most operations that etcd takes in one transaction.
const AT_ONCE: usize = 128;
/// Transactions under way when many locks are taken.
const UNDER_WAY: usize = 8;

/// What a client does about an answer that does not come, or is a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    /// It fails.
    Ends,
    /// It asks again. This is for clients that have to survive the death of a node.
    AsksAgain {
        /// After so long without an answer. etcd itself answers a request that was lost with its leader after 7 s.
        after: Duration,
    },
}

pub(super) struct Client {
    channel: Channel,
    lease: i64,
    failing: Failing,
    /// How often it had to ask again.
    asked_again: Cell<u64>,
}

impl Client {
    /// Connects, and asks for a lease. etcd may make it longer.
    pub(super) async fn connect(
        address: SocketAddr,
        ttl: Duration,
        failing: Failing,
    ) -> Result<Self, LoadError> {
        let channel = Channel::connect(address).await?;
        let ttl_s = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let granted: GrantAnswer =
            channel.ask("/etcdserverpb.Lease/LeaseGrant", &Grant { ttl_s }, PATIENCE).await?;
        if granted.lease == 0 || granted.ttl_s < ttl_s {
            return Err(wrong("a lease", &granted));
        }
        Ok(Self { channel, lease: granted.lease, failing, asked_again: Cell::new(0) })
    }

    pub(super) fn asked_again(&self) -> u64 {
        self.asked_again.get()
    }

    /// Gets a lock that nobody has.
    pub(super) async fn get(&self, name: &str) -> Result<(), LoadError> {
        let txn = Txn { compare: vec![is_new(name.into())], success: vec![put(name.into(), self.lease)] };
        let (answer, is_first): (TxnAnswer, _) = self.insist("/etcdserverpb.KV/Txn", &txn).await?;
        // The first time it may have been done, and nobody else asks for this lock.
        if answer.succeeded || !is_first { Ok(()) } else { Err(wrong("a key that was put", &answer)) }
    }

    /// Releases it.
    pub(super) async fn release(&self, name: &str) -> Result<(), LoadError> {
        let delete = Delete { key: name.into() };
        let (answer, is_first): (DeleteAnswer, _) =
            self.insist("/etcdserverpb.KV/DeleteRange", &delete).await?;
        if answer.deleted == 1 || !is_first { Ok(()) } else { Err(wrong("a key that was deleted", &answer)) }
    }

    /// Waits for a lock. Returns the key by which it is held.
    pub(super) async fn lock(&self, name: &str) -> Result<Vec<u8>, LoadError> {
        let lock = Lock { name: name.into(), lease: self.lease };
        let answer: LockAnswer = self.channel.ask("/v3lockpb.Lock/Lock", &lock, LONG_PATIENCE).await?;
        if answer.key == key_of(name, self.lease) {
            Ok(answer.key)
        } else {
            Err(wrong("the key of a lock", &answer))
        }
    }

    /// Releases it.
    pub(super) async fn unlock(&self, key: Vec<u8>) -> Result<(), LoadError> {
        let _: Nothing = self.channel.ask("/v3lockpb.Lock/Unlock", &Unlock { key }, PATIENCE).await?;
        Ok(())
    }

    /// Gets the locks with these numbers, as its lock service would hold them.
    pub(super) async fn hold(&self, numbers: Range<usize>) -> Result<(), LoadError> {
        let names: Vec<usize> = numbers.collect();
        let take = |numbers: &[usize]| {
            let keys = || numbers.iter().map(|&number| key_of(&name(number), self.lease));
            let txn = Txn {
                compare: keys().map(is_new).collect(),
                success: keys().map(|key| put(key, self.lease)).collect(),
            };
            async move {
                let answer: TxnAnswer = self.channel.ask("/etcdserverpb.KV/Txn", &txn, PATIENCE).await?;
                if answer.succeeded { Ok(()) } else { Err(wrong("keys that were put", &answer)) }
            }
        };
        let taken = stream::iter(names.chunks(AT_ONCE)).map(take).buffer_unordered(UNDER_WAY);
        taken.try_collect().await
    }

    /// Begins the time of its lease anew.
    pub(super) async fn keep(&self) -> Result<(), LoadError> {
        let lease = Lease { lease: self.lease };
        let kept: KeepAnswer =
            self.channel.ask("/etcdserverpb.Lease/LeaseKeepAlive", &lease, PATIENCE).await?;
        if kept.ttl_s > 0 { Ok(()) } else { Err(wrong("a lease that lives", &kept)) }
    }

    /// Ends its lease, and so all that it holds.
    pub(super) async fn revoke(&self) -> Result<(), LoadError> {
        let lease = Lease { lease: self.lease };
        let _: Nothing = self.channel.ask("/etcdserverpb.Lease/LeaseRevoke", &lease, LONG_PATIENCE).await?;
        Ok(())
    }

    /// Asks as often as it has to. Returns also whether the first time was enough.
    async fn insist<A: Message + Default>(
        &self,
        method: &'static str,
        question: &impl Message,
    ) -> Result<(A, bool), LoadError> {
        let Failing::AsksAgain { after } = self.failing else {
            return Ok((self.channel.ask(method, question, PATIENCE).await?, true));
        };
        let mut is_first = true;
        loop {
            match self.channel.ask(method, question, after).await {
                Ok(answer) => return Ok((answer, is_first)),
                Err(LoadError::Silence { .. }) => {}
                Err(LoadError::Refused { .. }) => tokio::time::sleep(PAUSE).await,
                Err(failure) => return Err(failure),
            }
            is_first = false;
            self.asked_again.set(self.asked_again.get() + 1);
        }
    }
}

/// Whether the node at this address leads.
pub(super) async fn leads(address: SocketAddr) -> Result<bool, LoadError> {
    let channel = Channel::connect(address).await?;
    let status: StatusAnswer = channel.ask("/etcdserverpb.Maintenance/Status", &Nothing {}, PATIENCE).await?;
    Ok(status.header.is_some_and(|header| header.member_id == status.leader))
}

/// The key by which etcd's lock service holds a lock.
fn key_of(name: &str, lease: i64) -> Vec<u8> {
    format!("{name}/{lease:x}").into_bytes()
}

fn is_new(key: Vec<u8>) -> Compare {
    Compare { target: Compared::CreateRevision.into(), key, revision: Some(Revision::Created(0)) }
}

fn put(key: Vec<u8>, lease: i64) -> Operation {
    Operation { kind: Some(Kind::Put(Put { key, lease })) }
}

fn wrong(expected: &str, heard: &(impl Message + Debug)) -> LoadError {
    expect::wrong(expected.as_bytes(), format!("{heard:?}").as_bytes())
}
