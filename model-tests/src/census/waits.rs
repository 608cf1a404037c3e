//! What happened about waits, fencing tokens, and operators.

use super::{Census, Moment, is_at_once, is_open};
use crate::observe::Event;
use crate::reference::{Reference, Wait, line_of};
use elockd_core::wire::{Group, Role, Row, read_rows};
use elockd_core::{Account, Command, Conn, Input, Kind, Reason, Reply, Subject};
use std::collections::BTreeSet;

impl Census {
    /// Counts waits that ended with this input, by what ended them.
    pub(super) fn ends_of_waits(&mut self, moment: &Moment<'_>) {
        let Moment { step, events, before, after, .. } = *moment;
        let told = |is_it: fn(&Reply<'_>) -> bool| -> Vec<&Wait> {
            let says = |text: &[u8]| Reply::read(text).is_some_and(|reply| is_it(&reply));
            let is_told = |wait: &&Wait| {
                events
                    .iter()
                    .any(|event| matches!(event, Event::Sent(conn, text) if *conn == wait.conn && says(text)))
            };
            before.waits().iter().filter(is_told).collect()
        };
        let granted = told(|reply| matches!(reply, Reply::Got { .. }));
        let timed_out = told(|reply| matches!(reply, Reply::GetTimeout { .. }));
        let idle = events.iter().any(|event| matches!(event, Event::Disconnected(_, Reason::Idle, _)));
        let ended = told(|reply| matches!(reply, Reply::Ended { .. }));
        let is_held = |wait: &&&Wait| !after.holders(wait.kind, &wait.name).is_empty();
        self.count_if(!ended.is_empty(), "an end was told");
        self.count_if(
            ended.iter().filter(is_held).count() > 0,
            "an end was told of a lock that is held again",
        );
        self.count_if(ended.len() > 1, "one input told several of an end");
        self.count_if(!ended.is_empty() && !granted.is_empty(), "one input told of an end and granted");
        let end_timed_out = told(|reply| matches!(reply, Reply::EndTimeout { .. }));
        self.count_if(!end_timed_out.is_empty(), "a wait for an end timed out");
        let names: BTreeSet<_> = granted.iter().map(|wait| wait.lock()).collect();
        self.count_if(names.len() > 1, "one input granted several names");
        self.count_if(granted.len() > names.len(), "one input granted one name to several");
        self.count_if(timed_out.len() > 1, "several waits timed out at once");
        let is_out_of_order = !timed_out.is_sorted_by_key(|wait| wait.deadline);
        self.count_if(is_out_of_order, "a wait timed out before one that began earlier");
        self.count_if(granted.iter().any(|wait| wait.limit > 1), "a wait with a limit over 1 was granted");
        self.count_if(granted.iter().any(|wait| wait.kind == Kind::Shared), "a shared lock was granted");
        let is_by = |what: bool| what && !granted.is_empty();
        let alone = timed_out.is_empty() && !idle;
        match &step.input {
            Input::Command(_, Command::Release(..)) => {
                self.count_if(is_by(alone), "a release granted");
            }
            Input::Command(_, Command::ReleaseAll) => self.count_if(is_by(alone), "a release of all granted"),
            Input::Command(_, Command::Quit) => self.count_if(is_by(alone), "a quit granted"),
            Input::Command(_, Command::Kick(_)) => self.count_if(is_by(alone), "a kick granted"),
            Input::Closed(conn, _) => {
                let was_waiting = before.is_waiting(*conn);
                self.count_if(is_by(alone && !was_waiting), "orphaning granted");
                self.count_if(is_by(was_waiting), "the end of who waits granted");
            }
            _ => {}
        }
        let is_ignored = |conn: Conn| before.is_waiting(conn) && after.is_waiting(conn);
        let is_said = matches!(step.input, Input::Command(conn, _) if is_ignored(conn));
        self.count_if(is_said, "who waits said something");
        self.count_if(is_by(idle), "a silent holder's end granted");
        // A wait ended, and then its connection's own command was run.
        let said = step.input.conn().filter(|conn| timed_out.iter().any(|wait| wait.conn == *conn));
        self.count_if(said.is_some() && events.len() > 1, "a wait was over just before the next command");
    }

