//! Goal: the page of the command line is true and whole. Method: its examples are run and compared; every flag of every
//! command, every status and every variable of the program must stand in it; and each row of the table beside other
//! programs has its test.

use crate::daemon::Daemon;
use crate::{run, told};
use std::fs;
use std::process::{Command, Stdio};

fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/elock.md")).unwrap()
}

/// The commands of a `console` block, each with what it is said to print.
pub(crate) fn examples(page: &str) -> Vec<Vec<(String, String)>> {
    let blocks = page.split("```console\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let block = |block: &str| {
        let mut examples: Vec<(String, String)> = Vec::new();
        for line in block.lines() {
            match (line.strip_prefix("$ "), line.strip_prefix("> "), examples.last_mut()) {
                (Some(command), ..) => examples.push((command.to_owned(), String::new())),
                // The command goes on.
                (_, Some(more), Some((command, said))) if said.is_empty() => command.extend(["\n", more]),
                (.., last) => last.unwrap().1.extend([line, "\n"]),
            }
        }
        examples
    };
    blocks.map(block).collect()
}

/// Whether the text is as expected, where `...` stands for anything.
pub(crate) fn fits(expected: &str, text: &str) -> bool {
    let mut parts = expected.split("...");
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn dots_stand_for_anything() {
    for (expected, text, is_it) in [
        ("a\n", "a\n", true),
        ("a\n", "b\n", false),
        ("a ... c\n", "a b c\n", true),
        ("a ... c\n", "a b d\n", false),
        ("a...b...c", "a1b2c", true),
        ("a...b...c", "a1c", false),
        ("...\n", "x\ny\n", true),
        ("a", "ab", false),
    ] {
        assert_eq!(fits(expected, text), is_it, "{expected} {text}");
    }
}

#[test]
fn the_examples_print_what_the_page_says() {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_elock")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let blocks = examples(&page());
    assert!(blocks.len() > 8, "only {} blocks were found", blocks.len());
    for block in blocks {
        let daemon = Daemon::start();
        for (command, expected) in block {
            let mut shell = Command::new("bash");
            shell.args(["-c", &format!("exec 2>&1; {command}")]).current_dir(daemon.folder());
            for (key, value) in daemon.elock(&[]).get_envs() {
                match value {
                    Some(value) => shell.env(key, value),
                    None => shell.env_remove(key),
                };
            }
            let child = shell.env("PATH", &path).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
            let _deadline = crate::Deadline::of(child.id());
            let (_, out, _) = told(child.wait_with_output().unwrap());
            assert!(fits(&expected, &out), "$ {command}\n{out}instead of\n{expected}");
        }
    }
}

/// Goal: the lines of Rust in the README compile. Method: they stand in an example of the library, which is compiled.
#[test]
fn the_lines_of_rust_in_the_readme_are_those_of_an_example() {
    let readme = include_str!("../../../README.md");
    let (lines, _) = readme.split_once("```rust\n").unwrap().1.split_once("```").unwrap();
    let example = include_str!("../../src/client.rs");
    for line in lines.lines() {
        assert!(example.contains(line.trim_end_matches("?;")), "{line}");
    }
    assert_eq!(lines.lines().count(), 3);
}

#[test]
fn every_flag_stands_in_the_page() {
    let page = page();
    let help = run(&mut crate::daemon::elock(&["--help"])).1;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|word| !word.is_empty()))
        .collect();
    let mut flags = 0;
    for command in commands {
        assert!(page.contains(&format!("`elock {command}")), "the page has no `elock {command}`");
        let (_, help, _) = run(&mut crate::daemon::elock(&[command, "--help"]));
        for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
            let words =
                line.split([' ', ',', '=', '[']).filter(|word| word.starts_with('-') && word.len() > 1);
            for flag in words.filter(|flag| !["-h", "--help", "-"].contains(flag)) {
                flags += 1;
                let is_there = page.contains(&format!("`{flag}`")) || page.contains(&format!("`{flag} "));
                assert!(
                    is_there || page.contains(&format!("[{flag}]")),
                    "{command} {flag} is not in the page"
                );
            }
        }
    }
    assert!(flags > 40, "only {flags} flags were found");
}

#[test]
fn every_status_stands_in_the_page() {
    let page = page();
    let table = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/elock/status.rs")).unwrap();
    let statuses: Vec<&str> =
        table.lines().filter_map(|line| line.split_once(": u8 = ")?.1.strip_suffix(';')).collect();
    assert!(statuses.len() > 8, "{statuses:?}");
    for status in statuses {
        assert!(
            page.contains(&format!("| `{status}` |")) || page.contains(&format!("| `{status}` + N |")),
            "{status}"
        );
    }
}

/// Goal: no row of the table beside other programs is a mere claim. Method: each names its test here.
#[test]
fn each_row_beside_other_programs_has_its_test() {
    const TESTS: &[(&str, &str)] = &[
        ("status", "the_status_is_that_of_the_command"),
        ("lock not obtained", "every_status_of_elocks_own_comes_with_a_line"),
        ("wait with a limit", "every_status_of_elocks_own_comes_with_a_line"),
        ("line", "it_waits_in_line_and_shows_who_it_is"),
        ("shared, limited", "each_kind_of_lock_is_had"),
        ("the lock is lost", "a_lost_lock_stops_the_command_and_all_that_it_started"),
        ("the program is killed, the command lives", "a_command_outlives_elock_and_keeps_the_lock"),
        ("left behind in the background", "what_a_command_leaves_behind_does_not_keep_the_lock"),
        ("signals", "signals_are_handed_on_to_the_command"),
        ("fencing token", "the_command_runs_under_the_lock_and_the_lock_is_free_afterwards"),
    ];
    let page = page();
    let (_, table) = page.split_once("| | `elock run` |").unwrap();
    let rows: Vec<&str> =
        table.lines().skip(2).map_while(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
    assert_eq!(rows, TESTS.iter().map(|(row, _)| *row).collect::<Vec<_>>());
    let tests = include_str!("running.rs");
    for (row, test) in TESTS {
        assert!(tests.contains(&format!("#[test]\nfn {test}()")), "{row}: there is no test {test}");
    }
}
