//! The hello: what both ends of a new connection say before the first frame. The end that made the connection says who
//! it is and whom it wants. The other end accepts, or refuses and says why.
//!
//! This format stays as it is in all versions, for it is what versions are agreed by. Both messages begin with eight
//! bytes of magic and a length of two bytes. What a later version adds at their end is skipped.

use super::Purpose;
use bytes::{Buf, BufMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The lowest version of links that this release speaks.
const LOWEST: u16 = 1;
/// The highest one.
const HIGHEST: u16 = 1;

const HELLO: [u8; 8] = *b"elockd/h";
const REPLY: [u8; 8] = *b"elockd/r";
/// The most bytes that follow a length.
const MOST: usize = 1024;
/// The most bytes of a refusal's text.
const MOST_TEXT: usize = 512;

/// One end of links: a node of a cluster.
///
/// Both numbers are 0 for a client that is no node: it may ask [`Purpose::Control`] of any node of any cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkEnd {
    /// The cluster's id.
    pub cluster: u128,
    /// The node's number.
    pub node: u16,
}

impl LinkEnd {
    /// Whether this is a client and no node.
    const fn is_client(self) -> bool {
        self.node == 0
    }
}

/// What the end says that made the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// The lowest and the highest version that it speaks.
    pub(super) versions: (u16, u16),
    pub(super) me: LinkEnd,
    /// The node that it wants. 0 if a client wants whichever is there.
    pub(super) to: u16,
    /// The number of the purpose: it may be one that is not known here.
    pub(super) purpose: u8,
}

/// What the end says that accepted the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HelloReply {
    /// From here on frames pass.
    Welcome {
        /// The version to speak.
        version: u16,
        /// Who it is.
        me: LinkEnd,
    },
    /// The connection is closed.
    Refused(String),
}

/// Why a hello is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it speaks versions {} to {} of links, and this node {LOWEST} to {HIGHEST}", .0.0, .0.1)]
    Versions((u16, u16)),
    #[error("it belongs to another cluster: {other:032x}, and this node to {own:032x}")]
    OtherCluster { other: u128, own: u128 },
    #[error("it wants node {to}, and this is node {own}: is an advertised address wrong?")]
    OtherNode { to: u16, own: u16 },
    #[error("it says that it is node {0} itself: is a state directory in use twice?")]
    Oneself(u16),
    #[error("a client that is no node may only give operators' commands")]
    Client,
    #[error("links of purpose {0} are not known to this release")]
    Purpose(u8),
    #[error("{0}")]
    NotAdmitted(String),
}

impl Hello {
    /// A hello of this release.
    pub(super) const fn new(me: LinkEnd, to: u16, purpose: Purpose) -> Self {
        Self { versions: (LOWEST, HIGHEST), me, to, purpose: number(purpose) }
    }

    /// Judges the welcome that came in answer. Its end judged this hello already, so only a fault can be found here.
    ///
    /// # Errors
    ///
    /// The text says why there is no link.
    pub(super) fn judge_welcome(&self, version: u16, by: LinkEnd) -> Result<(), String> {
        if !(LOWEST..=HIGHEST).contains(&version) {
            return Err(format!("it chose version {version} of links, which this node does not speak"));
        }
        if self.to != 0 && by != (LinkEnd { cluster: self.me.cluster, node: self.to }) {
            return Err(format!("it is node {} of cluster {:032x}", by.node, by.cluster));
        }
        Ok(())
    }

