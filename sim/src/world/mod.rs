//! The simulated world: the production server on one host, clients on others, a network between them, and a script
//! that says what clients and network do. It runs a script to its end, or to the first violation, and returns the
//! log.

mod client;
mod disk;
mod faults;
mod liveness;
mod server;
mod wire;

use crate::log::{Ended, Entry, Event, Log, Violation};
use crate::panics;
use crate::plan::Plan;
use crate::script::{Action, Client, Fault, FaultKind, Host, Step};
use client::{Deed, Door, Progress, Queue, Shared};
use disk::Disk;
use elockd_core::probe::{self, Mark};
use server::{HOST, ServerHost};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};
use turmoil::{Builder, Sim};
use wire::Wires;

/// The result of a run.
pub struct Report {
    /// Everything that happened.
    pub entries: Vec<Entry>,
    /// The first invariant that was violated during the run.
    pub violation: Option<Violation>,
    /// How often each kind of fault made a difference.
    pub bites: BTreeMap<FaultKind, u64>,
    /// How often each mark was reached, in the order of [`Mark::ALL`].
    pub marks: [u64; Mark::COUNT],
    /// How long it took, in milliseconds of virtual time.
    pub virtual_ms: u32,
}

/// Runs a script.
#[must_use]
pub fn run(plan: &Plan, script: &[Step]) -> Report {
    // Marks of an earlier run on this thread do not count for this one.
    let _ = probe::take();
    let log = Log::default();
    let panicked = panics::catch(|| World::new(plan, &log, script).run());
    if let Err(panic) = panicked {
        log.violate("no panic", None, panic);
    }
    let virtual_ms = log.time_ms();
    let (entries, violation, bites) = log.take();
    Report { entries, violation, bites, marks: probe::take(), virtual_ms }
}

