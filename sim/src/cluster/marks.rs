//! What runs have seen. A judge that never had anything to judge has shown nothing, so many seeds must see all of it.

use std::fmt;

macro_rules! marks {
    ($($(#[doc = $doc:literal])* $name:ident),* $(,)?) => {
        /// What runs have seen.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct ClusterMarks {
            $($(#[doc = $doc])* pub $name: u64,)*
            /// Histories that were too long to explain.
            pub undecided: u64,
        }

        impl ClusterMarks {
            /// Adds another run's.
            pub(super) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
                self.undecided += other.undecided;
            }

            /// What was never seen.
            #[must_use]
            pub fn missing(&self) -> Vec<&'static str> {
                [$((self.$name, stringify!($name))),*]
                    .into_iter()
                    .filter(|(count, _)| *count == 0)
                    .map(|(_, name)| name)
                    .collect()
            }
        }

        impl fmt::Display for ClusterMarks {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let counts = [$((self.$name, stringify!($name))),*];
                for (nth, (count, name)) in counts.into_iter().enumerate() {
                    let before = if nth == 0 { "" } else { ", " };
                    write!(f, "{before}{count} {}", name.replace('_', " "))?;
                }
                write!(f, ", {} undecided", self.undecided)
            }
        }
    };
}

marks! {
    /// Requests that were answered.
    answers,
    /// Gets that succeeded.
    gets,
    /// Gets that succeeded after a wait of more than 20 ms.
    waits,
    /// Sessions that were resumed.
    resumed,
    /// Connections that were told `0 No Quorum`.
    no_quorum,
    /// Connections that a node closed.
    closed_connections,
    /// Times at which somebody began to lead, each run's first left out.
    elections,
    /// Epochs that ended.
    epochs_gone,
    /// Processes that were killed.
    kills,
    /// Machines that lost power.
    power_losses,
    /// Processes that shut down in order.
    shutdowns,
    /// Processes that were started again.
    restarts,
    /// Times at which messages between nodes were lost.
    cuts,
    /// Times at which they were held.
    holds,
    /// Times at which they were slow.
    slow_links,
    /// Writes that a crash lost or cut.
    writes_lost,
    /// Disks that failed.
    disk_failures,
    /// Copies of a machine for a snapshot.
    snapshots,
    /// Snapshots that took the place of a machine.
    installs,
    /// Entries that were compared with what other replicas applied.
    entries_compared,
    /// Machines that were compared with what others had come to by the same entry.
    machines_compared,
    /// Holds that were compared with others of the same lock.
    holds_compared,
    /// Connections whose requests were found in the log, each once.
    connections_logged,
    /// Requests whose time was judged.
    requests_timed,
    /// Connections at whose node a death elsewhere changed nothing.
    survivors,
    /// Deaths whose epoch ended in time.
    deaths_timed,
    /// Tokens that were compared.
    tokens_compared,
    /// Histories of locks that an order explains.
    linear,
}
