//! Goal: when the network falls silent, a command is gone before the daemon can give its lock to somebody else, also if
//! it does not listen to TERM. Method: as in `client/tests/margin.rs`, with `elock run` in the place of the client.

use crate::daemon::elock;
use crate::network::{DAEMON_IP, Network, Process, serve};
use elockd_client::{LOST_AFTER, PEER_TIMEOUT};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

#[tokio::test]
#[ignore = "no test, but the daemon of the other one"]
async fn the_daemon() {
    serve().await;
}

#[test]
fn a_command_is_gone_before_the_daemon_gives_its_lock_away() {
    let network = match Network::build() {
        Ok(network) => network,
        Err(reason) => return eprintln!("SKIPPED: no network namespaces: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("locks").to_str().unwrap().to_owned();
    let mut daemon = Process::start(&network.daemon, "margin::the_daemon", &socket);
    daemon.says("margin: listening");
    let program = elock(&["run", "a", "-c", "trap '' TERM; echo started; while :; do sleep 0.05; done"]);
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &network.client]).arg(program.get_program()).args(program.get_args());
    command
        .env("ELOCK_SERVER", DAEMON_IP)
        .env("SHELL", "/bin/sh")
        .env("XDG_CONFIG_HOME", "/proc/self/fdinfo");
    let mut running = crate::Guarded(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut stdout = BufReader::new(running.0.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    let (tell, is_gone) = mpsc::channel();
    std::thread::spawn(move || {
        // It ends with the last process that could write.
        let _ = stdout.read_to_end(&mut Vec::new());
        tell.send(Instant::now())
    });

    network.cut();
    let cut = Instant::now();
    let observer = elockd_client::blocking::connect(&socket).unwrap();
    let guard = observer.lock("a").get().unwrap();
    let freed = Instant::now();
    let gone = is_gone.recv_timeout(crate::PATIENCE).unwrap();
    eprintln!("margin: gone after {:.1?}, and the lock was free after {:.1?}", gone - cut, freed - cut);
    assert!(gone < freed, "the command goes first");
    assert!(
        gone - cut + Duration::from_secs(3) >= LOST_AFTER + Duration::from_secs(5),
        "it is not killed too early"
    );
    assert!(freed - cut + Duration::from_secs(2) >= PEER_TIMEOUT, "the daemon waits for as long as it says");
    guard.release().unwrap();
    assert_eq!(running.0.wait().unwrap().code(), Some(79));
}
