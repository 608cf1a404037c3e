//! Listings, each read at once.

use super::{Reference, Wait, line};
use elockd_core::{Conn, Kind};
use std::collections::BTreeSet;

impl Reference {
    /// `d`, `sd`.
    pub(super) fn list(&self, asker: Conn, kind: Kind, only: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for ((of, name), holders) in &self.locks {
            if *of == kind && (only.is_empty() || only == name) && self.sees(asker, name) {
                for holder in holders {
                    text.extend([name, &b": "[..], &self.name_of(*holder), b"\n"].concat());
                }
            }
        }
        text.extend(b"\n");
        text
    }

    /// `dump`, `dump shared`.
    pub(super) fn dump(&self, asker: Conn, kind: Kind) -> Vec<u8> {
        let mut locks = Vec::new();
        for ((of, name), holders) in &self.locks {
            if *of == kind && self.sees(asker, name) {
                let addrs: Vec<String> = holders.iter().map(|holder| self.address_of(*holder)).collect();
                let addrs = addrs.join(" ");
                let holders = if kind == Kind::Shared { format!("[{addrs}]") } else { addrs };
                locks.push([name, &b":"[..], holders.as_bytes()].concat());
            }
        }
        [b"map[", &locks.join(&b' ')[..], b"]\n"].concat()
    }

    /// `ls`.
    pub(super) fn list_all(&self, asker: Conn, prefix: &[u8]) -> Vec<u8> {
        let held = self.locks.keys().map(|(_, name)| name);
        let waited_for = self.waits.iter().map(|wait| &wait.name);
        let is_shown = |name: &&Vec<u8>| name.starts_with(prefix) && self.sees(asker, name);
        let names: BTreeSet<&Vec<u8>> = held.chain(waited_for).filter(is_shown).collect();
        let mut text = Vec::new();
        for name in names {
            // Readers and writers have one line.
            for kinds in [&[Kind::Exclusive][..], &[Kind::Shared], &[Kind::Read, Kind::Write]] {
                let in_line = self.line(kinds[0], name);
                let ends = self.ends(kinds[0], name);
                let waiters = in_line.len();
                let holders = kinds.iter().flat_map(|kind| {
                    let held = |holder: &Conn| (words(*kind).0, self.held_ms(*kind, name, *holder), *holder);
                    self.holders(*kind, name).iter().map(held)
                });
                let waiting = |wait: &&Wait| (words(wait.kind).1, self.now - wait.began, wait.conn);
                let ending = |wait: &&Wait| (words(wait.kind).2, self.now - wait.began, wait.conn);
                let waits = in_line.iter().map(waiting).chain(ends.iter().map(ending));
                for (word, ms, conn) in holders.chain(waits) {
                    let addr = self.address_of(conn);
                    let registered = self.called(conn).map(|called| [b"\t", called].concat());
                    let names = [&name[..], &registered.unwrap_or_default()].concat();
                    text.extend(line(&format!("{word} {ms} {waiters} {addr} "), &names));
                }
            }
        }
        text.extend(b"\n");
        text
    }

    /// `who`.
    pub(super) fn who(&self, asker: Conn, only: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for (conn, name) in &self.registered {
            let is_own = self.account_of(*conn) == self.account_of(asker);
            let is_shown = is_own || self.profile(asker).names.is_none();
            if is_shown && self.is_open(*conn) && (only.is_empty() || only == name) {
                text.extend(line(&format!("{}: ", self.client(*conn).origin.addr), name));
            }
        }
        text.extend(b"\n");
        text
    }

    /// A connection's registered name, or else its address.
    pub(crate) fn name_of(&self, conn: elockd_core::Conn) -> Vec<u8> {
        match self.called(conn) {
            Some(name) => name.to_vec(),
            None => self.address_of(conn).into_bytes(),
        }
    }

    /// Its registered name, if it has one.
    pub(crate) fn called(&self, conn: elockd_core::Conn) -> Option<&[u8]> {
        self.registered.iter().find(|(of, _)| *of == conn).map(|(_, name)| &name[..])
    }
}

/// What `ls` calls those who hold a lock so, those who wait for it, and those who wait for its end.
fn words(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Exclusive => ("x", "xw", "xe"),
        Kind::Shared => ("s", "sw", "se"),
        Kind::Read => ("r", "rw", "re"),
        Kind::Write => ("w", "ww", "we"),
    }
}
