//! `ls` while other inputs come in between. A hold or a wait that lasted throughout is in it once. Its time and its
//! number of waiters are those of some moment meanwhile. A connection that got meanwhile what it waited for is in it
//! once too, as a waiter or as a holder.

use super::Addrs;
use crate::Outcome;
use crate::reference::Reference;
use elockd_core::wire::listing::Packed;
use elockd_core::wire::{Group, Role};
use elockd_core::{Conn, Kind, Profile};
use std::collections::{BTreeMap, BTreeSet};

/// The first words of lines, in the order of the lines of one name. The waits of readers and of writers stand in one
/// line, in any order.
const WORDS: [&str; 10] = ["x", "xw", "xe", "s", "sw", "se", "r", "w", "rw", "ww"];

/// From here on, the times of holds are counted from 0 again.
const HELD_MS: u128 = 1 << 40;

/// A name, an index into [`WORDS`], and the connection that holds the lock or waits for it.
type LsRow = (Vec<u8>, usize, Conn);

/// What tells one hold or wait from another: when it began, and for a wait its deadline.
type Span = (u64, Option<u64>);

/// A lock and a connection.
type Claim = (Vec<u8>, Kind, Conn);

/// The state while such a listing was made.
#[derive(Clone, Debug)]
pub(super) struct Everything {
    /// What its reader may see. `None` is everything.
    eyes: Option<Profile>,
    prefix: Vec<u8>,
    begun: u64,
    until: u64,
    /// What was there all the time. Below: what was there at any time, and when it began.
    throughout: BTreeMap<LsRow, Span>,
    ever: BTreeMap<LsRow, BTreeSet<u64>>,
    /// Connections that all the time held a lock, or waited for it and then held it; and their rows now.
    claimed: BTreeMap<Claim, (LsRow, Span)>,
    /// What each connection was called at any time, and whether it had no name.
    called: BTreeMap<Conn, BTreeSet<Option<Vec<u8>>>>,
    /// Connections that took over what others had. What such a one waited for before and what it holds now are two
    /// things, even if they are of one lock.
    resumed: BTreeSet<Conn>,
    /// How many waited for each lock at any time.
    waiters: BTreeMap<(Kind, Vec<u8>), BTreeSet<usize>>,
}

/// A line, taken apart.
struct Line<'a> {
    word: usize,
    ms: u64,
    waiters: usize,
    addr: &'a str,
    name: &'a [u8],
    registered: Option<&'a [u8]>,
}

impl Everything {
    pub(super) fn new(eyes: Option<Profile>, prefix: Vec<u8>, reference: &Reference) -> Self {
        let begun = reference.now().0;
        let (ever, called, waiters) = Default::default();
        let mut new = Self {
            eyes,
            prefix,
            begun,
            until: begun,
            throughout: BTreeMap::new(),
            ever,
            claimed: BTreeMap::new(),
            called,
            resumed: BTreeSet::new(),
            waiters,
        };
        new.throughout = new.rows(reference);
        new.claimed = claims(&new.throughout);
        new.witness(reference);
        new
    }

    /// The rows it would have if it were read all at once now.
    fn rows(&self, reference: &Reference) -> BTreeMap<LsRow, Span> {
        let held = reference.locks().iter().flat_map(|((kind, name), holders)| {
            holders.iter().map(|conn| {
                let since = reference.since(*kind, name, *conn);
                ((name.clone(), word(*kind, Role::Holds), *conn), (since, None))
            })
        });
        let waiting = reference.waits().iter().map(|wait| {
            let role = if wait.still.is_some() { Role::AwaitsEnd } else { Role::Waits };
            ((wait.name.clone(), word(wait.kind, role), wait.conn), (wait.began, Some(wait.deadline)))
        });
        let is_seen = |name: &[u8]| self.eyes.as_ref().is_none_or(|profile| profile.sees(name));
        let is_shown = |name: &[u8]| name.starts_with(&self.prefix) && is_seen(name);
        held.chain(waiting).filter(|((name, ..), _)| is_shown(name)).collect()
    }

