//! One machine at a time, by hand. How they fare against each other is searched in `cluster/tests/lease_search`.

use super::*;
use crate::Moment;

/// Of 1,000 ms: expiry 800, lease 640, half of it 320, a beat every 62, again after 100.
fn times() -> Times {
    Times::new(1000)
}

/// A node whose epoch 7 has begun at 0, under nonce 1.
fn begun() -> NodeLease {
    let mut node = NodeLease::new(times(), 1);
    node.up(1, 7, Moment(0));
    node
}

/// A node that serves epoch 7 until 640.
fn serving() -> NodeLease {
    let mut node = begun();
    node.beat(Moment(0)).unwrap();
    node.answered(7, 1, 0, Moment(10)).unwrap();
    node
}

/// A leader of term 3 among nodes 1 to 3, with epochs 11, 12, 13, elected at 1,000.
fn elected() -> LeaderLease {
    let mut leader = LeaderLease::new(times(), 1);
    let voters = vec![vec![1, 2, 3]];
    leader.elected(Election { term: 3, voters, epochs: vec![(1, 11), (2, 12), (3, 13)] }, Moment(1000));
    leader
}

/// The numbers of the beats that are answered.
fn numbers(answers: &[Answered]) -> Vec<u64> {
    answers.iter().map(|answer| answer.number).collect()
}

/// The epochs that are condemned, with ticks from beat to beat until a moment.
fn condemned_until(leader: &mut LeaderLease, end: Moment) -> Vec<(Moment, u64)> {
    let mut found = Vec::new();
    while let Some(at) = leader.next_tick().filter(|at| *at <= end) {
        found.extend(leader.tick(at).iter().map(|condemned| (at, condemned.epoch)));
    }
    found
}

/// Goal: the times are those that the safety of leases was argued for.
#[test]
fn times_are_parts_of_the_timeout() {
    let times = Times::default();
    assert_eq!((times.timeout(), times.expiry(), times.lease()), (2500, 2000, 1600));
    assert_eq!((times.beat(), times.again()), (156, 250));
    assert_eq!((times.half_lease(), times.watchdog_margin()), (800, 200));
}

/// Goal: a lease on the slowest clock ends before the expiry on the fastest one, for every timeout.
#[test]
fn a_slow_lease_ends_before_a_fast_expiry() {
    for timeout_ms in 100..10_000 {
        let times = Times::new(timeout_ms);
        assert!(times.lease() * 111 < times.expiry() * 100 + 1000, "{timeout_ms} ms");
        assert!(times.beat() * 10 < times.lease() && times.watchdog_margin() > 0);
    }
}

/// Goal: a node serves from its own `Up` and the first answer on, and no other `Up` counts.
#[test]
fn a_node_serves_after_its_own_up_and_an_answer() {
    let mut node = NodeLease::new(times(), 1);
    assert_eq!((node.asks(), node.beat(Moment(0))), (Some(1), None));
    node.up(2, 6, Moment(0));
    assert_eq!(node.next_beat(), None, "the nonce of another process");
    node.up(1, 7, Moment(5));
    assert_eq!((node.asks(), node.epoch(), node.deadline()), (None, None, None));
    node.applied(3);
    let beat = node.beat(Moment(20)).unwrap();
    assert_eq!(beat, Beat { epoch: 7, number: 1, applied: 3 });
    assert_eq!(node.beat(Moment(81)), None, "the next is not due");
    assert_eq!(node.answered(6, 1, 0, Moment(30)), None, "another epoch's");
    assert_eq!(node.answered(7, 2, 0, Moment(30)), None, "it was not sent yet");
    assert_eq!(node.answered(7, 1, 0, Moment(50)), Some(Turn::Serve { epoch: 7, until: Moment(660) }));
    node.up(1, 8, Moment(60));
    assert_eq!(node.epoch(), Some(7), "an epoch has begun");
}

/// Goal: a lease runs from the sending of a beat, and answers in any order never shorten it.
#[test]
fn a_lease_runs_from_the_sending() {
    let mut node = begun();
    for at in [0, 100, 200] {
        node.beat(Moment(at)).unwrap();
    }
    assert_eq!(node.answered(7, 2, 0, Moment(500)), Some(Turn::Serve { epoch: 7, until: Moment(740) }));
    assert_eq!(node.answered(7, 1, 0, Moment(510)), None, "an older one");
    assert_eq!(node.answered(7, 2, 0, Moment(520)), None, "twice");
    assert_eq!(node.answered(7, 3, 0, Moment(530)), Some(Turn::Renew { until: Moment(840) }));
    assert_eq!(node.watchdog(), Some(Moment(920)));
}

