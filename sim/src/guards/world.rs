//! The simulated world of guards: the production server on one host, programs with the client library on others, an
//! operator on one of its own. A run is a minute of trouble, and then a time without any, in which everybody must get
//! every lock, and nothing may be left.

use super::cables::{CableListener, CableStream, Cables, Cut, Dialer};
use super::plan::{self, HOSTS, Mishap, TOKENS_OF_A_LIFE, TROUBLE_MS, WORKERS};
use super::umpire::{Taking, Tally, Umpire};
use super::work::{self, Common, now_ms};
use crate::panics;
use elockd_client::Transport;
use elockd_core::{Config as MachineConfig, Secret};
use elockd_server::tokens::{Reserving, TokenSource};
use elockd_server::{Config, Server};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use turmoil::net::TcpListener;
use turmoil::{Builder, Sim};

const DAEMON: &str = "daemon";
const OPERATOR: &str = "operator";
const PORT: u16 = 9999;
const OPERATORS_PORT: u16 = 9997;
/// The simulation's step.
const STEP_MS: u32 = 5;
/// Time in which everybody must have ended what it did, and then have got every lock. The daemon gives up dead peers
/// and ends graces, and the tasks stand in line. Some attempts fail on connections that were dead already.
const LIVELY_MS: u32 = 90_000;
/// Time in which nothing may be left: that of dead peers, and the longest grace.
const LEFT_MS: u32 = 45_000;

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct GuardsReport {
    /// What was seen.
    pub tally: Tally,
    /// Milliseconds of virtual time.
    pub virtual_ms: u32,
    /// What was wrong.
    pub wrong: Option<String>,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64) -> GuardsReport {
    let mut judged = GuardsReport { tally: Tally::default(), virtual_ms: 0, wrong: None };
    let caught = panics::catch(|| GuardsWorld::new(seed).run());
    match caught {
        Ok(result) => judged = result,
        Err(panic) => judged.wrong = Some(format!("a panic: {panic}")),
    }
    judged
}

/// What an operator is to do.
enum Order {
    Take {
        what: String,
        is_kick: bool,
    },
    /// Sees whether anything is held.
    Look,
}

struct GuardsWorld {
    sim: Sim<'static>,
    common: Rc<Common>,
    cables: Cables,
    life: Rc<Cell<u64>>,
    /// Has the daemon shut down.
    shutdown: Rc<Notify>,
    orders: Rc<RefCell<VecDeque<Order>>>,
    /// What the operator saw last.
    listing: Rc<RefCell<Option<String>>>,
    mishaps: VecDeque<(u32, Mishap)>,
    is_down: bool,
    down: [bool; HOSTS as usize],
    at_ms: u32,
}

