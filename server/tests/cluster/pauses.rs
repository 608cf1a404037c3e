//! Goal: a node that was stopped tells its clients nothing more, and its locks were given to others meanwhile. Method:
//! a node gets SIGSTOP until others have its locks, and then SIGCONT. Its clients had sent requests while it slept.

use crate::load::Load;
use crate::nodes::{Cluster, LONG, get, until_got};
use crate::support::{poll, tell};
use rustix::process::Signal;

#[test]
fn a_stopped_node_says_nothing_late() {
    let mut cluster = Cluster::start(3);
    let load = Load::start(&cluster);
    for role in ["follower", "leader"] {
        load.goes_on(0..3);
        let stops = if role == "leader" { cluster.leader() } else { cluster.follower() };
        let others: Vec<_> = (0..3).filter(|at| *at != stops).collect();
        let [mut holder, mut asker] = [0, 1].map(|_| cluster.nodes[stops].client());
        get(&mut holder, "held");
        let mut heir = cluster.nodes[others[0]].client();
        get(&mut heir, "own");
        cluster.nodes[stops].signal(Signal::STOP);
        // They reach the kernel of the stopped node, which has nobody to hand them to.
        holder.send("ping\nf held\ni held\n");
        asker.send("g wanted\n");
        let took = until_got(&mut heir, "held");
        get(&mut heir, "wanted");
        tell(format!("a stopped {role}'s lock was free after {took:?}"));
        load.goes_on(others);
        cluster.nodes[stops].signal(Signal::CONT);
        for client in [&mut holder, &mut asker] {
            let late = client.late();
            assert!(late.is_empty() || late == "0 No Quorum\n", "a stopped {role} said {late:?}");
        }
        assert_eq!(heir.ask("r own"), "1 Lock Release Success: own");
        // It goes on, or its watchdog was the first to wake.
        let at = &mut cluster.nodes[stops];
        let ended = poll("it to serve or to end", LONG, || match at.daemon().ended() {
            Some(status) => Some(Some(status)),
            None => at.serves().then_some(None),
        });
        if let Some(status) = ended {
            tell(format!("the stopped {role} ended: {status}"));
            assert_eq!(status.code(), Some(75), "{}", at.log());
            at.end();
            at.start();
        }
        drop((heir, holder, asker));
        cluster.until_whole();
        load.goes_on(0..3);
    }
    let history = load.end();
    tell(history.summary());
    // Clients of the stopped node had not yet heard of its end, so their holds may overlap with later ones.
    assert_eq!(history.disorder(), None);
}
