//! The post: all mailboxes. It delivers what one connection causes for another.

use super::mailbox::Mailbox;
use super::{Ending, Flow, Locks, Mail};
use elockd_core::bug;
use elockd_core::wire::encode;
use elockd_core::{Conn, Output};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The mailboxes of all connections.
pub(super) struct Post<L: Locks> {
    pub(super) boxes: BTreeMap<Conn, Arc<Mailbox<L>>>,
}

impl<L: Locks> Post<L> {
    /// Makes a mailbox for a connection.
    pub(super) fn open(&mut self, conn: Conn) -> Arc<Mailbox<L>> {
        let mailbox = Arc::new(Mailbox::new());
        self.boxes.insert(conn, Arc::clone(&mailbox));
        mailbox
    }

    /// Puts an output that another connection caused into a connection's box.
    pub(super) fn deliver(&mut self, to: Conn, output: Output<'_>) {
        let mailbox = self.boxes.get(&to).expect("a connection of the machine has a mailbox");
        let mail = match output {
            Output::Disconnect(_) if bug!(MailIsLost) => return,
            Output::Reply(_) if bug!(GrantIsLost) => return,
            Output::Disconnect(reason) => Mail::Ending(Ending::Machine(reason)),
            Output::Reply(reply) => {
                let mut bytes = Vec::new();
                encode(&reply, &mut bytes);
                Mail::Reply(bytes, Flow::Go)
            }
            Output::Wait => panic!("{to:?} waits without having asked"),
        };
        mailbox.put(mail);
    }
}