    /// Counts a get with a limit or a wait, and its reply. The reply is empty if the connection waits.
    pub(super) fn wait_command(
        &mut self,
        moment: &Moment<'_>,
        conn: Conn,
        command: &Command<Vec<u8>>,
        reply: &str,
    ) {
        let Moment { before, after, events, .. } = *moment;
        let (kind, name, limit) = match command {
            Command::Get(wish) if !is_at_once(wish) => (wish.kind(), wish.name(), wish.limit()),
            Command::AwaitEnd { .. } => return self.wait_for_end_command(moment, conn, reply),
            _ => return self.get_beside_waits(moment, conn, command, Reply::read(reply.as_bytes())),
        };
        let said = Reply::read(reply.as_bytes());
        let is_got = matches!(said, Some(Reply::Got { .. }));
        let holders = before.holders(kind, name);
        let was_holder = holders.contains(&conn);
        let line = before.line(kind, name);
        self.count_if(is_got && was_holder, "a holder asked with a limit or to wait");
        let was_free = is_got && !was_holder;
        self.count_if(was_free && limit > 1 && !holders.is_empty(), "a limit let another in");
        let is_failure = matches!(said, Some(Reply::GetFailure { .. }));
        self.count_if(is_failure && holders.len() >= limit as usize, "a limit was reached");
        self.count_if(is_failure && holders.len() < limit as usize, "a get failed because of the line");
        self.count_if(matches!(said, Some(Reply::GetTimeout { .. })), "a get would not wait");
        self.count_if(matches!(said, Some(Reply::TooManyLocks { .. })), "a wait was over a limit of locks");
        if let Some(Reply::QueueFull { .. }) = said {
            let is_full = line.len() >= after.limits().waiters_per_name as usize;
            self.count(match () {
                () if after.searches_refused() > before.searches_refused() => match holders.len() {
                    1 => "a search was refused beyond one holder",
                    _ => "a search was refused with several holders",
                },
                () if is_full => "a line was full",
                () => "an account had too many waits",
            });
        }
        if let Some(Reply::GetDeadlock { .. }) = said {
            let is_of = |kind: Kind| before.waits().iter().all(|wait| line_of(wait.kind) == line_of(kind));
            self.count(match kind {
                _ if !is_of(kind) => "a deadlock of several kinds was refused",
                Kind::Exclusive => "a deadlock of exclusive locks was refused",
                Kind::Shared => "a deadlock of limits was refused",
                Kind::Read | Kind::Write => "a deadlock of readers and writers was refused",
            });
            let lives = holders.iter().any(|holder| *holder != conn && !before.is_waiting(*holder));
            self.count_if(lives, "a deadlock was refused although a holder does not wait");
        }
        if events.contains(&Event::Waits(conn)) && after.is_waiting(conn) {
            self.count(match kind {
                Kind::Exclusive => "an exclusive wait began",
                Kind::Shared => "a shared wait began",
                Kind::Read => "a read wait began",
                Kind::Write => "a write wait began",
            });
            self.count_if(line.len() > 1, "a wait began behind two others");
            self.count_if(is_in_a_cycle(after, conn), "a cycle that is harmless was allowed");
            let is_behind = kind == Kind::Shared && (limit == 0 || holders.len() < limit as usize);
            self.count_if(is_behind, "a wait began that only the line keeps from the lock");
        }
    }

    /// Counts `iw` and `siw`, and the reply. It is empty if the connection waits.
    fn wait_for_end_command(&mut self, moment: &Moment<'_>, conn: Conn, reply: &str) {
        let is_begun = moment.events.contains(&Event::Waits(conn)) && moment.after.is_waiting(conn);
        self.count_if(is_begun, "a wait for an end began");
        self.count_if(
            is_begun && is_in_a_cycle(moment.after, conn),
            "a harmless cycle with an end was allowed",
        );
        match Reply::read(reply.as_bytes()) {
            Some(Reply::Ended { .. }) => self.count("an end was there already"),
            Some(Reply::EndTimeout { .. }) => self.count("who asked for an end would not wait"),
            Some(Reply::EndDeadlock { kind, name }) => {
                let is_own = moment.before.holders(kind, name).contains(&conn);
                self.count(if is_own {
                    "the end of one's own was asked for"
                } else {
                    "an end was a deadlock"
                });
            }
            Some(Reply::EndQueueFull { .. }) => self.count("too many waited for an end"),
            _ => {}
        }
    }

    /// Counts `g` and `sg` of a lock that somebody waits for.
    fn get_beside_waits(
        &mut self,
        moment: &Moment<'_>,
        conn: Conn,
        command: &Command<Vec<u8>>,
        reply: Option<Reply<'_>>,
    ) {
        let Moment { before, after, .. } = *moment;
        let Command::Get(wish) = command else { return };
        let (kind, name) = (wish.kind(), wish.name());
        let is_new = matches!(reply, Some(Reply::Got { .. })) && !before.holders(kind, name).contains(&conn);
        self.count_if(is_new && !after.line(kind, name).is_empty(), "an old get passed a line");
        let account = |conn: Conn| before.open().iter().find(|client| client.conn == conn);
        let account = |conn: Conn| account(conn).map(|client| client.origin.account);
        let held = before.locks().values().flatten().filter(|holder| account(**holder) == account(conn));
        let is_reserved = matches!(reply, Some(Reply::TooManyLocks { .. }))
            && held.count() < after.limits().locks as usize
            && before.locks().values().filter(|holders| holders.contains(&conn)).count()
                < after.limits().locks_per_connection as usize;
        self.count_if(is_reserved, "a get was over a limit because of a wait");
    }

