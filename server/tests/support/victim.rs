//! A client in a process of its own, to be killed: the test binary once more, told by its environment
//! to run nothing but an ignored "test" that takes a lock and stays.

use super::{Client, Guard};
use std::process::{Command, Stdio};

const DAEMON: &str = "ELOCKD_TEST_VICTIM_OF";
const CHATS: &str = "ELOCKD_TEST_VICTIM_CHATS";

/// Adds to `command`, which has to end in running a program, the victim that connects to `daemon`.
/// `test` is the ignored test that calls [`live`].
pub(crate) fn spawn(mut command: Command, test: &str, daemon: &str, chats: bool) -> Guard {
    command.args(["--ignored", "--exact", test]).env(DAEMON, daemon).stdout(Stdio::null());
    if chats {
        command.env(CHATS, "1");
    }
    Guard::new(command.spawn().unwrap())
}

/// What the victim does until it is killed: it holds the lock `a`, in silence or asking all the time.
pub(crate) fn live() {
    // Nobody's victim: somebody runs all ignored tests.
    let Ok(daemon) = std::env::var(DAEMON) else { return };
    let mut client = match daemon.parse() {
        Ok(address) => Client::tcp(address),
        Err(_) => Client::unix(daemon.as_ref()),
    };
    assert_eq!(client.ask("g a"), "1 Lock Get Success: a");
    if std::env::var_os(CHATS).is_some() {
        let mut writer = client.twin();
        std::thread::spawn(move || while writer.try_send("help\n".repeat(100)).is_ok() {});
        client.wait_for_end();
    }
    loop {
        std::thread::park();
    }
}
