//! The requests to each kind of server to get and release a lock, and the expected replies.

use super::{Scenario, http};
use elockd_core::wire::encode;
use elockd_core::{Command, Kind, Reply, Wish};

/// The echo's answer to every line. It is as long as elockd's answer to a get.
pub const ECHO_REPLY: &[u8] = b"1 Lock Get Success: echo.0000000000000000000\n";

/// The language of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// elockd's own: `g NAME`, `r NAME`.
    Elockd,
    /// Redis' and Valkey's RESP: `SET NAME 1 NX`, `DEL NAME`.
    Redis,
    /// memcached's text: `add NAME`, `delete NAME`.
    Memcached,
    /// `PoolCounter`'s: `ACQ4ME NAME 1 1 0` (one worker, nobody in line, no waiting), `RELEASE`. One request at a time,
    /// because the server drops whatever is behind the first line of a read.
    PoolCounter,
    /// etcd's JSON gateway: a transaction that puts the key if it was never created, and `deleterange`. Only a part of
    /// each reply is checked, because replies have revisions too. So a [`Caller`](super::Caller) cannot speak it. One
    /// request at a time.
    Etcd,
    /// etcd's own, gRPC, as clients of a cluster speak it. Requests are not rendered beforehand. One at a time.
    EtcdGrpc,
    /// The echo's: elockd's requests are sent, and each line is answered with [`ECHO_REPLY`].
    Echo,
}

/// The name of a lock. It has 24 bytes, as in every measurement of memory.
#[must_use]
pub fn name(number: usize) -> String {
    format!("bench.{number:018}")
}

/// A request, the reply if it succeeds, and the reply if it does not.
pub(super) struct Exchange {
    pub(super) request: Vec<u8>,
    pub(super) yes: Vec<u8>,
    pub(super) no: Vec<u8>,
    /// Whether replies are HTTP responses. Then a response with `yes` in its body is a success, and any other a
    /// failure.
    pub(super) is_http: bool,
}

impl Exchange {
    fn new(request: impl Into<Vec<u8>>, yes: impl Into<Vec<u8>>, no: impl Into<Vec<u8>>) -> Self {
        Self { request: request.into(), yes: yes.into(), no: no.into(), is_http: false }
    }

    fn http(request: Vec<u8>, yes: &str) -> Self {
        Self { request, yes: yes.into(), no: Vec::new(), is_http: true }
    }
}

impl Protocol {
    /// Whether it can run the scenario. Only elockd can run fights: Redis and memcached also delete what another
    /// connection has put, and `PoolCounter` releases whatever the connection got last.
    #[must_use]
    pub fn has(self, scenario: Scenario) -> bool {
        match scenario {
            Scenario::Uncontended => true,
            Scenario::Fresh => self != Self::EtcdGrpc,
            Scenario::Reconnect => !matches!(self, Self::Etcd | Self::EtcdGrpc),
            Scenario::Token => self == Self::Echo,
            Scenario::LineTurns => matches!(self, Self::Elockd | Self::EtcdGrpc),
            Scenario::Fight | Scenario::LinePipelined | Scenario::Crowd { .. } | Scenario::Mixed => {
                self == Self::Elockd
            }
        }
    }

