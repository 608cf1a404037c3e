//! Goal: entries reach all nodes in one order, through the loss of leaders, restarts and failing disks. Method: three
//! engines in a room, and one event a test.

use super::room::{Room, run};
use crate::raft::message::{APPEND, AppendAsk, PIECE, PIECE_BYTES, PieceAnswer, PieceAsk};
use crate::raft::{ProposeError, Role};
use crate::store::{
    Ballot, Change, Content, Head, Log, Position, Record, SnapshotHeader, Store, StoredMembers, Writing,
};
use crate::wire::{decode, encode};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ALL: [u16; 3] = [1, 2, 3];

fn others(node: u16) -> Vec<u16> {
    ALL.into_iter().filter(|other| *other != node).collect()
}

#[test]
fn what_the_leader_proposes_is_applied_by_all_in_one_order() {
    run(async |room: Room| {
        let leader = room.node(room.found(&ALL).await);
        let first = leader.propose("a").await;
        let second = leader.propose("b").await;
        assert!(first.await.unwrap() < second.await.unwrap());
        drop(leader.propose("c").await);
        room.applied(&ALL, &["a", "b", "c"]).await;
        let standing = leader.engine.standing();
        assert_eq!((standing.role, &standing.failure), (Role::Leader, &None));
        assert_eq!(standing.members.addresses[&2], "node-2:7000");
        assert!(standing.is_quorum(|node| node != 1) && !standing.is_quorum(|node| node == 1));
    });
}

#[test]
fn a_follower_proposes_nothing() {
    run(async |room: Room| {
        let leader = room.found(&ALL).await;
        let follower = room.node(others(leader)[0]);
        assert_eq!(follower.propose("a").await.await, Err(ProposeError::NotLeader { leader: Some(leader) }));
        // Neither does a leader in another term.
        let leader = room.node(leader);
        let term = leader.engine.standing().term;
        let proposal = leader.engine.propose(term - 1, b"a"[..].into()).await.unwrap();
        assert!(matches!(proposal.await, Err(ProposeError::NotLeader { .. })));
        leader.propose("b").await.await.unwrap();
        room.applied(&ALL, &["b"]).await;
    });
}

#[test]
fn a_dead_leader_is_replaced_and_what_it_committed_stays() {
    run(async |room: Room| {
        let dead = room.found(&ALL).await;
        room.node(dead).propose("a").await.await.unwrap();
        let term = room.node(dead).engine.standing().term;
        room.stop(dead).await;
        assert!(room.leader(&others(dead)).await.term > term);
        room.say(&others(dead), "b").await;
        room.applied(&others(dead), &["a", "b"]).await;
        room.start(dead).await;
        room.applied(&ALL, &["a", "b"]).await;
    });
}

/// A leader that is cut off cannot commit. What it proposed then is lost when it comes back, and it is told so.
#[test]
fn a_leader_that_is_cut_off_commits_nothing() {
    run(async |room: Room| {
        let old = room.found(&ALL).await;
        room.isolate(old, true);
        let lost = room.node(old).propose("lost").await;
        room.say(&others(old), "kept").await;
        room.applied(&others(old), &["kept"]).await;
        assert!(room.node(old).entries().is_empty());
        room.isolate(old, false);
        room.applied(&ALL, &["kept"]).await;
        assert_eq!(lost.await, Err(ProposeError::Unknown));
        room.leader(&ALL).await;
    });
}

/// Pre-votes: a node that comes back after it was cut off unseats nobody.
#[test]
fn a_follower_that_was_cut_off_unseats_nobody() {
    run(async |room: Room| {
        let leader = room.found(&ALL).await;
        let term = room.node(leader).engine.standing().term;
        let away = others(leader)[0];
        room.isolate(away, true);
        tokio::time::sleep(Duration::from_secs(5)).await;
        room.isolate(away, false);
        let after = room.leader(&ALL).await;
        assert_eq!((after.node, after.term), (leader, term));
    });
}

