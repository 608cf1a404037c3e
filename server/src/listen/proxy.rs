//! The PROXY protocol, versions 1 and 2: a balancer says in a header who the client behind it is. Then listings and
//! logs show the client's address and not the balancer's.
//!
//! A header is believed. So whoever may send one can take any address, and evade limits of addresses.

use super::{Handshake, HandshakeError, Peer, Stream};
use ppp::v2::{Command, Protocol};
use ppp::{v1, v2};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use thiserror::Error;
use tokio::io::AsyncReadExt;

/// The signature of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins.
const WORD: &[u8; 6] = b"PROXY ";
/// The shortest header of version 1: `PROXY UNKNOWN`.
const SHORTEST: usize = 15;
/// The longest one, by its specification.
const LONGEST: usize = 107;
/// Bytes of version 2 before the addresses.
const FIXED: usize = 16;
/// Bytes of version 2 behind that: addresses, and what else the balancer has to say.
const MOST: usize = 4096;

/// The listener's side of the PROXY protocol.
#[derive(Clone, Debug, Default)]
pub struct Proxy {
    is_on: bool,
    /// Empty if all connections must have a header.
    balancers: Vec<Network>,
}

impl Proxy {
    /// Connections from these networks must begin with a header. Others must not. If the list is empty, all must.
    #[must_use]
    pub fn from(balancers: Vec<Network>) -> Self {
        Self { is_on: true, balancers }
    }

    /// No connection begins with a header.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Whether any connection begins with a header.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    fn must_have_header(&self, peer: &Peer) -> bool {
        let is_of_balancer =
            |ip| self.balancers.is_empty() || self.balancers.iter().any(|of| of.contains(ip));
        self.is_on && peer.address().is_some_and(|address| is_of_balancer(address.ip()))
    }
}

impl<S: Stream> Handshake<S> for Proxy {
    type Stream = S;

    async fn run(&self, mut stream: S, peer: Peer) -> Result<(S, Peer), HandshakeError> {
        if !self.must_have_header(&peer) {
            return Ok((stream, peer));
        }
        let failed = |reason: &dyn fmt::Display| HandshakeError::new("PROXY", reason);
        let mut header = Vec::new();
        loop {
            match ProxyHeader::read(&header).map_err(|error| failed(&error))? {
                ProxyHeader::Lacks(count) => {
                    let begin = header.len();
                    header.resize(begin + count, 0);
                    let read = stream.read(&mut header[begin..]).await.map_err(|error| failed(&error))?;
                    if read == 0 {
                        return Err(failed(&"the peer closed before the end of its header"));
                    }
                    header.truncate(begin + read);
                }
                ProxyHeader::Of(client) => return Ok((stream, client.map_or(peer, Peer::Ip))),
            }
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on { " (PROXY)" } else { "" })
    }
}

/// What the bytes of a header say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// It has at least this many bytes more.
    Lacks(usize),
    /// It is complete. The client has this address. `None` if the balancer speaks for itself, or does not know.
    Of(Option<SocketAddr>),
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ProxyError(&'static str);

impl ProxyHeader {
    /// Reads all bytes that have come so far. If it asks for more, no byte behind the header is among them.
    ///
    /// # Errors
    ///
    /// They are no header, and never will be.
    pub fn read(bytes: &[u8]) -> Result<Self, ProxyError> {
        if bytes.is_empty() {
            return Ok(Self::Lacks(SHORTEST));
        }
        if SIGNATURE.starts_with(bytes) || bytes.starts_with(SIGNATURE) {
            return read_v2(bytes);
        }
        if WORD.starts_with(bytes) || bytes.starts_with(WORD) {
            return read_v1(bytes);
        }
        Err(ProxyError("there is no header"))
    }
}

fn read_v1(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    match line_end(bytes) {
        None if bytes.len() >= LONGEST => Err(ProxyError("the header has no end")),
        None if bytes.len() < SHORTEST => Ok(ProxyHeader::Lacks(SHORTEST - bytes.len())),
        None => Ok(ProxyHeader::Lacks(if bytes.ends_with(b"\r") { 1 } else { 2 })),
        Some(end) if end + 1 == bytes.len() && end < LONGEST => {
            let wrong = ProxyError("the header of version 1 is wrong");
            let header = v1::Header::try_from(bytes).map_err(|_| wrong)?;
            Ok(ProxyHeader::Of(match header.addresses {
                v1::Addresses::Tcp4(of) => Some((of.source_address, of.source_port).into()),
                v1::Addresses::Tcp6(of) => Some((of.source_address, of.source_port).into()),
                v1::Addresses::Unknown => None,
            }))
        }
        Some(_) => Err(ProxyError("the header of version 1 is wrong")),
    }
}

fn read_v2(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else {
        return Ok(ProxyHeader::Lacks(FIXED - bytes.len()));
    };
    let more = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if more > MOST {
        return Err(ProxyError("the header is longer than 4112 bytes"));
    }
    match (FIXED + more).checked_sub(bytes.len()) {
        Some(0) => {}
        Some(lacks) => return Ok(ProxyHeader::Lacks(lacks)),
        None => return Err(ProxyError("the header of version 2 is wrong")),
    }
    let header = v2::Header::try_from(bytes).map_err(|_| ProxyError("the header of version 2 is wrong"))?;
    if header.command == Command::Local {
        return Ok(ProxyHeader::Of(None));
    }
    if header.protocol == Protocol::Datagram {
        return Err(ProxyError("the header is not of a stream"));
    }
    Ok(ProxyHeader::Of(match header.addresses {
        v2::Addresses::IPv4(of) => Some((of.source_address, of.source_port).into()),
        v2::Addresses::IPv6(of) => Some((of.source_address, of.source_port).into()),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
    }))
}

/// Where its first line ends.
fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// An IP address, or all that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn contains(&self, ip: IpAddr) -> bool {
        let differ = match (self.address, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => return false,
        };
        differ >= u32::from(self.bits)
    }
}