/// Goal: a lapse is final. An answer that comes at the deadline is too late, and so is every later one.
#[test]
fn a_lapse_is_final() {
    let mut node = serving();
    node.beat(Moment(600)).unwrap();
    assert_eq!(node.tick(Moment(639)), None);
    let lapse = Turn::Lapse { epoch: 7, cause: LapseCause::NoAnswer };
    assert_eq!(node.answered(7, 2, 0, Moment(640)), Some(lapse));
    assert_eq!((node.answered(7, 2, 0, Moment(641)), node.beat(Moment(700))), (None, None));
    assert_eq!((node.deadline(), node.epoch(), node.asks()), (None, Some(7), None));
    assert_eq!(node.watchdog(), Some(Moment(720)));
    node.closed(6);
    assert_eq!(node.asks(), None, "another epoch's sockets");
    node.closed(7);
    assert_eq!((node.asks(), node.epoch(), node.watchdog()), (Some(2), None, None), "a new nonce");
    node.up(1, 8, Moment(800));
    assert_eq!(node.asks(), Some(2), "the old nonce");
}

/// Goal: at the first answer, too, a lease that is over is none.
#[test]
fn an_answer_after_a_lease_begins_none() {
    let mut node = begun();
    node.beat(Moment(0)).unwrap();
    assert_eq!(node.answered(7, 1, 0, Moment(640)), None);
    assert_eq!(node.epoch(), None);
}

/// Goal: a node does not renew if it lags behind what it was told for half a lease.
#[test]
fn a_node_that_lags_does_not_renew() {
    let mut node = serving();
    for (at, commit) in [(100, 5), (200, 6), (430, 6), (500, 6)] {
        node.beat(Moment(at)).unwrap();
        let number = if at == 100 { 2 } else { u64::MAX };
        node.answered(7, number, commit, Moment(at + 10));
    }
    assert_eq!(node.deadline(), Some(Moment(740)), "only the first was answered in time");
    assert_eq!(node.answered(7, 4, 6, Moment(515)), None, "entry 5 was told at 110, and 430 is too late");
    node.applied(5);
    assert_eq!(node.answered(7, 4, 6, Moment(516)), Some(Turn::Renew { until: Moment(1070) }));
    assert_eq!(node.answered(7, 5, 6, Moment(530)), None, "entry 6 was told at 210");
    node.applied(6);
    assert_eq!(node.answered(7, 5, 6, Moment(531)), Some(Turn::Renew { until: Moment(1140) }));
}

/// Goal: a batch that is not applied ends the epoch a lease after it was first sent, whatever is answered meanwhile.
#[test]
fn a_batch_that_is_stuck_ends_the_epoch() {
    let mut node = serving();
    node.batch_sent(1, Moment(100));
    node.batch_sent(2, Moment(200));
    node.batch_sent(1, Moment(300));
    node.beat(Moment(400)).unwrap();
    assert_eq!(node.answered(7, 2, 0, Moment(410)), Some(Turn::Renew { until: Moment(740) }));
    assert_eq!(node.batch_applied(1, Moment(500)), Some(Turn::Renew { until: Moment(840) }));
    node.beat(Moment(600)).unwrap();
    assert_eq!(node.answered(7, 3, 0, Moment(610)), None, "batch 2 holds it back");
    let lapse = Some(Turn::Lapse { epoch: 7, cause: LapseCause::BatchStuck });
    assert_eq!((node.tick(Moment(839)), node.clone().tick(Moment(840))), (None, lapse));
    assert_eq!(node.batch_applied(2, Moment(839)), Some(Turn::Renew { until: Moment(1240) }));
}

/// Goal: `Gone` ends its own epoch and no other.
#[test]
fn gone_ends_its_own_epoch_only() {
    let mut node = serving();
    assert_eq!(node.gone(6), None);
    assert_eq!(node.gone(7), Some(Turn::Lapse { epoch: 7, cause: LapseCause::Gone }));
    let mut node = begun();
    assert_eq!((node.gone(7), node.asks()), (None, Some(2)), "nothing was served: it asks at once");
}