#[test]
fn after_a_restart_of_all_everything_is_there() {
    run(async |room: Room| {
        let leader = room.node(room.found(&ALL).await);
        for entry in ["a", "b", "c"] {
            leader.propose(entry).await.await.unwrap();
        }
        room.applied(&ALL, &["a", "b", "c"]).await;
        for node in ALL {
            room.stop(node).await;
        }
        for node in ALL {
            room.start(node).await;
        }
        room.say(&ALL, "d").await;
        room.applied(&ALL, &["a", "b", "c", "d"]).await;
    });
}

#[test]
fn a_node_alone_leads_itself() {
    run(async |room: Room| {
        let leader = room.node(room.found(&[1]).await);
        leader.propose("a").await.await.unwrap();
        room.applied(&[1], &["a"]).await;
        let standing = leader.engine.standing();
        assert!(standing.is_sole_voter() && standing.is_caught_up);
        room.stop(1).await;
        room.start(1).await;
        room.leader(&[1]).await;
        room.applied(&[1], &["a"]).await;
    });
}

#[test]
fn leadership_is_handed_over() {
    run(async |room: Room| {
        let old = room.found(&ALL).await;
        room.node(old).propose("a").await.await.unwrap();
        let heir = others(old)[1];
        room.node(old).engine.transfer_leadership(heir).await;
        room.until("the heir leads", || room.node(heir).engine.standing().leads().then_some(())).await;
        assert_eq!(room.say(&ALL, "b").await, heir);
        room.applied(&ALL, &["a", "b"]).await;
    });
}

