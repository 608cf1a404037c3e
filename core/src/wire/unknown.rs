//! How an unknown verb is shown in the reply that names it. It may be anything, such as the first bytes of another
//! protocol, or an order to a terminal. Names in other replies are exact; this one is for people alone.

/// Bytes that are shown at the most.
const MOST: usize = 256;
/// What follows if there are more.
const CUT: &[u8] = b"...";

/// Appends a verb as it is shown: each byte that is not printable ASCII as `\xNN`, and the end cut off if it is long.
/// What was shown once is shown as it is.
pub(super) fn append(verb: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    if is_shown(verb) {
        return out.extend_from_slice(verb);
    }
    let mut left = MOST;
    for &byte in verb {
        let [high, low] = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
        let escaped = [b'\\', b'x', high, low];
        let shown = if is_printable(byte) { std::slice::from_ref(&byte) } else { &escaped[..] };
        if shown.len() > left {
            return out.extend_from_slice(CUT);
        }
        left -= shown.len();
        out.extend_from_slice(shown);
    }
}

/// Whether a verb is shown as it is.
pub(super) fn is_shown(verb: &[u8]) -> bool {
    let text = if verb.len() > MOST { verb.strip_suffix(CUT).unwrap_or(verb) } else { verb };
    text.len() <= MOST && text.iter().all(|byte| is_printable(*byte))
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn shown(verb: &[u8]) -> String {
        let mut out = Vec::new();
        append(verb, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_in_it_moves_a_terminal_or_ends_a_line() {
        assert_eq!(shown(b"GET"), "GET");
        assert_eq!(shown(b"\x16\x03\x01\x02"), r"\x16\x03\x01\x02");
        assert_eq!(shown("\u{1b}[2J\u{9b}ä\\".as_bytes()), r"\x1b[2J\xc2\x9b\xc3\xa4\");
    }

    #[test]
    fn a_long_one_is_cut_between_two_of_its_bytes() {
        assert_eq!(shown(&[b'x'; MOST]), "x".repeat(MOST));
        assert_eq!(shown(&[b'x'; MOST + 1]), "x".repeat(MOST) + "...");
        assert_eq!(shown(&[0; MOST / 4]), r"\x00".repeat(MOST / 4));
        assert_eq!(shown(&[&[b'x'; MOST - 3][..], b"\0"].concat()), "x".repeat(MOST - 3) + "...");
    }

    quickcheck! {
        fn what_is_shown_is_shown_as_it_is(verb: Vec<u8>, times: u8) -> bool {
            let verb = verb.repeat(usize::from(times));
            let once = shown(&verb);
            is_shown(once.as_bytes()) && shown(once.as_bytes()) == once
                && is_shown(&verb) == (shown(&verb).as_bytes() == verb)
        }
    }
}
