//! The status of a cluster as text: tables for people, and JSON for programs.

use elockd_cluster::{MemberStatus, StatusRecord};
use serde_json::json;
use std::fmt::{self, Display};

/// For people.
pub(super) fn table(record: &StatusRecord) -> String {
    // Writing to a string does not fail.
    fmt::from_fn(|f| {
        head(record, f)?;
        service(record, f)?;
        replicas(record, f)?;
        warnings(record, f)
    })
    .to_string()
}

fn head(record: &StatusRecord, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let StatusRecord { cluster, level, timeout_ms, term, time_ms, committed, node, .. } = record;
    writeln!(f, "cluster {cluster:032x}  level {level}  timeout {timeout_ms} ms")?;
    match record.leader {
        None => write!(f, "no leader")?,
        Some(leader) => write!(f, "node {leader} leads")?,
    }
    writeln!(f, ", term {term}; cluster time {time_ms} ms; committed {committed}; as node {node} sees it")
}

/// Who serves clients.
fn service(record: &StatusRecord, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "\n{:>4}  {:<7}  {:<21}  {:>6}  {:>11}  {:>8}  {:>8}",
        "node", "role", "address", "epoch", "connections", "heard ms", "lease ms"
    )?;
    for member in &record.members {
        let role = match (record.leader == Some(member.node), member.is_voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        };
        writeln!(
            f,
            "{:>4}  {role:<7}  {:<21}  {:>6}  {:>11}  {:>8}  {:>8}",
            member.node,
            member.address,
            known(member.epoch),
            member.connections,
            known(member.heard_ms),
            known(member.report.as_ref().map(|report| report.lease_ms)),
        )?;
    }
    Ok(())
}

/// What each has.
fn replicas(record: &StatusRecord, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "\n{:>4}  {:<12}  {:>6}  {:>9}  {:>6}  {:>11}  {:>14}  state",
        "node", "release", "levels", "applied", "lag", "log bytes", "snapshot bytes"
    )?;
    for member in &record.members {
        let Some(report) = &member.report else {
            writeln!(f, "{:>4}  no answer", member.node)?;
            continue;
        };
        let state = match record.agrees(member) {
            Some(true) => "agrees",
            Some(false) => "DIFFERS",
            None => "-",
        };
        // It comes from another process, and goes to a terminal.
        let release: String = report.release.chars().filter(|char| !char.is_control()).collect();
        let (lowest, highest) = report.levels;
        let levels = if lowest == highest { lowest.to_string() } else { format!("{lowest}-{highest}") };
        writeln!(
            f,
            "{:>4}  {release:<12}  {levels:>6}  {:>9}  {:>6}  {:>11}  {:>14}  {state}",
            member.node,
            report.applied,
            known(record.lag(member)),
            report.log_bytes,
            report.snapshot_bytes,
        )?;
    }
    Ok(())
}

fn warnings(record: &StatusRecord, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let voters = record.members.iter().filter(|member| member.is_voter).count();
    if voters > 0 && voters.is_multiple_of(2) {
        writeln!(
            f,
            "\n{voters} voters survive no more failures than {} would: let one more node join, or remove one",
            voters - 1
        )?;
    }
    if record.members.iter().any(|member| record.agrees(member) == Some(false)) {
        writeln!(
            f,
            "\nthe states of nodes differ: this is a bug, please report it; a node that differs from a majority ends, \
             and must be replaced"
        )?;
    }
    Ok(())
}

fn known(value: Option<u64>) -> impl Display {
    value.map_or("-".to_owned(), |value| value.to_string())
}

