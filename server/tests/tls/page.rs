//! docs/tls.md: what people copy from it does what it says.

use super::support::{Daemon, PATIENCE, document, has_tools, poll, program};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The blocks of shell lines of the page, in order.
fn blocks() -> Vec<String> {
    let page = fs::read_to_string(document("tls.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    blocks.collect()
}

/// Goal: the commands of the page make an authority, start a daemon and look at it. Method: they are run, with a port
/// that is free and the address of this machine.
#[test]
fn the_commands_of_the_page_work() {
    if !has_tools(&["openssl"]) {
        return;
    }
    let [commands, start, look, ..] = &blocks()[..] else { panic!("the page has three blocks") };
    let folder = TempDir::new().unwrap();
    let made = Command::new("sh").args(["-ec", commands]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let flags = start.trim().strip_prefix("elockd ").unwrap().replace("0.0.0.0:9998", "127.0.0.1:0");
    let mut command = program();
    command.current_dir(folder.path()).args(flags.split(' ')).args([
        "--port",
        "0",
        "--tls-client-ca",
        "ca.crt",
    ]);
    let daemon = Daemon::spawn(command, TempDir::new().unwrap());
    let line = daemon.wait_for_log("(TLS)");
    let address = line.split("listening on tcp ").nth(1).unwrap().split(' ').next().unwrap();

    let look =
        look.trim().replace("locks.example:9998", &format!("{address} -verify_hostname locks.example"));
    let look = format!("{look} -cert client.crt -key client.key");
    let mut shell = Command::new("sh");
    shell.args(["-c", &look]).current_dir(folder.path());
    let mut process =
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    process.stdin.as_mut().unwrap().write_all(b"ping\nquit\n").unwrap();
    poll("openssl to end", PATIENCE, || process.try_wait().unwrap());
    let output = process.wait_with_output().unwrap();
    let said = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.0.starts_with("1 pong\n"), "{said:?}");
}
