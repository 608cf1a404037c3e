//! Requests and answers over links that work: their order, their number and their size.

use super::*;
use crate::net::{Called, call};

/// Goal: requests arrive in the order of the calls, whichever future is polled first, and answers may come in any
/// order. Method: fifty requests, their futures polled from the last, and freed from the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_keep_their_order_and_answers_need_not() {
    let there = PlainNode::new(2).await;
    let links = there.links(node(1), 2);
    let mut asked: Vec<_> =
        (0..50).map(|number| links.ask(2, Purpose::Batches, HELD, vec![number], LONG)).collect();
    let mut answers = Vec::new();
    while let Some(ask) = asked.pop() {
        answers.push(tokio::spawn(ask));
    }
    there.answerer.begun(50).await;
    let begun: Vec<_> = there.answerer.begun.borrow().iter().map(|begun| begun.payload[0]).collect();
    assert_eq!(begun, (0..50).collect::<Vec<_>>());
    for (number, answer) in (0..50).rev().zip(answers) {
        there.answerer.free[usize::from(number)].add_permits(1);
        assert_eq!(answer.await.unwrap(), Ok(vec![number]));
    }
}

/// Goal: the answering end learns who asks, and for which purpose. A purpose does not wait for another. Method: a
/// request of each purpose, while one of each is held.
#[tokio::test]
async fn each_purpose_has_its_own_link() {
    let there = PlainNode::new(2).await;
    let links = there.links(node(7), 2);
    let purposes = [Purpose::Beats, Purpose::Appends, Purpose::Batches, Purpose::Snapshots, Purpose::Control];
    let held = purposes.map(|purpose| links.ask(2, purpose, HELD, vec![0], LONG));
    for (count, purpose) in purposes.into_iter().enumerate() {
        assert_eq!(links.ask(2, purpose, ECHO, vec![1], LONG).await, Ok(vec![1]));
        there.answerer.begun(count + 6).await;
    }
    let mut begun = there.answerer.begun.borrow().clone();
    begun.sort_by_key(|begun| begun.purpose);
    let expected = purposes.iter().flat_map(|&purpose| {
        [(HELD, vec![0]), (ECHO, vec![1])].map(|(kind, payload)| Begun { from: 7, purpose, kind, payload })
    });
    assert_eq!(begun, expected.collect::<Vec<_>>());
    drop(held);
}

