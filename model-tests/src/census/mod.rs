//! Counts of what happened in random sequences. If a change leaves a generator making only dull sequences, the census
//! fails its test. Without a census it would pass everything.

mod accounts;
mod waits;

use crate::generate::Step;
use crate::observe::Event;
use crate::reference::{Client, Reference, line_of, rival};
use crate::runner::say;
use elockd_core::{Command, Conn, Input, Kind, Reason, Reply, Verb, Wish};
use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static CENSUS: RefCell<Census> = RefCell::default();
}

/// How often each thing happened.
#[derive(Clone, Debug, Default)]
pub struct Census {
    counts: BTreeMap<&'static str, u64>,
}

/// One step, with the states before and after it.
#[derive(Debug)]
pub struct Moment<'a> {
    /// The input.
    pub step: &'a Step,
    /// Its outcome.
    pub events: &'a [Event],
    /// The reference before it.
    pub before: &'a Reference,
    /// The reference after it.
    pub after: &'a Reference,
    /// The real machine's dead holds before it.
    pub dead_before: u32,
}

impl Census {
    /// Adds to the census of this thread. A thread runs one property.
    pub fn note(add: impl FnOnce(&mut Self)) {
        CENSUS.with_borrow_mut(add);
    }

    /// Ends the census of this thread, and returns it.
    #[must_use]
    pub fn take() -> Self {
        CENSUS.take()
    }

    /// Counts one thing.
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Counts a command that was decoded from bytes.
    pub fn command(&mut self, command: &Command<Vec<u8>>) {
        self.count(match command {
            Command::LineTooLong => "a line was too long",
            Command::Unknown(_) => "a verb was unknown",
            Command::Quit => "a connection quit",
            Command::BadArgument(_) => "an argument was bad",
            Command::Get(wish) if !is_at_once(wish) => "a lock was asked for with a number",
            Command::Get(..) | Command::Release(..) | Command::Inspect(..) => "a lock was named",
            _ => "something else was asked for",
        });
    }

    /// Counts what happened in one step.
    pub fn step(&mut self, moment: &Moment<'_>) {
        let Moment { step, events, before, after, .. } = *moment;
        self.count_if(step.now < before.now(), "time went back");
        self.silence(moment);
        self.ends_of_waits(moment);
        self.account_input(moment);
        match &step.input {
            Input::Tick | Input::Accounts(_) => {}
            Input::Gone(node) => self.gone(before, after, *node),
            Input::Closed(conn, _) | Input::Command(conn, Command::Quit) => self.end(before, *conn),
            Input::Command(conn, command) if is_heard(moment, *conn) => {
                let mut replies = events.iter().filter_map(|event| match event {
                    Event::Sent(to, text) if to == conn => Some(String::from_utf8_lossy(text)),
                    _ => None,
                });
                let reply = replies.next_back().unwrap_or_default();
                self.errors(command, &reply);
                self.lock_command(moment, *conn, command, &reply);
                self.wait_command(moment, *conn, command, &reply);
                self.operator_command(moment, *conn, command, &reply);
                self.account_command(moment, *conn, command, &reply);
                self.other_command(moment, *conn, command, &reply);
            }
            Input::Command(..) => self.count("a command was ignored"),
            Input::Tokens { .. } => self.tokens(before, after),
            Input::Opened(conn, _) => {
                let refused =
                    |event: &Event| matches!(event, Event::Disconnected(_, Reason::TooManyConnections, _));
                let was_refused = events.iter().any(refused);
                self.count_if(!was_refused && !is_open(after, *conn), "an old number was not opened again");
            }
            Input::Lapse { .. } => {
                let limit = after.limits().idle_ms;
                let lives_on = |client: &Client| {
                    let then = before.open().iter().find(|other| other.conn == client.conn);
                    then.is_some_and(|then| after.now().0 - then.active >= limit)
                        && !after.is_waiting(client.conn)
                };
                let saved = limit > 0 && after.open().iter().any(lives_on);
                self.count_if(saved, "a lapse kept a connection from being idle for too long");
            }
            Input::Drain(node) => {
                self.count_if(!before.locks().is_empty(), "the daemon was drained while locks were held");
                let is_others = |client: &Client| client.conn.node() != *node;
                let others = before.open().iter().any(is_others);
                self.count_if(others, "one node drained, and another went on");
            }
        }
    }

