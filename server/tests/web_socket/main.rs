//! WebSockets, with the daemon as a process of its own: the lines are those of every other connection, and so is what
//! happens at its end. A real browser does the same with a real page (`browser.rs`).

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../tls/authority.rs"]
mod authority;
mod browser;
#[path = "../tls/speaker.rs"]
mod speaker;
#[path = "../support/mod.rs"]
mod support;

use authority::Authority;
use speaker::Speaker;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use support::{Client, Daemon, PATIENCE, get, poll, program};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{self, Error, HandshakeError, Message, WebSocket};

/// A daemon with a WebSocket listener on a port of its own, a TCP one and an administrative socket.
struct Served {
    daemon: Daemon,
    address: SocketAddr,
}

impl Served {
    fn start(flags: &[&str]) -> Self {
        Self::start_with("--ws", flags)
    }

    /// The port follows `listener`.
    fn start_with(listener: &str, flags: &[&str]) -> Self {
        // A port that was free a moment ago, so somebody else may take it: then another is tried.
        let daemon = poll("a port that stays free", PATIENCE, || {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
            let mut command = program();
            let dir = TempDir::new().unwrap();
            command
                .args(["--listen", "127.0.0.1:0", listener, &port, "--admin-unix"])
                .arg(dir.path().join("admin"));
            let daemon = Daemon::spawn(
                {
                    command.args(flags);
                    command
                },
                dir,
            );
            let is_up = || match daemon.log() {
                log if log.contains("(WebSocket)") => Some(true),
                log if log.contains("in use") => Some(false),
                _ => None,
            };
            poll("the listeners", PATIENCE, is_up).then_some(daemon)
        });
        let line = daemon.wait_for_log("(WebSocket)");
        let address =
            line.split("listening on tcp ").nth(1).unwrap().split(" (").next().unwrap().parse().unwrap();
        Self { daemon, address }
    }

    fn connect(&self) -> Page {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Page(tungstenite::client("ws://elockd/", stream).unwrap().0)
    }

    fn admin(&self) -> Client {
        Client::unix(&self.daemon.folder().join("admin"))
    }
}

/// Rows of a listing.
fn listing(program: &mut Client, request: &str) -> Vec<String> {
    program.send(format!("{request}\n"));
    program.lines()
}

/// Whether a handshake was answered `403`.
fn is_forbidden<R: tungstenite::handshake::HandshakeRole, T>(refused: Result<T, HandshakeError<R>>) -> bool {
    matches!(refused, Err(HandshakeError::Failure(Error::Http(answer))) if answer.status() == 403)
}

/// A client as a page would be.
struct Page(WebSocket<TcpStream>);

impl Page {
    fn say(&mut self, lines: &str) {
        self.0.send(Message::text(lines)).unwrap();
    }

