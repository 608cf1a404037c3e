//! The liveness phase. Faults are over and everything broken is repaired. Within a bound of virtual time every
//! surviving client, and one new client from each host, must get and release every lock. In the end nothing may be
//! held, and no task or mailbox of a connection may be left.

use super::client::{Deed, Door, Progress, fresh};
use super::{Client, Event, Host, World, host_name};

impl World<'_> {
    pub(super) fn liveness(&mut self) {
        self.log.note(Event::LivenessBegins);
        for host in (0..self.plan.hosts).map(Host) {
            self.mend(host);
            self.sim.release(host_name(host), super::HOST);
            self.hasten(host);
            self.restart(host);
        }
        self.laggard.clear();
        self.disk.set_full(false);
        self.disk.set_kill(false);
        if self.is_draining {
            self.wait_for_the_shutdown();
        }
        self.start_server();
        let mut expected = Vec::new();
        // Clients that are not connected yet go on with their script, and hold locks then.
        for client in self.placed.keys().copied().collect::<Vec<_>>() {
            let is_connected = self.progress(client) == Some(Progress::Connected);
            if is_connected && !self.doomed.contains(&client) {
                expected.push(client);
            }
            self.shared.order(client, Deed::Survive);
        }
        for host in 0..self.plan.hosts {
            let client = fresh(host);
            self.open(client, Host(host), Door::Public);
            self.shared.order(client, Deed::Survive);
            expected.push(client);
        }
        self.wait_until_all_have_survived(&expected);
        self.wait_until_nothing_is_held();
    }

    fn bound_ms(&self) -> u32 {
        let server = &self.plan.server;
        self.at_ms
            + self.plan.liveness_ms
            + server.write_timeout_ms
            + server.idle_ms
            + server.linger_ms
            + self.plan.network.peer_timeout_ms
    }

    fn wait_until_all_have_survived(&mut self, expected: &[Client]) {
        let bound_ms = self.bound_ms();
        loop {
            let waiting = expected.iter().find(|client| self.is_under_way(**client)).copied();
            let Some(waiting) = waiting else { return };
            if self.at_ms > bound_ms {
                let what = format!("{waiting} has not got and released every lock, and faults are long over");
                self.log.violate("liveness", None, what);
            }
            if self.log.is_violated() {
                return;
            }
            self.step();
        }
    }

    fn is_under_way(&self, client: Client) -> bool {
        !matches!(self.progress(client), Some(Progress::Survived | Progress::Over))
    }

    /// A shutdown ends within its timeout, however many clients do not take their replies.
    fn wait_for_the_shutdown(&mut self) {
        /// Time for the last replies of connections, and for whole milliseconds.
        const SLACK_MS: u32 = 1_100;
        let server = &self.plan.server;
        let bound_ms = self.at_ms + server.shutdown_timeout_ms + SLACK_MS;
        while !self.is_server_dead && !self.log.is_violated() {
            if self.at_ms > bound_ms {
                self.log.violate("liveness", None, "the shutdown does not end".to_owned());
            }
            self.step();
        }
    }

    /// Once every client has gone, no connection is left in the machine, and soon no session.
    fn wait_until_nothing_is_held(&mut self) {
        let bound_ms = self.bound_ms();
        let clients: Vec<Client> = self.connected();
        for client in clients {
            self.shared.order(client, Deed::Close);
        }
        while !self.log.is_violated() && self.server.open_connections() > 0 {
            if self.at_ms > bound_ms {
                let left = self.server.open_connections();
                self.log.violate("liveness", None, format!("{left} connections are left with nobody there"));
            }
            self.step();
        }
        self.wait_until_no_session_is_left();
        self.server.check_nothing_is_held(self.log);
        self.wait_until_nothing_is_left();
    }

    /// Once every connection is gone, what connections have left ends in its time.
    fn wait_until_no_session_is_left(&mut self) {
        /// The server's clock counts whole milliseconds, and began somewhere within one.
        const SLACK_MS: u32 = 10;
        let bound_ms = self.at_ms + self.plan.server.linger_ms + SLACK_MS;
        while !self.log.is_violated() && self.server.sessions() > 0 {
            if self.at_ms > bound_ms {
                let left = self.server.sessions();
                self.log.violate("liveness", None, format!("{left} sessions are left beyond their time"));
            }
            self.step();
        }
    }

    /// Once every connection is gone, so are the tasks that served them, and their mailboxes.
    fn wait_until_nothing_is_left(&mut self) {
        /// Time to take and drop what a client still sends.
        const LINGER_MS: u32 = 1_100;
        let bound_ms = self.bound_ms() + LINGER_MS;
        while !self.log.is_violated() && self.server.tasks_and_mailboxes() != (0, 0) {
            if self.at_ms > bound_ms {
                let (tasks, mailboxes) = self.server.tasks_and_mailboxes();
                let what = format!("{tasks} tasks and {mailboxes} mailboxes are left, and nobody is there");
                self.log.violate("nothing is left", None, what);
            }
            self.step();
        }
    }
}
