//! Goal: the files that operators copy from `contrib/` work as they are. Method: each is given to the program that
//! reads it. Only paths, users and what needs a running systemd are replaced.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use support::{Daemon, PATIENCE, document, has_tools, poll, program};
use tempfile::TempDir;

fn contrib(name: &str) -> String {
    let path = document("../contrib").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Replaces a part that must be there.
fn replaced(text: &str, part: &str, by: &str) -> String {
    assert!(text.contains(part), "{part:?} is not in {text}");
    text.replace(part, by)
}

#[test]
fn the_settings_are_right_and_close_no_client_that_is_silent() {
    let path = document("../contrib/elockd.toml");
    let output = program().arg("--config").arg(&path).arg("--check-config").output().unwrap();
    let text = said(&output);
    assert!(output.status.success() && output.stderr.is_empty(), "{text}");
    // Under such a setting the lines of the README lose their lock.
    assert!(text.contains("idle-timeout = \"0s\" # default"), "{text}");
}

#[test]
fn the_variables_are_settings() {
    let text = contrib("elockd.default");
    let variables: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix('#').unwrap_or(line).split_once('='))
        .filter(|(name, _)| name.starts_with("ELOCKD_"))
        .collect();
    assert!(variables.len() >= 2, "{text}");
    let output = program().arg("--check-config").envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
    for (name, _) in variables {
        assert!(said(&output).contains(&format!("# {name}\n")), "{name}");
    }
}

#[test]
fn systemd_understands_the_unit_and_finds_it_confined() {
    if !has_tools(&["systemd-analyze"]) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("elockd.service");
    let unit = replaced(&contrib("elockd.service"), "/usr/bin/elockd", env!("CARGO_BIN_EXE_elockd"));
    fs::write(&path, unit).unwrap();
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().unwrap();
    assert!(verify.status.success() && !said(&verify).contains("elockd.service:"), "{}", said(&verify));
    // A level of 1.5, in tenths.
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager", "--threshold=15"])
        .arg(&path)
        .output()
        .unwrap();
    let text = said(&security);
    assert!(security.status.success() && text.contains("Overall exposure level"), "{text}");
}

#[test]
fn the_unit_makes_each_folder_that_the_settings_name() {
    let (unit, settings) = (contrib("elockd.service"), contrib("elockd.toml"));
    for (folder, line) in [
        ("/run/", "RuntimeDirectory=elockd"),
        ("/var/lib/", "StateDirectory=elockd"),
        ("/var/log/", "LogsDirectory=elockd"),
    ] {
        assert!(settings.contains(&format!("\"{folder}elockd")), "{folder} in {settings}");
        assert!(unit.lines().any(|known| known == line), "{line} in {unit}");
    }
}

#[test]
fn logrotate_moves_the_log_away_and_no_line_is_lost() {
    if !has_tools(&["logrotate"]) {
        return;
    }
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let log = dir.path().join("elockd.log");
    let daemon = Daemon::spawn(
        {
            let mut command = program();
            command.args(["--port", "0", "--unix"]).arg(dir.path().join("elockd.sock"));
            command.arg("--log-file").arg(&log);
            command
        },
        TempDir::new().unwrap(),
    );
    wait_for(&log, "listening on unix");
    let rules = contrib("elockd.logrotate");
    let rules = replaced(&rules, "/var/log/elockd/elockd.log", log.to_str().unwrap());
    let rules = replaced(&rules, "    su elockd elockd\n", "");
    let rules = replaced(&rules, "create 0640 elockd elockd", "create 0640");
    let kill = format!("kill -HUP {}", daemon.pid());
    let rules = replaced(&rules, "systemctl kill --signal=HUP --kill-whom=main elockd.service", &kill);
    let path = dir.path().join("rules");
    fs::write(&path, rules).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let mut logrotate = Command::new("logrotate");
    logrotate.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output =
        logrotate.args(["--force", "--state"]).arg(dir.path().join("state")).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    wait_for(&log, "reloaded on SIGHUP");
    let old = fs::read_to_string(dir.path().join("elockd.log.1")).unwrap();
    assert!(old.contains("listening on unix"), "{old}");
}

fn wait_for(path: &Path, text: &str) {
    let has_it = || fs::read_to_string(path).is_ok_and(|log| log.contains(text)).then_some(());
    poll(&format!("{text:?} in {}", path.display()), PATIENCE, has_it);
}
