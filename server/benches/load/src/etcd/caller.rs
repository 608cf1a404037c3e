//! One client of etcd that asks one thing after the other. It is for what is not measured itself, such as taking a
//! hundred thousand locks, and for waiting.

use super::client::{Client, Failing, leads};
use super::runtime;
use crate::{LoadError, name};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;
use tokio::runtime::Runtime;

/// One client of etcd, with a lease.
pub struct EtcdCaller {
    runtime: Runtime,
    client: Client,
}

impl EtcdCaller {
    /// Connects, and asks for a lease of so many whole seconds. etcd gives no shorter ones than two.
    ///
    /// # Errors
    ///
    /// If that fails.
    pub fn connect(address: SocketAddr, ttl: Duration) -> Result<Self, LoadError> {
        let runtime = runtime()?;
        let client = runtime.block_on(Client::connect(address, ttl, Failing::Ends))?;
        Ok(Self { runtime, client })
    }

    /// Gets the locks with these numbers, and holds them as long as its lease lives.
    ///
    /// # Errors
    ///
    /// If it does not get one of them.
    pub fn hold(&mut self, numbers: Range<usize>) -> Result<(), LoadError> {
        self.runtime.block_on(self.client.hold(numbers))
    }

    /// Waits until it has the lock with this number, at most a minute.
    ///
    /// # Errors
    ///
    /// If it does not get it.
    pub fn wait_for(&mut self, number: usize) -> Result<(), LoadError> {
        self.runtime.block_on(self.client.lock(&name(number))).map(drop)
    }

    /// Begins the time of its lease anew.
    ///
    /// # Errors
    ///
    /// If the lease is over.
    pub fn keep(&mut self) -> Result<(), LoadError> {
        self.runtime.block_on(self.client.keep())
    }

    /// Ends its lease, and so all that it holds. Returns when that is done.
    ///
    /// # Errors
    ///
    /// If that fails.
    pub fn revoke(self) -> Result<(), LoadError> {
        self.runtime.block_on(self.client.revoke())
    }
}

/// Whether the member of an etcd cluster at this address is the leader.
///
/// # Errors
///
/// If it does not answer.
pub fn etcd_leads(address: SocketAddr) -> Result<bool, LoadError> {
    runtime()?.block_on(leads(address))
}
