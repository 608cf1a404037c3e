//! Goal: a password is nowhere but in memory: on no command line, in no environment, in no file. Method: while it is
//! used, all processes are looked through again and again, and every byte that any of ours or `ssh` writes is written
//! down by strace, with where it goes. Afterwards all files of the test are searched.

use crate::daemon::Daemon;
use crate::running::{line, start};
use crate::ssh::host::{Host, WAYS};
use crate::{poll, run};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Where it is found in any process of this machine.
fn in_processes(password: &str) -> Vec<String> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
        for name in ["cmdline", "environ", "comm"] {
            let bytes = fs::read(process.join(name)).unwrap_or_default();
            if has(&bytes, password) {
                found.push(format!("{}/{name}: {}", process.display(), bytes.escape_ascii()));
            }
        }
    }
    found
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// The files that have it, in a folder and all that is in it.
fn in_files(folder: &Path, password: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(in_files(&path, password));
        } else if kind.is_file() && has(&fs::read(&path).unwrap_or_default(), password) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Looks through all processes until it is told to stop.
struct Search {
    is_over: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
    thread: thread::JoinHandle<Vec<String>>,
}

impl Search {
    fn start(password: String) -> Self {
        let (is_over, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (over, counted) = (Arc::clone(&is_over), Arc::clone(&rounds));
        let thread = thread::spawn(move || {
            let mut found = Vec::new();
            while !over.load(Ordering::SeqCst) {
                found.extend(in_processes(&password));
                counted.fetch_add(1, Ordering::SeqCst);
            }
            found
        });
        Self { is_over, rounds, thread }
    }

    fn end(self) -> Vec<String> {
        let enough = self.rounds.load(Ordering::SeqCst) + 2;
        poll("the search", || (self.rounds.load(Ordering::SeqCst) >= enough).then_some(()));
        self.is_over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

/// Goal: the search would see it. Method: it is put where it must not be.
#[test]
fn what_is_searched_for_would_be_found() {
    let secret = format!("searched-{}", std::process::id());
    let search = Search::start(secret.clone());
    let mut shown = Command::new("sleep");
    let mut child =
        crate::Guarded(shown.arg("1000").env("X", &secret).stdout(Stdio::null()).spawn().unwrap());
    assert!(search.end().iter().any(|place| place.contains("environ")));
    child.0.kill().unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("a")).unwrap();
    fs::write(folder.path().join("a/b"), format!("x{secret}y")).unwrap();
    assert_eq!(in_files(folder.path(), &secret).len(), 1);
}

#[test]
fn a_password_leaves_no_trace() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    let password = host.password();
    // The only place where it may be, and it is not in the folders that are searched.
    let elsewhere = tempfile::tempdir().unwrap();
    let source = elsewhere.path().join("password");
    fs::rename(host.path("password"), &source).unwrap();
    for way in WAYS {
        let search = Search::start(password.clone());
        let destination = host.destination();
        let from = format!("file:{}", source.display());
        let flags = [&["--ssh-password-from", &from], way].concat();
        let script = "echo started; read line";
        for things in [&["--ssh", &destination][..], &["--on", &destination]] {
            let words = [&["run"], &flags[..], things, &["a", "-c", script]].concat();
            let mut command = host.elock(&daemon, &words);
            let (mut running, mut stdout) = start(&mut command);
            // At the host it reads nothing, and ends.
            assert_eq!(line(&mut stdout), "started");
            let _ = in_processes(&password);
            let _ = running.0.kill();
            running.0.wait().unwrap();
            daemon.until("a", false);
        }
        assert_eq!(search.end(), Vec::<String>::new(), "{way:?}");
    }
    assert_eq!(in_files(Path::new(&host.path("")), &password), Vec::<String>::new());
    assert_eq!(in_files(daemon.folder(), &password), Vec::<String>::new());
}

/// Goal: no file is written even for a moment. Method: strace writes down what is written, and to what.
#[test]
fn a_password_is_written_to_nothing_but_pipes_and_sockets() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "there is no strace");
        eprintln!("SKIPPED: there is no strace");
        return;
    }
    // Without what strace would write in another way.
    let password = "plain-password-of-this-test";
    let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn().unwrap();
    let line = format!("{}:{password}\n", host.user());
    std::io::Write::write_all(&mut chpasswd.stdin.take().unwrap(), line.as_bytes()).unwrap();
    assert!(chpasswd.wait().unwrap().success());
    fs::write(host.path("password"), password).unwrap();
    for way in WAYS {
        let trace = host.path("trace");
        let from = format!("file:{}", host.path("password"));
        let destination = host.destination();
        let words =
            [&["run", "--ssh", &destination, "--ssh-password-from", &from], way, &["a", "true"]].concat();
        let elock = host.elock(&daemon, &words);
        let mut strace = Command::new("strace");
        let calls = "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,execve,rename,memfd_create";
        strace.args(["-f", "-y", "-v", "-s", "4096", "-e", calls, "-o", &trace, "--"]);
        strace.arg(elock.get_program()).args(elock.get_args());
        strace.envs(elock.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let (status, _, err) = run(&mut strace);
        assert_eq!((status, err.as_str()), (0, ""), "{way:?}");
        let trace = fs::read_to_string(trace).unwrap();
        let told: Vec<&str> = trace.lines().filter(|line| line.contains(password)).collect();
        for line in &told {
            let is_in_memory = ["<pipe:[", "<socket:[", "<UNIX"].iter().any(|kind| line.contains(kind));
            assert!(is_in_memory && !line.contains("execve"), "{line}");
        }
        // Through the program of OpenSSH it goes from elock to the helper, and from there to ssh.
        assert_eq!(told.len() >= 2, way.is_empty(), "{told:?}");
    }
}
