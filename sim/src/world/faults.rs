//! Faults: the effect of each on the simulated world, and whether it made a difference.

use super::{Ended, Event, Fault, FaultKind, HOST, Host, Progress, World, host_name};
use std::time::Duration;

impl World<'_> {
    pub(super) fn fault(&mut self, fault: Fault) {
        if fault.host().is_some_and(|host| host.0 >= self.plan.hosts) {
            return;
        }
        self.log.note(Event::Fault(fault));
        match fault {
            Fault::Crash(host) => self.crash(host),
            Fault::Restart(host) => self.restart(host),
            Fault::CutOff(host) => {
                self.cut(host, FaultKind::CutOff);
                self.sim.partition(host_name(host), HOST);
            }
            Fault::Mute(host) => {
                self.cut(host, FaultKind::Mute);
                self.sim.partition_oneway(host_name(host), HOST);
            }
            Fault::Unheard(host) => {
                self.cut(host, FaultKind::Unheard);
                self.sim.partition_oneway(HOST, host_name(host));
            }
            Fault::Mend(host) => self.mend(host),
            Fault::Hold(host) => {
                self.laggard.insert(host, FaultKind::Hold);
                self.sim.hold(host_name(host), HOST);
            }
            Fault::Release(host) => {
                self.laggard.remove(&host);
                self.sim.release(host_name(host), HOST);
            }
            Fault::Slow(host, ms) => {
                self.laggard.insert(host, FaultKind::Slow);
                self.sim.set_link_latency(host_name(host), HOST, Duration::from_millis(ms.min(1000).into()));
            }
            Fault::Hasten(host) => {
                self.laggard.remove(&host);
                self.hasten(host);
            }
            Fault::KillServer => self.kill_server(),
            Fault::StartServer => self.start_server(),
            Fault::FillDisk => self.disk.set_full(true),
            Fault::FreeDisk => self.disk.set_full(false),
            Fault::KillAtReserve => self.disk.set_kill(true),
            Fault::Drain => {
                if self.is_server_dead {
                    return;
                }
                self.is_draining = true;
                if !self.connected().is_empty() {
                    self.log.bite(FaultKind::Drain);
                }
                self.server.shut_down();
            }
        }
    }

    fn crash(&mut self, host: Host) {
        if !self.crashed.insert(host) {
            return;
        }
        for client in self.clients_on(host) {
            let was = self.shared.progress.borrow_mut().insert(client, Progress::Over);
            self.shared.deeds.borrow_mut().remove(&client);
            if was == Some(Progress::Connected) {
                self.log.bite(FaultKind::Crash);
                self.log.note(Event::Ended(client, Ended::Crashed));
            }
        }
        self.sim.crash(host_name(host));
    }

    pub(super) fn restart(&mut self, host: Host) {
        if self.crashed.remove(&host) {
            self.sim.bounce(host_name(host));
        }
    }

    /// The host's connections are lost, even if it can be reached again: nothing is sent twice.
    fn cut(&mut self, host: Host, kind: FaultKind) {
        let lost = self.clients_on(host);
        if lost.iter().any(|client| self.connected().contains(client)) {
            self.log.bite(kind);
        }
        self.doomed.extend(lost);
        self.cut.insert(host);
        self.wires.cut(self.sim.lookup(host_name(host)));
    }

    pub(super) fn mend(&mut self, host: Host) {
        self.cut.remove(&host);
        self.sim.repair(host_name(host), HOST);
        self.wires.mend(self.sim.lookup(host_name(host)));
    }

    /// A link is as slow at most as all links are.
    pub(super) fn hasten(&mut self, host: Host) {
        let (_, most_us) = self.plan.network.latency_us;
        let latency = Duration::from_micros(u64::from(most_us).max(1_000));
        self.sim.set_link_latency(host_name(host), HOST, latency);
    }

    fn kill_server(&mut self) {
        if self.is_server_dead {
            return;
        }
        if !self.connected().is_empty() {
            self.log.bite(FaultKind::KillServer);
        }
        self.take_server_away();
    }

    /// Closes the sockets of a process that has ended.
    pub(super) fn take_server_away(&mut self) {
        self.is_server_dead = true;
        self.is_draining = false;
        self.server.dies();
        self.wires.set_killed(true);
        self.sim.crash(HOST);
        self.wires.set_killed(false);
    }

    pub(super) fn start_server(&mut self) {
        if std::mem::take(&mut self.is_server_dead) {
            self.sim.bounce(HOST);
        }
    }

    /// A slow or held link makes a difference as soon as a message is on its way there.
    pub(super) fn count_laggards(&mut self) {
        if self.laggard.is_empty() {
            return;
        }
        let mut busy = Vec::new();
        self.sim.links(|links| {
            for link in links {
                let pair = link.pair();
                if link.count() > 0 {
                    busy.extend([pair.0, pair.1]);
                }
            }
        });
        let late: Vec<Host> = self.laggard.keys().copied().collect();
        for host in late {
            if busy.contains(&self.sim.lookup(host_name(host))) {
                let kind = self.laggard.remove(&host).expect("it is there");
                self.log.bite(kind);
            }
        }
    }
}
