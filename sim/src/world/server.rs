//! The production server on its simulated host. It is started, watched, told to shut down, killed and started again.
//! Each start is a life of its own, with a machine that holds nothing.

use super::disk::Disk;
use super::wire::{SimListener, Wires};
use crate::log::{Event, Life, Log};
use crate::plan::Plan;
use crate::witness::{Left, Witness};
use elockd_server::{Monitor, Server};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;
use turmoil::net::TcpListener;

/// The name of the server's host.
pub(super) const HOST: &str = "server";
/// The port that it listens on.
pub(super) const PORT: u16 = 9999;
/// The port that it listens on for operators. (In production this is a Unix socket, which the simulated network does
/// not have.)
pub(super) const OPERATORS_PORT: u16 = 9997;

/// The server over all its lives.
pub(super) struct ServerHost {
    plan: Plan,
    log: Log,
    wires: Wires,
    disk: Disk,
    life: Cell<u32>,
    has_ended: Cell<bool>,
    /// When the present life began.
    started_ms: Cell<u32>,
    /// Of the present life: `shutdown` tells it to shut down, `is_alive` says whether it was killed.
    shutdown: RefCell<Arc<Notify>>,
    is_alive: RefCell<Arc<AtomicBool>>,
    left: RefCell<Arc<Left>>,
    /// Of the present life.
    monitor: RefCell<Option<Monitor>>,
}

impl ServerHost {
    pub(super) fn new(plan: &Plan, log: &Log, wires: &Wires, disk: &Disk) -> Rc<Self> {
        Rc::new(Self {
            plan: plan.clone(),
            log: log.clone(),
            wires: wires.clone(),
            disk: disk.clone(),
            life: Cell::new(0),
            has_ended: Cell::new(false),
            started_ms: Cell::new(0),
            shutdown: RefCell::default(),
            is_alive: RefCell::default(),
            left: RefCell::default(),
            monitor: RefCell::default(),
        })
    }

    /// The present life, or the last one.
    pub(super) fn life(&self) -> Life {
        Life(self.life.get())
    }

    /// The process that runs on the host.
    pub(super) fn start(self: &Rc<Self>) -> impl Future<Output = turmoil::Result> + use<> {
        self.life.set(self.life.get() + 1);
        let life = self.life();
        let shutdown = Arc::new(Notify::new());
        let is_alive = Arc::new(AtomicBool::new(true));
        *self.shutdown.borrow_mut() = Arc::clone(&shutdown);
        let left = Arc::new(Left::default());
        *self.is_alive.borrow_mut() = Arc::clone(&is_alive);
        *self.left.borrow_mut() = Arc::clone(&left);
        let host = Rc::clone(self);
        async move {
            let config = host.plan.config(life);
            let (limits, accounts) = (config.machine.limits.clone(), Arc::clone(&config.machine.accounts));
            let listener = host.listener(PORT, false).await?;
            let for_operators =
                if host.plan.server.admin { Some(host.listener(OPERATORS_PORT, true).await?) } else { None };
            host.log.note(Event::ServerStarted(life));
            host.started_ms.set(host.log.time_ms());
            let witness = Witness::new(life, host.log.clone(), (limits, accounts), is_alive, left);
            let server = Server::with_witness(config, Box::new(witness)).tokens_from(host.disk.open());
            *host.monitor.borrow_mut() = Some(server.monitor());
            server.listen(listener);
            if let Some(listener) = for_operators {
                server.listen(listener);
            }
            server.run(async move { shutdown.notified().await }).await;
            host.log.note(Event::ServerEnded(life));
            host.has_ended.set(true);
            *host.monitor.borrow_mut() = None;
            // The process ends here, and the world removes what is left of it.
            std::future::pending().await
        }
    }

    async fn listener(&self, port: u16, is_for_operators: bool) -> std::io::Result<SimListener> {
        Ok(SimListener {
            listener: TcpListener::bind(("0.0.0.0", port)).await?,
            is_for_operators,
            wires: self.wires.clone(),
            network: self.plan.network.clone(),
            log: self.log.clone(),
            accepts: 0,
        })
    }

    /// Tells the process to shut down in order.
    pub(super) fn shut_down(&self) {
        self.shutdown.borrow().notify_one();
    }

    /// Sessions in the machine: what ended connections left.
    pub(super) fn sessions(&self) -> u64 {
        self.left.borrow().sessions.load(Ordering::Relaxed)
    }

    /// Whether the process has ended. Returns true once.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.take()
    }

    /// Connections in the machine.
    pub(super) fn open_connections(&self) -> u64 {
        self.left.borrow().connections.load(Ordering::Relaxed)
    }

    /// What the process keeps for connections beside the machine: tasks and mailboxes.
    pub(super) fn tasks_and_mailboxes(&self) -> (usize, usize) {
        self.monitor.borrow().as_ref().map_or((0, 0), |monitor| (monitor.tasks(), monitor.mailboxes()))
    }

    /// What is due in the machine must be done at its time.
    pub(super) fn check_ticks(&self) {
        // Its clock counts whole milliseconds, and began somewhere within one.
        const SLACK_MS: u64 = 5;
        let due_ms = self.left.borrow().due_ms.load(Ordering::Relaxed);
        let now_ms = u64::from(self.log.time_ms() - self.started_ms.get());
        if now_ms > due_ms.saturating_add(SLACK_MS) {
            let what =
                format!("something has been due since {due_ms} ms of the server's time, and is not done");
            self.log.violate("what is due is done", None, what);
        }
    }

    /// Without a connection and without a session there is no hold.
    pub(super) fn check_nothing_is_held(&self, log: &Log) {
        let left = self.left.borrow();
        let holds = left.exclusive.load(Ordering::Relaxed) + left.shared.load(Ordering::Relaxed);
        if holds > 0 {
            log.violate("liveness", None, format!("{holds} locks are held, and nobody is there"));
        }
    }

    /// Notes that the process is about to be killed.
    pub(super) fn dies(&self) {
        self.is_alive.borrow().store(false, Ordering::Relaxed);
        *self.left.borrow_mut() = Arc::default();
        *self.monitor.borrow_mut() = None;
    }
}
