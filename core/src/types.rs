//! The small values that the machine, the codec and drivers share: time, connection numbers, the total order,
//! addresses, accounts, and the kinds of lock. Nothing here decides anything.

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Index, IndexMut};

/// A point in time: milliseconds of the driver's monotonic clock since the machine's start.
///
/// The machine never reads a clock. If a `Now` is earlier than the last one, the last one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub u64);

/// A connection's number. The driver assigns it in ascending order and never uses it again.
///
/// The upper 16 bits are the node that accepted the connection (0 for a single daemon). The lower 48 bits are its
/// serial on that node; at a million connections a second they last for nearly nine years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conn(u64);

impl Conn {
    /// Bits of the serial in a connection's number.
    pub const SERIAL_BITS: u32 = 48;

    /// The connection with this serial on this node. Panics if `serial` needs more than 48 bits.
    #[must_use]
    pub const fn new(node: u16, serial: u64) -> Self {
        assert!(serial >> Self::SERIAL_BITS == 0, "a node's connection serials are used up");
        Self((node as u64) << Self::SERIAL_BITS | serial)
    }

    /// The node that accepted it.
    #[must_use]
    pub const fn node(self) -> u16 {
        (self.0 >> Self::SERIAL_BITS) as u16
    }

    /// Its serial on its node, counted from the driver's first connection.
    #[must_use]
    pub const fn serial(self) -> u64 {
        self.0 & ((1 << Self::SERIAL_BITS) - 1)
    }

    /// Node and serial in one number.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// Its serial, behind its node unless that is 0: `7`, `2.7`.
impl fmt::Display for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node() {
            0 => write!(f, "{}", self.serial()),
            node => write!(f, "{node}.{}", self.serial()),
        }
    }
}

/// The place of an input in the machine's total order, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seq(pub u64);

/// How a lock is held. Exclusive and shared locks are two independent name spaces: `g foo` and `sg foo` never conflict.
/// Readers and writers share a third one: a lock of it is held by readers or by a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// At most one holder.
    Exclusive,
    /// Any number of holders, counted.
    Shared,
    /// Any number of holders, counted, and no writer beside them.
    Read,
    /// At most one holder, and no reader beside it.
    Write,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Exclusive, Self::Shared, Self::Read, Self::Write];

    /// The kind's number. To keep one value for each kind, use [`ByKind`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The number of its name space. Only readers and writers share one.
    #[inline]
    pub(crate) const fn space(self) -> u8 {
        match self {
            Self::Exclusive => 0,
            Self::Shared => 1,
            Self::Read | Self::Write => 2,
        }
    }

    /// The other kind of its name space: a lock is never held both ways. `None` if there is no other.
    #[must_use]
    pub const fn rival(self) -> Option<Self> {
        match self {
            Self::Exclusive | Self::Shared => None,
            Self::Read => Some(Self::Write),
            Self::Write => Some(Self::Read),
        }
    }

    /// Whether a lock can have several holders of this kind at a time.
    #[must_use]
    #[inline]
    pub const fn is_counted(self) -> bool {
        matches!(self, Self::Shared | Self::Read)
    }
}

/// One value for each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByKind<T>([T; Kind::ALL.len()]);

impl<T> ByKind<T> {
    /// What `value` returns for each kind.
    pub(crate) fn from_fn(value: impl FnMut(Kind) -> T) -> Self {
        Self(Kind::ALL.map(value))
    }

    /// These values, in the order of [`Kind::ALL`].
    pub(crate) const fn from_array(values: [T; Kind::ALL.len()]) -> Self {
        Self(values)
    }

    /// Each kind with its value, in the order of [`Kind::ALL`].
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Kind, &T)> {
        Kind::ALL.into_iter().zip(&self.0)
    }

    /// What `change` makes of each value.
    pub(crate) fn map<U>(self, change: impl FnMut(T) -> U) -> ByKind<U> {
        ByKind(self.0.map(change))
    }
}

