//! Goal: the clients that the page shows in other languages keep their promises. They say that they hold the lock only
//! while they do, they say so when it is lost, and they leave nothing behind. Method: each program is taken from the
//! page as it is and run against a server in this process. The lock is taken away from it in every way there is, and a
//! played server gives it every wrong answer.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../cli/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../cli/processes.rs"]
mod processes;
mod program;
#[path = "../cli/proxy.rs"]
mod proxy;

use daemon::Daemon;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
// The daemon's own way to it.
use processes::poll;
use program::{Language, Program};
use proxy::Proxy;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// The statuses with which the programs end, as `elock run` does.
const NOT_OBTAINED: i32 = 75;
const LOST: i32 = 79;

/// So much work that it does not end by itself.
const ENDLESS: u32 = 1_000_000;

/// What a daemon says to a client that does all right.
const GOT: &str = "1 Lock Get Success: job\n";
const TOKEN: &str = "7 Lock Fence: job\n";
const RELEASED: &str = "1 Lock Release Success: job\n";

const PHP: Language = Language { fence: "php", file: "locked.php", build: &[], run: &["php", "locked.php"] };
const PYTHON: Language =
    Language { fence: "python", file: "locked.py", build: &[], run: &["python3", "locked.py"] };
const NODE: Language = Language { fence: "js", file: "locked.js", build: &[], run: &["node", "locked.js"] };
const RUBY: Language = Language { fence: "ruby", file: "locked.rb", build: &[], run: &["ruby", "locked.rb"] };
const GO: Language = Language {
    fence: "go",
    file: "locked.go",
    build: &["go", "build", "-o", "locked", "locked.go"],
    run: &["./locked"],
};

#[test]
fn php() {
    try_all(&PHP, &[]);
}

#[test]
fn python() {
    try_all(&PYTHON, BEYOND_PHP);
}

#[test]
fn node() {
    try_all(&NODE, BEYOND_PHP);
}

#[test]
fn ruby() {
    try_all(&RUBY, BEYOND_PHP);
}

#[test]
fn go() {
    try_all(&GO, BEYOND_PHP);
}

type Try = fn(&Program);

const TRIES: &[Try] = &[
    it_works_and_releases,
    it_keeps_the_lock_for_as_long_as_it_works,
    it_waits_and_does_not_get_what_another_holds,
    a_stolen_lock_is_lost,
    a_lock_is_lost_with_its_daemon,
    a_lock_is_lost_with_its_connection,
    a_lock_is_lost_when_the_network_is_silent,
    what_is_no_success_is_not_a_lock,
    what_proves_the_hold_is_enough,
];

/// The page says that PHP cannot.
const BEYOND_PHP: &[Try] =
    &[a_lock_is_lost_by_the_clock_alone, the_time_counts_from_the_sending, no_child_inherits_the_connection];

/// All at once, because they mostly wait.
fn try_all(language: &'static Language, more: &[Try]) {
    let Some(program) = Program::of(language) else { return };
    let program = &program;
    thread::scope(|scope| {
        for one in TRIES.iter().chain(more) {
            scope.spawn(move || one(program));
        }
    });
}

fn it_works_and_releases(program: &Program) {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    let mut running = program.start(daemon.address(), "a b", 3);
    let token = running.line();
    assert!(token.strip_prefix("token ").unwrap().parse::<u64>().unwrap() > 0, "{token}");
    for part in 0..3 {
        assert_eq!(running.line(), format!("part {part}"));
    }
    assert_eq!(running.end(), (0, "done".to_owned()));
    // It has waited for the end of its connection, so all of this is true already.
    assert_eq!(client.ask("i a b"), "0 Lock Not Locked: a b");
    let figures = client.ask_rows("q full");
    for figure in ["closed_quit: 1", "closed_error: 0", "orphans: 0", "connections: 1"] {
        assert!(figures.iter().any(|row| row == figure), "no {figure} in {figures:?}");
    }
}

/// Much longer than one answer counts.
fn it_keeps_the_lock_for_as_long_as_it_works(program: &Program) {
    let daemon = Daemon::start();
    assert_eq!(program.run(daemon.address(), "job", 100), (0, "done".to_owned()));
}

fn it_waits_and_does_not_get_what_another_holds(program: &Program) {
    let daemon = Daemon::start();
    let mut holder = daemon.client();
    holder.get("job");
    let (status, said) = program.run(daemon.address(), "job", ENDLESS);
    assert_eq!(status, NOT_OBTAINED, "{said}");
    assert!(said.starts_with("not obtained: ") && said.contains("0 Lock Get Timeout: job"), "{said}");
    let figures = holder.ask_rows("q full");
    assert!(figures.iter().any(|row| row == "waits_timed_out: 1"), "{figures:?}");
    assert_eq!(holder.ask("r job"), "1 Lock Release Success: job");
}

fn a_stolen_lock_is_lost(program: &Program) {
    let daemon = Daemon::start();
    let mut running = program.start(daemon.address(), "job", ENDLESS);
    running.until_it_works();
    let mut next = daemon.client();
    next.send("gw 60000 job");
    daemon.until_waiters("job", 1);
    let mut operator = BufReader::new(UnixStream::connect(daemon.folder().join("admin.sock")).unwrap());
    operator.get_mut().write_all(b"steal job\n").unwrap();
    let mut reply = String::new();
    operator.read_line(&mut reply).unwrap();
    assert_eq!(reply, "1 Lock Steal Success: job\n");
    assert_eq!(next.line(), "1 Lock Get Success: job");
    assert_eq!(running.end(), (LOST, "lost".to_owned()));
}

fn a_lock_is_lost_with_its_daemon(program: &Program) {
    let mut daemon = Daemon::start();
    let mut running = program.start(daemon.address(), "job", ENDLESS);
    running.until_it_works();
    daemon.stop();
    assert_eq!(running.end(), (LOST, "lost".to_owned()));
}

