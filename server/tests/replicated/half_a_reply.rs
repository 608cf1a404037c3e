//! Half a reply at the lapse of a node. The peer of a socket that has a part of a reply must not take `0 No Quorum` for
//! the rest, so its socket is closed without a word. Whoever has only whole replies, and has asked for more, hears it.

use super::lapse::{NO_QUORUM, lapse};
use super::{LEASE, World, ask, figure, heard, over, rest, say, set, settle};
use elockd_cluster::Service;
use elockd_server::gate::Leased;
use elockd_server::listen::{Handshake, HandshakeError, Peer, Stream};
use std::fmt;
use std::future::pending;
use std::io::{ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const PINGS: usize = 20;
/// How many bytes the requests of [`asks`] have.
const ASKED: usize = "ping\n".len() * PINGS + "gw 60000 x\n".len();

/// All that is answered.
fn pongs() -> String {
    "1 pong\n".repeat(PINGS)
}

/// Sends requests that are answered, and behind them one that is not: it waits for a lock that somebody has.
async fn asks(client: &mut DuplexStream) {
    client.write_all(format!("{}gw 60000 x\n", "ping\n".repeat(PINGS)).as_bytes()).await.unwrap();
    settle().await;
}

/// A node, and a client of it that has the lock.
async fn world() -> (World, DuplexStream) {
    let world = World::new(1, |_| {});
    let mut holder = world.connect(1);
    assert_eq!(ask(&mut holder, "g x\n").await, "1 Lock Get Success: x\n");
    (world, holder)
}

/// Goal: the last word never stands behind a part of the replies, and never fails to stand behind all of them. Method:
/// one client for each number of bytes that a socket may take before it takes no more.
#[tokio::test(start_paused = true)]
async fn the_last_word_stands_behind_whole_replies_alone() {
    let (world, mut holder) = world().await;
    let rooms: Vec<_> = (ASKED..pongs().len() + 20).collect();
    let mut clients: Vec<_> = rooms.iter().map(|&room| world.nodes[0].connect_with(room)).collect();
    for client in &mut clients {
        asks(client).await;
    }
    assert_eq!(figure(&world.nodes[0], "waiters"), clients.len() as u64);
    lapse(&world.nodes[0]);
    for (client, room) in clients.iter_mut().zip(rooms) {
        let expected = match pongs().get(..room) {
            Some(part) if room < pongs().len() => part.to_owned(),
            _ => pongs() + NO_QUORUM,
        };
        assert_eq!(rest(client).await, expected, "a socket that takes {room} bytes");
    }
    assert_eq!(heard(&mut holder).await, over(""));
    assert_eq!(world.nodes[0].service(), Service::Silent);
}

/// Goal: a reply that was half written once, and was sent to its end before the lapse, does not count.
#[tokio::test(start_paused = true)]
async fn who_took_the_rest_in_time_hears_the_last_word() {
    let (world, _holder) = world().await;
    let mut client = world.nodes[0].connect_with(ASKED);
    asks(&mut client).await;
    let mut first = [0; ASKED];
    client.read_exact(&mut first).await.unwrap();
    settle().await;
    lapse(&world.nodes[0]);
    assert_eq!(rest(&mut client).await, format!("{}{NO_QUORUM}", &pongs()[ASKED..]));
}

/// Goal: from the deadline on, not one byte more of a reply is sent, although the lapse comes later. Method: clients
/// that make room behind the deadline. One has half of its replies. The other has all of them, and its wait ends.
#[tokio::test(start_paused = true)]
async fn the_rest_of_a_reply_is_not_sent_behind_the_deadline() {
    let (world, mut holder) = world().await;
    let (mut half, mut whole) = (world.nodes[0].connect_with(ASKED), world.connect(1));
    asks(&mut whole).await;
    asks(&mut half).await;
    assert_eq!(heard(&mut whole).await, (pongs(), false));
    set(&world.nodes[0].hand, LEASE.0);
    let mut taken = String::new();
    for _ in 0..7 {
        let mut few = [0; 3];
        half.read_exact(&mut few).await.unwrap();
        taken += std::str::from_utf8(&few).unwrap();
        settle().await;
    }
    say(&mut holder, "r x\n").await;
    assert_eq!(heard(&mut whole).await.0, "", "its wait was over too late to be told");
    lapse(&world.nodes[0]);
    taken += &rest(&mut half).await;
    assert_eq!(taken, pongs()[..ASKED]);
    assert_eq!(heard(&mut whole).await, over(""));
    assert_eq!(world.nodes[0].service(), Service::Silent);
}

const REPLY: &str = "1 Lock Get Success: x\n";

/// A handshake that never ends. It hands the socket out.
#[derive(Clone)]
struct HandsOut(UnboundedSender<Leased<DuplexStream>>);

impl Handshake<Leased<DuplexStream>> for HandsOut {
    type Stream = Leased<DuplexStream>;

    async fn run(&self, stream: Self::Stream, _: Peer) -> Result<(Self::Stream, Peer), HandshakeError> {
        self.0.send(stream).unwrap();
        pending().await
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" (hands out)")
    }
}

