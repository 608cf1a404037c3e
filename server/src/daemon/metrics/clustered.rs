//! The metrics of a node of a cluster: what it knows of itself. Figures of locks are the whole cluster's, and the same
//! on every node. A daemon that is alone has none of these.

use super::described::Described;
use elockd_cluster::NodeFigures;
use prometheus_client::metrics::MetricType;

/// One of them.
pub(super) struct NodeMetric {
    name: &'static str,
    metric_type: MetricType,
    help: &'static str,
    note: &'static str,
    pub(super) value: fn(&NodeFigures) -> NodeValue,
}

/// A value of theirs.
pub(super) enum NodeValue {
    Whole(u64),
    Milliseconds(u64),
}

use MetricType::{Counter, Gauge};
use NodeValue::{Milliseconds, Whole};

/// All of them, by name.
pub(super) const ROWS: [NodeMetric; 11] = [
    NodeMetric {
        name: "elockd_cluster_applied_index",
        metric_type: Gauge,
        help: "The last entry of the log that this node has applied.",
        note: "",
        value: |node| Whole(node.applied),
    },
    NodeMetric {
        name: "elockd_cluster_lag_entries",
        metric_type: Gauge,
        help: "Entries that are committed, and that this node has not applied.",
        note: "",
        value: |node| Whole(node.lag),
    },
    NodeMetric {
        name: "elockd_cluster_lapses",
        metric_type: Counter,
        help: "How often this node let go of all its clients, because it had no lease or its state was replaced.",
        note: "A shutdown does not count.",
        value: |node| Whole(node.lapses),
    },
    NodeMetric {
        name: "elockd_cluster_leader",
        metric_type: Gauge,
        help: "1 on the node that leads, as far as it knows, else 0.",
        note: "",
        value: |node| Whole(node.leads.into()),
    },
    NodeMetric {
        name: "elockd_cluster_leader_changes",
        metric_type: Counter,
        help: "Changes of the leader that this node has noticed.",
        note: "",
        value: |node| Whole(node.leader_changes),
    },
    NodeMetric {
        name: "elockd_cluster_lease_seconds",
        metric_type: Gauge,
        help: "How much longer this node may serve without another answer of the leader; 0 if it serves nobody.",
        note: "",
        value: |node| Milliseconds(node.lease_ms),
    },
    NodeMetric {
        name: "elockd_cluster_links_refused",
        metric_type: Counter,
        help: "Links between nodes that could not be made, or were refused.",
        note: "The log has a reason for each peer.",
        value: |node| Whole(node.links_refused),
    },
    NodeMetric {
        name: "elockd_cluster_log_bytes",
        metric_type: Gauge,
        help: "Bytes of entries since the last snapshot.",
        note: "",
        value: |node| Whole(node.log_bytes),
    },
    NodeMetric {
        name: "elockd_cluster_snapshot_bytes",
        metric_type: Gauge,
        help: "Bytes of the last snapshot; 0 if there is none.",
        note: "",
        value: |node| Whole(node.snapshot_bytes),
    },
    NodeMetric {
        name: "elockd_cluster_term",
        metric_type: Gauge,
        help: "The term of leadership that this node knows of.",
        note: "",
        value: |node| Whole(node.term),
    },
    NodeMetric {
        name: "elockd_cluster_voters",
        metric_type: Gauge,
        help: "Members that have a vote.",
        note: "",
        value: |node| Whole(node.voters),
    },
];

impl NodeMetric {
    /// Its row of the table.
    pub(super) fn described(&self) -> Described {
        Described {
            name: self.name.to_owned(),
            metric_type: self.metric_type,
            labels: Vec::new(),
            help: self.help,
            note: if self.note.is_empty() { OF_A_CLUSTER } else { self.note },
            rows: Vec::new(),
        }
    }
}

const OF_A_CLUSTER: &str = "None without a cluster.";

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no metric shows another's figure. Method: each figure has a value of its own.
    #[test]
    fn every_metric_shows_its_own_figure() {
        let node = NodeFigures {
            leads: true,
            term: 2,
            voters: 3,
            lease_ms: 4,
            lapses: 5,
            leader_changes: 6,
            applied: 7,
            lag: 8,
            log_bytes: 9,
            snapshot_bytes: 10,
            skipped: 11,
            links_refused: 12,
        };
        let shown: Vec<(&str, u64)> = ROWS
            .iter()
            .map(|row| match (row.value)(&node) {
                Whole(value) | Milliseconds(value) => (row.name, value),
            })
            .collect();
        let expected = [
            ("applied_index", 7),
            ("lag_entries", 8),
            ("lapses", 5),
            ("leader", 1),
            ("leader_changes", 6),
            ("lease_seconds", 4),
            ("links_refused", 12),
            ("log_bytes", 9),
            ("snapshot_bytes", 10),
            ("term", 2),
            ("voters", 3),
        ];
        let expected = expected.map(|(name, value)| (format!("elockd_cluster_{name}"), value));
        assert!(shown.into_iter().map(|(name, value)| (name.to_owned(), value)).eq(expected));
    }
}
