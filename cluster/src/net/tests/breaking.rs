//! Links that break: by their other end, by silence, by a change of members, and by their own end.

use super::*;
use crate::net::halves::FrameReader;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Goal: requests under way fail at once when the other end is gone, and the link is made again when it is back.
/// Method: a node that ends with a held request, and begins again at the same address.
#[tokio::test]
async fn a_broken_link_fails_at_once_and_is_made_again() {
    let there = PlainNode::new(2).await;
    let links = there.links(node(1), 2);
    let held = tokio::spawn(links.ask(2, Purpose::Beats, HELD, vec![0], LONG));
    there.answerer.begun(1).await;
    there.serving.shutdown().await;
    assert_eq!(there.answerer.running.load(Ordering::SeqCst), 0, "an answer outlived its link");
    assert_ne!(reason(held.await.unwrap()), "");
    assert!(reason(echo(&links, 2, b"x").await).contains("refused"));
    assert_eq!(links.failures(), 1);

    let again = PlainNode::at(&there.address, 2, patient()).await;
    assert_eq!(echo(&links, 2, b"x").await, Ok(b"x".to_vec()));
    assert_eq!(again.answerer.begun.borrow().len(), 1);
}

/// Goal: a request that should not have come closes its link, and the other links go on. Method: such a request beside
/// a held one of the same purpose and one of another.
#[tokio::test]
async fn a_strange_request_closes_its_link_alone() {
    let there = PlainNode::new(2).await;
    let links = there.links(node(1), 2);
    let beside = tokio::spawn(links.ask(2, Purpose::Beats, HELD, vec![0], LONG));
    let other = tokio::spawn(links.ask(2, Purpose::Appends, HELD, vec![1], LONG));
    there.answerer.begun(2).await;
    let strange = links.ask(2, Purpose::Beats, STRANGE, vec![0], LONG).await;
    assert_eq!(reason(strange), "the other end closed it");
    assert_eq!(reason(beside.await.unwrap()), "the other end closed it");
    there.answerer.free[1].add_permits(1);
    assert_eq!(other.await.unwrap(), Ok(vec![1]));
    assert_eq!(echo(&links, 2, b"x").await, Ok(b"x".to_vec()));
}

/// Goal: an idle link stays, however long, and so does one whose requests take long. Method: an hour on a paused clock,
/// with a held request and then without any.
#[tokio::test(start_paused = true)]
async fn an_idle_link_stays() {
    let (net, listener) = Pipes::new();
    let answerer = Answerer::new();
    let _serving =
        serve(net.clone(), listener, node(2), Bounds::default(), answerer.admit(), answerer.clone());
    let links = links_to(net.clone(), node(1), Bounds::default(), 2, "there");
    let hour = Duration::from_hours(1);
    let held = tokio::spawn(links.ask(2, Purpose::Beats, HELD, vec![0], 2 * hour));
    tokio::time::sleep(hour).await;
    answerer.free[0].add_permits(1);
    assert_eq!(held.await.unwrap(), Ok(vec![0]));
    tokio::time::sleep(hour).await;
    assert_eq!(echo(&links, 2, b"x").await, Ok(b"x".to_vec()));
    assert_eq!(net.made.load(Ordering::SeqCst), 1);
}

/// Goal: an end that is silent is given up after the silence that is allowed, at either side. Method: a pipe whose
/// other end says hello and nothing more, held open on a paused clock.
#[tokio::test(start_paused = true)]
async fn a_silent_end_is_given_up() {
    let bounds = Bounds::default();
    let (net, mut listener) = Pipes::new();
    let links = links_to(net.clone(), node(1), bounds.clone(), 2, "there");
    let asked = tokio::spawn(links.ask(2, Purpose::Beats, HELD, vec![0], LONG));
    let mut there = listener.recv().await.unwrap();
    super::refusing::welcome(&mut there, 2).await;
    let begin = tokio::time::Instant::now();
    assert_eq!(reason(asked.await.unwrap()), "nothing came for 1s");
    assert_eq!(begin.elapsed(), bounds.silence);

    let answerer = Answerer::new();
    let _serving = serve(net.clone(), listener, node(2), bounds.clone(), answerer.admit(), answerer.clone());
    let mut here = net.connect("there").await.unwrap();
    super::refusing::greet(&mut here, node(1), 2, Purpose::Beats).await;
    super::refusing::request(&mut here, HELD, 1, &[0]).await;
    answerer.begun(1).await;
    let begin = tokio::time::Instant::now();
    super::refusing::read_to_end(&mut here).await;
    assert_eq!(begin.elapsed(), bounds.silence);
}