    /// Judges a hello that came to `own`. Returns the version to speak, and what the link is for.
    pub(super) fn judge(
        &self,
        own: LinkEnd,
        admit: &impl Fn(u16, Purpose) -> Result<(), String>,
    ) -> Result<(u16, Purpose), Refusal> {
        // First: another version may mean something else by the rest.
        let version = self.versions.1.min(HIGHEST);
        if version < self.versions.0.max(LOWEST) {
            return Err(Refusal::Versions(self.versions));
        }
        let from = self.me;
        let wants_any = from.is_client() && self.to == 0;
        if from.cluster != own.cluster && !(from.is_client() && from.cluster == 0) {
            return Err(Refusal::OtherCluster { other: from.cluster, own: own.cluster });
        }
        if self.to != own.node && !wants_any {
            return Err(Refusal::OtherNode { to: self.to, own: own.node });
        }
        if from.node == own.node {
            return Err(Refusal::Oneself(own.node));
        }
        let purpose = purpose(self.purpose).ok_or(Refusal::Purpose(self.purpose))?;
        if from.is_client() && purpose != Purpose::Control {
            return Err(Refusal::Client);
        }
        admit(from.node, purpose).map_err(Refusal::NotAdmitted)?;
        Ok((version, purpose))
    }

    /// Sends the hello.
    pub(super) async fn send<S: AsyncWrite + Unpin>(&self, stream: &mut S) -> io::Result<()> {
        let mut body = Vec::new();
        body.put_u16(self.versions.0);
        body.put_u16(self.versions.1);
        body.put_u128(self.me.cluster);
        body.put_u16(self.me.node);
        body.put_u16(self.to);
        body.put_u8(self.purpose);
        send(stream, HELLO, &body).await
    }

    /// Receives a hello.
    ///
    /// # Errors
    ///
    /// The connection broke, or what came is no hello.
    pub(super) async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Self> {
        let body = receive(stream, HELLO).await?;
        Self::read(&body).ok_or_else(too_short)
    }

    fn read(mut body: &[u8]) -> Option<Self> {
        let body = &mut body;
        Some(Self {
            versions: (body.try_get_u16().ok()?, body.try_get_u16().ok()?),
            me: LinkEnd { cluster: body.try_get_u128().ok()?, node: body.try_get_u16().ok()? },
            to: body.try_get_u16().ok()?,
            purpose: body.try_get_u8().ok()?,
        })
    }
}

impl HelloReply {
    /// Sends the reply.
    pub(super) async fn send<S: AsyncWrite + Unpin>(&self, stream: &mut S) -> io::Result<()> {
        let mut body = Vec::new();
        match self {
            Self::Welcome { version, me } => {
                body.put_u8(0);
                body.put_u16(*version);
                body.put_u128(me.cluster);
                body.put_u16(me.node);
            }
            Self::Refused(reason) => {
                let text = &reason.as_bytes()[..reason.len().min(MOST_TEXT)];
                body.put_u8(1);
                body.put_u16(text.len() as u16);
                body.put_slice(text);
            }
        }
        send(stream, REPLY, &body).await
    }

    /// Receives a reply.
    ///
    /// # Errors
    ///
    /// The connection broke, or what came is no reply.
    pub(super) async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Self> {
        let body = receive(stream, REPLY).await?;
        Self::read(&body).ok_or_else(too_short)
    }

    fn read(mut body: &[u8]) -> Option<Self> {
        let body = &mut body;
        if body.try_get_u8().ok()? == 0 {
            let version = body.try_get_u16().ok()?;
            let me = LinkEnd { cluster: body.try_get_u128().ok()?, node: body.try_get_u16().ok()? };
            return Some(Self::Welcome { version, me });
        }
        let length = usize::from(body.try_get_u16().ok()?);
        let text = String::from_utf8_lossy(body.get(..length)?);
        // It is written to logs and terminals.
        Some(Self::Refused(text.chars().filter(|char| !char.is_control()).collect()))
    }
}

const fn number(purpose: Purpose) -> u8 {
    match purpose {
        Purpose::Beats => 1,
        Purpose::Appends => 2,
        Purpose::Batches => 3,
        Purpose::Snapshots => 4,
        Purpose::Control => 5,
    }
}

const fn purpose(number: u8) -> Option<Purpose> {
    Some(match number {
        1 => Purpose::Beats,
        2 => Purpose::Appends,
        3 => Purpose::Batches,
        4 => Purpose::Snapshots,
        5 => Purpose::Control,
        _ => return None,
    })
}

