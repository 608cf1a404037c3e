//! Sessions, polled by hand over streams in memory: what one turn does, and what memory a session takes.

use super::turn::Turn;
use super::{MAX_UNSENT, Session, Step};
use crate::config::Config;
use crate::gate::{Gate, Local};
use crate::shared::Shared;
use elockd_core::{Account, Addr, Figure, Machine, Origin};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::task::yield_now;

/// The longest name that may be allowed.
const LONGEST_NAME: usize = 65_000;

/// A session of its own daemon, which allows long names.
fn session(stream: DuplexStream) -> Session<DuplexStream> {
    let mut config = Config { max_line_bytes: 1 << 17, ..Config::default() };
    config.machine.limits.name_bytes = LONGEST_NAME as u16;
    let gate = Local::new(Machine::new(config.machine.clone()), None);
    let shared = Arc::new(Shared::new(config, gate));
    let origin = |_| Origin { addr: Addr::Unix(1), account: Account::default() };
    let handle = shared.gate.open(shared.clock.now(), origin).expect("the first connection is welcome");
    Session::new(shared, stream, handle, None)
}

/// Lets a session run for one turn, or until it waits for something.
async fn turn(session: &mut Session<DuplexStream>) {
    let step = poll_fn(|cx| Poll::Ready(session.poll_step(cx))).await;
    assert!(matches!(step, Poll::<Step>::Pending), "it goes on");
}

/// Writes as much as there is room for. Returns the number of bytes.
async fn write(stream: &mut DuplexStream, bytes: &[u8]) -> usize {
    let written = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_write(cx, bytes))).await;
    if let Poll::Ready(written) = written { written.unwrap() } else { 0 }
}

/// Reads what is there, up to the size of a buffer. Returns the number of bytes.
async fn read(stream: &mut DuplexStream) -> usize {
    let mut bytes = [0; 4096];
    let mut buffer = ReadBuf::new(&mut bytes);
    let read = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer))).await;
    assert!(read.is_pending() || matches!(read, Poll::Ready(Ok(()))), "the session left");
    buffer.filled().len()
}

/// Commands that have run, invalid ones too.
fn commands(session: &Session<DuplexStream>) -> u64 {
    let mut commands = 0;
    session.shared.gate.hub().figures(|figures| {
        figures.each(true, &mut |key, figure| {
            if let (true, Figure::Number(number)) =
                (key.starts_with("command_") || key == "invalid_commands", figure)
            {
                commands += number;
            }
        });
    });
    commands
}

/// Goal: whatever a client pipelines, a turn does a bounded amount of it. Method: of each request there is much more
/// than fits into a turn, and all replies are taken at once.
#[tokio::test(start_paused = true)]
async fn a_turn_ends_after_its_work_whatever_the_commands_are() {
    /// A plain command is a unit, and the last batch may go over the edge.
    const PLAIN: u64 = Turn::UNITS as u64 + 64;
    let long = format!("i {}\n", "n".repeat(4096));
    let table: [(&str, u64); 9] = [
        ("ping\n", PLAIN),
        ("g x\n", PLAIN),
        ("bogus\n", PLAIN),
        (&long, 48),
        ("q full\n", 16),
        ("q\n", 128),
        ("help\n", 96),
        ("me\n", PLAIN),
        ("f x\n", PLAIN),
    ];
    for (request, most) in table {
        let (mut peer, stream) = duplex(16 << 20);
        let mut session = session(stream);
        let requests = 3 * usize::try_from(most).unwrap();
        peer.write_all(request.repeat(requests).as_bytes()).await.unwrap();
        let mut before = 0;
        let mut turns = 0;
        while before < requests as u64 {
            turn(&mut session).await;
            let after = commands(&session);
            let ran = after - before;
            assert!((1..=most).contains(&ran), "{request:.8}: {ran} in turn {turns}");
            (before, turns) = (after, turns + 1);
            yield_now().await;
        }
        assert!(turns >= 3, "{request:.8}: {turns} turns");
    }
}

/// Goal: what a turn reads is bounded too, even if nothing comes of it. Method: blank lines.
#[tokio::test(start_paused = true)]
async fn a_turn_reads_a_bounded_number_of_bytes() {
    let (mut peer, stream) = duplex(1 << 20);
    let mut session = session(stream);
    peer.write_all(&b" \n".repeat(1 << 19)).await.unwrap();
    for _ in 0..16 {
        turn(&mut session).await;
        yield_now().await;
        let read = write(&mut peer, &b" \n".repeat(1 << 19)).await;
        assert!((1..=64 << 10).contains(&read), "{read} bytes in a turn");
    }
}

