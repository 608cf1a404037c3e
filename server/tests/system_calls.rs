//! Goal: what the daemon asks of the system is right, and is all that it asks: the options of every socket, the modes
//! of every file, the order in which a record of fencing tokens gets to the disk, and the files that it opens. Method:
//! the test takes copies of the daemon's own sockets and looks at their options; strace writes down one life of it;
//! and tokens are compared with another clock.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "system_calls/trace.rs"]
mod trace;

mod support;

use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, kill_process_group, pidfd_getfd, pidfd_open,
};
use socket2::{Domain, Socket};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::{Client, Daemon, PATIENCE, get, has_tools, poll};
use tempfile::TempDir;
use trace::{Call, Trace};

/// The daemon's sockets, as copies in this process.
fn sockets(daemon: &Daemon) -> Vec<Socket> {
    let pid = Pid::from_raw(daemon.pid().try_into().unwrap()).unwrap();
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let folder = format!("/proc/{}/fd", daemon.pid());
    let mut sockets = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let is_socket =
            fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
        if is_socket {
            let number = entry.file_name().to_string_lossy().parse().unwrap();
            sockets.push(Socket::from(pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).unwrap()));
        }
    }
    sockets
}

/// Checks the options of one socket of a daemon whose peers have this timeout. What it is.
fn check(socket: &Socket, timeout: Option<Duration>) -> &'static str {
    let domain = socket.domain().unwrap();
    assert!(socket.nonblocking().unwrap(), "{socket:?} may block");
    if domain == Domain::UNIX {
        return "unix";
    }
    if socket.is_listener().unwrap() {
        assert!(socket.reuse_address().unwrap(), "a restart would have to wait");
        assert!(!socket.reuse_port().unwrap(), "two daemons could have one port");
        assert!(domain != Domain::IPV6 || socket.only_v6().unwrap(), "it takes IPv4 too");
        return "listener";
    }
    assert!(socket.tcp_nodelay().unwrap(), "replies are held back");
    assert_eq!(socket.keepalive().unwrap(), timeout.is_some());
    assert_eq!(socket.tcp_user_timeout().unwrap(), timeout);
    if let Some(timeout) = timeout {
        let third = timeout / 3;
        assert_eq!(socket.tcp_keepalive_time().unwrap(), third);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), third);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 2);
    }
    "client"
}

#[test]
fn every_socket_has_the_options_that_it_needs() {
    for (flag, timeout) in [("15s", Some(15)), ("6s", Some(6)), ("0", None)] {
        let timeout = timeout.map(Duration::from_secs);
        let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
        let flags = ["--peer-timeout", flag, "--listen", "[::1]:0"];
        let daemon = Daemon::start(if has_ipv6 { &flags } else { &flags[..2] });
        let mut clients: Vec<Client> = (0..5).map(|_| daemon.tcp()).collect();
        if has_ipv6 {
            clients.extend((0..3).map(|_| Client::tcp(daemon.address_of("tcp [::1]:"))));
        }
        clients.extend((0..2).map(|_| daemon.unix()));
        for client in &mut clients {
            assert_eq!(client.ask("ping"), "1 pong");
        }
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut peers, mut waker) = (Vec::<SocketAddr>::new(), 0);
        for socket in sockets(&daemon) {
            let what = check(&socket, timeout);
            *seen.entry(what).or_default() += 1;
            match what {
                "client" => peers.push(socket.peer_addr().unwrap().as_socket().unwrap()),
                // The runtime hears of signals by a pair of sockets without an address.
                "unix" if socket.local_addr().unwrap().as_pathname().is_none() => waker += 1,
                _ => {}
            }
        }
        let (listeners, tcp) = if has_ipv6 { (2, 8) } else { (1, 5) };
        assert_eq!((seen["listener"], seen["client"]), (listeners, tcp), "{seen:?}");
        // One listener and two clients, beside the pairs.
        assert_eq!(seen["unix"] - waker, 3, "{seen:?}");
    }
}

/// A mode, and what has it.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode()
        & 0o7777
}

/// The flags of a life with everything in one folder.
fn everything_in(dir: &Path) -> Vec<String> {
    let files = ["admin-unix", "state-dir", "pidfile", "log-file"];
    let files = files.into_iter().map(|flag| format!("--{flag}={}", dir.join(flag).display()));
    files.chain(["--metrics-listen=127.0.0.1:0".to_owned()]).collect()
}

/// A daemon with what runs it. If strace is killed, what it traces goes on.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // It fails if all of it has ended.
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

