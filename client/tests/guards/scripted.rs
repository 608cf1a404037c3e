//! What the production server never says, or only after weeks. The daemon is played by the test, line by line.

use crate::line::Line;
use elockd_client::{Client, Error, Lost, Refusal, Server, State, Transport};
use std::io;
use std::time::Duration;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Stage(UnboundedSender<DuplexStream>);

impl Transport for Stage {
    type Stream = DuplexStream;

    async fn connect(&self, _: &Server) -> io::Result<DuplexStream> {
        let (near, far) = duplex(4096);
        self.0.send(far).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(near)
    }
}

/// The connections that come to the daemon.
struct Daemon(UnboundedReceiver<DuplexStream>);

impl Daemon {
    async fn accept(&mut self) -> Line {
        Line(self.0.recv().await.unwrap())
    }
}

fn stage() -> (Client<Stage>, Daemon) {
    let (connect, connected) = unbounded_channel();
    (Client::builder().transport(Stage(connect)).build().unwrap(), Daemon(connected))
}

#[tokio::test(start_paused = true)]
async fn a_get_and_its_token_are_one_packet_and_a_release_is_answered() {
    let (client, mut daemon) = stage();
    let (guard, mut line) = tokio::join!(client.lock("a").try_now(), async {
        let mut line = daemon.accept().await;
        line.gives_a("7 Lock Fence: a").await;
        line
    });
    let guard = guard.unwrap();
    assert_eq!(guard.token(), Some(7));
    let (released, mut line) = tokio::join!(guard.release(), async {
        line.hears("r a").await;
        line.says("1 Lock Release Success: a").await;
        line
    });
    released.unwrap();
    // The connection is kept, and as good as new.
    sleep(SECOND).await;
    client.close_idle();
    line.ends().await;
}