    /// The end of a node.
    fn gone(&mut self, before: &Reference, after: &Reference, node: u16) {
        let is_its = |client: &Client| client.conn.node() == node;
        let has_its = before.open().iter().any(is_its);
        let has_others = after.open().iter().any(|client| !is_its(client));
        self.count_if(has_its && has_others, "a node was lost, and another lived on");
        self.count_if(has_its && before.draining().contains(&node), "a node was lost that drained");
        let left = after.sessions().len() > before.sessions().len();
        self.count_if(left, "a connection left a session because its node was lost");
    }

    /// Prints all counts, and how often each of `marks` was reached. Panics if one of `expected` or of `marks` came up
    /// in less than one of 200,000 inputs, unless there were too few inputs to tell.
    pub fn report(&self, inputs: u64, expected: &[&'static str], marks: &[(&'static str, u64)]) {
        let counts = self.counts.iter().map(|(what, count)| (*what, *count)).chain(marks.iter().copied());
        let lines: Vec<_> = counts.map(|(what, count)| format!("{count:>9}  {what}\n")).collect();
        say(&format!("{inputs:>9}  inputs, in which\n{}", lines.concat()));
        let expected = expected.iter().map(|what| (*what, self.counts.get(what).copied().unwrap_or(0)));
        let is_telling = inputs >= 100_000;
        for (what, count) in expected.chain(marks.iter().copied()).filter(|_| is_telling) {
            assert!(
                count > inputs / 200_000,
                "the generator has degenerated: {what}, but only {count} times"
            );
        }
    }

    /// Counts connections that were idle for too long.
    fn silence(&mut self, moment: &Moment<'_>) {
        let silent = moment.events.iter().filter_map(|event| match event {
            Event::Disconnected(conn, Reason::Idle, _) => Some(*conn),
            _ => None,
        });
        let silent: Vec<Conn> = silent.collect();
        self.count_if(silent.len() > 1, "several silent connections were closed at once");
        let holders = silent.iter().filter(|conn| holds(moment.before, **conn).next().is_some());
        self.count_if(holders.count() > 0, "a silent holder was closed");
    }

    /// The end of a connection.
    fn end(&mut self, before: &Reference, conn: Conn) {
        self.count_if(!is_open(before, conn), "an end was ignored");
        self.count_if(holds(before, conn).count() >= 3, "a holder of 3 or more ended");
        let mut others = holds(before, conn).map(|holders| holders.len() - 1);
        let is_mixed = others.clone().any(|others| others == 0) && others.any(|others| others > 0);
        self.count_if(is_mixed, "a holder of own and of shared locks ended");
    }

    fn errors(&mut self, command: &Command<Vec<u8>>, reply: &str) {
        match Reply::read(reply.as_bytes()) {
            Some(Reply::NameTooLong { framed: true }) => {
                self.count("a name was too long, and an empty line followed");
            }
            Some(Reply::LineTooLong) => self.count("a line was too long"),
            Some(Reply::Disabled { framed: false }) => self.count("a command was disabled"),
            Some(Reply::Disabled { framed: true }) => {
                self.count("a command was disabled, and an empty line followed");
            }
            _ => {}
        }
        if let Command::Unknown(_) = command {
            let what = if reply.is_empty() {
                "an unknown verb was passed over"
            } else {
                "an unknown verb was answered"
            };
            self.count(what);
        }
    }

    /// Gets, releases and inspections.
    fn lock_command(&mut self, moment: &Moment<'_>, conn: Conn, command: &Command<Vec<u8>>, reply: &str) {
        let Moment { before, after, dead_before, .. } = *moment;
        let (kind, name) = match command {
            Command::Get(wish) if is_at_once(wish) => (wish.kind(), wish.name()),
            Command::Release(kind, name) | Command::Inspect(kind, name) => (*kind, name),
            _ => return,
        };
        let said = Reply::read(reply.as_bytes());
        let holders = before.holders(kind, name);
        let was_holder = holders.contains(&conn);
        let by_kind = |exclusive, shared| if kind.is_counted() { shared } else { exclusive };
        match command {
            Command::Get(..) if matches!(said, Some(Reply::Got { .. })) => {
                let got = after.holders(kind, name);
                let again =
                    by_kind("a holder got its exclusive lock again", "a holder got its shared lock again");
                self.count(if was_holder {
                    again
                } else {
                    by_kind("an exclusive lock was got", "a shared lock was got")
                });
                self.count_if(!was_holder && got.len() == 3, "a third shared holder came");
                self.count_if(!was_holder && name.is_empty(), "the empty name was got");
                self.count_if(!was_holder && name.len() == 29, "a name was got that just fits its slot");
                self.count_if(!was_holder && name.len() > 29, "a name was got that does not fit its slot");
                let mut others = Kind::ALL.into_iter().filter(|other| line_of(*other) != line_of(kind));
                let is_double = others.any(|other| !after.holders(other, name).is_empty());
                let was_other = rival(kind).is_some_and(|other| before.holders(other, name).contains(&conn));
                let let_in = after.holders(kind, name).len() > 1;
                self.count_if(was_other && kind == Kind::Read && !let_in, "a writer went on as a reader");
                self.count_if(was_other && kind == Kind::Read && let_in, "a writer let readers in");
                self.count_if(was_other && kind == Kind::Write, "a reader went on as a writer");
                let has_line = !before.line(kind, name).is_empty();
                self.count_if(was_other && has_line, "a change passed those who waited");
                self.count_if(!was_holder && is_double, "a name was got that is held in another kind");
            }
            Command::Get(..) => {
                self.count_if(
                    matches!(said, Some(Reply::GetFailure { kind: Kind::Exclusive, .. })),
                    "a get failed because of the holder",
                );
                let is_refused_change = rival(kind)
                    .is_some_and(|other| before.holders(other, name).contains(&conn))
                    && matches!(said, Some(Reply::GetFailure { .. }));
                self.count_if(is_refused_change, "a reader beside others did not go on as a writer");
                let was_free = matches!(said, Some(Reply::TooManyLocks { .. })) && holders.is_empty();
                self.count_if(was_free, "a get of a free lock was over a limit");
                let is_refused = said == Some(Reply::ShuttingDown);
                self.count_if(is_refused && was_holder, "a holder's get came after the drain");
            }
            Command::Release(..) => {
                let left = after.holders(kind, name);
                self.count_if(was_holder && kind == Kind::Exclusive, "an exclusive lock was released");
                self.count_if(was_holder && left.len() == 1, "a shared lock was released to its last holder");
                self.count_if(was_holder && left.len() > 1, "a shared lock was released to several holders");
                let is_last = was_holder && left.is_empty() && kind == Kind::Shared;
                self.count_if(is_last, "a shared lock was released by its last holder");
                let others = by_kind(
                    "another's exclusive lock was not released",
                    "another's shared lock was not released",
                );
                self.count_if(!was_holder && !holders.is_empty(), others);
                self.count_if(holders.is_empty(), "a free lock was not released");
            }
            _ => {
                self.count_if(
                    holders.is_empty() && dead_before > 0,
                    "a free lock was inspected amid dead holds",
                );
                self.count_if(holders.len() == 1, "a lock with one holder was inspected");
                self.count_if(holders.len() > 1, "a lock with several holders was inspected");
            }
        }
    }

    /// Listings, names of connections, and statistics.
    fn other_command(&mut self, moment: &Moment<'_>, conn: Conn, command: &Command<Vec<u8>>, reply: &str) {
        let Moment { before, dead_before, .. } = *moment;
        let rows = reply.lines().filter(|line| !line.is_empty() && !line.starts_with("0 ")).count();
        let was_registered = before.registered().iter().any(|(of, _)| *of == conn);
        match command {
            Command::List(_, name) => {
                self.count_if(rows > 3, "a listing had more than 3 rows");
                self.count_if(!name.is_empty() && rows > 1, "a listing of one name had more than 1 row");
                self.count_if(rows > 0 && dead_before > 0, "a listing was made amid dead holds");
            }
            Command::Dump(Kind::Exclusive) => {
                self.count_if(reply.matches(' ').count() > 2, "a dump had more than 3 locks");
            }
            Command::Dump(Kind::Shared) => {
                self.count_if(reply.matches("] ").count() > 1, "a dump had more than 2 shared locks");
            }
            Command::Who(name) => {
                self.count_if(rows > 1, "more than 1 registration was listed");
                self.count_if(!name.is_empty() && rows > 0, "a registration was found by name");
            }
            Command::Iam(name) if reply == "1 ok\n" => {
                self.count_if(name.is_empty() && was_registered, "a registration was taken back");
                self.count_if(!name.is_empty() && was_registered, "a name was registered over another");
            }
            Command::Me => self.count_if(was_registered, "a registered connection asked for its name"),
            Command::Query { .. } => {
                self.count_if(dead_before > 0, "statistics were asked for amid dead holds");
            }
            _ => {}
        }
    }

    fn count_if(&mut self, happened: bool, what: &'static str) {
        if happened {
            self.count(what);
        }
    }
}

