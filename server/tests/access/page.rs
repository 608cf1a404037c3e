//! The page on access says what is so: its commands work, its rules are a file, and its answers are given.

use super::write;
use crate::support::{Daemon, document, program};
use elockd_core::{Right, Verb};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn page() -> String {
    fs::read_to_string(document("access.md")).unwrap()
}

/// The blocks of the page with this mark.
fn blocks(mark: &str) -> Vec<String> {
    let page = page();
    let pieces = page.split("```").skip(1).step_by(2);
    pieces.filter_map(|block| block.strip_prefix(&format!("{mark}\n"))).map(str::to_owned).collect()
}

#[test]
fn the_first_commands_make_a_token_that_lets_in() {
    let [script] = &blocks("sh")[..] else { panic!("one block of commands") };
    let dir = TempDir::new().unwrap();
    let folder = Path::new(env!("CARGO_BIN_EXE_elockd")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    // The daemon itself is started below, where no other one listens.
    let script = script.lines().filter(|line| !line.ends_with('&')).collect::<Vec<_>>().join("\n");
    let output = Command::new("sh")
        .args(["-euc", &script])
        .env("PATH", path)
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let token = fs::read_to_string(dir.path().join("web.token")).unwrap();
    let daemon = Daemon::start(&["--token-file", dir.path().join("tokens").to_str().unwrap()]);
    assert_eq!(daemon.tcp().ask(&format!("auth {}", token.trim_end())), "1 Auth Success: web");
}

/// Goal: the rules of the page mean what it says of them. Method: its file, and every call of `elockd rules test` on
/// the page with its answer.
#[test]
fn its_rules_are_judged_as_it_says() {
    let [rules] = &blocks("toml")[..] else { panic!("one block of rules") };
    let dir = TempDir::new().unwrap();
    let (tokens, config) = (dir.path().join("tokens"), dir.path().join("elockd.toml"));
    let line = "web sha256:9e288c58f16af64a119c7c2a3c68525f9424279f78571f9d091e24272ed66aa0\n";
    write(&tokens, line, 0o600);
    write(&config, &rules.replace("/etc/elockd/tokens", tokens.to_str().unwrap()), 0o644);
    let mut calls = 0;
    let page = page();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(words) = line.strip_prefix("$ elockd ") else { continue };
        let answer = lines.next().unwrap();
        let output = program().args(words.split(' ')).current_dir(dir.path()).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), answer, "{words}");
        assert_eq!(output.status.code(), Some(i32::from(answer.starts_with("forbidden"))), "{words}");
        calls += 1;
    }
    assert_eq!(calls, 3);
}

#[test]
fn it_names_each_right_and_its_verbs() {
    let page = page();
    for right in Right::ALL {
        let of_right = |verb: &Verb| verb.right() == right;
        let row = if right == Right::Free {
            "| none needed |".to_owned()
        } else {
            format!("| `{}` |", right.word())
        };
        let row = page.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("no row {row}"));
        if right == Right::Lock {
            continue;
        }
        let mut named: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        named.retain(|word| *word != right.word());
        let mut verbs: Vec<_> = Verb::ALL.into_iter().filter(of_right).map(Verb::word).collect();
        verbs.sort_unstable();
        named.sort_unstable();
        assert_eq!(named, verbs, "{}", right.word());
    }
}
