//! What a client chose, in a line of the log: in quotes and escaped. So it is plain where a name ends, and no client
//! can write lines of its own into the log.

use std::fmt;

/// Bytes that a client chose. They show in quotes, as printable ASCII.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_quotes_or_its_line() {
        let shown = |name: &[u8]| Quoted(name).to_string();
        assert_eq!(shown(b"nightly backup"), r#""nightly backup""#);
        assert_eq!(shown(b""), r#""""#);
        assert_eq!(shown(b"a\" by b\n\xff\\"), r#""a\" by b\n\xff\\""#);
    }
}
