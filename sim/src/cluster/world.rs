//! The simulated world of a cluster: nodes and clients on hosts of their own. A run begins when every node has joined.
//! Then things go wrong for a time. Then nothing does: clients end what they do, and each must get every lock.

use super::client::client_host;
use super::common::{ClusterCommon, ClusterPhase};
use super::disk::Unsynced;
use super::happenings::{Happened, Happenings};
use super::history::ClientHistory;
use super::invariants;
use super::links::NodeLinks;
use super::marks::ClusterMarks;
use super::node::{LifeState, NodeHost};
use super::node_name;
use super::plan::{CLIENT_HOSTS, CLIENTS, ClusterPlan, Death, NodeMishap, Split, TROUBLE_MS, Victim};
use super::replicas::ReplicaLedger;
use crate::panics;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};
use turmoil::{Builder, Sim};

/// The simulation's step.
const STEP_MS: u32 = 2;
/// Time in which all nodes must have joined.
const JOINING_MS: u32 = 30_000;
/// Time in which clients must have ended what they do: the longest wait, the longest grace, and their own patience.
const QUIET_MS: u32 = 30_000;
/// Time in which each must have got every lock.
const LIVELY_MS: u32 = 60_000;

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct ClusterReport {
    /// What was seen.
    pub marks: ClusterMarks,
    /// Milliseconds of virtual time.
    pub virtual_ms: u32,
    /// Everything that happened, in order.
    pub lines: Vec<String>,
    /// What was wrong.
    pub wrong: Option<String>,
}

/// All that a run left behind, for its judges.
pub(super) struct ClusterRun<'a> {
    pub(super) nodes: u16,
    pub(super) history: &'a ClientHistory,
    pub(super) ledger: &'a ReplicaLedger,
    pub(super) happenings: &'a Happenings,
    /// When the run ended.
    pub(super) end_ms: u32,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64) -> ClusterReport {
    match panics::catch(|| ClusterWorld::new(ClusterPlan::draw(seed)).run()) {
        Ok(report) => report,
        Err(panic) => ClusterReport {
            marks: ClusterMarks::default(),
            virtual_ms: 0,
            lines: Vec::new(),
            wrong: Some(format!("a panic: {panic}")),
        },
    }
}

struct ClusterWorld {
    sim: Sim<'static>,
    common: Rc<ClusterCommon>,
    hosts: Vec<Rc<NodeHost>>,
    links: NodeLinks,
    /// Mishaps that are under way, with the time of their end.
    under_way: Vec<(u32, NodeMishap)>,
    /// Of each node: whether and how its process has ended, and when another starts.
    down: Vec<Option<(u32, Death)>>,
    /// How processes end that the plan did not end at this time.
    fates: Vec<(Death, Unsynced, u32)>,
    happenings: Happenings,
    /// Who led last, and its term.
    leader: Option<(u16, u64)>,
    marks: ClusterMarks,
    rng: ChaCha8Rng,
    at_ms: u32,
}

