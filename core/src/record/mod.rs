//! Records as bytes and back, with bincode. Whatever is stored or sent goes through here, so hostile bytes are dealt
//! with in one place: no byte may follow a record's end, and what decoding allocates is bounded by a record's limit,
//! and for [`Sequence`] and [`Bytes`] by the length of the bytes. Only this folder and the derived codecs of records
//! know of bincode.

pub(crate) mod shared;

use bincode::de::read::Reader;
use bincode::de::{BorrowDecode, BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

/// Why bytes are not the record that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// There are more of them than any record has.
    #[error("{0} bytes are more than any record has")]
    TooLong(usize),
    /// Another release wrote them, in a format that this one does not know.
    #[error("the record has format {found}, and this release reads format {known}")]
    Format {
        /// The format of the bytes.
        found: u16,
        /// The format that this release reads.
        known: u16,
    },
    /// They stop early, or have something impossible in them.
    #[error("the record is damaged: {0}")]
    Damaged(String),
    /// Bytes follow the record's end.
    #[error("{0} bytes follow the record's end")]
    Trailing(usize),
}

/// Appends a record to bytes.
pub(crate) fn encode_into<T: Encode>(record: &T, bytes: &mut Vec<u8>) {
    let config = bincode::config::standard();
    bincode::encode_into_writer(record, Appended(bytes), config).expect("encoding to memory does not fail");
}

/// The record in these bytes. Fails if there are more than `LIMIT` of them, if decoding would allocate more at a time,
/// or if any are left.
pub(crate) fn decode<T: Decode<()>, const LIMIT: usize>(bytes: &[u8]) -> Result<T, RecordError> {
    if bytes.len() > LIMIT {
        return Err(RecordError::TooLong(bytes.len()));
    }
    let config = bincode::config::standard().with_limit::<LIMIT>();
    let (record, consumed) = bincode::decode_from_slice(bytes, config)
        .map_err(|error: DecodeError| RecordError::Damaged(error.to_string()))?;
    match bytes.len() - consumed {
        0 => Ok(record),
        left => Err(RecordError::Trailing(left)),
    }
}

/// Bytes that are written to at their end.
struct Appended<'a>(&'a mut Vec<u8>);

impl Writer for Appended<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// A text of any bytes. Decoding allocates no more than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes<B>(pub(crate) B);

impl<B: AsRef<[u8]>> Encode for Bytes<B> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.as_ref().encode(encoder)
    }
}

impl<C> Decode<C> for Bytes<Vec<u8>> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let len = length(decoder)?;
        decoder.claim_bytes_read(len)?;
        let reader = decoder.reader();
        let there = reader.peek_read(len).ok_or(DecodeError::UnexpectedEnd { additional: len })?;
        let bytes = there[..len].to_vec();
        reader.consume(len);
        Ok(Self(bytes))
    }
}

bincode::impl_borrow_decode!(Bytes<Vec<u8>>);

/// Several records. Decoding allocates room as they come, and not for as many as the bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sequence<T>(pub(crate) Vec<T>);

impl<T: Encode> Encode for Sequence<T> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.0.len() as u64).encode(encoder)?;
        self.0.iter().try_for_each(|value| value.encode(encoder))
    }
}

impl<C, T: Decode<C>> Decode<C> for Sequence<T> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let mut values = Vec::new();
        for _ in 0..length(decoder)? {
            values.push(T::decode(decoder)?);
        }
        Ok(Self(values))
    }
}

impl<'de, C, T: BorrowDecode<'de, C>> BorrowDecode<'de, C> for Sequence<T> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let mut values = Vec::new();
        for _ in 0..length(decoder)? {
            values.push(T::borrow_decode(decoder)?);
        }
        Ok(Self(values))
    }
}

fn length<D: Decoder>(decoder: &mut D) -> Result<usize, DecodeError> {
    let len = u64::decode(decoder)?;
    usize::try_from(len).map_err(|_| DecodeError::OutsideUsizeRange(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 100;

    fn bytes<T: Encode>(record: &T) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_into(record, &mut bytes);
        bytes
    }

    #[test]
    fn a_record_is_what_was_written_and_nothing_more() {
        let list = Sequence(vec![Bytes(b"one".to_vec()), Bytes(Vec::new()), Bytes(vec![0xff; 3])]);
        let mut written = bytes(&list);
        assert_eq!(decode::<Sequence<Bytes<Vec<u8>>>, LIMIT>(&written), Ok(list));
        for end in 0..written.len() {
            let cut = decode::<Sequence<Bytes<Vec<u8>>>, LIMIT>(&written[..end]);
            assert!(matches!(cut, Err(RecordError::Damaged(_))), "{cut:?}");
        }
        written.push(0);
        let longer = decode::<Sequence<Bytes<Vec<u8>>>, LIMIT>(&written);
        assert_eq!(longer, Err(RecordError::Trailing(1)));
    }

    /// Goal: a length that was made up costs nothing. Method: lists and texts that claim to be longer than memory.
    #[test]
    fn a_length_is_not_believed() {
        for claimed in [1 << 20, 1 << 40, u64::MAX] {
            let claimed = bytes(&claimed);
            assert!(decode::<Bytes<Vec<u8>>, LIMIT>(&claimed).is_err());
            assert!(decode::<Sequence<Bytes<Vec<u8>>>, LIMIT>(&claimed).is_err());
            assert!(decode::<Sequence<u64>, { 1 << 30 }>(&claimed).is_err());
        }
    }

    #[test]
    fn a_record_has_a_limit() {
        let long = bytes(&Bytes(vec![7; LIMIT]));
        assert_eq!(decode::<Bytes<Vec<u8>>, LIMIT>(&long), Err(RecordError::TooLong(LIMIT + 1)));
        assert!(decode::<Bytes<Vec<u8>>, { 2 * LIMIT }>(&long).is_ok());
    }
}
