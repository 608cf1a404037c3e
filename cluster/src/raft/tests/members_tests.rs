//! Goal: members come and go while entries are applied, and a late one gets a snapshot. Method: engines in a room.

use super::room::{Room, address, run};
use crate::raft::{MemberError, Role};
use std::time::Duration;

#[test]
fn a_learner_follows_is_promoted_and_removed() {
    run(async |room: Room| {
        let leader = room.found(&[1, 2, 3]).await;
        room.node(leader).propose("a").await.await.unwrap();
        room.start(4).await;
        room.node(leader).engine.add_learner(4, address(4)).await.unwrap();
        room.applied(&[1, 2, 3, 4], &["a"]).await;
        let standing = room.node(4).engine.standing();
        assert_eq!((standing.role, standing.votes(), standing.leader), (Role::Learner, false, Some(leader)));
        assert_eq!(standing.members.addresses[&4], address(4));
        room.node(leader).engine.promote(4).await.unwrap();
        room.until("it votes", || room.node(4).engine.standing().votes().then_some(())).await;
        // Three of four are a quorum: without the new one and one more, nothing is committed.
        room.isolate(4, true);
        let away = [1, 2, 3].into_iter().find(|node| *node != leader).unwrap();
        room.isolate(away, true);
        let proposal =
            tokio::time::timeout(Duration::from_secs(2), room.node(leader).propose("b").await).await;
        assert!(!matches!(proposal, Ok(Ok(_))), "committed by two of four");
        room.isolate(4, false);
        room.isolate(away, false);
        let leader = room.say(&[1, 2, 3, 4], "c").await;
        let away =
            if away == leader { [1, 2, 3].into_iter().find(|node| *node != leader).unwrap() } else { away };
        room.node(leader).engine.remove(away).await.unwrap();
        let standing = room.node(leader).engine.standing();
        assert_eq!(standing.members.addresses.len(), 3);
        assert!(standing.members_are_committed && !standing.members.voters[0].contains(&away));
    });
}

#[test]
fn a_leader_that_removes_itself_steps_down() {
    run(async |room: Room| {
        let leader = room.found(&[1, 2, 3]).await;
        let rest: Vec<u16> = [1, 2, 3].into_iter().filter(|node| *node != leader).collect();
        room.node(leader).engine.remove(leader).await.unwrap();
        room.until("another leads", || {
            rest.iter().any(|node| room.node(*node).engine.standing().leads()).then_some(())
        })
        .await;
        room.say(&rest, "a").await;
        room.applied(&rest, &["a"]).await;
        let steps_down = || (!room.node(leader).engine.standing().leads()).then_some(());
        room.until("it steps down", steps_down).await;
    });
}

#[test]
fn members_are_changed_by_the_leader_alone() {
    run(async |room: Room| {
        let leader = room.found(&[1, 2, 3]).await;
        let follower = if leader == 1 { 2 } else { 1 };
        let refused = room.node(follower).engine.add_learner(4, address(4)).await;
        assert_eq!(refused, Err(MemberError::NotLeader { leader: Some(leader) }));
        let stranger = room.node(leader).engine.promote(9).await;
        assert!(matches!(stranger, Err(MemberError::Refused(_))), "{stranger:?}");
        let again = room.node(leader).engine.initialize([(1, address(1))].into()).await;
        assert!(matches!(again, Err(MemberError::Refused(_))), "{again:?}");
    });
}

/// Goal: a node that comes when the log's beginning is gone gets the state by a snapshot, in many pieces, and then the
/// rest of the log; it has both after a restart. Method: entries of 50 kB, a snapshot in the middle, a purge.
#[test]
fn a_late_learner_gets_a_snapshot() {
    run(async |room: Room| {
        let leader = room.node(room.found(&[1, 2, 3]).await);
        let mut entries: Vec<String> = (0..10).map(|number| number.to_string().repeat(50_000)).collect();
        for entry in &entries {
            leader.propose(entry).await.await.unwrap();
        }
        assert!(leader.engine.bytes_since_snapshot() > 500_000);
        leader.engine.trigger_snapshot().await;
        let last = room.until("a snapshot is there", || leader.engine.standing().snapshot).await;
        assert!(leader.engine.bytes_since_snapshot() == 0 && leader.engine.snapshot_bytes() > 500_000);
        leader.engine.purge(last - 2).await;
        room.until("it is purged", || (leader.engine.standing().purged == Some(last - 2)).then_some(()))
            .await;
        entries.push("after".to_owned());
        leader.propose("after").await.await.unwrap();
        room.start(4).await;
        leader.engine.add_learner(4, address(4)).await.unwrap();
        let expected: Vec<&str> = entries.iter().map(String::as_str).collect();
        room.applied(&[1, 2, 3, 4], &expected).await;
        assert_eq!(room.node(4).engine.standing().snapshot, Some(last));
        for node in [4, 3] {
            room.stop(node).await;
            room.start(node).await;
        }
        room.applied(&[1, 2, 3, 4], &expected).await;
    });
}

/// A node whose snapshot is all that it has of the beginning restores itself from it.
#[test]
fn a_node_restarts_from_its_snapshot() {
    run(async |room: Room| {
        let leader = room.node(room.found(&[1]).await);
        for entry in ["a", "b", "c"] {
            leader.propose(entry).await.await.unwrap();
        }
        leader.engine.trigger_snapshot().await;
        let last = room.until("a snapshot is there", || leader.engine.standing().snapshot).await;
        leader.engine.purge(last).await;
        leader.propose("d").await.await.unwrap();
        room.stop(1).await;
        room.start(1).await;
        room.leader(&[1]).await;
        room.applied(&[1], &["a", "b", "c", "d"]).await;
    });
}