fn too_short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a hello ends too early")
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, magic: [u8; 8], body: &[u8]) -> io::Result<()> {
    let mut bytes = magic.to_vec();
    bytes.put_u16(body.len() as u16);
    bytes.put_slice(body);
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Reads not a byte more than the message has: frames follow it.
async fn receive<S: AsyncRead + Unpin>(stream: &mut S, magic: [u8; 8]) -> io::Result<Vec<u8>> {
    let mut head = [0; 10];
    stream.read_exact(&mut head).await?;
    let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
    if head[..8] != magic || length > MOST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the other end does not speak elockd's links",
        ));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::QuickCheck;
    use tokio::io::duplex;

    const OWN: LinkEnd = LinkEnd { cluster: 0xc1, node: 2 };

    fn hello(node: u16, to: u16, purpose: Purpose) -> Hello {
        Hello::new(LinkEnd { cluster: 0xc1, node }, to, purpose)
    }

    fn judged(hello: &Hello) -> Result<(u16, Purpose), String> {
        let admit = |from, _| if from == 9 { Err("node 9 was removed".to_owned()) } else { Ok(()) };
        hello.judge(OWN, &admit).map_err(|refusal| refusal.to_string())
    }

    /// Goal: each reason for a refusal is found and said, and nothing else is refused. Method: a hello for each.
    #[test]
    fn each_reason_is_found() {
        for purpose in
            [Purpose::Beats, Purpose::Appends, Purpose::Batches, Purpose::Snapshots, Purpose::Control]
        {
            assert_eq!(judged(&hello(1, 2, purpose)), Ok((1, purpose)));
        }
        let client = Hello::new(LinkEnd::default(), 0, Purpose::Control);
        assert_eq!(judged(&client), Ok((1, Purpose::Control)));
        assert_eq!(judged(&Hello { to: 2, ..client.clone() }), Ok((1, Purpose::Control)));
        let newer = Hello { versions: (1, 7), ..hello(1, 2, Purpose::Beats) };
        assert_eq!(judged(&newer), Ok((1, Purpose::Beats)));

        let refused = |hello: Hello, part: &str| {
            let reason = judged(&hello).unwrap_err();
            assert!(reason.contains(part), "{reason:?} has no {part:?}");
        };
        let good = hello(1, 2, Purpose::Beats);
        let other = LinkEnd { cluster: 0xc2, node: 1 };
        refused(Hello { versions: (2, 7), ..good.clone() }, "versions 2 to 7");
        refused(Hello { versions: (0, 0), ..good.clone() }, "versions 0 to 0");
        refused(Hello { versions: (7, 1), ..good.clone() }, "versions 7 to 1");
        refused(Hello { me: other, ..good.clone() }, "another cluster");
        refused(Hello { me: LinkEnd { cluster: 0, node: 1 }, ..good.clone() }, "another cluster");
        refused(Hello { me: LinkEnd { cluster: 0xc2, node: 0 }, ..client.clone() }, "another cluster");
        refused(hello(1, 3, Purpose::Beats), "wants node 3, and this is node 2");
        refused(hello(1, 0, Purpose::Beats), "wants node 0");
        refused(Hello { to: 3, ..client.clone() }, "wants node 3");
        refused(hello(2, 2, Purpose::Beats), "node 2 itself");
        refused(hello(9, 2, Purpose::Beats), "node 9 was removed");
        refused(hello(0, 2, Purpose::Beats), "only give operators' commands");
        refused(Hello { purpose: 6, ..good }, "purpose 6");
    }

    /// Goal: a welcome of somebody else is no welcome, and neither is one in another version. Method: each of them.
    #[test]
    fn only_the_right_welcome_is_taken() {
        let said = hello(1, 2, Purpose::Beats);
        let client = Hello::new(LinkEnd::default(), 0, Purpose::Control);
        assert_eq!(said.judge_welcome(1, OWN), Ok(()));
        assert_eq!(client.judge_welcome(1, OWN), Ok(()));
        for (version, by) in
            [(0, OWN), (2, OWN), (1, LinkEnd { node: 3, ..OWN }), (1, LinkEnd { cluster: 0xc2, ..OWN })]
        {
            assert!(said.judge_welcome(version, by).is_err(), "{version} {by:?}");
        }
    }

    /// Goal: what is sent is received, and not a byte more is read. Method: both messages over a pipe, with a byte
    /// behind each.
    #[tokio::test]
    async fn there_and_back() {
        let (mut here, mut there) = duplex(4096);
        let said = Hello { versions: (3, 4), ..hello(1, 2, Purpose::Snapshots) };
        said.send(&mut here).await.unwrap();
        here.write_u8(77).await.unwrap();
        assert_eq!(Hello::receive(&mut there).await.unwrap(), said);
        assert_eq!(there.read_u8().await.unwrap(), 77);
        let long = HelloReply::Refused("x".repeat(5000));
        let cut = HelloReply::Refused("x".repeat(MOST_TEXT));
        let hostile = HelloReply::Refused("a\x1b[2Jb\n".to_owned());
        let tame = HelloReply::Refused("a[2Jb".to_owned());
        let welcome = HelloReply::Welcome { version: 9, me: OWN };
        for (sent, received) in [(&welcome, &welcome), (&long, &cut), (&hostile, &tame)] {
            sent.send(&mut there).await.unwrap();
            there.write_u8(77).await.unwrap();
            assert_eq!(&HelloReply::receive(&mut here).await.unwrap(), received);
            assert_eq!(here.read_u8().await.unwrap(), 77);
        }
    }

    /// Goal: a later version can add to the hello. Method: a hello and a reply with more bytes than this one knows.
    #[tokio::test]
    async fn what_is_added_is_skipped() {
        let (mut here, mut there) = duplex(4096);
        let body = [&[0, 1, 0, 9][..], &0xc1_u128.to_be_bytes(), &[0, 1, 0, 2, 1], b"added"].concat();
        send(&mut here, HELLO, &body).await.unwrap();
        let received = Hello::receive(&mut there).await.unwrap();
        assert_eq!(received, Hello { versions: (1, 9), ..hello(1, 2, Purpose::Beats) });
        send(&mut here, REPLY, b"\x01\x00\x03whyadded").await.unwrap();
        assert_eq!(HelloReply::receive(&mut there).await.unwrap(), HelloReply::Refused("why".to_owned()));
    }

    /// Goal: hostile bytes neither panic nor take memory. Method: any body is read as either message.
    #[test]
    fn hostile_bytes_are_no_hello() {
        #[allow(clippy::needless_pass_by_value, reason = "quickcheck hands values over")]
        fn holds(body: Vec<u8>) -> bool {
            let reply = HelloReply::read(&body);
            Hello::read(&body).is_none_or(|_| body.len() >= 25)
                && !matches!(reply, Some(HelloReply::Refused(text)) if text.len() > 3 * body.len())
        }
        QuickCheck::new().tests(1000).quickcheck(holds as fn(_) -> _);
    }

    /// Goal: who speaks something else is told apart at once. Method: an HTTP request, a length past the bound, and a
    /// body that is too short.
    #[tokio::test]
    async fn another_protocol_is_refused() {
        for (bytes, part) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "does not speak elockd's links"),
            (b"elockd/h\xff\xff", "does not speak elockd's links"),
            (b"elockd/h\x00\x03abc", "ends too early"),
        ] {
            let (mut here, mut there) = duplex(4096);
            here.write_all(bytes).await.unwrap();
            let error = Hello::receive(&mut there).await.unwrap_err().to_string();
            assert!(error.contains(part), "{error:?} has no {part:?}");
        }
    }
}
