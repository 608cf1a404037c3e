//! What the values of settings may look like: one function for each sort, which says what is allowed when
//! something else was given. It knows nothing of where a value comes from.

use elockd_server::listen::{MAX_PEER_TIMEOUT, MIN_PEER_TIMEOUT};
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The most that may be counted of anything: slots are numbered in 32 bits.
const MAX_COUNT: u32 = 2_000_000_000;
/// The shortest time that is one: some are counted in milliseconds, and less would become 0, which means something else.
const MIN_TIME: Duration = Duration::from_millis(1);
/// The longest shutdown: whoever wants to wait for longer does not want it to end.
const MAX_SHUTDOWN_TIMEOUT: Duration = Duration::from_hours(24);
/// The longest time: further ahead than any process lives, and far from where a clock would overflow.
const MAX_TIME: Duration = Duration::from_hours(100 * 365 * 24);

/// An address to listen on, with a port or without.
#[derive(Clone, Copy, Debug)]
pub(super) enum ListenAddress {
    Ip(IpAddr),
    Socket(SocketAddr),
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    number(text, 0..=u16::MAX)
}

pub(super) fn count(text: &str) -> Result<u32, String> {
    number(text, 1..=MAX_COUNT)
}

pub(super) fn threads(text: &str) -> Result<u16, String> {
    number(text, 0..=256)
}

pub(super) fn name_bytes(text: &str) -> Result<u16, String> {
    number(text, 1..=u16::MAX)
}

pub(super) fn line_bytes(text: &str) -> Result<u32, String> {
    number(text, 65..=1 << 20)
}

pub(super) fn listing_bytes(text: &str) -> Result<usize, String> {
    number(text, 0..=1 << 40)
}

fn number<T: Copy + Display + FromStr + PartialOrd>(
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
        .map_err(|_| "give IP, IP:PORT or [IPv6]:PORT; names of hosts are not looked up".to_owned())
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give IP:PORT or [IPv6]:PORT; names of hosts are not looked up".to_owned())
}

pub(super) fn file_mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "give three octal digits, such as 660".to_owned())
}

/// A time as it is written, whatever it is for.
fn any_time(text: &str) -> Result<Duration, String> {
    let parsed = match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text),
    };
    parsed.map_err(|error| format!("{error}; write it as 500ms, 15s, 2m or 1h"))
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = any_time(text)?;
    if time > MAX_TIME {
        return Err("give at most 100 years, or 0 for never".to_owned());
    }
    if !time.is_zero() && time < MIN_TIME {
        return Err("give at least 1ms, or 0 for never".to_owned());
    }
    Ok(time)
}

pub(super) fn shutdown_timeout(text: &str) -> Result<Duration, String> {
    let time = any_time(text)?;
    if time.is_zero() || (MIN_TIME..=MAX_SHUTDOWN_TIMEOUT).contains(&time) {
        Ok(time)
    } else {
        Err("give 1ms to 24h, or 0 to cut connections off at once".to_owned())
    }
}

pub(super) fn peer_timeout(text: &str) -> Result<Duration, String> {
    let time = any_time(text)?;
    if time.is_zero() || (MIN_PEER_TIMEOUT..=MAX_PEER_TIMEOUT).contains(&time) {
        Ok(time)
    } else {
        Err("give 3s to 24h, which is what the kernel can do, or 0".to_owned())
    }
}

pub(super) fn warn_held(text: &str) -> Result<Duration, String> {
    let parsed = any_time(text)?;
    if !parsed.is_zero() && parsed < Duration::from_secs(1) {
        return Err("give at least 1s, or 0 for never".to_owned());
    }
    time(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_up_to_their_bounds() {
        assert_eq!(count("1"), Ok(1));
        assert_eq!(count("2000000000"), Ok(2_000_000_000));
        for wrong in ["0", "2000000001", "99999999999999999999", "-1", "", "x", "1.5"] {
            assert_eq!(count(wrong), Err("give a whole number from 1 to 2000000000".to_owned()), "{wrong}");
        }
        assert_eq!((port("0"), port("65535")), (Ok(0), Ok(65535)));
        assert!(port("65536").is_err());
        assert_eq!((line_bytes("65"), line_bytes("1048576")), (Ok(65), Ok(1 << 20)));
        assert!(line_bytes("64").is_err() && line_bytes("1048577").is_err());
        assert!(name_bytes("0").is_err() && name_bytes("65536").is_err());
        assert_eq!((name_bytes("1"), name_bytes("65535")), (Ok(1), Ok(65535)));
    }

    #[test]
    fn times_have_units_or_are_seconds() {
        assert_eq!(time("15"), Ok(Duration::from_secs(15)));
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("876000h"), Ok(MAX_TIME));
        assert!(time("876001h").is_err() && time("18446744073709551615").is_err());
        for too_short in ["1ns", "900us", "999999ns"] {
            assert_eq!(time(too_short), Err("give at least 1ms, or 0 for never".to_owned()), "{too_short}");
            assert!(warn_held(too_short).is_err() && peer_timeout(too_short).is_err(), "{too_short}");
            assert!(shutdown_timeout(too_short).is_err(), "{too_short}");
        }
        for zero in ["0", "0s", "0ms"] {
            for allowed in [time, warn_held, peer_timeout, shutdown_timeout] {
                assert_eq!(allowed(zero), Ok(Duration::ZERO), "{zero}");
            }
        }
        assert_eq!(time("1ms"), Ok(MIN_TIME));
        assert_eq!(
            (shutdown_timeout("1ms"), shutdown_timeout("24h")),
            (Ok(MIN_TIME), Ok(MAX_SHUTDOWN_TIMEOUT))
        );
        let words = "give 1ms to 24h, or 0 to cut connections off at once".to_owned();
        assert_eq!(shutdown_timeout("86401s"), Err(words));
        assert!(warn_held("876001h").is_err() && warn_held("876000h").is_ok());
        assert_eq!(warn_held("0"), Ok(Duration::ZERO));
        assert_eq!(warn_held("1s"), Ok(Duration::from_secs(1)));
        assert!(warn_held("999ms").is_err());
        assert!(
            peer_timeout("2999ms").is_err() && peer_timeout("24h").is_ok() && peer_timeout("25h").is_err()
        );
    }
}