/// A socket of a node that serves, and its other end. It takes this many bytes, and then no more.
async fn socket(room: usize) -> (World, Leased<DuplexStream>, DuplexStream) {
    let (hand_out, mut sockets) = unbounded_channel();
    let world = World::through(&HandsOut(hand_out));
    let client = world.nodes[0].connect_with(room);
    let socket = sockets.recv().await.unwrap();
    (world, socket, client)
}

/// Writes all of `text` that is taken now, in one piece or as a vector. Returns how many bytes that is, or the error.
fn write(socket: &mut Leased<DuplexStream>, text: &str, is_vectored: bool) -> Result<usize, ErrorKind> {
    let (mut cx, mut sent) = (Context::from_waker(Waker::noop()), 0);
    while sent < text.len() {
        let (rest, socket) = (&text.as_bytes()[sent..], Pin::new(&mut *socket));
        let written = if is_vectored {
            let (first, second) = rest.split_at(rest.len() / 2);
            socket.poll_write_vectored(&mut cx, &[IoSlice::new(first), IoSlice::new(second)])
        } else {
            socket.poll_write(&mut cx, rest)
        };
        match written {
            Poll::Ready(Ok(count)) => sent += count,
            Poll::Ready(Err(error)) => return Err(error.kind()),
            Poll::Pending => break,
        }
    }
    Ok(sent)
}

/// Goal: a lapse between two steps of a session changes nothing. The session has written half a reply by then, and has
/// not been refused yet. Method: the socket alone, for each number of bytes that it may take.
#[tokio::test(start_paused = true)]
async fn a_socket_knows_whether_a_reply_was_cut_in_two() {
    for (room, is_vectored) in (1..REPLY.len() + 20).flat_map(|room| [(room, false), (room, true)]) {
        let (world, mut socket, mut client) = socket(room).await;
        let sent = write(&mut socket, REPLY, is_vectored).unwrap();
        assert_eq!(sent, room.min(REPLY.len()));
        world.nodes[0].inside.lapse();
        assert_eq!(socket.may_say_last_word(), sent == REPLY.len(), "{sent} bytes were sent");
        let told = write(&mut socket, NO_QUORUM, is_vectored);
        if sent < REPLY.len() {
            assert_eq!(told, Err(ErrorKind::TimedOut));
        } else {
            assert_eq!(told, Ok((room - sent).min(NO_QUORUM.len())));
        }
        drop(socket);
        let text = rest(&mut client).await;
        assert_eq!(text, format!("{REPLY}{NO_QUORUM}")[..sent + told.unwrap_or(0)]);
    }
}

/// Goal: what was refused at the deadline counts as begun: a layer above may keep a part of it. And a socket that is
/// shut for writing says nothing more.
#[tokio::test(start_paused = true)]
async fn a_socket_that_was_refused_or_shut_has_no_last_word() {
    let (world, mut refused, _client) = socket(100).await;
    assert_eq!(write(&mut refused, REPLY, false), Ok(REPLY.len()));
    set(&world.nodes[0].hand, LEASE.0);
    assert_eq!(write(&mut refused, REPLY, false), Err(ErrorKind::TimedOut));
    world.nodes[0].inside.lapse();
    assert!(!refused.may_say_last_word());
    let (world, mut shut, _client) = socket(100).await;
    shut.shutdown().await.unwrap();
    world.nodes[0].inside.lapse();
    assert!(!shut.may_say_last_word());
    assert_eq!(write(&mut shut, NO_QUORUM, false), Err(ErrorKind::TimedOut));
}
