//! A program of the page: taken from it, built if its language wants that, and run.

use crate::processes::{Deadline, Guarded};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// How a language is marked in the page, and how its programs are run.
pub(crate) struct Language {
    pub(crate) fence: &'static str,
    /// What the program is to be called.
    pub(crate) file: &'static str,
    /// The command that makes something that can be run of it. Empty if that is not needed.
    pub(crate) build: &'static [&'static str],
    pub(crate) run: &'static [&'static str],
}

/// A program, in a folder of its own.
pub(crate) struct Program {
    language: &'static Language,
    folder: TempDir,
}

impl Program {
    /// `None` if the language is not installed. In CI that is a failure.
    pub(crate) fn of(language: &'static Language) -> Option<Self> {
        let tool = language.build.first().unwrap_or(&language.run[0]);
        if Command::new(tool).arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "{tool} is missing, and CI has to have it");
            return None;
        }
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/clients.md");
        let page = fs::read_to_string(page).unwrap();
        let blocks: Vec<&str> = page.split(&format!("```{}\n", language.fence)).skip(1).collect();
        let [block] = blocks[..] else { panic!("{} programs in {}, not one", blocks.len(), language.fence) };
        let (text, _) = block.split_once("```\n").unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(language.file), text).unwrap();
        if let Some((tool, words)) = language.build.split_first() {
            let mut build = Command::new(tool);
            build.args(words).current_dir(folder.path());
            // Go keeps what it has compiled, and must not ask for a C compiler.
            build.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go")).env("CGO_ENABLED", "0");
            let output = build.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Some(Self { language, folder })
    }

    /// Starts it, with a lock of this name to get and so many parts of work to do.
    pub(crate) fn start(&self, server: SocketAddr, name: &str, parts: u32) -> Running {
        let mut command = Command::new(self.language.run[0]);
        command.args(&self.language.run[1..]).current_dir(self.folder.path());
        command.args([&server.ip().to_string(), &server.port().to_string(), name, &parts.to_string()]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Deadline::of(child.id());
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Running { child: Guarded(child), stdout, _deadline: deadline }
    }

    /// The status with which it ends, and the last line that it says.
    pub(crate) fn run(&self, server: SocketAddr, name: &str, parts: u32) -> (i32, String) {
        self.start(server, name, parts).end()
    }
}

/// A program that runs. It is killed if that takes too long.
pub(crate) struct Running {
    child: Guarded,
    stdout: BufReader<ChildStdout>,
    _deadline: Deadline,
}

impl Running {
    pub(crate) fn process(&self) -> u32 {
        self.child.0.id()
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits until it has begun to work.
    pub(crate) fn until_it_works(&mut self) {
        let token = self.line();
        assert!(token.starts_with("token "), "{token}");
        assert_eq!(self.line(), "part 0");
    }

    /// Waits for its end: the status, and the last line.
    pub(crate) fn end(mut self) -> (i32, String) {
        let mut last = String::new();
        loop {
            match self.line() {
                line if line.is_empty() => break,
                line => last = line,
            }
        }
        let mut stderr = String::new();
        self.child.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(stderr, "", "an error that it did not expect");
        let status = self.child.0.wait().unwrap();
        (status.code().unwrap_or_else(|| panic!("it was killed, after {last}: {status}")), last)
    }
}