    pub(super) fn witness(&mut self, reference: &Reference) {
        self.until = reference.now().0;
        let rows = self.rows(reference);
        self.throughout.retain(|row, span| rows.get(row) == Some(span));
        let now = claims(&rows);
        self.claimed.retain(|claim, was| {
            let Some(is) = now.get(claim) else { return false };
            // One input may end a wait and begin another, or get the lock anew. A grant differs from these: it comes
            // before the deadline.
            let is_granted = was.1.1.is_some_and(|deadline| is.1.1.is_none() && is.1.0 < deadline);
            let goes_on = is == was || is_granted;
            is.clone_into(was);
            goes_on
        });
        for (row, (since, _)) in rows {
            self.ever.entry(row).or_default().insert(since);
        }
        for client in reference.open() {
            let name = reference.called(client.conn).map(<[u8]>::to_vec);
            self.called.entry(client.conn).or_default().insert(name);
        }
        for session in reference.sessions() {
            let name = reference.called(session.conn).map(<[u8]>::to_vec);
            self.called.entry(session.conn).or_default().insert(name);
        }
        let holders = self.ever.keys().map(|(.., conn)| *conn);
        self.resumed.extend(holders.filter(|conn| reference.has_resumed(*conn)));
        for (name, word, _) in self.ever.keys() {
            let lock = (kind(*word), name.clone());
            let waiters = reference.line(lock.0, name).len();
            self.waiters.entry(lock).or_default().insert(waiters);
        }
    }

    /// Whether anything changed meanwhile, and whether anything was there throughout.
    pub(super) fn changes(&self) -> (bool, bool) {
        (self.ever.len() > self.throughout.len(), !self.throughout.is_empty())
    }

    /// Whether a wait was granted meanwhile.
    pub(super) fn saw_a_grant(&self) -> bool {
        self.claimed.keys().any(|of| {
            let mut words = self.ever.keys().filter(|row| claim(row) == *of).map(|row| WORDS[row.1]);
            words.clone().any(|word| word.len() == 1)
                && words.any(|word| word.ends_with('w') && word.len() == 2)
        })
    }

    /// Whether a line may have shown a registered name.
    pub(super) fn saw_a_name(&self) -> bool {
        self.ever.keys().any(|(.., conn)| self.called[conn].iter().any(Option::is_some))
    }

    /// The most that it can take of `--max-listing-bytes`: for each row what it takes if it is alone in its slice, with
    /// the longest name of its connection. All of that twice, because a row may be met twice.
    pub(super) fn most_bytes(&self, addrs: &Addrs) -> usize {
        let of_row = |((name, word, conn), since): (&LsRow, &BTreeSet<u64>)| {
            let ms = since.first().map_or(0, |since| self.until - since);
            let waiters = self.waiters[&(kind(*word), name.clone())].last().copied().unwrap_or(0);
            // A session's address has a mark.
            let line = format!("{} {ms} {waiters} ~{} ", WORDS[*word], addrs[conn]);
            let registered = self.called[conn].iter().flatten().map(|called| called.len() + 1).max();
            Packed::most_memory(name.len(), line.len() + registered.unwrap_or(0))
        };
        2 * self.ever.iter().map(of_row).sum::<usize>()
    }

