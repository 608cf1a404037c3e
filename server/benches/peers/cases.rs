//! The runs, and which of them take turns. Runs that are compared are in one group.

use crate::arguments::{Arguments, Part};
use crate::support::kind::Kind;
use elockd_load::Scenario;

/// One case that is measured, with one server or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    pub(crate) scenario: Scenario,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
}

/// Runs that take turns.
pub(crate) type Group = Vec<(Kind, Case)>;

/// The largest depth that is measured with more than the first number of connections.
const DEEP: usize = 16;

impl Case {
    pub(crate) const fn new(scenario: Scenario, connections: usize, depth: usize) -> Self {
        Self { scenario, connections, depth }
    }

    /// Its name in tables.
    pub(crate) fn name(&self) -> String {
        let Self { scenario, connections, depth } = self;
        match scenario {
            Scenario::Uncontended => format!("get + release, {connections} connections, depth {depth}"),
            Scenario::Fresh => format!("new name each time, {connections} connections, depth {depth}"),
            Scenario::Reconnect => format!("connect, get, release, close, {connections} at a time"),
            Scenario::Fight => format!("fight for one lock, {connections} connections, depth {depth}"),
            Scenario::LinePipelined => format!("line for one lock, {connections} connections, depth {depth}"),
            Scenario::LineTurns => format!("turns in line, {connections} connections"),
            Scenario::Token => format!("turns of a token, {connections} connections"),
            Scenario::Crowd { names } => format!("{connections} connections among {names} locks"),
            Scenario::Mixed => format!("shared and exclusive, {connections} connections, depth {depth}"),
        }
    }
}

/// The groups of all parts that were asked for.
pub(crate) fn groups(arguments: &Arguments) -> Vec<Group> {
    let Some(&few) = arguments.connections.first() else { return Vec::new() };
    let mut groups = Vec::new();
    for &connections in &arguments.connections {
        for &depth in &arguments.depths {
            if connections != few && depth > DEEP {
                continue;
            }
            groups.push(side_by_side(arguments, connections, depth, connections == few));
        }
    }
    let on_all = |case: Case| Kind::ALL.map(|kind| (kind, case)).to_vec();
    if arguments.has(Part::Reconnect) {
        groups.push(on_all(Case::new(Scenario::Reconnect, few, 1)));
    }
    if arguments.has(Part::Line) {
        // The smallest depth of a pipelined line is two.
        let scenarios = [Scenario::Uncontended, Scenario::LinePipelined];
        groups.push(scenarios.map(|scenario| (Kind::Elockd, Case::new(scenario, few, 2))).to_vec());
    }
    if arguments.has(Part::Turns) {
        let token = (Kind::Ceiling, Case::new(Scenario::Token, few, 1));
        groups.push(vec![token, (Kind::Elockd, Case::new(Scenario::LineTurns, few, 1))]);
    }
    for group in &mut groups {
        group.retain(|(kind, case)| case.depth <= kind.depth_max() && kind.protocol().has(case.scenario));
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// The uncontended rate of every server, and the cases that are compared with the daemon's.
fn side_by_side(arguments: &Arguments, connections: usize, depth: usize, is_first: bool) -> Group {
    let case = |scenario| Case::new(scenario, connections, depth);
    let mut group = Vec::new();
    if arguments.has(Part::Uncontended) {
        // etcd is so much slower than the others that measuring it once is enough.
        let kinds = Kind::ALL.into_iter().filter(|&kind| is_first || kind != Kind::Etcd);
        group.extend(kinds.map(|kind| (kind, case(Scenario::Uncontended))));
    }
    if is_first && arguments.has(Part::Fresh) {
        let kinds = [Kind::Ceiling, Kind::Elockd, Kind::Before].into_iter().chain(Kind::PEERS);
        group.extend(kinds.map(|kind| (kind, case(Scenario::Fresh))));
    }
    if is_first && depth <= DEEP {
        if arguments.has(Part::Fight) {
            group.push((Kind::Elockd, case(Scenario::Fight)));
            if !arguments.has(Part::Uncontended) {
                group.push((Kind::Elockd, case(Scenario::Uncontended)));
            }
        }
        if arguments.has(Part::Mixed) {
            group.push((Kind::Elockd, case(Scenario::Mixed)));
        }
    }
    group
}
