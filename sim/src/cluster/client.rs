//! Clients: they connect to any node, say lines, and go to another node when a connection ends. What they see is
//! recorded. They draw what they do, and take no care: some keep what they hold until their node dies, some vanish.

use super::common::{ClusterCommon, ClusterPhase};
use super::dialogue::{Dialogue, Heard};
use super::history::SeenEnd;
use super::plan::CLIENTS_OF_HOST;
use elockd_core::{Command, Kind, Reply, Wish};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

/// The locks. One of readers and writers is under the writers' kind.
pub(super) const LOCKS: [(Kind, &str); 4] =
    [(Kind::Exclusive, "x0"), (Kind::Exclusive, "x1"), (Kind::Write, "rw"), (Kind::Shared, "s")];
/// How many may share the shared lock.
pub(super) const SHARES: u32 = 2;
/// Milliseconds within which each client gets each lock, once trouble is over.
const LIVELY_MS: u32 = 12_000;

/// A host of clients. It runs to the end of the run.
pub(super) async fn client_host(common: Rc<ClusterCommon>, host: u8) -> turmoil::Result {
    for nth in 0..CLIENTS_OF_HOST {
        let number = host * CLIENTS_OF_HOST + nth;
        let rng = ChaCha8Rng::seed_from_u64(common.plan.seed ^ (u64::from(number) + 1) << 40);
        let client = NodeClient { common: Rc::clone(&common), number, rng, key: None, held: BTreeSet::new() };
        spawn_local(client.run());
    }
    std::future::pending().await
}

struct NodeClient {
    common: Rc<ClusterCommon>,
    number: u8,
    rng: ChaCha8Rng,
    /// What a session can be resumed by.
    key: Option<Vec<u8>>,
    /// What it holds, as it believes.
    held: BTreeSet<(Kind, &'static str)>,
}

impl NodeClient {
    async fn run(mut self) {
        while self.common.phase() != ClusterPhase::Quiet {
            let Some(mut dialogue) = self.connect().await else { continue };
            let end = self.work(&mut dialogue).await;
            self.part(dialogue, end).await;
        }
        self.common.is_idle();
        while self.common.phase() != ClusterPhase::Lively {
            sleep(Duration::from_millis(20)).await;
        }
        let mut left: Vec<_> = LOCKS.to_vec();
        while !left.is_empty() {
            let Some(mut dialogue) = self.connect().await else { continue };
            let end = self.get_all(&mut dialogue, &mut left).await;
            self.part(dialogue, end).await;
        }
        self.common.is_done();
    }

    /// Connects to a node. `None` if that failed, after a while.
    async fn connect(&mut self) -> Option<Dialogue> {
        const PATIENCE: Duration = Duration::from_millis(500);
        let node = self.rng.random_range(1..=self.common.plan.nodes());
        let dialled = timeout(PATIENCE, Dialogue::open(&self.common, self.number, node)).await;
        if let Ok(Ok(dialogue)) = dialled {
            return Some(dialogue);
        }
        sleep(Duration::from_millis(self.rng.random_range(20..200))).await;
        None
    }

    async fn part(&mut self, dialogue: Dialogue, Err(end): Heard<Never>) {
        dialogue.end(end);
        if end != SeenEnd::Dropped {
            sleep(Duration::from_millis(self.rng.random_range(20..200))).await;
        }
        if self.key.is_none() {
            self.held.clear();
        }
    }

    /// Does things until the connection ends, or is ended.
    async fn work(&mut self, dialogue: &mut Dialogue) -> Heard<Never> {
        self.begin(dialogue).await?;
        for _ in 0..self.rng.random_range(5..60) {
            if self.common.phase() == ClusterPhase::Quiet {
                break;
            }
            let commands = self.draw();
            for (command, answer) in commands.iter().zip(dialogue.ask(&commands).await?) {
                self.learn(command, &answer);
            }
            self.pause(dialogue).await?;
        }
        // A connection that is dropped releases everything, unless it lingers: then some come back for it.
        if self.key.is_some() && (self.common.phase() == ClusterPhase::Quiet || self.rng.random_bool(0.5)) {
            dialogue.ask(&[Command::ReleaseAll]).await?;
            self.key = None;
        }
        Err(SeenEnd::Dropped)
    }

