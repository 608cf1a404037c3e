//! The server: a hub, tasks that accept, one task for each connection, and an orderly end.

use crate::config::Config;
use crate::gate::{Gate, Local, Replica, Replicated};
use crate::hub::Witness;
use crate::listen::{Acceptor, Handshake, Listener, NoHandshake, Peer, Stream};
use crate::places::Unready;
use crate::session::{self, Asker, SessionLog};
use crate::shared::Shared;
use crate::tokens::{ClockTokens, Keeper, TokenSource};
use crate::watch::Monitor;
use elockd_cluster::Door;
use elockd_core::{Account, Addr, Conn, Machine, Origin, Reason};
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// How long it waits for the first fencing tokens before it serves without: a disk that hangs must not keep locks
/// from being had.
const TOKENS_PATIENCE: Duration = Duration::from_secs(5);

/// How often the watchdog of lapses looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A lock server that has not started yet. Give it listeners, then [`run`](Self::run) it.
///
/// It is generic over where connections come from, so that tests drive it over a simulated network, and over the
/// [gate](crate::gate) through which they come to the machine.
pub struct Server<G: Gate = Local> {
    shared: Arc<Shared<G>>,
    /// The tasks that accept.
    acceptors: TaskTracker,
    /// Set when accepting is to begin, closed when it is to stop.
    accepting: watch::Sender<bool>,
    /// Reserves fencing tokens.
    keeper: Keeper,
}

impl Server {
    /// A server with a fresh machine, holding nothing.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut machine = config.machine.clone();
        if let Some(access) = &config.access {
            machine.accounts = access.table(config.max_unauthenticated);
        }
        let gate = Local::new(Machine::new(machine), config.on_panic);
        Self::through(gate, config)
    }

    /// The same, with somebody who sees every input of the machine: for simulations.
    #[must_use]
    pub fn with_witness(config: Config, witness: Box<dyn Witness>) -> Self {
        let server = Self::new(config);
        server.shared.gate.hub().set_witness(witness);
        server
    }
}

impl Server<Replicated> {
    /// A server of a node in a cluster. It serves while the door lets it, and refuses everybody otherwise. Its machine
    /// is [`replica`](Self::replica), which the cluster drives.
    ///
    /// # Panics
    ///
    /// If there are accounts. Their quotas would be those of the whole cluster, and nothing makes the nodes agree.
    #[must_use]
    pub fn clustered(config: Config, door: Door) -> Self {
        assert!(config.access.is_none(), "a node of a cluster has no accounts");
        let gate = Replicated::new(door, Machine::new(config.machine.clone()), config.on_panic);
        Self::through(gate, config)
    }

    /// The machine, for the cluster.
    #[must_use]
    pub fn replica(&self) -> Arc<Replica> {
        Arc::clone(self.shared.gate.replica())
    }

    /// Begins to watch that a lapse closes all sockets in time, whatever becomes of the runtime. `late` is called if it
    /// does not, by a thread that does nothing else. It should end the process with [`EXIT_LATE`](crate::EXIT_LATE):
    /// then the kernel closes them.
    ///
    /// # Errors
    ///
    /// The system's, if it has no thread left.
    pub fn watch_lapses(&self, late: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let shared = Arc::downgrade(&self.shared);
        let watch = move || {
            while let Some(shared) = shared.upgrade() {
                if shared.gate.is_overdue() {
                    return late();
                }
                drop(shared);
                thread::sleep(BETWEEN_LOOKS);
            }
        };
        thread::Builder::new().name("lapse".to_owned()).spawn(watch).map(drop)
    }
}

impl<G: Gate> Server<G> {
    /// A server for connections through a gate.
    pub(crate) fn through(gate: G, config: Config) -> Self {
        Self {
            shared: Arc::new(Shared::new(config, gate)),
            acceptors: TaskTracker::new(),
            accepting: watch::Sender::new(false),
            keeper: Keeper::new(ClockTokens::new()),
        }
    }

