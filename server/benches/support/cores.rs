//! The use of processor cores: servers run on one and the load on another, or the kernel chooses.

use super::Failure;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;
use std::process::{Child, Command};

/// Which core servers and load run on.
pub(crate) struct Cores {
    pinned: Option<Pinned>,
}

struct Pinned {
    server: usize,
    load: usize,
}

impl Cores {
    /// Puts this thread, and every thread that it starts from now on, on the core for load.
    pub(crate) fn choose(wants_pinned: bool) -> Result<Self, Failure> {
        if !wants_pinned {
            return Ok(Self { pinned: None });
        }
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let (Some(load), Some(server)) = (cores.next(), cores.next()) else {
            return Err("there is one core only: measure with --unpinned".into());
        };
        sched_setaffinity(None, &only(load))?;
        Ok(Self { pinned: Some(Pinned { server, load }) })
    }

    /// Starts a server on the servers' core. This works because a child gets the affinity of the thread that starts it.
    pub(crate) fn start_server(&self, command: &mut Command) -> io::Result<Child> {
        let Some(Pinned { server, load }) = self.pinned else { return command.spawn() };
        sched_setaffinity(None, &only(server))?;
        let child = command.spawn();
        sched_setaffinity(None, &only(load))?;
        child
    }

    /// A description for people.
    pub(crate) fn describe(&self) -> String {
        match self.pinned {
            Some(Pinned { server, load }) => format!("servers on core {server}, load on core {load}"),
            None => "not pinned".to_owned(),
        }
    }
}

fn only(core: usize) -> CpuSet {
    let mut cores = CpuSet::new();
    cores.set(core);
    cores
}
