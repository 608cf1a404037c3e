//! Runs of any kind. Each run leaves out some things that others have (verbs, faults, limits), so that over many
//! seeds everything meets everything: Groce et al., "Swarm Testing", ISSTA 2012.

use super::faults::faults;
use super::lines::{Lines, piece_at};
use super::{LIVENESS_MS, Rng};
use crate::plan::{Network, Plan, Scenario, Settings};
use crate::script::{Action, Client, Fault, Host, Step};

/// The number of the first operator.
const OPERATORS: u32 = 900;

/// Draws a run of any kind.
#[must_use]
pub fn swarm(seed: u64) -> (Plan, Vec<Step>) {
    let mut rng = Rng::new(seed);
    let hosts = rng.between(1, 4) as u8;
    let duration_ms = rng.weighted(&[((100, 400), 4), ((400, 1_200), 4), ((1_200, 3_000), 1)]);
    let duration_ms = rng.between(duration_ms.0, duration_ms.1);
    let mut network = network(&mut rng);
    if duration_ms < 400 {
        network.accept_fails_every = 0;
    }
    // Before that time nobody may be connected: a failed accept is tried again after a tenth of a second.
    let settled_ms = if network.accept_fails_every > 0 { 150 } else { 30 };
    let mut server = settings(&mut rng, &network);
    let lines = Lines::draw(&mut rng, &server);
    let habits = Habits::draw(&mut rng, &network);
    let clients = rng.weighted(&[((2, 4), 3), ((4, 12), 4), ((12, 30), 1)]);
    let clients = rng.between(clients.0, clients.1);
    if rng.percent(12) {
        // Enough for all connections and for a few holds beside them. So once some have ended, the others go on.
        server.memory_bytes = (clients + 5) * 1024 + rng.between(300, 3_000);
    }
    let mut script = Vec::new();
    for client in (0..clients).map(Client) {
        let host = Host(rng.between(0, u32::from(hosts) - 1) as u8);
        let begin_ms = rng.between(0, duration_ms * 2 / 3);
        let mut life = ClientLife { rng: &mut rng, client, at_ms: begin_ms, script: &mut script };
        life.act(0, Action::Open(client, host));
        life.live(&lines, &habits, duration_ms);
    }
    if server.admin {
        for operator in 0..rng.between(1, 2) {
            let operator = Client(OPERATORS + operator);
            let host = Host(rng.between(0, u32::from(hosts) - 1) as u8);
            let begin_ms = rng.between(0, duration_ms / 2);
            let mut life =
                ClientLife { rng: &mut rng, client: operator, at_ms: begin_ms, script: &mut script };
            life.act(0, Action::OpenAsOperator(operator, host));
            life.operate(&lines, &habits, clients, duration_ms);
        }
    }
    if habits.flood > 0 && rng.percent(15) {
        drain_amid_a_flood(&mut rng, Client(clients), hosts, duration_ms, &mut script);
    }
    if habits.flood > 0 && rng.percent(15) {
        flood_behind_a_wait(&mut rng, Client(clients + 2), hosts, duration_ms, &mut script);
    }
    if server.idle_ms > 0 && rng.percent(30) {
        say_one_thing(
            &mut rng,
            Client(clients + 4),
            hosts,
            &lines,
            (server.idle_ms, duration_ms),
            &mut script,
        );
    }
    let faults = faults(&mut rng, &script, server.tokens > 0, settled_ms, duration_ms);
    let all = script.iter().chain(&faults);
    let is_sure = |step: &&Step| matches!(&step.action, Action::Fault(fault) if fault.is_sure());
    let first = all.filter(is_sure).min_by_key(|step| step.at_ms).cloned();
    if let Some(Step { at_ms, action: Action::Fault(fault) }) = first {
        let host = fault.host().unwrap_or(Host(0));
        // If connections are few, or accepting fails, the bait must be among the first to connect.
        let is_few = server.connections < 100 || server.connections_per_address > 0;
        let is_hard = is_few || network.accept_fails_every > 0;
        let early_ms = if is_hard { at_ms } else { rng.between(60, 100) };
        bait(&mut rng, Client(clients + 1), host, at_ms.saturating_sub(early_ms), at_ms, &mut script);
    }
    script.extend(faults);
    script.sort_by_key(|step| step.at_ms);
    script.retain(|step| step.at_ms < duration_ms);
    let names = lines.names().to_vec();
    let scenario = Scenario::Swarm;
    (Plan { seed, scenario, hosts, network, server, duration_ms, liveness_ms: LIVENESS_MS, names }, script)
}

