//! Runs of any kind. Each run leaves out some things that others have (verbs, faults, limits), so that over many
//! seeds everything meets everything: Groce et al., "Swarm Testing", ISSTA 2012.

use super::accounts;
use super::blips::{self, blip};
use super::faults::faults;
use super::life::{ClientLife, Habits};
use super::lines::Lines;
use super::{LIVENESS_MS, Rng};
use crate::plan::{Network, Plan, Scenario, Settings};
use crate::script::{Action, Client, Fault, Host, Step};

/// The number of the first operator.
const OPERATORS: u32 = 900;
/// What a connection counts for the limit of memory. If there were less than all connections take together, nobody
/// could get a lock before some of them end, and in the liveness phase each waits for that.
const CONNECTION_BYTES: u32 = 1_024;
/// The number of the first client that comes back.
const BLIPS: u32 = 500;

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
    let spare_memory = if rng.percent(25) { Some(rng.between(300, 1_500)) } else { None };
    let mut script = Vec::new();
    for client in (0..clients).map(Client) {
        let host = Host(rng.between(0, u32::from(hosts) - 1) as u8);
        let begin_ms = rng.between(0, duration_ms * 2 / 3);
        let mut life = ClientLife { rng: &mut rng, client, at_ms: begin_ms, script: &mut script };
        life.act(0, Action::Open(client, host));
        life.live(&lines, &habits, clients, duration_ms);
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
    if lines.may_resume() && server.linger_ms > 0 {
        for number in 0..rng.weighted(&[(0, 1), (1, 4), (2, 3), (4, 1)]) {
            let first = BLIPS + number * blips::CLIENTS;
            blip(&mut rng, first, hosts, &lines, (&server, duration_ms), &mut script);
        }
    }
    if let Some(spare) = spare_memory {
        let connections = all_connections(&script, hosts) + 1;
        server.memory_bytes = connections * CONNECTION_BYTES + spare;
        if rng.percent(60) {
            hoard(&mut rng, Client(clients + 5), hosts, (server.memory_bytes, duration_ms), &mut script);
        }
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
    let plan = Plan { seed, scenario, hosts, network, server, duration_ms, liveness_ms: LIVENESS_MS, names };
    if accounts::is_drawn(seed) { accounts::with_accounts(plan, script) } else { (plan, script) }
}

/// How many connections there may be at a time: those of the script, one that talks when a fault comes, and one from
/// each host in the liveness phase.
fn all_connections(script: &[Step], hosts: u8) -> u32 {
    let is_open = |step: &&Step| matches!(step.action, Action::Open(..) | Action::OpenAsOperator(..));
    script.iter().filter(is_open).count() as u32 + 1 + u32::from(hosts)
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
    let words = if rng.percent(40) { lines.unknown(rng) } else { lines.line(rng, &mut Vec::new()) };
    let mut life = ClientLife { rng, client, at_ms: begin_ms, script };
    life.act(0, Action::Open(client, host));
    while life.at_ms < duration_ms {
        life.act(idle_ms * 2 / 3, Action::Say(client, words.clone()));
    }
}

/// A client gets locks until no memory is left, gives some back, and gets more.
fn hoard(
    rng: &mut Rng,
    client: Client,
    hosts: u8,
    (memory_bytes, duration_ms): (u32, u32),
    script: &mut Vec<Step>,
) {
    /// Each takes at least so much.
    const LOCK_BYTES: u32 = 160;
    let host = Host(rng.between(0, u32::from(hosts) - 1) as u8);
    let begin_ms = rng.between(0, duration_ms / 2);
    let mut life = ClientLife { rng, client, at_ms: begin_ms, script };
    life.act(0, Action::Open(client, host));
    let gets = |numbers: std::ops::Range<u32>| {
        numbers.flat_map(|number| format!("g {number}\n").into_bytes()).collect::<Vec<_>>()
    };
    let most = memory_bytes / LOCK_BYTES + 2;
    life.act(60, Action::Say(client, gets(0..most)));
    let pause = life.rng.between(1, 60);
    life.act(pause, Action::Say(client, b"r 0\nr 1\niam somebody\ngw 30 a\n".to_vec()));
    let pause = life.rng.between(1, 60);
    let last = life.rng.of(&[&b"ra\n"[..], b"quit\n", b"g 0\ng 1\ng 2\n"]).to_vec();
    life.act(pause, Action::Say(client, last));
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
        linger_ms: rng.weighted(&[(0, 1), (60, 2), (300, 4), (1_200, 2)]),
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
