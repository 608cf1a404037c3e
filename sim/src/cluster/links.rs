//! The links between nodes: which are cut, held or slow at a time. Several mishaps may want something of one link; a
//! cut comes before a hold, and a hold before slowness.

use super::node_name;
use super::plan::{NodeMishap, Split};
use std::collections::BTreeMap;
use std::time::Duration;
use turmoil::Sim;

/// What messages from one node to another do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Passing {
    #[default]
    Well,
    Slow(u32),
    Held,
    Lost,
}

/// How long a message takes that nothing delays, in milliseconds.
const USUAL_MS: u32 = 3;

/// The links between the nodes of a run.
#[derive(Debug)]
pub(super) struct NodeLinks {
    nodes: u16,
    now: BTreeMap<(u16, u16), Passing>,
}

impl NodeLinks {
    pub(super) fn new(nodes: u16) -> Self {
        Self { nodes, now: BTreeMap::new() }
    }

    /// Whether all messages pass as they should.
    pub(super) fn are_well(&self) -> bool {
        self.now.values().all(|passing| *passing == Passing::Well)
    }

    /// Has the links be as these mishaps want it. Targets in them are nodes. `off` are machines without power.
    pub(super) fn set(&mut self, sim: &Sim<'_>, mishaps: &[NodeMishap], off: &[u16]) {
        for one in 1..=self.nodes {
            for other in one + 1..=self.nodes {
                let wanted = [(one, other), (other, one)].map(|(from, to)| {
                    let is_off = off.contains(&from) || off.contains(&to);
                    let passing = mishaps.iter().map(|mishap| wish(mishap, from, to)).max();
                    if is_off { Passing::Lost } else { passing.unwrap_or_default() }
                });
                self.set_pair(sim, one, other, wanted);
            }
        }
    }

    fn set_pair(&mut self, sim: &Sim<'_>, one: u16, other: u16, wanted: [Passing; 2]) {
        let ways = [(one, other), (other, one)];
        let before = ways.map(|way| self.now.get(&way).copied().unwrap_or_default());
        if before == wanted {
            return;
        }
        let names = [node_name(one), node_name(other)];
        let [a, b] = [names[0].as_str(), names[1].as_str()];
        if before.contains(&Passing::Held) && !wanted.contains(&Passing::Held) {
            sim.release(a, b);
        }
        if before.contains(&Passing::Lost) {
            sim.repair(a, b);
        }
        let slow = wanted.iter().find_map(|passing| match passing {
            Passing::Slow(ms) => Some(*ms),
            _ => None,
        });
        sim.set_link_latency(a, b, Duration::from_millis(slow.unwrap_or(USUAL_MS).into()));
        match wanted {
            [Passing::Lost, Passing::Lost] => sim.partition(a, b),
            [Passing::Lost, _] => sim.partition_oneway(a, b),
            [_, Passing::Lost] => sim.partition_oneway(b, a),
            [Passing::Held, _] | [_, Passing::Held] => sim.hold(a, b),
            _ => {}
        }
        self.now.extend(ways.into_iter().zip(wanted));
    }
}

/// What a mishap wants of messages from one node to another.
fn wish(mishap: &NodeMishap, from: u16, to: u16) -> Passing {
    let is_pair = |one: u16, other: u16| [(one, other), (other, one)].contains(&(from, to));
    match *mishap {
        NodeMishap::Hold(one, other) if is_pair(one, other) => Passing::Held,
        NodeMishap::Slow(one, other, ms) if is_pair(one, other) => Passing::Slow(ms),
        NodeMishap::Cut(split) if loses(split, from, to) => Passing::Lost,
        _ => Passing::Well,
    }
}

fn loses(split: Split, from: u16, to: u16) -> bool {
    let side = |sides: u16, node: u16| sides >> node & 1;
    match split {
        Split::Sides(sides) => side(sides, from) != side(sides, to),
        Split::OneWay(sides) => side(sides, from) > side(sides, to),
        Split::Bridge(node) => from != node && to != node,
        Split::Alone(target) => target.is(from) || target.is(to),
        Split::Mute(target) => target.is(from),
        Split::Deaf(target) => target.is(to),
    }
}