/// A client that talks when a fault comes, so that the fault makes a difference.
fn bait(rng: &mut Rng, client: Client, host: Host, begin_ms: u32, fault_ms: u32, script: &mut Vec<Step>) {
    let mut life = ClientLife { rng, client, at_ms: begin_ms, script };
    life.act(0, Action::Open(client, host));
    while life.at_ms < fault_ms + 20 {
        let is_near = life.at_ms + 15 > fault_ms;
        let pause = if is_near { life.rng.between(1, 2) } else { life.rng.between(2, 12) };
        life.act(pause, Action::Say(client, b"sg a\n".to_vec()));
    }
}

/// A client asks for more than it reads, and in the middle of that the server is told to shut down. All that was read
/// must still be answered, and its gets must be refused.
fn drain_amid_a_flood(rng: &mut Rng, client: Client, hosts: u8, duration_ms: u32, script: &mut Vec<Step>) {
    let host = Host(rng.between(0, u32::from(hosts) - 1) as u8);
    let begin_ms = rng.between(0, duration_ms / 2);
    let mut life = ClientLife { rng, client, at_ms: begin_ms, script };
    life.act(0, Action::Open(client, host));
    // The client must be connected first, even if accepting fails once.
    life.act(150, Action::Deafen(client));
    let helps = life.rng.between(100, 400) as usize;
    let flood = [b"help\n".repeat(helps), b"g a\nsg a\n".to_vec()].concat();
    life.act(1, Action::Say(client, flood));
    let pause = life.rng.between(1, 40);
    life.act(pause, Action::Fault(Fault::Drain));
    let pause = life.rng.between(1, 40);
    life.act(pause, Action::Hear(client));
}

/// A client waits and sends more than the server reads ahead. Then the lock is released, or one of the clients ends.
fn flood_behind_a_wait(rng: &mut Rng, client: Client, hosts: u8, duration_ms: u32, script: &mut Vec<Step>) {
    const NAME: &str = "flooded";
    let holder = Client(client.0 + 1);
    let host = Host(rng.between(0, u32::from(hosts) - 1) as u8);
    let begin_ms = rng.between(0, duration_ms / 2);
    let ms = rng.of(&[30, 200, 5_000]);
    let mut life = ClientLife { rng, client: holder, at_ms: begin_ms, script };
    life.act(0, Action::Open(holder, host));
    life.act(0, Action::Open(client, host));
    life.act(60, Action::Say(holder, format!("g {NAME}\n").into_bytes()));
    life.act(60, Action::Say(client, format!("gw {ms} {NAME}\n").into_bytes()));
    // Blank lines do nothing, but must be read.
    let blank = [&[b' '; 100][..], b"\n"].concat();
    life.act(1, Action::Say(client, [blank.repeat(700), b"ping\n".to_vec()].concat()));
    let pause = life.rng.between(5, 80);
    match life.rng.between(0, 3) {
        0 => life.act(pause, Action::Say(holder, format!("r {NAME}\n").into_bytes())),
        1 => life.act(pause, Action::Close(holder)),
        2 => life.act(pause, Action::Close(client)),
        _ => life.act(pause, Action::HalfClose(client)),
    }
}

/// A client says one line over and over, so often that it is never idle. Whatever the line is, it must count.
fn say_one_thing(
    rng: &mut Rng,
    client: Client,
    hosts: u8,
    lines: &Lines,
    (idle_ms, duration_ms): (u32, u32),
    script: &mut Vec<Step>,
) {
    let host = Host(rng.between(0, u32::from(hosts) - 1) as u8);
    let begin_ms = rng.between(0, duration_ms / 4);
    let line = if rng.percent(40) { lines.unknown(rng) } else { lines.line(rng, &mut Vec::new()) };
    let mut life = ClientLife { rng, client, at_ms: begin_ms, script };
    life.act(0, Action::Open(client, host));
    while life.at_ms < duration_ms {
        life.act(idle_ms * 2 / 3, Action::Say(client, line.clone()));
    }
}