impl<T: Copy + std::iter::Sum> ByKind<T> {
    /// The sum over all kinds.
    #[inline]
    pub(crate) fn total(&self) -> T {
        self.0.iter().copied().sum()
    }
}

impl<T> Index<Kind> for ByKind<T> {
    type Output = T;

    #[inline]
    fn index(&self, kind: Kind) -> &T {
        &self.0[kind.index()]
    }
}

impl<T> IndexMut<Kind> for ByKind<T> {
    #[inline]
    fn index_mut(&mut self, kind: Kind) -> &mut T {
        &mut self.0[kind.index()]
    }
}

/// The owner that a connection's locks are counted for. Without authentication all clients have the same account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account(pub u16);

impl Account {
    /// The account of operators, who connect to the administrative listener. Only it may `kick` and `steal`, and it
    /// has no limit of connections.
    pub const ADMIN: Self = Self(u16::MAX);
}

/// The origin of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The peer's address, as `me`, `who` and the listings show it.
    pub addr: Addr,
    /// The account that its locks are counted for.
    pub account: Account,
}

/// A peer's address. It prints as `ip:port`, `[ip6]:port`, or `unix:N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addr {
    /// A TCP peer.
    Ip(SocketAddr),
    /// A Unix-socket peer. It has no address of its own, so the driver numbers it.
    Unix(u64),
}

impl Addr {
    /// The address with this text, if there is one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let addr = match text.strip_prefix("unix:") {
            Some(number) => Self::Unix(number.parse().ok()?),
            None => Self::Ip(text.parse().ok()?),
        };
        (addr.to_string() == text).then_some(addr)
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Unix(number) => write!(f, "unix:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_indexes_its_own_value() {
        let mut names = ByKind::from_fn(|kind| format!("{kind:?}"));
        for kind in Kind::ALL {
            assert_eq!(names[kind], format!("{kind:?}"));
            names[kind].push('!');
        }
        let lengths = names.map(|name| name.len());
        assert_eq!(lengths, ByKind::from_array([10, 7, 5, 6]));
        assert_eq!(
            lengths.iter().collect::<Vec<_>>(),
            [(Kind::Exclusive, &10), (Kind::Shared, &7), (Kind::Read, &5), (Kind::Write, &6)]
        );
        assert_eq!(lengths.total(), 28);
    }

    #[test]
    fn a_number_is_a_node_and_a_serial() {
        let last = (1 << 48) - 1;
        for (node, serial) in [(0, 0), (0, 1), (0, last), (1, 0), (u16::MAX, 12_345), (u16::MAX, last)] {
            let conn = Conn::new(node, serial);
            assert_eq!((conn.node(), conn.serial()), (node, serial));
            assert_eq!(conn.bits() >> 48, u64::from(node));
            assert_eq!(Conn::from_bits(conn.bits()), conn);
        }
        assert!(Conn::new(0, last) < Conn::new(1, 0));
        assert_eq!([Conn::new(0, 7), Conn::new(2, 7)].map(|conn| conn.to_string()), ["7", "2.7"]);
    }

    #[test]
    fn an_address_is_what_it_prints_as() {
        for text in ["1.2.3.4:5", "[::1]:80", "[fe80::1%3]:80", "unix:7", "unix:18446744073709551615"] {
            assert_eq!(Addr::parse(text.as_bytes()).map(|addr| addr.to_string()).as_deref(), Some(text));
        }
        let none = ["", "1.2.3.4", "::1:80", "localhost:80", "unix:", "unix:-1", "1.2.3.4:65536", "unix:1 "];
        let printed_otherwise = ["unix:07", "unix:+7", "[0::1]:80", "1.2.3.4:05"];
        for text in none.into_iter().chain(printed_otherwise) {
            assert_eq!(Addr::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Addr::parse(b"unix:\xff"), None);
    }

    #[test]
    #[should_panic(expected = "used up")]
    fn serials_end() {
        let _ = Conn::new(0, 1 << 48);
    }
}