    fn hear(&mut self) -> String {
        match self.0.read().unwrap() {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.hear()
    }

    /// The first word of the reply, as glockd's clients read it.
    fn number(&mut self, line: &str) -> i64 {
        self.ask(line).split(' ').next().unwrap().parse().unwrap()
    }

    /// Waits for the daemon's close.
    fn closed(&mut self) -> CloseCode {
        loop {
            match self.0.read().unwrap() {
                Message::Close(Some(CloseFrame { code, .. })) => return code,
                Message::Close(None) => panic!("a close without a code"),
                _ => {}
            }
        }
    }
}

/// glockd tests its locks so, over TCP: three clients take turns on one name.
#[test]
fn what_glockd_tests_holds() {
    let served = Served::start(&[]);
    let (mut one, mut two, mut three) = (served.connect(), served.connect(), served.connect());
    assert_eq!(one.number("i foo"), 0);
    assert_eq!(one.number("g foo"), 1);
    assert_eq!(two.number("i foo"), 1);
    assert_eq!(two.number("g foo"), 0);
    assert_eq!(one.number("g foo"), 1);
    assert_eq!(one.number("r foo"), 1);
    assert_eq!(two.number("g foo"), 1);

    assert_eq!(one.number("si foo"), 0);
    assert_eq!(one.number("sg foo"), 1);
    assert_eq!(two.number("si foo"), 1);
    assert_eq!(two.number("sg foo"), 2);
    assert_eq!(three.number("si foo"), 2);
    assert_eq!(one.number("sg foo"), 2);
    assert_eq!(one.number("sr foo"), 1);
    assert_eq!(three.number("si foo"), 1);
    assert_eq!(two.number("sr foo"), 1);
    assert_eq!(three.number("si foo"), 0);
}

#[test]
fn a_page_and_a_program_have_the_same_locks() {
    let served = Served::start(&[]);
    let (mut page, mut program) = (served.connect(), served.daemon.tcp());
    assert_eq!(
        page.ask("g foo\r\nsg käse\n\nping"),
        "1 Lock Get Success: foo\n1 Shared Lock Get Success: käse\n1 pong\n"
    );
    assert_eq!(program.ask("g foo"), "0 Lock Get Failure: foo");
    let me = page.ask("me");
    let listed = listing(&mut program, "d");
    assert_eq!(format!("1 {0} {0}\n", listed[0].split(": ").nth(1).unwrap()), me);
    // It waits, and a program lets it in.
    assert_eq!(program.ask("g other"), "1 Lock Get Success: other");
    page.say("gw 10000 other");
    poll("the page waits", PATIENCE, || {
        let rows = listing(&mut program, "ls other");
        rows.iter().any(|row| row.starts_with("xw ")).then_some(())
    });
    assert_eq!(program.ask("r other"), "1 Lock Release Success: other");
    assert_eq!(page.hear(), "1 Lock Get Success: other\n");
    // A listing is whole lines, whatever messages it comes in.
    let names: Vec<String> = (0..3000).map(|number| format!("{number:0>50}")).collect();
    for names in names.chunks(500) {
        page.say(&support::lines("g ", names));
        let mut replies = 0;
        while replies < names.len() {
            let text = page.hear();
            assert!(text.ends_with('\n'), "{text}");
            replies += text.matches('\n').count();
        }
    }
    let mut listing = page.ask("d");
    while !listing.ends_with("\n\n") {
        listing.push_str(&page.hear());
    }
    assert_eq!(listing.matches('\n').count(), names.len() + 3);
}

/// How a page ends.
type End = fn(Page, &Served);

/// Goal: the end of a WebSocket is the end of a connection, however it comes. Method: each holds a lock and waits for
/// another, and ends in its own way; a program has to get both.
#[test]
fn every_end_releases() {
    let served = Served::start(&["--ws-ping", "1s"]);
    let mut program = served.daemon.tcp();
    let ends: [(&str, End); 6] = [
        ("close", |mut page, _| page.0.close(None).unwrap()),
        ("cut", |page, _| drop(page)),
        ("quit", |mut page, _| {
            page.say("quit");
            assert_eq!(page.closed(), CloseCode::Normal);
        }),
        ("kick", |mut page, served| {
            let me = page.ask("me");
            served.admin().ask(&format!("kick {}", me.split(' ').nth(1).unwrap()));
            assert_eq!(page.closed(), CloseCode::Normal);
        }),
        ("a broken frame", |page, _| {
            use std::io::Write;
            let mut stream = page.0.into_inner();
            stream.write_all(b"\x81\x01x").unwrap();
            poll("its end", PATIENCE, || {
                use std::io::Read;
                stream.read(&mut [0; 100]).is_ok_and(|count| count == 0).then_some(())
            });
        }),
        // It answers no ping.
        ("silence", |page, _| std::mem::forget(page)),
    ];
    for (how, end) in ends {
        let mut page = served.connect();
        assert_eq!(page.number("g lock"), 1, "{how}");
        end(page, &served);
        assert_eq!(program.ask("gw 10000 lock"), "1 Lock Get Success: lock", "{how}");
        assert_eq!(program.ask("r lock"), "1 Lock Release Success: lock");
    }
    // While it waits.
    assert_eq!(program.ask("g lock"), "1 Lock Get Success: lock");
    let mut page = served.connect();
    page.say("gw 60000 lock");
    poll("it waits", PATIENCE, || (listing(&mut program, "ls").len() > 1).then_some(()));
    page.0.close(None).unwrap();
    poll("it waits no more", PATIENCE, || (listing(&mut program, "ls").len() == 1).then_some(()));
}

#[test]
fn a_shutdown_and_a_refusal_are_told_before_the_close() {
    let mut served = Served::start(&["--max-connections", "1"]);
    let mut page = served.connect();
    assert_eq!(page.number("g lock"), 1);
    let mut refused = served.connect();
    assert_eq!(refused.hear(), "0 Too Many Connections\n");
    assert_eq!(refused.closed(), CloseCode::Normal);
    page.say("gw 60000 lock2\ng lock3");
    served.daemon.stop();
    let mut told = String::new();
    while let Ok(Message::Text(text)) = page.0.read() {
        told.push_str(&text);
    }
    assert!(told.starts_with("1 Lock Get Success: lock2\n"), "{told}");
}

#[test]
fn limits_of_messages_and_lines_are_told_apart() {
    let served = Served::start(&["--max-message-bytes", "9000", "--max-line-bytes", "8192"]);
    let mut page = served.connect();
    assert_eq!(page.ask(&format!("g {}", "x".repeat(8191))), "0 Line Too Long\n");
    assert_eq!(page.ask("ping"), "1 pong\n");
    page.say(&"x".repeat(9001));
    assert_eq!(page.closed(), CloseCode::Size);
    let mut page = served.connect();
    page.0.send(Message::binary(vec![b'x'; 9000])).unwrap();
    assert!(matches!(page.0.read(), Ok(Message::Binary(reply)) if &reply[..] == b"0 Line Too Long\n"));
}

/// Goal: a page that takes nothing is found and costs no more than another client. Method: it asks for much and does
/// not read.
#[test]
fn a_page_that_takes_no_replies_is_ended() {
    let served = Served::start(&["--write-timeout", "1s", "--ws-ping", "0"]);
    let mut program = served.daemon.tcp();
    let mut page = served.connect();
    assert_eq!(page.number("g lock"), 1);
    page.0.get_ref().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let helps = "help\n".repeat(1000);
    let mut sent = 0;
    while page.0.send(Message::text(helps.clone())).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "it takes everything");
    }
    assert_eq!(program.ask("gw 10000 lock"), "1 Lock Get Success: lock");
}