/// Starts it with these flags and a Unix socket in that folder, under a umask, by a command in front of the program.
fn start_under(umask: &str, before: &str, dir: &Path, flags: &[String]) -> (Daemon, PathBuf, Group) {
    let socket = dir.join("unix");
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &format!("umask {umask}; exec {before} \"$0\" \"$@\""),
        env!("CARGO_BIN_EXE_elockd"),
    ]);
    command.args(["--port", "0", "--unix"]).arg(&socket).args(flags).current_dir(dir);
    command.process_group(0);
    let daemon = Daemon::spawn(command, TempDir::new().unwrap());
    let group = Group(Pid::from_raw(daemon.pid().try_into().unwrap()).unwrap());
    // The administrative socket is the last.
    poll("the daemon to listen", PATIENCE, || UnixStream::connect(dir.join("admin-unix")).ok());
    (daemon, socket, group)
}

#[test]
fn files_have_their_modes_whatever_the_umask_is() {
    for umask in ["0", "022", "077"] {
        let dir = TempDir::new().unwrap();
        let (daemon, socket, _group) = start_under(umask, "", dir.path(), &everything_in(dir.path()));
        let mut client = Client::unix(&socket);
        client.send("g a\nf a\n");
        client.line();
        assert!(client.line().ends_with(" Lock Fence: a"));
        let log = if umask == "077" { 0o600 } else { 0o640 };
        let modes = [
            ("unix", 0o660),
            ("unix.lock", 0o600),
            ("admin-unix", 0o600),
            ("admin-unix.lock", 0o600),
            ("state-dir", 0o700),
            ("state-dir/lock", 0o600),
            ("state-dir/tokens", 0o600),
            ("pidfile", 0o600),
            ("log-file", log),
        ];
        for (path, expected) in modes {
            let found = mode(&dir.path().join(path));
            assert_eq!(found, expected, "{path} is {found:o} under a umask of {umask}");
        }
        let names = |dir: &Path| fs::read_dir(dir).unwrap().count();
        assert_eq!(
            (names(dir.path()), names(&dir.path().join("state-dir"))),
            (7, 2),
            "there are other files"
        );
        // What it does for its own files it does not leave behind.
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let own = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap().trim();
        assert_eq!(u32::from_str_radix(own, 8), u32::from_str_radix(umask, 8));
        assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    }
}

/// How far ahead of the clock the first token is, in microseconds: an earlier burst may have been there.
const HEADROOM: u64 = 131_072;

#[test]
fn tokens_begin_at_the_time_of_another_clock() {
    let micros = || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    let before = micros();
    let daemon = Daemon::start(&[]);
    let mut client = daemon.unix();
    client.send("g a\nf a\n");
    client.line();
    let token: u64 = client.line().split(' ').next().unwrap().parse().unwrap();
    let after = micros();
    let expected = before + HEADROOM..=after + HEADROOM;
    assert!(expected.contains(&token), "{token} is not in {expected:?}");
}

/// Draws this many tokens.
fn draw(client: &mut Client, count: usize) -> Vec<u64> {
    client.send("g a\nf a\nr a\n".repeat(count));
    let draw_one = |_| {
        assert_eq!(client.line(), "1 Lock Get Success: a");
        let token = client.line().strip_suffix(" Lock Fence: a").unwrap().parse().unwrap();
        assert_eq!(client.line(), "1 Lock Release Success: a");
        token
    };
    (0..count).map(draw_one).collect()
}

/// A life of the daemon that strace sees. What strace writes down, and the tokens that a client was given.
fn traced_life(dir: &Path, folder: &Path, out: &str) -> (Trace, Vec<u64>) {
    let out = dir.join(out);
    let calls = "%file,%desc,%network,execve,kill,umask";
    let before = format!("strace -f -qq -y -s 100000 -e trace={calls} -e signal=none -o {}", out.display());
    let (mut daemon, socket, _group) = start_under("022", &before, folder, &everything_in(folder));
    let mut client = Client::unix(&socket);
    let tokens = draw(&mut client, 500);
    let log = || fs::read_to_string(folder.join("log-file")).unwrap();
    let http = log()
        .lines()
        .filter_map(|line| line.split("listening on http ").nth(1))
        .next_back()
        .unwrap()
        .to_owned();
    for path in ["/metrics", "/healthz"] {
        assert!(get(http.trim().parse().unwrap(), path).0.starts_with("HTTP/1.1 200 "));
    }
    // The signals are for the daemon and not for strace.
    let traced = fs::read_to_string(folder.join("pidfile")).unwrap().trim().parse().unwrap();
    let traced = Pid::from_raw(traced).unwrap();
    let reloads = || log().matches("reloaded on SIGHUP").count();
    let before = reloads();
    kill_process(traced, Signal::HUP).unwrap();
    poll("the reload", PATIENCE, || (reloads() > before).then_some(()));
    drop(client);
    kill_process(traced, Signal::TERM).unwrap();
    daemon.wait_for_success();
    (Trace::read(&out), tokens)
}