/// Everything that counts as something to have happened.
pub const EXPECTED: [&str; 152] = [
    "a change passed those who waited",
    "a command was disabled",
    "a command was disabled, and an empty line followed",
    "a command was ignored",
    "a connection left a session because its node was lost",
    "a connection was kicked by its name",
    "a cycle that is harmless was allowed",
    "a deadlock of exclusive locks was refused",
    "a deadlock of limits was refused",
    "a deadlock of readers and writers was refused",
    "a deadlock of several kinds was refused",
    "a deadlock was refused although a holder does not wait",
    "a driver asked for a login",
    "a driver did not allow a command",
    "a dump had more than 2 shared locks",
    "a dump had more than 3 locks",
    "a free lock was inspected amid dead holds",
    "a free lock was not released",
    "a free lock was not stolen",
    "a gap dropped the rest of the tokens before it",
    "a get failed because of the holder",
    "a get failed because of the line",
    "a get of a free lock was over a limit",
    "a get was over a limit because of a wait",
    "a get would not wait",
    "a holder asked with a limit or to wait",
    "a holder could not log in",
    "a holder got its exclusive lock again",
    "a holder got its shared lock again",
    "a holder of 3 or more ended",
    "a holder of own and of shared locks ended",
    "a holder's get came after the drain",
    "a key was another account's",
    "a kick granted",
    "a kick met nobody",
    "a kick was not allowed",
    "a lapse kept a connection from being idle for too long",
    "a limit let another in",
    "a limit was reached",
    "a line was full",
    "a line was too long",
    "a listing had more than 3 rows",
    "a listing left a lock out",
    "a listing of one name had more than 1 row",
    "a listing was made amid dead holds",
    "a lock was stolen",
    "a lock with one holder was inspected",
    "a lock with several holders was inspected",
    "a login changed the account",
    "a login found no account",
    "a login found no connection left",
    "a login took a grace along",
    "a login took a registered name along",
    "a login was to the account that it had",
    "a name was got that does not fit its slot",
    "a name was got that is held in another kind",
    "a name was got that just fits its slot",
    "a name was registered over another",
    "a name was too long, and an empty line followed",
    "a node was lost that drained",
    "a node was lost, and another lived on",
    "a quit granted",
    "a read wait began",
    "a reader beside others did not go on as a writer",
    "a reader went on as a writer",
    "a registered connection asked for its name",
    "a registration was found by name",
    "a registration was taken back",
    "a release granted",
    "a release of all granted",
    "a search was refused beyond one holder",
    "a search was refused with several holders",
    "a shared lock was got",
    "a shared lock was granted",
    "a shared lock was released by its last holder",
    "a shared lock was released to its last holder",
    "a shared lock was released to several holders",
    "a shared wait began",
    "a silent holder was closed",
    "a silent holder's end granted",
    "a theft was not allowed",
    "a third shared holder came",
    "a token came to the machine",
    "a token was kept",
    "a token was kept with none left",
    "a wait began behind two others",
    "a wait began that only the line keeps from the lock",
    "a wait for an end began",
    "a wait for an end timed out",
    "a wait timed out before one that began earlier",
    "a wait was over a limit of locks",
    "a wait was over just before the next command",
    "a wait with a limit over 1 was granted",
    "a waiting connection was kicked",
    "a write wait began",
    "a writer let readers in",
    "a writer went on as a reader",
    "an account had more than a new table allows",
    "an account had too many waits",
    "an account in use was removed",
    "an account was shown its own figures alone",
    "an account's quota of connections was used up",
    "an account's quota of locks was used up",
    "an account's quota of memory was used up",
    "an account's quota of waits was used up",
    "an argument was bad",
    "an end was a deadlock",
    "an end was ignored",
    "an end was there already",
    "an end was told",
    "an end was told of a lock that is held again",
    "an exclusive lock was got",
    "an exclusive lock was released",
    "an exclusive wait began",
    "an old get passed a line",
    "an old number was not opened again",
    "an operator kicked itself",
    "an unknown verb was answered",
    "an unknown verb was passed over",
    "another account's name was not shown",
    "another's exclusive lock was not released",
    "another's shared lock was not released",
    "another's token was asked for",
    "locks of both kinds were released together",
    "ls found what begins so",
    "ls had more than 3 rows",
    "ls had waits of several kinds",
    "more than 1 registration was listed",
    "nothing was released together",
    "nothing was stolen from readers",
    "one input granted one name to several",
    "one input granted several names",
    "one input told of an end and granted",
    "one input told several of an end",
    "one node drained, and another went on",
    "orphaning granted",
    "read and write locks were released together",
    "several connections were kicked",
    "several silent connections were closed at once",
    "several waits timed out at once",
    "statistics were asked for amid dead holds",
    "the accounts were replaced",
    "the daemon was drained while locks were held",
    "the empty name was got",
    "the end of one's own was asked for",
    "the end of who waits granted",
    "time went back",
    "tokens came that were over already",
    "tokens came while some were left",
    "too many waited for an end",
    "who asked for an end would not wait",
    "who waits said something",
];