/// Goal: nothing is lost while the daemon does not read, because the page takes no replies. Method: the page asks for
/// more than all buffers between them hold, takes nothing for a while, and then everything.
#[test]
fn a_page_that_reads_late_gets_everything() {
    const MESSAGES: usize = 3000;
    let served = Served::start(&[]);
    let mut page = served.connect();
    let twin = page.0.get_ref().try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let mut twin = WebSocket::from_raw_socket(twin, Role::Client, None);
        for number in 0..MESSAGES {
            twin.send(Message::text(format!("help\ni {number}"))).unwrap();
        }
    });
    // The daemon has stopped to read when there are no more requests than before.
    let mut program = served.daemon.tcp();
    let mut before = 0;
    poll("the daemon stops to read", PATIENCE, || {
        std::thread::sleep(Duration::from_millis(100));
        let now = program.figures()["command_help"];
        (now > 0 && now == std::mem::replace(&mut before, now)).then_some(())
    });
    assert!(before < MESSAGES as u64, "all {before} were run");
    let mut text = String::new();
    while !text.ends_with(&format!("0 Lock Not Locked: {}\n", MESSAGES - 1)) {
        text.push_str(&page.hear());
    }
    writer.join().unwrap();
    let answers: Vec<&str> = text.lines().filter(|line| line.starts_with("0 Lock Not Locked: ")).collect();
    let expected: Vec<String> = (0..MESSAGES).map(|number| format!("0 Lock Not Locked: {number}")).collect();
    assert_eq!(answers, expected);
}

