//! The load generator: one thread with epoll and a closed loop of connections. They send what was rendered beforehand,
//! and check every byte that they hear. It must never be the bottleneck. So nothing allocates once a run has begun, and
//! a turn of a connection is one read and one write. It must never count a reply that it has not checked.
//!
//! The clients of etcd over gRPC are the exception: they are in `etcd/`, with a runtime.
//!
//! [`Load`] measures for a set time. [`Watch`] records every latency until it is told to stop. A [`Caller`] sends one
//! request after the other, and can hold a million locks.

#![forbid(unsafe_code)]

mod caller;
mod error;
mod etcd;
mod expect;
mod filler;
mod http;
mod link;
mod meter;
mod order;
mod poll;
mod protocol;
mod reconnect;
mod ring;
mod script;
mod steady;
mod watch;

pub use caller::{Caller, Grip};
pub use error::LoadError;
pub use etcd::{EtcdCaller, etcd_leads};
pub use meter::{Edge, Report};
pub use protocol::{ECHO_REPLY, Protocol, name};
pub use script::FRESH_NAMES;
pub use watch::{Latencies, Sample, Watch};

use meter::Window;
use script::Script;
use std::net::SocketAddr;
use std::time::Duration;

/// The server, and its protocol.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The address on which it listens.
    pub address: SocketAddr,
    /// The protocol that it speaks.
    pub protocol: Protocol,
}

/// What the connections of a run do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// Each gets and releases a lock of its own, over and over. An operation is one request.
    Uncontended,
    /// Like [`Self::Uncontended`], but each time with the next of [`FRESH_NAMES`] names of its own. So it never asks
    /// for the lock that it released last. An operation is one request.
    Fresh,
    /// Connect, get, release, close, over and over. An operation is all four.
    Reconnect,
    /// All try to get one lock, and send a release even if they did not get it. An operation is one request.
    Fight,
    /// All wait in line for one lock, and send its release before they have it. An operation is one request.
    LinePipelined,
    /// All wait in line for one lock. The one that gets it releases it and waits again, with one write. An operation is
    /// one turn, from one holder to the next.
    LineTurns,
    /// Like [`Self::LineTurns`], without locks: the reply to one connection makes the next one send. An operation is
    /// one turn. It shows what the system calls of server and generator allow.
    Token,
    /// Each tries to get random locks, exclusive and shared, and sends a release even if it did not get them. An
    /// operation is one request.
    Crowd {
        /// How many names there are.
        names: usize,
    },
    /// Each gets one lock that all share, gets and releases a lock of its own, and then releases the shared one. An
    /// operation is one request.
    Mixed,
}

/// One run: what to do, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// What the connections do.
    pub scenario: Scenario,
    /// How many there are.
    pub connections: usize,
    /// Requests that a connection has sent and not had the replies to: 1, or an even number. For [`Scenario::Mixed`] at
    /// least four. Scenarios of turns have a depth of their own.
    pub depth: usize,
    /// How long it runs before counting begins.
    pub warm_up: Duration,
    /// How long operations are counted.
    pub measured: Duration,
}

impl Load {
    /// Runs it. `at_edge` is called when counting begins and when it ends.
    ///
    /// # Errors
    ///
    /// If a reply is not the expected one, if the target is silent for ten seconds, if a socket fails, or if the
    /// target's protocol has no such scenario.
    pub fn run(&self, target: Target, at_edge: &mut dyn FnMut(Edge)) -> Result<Report, LoadError> {
        self.run_over(&[target.address], target.protocol, at_edge)
    }

    /// Runs it with connections that are spread evenly over the nodes of a cluster. `Reconnect` goes to the first node
    /// alone.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_over(
        &self,
        addresses: &[SocketAddr],
        protocol: Protocol,
        at_edge: &mut dyn FnMut(Edge),
    ) -> Result<Report, LoadError> {
        let window = Window::new(self.warm_up, self.measured, at_edge);
        let Self { scenario, connections, depth, .. } = *self;
        if !protocol.has(scenario) {
            return Err(LoadError::NoSuchScenario { scenario, protocol });
        }
        if protocol == Protocol::EtcdGrpc {
            return match scenario {
                Scenario::LineTurns => etcd::line(addresses, connections, window),
                _ => etcd::uncontended(addresses, connections, window),
            };
        }
        let scripts = |script: &dyn Fn(usize) -> Script| (0..connections).map(script).collect::<Vec<_>>();
        match scenario {
            Scenario::Uncontended => {
                let scripts = scripts(&|who| Script::uncontended(protocol, &name(who), depth));
                steady::run(addresses, &scripts, window)
            }
            Scenario::Fresh => {
                steady::run(addresses, &scripts(&|who| Script::fresh(protocol, who, depth)), window)
            }
            Scenario::Fight => steady::run(addresses, &scripts(&|_| Script::fight(protocol, depth)), window),
            Scenario::LinePipelined => steady::run(addresses, &scripts(&|_| Script::line(depth)), window),
            Scenario::Mixed => {
                steady::run(addresses, &scripts(&|who| Script::mixed(who, connections, depth)), window)
            }
            Scenario::Crowd { names } => {
                let scripts = scripts(&|who| Script::crowd(who, connections, names));
                steady::run(addresses, &scripts, window)
            }
            Scenario::LineTurns => ring::line(addresses, connections, window),
            Scenario::Token => ring::token(addresses, connections, window),
            Scenario::Reconnect => {
                let scripts = scripts(&|who| Script::uncontended(protocol, &name(who), 1));
                reconnect::run(addresses[0], &scripts, window)
            }
        }
    }
}