    /// Takes up what an earlier connection left, and perhaps asks for grace.
    async fn begin(&mut self, dialogue: &mut Dialogue) -> Heard<()> {
        if let Some(key) = self.key.take() {
            let answers = dialogue.ask(&[Command::Resume(key)]).await?;
            let is_resumed = matches!(Reply::read(&answers[0]), Some(Reply::Resumed { .. }));
            let held = std::mem::take(&mut self.held);
            for (kind, name) in held.into_iter().filter(|_| is_resumed) {
                let command = Command::Fence(kind, name.into());
                let answers = dialogue.ask(std::slice::from_ref(&command)).await?;
                if matches!(Reply::read(&answers[0]), Some(Reply::Fenced { .. })) {
                    self.held.insert((kind, name));
                }
            }
        }
        if self.rng.random_bool(0.25) {
            let answers = dialogue.ask(&[Command::Linger(self.rng.random_range(500..6_000))]).await?;
            if let Some(Reply::Lingers { key, .. }) = Reply::read(&answers[0]) {
                self.key = key.map(<[u8]>::to_vec);
            }
        }
        Ok(())
    }

    /// What to say next. Often something, and at once something behind it.
    fn draw(&mut self) -> Vec<Command<Vec<u8>>> {
        let held: Vec<_> = self.held.iter().copied().collect();
        let release = (!held.is_empty()).then(|| held[self.rng.random_range(0..held.len().max(1))]);
        let mut commands = Vec::new();
        match (release, self.rng.random_range(0..10)) {
            (Some((kind, name)), 0..4) => commands.push(Command::Release(kind, name.into())),
            (Some((kind, name)), 4..7) => commands.push(Command::Fence(kind, name.into())),
            (Some(_), 7) => commands.push(Command::ReleaseAll),
            (_, 8) => commands.push(Command::Ping),
            (_, 9) => {
                let (kind, name) = LOCKS[self.rng.random_range(0..LOCKS.len())];
                commands.push(Command::Inspect(kind, name.into()));
            }
            _ => {
                let (kind, name) = LOCKS[self.rng.random_range(0..LOCKS.len())];
                commands.push(self.get(kind, name));
            }
        }
        if self.rng.random_bool(0.4)
            && let Some(Command::Get(wish)) = commands.first()
        {
            commands.push(Command::Fence(wish.kind(), wish.name().clone()));
        }
        commands
    }

    fn get(&mut self, kind: Kind, name: &str) -> Command<Vec<u8>> {
        let kind = if kind == Kind::Write && self.rng.random_bool(0.6) { Kind::Read } else { kind };
        let wish = Wish::at_once(kind, name.as_bytes().to_vec());
        let wish = if kind == Kind::Shared { wish.limited(SHARES) } else { wish };
        Command::Get(if self.rng.random_bool(0.6) {
            wish.waiting(self.rng.random_range(50..3_000))
        } else {
            wish
        })
    }

    /// Notes what an answer says of its own locks.
    fn learn(&mut self, command: &Command<Vec<u8>>, answer: &[u8]) {
        let own = |name: &[u8]| LOCKS.iter().map(|(_, name)| *name).find(|own| own.as_bytes() == name);
        match (command, Reply::read(answer)) {
            (_, Some(Reply::Got { kind, name, .. })) => {
                let Some(name) = own(name) else { return };
                // A reader that becomes a writer is a reader no more.
                self.held.retain(|(_, held)| *held != name);
                self.held.insert((kind, name));
            }
            (_, Some(Reply::Released { kind, name } | Reply::NotHeld { kind, name })) => {
                self.held.retain(|held| Some(held.1) != own(name) || held.0 != kind);
            }
            (_, Some(Reply::ReleasedAll { .. })) => self.held.clear(),
            _ => {}
        }
    }

    /// Waits a little, as somebody who works. Who holds something sends a heartbeat from time to time.
    async fn pause(&mut self, dialogue: &mut Dialogue) -> Heard<()> {
        const HEARTBEAT_MS: u32 = 500;
        let mut left = self.rng.random_range(0..if self.held.is_empty() { 150 } else { 1_500 });
        loop {
            let part = left.min(HEARTBEAT_MS);
            dialogue.listen(Duration::from_millis(part.into())).await?;
            left -= part;
            if left == 0 {
                return Ok(());
            }
            if let Some((kind, name)) = self.held.first().copied() {
                dialogue.ask(&[Command::Fence(kind, name.into())]).await?;
            }
        }
    }

    /// Gets each lock, and releases it.
    async fn get_all(
        &mut self,
        dialogue: &mut Dialogue,
        left: &mut Vec<(Kind, &'static str)>,
    ) -> Heard<Never> {
        while let Some((kind, name)) = left.last().copied() {
            let wish = Wish::at_once(kind, name.as_bytes().to_vec()).waiting(LIVELY_MS);
            let wish = if kind == Kind::Shared { wish.limited(SHARES) } else { wish };
            let answers = dialogue.ask(&[Command::Get(wish)]).await?;
            if matches!(Reply::read(&answers[0]), Some(Reply::Got { .. })) {
                dialogue.ask(&[Command::Release(kind, name.into())]).await?;
                left.pop();
            }
        }
        Err(SeenEnd::Dropped)
    }
}

/// There is none.
enum Never {}
