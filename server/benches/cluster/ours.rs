//! How a cluster of elockd is started, as its users start one: the first node founds it, the others join it and are
//! promoted. And one elockd without a cluster.

use crate::arguments::Arguments;
use crate::cluster::{Cluster, Places};
use crate::support::Failure;
use serde_json::Value;
use std::process::Command;

/// The limits of every daemon: more than any part asks for. They are the cluster's, so all nodes have the same.
const LIMITS: [&str; 6] =
    ["--max-connections", "2000", "--max-locks", "1000000", "--max-locks-per-connection", "1000000"];

pub(crate) fn start(
    cluster: &mut Cluster,
    places: Vec<Places>,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let first = places[0].peers.to_string();
    for (nth, places) in places.into_iter().enumerate() {
        let settings = settings(&places, arguments);
        let words: &[&str] = if nth == 0 { &["init"] } else { &["join", &first] };
        cluster.until("the node has an identity", || ask(cluster, words, &settings))?;
        let mut command = Command::new(&cluster.daemon);
        command.args(&settings);
        cluster.add(command, places)?;
        if nth > 0 {
            let number = (nth + 1).to_string();
            let words = ["promote", "--at", &first, &number];
            cluster.until("the node is promoted", || ask(cluster, &words, &settings))?;
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
        let mut command = Command::new(&cluster.daemon);
        command.args(common(&places, arguments));
        cluster.add(command, places)?;
    }
    Ok(())
}

/// The index of the node that leads.
pub(crate) fn leader(cluster: &Cluster) -> Result<usize, Failure> {
    let places = &cluster.nodes[0].places;
    let status = ask(cluster, &["status", "--json"], &member(places))?;
    let status: Value = serde_json::from_slice(&status)?;
    let number = status["leader"].as_u64().ok_or("the status names no leader")?;
    // Nodes are numbered from 1, in the order in which they joined.
    Ok(usize::try_from(number)? - 1)
}

/// The settings of a node: the same for the daemon and for the commands of its operator.
fn settings(places: &Places, arguments: &Arguments) -> Vec<String> {
    [common(places, arguments), member(places)].concat()
}

/// What makes it a node.
fn member(places: &Places) -> Vec<String> {
    let (folder, peers) = (places.folder.display().to_string(), places.peers.to_string());
    let [dir, listen, advertise] =
        ["--state-dir", "--cluster-listen", "--cluster-advertise"].map(str::to_owned);
    vec![dir, folder, listen, peers.clone(), advertise, peers]
}

/// What a daemon is told with and without a cluster.
fn common(places: &Places, arguments: &Arguments) -> Vec<String> {
    let (address, port) = (places.clients.ip().to_string(), places.clients.port().to_string());
    let own = ["--listen", &address, "--port", &port, "--log-level", "warn"];
    let all = own.into_iter().chain(LIMITS).map(str::to_owned);
    all.chain(arguments.daemon_arg.iter().cloned()).collect()
}

/// Runs one of the operator's commands.
fn ask(cluster: &Cluster, words: &[&str], settings: &[String]) -> Result<Vec<u8>, Failure> {
    let output = Command::new(&cluster.daemon).arg("cluster").args(words).args(settings).output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("cluster {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr)).into())
}
