//! What happens to others while something ends. They get and release locks of their own, as fast as they are answered.

use crate::arguments::Arguments;
use crate::client::Client;
use crate::cluster::Cluster;
use crate::support::Failure;
use crate::support::spread::quantile_us;
use elockd_load::{Latencies, Watch};
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// More replies than any watch hears.
const ROOM: usize = 8_000_000;
/// How long they are watched before anything happens, and before that until their pace is steady.
const QUIET: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(300);

/// Others that are being watched.
pub(crate) struct Others {
    watch: Watch,
    quiet: (Instant, Instant),
}

impl Others {
    /// Starts them at these nodes, and watches them for a while with nothing else going on. Those of etcd ask again
    /// after `patience`. Meanwhile `holder` says that it lives, three times in its lease. At the return it said so half
    /// of such an interval ago.
    pub(crate) fn start(
        cluster: &Cluster,
        addresses: Vec<SocketAddr>,
        holder: &mut Client,
        patience: Duration,
        arguments: &Arguments,
    ) -> Result<Self, Failure> {
        let watch = Watch::start_over(addresses, cluster.system.protocol(), arguments.others, ROOM, patience);
        let interval = arguments.etcd_lease() / 3;
        let begin = Instant::now() + WARM_UP;
        sleep(WARM_UP);
        let end = begin + QUIET;
        while Instant::now() + interval / 2 < end {
            holder.keep()?;
            sleep(interval / 2);
        }
        holder.keep()?;
        sleep(interval / 2);
        Ok(Self { watch, quiet: (begin, Instant::now()) })
    }

    /// Watches them until then.
    pub(crate) fn watch_until(&self, until: Instant) {
        while Instant::now() < until && !self.watch.has_failed() {
            sleep(Duration::from_millis(10));
        }
    }

    /// Ends the watch.
    pub(crate) fn stop(self) -> Result<Watched, Failure> {
        Ok(Watched { latencies: self.watch.stop()?, quiet: self.quiet })
    }
}

/// What was seen of them.
pub(crate) struct Watched {
    latencies: Latencies,
    quiet: (Instant, Instant),
}

impl Watched {
    /// The 99th percentile before anything happened, in milliseconds.
    pub(crate) fn p99_before_ms(&self) -> f64 {
        quantile_us(&self.latencies.answered_between(self.quiet.0, self.quiet.1), 0.99) / 1e3
    }

    /// The longest time of a request then, in milliseconds.
    pub(crate) fn worst_before_ms(&self) -> f64 {
        quantile_us(&self.latencies.answered_between(self.quiet.0, self.quiet.1), 1.0) / 1e3
    }

    /// The 99th percentile in this time, in milliseconds.
    pub(crate) fn p99_ms(&self, from: Instant, to: Instant) -> f64 {
        quantile_us(&self.latencies.between(from, to), 0.99) / 1e3
    }

    /// The longest time, in milliseconds, of a request that was under way in this time.
    pub(crate) fn worst_ms(&self, from: Instant, to: Instant) -> f64 {
        quantile_us(&self.latencies.between(from, to), 1.0) / 1e3
    }

    /// How often a client had to ask again.
    pub(crate) fn asked_again(&self) -> u64 {
        self.latencies.asked_again
    }
}
