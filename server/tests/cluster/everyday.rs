//! Goal: three daemons, set up as the page on clusters says, are one lock service.

use crate::nodes::{Cluster, LONG, get};
use crate::support::poll;

/// Goal: what one node grants, the others know. Method: the same lock is asked for at all of them.
#[test]
fn three_nodes_are_one_lock_service() {
    let mut cluster = Cluster::start(3);
    let [mut a, mut b, mut c] = [0, 1, 2].map(|at| cluster.nodes[at].client());
    get(&mut a, "x");
    assert_eq!(b.ask("g x"), "0 Lock Get Failure: x");
    assert_eq!(c.ask("i x"), "1 Lock Is Locked: x");
    assert_eq!(c.ask("r x"), "0 Lock Release Failure: x");
    // First come, first served, over two nodes; somebody looks until each of them waits.
    b.send("gw 20000 x\n");
    poll("one to wait", LONG, || (a.figure("waiters") == 1).then_some(()));
    c.send("gw 20000 x\n");
    poll("two to wait", LONG, || (a.figure("waiters") == 2).then_some(()));
    assert_eq!(a.ask("r x"), "1 Lock Release Success: x");
    b.expect("1 Lock Get Success: x\n");
    assert!(!c.has_reply());
    // An ended connection frees its lock at another node.
    drop(b);
    c.expect("1 Lock Get Success: x\n");
    assert_eq!(a.ask("g x"), "0 Lock Get Failure: x");
    // Listings are the cluster's too.
    a.send("d\n");
    assert_eq!(a.lines().len(), 1);

    let table = cluster.nodes[1].must(&["status"]);
    assert_eq!(table.lines().filter(|line| line.contains("voter") || line.contains("leader ")).count(), 3);
    // Any node tells of all, also what only they know themselves. Digests are compared now and then, while there is
    // traffic.
    poll("digests to agree", 2 * LONG, || {
        let status = cluster.nodes[2].status()?;
        assert_eq!(a.ask("ping"), "1 pong");
        status["members"].as_array()?.iter().all(|member| member["agrees"] == true).then_some(())
    });
    let status = cluster.nodes[2].status().unwrap();
    assert_eq!((status["node"].as_u64(), status["timeout_ms"].as_u64()), (Some(3), Some(2500)));
    let members = status["members"].as_array().unwrap();
    for (node, member) in cluster.nodes.iter().zip(members) {
        assert_eq!((member["node"].as_u64(), &member["answers"]), (Some(node.number.into()), &true.into()));
        assert_eq!(member["release"], env!("CARGO_PKG_VERSION"));
        let figures = ["heard_ms", "lease_ms", "lag", "log_bytes"].map(|key| member[key].as_u64());
        assert!(figures.iter().all(Option::is_some) && figures[1] > Some(0), "{member}");
        assert_eq!(node.client().figure("node"), u64::from(node.number));
    }
    assert_eq!(members.len(), 3);

    // A member is missing, and then a majority.
    cluster.nodes[2].kill();
    for (status, dies) in [(1, 1), (2, 2)] {
        poll("the status", LONG, || {
            let said = cluster.nodes[0].tool(&["status"]);
            (said.status == Some(status)).then_some(())
        });
        if dies == 1 {
            cluster.nodes[1].kill();
        }
    }
}
