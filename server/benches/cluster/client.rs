//! One client of a cluster, for what is not measured itself: it takes locks, waits for one, and ends.

use crate::cluster::Cluster;
use crate::support::Failure;
use crate::system::System;
use elockd_load::{Caller, EtcdCaller, Grip, LoadError, Target};
use std::ops::Range;
use std::time::Duration;

/// The number of a lock that nobody else asks for.
const OWN: usize = 900_000_000;

pub(crate) enum Client {
    Elockd(Caller),
    Etcd(EtcdCaller),
}

impl Client {
    /// Connects to a node. A client of etcd asks for a lease that lasts so long.
    pub(crate) fn connect(cluster: &Cluster, nth: usize, lease: Duration) -> Result<Self, Failure> {
        let address = cluster.nodes[nth].places.clients;
        Ok(match cluster.system {
            System::Etcd => Self::Etcd(EtcdCaller::connect(address, lease)?),
            system @ (System::Elockd | System::Alone) => {
                Self::Elockd(Caller::connect(Target { address, protocol: system.protocol() })?)
            }
        })
    }

    /// Gets the locks with these numbers.
    pub(crate) fn hold(&mut self, numbers: Range<usize>) -> Result<(), LoadError> {
        match self {
            Self::Elockd(caller) => caller.hold(numbers, Grip::Exclusive),
            Self::Etcd(caller) => caller.hold(numbers),
        }
    }

    /// Waits until it has the lock with this number.
    pub(crate) fn wait_for(&mut self, number: usize) -> Result<(), LoadError> {
        match self {
            Self::Elockd(caller) => caller.wait_for(number),
            Self::Etcd(caller) => caller.wait_for(number),
        }
    }

    /// Has the node do something, which it can only if it serves: a get and a release, or a lease kept.
    pub(crate) fn try_node(&mut self) -> Result<(), LoadError> {
        match self {
            Self::Elockd(caller) => caller.get_and_release(OWN),
            Self::Etcd(caller) => caller.keep(),
        }
    }

    /// Says that it lives, if it has to.
    pub(crate) fn keep(&mut self) -> Result<(), LoadError> {
        match self {
            Self::Elockd(_) => Ok(()),
            Self::Etcd(caller) => caller.keep(),
        }
    }

    /// Ends in order: it closes its connection, or revokes its lease.
    pub(crate) fn end(self) -> Result<(), LoadError> {
        match self {
            Self::Elockd(caller) => {
                drop(caller);
                Ok(())
            }
            Self::Etcd(caller) => caller.revoke(),
        }
    }
}
