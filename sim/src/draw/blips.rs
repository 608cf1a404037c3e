//! Clients that lose their connection and come back. One asks for grace and gets locks. Then its connection ends, or
//! seems to, or stands still. Another client of its host says the key: in time, late, or just when the grace is over.
//! Others wait for the locks meanwhile, or say the key as well.

use super::Rng;
use super::life::ClientLife;
use super::lines::Lines;
use crate::plan::Settings;
use crate::script::{Action, Client, Fault, Host, Step};

/// The clients of one blip.
#[derive(Clone, Copy)]
struct Cast {
    /// It asks for grace.
    old: Client,
    /// It comes back in its place.
    new: Client,
    /// It says the key once more.
    third: Client,
    /// It waits for what the first has.
    rival: Client,
    /// It is an operator, if the server has any.
    operator: Client,
}

/// How many clients a blip has.
pub(super) const CLIENTS: u32 = 5;

/// What becomes of the old connection.
#[derive(Clone, Copy)]
enum Blip {
    /// Nothing: its client has forgotten it.
    Stays,
    /// It waits for a lock, and has sent more.
    Waits,
    Closes,
    HalfCloses,
    Resets,
    Quits,
    /// Its link is cut, and the server does not hear of it for a while.
    IsCut,
    Crashes,
}

/// Draws one blip. Its clients are numbered from `first`.
pub(super) fn blip(
    rng: &mut Rng,
    first: u32,
    hosts: u8,
    lines: &Lines,
    (server, duration_ms): (&Settings, u32),
    script: &mut Vec<Step>,
) {
    let client = |number| Client(first + number);
    let cast =
        Cast { old: client(0), new: client(1), third: client(2), rival: client(3), operator: client(4) };
    let host = Host(rng.between(0, u32::from(hosts) - 1) as u8);
    let begin_ms = rng.between(0, duration_ms / 3);
    let grace_ms = match rng.between(0, 3) {
        0 => rng.between(1, 40),
        1 => server.linger_ms,
        _ => rng.between(20, 400),
    };
    let grace_ms = grace_ms.min(server.linger_ms);
    let mut life = ClientLife { rng, client: cast.old, at_ms: begin_ms, script };
    prepare(&mut life, cast, host, lines, grace_ms);
    end(&mut life, cast, host);
    if server.admin && life.rng.percent(70) {
        interfere(&mut life, cast, host);
    }
    come_back(&mut life, cast, host, lines, grace_ms);
}

/// The old client has grace and locks, and another client waits for them.
fn prepare(life: &mut ClientLife<'_>, cast: Cast, host: Host, lines: &Lines, grace_ms: u32) {
    const GETS: [&str; 8] = [
        "g blip\n",
        "g blip\nf blip\n",
        "sg blip\n",
        "wg blip\n",
        "rg blip\nrf blip\n",
        "iam blip\n",
        "g a\n",
        "sgw 50 2 job\n",
    ];
    life.act(0, Action::Open(cast.old, host));
    let mut first = format!("linger {grace_ms}\ng blip\n").into_bytes();
    for _ in 0..life.rng.between(0, 3) {
        first.extend_from_slice(life.rng.of(&GETS).as_bytes());
    }
    if life.rng.percent(30) {
        first.extend(lines.line(life.rng, &mut Vec::new()));
    }
    if life.rng.percent(85) {
        life.act(0, Action::Say(cast.old, first));
    } else {
        // It gets its locks before it has grace.
        life.act(0, Action::Say(cast.old, [&b"sg blip\n"[..], &first].concat()));
    }
    if life.rng.percent(70) {
        const WAITS: [&str; 6] = [
            "gw 3000 blip\nr blip\n",
            "iw 3000 blip\n",
            "siw 900 blip\n",
            "wgw 3000 blip\n",
            "sg blip\nsgw 900 1 blip\n",
            "iw 60 blip\ni blip\n",
        ];
        let pause = life.rng.between(5, 40);
        life.act(pause, Action::Open(cast.rival, host));
        let wait = life.rng.of(&WAITS).as_bytes().to_vec();
        life.act(pause, Action::Say(cast.rival, wait));
    }
    let pause = life.rng.between(15, 70);
    life.act(pause, Action::Say(cast.old, b"i blip\n".to_vec()));
}

