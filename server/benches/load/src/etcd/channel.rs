//! A connection to etcd: gRPC, which is a length and a message in an HTTP/2 stream, and a status after it. It knows
//! nothing of what the messages say.

use crate::LoadError;
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{SendRequest, handshake};
use http::{HeaderMap, Request};
use prost::Message;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

pub(super) struct Channel {
    sender: SendRequest<Bytes>,
    address: SocketAddr,
}

impl Channel {
    /// Connects. The connection ends with the runtime, or with the server.
    pub(super) async fn connect(address: SocketAddr) -> Result<Self, LoadError> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = handshake(socket).await?;
        // Whoever asks next is told of its failure.
        tokio::spawn(async { drop(connection.await) });
        Ok(Self { sender, address })
    }

    /// Asks one question and waits for its answer, at most so long.
    pub(super) async fn ask<A: Message + Default>(
        &self,
        method: &'static str,
        question: &impl Message,
        patience: Duration,
    ) -> Result<A, LoadError> {
        let asked = timeout(patience, self.exchange(method, question));
        asked.await.map_err(|_| LoadError::Silence { owed: 1 })?
    }

    async fn exchange<A: Message + Default>(
        &self,
        method: &'static str,
        question: &impl Message,
    ) -> Result<A, LoadError> {
        let request = Request::post(format!("http://{}{method}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("a path and two headers are a request");
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut stream) = sender.send_request(request, false)?;
        stream.send_data(framed(question), true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut answer = BytesMut::new();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            answer.extend_from_slice(&piece);
        }
        // An answer without a message has its status in the head.
        let trailers = body.trailers().await?.unwrap_or(head.headers);
        check(&trailers)?;
        unframed(&answer)
    }
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).expect("a question is far shorter than 4 GiB"));
    message.encode(&mut bytes).expect("there is room for it");
    bytes.freeze()
}

/// The one message of an answer.
fn unframed<A: Message + Default>(bytes: &[u8]) -> Result<A, LoadError> {
    let (prefix, message) = bytes.split_at_checked(PREFIX).ok_or(LoadError::Closed)?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    if prefix[0] != 0 || length as usize != message.len() {
        return Err(LoadError::Closed);
    }
    Ok(A::decode(message)?)
}

/// Checks the status after an answer. 0 is a success.
fn check(trailers: &HeaderMap) -> Result<(), LoadError> {
    let text = |key| trailers.get(key).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    match text("grpc-status") {
        Some(status) if status == "0" => Ok(()),
        status => Err(LoadError::Refused {
            status: status.unwrap_or_else(|| "without a status".to_owned()),
            message: text("grpc-message").unwrap_or_default(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::messages::DeleteAnswer;

    /// Goal: an answer is one whole message, and every prefix of it and every byte more is refused.
    #[test]
    fn an_answer_is_one_whole_message() {
        let answer = DeleteAnswer { deleted: 300 };
        let bytes = framed(&answer);
        assert_eq!(unframed::<DeleteAnswer>(&bytes).expect("it is whole"), answer);
        for length in 0..bytes.len() {
            assert!(unframed::<DeleteAnswer>(&bytes[..length]).is_err(), "the first {length} bytes");
        }
        assert!(unframed::<DeleteAnswer>(&[&bytes[..], b"x"].concat()).is_err());
        // The first byte of a compressed message is 1.
        assert!(unframed::<DeleteAnswer>(&[&[1], &bytes[1..]].concat()).is_err());
    }

    /// Goal: status 0 alone is a success, and a refusal has etcd's words in it.
    #[test]
    fn only_status_0_is_a_success() {
        let trailers = |fields: &[(&'static str, &str)]| {
            let value = |text: &str| text.parse().expect("it is a value");
            fields.iter().map(|&(key, text)| (http::HeaderName::from_static(key), value(text))).collect()
        };
        check(&trailers(&[("grpc-status", "0")])).expect("it is a success");
        assert!(check(&trailers(&[])).is_err());
        let refused = check(&trailers(&[("grpc-status", "14"), ("grpc-message", "no leader")]));
        let refused = refused.expect_err("it is a refusal").to_string();
        assert_eq!(refused, "etcd refused, status 14: no leader");
    }
}
