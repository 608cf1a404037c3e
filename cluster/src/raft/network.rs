//! How the engine asks other nodes: its messages become records, and travel by links of four kinds.
//!
//! Appends are sent one after the other, each when the one before is answered. More at a time would be quicker, and
//! wrong: the engine takes an answer for one of all that was sent so far with no entries behind it, and so would count
//! a follower as heard of later than it was.

use crate::net::{Ask, LinkError, Purpose};
use crate::raft::machine::{EngineSnapshot, SnapshotData};
use crate::raft::message::{
    APPEND, AppendAnswer, AppendAsk, PIECE, PIECE_BYTES, PRE_VOTE, PieceAnswer, PieceAsk, TRANSFER,
    TransferAnswer, TransferAsk, VOTE, VoteAnswer, VoteAsk,
};
use crate::raft::runtime::Pace;
use crate::raft::types::{Types, Vote, ballot, log_id, node, position, record, vote};
use crate::wire::{decode, encode};
use bincode::{Decode, Encode};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::time::Duration;

/// How long an answer to entries may take: a follower syncs them first.
const APPEND_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer to a vote, or to the handing over of leadership, may take. A vote is synced first.
const VOTE_WITHIN: Duration = Duration::from_millis(500);
/// How long an answer to a piece of a snapshot may take.
const PIECE_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer to the last piece may take: the snapshot is installed first.
const INSTALL_WITHIN: Duration = Duration::from_secs(120);
/// How long the engine waits before it asks a node again that could not be reached.
const BACKOFF: Duration = Duration::from_millis(100);

/// Makes a network for each node.
pub(crate) struct Networks<P, A> {
    pub(crate) node: u16,
    pub(crate) ask: A,
    pub(crate) pace: PhantomData<fn() -> P>,
}

/// Asks one node.
pub(crate) struct Network<P, A> {
    node: u16,
    to: u16,
    appends: Purpose,
    ask: A,
    pace: PhantomData<fn() -> P>,
}

impl<P, A: Ask> Networks<P, A> {
    fn network(&self, to: u64, appends: Purpose) -> Network<P, A> {
        Network { node: self.node, to: node(to), appends, ask: self.ask.clone(), pace: PhantomData }
    }
}

impl<P: Pace, A: Ask> RaftNetworkFactory<Types<P>> for Networks<P, A> {
    type Network = Network<P, A>;

    async fn new_client(&mut self, target: u64, _address: &String) -> Network<P, A> {
        self.network(target, Purpose::Appends)
    }

    async fn new_heartbeat_client(&mut self, target: u64, _address: &String) -> Network<P, A> {
        self.network(target, Purpose::Beats)
    }
}

impl<P: Pace, A: Ask> Network<P, A> {
    async fn ask<T: Decode<()>>(
        &self,
        purpose: Purpose,
        kind: u8,
        question: &impl Encode,
        within: Duration,
    ) -> Result<T, RPCError<Types<P>>> {
        let answer = self.ask.ask(self.to, purpose, kind, encode(question), within).await;
        let bytes = answer.map_err(|error| match error {
            LinkError::Late(_) => RPCError::Timeout(self.late(kind, within)),
            // The engine waits a little before it tries again.
            LinkError::Unknown(_) | LinkError::Down { .. } => RPCError::Unreachable(Unreachable::new(&error)),
        })?;
        decode(&bytes).map_err(|error| RPCError::Network(NetworkError::new(&error)))
    }

    fn late(&self, kind: u8, within: Duration) -> Timeout<Types<P>> {
        let action = match kind {
            APPEND => RPCTypes::AppendEntries,
            PIECE => RPCTypes::InstallSnapshot,
            TRANSFER => RPCTypes::TransferLeader,
            _ => RPCTypes::Vote,
        };
        Timeout { action, id: self.node.into(), target: self.to.into(), timeout: within }
    }