    /// The same, with fencing tokens from somewhere else than the clock.
    #[must_use]
    pub fn tokens_from(self, source: impl TokenSource) -> Self {
        Self { keeper: Keeper::new(source), ..self }
    }

    /// Has it accept from a listener while it [runs](Self::run). Must be called within a tokio runtime.
    pub fn listen(&self, listener: impl Listener) {
        self.listen_through(listener, NoHandshake);
    }

    /// The same for a listener whose sockets need a handshake before they are served.
    pub fn listen_through<L: Listener, H: Handshake<G::Guarded<L::Stream>>>(
        &self,
        listener: L,
        handshake: H,
    ) {
        info!("listening on {listener}{}", fmt::from_fn(|f| handshake.describe(f)));
        let accepting =
            accept(Arc::clone(&self.shared), listener, Arc::new(handshake), self.accepting.subscribe());
        self.acceptors.spawn(accepting);
    }

    /// A view of it for exporters, and what of it can be changed.
    #[must_use]
    pub fn monitor(&self) -> Monitor<G> {
        Monitor::new(Arc::clone(&self.shared))
    }

    /// Serves until `shutdown` is ready, from the moment when there are fencing tokens, or when they cannot be had.
    /// Then it ends in order: it stops accepting, grants nothing more,
    /// lets every connection have the answers to what it has sent, and closes it. Connections that
    /// do not take their answers within the shutdown timeout are cut off.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { shared, acceptors, accepting, keeper } = self;
        let hub = shared.gate.hub();
        let tending = shared.gate.tend(shared.clock, shared.config.machine.limits.idle_ms);
        let (tried, first_try) = oneshot::channel();
        let keeping = async {
            if G::NEEDS_TOKENS {
                keeper.run(hub, shared.clock, &shared.token_failures, tried).await;
            } else {
                // Nobody waits for a first try.
                drop(tried);
                pending::<()>().await;
            }
        };
        let serving = async {
            let mut shutdown = pin!(shutdown);
            tokio::select! {
                biased;
                () = &mut shutdown => {}
                _ = timeout(TOKENS_PATIENCE, first_try) => {
                    accepting.send_replace(true);
                    shutdown.await;
                }
            }
            drop(accepting);
            acceptors.close();
            acceptors.wait().await;
            // No more sockets come, so none needs another's place.
            shared.clients.keep_all();
            shared.operators.keep_all();
            shared.gate.drain(shared.clock.now());
            shared.sessions.close();
            let sessions = shared.sessions.wait();
            if timeout(shared.tunables().shutdown_timeout, sessions).await.is_err() {
                warn!("cut off {} connections that did not take their last replies", shared.sessions.len());
            }
        };
        tokio::select! {
            biased;
            // Before the others, so that a source that is ready at once is asked before anything else happens.
            () = keeping => {}
            () = serving => {}
            () = tending => {}
            () = crate::watch::overdue::run(&shared) => {}
        }
    }
}

/// Accepts until told to stop. An error never ends it.
async fn accept<L: Listener, H: Handshake<G::Guarded<L::Stream>>, G: Gate>(
    shared: Arc<Shared<G>>,
    listener: L,
    handshake: Arc<H>,
    mut accepting: watch::Receiver<bool>,
) {
    if accepting.wait_for(|accepting| *accepting).await.is_err() {
        return;
    }
    let mut acceptor = Acceptor::new(listener);
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            _ = accepting.changed() => return,
            accepted = acceptor.next() => accepted,
        };
        let places = shared.places(peer.account() == Account::ADMIN);
        let (stream, pass) = shared.gate.take_in(stream);
        if !H::IS_NEEDED {
            // It is ready at once, and never fails.
            if let Ok((stream, peer)) = handshake.run(stream, peer).await {
                admit(&shared, (stream, peer), &pass, None).await;
            }
        } else if let Some(place) = places.enter_unready() {
            let (shared_too, handshake) = (Arc::clone(&shared), Arc::clone(&handshake));
            let making_ready = make_ready(shared_too, handshake, (stream, peer), pass.clone(), place);
            shared.gate.in_care_of(&pass, false, shared.sessions.spawn(making_ready));
        }
        tokio::select! {
            biased;
            _ = accepting.changed() => return,
            () = places.room() => {}
        }
    }
}

