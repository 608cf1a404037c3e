//! How much a session does before others have their turn. It is counted as work, not as reads or commands: one read may
//! be thousands of commands, and one command may take as long as a hundred others.

use super::MAX_UNSENT;
use elockd_core::Command;

/// What a session may still do in this turn, in units of work. A unit is about what a plain get or release takes, with
/// its share of reading and writing: 0.06 to 0.1 µs.
#[derive(Debug)]
pub(super) struct Turn {
    left: usize,
}

impl Turn {
    /// Units in a turn: 100 to 200 µs. So a client waits for about that long for each other client that keeps the
    /// daemon busy. To change from one session to the next costs a few µs, so that little is lost.
    pub(super) const UNITS: usize = 2048;
    /// Once no more than this is left, nothing more is read. So a turn mostly ends between two reads, and what was read
    /// need not be kept for the next.
    const TO_READ: usize = Self::UNITS / 2;

    /// The system call of a read, and that of the write that follows.
    const READ: usize = 32;
    /// Bytes of a command that its own unit covers.
    const COVERED: usize = 64;
    /// Bytes beyond those for one unit: of long lines, or of blank ones, which are no commands.
    const READ_BYTES: usize = 32;
    /// Bytes of replies for one unit: they are copied twice.
    const REPLY_BYTES: usize = 256;

    pub(super) fn new() -> Self {
        Self { left: Self::UNITS }
    }

    /// Whether others must have their turn before this session runs anything more.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Whether it may read once more.
    pub(super) fn may_read(&self) -> bool {
        self.left > Self::TO_READ
    }

    /// Notes a read.
    pub(super) fn read(&mut self) {
        self.spend(Self::READ);
    }

    /// Notes bytes that were read, and the commands that were in them.
    pub(super) fn took(&mut self, bytes: usize, commands: usize) {
        self.spend(bytes.saturating_sub(commands * Self::COVERED) / Self::READ_BYTES);
    }

    /// Notes a batch: the work of its commands, and the bytes of their replies.
    pub(super) fn ran(&mut self, work: usize, replied: usize) {
        self.spend(work + replied / Self::REPLY_BYTES);
    }

    fn spend(&mut self, units: usize) {
        self.left = self.left.saturating_sub(units);
    }
}

/// How much more a batch may take. The hub's lock is held for all of it.
#[derive(Debug)]
pub(super) struct Allowance {
    pub(super) work: usize,
    /// Bytes of replies. They count as if each were as long as it may get.
    room: usize,
}

impl Allowance {
    /// Units of work in a batch, and so the most commands in it.
    pub(super) const UNITS: usize = 64;

    /// For a batch that begins when this many bytes of replies are unsent. After `MAX_UNSENT` nothing more is run. So
    /// no more than one reply comes on top.
    pub(super) fn beside(unsent: usize) -> Self {
        Self { work: 0, room: MAX_UNSENT.saturating_sub(unsent) }
    }

    /// Adds a command. Returns whether it must be the last.
    #[inline]
    pub(super) fn add<N: AsRef<[u8]>>(&mut self, command: &Command<N>) -> bool {
        let (work, reply) = cost(command);
        self.work += work;
        self.room = self.room.saturating_sub(reply);
        self.is_used_up()
    }

    /// Whether nothing more may be added.
    pub(super) fn is_used_up(&self) -> bool {
        self.work >= Self::UNITS || self.room == 0
    }
}

/// Bytes of a reply of one line beside the name in it: at least as many as the longest of them has.
const LINE: usize = 64;
/// The work of a wait: 16 in a turn, because each may need a search for deadlocks.
const WAIT: usize = Turn::UNITS / 16;