/// Goal: a page that waits may send more than the daemon reads ahead, and none of it is lost. Its end is seen behind
/// all that. Method: two pages wait for a lock and send much more, and one is cut off.
#[test]
fn what_is_behind_a_wait_is_found_later() {
    // More than is read ahead, and not more than the kernel holds: behind that an end cannot come.
    const MESSAGES: usize = 760;
    let served = Served::start(&[]);
    let mut program = served.daemon.tcp();
    assert_eq!(program.ask("g lock"), "1 Lock Get Success: lock");
    let [mut page, mut gone] = [(); 2].map(|()| {
        let mut page = served.connect();
        page.say("gw 60000 lock");
        for number in 0..MESSAGES {
            page.0.write(Message::text(format!("i {number:0>100}"))).unwrap();
        }
        page.0.flush().unwrap();
        page
    });
    assert_eq!(listing(&mut program, "ls").len(), 3);
    gone.0.get_mut().shutdown(std::net::Shutdown::Both).unwrap();
    poll("its end is seen", PATIENCE, || (listing(&mut program, "ls").len() == 2).then_some(()));
    assert_eq!(program.ask("r lock"), "1 Lock Release Success: lock");
    let mut text = String::new();
    while !text.ends_with(&format!("0 Lock Not Locked: {:0>100}\n", MESSAGES - 1)) {
        text.push_str(&page.hear());
    }
    let expected =
        support::lines("0 Lock Not Locked: ", (0..MESSAGES).map(|number| format!("{number:0>100}")));
    assert!(text == format!("1 Lock Get Success: lock\n{expected}"));
}

#[test]
fn the_same_goes_over_tls() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let issued = authority.issue("daemon");
    let flags = ["--tls-cert", &issued.cert, "--tls-key", &issued.key, "--ws-origin", "https://a.example"];
    let served = Served::start_with("--wss", &flags);
    let mut program = served.daemon.tcp();
    // As browsers do.
    let speaker = Speaker::new(&authority).offering("http/1.1");
    let stream = speaker.stream(served.address).unwrap();
    let mut page = tungstenite::client("wss://daemon/", stream).unwrap().0;
    page.send(Message::text("g lock\nping")).unwrap();
    let mut told = String::new();
    while !told.ends_with("1 pong\n") {
        told.push_str(page.read().unwrap().to_text().unwrap());
    }
    assert_eq!(told, "1 Lock Get Success: lock\n1 pong\n");
    assert_eq!(program.ask("g lock"), "0 Lock Get Failure: lock");
    page.close(None).unwrap();
    while page.read().is_ok() {}
    assert_eq!(program.ask("gw 10000 lock"), "1 Lock Get Success: lock");
    // Origins are asked for there too. A WebSocket without TLS is none.
    let mut request = tungstenite::client::IntoClientRequest::into_client_request("wss://daemon/").unwrap();
    request.headers_mut().insert("origin", "https://b.example".parse().unwrap());
    let refused = tungstenite::client(request, speaker.stream(served.address).unwrap());
    assert!(is_forbidden(refused));
    let stream = TcpStream::connect(served.address).unwrap();
    assert!(tungstenite::client("ws://daemon/", stream).is_err());
}

#[test]
fn http_is_answered_and_counted() {
    let served =
        Served::start(&["--metrics-listen", "127.0.0.1:0", "--ws-origin", "http://localhost:1,null"]);
    let (head, text) = get(served.address, "/");
    assert!(head.starts_with("HTTP/1.1 426 "), "{head} {text}");
    let failures = |daemon: &Daemon| {
        let (_, text) = get(daemon.metrics_address(), "/metrics");
        text.lines()
            .find_map(|line| line.strip_prefix("elockd_handshakes_failed_total ")?.parse::<u64>().ok())
    };
    assert_eq!(failures(&served.daemon), Some(1));
    let stream = TcpStream::connect(served.address).unwrap();
    let mut request = tungstenite::client::IntoClientRequest::into_client_request("ws://elockd/").unwrap();
    request.headers_mut().insert("origin", "http://localhost:2".parse().unwrap());
    let refused = tungstenite::client(request.clone(), stream);
    assert!(is_forbidden(refused));
    poll("its count", PATIENCE, || (failures(&served.daemon) == Some(2)).then_some(()));
    served.daemon.wait_for_log("WebSocket: ");
    request.headers_mut().insert("origin", "null".parse().unwrap());
    let stream = TcpStream::connect(served.address).unwrap();
    Page(tungstenite::client(request, stream).unwrap().0).ask("ping");
}