/// Goal: a snapshot ends what is served, even if the epoch is in it; what is not served yet goes on.
#[test]
fn a_snapshot_ends_what_is_served() {
    let mut node = serving();
    let lapse = Turn::Lapse { epoch: 7, cause: LapseCause::Snapshot };
    assert_eq!(node.installed(Some((1, 7)), Moment(20)), Some(lapse));
    let mut node = begun();
    assert_eq!((node.installed(Some((1, 7)), Moment(20)), node.next_beat()), (None, Some(Moment(0))));
    assert_eq!((node.installed(None, Moment(20)), node.asks()), (None, Some(2)));
    assert_eq!((node.installed(Some((2, 9)), Moment(30)), node.next_beat()), (None, Some(Moment(30))));
}

/// Goal: after an orderly shutdown a node says farewell to its epoch, and begins no other.
#[test]
fn a_node_that_stops_says_farewell() {
    let mut node = serving();
    assert_eq!(node.stop(), Some(Turn::Lapse { epoch: 7, cause: LapseCause::Shutdown }));
    assert_eq!(node.farewell(), None, "its sockets are open");
    node.closed(7);
    assert_eq!((node.farewell(), node.asks(), node.stop()), (Some(7), None, None));
    assert_eq!(node.farewell(), Some(7));
    let mut node = begun();
    assert_eq!((node.stop(), node.farewell(), node.asks()), (None, None, None));
}

/// Goal: a beat is answered after its own first entry is applied and a quorum acknowledged what was sent after it.
#[test]
fn a_beat_waits_for_a_quorum() {
    let mut leader = elected();
    assert_eq!(leader.beat(2, 12, 1, Moment(1010)), []);
    assert_eq!(leader.quorum_acked(3, Moment(1011)), [], "its own first entry is not applied");
    assert_eq!(leader.first_applied(2), []);
    assert_eq!(numbers(&leader.first_applied(3)), [1]);
    assert_eq!(leader.beat(2, 12, 2, Moment(1020)), []);
    assert_eq!(leader.beat(3, 13, 7, Moment(1021)), []);
    assert_eq!(leader.beat(2, 11, 3, Moment(1021)), [], "not its epoch");
    assert_eq!(leader.quorum_acked(3, Moment(1020)), [], "not strictly after");
    assert_eq!(leader.quorum_acked(2, Moment(1050)), [], "of another term");
    assert_eq!(leader.quorum_acked(3, Moment(1021)), [Answered { node: 2, epoch: 12, number: 2 }]);
    assert_eq!(numbers(&leader.quorum_acked(3, Moment(1030))), [7]);
    assert_eq!(leader.beat(2, 12, 3, Moment(1030)), []);
    leader.deposed();
    assert_eq!((leader.quorum_acked(3, Moment(1040)), leader.term()), (vec![], None));
}

/// Goal: a sole voter answers at once, but not once there are others.
#[test]
fn a_sole_voter_answers_at_once() {
    let mut leader = elected();
    assert_eq!(leader.members(&[vec![1]]), []);
    assert_eq!(leader.beat(2, 12, 1, Moment(1010)), []);
    assert_eq!(numbers(&leader.first_applied(3)), [1]);
    assert_eq!(numbers(&leader.beat(2, 12, 2, Moment(1020))), [2]);
    assert_eq!(leader.members(&[vec![1], vec![1, 2]]), []);
    assert_eq!(leader.beat(2, 12, 3, Moment(1030)), []);
    assert_eq!(numbers(&leader.members(&[vec![1]])), [3]);
    assert_eq!(leader.members(&[]), []);
    assert_eq!(leader.beat(2, 12, 4, Moment(1040)), [], "nobody is no quorum");
}

