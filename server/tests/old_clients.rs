//! Goal: the clients of the older daemons of the family work unchanged. Method: each client here has
//! the habits of one of them on the wire: what it puts around a request, how it reads a reply, and
//! what it concludes from it. They use the standard library only, as the old ones did.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use support::{Daemon, PATIENCE, tell};

/// A connection with the buffering that every language's standard library offers.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(daemon: SocketAddr) -> Self {
        let stream = TcpStream::connect(daemon).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn write(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn read_line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "a whole line, not {line:?}");
        line
    }
}

/// glockd's own client pads verb and key, and takes what is before the first space as a number.
struct GoClient(Stream);

impl GoClient {
    fn command(&mut self, verb: &str, key: &str) -> u64 {
        self.0.write(&format!(" {verb}  {key}\n"));
        let line = self.0.read_line();
        assert!(line.trim_end().ends_with(key), "{line:?} is about {key}");
        line.split(' ').next().unwrap().parse().unwrap()
    }
}

#[test]
fn the_go_client_gets_counts_and_releases() {
    let daemon = Daemon::start(&[]);
    let open = || GoClient(Stream::open(daemon.tcp_address()));
    let (mut one, mut two) = (open(), open());
    assert_eq!(one.command("g", "job"), 1);
    assert_eq!(two.command("g", "job"), 0);
    assert_eq!(two.command("i", "job"), 1);
    assert_eq!(one.command("sg", "pool"), 1);
    assert_eq!(two.command("sg", "pool"), 2);
    assert_eq!(one.command("si", "pool"), 2);
    assert_eq!(two.command("r", "job"), 0);
    assert_eq!(one.command("r", "job"), 1);
    assert_eq!(two.command("g", "job"), 1);
    assert_eq!(one.command("sr", "pool"), 1);
    drop(two);
    support::poll("the lock to be free", PATIENCE, || (one.command("i", "job") == 0).then_some(()));
    assert_eq!(one.command("si", "pool"), 0);
}

/// PHP's `(int)`: the number that a text begins with, 0 when it begins with none. Any but 0 is true.
fn php_int(text: &str) -> i64 {
    let text = text.trim_start();
    let sign = text.len() - text.trim_start_matches(['-', '+']).len();
    let digits = text[sign..].bytes().take_while(u8::is_ascii_digit).count();
    text[..sign + digits].parse().unwrap_or(0)
}

/// The PHP client ends its lines with CR LF and casts the first word of the reply.
struct PhpClient(Stream);

impl PhpClient {
    fn succeeds(&mut self, request: &str) -> bool {
        self.0.write(&format!("{request}\r\n"));
        let line = self.0.read_line();
        php_int(line.trim().split(' ').next().unwrap()) != 0
    }
}

#[test]
fn the_php_client_takes_every_failure_for_one() {
    let daemon = Daemon::start(&["--max-locks", "3", "--max-name-bytes", "100", "--registry=false"]);
    let open = || PhpClient(Stream::open(daemon.tcp_address()));
    let (mut one, mut two) = (open(), open());
    assert!(one.succeeds("g job"));
    assert!(one.succeeds("sg job"));
    assert!(two.succeeds("sg job"));
    for success in ["i job", "si job", "ping", "me"] {
        assert!(two.succeeds(success), "{success}");
    }
    let long = format!("g {}", "x".repeat(101));
    let longer = "x".repeat(10_000);
    // In turn: held, not held, not locked, over three limits, switched off, unknown.
    let failures =
        ["g job", "r job", "sr x", "i x", "si x", "g x", "sg x", &long, &longer, "iam x", "nonsense"];
    for failure in failures {
        assert!(!two.succeeds(failure), "{failure}");
    }
    assert!(two.succeeds("sr job"));
    assert!(one.succeeds("r job"));
    assert!(two.succeeds("g job"), "the carriage return is no part of the name");
}

/// The Node client writes without waiting, overlooks empty lines, and keeps who is who in a map, in
/// which a later line for a name replaces an earlier one.
struct NodeClient {
    stream: Stream,
    written: usize,
}

impl NodeClient {
    fn open(daemon: SocketAddr) -> Self {
        Self { stream: Stream::open(daemon), written: 0 }
    }