/// Goal: the time that leases go by is when a request was *sent* that a quorum has answered. Method: answers take 40 ms
/// on their way. Had the engine taken the time of the answer, some of it would be later than 40 ms ago.
#[test]
fn a_quorum_is_heard_of_when_the_request_was_sent() {
    run(async |room: Room| {
        let leader = room.node(room.found(&ALL).await);
        let way = Duration::from_millis(40);
        room.answers_after(way);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut heard = std::collections::BTreeSet::new();
        let at_first = leader.engine.standing().quorum_sent.unwrap();
        for step in 0..2000 {
            if step % 7 == 0 {
                drop(leader.propose("a").await);
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
            let sent = leader.engine.standing().quorum_sent.unwrap();
            let now = leader.engine.now();
            assert!(sent.plus(40) <= now, "sent at {sent:?} and answered by {now:?}");
            assert!(now.since(sent) <= 200, "sent at {sent:?}, and now is {now:?}");
            heard.insert(sent);
        }
        assert!(heard.len() > 20 && *heard.first().unwrap() >= at_first, "{heard:?}");
        // Nobody is heard of any more.
        room.isolate(leader.engine.standing().node, true);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (last, now) = (leader.engine.standing().quorum_sent, leader.engine.now());
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(leader.engine.standing().quorum_sent <= last && last < Some(now));
    });
}

/// Goal: who acknowledges a leader has noted it before. Method: notes and answers are counted at each step.
#[test]
fn a_leader_is_noted_before_it_is_answered() {
    run(async |room: Room| {
        let leader = room.found(&ALL).await;
        let term = room.node(leader).engine.standing().term;
        for _ in 0..50 {
            drop(room.node(leader).propose("a").await);
            tokio::time::sleep(Duration::from_millis(7)).await;
            for node in others(leader) {
                let (heard, answered) = room.heard(node);
                assert!(heard.len() >= answered && answered > 0, "{} of {answered}", heard.len());
                assert_eq!(heard.last(), Some(&(term, leader)));
            }
        }
        assert_eq!(room.heard(leader).0, []);
    });
}

/// Goal: a question that makes no sense closes the link, notes nothing and harms nobody. Method: one of each kind.
#[test]
fn nonsense_is_not_answered() {
    run(async |room: Room| {
        let leader = room.found(&ALL).await;
        let term = room.node(leader).engine.standing().term;
        let engine = room.node(others(leader)[0]).engine;
        let elected = Ballot { term, node: leader, is_elected: true };
        let append = |ballot, indexes: &[u64]| {
            let record =
                |index: &u64| Record { position: Position { term, index: *index }, content: Content::Blank };
            let records = indexes.iter().map(record).collect();
            encode(&AppendAsk { ballot, previous: None, committed: None, records })
        };
        assert!(engine.answer(leader, APPEND, &append(elected, &[])).await.is_some());
        let noted = room.heard(others(leader)[0]).0.len();
        let candidate = Ballot { is_elected: false, ..elected };
        assert_eq!(engine.answer(leader, APPEND, &append(candidate, &[])).await, None);
        assert_eq!(engine.answer(9, APPEND, &append(elected, &[])).await, None);
        assert_eq!(room.heard(others(leader)[0]).0.len(), noted);
        for gap in [&[1_u64][..], &[0, 2], &[0, 0], &[1, 0]] {
            assert_eq!(engine.answer(leader, APPEND, &append(elected, gap)).await, None);
        }
        for kind in 0..=255 {
            assert_eq!(engine.answer(leader, kind, b"nonsense, and too long").await, None, "kind {kind}");
            assert_eq!(engine.answer(leader, kind, &[]).await, None, "kind {kind}");
        }
        let members = StoredMembers::default();
        let header = SnapshotHeader { position: None, members, length: u64::MAX, checksum: 0 };
        let piece =
            |header, length| encode(&PieceAsk { ballot: elected, header, offset: 0, piece: vec![0; length] });
        assert_eq!(engine.answer(leader, PIECE, &piece(header.clone(), PIECE_BYTES + 1)).await, None);
        let refused = engine.answer(leader, PIECE, &piece(header.clone(), 1)).await.unwrap();
        assert!(matches!(decode(&refused), Ok(PieceAnswer::Refused(_))));
        // A piece that is not the next one is not written.
        let header = SnapshotHeader { length: 100, ..header };
        for (offset, length, expected) in [(40, 10, 0), (0, 40, 40), (50, 10, 40), (40, 20, 60), (40, 20, 60)]
        {
            let header = header.clone();
            let question = PieceAsk { ballot: elected, header, offset, piece: vec![0; length] };
            let answer = engine.answer(leader, PIECE, &encode(&question)).await.unwrap();
            assert!(
                matches!(decode(&answer), Ok(PieceAnswer::Continue(next)) if next == expected),
                "{offset}"
            );
        }
        room.say(&ALL, "a").await;
        room.applied(&ALL, &["a"]).await;
    });
}

/// A log whose disk can be broken.
struct Fragile(crate::store::DiskLog, Arc<AtomicBool>);

impl Log for Fragile {
    fn head(&self) -> io::Result<(Head, u64)> {
        self.0.head()
    }

    fn change(&self, changes: &[Change]) -> io::Result<()> {
        if self.1.load(Ordering::SeqCst) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no room"));
        }
        self.0.change(changes)
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Record>> {
        self.0.read(range, bytes_max)
    }
}

/// Goal: an error of the disk is final for a node, is told with its kind, and the others go on. Method: the leader's
/// disk fails, and is mended at once; the node must not try it again.
#[test]
fn a_failing_disk_stops_its_node_for_good() {
    run(async |room: Room| {
        let breaks = Arc::new(AtomicBool::new(false));
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(Fragile(crate::store::DiskLog::in_memory().unwrap(), Arc::clone(&breaks)));
        let store = Arc::new(Store::open(log, Writing::Inline).unwrap());
        room.start_on(1, Arc::clone(&store), folder.path()).await;
        room.start(2).await;
        room.start(3).await;
        let members = ALL.iter().map(|node| (*node, super::room::address(*node))).collect();
        room.node(1).engine.initialize(members).await.unwrap();
        room.leader(&ALL).await;
        let mut failure = room.node(1).engine.failure();
        assert_eq!(*failure.borrow_and_update(), None);
        breaks.store(true, Ordering::SeqCst);
        let leader = room.leader(&ALL).await.node;
        drop(room.node(leader).propose("a").await);
        failure.changed().await.unwrap();
        breaks.store(false, Ordering::SeqCst);
        let error = failure.borrow().clone().unwrap();
        assert_eq!((error.kind, error.reason.as_str()), (io::ErrorKind::StorageFull, "no room"));
        room.until("it stops", || (room.node(1).engine.standing().role == Role::Stopped).then_some(())).await;
        assert!(room.node(1).engine.standing().failure.is_some());
        room.say(&[2, 3], "b").await;
        let later = store.head().last;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(store.head().last, later, "nothing more is written");
    });
}
