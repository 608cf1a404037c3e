//! One connection to a daemon: requests go out, whole answers come in, in the same order. It knows from each request
//! where its answer ends. It decides nothing about locks.

use crate::access_token::AccessToken;
use crate::answer::Answer;
use crate::error::{Error, Refusal};
use elockd_core::wire::{parse, read_reason};
use elockd_core::{Command, Reply};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

/// The most bytes of one answer. A daemon's listings are within 64 MiB, and may be set higher.
const MOST_ANSWER: usize = 1 << 30;
/// Bytes that are read at once.
const PIECE: usize = 4096;

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// With its line.
    Line,
    /// With an empty line, which may be its only one.
    EmptyLine,
}

/// A connection over any stream.
///
/// Requests may be pipelined: [`send`](Self::send) queues one, and [`receive`](Self::receive) writes what is queued and
/// returns the next answer. All futures may be dropped and asked for again; nothing is lost by that.
///
/// It has no limits of time. Dropping it closes the connection, and the daemon releases its locks.
///
/// ```
/// use elockd_client::{Command, Connection, Kind, Net, Reply, Server, Transport};
///
/// # async fn example() -> Result<(), elockd_client::Error> {
/// let mut connection = Connection::new(Net.connect(&Server::default()).await?);
/// let answer = connection.ask(&Command::get(Kind::Exclusive, "cron.daily")).await?;
/// match answer.reply() {
///     Some(Reply::Got { .. }) => println!("it is ours"),
///     _ => println!("{}", answer.text().escape_ascii()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    /// Requests that are not written yet, from `written` on.
    output: Vec<u8>,
    written: usize,
    /// Whether the stream takes no more. Answers may still come.
    is_closed_for_writing: bool,
    /// Bytes that were read and not returned yet.
    input: Vec<u8>,
    /// Where in `input` no end was found yet.
    searched: usize,
    /// How the answers end that are still to come.
    expected: VecDeque<Ending>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection over a stream on which nothing was said yet.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            output: Vec::new(),
            written: 0,
            is_closed_for_writing: false,
            input: Vec::new(),
            searched: 0,
            expected: VecDeque::new(),
        }
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// How many answers are still to come.
    pub fn unanswered(&self) -> usize {
        self.expected.len()
    }

    /// Queues a request. It is written by the next [`receive`](Self::receive) or [`flush`](Self::flush).
    ///
    /// A name must have no line end in it: what follows would be a request of its own.
    pub fn send<N: AsRef<[u8]>>(&mut self, command: &Command<N>) {
        command.write(&mut self.output);
        if !matches!(command, Command::Quit) {
            self.expected.push_back(if command.is_framed() { Ending::EmptyLine } else { Ending::Line });
        }
    }

    /// Queues a line as somebody typed it, without its end. Returns whether an answer will come: a blank line and
    /// `quit` have none. A daemon with `--silent-errors` does not answer unknown verbs, either.
    ///
    /// # Errors
    ///
    /// [`Error::BadName`] if it is more than one line.
    pub fn send_line(&mut self, line: &[u8]) -> Result<bool, Error> {
        if line.contains(&b'\n') {
            return Err(Error::BadName);
        }
        let Some(command) = parse(line) else { return Ok(false) };
        self.output.extend_from_slice(line);
        self.output.push(b'\n');
        if matches!(command, Command::Quit) {
            return Ok(false);
        }
        self.expected.push_back(if command.is_framed() { Ending::EmptyLine } else { Ending::Line });
        Ok(true)
    }

    /// Sends a request and returns its answer. All earlier requests must have been answered.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub async fn ask<N: AsRef<[u8]>>(&mut self, command: &Command<N>) -> Result<Answer, Error> {
        assert!(self.expected.is_empty(), "earlier requests must be answered first");
        self.send(command);
        self.receive().await
    }

    /// Says which account it is. All earlier requests must have been answered.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the daemon does not know the token, or knows none. Otherwise as
    /// [`receive`](Self::receive).
    pub async fn log_in(&mut self, token: &AccessToken) -> Result<(), Error> {
        let answer = self.ask(&Command::Auth(token.bytes())).await?;
        match answer.reply() {
            Some(Reply::LoggedIn { .. }) => Ok(()),
            _ => Err(answer.unexpected("`1 Auth Success`")),
        }
    }

    /// Writes what is queued.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the stream breaks.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_write(cx)).await;
        if self.is_closed_for_writing && !self.output.is_empty() { Err(Error::ended()) } else { Ok(()) }
    }

    /// Writes what is queued and returns the next answer. If none is expected, it returns only when the connection
    /// ends, with the error.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the connection ends. [`Error::Refused`] if the daemon has too many connections or no quorum.
    /// [`Error::Protocol`] if the daemon says what nobody asked for. The connection must not be used after an error.
    pub async fn receive(&mut self) -> Result<Answer, Error> {
        loop {
            if let Some(answer) = self.take_answer()? {
                return Ok(answer);
            }
            poll_fn(|cx| {
                // What cannot be written now is written when there is room, also while an answer is awaited.
                let _ = self.poll_write(cx);
                self.poll_fill(cx)
            })
            .await?;
        }
    }

    /// Ends the connection: says `quit` and waits until the daemon has closed it. From then on nobody meets its locks.
    /// Answers that were still to come are dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the daemon has not closed it within `patience`. The connection is closed in any case.
    pub async fn quit(mut self, patience: Duration) -> Result<(), Error> {
        self.send(&Command::<&[u8]>::Quit);
        let ending = async {
            while poll_fn(|cx| {
                let _ = self.poll_write(cx);
                self.poll_fill(cx)
            })
            .await
            .is_ok()
            {
                self.input.clear();
            }
        };
        timeout(patience, ending).await.map_err(|_| Error::silent())
    }

    /// Whether it is as new: every request is answered, and neither bytes nor an end have come since.
    pub(crate) fn is_idle(&mut self) -> bool {
        let is_quiet = self.expected.is_empty() && self.output.is_empty() && self.input.is_empty();
        is_quiet && self.poll_fill(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Writes what is queued, until all of it is written or the stream takes no more for ever.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.written < self.output.len() && !self.is_closed_for_writing {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output[self.written..]) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => self.written += bytes,
                // The answers that were sent before the stream broke can still be read. Reading tells the reason.
                Poll::Ready(_) => self.is_closed_for_writing = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        if !self.is_closed_for_writing {
            self.output.clear();
            self.written = 0;
            if Pin::new(&mut self.stream).poll_flush(cx).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Reads once.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut piece = [0; PIECE];
        let mut piece = ReadBuf::new(&mut piece);
        match Pin::new(&mut self.stream).poll_read(cx, &mut piece) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(Error::Io(error))),
            Poll::Ready(Ok(())) if piece.filled().is_empty() => Poll::Ready(Err(Error::ended())),
            Poll::Ready(Ok(())) => {
                self.input.extend_from_slice(piece.filled());
                Poll::Ready(Ok(()))
            }
        }
    }

    /// The next answer, if all of it was read.
    fn take_answer(&mut self) -> Result<Option<Answer>, Error> {
        if let Some(end) = self.input.iter().position(|byte| *byte == b'\n')
            && let Some(refusal) = read_reason(&self.input[..=end]).and_then(Refusal::of_reason)
        {
            return Err(Error::Refused(refusal));
        }
        let Some(ending) = self.expected.front() else {
            return if self.input.is_empty() {
                Ok(None)
            } else {
                Err(Error::protocol("nothing", &self.input))
            };
        };
        let end = match ending {
            Ending::Line => self.find(b"\n"),
            Ending::EmptyLine if self.input.first() == Some(&b'\n') => Some(1),
            Ending::EmptyLine => self.find(b"\n\n"),
        };
        let Some(end) = end else {
            // An end of two bytes may be cut between them.
            self.searched = self.input.len().saturating_sub(1);
            if self.input.len() > MOST_ANSWER {
                return Err(Error::protocol("an answer of reasonable length", &self.input));
            }
            return Ok(None);
        };
        let rest = self.input.split_off(end);
        let text = std::mem::replace(&mut self.input, rest);
        self.searched = 0;
        self.expected.pop_front();
        Ok(Some(Answer::new(text)))
    }

    /// Where the next answer ends, if its end was read.
    fn find(&self, end: &[u8]) -> Option<usize> {
        let found = self.input[self.searched..].windows(end.len()).position(|bytes| bytes == end)?;
        Some(self.searched + found + end.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_core::{Kind, Reply, Subject};
    use std::io;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    fn pair(buffer: usize) -> (Connection<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(buffer);
        (Connection::new(near), far)
    }

    async fn said(far: &mut DuplexStream, text: &str) {
        let mut read = vec![0; text.len()];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&read), text);
    }

    /// Goal: answers are told apart however they are cut. Method: answers of both endings, byte by byte.
    #[tokio::test]
    async fn answers_are_whole_however_the_bytes_are_cut() {
        let (mut near, mut far) = pair(1);
        near.send(&Command::get(Kind::Exclusive, "a"));
        near.send(&Command::ListAll(""));
        near.send(&Command::ListAll("b"));
        near.send(&Command::<&str>::Ping);
        assert_eq!(near.unanswered(), 4);
        let daemon = async {
            said(&mut far, "g a\nls\nls b\nping\n").await;
            far.write_all(b"1 Lock Get Success: a\nx 1 0 unix:1 a\n\n\n1 pong\n").await.unwrap();
            far
        };
        let client = async {
            let got = near.receive().await.unwrap();
            assert_eq!(got.reply(), Some(Reply::Got { kind: Kind::Exclusive, holders: 1, name: b"a" }));
            assert_eq!(near.receive().await.unwrap().rows(Subject::All).unwrap().len(), 1);
            assert_eq!(near.receive().await.unwrap().rows(Subject::All).unwrap().len(), 0);
            assert_eq!(near.receive().await.unwrap().reply(), Some(Reply::Pong));
        };
        let (_far, ()) = tokio::join!(daemon, client);
        assert_eq!(near.unanswered(), 0);
        assert!(near.is_idle());
    }

    /// Goal: a client that pipelines much and a daemon that answers before it reads on do not wait for each other.
    /// Method: buffers of few bytes, and a daemon that answers each request before it reads the next.
    #[tokio::test]
    async fn it_reads_while_it_writes() {
        let (mut near, mut far) = pair(8);
        let daemon = async {
            for _ in 0..1000 {
                said(&mut far, "ping\n").await;
                far.write_all(b"1 pong\n").await.unwrap();
            }
        };
        let client = async {
            (0..1000).for_each(|_| near.send(&Command::<&str>::Ping));
            for _ in 0..1000 {
                assert_eq!(near.receive().await.unwrap().reply(), Some(Reply::Pong));
            }
        };
        tokio::join!(daemon, client);
    }

    #[tokio::test]
    async fn ends_and_words_that_nobody_asked_for_are_errors() {
        let (mut near, far) = pair(64);
        assert!(near.is_idle());
        drop(far);
        assert!(!near.is_idle());
        let ended = near.receive().await;
        assert!(matches!(ended, Err(Error::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof));

        let (mut near, mut far) = pair(64);
        far.write_all(b"hello\n").await.unwrap();
        assert!(matches!(near.receive().await, Err(Error::Protocol { answer, .. }) if answer == "hello"));

        let (mut near, mut far) = pair(64);
        near.send(&Command::ListAll(""));
        far.write_all(b"0 Too Many Connections\n").await.unwrap();
        assert!(matches!(near.receive().await, Err(Error::Refused(Refusal::TooManyConnections))));

        // Nobody has asked, and somebody has.
        let (mut near, mut far) = pair(64);
        far.write_all(b"0 No Quorum\n").await.unwrap();
        assert!(!near.is_idle());
        assert!(matches!(near.receive().await, Err(Error::Refused(Refusal::NoQuorum))));

        let (mut near, mut far) = pair(64);
        near.send(&Command::<&str>::Ping);
        near.send(&Command::ListAll(""));
        far.write_all(b"1 pong\n0 No Quorum\n").await.unwrap();
        assert_eq!(near.receive().await.unwrap().reply(), Some(Reply::Pong));
        assert!(matches!(near.receive().await, Err(Error::Refused(Refusal::NoQuorum))));

        let (mut near, mut far) = pair(64);
        near.send(&Command::ListAll(""));
        far.write_all(b"0 disabled\n\n").await.unwrap();
        let listing = near.receive().await.unwrap();
        assert!(listing.is_failure());
        assert!(matches!(listing.rows(Subject::All), Err(Error::Refused(Refusal::Disabled))));
    }

    #[tokio::test(start_paused = true)]
    async fn quit_waits_for_the_end_and_not_for_ever() {
        let (near, mut far) = pair(64);
        let daemon = tokio::spawn(async move {
            said(&mut far, "quit\n").await;
            far.write_all(b"1 pong\n").await.unwrap();
        });
        near.quit(Duration::from_secs(1)).await.unwrap();
        daemon.await.unwrap();

        let (near, _far) = pair(64);
        let begin = tokio::time::Instant::now();
        assert!(near.quit(Duration::from_secs(1)).await.is_err());
        assert_eq!(begin.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn lines_are_sent_as_typed() {
        let (mut near, mut far) = pair(64);
        assert!(near.send_line(b"G  x").unwrap(), "the daemon says that it is unknown");
        assert!(!near.send_line(b"  ").unwrap());
        assert!(matches!(near.send_line(b"g a\nra"), Err(Error::BadName)));
        assert!(!near.send_line(b"quit").unwrap());
        near.flush().await.unwrap();
        said(&mut far, "G  x\nquit\n").await;
        assert_eq!(near.unanswered(), 1);
    }
}
