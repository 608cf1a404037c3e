//! Goal: `elock check` sees what there is to see. Method: it is run at one daemon, and at two that do not know each
//! other and are said to be a cluster: there every lock is held twice. Its history is judged here once more, in another
//! way.

use crate::daemon::Daemon;
use crate::run;
use crate::running::{end, line, start};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Judges a history: how many holds it has, and of how many pairs the times overlap or the tokens do not ascend. Of
/// each lock all holds are sorted by their begin, and each is compared with the next.
pub(crate) fn judge(history: &Path) -> (u64, usize) {
    let text = fs::read_to_string(history).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("from_ns\tuntil_ns\tlock\tclient\ttoken\tend"));
    let mut locks: BTreeMap<&str, Vec<(u64, u64, u64)>> = BTreeMap::new();
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |at: usize| fields[at].parse::<u64>().unwrap();
        assert!(fields.len() == 6 && number(0) <= number(1), "{line}");
        locks.entry(fields[2]).or_default().push((number(0), number(1), number(4)));
    }
    let (mut holds, mut wrong) = (0, 0);
    for of_lock in locks.values_mut() {
        of_lock.sort_unstable();
        holds += u64::try_from(of_lock.len()).unwrap();
        wrong += of_lock.windows(2).filter(|pair| pair[0].1 > pair[1].0 || pair[0].2 >= pair[1].2).count();
    }
    (holds, wrong)
}

/// The words of the command, with a history in this file.
pub(crate) fn words<'a>(history: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&["check", "--history", history.to_str().unwrap()], more].concat()
}

#[test]
fn at_one_daemon_no_lock_is_held_twice() {
    let daemon = Daemon::start();
    let history = daemon.folder().join("history");
    let more = ["--for", "0.5", "--clients", "3", "--locks", "2", "--prefix", "mine/", "--json"];
    let (status, out, err) = run(&mut daemon.elock(&words(&history, &more)));
    assert_eq!((status, err.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&out).unwrap();
    for (key, value) in
        [("clients", 3), ("locks", 2), ("held_twice", 0), ("tokens_out_of_order", 0), ("lost", 0)]
    {
        assert_eq!(json[key], value, "{key}");
    }
    let (holds, wrong) = judge(&history);
    assert!(holds > 0 && json["holds"] == holds && wrong == 0, "{out}");
    assert!(fs::read_to_string(&history).unwrap().contains("\tmine/1\t"));
    assert_eq!(daemon.client().ask_rows("ls"), [""; 0], "nothing is left");
}

#[test]
fn a_signal_ends_it_with_the_verdict() {
    let daemon = Daemon::start();
    let (running, mut stdout) = start(&mut daemon.elock(&["check", "--for", "1h"]));
    daemon.until("elock-check-1", true);
    kill(Pid::from_raw(running.0.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let verdict = std::iter::repeat_with(|| line(&mut stdout))
        .find(|line| line.contains(" holds of 4 locks ") || line.is_empty());
    assert!(
        verdict.unwrap().contains(" by 12 clients; 0 ended by a lost connection; no lock was held twice; ")
    );
    assert_eq!(end(running), (0, String::new()));
}

#[test]
fn two_daemons_that_do_not_know_each_other_are_found_out() {
    let daemons = [Daemon::start(), Daemon::start()];
    let history = daemons[0].folder().join("history");
    let mut command = daemons[0].elock(&words(&history, &["--cluster", "--locks", "1", "--for", "1"]));
    let servers = daemons.each_ref().map(|daemon| daemon.address().to_string()).join(",");
    let (status, out, err) = run(command.env("ELOCK_SERVER", servers));
    assert_eq!((status, err.as_str()), (1, ""), "{out}");
    assert!(
        out.contains("s  elock-check-1 was held twice: by client ") && out.contains("A LOCK WAS HELD TWICE"),
        "{out}"
    );
    assert!(judge(&history).1 > 0);
}

#[test]
fn what_it_cannot_do_it_says() {
    let mut daemon = Daemon::start();
    let (status, _, err) = run(&mut daemon.elock(&["check", "--history", "/no/such/folder"]));
    assert_eq!(status, 71, "{err}");
    daemon.stop();
    assert_eq!(run(&mut daemon.elock(&["check"])).0, 69);
}
