//! Goal: a new user who copies what docs/cluster.md says about one machine has three nodes, kills one of them under
//! load, and reads that no lock was held twice. Method: the page's lines are run by a shell, at ports that are free.

use crate::check::judge;
use crate::real_cluster::{elockd, free_addresses};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::env;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// What is in shell blocks of a section of the page.
fn lines_of(heading: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cluster.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect("the section is there");
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    blocks.collect()
}

/// Ends every process that the lines have started.
struct Shell(Pid);

impl Drop for Shell {
    fn drop(&mut self) {
        // It fails if none is left.
        let _ = killpg(self.0, Signal::SIGKILL);
    }
}

#[test]
fn the_lines_of_the_page_make_a_cluster_that_holds() {
    let Some(elockd) = elockd() else {
        eprintln!("SKIPPED: elockd was not built, or cannot be a node");
        return;
    };
    let folder = TempDir::new().unwrap();
    let mut lines = lines_of("On one machine, to try it");
    let free = free_addresses();
    let port = |at: usize| free[at].rsplit_once(':').unwrap().1;
    // The page's ports have the number of a node at their end. These do not.
    let ports = format!("clients=(0 {} {} {})\n", port(0), port(1), port(2));
    let others = format!("others=(0 {} {} {})\n", port(3), port(4), port(5));
    for (page, here) in [("700$1", "${clients[$1]}"), ("799$1", "${others[$1]}"), ("7991", "${others[1]}")] {
        assert!(lines.contains(page), "the page has no {page}");
        lines = lines.replace(page, here);
    }
    for node in 1..=3 {
        lines = lines.replace(&format!("700{node}"), port(node - 1));
    }
    let programs = elockd.parent().unwrap().to_str().unwrap();
    let path = format!("{programs}:{}", env::var("PATH").unwrap());
    let out = folder.path().join("out");
    let file = File::create(&out).unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-e", "-c", &format!("{ports}{others}{lines}")]).current_dir(folder.path()).env("PATH", path);
    shell.stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
    let mut shell = shell.spawn().unwrap();
    let _group = Shell(Pid::from_raw(shell.id().try_into().unwrap()));
    let status = shell.wait().unwrap();
    let said = fs::read_to_string(&out).unwrap();
    assert!(status.success(), "{said}");
    assert!(said.contains("no lock was held twice"), "{said}");
    let (holds, wrong) = judge(&folder.path().join("history.tsv"));
    assert!(holds > 12 && wrong == 0, "{holds} holds, {wrong} wrong: {said}");
}
