//! Records that several formats have: addresses, and the table of accounts.

use crate::accounts::{Accounts, Profile, Quotas};
use crate::types::{Account, Addr, ByKind};
use bincode::de::{BorrowDecode, BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};
use std::net::SocketAddr;

/// The table of accounts, by number.
#[derive(Encode, Decode)]
pub(crate) struct AccountsRecord {
    pub(crate) profiles: Vec<(u16, ProfileRecord)>,
    pub(crate) others: ProfileRecord,
    pub(crate) is_replaced: bool,
}

#[derive(Encode, Decode)]
pub(crate) struct ProfileRecord {
    pub(crate) name: String,
    pub(crate) connections: Option<u32>,
    pub(crate) locks: Option<u32>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) waiters: Option<u32>,
    pub(crate) is_operator: bool,
    pub(crate) names: Option<Vec<Vec<u8>>>,
    pub(crate) all_figures: bool,
}

/// bincode knows the standard library's addresses only with its own `std` feature.
#[derive(Encode, Decode)]
pub(crate) enum AddrRecord {
    V4 { ip: [u8; 4], port: u16 },
    V6 { ip: [u8; 16], port: u16, flow: u32, scope: u32 },
    Unix(u64),
}

impl<T: Encode> Encode for ByKind<T> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.iter().try_for_each(|(_, value)| value.encode(encoder))
    }
}

impl<C, T: Decode<C> + 'static> Decode<C> for ByKind<T> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Decode::decode(decoder).map(Self::from_array)
    }
}

/// Needed for the derived `Decode` of records that have a `ByKind`.
impl<'de, C, T: BorrowDecode<'de, C> + 'static> BorrowDecode<'de, C> for ByKind<T> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        BorrowDecode::borrow_decode(decoder).map(Self::from_array)
    }
}

impl From<&Accounts> for AccountsRecord {
    fn from(accounts: &Accounts) -> Self {
        let profiles = accounts.iter().map(|(account, profile)| (account.0, profile.into()));
        Self { profiles: profiles.collect(), others: accounts.others().into(), is_replaced: false }
    }
}

impl From<AccountsRecord> for Accounts {
    fn from(AccountsRecord { profiles, others, .. }: AccountsRecord) -> Self {
        let profiles = profiles.into_iter().map(|(account, profile)| (Account(account), profile.into()));
        Self::restored(profiles.collect(), others.into())
    }
}

impl From<&Profile> for ProfileRecord {
    fn from(profile: &Profile) -> Self {
        let Profile { name, quotas, is_operator, names, all_figures } = profile.clone();
        let Quotas { connections, locks, memory_bytes, waiters } = quotas;
        Self { name, connections, locks, memory_bytes, waiters, is_operator, names, all_figures }
    }
}

impl From<ProfileRecord> for Profile {
    fn from(record: ProfileRecord) -> Self {
        let ProfileRecord { name, connections, locks, memory_bytes, waiters, .. } = record;
        let quotas = Quotas { connections, locks, memory_bytes, waiters };
        let ProfileRecord { is_operator, names, all_figures, .. } = record;
        Self { name, quotas, is_operator, names, all_figures }
    }
}

impl From<Addr> for AddrRecord {
    fn from(addr: Addr) -> Self {
        match addr {
            Addr::Ip(SocketAddr::V4(addr)) => Self::V4 { ip: addr.ip().octets(), port: addr.port() },
            Addr::Ip(SocketAddr::V6(addr)) => Self::V6 {
                ip: addr.ip().octets(),
                port: addr.port(),
                flow: addr.flowinfo(),
                scope: addr.scope_id(),
            },
            Addr::Unix(number) => Self::Unix(number),
        }
    }
}

impl From<AddrRecord> for Addr {
    fn from(record: AddrRecord) -> Self {
        use std::net::{SocketAddrV4, SocketAddrV6};
        match record {
            AddrRecord::V4 { ip, port } => Self::Ip(SocketAddrV4::new(ip.into(), port).into()),
            AddrRecord::V6 { ip, port, flow, scope } => {
                Self::Ip(SocketAddrV6::new(ip.into(), port, flow, scope).into())
            }
            AddrRecord::Unix(number) => Self::Unix(number),
        }
    }
}