impl GuardsWorld {
    fn new(seed: u64) -> Self {
        let mut sim = Builder::new()
            .epoch(UNIX_EPOCH)
            .rng_seed(seed)
            .tick_duration(Duration::from_millis(STEP_MS.into()))
            .simulation_duration(Duration::from_hours(24))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(8))
            .tcp_capacity(8192)
            .build();
        let cables = Cables::default();
        let common = Rc::new(Common {
            seed,
            cables: cables.clone(),
            umpire: RefCell::new(Umpire::default()),
            is_over: Cell::new(false),
            idle: Cell::new(0),
            may_go_on: Cell::new(false),
            done: Cell::new(0),
            starts: Cell::new(0),
            requests: Cell::new(0),
        });
        let (life, shutdown) = (Rc::new(Cell::new(0)), Rc::<Notify>::default());
        {
            let (life, common, shutdown) = (Rc::clone(&life), Rc::clone(&common), Rc::clone(&shutdown));
            sim.host(DAEMON, move || {
                life.set(life.get() + 1);
                daemon(life.get(), Rc::clone(&common), Rc::clone(&shutdown))
            });
        }
        for host in 0..HOSTS {
            let common = Rc::clone(&common);
            sim.host(name_of(host), move || work::host(Rc::clone(&common), host));
        }
        let (orders, listing) = (Rc::default(), Rc::default());
        {
            let (common, orders, listing) = (Rc::clone(&common), Rc::clone(&orders), Rc::clone(&listing));
            sim.host(OPERATOR, move || operator(Rc::clone(&common), Rc::clone(&orders), Rc::clone(&listing)));
        }
        let mishaps = plan::draw(seed).into();
        let down = [false; HOSTS as usize];
        Self { sim, common, cables, life, shutdown, orders, listing, mishaps, is_down: false, down, at_ms: 0 }
    }

    fn run(mut self) -> GuardsReport {
        while self.at_ms < TROUBLE_MS && !self.is_wrong() {
            while let Some((_, mishap)) = self.mishaps.pop_front_if(|(at, _)| *at <= self.at_ms) {
                self.begin(&mishap);
            }
            self.step();
        }
        for host in 0..HOSTS {
            self.begin(&Mishap::LetGo(host));
            self.begin(&Mishap::Mend(host));
            self.begin(&Mishap::Hasten(host));
            self.begin(&Mishap::Restart(host));
        }
        self.begin(&Mishap::Start);
        self.common.is_over.set(true);
        // Whoever waits gets its lock. Then unused connections are left, which hold nothing.
        self.wait_for_all("ended what they did", |common| common.idle.get());
        self.wait_until_nothing_is_held();
        self.common.may_go_on.set(true);
        self.wait_for_all("got every lock", |common| common.done.get());
        self.wait_until_nothing_is_held();
        // What is left of the world goes down in order, and is not judged.
        for host in 0..HOSTS {
            self.begin(&Mishap::Crash(host));
        }
        self.kill(DAEMON);
        let mut umpire = self.common.umpire.borrow_mut();
        GuardsReport { tally: umpire.tally, virtual_ms: self.at_ms, wrong: umpire.wrong.take() }
    }

    fn wait_for_all(&mut self, what: &str, done: impl Fn(&Common) -> u32) {
        let bound_ms = self.at_ms + LIVELY_MS;
        while done(&self.common) < u32::from(HOSTS * WORKERS) && !self.is_wrong() {
            if self.at_ms > bound_ms {
                let done = done(&self.common);
                self.blame(&format!("only {done} tasks have {what}, and trouble is long over"));
            }
            self.step();
        }
    }

    fn wait_until_nothing_is_held(&mut self) {
        let bound_ms = self.at_ms + LEFT_MS;
        while !self.is_wrong() {
            if self.listing.take().is_some_and(|listing| listing == "\n") {
                return;
            }
            if self.at_ms > bound_ms {
                self.blame("something is held or waited for, and all guards are gone");
            }
            self.orders.borrow_mut().push_back(Order::Look);
            for _ in 0..100 {
                self.step();
            }
        }
    }

    fn step(&mut self) {
        self.sim.step().unwrap_or_else(|error| panic!("the simulation failed: {error}"));
        self.at_ms += STEP_MS;
        let mut umpire = self.common.umpire.borrow_mut();
        umpire.now_ms = self.at_ms;
        umpire.judge();
    }

    fn is_wrong(&self) -> bool {
        self.common.umpire.borrow().wrong.is_some()
    }

    fn blame(&self, what: &str) {
        self.common.umpire.borrow_mut().blame(what);
    }

    fn link(&self, host: u8, is_dead: bool, is_ill: bool) {
        let mut umpire = self.common.umpire.borrow_mut();
        umpire.now_ms = self.at_ms;
        umpire.link(host, is_dead, is_ill);
    }

    fn begin(&mut self, mishap: &Mishap) {
        match *mishap {
            Mishap::Cut(host, how) => {
                let (from, to) = (name_of(host), DAEMON);
                match how {
                    Cut::Off => self.sim.partition(from, to),
                    Cut::Mute => self.sim.partition_oneway(from, to),
                    Cut::Unheard => self.sim.partition_oneway(to, from),
                }
                self.cables.cut(self.sim.lookup(name_of(host)), self.sim.elapsed(), how);
                self.link(host, true, true);
            }
            Mishap::Mend(host) => {
                self.sim.repair(name_of(host), DAEMON);
                self.cables.mend(self.sim.lookup(name_of(host)));
                self.link(host, false, false);
            }
            Mishap::Hold(host) => {
                self.sim.hold(name_of(host), DAEMON);
                self.link(host, true, true);
            }
            Mishap::LetGo(host) => {
                self.sim.release(name_of(host), DAEMON);
                self.link(host, false, false);
            }
            Mishap::Slow(host, ms) => {
                self.sim.set_link_latency(name_of(host), DAEMON, Duration::from_millis(ms.into()));
                self.link(host, false, true);
            }
            Mishap::Hasten(host) => {
                self.sim.set_link_latency(name_of(host), DAEMON, Duration::from_millis(4));
                self.link(host, false, false);
            }
            Mishap::Crash(host) => {
                if !std::mem::replace(&mut self.down[usize::from(host)], true) {
                    self.common.umpire.borrow_mut().crashed(host);
                    self.kill(&name_of(host));
                }
            }
            Mishap::Restart(host) => {
                if std::mem::take(&mut self.down[usize::from(host)]) {
                    self.sim.bounce(name_of(host));
                }
            }
            Mishap::Break(host) => self.cables.reset(self.sim.lookup(name_of(host))),
            Mishap::Kill => {
                if !std::mem::replace(&mut self.is_down, true) {
                    self.common.umpire.borrow_mut().killed(self.life.get());
                    self.kill(DAEMON);
                }
            }
            Mishap::ShutDown => {
                if !std::mem::replace(&mut self.is_down, true) {
                    self.shutdown.notify_one();
                }
            }
            Mishap::Start => {
                if std::mem::take(&mut self.is_down) {
                    // If it was still shutting down, that is over now.
                    self.common.umpire.borrow_mut().killed(self.life.get());
                    self.kill(DAEMON);
                    self.sim.bounce(DAEMON);
                }
            }
            Mishap::Steal(what) => self.order(what.to_owned(), false),
            Mishap::Kick(draw) => {
                let somebody = self.common.umpire.borrow().somebody(draw);
                if let Some(what) = somebody {
                    self.order(what, true);
                }
            }
        }
    }

    fn kill(&mut self, host: &str) {
        self.cables.set_dying(Some(self.sim.lookup(host)));
        self.sim.crash(host);
        self.cables.set_dying(None);
    }

    fn order(&self, what: String, is_kick: bool) {
        self.orders.borrow_mut().push_back(Order::Take { what, is_kick });
    }
}