/// Whether a connection's command was run: the connection was open, and its wait, if any, was over when the command
/// came.
fn is_heard(moment: &Moment<'_>, conn: Conn) -> bool {
    let Moment { step, before, after, .. } = *moment;
    let is_idle = moment
        .events
        .iter()
        .any(|event| matches!(event, Event::Disconnected(closed, Reason::Idle, _) if *closed == conn));
    let waits_on =
        before.waits().iter().any(|wait| wait.conn == conn && wait.deadline > step.now.max(before.now()).0);
    is_open(before, conn)
        && !is_idle
        && !waits_on
        && (is_open(after, conn) || matches!(step.input, Input::Command(_, Command::Kick(_))))
}

fn is_open(reference: &Reference, conn: Conn) -> bool {
    reference.open().iter().any(|client| client.conn == conn)
}

/// The locks that a connection holds, each by its holders.
fn holds(reference: &Reference, conn: Conn) -> impl Iterator<Item = &[Conn]> + Clone {
    reference.locks().values().map(Vec::as_slice).filter(move |holders| holders.contains(&conn))
}

/// Whether a get has no numbers: `g` and `sg`.
fn is_at_once(wish: &Wish<Vec<u8>>) -> bool {
    matches!(wish.verb(), Verb::Get | Verb::SharedGet | Verb::ReadGet | Verb::WriteGet)
}