/// Goal: with the longest replies there are, a turn writes a bounded number of bytes. Method: the longest name, asked
/// for again and again, by a client that takes all.
#[tokio::test(start_paused = true)]
async fn a_turn_writes_a_bounded_number_of_bytes() {
    let (mut peer, stream) = duplex(16 << 20);
    let mut session = session(stream);
    peer.write_all(format!("iam {}\n", "n".repeat(LONGEST_NAME)).as_bytes()).await.unwrap();
    peer.write_all(&b"me\n".repeat(200)).await.unwrap();
    let mut replies = vec![0; 16 << 20];
    let mut taken = 0;
    while taken < 200 * LONGEST_NAME {
        turn(&mut session).await;
        yield_now().await;
        let mut buffer = ReadBuf::new(&mut replies);
        let read = poll_fn(|cx| Poll::Ready(Pin::new(&mut peer).poll_read(cx, &mut buffer))).await;
        assert!(read.is_ready(), "a turn that does nothing");
        let wrote = buffer.filled().len();
        assert!(wrote <= 256 << 10, "{wrote} bytes in a turn");
        taken += wrote;
    }
}

/// Goal: a peer that pipelines and reads slowly, without a pause, does not make its session grow. Method: a session is
/// polled by hand. In each turn its peer asks for more than it takes. Its replies are short, middling, or as long as
/// they get.
#[tokio::test(start_paused = true)]
async fn a_peer_that_never_takes_all_makes_no_session_grow() {
    let longest = format!("iam {}\n", "n".repeat(LONGEST_NAME));
    let table = [("", "ping\n", 7), ("", "help\n", 4 << 10), ("", "q full\n", 4 << 10)];
    for (first, request, reply) in table.into_iter().chain([(&*longest, "me\n", LONGEST_NAME + 64)]) {
        // What `docs/operations.md` says: four times what may be unsent and one reply. A buffer has room for twice what
        // waits, and grows by doubling.
        let most = 4 * (MAX_UNSENT + reply);
        let (mut peer, stream) = duplex(4096);
        let mut session = session(stream);
        for piece in first.as_bytes().chunks(4096) {
            assert_eq!(write(&mut peer, piece).await, piece.len());
            turn(&mut session).await;
        }
        let requests = request.repeat(4096 / request.len()).into_bytes();
        let (mut asked, mut taken) = (0, 0);
        for number in 0..4096 {
            asked += write(&mut peer, &requests[asked % request.len()..]).await;
            turn(&mut session).await;
            taken += read(&mut peer).await;
            let Some(backlog) = &session.backlog else { continue };
            let (waits, room) = (backlog.unsent.rest().len(), backlog.unsent.room());
            let words = format!(
                "{request:.8}: {waits} bytes in {room} in turn {number}, when {taken} had been taken"
            );
            assert!(waits <= MAX_UNSENT + reply && room <= most, "{words}");
            yield_now().await;
        }
        assert!(taken > 8 * most || request == "ping\n", "{request:.8}: {taken} bytes show nothing");
    }
}

/// Goal: other tasks run between two turns of a client that never pauses, and as often. Method: a task that only
/// counts its polls, beside a session that has all its requests at once.
#[tokio::test(start_paused = true)]
async fn others_run_between_two_turns() {
    let (mut peer, stream) = duplex(16 << 20);
    let session = session(stream);
    let shared = Arc::clone(&session.shared);
    peer.write_all(&b"q full\n".repeat(1000)).await.unwrap();
    let serving = tokio::spawn(session);
    let mut polls = 0;
    let asked = || {
        let mut asked = 0;
        shared.gate.hub().figures(|figures| {
            figures.each(true, &mut |key, figure| {
                if let ("command_q", Figure::Number(number)) = (key, figure) {
                    asked = number;
                }
            });
        });
        asked
    };
    let mut before = asked();
    while before < 1000 {
        yield_now().await;
        polls += 1;
        let after = asked();
        assert!(after - before <= 16, "{} between two polls of another task", after - before);
        before = after;
    }
    assert!(polls >= 1000 / 16, "{polls} polls");
    peer.shutdown().await.unwrap();
    let mut replies = Vec::new();
    peer.read_to_end(&mut replies).await.unwrap();
    serving.await.unwrap();
    assert_eq!(replies.windows(2).filter(|pair| *pair == b"\n\n").count(), 1000);
}
