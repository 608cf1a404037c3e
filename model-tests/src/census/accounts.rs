//! What happens to accounts in a sequence: logins, quotas, and what is not shown.

use super::{Census, Moment, holds, is_open};
use crate::observe::Event;
use elockd_core::{Command, Conn, Input, Quotas, Reason, Refusal, Reply};

impl Census {
    /// Logins, refusals by the driver, and answers that leave something out.
    pub(super) fn account_command(
        &mut self,
        moment: &Moment<'_>,
        conn: Conn,
        command: &Command<Vec<u8>>,
        reply: &str,
    ) {
        let Moment { before, after, .. } = *moment;
        let said = Reply::read(reply.as_bytes());
        let own = before.account_of(conn);
        match command {
            Command::Login(account) => {
                let is_known = account.is_some_and(|account| before.accounts().get(account).is_some());
                let moved = own != after.account_of(conn);
                let is_done = matches!(said, Some(Reply::LoggedIn { .. }));
                self.count_if(is_done && moved, "a login changed the account");
                self.count_if(is_done && !moved, "a login was to the account that it had");
                let had_grace = before.graces().contains_key(&conn);
                self.count_if(is_done && moved && had_grace, "a login took a grace along");
                let had_name = before.registered().iter().any(|(of, _)| *of == conn);
                self.count_if(is_done && moved && had_name, "a login took a registered name along");
                let is_refused = said == Some(Reply::AuthFailure);
                self.count_if(is_refused && !is_known, "a login found no account");
                let is_holder = holds(before, conn).next().is_some();
                self.count_if(is_refused && is_known && is_holder, "a holder could not log in");
            }
            Command::Auth(_) => self.count("a token came to the machine"),
            Command::Refused(_, Refusal::AuthRequired) => self.count("a driver asked for a login"),
            Command::Refused(..) => self.count("a driver did not allow a command"),
            Command::Query { .. } => {
                self.count_if(reply.starts_with("account: "), "an account was shown its own figures alone");
            }
            Command::List(..) | Command::Dump(_) | Command::ListAll(_) => {
                let is_hidden = |name: &Vec<u8>| !before.profile(conn).sees(name);
                let has_hidden = before.locks().keys().any(|(_, name)| is_hidden(name));
                let rows = reply.lines().filter(|row| !row.is_empty()).count();
                let is_answer = !reply.starts_with("0 ");
                self.count_if(is_answer && has_hidden && rows > 0, "a listing left a lock out");
            }
            Command::Who(_) => {
                let sees_all = before.profile(conn).names.is_none();
                let is_anothers = |(of, _): &(Conn, Vec<u8>)| before.account_of(*of) != own;
                let has_anothers = before.registered().iter().any(is_anothers);
                self.count_if(!sees_all && has_anothers, "another account's name was not shown");
            }
            Command::Resume(key) => {
                let is_refused = said == Some(Reply::ResumeFailure);
                let is_holder = holds(before, conn).next().is_some();
                let is_known = before.keys().contains(key);
                self.count_if(is_refused && is_known && !is_holder, "a key was another account's");
            }
            _ => {}
        }
        let quotas = before.profile(conn).quotas;
        let Quotas { locks, memory_bytes, waiters, .. } = quotas;
        match said {
            Some(Reply::TooManyLocks { .. }) => {
                let is_own = holds(before, conn).count() >= before.limits().locks_per_connection as usize;
                self.count_if(locks.is_some() && !is_own, "an account's quota of locks was used up");
            }
            Some(Reply::QueueFull { .. } | Reply::EndQueueFull { .. }) => {
                let is_searched = after.searches_refused() > before.searches_refused();
                self.count_if(waiters.is_some() && !is_searched, "an account's quota of waits was used up");
            }
            Some(Reply::OutOfMemory { .. }) => {
                self.count_if(memory_bytes.is_some(), "an account's quota of memory was used up");
            }
            _ => {}
        }
    }

    /// A connection that opens, or a new table.
    pub(super) fn account_input(&mut self, moment: &Moment<'_>) {
        let Moment { step, events, before, after, .. } = *moment;
        let is_refused =
            |event: &Event| matches!(event, Event::Disconnected(_, Reason::TooManyConnections, _));
        let is_refused = events.iter().any(is_refused);
        match &step.input {
            Input::Command(_, Command::Login(_)) => {
                self.count_if(is_refused, "a login found no connection left");
            }
            Input::Opened(conn, origin) if !is_open(after, *conn) => {
                let has_quota = before.accounts().of(origin.account).quotas.connections.is_some();
                self.count_if(has_quota && is_refused, "an account's quota of connections was used up");
            }
            Input::Accounts(accounts) => {
                self.count("the accounts were replaced");
                let open = after.open();
                let is_gone = |conn: &Conn| {
                    after.account_of(*conn).is_some_and(|account| accounts.get(account).is_none())
                };
                self.count_if(
                    open.iter().any(|client| is_gone(&client.conn)),
                    "an account in use was removed",
                );
                let is_over = |account| {
                    let most = accounts.of(account).quotas.memory_bytes;
                    most.is_some_and(|most| after.memory_of_account(account) > most)
                };
                let is_over = open.iter().any(|client| is_over(client.origin.account));
                self.count_if(is_over, "an account had more than a new table allows");
            }
            _ => {}
        }
    }
}
