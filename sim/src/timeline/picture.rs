//! What there is to see in a run, and between which places of the log. Nothing here knows of HTML.

use super::axis::Axis;
use super::holds::{Holds, NamedLock, WaitEnd};
use super::lanes::{Lane, Numbers};
use super::lives::{LifeSpan, lives};
use super::marks::MarkKind;
use super::troubles::{self, Trouble};
use crate::history::{Connection, History, Place};
use crate::log::{Applied, Entry, Event, Violation};
use crate::plan::Plan;
use crate::script::Host;
use crate::world::Report;
use elockd_core::{Conn, Input};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// From one place of the log to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Place,
    pub(super) to: Place,
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct Picture<'a> {
    pub(super) axis: Axis,
    pub(super) lives: Vec<LifeSpan>,
    /// Troubles of the server, which concern all lanes.
    pub(super) troubles: Vec<Trouble>,
    pub(super) groups: Vec<HostGroup>,
    /// In the order of their numbers.
    pub(super) locks: Vec<Known<'a>>,
    /// The place at which the liveness phase begins.
    pub(super) liveness: Option<Place>,
    /// The place of the violation.
    pub(super) violation: Option<Place>,
    pub(super) counts: Tallies,
}

/// The connections of one host.
#[derive(Clone, Debug)]
pub(super) struct HostGroup {
    /// `None` if the log does not say which.
    pub(super) host: Option<Host>,
    pub(super) troubles: Vec<Trouble>,
    /// In the order in which they opened.
    pub(super) lanes: Vec<Lane>,
}

/// A lock, and how often it was used.
#[derive(Clone, Debug)]
pub(super) struct Known<'a> {
    pub(super) lock: NamedLock<'a>,
    pub(super) holds: usize,
    pub(super) waits: usize,
    pub(super) refused: usize,
}

/// Tallies of what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tallies {
    pub(super) connections: usize,
    pub(super) not_connected: usize,
    pub(super) requests: usize,
    pub(super) answers: usize,
    pub(super) holds: usize,
    pub(super) waits: usize,
    pub(super) granted: usize,
    pub(super) refused: usize,
}

impl<'a> Picture<'a> {
    /// Reads a run.
    pub(super) fn new(plan: &Plan, report: &'a Report, violation: Option<&Violation>) -> Self {
        let entries = &report.entries;
        let history = History::new(plan, entries);
        let lives = lives(entries);
        let holds = Holds::new(entries, &lives, &history);
        let locks = known(&holds);
        let numbers: Numbers<'_> =
            locks.iter().enumerate().map(|(number, known)| (known.lock, number)).collect();
        let lane = |connection: &Connection| Lane::new(connection, &lives, &holds, &numbers, entries.len());
        let mut groups = groups(&history, troubles::of_hosts(entries), lane);
        let violation = violation.map(|violation| mark(&mut groups, entries, violation));
        Self {
            axis: Axis::new(entries, report.virtual_ms),
            troubles: troubles::of_server(&lives, entries.len()),
            counts: counts(entries, &history, &groups),
            liveness: entries.iter().position(|entry| matches!(entry.event, Event::LivenessBegins)),
            lives,
            groups,
            locks,
            violation,
        }
    }
}

/// Every lock, in the order of kinds and names.
fn known<'a>(holds: &Holds<'a>) -> Vec<Known<'a>> {
    let mut known: BTreeMap<NamedLock<'a>, Known<'a>> =
        holds.locks().map(|lock| (lock, Known { lock, holds: 0, waits: 0, refused: 0 })).collect();
    for hold in holds.holds.values().flatten() {
        known.entry(hold.lock).and_modify(|known| known.holds += 1);
    }
    for wait in holds.waits.values().flatten() {
        known.entry(wait.lock).and_modify(|known| known.waits += 1);
    }
    for refused in holds.refused.values().flatten() {
        known.entry(refused.lock).and_modify(|known| known.refused += 1);
    }
    known.into_values().collect()
}

fn groups(
    history: &History,
    mut troubles: BTreeMap<Host, Vec<Trouble>>,
    lane: impl Fn(&Connection) -> Lane,
) -> Vec<HostGroup> {
    // A client that crashed before it knew that it was connected has left only its address.
    let hosts: BTreeMap<IpAddr, Host> = history
        .connections
        .iter()
        .filter_map(|connection| connection.client.as_ref().map(|client| (connection.addr.ip(), client.host)))
        .collect();
    let host_of = |connection: &Connection| hosts.get(&connection.addr.ip()).copied();
    let known: BTreeSet<Host> = troubles.keys().copied().chain(hosts.values().copied()).collect();
    let mut groups = Vec::new();
    for host in known.into_iter().map(Some).chain([None]) {
        let here = history.connections.iter().filter(|connection| host_of(connection) == host);
        let mut lanes: Vec<_> = here.map(&lane).collect();
        lanes.sort_by_key(Lane::from);
        let troubles = host.and_then(|host| troubles.remove(&host)).unwrap_or_default();
        if host.is_some() || !lanes.is_empty() {
            groups.push(HostGroup { host, troubles, lanes });
        }
    }
    groups
}

/// Marks the lane that the violation is about. Returns the place of the violation: the last event about that lane in
/// its millisecond, or else the last event of all.
fn mark(groups: &mut [HostGroup], entries: &[Entry], violation: &Violation) -> Place {
    let until = entries.partition_point(|entry| entry.at_ms <= violation.at_ms);
    let last = until.saturating_sub(1);
    let Some(conn) = violation.conn else { return last };
    // Each of the server's lives may assign the same number.
    let lanes = groups.iter_mut().flat_map(|group| &mut group.lanes);
    let marked = lanes
        .filter(|lane| lane.id.is_some_and(|(_, other)| other == conn))
        .filter(|lane| lane.from() < until)
        .max_by_key(|lane| lane.id);
    let Some(marked) = marked else { return last };
    marked.is_violated = true;
    let mut within = (0..until).rev().take_while(|place| entries[*place].at_ms == violation.at_ms);
    within.find(|place| is_about(&entries[*place].event, conn)).unwrap_or(last)
}

fn is_about(event: &Event, conn: Conn) -> bool {
    let Event::Applied(Applied { input, told, .. }) = event else { return false };
    let is_its_input = match input {
        Input::Opened(other, _) | Input::Command(other, _) | Input::Closed(other, _) => *other == conn,
        Input::Gone(_)
        | Input::Tick
        | Input::Lapse { .. }
        | Input::Drain(_)
        | Input::Tokens { .. }
        | Input::Accounts(_) => false,
    };
    is_its_input || told.iter().any(|(to, _)| *to == conn)
}

fn counts(entries: &[Entry], history: &History, groups: &[HostGroup]) -> Tallies {
    let lanes = || groups.iter().flat_map(|group| &group.lanes);
    let requests = || history.connections.iter().filter_map(|connection| connection.client.as_ref());
    let requests = || requests().flat_map(|client| &client.requests);
    let marks = lanes().flat_map(|lane| &lane.marks);
    Tallies {
        connections: history.connections.len(),
        not_connected: entries.iter().filter(|entry| matches!(entry.event, Event::NotConnected(_))).count(),
        requests: requests().count(),
        answers: requests().filter(|request| request.answer.is_some()).count(),
        holds: lanes().map(|lane| lane.bars.len()).sum(),
        waits: lanes().map(|lane| lane.waits.len()).sum(),
        granted: lanes().flat_map(|lane| &lane.waits).filter(|wait| wait.end == WaitEnd::Granted).count(),
        refused: marks.filter(|mark| mark.kind == MarkKind::Refused).count(),
    }
}
