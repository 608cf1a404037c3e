//! The server: a hub, tasks that accept, one task for each connection, and an orderly end.

use crate::config::Config;
use crate::hub::Witness;
use crate::listen::{Acceptor, Listener, Peer};
use crate::monitor::Monitor;
use crate::session::{self, Teller};
use crate::shared::Shared;
use elockd_core::{Account, Addr, Conn, Origin};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// A lock server that has not started yet. Give it listeners, then [`run`](Self::run) it.
///
/// It is generic over where connections come from, so that tests drive it over a simulated network.
pub struct Server {
    shared: Arc<Shared>,
    /// The tasks that accept.
    acceptors: TaskTracker,
    /// Closed when accepting is to stop.
    stop: watch::Sender<()>,
}

impl Server {
    /// A server with a fresh machine, holding nothing.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            shared: Arc::new(Shared::new(config)),
            acceptors: TaskTracker::new(),
            stop: watch::Sender::new(()),
        }
    }

    /// The same, with somebody who sees every input of the machine: for simulations.
    #[must_use]
    pub fn with_witness(config: Config, witness: Box<dyn Witness>) -> Self {
        let server = Self::new(config);
        server.shared.hub.set_witness(witness);
        server
    }

    /// Starts accepting from a listener. Must be called within a tokio runtime.
    pub fn listen(&self, listener: impl Listener) {
        info!("listening on {listener}");
        let accepting = accept(Arc::clone(&self.shared), listener, self.stop.subscribe());
        self.acceptors.spawn(accepting);
    }

    /// A view of it for exporters, and what of it can be changed.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor::new(Arc::clone(&self.shared))
    }

    /// Serves until `shutdown` is ready, then ends in order: it stops accepting, grants nothing more,
    /// lets every connection have the answers to what it has sent, and closes it. Connections that
    /// do not take their answers within the shutdown timeout are cut off.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { shared, acceptors, stop } = self;
        let ticking = crate::ticker::run(&shared.hub, shared.clock);
        let serving = async {
            shutdown.await;
            drop(stop);
            acceptors.close();
            acceptors.wait().await;
            shared.hub.drain(shared.clock.now());
            shared.sessions.close();
            let sessions = shared.sessions.wait();
            if timeout(shared.tunables().shutdown_timeout, sessions).await.is_err() {
                warn!("cut off {} connections that did not take their last replies", shared.sessions.len());
            }
        };
        tokio::select! {
            biased;
            () = serving => {}
            () = ticking => {}
            () = crate::overdue::run(&shared) => {}
        }
    }
}

/// Accepts until told to stop. An error never ends it.
async fn accept<L: Listener>(shared: Arc<Shared>, listener: L, mut stop: watch::Receiver<()>) {
    let mut acceptor = Acceptor::new(listener);
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            _ = stop.changed() => return,
            accepted = acceptor.next() => accepted,
        };
        start_session(&shared, stream, peer);
    }
}

fn start_session<S>(shared: &Arc<Shared>, stream: S, peer: Peer)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let addr_of = |conn: Conn| match peer {
        Peer::Ip(addr) => Addr::Ip(addr),
        Peer::Unix => Addr::Unix(conn.serial()),
    };
    let mut addr = None;
    let opened = shared.hub.open(shared.clock.now(), |conn| Origin {
        addr: *addr.insert(addr_of(conn)),
        account: Account::default(),
    });
    let teller = addr.filter(|_| shared.tunables().verbose).map(|addr| Box::new(Teller::new(addr)));
    match opened {
        Ok(handle) => {
            let serving = session::serve(Arc::clone(shared), stream, handle, teller);
            shared.sessions.spawn(serving);
        }
        Err(reason) => {
            teller.inspect(|teller| teller.refused());
            shared.sessions.spawn(session::refuse(stream, reason));
        }
    }
}