#[test]
fn a_traced_life_syncs_before_it_promises_and_opens_nothing_of_others() {
    if !has_tools(&["strace"]) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    // The second one finds what the first has left.
    let [first, second] = ["first", "second"].map(|out| traced_life(dir.path(), &folder, out));
    assert!(first.1.last() < second.1.first(), "{:?} and then {:?}", first.1.last(), second.1.first());
    for (trace, tokens) in [first, second] {
        records_are_synced(&trace, &folder.join("state-dir"), &tokens);
        nothing_else_is_opened(&trace, &folder);
    }
}

/// Every record is written, synced, renamed, and its directory synced, in this order, each step after the end of the
/// one before. No token is sent before a record that covers it is there to stay, as a file system has it that forgets
/// what was not synced.
fn records_are_synced(trace: &Trace, dir: &Path, tokens: &[u64]) {
    let dir = dir.to_str().unwrap();
    let (mut written, mut synced, mut renamed) = (BTreeMap::new(), BTreeMap::new(), None::<u64>);
    let (mut durable, mut records, mut sent) = (0, 0, 0);
    for call in &trace.calls {
        let Call { name, args, .. } = call;
        match &**name {
            "write" if args.contains("/.tokens-") => {
                let text = args.split("reserved up to ").nth(1).expect("a record");
                let number: u64 = text.split("\\n").next().unwrap().parse().unwrap();
                written.insert(trace::path_of(args), number);
            }
            "fsync" | "fdatasync" if args.contains("/.tokens-") => {
                synced.extend(written.remove_entry(&trace::path_of(args)));
            }
            "rename" | "renameat" | "renameat2" => {
                let from = args.split('"').nth(1).unwrap().to_owned();
                let number = synced.remove(&from).unwrap_or_else(|| panic!("renamed and not synced: {args}"));
                assert!(renamed.replace(number).is_none(), "the directory was not synced before: {args}");
            }
            "fsync" if trace::path_of(args) == dir => {
                durable = renamed.take().unwrap_or(durable);
                records += 1;
            }
            "sendto" | "sendmsg" | "write" | "writev" if args.contains(" Lock Fence: a\\n") => {
                for (end, _) in args.match_indices(" Lock Fence: a\\n") {
                    let number = args[..end].rsplit(|letter: char| !letter.is_ascii_digit()).next();
                    let token: u64 = number.unwrap().parse().unwrap();
                    assert!(
                        token <= durable,
                        "{token} was sent, and {durable} is all that a crash would leave"
                    );
                    sent += 1;
                }
            }
            _ => {}
        }
    }
    assert_eq!(records, 1, "a record for each start");
    assert_eq!(sent, tokens.len(), "tokens that were seen to be sent");
}

/// What any program opens when it is loaded, and what the daemon looks up of itself and of the machine.
const OF_THE_SYSTEM: [&str; 10] = [
    "/etc/ld.so.",
    "/lib/",
    "/lib64/",
    "/usr/lib/",
    "/proc/self/maps",
    "/proc/self/cgroup",
    "/proc/self/mountinfo",
    "/proc/self/stat",
    "/sys/fs/cgroup/",
    "/sys/devices/system/cpu",
];

fn nothing_else_is_opened(trace: &Trace, folder: &Path) {
    let own = folder.to_str().unwrap();
    let mut programs = 0;
    for Call { name, args, result } in &trace.calls {
        assert!(!["connect", "kill", "symlink", "link", "mknod"].contains(&&**name), "{name}({args})");
        programs += usize::from(name == "execve");
        if !["open", "openat", "openat2", "creat"].contains(&&**name) || result.starts_with("-1 ENOENT") {
            continue;
        }
        let path = args.split('"').nth(1).unwrap();
        let is_own = path.starts_with(own) && path.len() > own.len();
        // Its name is made durable there when the state directory is made.
        let is_own = is_own || path == own && args.contains("O_RDONLY");
        let is_of_the_system = OF_THE_SYSTEM.iter().any(|beginning| path.starts_with(beginning));
        assert!(is_own || is_of_the_system, "it opens what nobody asked for: {name}({args}) = {result}");
        assert!(is_own || args.contains("O_RDONLY"), "it writes what is not its own: {name}({args})");
        assert!(args.contains("O_CLOEXEC"), "a child would have it: {name}({args})");
        if args.contains("O_CREAT") {
            let mode = args.rsplit(", ").next().unwrap();
            assert!(["0600", "0640"].contains(&mode), "{name}({args})");
        }
    }
    assert_eq!(programs, 1, "it starts no other program");
}
