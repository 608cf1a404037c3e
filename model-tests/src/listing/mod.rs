//! A listing that is read slice by slice while other inputs come in between, and what must be in it. What was there
//! throughout must be in it exactly once. What was there at some time may be in it, at most once. Nothing else may be
//! in it.

mod everything;

use crate::Outcome;
use crate::census::Census;
use crate::observe::{read_slice, whole};
use crate::reference::Reference;
use elockd_core::wire::listing::{Packed, Text};
use elockd_core::{Account, Conn, Kind, Machine, Profile, Scan, Subject};
use everything::Everything;
use std::collections::{BTreeMap, BTreeSet};

/// The address of every connection that ever opened.
pub type Addrs = BTreeMap<Conn, String>;

/// A row of a listing: the lock and a holder. For `who`: the registered name and its connection.
type RowOf = (Vec<u8>, Conn);

/// A listing that is being read, slice by slice.
pub struct UnderWay {
    /// The step that asked for it.
    begun: usize,
    scan: Scan,
    text: Text,
    truth: Truth,
}

/// The state while a listing was made.
#[derive(Clone, Debug)]
pub struct Truth {
    subject: Subject,
    /// Whose eyes it is for, and what that account may see. `None` sees everything.
    eyes: Option<(Account, Profile)>,
    /// The only name to list. Empty for all.
    only: Vec<u8>,
    /// What was there all the time. Below: what was there at any time.
    throughout: BTreeSet<RowOf>,
    ever: BTreeSet<RowOf>,
    /// The registered names that each connection had.
    called: BTreeMap<Conn, BTreeSet<Vec<u8>>>,
    /// Connections that took over what others had.
    resumed: BTreeSet<Conn>,
    /// The state for `ls`. `None` for other listings.
    everything: Option<Everything>,
}

impl UnderWay {
    /// A listing that the step `begun` asked for. Nothing of it is read yet.
    #[must_use]
    pub fn new(begun: usize, scan: Scan, only: Vec<u8>, reference: &Reference, addrs: &Addrs) -> Self {
        let text = Text::new(scan.subject());
        let truth = Truth::new(scan.subject(), only, reference, addrs);
        Self { begun, scan, text, truth }
    }

    /// Notes the state as it is now.
    pub fn witness(&mut self, reference: &Reference, addrs: &Addrs) {
        self.truth.witness(reference, addrs);
    }

    /// Reads its next slice.
    pub fn read_slice(&mut self, machine: &Machine) {
        self.text.add(read_slice(machine, &mut self.scan));
    }

    /// Whether all of it was read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.scan.is_done()
    }

    /// Counts what was special about it. `at` is the step with which it is done.
    pub fn count(&self, at: usize, census: &mut Census) {
        let Truth { throughout, ever, everything, .. } = &self.truth;
        census.count("a listing was done");
        if let Some(everything) = everything {
            let (has_changed, has_stayed) = everything.changes();
            if has_changed && has_stayed {
                census.count("some of what ls listed changed meanwhile, and some did not");
            }
            if everything.saw_a_name() {
                census.count("ls listed a registered connection");
            }
            if everything.saw_a_grant() {
                census.count("what ls listed as waited for was granted meanwhile");
            }
        }
        if at > self.begun + 2 {
            census.count("a listing took more than 2 inputs");
        }
        if throughout != ever {
            census.count("what was listed changed meanwhile");
        }
        if !throughout.is_empty() && throughout != ever {
            census.count("some of what was listed changed meanwhile, and some did not");
        }
    }

    /// Whether the text has all rows that it must have, and none that it must not.
    ///
    /// # Errors
    ///
    /// A row that is missing, or should not be there.
    pub fn check(self, addrs: &Addrs) -> Outcome {
        self.truth.check(&whole(self.text), addrs)
    }
}

impl Truth {
    /// The state when a listing begins.
    #[must_use]
    pub fn new(subject: Subject, only: Vec<u8>, reference: &Reference, addrs: &Addrs) -> Self {
        Self::of(None, subject, only, reference, addrs)
    }

    /// The same for a connection, which sees no more than its account may.
    #[must_use]
    pub fn seen_by(
        eyes: Conn,
        subject: Subject,
        only: Vec<u8>,
        reference: &Reference,
        addrs: &Addrs,
    ) -> Self {
        let account = reference.account_of(eyes).unwrap_or_default();
        let eyes = Some((account, reference.accounts().of(account).clone()));
        Self::of(eyes, subject, only, reference, addrs)
    }

