//! A connection that runs. In turns, it reads, runs the commands in batches, and writes all replies at once.

use super::backlog::{Asked, Unrun};
use super::scratch::{self, Scratch};
use super::serving::give_way;
use super::state::{End, State};
use super::turn::{Allowance, Turn};
use super::{MAX_UNSENT, Session, Step};
use crate::gate::{Gate, GateHandle};
use crate::hub::{Ending, Flow};
use crate::listen::Stream;
use arrayvec::ArrayVec;
use elockd_core::{Command, Now};
use elockd_core::{bug, mark};
use std::borrow::Cow;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;
use tokio::time::Instant;

impl<S: Stream, G: Gate> Session<S, G> {
    /// Reads, runs and writes until the session must do something else.
    pub(super) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        scratch::with(|scratch| {
            let step = self.poll_step_with(cx, scratch);
            // Replies that could not be sent stay with the connection. The next connection uses the scratch.
            if !scratch.replies.is_empty() {
                self.unsent().extend_from_slice(&scratch.replies);
            }
            if !bug!(RepliesLeftForTheNextConnection) {
                scratch.replies.clear();
            }
            step
        })
    }

    fn poll_step_with(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Step> {
        let mut turn = Turn::new();
        loop {
            if let Poll::Ready(Err(end)) = self.poll_send(cx, &mut scratch.replies) {
                return Poll::Ready(Step::End(end));
            }
            if matches!(self.state, State::Waiting) {
                if let Some(step) = ready!(self.poll_wait(cx, scratch, &mut turn)) {
                    return Poll::Ready(step);
                }
                if matches!(self.state, State::Waiting) {
                    continue;
                }
                let attempt = self.take_attempt();
                match attempt.and_then(|attempt| self.after_login(&attempt, &mut scratch.replies)) {
                    Some(step) => return Poll::Ready(step),
                    None => continue,
                }
            }
            let unsent = self.unsent_len();
            if unsent < MAX_UNSENT || bug!(RepliesWithoutBound) {
                // All that could be sent is sent.
                if turn.is_over() {
                    mark!(TurnWasOver);
                    return give_way(cx);
                }
                if !matches!(self.state, State::New)
                    && let Some(unrun) = self.take_unrun()
                {
                    let Unrun { input, read_at } = unrun;
                    if let Some(step) = self.run(&input, Some(read_at), &mut turn, &mut scratch.replies) {
                        return Poll::Ready(step);
                    }
                    continue;
                }
                if self.is_at_end() {
                    return Poll::Ready(Step::End(End::Eof));
                }
                if !turn.may_read() {
                    return give_way(cx);
                }
                let room = self.may_read_bytes(scratch.input.len());
                if room == 0 {
                    return Poll::Ready(Step::End(End::Stranger));
                }
                turn.read();
                let mut buffer = ReadBuf::new(&mut scratch.input[..room]);
                match self.poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                        self.backlog().is_at_end = true;
                        continue;
                    }
                    Poll::Ready(Ok(())) => {
                        let (input, replies) = (buffer.filled(), &mut scratch.replies);
                        self.note_read(input.len());
                        let step = if matches!(self.state, State::New) {
                            self.begin(input, &mut turn, replies)
                        } else {
                            self.run(input, None, &mut turn, replies)
                        };
                        if let Some(step) = step {
                            return Poll::Ready(step);
                        }
                        continue;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Step::End(End::Error)),
                    Poll::Pending => {}
                }
            } else {
                mark!(ReadingStopped);
            }
            if let Poll::Ready(end) = self.poll_stranger(cx) {
                return Poll::Ready(Step::End(end));
            }
            return match ready!(self.poll_ending(cx)) {
                // Input that was read is answered first. When the peer takes replies again, the session goes on here.
                Ending::Drained if unsent >= MAX_UNSENT && !bug!(DrainDropsWhatWasRead) => {
                    mark!(DrainWaitedForReplies);
                    Poll::Pending
                }
                Ending::Drained => Poll::Ready(Step::End(End::Drained)),
                Ending::Machine(reason) => {
                    mark!(EndedByMail);
                    Poll::Ready(Step::End(End::Closed(reason)))
                }
            };
        }
    }

    /// Runs the commands in `input` until it is used up, the turn is over, or something else comes first. Then the rest
    /// is kept. `read_at` is when the input was read, if it had to wait; `None` is just now.
    pub(super) fn run(
        &mut self,
        mut input: &[u8],
        read_at: Option<Instant>,
        turn: &mut Turn,
        replies: &mut Vec<u8>,
    ) -> Option<Step> {
        let run_at = Instant::now();
        let mut now = self.shared.clock.at(run_at);
        let read_at = read_at.unwrap_or(run_at);
        let unsent = self.unsent_len();
        loop {
            // One by one if they are logged, so that each command's reply is known, or if each counts.
            let is_logged = self.log.is_some();
            let is_alone = is_logged || self.is_stranger();
            let mut batch = ArrayVec::<_, { Allowance::UNITS }>::new();
            let mut allowance = Allowance::beside(unsent + replies.len());
            let there = input.len();
            loop {
                let is_last = self.decoder.give_next(&mut input, |command| {
                    let is_last = allowance.add(&command) | command.ends_batch();
                    batch.push(command);
                    is_last || is_alone
                });
                if is_last != Some(false) {
                    break;
                }
            }
            turn.took(there - input.len(), batch.len());
            if batch.is_empty() {
                return None;
            }
            if allowance.is_used_up() {
                mark!(BatchWasFull);
            }
            let commands = batch.len() as u64;
            if batch.last().is_some_and(Command::may_wait) {
                // A wait's time begins when its command runs, not when that was read.
                now = self.shared.clock.now();
            }
            let attempt = match self.asker {
                None => None,
                Some(_) => match self.judge(&mut batch) {
                    Ok(attempt) => attempt,
                    Err(end) => return Some(Step::End(end)),
                },
            };
            let before = replies.len();
            let flow = if is_logged {
                self.batch_logged(now, batch, replies)
            } else {
                self.handle.batch(now, &batch, replies)
            };
            turn.ran(allowance.work, replies.len() - before);
            if let Some(latency) = &self.shared.latency {
                if G::ANSWERS_BY_MAIL && matches!(flow, Flow::Wait) {
                    self.backlog().asked = Some(Asked { commands, read_at });
                } else {
                    latency.note(commands, read_at.elapsed());
                }
            }
            let login = match (attempt, &flow) {
                (Some(attempt), Flow::Go) => self.after_login(&attempt, replies),
                (Some(attempt), Flow::Wait) => {
                    self.keep_attempt(attempt);
                    None
                }
                _ => None,
            };
            let has_room = unsent + replies.len() < MAX_UNSENT || bug!(RepliesWithoutBound);
            let step = match flow {
                Flow::Go if login.is_some() => login,
                Flow::Go if has_room && !turn.is_over() => continue,
                Flow::Go => None,
                Flow::Wait => {
                    self.state = State::Waiting;
                    None
                }
                Flow::List(scan) => Some(Step::List(scan)),
                Flow::Close(reason) => Some(Step::End(End::Closed(reason))),
            };
            if !input.is_empty() {
                mark!(InputHadToWait);
                self.backlog().unrun = Some(Unrun { input: input.to_vec(), read_at });
            }
            return step;
        }
    }

    /// Like the handle's `batch`, and tells the log. Here a batch is one command.
    #[cold]
    fn batch_logged<'a>(
        &mut self,
        now: Now,
        batch: impl IntoIterator<Item = Command<Cow<'a, [u8]>>>,
        replies: &mut Vec<u8>,
    ) -> Flow {
        let mut flow = Flow::Go;
        for command in batch {
            if let (Command::ReleaseAll, Some(log)) = (&command, &mut self.log) {
                log.forget_stolen(|kind, name| self.handle.is_holder(kind, name));
            }
            let told = command.clone().map(Cow::into_owned);
            let is_success;
            (flow, is_success) = self.handle.command(now, &command, replies);
            if let Some(log) = &mut self.log {
                match flow {
                    Flow::Wait => log.waits(told),
                    _ => log.heard(told, is_success),
                }
            }
        }
        flow
    }
}
