//! Values as bytes, for the disk and for links. The only file of this crate that names bincode.
//!
//! What is decoded may be hostile: a length that is claimed is compared with a limit before anything is allocated for
//! it, and bytes behind the value are refused.

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use bincode::{Decode, Encode};

/// The most bytes that one value comes to. Several entries travel in one message, and one entry is 1 MiB at most.
pub(crate) const VALUE_BYTES_MAX: usize = 16 << 20;

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed bytes: {0}")]
pub struct Malformed(pub(crate) String);

const BYTES: Configuration<LittleEndian, Varint, Limit<VALUE_BYTES_MAX>> =
    standard().with_limit::<VALUE_BYTES_MAX>();

/// A value's bytes.
pub(crate) fn encode(value: &impl Encode) -> Vec<u8> {
    bincode::encode_to_vec(value, BYTES).expect("a vector takes all that is encoded")
}

/// The value of bytes that [`encode`] made. There must be no others behind it.
///
/// # Errors
///
/// If the bytes are not such a value.
pub(crate) fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, Malformed> {
    let (value, taken) =
        bincode::decode_from_slice(bytes, BYTES).map_err(|error| Malformed(error.to_string()))?;
    if taken < bytes.len() {
        return Err(Malformed(format!("{} bytes behind the value", bytes.len() - taken)));
    }
    Ok(value)
}

/// Bytes with their checksum before them.
#[must_use]
pub(crate) fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(bytes.len() + 4);
    sealed.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    sealed.extend_from_slice(bytes);
    sealed
}

/// The bytes within what [`seal`] made.
///
/// # Errors
///
/// If the checksum is wrong, or missing.
pub(crate) fn unseal(sealed: &[u8]) -> Result<&[u8], Malformed> {
    let (sum, bytes) = sealed.split_first_chunk().ok_or_else(|| Malformed("no checksum".to_owned()))?;
    if u32::from_le_bytes(*sum) != crc32fast::hash(bytes) {
        return Err(Malformed("the checksum is wrong".to_owned()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_nothing_may_follow_them() {
        let value = (7_u64, vec![1_u8, 2, 3], String::from("lock"));
        let bytes = encode(&value);
        assert_eq!(decode::<(u64, Vec<u8>, String)>(&bytes), Ok(value));
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(decode::<(u64, Vec<u8>, String)>(&longer).unwrap_err().0.contains("1 bytes behind"));
        assert!(decode::<(u64, Vec<u8>, String)>(&bytes[..bytes.len() - 1]).is_err());
    }

    /// Goal: a length that somebody claims costs nothing. Method: a vector that claims 2^63 bytes, and has one.
    #[test]
    fn a_claimed_length_is_bounded() {
        let mut bytes = vec![253];
        bytes.extend_from_slice(&(1_u64 << 63).to_le_bytes());
        bytes.push(1);
        assert!(decode::<Vec<u8>>(&bytes).is_err());
        let mut bytes = vec![252];
        bytes.extend_from_slice(&(VALUE_BYTES_MAX as u32 + 1).to_le_bytes());
        assert!(decode::<Vec<u8>>(&bytes).unwrap_err().0.contains("Limit"));
    }

    #[test]
    fn each_flipped_bit_is_noticed() {
        let sealed = seal(b"held by 3");
        assert_eq!(unseal(&sealed), Ok(&b"held by 3"[..]));
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(&flipped).is_err(), "bit {bit}");
        }
        assert!(unseal(&sealed[..3]).is_err());
    }
}
