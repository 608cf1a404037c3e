//! Goal: what comes before the first line, or instead of it, never runs as a request, and a PROXY header says who the
//! client is. Method: raw bytes, whole and in pieces, on the daemon as a process; and a real balancer, if there is one.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::Signal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use support::{Client, Daemon, Guard, PATIENCE, Transport, has_tools, poll};

/// Beginnings of other protocols, with a request behind them, and the word that the answer has.
const FOREIGN: [(&[u8], &str); 7] = [
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\ng stolen\n", "HTTP"),
    (b"POST /?q=1 HTTP/1.0\r\n\r\ng stolen\nquit\n", "HTTP"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ng stolen\n", "HTTP"),
    (b"\x16\x03\x01\x00\x05g stolen\n", "TLS"),
    (b"SSH-2.0-OpenSSH_10.0\r\ng stolen\n", "SSH"),
    (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\ng stolen\n", "PROXY"),
    (
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x09\x00\x0ag stolen\n",
        "PROXY",
    ),
];

fn metric(daemon: &Daemon, name: &str) -> u64 {
    let (_, body) = support::get(daemon.metrics_address(), "/metrics");
    let line = body.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn other_protocols_have_one_answer_and_nothing_of_them_runs() {
    let daemon = Daemon::start(&["--metrics-listen", "127.0.0.1:0"]);
    for transport in Transport::BOTH {
        for (bytes, word) in FOREIGN {
            let mut client = daemon.connect(transport);
            client.send(bytes);
            assert_eq!(client.rest(), format!("0 Wrong Protocol: {word}\n").as_bytes());
        }
    }
    assert_eq!(metric(&daemon, "elockd_foreign_connections_total"), 14);
    assert_eq!(daemon.tcp().ask("i stolen"), "0 Lock Not Locked: stolen");
    daemon.wait_for_log(" was closed, for it speaks HTTP");
}

#[test]
fn they_are_known_in_any_pieces() {
    let daemon = Daemon::start(&[]);
    for (bytes, word) in FOREIGN {
        // What is decided is never longer than this.
        for at in 1..bytes.len().min(20) {
            let mut client = daemon.unix();
            client.send(&bytes[..at]);
            // The daemon has read the first piece by the time that it has answered somebody else.
            assert_eq!(daemon.tcp().ask("ping"), "1 pong");
            // It may have closed by now.
            let _ = client.try_send(&bytes[at..]);
            client.expect(format!("0 Wrong Protocol: {word}\n"));
        }
    }
    assert_eq!(daemon.tcp().ask("i stolen"), "0 Lock Not Locked: stolen");
}

#[test]
fn what_is_ours_runs_whatever_it_looks_like() {
    let daemon = Daemon::start(&[]);
    let cases: &[(&str, &str)] = &[
        ("g et HTTP/1.1\n", "1 Lock Get Success: et HTTP/1.1\n"),
        ("GET\n", "0 Unknown Command: GET\n"),
        ("GET /\nping\n", "0 Unknown Command: GET\n1 pong\n"),
        ("\r\n\r\n\nping\n", "1 pong\n"),
        ("SSH\nping\n", "0 Unknown Command: SSH\n1 pong\n"),
        ("ping\nGET / HTTP/1.1\nping\n", "1 pong\n0 Unknown Command: GET\n1 pong\n"),
        ("ping\nSSH-2.0-x\n", "1 pong\n0 Unknown Command: SSH-2.0-x\n"),
    ];
    for (said, answers) in cases {
        let mut client = daemon.tcp();
        client.send(said);
        client.expect(answers);
        client.half_close();
        client.expect_end();
        let mut slow = daemon.unix();
        for byte in said.bytes() {
            slow.send([byte]);
        }
        slow.expect(answers);
    }
}

#[test]
fn a_beginning_that_stays_open_is_never_run() {
    let daemon = Daemon::start(&[]);
    for bytes in ["GET / HTTP/1.1", "SSH", "PROXY", "\r\n\r\n", "\x16"] {
        let mut client = daemon.tcp();
        client.send(bytes);
        client.half_close();
        client.expect_end();
    }
}

#[test]
fn a_first_line_that_is_too_long_is_foreign_if_it_begins_like_http() {
    let daemon = Daemon::start(&["--max-line-bytes", "320", "--max-name-bytes", "250"]);
    let mut client = daemon.tcp();
    client.send(format!("POST /{} HTTP/1.1\r\n\r\ng stolen\n", "x".repeat(1000)));
    assert_eq!(client.rest(), b"0 Wrong Protocol: HTTP\n");
    let mut client = daemon.tcp();
    client.send(format!("POSTX /{}\ng x\n", "x".repeat(1000)));
    client.expect("0 Line Too Long\n1 Lock Get Success: x\n");
}

fn behind_balancer(flags: &[&str]) -> Daemon {
    Daemon::start(&[&["--proxy-protocol", "--metrics-listen", "127.0.0.1:0"], flags].concat())
}

#[test]
fn the_client_has_the_address_that_the_balancer_says() {
    let daemon = behind_balancer(&[]);
    let v2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x09\x00\x0a";
    let headers: [(&[u8], &str); 3] = [
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n", "1.2.3.4:9"),
        (b"PROXY TCP6 2001:db8::1 ::1 9 10\r\n", "[2001:db8::1]:9"),
        (v2, "1.2.3.4:9"),
    ];
    for (header, address) in headers {
        let mut client = daemon.tcp();
        client.send(header);
        assert_eq!(client.ask("g x"), "1 Lock Get Success: x");
        client.send("d\n");
        client.expect(format!("x: {address}\n\n"));
        // In one piece with the first request, and byte by byte.
        client.send("r x\nquit\n");
        client.wait_for_end();
        let mut client = daemon.tcp();
        client.send([header, b"g y\nr y\n"].concat());
        client.expect("1 Lock Get Success: y\n1 Lock Release Success: y\n");
        let mut client = daemon.tcp();
        for byte in header {
            client.send([*byte]);
        }
        assert_eq!(client.ask("g y"), "1 Lock Get Success: y");
    }
    let mut itself = daemon.tcp();
    let address = itself.address();
    itself.send("PROXY UNKNOWN\r\n");
    assert!(itself.ask("me").contains(&address), "a balancer may speak for itself");
    assert_eq!(daemon.unix().ask("ping"), "1 pong", "a Unix socket has no header");
}

#[test]
fn without_a_header_nothing_runs() {
    let daemon = behind_balancer(&["--handshake-timeout", "1h"]);
    for said in ["g x\n", "\n", "PROXY TCP4 1.2.3.4\r\ng x\n", "PROXY TCP5 1.2.3.4 5.6.7.8 9 10\r\ng x\n"] {
        let mut client = daemon.tcp();
        client.send(said);
        client.wait_for_end();
    }
    daemon.wait_for_log("PROXY: there is no header");
    assert_eq!(metric(&daemon, "elockd_handshakes_failed_total"), 4);
    assert_eq!(metric(&daemon, "elockd_connections_opened_total"), 0);
}

#[test]
fn only_listed_balancers_are_believed() {
    let daemon = behind_balancer(&["--proxy-protocol-from", "127.0.0.2,127.1.0.0/16"]);
    let from = |last: [u8; 4]| Client::tcp_from(IpAddr::V4(Ipv4Addr::from(last)), daemon.tcp_address());
    for balancer in [[127, 0, 0, 2], [127, 1, 2, 3]] {
        let mut client = from(balancer);
        client.send("PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n");
        assert!(client.ask("me").contains("1.2.3.4:9"));
        let mut client = from(balancer);
        client.send("ping\n");
        client.wait_for_end();
    }
    for other in [[127, 0, 0, 3], [127, 2, 0, 1]] {
        assert_eq!(from(other).ask("ping"), "1 pong");
        let mut client = from(other);
        client.send("PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\ng stolen\n");
        assert_eq!(client.rest(), b"0 Wrong Protocol: PROXY\n");
    }
}

#[test]
fn a_limit_of_addresses_is_of_the_clients_behind_the_balancer() {
    let daemon = behind_balancer(&["--max-connections-per-address", "1"]);
    let connect = |address: &str| {
        let mut client = daemon.tcp();
        client.send(format!("PROXY TCP4 {address} 5.6.7.8 9 10\r\nping\n"));
        client
    };
    let mut clients = ["1.1.1.1", "1.1.1.2"].map(connect);
    for client in &mut clients {
        client.expect("1 pong\n");
    }
    let mut third = connect("1.1.1.1");
    third.expect("0 Too Many Connections\n");
}

/// Goal: the configuration in docs/tls.md does what the page says. Method: it is run.
#[test]
fn haproxy_says_who_the_client_is() {
    if !has_tools(&["haproxy"]) {
        return;
    }
    let daemon = behind_balancer(&[]);
    let front = free_address();
    let page = std::fs::read_to_string(support::document("tls.md")).unwrap();
    let config = page.split("```haproxy\n").nth(1).unwrap().split("```").next().unwrap();
    let config = config.replace("bind :9999", &format!("bind {front}"));
    let config = config.replace("10.0.0.5:9999", &daemon.tcp_address().to_string());
    let file = daemon.folder().join("haproxy.cfg");
    std::fs::write(&file, &config).unwrap();
    let mut haproxy = Command::new("haproxy");
    haproxy.arg("-db").arg("-f").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Guard::new(haproxy.spawn().unwrap());
    poll("haproxy to listen", PATIENCE, || std::net::TcpStream::connect(front).ok());
    let mut client = Client::tcp(front);
    let address = client.address();
    assert_eq!(client.ask("g x"), "1 Lock Get Success: x");
    client.send("d\n");
    client.expect(format!("x: {address}\n\n"));
    process.signal(Signal::TERM);
}

/// An address that nobody listens on just now.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
