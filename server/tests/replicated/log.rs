//! What a node logs of its own connections: as a daemon alone does, though the replies come by mail.

use super::{World, ask, heard, say, settle};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;
use tracing::subscriber::DefaultGuard;

/// Lines that this thread logs from here on.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn follow() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).without_time().with_target(false);
        let log = log.with_writer(move || writer.clone()).finish();
        (lines, tracing::subscriber::set_default(log))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn what_connections_do_is_logged_when_it_is_answered() {
    let (log, _following) = Lines::follow();
    let world = World::new(1, |config| config.verbose = true);
    let (mut a, mut b) = (world.connect(1), world.connect(1));
    assert_eq!(ask(&mut a, "g x\n").await, "1 Lock Get Success: x\n");
    assert_eq!(ask(&mut b, "g x\n").await, "0 Lock Get Failure: x\n");
    assert_eq!(log.text().matches("got lock").count(), 1, "{}", log.text());
    say(&mut b, "gw 60000 x\ng y\n").await;
    assert_eq!(log.text().matches("got lock").count(), 1, "{}", log.text());
    assert_eq!(ask(&mut a, "r x\n").await, "1 Lock Release Success: x\n");
    assert_eq!(heard(&mut b).await.0, "1 Lock Get Success: x\n1 Lock Get Success: y\n");
    assert_eq!(log.text().matches("got lock").count(), 3, "{}", log.text());
    assert!(log.text().contains("released lock \"x\""), "{}", log.text());
    say(&mut a, "quit\n").await;
    drop(b);
    settle().await;
    for line in ["disconnected (quit)", "disconnected (eof)", "orphaned lock \"y\""] {
        assert!(log.text().contains(line), "{line}: {}", log.text());
    }
}

/// Goal: only what is a node's own is warned of there.
#[tokio::test(start_paused = true)]
async fn a_node_warns_of_its_own_long_holds() {
    let (log, _following) = Lines::follow();
    let world = World::new(2, |config| config.warn_held = Some(Duration::from_secs(10)));
    let (mut a, mut b) = (world.connect(1), world.connect(2));
    assert_eq!(ask(&mut a, "g x\n").await, "1 Lock Get Success: x\n");
    // The time of the cluster goes on by what is said.
    for _ in 0..15 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(ask(&mut b, "ping\n").await, "1 pong\n");
    }
    assert_eq!(log.text().matches("lock \"x\" has been held for").count(), 1, "{}", log.text());
    assert_eq!([0, 1].map(|node: usize| world.nodes[node].monitor.long_holds()), [1, 0]);
}
