//! Frames: the one thing that passes over a link after its hello.
//!
//! The format: a length of four bytes, a kind of one byte, a number of eight, and the payload. The length counts what
//! follows it. All numbers are big-endian. Requests pass one way on a link and answers the other way, so no frame says
//! which it is: an answer has its request's kind and number. Number 0 is neither; it only shows that the end that sent
//! it is alive.

use bytes::{Buf, BufMut, BytesMut};
use std::io;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

/// The bytes of a kind and a number.
const HEAD: usize = 9;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) number: u64,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// A frame that says nothing but that its sender is alive.
    pub(super) const fn alive() -> Self {
        Self { kind: 0, number: 0, payload: Vec::new() }
    }
}

/// Reads and writes frames up to a length.
pub(super) struct FrameCodec {
    lengths: LengthDelimitedCodec,
    most: usize,
}

impl FrameCodec {
    /// For payloads of at most so many bytes.
    pub(super) fn new(most: usize) -> Self {
        let lengths = LengthDelimitedCodec::builder().max_frame_length(HEAD + most).new_codec();
        Self { lengths, most }
    }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Frame>> {
        let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        let frame = self.lengths.decode(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => invalid(format!("a frame has more than {} bytes", self.most)),
            _ => error,
        })?;
        let Some(mut frame) = frame else { return Ok(None) };
        if frame.len() < HEAD {
            return Err(invalid(format!("a frame has only {} bytes", frame.len())));
        }
        let (kind, number) = (frame.get_u8(), frame.get_u64());
        Ok(Some(Frame { kind, number, payload: frame.to_vec() }))
    }
}

impl Encoder<&Frame> for FrameCodec {
    type Error = io::Error;

    fn encode(&mut self, frame: &Frame, bytes: &mut BytesMut) -> io::Result<()> {
        let length = HEAD + frame.payload.len();
        let written = u32::try_from(length).ok().filter(|_| frame.payload.len() <= self.most);
        let Some(written) = written else {
            let reason = format!("{} bytes are more than the {} of a frame", frame.payload.len(), self.most);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        };
        bytes.reserve(4 + length);
        bytes.put_u32(written);
        bytes.put_u8(frame.kind);
        bytes.put_u64(frame.number);
        bytes.put_slice(&frame.payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::{Arbitrary, Gen, QuickCheck};

    const MOST: usize = 300;

    impl Arbitrary for Frame {
        fn arbitrary(g: &mut Gen) -> Self {
            let mut payload = Vec::arbitrary(g);
            payload.truncate(MOST);
            Self { kind: u8::arbitrary(g), number: u64::arbitrary(g), payload }
        }

        fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
            let (kind, number) = (self.kind, self.number);
            Box::new(self.payload.shrink().map(move |payload| Self { kind, number, payload }))
        }
    }

    /// Feeds bytes in pieces, as a socket gives them, and returns the frames, and what ended them.
    fn decode(bytes: &[u8], piece: usize) -> (Vec<Frame>, Option<io::Error>) {
        let (mut codec, mut buffer, mut frames) = (FrameCodec::new(MOST), BytesMut::new(), Vec::new());
        for piece in bytes.chunks(piece.max(1)) {
            buffer.extend_from_slice(piece);
            loop {
                match codec.decode(&mut buffer) {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
                assert!(
                    buffer.capacity() <= 4 * (bytes.len() + MOST),
                    "the buffer grew to {}",
                    buffer.capacity()
                );
            }
        }
        (frames, None)
    }

    /// Goal: what is encoded is decoded, however the bytes are cut. Method: any frames, in pieces of any length.
    #[test]
    fn there_and_back() {
        #[allow(clippy::needless_pass_by_value, reason = "quickcheck hands values over")]
        fn holds(frames: Vec<Frame>, piece: usize) -> bool {
            let (mut codec, mut bytes) = (FrameCodec::new(MOST), BytesMut::new());
            for frame in &frames {
                codec.encode(frame, &mut bytes).unwrap();
            }
            let (decoded, error) = decode(&bytes, piece % 64);
            error.is_none() && decoded == frames
        }
        QuickCheck::new().quickcheck(holds as fn(_, _) -> _);
    }

    /// Goal: hostile bytes neither panic nor take memory. Method: any bytes, half of them behind a head that is nearly
    /// right; whatever is decoded is within the bound, and the buffer is as well.
    #[test]
    fn hostile_bytes_are_bounded() {
        fn holds(length: u16, bytes: Vec<u8>, headed: bool, piece: usize) -> bool {
            let head = u32::from(length).to_be_bytes();
            let bytes = if headed { [&head[..], &bytes].concat() } else { bytes };
            let (frames, _) = decode(&bytes, piece % 64);
            frames.iter().all(|frame| frame.payload.len() <= MOST)
        }
        QuickCheck::new().tests(1000).quickcheck(holds as fn(_, _, _, _) -> _);
    }

    /// Goal: each bound is exact, and its error says it. Method: a frame at each bound, and one past it.
    #[test]
    fn bounds_are_exact() {
        let mut codec = FrameCodec::new(MOST);
        let of = |length| Frame { kind: 7, number: 9, payload: vec![1; length] };
        let mut bytes = BytesMut::new();
        codec.encode(&of(MOST), &mut bytes).unwrap();
        let error = codec.encode(&of(MOST + 1), &mut bytes).unwrap_err();
        assert_eq!(error.to_string(), "301 bytes are more than the 300 of a frame");
        let (frames, error) = decode(&bytes, 1000);
        assert_eq!((frames, error.is_none()), (vec![of(MOST)], true));

        let long = u32::try_from(HEAD + MOST + 1).unwrap().to_be_bytes();
        let (frames, error) = decode(&long, 4);
        assert_eq!(
            (frames, error.unwrap().to_string()),
            (vec![], "a frame has more than 300 bytes".to_owned())
        );
        let (frames, error) = decode(&[0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8], 12);
        assert_eq!((frames, error.unwrap().to_string()), (vec![], "a frame has only 8 bytes".to_owned()));
        let (frames, _) = decode(&[0, 0, 0, 9, 7, 0, 0, 0, 0, 0, 0, 0, 9], 13);
        assert_eq!(frames, [of(0)]);
    }
}
