//! Logs made by hand, for tests: one server, connections that are numbered as their clients are, and a
//! millisecond for each thing that happens.

use crate::log::{Applied, Ended, Entry, Event, Life, Told};
use crate::plan::Plan;
use crate::script::{Client, Fault, Host};
use crate::world::Report;
use elockd_core::probe::Mark;
use elockd_core::{Account, Addr, Cause, Command, Conn, Input, Now, Origin, Reason, Seq};
use elockd_model_tests::lines::commands;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A log that grows.
pub(super) struct Scene {
    pub(super) entries: Vec<Entry>,
    pub(super) life: Life,
    at_ms: u32,
}

impl Scene {
    /// The server has just started.
    pub(super) fn new() -> Self {
        let mut scene = Self { entries: Vec::new(), life: Life(1), at_ms: 0 };
        scene.note(Event::ServerStarted(Life(1)));
        scene
    }

    /// Whatever happens, happens a millisecond later. Its place is given back.
    pub(super) fn note(&mut self, event: Event) -> usize {
        self.entries.push(Entry { at_ms: self.at_ms, event });
        self.at_ms += 1;
        self.entries.len() - 1
    }

    /// Time passes.
    pub(super) fn wait(&mut self, ms: u32) {
        self.at_ms += ms;
    }

    /// A client connects.
    pub(super) fn open(&mut self, number: u32, host: u8) -> usize {
        let addr = addr(number, host);
        let client = Client(number);
        self.note(Event::Connected { client, host: Host(host), addr });
        self.accept(number, host)
    }

    /// The server has a connection, whether its client knows or not.
    pub(super) fn accept(&mut self, number: u32, host: u8) -> usize {
        let origin = Origin { addr: Addr::Ip(addr(number, host)), account: Account::default() };
        self.input(Input::Opened(conn(number), origin), Vec::new())
    }

    /// A command is applied and answered.
    pub(super) fn apply(&mut self, number: u32, line: &[u8], reply: &[u8]) -> usize {
        let command = commands(&[line, b"\n"].concat(), 1_000).remove(0);
        self.input(Input::Command(conn(number), command), vec![(conn(number), Told::Reply(reply.to_vec()))])
    }

    /// A command is applied, and its connection waits.
    pub(super) fn waits(&mut self, number: u32, line: &[u8]) -> usize {
        let command = commands(&[line, b"\n"].concat(), 1_000).remove(0);
        self.input(Input::Command(conn(number), command), vec![(conn(number), Told::Wait)])
    }

    /// A command is applied and answered, and another connection is told something by it.
    pub(super) fn tell(&mut self, number: u32, line: &[u8], reply: &[u8], other: u32, news: &[u8]) -> usize {
        let command = commands(&[line, b"\n"].concat(), 1_000).remove(0);
        let told = [(number, reply), (other, news)];
        let told = told.map(|(number, text)| (conn(number), Told::Reply(text.to_vec())));
        self.input(Input::Command(conn(number), command), told.to_vec())
    }

    /// A client asks, and hears the answer.
    pub(super) fn ask(&mut self, number: u32, line: &[u8], reply: &[u8]) -> usize {
        self.note(Event::Sent(Client(number), [line, b"\n"].concat()));
        let place = self.apply(number, line, reply);
        self.note(Event::Received(Client(number), reply.to_vec()));
        place
    }

    /// The machine closes a connection.
    pub(super) fn disconnect(&mut self, number: u32, reason: Reason) -> usize {
        self.input(Input::Tick, vec![(conn(number), Told::Disconnect(reason))])
    }

    /// The server says that a connection is closed.
    pub(super) fn close(&mut self, number: u32, cause: Cause) -> usize {
        self.input(Input::Closed(conn(number), cause), Vec::new())
    }

    /// A client's side is over.
    pub(super) fn end(&mut self, number: u32, ended: Ended) -> usize {
        self.note(Event::Ended(Client(number), ended))
    }

    /// A fault begins or ends.
    pub(super) fn fault(&mut self, fault: Fault) -> usize {
        self.note(Event::Fault(fault))
    }

    /// The server is killed.
    pub(super) fn kill(&mut self) -> usize {
        self.fault(Fault::KillServer)
    }

    /// The server starts again.
    pub(super) fn restart(&mut self) -> usize {
        self.life.0 += 1;
        self.note(Event::ServerStarted(self.life))
    }

    /// The run is over.
    pub(super) fn report(self) -> (Plan, Report) {
        let virtual_ms = self.at_ms;
        let marks = [0; Mark::COUNT];
        let report =
            Report { entries: self.entries, violation: None, bites: BTreeMap::new(), marks, virtual_ms };
        (crate::draw::swarm(1).0, report)
    }

    fn input(&mut self, input: Input<Command<Vec<u8>>>, told: Vec<(Conn, Told)>) -> usize {
        let (life, now) = (self.life, Now(self.at_ms.into()));
        let seq = Seq(self.entries.len() as u64);
        self.note(Event::Applied(Applied { life, seq, now, input, told }))
    }
}

/// The machine's number for a client's connection.
pub(super) fn conn(number: u32) -> Conn {
    Conn::new(0, number.into())
}

fn addr(number: u32, host: u8) -> SocketAddr {
    SocketAddr::from(([192, 168, 0, host + 1], 5_000 + number as u16))
}