    async fn ask_vote(
        &self,
        kind: u8,
        request: VoteRequest<Types<P>>,
    ) -> Result<VoteResponse<Types<P>>, RPCError<Types<P>>> {
        let question = VoteAsk {
            ballot: ballot(&request.vote),
            last: request.last_log_id.map(position),
            is_transfer: request.leadership_transfer,
        };
        let answer: VoteAnswer = self.ask(Purpose::Beats, kind, &question, VOTE_WITHIN).await?;
        Ok(VoteResponse::new(vote(answer.ballot), answer.last.map(log_id), answer.is_granted))
    }

    /// Sends the pieces of a snapshot, from where the other side wants them.
    async fn send_snapshot(
        &self,
        sender: Vote,
        data: SnapshotData,
    ) -> Result<SnapshotResponse<Types<P>>, StreamingError<Types<P>>> {
        let header = data.file.header().clone();
        let mut offset = 0;
        loop {
            let piece = data.file.piece(offset, PIECE_BYTES).map_err(|error| NetworkError::new(&error))?;
            let is_last = offset + piece.len() as u64 >= header.length;
            let within = if is_last { INSTALL_WITHIN } else { PIECE_WITHIN };
            let question = PieceAsk { ballot: ballot(&sender), header: header.clone(), offset, piece };
            match self.ask(Purpose::Snapshots, PIECE, &question, within).await? {
                PieceAnswer::Continue(next) => offset = next,
                PieceAnswer::Done(ballot) => return Ok(SnapshotResponse::new(vote(ballot))),
                PieceAnswer::Refused(reason) => return Err(Unreachable::from_string(reason).into()),
            }
        }
    }
}

impl<P: Pace, A: Ask> RaftNetworkV2<Types<P>> for Network<P, A> {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types<P>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<P>>, RPCError<Types<P>>> {
        let question = AppendAsk {
            ballot: ballot(&request.vote),
            previous: request.prev_log_id.map(position),
            committed: request.leader_commit.map(position),
            records: request.entries.into_iter().map(record).collect(),
        };
        // The engine gives a sign of life no longer than this anyway.
        let within = if self.appends == Purpose::Beats { option.hard_ttl() } else { APPEND_WITHIN };
        Ok(match self.ask(self.appends, APPEND, &question, within).await? {
            AppendAnswer::Done => AppendEntriesResponse::Success,
            AppendAnswer::Part(last) => AppendEntriesResponse::PartialSuccess(last.map(log_id)),
            AppendAnswer::Conflict if question.previous.is_none() => {
                let wrong =
                    NetworkError::from_string("nothing stands before the first entry to conflict with");
                return Err(wrong.into());
            }
            AppendAnswer::Conflict => AppendEntriesResponse::Conflict,
            AppendAnswer::Higher(higher) => AppendEntriesResponse::HigherVote(vote(higher)),
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types<P>>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types<P>>, RPCError<Types<P>>> {
        self.ask_vote(VOTE, request).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types<P>>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types<P>>, RPCError<Types<P>>> {
        self.ask_vote(PRE_VOTE, request).await
    }

    async fn full_snapshot(
        &mut self,
        sender: Vote,
        snapshot: EngineSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types<P>>, StreamingError<Types<P>>> {
        let sending = pin!(self.send_snapshot(sender, snapshot.snapshot));
        match futures_util::future::select(pin!(cancel), sending).await {
            futures_util::future::Either::Left((closed, _)) => Err(closed.into()),
            futures_util::future::Either::Right((sent, _)) => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types<P>>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<P>>, RPCError<Types<P>>> {
        let question = TransferAsk {
            ballot: ballot(request.from_leader()),
            to: node(*request.to_node_id()),
            last: request.last_log_id().copied().map(position),
        };
        Ok(match self.ask(Purpose::Beats, TRANSFER, &question, VOTE_WITHIN).await? {
            TransferAnswer::Done => Ok(()),
            TransferAnswer::VoteChanged { expected, actual } => {
                Err(TransferLeaderError::VoteChanged { expected: vote(expected), actual: vote(actual) })
            }
            TransferAnswer::NotFlushed { expected, actual } => Err(TransferLeaderError::LogNotFlushed {
                expected: expected.map(log_id),
                actual: actual.map(log_id),
            }),
        })
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(BACKOFF)))
    }
}
