//! Prometheus metrics; every name begins with `sonode_` and stands in this file.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use sonode_pipeline::Health;

/// What became of an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum AssociationResult {
    Accepted,
    Rejected,
    Overload,
}

/// What became of a C-STORE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum StoreResult {
    Stored,
    Duplicate,
    NewVersion,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AssociationLabels {
    result: AssociationResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    result: StoreResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    peer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    peer: String,
    outcome: String,
}

/// Every metric of the node.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    associations: Family<AssociationLabels, Counter>,
    yielded_associations: Family<PeerLabels, Counter>,
    stores: Family<StoreLabels, Counter>,
    deliveries: Family<DeliveryLabels, Counter>,
    store_seconds: Histogram,
    /// Associations that are open now.
    pub(crate) open_associations: Gauge,
    /// Data set bytes that were received and acknowledged.
    pub(crate) received_bytes: Counter<u64, AtomicU64>,
    /// Objects that were refused for want of room and have not arrived since.
    pub(crate) refused_instances: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("sonode");
        let associations = Family::default();
        registry.register(
            "associations",
            "Associations by result",
            associations.clone(),
        );
        let yielded_associations = Family::default();
        registry.register(
            "yielded_associations",
            "Idle associations of a peer that were closed so that another peer got its share of a full node",
            yielded_associations.clone(),
        );
        let stores = Family::default();
        registry.register("stores", "C-STORE requests by result", stores.clone());
        let deliveries = Family::default();
        registry.register(
            "deliveries",
            "Objects sent, by peer and outcome",
            deliveries.clone(),
        );
        // 1 ms to 16 s: success is told after the disk has it, so a slow disk shows here.
        let store_seconds = Histogram::new(exponential_buckets(0.001, 2.0, 15));
        registry.register(
            "store_seconds",
            "From the last byte of an instance to its response",
            store_seconds.clone(),
        );
        let open_associations = Gauge::default();
        registry.register(
            "open_associations",
            "Associations open now",
            open_associations.clone(),
        );
        let received_bytes = Counter::default();
        registry.register(
            "received_bytes",
            "Data set bytes acknowledged",
            received_bytes.clone(),
        );
        let refused_instances = Gauge::default();
        registry.register(
            "refused_instances",
            "Objects refused for want of room that have not arrived since",
            refused_instances.clone(),
        );
        Self {
            registry,
            associations,
            yielded_associations,
            stores,
            deliveries,
            store_seconds,
            open_associations,
            received_bytes,
            refused_instances,
        }
    }

    pub(crate) fn association(&self, result: AssociationResult) {
        self.associations
            .get_or_create(&AssociationLabels { result })
            .inc();
    }

    /// An idle association of this peer made room for another peer.
    pub(crate) fn yielded(&self, peer: &str) {
        let labels = PeerLabels {
            peer: peer.to_owned(),
        };
        self.yielded_associations.get_or_create(&labels).inc();
    }

    pub(crate) fn stored(&self, result: StoreResult, seconds: f64) {
        self.stores.get_or_create(&StoreLabels { result }).inc();
        self.store_seconds.observe(seconds);
    }

    pub(crate) fn delivered(&self, peer: &str, outcome: &str) {
        let labels = DeliveryLabels {
            peer: peer.to_owned(),
            outcome: outcome.to_owned(),
        };
        self.deliveries.get_or_create(&labels).inc();
    }

    /// The text exposition format, with the pipeline's own counters.
    pub(crate) fn encode(&self, health: &Health) -> String {
        let mut text = pipeline_text(health);
        // Writing into a String can't fail; what is there is given either way.
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap_or_default();
        text
    }
}

/// The pipeline counts for itself; its numbers are shown under their own field names.
fn pipeline_text(health: &Health) -> String {
    let mut text = format!(
        "# TYPE sonode_ready gauge\nsonode_ready {}\n",
        u8::from(health.ready)
    );
    let counters = serde_json::to_value(health.counters).unwrap_or_default();
    let queue = serde_json::to_value(health.queue).unwrap_or_default();
    for (kind, suffix, values) in [("counter", "_total", counters), ("gauge", "", queue)] {
        for (name, value) in values.as_object().into_iter().flatten() {
            writeln!(
                text,
                "# TYPE sonode_pipeline_{name} {kind}\nsonode_pipeline_{name}{suffix} {value}"
            )
            .unwrap_or_default();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_the_prefix() {
        let metrics = Metrics::new();
        metrics.association(AssociationResult::Accepted);
        metrics.stored(StoreResult::Stored, 0.004);
        metrics.delivered("pacs", "stored");
        metrics.yielded("cart-1");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics.registry).unwrap();
        let names = text.lines().filter(|line| !line.starts_with('#'));
        assert!(names.clone().count() > 6);
        assert!(
            names.clone().all(|line| line.starts_with("sonode_")),
            "{text}"
        );
        assert!(
            text.contains("sonode_stores_total{result=\"Stored\"} 1"),
            "{text}"
        );
    }
}