fn settings(rng: &mut Rng, network: &Network) -> Settings {
    // A client that waits for its answer must not count as idle.
    let round_trip_ms = network.latency_us.1.div_ceil(500);
    // A slice takes about 300 bytes.
    let few = rng.of(&[1_000, 10_000]);
    let listing_bytes = if rng.percent(15) { rng.between(0, few) } else { 1 << 20 };
    Settings {
        connections: if rng.percent(15) { rng.between(2, 8) } else { 10_000 },
        locks: if rng.percent(15) { rng.between(2, 12) } else { 1_000_000 },
        locks_per_connection: if rng.percent(15) { rng.between(1, 4) } else { 1_000_000 },
        connections_per_address: if rng.percent(8) { rng.between(1, 4) } else { 0 },
        memory_bytes: 1 << 30,
        waiters: if rng.percent(12) { rng.between(1, 5) } else { 10_000 },
        waiters_per_name: if rng.percent(12) { rng.between(1, 3) } else { 10_000 },
        name_bytes: 40,
        idle_ms: if rng.percent(35) { round_trip_ms + rng.between(40, 600) } else { 0 },
        admin: rng.percent(30),
        tokens: rng.weighted(&[(0, 1), (1, 2), (3, 2), (50, 2), (10_000, 2)]),
        verbose: rng.percent(10),
        dump: rng.percent(92),
        registry: rng.percent(92),
        silent_errors: rng.percent(20),
        smallest_storage: rng.percent(85),
        line_bytes: 104,
        listing_bytes,
        write_timeout_ms: rng.between(30, 400),
        shutdown_timeout_ms: rng.between(50, 800),
    }
}

fn network(rng: &mut Rng) -> Network {
    let least = rng.of(&[0, 100, 1_000]);
    Network {
        latency_us: (least, least + rng.of(&[0, 500, 3_000, 20_000])),
        window_bytes: rng.of(&[64, 200, 4_096, 4_096, 1 << 20, 1 << 20]),
        read_bytes: rng.of(&[1, 5, 40, 16 << 10, 16 << 10]),
        accept_fails_every: rng.of(&[0, 0, 0, 0, 3, 7]),
        peer_timeout_ms: rng.between(30, 400),
    }
}

/// How clients behave in one run.
struct Habits {
    /// Number of requests of one client.
    requests: (u32, u32),
    /// Milliseconds between two requests, and the percentage of cases without a pause.
    pause_ms: u32,
    pipelined: u32,
    /// Percentage of lines that are written in pieces.
    pieces: u32,
    /// Percentage of requests before which a client stops reading for a while.
    deaf: u32,
    /// Percentage of these cases in which it then asks for much at once.
    flood: u32,
    /// How clients end, by weight.
    ends: [(End, u32); 6],
}

#[derive(Clone, Copy, Debug)]
enum End {
    Stay,
    Close,
    HalfClose,
    Quit,
    CutOffLine,
    Reset,
}

impl Habits {
    fn draw(rng: &mut Rng, network: &Network) -> Self {
        let mut ends = [
            (End::Stay, 4),
            (End::Close, 4),
            (End::HalfClose, 2),
            (End::Quit, 1),
            (End::CutOffLine, 2),
            (End::Reset, 2),
        ];
        for end in &mut ends[1..] {
            if rng.percent(30) {
                end.1 = 0;
            }
        }
        // Through a small window, large replies take too long.
        let may_flood = network.window_bytes >= 4_096 && network.read_bytes >= 40;
        Self {
            requests: rng.of(&[(1, 8), (4, 30), (20, 60)]),
            pause_ms: rng.of(&[2, 10, 40]),
            pipelined: rng.of(&[0, 30, 80]),
            pieces: rng.of(&[0, 10, 40]),
            deaf: rng.of(&[0, 0, 3]),
            flood: if may_flood { rng.of(&[0, 50]) } else { 0 },
            ends,
        }
    }
}