/// For programs. What a node does not say is null.
pub(super) fn json(record: &StatusRecord) -> String {
    let member = |member: &MemberStatus| {
        let report = member.report.as_ref();
        json!({
            "node": member.node,
            "voter": member.is_voter,
            "address": member.address,
            "answers": report.is_some(),
            "epoch": member.epoch,
            "connections": member.connections,
            "heard_ms": member.heard_ms,
            "lease_ms": report.map(|report| report.lease_ms),
            "release": report.map(|report| &report.release),
            "levels": report.map(|report| [report.levels.0, report.levels.1]),
            "applied": report.map(|report| report.applied),
            "lag": record.lag(member),
            "log_bytes": report.map(|report| report.log_bytes),
            "snapshot_bytes": report.map(|report| report.snapshot_bytes),
            "agrees": record.agrees(member),
        })
    };
    let record = json!({
        "cluster": format!("{:032x}", record.cluster),
        "node": record.node,
        "level": record.level,
        "timeout_ms": record.timeout_ms,
        "leader": record.leader,
        "term": record.term,
        "time_ms": record.time_ms,
        "committed": record.committed,
        "members": record.members.iter().map(member).collect::<Vec<_>>(),
    });
    format!("{record}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_cluster::NodeReport;

    /// Two nodes that answer, one of them behind and different, and one that does not.
    fn record() -> StatusRecord {
        let member = |node: u16, report| MemberStatus {
            node,
            is_voter: node != 3,
            address: format!("n{node}.example:9990"),
            epoch: (node != 3).then_some(10 + u64::from(node)),
            connections: 100 * u64::from(node),
            heard_ms: (node == 1).then_some(31),
            report,
        };
        let report = |applied, levels, digest| NodeReport {
            release: "1.2.3\u{1b}[2J".to_owned(),
            levels,
            applied,
            lease_ms: 1500,
            log_bytes: 4096,
            snapshot_bytes: 77,
            digest: Some((50, digest)),
            ..NodeReport::default()
        };
        StatusRecord {
            cluster: 0xc1,
            node: 2,
            level: 1,
            timeout_ms: 2500,
            leader: Some(1),
            term: 9,
            time_ms: 123_456,
            committed: 60,
            members: vec![
                member(1, Some(report(60, (1, 2), 5))),
                member(2, Some(report(58, (1, 1), 6))),
                member(3, None),
            ],
        }
    }

    #[test]
    fn people_see_a_table() {
        let expected = "\
cluster 000000000000000000000000000000c1  level 1  timeout 2500 ms
node 1 leads, term 9; cluster time 123456 ms; committed 60; as node 2 sees it

node  role     address                 epoch  connections  heard ms  lease ms
   1  leader   n1.example:9990            11          100        31      1500
   2  voter    n2.example:9990            12          200         -      1500
   3  learner  n3.example:9990             -          300         -         -

node  release       levels    applied     lag    log bytes  snapshot bytes  state
   1  1.2.3[2J         1-2         60       0         4096              77  DIFFERS
   2  1.2.3[2J           1         58       2         4096              77  DIFFERS
   3  no answer

2 voters survive no more failures than 1 would: let one more node join, or remove one

the states of nodes differ: this is a bug, please report it; a node that differs from a majority ends, and \
must be replaced
";
        assert_eq!(table(&record()), expected);
        let none = StatusRecord { leader: None, members: Vec::new(), ..record() };
        assert!(table(&none).contains("\nno leader, term 9"), "{}", table(&none));
    }

    #[test]
    fn programs_see_every_field() {
        let value: serde_json::Value = serde_json::from_str(&json(&record())).expect("it is JSON");
        let [first, second, third] = [0, 1, 2].map(|at| value["members"][at].clone());
        assert_eq!((value["leader"].clone(), value["committed"].clone()), (json!(1), json!(60)));
        let expected = json!({
            "node": 2, "voter": true, "address": "n2.example:9990", "answers": true, "epoch": 12, "connections": 200,
            "heard_ms": null, "lease_ms": 1500, "release": "1.2.3\u{1b}[2J", "levels": [1, 1], "applied": 58, "lag": 2,
            "log_bytes": 4096, "snapshot_bytes": 77, "agrees": false,
        });
        assert_eq!(second, expected);
        assert_eq!((first["lag"].clone(), first["heard_ms"].clone()), (json!(0), json!(31)));
        for key in
            ["lease_ms", "release", "levels", "applied", "lag", "log_bytes", "snapshot_bytes", "agrees"]
        {
            assert!(third[key].is_null(), "{key}");
        }
        assert_eq!(third["answers"], false);
    }
}