    /// Tokens, `ra`, `ls`, `kick` and `steal`.
    pub(super) fn operator_command(
        &mut self,
        moment: &Moment<'_>,
        conn: Conn,
        command: &Command<Vec<u8>>,
        reply: &str,
    ) {
        let Moment { before, after, events, .. } = *moment;
        let said = Reply::read(reply.as_bytes());
        let is_admin = |of: &Reference| {
            of.open().iter().any(|client| client.conn == conn && client.origin.account == Account::ADMIN)
        };
        match command {
            Command::Fence(kind, name) => {
                let had_one = before.token(*kind, name, conn).is_some();
                let is_held = matches!(said, Some(Reply::Fenced { .. }));
                self.count_if(is_held && had_one, "a token was kept");
                self.count_if(
                    is_held && had_one && before.tokens_left() == 0,
                    "a token was kept with none left",
                );
                let others = before.holders(*kind, name);
                self.count_if(
                    matches!(said, Some(Reply::NotHeld { .. })) && !others.is_empty(),
                    "another's token was asked for",
                );
            }
            Command::ReleaseAll => {
                let of = |kind: Kind| {
                    let held = before.locks().iter();
                    held.filter(|((of, _), holders)| *of == kind && holders.contains(&conn)).count()
                };
                let is_both = of(Kind::Exclusive) > 0 && of(Kind::Shared) > 0;
                self.count_if(is_both, "locks of both kinds were released together");
                let is_rw = of(Kind::Read) > 0 && of(Kind::Write) > 0;
                self.count_if(is_rw, "read and write locks were released together");
                self.count_if(said == Some(Reply::ReleasedAll { holds: 0 }), "nothing was released together");
            }
            Command::ListAll(prefix) => {
                let rows = read_rows(Subject::All, reply.as_bytes()).unwrap_or_default();
                let has_waits = |kind| {
                    let waits = Group { kind, role: Role::Waits };
                    rows.iter().any(|row| matches!(row, Row::Hold { group, .. } if *group == waits))
                };
                self.count_if(rows.len() > 3, "ls had more than 3 rows");
                self.count_if(!rows.is_empty() && !prefix.is_empty(), "ls found what begins so");
                self.count_if(
                    Kind::ALL.into_iter().filter(|kind| has_waits(*kind)).count() > 1,
                    "ls had waits of several kinds",
                );
            }
            Command::Kick(name) => {
                let named = before.registered().iter().filter(|(_, other)| other == name).count();
                let is_kicked = |event: &&Event| matches!(event, Event::Disconnected(_, Reason::Kicked, _));
                let kicked = events.iter().filter(is_kicked).count();
                let waited = before.waits().iter().any(|wait| !is_open(after, wait.conn));
                self.count_if(matches!(said, Some(Reply::NotAllowed { .. })), "a kick was not allowed");
                let is_nobody = matches!(said, Some(Reply::Kicked { connections: 0, .. }));
                self.count_if(is_nobody && is_admin(before), "a kick met nobody");
                self.count_if(kicked > 1, "several connections were kicked");
                self.count_if(kicked > 0 && named > 0, "a connection was kicked by its name");
                self.count_if(kicked > 1 && named > 1, "several connections of one name were kicked");
                self.count_if(kicked > 0 && waited, "a waiting connection was kicked");
                self.count_if(kicked > 0 && !is_open(after, conn), "an operator kicked itself");
            }
            Command::Steal(kind, name) => {
                let was_held = !before.holders(*kind, name).is_empty();
                self.count_if(matches!(said, Some(Reply::NotAllowed { .. })), "a theft was not allowed");
                self.count_if(
                    matches!(said, Some(Reply::Stolen { was_held: true, .. })),
                    "a lock was stolen",
                );
                let is_not = matches!(said, Some(Reply::Stolen { was_held: false, .. }));
                self.count_if(is_not && !was_held, "a free lock was not stolen");
                let is_read = !before.holders(Kind::Read, name).is_empty();
                self.count_if(is_not && *kind == Kind::Write && is_read, "nothing was stolen from readers");
            }
            Command::BadArgument(_) => self.count("an argument was bad"),
            _ => {}
        }
    }

    /// Tokens for the machine to give out.
    pub(super) fn tokens(&mut self, before: &Reference, after: &Reference) {
        let is_ignored =
            before.tokens_left() == after.tokens_left() && before.next_token() == after.next_token();
        self.count_if(is_ignored, "tokens came that were over already");
        self.count_if(!is_ignored && before.tokens_left() > 0, "tokens came while some were left");
        let is_gap = after.next_token() > before.next_token() && before.tokens_left() > 0;
        self.count_if(is_gap, "a gap dropped the rest of the tokens before it");
    }
}

/// Whether a waiting connection waits for itself, by way of holders that wait.
fn is_in_a_cycle(reference: &Reference, conn: Conn) -> bool {
    let mut reached: Vec<Conn> = vec![conn];
    let mut at = 0;
    while let Some(who) = reached.get(at).copied() {
        let wait = reference.waits().iter().find(|wait| wait.conn == who);
        for holder in wait.into_iter().flat_map(|wait| reference.holders(wait.kind, &wait.name)) {
            if *holder == conn {
                return true;
            }
            if !reached.contains(holder) {
                reached.push(*holder);
            }
        }
        at += 1;
    }
    false
}
