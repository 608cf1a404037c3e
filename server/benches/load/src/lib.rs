//! The load generator: one thread, epoll, a closed loop of connections that say what was rendered beforehand and
//! check every byte that they hear. It must never be the bottleneck, so nothing allocates once a run has begun,
//! and a turn of a connection is one read and one write; and it must never count a reply that it has not checked.
//!
//! [`Load`] measures for a set time, [`Watch`] records every latency until it is told to stop, a [`Caller`]
//! asks one thing after the other and can hold a million locks.

#![forbid(unsafe_code)]

mod caller;
mod error;
mod expect;
mod filler;
mod http;
mod link;
mod meter;
mod poll;
mod protocol;
mod reconnect;
mod ring;
mod script;
mod steady;
mod watch;

pub use caller::{Caller, Grip};
pub use error::LoadError;
pub use meter::{Edge, Report};
pub use protocol::{ECHO_REPLY, Protocol, name};
pub use script::FRESH_NAMES;
pub use watch::{Latencies, Sample, Watch};

use meter::Window;
use script::Script;
use std::net::SocketAddr;
use std::time::Duration;

/// Who is spoken to, and how.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
}

/// What the connections of a run do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// Each gets and releases a lock of its own, over and over. An operation is one request.
    Uncontended,
    /// As [`Self::Uncontended`], but with the next of [`FRESH_NAMES`] names of its own each time, so that no lock that
    /// is asked for is the one that was released last. An operation is one request.
    Fresh,
    /// Connect, get, release, close, over and over. An operation is all four.
    Reconnect,
    /// All try to get one lock, and release it whether they got it or not. An operation is one request.
    Fight,
    /// All wait in line for one lock, and have sent its release before they have it. An operation is one request.
    LinePipelined,
    /// All wait in line for one lock; whoever gets it releases it and lines up again with one write. An operation
    /// is one turn, from one holder to the next.
    LineTurns,
    /// As [`Self::LineTurns`], without locks: the reply to one connection makes the next one send. An operation
    /// is one turn. It is what the server's and the generator's system calls allow.
    Token,
    /// Each tries to get locks at random, exclusive and shared, out of so many, and releases them whether it got
    /// them or not. An operation is one request.
    Crowd {
        /// How many names there are.
        names: usize,
    },
    /// Each takes a share of one lock that all share, gets and releases a lock of its own, and gives the share
    /// back. An operation is one request.
    Mixed,
}

/// One run: what to do, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// What the connections do.
    pub scenario: Scenario,
    /// How many there are.
    pub connections: usize,
    /// Requests that a connection has sent and not heard of: 1, or an even number ([`Scenario::Mixed`]: four at
    /// least). Scenarios that are turns have one of their own.
    pub depth: usize,
    /// How long it runs before anything counts.
    pub warm_up: Duration,
    /// How long it counts.
    pub measured: Duration,
}

impl Load {
    /// Runs it. `at_edge` is called when counting begins and when it ends.
    ///
    /// # Errors
    ///
    /// When a reply is not what it has to be, when the target is silent for ten seconds, when a socket fails, and
    /// when the target's protocol has no such scenario.
    pub fn run(&self, target: Target, at_edge: &mut dyn FnMut(Edge)) -> Result<Report, LoadError> {
        let Target { address, protocol } = target;
        let window = Window::new(self.warm_up, self.measured, at_edge);
        let Self { scenario, connections, depth, .. } = *self;
        if !protocol.has(scenario) {
            return Err(LoadError::NoSuchScenario { scenario, protocol });
        }
        let scripts = |script: &dyn Fn(usize) -> Script| (0..connections).map(script).collect::<Vec<_>>();
        match scenario {
            Scenario::Uncontended => {
                let scripts = scripts(&|who| Script::uncontended(protocol, &name(who), depth));
                steady::run(address, &scripts, window)
            }
            Scenario::Fresh => {
                steady::run(address, &scripts(&|who| Script::fresh(protocol, who, depth)), window)
            }
            Scenario::Fight => steady::run(address, &scripts(&|_| Script::fight(protocol, depth)), window),
            Scenario::LinePipelined => steady::run(address, &scripts(&|_| Script::line(depth)), window),
            Scenario::Mixed => {
                steady::run(address, &scripts(&|who| Script::mixed(who, connections, depth)), window)
            }
            Scenario::Crowd { names } => {
                let scripts = scripts(&|who| Script::crowd(who, connections, names));
                steady::run(address, &scripts, window)
            }
            Scenario::LineTurns => ring::line(address, connections, window),
            Scenario::Token => ring::token(address, connections, window),
            Scenario::Reconnect => {
                let scripts = scripts(&|who| Script::uncontended(protocol, &name(who), 1));
                reconnect::run(address, &scripts, window)
            }
        }
    }
}
