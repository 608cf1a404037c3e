//! The reference decoder. It gets a whole stream of bytes at once, and returns its commands. It knows nothing of
//! pieces, and shares only the type of commands with core. Keep it naive, like the reference model.

use elockd_core::{Command, Kind, Verb, VerbSet, Wish};

/// Every command in a stream. A line may have up to `max_line_bytes` bytes.
#[must_use]
pub fn commands(stream: &[u8], max_line_bytes: usize) -> Vec<Command<Vec<u8>>> {
    let mut lines: Vec<&[u8]> = stream.split(|byte| *byte == b'\n').collect();
    // The last line has no end yet. So it does not count, unless it is too long already.
    let last = lines.pop().unwrap_or_default();
    let mut commands = Vec::new();
    for line in lines {
        if line.len() > max_line_bytes {
            commands.push(Command::LineTooLong);
        } else if line.iter().any(|byte| !is_space(*byte)) {
            commands.push(command(line));
        }
    }
    if last.len() > max_line_bytes {
        commands.push(Command::LineTooLong);
    }
    commands
}

fn command(line: &[u8]) -> Command<Vec<u8>> {
    let first = line.iter().position(|byte| !is_space(*byte)).expect("the line is not blank");
    let last = line.iter().rposition(|byte| !is_space(*byte)).expect("the line is not blank");
    let line = &line[first..=last];
    let (verb, rest) = match line.iter().position(|byte| *byte == b' ') {
        Some(space) => (&line[..space], &line[space..]),
        None => (line, &b""[..]),
    };
    let words: Vec<&[u8]> = rest.split(|byte| is_space(*byte)).filter(|word| !word.is_empty()).collect();
    let name = words.join(&b' ');
    // The numbers before the name, for verbs that have them.
    let number = |at: usize| words.get(at).and_then(|word| number(word));
    let after = |numbers: usize| words[numbers..].join(&b' ');
    match verb {
        b"g" => Command::get(Kind::Exclusive, name),
        b"r" => Command::Release(Kind::Exclusive, name),
        b"i" => Command::Inspect(Kind::Exclusive, name),
        b"d" => Command::List(Kind::Exclusive, name),
        b"sg" => Command::get(Kind::Shared, name),
        b"sr" => Command::Release(Kind::Shared, name),
        b"si" => Command::Inspect(Kind::Shared, name),
        b"sd" => Command::List(Kind::Shared, name),
        b"rg" => Command::get(Kind::Read, name),
        b"rr" => Command::Release(Kind::Read, name),
        b"ri" => Command::Inspect(Kind::Read, name),
        b"rf" => Command::Fence(Kind::Read, name),
        b"wg" => Command::get(Kind::Write, name),
        b"wr" => Command::Release(Kind::Write, name),
        b"wi" => Command::Inspect(Kind::Write, name),
        b"wf" => Command::Fence(Kind::Write, name),
        b"rgw" => match number(0) {
            Some(ms) => Command::Get(Wish::at_once(Kind::Read, after(1)).waiting(ms)),
            None => Command::BadArgument(Verb::ReadGetWait),
        },
        b"wgw" => match number(0) {
            Some(ms) => Command::Get(Wish::at_once(Kind::Write, after(1)).waiting(ms)),
            None => Command::BadArgument(Verb::WriteGetWait),
        },
        b"dump" if words.contains(&&b"shared"[..]) => Command::Dump(Kind::Shared),
        b"dump" => Command::Dump(Kind::Exclusive),
        b"gw" => match number(0) {
            Some(ms) => Command::Get(Wish::at_once(Kind::Exclusive, after(1)).waiting(ms)),
            None => Command::BadArgument(Verb::GetWait),
        },
        b"iw" => match number(0) {
            Some(ms) => Command::AwaitEnd { kind: Kind::Exclusive, ms, name: after(1) },
            None => Command::BadArgument(Verb::AwaitEnd),
        },
        b"siw" => match number(0) {
            Some(ms) => Command::AwaitEnd { kind: Kind::Shared, ms, name: after(1) },
            None => Command::BadArgument(Verb::SharedAwaitEnd),
        },
        b"sgl" => match number(0) {
            Some(limit) => Command::Get(Wish::at_once(Kind::Shared, after(1)).limited(limit)),
            None => Command::BadArgument(Verb::SharedGetLimited),
        },
        b"sgw" => match (number(0), number(1)) {
            (Some(ms), Some(limit)) => {
                Command::Get(Wish::at_once(Kind::Shared, after(2)).limited(limit).waiting(ms))
            }
            _ => Command::BadArgument(Verb::SharedGetWait),
        },
        b"ra" => Command::ReleaseAll,
        b"f" => Command::Fence(Kind::Exclusive, name),
        b"sf" => Command::Fence(Kind::Shared, name),
        b"ls" => Command::ListAll(name),
        b"kick" => Command::Kick(name),
        b"linger" => match number(0) {
            Some(ms) => Command::Linger(ms),
            None => Command::BadArgument(Verb::Linger),
        },
        b"resume" => Command::Resume(name),
        b"steal" => Command::Steal(Kind::Exclusive, name),
        b"wsteal" => Command::Steal(Kind::Write, name),
        b"me" => Command::Me,
        b"iam" => Command::Iam(name),
        b"who" => Command::Who(name),
        b"q" => Command::Query { full: words.contains(&&b"full"[..]) },
        b"ping" => Command::Ping,
        b"auth" => Command::Auth(name),
        b"help" => Command::Help(VerbSet::ALL),
        b"quit" => Command::Quit,
        other => Command::Unknown(other.to_vec()),
    }
}

/// One to ten digits, at most 2^32 - 1.
fn number(word: &[u8]) -> Option<u32> {
    let is_number = word.len() <= 10 && word.iter().all(u8::is_ascii_digit);
    if is_number { std::str::from_utf8(word).ok()?.parse().ok() } else { None }
}

fn is_space(byte: u8) -> bool {
    [b'\t', b'\n', 0x0b, 0x0c, b'\r', b' '].contains(&byte)
}
