//! On a terminal: Ctrl-C and Ctrl-Z as under a shell, and the line that says for whom one waits. Needs Python.

use crate::daemon::Daemon;
use crate::run;
use std::process::Command;

/// Plays the steps, with `elock` in the path of the shell. Passes over them if there is no Python, but not in CI.
pub(crate) fn play(daemon: &Daemon, steps: &[&str]) {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "there is no Python");
        return;
    }
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_elock"));
    let mut player = Command::new("python3");
    player.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/terminal.py")).args(steps);
    player.env("ELOCK_SERVER", daemon.address().to_string()).env("TERM", "xterm");
    let path = std::env::var("PATH").unwrap();
    player.env("PATH", format!("{}:{path}", program.parent().unwrap().display()));
    let (status, _, err) = run(&mut player);
    assert_eq!((status, err.as_str()), (0, ""));
}

/// Goal: keys reach the command once, and elock waits for it. Method: the command counts.
#[test]
fn ctrl_c_reaches_the_command_once() {
    const COUNT: &str = "import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print('star' + 'ted', flush=True)
count = 0
while signal.sigtimedwait([signal.SIGINT], 1 if count else 60):
    count += 1
print('inter' + f'rupted {count} times', flush=True)
sys.exit(3)
";
    let daemon = Daemon::start();
    let count = daemon.folder().join("count.py");
    std::fs::write(&count, COUNT).unwrap();
    let command = format!("type elock run a python3 {}", count.display());
    play(
        &daemon,
        &[
            "see ready>",
            &command,
            "see started",
            "type ^C",
            "see interrupted 1 times",
            "see ready>",
            "type echo st=$?",
            "see st=3",
        ],
    );
}

/// Goal: a stopped command goes on as under a shell, also if it was stopped for longer than the daemon may be silent.
/// Method: it is stopped for so long.
#[test]
fn ctrl_z_stops_both_and_fg_goes_on() {
    let daemon = Daemon::start();
    let script =
        "type elock run a -c 'echo started-$ELOCK_NAME; while test ! -e \"$GO\"; do sleep 0.1; done; exit 4'";
    let go = format!("type export GO={}", daemon.folder().join("go").display());
    play(
        &daemon,
        &[
            "see ready>",
            &go,
            "see ready>",
            script,
            "see started-a",
            "type ^Z",
            "see Stopped",
            "see ready>",
            "sleep 9",
            "type elock inspect a",
            "see a is held",
            "type touch $GO; fg",
            "see ready>",
            "type echo st=$?",
            "see st=4",
        ],
    );
}

/// Goal: the shell completes, remembers, and survives the loss of its connection and a wait that is given up.
#[test]
fn the_shell_is_edited_as_a_shell() {
    let daemon = Daemon::start();
    let mut holder = daemon.client();
    holder.get("deploy/site");
    let state = format!("type export XDG_STATE_HOME={}", daemon.folder().display());
    play(
        &daemon,
        &[
            "see ready>",
            &state,
            "see ready>",
            "type elock shell",
            "see elock> ",
            "key i dep",
            "key Tab",
            "see i deploy/site",
            "key Enter",
            "see 1 Lock Is Locked: deploy/site",
            "see elock> ",
            "type gw 60000 deploy/site",
            "sleep 0.2",
            "type ^C",
            "see only the end of a connection ends a wait",
            "see elock> ",
            "type me",
            "see 1 127.0.0.1:",
            "see elock> ",
            "key pin",
            "key Tab",
            "key Enter",
            "see 1 pong",
            "see elock> ",
            "key Up",
            "see ping",
            "key Enter",
            "see 1 pong",
            "see elock> ",
            "type g a\ni a",
            "see 1 Lock Get Success: a",
            "see 1 Lock Is Locked: a",
            "see elock> ",
            "key ^D",
            "see ready>",
            "type cat $XDG_STATE_HOME/elock/history",
            "see gw 60000 deploy/site",
        ],
    );
}

#[test]
fn a_person_who_waits_is_told_for_whom() {
    let daemon = Daemon::start();
    let mut holder = daemon.client();
    assert_eq!(holder.ask("iam alice"), "1 ok");
    holder.get("a");
    play(
        &daemon,
        &[
            "see ready>",
            "type elock run a true",
            "see elock: waiting for a, held by alice (127.0.0.1) for ",
            "type ^C",
            "see ready>",
            "type echo st=$?",
            "see st=130",
        ],
    );
    assert_eq!(holder.ask("r a"), "1 Lock Release Success: a");
    daemon.until("a", false);
}
