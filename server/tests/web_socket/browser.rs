//! A page in a real browser gets a lock, waits for another one, keeps both over a reload, and is told when it loses
//! them. The page is `page.html`, with the function of docs/websocket.md in it. The browser is Chromium, without a
//! window.

use super::support::{Guard, PATIENCE, document, has_tools};
use super::{Served, listing};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// A browser takes its time to start.
const START: Duration = Duration::from_mins(2);

/// What a page says. It goes on when it is answered.
struct Told {
    text: String,
    go_on: Sender<()>,
}

/// The page's own server. It serves the page and hears what it tells.
struct Pages {
    address: SocketAddr,
    told: Receiver<Told>,
}

impl Pages {
    /// Serves a page that connects to `daemon`.
    fn start(daemon: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let text = std::fs::read_to_string(document("websocket.md")).unwrap();
        let script = text.split("```js\n").nth(1).unwrap().split("```").next().unwrap();
        let page = include_str!("page.html").replace("SCRIPT", script).replace("PLACE", &daemon.to_string());
        let (sender, told) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (page, sender) = (page.clone(), sender.clone());
                thread::spawn(move || serve(&stream.unwrap(), &page, &sender));
            }
        });
        Self { address, told }
    }

    fn next(&self, expected: &str) -> Sender<()> {
        let Told { text, go_on } =
            self.told.recv_timeout(START).unwrap_or_else(|_| panic!("the page never told: {expected}"));
        assert_eq!(text, expected);
        go_on
    }
}

/// Serves one request.
fn serve(stream: &TcpStream, page: &str, told: &Sender<Told>) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
    }
    let body = if first.starts_with("POST ") {
        let mut text = vec![0; length];
        reader.read_exact(&mut text).unwrap();
        let (go_on, may_go_on) = channel();
        let _ = told.send(Told { text: String::from_utf8(text).unwrap(), go_on });
        let _ = may_go_on.recv();
        ""
    } else if first.starts_with("GET / ") {
        page
    } else {
        ""
    };
    let length = body.len();
    let _ = (&*stream).write_all(
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
            .as_bytes(),
    );
}

/// Opens a page in a browser with a folder of its own.
fn open(page: SocketAddr) -> (Guard, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let browser = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"])
        .args([
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .arg(format!("--user-data-dir={}", folder.path().display()))
        // It would end when the page is loaded.
        .args(["--remote-debugging-port=0"])
        .arg(format!("http://{page}/"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Guard::new(browser), folder)
}

#[test]
fn a_page_gets_waits_resumes_and_loses() {
    if !has_tools(&["chromium"]) {
        return;
    }
    // The page's origin is its server's, whose port is known only later.
    let served = Served::start(&["--ws-origin", "*"]);
    let mut program = served.daemon.tcp();
    assert_eq!(program.ask("g other"), "1 Lock Get Success: other");
    let pages = Pages::start(served.address);
    let (_browser, _folder) = open(pages.address);

    let go_on = pages.next("1 Lock Get Success: job");
    assert_eq!(program.ask("g job"), "0 Lock Get Failure: job");
    go_on.send(()).unwrap();
    super::poll("the page waits", PATIENCE, || {
        listing(&mut program, "ls other").iter().any(|row| row.starts_with("xw ")).then_some(())
    });
    assert_eq!(program.ask("r other"), "1 Lock Release Success: other");
    pages.next("1 Lock Get Success: other").send(()).unwrap();

    // It loads itself again. Another connection has both locks then, and nobody else had them in between.
    let go_on = pages.next("resumed");
    assert_eq!(program.ask("gw 1 job"), "0 Lock Get Timeout: job");
    let row = listing(&mut program, "d job").join("");
    let holder = row.strip_prefix("job: ").unwrap();
    assert_eq!(served.admin().ask(&format!("kick {holder}")), format!("1 Kick Success: {holder}"));
    go_on.send(()).unwrap();
    pages.next("closed with 1000").send(()).unwrap();
    assert_eq!(program.ask("gw 10000 job"), "1 Lock Get Success: job");
}

#[test]
fn a_page_of_another_origin_does_not_come_in() {
    if !has_tools(&["chromium"]) {
        return;
    }
    let served = Served::start(&["--ws-origin", "https://another.example"]);
    let pages = Pages::start(served.address);
    let (_browser, _folder) = open(pages.address);
    pages.next("no connection: 1006").send(()).unwrap();
    served.daemon.wait_for_log("WebSocket: the page's origin is not in --ws-origin");
}
