//! One connection of a client: it sends requests, reads their answers, and notices the end. All of it is recorded.

use super::common::ClusterCommon;
use super::history::SeenEnd;
use super::wires::NodeWire;
use elockd_core::{Command, Reason, wire};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Where clients connect to a node.
pub(super) const CLIENT_PORT: u16 = 9999;
/// How long a client waits for an answer beyond what the request may wait. An earlier end is the node's.
const PATIENCE_MS: u32 = 8_000;

/// What came, or how the connection ended.
pub(super) type Heard<T> = Result<T, SeenEnd>;

/// A client's connection.
pub(super) struct Dialogue {
    common: Rc<ClusterCommon>,
    wire: NodeWire,
    /// Its number in the history.
    number: usize,
    /// The beginning of a line.
    partial: Vec<u8>,
}

impl Dialogue {
    /// Connects a client to a node.
    pub(super) async fn open(common: &Rc<ClusterCommon>, client: u8, node: u16) -> io::Result<Self> {
        let wire = common.wires.dial(&format!("{}:{CLIENT_PORT}", super::node_name(node))).await?;
        let number = common.record(|history| history.opened(client, node, wire.address()));
        Ok(Self { common: Rc::clone(common), wire, number, partial: Vec::new() })
    }

    /// Sends requests at once, and returns their answers.
    pub(super) async fn ask(&mut self, commands: &[Command<Vec<u8>>]) -> Heard<Vec<Vec<u8>>> {
        let number = self.number;
        let lines: Vec<u8> =
            commands.iter().flat_map(|command| [&command.line()[..], b"\n"].concat()).collect();
        let waits_ms = commands.iter().map(super::history::waits_ms).sum::<u32>();
        let first = self.common.record(|history| {
            let numbers: Vec<usize> =
                commands.iter().map(|command| history.sends(number, command.clone())).collect();
            numbers[0]
        });
        if self.wire.write_all(&lines).await.is_err() {
            return Err(SeenEnd::Closed);
        }
        let patience = Duration::from_millis((waits_ms + PATIENCE_MS).into());
        let answers = timeout(patience, async {
            let mut answers = Vec::new();
            for nth in 0..commands.len() {
                let line = self.line().await?;
                let text = String::from_utf8_lossy(&line).into_owned();
                self.common.record(|history| history.answered(number, first + nth, &text));
                answers.push(line);
            }
            Ok(answers)
        });
        answers.await.unwrap_or(Err(SeenEnd::GivenUp))
    }

    /// Lets time pass. Nothing should come meanwhile but the end.
    pub(super) async fn listen(&mut self, time: Duration) -> Heard<()> {
        match timeout(time, self.line()).await {
            Err(_) => Ok(()),
            Ok(Err(end)) => Err(end),
            Ok(Ok(line)) => {
                let line = line.escape_ascii().to_string();
                self.common
                    .blame(&format!("connection #{} was told {line}, and had asked nothing", self.number));
                Err(SeenEnd::Closed)
            }
        }
    }

    /// The connection is over, and is closed here if it was not there.
    pub(super) fn end(self, how: SeenEnd) {
        self.common.record(|history| history.ended(self.number, how));
    }

    /// The next line, which is no last word.
    async fn line(&mut self) -> Heard<Vec<u8>> {
        loop {
            if let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.partial.drain(..=end).collect();
                return match wire::read_reason(&line) {
                    Some(Reason::NoQuorum) => Err(SeenEnd::NoQuorum),
                    Some(_) => Err(SeenEnd::Closed),
                    None => Ok(line),
                };
            }
            let mut room = [0; 1024];
            match self.wire.read(&mut room).await {
                Ok(0) | Err(_) => return Err(SeenEnd::Closed),
                Ok(bytes) => self.partial.extend(&room[..bytes]),
            }
        }
    }
}
