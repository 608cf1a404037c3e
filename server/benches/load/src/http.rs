//! The part of HTTP/1.1 that etcd's JSON gateway needs: requests, the length of a response, and its check. Connections
//! are kept. Every response has a Content-Length.

use super::LoadError;
use super::expect::wrong;

/// The most bytes of a response, with its head.
const MAX_RESPONSE: usize = 4096;

/// A request that sends JSON.
pub(super) fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: etcd\r\nContent-Type: application/json\r\n");
    format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// Base64 with padding. The gateway needs keys and values in it.
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(*three.get(at).unwrap_or(&0)));
        for digit in 0..4 {
            let is_padding = digit > three.len();
            text.push(if is_padding { '=' } else { DIGITS[bits >> (18 - 6 * digit) & 63].into() });
        }
    }
    text
}

/// The length of the response that begins with `bytes`. `None` if it is not known yet.
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, LoadError> {
    let Some(head) = head_length(bytes) else {
        return if bytes.len() > MAX_RESPONSE { Err(wrong(b"a shorter head", bytes)) } else { Ok(None) };
    };
    let lines = std::str::from_utf8(&bytes[..head]).unwrap_or_default().lines();
    let body = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .filter(|&body: &usize| body <= MAX_RESPONSE);
    body.map(|body| Some(head + body)).ok_or_else(|| wrong(b"a length in the head", bytes))
}

/// Checks a whole response. It must have status 200, and `part` in its body. Spaces in the body are ignored.
pub(super) fn check(response: &[u8], part: &[u8]) -> Result<(), LoadError> {
    let body = &response[head_length(response).unwrap_or_default()..];
    if !response.starts_with(b"HTTP/1.1 200 ") {
        return Err(wrong(b"HTTP/1.1 200", response));
    }
    let has_part = (0..body.len()).any(|start| {
        let rest = body[start..].iter().filter(|byte| !byte.is_ascii_whitespace());
        rest.take(part.len()).eq(part)
    });
    if has_part { Ok(()) } else { Err(wrong(part, body)) }
}

fn head_length(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    bytes.windows(END.len()).position(|four| four == END).map(|at| at + END.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4648, and a name as it is sent.
    #[test]
    fn base64_is_as_the_standard_says() {
        let examples = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in examples {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(super::super::name(7).as_bytes()), "YmVuY2guMDAwMDAwMDAwMDAwMDAwMDA3");
        assert_eq!(base64(&[0xFB, 0xFF]), "+/8=");
    }

    /// Goal: a response ends where its length says, whatever its headers are called, and not before.
    #[test]
    fn a_response_ends_where_it_says() {
        let response = b"HTTP/1.1 200 OK\r\nDate: now: 1\r\ncontent-length: 5\r\n\r\nhello";
        for end in 0..=response.len() {
            let is_headed = end >= response.len() - 5;
            let length = length(&response[..end]).expect("nothing is wrong with it");
            assert_eq!(length, is_headed.then_some(response.len()), "the first {end} bytes");
        }
        assert!(length(b"HTTP/1.1 200 OK\r\nDate: now\r\n\r\n").is_err());
        assert!(length(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n").is_err());
        assert!(length(&[b'x'; MAX_RESPONSE + 1]).is_err());
    }

    #[test]
    fn a_response_has_to_say_it() {
        let part = br#""deleted":"1""#;
        let response =
            |status: &str, body: &str| format!("HTTP/1.1 {status}\r\nA: b\r\n\r\n{body}").into_bytes();
        assert!(check(&response("200 OK", r#"{"a":{},"deleted":"1"}"#), part).is_ok());
        assert!(check(&response("200 OK", "{ \"deleted\": \"1\" }"), part).is_ok());
        assert!(check(&response("200 OK", r#"{"deleted":"12"}"#), part).is_err());
        assert!(check(&response("200 OK", r#"{"a":{}}"#), part).is_err());
        assert!(check(&response("400 Bad Request", r#"{"deleted":"1"}"#), part).is_err());
    }
}
