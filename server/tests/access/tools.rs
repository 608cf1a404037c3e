//! `elockd token new`, `elockd rules test`, `--check-config`, and what the daemon refuses to start with.

use super::{Files, Guarded, token, write};
use crate::support::{Daemon, program};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use tempfile::TempDir;

fn run(args: &[&str]) -> (i32, String, String) {
    let output: Output = program().args(args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_new_token_is_printed_once_and_lets_in() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("tokens");
    let (status, first, said) = run(&["token", "new", "web", "--file", path(&file)]);
    assert_eq!((status, said.trim_end()), (0, &*format!("added a token of web to {}", file.display())));
    let (_, second, _) = run(&["token", "new", "web", "--file", path(&file)]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let content = fs::read_to_string(&file).unwrap();
    assert_eq!(content.lines().count(), 2, "{content}");
    for made in [&first, &second] {
        let digits = made.trim_end().strip_prefix("elockd_").unwrap();
        assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        assert!(!content.contains(digits), "the file has no secret");
    }
    assert_ne!(first, second);
    let daemon = Daemon::start(&["--token-file", path(&file)]);
    for made in [first, second] {
        assert_eq!(daemon.tcp().ask(&format!("auth {}", made.trim_end())), "1 Auth Success: web");
    }
}

#[test]
fn a_new_token_without_a_file_comes_with_its_line() {
    let (status, made, line) = run(&["token", "new", "cron.daily"]);
    assert_eq!(status, 0);
    let line = line.lines().nth(1).unwrap();
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("tokens");
    write(&file, line, 0o600);
    let daemon = Daemon::start(&["--token-file", path(&file)]);
    assert_eq!(daemon.tcp().ask(&format!("auth {}", made.trim_end())), "1 Auth Success: cron.daily");
}

#[test]
fn a_token_that_cannot_be_kept_is_not_printed() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("tokens");
    write(&file, "nothing of ours\n", 0o600);
    let open = dir.path().join("open");
    write(&open, "", 0o666);
    let none = dir.path().join("none").join("tokens");
    for (args, why) in [
        (["web", "--file", path(&file)], "line 1: of the second word"),
        (["web", "--file", path(&open)], "its mode 666 lets others"),
        (["web", "--file", path(&none)], "No such file"),
        (["admin", "--file", path(&open)], "`admin` is an account that the daemon has by itself"),
        (["a b", "--file", path(&open)], "an account's name has 1 to 64"),
    ] {
        let (status, printed, said) = run(&[&["token", "new"], &args[..]].concat());
        assert_eq!((status, &*printed), (2, ""), "{said}");
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "nothing of ours\n");
    assert_eq!(fs::read_to_string(&open).unwrap(), "");
}

#[test]
fn rules_are_told_as_the_daemon_judges() {
    let rules =
        "[accounts.web]\nallow = ['lock', 'list']\nnames = ['web.']\n[accounts.ops]\nallow = ['operate']\n";
    let guarded = Guarded::start(&["web", "ops"], rules, &[]);
    let config = guarded.files.config();
    for (account, verb, name, answer) in [
        ("web", "g", "web.a", "allowed: web may say g"),
        ("web", "gw", " web.a  b ", "allowed: web may say gw"),
        ("web", "g", "a", "forbidden: web may say g, but only of names that begin with \"web.\""),
        ("web", "i", "web.a", "forbidden: web may not say i, which takes the right inspect"),
        ("web", "ls", "a", "allowed: web may say ls"),
        ("web", "ping", "a", "allowed: web may say ping"),
        ("ops", "kick", "a", "allowed: ops may say kick"),
        ("ops", "g", "a", "forbidden: ops may not say g, which takes the right lock"),
        ("default", "g", "a", "allowed: default may say g"),
        ("default", "kick", "a", "forbidden: default may not say kick, which takes the right operate"),
    ] {
        let (status, printed, said) = run(&["rules", "test", account, verb, name, "--config", path(&config)]);
        assert_eq!((printed.trim_end(), &*said), (answer, ""), "{account} {verb} {name}");
        assert_eq!(status, i32::from(answer.starts_with("forbidden")));
        if account != "default" && verb != "ls" {
            let numbers = if verb == "gw" { "0 " } else { "" };
            let heard = guarded.client(account).ask(&format!("{verb} {numbers}{name}"));
            assert_eq!(heard.starts_with("0 Not Allowed"), status == 1, "{heard}");
        }
    }
    let (status, printed, _) = run(&["rules", "test", "web", "g", "--config", path(&config)]);
    let answer = "allowed: web may say g, of names that begin with \"web.\"\n";
    assert_eq!((status, &*printed), (0, answer));
    for (args, why) in [
        (
            &["nobody", "g", "--config", path(&config)][..],
            "there is no account `nobody`; there are: default, ops, web",
        ),
        (&["web", "jump", "--config", path(&config)], "`jump` is no verb"),
        (&["web", "g"], "these settings have no accounts"),
    ] {
        let (status, printed, said) = run(&[&["rules", "test"], args].concat());
        assert_eq!((status, &*printed), (2, ""), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn checked_settings_have_the_rules_and_are_a_file_themselves() {
    let rules = "[accounts.web]\nallow = ['lock']\nnames = ['web.']\nmax-locks = 7\n";
    let files = Files::new(&["web"], rules);
    let (status, printed, said) = run(&["--config", path(&files.config()), "--check-config"]);
    assert_eq!((status, &*said), (0, ""));
    assert!(
        printed.contains("\n[accounts.web]\nallow = [\"lock\"]\nnames = [\"web.\"]\nmax-locks = 7\n"),
        "{printed}"
    );
    write(&files.config(), &printed, 0o644);
    let (status, again, _) = run(&["--config", path(&files.config()), "--check-config"]);
    assert_eq!(status, 0);
    assert!(again.ends_with("max-locks = 7\n"), "{again}");
    files.set_tokens(&["web", "cron"]);
    let (status, printed, said) = run(&["--config", path(&files.config()), "--check-config"]);
    assert_eq!((status, &*printed), (2, ""));
    assert!(said.contains("the token file has tokens of `cron`, which has no rules"), "{said}");
}

#[test]
fn it_does_not_start_if_nobody_could_log_in() {
    let (status, _, said) = run(&["--auth-required", "all", "--check-config"]);
    assert_eq!(status, 2);
    assert!(said.contains("authentication is required, but there is no token file"), "{said}");
    let (status, _, said) = run(&["--token-file", "/nonexistent/tokens"]);
    assert_eq!(status, 2);
    assert!(said.contains("in the token file /nonexistent/tokens: No such file"), "{said}");
}

#[test]
fn a_listener_that_others_can_reach_is_warned_of() {
    let files = Files::new(&["web"], "");
    let warnings = |args: &[&str]| run(&[args, &["--check-config"]].concat()).2;
    for address in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
        let open = warnings(&["--listen", address]);
        assert!(open.contains(&format!("listening on {address} without authentication: whoever")), "{open}");
        let guarded = warnings(&["--listen", address, "--config", path(&files.config())]);
        assert!(guarded.contains(&format!("listening on {address} without TLS: whoever")), "{guarded}");
        assert!(!guarded.contains("without authentication"), "{guarded}");
    }
    for address in ["127.0.0.1:1", "[::1]:1", "127.9.9.9:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(warnings(&["--listen", address]), "", "{address}");
    }
    assert!(!token("web").is_empty());
}
