//! Goal: the listener for monitoring speaks HTTP as the standard has it, to whoever asks in whatever way it allows,
//! and answers anything else with the right refusal or an end; nobody else notices. Method: a table of requests as
//! bytes, each written in one piece and byte by byte, with the status and the body that must come; a client of locks
//! beside it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use support::{Daemon, PATIENCE, shown};

/// Asks with these bytes, in pieces of this size. All that comes until the end, be it a reset.
fn ask(server: SocketAddr, request: &[u8], piece: usize) -> Vec<u8> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in request.chunks(piece) {
        // It may have been refused before all of it was written.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let mut scratch = [0; 4096];
    loop {
        match stream.read(&mut scratch) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&scratch[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return answer,
            Err(error) => panic!("{error} after {} to {}", shown(&answer), shown(request)),
        }
    }
}

/// An answer: its status, its headers in lower case, its body.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole answer: {text:?}"));
        let (first, headers) = head.split_once("\r\n").unwrap();
        let mut words = first.split(' ');
        let version = words.next().unwrap();
        assert!(["HTTP/1.1", "HTTP/1.0"].contains(&version), "{first}");
        let headers = headers.lines().map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_lowercase(), value.trim().to_owned())
        });
        Self {
            status: words.next().unwrap().parse().unwrap(),
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(of, _)| of == name).map(|(_, value)| &**value)
    }
}

/// What must come.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// This status with this body; an empty one is none at all.
    Answer(u16, &'static str),
    /// The metrics.
    Metrics,
    /// An answer with the headers of the metrics and no body.
    Headers,
    /// A refusal of this status, or an end without an answer where the request had none coming.
    Refused(u16),
}

use Expected::{Answer as Answers, Headers, Metrics, Refused};

const NOT_THERE: &str = "there are /metrics and /healthz\n";
const WRONG_METHOD: &str = "only GET and HEAD are answered\n";

