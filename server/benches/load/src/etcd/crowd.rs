//! Many clients of etcd at once, on one thread: each with a lock of its own, or all in line for one. They are spread
//! over the nodes, and each has a connection of its own, as processes on different machines have.

use super::client::{Client, Failing};
use super::runtime;
use crate::link::nth;
use crate::meter::{Meter, Report, Window};
use crate::{LoadError, name};
use futures_util::future::try_join_all;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The time of a lease: far longer than any run, so that nobody has to keep it.
const TTL: Duration = Duration::from_mins(10);

/// Gets and releases a lock for each connection, until the meter ends the run. Returns how often one had to ask again.
pub(crate) fn play(
    addresses: &[SocketAddr],
    names: &[String],
    failing: Failing,
    meter: &mut impl Meter,
) -> Result<u64, LoadError> {
    runtime()?.block_on(async {
        let clients = connect(addresses, names.len(), failing).await?;
        let meter = RefCell::new(meter);
        meter.borrow_mut().start(Instant::now());
        let heard = |since: Instant| {
            let now = Instant::now();
            let goes_on = meter.borrow_mut().goes_on(now);
            meter.borrow_mut().record(since, now, 1);
            goes_on
        };
        let lives = clients.iter().zip(names).map(async |(client, name)| {
            loop {
                let since = Instant::now();
                client.get(name).await?;
                heard(since);
                let since = Instant::now();
                client.release(name).await?;
                if !heard(since) {
                    return Ok::<_, LoadError>(());
                }
            }
        });
        try_join_all(lives).await?;
        Ok(clients.iter().map(Client::asked_again).sum())
    })
}

/// Measures it.
pub(crate) fn uncontended(
    addresses: &[SocketAddr],
    connections: usize,
    mut window: Window<'_>,
) -> Result<Report, LoadError> {
    let names: Vec<_> = (0..connections).map(name).collect();
    play(addresses, &names, Failing::Ends, &mut window)?;
    window.report()
}

/// All wait in line for one lock. The one that gets it releases it, and joins again once that is answered: etcd has one
/// key for a client in a line, so a client cannot join before it has left.
pub(crate) fn line(
    addresses: &[SocketAddr],
    connections: usize,
    window: Window<'_>,
) -> Result<Report, LoadError> {
    let window = RefCell::new(window);
    runtime()?.block_on(async {
        let clients = connect(addresses, connections, Failing::Ends).await?;
        let start = Instant::now();
        window.borrow_mut().start(start);
        let (last, holder) = (Cell::new(start), Cell::new(None));
        let lives = clients.iter().enumerate().map(async |(who, client)| {
            loop {
                let key = client.lock(&name(0)).await?;
                if let Some(holder) = holder.replace(Some(who)) {
                    return Err(LoadError::OutOfTurn { expected: holder, got: who });
                }
                let now = Instant::now();
                let goes_on = window.borrow_mut().goes_on(now);
                window.borrow_mut().record(last.replace(now), now, 1);
                holder.set(None);
                client.unlock(key).await?;
                if !goes_on {
                    return Ok(());
                }
            }
        });
        try_join_all(lives).await?;
        Ok::<_, LoadError>(())
    })?;
    window.into_inner().report()
}

async fn connect(
    addresses: &[SocketAddr],
    connections: usize,
    failing: Failing,
) -> Result<Vec<Client>, LoadError> {
    try_join_all((0..connections).map(|who| Client::connect(nth(addresses, who), TTL, failing))).await
}
