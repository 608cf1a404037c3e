//! Goal: without a majority nobody is served, and everybody is told; with one, service goes on. Method: two nodes of
//! three are killed, and one of them comes back. Then all are killed, and all come back.

use crate::nodes::{Cluster, LONG, get};
use crate::support::{Client, poll};

fn token(client: &mut Client, name: &str) -> u64 {
    let said = client.ask(&format!("f {name}"));
    let token = said.split(' ').next().unwrap().parse().unwrap();
    assert_ne!(token, 0, "{said}");
    token
}

#[test]
fn a_majority_is_lost_and_comes_back() {
    let mut cluster = Cluster::start(3);
    let mut alone = cluster.nodes[0].client();
    get(&mut alone, "x");
    let first = token(&mut alone, "x");
    let mut asks = cluster.nodes[0].client();
    get(&mut asks, "y");
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    asks.send("ping\n");
    asks.expect("0 No Quorum\n");
    asks.expect_end();
    alone.expect_end();
    assert_eq!(cluster.nodes[0].first_words(b"g x\n"), "0 No Quorum\n");
    poll("status to say so", LONG, || (cluster.nodes[0].tool(&["status"]).status == Some(2)).then_some(()));

    cluster.nodes[1].start();
    cluster.nodes[0].until_serves();
    let mut back = cluster.nodes[0].client();
    get(&mut back, "x");
    let second = token(&mut back, "x");
    assert!(second > first, "{second} after {first}");

    cluster.nodes[0].kill();
    cluster.nodes[1].kill();
    back.wait_for_end();
    for node in &mut cluster.nodes {
        node.spawn();
    }
    cluster.until_whole();
    let mut anew = cluster.nodes[2].client();
    anew.send("d\n");
    assert_eq!(anew.lines(), [""; 0]);
    get(&mut anew, "x");
    let third = token(&mut anew, "x");
    assert!(third > second, "{third} after {second}");
}

/// Goal: the last node founds the cluster anew when the others are lost for good. Method: two of three are killed, and
/// the third is recovered; fencing tokens go on.
#[test]
fn the_last_node_goes_on_alone() {
    let mut cluster = Cluster::start(3);
    let mut client = cluster.nodes[0].client();
    get(&mut client, "x");
    let first = token(&mut client, "x");
    let old = cluster.nodes[0].status().unwrap();
    for node in &mut cluster.nodes {
        node.kill();
    }
    let said = cluster.nodes[0].tool(&["recover"]);
    assert!(said.status != Some(0) && said.err.contains("--others-are-off"), "{said:?}");
    cluster.nodes[0].must(&["recover", "--others-are-off"]);
    cluster.nodes[0].start();
    let mut anew = cluster.nodes[0].client();
    get(&mut anew, "x");
    let second = token(&mut anew, "x");
    assert!(second > first, "{second} after {first}");
    let new = cluster.nodes[0].status().unwrap();
    assert_ne!(new["cluster"], old["cluster"]);

    // One of before is of another cluster now. A fresh one joins.
    cluster.nodes[1].spawn();
    cluster.nodes[1].until_says("0 No Quorum\n");
    cluster.nodes[1].kill();
    cluster.nodes.truncate(1);
    let fresh = cluster.folder_for("fresh");
    let fresh = cluster.add(fresh);
    assert_eq!(cluster.nodes[fresh].client().ask("g x"), "0 Lock Get Failure: x");
}
