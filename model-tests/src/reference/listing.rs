//! Listings, each read at once.

use super::{Reference, line};
use elockd_core::Kind;
use std::collections::BTreeSet;

impl Reference {
    /// `d`, `sd`.
    pub(super) fn list(&self, kind: Kind, only: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for ((of, name), holders) in &self.locks {
            if *of == kind && (only.is_empty() || only == name) {
                for holder in holders {
                    text.extend([name, &b": "[..], &self.name_of(*holder), b"\n"].concat());
                }
            }
        }
        text.extend(b"\n");
        text
    }

    /// `dump`, `dump shared`.
    pub(super) fn dump(&self, kind: Kind) -> Vec<u8> {
        let mut locks = Vec::new();
        for ((of, name), holders) in &self.locks {
            if *of == kind {
                let addrs: Vec<String> = holders.iter().map(|holder| self.address_of(*holder)).collect();
                let addrs = addrs.join(" ");
                let holders = if kind == Kind::Shared { format!("[{addrs}]") } else { addrs };
                locks.push([name, &b":"[..], holders.as_bytes()].concat());
            }
        }
        [b"map[", &locks.join(&b' ')[..], b"]\n"].concat()
    }

    /// `ls`.
    pub(super) fn list_all(&self, prefix: &[u8]) -> Vec<u8> {
        let held = self.locks.keys().map(|(_, name)| name);
        let waited_for = self.waits.iter().map(|wait| &wait.name);
        let names: BTreeSet<&Vec<u8>> =
            held.chain(waited_for).filter(|name| name.starts_with(prefix)).collect();
        let mut text = Vec::new();
        for name in names {
            for (kind, held, waiting) in [(Kind::Exclusive, "x", "xw"), (Kind::Shared, "s", "sw")] {
                let in_line = self.line(kind, name);
                let waiters = in_line.len();
                let holders = self.holders(kind, name).iter();
                let holders = holders.map(|holder| (held, self.held_ms(kind, name, *holder), *holder));
                let in_line = in_line.iter().map(|wait| (waiting, self.now - wait.began, wait.conn));
                for (word, ms, conn) in holders.chain(in_line) {
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
    pub(super) fn who(&self, only: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for (conn, name) in &self.registered {
            if self.is_open(*conn) && (only.is_empty() || only == name) {
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
