//! One connection that gives the hub the same batches over and over, and checks the length of the replies.

use elockd_core::{Account, Addr, Command, Config, Conn, Kind, Machine, Now, Origin};
use elockd_load::name;
use elockd_server::hub::{Flow, Handle, Hub};
use std::sync::Arc;
use std::time::Instant;

/// Locks that one connection holds throughout. It does nothing else.
const HELD: usize = 10_000;

/// A hub with some locks held. It opens the players.
pub(crate) struct Stage {
    hub: Arc<Hub>,
    began: Instant,
    /// Names that each player has.
    names: usize,
    _owner: Handle,
}

/// A connection with locks of its own.
pub(crate) struct Player {
    handle: Handle,
    batches: Vec<Batch>,
    /// Which batch is next.
    next: usize,
    replies: Vec<u8>,
    began: Instant,
}

/// Commands that run in one go, and the bytes of their replies if all succeed.
struct Batch {
    commands: Vec<Command<String>>,
    reply_bytes: usize,
}

impl Stage {
    /// A hub with some locks held.
    pub(crate) fn new(names: usize) -> Result<Self, String> {
        let hub = Arc::new(Hub::new(Machine::new(Config::default()), None));
        let owner = open(&hub)?;
        let mut replies = Vec::new();
        for number in 0..HELD {
            let get = Command::get(Kind::Exclusive, format!("held.{number:019}"));
            let (_, is_success) = owner.command(Now::default(), &get, &mut replies);
            if is_success != Some(true) {
                return Err(format!("lock {number} is not to be had"));
            }
            replies.clear();
        }
        Ok(Self { hub, began: Instant::now(), names, _owner: owner })
    }

    /// The nth player, with batches of `size` commands.
    pub(crate) fn player(&self, nth: usize, size: usize) -> Result<Player, String> {
        let handle = open(&self.hub)?;
        let names: Vec<_> = (nth * self.names..(nth + 1) * self.names).map(name).collect();
        let batches = batches(&names, size);
        let most = batches.iter().map(|batch| batch.reply_bytes).max().unwrap_or_default();
        // There is room from the start, so that nothing allocates within the lock.
        Ok(Player { handle, batches, next: 0, replies: Vec::with_capacity(2 * most), began: self.began })
    }
}

impl Player {
    /// Runs the next batch, as if it came at `at`, and checks the replies.
    #[inline]
    pub(crate) fn turn(&mut self, at: Instant) -> Result<(), String> {
        let Batch { commands, reply_bytes } = &self.batches[self.next];
        let now = Now(u64::try_from((at - self.began).as_millis()).unwrap_or(u64::MAX));
        let flow = self.handle.batch(now, commands, &mut self.replies);
        if !matches!(flow, Flow::Go) || self.replies.len() != *reply_bytes {
            let replies = String::from_utf8_lossy(&self.replies);
            return Err(format!("expected {reply_bytes} bytes of replies, came {flow:?} and {replies:?}"));
        }
        self.replies.clear();
        self.next = if self.next + 1 == self.batches.len() { 0 } else { self.next + 1 };
        Ok(())
    }
}

/// Opens a connection.
fn open(hub: &Arc<Hub>) -> Result<Handle, String> {
    let origin = |conn: Conn| Origin { addr: Addr::Unix(conn.serial()), account: Account::default() };
    hub.open(Now::default(), origin).map_err(|reason| format!("no connection: {reason:?}"))
}

/// Gets and releases each lock in turn, as often as needed for whole batches and whole rounds of the names.
fn batches(names: &[String], size: usize) -> Vec<Batch> {
    let in_a_batch = (size / 2).max(1);
    let pairs = (1..=names.len()).map(|times| times * in_a_batch).find(|pairs| pairs % names.len() == 0);
    let commands: Vec<(Command<String>, usize)> = names
        .iter()
        .cycle()
        .take(pairs.unwrap_or_default())
        .flat_map(|name| {
            let got = format!("1 Lock Get Success: {name}\n").len();
            let released = format!("1 Lock Release Success: {name}\n").len();
            let get = Command::get(Kind::Exclusive, name.clone());
            [(get, got), (Command::Release(Kind::Exclusive, name.clone()), released)]
        })
        .collect();
    commands
        .chunks(size)
        .map(|chunk| Batch {
            commands: chunk.iter().map(|(command, _)| command.clone()).collect(),
            reply_bytes: chunk.iter().map(|(_, bytes)| bytes).sum(),
        })
        .collect()
}
