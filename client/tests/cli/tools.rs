//! `bench`, `completions` and `man`.

use crate::daemon::{Daemon, elock};
use crate::{run, told};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;

#[test]
fn bench_counts_what_the_daemon_counts() {
    let daemon = Daemon::start();
    let words = ["bench", "--duration", "0.2", "-C", "3", "--pipeline", "4", "--names", "2", "--json"];
    let (status, out, err) = run(&mut daemon.elock(&words));
    assert_eq!((status, err.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&out).unwrap();
    let rows = daemon.client().ask_rows("q");
    let counted = |key: &str| -> u64 {
        rows.iter().find_map(|row| row.strip_prefix(key)?.strip_prefix(": ")).unwrap().parse().unwrap()
    };
    assert_eq!(json["gets"], counted("command_g"));
    assert_eq!(json["requests"], counted("command_g") + counted("command_r"));
    assert!(json["requests"].as_u64().unwrap() > 0 && json["latency_ns"]["max"].as_u64().unwrap() > 0);
    let (_, out, _) = run(&mut daemon.elock(&["bench", "--duration", "0.1", "--work", "ping"]));
    assert!(out.contains(" a second\n") && out.contains('█') && !out.contains('\x1b'), "{out}");
}

#[test]
fn the_shell_answers_lines_of_a_pipe() {
    let daemon = Daemon::start();
    let mut holder = daemon.client();
    holder.get("b");
    let mut child = daemon.elock(&["shell"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = b"g a\n\n g b \nls a\nnonsense\nhelp ping\nsg \x1b\nquit\ni a\n";
    child.stdin.take().unwrap().write_all(lines).unwrap();
    let (status, out, _) = told(child.wait_with_output().unwrap());
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((status, lines.len()), (0, 6), "{out}");
    assert_eq!(lines[..2], ["1 Lock Get Success: a", "0 Lock Get Failure: b"]);
    assert!(lines[2].starts_with("x ") && lines[2].ends_with(" a"), "{out}");
    assert_eq!(
        lines[3..],
        ["0 Unknown Command: nonsense", "ping: answer 1 pong", "1 Shared Lock Get Success: \\x1b"]
    );
    assert_eq!(daemon.client().ask("i a"), "0 Lock Not Locked: a", "quit has released it");
}

#[test]
fn bench_needs_a_daemon() {
    let mut daemon = Daemon::start();
    daemon.stop();
    assert_eq!(run(&mut daemon.elock(&["bench"])).0, 69);
}

#[test]
fn completions_and_pages_name_every_command() {
    let help = run(&mut elock(&["--help"])).1;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| !word.is_empty())
        .collect();
    assert!(commands.contains(&"ls") && commands.len() > 8, "{commands:?}");
    for shell in ["bash", "zsh", "fish"] {
        let (status, out, _) = run(&mut elock(&["completions", shell]));
        assert!(status == 0 && commands.iter().all(|command| out.contains(command)), "{shell}: {out}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(run(&mut elock(&["man", path])).0, 0);
    for command in commands {
        assert!(folder.path().join(format!("elock-{command}.1")).exists(), "{command}");
    }
    assert!(folder.path().join("elock.1").exists());
    assert_eq!(run(&mut elock(&["man", "/nowhere"])).0, 71);
}
