//! How a node answers what other nodes' engines ask.

use crate::raft::Raft;
use crate::raft::machine::{Files, SnapshotData, meta};
use crate::raft::message::{
    APPEND, AppendAnswer, AppendAsk, PIECE, PIECE_BYTES, PRE_VOTE, PieceAnswer, PieceAsk, TRANSFER,
    TransferAnswer, TransferAsk, VOTE, VoteAnswer, VoteAsk,
};
use crate::raft::runtime::Pace;
use crate::raft::types::{Types, ballot, entry, log_id, position, vote};
use crate::store::{Ballot, SnapshotPart};
use crate::wire::{decode, encode};
use openraft::AsyncRuntime;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest, VoteRequest,
};
use openraft::storage::Snapshot;
use std::io::ErrorKind;
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Is called with the term and the leader of whatever a leader sends, before it is answered.
pub(crate) type Heard = Box<dyn Fn(u64, u16) + Send + Sync>;

/// Answers other nodes.
pub(crate) struct Answering<P: Pace> {
    pub(crate) raft: Raft<P>,
    pub(crate) files: Files,
    pub(crate) heard: Heard,
    /// The snapshot that is being received.
    pub(crate) receiving: Arc<Mutex<Option<Receiving>>>,
}

/// A snapshot that is being received, and from whom.
pub(crate) struct Receiving {
    ballot: Ballot,
    part: SnapshotPart,
}

impl<P: Pace> Answering<P> {
    /// The answer. `None` if the question makes no sense, or the engine has stopped.
    pub(crate) async fn answer(&self, from: u16, kind: u8, payload: &[u8]) -> Option<Vec<u8>> {
        match kind {
            APPEND => Some(encode(&self.append(from, decode(payload).ok()?).await?)),
            VOTE | PRE_VOTE => Some(encode(&self.vote(kind, decode(payload).ok()?).await?)),
            TRANSFER => Some(encode(&self.transfer(decode(payload).ok()?).await?)),
            PIECE => Some(encode(&self.piece(from, decode(payload).ok()?).await?)),
            _ => None,
        }
    }

    async fn append(&self, from: u16, asked: AppendAsk) -> Option<AppendAnswer> {
        self.hear(from, asked.ballot)?;
        // The engine expects entries in a row.
        let first = asked.previous.map_or(0, |previous| previous.index + 1);
        let indexes = asked.records.iter().map(|record| record.position.index);
        if !indexes.eq(first..first + asked.records.len() as u64) {
            return None;
        }
        let request = AppendEntriesRequest {
            vote: vote(asked.ballot),
            prev_log_id: asked.previous.map(log_id),
            entries: asked.records.into_iter().map(entry).collect::<Option<_>>()?,
            leader_commit: asked.committed.map(log_id),
        };
        Some(match self.raft.append_entries(request).await.ok()? {
            AppendEntriesResponse::Success => AppendAnswer::Done,
            AppendEntriesResponse::PartialSuccess(last) => AppendAnswer::Part(last.map(position)),
            AppendEntriesResponse::Conflict => AppendAnswer::Conflict,
            AppendEntriesResponse::HigherVote(higher) => AppendAnswer::Higher(ballot(&higher)),
        })
    }

    async fn vote(&self, kind: u8, asked: VoteAsk) -> Option<VoteAnswer> {
        let mut request = VoteRequest::<Types<P>>::new(vote(asked.ballot), asked.last.map(log_id));
        request.leadership_transfer = asked.is_transfer;
        let answer =
            if kind == VOTE { self.raft.vote(request).await } else { self.raft.pre_vote(request).await };
        let answer = answer.ok()?;
        Some(VoteAnswer {
            ballot: ballot(&answer.vote),
            is_granted: answer.vote_granted,
            last: answer.last_log_id.map(position),
        })
    }

    async fn transfer(&self, asked: TransferAsk) -> Option<TransferAnswer> {
        let request = TransferLeaderRequest::new(vote(asked.ballot), asked.to.into(), asked.last.map(log_id));
        Some(match self.raft.handle_transfer_leader(request).await.ok()? {
            Ok(()) => TransferAnswer::Done,
            Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                TransferAnswer::VoteChanged { expected: ballot(&expected), actual: ballot(&actual) }
            }
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
                TransferAnswer::NotFlushed { expected: expected.map(position), actual: actual.map(position) }
            }
        })
    }

    async fn piece(&self, from: u16, asked: PieceAsk) -> Option<PieceAnswer> {
        self.hear(from, asked.ballot)?;
        if asked.piece.len() > PIECE_BYTES {
            return None;
        }
        let mut receiving = Arc::clone(&self.receiving).lock_owned().await;
        let is_older = |present: &Receiving| {
            (present.ballot.term, present.ballot.node) > (asked.ballot.term, asked.ballot.node)
        };
        if let Some(present) = receiving.as_ref().filter(|present| is_older(present)) {
            return Some(PieceAnswer::Done(present.ballot));
        }
        match self.write(&mut receiving, &asked) {
            Ok(offset) if offset < asked.header.length => Some(PieceAnswer::Continue(offset)),
            Ok(_) => self.install(receiving, asked.ballot).await,
            Err(error) => {
                *receiving = None;
                if error.kind() != ErrorKind::InvalidData {
                    // There is no room for it, or the disk is broken.
                    self.files.final_error(std::io::Error::new(error.kind(), error.to_string()));
                }
                Some(PieceAnswer::Refused(error.to_string()))
            }
        }
    }

    /// Writes a piece if it is the next one. Returns how much there is then.
    fn write(&self, receiving: &mut Option<Receiving>, asked: &PieceAsk) -> std::io::Result<u64> {
        if asked.offset == 0 {
            let part = SnapshotPart::receive(self.files.shelf(), asked.header.clone())?;
            *receiving = Some(Receiving { ballot: asked.ballot, part });
        }
        let same = |present: &&mut Receiving| {
            present.ballot == asked.ballot && *present.part.header() == asked.header
        };
        let Some(present) = receiving.as_mut().filter(same) else { return Ok(0) };
        if present.part.written() == asked.offset {
            present.part.write(&asked.piece)?;
        }
        Ok(present.part.written())
    }

    /// Hands a whole snapshot to the engine. It goes on when nobody waits for the answer any more: until it is done, no
    /// other snapshot may come in its place.
    async fn install(
        &self,
        mut receiving: OwnedMutexGuard<Option<Receiving>>,
        sender: Ballot,
    ) -> Option<PieceAnswer> {
        let Receiving { part, .. } = receiving.take()?;
        let snapshot = part.finish().and_then(|file| {
            Ok(Snapshot { meta: meta(file.header())?, snapshot: SnapshotData { file, is_received: true } })
        });
        let snapshot = match snapshot {
            Ok(snapshot) => snapshot,
            Err(error) => return Some(PieceAnswer::Refused(error.to_string())),
        };
        let raft = self.raft.clone();
        let installed = P::Runtime::spawn(async move {
            let installed = raft.install_full_snapshot(vote(sender), snapshot).await;
            drop(receiving);
            installed
        });
        let answer = installed.await.ok()?.ok()?;
        Some(PieceAnswer::Done(ballot(&answer.vote)))
    }

    /// Notes that a leader was heard of. `None` if it is not the one that it says.
    fn hear(&self, from: u16, ballot: Ballot) -> Option<()> {
        if ballot.node != from || !ballot.is_elected {
            return None;
        }
        (self.heard)(ballot.term, ballot.node);
        Some(())
    }
}