    fn of(
        eyes: Option<(Account, Profile)>,
        subject: Subject,
        only: Vec<u8>,
        reference: &Reference,
        addrs: &Addrs,
    ) -> Self {
        let (throughout, ever, called, resumed) = Default::default();
        let everything = (subject == Subject::All)
            .then(|| Everything::new(eyes.clone().map(|(_, profile)| profile), only.clone(), reference));
        let mut truth = Self { subject, eyes, only, throughout, ever, called, resumed, everything };
        truth.throughout = truth.rows(reference);
        truth.witness(reference, addrs);
        truth
    }

    /// The rows it would have if it were read all at once now.
    fn rows(&self, reference: &Reference) -> BTreeSet<RowOf> {
        if self.everything.is_some() {
            return BTreeSet::new();
        }
        let is_wanted = |name: &Vec<u8>| self.only.is_empty() || self.only == *name;
        let Some(kind) = self.subject.kind() else {
            let registered = reference.registered().iter().filter(|(_, name)| is_wanted(name));
            let is_seen = |conn: &Conn| match &self.eyes {
                Some((account, profile)) => {
                    profile.names.is_none() || reference.account_of(*conn) == Some(*account)
                }
                None => true,
            };
            let registered = registered.filter(|(conn, _)| reference.is_open(*conn) && is_seen(conn));
            return registered.map(|(conn, name)| (name.clone(), *conn)).collect();
        };
        let is_seen = |name: &Vec<u8>| self.eyes.as_ref().is_none_or(|(_, profile)| profile.sees(name));
        let is_shown = |name: &Vec<u8>| is_wanted(name) && is_seen(name);
        let locks = reference.locks().iter().filter(|((of, name), _)| *of == kind && is_shown(name));
        locks.flat_map(|((_, name), holders)| holders.iter().map(|conn| (name.clone(), *conn))).collect()
    }

    /// Notes the state as it is now.
    pub fn witness(&mut self, reference: &Reference, addrs: &Addrs) {
        if let Some(everything) = &mut self.everything {
            everything.witness(reference);
        }
        let rows = self.rows(reference);
        self.throughout.retain(|row| rows.contains(row));
        self.ever.extend(rows);
        let holders = self.ever.iter().map(|(_, conn)| *conn);
        self.resumed.extend(holders.filter(|conn| reference.has_resumed(*conn)));
        for client in reference.open() {
            let registered = reference.registered().iter().find(|(conn, _)| *conn == client.conn);
            let name = registered.map_or(addrs[&client.conn].clone().into_bytes(), |(_, name)| name.clone());
            self.called.entry(client.conn).or_default().insert(name);
        }
        for session in reference.sessions() {
            self.called.entry(session.conn).or_default().insert(reference.name_of(session.conn));
        }
    }

    /// The most that the listing can take of `--max-listing-bytes`: for each row what it takes if it is alone in its
    /// slice, with its holder's longest name. All of that twice, because a row of locks may be met twice.
    #[must_use]
    pub fn most_bytes(&self, addrs: &Addrs) -> usize {
        if let Some(everything) = &self.everything {
            return everything.most_bytes(addrs);
        }
        let holder = |conn: &Conn| {
            let registered = self.called.get(conn).into_iter().flatten().map(Vec::len).max().unwrap_or(0);
            // A session's address has a mark.
            registered.max(addrs[conn].len() + 1)
        };
        // The rows of `who` have no key: the address and the name are text.
        let of_row = |name: &Vec<u8>, conn: &Conn| match self.subject {
            Subject::Who => addrs[conn].len() + 2 + name.len(),
            _ => holder(conn),
        };
        let times = if self.subject == Subject::Who { 1 } else { 2 };
        times
            * self
                .ever
                .iter()
                .map(|(name, conn)| Packed::most_memory(name.len(), of_row(name, conn)))
                .sum::<usize>()
    }

