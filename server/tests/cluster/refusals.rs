//! Goal: a daemon that would break the cluster's promises does not start, and says what to do. Method: wrong settings
//! and wrong folders, and what the program says of them.

use crate::nodes::{Cluster, Node, Said, run, tool};
use crate::support::program;
use elockd_cluster::store::{Change, Content, Log, Position, Record, StateDirectory};
use elockd_core::Now;
use elockd_core::replica::{Act, LEVEL, LEVEL_BEFORE, LogEntry};
use tempfile::TempDir;

/// Wrong settings.
const USAGE: i32 = 2;

/// What a daemon says that does not start.
fn refused(flags: &[&str]) -> Said {
    let said = run(program().args(["--listen", "127.0.0.1:0"]).args(flags));
    assert_ne!(said.status, Some(0), "{flags:?}");
    said
}

#[track_caller]
fn says(said: &Said, parts: &[&str]) {
    assert!(parts.iter().all(|part| said.err.contains(part)), "{parts:?} in {said:?}");
}

#[test]
fn settings_that_are_no_nodes_are_refused() {
    let folder = TempDir::new().unwrap();
    let empty = folder.path().to_str().unwrap();
    let link = "127.0.0.1:0";
    let said = refused(&["--cluster-listen", link]);
    assert_eq!(said.status, Some(USAGE));
    says(&said, &["--cluster-listen needs --state-dir"]);
    says(&refused(&["--cluster-listen", link, "--state-dir", empty]), &["cluster init", "join"]);
    says(&refused(&["--cluster-advertise", link]), &["--cluster-advertise", "--cluster-listen"]);
    says(
        &refused(&["--cluster-listen", link, "--state-dir", empty, "--cluster-ca", "x"]),
        &["--cluster-key"],
    );
    let idle = ["--cluster-listen", link, "--state-dir", empty, "--idle-timeout", "1s"];
    says(&refused(&idle), &["--idle-timeout", "2500 ms"]);
    // None of them has touched the folder but for a lock, so that it can be a node's.
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "cluster.lock"), "{left:?}");

    let tokens = folder.path().join("accounts");
    let made = run(program().args(["token", "new", "ann", "--file"]).arg(&tokens));
    assert_eq!(made.status, Some(0), "{made:?}");
    let accounts = ["--cluster-listen", link, "--state-dir", empty, "--token-file", tokens.to_str().unwrap()];
    says(&refused(&accounts), &["knows no accounts yet"]);
    std::fs::remove_file(tokens).unwrap();

    let words = ["--cluster-listen", "192.0.2.1:9990", "--state-dir", empty];
    let said = tool(&[&["init"], &words[..]].concat());
    assert_eq!(said.status, Some(0), "{said:?}");
    says(&refused(&words), &["loopback", "certificates"]);
}

#[test]
fn nodes_that_do_not_belong_are_refused() {
    let mut cluster = Cluster::start(1);
    let folder = cluster.nodes[0].folder.to_str().unwrap().to_owned();
    // A second founding, and a second joining.
    says(&cluster.nodes[0].tool(&["init"]), &["belongs to a cluster already"]);
    let link = cluster.nodes[0].link.clone();
    says(&cluster.nodes[0].tool(&["join", &link]), &["belongs to a cluster already"]);
    // A daemon alone, or two at once, on what is a node's.
    says(&refused(&["--state-dir", &folder]), &["belongs to a node of a cluster", "--cluster-listen"]);
    let words: Vec<_> = cluster.nodes[0].settings();
    let words: Vec<_> = words[2..].iter().map(String::as_str).collect();
    says(&refused(&words), &["another process uses the state directory"]);

    // Other limits: refused when it joins, and when it starts.
    let mut node = cluster.folder_for("other-limits");
    node.more = ["--max-locks", "77"].map(str::to_owned).into();
    let said = node.tool(&["join", &link]);
    assert_eq!(said.status, Some(2));
    says(&said, &["--max-locks", "77"]);
    cluster.nodes[0].stop();
    cluster.nodes[0].more = ["--max-locks", "77"].map(str::to_owned).into();
    cluster.nodes[0].spawn();
    let (status, log) = cluster.nodes[0].end();
    assert_ne!(status.code(), Some(0));
    assert!(log.contains("--max-locks is 77 here"), "{log}");
    // Nobody answers now.
    let said = cluster.folder_for("late").tool(&["join", &link]);
    says(&said, &["no answer from", &link]);
}

/// Goal: a node of another cluster does not get in. Method: it takes the place of one that is known.
#[test]
fn a_node_of_another_cluster_is_refused() {
    let mut cluster = Cluster::start(2);
    let mut stranger = Node::new(cluster.path().join("stranger"));
    stranger.must(&["init"]);
    let place = cluster.nodes[1].link.clone();
    cluster.nodes[1].kill();
    stranger.link = place;
    stranger.start();
    cluster.nodes[0].daemon().wait_for_log("it belongs to another cluster");
    // With one of two voters there is no majority, whatever the stranger says.
    cluster.nodes[0].until_says("0 No Quorum\n");
    drop(stranger);
    cluster.nodes[1].start();
    cluster.nodes[0].until_serves();
}

/// Goal: a node whose release does not know the cluster's level ends, and names both, whether it finds that at its
/// start or later. Method: a stopped node gets the entry that raises the level, first as one that may be committed or
/// not, and then as one that is known to be.
#[test]
fn a_release_that_is_too_old_for_the_cluster_does_not_go_on() {
    let mut cluster = Cluster::start(1);
    cluster.nodes[0].stop();
    for is_known in [false, true] {
        let directory = StateDirectory::open(&cluster.nodes[0].folder).unwrap();
        let log = directory.log().unwrap();
        let last = log.head().unwrap().0.last.expect("there are entries");
        let raised = LogEntry { stamp: Now(0), acts: vec![Act::Level(LEVEL + 1)] }.encode();
        let position = Position { index: last.index + 1, ..last };
        let record = Record { position, content: Content::Bytes(raised.into()) };
        let mut changes = vec![Change::Append([record].into())];
        changes.extend(is_known.then_some(Change::Commit(position)));
        log.change(&changes).unwrap();
        drop((log, directory));
        cluster.nodes[0].spawn();
        let (status, log) = cluster.nodes[0].end();
        assert_eq!(status.code(), Some(1), "{log}");
        let both = [
            format!("at level {}", LEVEL + 1),
            format!("this release knows levels {LEVEL_BEFORE} to {LEVEL}"),
        ];
        assert!(both.iter().all(|part| log.contains(part)), "{log}");
        assert_eq!(log.contains("this node does not start"), is_known, "{log}");
        assert!(!log.contains("serving epoch"), "{log}");
    }
}
