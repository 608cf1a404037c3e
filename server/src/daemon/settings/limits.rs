//! The limits as flags, made from two tables. The machine's limits are in core, the server's own are here. From its
//! row, a limit becomes a flag, a variable, a key of the file and a line of the documentation.

use super::values::{number, time_within};
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use elockd_core::{Limit, Limits, MAX_COUNT, MAX_TIME_MS, Unit};
use elockd_server::Config;
use elockd_server::listen::{MAX_PEER_TIMEOUT, MIN_PEER_TIMEOUT, TcpOptions, WebSocketUpgrade};
use std::time::Duration;

/// The structures that have the limits.
#[derive(Clone, Debug)]
pub(super) struct Limited {
    /// The server, with its machine. Only the limits in it are set here.
    pub(super) server: Config,
    pub(super) tcp: TcpOptions,
    pub(super) web_socket: WebSocketUpgrade,
}

/// The server's own limits.
pub(super) const OWN: &[Limit<Limited>] = &[
    Limit {
        flag: "max-line-bytes",
        unit: Unit::Bytes,
        default: 8192,
        allowed: 65..=1 << 20,
        help: "Bytes allowed in a request line, at most 1048576 and at least 64 more than in a name.",
        get: |limited| limited.server.max_line_bytes as u64,
        set: |limited, bytes| limited.server.max_line_bytes = bytes as usize,
        ..NO_LIMIT
    },
    Limit {
        flag: "max-listing-bytes",
        unit: Unit::Bytes,
        default: 64 << 20,
        allowed: 0..=1 << 40,
        is_reloadable: true,
        help: "Bytes of memory allowed together for all listings in progress (d, sd, dump, ls, who).",
        note: "A listing beyond that is told `0 Too Large`. Listings of operators may take as much again.",
        get: |limited| limited.server.max_listing_bytes as u64,
        set: |limited, bytes| limited.server.max_listing_bytes = bytes as usize,
        ..NO_LIMIT
    },
    Limit {
        flag: "max-closing",
        unit: Unit::Count,
        default: 1000,
        allowed: 1..=MAX_COUNT,
        help: "Clients' sockets allowed to be open at a time although their connection has ended or was refused.",
        note: "They stay open to deliver the last replies. One more, and the oldest is closed: its last replies may \
               be lost.",
        get: |limited| limited.server.max_closing as u64,
        set: |limited, sockets| limited.server.max_closing = sockets as usize,
        ..NO_LIMIT
    },
    Limit {
        flag: "max-handshakes",
        unit: Unit::Count,
        default: 1000,
        allowed: 1..=MAX_COUNT,
        help: "Sockets allowed to be open at a time although their handshake (a PROXY header, TLS) is not over.",
        note: "One more, and the oldest of them is closed. They have no connection yet, so they do not count against \
               --max-connections.",
        get: |limited| limited.server.max_handshakes as u64,
        set: |limited, sockets| limited.server.max_handshakes = sockets as usize,
        ..NO_LIMIT
    },
    Limit {
        flag: "handshake-timeout",
        default: 10_000,
        allowed: 1..=24 * 3_600_000,
        is_reloadable: true,
        help: "Time after which a socket whose handshake (a PROXY header, TLS) is not over is closed, at most 24h.",
        get: |limited| millis(limited.server.handshake_timeout),
        set: |limited, ms| limited.server.handshake_timeout = Duration::from_millis(ms),
        ..NO_LIMIT
    },
    Limit {
        flag: "max-message-bytes",
        unit: Unit::Bytes,
        default: 65_536,
        allowed: 65..=1 << 24,
        help: "Bytes allowed in a message from a WebSocket, at most 16777216.",
        note: "A longer one ends the connection, with the close code 1009. Each line in it has its own limit.",
        get: |limited| limited.web_socket.max_message_bytes as u64,
        set: |limited, bytes| limited.web_socket.max_message_bytes = bytes as usize,
        ..NO_LIMIT
    },
    Limit {
        flag: "ws-ping",
        default: 15_000,
        zero: Some("for never"),
        help: "Time after which a WebSocket is sent a ping; one that gives no sign until the next is due is given up \
               and loses its locks.",
        note: "So a browser that is gone is noticed behind a proxy too, within twice this time.",
        get: |limited| limited.web_socket.ping.map_or(0, millis),
        set: |limited, ms| limited.web_socket.ping = unless_zero(ms),
        ..NO_LIMIT
    },
    Limit {
        flag: "max-unauthenticated",
        unit: Unit::Count,
        default: 1000,
        allowed: 1..=MAX_COUNT,
        help: "Connections allowed at a time that must authenticate and have not; one more is told `0 Too Many \
               Connections`.",
        note: "They do not count against --max-connections.",
        get: |limited| limited.server.max_unauthenticated.into(),
        set: |limited, connections| limited.server.max_unauthenticated = connections as u32,
        ..NO_LIMIT
    },
    Limit {
        flag: "auth-timeout",
        default: 10_000,
        allowed: 1..=24 * 3_600_000,
        help: "Time after which a connection that must authenticate and has not is closed, at most 24h.",
        note: "",
        get: |limited| millis(limited.server.auth_timeout),
        set: |limited, ms| limited.server.auth_timeout = Duration::from_millis(ms),
        ..NO_LIMIT
    },
    Limit {
        flag: "peer-timeout",
        default: 15_000,
        allowed: millis(MIN_PEER_TIMEOUT)..=millis(MAX_PEER_TIMEOUT),
        zero: Some("to leave it to the kernel"),
        help: "Time after which a TCP peer that no longer answers the kernel is given up and loses its locks.",
        note: "It sets keepalive and `TCP_USER_TIMEOUT`: 3s to 24h, or 0 to leave both to the kernel (two hours).",
        get: |limited| limited.tcp.peer_timeout.map_or(0, millis),
        set: |limited, ms| limited.tcp.peer_timeout = unless_zero(ms),
        ..NO_LIMIT
    },
    Limit {
        flag: "write-timeout",
        default: 15_000,
        zero: Some("for never"),
        is_reloadable: true,
        help: "Time after which a connection that takes none of its replies is closed and loses its locks; 0 is \
               never.",
        get: |limited| limited.server.write_timeout.map_or(0, millis),
        set: |limited, ms| limited.server.write_timeout = unless_zero(ms),
        ..NO_LIMIT
    },
    Limit {
        flag: "shutdown-timeout",
        default: 5_000,
        allowed: 1..=24 * 3_600_000,
        zero: Some("to cut connections off at once"),
        is_reloadable: true,
        help: "Time that connections have to take their last replies at a shutdown, at most 24h; 0 cuts them off at \
               once.",
        note: "A second SIGTERM or SIGINT cuts them off at once too.",
        get: |limited| millis(limited.server.shutdown_timeout),
        set: |limited, ms| limited.server.shutdown_timeout = Duration::from_millis(ms),
        ..NO_LIMIT
    },
];

