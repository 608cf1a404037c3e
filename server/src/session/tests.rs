//! Sessions, polled by hand over streams in memory: what one turn does, and what memory a session takes.

use super::turn::Turn;
use super::{MAX_UNSENT, Session, Step};
use crate::config::Config;
use crate::gate::{Gate, Local};
use crate::shared::Shared;
use elockd_core::{Account, Addr, Conn, Figure, Machine, Origin};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::task::yield_now;

/// The longest name that may be allowed.
const LONGEST_NAME: usize = 65_000;

/// What sessions of one daemon share. It allows long names.
fn daemon(change: impl FnOnce(&mut Config)) -> Arc<Shared<Local>> {
    let mut config = Config { max_line_bytes: 1 << 17, ..Config::default() };
    config.machine.limits.name_bytes = LONGEST_NAME as u16;
    change(&mut config);
    let gate = Local::new(Machine::new(config.machine.clone()), None);
    Arc::new(Shared::new(config, gate))
}

/// A session of a daemon.
fn open(shared: &Arc<Shared<Local>>, account: Account, stream: DuplexStream) -> Session<DuplexStream> {
    let origin = |conn: Conn| Origin { addr: Addr::Unix(conn.serial()), account };
    let handle = shared.gate.open(&(), shared.clock.now(), origin).expect("everybody is welcome");
    Session::new(Arc::clone(shared), stream, handle, None, None)
}

/// A session of a daemon of its own.
fn session(stream: DuplexStream) -> Session<DuplexStream> {
    open(&daemon(|_| {}), Account::default(), stream)
}

/// A client of a daemon, with buffers of this size, and its session as a task.
fn client(shared: &Arc<Shared<Local>>, account: Account, buffer: usize) -> DuplexStream {
    let (peer, stream) = duplex(buffer);
    tokio::spawn(open(shared, account, stream));
    peer
}

/// Asks, and reads up to an empty line.
async fn ask(peer: &mut DuplexStream, request: &str) -> String {
    peer.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"\n\n") {
        reply.push(peer.read_u8().await.unwrap());
    }
    String::from_utf8(reply).unwrap()
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
        (&long, 32),
        ("q full\n", 32),
        ("q\n", 256),
        ("help\n", 256),
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
    let (mut taken, mut silent) = (0, 0);
    while taken < 200 * LONGEST_NAME {
        turn(&mut session).await;
        yield_now().await;
        let mut buffer = ReadBuf::new(&mut replies);
        let read = poll_fn(|cx| Poll::Ready(Pin::new(&mut peer).poll_read(cx, &mut buffer))).await;
        if read.is_pending() {
            // It still reads the line of the name.
            silent += 1;
            assert!(silent <= 4, "a turn that does nothing");
            continue;
        }
        let wrote = buffer.filled().len();
        assert!(wrote <= 10 * LONGEST_NAME, "{wrote} bytes in a turn");
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
        assert!(after - before <= 32, "{} between two polls of another task", after - before);
        before = after;
    }
    assert!(polls >= 1000 / 32, "{polls} polls");
    peer.shutdown().await.unwrap();
    let mut replies = Vec::new();
    peer.read_to_end(&mut replies).await.unwrap();
    serving.await.unwrap();
    assert_eq!(replies.windows(2).filter(|pair| *pair == b"\n\n").count(), 1000);
}

/// Goal: the rows of a listing wait unsent in bounded memory, however long they are. Method: rows of a long name and a
/// long holder, for a client that takes nothing, and then all.
#[tokio::test(start_paused = true)]
async fn a_listing_of_long_rows_makes_no_session_grow() {
    const NAMES: usize = 100;
    let shared = daemon(|_| {});
    let mut holder = client(&shared, Account::default(), 1 << 20);
    let pad = "n".repeat(LONGEST_NAME - 3);
    holder.write_all(format!("iam {pad}\n").as_bytes()).await.unwrap();
    for name in 0..NAMES {
        holder.write_all(format!("g {name:03}{pad}\n").as_bytes()).await.unwrap();
        let mut reply = vec![0; "1 Lock Get Success: \n".len() + LONGEST_NAME];
        let mut ok = [0; 5];
        if name == 0 {
            holder.read_exact(&mut ok).await.unwrap();
        }
        holder.read_exact(&mut reply).await.unwrap();
    }
    let row = 2 * LONGEST_NAME + 3;
    let (mut peer, stream) = duplex(4096);
    let mut session = open(&shared, Account::default(), stream);
    peer.write_all(b"d\n").await.unwrap();
    let mut taken = 0;
    // Its first turns find nobody who takes anything.
    for number in 0_u64.. {
        let over = poll_fn(|cx| Poll::Ready(Pin::new(&mut session).poll(cx))).await;
        assert!(over.is_pending());
        let unsent = session.unsent_len();
        assert!(unsent <= MAX_UNSENT + row, "{unsent} bytes wait after {number} turns");
        if number > 1000 {
            let before = taken;
            taken += read(&mut peer).await;
            if taken == before && unsent == 0 {
                break;
            }
        }
        yield_now().await;
    }
    assert_eq!(taken, NAMES * (row - 3) + 1, "all rows, and the end");
}

/// Goal: clients cannot keep operators from looking. Method: a client's listing takes nearly all that clients have, and
/// stays half sent. Then an operator's does the same.
#[tokio::test(start_paused = true)]
async fn operators_list_when_clients_have_used_up_their_budget() {
    let shared = daemon(|config| config.max_listing_bytes = 10_000);
    let (clients, operators) = (Account::default(), Account::ADMIN);
    let mut other = client(&shared, clients, 1 << 20);
    for name in 0..90 {
        other.write_all(format!("g {name:060}\n").as_bytes()).await.unwrap();
        let mut reply = vec![0; "1 Lock Get Success: \n".len() + 60];
        other.read_exact(&mut reply).await.unwrap();
    }
    let whole = ask(&mut other, "d\n").await;
    assert_eq!(whole.lines().count(), 90 + 1);
    let used = || (&shared.listing_bytes, &shared.operators_listing_bytes);
    let load = |(of_clients, of_operators): (&Arc<AtomicUsize>, &Arc<AtomicUsize>)| {
        (of_clients.load(Ordering::Relaxed), of_operators.load(Ordering::Relaxed))
    };
    assert_eq!(load(used()), (0, 0), "all is given back");

    let mut stuck = client(&shared, clients, 64);
    stuck.write_all(b"d\n").await.unwrap();
    stuck.read_u8().await.unwrap();
    assert_eq!(ask(&mut other, "d\n").await, "0 Too Large\n\n");
    let mut operator = client(&shared, operators, 1 << 20);
    assert_eq!(ask(&mut operator, "d\n").await, whole);
    assert_eq!(ask(&mut operator, "ls\n").await.lines().count(), 90 + 1);

    let mut stuck_operator = client(&shared, operators, 64);
    stuck_operator.write_all(b"d\n").await.unwrap();
    stuck_operator.read_u8().await.unwrap();
    assert_eq!(ask(&mut operator, "ls\n").await, "0 Too Large\n\n", "operators share theirs");
    drop(stuck);
    while load(used()).0 > 0 {
        yield_now().await;
    }
    assert_eq!(ask(&mut other, "d\n").await, whole);
    assert_eq!(ask(&mut operator, "ls\n").await, "0 Too Large\n\n", "and only theirs");
}