    pub(super) fn check(&self, text: &[u8], addrs: &Addrs) -> Outcome {
        let shown = text.escape_ascii();
        let rows = text.strip_suffix(b"\n").ok_or_else(|| format!("no empty line ends it: {shown}"))?;
        let lines = rows.split_inclusive(|byte| *byte == b'\n').map(Line::parse).collect::<Option<Vec<_>>>();
        let lines = lines.ok_or_else(|| format!("a line is none: {shown}"))?;
        let is_sorted = lines.is_sorted_by_key(|line| (line.name, kind(line.word), WORDS[line.word].len()));
        ensure!(is_sorted, "it is not in order: {shown}");
        for line in &lines {
            self.is_true(line, addrs).map_err(|what| format!("{what}: {shown}"))?;
        }
        let count = |is_it: &dyn Fn(&Line<'_>) -> bool| lines.iter().filter(|line| is_it(line)).count();
        for (name, word, conn) in self.ever.keys() {
            let addr = &addrs[conn];
            let looks = |line: &Line<'_>| line.name == name && line.word == *word && line.addr == addr;
            let alike = |rows: &mut dyn Iterator<Item = &LsRow>| {
                rows.filter(|row| row.0 == *name && row.1 == *word && addrs[&row.2] == *addr).count()
            };
            let (is, word) = (count(&looks), WORDS[*word]);
            // Who lets a hold go and takes over another's of the same lock may be in it with both.
            let mut taken_over = self.ever.keys().filter(|(.., by)| self.resumed.contains(by));
            let least = alike(&mut self.throughout.keys());
            let most = alike(&mut self.ever.keys()) + alike(&mut taken_over);
            let name = name.escape_ascii();
            ensure!(is >= least, "{word} {name} of {addr} is in it only {is} times: {shown}");
            ensure!(is <= most, "{word} {name} of {addr} is in it {is} times, not {most}: {shown}");
        }
        for (name, is, conn) in self.ever.keys().map(claim) {
            let addr = &addrs[&conn];
            let is_of = |line: &Line<'_>| line.name == name && kind(line.word) == is;
            let lines = count(&|line| is_of(line) && line.addr == addr);
            let alike = |claims: &BTreeSet<Claim>| {
                claims.iter().filter(|(of, at, by)| *of == name && *at == is && addrs[by] == *addr).count()
            };
            let least = alike(&self.claimed.keys().cloned().collect());
            let taken_over = self.ever.keys().filter(|(of, word, by)| {
                self.resumed.contains(by) && *of == name && kind(*word) == is && addrs[by] == *addr
            });
            let most = alike(&self.ever.keys().map(claim).collect()) + taken_over.count();
            let held = count(&|line| is_of(line) && line.word == 0);
            let name = name.escape_ascii();
            ensure!(
                lines >= least,
                "{addr} held {name} or waited for it, and is in it {lines} times: {shown}"
            );
            ensure!(lines <= most, "{addr} is in it {lines} times for {name}, not {most}: {shown}");
            ensure!(held <= 1, "{name} is exclusive, and in it {held} times: {shown}");
        }
        Ok(())
    }

    /// Whether there was a moment at which a line was true.
    fn is_true(&self, line: &Line<'_>, addrs: &Addrs) -> Outcome {
        let Line { word, ms, waiters, addr, name, registered } = *line;
        let shown = format!("{} {} of {addr}", WORDS[word], name.escape_ascii());
        let was_called = |conn| self.called[conn].iter().any(|called| called.as_deref() == registered);
        let rows = self.ever.iter().filter(|((of, is, conn), _)| {
            of == name && *is == word && addrs[conn] == addr && was_called(conn)
        });
        let since: Vec<u64> = rows.flat_map(|(_, since)| since.iter().copied()).collect();
        let called = registered.map(|called| called.escape_ascii().to_string());
        ensure!(!since.is_empty(), "{shown}, called {called:?}, never was");
        let is_when = since.iter().any(|since| {
            let (least, most) = (self.begun.max(*since) - since, self.until - since);
            // The first time that is shown like this and is long enough.
            let (least, shown) = (u128::from(least), u128::from(ms));
            let rounds = least.saturating_sub(shown).div_ceil(HELD_MS);
            shown < HELD_MS && shown + rounds * HELD_MS <= u128::from(most)
        });
        ensure!(
            is_when,
            "{shown} for {ms} ms, but since {since:?}, and it was read from {} to {}",
            self.begun,
            self.until
        );
        let in_line = &self.waiters[&(kind(word), name.to_vec())];
        ensure!(in_line.contains(&waiters), "{shown} beside {waiters} waiters, but there were {in_line:?}");
        Ok(())
    }
}

impl<'a> Line<'a> {
    /// `KIND MS WAITERS ADDR NAME\n`, with a tab and a registered name before the end or without.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut words = line.strip_suffix(b"\n")?.splitn(5, |byte| *byte == b' ');
        let mut word = || std::str::from_utf8(words.next()?).ok();
        let kind = word()?;
        let (ms, waiters) = (word()?.parse().ok()?, word()?.parse().ok()?);
        let addr = word()?;
        // A connection that ended meanwhile may have left what it held.
        let addr = addr.strip_prefix('~').unwrap_or(addr);
        let word = WORDS.iter().position(|word| *word == kind)?;
        let names = words.next()?;
        let (name, registered) = match names.iter().position(|byte| *byte == b'\t') {
            Some(tab) => (&names[..tab], Some(&names[tab + 1..])),
            None => (names, None),
        };
        Some(Self { word, ms, waiters, addr, name, registered })
    }
}

fn claim((name, word, conn): &LsRow) -> Claim {
    (name.clone(), kind(*word), *conn)
}

fn claims(rows: &BTreeMap<LsRow, Span>) -> BTreeMap<Claim, (LsRow, Span)> {
    rows.iter().map(|(row, span)| (claim(row), (row.clone(), *span))).collect()
}

/// The kind whose line its waits stand in.
fn kind(word: usize) -> Kind {
    use Kind::{Exclusive, Shared, Write};
    [Exclusive, Exclusive, Exclusive, Shared, Shared, Shared, Write, Write, Write, Write][word]
}

/// The index of the first word.
fn word(kind: Kind, role: Role) -> usize {
    let word = Group { kind, role }.word();
    WORDS.iter().position(|known| *known == word).expect("each is in the list")
}
