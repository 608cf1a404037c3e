//! WebSockets: a browser can hold a lock. The lines are those of every other connection (`stream.rs`). What comes
//! first is an HTTP request, and a page's origin decides whether it is let in (`origin.rs`).

mod origin;
mod stream;
#[cfg(test)]
mod tests;

pub use origin::{Origin, ParseOriginError};
pub use stream::WebSocket;

use super::beneath::Beneath;
use super::{Handshake, HandshakeError, Peer, Stream};
use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// Bytes that are read at a time. Requests are short, and each connection keeps such a buffer.
const READ: usize = 2 << 10;
/// How long a refused client has to take the answer.
const MOMENT: Duration = Duration::from_secs(1);

/// The upgrade of an HTTP request to a WebSocket. Any path will do.
#[derive(Clone, Debug)]
pub struct WebSocketUpgrade {
    /// Pages that may connect, by their origins. A client that names no origin is no page, and may.
    pub origins: Vec<Origin>,
    /// Bytes of the longest message that may come. A longer one is answered by a close with code 1009.
    pub max_message_bytes: usize,
    /// How often a peer is asked for a sign. One that gives none until the next time is gone. `None` is never.
    pub ping: Option<Duration>,
}

impl Default for WebSocketUpgrade {
    fn default() -> Self {
        Self { origins: Vec::new(), max_message_bytes: 64 << 10, ping: Some(Duration::from_secs(15)) }
    }
}

impl WebSocketUpgrade {
    fn config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(READ)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * stream::MOST)
            .max_message_size(Some(self.max_message_bytes))
            .max_frame_size(Some(self.max_message_bytes))
    }

    /// Whether a request may become a WebSocket.
    fn lets_in(&self, request: &Request) -> bool {
        let mut origins = request.headers().get_all("origin").iter();
        origins.all(|of_page| self.origins.iter().any(|origin| origin.is_of(of_page.as_bytes())))
    }
}

impl<S: Stream> Handshake<S> for WebSocketUpgrade {
    type Stream = WebSocket<S>;

    async fn run(&self, stream: S, peer: Peer) -> Result<(WebSocket<S>, Peer), HandshakeError> {
        let mut beneath = Beneath::new(stream);
        let accepted =
            accept_hdr_async_with_config(&mut beneath, Door(self), Some(self.config())).await.err();
        let Some(error) = accepted else {
            let socket = WebSocketStream::from_raw_socket(beneath, Role::Server, Some(self.config())).await;
            return Ok((WebSocket::new(socket, self.ping), peer));
        };
        let answer = match &error {
            // It is answered already.
            Error::Http(_) => Some(String::new()),
            Error::Io(_) => None,
            Error::Protocol(error) if !is_garbage(error) => {
                Some(answer("426 Upgrade Required", "Upgrade: websocket\r\n", NO_UPGRADE))
            }
            _ => Some(answer("400 Bad Request", "", NO_UPGRADE)),
        };
        if let Some(answer) = answer {
            let _ = timeout(MOMENT, dismiss(&mut beneath, &answer)).await;
        }
        Err(HandshakeError::new("WebSocket", reason(&error)))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" (WebSocket)")
    }
}

/// What a client is told that speaks HTTP and asks for no WebSocket.
const NO_UPGRADE: &str = "This port speaks the WebSocket protocol: it carries the lines of elockd.\n";
/// What a page is told that may not connect.
const NO_ORIGIN: &str = "Pages of this origin may not connect.\n";

/// Asks whether a request may come in.
struct Door<'a>(&'a WebSocketUpgrade);

impl Callback for Door<'_> {
    #[allow(clippy::result_large_err, reason = "the trait has it so")]
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        if self.0.lets_in(request) {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(Some(NO_ORIGIN.to_owned()));
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        Err(refusal)
    }
}

/// Whether a client has not asked for anything in HTTP.
fn is_garbage(error: &ProtocolError) -> bool {
    matches!(error, ProtocolError::HttparseError(_) | ProtocolError::JunkAfterRequest)
}

/// Why no WebSocket came of it, for the log.
fn reason(error: &Error) -> String {
    match error {
        Error::Http(_) => "the page's origin is not in --ws-origin".to_owned(),
        error => error.to_string(),
    }
}

fn answer(status: &str, head: &str, text: &str) -> String {
    let length = text.len();
    format!(
        "HTTP/1.1 {status}\r\n{head}Connection: close\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n\
         {text}"
    )
}

/// Writes the last words, and waits until the client has closed.
async fn dismiss<S: Stream>(beneath: &mut Beneath<S>, words: &str) {
    if beneath.write_all(words.as_bytes()).await.is_ok() && beneath.shutdown().await.is_ok() {
        let mut dropped = [0; 1024];
        while beneath.read(&mut dropped).await.is_ok_and(|count| count > 0) {}
    }
}