/// Goal: a link that worked is made again fast, each time. One that breaks before it is of use is made more and more
/// slowly. Method: the other end of a pipe breaks ten links after an answer, and then ten before one, on a paused
/// clock.
#[tokio::test(start_paused = true)]
async fn retries_are_fast_after_use_and_slow_without() {
    let (net, mut listener) = Pipes::new();
    let links = links_to(net, node(1), Bounds::default(), 2, "there");
    let asking = tokio::spawn(async move {
        loop {
            let _ = echo(&links, 2, b"x").await;
        }
    });
    let mut delays = Vec::new();
    for round in 0..20 {
        let broken = tokio::time::Instant::now();
        let mut there = listener.recv().await.unwrap();
        delays.push(broken.elapsed().as_millis());
        super::refusing::welcome(&mut there, 2).await;
        let frame = FrameReader::new(&mut there, 100).next(LONG).await.unwrap().unwrap();
        if round < 10 {
            super::refusing::request(&mut there, frame.kind, frame.number, &frame.payload).await;
            // The answer is read before the pipe ends.
            tokio::task::yield_now().await;
        } else {
            // To be alive is of no use to anybody.
            super::refusing::request(&mut there, 0, 0, b"").await;
        }
    }
    let (used, useless) = delays.split_at(11);
    assert!(used.iter().all(|&delay| delay <= 50), "{delays:?}");
    assert!(useless[4..].iter().all(|&delay| delay >= 200), "{delays:?}");
    asking.abort();
}

/// Goal: a link to a node that moved goes to the new address, one to a node that was removed ends, and those to others
/// stay. Method: two nodes, one of them replaced, and then removed.
#[tokio::test]
async fn links_follow_the_members() {
    let (two, three, moved) = (PlainNode::new(2).await, PlainNode::new(3).await, PlainNode::new(2).await);
    let links = Links::new(Tcp::plain(), node(1), patient());
    assert_eq!(echo(&links, 2, b"x").await, Err(LinkError::Unknown(2)));
    links.set_members(BTreeMap::from([(2, two.address.clone()), (3, three.address.clone())]));
    let held = |to| tokio::spawn(links.ask(to, Purpose::Beats, HELD, vec![0], LONG));
    let (to_two, to_three) = (held(2), held(3));
    two.answerer.begun(1).await;
    three.answerer.begun(1).await;

    links.set_members(BTreeMap::from([(2, moved.address.clone()), (3, three.address.clone())]));
    assert_eq!(reason(to_two.await.unwrap()), "the link was ended");
    assert_eq!(echo(&links, 2, b"x").await, Ok(b"x".to_vec()));
    assert_eq!(moved.answerer.begun.borrow().len(), 1);
    links.set_members(BTreeMap::from([(3, three.address.clone())]));
    assert_eq!(echo(&links, 2, b"x").await, Err(LinkError::Unknown(2)));
    three.answerer.free[0].add_permits(1);
    assert_eq!(to_three.await.unwrap(), Ok(vec![0]));
    assert_eq!(reason(echo(&links, 1, b"x").await), "it is this node itself");
}

/// Goal: nothing runs on after links and listeners are dropped, with requests in every state. Method: the runtime's
/// count of tasks, after links to a node that answers, to one that does not, and to nobody.
#[tokio::test]
async fn no_task_outlives_its_handle() {
    let (two, mute) = (PlainNode::new(2).await, listen().await);
    let links = Links::new(Tcp::plain(), node(1), patient());
    let mute_address = mute.address().unwrap().to_string();
    let nobody = { listen().await.address().unwrap().to_string() };
    links.set_members(BTreeMap::from([(2, two.address.clone()), (3, mute_address), (4, nobody)]));
    let mut held = pin!(links.ask(2, Purpose::Beats, HELD, vec![0], LONG));
    let mut unanswered = pin!(links.ask(3, Purpose::Beats, ECHO, vec![0], LONG));
    for pending in [&mut held as &mut (dyn Future<Output = _> + Unpin), &mut unanswered] {
        let first = poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *pending).poll(cx))).await;
        assert!(first.is_pending());
    }
    two.answerer.begun(1).await;
    assert!(reason(echo(&links, 4, b"x").await).contains("refused"));
    drop(links);
    assert_eq!(reason(held.await), "the link was ended");
    assert_eq!(reason(unanswered.await), "the link was ended");
    drop(two.serving);
    no_task_is_left().await;
    assert_eq!(two.answerer.running.load(Ordering::SeqCst), 0);
}