/// A row with what most of the server's limits have in common: they are times, and are not in `q full`.
const NO_LIMIT: Limit<Limited> = Limit {
    flag: "",
    figure: "",
    metric: None,
    unit: Unit::Milliseconds,
    default: 0,
    allowed: 1..=MAX_TIME_MS,
    zero: None,
    is_reloadable: false,
    help: "",
    note: "",
    get: |_| 0,
    set: |_, _| {},
};

impl Default for Limited {
    fn default() -> Self {
        Self {
            server: Config::default(),
            tcp: TcpOptions { peer_timeout: Some(Duration::from_secs(15)) },
            web_socket: WebSocketUpgrade::default(),
        }
    }
}

impl Args for Limited {
    fn augment_args(command: Command) -> Command {
        command.args(Limits::ROWS.iter().map(argument)).args(OWN.iter().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Limited {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut limited = Self::default();
        limited.update_from_arg_matches(matches)?;
        Ok(limited)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        set_all(Limits::ROWS, &mut self.server.machine.limits, matches);
        set_all(OWN, self, matches);
        Ok(())
    }
}

fn set_all<C>(rows: &[Limit<C>], of: &mut C, matches: &ArgMatches) {
    for row in rows {
        if let Some(value) = matches.get_one::<u64>(&id(row.flag)) {
            (row.set)(of, *value);
        }
    }
}

/// The flag of a limit.
fn argument<C>(row: &'static Limit<C>) -> Arg {
    let (value_name, heading) = match row.unit {
        Unit::Count => ("N", "Limits"),
        Unit::Bytes => ("BYTES", "Limits"),
        Unit::Milliseconds => ("TIME", "Timeouts"),
    };
    let help = if row.is_reloadable { format!("{} (R)", row.help) } else { undotted(row.help).to_owned() };
    let argument = Arg::new(id(row.flag))
        .long(row.flag)
        .value_name(value_name)
        .help_heading(heading)
        .default_value(default(row))
        .allow_negative_numbers(true)
        .value_parser(move |text: &str| parse(row, text))
        .help(help.clone());
    if row.note.is_empty() {
        argument
    } else {
        argument.long_help(format!("{help}\n\n{}", undotted(row.note)))
    }
}

/// Without the full stop at its end, like clap's other texts.
fn undotted(sentence: &str) -> &str {
    sentence.strip_suffix('.').unwrap_or(sentence)
}

/// clap's name of a setting.
pub(super) fn id(name: &str) -> String {
    name.replace('-', "_")
}

/// Whether a limit of this name can change while the daemon runs.
pub(super) fn is_reloadable(name: &str) -> bool {
    OWN.iter().any(|row| row.flag == name && row.is_reloadable)
        || Limits::ROWS.iter().any(|row| row.flag == name && row.is_reloadable)
}

/// The default, as a setting's text.
fn default<C>(row: &Limit<C>) -> String {
    match row.unit {
        Unit::Count | Unit::Bytes => row.default.to_string(),
        Unit::Milliseconds if row.default.is_multiple_of(1000) => format!("{}s", row.default / 1000),
        Unit::Milliseconds => format!("{}ms", row.default),
    }
}

fn parse<C>(row: &Limit<C>, text: &str) -> Result<u64, String> {
    match row.unit {
        Unit::Count | Unit::Bytes => number(text, row.allowed.clone()),
        Unit::Milliseconds => time_within(text, &row.allowed, row.zero).map(millis),
    }
}

const fn millis(time: Duration) -> u64 {
    // No time that a setting allows is over 100 years.
    time.as_millis() as u64
}

fn unless_zero(ms: u64) -> Option<Duration> {
    (ms > 0).then_some(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first row of either table with this flag parses a text.
    fn parsed(flag: &str, text: &str) -> Result<u64, String> {
        let own = OWN.iter().find(|row| row.flag == flag).map(|row| parse(row, text));
        let of_machine = || Limits::ROWS.iter().find(|row| row.flag == flag).map(|row| parse(row, text));
        own.or_else(of_machine).unwrap()
    }

    #[test]
    fn the_servers_defaults_are_those_of_the_table() {
        for row in OWN {
            assert_eq!((row.get)(&Limited::default()), row.default, "{}", row.flag);
        }
    }

    #[test]
    fn every_own_limit_is_its_own_and_can_be_set_to_its_ends() {
        let mut limited = Limited::default();
        OWN.iter().zip(70..).for_each(|(row, value)| (row.set)(&mut limited, value));
        for (row, value) in OWN.iter().zip(70..) {
            assert_eq!((row.get)(&limited), value, "{}", row.flag);
        }
        for row in OWN {
            for value in [*row.allowed.start(), *row.allowed.end()] {
                (row.set)(&mut limited, value);
                assert_eq!((row.get)(&limited), value, "{}", row.flag);
            }
        }
    }

    #[test]
    fn every_limit_says_in_one_sentence_what_it_is() {
        let own = OWN.iter().map(|row| (row.flag, row.help));
        for (flag, help) in own.chain(Limits::ROWS.iter().map(|row| (row.flag, row.help))) {
            assert!(help.ends_with('.') && !help.contains(". "), "{flag}: {help}");
        }
    }

    #[test]
    fn numbers_are_taken_up_to_their_bounds() {
        assert_eq!((parsed("max-locks", "1"), parsed("max-locks", "2000000000")), (Ok(1), Ok(2_000_000_000)));
        for wrong in ["0", "2000000001", "99999999999999999999", "-1", "", "x", "1.5"] {
            let words = "give a whole number from 1 to 2000000000".to_owned();
            assert_eq!(parsed("max-waiters", wrong), Err(words), "{wrong}");
        }
        assert_eq!(
            (parsed("max-line-bytes", "65"), parsed("max-line-bytes", "1048576")),
            (Ok(65), Ok(1 << 20))
        );
        assert!(parsed("max-line-bytes", "64").is_err() && parsed("max-line-bytes", "1048577").is_err());
        assert_eq!((parsed("max-name-bytes", "1"), parsed("max-name-bytes", "65535")), (Ok(1), Ok(65535)));
        assert!(parsed("max-name-bytes", "0").is_err() && parsed("max-name-bytes", "65536").is_err());
    }

    #[test]
    fn closing_sockets_are_at_least_one() {
        assert_eq!((parsed("max-closing", "1"), parsed("max-closing", "2000000000")), (Ok(1), Ok(MAX_COUNT)));
        assert!(parsed("max-closing", "0").is_err() && parsed("max-closing", "2000000001").is_err());
    }

    #[test]
    fn times_are_taken_up_to_their_bounds_and_0_means_what_the_row_says() {
        let refused = [
            ("idle-timeout", "900us", "give 1ms to 100 years, or 0 for never"),
            ("write-timeout", "876001h", "give 1ms to 100 years, or 0 for never"),
            ("shutdown-timeout", "86401s", "give 1ms to 24h, or 0 to cut connections off at once"),
            ("peer-timeout", "2999ms", "give 3s to 24h, or 0 to leave it to the kernel"),
            ("peer-timeout", "25h", "give 3s to 24h, or 0 to leave it to the kernel"),
        ];
        for (flag, text, words) in refused {
            assert_eq!(parsed(flag, text), Err(words.to_owned()), "{flag} {text}");
        }
        for flag in ["idle-timeout", "write-timeout", "shutdown-timeout", "peer-timeout"] {
            assert_eq!((parsed(flag, "0"), parsed(flag, "24h")), (Ok(0), Ok(86_400_000)), "{flag}");
        }
        assert_eq!(parsed("shutdown-timeout", "1ms"), Ok(1));
        assert_eq!(parsed("idle-timeout", "876000h"), Ok(MAX_TIME_MS));
    }
}
