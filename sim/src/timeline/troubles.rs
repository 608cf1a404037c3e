//! Faults as stretches of the run. A host's trouble goes from the fault that began it to the event that ended it. The
//! server has troubles too.

use super::lives::{LifeEnd, LifeSpan};
use super::picture::Span;
use crate::history::Place;
use crate::log::{Entry, Event};
use crate::script::{Fault, Host};
use std::collections::BTreeMap;

/// A fault that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) what: What,
    pub(super) label: String,
    pub(super) span: Span,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// The host is down.
    Down,
    /// Nothing gets through, either way.
    CutOff,
    /// Nothing gets through from the host.
    Mute,
    /// Nothing gets through to the host.
    Unheard,
    /// Everything is held back.
    Held,
    /// Everything is late.
    Slow,
    /// There is no server.
    ServerDown,
    /// The server shuts down.
    Draining,
    /// The liveness phase. It is not a trouble, but it has a label like one.
    Liveness,
}

/// The troubles of each host.
pub(super) fn of_hosts(entries: &[Entry]) -> BTreeMap<Host, Vec<Trouble>> {
    let mut under_way: BTreeMap<(Host, What), (Place, String)> = BTreeMap::new();
    let mut over: BTreeMap<Host, Vec<Trouble>> = BTreeMap::new();
    let mut end = |key: (Host, What), from: Place, label: String, to: Place| {
        over.entry(key.0).or_default().push(Trouble { what: key.1, label, span: Span { from, to } });
    };
    for (place, entry) in entries.iter().enumerate() {
        match &entry.event {
            Event::Fault(fault) => {
                let Some(host) = fault.host() else { continue };
                for what in ended_by(*fault) {
                    if let Some((from, label)) = under_way.remove(&(host, *what)) {
                        end((host, *what), from, label, place);
                    }
                }
                if let Some((what, label)) = begun_by(*fault) {
                    under_way.entry((host, what)).or_insert((place, label));
                }
            }
            // Everything is repaired then.
            Event::LivenessBegins => {
                for (key, (from, label)) in std::mem::take(&mut under_way) {
                    end(key, from, label, place);
                }
            }
            _ => {}
        }
    }
    for (key, (from, label)) in under_way {
        end(key, from, label, entries.len());
    }
    for troubles in over.values_mut() {
        troubles.sort_by_key(|trouble| (trouble.span.from, trouble.what));
    }
    over
}

/// The troubles of the server, which concern every host.
pub(super) fn of_server(lives: &[LifeSpan], end: Place) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for (number, life) in lives.iter().enumerate() {
        if let Some(drained) = life.drained {
            let span = Span { from: drained, to: life.span.to };
            troubles.push(Trouble { what: What::Draining, label: "server shuts down".to_owned(), span });
        }
        let label = match life.end {
            LifeEnd::Killed => "server killed",
            LifeEnd::ShutDown => "server is down",
            LifeEnd::Lasts => continue,
        };
        let to = lives.get(number + 1).map_or(end, |next| next.span.from);
        let span = Span { from: life.span.to, to };
        troubles.push(Trouble { what: What::ServerDown, label: label.to_owned(), span });
    }
    troubles
}

fn begun_by(fault: Fault) -> Option<(What, String)> {
    let (what, label) = match fault {
        Fault::Crash(_) => (What::Down, "crashed"),
        Fault::CutOff(_) => (What::CutOff, "cut off"),
        Fault::Mute(_) => (What::Mute, "not heard by the server"),
        Fault::Unheard(_) => (What::Unheard, "does not hear the server"),
        Fault::Hold(_) => (What::Held, "link held"),
        Fault::Slow(_, ms) if ms > 1 => return Some((What::Slow, format!("link takes {ms} ms"))),
        _ => return None,
    };
    Some((what, label.to_owned()))
}

const fn ended_by(fault: Fault) -> &'static [What] {
    match fault {
        Fault::Restart(_) => &[What::Down],
        Fault::Mend(_) => &[What::CutOff, What::Mute, What::Unheard],
        Fault::Release(_) => &[What::Held],
        Fault::Slow(..) => &[What::Slow],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::lives::lives;
    use crate::timeline::scene::Scene;

    fn seen(troubles: &[Trouble]) -> Vec<(What, Place, Place)> {
        troubles.iter().map(|trouble| (trouble.what, trouble.span.from, trouble.span.to)).collect()
    }

    #[test]
    fn troubles_of_a_host_end_with_what_ends_them() {
        let mut scene = Scene::new();
        let host = Host(1);
        let cut = scene.fault(Fault::CutOff(host));
        let crash = scene.fault(Fault::Crash(host));
        scene.fault(Fault::Crash(host));
        let mend = scene.fault(Fault::Mend(host));
        let slow = scene.fault(Fault::Slow(host, 40));
        let restart = scene.fault(Fault::Restart(host));
        let fast = scene.fault(Fault::Slow(host, 1));
        let hold = scene.fault(Fault::Hold(host));
        let liveness = scene.note(Event::LivenessBegins);
        let troubles = of_hosts(&scene.entries);
        let expected = [
            (What::CutOff, cut, mend),
            (What::Down, crash, restart),
            (What::Slow, slow, fast),
            (What::Held, hold, liveness),
        ];
        assert_eq!(seen(&troubles[&host]), expected);
    }

    #[test]
    fn the_server_is_down_from_its_kill_to_its_start() {
        let mut scene = Scene::new();
        let drain = scene.fault(Fault::Drain);
        let kill = scene.kill();
        let start = scene.restart();
        let drain_again = scene.fault(Fault::Drain);
        let ended = scene.note(Event::ServerEnded(scene.life));
        let end = scene.entries.len();
        let expected = [
            (What::Draining, drain, kill),
            (What::ServerDown, kill, start),
            (What::Draining, drain_again, ended),
            (What::ServerDown, ended, end),
        ];
        assert_eq!(seen(&of_server(&lives(&scene.entries), end)), expected);
    }
}
