//! How a cluster of elockd is started, as its users start one: the first node founds it, the others join it and are
//! promoted. And one elockd without a cluster.

use crate::arguments::Arguments;
use crate::cluster::{Cluster, Places};
use crate::support::Failure;
use serde_json::Value;
use std::process::Command;

/// The limits of every daemon: more than any part asks for.
const LIMITS: [&str; 6] =
    ["--max-connections", "20000", "--max-locks", "1000000", "--max-locks-per-connection", "1000000"];

pub(crate) fn start(
    cluster: &mut Cluster,
    places: Vec<Places>,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let first = places[0].peers;
    for (nth, places) in places.into_iter().enumerate() {
        let mut found = Command::new(&cluster.daemon);
        found.arg("cluster");
        if nth == 0 {
            found.arg("init").args(LIMITS);
        } else {
            found.arg("join").arg(first.to_string());
        }
        found.arg("--state-dir").arg(&places.folder);
        found.args(["--cluster-advertise", &places.peers.to_string()]);
        cluster.until("the node has an identity", || output(&mut found))?;
        let mut command = daemon(&places, arguments);
        command.arg("--state-dir").arg(&places.folder);
        command.args(["--cluster-listen", &places.peers.to_string()]);
        command.args(["--cluster-advertise", &places.peers.to_string()]);
        cluster.add(command, places)?;
        if nth > 0 {
            // It is promoted once it has caught up.
            let number = (nth + 1).to_string();
            cluster.until("the node is promoted", || ask(cluster, &["promote", &number]))?;
        }
    }
    cluster.until("there is a leader", || leader(cluster)).map(drop)
}

pub(crate) fn start_alone(
    cluster: &mut Cluster,
    places: Vec<Places>,
    arguments: &Arguments,
) -> Result<(), Failure> {
    for places in places {
        cluster.add(daemon(&places, arguments), places)?;
    }
    Ok(())
}

/// The index of the node that leads.
pub(crate) fn leader(cluster: &Cluster) -> Result<usize, Failure> {
    let status: Value = serde_json::from_slice(&ask(cluster, &["status", "--json"])?)?;
    let number = status["leader"].as_u64().ok_or("the status names no leader")?;
    // Nodes are numbered from 1, in the order in which they joined.
    Ok(usize::try_from(number)? - 1)
}

fn daemon(places: &Places, arguments: &Arguments) -> Command {
    let mut command = Command::new(&arguments.daemon);
    let (address, port) = (places.clients.ip().to_string(), places.clients.port().to_string());
    command.args(["--listen", &address, "--port", &port, "--log-level", "warn"]);
    command.args(LIMITS).args(&arguments.daemon_arg);
    command
}

/// Asks the first node something as an operator does.
fn ask(cluster: &Cluster, words: &[&str]) -> Result<Vec<u8>, Failure> {
    let mut command = Command::new(&cluster.daemon);
    command.arg("cluster").args(words).arg("--node").arg(cluster.nodes[0].places.peers.to_string());
    output(&mut command)
}

fn output(command: &mut Command) -> Result<Vec<u8>, Failure> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}