/// Goal: an epoch is condemned an expiry after the last of it came, be it a beat, a batch or its `Up`.
#[test]
fn silence_is_condemned() {
    let mut leader = elected();
    let mut found = condemned_until(&mut leader, Moment(1100));
    leader.beat(1, 11, 1, Moment(1100));
    found.extend(condemned_until(&mut leader, Moment(1300)));
    leader.batch(2, 12, Moment(1300));
    leader.gone(3, 12);
    leader.gone(3, 13);
    found.extend(condemned_until(&mut leader, Moment(1500)));
    leader.up(3, 14, Moment(1500));
    leader.batch(3, 13, Moment(1510));
    // Ticks come at 1062 + 62 k.
    found.extend(condemned_until(&mut leader, Moment(2400)));
    let found: Vec<(u64, u64)> = found.iter().map(|(at, epoch)| (at.0, *epoch)).collect();
    let again = [(2054, 11), (2116, 12), (2178, 11), (2240, 12), (2302, 11), (2302, 14), (2364, 12)];
    assert_eq!((found[0], &found[1..]), ((1930, 11), &again[..]));
    leader.gone(1, 11);
    leader.beat(2, 12, 9, Moment(2400));
    leader.first_applied(3);
    assert_eq!(leader.quorum_acked(3, Moment(2410)), [], "a condemned epoch is never answered");
    assert_eq!(condemned_until(&mut leader, Moment(2430)), [(Moment(2426), 14)]);
}

/// Goal: with words of a quorum the expiry counts from the latest of the earliest quorum, else from the election.
#[test]
fn the_expiry_counts_from_the_words_of_a_quorum() {
    let first = |words: &[(u16, u64)], voters: Vec<Vec<u16>>| {
        let mut leader = LeaderLease::new(times(), 1);
        leader.elected(Election { term: 3, voters, epochs: vec![(2, 12)] }, Moment(1000));
        for (from, age) in words {
            leader.word(2, *from, 1000, Moment(1010));
            leader.word(3, *from, *age, Moment(1010));
        }
        condemned_until(&mut leader, Moment(1860)).first().copied().expect("silence is condemned").0
    };
    let three = || vec![vec![1, 2, 3]];
    let (election, from_800, from_600) = (Moment(1806), Moment(1620), Moment(1434));
    assert_eq!(first(&[], three()), election);
    assert_eq!(first(&[(1, 410)], three()), election, "one of three is no quorum");
    assert_eq!(first(&[(1, 410), (3, 210)], three()), from_800);
    assert_eq!(first(&[(1, 410), (3, 210), (2, 410)], three()), from_600);
    assert_eq!(first(&[(1, 410), (4, 410)], three()), election, "a learner's word is no voter's");
    assert_eq!(first(&[(1, 410), (3, 410)], vec![vec![1, 2, 3], vec![1, 4, 5]]), election);
    assert_eq!(first(&[(1, 410), (3, 410), (4, 210)], vec![vec![1, 2, 3], vec![1, 4, 5]]), from_800);
    assert_eq!(first(&[(1, 410), (3, 410)], vec![]), election, "the voters are not known");
}

/// Goal: each voter is asked until it answered, and a new term asks anew.
#[test]
fn voters_are_asked_for_their_words() {
    let mut leader = elected();
    leader.word(3, 2, 5, Moment(1010));
    assert_eq!(leader.wants_words(), [1, 3]);
    leader.elected(Election { term: 4, voters: vec![vec![1, 2], vec![2, 3]], epochs: vec![] }, Moment(1020));
    assert_eq!(leader.wants_words(), [1, 2, 3]);
    leader.deposed();
    assert!(leader.wants_words().is_empty());
}

/// Goal: a leader that stood still condemns nobody for it, whatever it hears first when it goes on; one that stalls now
/// and then still condemns the dead.
#[test]
fn a_pause_of_the_leader_is_nobodys_silence() {
    let mut leader = elected();
    leader.beat(1, 11, 1, Moment(1050));
    assert_eq!(condemned_until(&mut leader, Moment(1062)), []);
    leader.word(3, 1, 4100, Moment(5000));
    leader.word(3, 2, 4100, Moment(5000));
    assert_eq!(leader.tick(Moment(5000)), [], "neither by the table nor by what the voters say");
    assert_eq!(leader.heard(1), Some(Moment(4926)), "3,876 ms later");
    let mut at = Moment(5000);
    let mut stalls = 0;
    while leader.tick(at).is_empty() {
        stalls += 1;
        at = at.plus(if stalls % 4 == 0 { 500 } else { 62 });
    }
    assert!((5..30).contains(&stalls), "{stalls} stalls");
}