const TABLE: &[(&str, &[u8], Expected)] = &[
    ("a request", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", Answers(200, "ok\n")),
    ("the metrics", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", Metrics),
    ("HEAD", b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n", Answers(200, "")),
    ("HEAD of the metrics", b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", Headers),
    ("HEAD of nothing", b"HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n", Answers(404, "")),
    ("HTTP/1.0", b"GET /healthz HTTP/1.0\r\n\r\n", Answers(200, "ok\n")),
    ("HTTP/1.0 to be kept", b"GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Metrics),
    (
        "keep-alive",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
        Answers(200, "ok\n"),
    ),
    ("close", b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", Answers(200, "ok\n")),
    // One request for each connection: the second is not answered.
    (
        "pipelined",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
        Answers(200, "ok\n"),
    ),
    ("line ends of Unix", b"GET /healthz HTTP/1.1\nHost: x\n\n", Answers(200, "ok\n")),
    ("a blank line before", b"\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", Answers(200, "ok\n")),
    ("a query", b"GET /healthz?a=b&c HTTP/1.1\r\nHost: x\r\n\r\n", Answers(200, "ok\n")),
    ("an absolute URI", b"GET http://x:1/healthz HTTP/1.1\r\nHost: x\r\n\r\n", Answers(200, "ok\n")),
    ("an absolute URI of the metrics", b"GET http://x/metrics?x HTTP/1.1\r\nHost: x\r\n\r\n", Metrics),
    ("no host", b"GET /healthz HTTP/1.1\r\n\r\n", Answers(200, "ok\n")),
    ("another path", b"GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n", Answers(404, NOT_THERE)),
    ("the root", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Answers(404, NOT_THERE)),
    ("a path that climbs", b"GET /x/../metrics HTTP/1.1\r\nHost: x\r\n\r\n", Answers(404, NOT_THERE)),
    ("upper case", b"GET /HEALTHZ HTTP/1.1\r\nHost: x\r\n\r\n", Answers(404, NOT_THERE)),
    (
        "POST",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        Answers(405, WRONG_METHOD),
    ),
    ("DELETE", b"DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n", Answers(405, WRONG_METHOD)),
    ("OPTIONS", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", Answers(405, WRONG_METHOD)),
    ("a method of its own", b"FROB /metrics HTTP/1.1\r\nHost: x\r\n\r\n", Answers(405, WRONG_METHOD)),
    (
        "a body with a length",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        Answers(200, "ok\n"),
    ),
    (
        "a body in pieces",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Answers(200, "ok\n"),
    ),
    (
        "a body that does not come",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nhello",
        Answers(200, "ok\n"),
    ),
    ("no version", b"GET /metrics\r\n\r\n", Refused(400)),
    ("another version", b"GET /metrics HTTP/3.7\r\nHost: x\r\n\r\n", Refused(400)),
    ("two lengths", b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Refused(400)),
    ("a length that is none", b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", Refused(400)),
    ("a header without a colon", b"GET / HTTP/1.1\r\nHost\r\n\r\n", Refused(400)),
    ("a NUL in a header", b"GET / HTTP/1.1\r\nA: \0\r\n\r\n", Refused(400)),
    ("a space before the colon", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", Refused(400)),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Refused(400)),
    ("commands for locks", b"g a\nq full\n\n", Refused(400)),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refused(400)),
];

#[test]
fn each_request_gets_the_answer_that_the_standard_has_for_it() {
    let daemon = Daemon::start(&["--metrics-listen", "127.0.0.1:0"]);
    let address = daemon.metrics_address();
    let mut client = daemon.unix();
    assert_eq!(client.ask("g held"), "1 Lock Get Success: held");
    let mut wrong = Vec::new();
    for (what, request, expected) in TABLE {
        for piece in [request.len(), 1] {
            let bytes = ask(address, request, piece);
            let is_right = std::panic::catch_unwind(|| check(&bytes, *expected, request));
            if is_right.is_err() {
                wrong.push(format!("{what}, in pieces of {piece}: {}, expected {expected:?}", shown(&bytes)));
            }
            assert_eq!(client.ask("g held"), "1 Lock Get Success: held");
        }
    }
    assert!(wrong.is_empty(), "these are answered in another way:\n{}", wrong.join("\n"));
    assert_eq!(client.figure("connections_opened"), 1, "nothing of it was a client of locks");
    assert_eq!(client.figure("locks"), 1);
}

fn check(bytes: &[u8], expected: Expected, request: &[u8]) {
    if let (Refused(_), true) = (expected, bytes.is_empty()) {
        return;
    }
    let answer = Answer::of(bytes);
    let length = || answer.header("content-length").unwrap().parse::<usize>().unwrap();
    match expected {
        Answers(status, body) => {
            assert_eq!((answer.status, &*answer.body), (status, body));
            let is_head = request.starts_with(b"HEAD");
            assert!(is_head || length() == body.len());
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
            assert_eq!(answer.header("allow"), (status == 405).then_some("GET, HEAD"));
        }
        Metrics => {
            assert_eq!((answer.status, length()), (200, answer.body.len()));
            assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
            assert!(answer.body.starts_with("# HELP ") && answer.body.contains("\nelockd_connections 1\n"));
        }
        Headers => {
            assert_eq!((answer.status, &*answer.body), (200, ""));
            assert!(length() > 1000);
        }
        Refused(status) => assert_eq!(answer.status, status),
    }
    // Each connection has one request, which HTTP/1.1 has to be told.
    let is_old = request.windows(8).any(|bytes| bytes == b"HTTP/1.0");
    assert!(is_old || answer.header("connection") == Some("close"), "it does not say that it closes");
}

#[test]
fn a_head_that_is_too_large_is_refused_and_one_that_is_not_is_not() {
    let daemon = Daemon::start(&["--metrics-listen", "127.0.0.1:0"]);
    let with_header = |bytes: usize| {
        let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "x".repeat(bytes));
        ask(daemon.metrics_address(), head.as_bytes(), usize::MAX)
    };
    assert_eq!(Answer::of(&with_header(12 << 10)).status, 200);
    for bytes in [20 << 10, 1 << 20, 16 << 20] {
        let answer = with_header(bytes);
        assert!(answer.is_empty() || Answer::of(&answer).status == 431, "{bytes}: {}", shown(&answer));
    }
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1000));
    let answer = ask(daemon.metrics_address(), many.as_bytes(), usize::MAX);
    assert!(answer.is_empty() || Answer::of(&answer).status == 431, "{}", shown(&answer));
    assert_eq!(daemon.unix().ask("ping"), "1 pong");
}

/// Cut at each byte, by FIN and by half-close: no answer to what is not whole, and the next is answered.
#[test]
fn a_request_that_is_cut_off_gets_no_answer_and_harms_nobody() {
    const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let daemon = Daemon::start(&["--metrics-listen", "127.0.0.1:0"]);
    let at_rest = daemon.descriptors();
    for end in 0..REQUEST.len() {
        for waits in [false, true] {
            let mut stream = TcpStream::connect(daemon.metrics_address()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&REQUEST[..end]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            if waits {
                let _ = stream.read_to_end(&mut answer);
                let is_refused = answer.is_empty() || Answer::of(&answer).status == 400;
                assert!(is_refused, "after {end} bytes: {}", shown(&answer));
            }
        }
    }
    assert_eq!(Answer::of(&ask(daemon.metrics_address(), REQUEST, usize::MAX)).status, 200);
    support::poll("their sockets to be gone", PATIENCE, || (daemon.descriptors() == at_rest).then_some(()));
}