/// Goal: thousands of requests of all sizes come through whole. Method: 4,000 of them at once over four links, some as
/// large as the bound allows, compared byte by byte.
#[tokio::test]
async fn many_requests_come_through_whole() {
    let there = PlainNode::new(2).await;
    let links = there.links(node(1), 2);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..4000_u32 {
        let links = links.clone();
        let purpose =
            [Purpose::Beats, Purpose::Appends, Purpose::Batches, Purpose::Snapshots][number as usize % 4];
        let bytes = if number == 1234 { Bounds::default().payload } else { (number * 37 % 5000) as usize };
        tasks.spawn(async move {
            let payload: Vec<_> = (0..bytes).map(|at| (at as u32 ^ number) as u8).collect();
            assert_eq!(links.ask(2, purpose, ECHO, payload.clone(), LONG).await, Ok(payload));
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Goal: a node answers no more requests of a link at a time than its bounds allow, by number and by bytes, and the
/// others wait their turn. Method: 200 held requests of one byte, and 40 of a megabyte.
#[tokio::test]
async fn an_end_answers_a_bounded_number_at_a_time() {
    for (requests, bytes, most) in [(200, 1, 64), (40, 1 << 20, 32)] {
        let there = PlainNode::new(2).await;
        let links = there.links(node(1), 2);
        let asked: Vec<_> = (0..requests)
            .map(|_| tokio::spawn(links.ask(2, Purpose::Appends, HELD, vec![0; bytes], LONG)))
            .collect();
        there.answerer.begun(most).await;
        there.answerer.free[0].add_permits(requests);
        for answer in asked {
            assert_eq!(answer.await.unwrap().map(|answer| answer.len()), Ok(bytes));
        }
        assert_eq!(there.answerer.most_running.load(Ordering::SeqCst), most);
    }
}

/// Goal: a peer that asks and does not read answers costs bounded memory: no more requests are taken than are answered
/// at a time. Method: a pipe on which a hundred large requests are sent and nothing is read, on a paused clock.
#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_answers_is_bounded() {
    let (net, listener) = Pipes::new();
    let (bounds, answerer) = (Bounds::default(), Answerer::new());
    let _serving = serve(net.clone(), listener, node(2), bounds, answerer.admit(), answerer.clone());
    let mut here = net.connect("there").await.unwrap();
    super::refusing::greet(&mut here, node(1), 2, Purpose::Appends).await;
    let sending = async {
        for number in 1..=100 {
            super::refusing::request(&mut here, ECHO, number, &vec![0; 100_000]).await;
        }
    };
    assert!(tokio::time::timeout(LONG, sending).await.is_err(), "all were taken");
    assert_eq!(answerer.begun.borrow().len(), 64);
}

/// Goal: a peer that does not read costs bounded memory: further requests fail at once. Method: the other end is a pipe
/// that nobody reads after the hello.
#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_bounded() {
    let (net, mut listener) = Pipes::new();
    let bounds = Bounds { queued: 10, ..Bounds::default() };
    let links = links_to(net, node(1), bounds, 2, "there");
    let first = tokio::spawn(links.ask(2, Purpose::Appends, HELD, vec![0; 1 << 20], LONG));
    let mut there = listener.recv().await.unwrap();
    super::refusing::welcome(&mut there, 2).await;
    // When the head of the first frame is there, the frame is no more in the queue. It cannot be written whole.
    tokio::io::AsyncReadExt::read_u8(&mut there).await.unwrap();
    let waiting: Vec<_> = (0..10).map(|_| links.ask(2, Purpose::Appends, HELD, vec![0], LONG)).collect();
    let refused = links.ask(2, Purpose::Appends, HELD, vec![0], LONG).await;
    assert_eq!(reason(refused), "10 requests wait to be sent already");
    drop(there);
    assert_ne!(reason(first.await.unwrap()), "");
    for waiting in waiting {
        assert_ne!(reason(waiting.await), "");
    }
}

/// Goal: a request that takes too long is late, its answer disturbs nobody, and its link goes on. Method: two held
/// requests, one with a short time, freed after it, on a paused clock.
#[tokio::test(start_paused = true)]
async fn a_late_answer_is_dropped() {
    let (net, listener) = Pipes::new();
    let (bounds, answerer) = (Bounds::default(), Answerer::new());
    let _serving = serve(net.clone(), listener, node(2), bounds.clone(), answerer.admit(), answerer.clone());
    let links = links_to(net.clone(), node(1), bounds, 2, "there");
    let short = tokio::spawn(links.ask(2, Purpose::Beats, HELD, vec![1], Duration::from_millis(900)));
    let long = tokio::spawn(links.ask(2, Purpose::Beats, HELD, vec![2], LONG));
    answerer.begun(2).await;
    assert_eq!(short.await.unwrap(), Err(LinkError::Late(2)));
    answerer.free[1].add_permits(1);
    answerer.free[2].add_permits(1);
    assert_eq!(long.await.unwrap(), Ok(vec![2]));
    assert_eq!((links.failures(), net.made.load(Ordering::SeqCst)), (0, 1));
}

/// Goal: a client that is no node can ask a node of which it knows the address alone, and learns who it is. Method:
/// calls to a node, to nobody, and one whose answer does not come.
#[tokio::test]
async fn a_client_can_call() {
    let there = PlainNode::new(2).await;
    let (net, bounds) = (Tcp::plain(), patient());
    let called = call(&net, &there.address, ECHO, b"status".to_vec(), LONG, &bounds).await;
    assert_eq!(called, Ok(Called { by: node(2), answer: b"status".to_vec() }));
    let begun = Begun { from: 0, purpose: Purpose::Control, kind: ECHO, payload: b"status".to_vec() };
    assert_eq!(*there.answerer.begun.borrow(), [begun]);
    let late = call(&net, &there.address, HELD, vec![0], Duration::from_millis(50), &bounds).await;
    assert_eq!(late, Err(LinkError::Late(0)));
    let closed = call(&net, &there.address, STRANGE, vec![0], LONG, &bounds).await;
    assert_eq!(reason(closed), "the other end closed it");
    there.serving.shutdown().await;
    let nobody = call(&net, &there.address, ECHO, vec![0], LONG, &bounds).await;
    assert!(reason(nobody).contains("refused"));
}
