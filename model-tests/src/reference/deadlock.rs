//! The definition of a deadlock, and nothing else. Every connection that does not wait releases everything. Every
//! connection that can then be served does the same, and so on until nothing changes. A connection that is still not
//! served never would be.

use super::waits::Wait;
use elockd_core::{Conn, Kind};
use std::collections::BTreeMap;

/// Whether `wait` would never be served if it began now, at the end of its line.
#[must_use]
pub(super) fn would_be_for_ever(
    locks: &BTreeMap<(Kind, Vec<u8>), Vec<Conn>>,
    waits: &[Wait],
    asked_for: &Wait,
) -> bool {
    let waits: Vec<&Wait> = waits.iter().chain([asked_for]).collect();
    let mut served: Vec<&Wait> = Vec::new();
    loop {
        let is_served = |wait: &Wait| served.iter().any(|other| other.conn == wait.conn);
        let can_be_served = |wait: &Wait| {
            let holders = locks.get(&wait.lock()).cloned().unwrap_or_default();
            // All other holders have released it.
            let left = holders
                .iter()
                .filter(|holder| waits.iter().any(|other| other.conn == **holder && !is_served(other)))
                .count();
            let mut ahead = waits
                .iter()
                .take_while(|other| other.conn != wait.conn)
                .filter(|other| other.lock() == wait.lock());
            ahead.all(|other| is_served(other)) && wait.fits(left)
        };
        match waits.iter().find(|wait| !is_served(wait) && can_be_served(wait)) {
            Some(next) => served.push(next),
            None => return !is_served(asked_for),
        }
    }
}
