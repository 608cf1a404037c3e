//! How many connections come from each address.

use crate::types::{Account, Addr, Origin};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// What counts as one address: an IPv4 address, or the first 64 bits of an IPv6 address. Whoever has one IPv6 address
/// mostly has all that begin like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source(IpAddr);

impl Source {
    /// `None` for peers that have no address: those of Unix sockets.
    fn of(addr: Addr) -> Option<Self> {
        const FIRST_64: u128 = !0 << 64;
        match addr {
            Addr::Unix(_) => None,
            // An IPv4 address may be written as one of IPv6.
            Addr::Ip(addr) => Some(Self(match addr.ip().to_canonical() {
                IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & FIRST_64)),
                ip @ IpAddr::V4(_) => ip,
            })),
        }
    }
}

impl Origin {
    /// The address that a connection counts for. `None` for operators too.
    pub(crate) fn source(&self) -> Option<Source> {
        if self.account == Account::ADMIN { None } else { Source::of(self.addr) }
    }
}

/// The connections of each address that has any.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    counts: BTreeMap<Source, u32>,
}

impl Addresses {
    /// Every address that has connections, with their number.
    pub(super) fn counts(&self) -> &BTreeMap<Source, u32> {
        &self.counts
    }

    /// Counts a connection that opens, unless there are `most` already; 0 is no limit. Returns the new number, or
    /// `None` if there are too many.
    pub(super) fn add(&mut self, source: Source, most: u32) -> Option<u32> {
        // What a new address begins with is below every limit. So no address is kept without connections.
        let count = self.counts.entry(source).or_default();
        if most > 0 && *count >= most {
            return None;
        }
        *count += 1;
        Some(*count)
    }

    /// Counts a connection that ended.
    pub(super) fn remove(&mut self, source: Source) {
        let count = self.counts.get_mut(&source).expect("an open connection is counted");
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Option<Source> {
        Source::of(Addr::parse(text.as_bytes()).expect("an address"))
    }

    #[test]
    fn ports_do_not_matter_and_of_ipv6_the_first_64_bits() {
        let same = [
            ("1.2.3.4:5", "1.2.3.4:6"),
            ("1.2.3.4:5", "[::ffff:1.2.3.4]:5"),
            ("[2001:db8:1:2::1]:5", "[2001:db8:1:2:ffff:ffff:ffff:ffff]:6"),
        ];
        for (one, other) in same {
            assert_eq!(source(one), source(other), "{one} and {other}");
            assert!(source(one).is_some(), "{one}");
        }
        let different = [
            ("1.2.3.4:5", "1.2.3.5:5"),
            ("[2001:db8:1:2::1]:5", "[2001:db8:1:3::1]:5"),
            ("1.2.3.4:5", "[::1]:5"),
        ];
        for (one, other) in different {
            assert_ne!(source(one), source(other), "{one} and {other}");
        }
        assert_eq!(source("unix:7"), None, "a Unix socket has no addresses");
    }

    #[test]
    fn an_address_without_connections_takes_no_memory() {
        let mut addresses = Addresses::default();
        let source = source("1.2.3.4:5").expect("an address");
        assert_eq!([addresses.add(source, 0), addresses.add(source, 0)], [Some(1), Some(2)]);
        addresses.remove(source);
        assert_eq!(addresses.counts()[&source], 1);
        addresses.remove(source);
        assert_eq!(addresses.counts().len(), 0);
    }

    #[test]
    fn the_limit_is_reached_and_not_exceeded_and_0_is_none() {
        let mut addresses = Addresses::default();
        let [one, other] = ["1.2.3.4:5", "1.2.3.5:5"].map(|text| source(text).expect("an address"));
        assert_eq!([1, 2, 3].map(|_| addresses.add(one, 2)), [Some(1), Some(2), None]);
        assert_eq!(addresses.counts()[&one], 2, "a refused one is not counted");
        assert_eq!([addresses.add(other, 1), addresses.add(other, 1)], [Some(1), None]);
        assert_eq!(addresses.add(one, 0), Some(3));
    }
}
