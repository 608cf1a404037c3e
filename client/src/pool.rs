//! Unused connections. Each of them holds nothing and has no name and no grace: who puts one back has made sure of
//! that.

use crate::connection::Connection;
use crate::server::Server;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// A bounded stack of connections.
pub(crate) struct Pool<S> {
    /// The one that was used last is at the back.
    idle: Mutex<VecDeque<Idle<S>>>,
    most: usize,
    age: Duration,
}

struct Idle<S> {
    connection: Connection<S>,
    server: Server,
    since: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pool<S> {
    pub(crate) fn new(most: usize, age: Duration) -> Self {
        Self { idle: Mutex::new(VecDeque::new()), most, age }
    }

    /// A connection that is still open, as far as is known here, and its daemon.
    pub(crate) fn take(&self) -> Option<(Connection<S>, Server)> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        self.drop_old(&mut idle);
        while let Some(Idle { mut connection, server, .. }) = idle.pop_back() {
            if connection.is_idle() {
                return Some((connection, server));
            }
        }
        None
    }

    /// Keeps a connection, unless it has ended or something was left unread. If there are too many, the oldest is
    /// closed.
    pub(crate) fn put(&self, mut connection: Connection<S>, server: Server) {
        if !connection.is_idle() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        self.drop_old(&mut idle);
        idle.push_back(Idle { connection, server, since: Instant::now() });
        if idle.len() > self.most {
            idle.pop_front();
        }
    }

    /// Closes all.
    pub(crate) fn clear(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn drop_old(&self, idle: &mut VecDeque<Idle<S>>) {
        let now = Instant::now();
        while idle.front().is_some_and(|first| now - first.since >= self.age) {
            idle.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_core::Command;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::advance;

    fn connection() -> (Connection<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(64);
        (Connection::new(near), far)
    }

    fn server(port: u16) -> Server {
        Server::Tcp { host: "a".to_owned(), port }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_one_is_taken_first_and_old_ones_are_closed() {
        let pool = Pool::new(2, Duration::from_mins(1));
        let mut far = Vec::new();
        for port in 1..=3 {
            let (near, end) = connection();
            far.push(end);
            pool.put(near, server(port));
            advance(Duration::from_secs(20)).await;
        }
        // The first is closed because there were too many, and now the second is 40 s old.
        assert!(far[0].write_all(b"x").await.is_err());
        advance(Duration::from_secs(20)).await;
        assert_eq!(pool.take().unwrap().1, server(3));
        assert!(pool.take().is_none(), "the second is too old");
    }

    #[tokio::test]
    async fn what_has_ended_or_is_not_answered_is_not_taken() {
        let pool = Pool::new(8, Duration::from_mins(1));
        let (near, ended) = connection();
        pool.put(near, server(1));
        let (near, mut wordy) = connection();
        pool.put(near, server(2));
        drop(ended);
        wordy.write_all(b"hello\n").await.unwrap();
        let (mut near, _silent) = connection();
        near.send(&Command::<&str>::Ping);
        pool.put(near, server(3));
        assert!(pool.take().is_none());
        assert!(pool.take().is_none());
    }
}
