//! Request lines: every verb of the protocol, about few names, written in all the ways that are allowed, and
//! in some that are not.

use super::Dice;
use crate::plan::Settings;

/// What requests of one run look like.
pub(super) struct Lines {
    names: Vec<Vec<u8>>,
    verbs: Vec<(Verb, u32)>,
    /// In how many of a hundred cases a line is written in an odd way.
    odd: u32,
    name_bytes: usize,
    line_bytes: usize,
}

/// What a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Get(&'static str),
    /// Of something that the client asked for before.
    Release(&'static str),
    Named(&'static str),
    Bare(&'static str),
    Unknown,
    NameTooLong,
    LineTooLong,
    Blank,
}

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
    pub(super) fn draw(dice: &mut Dice, settings: &Settings) -> Self {
        let count = dice.between(1, NAMES.len() as u32) as usize;
        let first = dice.between(0, NAMES.len() as u32 - 1) as usize;
        let names = NAMES.iter().cycle().skip(first).take(count).map(|name| name.to_vec()).collect();
        let mut verbs = vec![
            (Verb::Get("g"), 30),
            (Verb::Get("sg"), 25),
            (Verb::Release("r"), 15),
            (Verb::Release("sr"), 12),
            (Verb::Named("i"), 6),
            (Verb::Named("si"), 6),
            (Verb::Named("d"), 2),
            (Verb::Named("sd"), 2),
            (Verb::Bare("d"), 2),
            (Verb::Bare("sd"), 2),
            (Verb::Bare("dump"), 1),
            (Verb::Bare("dump shared"), 2),
            (Verb::Bare("q"), 3),
            (Verb::Bare("q full"), 2),
            (Verb::Bare("me"), 1),
            (Verb::Named("iam"), 2),
            (Verb::Bare("who"), 1),
            (Verb::Named("who"), 1),
            (Verb::Bare("ping"), 1),
            (Verb::Bare("help"), 1),
            (Verb::Unknown, 1),
            (Verb::NameTooLong, 1),
            (Verb::LineTooLong, 1),
            (Verb::Blank, 1),
        ];
        // Gets stay, so that there is always something to lose.
        let spared = if dice.percent(50) { 1 } else { 2 };
        for (_, weight) in &mut verbs[spared..] {
            if dice.percent(35) {
                *weight = 0;
            } else if dice.percent(10) {
                *weight *= 4;
            }
        }
        Self {
            names,
            verbs,
            odd: dice.of(&[0, 5, 40]),
            name_bytes: settings.name_bytes.into(),
            line_bytes: settings.line_bytes as usize,
        }
    }

    pub(super) fn names(&self) -> &[Vec<u8>] {
        &self.names
    }

    /// A line, with its end. What the client asks for is added to what is `mine`.
    pub(super) fn line(&self, dice: &mut Dice, mine: &mut Vec<Vec<u8>>) -> Vec<u8> {
        let (verb, name) = match dice.weighted(&self.verbs) {
            Verb::Get(verb) => {
                let name = self.name(dice);
                mine.push(name.clone());
                (verb, name)
            }
            Verb::Release(verb) if !mine.is_empty() && dice.percent(85) => {
                let at = dice.between(0, mine.len() as u32 - 1) as usize;
                (verb, mine[at].clone())
            }
            Verb::Release(verb) | Verb::Named(verb) => (verb, self.name(dice)),
            Verb::Bare(verb) => (verb, Vec::new()),
            Verb::Unknown => (dice.of(&["gg", "G", "get", "g\ta", "\x01", "x y"]), self.name(dice)),
            Verb::NameTooLong => {
                let more = dice.between(0, 2) as usize;
                (dice.of(&["g", "sg", "r", "d"]), vec![b'n'; self.name_bytes + more])
            }
            Verb::LineTooLong => {
                let bytes = self.line_bytes + dice.of(&[0_usize, 1, 1, 2, 300]);
                let mut line = b"g ".to_vec();
                line.resize(bytes, b'l');
                line.push(b'\n');
                return line;
            }
            Verb::Blank => (dice.of(&["", " ", "\t\x0b\x0c"]), Vec::new()),
        };
        self.write(dice, verb, &name)
    }

    fn name(&self, dice: &mut Dice) -> Vec<u8> {
        // The first names are the most fought over.
        let most = dice.between(0, self.names.len() as u32 - 1);
        self.names[dice.between(0, most) as usize].clone()
    }

    /// A line as some client writes it.
    fn write(&self, dice: &mut Dice, verb: &str, name: &[u8]) -> Vec<u8> {
        let space: &[u8] = if name.is_empty() { b"" } else { b" " };
        if !dice.percent(self.odd) {
            return [verb.as_bytes(), space, name, b"\n"].concat();
        }
        let before = dice.of(&[&b""[..], b" ", b"\t "]);
        let space = if name.is_empty() { space } else { dice.of(&[&b" "[..], b"  ", b" \t"]) };
        let end = dice.of(&[&b"\n"[..], b"\r\n", b" \r\n", b"\x0b\n"]);
        [before, verb.as_bytes(), space, name, end].concat()
    }
}

/// Where a line is cut in two, if it is.
pub(super) fn piece_at(dice: &mut Dice, percent: u32, line: &[u8]) -> Option<usize> {
    (line.len() > 1 && dice.percent(percent)).then(|| dice.between(1, line.len() as u32 - 1) as usize)
}
