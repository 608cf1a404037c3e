//! A WebSocket as a stream of lines. The session reads and writes lines as on any other stream.
//!
//! - A message that comes has one or several lines. Its end ends a line too, so that a message needs no `\n`.
//! - Replies leave in messages of whole lines. A line of more than [`MOST`] bytes is more than one message.
//! - Messages leave as text if the last one that came was text, and if they are UTF-8. Otherwise they are binary.

use crate::listen::beneath::Beneath;
use crate::listen::{Gone, Stream};
use futures_core::Stream as _;
use futures_sink::Sink as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

/// Bytes of the longest message that leaves.
pub(super) const MOST: usize = 16 << 10;
/// A stream of lines over a WebSocket. It is boxed, because sessions are moved.
#[derive(Debug)]
pub struct WebSocket<S>(Box<Inner<S>>);

#[derive(Debug)]
struct Inner<S> {
    socket: WebSocketStream<Beneath<S>>,
    /// What is left of the last message.
    input: Bytes,
    /// Whether a line must be ended behind it.
    owes_newline: bool,
    /// Whether the last message was text.
    is_text: bool,
    /// The beginning of a line that is to leave.
    line: Vec<u8>,
    ending: SocketEnd,
    /// The end of input, for the next read: this one had input before it.
    end: Option<io::Result<()>>,
    pings: Option<Pings>,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketEnd {
    /// It has not begun.
    None,
    /// Nothing more can be read, because the peer has broken a rule. The code says which.
    Failed(CloseCode),
    /// The peer has closed.
    Closed,
}

/// Pings, by which a peer is found that has gone without a word.
#[derive(Debug)]
struct Pings {
    every: Duration,
    next: Pin<Box<Sleep>>,
    /// Whether a ping was sent, and nothing was heard since.
    is_open: bool,
}

impl<S> WebSocket<S> {
    /// The lines of a WebSocket whose handshake is over. `ping` is how often the peer is asked for a sign.
    pub(super) fn new(socket: WebSocketStream<Beneath<S>>, ping: Option<Duration>) -> Self {
        let pings = ping.map(|every| Pings { every, next: Box::pin(sleep(every)), is_open: false });
        Self(Box::new(Inner {
            socket,
            input: Bytes::new(),
            owes_newline: false,
            is_text: true,
            line: Vec::new(),
            ending: SocketEnd::None,
            end: None,
            pings,
        }))
    }
}

#[cfg(test)]
impl<S> WebSocket<S> {
    /// Whether the peer has broken a rule.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.0.ending, SocketEnd::Failed(_))
    }
}

impl<S: Stream> Inner<S> {
    fn beneath(&mut self) -> &mut Beneath<S> {
        self.socket.get_mut()
    }

    fn socket(&mut self) -> Pin<&mut WebSocketStream<Beneath<S>>> {
        Pin::new(&mut self.socket)
    }

    /// Copies what is left of the last message, as far as there is room.
    fn take_input(&mut self, buffer: &mut ReadBuf<'_>) {
        let bytes = self.input.split_to(self.input.len().min(buffer.remaining()));
        buffer.put_slice(&bytes);
        if self.input.is_empty() && buffer.remaining() > 0 && std::mem::take(&mut self.owes_newline) {
            buffer.put_slice(b"\n");
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(end) = self.end.take() {
            return Poll::Ready(end);
        }
        if self.ending != SocketEnd::None {
            // Whatever still comes is dropped by the caller.
            return Pin::new(self.beneath()).poll_read(cx, buffer);
        }
        let before = buffer.filled().len();
        loop {
            self.take_input(buffer);
            if buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let Poll::Ready(next) = self.socket().poll_next(cx) else {
                // The pings are due even if messages never cease.
                let failed = self.poll_pings(cx);
                let is_read = buffer.filled().len() > before;
                return if is_read { Poll::Ready(Ok(())) } else { failed.map(Err) };
            };
            if let Some(pings) = &mut self.pings {
                pings.is_open = false;
            }
            let end = match next {
                Some(Ok(Message::Text(text))) => {
                    self.came(text.into(), true);
                    continue;
                }
                Some(Ok(Message::Binary(bytes))) => {
                    self.came(bytes, false);
                    continue;
                }
                // Pings and closes are answered below.
                Some(Ok(_)) => continue,
                None => {
                    self.ending = SocketEnd::Closed;
                    Ok(())
                }
                Some(Err(error)) => self.fail(error),
            };
            if buffer.filled().len() == before {
                return Poll::Ready(end);
            }
            self.end = Some(end);
            return Poll::Ready(Ok(()));
        }
    }

    /// A message came.
    fn came(&mut self, message: Bytes, is_text: bool) {
        self.owes_newline = message.last().is_some_and(|last| *last != b'\n');
        self.input = message;
        self.is_text = is_text;
    }

    /// The peer cannot be understood any more. That is the end of input, and the close says why.
    fn fail(&mut self, error: Error) -> io::Result<()> {
        self.ending = match error {
            Error::Io(error) => return Err(error),
            // It sent FIN without a close.
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => SocketEnd::Closed,
            Error::Capacity(CapacityError::MessageTooLong { .. }) => SocketEnd::Failed(CloseCode::Size),
            Error::Utf8(_) => SocketEnd::Failed(CloseCode::Invalid),
            _ => SocketEnd::Failed(CloseCode::Protocol),
        };
        Ok(())
    }

    /// Sends pings in time. Ready if one was not answered until the next was due.
    fn poll_pings(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let Some(pings) = &mut self.pings else { return Poll::Pending };
            ready!(pings.next.as_mut().poll(cx));
            if pings.is_open {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            let next = Instant::now() + pings.every;
            pings.next.as_mut().reset(next);
            // A peer that takes nothing is asked nothing: the write timeout is for it.
            if let Poll::Ready(Ok(())) = self.socket().poll_ready(cx) {
                if let Err(error) = self.hand_on(Message::Ping(Bytes::new())) {
                    return Poll::Ready(error);
                }
                if let Some(pings) = &mut self.pings {
                    pings.is_open = true;
                }
                if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
                    return Poll::Ready(error);
                }
            }
        }
    }

