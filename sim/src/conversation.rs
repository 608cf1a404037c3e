//! One connection's conversation, as its client sees it: which requests it has made, in what it wrote, and
//! which replies it has got, in what it read. A client knows where each reply ends, from what it asked.

use elockd_core::Command;
use elockd_model_tests::lines::commands;
use std::collections::VecDeque;

/// What a client has said and heard.
#[derive(Clone, Debug)]
pub struct Conversation {
    max_line_bytes: usize,
    silent_errors: bool,
    /// The start of a line that is not complete.
    line: Vec<u8>,
    /// Requests that are not answered yet, in order. Those that get no answer are not in it.
    open: VecDeque<(usize, Shape)>,
    /// Requests so far.
    requests: usize,
    /// The start of a reply that is not complete.
    reply: Vec<u8>,
}

/// How a reply ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// With its line.
    Line,
    /// With an empty line.
    Block,
    /// There is none.
    Nothing,
}

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request it answers, counted from 0.
    pub request: usize,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Conversation {
    /// A conversation at its start, with a server that has these settings.
    #[must_use]
    pub fn new(max_line_bytes: u32, silent_errors: bool) -> Self {
        Self {
            max_line_bytes: max_line_bytes as usize,
            silent_errors,
            line: Vec::new(),
            open: VecDeque::new(),
            requests: 0,
            reply: Vec::new(),
        }
    }

    /// The client wrote this. Says which requests are complete with it.
    pub fn said(&mut self, bytes: &[u8]) -> Vec<Command<Vec<u8>>> {
        let mut made = Vec::new();
        for byte in bytes {
            let was_too_long = self.line.len() > self.max_line_bytes;
            self.line.push(*byte);
            let is_end = *byte == b'\n';
            // A line over the limit is answered as soon as that is known, and not again at its end.
            let is_too_long = !is_end && self.line.len() > self.max_line_bytes;
            if !was_too_long && (is_end || is_too_long) {
                made.extend(commands(&self.line, self.max_line_bytes));
            }
            if is_end {
                self.line.clear();
            }
        }
        for command in &made {
            let shape = self.shape(command);
            if shape != Shape::Nothing {
                self.open.push_back((self.requests, shape));
            }
            self.requests += 1;
        }
        made
    }

    /// The client read this. Says which replies are complete with it.
    ///
    /// # Errors
    ///
    /// The bytes that are the answer to nothing.
    pub fn heard(&mut self, bytes: &[u8]) -> Result<Vec<Answer>, Vec<u8>> {
        let mut answers = Vec::new();
        for byte in bytes {
            self.reply.push(*byte);
            let Some((request, shape)) = self.open.front() else { return Err(self.reply.clone()) };
            let is_complete = match shape {
                Shape::Block => self.reply.ends_with(b"\n\n") || self.reply == b"\n",
                Shape::Line | Shape::Nothing => *byte == b'\n',
            };
            if is_complete {
                answers.push(Answer { request: *request, bytes: std::mem::take(&mut self.reply) });
                self.open.pop_front();
            }
        }
        Ok(answers)
    }

    /// The start of a reply that is not complete.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.reply
    }

    /// Requests that are not answered and should be.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.open.len()
    }

    /// Whether the client is in the middle of a line.
    #[must_use]
    pub fn is_within_a_line(&self) -> bool {
        !self.line.is_empty()
    }

    fn shape(&self, command: &Command<Vec<u8>>) -> Shape {
        match command {
            Command::Unknown(_) if self.silent_errors => Shape::Nothing,
            // The connection ends instead.
            Command::Quit => Shape::Nothing,
            _ if command.is_framed() => Shape::Block,
            _ => Shape::Line,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_end_where_their_requests_say() {
        let mut conversation = Conversation::new(20, false);
        let made = conversation.said(b"g a\nd\n\n what\nq");
        assert_eq!(made.len(), 3, "blank lines are none");
        assert_eq!(conversation.said(b" full\nda").len(), 1);
        assert!(conversation.is_within_a_line());
        let answers = conversation.heard(b"1 ok\na: b\n\n0 Unknown Command: what\nx: 1\n").unwrap();
        let texts: Vec<_> = answers.iter().map(|answer| &answer.bytes[..]).collect();
        assert_eq!(texts, [&b"1 ok\n"[..], b"a: b\n\n", b"0 Unknown Command: what\n"]);
        assert_eq!(conversation.unanswered(), 1);
        assert_eq!(conversation.heard(b"\n").unwrap(), [Answer { request: 3, bytes: b"x: 1\n\n".to_vec() }]);
        assert_eq!(conversation.heard(b"z"), Err(b"z".to_vec()), "nobody asked");
    }

    #[test]
    fn a_line_over_the_limit_is_one_request_as_soon_as_that_is_known() {
        let mut conversation = Conversation::new(4, false);
        assert_eq!(conversation.said(b"1234").len(), 0);
        assert_eq!(conversation.said(b"5"), [Command::LineTooLong]);
        assert_eq!(conversation.said(b"678\nping\n"), [Command::Ping]);
        assert_eq!(conversation.said(b"12345\n"), [Command::LineTooLong]);
    }
}
