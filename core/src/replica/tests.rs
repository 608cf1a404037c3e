use super::*;
use crate::accounts::{Accounts, Profile, Quotas};
use crate::config::{Features, Limits, Secret};
use crate::machine::{Cause, Input};
use crate::settings::Settings;
use crate::types::{Account, Addr, Kind, Now, Origin};
use crate::wire::{Command, Refusal, Verb, VerbSet, Wish};
use std::sync::Arc;

/// One command of every form, and of every verb that gets.
fn every_command() -> Vec<Command<Vec<u8>>> {
    let name = || b"a \xff\n".to_vec();
    let mut commands = vec![
        Command::ReleaseAll,
        Command::ListAll(name()),
        Command::Kick(name()),
        Command::Linger(u32::MAX),
        Command::Resume(name()),
        Command::Me,
        Command::Iam(Vec::new()),
        Command::Who(name()),
        Command::Query { full: true },
        Command::Query { full: false },
        Command::Auth(name()),
        Command::Login(None),
        Command::Login(Some(Account::ADMIN)),
        Command::Ping,
        Command::Help(VerbSet::ALL),
        Command::Help(VerbSet::BEFORE_AUTH),
        Command::Quit,
        Command::Unknown(name()),
        Command::LineTooLong,
    ];
    for kind in Kind::ALL {
        let wish = || Wish::at_once(kind, name());
        commands.extend(
            [wish(), wish().limited(3), wish().waiting(0), wish().limited(0).waiting(9)].map(Command::Get),
        );
        commands.extend([
            Command::AwaitEnd { kind, ms: 5, name: name() },
            Command::Release(kind, name()),
            Command::Fence(kind, name()),
            Command::Inspect(kind, name()),
            Command::List(kind, name()),
            Command::Dump(kind),
            Command::Steal(kind, name()),
        ]);
    }
    for verb in Verb::ALL {
        commands.push(Command::BadArgument(verb));
        commands.extend([Refusal::AuthRequired, Refusal::NotAllowed].map(|why| Command::Refused(verb, why)));
    }
    commands
}

fn settings() -> Settings {
    let mut limits = Limits::default();
    Limits::ROWS.iter().zip(11..).for_each(|(row, value)| (row.set)(&mut limits, value));
    limits.memory_bytes = 1 << 30;
    let quotas = Quotas { locks: Some(7), ..Quotas::default() };
    let profile =
        Profile { name: "ops".to_owned(), quotas, names: Some(vec![b"a.".to_vec()]), ..Profile::default() };
    Settings {
        limits,
        features: Features { dump: false, registry: true, silent_errors: true },
        secret: Secret([3; 16]),
        accounts: Arc::new(Accounts::new([(Account(4), profile)])),
    }
}

/// An entry that has everything in it.
fn entry() -> LogEntry {
    let conn = Conn::new(3, 1 << 40);
    let addrs = ["1.2.3.4:5", "[fe80::1%3]:80", "unix:7"]
        .map(|addr| Addr::parse(addr.as_bytes()).expect("an address"));
    let origins = addrs.map(|addr| Origin { addr, account: Account(2) });
    let mut inputs: Vec<NodeInput> = origins.map(|origin| Input::Opened(conn, origin)).to_vec();
    inputs.extend(every_command().into_iter().map(|command| Input::Command(conn, command)));
    inputs.extend(Cause::ALL.map(|cause| Input::Closed(Conn::new(2, 5), cause)));
    inputs.extend([Input::Drain(3), Input::Gone(u16::MAX), Input::Tick, Input::Lapse { ms: u64::MAX }]);
    inputs.extend([Input::Tokens { first: 1, last: u64::MAX }, Input::Accounts(settings().accounts)]);
    LogEntry {
        stamp: Now(u64::MAX),
        acts: vec![
            Act::Up { node: 3, nonce: u64::MAX, levels: (1, 2) },
            Act::Batch { node: 3, epoch: 9, number: 10, inputs },
            Act::Gone { node: 3, epoch: 9 },
            Act::Tick,
            Act::Join { nonce: 11 },
            Act::Set(Box::new(settings())),
            Act::Level(2),
            Act::Tokens { first: 1, last: 1 << 53 },
            Act::Check,
        ],
    }
}

#[test]
fn an_entry_is_what_was_written() {
    let entry = entry();
    let bytes = entry.encode();
    assert_eq!(LogEntry::decode(&bytes), Ok(entry.clone()));
    for act in &entry.acts {
        assert_eq!(Act::decode(&act.encode()).as_ref(), Ok(act));
    }
}

