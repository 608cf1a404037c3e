//! How a cluster of etcd is started: with its default settings, but for addresses and where its data are.

use crate::cluster::{Cluster, Places};
use crate::support::Failure;
use elockd_load::etcd_leads;
use std::process::Command;

pub(crate) fn start(cluster: &mut Cluster, places: Vec<Places>) -> Result<(), Failure> {
    let peers = |(nth, places): (usize, &Places)| format!("node-{nth}=http://{}", places.peers);
    let everybody = places.iter().enumerate().map(peers).collect::<Vec<_>>().join(",");
    for (nth, places) in places.into_iter().enumerate() {
        let [clients, peers] = [places.clients, places.peers].map(|address| format!("http://{address}"));
        let mut command = Command::new("etcd");
        command.args(["--name", &format!("node-{nth}")]).arg("--data-dir").arg(places.folder.join("data"));
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &everybody, "--initial-cluster-state", "new"]);
        command.args(["--logger", "zap", "--log-level", "error"]);
        cluster.add(command, places)?;
    }
    cluster.until("there is a leader", || leader(cluster)).map(drop)
}

/// The index of the node that leads.
pub(crate) fn leader(cluster: &Cluster) -> Result<usize, Failure> {
    for (nth, address) in cluster.addresses().into_iter().enumerate() {
        if etcd_leads(address)? {
            return Ok(nth);
        }
    }
    Err("no member of etcd is the leader".into())
}