    /// Hands a message to the socket, which must be ready. After the peer's close nothing is sent any more.
    fn hand_on(&mut self, message: Message) -> io::Result<()> {
        self.socket().start_send(message).or_else(ignore_closed)
    }

    /// Takes bytes, and hands the lines on that are whole.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.socket().poll_ready(cx)).or_else(ignore_closed)?;
        let taken = bytes.len().min(MOST - self.line.len());
        self.line.extend_from_slice(&bytes[..taken]);
        let end = match self.line.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => last + 1,
            None if self.line.len() == MOST => end_of_chars(&self.line),
            None => 0,
        };
        if end > 0 {
            let rest = self.line.split_off(end);
            let lines = std::mem::replace(&mut self.line, rest);
            self.send(lines)?;
        }
        Poll::Ready(Ok(taken))
    }

    fn send(&mut self, lines: Vec<u8>) -> io::Result<()> {
        let message = if self.is_text {
            String::from_utf8(lines).map_or_else(|error| Message::binary(error.into_bytes()), Message::text)
        } else {
            Message::binary(lines)
        };
        self.hand_on(message)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_flush(cx).map(|flushed| flushed.or_else(ignore_closed))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ending != SocketEnd::Closed {
            ready!(self.socket().poll_ready(cx)).or_else(ignore_closed)?;
            if !self.line.is_empty() {
                let rest = std::mem::take(&mut self.line);
                self.send(rest)?;
                ready!(self.socket().poll_ready(cx)).or_else(ignore_closed)?;
            }
            let code = if let SocketEnd::Failed(code) = self.ending { code } else { CloseCode::Normal };
            // Said twice, the second is not sent.
            self.hand_on(Message::Close(Some(CloseFrame { code, reason: "".into() })))?;
        }
        ready!(self.poll_flush(cx))?;
        if self.ending == SocketEnd::None {
            // The peer answers the close. Then the socket is closed here.
            return Poll::Ready(Ok(()));
        }
        Pin::new(self.beneath()).poll_shutdown(cx)
    }
}

/// How much of these bytes is whole characters, if they are text: all, or all but the last few.
fn end_of_chars(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => bytes.len(),
    }
}

/// Nothing can be sent to a peer that has closed, and that is no error.
fn ignore_closed(error: Error) -> io::Result<()> {
    match error {
        Error::Io(error) => Err(error),
        Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(ProtocolError::SendAfterClosing) => {
            Ok(())
        }
        error => Err(io::Error::other(error)),
    }
}

impl<S: Stream> AsyncRead for WebSocket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().0.poll_read(cx, buffer)
    }
}

impl<S: Stream> AsyncWrite for WebSocket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().0.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.poll_shutdown(cx)
    }
}

impl<S: Stream> Stream for WebSocket<S> {
    const HAS_FAREWELL: bool = true;

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        self.0.beneath().poll_gone(cx)
    }

    fn untaken(&self) -> Option<usize> {
        self.0.socket.get_ref().untaken()
    }

    fn may_say_last_word(&mut self) -> bool {
        self.0.beneath().may_say_last_word()
    }
}