fn name_of(host: u8) -> String {
    format!("host-{host}")
}

/// One life of the daemon.
async fn daemon(life: u64, common: Rc<Common>, shutdown: Rc<Notify>) -> turmoil::Result {
    let machine =
        MachineConfig { secret: Secret(u128::from(life).to_le_bytes()), ..MachineConfig::smallest_storage() };
    let config = Config { machine, ..Config::default() };
    let server = Server::new(config).tokens_from(LifeTokens { next: life * TOKENS_OF_A_LIFE });
    for (port, is_for_operators) in [(PORT, false), (OPERATORS_PORT, true)] {
        let listener = TcpListener::bind(("0.0.0.0", port)).await?;
        server.listen(CableListener { listener, is_for_operators, cables: common.cables.clone() });
    }
    server.run(shutdown.notified()).await;
    common.umpire.borrow_mut().shut_down(life, now_ms());
    Ok(())
}

/// Fencing tokens that say in which life they were given out.
struct LifeTokens {
    next: u64,
}

impl TokenSource for LifeTokens {
    fn reserve(&mut self) -> Reserving<'_> {
        const LENGTH: u64 = 100;
        let range = self.next..=self.next + LENGTH - 1;
        self.next += LENGTH;
        Box::pin(async { Ok(range) })
    }
}

/// The operator's host. The operator is a client that says lines.
async fn operator(
    common: Rc<Common>,
    orders: Rc<RefCell<VecDeque<Order>>>,
    listing: Rc<RefCell<Option<String>>>,
) -> turmoil::Result {
    loop {
        let order = orders.borrow_mut().pop_front();
        match order {
            Some(Order::Take { what, is_kick }) => {
                // If the daemon is killed first, nobody knows whether it was done.
                let verbs: &[&str] = match (is_kick, what.as_str()) {
                    (true, _) => &["kick"],
                    (false, plan::INDEX) => &["wsteal"],
                    (false, _) => &["steal"],
                };
                for verb in verbs {
                    let sent_ms = now_ms();
                    let answer = say(&common.cables, &format!("{verb} {what}"), "\n").await;
                    let is_certain = answer.as_ref().is_ok_and(|answer| !answer.starts_with("0 "));
                    if is_certain || answer.is_err() {
                        let what = what.clone();
                        let taking = Taking { what, is_kick, sent_ms, answered_ms: now_ms(), is_certain };
                        common.umpire.borrow_mut().took(taking);
                    }
                }
            }
            Some(Order::Look) => *listing.borrow_mut() = say(&common.cables, "ls", "\n").await.ok(),
            None => sleep(Duration::from_millis(STEP_MS.into())).await,
        }
    }
}

/// Says a line on a connection of its own, and returns the answer up to its end.
async fn say(cables: &Cables, line: &str, end: &str) -> io::Result<String> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let answered = async {
        let address = format!("{DAEMON}:{OPERATORS_PORT}").parse().map_err(io::Error::other)?;
        let mut stream: CableStream = Dialer(cables.clone()).connect(&address).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        while !answer.ends_with(end) {
            let mut room = [0; 4096];
            let bytes = stream.read(&mut room).await?;
            if bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answer.push_str(&String::from_utf8_lossy(&room[..bytes]));
        }
        Ok(answer)
    };
    timeout(PATIENCE, answered).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
