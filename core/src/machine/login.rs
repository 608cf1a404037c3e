//! Logging in: a connection goes from one account to another. The driver knows whose a token is, and says the account.

use super::Machine;
use super::input::Cause;
use super::output::{Output, Reason};
use crate::storage::Id;
use crate::table::Connection;
use crate::types::{Account, Conn};
use crate::wire::{Reply, Verb};

impl Machine {
    /// Gives a connection to the account that it logged in to. It keeps its registered name and its grace. `None` is no
    /// account. If the account has no connection left, the connection ends.
    #[cold]
    pub(super) fn login(
        &mut self,
        id: Id<Connection>,
        conn: Conn,
        account: Option<Account>,
        out: &mut impl FnMut(Conn, Output<'_>),
    ) {
        let before = self.connections[id].origin().account;
        let holds = self.holds_of(self.connections[id].tenure());
        let known = account.filter(|account| self.connections.accounts().get(*account).is_some());
        let Some(account) = known.filter(|account| *account == before || holds == 0) else {
            mark!(LoginWasRefused);
            return self.fail(conn, Verb::Auth, Reply::AuthFailure, out);
        };
        if account != before && !bug!(LoginKeepsTheOldAccount) {
            let tally = self.connections.tally_of(account);
            let most = self.config.limits.connections_per_address;
            let has_room = self.has_connection_left(tally);
            let moved = has_room.then(|| self.connections.move_to(id, account, most)).flatten();
            let Some(from_address) = moved else {
                mark!(LoginFoundNoRoom);
                self.counters.failures[Verb::Auth] += 1;
                self.close(id, Cause::Refused, out);
                return out(conn, Output::Disconnect(Reason::TooManyConnections));
            };
            let peak = &mut self.counters.peak_address_connections;
            *peak = (*peak).max(from_address);
            mark!(LoginChangedTheAccount);
        }
        let name = self.connections.accounts().of(account).name.as_bytes();
        out(conn, Output::Reply(Reply::LoggedIn { account: name }));
    }
}