    /// Whether a listing's text has all rows that it must have, and none that it must not.
    ///
    /// # Errors
    ///
    /// A row that is missing, or should not be there.
    pub fn check(&self, text: &[u8], addrs: &Addrs) -> Outcome {
        if let Some(everything) = &self.everything {
            return everything.check(text, addrs);
        }
        let subject = self.subject;
        let shown = text.escape_ascii();
        let lines = lines(subject, text, &self.ever, addrs).map_err(|what| format!("{what}: {shown}"))?;
        // The ways a row may be shown. There are several, because a name may have been registered meanwhile.
        let looks = |(name, conn): &RowOf| -> BTreeSet<Vec<u8>> {
            let addr = addrs[conn].as_bytes();
            match subject {
                Subject::Who => [[addr, b": ", name].concat()].into(),
                Subject::Dump(_) => [&b":"[..], b":~"].map(|between| [name, between, addr].concat()).into(),
                Subject::All => unreachable!("ls has its own truth"),
                Subject::Locks(_) => {
                    self.called[conn].iter().map(|holder| [name, &b": "[..], holder].concat()).collect()
                }
            }
        };
        // Who lets a hold go and takes over another's of the same lock may be in it with both.
        let taken_over = || self.ever.iter().filter(|(_, conn)| self.resumed.contains(conn));
        for line in &lines {
            let could_be =
                self.ever.iter().chain(taken_over()).filter(|row| looks(row).contains(line)).count();
            let is = lines.iter().filter(|other| *other == line).count();
            ensure!(is <= could_be, "{} is in it too often: {shown}", line.escape_ascii());
        }
        for row in &self.throughout {
            let looks = looks(row);
            let is = lines.iter().filter(|line| looks.contains(*line)).count();
            ensure!(is > 0, "{} of {:?} is not in it: {shown}", row.0.escape_ascii(), row.1);
        }
        for (name, _) in &self.ever {
            let of_name = |rows: &BTreeSet<RowOf>| rows.iter().filter(|row| row.0 == *name).count();
            let all: BTreeSet<_> = self.ever.iter().filter(|row| row.0 == *name).flat_map(looks).collect();
            let is = lines.iter().filter(|line| all.contains(*line)).count();
            let is_single = subject.kind() == Some(Kind::Exclusive);
            let again = taken_over().filter(|row| row.0 == *name).count();
            let most = if is_single { 1 } else { of_name(&self.ever) + again };
            let shown_name = name.escape_ascii();
            ensure!(is >= of_name(&self.throughout), "{shown_name} is in it only {is} times: {shown}");
            ensure!(is <= most, "{shown_name} is in it {is} times, not {most}: {shown}");
        }
        Ok(())
    }
}

/// The rows of a listing's text. A dump's rows are given as `NAME:ADDR`, one for each holder.
fn lines(
    subject: Subject,
    text: &[u8],
    ever: &BTreeSet<RowOf>,
    addrs: &Addrs,
) -> Result<Vec<Vec<u8>>, String> {
    let Subject::Dump(kind) = subject else {
        let rows = text.strip_suffix(b"\n").ok_or("no empty line ends it")?;
        let lines = rows.split_inclusive(|byte| *byte == b'\n');
        let lines: Option<Vec<_>> = lines.map(|line| line.strip_suffix(b"\n").map(<[u8]>::to_vec)).collect();
        return lines.ok_or("a line does not end".to_owned());
    };
    let rest = text.strip_prefix(b"map[").and_then(|rows| rows.strip_suffix(b"]\n")).ok_or("not a map")?;
    let mut rest = rest;
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let (open, close) = if kind == Kind::Shared { (":[", "]") } else { (":", "") };
        let name = take(&mut rest, ever.iter().map(|(name, _)| &name[..])).ok_or("a strange name")?;
        take(&mut rest, [open.as_bytes()]).ok_or("a name without its holders")?;
        loop {
            let mark = take(&mut rest, [&b"~"[..]]).unwrap_or_default();
            let addr = take(&mut rest, addrs.values().map(String::as_bytes)).ok_or("a strange address")?;
            rows.push([name, b":", mark, addr].concat());
            if kind == Kind::Exclusive || take(&mut rest, [&b" "[..]]).is_none() {
                break;
            }
        }
        take(&mut rest, [close.as_bytes()]).ok_or("holders without end")?;
        if !rest.is_empty() {
            take(&mut rest, [&b" "[..]]).ok_or("rows run into each other")?;
            ensure!(!rest.is_empty(), "a space at the end");
        }
    }
    Ok(rows)
}

/// Takes the longest of some words off the front of a text.
fn take<'a>(text: &mut &[u8], words: impl IntoIterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let word = words.into_iter().filter(|word| text.starts_with(word)).max_by_key(|word| word.len())?;
    *text = &text[word.len()..];
    Some(word)
}