#[test]
fn bytes_that_are_no_entry_are_refused() {
    let bytes = entry().encode();
    for end in 0..bytes.len() {
        assert!(LogEntry::decode(&bytes[..end]).is_err(), "{end} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(LogEntry::decode(&longer), Err(crate::RecordError::Trailing(1)));
    let newer = [&[2], &bytes[1..]].concat();
    assert_eq!(LogEntry::decode(&newer), Err(crate::RecordError::Format { found: 2, known: 1 }));
}

/// Goal: an input costs few bytes in the log. Method: the sizes of those that are most of it.
#[test]
fn inputs_are_short() {
    let bytes = |input: NodeInput| {
        let of = |inputs| Act::Batch { node: 3, epoch: 1, number: 1, inputs }.encode().len();
        of(vec![input]) - of(Vec::new())
    };
    let conn = Conn::new(3, 200);
    let get = Command::Get(Wish::at_once(Kind::Exclusive, b"0123456789".to_vec()));
    assert_eq!(bytes(Input::Command(conn, Command::Ping)), 3);
    assert_eq!(bytes(Input::Command(conn, get)), 17);
    assert_eq!(bytes(Input::Command(conn, Command::Release(Kind::Exclusive, b"0123456789".to_vec()))), 15);
}

/// Goal: what a log says changes a machine as settings at its start would. Method: a replica that was made with others
/// gets them from an entry, and does the same as one that had them.
#[test]
fn settings_in_the_log_are_those_of_the_machine() {
    let entries = |acts| LogEntry { stamp: Now(5), acts };
    let set = entries(vec![Act::Set(Box::new(settings()))]);
    let conn = Conn::new(1, 1);
    let origin = Origin { addr: Addr::Unix(1), account: Account(4) };
    let inputs = vec![Input::Opened(conn, origin), Input::Command(conn, Command::Query { full: true })];
    let up = Act::Up { node: 1, nonce: 1, levels: (1, 1) };
    let rest = entries(vec![up, Act::Batch { node: 1, epoch: 1, number: 1, inputs }]);
    let Settings { limits, features, secret, accounts } = settings();
    let right = Config { limits, features, secret, accounts, ..Config::smallest_storage() };
    let told = [Config::smallest_storage(), right].map(|config| {
        let mut replica = Replica::new(config);
        replica.apply(&set, &mut |_, _| {});
        let mut told = Vec::new();
        replica.apply(&rest, &mut |_, output| match output {
            Output::Reply(reply) => crate::wire::encode(&reply, &mut told),
            output => panic!("{output:?}"),
        });
        replica.machine.check().expect("every invariant holds");
        (String::from_utf8(told).expect("a text"), replica.digest(), replica.snapshot())
    });
    assert_eq!(told[0], told[1]);
    assert!(told[0].0.contains("limit_locks: 7\n"), "{}", told[0].0);
}

#[test]
fn a_restored_replica_is_the_same() {
    let mut replica = Replica::new(Config::smallest_storage());
    let config = Config::smallest_storage();
    let restore = |bytes: &[u8]| Replica::restore(config.storage.clone(), Identity::default(), bytes);
    let mut acts = entry().acts;
    acts.rotate_left(5);
    acts.retain(|act| !matches!(act, Act::Level(_)));
    replica.apply(&LogEntry { stamp: Now(1), acts }, &mut |_, _| {});
    let bytes = replica.snapshot();
    let mut restored = restore(&bytes).expect("it is whole");
    assert_eq!((restored.digest(), &restored.roll), (replica.digest(), &replica.roll));
    assert_eq!(restored.snapshot(), bytes);
    for end in 0..bytes.len() {
        assert!(restore(&bytes[..end]).is_err(), "{end} bytes");
    }
}

/// Goal: a snapshot of a level that this release does not know is not read, and both are named. Method: one of the next
/// level, with bytes for a machine that only that one could read.
#[test]
fn a_snapshot_of_an_unknown_level_is_refused() {
    let mut replica = Replica::new(Config::smallest_storage());
    let acts = vec![Act::Set(Box::new(settings())), Act::Level(LEVEL + 1)];
    replica.apply(&LogEntry { stamp: Now(1), acts }, &mut |_, _| {});
    let mut bytes = replica.snapshot();
    let machine = replica.machine.snapshot().len();
    let start = bytes.len() - machine;
    bytes[start..].fill(0xff);
    let refused = Replica::restore(Config::smallest_storage().storage, Identity::default(), &bytes);
    let error = refused.expect_err("it is of the next level");
    assert_eq!(error, RestoreError::Level(UnknownLevel(LEVEL + 1)));
    let said = error.to_string();
    assert!(said.contains("level 2") && said.contains("levels 1 to 1"), "{said}");
}
