//! Goal: a node that is cut off from the others lets go of its clients before others have their locks, and comes back
//! by itself. Method: three daemons in network namespaces on a bridge. A link goes down while the process lives on.

use crate::authority::Authority;
use crate::nodes::{Cluster, Node, get, until_got};
use crate::support::{has_tools, program, tell};
use std::process::Command;
use tempfile::TempDir;

/// Namespaces on a bridge; gone when dropped, also when a test panics.
///
/// A client speaks with a node from within its namespace, so that no cut stands between the two.
struct Bridge {
    name: String,
    nodes: usize,
}

impl Bridge {
    /// Needs to be root, and iproute2. Else it says why it cannot be.
    fn build(nodes: usize) -> Result<Self, String> {
        let bridge = Self { name: format!("elockd-bridge-{}", std::process::id()), nodes };
        let hub = &bridge.name;
        ip(&["netns", "add", hub])?;
        ip(&["-n", hub, "link", "add", "name", "bridge", "type", "bridge"])?;
        ip(&["-n", hub, "link", "set", "bridge", "up"])?;
        for at in 0..nodes {
            let (own, port) = (bridge.namespace(at), format!("port{at}"));
            ip(&["netns", "add", &own])?;
            ip(&["-n", &own, "link", "set", "lo", "up"])?;
            let cable = ["link", "add", "name", &port, "netns", hub, "type", "veth"];
            ip(&[&cable[..], &["peer", "name", "cable", "netns", &own]].concat())?;
            ip(&["-n", hub, "link", "set", &port, "master", "bridge", "up"])?;
            ip(&["-n", &own, "address", "add", &format!("{}/24", host(at)), "dev", "cable"])?;
            ip(&["-n", &own, "link", "set", "cable", "up"])?;
        }
        Ok(bridge)
    }

    fn namespace(&self, at: usize) -> String {
        format!("{}-{at}", self.name)
    }

    /// Sets a node's cable up or down, at the bridge's end.
    fn set(&self, at: usize, state: &str) {
        ip(&["-n", &self.name, "link", "set", &format!("port{at}"), state]).unwrap();
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // They fail if it was never made, which has been reported.
        for at in 0..self.nodes {
            let _ = ip(&["netns", "delete", &self.namespace(at)]);
        }
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn host(at: usize) -> String {
    format!("192.0.2.{}", 11 + at)
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output().map_err(|error| format!("ip: {error}"))?;
    let message = || format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    output.status.success().then_some(()).ok_or_else(message)
}

#[test]
fn a_node_that_is_cut_off_lets_go_and_comes_back() {
    if !has_tools(&["ip"]) {
        return;
    }
    let bridge = match Bridge::build(3) {
        Ok(bridge) => bridge,
        Err(error) => return tell(format!("SKIPPED: no bridge can be built here: {error}")),
    };
    let folder = TempDir::new().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    // Dropped before the bridge is.
    let cluster = Cluster::with(3, |at, node: &mut Node| {
        node.address = format!("{}:9999", host(at)).parse().unwrap();
        node.link = format!("{}:9990", host(at));
        let socket = folder.path().join(format!("socket{at}"));
        let own = authority.issue(&host(at));
        let files = ["--cluster-ca", &authority.file, "--cluster-cert", &own.cert, "--cluster-key", &own.key];
        node.more.extend(files.map(str::to_owned));
        node.more.extend(["--unix", socket.to_str().unwrap()].map(str::to_owned));
        node.socket = Some(socket);
        let namespace = bridge.namespace(at);
        node.starter = Box::new(move || {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &namespace]).arg(program().get_program());
            command
        });
    });
    for role in ["follower", "leader"] {
        let cut = if role == "leader" { cluster.leader() } else { cluster.follower() };
        let others: Vec<_> = (0..3).filter(|at| *at != cut).collect();
        let mut holder = cluster.nodes[cut].client();
        get(&mut holder, "x");
        let [mut heir, mut other] = [0, 1].map(|which| cluster.nodes[others[which]].client());
        get(&mut other, "kept");
        bridge.set(cut, "down");
        let took = until_got(&mut heir, "x");
        tell(format!("the lock of a {role} that was cut off was free after {took:?}"));
        assert!(holder.has_ended(), "two clients have the lock of a {role} that was cut off");
        let late = holder.late();
        assert!(late.is_empty() || late == "0 No Quorum\n", "a {role} that was cut off said {late:?}");
        cluster.nodes[cut].until_says("0 No Quorum\n");
        assert_eq!(other.ask("r kept"), "1 Lock Release Success: kept");
        bridge.set(cut, "up");
        cluster.until_whole();
        assert_eq!(cluster.nodes[cut].client().ask("g x"), "0 Lock Get Failure: x");
        assert_eq!(heir.ask("r x"), "1 Lock Release Success: x");
    }
}