fn a_lock_is_lost_with_its_connection(program: &Program) {
    let daemon = Daemon::start();
    let proxy = Proxy::to(daemon.address());
    let mut running = program.start(proxy.address(), "job", ENDLESS);
    running.until_it_works();
    proxy.cut();
    assert_eq!(running.end(), (LOST, "lost".to_owned()));
}

/// Nothing ends, and nothing comes: only the clock tells.
fn a_lock_is_lost_when_the_network_is_silent(program: &Program) {
    let daemon = Daemon::start();
    let proxy = Proxy::to(daemon.address());
    let mut running = program.start(proxy.address(), "job", ENDLESS);
    running.until_it_works();
    proxy.be_silent();
    assert_eq!(running.end(), (LOST, "lost".to_owned()));
}

/// A process that was stopped may have lost its lock meanwhile. It must not wait for an answer to know that.
fn a_lock_is_lost_by_the_clock_alone(program: &Program) {
    let daemon = Daemon::start();
    let mut running = program.start(daemon.address(), "job", ENDLESS);
    running.until_it_works();
    let process = Pid::from_raw(running.process().try_into().unwrap());
    kill(process, Signal::SIGSTOP).unwrap();
    // A second more than a lock is counted on without an answer.
    thread::sleep(Duration::from_secs(9));
    kill(process, Signal::SIGCONT).unwrap();
    assert_eq!(running.end(), (LOST, "lost".to_owned()));
}

/// A daemon whose reply was long on its way knows the client for less time than the client may think. Method: a reply
/// comes 5 s after its request, and the next 3 s after its own. Since the first of these requests more than 8 s have
/// passed then, but not since its reply.
fn the_time_counts_from_the_sending(program: &Program) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut delays = [0, 0, 5, 3].into_iter();
        loop {
            let mut request = String::new();
            // Both fail when the client has gone.
            if stream.read_line(&mut request).unwrap_or(0) == 0 {
                return;
            }
            thread::sleep(Duration::from_secs(delays.next().unwrap_or(0)));
            let reply = if request.starts_with('g') { GOT } else { TOKEN };
            let _ = stream.get_mut().write_all(reply.as_bytes());
        }
    });
    assert_eq!(program.run(address, "job", ENDLESS), (LOST, "lost".to_owned()));
}

fn what_is_no_success_is_not_a_lock(program: &Program) {
    let wrong: [&[&str]; 9] = [
        // The end, half a reply, silence, and nonsense.
        &[],
        &["1 Lock Get Success"],
        &[""],
        &["HTTP/1.1 400 Bad Request\r\n"],
        &["\n"],
        &["0 Shutting Down\n"],
        // It was granted, but that was long ago.
        &[GOT, "0 Lock Not Held: job\n"],
        &[GOT],
        &[GOT, ""],
    ];
    thread::scope(|scope| {
        for replies in wrong {
            scope.spawn(move || {
                let (status, said) = program.run(played(replies), "job", ENDLESS);
                assert_eq!(status, NOT_OBTAINED, "{replies:?}: {said}");
                assert!(said.starts_with("not obtained: "), "{replies:?}: {said}");
            });
        }
    });
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(program.run(nobody, "job", ENDLESS).0, NOT_OBTAINED);
    let wrong: [&[&str]; 4] = [
        &[GOT, TOKEN],
        &[GOT, TOKEN, "1 Lock Release Succ"],
        &[GOT, TOKEN, "0 Lock Release Failure: job\n"],
        &[GOT, TOKEN, "nonsense\n"],
    ];
    for replies in wrong {
        assert_eq!(program.run(played(replies), "job", 0), (LOST, "lost".to_owned()), "{replies:?}");
    }
}

/// A daemon that is out of tokens says so only to who holds the lock.
fn what_proves_the_hold_is_enough(program: &Program) {
    let server = played(&[GOT, "0 No Tokens\n", RELEASED]);
    let mut running = program.start(server, "job", 0);
    assert_eq!(running.line(), "token 0");
    assert_eq!(running.end(), (0, "done".to_owned()));
}

/// The address of a server that gives these replies to the requests of one client, and then reads one more and closes.
/// After half a line it closes at once, and after an empty reply it is silent.
fn played(replies: &'static [&'static str]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut request = String::new();
        for reply in replies {
            stream.read_line(&mut request).unwrap();
            stream.get_mut().write_all(reply.as_bytes()).unwrap();
            if reply.is_empty() {
                // It fails if the client has gone.
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
                return;
            }
            if !reply.ends_with('\n') {
                return;
            }
        }
        // It fails if the client has gone.
        let _ = stream.read_line(&mut request);
    });
    address
}

/// Goal: a lock does not outlive its holder in what that has started. Method: the flags of its sockets are read.
fn no_child_inherits_the_connection(program: &Program) {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let daemon = Daemon::start();
    let mut running = program.start(daemon.address(), "job", ENDLESS);
    running.until_it_works();
    let process = PathBuf::from(format!("/proc/{}", running.process()));
    let mut sockets = 0;
    for entry in fs::read_dir(process.join("fd")).unwrap().map(Result::unwrap) {
        let is_socket = |to: PathBuf| to.to_string_lossy().starts_with("socket:");
        if !fs::read_link(entry.path()).is_ok_and(is_socket) {
            continue;
        }
        sockets += 1;
        let info = fs::read_to_string(process.join("fdinfo").join(entry.file_name())).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let flags = u32::from_str_radix(flags, 8).unwrap();
        assert!(flags & CLOSE_ON_EXEC != 0, "a socket has the flags {flags:o}");
    }
    assert!(sockets > 0, "no socket was found");
}
