//! The limit of open files: raised as high as the system allows, and divided. Clients can never take all of it.

use crate::metrics::MOST_CLIENTS;
use elockd_server::{Config, MOST_OPERATORS};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// File descriptors that the daemon itself may have open: three standard streams, the log and its successor, a file of
/// settings, two epolls, an eventfd, two pairs of sockets for signals, the pidfile, three for the state directory, two
/// of /proc, two locks of Unix sockets. That is 19, and for each of the four kinds of listeners two: itself, and a
/// socket that it has just accepted. The rest is spare.
const ITSELF: u64 = 32;
/// Those that no client gets.
const KEPT: u64 = ITSELF + MOST_OPERATORS as u64 + MOST_CLIENTS as u64;
/// More of them for each further listener of one kind.
const PER_LISTENER: u64 = 2;

/// Raises the soft limit of open files to the hard one. Returns the limit.
pub(crate) fn raise_limit() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        warn!("cannot raise the limit of open files: {error}");
    }
    // `None` is no limit at all.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Gives clients what is left of `files` descriptors, and lowers the limit of connections to that. Warns if it is less
/// than the settings say. `addresses` are those that it listens on over TCP.
pub(crate) fn divide(files: u64, addresses: usize, server: &mut Config) {
    let places = places(files, addresses);
    server.max_sockets = usize::try_from(places).unwrap_or(usize::MAX);
    let (connections, closing) = (server.machine.limits.connections, server.max_closing);
    if places < u64::from(connections) + closing as u64 {
        warn!(
            "--max-connections is {connections} and --max-closing is {closing}, but the limit of {files} open files \
             leaves room for {places} sockets of clients; raise it with `ulimit -n` or LimitNOFILE="
        );
    }
    let mut places = u32::try_from(places).unwrap_or(u32::MAX);
    if server.access.is_some() {
        // Strangers never take what those need who have authenticated.
        server.max_unauthenticated = server.max_unauthenticated.min(places / 4).max(1);
        places = places.saturating_sub(server.max_unauthenticated).max(1);
    }
    server.machine.limits.connections = places.min(connections);
}

/// Descriptors for sockets of clients. If there are very few, half of them.
fn places(files: u64, addresses: usize) -> u64 {
    let kept = KEPT + PER_LISTENER * addresses.saturating_sub(1) as u64;
    (files - kept.min(files / 2)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_server::access::{Access, Rulebook};
    use std::sync::Arc;

    #[test]
    fn the_daemon_keeps_64_or_half_of_what_there_is() {
        assert_eq!(KEPT, 64, "docs/operations.md says so");
        assert_eq!(
            [1064, 129, 128, 127, 40, 1, 0].map(|files| places(files, 1)),
            [1000, 65, 64, 64, 20, 1, 1]
        );
        assert_eq!([0, 1, 2, 11].map(|addresses| places(1064, addresses)), [1000, 1000, 998, 980]);
        assert_eq!(places(u64::MAX, 1), u64::MAX - 64);
    }

    #[test]
    fn strangers_leave_three_quarters_to_those_who_have_logged_in() {
        let access = Arc::new(Access::new(&Rulebook::default()).unwrap());
        for (files, asked, strangers, connections) in [
            (1064, 100, 100, 900),
            (1064, 2000, 250, 750),
            (200, 100, 34, 102),
            (1, 100, 1, 1),
            (100_000, 100, 100, 5000),
        ] {
            let mut server = Config { access: Some(Arc::clone(&access)), ..Config::default() };
            server.machine.limits.connections = 5000;
            server.max_unauthenticated = asked;
            divide(files, 1, &mut server);
            let limits = (server.max_unauthenticated, server.machine.limits.connections);
            assert_eq!(limits, (strangers, connections), "{files} files, {asked} strangers");
        }
    }

    #[test]
    fn connections_are_limited_to_what_there_is() {
        for (files, connections, sockets) in [(163, 99, 99), (164, 100, 100), (165, 100, 101)] {
            let mut server = Config::default();
            server.machine.limits.connections = 100;
            divide(files, 1, &mut server);
            let limits = (server.machine.limits.connections, server.max_sockets);
            assert_eq!(limits, (connections, sockets), "{files} files");
        }
    }
}
