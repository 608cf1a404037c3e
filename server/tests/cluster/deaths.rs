//! Goal: the death of a node costs its own clients their locks, and nobody else anything. Method: nodes are killed
//! under load, a follower first and then the leader. What clients were told is judged.

use crate::load::Load;
use crate::nodes::{Cluster, get, until_got};
use crate::support::{Client, tell};

/// One client at each node that holds a lock of its own.
fn keepers(cluster: &Cluster) -> Vec<Client> {
    let keeper = |at: usize| {
        let mut keeper = cluster.nodes[at].client();
        get(&mut keeper, &format!("keep-{at}"));
        keeper
    };
    (0..cluster.nodes.len()).map(keeper).collect()
}

#[test]
fn nodes_die_under_load() {
    let mut cluster = Cluster::start(3);
    let load = Load::start(&cluster);
    for role in ["follower", "leader"] {
        let mut keepers = keepers(&cluster);
        load.goes_on(0..3);
        let dies = if role == "leader" { cluster.leader() } else { cluster.follower() };
        let others: Vec<_> = (0..3).filter(|at| *at != dies).collect();
        cluster.nodes[dies].kill();
        let heir = others[0];
        let took = until_got(&mut keepers[heir], &format!("keep-{dies}"));
        tell(format!("a killed {role}'s lock was free after {took:?}"));
        load.goes_on(others.clone());
        for at in others {
            let lock = format!("keep-{at}");
            assert_eq!(keepers[at].ask(&format!("r {lock}")), format!("1 Lock Release Success: {lock}"));
        }
        keepers[dies].wait_for_end();
        drop(keepers);
        cluster.nodes[dies].start();
        cluster.until_whole();
        load.goes_on(0..3);
    }
    let history = load.end();
    tell(history.summary());
    assert_eq!(history.overlap(), None);
    assert_eq!(history.disorder(), None);
}
