//! A daemon that wants to know which account it is: every command says so, and what is refused is told.

use crate::daemon::Daemon;
use crate::proxy::Proxy;
use crate::run;
use elockd_client::{AccessToken, Client, Error, Refusal, State};
use elockd_core::Quotas;
use elockd_server::access::{Access, AccountEntry, Required, Rulebook, Rules, TokenDigest, TokenFile};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

fn entry(name: &str, allow: &[&str]) -> AccountEntry {
    AccountEntry {
        name: name.to_owned(),
        rules: Rules::new(allow, &[], (name == "web").then_some(&["web."][..])).unwrap(),
        quotas: Quotas::default(),
        all_figures: false,
        certificates: Vec::new(),
    }
}

/// A daemon where everybody must say which account it is.
fn guarded() -> Daemon {
    let line = |account: &str| {
        TokenFile::line(account, &TokenDigest::of(format!("token-of-{account}").as_bytes()), "")
    };
    let tokens = TokenFile::parse((line("web") + &line("ops")).as_bytes()).unwrap();
    let rulebook = Rulebook {
        tokens: Some(tokens),
        entries: vec![
            entry("web", &["lock", "inspect", "list", "figures"]),
            entry("ops", &["lock", "inspect", "list", "figures", "operate"]),
        ],
        required: Required { tcp: true, unix: true },
    };
    Daemon::start_with(|config| config.access = Some(Arc::new(Access::new(&rulebook).unwrap())))
}

impl Daemon {
    fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn elock_as(&self, account: &str, words: &[&str]) -> Command {
        let mut command = self.elock_of_client(words);
        command.env("ELOCK_TOKEN", format!("token-of-{account}"));
        command
    }
}

/// Flags and variables that say where the token is.
type Place<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

#[test]
fn every_command_logs_in_from_whatever_place_has_the_token() {
    let daemon = guarded();
    let file = daemon.secret("token", "token-of-web\n");
    let config = daemon.secret("elock.toml", "token = 'token-of-web'\n");
    let with_file = daemon.secret("other.toml", &format!("token-file = {:?}\n", file.to_str().unwrap()));
    let (file, config, with_file) =
        (file.to_str().unwrap(), config.to_str().unwrap(), with_file.to_str().unwrap());
    let places: [Place<'_>; 5] = [
        (&["--token-file", file], &[]),
        (&[], &[("ELOCK_TOKEN_FILE", file)]),
        (&[], &[("ELOCK_TOKEN", "token-of-web")]),
        (&["--config", config], &[]),
        (&["--config", with_file], &[]),
    ];
    for (flags, variables) in places {
        let elock = |words: &[&str]| {
            run(daemon.elock_of_client(&[flags, words].concat()).envs(variables.iter().copied()))
        };
        assert_eq!(
            elock(&["run", "web.a", "--", "echo", "ran"]),
            (0, "ran\n".into(), String::new()),
            "{flags:?}"
        );
        assert_eq!(elock(&["run", "-n", "--read", "web.a", "--", "true"]).0, 0);
        assert_eq!(elock(&["ls"]).0, 0);
        assert_eq!(elock(&["wait", "web.a"]).0, 0);
        assert_eq!(elock(&["rate", "web.r", "9/s", "--", "true"]).0, 0);
        let (status, out, err) = elock(&["stats"]);
        assert!(status == 0 && out.contains("account") && out.contains("web"), "{out}{err}");
    }
}

