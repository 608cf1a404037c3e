//! Goal: whoever has no token learns nothing and holds nothing, and whoever has one may do what the rules say and
//! nothing else. Method: the daemon with a token file and a configuration file, clients on its real sockets, and the
//! tools that look after both files. What depends on time is in `server/tests/in_process/access.rs`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod logins;
mod page;
mod reload;
mod rules;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod tools;
mod watching;

use elockd_server::access::{TokenDigest, TokenFile};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use support::{Client, Daemon, Transport};
use tempfile::TempDir;

/// The token of an account.
fn token(account: &str) -> String {
    format!("token-of-{account}")
}

/// A daemon with a token file and a configuration file.
struct Guarded {
    daemon: Daemon,
    files: Files,
}

/// The two files.
struct Files(TempDir);

impl Files {
    fn new(accounts: &[&str], config: &str) -> Self {
        let files = Self(TempDir::new().unwrap());
        files.set_tokens(accounts);
        files.set_config(config);
        files
    }

    fn tokens(&self) -> PathBuf {
        self.0.path().join("tokens")
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("elockd.toml")
    }

    /// A line for each account, with the token that is made of its name.
    fn set_tokens(&self, accounts: &[&str]) {
        let line = |account: &&str| {
            TokenFile::line(account, &TokenDigest::of(token(account).as_bytes()), "of a test")
        };
        write(&self.tokens(), &accounts.iter().map(line).collect::<String>(), 0o600);
    }

    fn set_config(&self, text: &str) {
        let path = self.tokens();
        write(&self.config(), &format!("token-file = {:?}\n{text}", path.to_str().unwrap()), 0o644);
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    // A file that somebody reads is never half written.
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(mode)).unwrap();
    fs::rename(new, path).unwrap();
}

impl Guarded {
    fn start(accounts: &[&str], config: &str, flags: &[&str]) -> Self {
        let files = Files::new(accounts, config);
        let config = files.config();
        let daemon = Daemon::start(&[&["--config", config.to_str().unwrap()], flags].concat());
        Self { daemon, files }
    }

    /// A client over TCP that has logged in.
    fn client(&self, account: &str) -> Client {
        let mut client = self.daemon.tcp();
        assert_eq!(client.ask(&format!("auth {}", token(account))), format!("1 Auth Success: {account}"));
        client
    }
}

/// What a client is answered: a line, or all lines if an empty one ends them.
fn say(client: &mut Client, request: &str, is_framed: bool) -> String {
    if !is_framed {
        return client.ask(request);
    }
    client.send(format!("{request}\n"));
    client.lines().join("|")
}

/// Whether the daemon ends the replies to this request with an empty line.
fn is_framed(request: &str) -> bool {
    elockd_core::wire::parse(request.as_bytes()).is_some_and(|command| command.is_framed())
}

/// Asks one after the other, and compares each answer.
fn expect(client: &mut Client, lines: &[(&str, &str)]) {
    for (request, answer) in lines {
        assert_eq!(&*say(client, request, is_framed(request)), *answer, "{request}");
    }
}