struct World<'a> {
    plan: &'a Plan,
    log: &'a Log,
    script: &'a [Step],
    sim: Sim<'a>,
    server: Rc<ServerHost>,
    wires: Wires,
    disk: Disk,
    shared: Rc<Shared>,
    hosts: Vec<Rc<Queue<(Client, Door)>>>,
    /// The host of each client.
    placed: BTreeMap<Client, Host>,
    /// Clients whose connections lost bytes, or whose own side ended. They cannot be expected to survive.
    doomed: BTreeSet<Client>,
    /// Hosts whose processes were killed.
    crashed: BTreeSet<Host>,
    /// Hosts that are cut off, one way or both.
    cut: BTreeSet<Host>,
    /// Slow or held links, and whether each has made a difference yet.
    laggard: BTreeMap<Host, FaultKind>,
    is_server_dead: bool,
    /// Whether the present process was told to shut down.
    is_draining: bool,
    at_ms: u32,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, log: &'a Log, script: &'a [Step]) -> Self {
        let (least, most) = plan.network.latency_us;
        let mut sim = Builder::new()
            .epoch(UNIX_EPOCH)
            .rng_seed(plan.seed)
            .tick_duration(Duration::from_millis(1))
            // The world itself decides when a run is over.
            .simulation_duration(Duration::from_hours(24))
            .min_message_latency(Duration::from_micros(least.into()))
            .max_message_latency(Duration::from_micros(most.into()))
            // Never full: `wire` limits the bytes on their way.
            .tcp_capacity(8192)
            .build();
        let wires = Wires::default();
        let disk = Disk::new(plan.server.tokens, log);
        let server = ServerHost::new(plan, log, &wires, &disk);
        let host = Rc::clone(&server);
        sim.host(HOST, move || host.start());
        let shared = Rc::new(Shared {
            plan: plan.clone(),
            log: log.clone(),
            wires: wires.clone(),
            progress: RefCell::default(),
            deeds: RefCell::default(),
            addrs: RefCell::default(),
            keys: RefCell::default(),
        });
        let hosts: Vec<Rc<Queue<(Client, Door)>>> = (0..plan.hosts).map(|_| Rc::default()).collect();
        for (number, opens) in (0..).zip(&hosts) {
            let (shared, opens) = (Rc::clone(&shared), Rc::clone(opens));
            sim.host(host_name(Host(number)), move || {
                client::host(Rc::clone(&shared), Host(number), Rc::clone(&opens))
            });
        }
        Self {
            plan,
            log,
            script,
            sim,
            server,
            wires,
            disk,
            shared,
            hosts,
            placed: BTreeMap::new(),
            doomed: BTreeSet::new(),
            crashed: BTreeSet::new(),
            cut: BTreeSet::new(),
            laggard: BTreeMap::new(),
            is_server_dead: false,
            is_draining: false,
            at_ms: 0,
        }
    }

    fn run(mut self) {
        let mut steps = self.script.iter().peekable();
        while self.at_ms < self.plan.duration_ms && !self.log.is_violated() {
            while let Some(step) = steps.next_if(|step| step.at_ms <= self.at_ms) {
                self.act(&step.action);
            }
            self.step();
        }
        if !self.log.is_violated() {
            self.liveness();
        }
        // The rest of the world goes down without being logged.
        self.server.dies();
        self.wires.set_killed(true);
    }

    /// Lets a millisecond pass.
    fn step(&mut self) {
        self.sim.step().unwrap_or_else(|error| panic!("the simulation failed: {error}"));
        self.at_ms += 1;
        self.log.set_time(self.at_ms);
        if self.server.has_ended() {
            self.take_server_away();
        }
        if self.disk.is_time_to_kill() {
            self.log.bite(FaultKind::KillAtReserve);
            self.fault(Fault::KillServer);
        }
        self.check_wires();
        self.server.check_ticks();
        self.count_laggards();
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Open(client, host) => self.open(*client, *host, Door::Public),
            Action::OpenAsOperator(client, host) => self.open(*client, *host, Door::Operators),
            Action::Say(client, bytes) => self.shared.order(*client, Deed::Say(bytes.clone())),
            Action::Kick(client, other) => self.kick(*client, "", *other),
            Action::KickSession(client, other) => self.kick(*client, "~", *other),
            Action::Resume(client, of) => {
                let key = self.shared.keys.borrow().get(of).cloned().unwrap_or_else(|| made_up_key(*of));
                let line = [b"resume ", &key[..], b"\n"].concat();
                self.shared.order(*client, Deed::Say(line));
            }
            Action::Deafen(client) => self.shared.order(*client, Deed::Deafen),
            Action::Hear(client) => self.shared.order(*client, Deed::Hear),
            Action::HalfClose(client) => {
                self.doomed.insert(*client);
                self.shared.order(*client, Deed::HalfClose);
            }
            Action::Close(client) => {
                self.doomed.insert(*client);
                self.shared.order(*client, Deed::Close);
            }
            Action::Fault(fault) => self.fault(*fault),
        }
    }

    fn kick(&self, client: Client, mark: &str, other: Client) {
        let addr = self.shared.addrs.borrow().get(&other).map(ToString::to_string);
        let line = format!("kick {mark}{}\n", addr.unwrap_or_default());
        self.shared.order(client, Deed::Say(line.into_bytes()));
    }

    /// A client connects from a host, unless it did before or the host is down.
    fn open(&mut self, client: Client, host: Host, door: Door) {
        let Some(opens) = self.hosts.get(usize::from(host.0)) else { return };
        if self.placed.contains_key(&client) || self.crashed.contains(&host) {
            return;
        }
        self.placed.insert(client, host);
        if self.cut.contains(&host) {
            self.doomed.insert(client);
        }
        self.shared.deeds.borrow_mut().insert(client, Rc::default());
        self.shared.progress.borrow_mut().insert(client, Progress::Connecting);
        opens.push((client, door));
    }

    /// No connection may be blocked for longer than the write timeout.
    fn check_wires(&self) {
        // Timers count whole milliseconds, and a connection's last replies have a timeout of their own.
        const SLACK_MS: u32 = 5;
        let longest = self.plan.server.write_timeout_ms + SLACK_MS;
        let Some(before) = self.at_ms.checked_sub(longest) else { return };
        if let Some((addr, since)) = self.wires.blocked_since_before(before) {
            let what = format!("{addr} has taken none of its replies since {since} ms, and is not closed");
            self.log.violate("stalled peers are closed", None, what);
        }
    }

    /// The clients on a host that are connected, or about to be.
    fn clients_on(&self, host: Host) -> Vec<Client> {
        let progress = self.shared.progress.borrow();
        let is_on = |client: &&Client| {
            matches!(progress.get(client), Some(Progress::Connecting | Progress::Connected))
        };
        let here = self.placed.iter().filter(|(_, on)| **on == host).map(|(client, _)| client);
        here.filter(is_on).copied().collect()
    }

    fn progress(&self, client: Client) -> Option<Progress> {
        self.shared.progress.borrow().get(&client).copied()
    }

    /// The clients that are connected.
    fn connected(&self) -> Vec<Client> {
        let progress = self.shared.progress.borrow();
        progress.iter().filter(|(_, is)| **is == Progress::Connected).map(|(client, _)| *client).collect()
    }
}

/// A key that nobody was told.
fn made_up_key(of: Client) -> Vec<u8> {
    format!("{:032x}", u128::MAX / 3 - u128::from(of.0)).into_bytes()
}

fn host_name(host: Host) -> String {
    format!("host-{}", host.0)
}
