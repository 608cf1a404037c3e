//! Parses the values of settings, with one function for each sort. An error says what is allowed. Nothing here knows
//! where a value comes from.

use elockd_core::MAX_TIME_MS;
use elockd_server::listen::Network;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 365 * 24 * HOUR_MS;

/// An address to listen on, with or without a port.
#[derive(Clone, Copy, Debug)]
pub(super) enum ListenAddress {
    Ip(IpAddr),
    Socket(SocketAddr),
}

impl ListenAddress {
    pub(super) fn ip(self) -> IpAddr {
        match self {
            Self::Ip(ip) => ip,
            Self::Socket(address) => address.ip(),
        }
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    number(text, 0..=u16::MAX)
}

pub(super) fn threads(text: &str) -> Result<u16, String> {
    number(text, 0..=256)
}

pub(super) fn number<T: Copy + Display + FromStr + PartialOrd>(
    text: &str,
    allowed: RangeInclusive<T>,
) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| format!("give a whole number from {} to {}", allowed.start(), allowed.end()))
}

pub(super) fn listen_address(text: &str) -> Result<ListenAddress, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse()
        .map(ListenAddress::Ip)
        .or_else(|_| text.parse().map(ListenAddress::Socket))
        .map_err(|_| "give IP, IP:PORT or [IPv6]:PORT; host names are not looked up".to_owned())
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give IP:PORT or [IPv6]:PORT; host names are not looked up".to_owned())
}

pub(super) fn network(text: &str) -> Result<Network, String> {
    text.parse().map_err(str::to_owned)
}

pub(super) fn file_mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "give three octal digits, such as 660".to_owned())
}

/// A time, without bounds.
fn any_time(text: &str) -> Result<Duration, String> {
    let parsed = match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text),
    };
    parsed.map_err(|error| format!("{error}; write it as 500ms, 15s, 2m or 1h"))
}

/// A time within a range of milliseconds. `zero` says what 0 means if that is allowed too.
pub(super) fn time_within(
    text: &str,
    allowed: &RangeInclusive<u64>,
    zero: Option<&str>,
) -> Result<Duration, String> {
    let time = any_time(text)?;
    let (least, most) = (Duration::from_millis(*allowed.start()), Duration::from_millis(*allowed.end()));
    if (least..=most).contains(&time) || zero.is_some() && time.is_zero() {
        return Ok(time);
    }
    let zero = zero.map(|zero| format!(", or 0 {zero}")).unwrap_or_default();
    Err(format!("give {} to {}{zero}", shown(*allowed.start()), shown(*allowed.end())))
}

/// A number of milliseconds as a person writes it.
fn shown(ms: u64) -> String {
    match ms {
        _ if ms > 0 && ms.is_multiple_of(YEAR_MS) => format!("{} years", ms / YEAR_MS),
        _ if ms > 0 && ms.is_multiple_of(HOUR_MS) => format!("{}h", ms / HOUR_MS),
        _ if ms > 0 && ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ => format!("{ms}ms"),
    }
}

pub(super) fn warn_held(text: &str) -> Result<Duration, String> {
    time_within(text, &(1000..=MAX_TIME_MS), Some("for never"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_up_to_their_bounds() {
        assert_eq!((port("0"), port("65535")), (Ok(0), Ok(65535)));
        assert_eq!((threads("0"), threads("256")), (Ok(0), Ok(256)));
        for wrong in ["65536", "99999999999999999999", "-1", "", "x", "1.5"] {
            assert_eq!(port(wrong), Err("give a whole number from 0 to 65535".to_owned()), "{wrong}");
        }
    }

    #[test]
    fn times_have_units_or_are_seconds() {
        let time = |text| time_within(text, &(1..=MAX_TIME_MS), Some("for never"));
        assert_eq!(time("15"), Ok(Duration::from_secs(15)));
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("876000h"), Ok(Duration::from_millis(MAX_TIME_MS)));
        let words = "give 1ms to 100 years, or 0 for never".to_owned();
        for wrong in ["876001h", "18446744073709551615", "1ns", "900us", "999999ns"] {
            assert_eq!(time(wrong), Err(words.clone()), "{wrong}");
        }
        for zero in ["0", "0s", "0ms"] {
            assert_eq!((time(zero), warn_held(zero)), (Ok(Duration::ZERO), Ok(Duration::ZERO)), "{zero}");
            assert!(time_within(zero, &(1..=5), None).is_err(), "{zero}");
        }
        assert!(time("soon").unwrap_err().ends_with("write it as 500ms, 15s, 2m or 1h"));
    }

    #[test]
    fn a_hold_that_is_warned_of_is_a_second_old_or_more() {
        assert_eq!(warn_held("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(warn_held("999ms"), Err("give 1s to 100 years, or 0 for never".to_owned()));
        assert!(warn_held("876001h").is_err() && warn_held("876000h").is_ok());
    }
}