/// The work of a command, and bytes that its reply does not exceed.
#[inline]
fn cost<N: AsRef<[u8]>>(command: &Command<N>) -> (usize, usize) {
    let line = |name: &N| LINE + name.as_ref().len();
    match command {
        // Nearly all commands are one of these two.
        Command::Get(wish) if wish.ms().is_none() => (1, line(wish.name())),
        Command::Release(_, name) => (1, line(name)),
        Command::Get(wish) => (WAIT, line(wish.name())),
        Command::AwaitEnd { name, .. } => (WAIT, line(name)),
        // All figures are looked up and written as numbers.
        Command::Query { full: true } => (Allowance::UNITS, MAX_UNSENT),
        Command::Query { full: false } => (Allowance::UNITS / 8, 4 << 10),
        Command::Help(_) => (4, 4 << 10),
        // The reply has the name of the account.
        Command::Login(_) => (1, 4 << 10),
        // Its name may have any length.
        Command::Me => (1, MAX_UNSENT),
        Command::Unknown(word) => (1, line(word)),
        _ => (1, command.name().map_or(LINE, line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_core::wire::{encode, parse};
    use elockd_core::{Account, Addr, Config, Conn, DriverInput, Input, Machine, Now, Origin, Output, Reply};

    /// Goal: a batch never brings more bytes than it counts for. Method: every verb, in several states, with its words
    /// as long as any.
    #[test]
    fn no_reply_is_longer_than_it_counts_for() {
        let mut machine = Machine::new(Config::default());
        let conn = Conn::new(0, 1);
        let origin = Origin { addr: Addr::Unix(u64::MAX), account: Account::ADMIN };
        machine.apply(Now(0), DriverInput::Opened(conn, origin), &mut |_, _| {});
        machine.apply(
            Now(0),
            DriverInput::Tokens { first: u64::MAX - 9, last: u64::MAX - 1 },
            &mut |_, _| {},
        );
        let name = "n".repeat(300);
        let lines = [
            "steal NAME",
            "f NAME",
            "g NAME",
            "g NAME",
            "f NAME",
            "i NAME",
            "si NAME",
            "sg NAME",
            "sgl 1 NAME",
            "si NAME",
            "gw x NAME",
            "iam NAME",
            "me",
            "kick unix:7",
            "r NAME",
            "sr NAME",
            "r NAME",
            "sr NAME",
            "ra",
            "help",
            "q",
            "q full",
            "ping",
            "bogus NAME",
            "NAME",
        ];
        let mut longest = 0;
        for line in lines.iter().chain(&lines).map(|line| line.replace("NAME", &name)) {
            let command = parse(line.as_bytes()).expect("a command");
            let mut reply = Vec::new();
            machine.apply(Now(u64::MAX >> 1), Input::Command(conn, &command), &mut |_, output| {
                if let Output::Reply(of) = output {
                    assert!(!matches!(of, Reply::Listing(_)));
                    encode(&of, &mut reply);
                }
            });
            let (work, most) = cost(&command);
            assert!(work >= 1 && !reply.is_empty() && reply.len() <= most, "{line:.20}: {}", reply.len());
            longest = longest.max(reply.len());
        }
        assert!((1 << 10..4 << 10).contains(&longest), "{longest} bytes of figures");
    }

    #[test]
    fn a_batch_is_full_of_work_or_of_replies() {
        let fits = |line: &str, unsent| {
            let mut allowance = Allowance::beside(unsent);
            let command = parse(line.as_bytes()).expect("a command");
            1 + (0..100).take_while(|_| !allowance.add(&command)).count()
        };
        assert_eq!(fits("g x", 0), Allowance::UNITS);
        assert_eq!(fits("r x", MAX_UNSENT - 1000), 16, "replies of 65 bytes at most");
        assert_eq!(fits("g x", MAX_UNSENT), 1);
        assert_eq!([fits("q full", 0), fits("me", 0), fits("gw 1 x", 0)], [1, 1, 1]);
        assert_eq!([fits("q", 0), fits("help", 0)], [8, 16]);
        assert_eq!(fits(&format!("i {}", "n".repeat(9936)), 0), 7, "replies of 10,000 bytes at most");
    }
}
