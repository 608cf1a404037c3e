//! Request lines: every verb of the protocol, with few names, written in all the ways that are allowed and in some
//! that are not.

use super::Rng;
use crate::plan::Settings;

/// How the requests of one run look.
pub(super) struct Lines {
    names: Vec<Vec<u8>>,
    verbs: Vec<(Form, u32)>,
    /// Percentage of lines that are written in an odd way.
    odd: u32,
    /// Milliseconds that clients wait, by weight.
    patience: Vec<((u32, u32), u32)>,
    name_bytes: usize,
    line_bytes: usize,
    linger_ms: u32,
}

/// The shape of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Get(&'static str),
    /// With a time to wait.
    Wait(&'static str),
    /// With a limit of holders.
    Limited,
    /// With both.
    LimitedWait,
    /// Without its number, or with one that is not allowed.
    BadNumber,
    /// With an address that nobody has.
    Kick,
    /// With a time for which holds outlive the connection.
    Linger,
    /// With a key that opens nothing, or with none.
    BadKey,
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
enum VerbGroup {
    Old,
    Waits,
    Limits,
    Tokens,
    Together,
    Everything,
    Operators,
    Reads,
    Ends,
    Linger,
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
            (VerbGroup::Old, Form::Get("g"), 30),
            (VerbGroup::Old, Form::Get("sg"), 25),
            (VerbGroup::Waits, Form::Wait("gw"), 30),
            (VerbGroup::Waits, Form::LimitedWait, 16),
            (VerbGroup::Ends, Form::Wait("iw"), 10),
            (VerbGroup::Ends, Form::Wait("siw"), 8),
            (VerbGroup::Limits, Form::Limited, 12),
            (VerbGroup::Old, Form::Release("r"), 15),
            (VerbGroup::Old, Form::Release("sr"), 12),
            (VerbGroup::Together, Form::Bare("ra"), 6),
            (VerbGroup::Tokens, Form::Release("f"), 14),
            (VerbGroup::Tokens, Form::Named("f"), 2),
            (VerbGroup::Old, Form::Named("i"), 6),
            (VerbGroup::Old, Form::Named("si"), 6),
            (VerbGroup::Old, Form::Named("d"), 2),
            (VerbGroup::Old, Form::Named("sd"), 2),
            (VerbGroup::Old, Form::Bare("d"), 2),
            (VerbGroup::Old, Form::Bare("sd"), 2),
            (VerbGroup::Old, Form::Bare("dump"), 1),
            (VerbGroup::Old, Form::Bare("dump shared"), 2),
            (VerbGroup::Everything, Form::Bare("ls"), 4),
            (VerbGroup::Everything, Form::Named("ls"), 2),
            (VerbGroup::Old, Form::Bare("q"), 3),
            (VerbGroup::Old, Form::Bare("q full"), 2),
            (VerbGroup::Old, Form::Bare("me"), 1),
            (VerbGroup::Old, Form::Named("iam"), 2),
            (VerbGroup::Old, Form::Bare("who"), 1),
            (VerbGroup::Old, Form::Named("who"), 1),
            (VerbGroup::Old, Form::Bare("ping"), 1),
            (VerbGroup::Old, Form::Bare("help"), 1),
            (VerbGroup::Reads, Form::Get("rg"), 14),
            (VerbGroup::Reads, Form::Get("wg"), 14),
            (VerbGroup::Reads, Form::Wait("rgw"), 18),
            (VerbGroup::Reads, Form::Wait("wgw"), 14),
            (VerbGroup::Reads, Form::Release("rg"), 12),
            (VerbGroup::Reads, Form::Release("wg"), 10),
            (VerbGroup::Reads, Form::Release("rr"), 10),
            (VerbGroup::Reads, Form::Release("wr"), 10),
            (VerbGroup::Reads, Form::Named("ri"), 4),
            (VerbGroup::Reads, Form::Named("wi"), 4),
            (VerbGroup::Tokens, Form::Release("sf"), 4),
            (VerbGroup::Tokens, Form::Release("rf"), 3),
            (VerbGroup::Tokens, Form::Release("wf"), 4),
            (VerbGroup::Linger, Form::Linger, 14),
            (VerbGroup::Linger, Form::BadKey, 3),
            (VerbGroup::Operators, Form::Named("wsteal"), 1),
            (VerbGroup::Operators, Form::Named("steal"), 1),
            (VerbGroup::Operators, Form::Kick, 1),
            (VerbGroup::Waits, Form::BadNumber, 2),
            (VerbGroup::Old, Form::Unknown, 1),
            (VerbGroup::Old, Form::NameTooLong, 1),
            (VerbGroup::Old, Form::LineTooLong, 1),
            (VerbGroup::Old, Form::Blank, 1),
        ];
        let groups = [
            VerbGroup::Waits,
            VerbGroup::Limits,
            VerbGroup::Tokens,
            VerbGroup::Together,
            VerbGroup::Everything,
            VerbGroup::Operators,
        ];
        let mut left_out: Vec<VerbGroup> = groups.into_iter().filter(|_| rng.percent(25)).collect();
        left_out.extend(rng.percent(50).then_some(VerbGroup::Reads));
        left_out.extend(rng.percent(40).then_some(VerbGroup::Ends));
        left_out.extend(rng.percent(50).then_some(VerbGroup::Linger));
        // Gets are never left out, so that there is always something to lose.
        let spared = if rng.percent(50) { 1 } else { 2 };
        for (group, _, weight) in &mut verbs[spared..] {
            if rng.percent(30) || left_out.contains(group) {
                *weight = 0;
            } else if rng.percent(10) {
                // What is rare in other runs is common in this one.
                *weight = (*weight * 4).max(20);
            }
        }
        let verbs: Vec<_> = verbs.into_iter().map(|(_, verb, weight)| (verb, weight)).collect();
        let patience = patience(rng);
        Self {
            names,
            verbs,
            odd: rng.of(&[0, 5, 40]),
            patience,
            name_bytes: settings.name_bytes.into(),
            line_bytes: settings.line_bytes as usize,
            linger_ms: settings.linger_ms,
        }
    }

    /// Whether clients of this run ask for grace, and say keys.
    pub(super) fn may_resume(&self) -> bool {
        self.verbs.iter().any(|(verb, weight)| *verb == Form::Linger && *weight > 0)
    }

    pub(super) fn names(&self) -> &[Vec<u8>] {
        &self.names
    }

    /// A line with its end. The name that the client asks for is added to `mine`.
    pub(super) fn line(&self, rng: &mut Rng, mine: &mut Vec<Vec<u8>>) -> Vec<u8> {
        let (verb, name) = match rng.weighted(&self.verbs) {
            Form::Get(verb) => {
                let name = self.name(rng);
                mine.push(name.clone());
                (verb, name)
            }
            verb @ (Form::Wait(_) | Form::Limited | Form::LimitedWait) => {
                let name = self.name(rng);
                mine.push(name.clone());
                let (ms, limit) = (self.ms(rng).to_string(), rng.weighted(&LIMITS).to_string());
                let numbers = match verb {
                    Form::Wait(verb) => vec![verb, &ms],
                    Form::Limited => vec!["sgl", &limit],
                    _ => vec!["sgw", &ms, &limit],
                };
                return self.write(rng, &numbers.join(" "), &name);
            }
            Form::BadNumber => {
                let verb = rng.of(&[
                    "gw",
                    "gw -1",
                    "gw x",
                    "gw 4294967296",
                    "gw 00000000001",
                    "sgl",
                    "sgw 5",
                    "rgw",
                    "wgw x",
                    "iw",
                    "siw x",
                    "linger",
                    "linger x",
                ]);
                return [verb.as_bytes(), b"\n"].concat();
            }
            Form::Linger => {
                let ms = match rng.between(0, 9) {
                    0 => 0,
                    1 | 2 => rng.between(1, 20),
                    3..=5 => rng.between(20, 300).min(self.linger_ms),
                    6 | 7 => self.linger_ms,
                    8 => self.linger_ms + 1,
                    _ => u32::MAX,
                };
                return self.write(rng, &format!("linger {ms}"), b"");
            }
            Form::BadKey => {
                const DIGITS: &[u8] = b"0123456789abcdef0123456789abcdef0";
                let key = match rng.between(0, 5) {
                    0 => Vec::new(),
                    1 => b"-".to_vec(),
                    2 => DIGITS[..31].to_vec(),
                    3 => DIGITS.to_vec(),
                    4 => DIGITS[..32].to_ascii_uppercase(),
                    _ => DIGITS[..32].to_vec(),
                };
                ("resume", key)
            }
            Form::Kick if rng.percent(30) => ("kick", self.name(rng)),
            Form::Kick => ("kick", rng.of(&[&b""[..], b"1.2.3.4:5", b"nobody", b"unix:1"]).to_vec()),
            Form::Release(verb) if !mine.is_empty() && rng.percent(85) => {
                let at = rng.between(0, mine.len() as u32 - 1) as usize;
                (verb, mine[at].clone())
            }
            Form::Release(verb) | Form::Named(verb) => (verb, self.name(rng)),
            Form::Bare(verb) => (verb, Vec::new()),
            Form::Unknown => return self.unknown(rng),
            Form::NameTooLong => {
                let more = rng.between(0, 2) as usize;
                (rng.of(&["g", "sg", "r", "d"]), vec![b'n'; self.name_bytes + more])
            }
            Form::LineTooLong => {
                let bytes = self.line_bytes + rng.of(&[0_usize, 1, 1, 2, 300]);
                let mut line = b"g ".to_vec();
                line.resize(bytes, b'l');
                line.push(b'\n');
                return line;
            }
            Form::Blank => (rng.of(&["", " ", "\t\x0b\x0c"]), Vec::new()),
        };
        self.write(rng, verb, &name)
    }

    /// Milliseconds that a client waits.
    fn ms(&self, rng: &mut Rng) -> u32 {
        let (least, most) = rng.weighted(&self.patience);
        rng.between(least, most)
    }

    /// A line that no verb begins.
    pub(super) fn unknown(&self, rng: &mut Rng) -> Vec<u8> {
        let verb = rng.of(&["gg", "G", "get", "g\ta", "\x01", "x y"]);
        let name = self.name(rng);
        self.write(rng, verb, &name)
    }

    /// `steal` of a name that clients want.
    pub(super) fn steal(&self, rng: &mut Rng) -> Vec<u8> {
        let name = self.name(rng);
        self.write(rng, "steal", &name)
    }

    /// `kick` of a name that clients register.
    pub(super) fn kick_by_name(&self, rng: &mut Rng) -> Vec<u8> {
        let name = self.name(rng);
        self.write(rng, "kick", &name)
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

/// Milliseconds that clients wait in one run, by weight.
fn patience(rng: &mut Rng) -> Vec<((u32, u32), u32)> {
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
    patience
}

/// Where a line is cut in two, if at all.
pub(super) fn piece_at(rng: &mut Rng, percent: u32, line: &[u8]) -> Option<usize> {
    (line.len() > 1 && rng.percent(percent)).then(|| rng.between(1, line.len() as u32 - 1) as usize)
}
