//! Goal: only who has a certificate of the cluster's authority, under its own host, is a node. Method: three nodes with
//! certificates, and strangers with wrong ones.

use crate::authority::{Authority, Issued};
use crate::nodes::{Cluster, Node, get};
use crate::support::own_address;
use tempfile::TempDir;

fn certified(node: &mut Node, authority: &Authority, own: &Issued) {
    let flags = ["--cluster-ca", &authority.file, "--cluster-cert", &own.cert, "--cluster-key", &own.key];
    node.more.extend(flags.map(str::to_owned));
}

#[test]
fn nodes_know_each_other_by_certificates() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let host = own_address().ip().to_string();
    let own = authority.issue(&host);
    let mut cluster = Cluster::with(3, |_, node| certified(node, &authority, &own));
    let [mut a, mut c] = [0, 2].map(|at| cluster.nodes[at].client());
    get(&mut a, "x");
    assert_eq!(c.ask("g x"), "0 Lock Get Failure: x");

    // Another authority's certificate is no one's.
    let other = Authority::new(folder.path(), "other");
    let link = cluster.nodes[0].link.clone();
    let mut stranger = cluster.folder_for("stranger");
    certified(&mut stranger, &other, &other.issue_until(&host, 2998));
    let said = stranger.tool(&["join", &link]);
    assert_eq!(said.status, Some(2), "{said:?}");
    assert!(said.err.contains("certificate"), "{said:?}");
    // None at all.
    stranger.more.clear();
    let said = stranger.tool(&["join", &link]);
    assert_eq!(said.status, Some(2), "{said:?}");
    // It trusts the cluster, but shows what the cluster does not trust.
    let foreign = other.issue_until(&host, 2997);
    certified(&mut stranger, &authority, &foreign);
    let said = stranger.tool(&["join", &link]);
    assert_eq!(said.status, Some(2), "{said:?}");

    // A certificate for another host: the node itself says so, and does not start.
    let at = cluster.follower();
    cluster.nodes[at].stop();
    let right = std::mem::take(&mut cluster.nodes[at].more);
    certified(&mut cluster.nodes[at], &authority, &authority.issue("elsewhere.example"));
    cluster.nodes[at].spawn();
    let (status, log) = cluster.nodes[at].end();
    assert_ne!(status.code(), Some(0));
    assert!(log.contains("elsewhere.example") || log.contains(&host), "{log}");
    cluster.nodes[at].more = right;
    cluster.nodes[at].start();
    cluster.until_whole();
}