impl ClusterWorld {
    fn new(plan: ClusterPlan) -> Self {
        let (seed, nodes) = (plan.seed, plan.nodes());
        let mut sim = Builder::new()
            .epoch(UNIX_EPOCH)
            .rng_seed(seed)
            .tick_duration(Duration::from_millis(STEP_MS.into()))
            .simulation_duration(Duration::from_hours(24))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(5))
            .tcp_capacity(65_536)
            .build();
        elockd_cluster::raft::seed(seed);
        let common = ClusterCommon::new(plan);
        let hosts: Vec<_> = (1..=nodes).map(|number| NodeHost::new(&common, number)).collect();
        for (number, host) in (1..).zip(&hosts) {
            let host = Rc::clone(host);
            sim.host(node_name(number), move || host.start());
        }
        for host in 0..CLIENT_HOSTS {
            let common = Rc::clone(&common);
            sim.host(format!("clients-{host}"), move || client_host(Rc::clone(&common), host));
        }
        Self {
            sim,
            common,
            hosts,
            links: NodeLinks::new(nodes),
            under_way: Vec::new(),
            down: vec![None; nodes.into()],
            fates: vec![(Death::Killed, Unsynced::Kept, 500); nodes.into()],
            happenings: Happenings::default(),
            leader: None,
            marks: ClusterMarks::default(),
            rng: ChaCha8Rng::seed_from_u64(seed ^ 0x0c11),
            at_ms: 0,
        }
    }

    fn run(mut self) -> ClusterReport {
        let hosts = self.hosts.clone();
        self.until("every node has joined", JOINING_MS, |_| hosts.iter().all(|host| host.is_in()));
        let (begin_ms, mut next) = (self.at_ms, 0);
        let mishaps = self.common.plan.mishaps.clone();
        while self.at_ms < begin_ms + TROUBLE_MS && self.common.wrong().is_none() {
            while let Some(timed) = mishaps.get(next).filter(|timed| begin_ms + timed.from_ms <= self.at_ms) {
                self.begin(timed.mishap, begin_ms + timed.to_ms);
                next += 1;
            }
            self.step();
        }
        self.under_way.clear();
        for down in self.down.iter_mut().flatten() {
            down.0 = self.at_ms;
        }
        self.set_links();
        self.common.set_phase(ClusterPhase::Quiet);
        self.until("every client has ended what it does", QUIET_MS, |common| common.progress().0 == CLIENTS);
        self.common.set_phase(ClusterPhase::Lively);
        self.until("every client has got every lock", LIVELY_MS, |common| common.progress().1 == CLIENTS);
        self.end()
    }

    /// What is left of the world goes down, and what was seen is judged.
    fn end(mut self) -> ClusterReport {
        self.note_figures();
        for host in 0..CLIENT_HOSTS {
            self.crash(&format!("clients-{host}"));
        }
        for number in 1..=self.common.plan.nodes() {
            if self.down[usize::from(number) - 1].is_none() {
                self.hosts[usize::from(number) - 1].dies();
                self.crash(&node_name(number));
            }
        }
        let Self { common, hosts, happenings, mut marks, at_ms, .. } = self;
        for host in &hosts {
            let tally = host.disk.tally();
            marks.writes_lost += tally.lost;
            marks.disk_failures += u64::from(tally.failed > 0);
        }
        common.record(|history| history.count(&mut marks));
        let mut wrong = common.wrong();
        let lines = common.record(|history| {
            common.replicas.with(|ledger| {
                let run = ClusterRun {
                    nodes: common.plan.nodes(),
                    history,
                    ledger,
                    happenings: &happenings,
                    end_ms: at_ms,
                };
                // What a judge finds says more than that something did not come.
                wrong = invariants::judge(&run, &mut marks).err().or(wrong.take());
            });
            history.lines()
        });
        let entries = common.replicas.with(|ledger| ledger.lines().collect::<Vec<_>>());
        let lines = lines
            .into_iter()
            .chain(entries)
            .chain(happenings.iter().map(|(ms, what)| format!("{ms:>6} ms {what:?}")));
        ClusterReport { marks, virtual_ms: at_ms, lines: lines.collect(), wrong }
    }

    /// Lets time pass until something is so.
    fn until(&mut self, what: &str, within_ms: u32, is_so: impl Fn(&ClusterCommon) -> bool) {
        let bound_ms = self.at_ms + within_ms;
        while !is_so(&self.common) && self.common.wrong().is_none() {
            if self.at_ms > bound_ms {
                self.common.blame(&format!("liveness: after {within_ms} ms it is not so that {what}"));
            }
            self.step();
        }
    }

    fn step(&mut self) {
        self.sim.step().unwrap_or_else(|error| panic!("the simulation failed: {error}"));
        self.at_ms += STEP_MS;
        let at_ms = self.at_ms;
        if self.under_way.iter().any(|(end_ms, _)| *end_ms <= at_ms) {
            self.under_way.retain(|(end_ms, _)| *end_ms > at_ms);
            self.set_links();
        }
        for number in 1..=self.common.plan.nodes() {
            self.look_after(number);
        }
        self.look_for_leader();
        if let Some(wrong) = self.common.replicas.with(|ledger| ledger.wrong.clone()) {
            self.common.blame(&format!("replicas agree: {wrong}"));
        }
    }

    /// Takes away a process that has ended, and starts one when it is time.
    fn look_after(&mut self, number: u16) {
        let slot = usize::from(number) - 1;
        let host = Rc::clone(&self.hosts[slot]);
        match self.down[slot] {
            Some((until_ms, _)) if until_ms <= self.at_ms => {
                self.down[slot] = None;
                self.set_links();
                self.marks.restarts += 1;
                self.happenings.note(self.at_ms, Happened::Up(number));
                self.sim.bounce(node_name(number));
            }
            Some(_) => {}
            None => {
                let (death, fate, until_ms) = self.fates[slot];
                let has_failed = host.disk.has_failed();
                match host.state() {
                    LifeState::Failed(reason) if !has_failed => {
                        self.common.blame(&format!("node {number} cannot go on: {reason}"));
                    }
                    LifeState::Runs if !has_failed => {}
                    _ => {
                        let restart_ms = until_ms.max(self.at_ms + 300);
                        self.kill(number, death, fate, restart_ms);
                    }
                }
            }
        }
    }

    fn begin(&mut self, mishap: NodeMishap, end_ms: u32) {
        let mishap = match mishap {
            NodeMishap::Down(target, death, fate) => {
                for number in self.nodes(target) {
                    self.end_process(number, death, fate, end_ms);
                }
                return;
            }
            NodeMishap::Snapshot(target) => {
                for number in self.nodes(target) {
                    self.hosts[usize::from(number) - 1].take_snapshot();
                }
                return;
            }
            NodeMishap::Cut(split) => {
                self.marks.cuts += 1;
                let mut node =
                    |target| self.nodes(target).first().map_or(target, |number| Victim::Node(*number));
                NodeMishap::Cut(match split {
                    Split::Alone(target) => Split::Alone(node(target)),
                    Split::Mute(target) => Split::Mute(node(target)),
                    Split::Deaf(target) => Split::Deaf(node(target)),
                    _ => split,
                })
            }
            NodeMishap::Hold(..) => {
                self.marks.holds += 1;
                mishap
            }
            NodeMishap::Slow(..) => {
                self.marks.slow_links += 1;
                mishap
            }
        };
        self.under_way.push((end_ms, mishap));
        self.set_links();
    }

    fn end_process(&mut self, number: u16, death: Death, fate: Unsynced, end_ms: u32) {
        let slot = usize::from(number) - 1;
        if self.down[slot].is_some() {
            return;
        }
        self.fates[slot] = (death, fate, end_ms);
        if matches!(death, Death::Disk(_) | Death::Shutdown) {
            self.happenings.note(self.at_ms, Happened::Leaving(number));
        }
        match death {
            Death::Killed => {
                self.marks.kills += 1;
                self.kill(number, death, fate, end_ms);
            }
            Death::Power => {
                self.marks.power_losses += 1;
                self.kill(number, death, fate, end_ms);
            }
            Death::Disk(after) => self.hosts[slot].disk.fail_after(after),
            Death::Shutdown => {
                self.marks.shutdowns += 1;
                self.hosts[slot].shut_down();
            }
        }
    }

    fn kill(&mut self, number: u16, death: Death, fate: Unsynced, until_ms: u32) {
        let slot = usize::from(number) - 1;
        self.down[slot] = Some((until_ms, death));
        self.happenings.note(self.at_ms, Happened::Down(number, death));
        let host = Rc::clone(&self.hosts[slot]);
        // First, so that nothing that is dropped now is written or said.
        host.disk.crash(fate, &mut self.rng);
        self.set_links();
        host.dies();
        self.crash(&node_name(number));
    }

    fn crash(&mut self, name: &str) {
        self.common.wires.set_dying(Some(self.sim.lookup(name)));
        self.sim.crash(name);
        self.common.wires.set_dying(None);
    }

    /// Has links be as mishaps want them, and machines without power be silent.
    fn set_links(&mut self) {
        let off: Vec<u16> = (1..)
            .zip(&self.down)
            .filter(|(_, down)| matches!(down, Some((_, Death::Power))))
            .map(|(number, _)| number)
            .collect();
        let mishaps: Vec<NodeMishap> = self.under_way.iter().map(|(_, mishap)| *mishap).collect();
        let were_well = self.links.are_well();
        self.links.set(&self.sim, &mishaps, &off);
        if self.links.are_well() != were_well {
            self.happenings.note(self.at_ms, Happened::Links { are_well: !were_well });
        }
        for number in 1..=self.common.plan.nodes() {
            for host in 0..CLIENT_HOSTS {
                let (node, clients) = (node_name(number), format!("clients-{host}"));
                if off.contains(&number) {
                    self.sim.partition(node, clients);
                } else {
                    self.sim.repair(node, clients);
                }
            }
        }
    }

    /// The nodes that are meant.
    fn nodes(&mut self, target: Victim) -> Vec<u16> {
        let running: Vec<u16> =
            (1..).zip(&self.down).filter(|(_, down)| down.is_none()).map(|(number, _)| number).collect();
        let leader = self.leader.map(|(leader, _)| leader).filter(|leader| running.contains(leader));
        match target {
            Victim::All => running,
            Victim::Node(number) => running.into_iter().filter(|other| *other == number).collect(),
            Victim::Leader => leader.or_else(|| running.first().copied()).into_iter().collect(),
            Victim::Follower => {
                let others: Vec<u16> = running.into_iter().filter(|other| Some(*other) != leader).collect();
                if others.is_empty() { others } else { vec![others[self.rng.random_range(0..others.len())]] }
            }
        }
    }

    fn look_for_leader(&mut self) {
        let figures = |host: &Rc<NodeHost>| host.figures().filter(|figures| figures.leads);
        let leading = (1..).zip(&self.hosts).filter_map(|(number, host)| Some((number, figures(host)?.term)));
        let Some(leader) = leading.max_by_key(|(_, term)| *term) else { return };
        if self.leader.is_none_or(|(_, term)| term < leader.1) {
            self.marks.elections += u64::from(self.leader.is_some());
            self.leader = Some(leader);
            self.happenings.note(self.at_ms, Happened::Leads(leader.0, leader.1));
        }
    }

    fn note_figures(&mut self) {
        let Self { common, marks, .. } = self;
        common.replicas.with(|ledger: &mut ReplicaLedger| {
            marks.epochs_gone += ledger.gone.len() as u64;
            marks.snapshots += ledger.copies;
            marks.installs += ledger.installs;
            marks.entries_compared += ledger.compared;
            marks.machines_compared += ledger.digests;
        });
    }
}