/// One client's life while it is drawn.
struct ClientLife<'a> {
    rng: &'a mut Rng,
    client: Client,
    at_ms: u32,
    script: &'a mut Vec<Step>,
}

impl ClientLife<'_> {
    fn act(&mut self, after_ms: u32, action: Action) {
        self.at_ms += after_ms;
        self.script.push(Step { at_ms: self.at_ms, action });
    }

    fn live(&mut self, lines: &Lines, habits: &Habits, duration_ms: u32) {
        let mut mine = Vec::new();
        let mut is_deaf = false;
        for _ in 0..self.rng.between(habits.requests.0, habits.requests.1) {
            if self.at_ms >= duration_ms {
                return;
            }
            if is_deaf && self.rng.percent(15) {
                let pause = self.rng.between(1, 300);
                self.act(pause, Action::Hear(self.client));
                is_deaf = false;
            } else if !is_deaf && self.rng.percent(habits.deaf) {
                self.act(1, Action::Deafen(self.client));
                is_deaf = true;
                if self.rng.percent(habits.flood) {
                    let helps = self.rng.between(20, 400) as usize;
                    self.act(0, Action::Say(self.client, b"help\n".repeat(helps)));
                }
            }
            let pause =
                if self.rng.percent(habits.pipelined) { 0 } else { self.rng.between(1, habits.pause_ms) };
            let line = lines.line(self.rng, &mut mine);
            match piece_at(self.rng, habits.pieces, &line) {
                Some(at) => {
                    self.act(pause, Action::Say(self.client, line[..at].to_vec()));
                    let between = self.rng.between(1, 5);
                    self.act(between, Action::Say(self.client, line[at..].to_vec()));
                }
                None => self.act(pause, Action::Say(self.client, line)),
            }
        }
        self.end(habits, lines, &mut mine);
    }

    /// An operator's life: it steals, kicks, lists, and does what other clients do.
    fn operate(&mut self, lines: &Lines, habits: &Habits, clients: u32, duration_ms: u32) {
        let mut mine = Vec::new();
        for _ in 0..self.rng.between(1, 16) {
            if self.at_ms >= duration_ms {
                return;
            }
            let pause = self.rng.between(1, habits.pause_ms * 4);
            let deed = match self.rng.between(1, 100) {
                1..=45 => Action::Say(self.client, lines.steal(self.rng)),
                46..=60 => Action::Kick(self.client, Client(self.rng.between(0, clients - 1))),
                // One of the first clients, perhaps an operator, perhaps itself.
                61..=66 => {
                    let number = self.rng.between(1, clients + 3);
                    Action::Say(self.client, format!("kick unix:{number}\n").into_bytes())
                }
                67..=69 => Action::Say(self.client, lines.kick_by_name(self.rng)),
                70..=78 => Action::Say(self.client, b"ls\n".to_vec()),
                _ => Action::Say(self.client, lines.line(self.rng, &mut mine)),
            };
            self.act(pause, deed);
        }
    }

    fn end(&mut self, habits: &Habits, lines: &Lines, mine: &mut Vec<Vec<u8>>) {
        let pause = self.rng.of(&[0, 1, 5, 40]);
        match self.rng.weighted(&habits.ends) {
            End::Stay => {}
            End::Close => self.act(pause.max(1), Action::Close(self.client)),
            End::HalfClose => self.act(pause, Action::HalfClose(self.client)),
            End::Quit => self.act(pause, Action::Say(self.client, b"quit\n".to_vec())),
            End::CutOffLine => {
                let mut line = lines.line(self.rng, mine);
                line.pop();
                self.act(pause, Action::Say(self.client, line));
                let end = if self.rng.percent(50) { Action::Close } else { Action::HalfClose };
                self.act(1, end(self.client));
            }
            End::Reset => {
                self.act(pause, Action::Deafen(self.client));
                let line = lines.line(self.rng, mine);
                self.act(0, Action::Say(self.client, line));
                let wait = self.rng.between(5, 60);
                self.act(wait, Action::Close(self.client));
            }
        }
    }
}