/// The old connection ends, or seems to.
fn end(life: &mut ClientLife<'_>, cast: Cast, host: Host) {
    const BLIPS: [(Blip, u32); 8] = [
        (Blip::Stays, 4),
        (Blip::Waits, 4),
        (Blip::Closes, 4),
        (Blip::HalfCloses, 2),
        (Blip::Resets, 2),
        (Blip::Quits, 1),
        (Blip::IsCut, 3),
        (Blip::Crashes, 1),
    ];
    let pause = life.rng.between(5, 60);
    match life.rng.weighted(&BLIPS) {
        Blip::Stays => life.act(pause, Action::Say(cast.old, b"ping\n".to_vec())),
        Blip::Waits => {
            life.act(0, Action::Say(cast.rival, b"g kept\n".to_vec()));
            // What it sends behind its wait must never run.
            let more = life.rng.of(&["", "ra\n", "r blip\ng blip\n", "quit\n"]);
            life.act(pause, Action::Say(cast.old, format!("gw 5000 kept\n{more}").into_bytes()));
        }
        Blip::Closes => life.act(pause, Action::Close(cast.old)),
        Blip::HalfCloses => life.act(pause, Action::HalfClose(cast.old)),
        Blip::Resets => {
            life.act(0, Action::Deafen(cast.old));
            life.act(0, Action::Say(cast.old, b"help\n".to_vec()));
            life.act(pause, Action::Close(cast.old));
        }
        Blip::Quits => life.act(pause, Action::Say(cast.old, b"quit\n".to_vec())),
        Blip::IsCut => {
            life.act(pause, Action::Fault(Fault::CutOff(host)));
            let pause = life.rng.between(1, 30);
            life.act(pause, Action::Fault(Fault::Mend(host)));
        }
        Blip::Crashes => {
            life.act(pause, Action::Fault(Fault::Crash(host)));
            let pause = life.rng.between(1, 30);
            life.act(pause, Action::Fault(Fault::Restart(host)));
        }
    }
}

/// An operator ends what was left, takes a lock from it, or says its key, which is not for operators.
fn interfere(life: &mut ClientLife<'_>, cast: Cast, host: Host) {
    let at_ms = life.at_ms;
    life.act(0, Action::OpenAsOperator(cast.operator, host));
    let pause = life.rng.between(5, 60);
    let deed = match life.rng.between(0, 5) {
        0 | 1 => Action::KickSession(cast.operator, cast.old),
        2 => Action::Say(cast.operator, b"kick blip\n".to_vec()),
        3 => Action::Say(cast.operator, b"steal blip\n".to_vec()),
        _ => Action::Resume(cast.operator, cast.old),
    };
    life.act(pause, deed);
    // The others do not wait for it.
    life.at_ms = at_ms;
}

/// The new client says the key, and goes on with what it has then.
fn come_back(life: &mut ClientLife<'_>, cast: Cast, host: Host, lines: &Lines, grace_ms: u32) {
    let away_ms = match life.rng.between(0, 5) {
        0..=2 => life.rng.between(0, grace_ms / 2),
        3 | 4 => (grace_ms + life.rng.between(0, 6)).saturating_sub(3),
        _ => grace_ms + life.rng.between(10, 60),
    };
    // It is connected by then, in most runs.
    life.act(0, Action::Open(cast.new, host));
    if life.rng.percent(15) {
        // It has something of its own, which may be in the way.
        let own = life.rng.of(&["g mine\n", "linger 5\n", "iam new\n", "linger 9\nsg blip\n"]);
        life.act(1, Action::Say(cast.new, own.as_bytes().to_vec()));
    }
    if life.rng.percent(30) {
        // Two at once: whoever says the key last has it.
        life.act(0, Action::Open(cast.third, host));
        life.act(away_ms.max(1), Action::Resume(cast.third, cast.old));
        life.act(0, Action::Resume(cast.new, cast.old));
    } else {
        life.act(away_ms.max(1), Action::Resume(cast.new, cast.old));
    }
    for _ in 0..life.rng.between(0, 5) {
        const NEXT: [&str; 8] = [
            "f blip\n",
            "i blip\n",
            "r blip\n",
            "ls blip\n",
            "who\n",
            "g blip\nf blip\n",
            "linger 30\n",
            "ra\n",
        ];
        let pause = life.rng.between(0, 40);
        let deed = match life.rng.between(0, 9) {
            0..=5 => Action::Say(cast.new, life.rng.of(&NEXT).as_bytes().to_vec()),
            6 => Action::Say(cast.new, lines.line(life.rng, &mut Vec::new())),
            7 => Action::Resume(cast.new, cast.new),
            8 => Action::Resume(cast.old, cast.old),
            _ => Action::Resume(cast.new, cast.rival),
        };
        life.act(pause, deed);
    }
    if life.rng.percent(40) {
        let pause = life.rng.between(1, 60);
        life.act(pause, Action::Open(cast.third, host));
        if life.rng.percent(50) {
            life.act(0, Action::Close(cast.new));
        }
        let pause = life.rng.between(1, 60);
        let of = life.rng.of(&[cast.new, cast.old]);
        life.act(pause, Action::Resume(cast.third, of));
        life.act(1, Action::Say(cast.third, b"f blip\ni blip\n".to_vec()));
    }
}