impl FromStr for Network {
    type Err = &'static str;

    /// Reads `IP` or `IP/BITS`.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "give an IP address, or a network such as 10.0.0.0/8 or fd00::/8";
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| WRONG)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| WRONG))?;
        if bits > most { Err(WRONG) } else { Ok(Self { address, bits }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    /// A header of version 2 by its specification.
    fn v2(command: u8, family: u8, addresses: &[u8], more: &[u8]) -> Vec<u8> {
        let len = u16::try_from(addresses.len() + more.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[0x20 | command, family][..], &len, addresses, more].concat()
    }

    const IP4: [u8; 12] = [1, 2, 3, 4, 9, 9, 9, 9, 0x01, 0x00, 0, 80];

    fn of(text: &str) -> ProxyHeader {
        ProxyHeader::Of(Some(text.parse().unwrap()))
    }

    #[test]
    fn headers_say_who_the_client_is() {
        let ip6 = [[0; 15].as_slice(), &[1], &[0; 16], &[0, 5, 0, 6]].concat();
        let headers = [
            (b"PROXY TCP4 1.2.3.4 9.9.9.9 256 80\r\n".to_vec(), of("1.2.3.4:256")),
            (b"PROXY TCP6 ::1 ::2 5 6\r\n".to_vec(), of("[::1]:5")),
            (b"PROXY UNKNOWN\r\n".to_vec(), ProxyHeader::Of(None)),
            (b"PROXY UNKNOWN ::1 ::2 5 6\r\n".to_vec(), ProxyHeader::Of(None)),
            (v2(1, 0x11, &IP4, b""), of("1.2.3.4:256")),
            (v2(1, 0x11, &IP4, &[4, 0, 1, 0]), of("1.2.3.4:256")),
            (v2(1, 0x21, &ip6, b""), of("[::1]:5")),
            (v2(0, 0x00, b"", b""), ProxyHeader::Of(None)),
            (v2(0, 0x11, &IP4, b""), ProxyHeader::Of(None)),
            (v2(1, 0x00, b"", b""), ProxyHeader::Of(None)),
            (v2(1, 0x31, &[0; 216], b""), ProxyHeader::Of(None)),
        ];
        for (header, expected) in headers {
            assert_eq!(ProxyHeader::read(&header), Ok(expected), "{}", header.escape_ascii());
            for len in 0..header.len() {
                let Ok(ProxyHeader::Lacks(count)) = ProxyHeader::read(&header[..len]) else {
                    panic!("{len} bytes of {}", header.escape_ascii());
                };
                assert!(count > 0 && len + count <= header.len(), "it would read behind the header");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_at_once() {
        let wrong: &[&[u8]] = &[
            b"g",
            b"\r\ng",
            b"PROXYX",
            b"PROXY TCP4 1.2.3.4\r\n",
            b"PROXY TCP4 1.2.3.4 9.9.9.9 256 80 \r\n",
            b"PROXY TCP4 1.2.3.4 9.9.9.9 256 80\n",
            b"PROXY TCP4 1.2.3.4 9.9.9.9 65536 80\r\n",
            b"PROXY TCP4 ::1 ::2 5 6\r\n",
            b"PROXY UDP4 1.2.3.4 9.9.9.9 256 80\r\n",
        ];
        for bytes in wrong {
            assert!(ProxyHeader::read(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        assert!(ProxyHeader::read(&[&b"PROXY UNKNOWN "[..], &[b'x'; 93]].concat()).is_err(), "it has no end");
        for header in [
            v2(1, 0x12, &IP4, b""),
            v2(1, 0x11, &IP4[..11], b""),
            v2(2, 0x11, &IP4, b""),
            v2(1, 0x41, &IP4, b""),
            v2(1, 0x11, &IP4, &[0; 4085]),
        ] {
            assert!(ProxyHeader::read(&header).is_err(), "{}", header.escape_ascii());
        }
        assert!(ProxyHeader::read(&v2(1, 0x11, &IP4, &[4; 4084])).is_ok(), "as long as allowed");
    }

    quickcheck! {
        /// Goal: no bytes are read that are not the header's, and a header is the same in any pieces. Method: random
        /// bytes behind how a header begins, read one by one as far as it asks.
        fn any_bytes_end(bytes: Vec<u8>, begin: u8) -> bool {
            let begins = [&b""[..], b"PROXY ", b"PROXY TCP4 1.1.1.1 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"];
            let all = [begins[usize::from(begin) % begins.len()], &bytes].concat();
            (0..=all.len()).all(|len| match ProxyHeader::read(&all[..len]) {
                Ok(ProxyHeader::Lacks(count)) => count > 0 && len + count <= FIXED + MOST,
                Ok(ProxyHeader::Of(_)) => len >= SHORTEST,
                Err(_) => ProxyHeader::read(&all).is_err(),
            })
        }
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        let contains = |text: &str, ip: &str| network(text).contains(ip.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("1.2.3.4", "1.2.3.4") && !contains("1.2.3.4", "1.2.3.5"));
        assert!(contains("0.0.0.0/0", "255.1.1.1") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("fd00::/8", "fdff::1") && !contains("fd00::/8", "fe00::1"));
        for wrong in ["", "1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3/8", "x", "1.2.3.4/-1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
