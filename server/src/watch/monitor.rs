//! What exporters see of a running server, and the few settings that its operator may change. It decides nothing. A
//! reader keeps the hub's lock only while it copies figures.

use crate::access::{Rulebook, RulebookError};
use crate::config::Tunables;
use crate::gate::{Gate, Local};
use crate::shared::Shared;
use crate::watch::{Latency, LatencySnapshot};
use elockd_core::{Figures, OwnFigures};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::task::yield_now;

/// Connections that are looked at in one go, when rules change.
const LOOKED_AT: usize = 256;

/// A view of a server. It can be cloned and stays valid after the server's end.
pub struct Monitor<G: Gate = Local> {
    shared: Arc<Shared<G>>,
}

impl<G: Gate> Clone for Monitor<G> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<G: Gate> Monitor<G> {
    pub(crate) fn new(shared: Arc<Shared<G>>) -> Self {
        Self { shared }
    }

    /// Calls `look` with the machine's figures as of now. No command runs meanwhile: copy them, and work afterwards.
    pub fn figures<R>(&self, look: impl FnOnce(Figures<'_>) -> R) -> R {
        let Shared { gate, clock, .. } = &*self.shared;
        gate.hub().figures_at(gate.time(clock.now()), look)
    }

    /// The latency of commands. Empty unless [`Config::measure_latency`](crate::Config::measure_latency) is set.
    #[must_use]
    pub fn latency(&self) -> LatencySnapshot {
        self.shared.latency.as_ref().map(Latency::snapshot).unwrap_or_default()
    }

    /// Number of listings answered `0 Too Large` since the start.
    #[must_use]
    pub fn listings_refused(&self) -> u64 {
        self.shared.listings_refused.load(Ordering::Relaxed)
    }

    /// Number of holds that were older than the warning time at the last walk.
    #[must_use]
    pub fn long_holds(&self) -> u64 {
        self.shared.long_holds.load(Ordering::Relaxed)
    }

    /// Number of failed reservations of fencing tokens since the start.
    #[must_use]
    pub fn token_failures(&self) -> u64 {
        self.shared.token_failures.load(Ordering::Relaxed)
    }

    /// Number of sockets that are open now although their connection has ended or was refused.
    #[must_use]
    pub fn closing_sockets(&self) -> u64 {
        let Shared { clients, operators, .. } = &*self.shared;
        (clients.closing() + operators.closing()) as u64
    }

    /// Number of such sockets that were closed before their time, to make room, since the start.
    #[must_use]
    pub fn closing_sockets_dropped(&self) -> u64 {
        let Shared { clients, operators, .. } = &*self.shared;
        clients.dropped() + operators.dropped()
    }

    /// Number of sockets that are open now although their handshake is not over.
    #[must_use]
    pub fn handshakes(&self) -> u64 {
        self.shared.clients.unready() as u64
    }

    /// Number of such sockets that were closed before their time, to make room, since the start.
    #[must_use]
    pub fn handshakes_dropped(&self) -> u64 {
        self.shared.clients.unready_dropped()
    }

    /// Number of handshakes that failed, or took too long, since the start.
    #[must_use]
    pub fn handshakes_failed(&self) -> u64 {
        self.shared.handshake_failures.count()
    }

    /// Number of connections that spoke another protocol, since the start.
    #[must_use]
    pub fn foreign_connections(&self) -> u64 {
        self.shared.foreign.count()
    }

    /// Calls `look` with what each account has. Empty without accounts.
    pub fn accounts<R>(&self, look: impl FnOnce(&[OwnFigures<'_>]) -> R) -> R {
        let Shared { gate, access, .. } = &*self.shared;
        if access.is_some() { gate.hub().figures_by_account(look) } else { look(&[]) }
    }

    /// Number of connections that were closed because they did not say whose they are, since the start.
    #[must_use]
    pub fn strangers_closed(&self) -> u64 {
        self.shared.access.as_ref().map_or(0, |control| control.strangers_closed.load(Ordering::Relaxed))
    }

    /// Puts other access rules in force. Connections of accounts that are gone are closed, as an operator's `kick`
    /// does. Returns their number.
    ///
    /// # Errors
    ///
    /// If the rules contradict each other, or the server was started without accounts. Then nothing changes.
    pub async fn renew_access(&self, rulebook: &Rulebook) -> Result<usize, RulebookError> {
        let Shared { access, gate, clock, config, .. } = &*self.shared;
        let control = access.as_ref().ok_or(RulebookError::NoAccounts)?;
        let access = Arc::new(control.renewed(rulebook)?);
        // First the machine, so that it knows each account to which somebody can log in.
        gate.set_accounts(clock.now(), &access.table(config.max_unauthenticated));
        control.replace(access);
        let (mut closed, mut after) = (0, None);
        loop {
            let (closed_now, last) = gate.close_without_account(clock.now(), after, LOOKED_AT);
            closed += closed_now;
            if last.is_none() {
                return Ok(closed);
            }
            after = last;
            yield_now().await;
        }
    }

    /// Whether connections are served now. A node of a cluster serves none while it has no lease.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.shared.gate.is_serving()
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.shared.sessions.is_closed()
    }

    /// Number of tasks that serve connections, refuse them, or take and drop what those that have ended still send.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.shared.sessions.len()
    }

    /// Number of mailboxes. Each open connection has one.
    #[must_use]
    pub fn mailboxes(&self) -> usize {
        self.shared.gate.hub().mailboxes()
    }

    /// Changes the settings that can change while the server runs.
    pub fn tune(&self, tunables: Tunables) {
        self.shared.tunables.send_replace(tunables);
    }
}