#[test]
fn what_is_refused_is_told() {
    let daemon = guarded();
    let none = |words: &[&str]| run(&mut daemon.elock_of_client(words));
    let refusal = "the daemon refuses: it requires authentication: give a token\n";
    for words in [&["run", "-n", "web.a", "--", "true"][..], &["ls"], &["stats"]] {
        let (status, out, err) = none(words);
        assert!(status == 77 && out.is_empty() && err.ends_with(refusal), "{words:?}: {err}");
    }
    let unknown = "the daemon refuses: it does not know the token\n";
    for words in [&["run", "-n", "web.a", "--", "true"][..], &["ls"]] {
        let (status, out, err) = run(&mut daemon.elock_as("nobody", words));
        assert!(status == 77 && out.is_empty() && err.ends_with(unknown), "{words:?}: {err}");
    }
    let (status, out, err) = run(&mut daemon.elock_as("web", &["run", "-n", "cron", "--", "true"]));
    let name = "elock: cron: the daemon refuses: the account may not say `g`, or not of this name\n";
    assert_eq!((status, &*out, &*err), (77, "", name));
    let (status, _, err) = run(daemon.elock_of_client(&["ls"]).env("ELOCK_TOKEN", "not a token"));
    assert_eq!(
        (status, &*err),
        (
            64,
            "elock: ELOCK_TOKEN: a setting of the client makes no sense: a token is one word of at most 256 bytes\n"
        )
    );
    // Without accounts there, no token is known.
    let open = Daemon::start();
    let (status, _, err) = run(&mut open.elock_as("web", &["ls"]));
    assert!(status == 77 && err.ends_with(unknown), "{err}");
}

#[test]
fn an_account_with_rights_operates_without_the_administrative_socket() {
    let daemon = guarded();
    let mut client = daemon.client();
    assert_eq!(client.ask("auth token-of-web"), "1 Auth Success: web");
    client.get("web.a");
    assert_eq!(
        run(&mut daemon.elock_as("ops", &["steal", "web.a"])),
        (0, "took web.a from its holder\n".into(), String::new())
    );
    let (status, _, err) = run(&mut daemon.elock_as("web", &["steal", "web.a"]));
    assert_eq!(status, 77);
    assert!(err.contains("`steal` needs the administrative listener, or an account"), "{err}");
    // Where there is such a socket, it asks for no token.
    assert_eq!(run(&mut daemon.elock(&["kick", "nobody"])).0, 1);
    assert_eq!(run(daemon.elock(&["kick", "nobody"]).env("ELOCK_TOKEN", "token-of-web")).0, 1);
}

/// Goal: the library says which account it is on each of its connections. Method: several at a time, some used again,
/// and one that is resumed on a new connection because the network was cut.
#[test]
fn the_library_logs_in_on_every_connection() {
    let daemon = guarded();
    let proxy = Proxy::to(daemon.address());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = proxy.address().to_string();
        let builder = || Client::builder().server(server.parse().unwrap());
        let client = |token: &str| builder().token(AccessToken::new(token).unwrap()).build().unwrap();
        let web = client("token-of-web");
        for round in 0..3 {
            let first = web.lock("web.1").try_now().await.unwrap();
            let second = web.shared("web.2").try_now().await.unwrap();
            let third = web.lock("web.1").try_now().await;
            assert!(matches!(third, Err(Error::Held { .. })), "{round}: {third:?}");
            first.release().await.unwrap();
            second.release().await.unwrap();
        }
        let forbidden = web.lock("x").try_now().await;
        assert!(matches!(forbidden, Err(Error::Refused(Refusal::NotAllowed(_)))), "{forbidden:?}");
        let nobody = client("nobody").lock("web.1").try_now().await;
        assert!(matches!(nobody, Err(Error::Refused(Refusal::AuthFailure))), "{nobody:?}");
        let stranger = builder().build().unwrap().lock("web.1").try_now().await;
        assert!(matches!(stranger, Err(Error::Refused(Refusal::AuthRequired))), "{stranger:?}");

        let held = web.lock("web.1").linger(Duration::from_secs(30)).try_now().await.unwrap();
        let mut watch = held.watch();
        proxy.cut();
        while watch.changed().await != (State::Held { resumed: 1 }) {}
        held.release().await.unwrap();
        assert_eq!(web.stats().await.unwrap()["account"], "web");
    });
}
