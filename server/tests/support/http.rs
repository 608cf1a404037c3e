//! As much of HTTP as a monitoring client needs: one GET, one answer.

use super::PATIENCE;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Asks for a path. Gives the status line with the headers, and the body.
pub(crate) fn get(server: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {answer:?}"));
    let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    (head.to_owned(), if is_chunked { joined(body) } else { body.to_owned() })
}

/// The pieces of a body, each of which comes with its length in hexadecimal.
fn joined(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n").expect("a length");
        let length = usize::from_str_radix(length, 16).expect("a length");
        if length == 0 {
            return whole;
        }
        whole += &rest[..length];
        body = rest[length..].strip_prefix("\r\n").expect("the end of a piece");
    }
}
