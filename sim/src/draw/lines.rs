//! Request lines: every verb of the protocol, with few names, written in all the ways that are allowed and in some
//! that are not.

use super::Rng;
use crate::plan::Settings;

/// How the requests of one run look.
pub(super) struct Lines {
    names: Vec<Vec<u8>>,
    verbs: Vec<(Verb, u32)>,
    /// Percentage of lines that are written in an odd way.
    odd: u32,
    /// Milliseconds that clients wait, by weight.
    patience: Vec<((u32, u32), u32)>,
    name_bytes: usize,
    line_bytes: usize,
}

/// The shape of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Get(&'static str),
    /// With a time to wait.
    Wait,
    /// With a limit of holders.
    Limited,
    /// With both.
    LimitedWait,
    /// Without its number, or with one that is not allowed.
    BadNumber,
    /// With an address that nobody has.
    Kick,
    /// About something that the client asked for before.
    Release(&'static str),
    Named(&'static str),
    Bare(&'static str),
    Unknown,
    NameTooLong,
    LineTooLong,
    Blank,
}

/// Verbs of the new protocol, in groups. A run may have none of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Old,
    Waits,
    Limits,
    Tokens,
    Together,
    Everything,
    Operators,
}

/// Number of holders that a request allows, by weight; 0 is any number.
const LIMITS: [(u32, u32); 5] = [(1, 4), (2, 4), (3, 2), (4, 1), (0, 1)];

const NAMES: [&[u8]; 9] = [
    b"a",
    b"b",
    b"job",
    b"two words",
    b"",
    b"\xff\x00\x01",
    b"a-name-just-too-long-for-its-slot",
    b"d",
    b"cron.daily",
];

impl Lines {
    pub(super) fn draw(rng: &mut Rng, settings: &Settings) -> Self {
        let count = rng.between(1, NAMES.len() as u32) as usize;
        let first = rng.between(0, NAMES.len() as u32 - 1) as usize;
        let names = NAMES.iter().cycle().skip(first).take(count).map(|name| name.to_vec()).collect();
        let mut verbs = vec![
            (Group::Old, Verb::Get("g"), 30),
            (Group::Old, Verb::Get("sg"), 25),
            (Group::Waits, Verb::Wait, 30),
            (Group::Waits, Verb::LimitedWait, 16),
            (Group::Limits, Verb::Limited, 12),
            (Group::Old, Verb::Release("r"), 15),
            (Group::Old, Verb::Release("sr"), 12),
            (Group::Together, Verb::Bare("ra"), 6),
            (Group::Tokens, Verb::Release("f"), 14),
            (Group::Tokens, Verb::Named("f"), 2),
            (Group::Old, Verb::Named("i"), 6),
            (Group::Old, Verb::Named("si"), 6),
            (Group::Old, Verb::Named("d"), 2),
            (Group::Old, Verb::Named("sd"), 2),
            (Group::Old, Verb::Bare("d"), 2),
            (Group::Old, Verb::Bare("sd"), 2),
            (Group::Old, Verb::Bare("dump"), 1),
            (Group::Old, Verb::Bare("dump shared"), 2),
            (Group::Everything, Verb::Bare("ls"), 4),
            (Group::Everything, Verb::Named("ls"), 2),
            (Group::Old, Verb::Bare("q"), 3),
            (Group::Old, Verb::Bare("q full"), 2),
            (Group::Old, Verb::Bare("me"), 1),
            (Group::Old, Verb::Named("iam"), 2),
            (Group::Old, Verb::Bare("who"), 1),
            (Group::Old, Verb::Named("who"), 1),
            (Group::Old, Verb::Bare("ping"), 1),
            (Group::Old, Verb::Bare("help"), 1),
            (Group::Operators, Verb::Named("steal"), 1),
            (Group::Operators, Verb::Kick, 1),
            (Group::Waits, Verb::BadNumber, 2),
            (Group::Old, Verb::Unknown, 1),
            (Group::Old, Verb::NameTooLong, 1),
            (Group::Old, Verb::LineTooLong, 1),
            (Group::Old, Verb::Blank, 1),
        ];
        let groups = [
            Group::Waits,
            Group::Limits,
            Group::Tokens,
            Group::Together,
            Group::Everything,
            Group::Operators,
        ];
        let left_out: Vec<Group> = groups.into_iter().filter(|_| rng.percent(25)).collect();
        // Gets are never left out, so that there is always something to lose.
        let spared = if rng.percent(50) { 1 } else { 2 };
        for (group, _, weight) in &mut verbs[spared..] {
            if rng.percent(30) || left_out.contains(group) {
                *weight = 0;
            } else if rng.percent(10) {
                *weight *= 4;
            }
        }
        let verbs = verbs.into_iter().map(|(_, verb, weight)| (verb, weight)).collect();
        let mut patience = vec![
            ((1, 20), 6),
            ((0, 0), 2),
            ((20, 300), 8),
            ((300, 3_000), 3),
            ((60_000, 600_000), 2),
            ((u32::MAX - 5, u32::MAX), 1),
        ];
        for (_, weight) in &mut patience[1..] {
            if rng.percent(30) {
                *weight = 0;
            }
        }
        Self {
            names,
            verbs,
            odd: rng.of(&[0, 5, 40]),
            patience,
            name_bytes: settings.name_bytes.into(),
            line_bytes: settings.line_bytes as usize,
        }
    }

    pub(super) fn names(&self) -> &[Vec<u8>] {
        &self.names
    }

    /// A line with its end. The name that the client asks for is added to `mine`.
    pub(super) fn line(&self, rng: &mut Rng, mine: &mut Vec<Vec<u8>>) -> Vec<u8> {
        let (verb, name) = match rng.weighted(&self.verbs) {
            Verb::Get(verb) => {
                let name = self.name(rng);
                mine.push(name.clone());
                (verb, name)
            }
            verb @ (Verb::Wait | Verb::Limited | Verb::LimitedWait) => {
                let name = self.name(rng);
                mine.push(name.clone());
                let (ms, limit) = (self.ms(rng).to_string(), rng.weighted(&LIMITS).to_string());
                let numbers = match verb {
                    Verb::Wait => vec!["gw", &ms],
                    Verb::Limited => vec!["sgl", &limit],
                    _ => vec!["sgw", &ms, &limit],
                };
                return self.write(rng, &numbers.join(" "), &name);
            }
            Verb::BadNumber => {
                let verb =
                    rng.of(&["gw", "gw -1", "gw x", "gw 4294967296", "gw 00000000001", "sgl", "sgw 5"]);
                return [verb.as_bytes(), b"\n"].concat();
            }
            Verb::Kick => ("kick", rng.of(&[&b""[..], b"1.2.3.4:5", b"nobody", b"unix:1"]).to_vec()),
            Verb::Release(verb) if !mine.is_empty() && rng.percent(85) => {
                let at = rng.between(0, mine.len() as u32 - 1) as usize;
                (verb, mine[at].clone())
            }
            Verb::Release(verb) | Verb::Named(verb) => (verb, self.name(rng)),
            Verb::Bare(verb) => (verb, Vec::new()),
            Verb::Unknown => (rng.of(&["gg", "G", "get", "g\ta", "\x01", "x y"]), self.name(rng)),
            Verb::NameTooLong => {
                let more = rng.between(0, 2) as usize;
                (rng.of(&["g", "sg", "r", "d"]), vec![b'n'; self.name_bytes + more])
            }
            Verb::LineTooLong => {
                let bytes = self.line_bytes + rng.of(&[0_usize, 1, 1, 2, 300]);
                let mut line = b"g ".to_vec();
                line.resize(bytes, b'l');
                line.push(b'\n');
                return line;
            }
            Verb::Blank => (rng.of(&["", " ", "\t\x0b\x0c"]), Vec::new()),
        };
        self.write(rng, verb, &name)
    }

    /// Milliseconds that a client waits.
    fn ms(&self, rng: &mut Rng) -> u32 {
        let (least, most) = rng.weighted(&self.patience);
        rng.between(least, most)
    }

    /// `steal` of a name that clients want.
    pub(super) fn steal(&self, rng: &mut Rng) -> Vec<u8> {
        let name = self.name(rng);
        self.write(rng, "steal", &name)
    }

    fn name(&self, rng: &mut Rng) -> Vec<u8> {
        // The first names are asked for most often.
        let most = rng.between(0, self.names.len() as u32 - 1);
        self.names[rng.between(0, most) as usize].clone()
    }

    /// A line as a client may write it.
    fn write(&self, rng: &mut Rng, verb: &str, name: &[u8]) -> Vec<u8> {
        let space: &[u8] = if name.is_empty() { b"" } else { b" " };
        if !rng.percent(self.odd) {
            return [verb.as_bytes(), space, name, b"\n"].concat();
        }
        let before = rng.of(&[&b""[..], b" ", b"\t "]);
        let space = if name.is_empty() { space } else { rng.of(&[&b" "[..], b"  ", b" \t"]) };
        let end = rng.of(&[&b"\n"[..], b"\r\n", b" \r\n", b"\x0b\n"]);
        [before, verb.as_bytes(), space, name, end].concat()
    }
}

/// Where a line is cut in two, if at all.
pub(super) fn piece_at(rng: &mut Rng, percent: u32, line: &[u8]) -> Option<usize> {
    (line.len() > 1 && rng.percent(percent)).then(|| rng.between(1, line.len() as u32 - 1) as usize)
}