    fn write(&mut self, request: &str) {
        self.stream.write(&format!("{request}\n"));
        self.written += 1;
    }

    /// The lines that are not empty, up to one that answers the last request.
    fn lines_until(&mut self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.last().map(String::as_str) != Some(last) {
            let line = self.stream.read_line();
            lines.extend(Some(line.trim().to_owned()).filter(|line| !line.is_empty()));
        }
        lines
    }
}

#[test]
fn the_node_client_finds_the_latest_of_a_name() {
    let daemon = Daemon::start(&[]);
    let open = || NodeClient::open(daemon.tcp_address());
    let (mut old, mut new, mut asker) = (open(), open(), open());
    old.write("iam worker");
    old.lines_until("1 ok");
    new.write("iam worker");
    new.lines_until("1 ok");

    for request in ["iam asker", "d", "sd", "g job", "sg job", "d", "who", "ping"] {
        asker.write(request);
    }
    let lines = asker.lines_until("1 pong");
    let expected = ["1 ok", "1 Lock Get Success: job", "1 Shared Lock Get Success: job", "job: asker"];
    assert_eq!(lines[..4], expected, "two empty listings leave no trace");
    let who: BTreeMap<&str, &str> = lines[4..lines.len() - 1]
        .iter()
        .map(|line| line.rsplit_once(": ").map(|(address, name)| (name, address)).unwrap())
        .collect();
    let address_of = |client: &NodeClient| client.stream.0.get_ref().local_addr().unwrap().to_string();
    assert_eq!(who["worker"], address_of(&new));
    assert_eq!(who["asker"], address_of(&asker));
    assert_eq!(lines.len(), 4 + 3 + 1, "{lines:?}");

    old.write("iam worker");
    old.lines_until("1 ok");
    asker.write("who worker");
    asker.write("ping");
    let lines = asker.lines_until("1 pong");
    assert_eq!(
        lines[lines.len() - 2],
        format!("{}: worker", address_of(&old)),
        "registered again, it is the latest"
    );
    assert_eq!(asker.written, 10);
}

/// A client in the manner of the short Python ones that went around: a file object over the socket,
/// one line out, one line in, the number before the first space is the answer.
const PYTHON_CLIENT: &str = r#"
import socket, sys

class Locks(object):
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.file = self.socket.makefile("rwb")

    def say(self, verb, name):
        self.file.write(("%s %s\n" % (verb, name)).encode("utf-8"))
        self.file.flush()
        line = self.file.readline()
        if not line:
            raise IOError("the server is gone")
        return int(line.split(b" ", 1)[0])

locks = Locks(sys.argv[1], sys.argv[2])
name = u"b\u00fccher 1"
print(locks.say("g", name), locks.say("g", name), locks.say("i", name), locks.say("g", "taken"))
print(locks.say("sg", "pool"), locks.say("sr", "pool"), locks.say("si", "pool"), locks.say("bogus", "x"))
print(locks.say("r", name), locks.say("r", name), locks.say("g", "left behind"))
sys.stdout.flush()
sys.stdin.readline()
"#;

#[test]
fn a_python_client_reads_line_by_line_and_loses_its_locks_with_its_process() {
    if Command::new("python3").arg("--version").output().is_err() {
        return tell("SKIPPED: there is no python3 here");
    }
    let daemon = Daemon::start(&[]);
    let mut other = daemon.tcp();
    assert_eq!(other.ask("g taken"), "1 Lock Get Success: taken");
    assert_eq!(other.ask("sg pool"), "1 Shared Lock Get Success: pool");

    let address = daemon.tcp_address();
    let mut python = Command::new("python3");
    python.args(["-c", PYTHON_CLIENT, &address.ip().to_string(), &address.port().to_string()]);
    let mut python =
        support::Guard::new(python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let mut said = BufReader::new(python.0.stdout.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(line(), "1 1 1 0\n");
    assert_eq!(line(), "2 1 1 0\n");
    assert_eq!(line(), "1 0 1\n");
    assert_eq!(other.ask("g left behind"), "0 Lock Get Failure: left behind");

    drop(python.0.stdin.take());
    assert!(python.wait(PATIENCE).success());
    let is_free = || other.ask("g left behind").starts_with('1').then_some(());
    support::poll("the lock it left behind", PATIENCE, is_free);
}