    /// Gets a lock, without waiting.
    pub(super) fn get(self, name: &str) -> Exchange {
        let length = name.len();
        match self {
            Self::Elockd => elockd_get(Wish::at_once(Kind::Exclusive, name)),
            Self::Redis => Exchange::new(
                format!("*4\r\n$3\r\nSET\r\n${length}\r\n{name}\r\n$1\r\n1\r\n$2\r\nNX\r\n"),
                "+OK\r\n",
                "$-1\r\n",
            ),
            Self::Memcached => {
                Exchange::new(format!("add {name} 0 0 1\r\n1\r\n"), "STORED\r\n", "NOT_STORED\r\n")
            }
            Self::PoolCounter => Exchange::new(format!("ACQ4ME {name} 1 1 0\n"), "LOCKED\n", "QUEUE_FULL\n"),
            Self::EtcdGrpc => unreachable!("its clients are in etcd/"),
            Self::Etcd => {
                let (key, value) = (http::base64(name.as_bytes()), http::base64(b"1"));
                let is_new = format!(r#"{{"key":"{key}","target":"CREATE","create_revision":"0"}}"#);
                let put = format!(r#"{{"request_put":{{"key":"{key}","value":"{value}"}}}}"#);
                let body = format!(r#"{{"compare":[{is_new}],"success":[{put}]}}"#);
                Exchange::http(http::post("/v3/kv/txn", &body), r#""succeeded":true"#)
            }
            Self::Echo => Exchange::new(
                elockd_get(Wish::at_once(Kind::Exclusive, name)).request,
                ECHO_REPLY,
                ECHO_REPLY,
            ),
        }
    }

    /// Releases a lock.
    pub(super) fn release(self, name: &str) -> Exchange {
        let length = name.len();
        match self {
            Self::Elockd => elockd_release(Kind::Exclusive, name),
            Self::Redis => {
                Exchange::new(format!("*2\r\n$3\r\nDEL\r\n${length}\r\n{name}\r\n"), ":1\r\n", ":0\r\n")
            }
            Self::Memcached => Exchange::new(format!("delete {name}\r\n"), "DELETED\r\n", "NOT_FOUND\r\n"),
            Self::PoolCounter => Exchange::new("RELEASE\n", "RELEASED\n", "NOT_LOCKED\n"),
            Self::EtcdGrpc => unreachable!("its clients are in etcd/"),
            Self::Etcd => {
                let body = format!(r#"{{"key":"{}"}}"#, http::base64(name.as_bytes()));
                Exchange::http(http::post("/v3/kv/deleterange", &body), r#""deleted":"1""#)
            }
            Self::Echo => {
                Exchange::new(elockd_release(Kind::Exclusive, name).request, ECHO_REPLY, ECHO_REPLY)
            }
        }
    }
}

/// Any get of elockd. If it is shared, `yes` is the reply if nobody else holds the lock.
pub(super) fn elockd_get(wish: Wish<&str>) -> Exchange {
    let (kind, name) = (wish.kind(), wish.name().as_bytes());
    let failure = match wish.ms() {
        None => Reply::GetFailure { kind, name },
        Some(_) => Reply::GetTimeout { kind, name },
    };
    exchange(&Command::Get(wish), &Reply::Got { kind, holders: 1, name }, &failure)
}

/// A release of elockd.
pub(super) fn elockd_release(kind: Kind, name: &str) -> Exchange {
    let bytes = name.as_bytes();
    let (yes, no) = (Reply::Released { kind, name: bytes }, Reply::ReleaseFailure { kind, name: bytes });
    exchange(&Command::Release(kind, name), &yes, &no)
}

fn exchange(command: &Command<&str>, yes: &Reply<'_>, no: &Reply<'_>) -> Exchange {
    Exchange::new(requests(&[*command]), replies(&[*yes]), replies(&[*no]))
}

/// elockd's requests, one after the other.
pub(super) fn requests(commands: &[Command<&str>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for command in commands {
        command.write(&mut bytes);
    }
    bytes
}

/// elockd's replies, one after the other.
pub(super) fn replies(replies: &[Reply<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for reply in replies {
        encode(reply, &mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory is measured with names of 24 bytes, and the echo must write as much as the daemon does.
    #[test]
    fn names_have_24_bytes_and_the_echo_answers_like_a_get() {
        assert_eq!(name(0).len(), 24);
        assert_eq!(name(19_999_999).len(), 24);
        assert_eq!(Protocol::Elockd.get(&name(7)).yes.len(), ECHO_REPLY.len());
    }
}