#[tokio::test(start_paused = true)]
async fn without_tokens_the_question_still_proves_the_hold() {
    let (client, mut daemon) = stage();
    let (guard, mut line) = tokio::join!(client.lock("a").try_now(), async {
        let mut line = daemon.accept().await;
        line.gives_a("0 No Tokens").await;
        line
    });
    let guard = guard.unwrap();
    for _ in 0..10 {
        line.hears("f a").await;
        assert_eq!(guard.token(), None);
        line.says("0 No Tokens").await;
    }
    line.hears("f a").await;
    line.says("9 Lock Fence: a").await;
    sleep(SECOND).await;
    assert!(guard.is_held());
    assert_eq!(guard.token(), Some(9), "there are tokens again");
    line.hears("f a").await;
    line.says("10 Lock Fence: a").await;
    assert_eq!(guard.lost().await, Lost::Stolen, "another token is another hold");
    line.ends().await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_shuts_down_ends_a_session() {
    let (client, mut daemon) = stage();
    let mut session = client.session();
    let (a, mut line) = tokio::join!(session.lock("a").try_now(), async {
        let mut line = daemon.accept().await;
        line.gives_a("7 Lock Fence: a").await;
        line.hears("f a").await;
        line.says("7 Lock Fence: a").await;
        line
    });
    let a = a.unwrap();
    let (b, ()) = tokio::join!(session.lock("b").wait(SECOND), async {
        line.hears("gw 1000 b").await;
        line.says("0 Shutting Down").await;
    });
    assert!(matches!(b, Err(Error::Refused(Refusal::ShuttingDown))));
    assert_eq!(a.lost().await, Lost::Closed);
}

#[tokio::test(start_paused = true)]
async fn late_answers_count_from_their_questions() {
    let (client, mut daemon) = stage();
    let begin = Instant::now();
    let (guard, mut line) = tokio::join!(client.lock("a").try_now(), async {
        let mut line = daemon.accept().await;
        sleep(5 * SECOND).await;
        line.gives_a("7 Lock Fence: a").await;
        line
    });
    let guard = guard.unwrap();
    // The next question is sent at 7 s or earlier, and answered just in time.
    line.hears("f a").await;
    let asked = begin.elapsed();
    assert!(asked < 7 * SECOND + SECOND / 10, "{asked:?}");
    sleep((begin + 8 * SECOND - SECOND / 10) - Instant::now()).await;
    line.says("7 Lock Fence: a").await;
    assert_eq!(guard.lost().await, Lost::Silent);
    assert_eq!(begin.elapsed(), asked + 8 * SECOND);
    // The connection is given up, so that the daemon gives the lock to others.
    line.hears("f a").await;
    line.ends().await;
}

#[tokio::test(start_paused = true)]
async fn another_kind_of_server_is_told_apart() {
    let (client, mut daemon) = stage();
    let (result, _line) = tokio::join!(client.lock("a").try_now(), async {
        let mut line = daemon.accept().await;
        line.says("SSH-2.0-OpenSSH_9.2").await;
        line
    });
    let Err(Error::Protocol { answer, .. }) = result else { panic!() };
    assert_eq!(answer, "SSH-2.0-OpenSSH_9.2");
    // It is not kept for the next one.
    let (result, _line) = tokio::join!(client.ping(), async {
        let mut line = daemon.accept().await;
        line.hears("ping").await;
        line.says("1 pong").await;
        line
    });
    result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_about_another_lock_are_none() {
    let (client, mut daemon) = stage();
    let (result, _line) = tokio::join!(client.lock("a").try_now(), async {
        let mut line = daemon.accept().await;
        line.hears("g a").await;
        line.says("1 Lock Get Success: b").await;
        line.says("7 Lock Fence: a").await;
        line
    });
    assert!(matches!(result, Err(Error::Protocol { .. })));

    // Who knows what such a connection holds. It is closed.
    let (result, mut line) = tokio::join!(client.lock("a").try_now(), async {
        let mut line = daemon.accept().await;
        line.gives_a("1 pong").await;
        line
    });
    assert!(matches!(result, Err(Error::Protocol { .. })));
    line.ends().await;

    let (guard, mut line) = tokio::join!(client.lock("a").try_now(), async {
        let mut line = daemon.accept().await;
        line.gives_a("7 Lock Fence: a").await;
        line
    });
    let guard = guard.unwrap();
    line.hears("f a").await;
    line.says("1 pong").await;
    assert_eq!(guard.lost().await, Lost::Protocol);
    assert!(matches!(guard.release().await, Err(Error::Lost(Lost::Protocol))));
}

#[tokio::test(start_paused = true)]
async fn who_has_the_lock_is_found_out_if_it_can_be() {
    let (client, mut daemon) = stage();
    let (result, mut line) = tokio::join!(client.lock("a").named("me").try_now(), async {
        let mut line = daemon.accept().await;
        line.hears("iam me").await;
        line.says("1 ok").await;
        line.hears("g a").await;
        line.hears("f a").await;
        line.says("0 Lock Get Failure: a").await;
        line.says("0 Lock Not Held: a").await;
        line.hears("ls a").await;
        line
    });
    assert!(matches!(result, Err(Error::Held { by: None, since: None })), "that much is known");
    line.ends().await;
}

/// 2^32 - 1 ms are 49 days: what the protocol can say at once.
#[tokio::test(start_paused = true)]
async fn a_wait_longer_than_the_protocol_can_say_is_repeated() {
    let (client, mut daemon) = stage();
    let begin = Instant::now();
    let year = Duration::from_hours(365 * 24);
    let (result, ()) = tokio::join!(client.lock("a").wait(year), async {
        let mut line = daemon.accept().await;
        let longest = Duration::from_millis(u32::MAX.into());
        for _ in 0..7 {
            line.hears("gw 4294967295 a").await;
            sleep(longest).await;
            line.says("0 Lock Get Timeout: a").await;
        }
        let left = year.saturating_sub(begin.elapsed());
        line.hears(&format!("gw {} a", left.as_millis())).await;
        sleep(left).await;
        line.says("0 Lock Get Timeout: a").await;
    });
    assert!(matches!(result, Err(Error::Timeout)));

    let waiting = tokio::spawn(async move { client.ended("a").get().await });
    let mut line = daemon.accept().await;
    for _ in 0..3 {
        line.hears("iw 4294967295 a").await;
        line.says("0 Lock Wait Timeout: a").await;
    }
    line.hears("iw 4294967295 a").await;
    line.says("1 Lock Ended: a").await;
    waiting.await.unwrap().unwrap();
}

/// Goal: a daemon that answers slowly is not silent. Method: two questions are answered 5 s and 10 s after they were
/// sent, and the grace is long enough for that.
#[tokio::test(start_paused = true)]
async fn a_slow_daemon_is_not_silent() {
    let (client, mut daemon) = stage();
    let mut session = client.session();
    let (a, mut line) = tokio::join!(session.lock("a").linger(60 * SECOND).try_now(), async {
        let mut line = daemon.accept().await;
        line.gives_a("7 Lock Fence: a").await;
        line.hears("linger 60000").await;
        line.says("1 Linger Success: 0123456789abcdef0123456789abcdef 60000").await;
        line.hears("f a").await;
        line.says("7 Lock Fence: a").await;
        line
    });
    let (b, ()) = tokio::join!(session.lock("b").try_now(), async {
        line.hears("g b").await;
        line.hears("f b").await;
        line.says("1 Lock Get Success: b").await;
        line.says("8 Lock Fence: b").await;
    });
    let (a, b) = (a.unwrap(), b.unwrap());
    for _ in 0..3 {
        line.hears("f a").await;
        line.hears("f b").await;
        sleep(5 * SECOND).await;
        line.says("7 Lock Fence: a").await;
        sleep(5 * SECOND).await;
        line.says("8 Lock Fence: b").await;
    }
    assert_eq!((a.state(), b.state()), (State::Held { resumed: 0 }, State::Held { resumed: 0 }));
}

/// Goal: a lock that its guard has called lost does not come back with the others. Method: a session waits for its
/// second lock for longer than the grace, and breaks before the first lock is proven again.
#[tokio::test(start_paused = true)]
async fn what_is_lost_is_released_when_the_rest_is_resumed() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let (client, mut daemon) = stage();
    let mut session = client.session();
    let (a, mut line) = tokio::join!(session.lock("a").linger(10 * SECOND).try_now(), async {
        let mut line = daemon.accept().await;
        line.gives_a("7 Lock Fence: a").await;
        line.hears("linger 10000").await;
        line.says(&format!("1 Linger Success: {KEY} 10000")).await;
        line.hears("f a").await;
        line.says("7 Lock Fence: a").await;
        line
    });
    let a = a.unwrap();
    let (b, ()) = tokio::join!(session.lock("b").wait(60 * SECOND), async {
        line.hears("gw 60000 b").await;
        sleep(20 * SECOND).await;
        line.says("1 Lock Get Success: b").await;
        line.hears("f b").await;
        line.says("8 Lock Fence: b").await;
        line.hears("f a").await;
        drop(line);
    });
    let b = b.unwrap();
    assert_eq!(a.lost().await, Lost::NotResumed, "20 s are more than the grace");
    let mut line = daemon.accept().await;
    line.hears(&format!("resume {KEY}")).await;
    line.says("1 Resume Success: 2").await;
    line.hears("f a").await;
    line.hears("f b").await;
    line.says("7 Lock Fence: a").await;
    line.says("8 Lock Fence: b").await;
    line.hears("r a").await;
    line.says("1 Lock Release Success: a").await;
    assert!(b.is_held() && !a.is_held());
    assert_eq!(b.state(), State::Held { resumed: 1 });
}

#[tokio::test(start_paused = true)]
async fn an_attempt_to_resume_that_hangs_does_not_take_all_of_the_grace() {
    let (client, mut daemon) = stage();
    let (guard, line) = tokio::join!(client.lock("a").linger(10 * SECOND).try_now(), async {
        let mut line = daemon.accept().await;
        line.gives_a("7 Lock Fence: a").await;
        line.hears("linger 10000").await;
        line.says("1 Linger Success: 0123456789abcdef0123456789abcdef 10000").await;
        line
    });
    let guard = guard.unwrap();
    drop(line);
    let begin = Instant::now();
    let mut hanging = daemon.accept().await;
    hanging.hears("resume 0123456789abcdef0123456789abcdef").await;
    hanging.ends().await;
    assert!(begin.elapsed() < 5 * SECOND);
    let mut line = daemon.accept().await;
    line.hears("resume 0123456789abcdef0123456789abcdef").await;
    line.says("1 Resume Success: 1").await;
    line.hears("f a").await;
    line.says("7 Lock Fence: a").await;
    assert!(guard.is_held());
    let (released, ()) = tokio::join!(guard.release(), async {
        line.hears("r a").await;
        line.says("1 Lock Release Success: a").await;
        line.hears("quit").await;
    });
    released.unwrap();
}
