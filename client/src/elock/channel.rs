//! A connection for questions: opened to the first daemon that answers, with a limit of time for each answer.

use crate::options::Options;
use crate::status::{Failure, NO_DAEMON, NOT_ALLOWED, NOT_OBTAINED, PROTOCOL, USAGE};
use elockd_client::{
    AccessToken, Answer, Command, Connection, Error, Net, NetStream, Refusal, Server, Transport,
};
use std::io;
use std::time::Duration;
use tokio::time::timeout;

/// How long one daemon may take to accept a connection. There may be others.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a node of a cluster may take to accept a connection and to answer. There are others.
const NODE: Duration = Duration::from_secs(3);
/// How long an answer may take that needs no wait.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the daemon may take to close a connection that is done.
const END: Duration = Duration::from_secs(2);

/// A connection to a daemon.
#[derive(Debug)]
pub(crate) struct Channel {
    connection: Connection<NetStream>,
    server: Server,
}

impl Channel {
    /// Connects to the first daemon that answers.
    pub(crate) async fn open(options: &Options) -> Result<Self, Failure> {
        if options.is_cluster {
            return Self::open_at_a_node(options).await.map_err(Failure::from);
        }
        let mut channel = Self::open_one_of(&options.servers).await?;
        if let Some(token) = &options.token {
            channel.log_in(token).await?;
        }
        Ok(channel)
    }

    /// Says which account it is.
    async fn log_in(&mut self, token: &AccessToken) -> Result<(), Failure> {
        let logging_in = self.connection.log_in(token);
        timeout(ANSWER, logging_in).await.map_err(|_| silent(&self.server))?.map_err(Failure::from)
    }

    /// Connects for operators' commands: to the administrative socket, or as an account that may say them.
    pub(crate) async fn open_admin(options: &Options) -> Result<Self, Failure> {
        if options.operates_by_token {
            return Self::open(options).await;
        }
        Self::open_one_of(&[options.admin()]).await.map_err(|failure| {
            let hint = "kick and steal need the daemon's administrative socket: --admin PATH";
            Failure { message: format!("{}; {hint}", failure.message), ..failure }
        })
    }

    /// Connects to the first node that serves. A node without a quorum takes connections too, and says so.
    async fn open_at_a_node(options: &Options) -> Result<Self, Error> {
        let mut tried = Vec::new();
        for server in &options.servers {
            // A login by SSH has a limit of its own.
            let limit = server.connect_limit(NODE);
            let reaching = timeout(limit, Self::reach(server, options.token.as_ref())).await;
            match reaching.unwrap_or_else(|_| Err(Error::Io(io::ErrorKind::TimedOut.into()))) {
                Ok(channel) => return Ok(channel),
                Err(Error::Io(error)) => tried.push((server.clone(), error)),
                Err(Error::Refused(refusal @ (Refusal::NoQuorum | Refusal::ShuttingDown))) => {
                    tried.push((server.clone(), io::Error::other(refusal)));
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Unreachable(tried))
    }

    /// Connects to a node and makes sure that it answers.
    async fn reach(server: &Server, token: Option<&AccessToken>) -> Result<Self, Error> {
        let mut connection = Connection::new(Net.connect(server).await?);
        if let Some(token) = token {
            connection.log_in(token).await?;
        }
        let answer = connection.ask(&Command::<&[u8]>::Ping).await?;
        match answer.refusal() {
            Some(refusal) => Err(Error::Refused(refusal)),
            None => Ok(Self { connection, server: server.clone() }),
        }
    }

    async fn open_one_of(servers: &[Server]) -> Result<Self, Failure> {
        let mut tried = Vec::new();
        for server in servers {
            let connected = timeout(server.connect_limit(CONNECT), Net.connect(server)).await;
            match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    return Ok(Self { connection: Connection::new(stream), server: server.clone() });
                }
                Err(error) => tried.push((server.clone(), error)),
            }
        }
        Err(Error::Unreachable(tried).into())
    }

    /// The daemon at its other end.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The connection, for who pipelines or waits.
    pub(crate) fn connection(&mut self) -> &mut Connection<NetStream> {
        &mut self.connection
    }

    /// Asks, and waits for the answer for a limited time.
    pub(crate) async fn ask<N: AsRef<[u8]>>(&mut self, command: &Command<N>) -> Result<Answer, Failure> {
        let asking = self.connection.ask(command);
        let answer = timeout(ANSWER, asking).await;
        answer.map_err(|_| silent(&self.server))?.map_err(Failure::from)
    }

    /// Ends the connection in order, so that nobody meets what it held.
    pub(crate) async fn quit(self) {
        // If the daemon does not close it in time, it is closed here.
        let _ = self.connection.quit(END).await;
    }
}

/// The daemon gave no answer.
fn silent(server: &Server) -> Failure {
    let seconds = ANSWER.as_secs();
    Failure::new(NO_DAEMON, format_args!("{server} has not answered for {seconds} s"))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Held { .. } | Error::Timeout | Error::Deadlock => NOT_OBTAINED,
            Error::Lost(_) => crate::status::LOST,
            Error::Refused(
                Refusal::NotAllowed(_) | Refusal::Disabled | Refusal::AuthRequired | Refusal::AuthFailure,
            ) => NOT_ALLOWED,
            Error::Refused(Refusal::NoQuorum) => NO_DAEMON,
            Error::Refused(Refusal::UnknownCommand) | Error::Protocol { .. } => PROTOCOL,
            Error::Refused(refusal) if refusal.is_transient() => NOT_OBTAINED,
            Error::Refused(_) | Error::BadName => USAGE,
            _ => NO_DAEMON,
        };
        Self::new(status, error)
    }
}