/// Does the handshake of a socket, and then has its connection served. The socket is closed if the handshake fails or
/// takes too long, or if others need its place.
async fn make_ready<S: Stream, H: Handshake<S>, G: Gate>(
    shared: Arc<Shared<G>>,
    handshake: Arc<H>,
    (stream, peer): (S, Peer),
    pass: G::Pass,
    place: Unready,
) {
    let (address, time) = (peer.address(), shared.tunables().handshake_timeout);
    let outcome = tokio::select! {
        biased;
        () = poll_fn(|cx| place.poll_dropped(cx)) => return,
        outcome = timeout(time, handshake.run(stream, peer)) => outcome,
    };
    let reason = match outcome {
        Ok(Ok(ready)) => return admit(&shared, ready, &pass, Some(place)).await,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it was not over after {time:?}"),
    };
    shared.handshake_failures.note(|others| {
        let peer = address.map_or_else(|| "a peer".to_owned(), |address| address.to_string());
        info!(addr = peer, reason, "the handshake of {peer} failed: {reason}{others}");
    });
}

/// Has a connection served, or refuses it. `place` is the one that it has already.
async fn admit<S: Stream, G: Gate>(
    shared: &Arc<Shared<G>>,
    (stream, peer): (S, Peer),
    pass: &G::Pass,
    place: Option<Unready>,
) {
    let is_operator = peer.account() == Account::ADMIN;
    let places = shared.places(is_operator);
    let newcomer = shared.access.as_ref().and_then(|control| Asker::of(control, &peer));
    let account = newcomer.as_ref().map_or(peer.account(), |newcomer| newcomer.account);
    // The machine has no limit for operators, and none for all accounts together.
    let enters_first = place.is_none() && (is_operator || newcomer.is_some());
    if enters_first && !places.enter() {
        return session::refuse_at_once(stream, Reason::TooManyConnections).await;
    }
    let addr_of = |conn: Conn| peer.address().map_or(Addr::Unix(conn.bits()), Addr::Ip);
    let mut addr = None;
    let opened = shared
        .gate
        .open(pass, shared.clock.now(), |conn| Origin { addr: *addr.insert(addr_of(conn)), account });
    let log = addr.and_then(|addr| SessionLog::of(addr, &peer, shared.tunables().verbose)).map(Box::new);
    match opened {
        Ok(handle) => {
            match place {
                _ if enters_first => {}
                Some(place) => place.admitted(),
                None => places.enter_admitted(),
            }
            let asker = match (newcomer, &shared.access, addr) {
                (Some(newcomer), Some(control), Some(addr)) => {
                    Some(Box::new(newcomer.admitted(control, addr, shared.config.auth_timeout)))
                }
                _ => None,
            };
            let serving = session::serve(Arc::clone(shared), stream, handle, asker, log);
            shared.gate.in_care_of(pass, true, shared.sessions.spawn(serving));
        }
        Err(reason) => {
            log.filter(|_| reason == Reason::TooManyConnections).inspect(|log| log.refused());
            if enters_first {
                places.leave();
            }
            match place.map_or_else(|| places.enter_refused(), Unready::refused) {
                Some(closing) => {
                    let refusing = session::refuse(stream, reason, Arc::clone(places), closing);
                    shared.gate.in_care_of(pass, true, shared.sessions.spawn(refusing));
                }
                None => session::refuse_at_once(stream, reason).await,
            }
        }
    }
}
