//! Storage commitment for carts: a relay of what an archive has committed itself to.
//!
//! The node is no archive and answers for nobody. A cart's request is kept on disk, then answered; what it names is waited
//! for, forwarded like every image, asked for at the archive, and the cart is told what the archive said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonode_conformance::{SopClassUid, SopInstanceUid, StudyInstanceUid, Uid, limits};

use super::analysis::backoff;
use super::outcome::with_jitter;
use super::record::{ObjectKey, Study};
use super::{Action, Engine};
use crate::ports::{CommitmentReference, RelayReport};
use crate::spool::PeerMark;
use crate::states::DeliveryState;
use crate::time::Timestamp;

/// Failure Reasons (PS3.4 section J.3.3.1.1).
const PROCESSING_FAILURE: u16 = 0x0110;
const NO_SUCH_INSTANCE: u16 = 0x0112;
const CLASS_INSTANCE_CONFLICT: u16 = 0x0119;

/// Requests of which nothing has been heard yet; beyond that they are refused, and the cart asks again.
pub(crate) const RELAYS_MAX: usize = 10_000;

/// A cart's request, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Relay {
    /// The cart's name in the configuration.
    pub(crate) peer: String,
    /// The name of the peer that answers for the images.
    pub(crate) archive: String,
    pub(crate) transaction: Uid,
    pub(crate) references: Vec<(SopClassUid, SopInstanceUid)>,
    pub(crate) received: Timestamp,
    /// When everything was known, and what; from then on it doesn't change.
    decided: Option<(Timestamp, Vec<Verdict>)>,
    /// The association on which it came, while it may stand.
    #[serde(skip)]
    pub(crate) association: Option<u64>,
    /// What is known so far, in the order of the references.
    #[serde(skip)]
    verdicts: BTreeMap<SopInstanceUid, Verdict>,
    /// Where the instances are.
    #[serde(skip)]
    studies: BTreeMap<SopInstanceUid, StudyInstanceUid>,
    #[serde(skip)]
    failures: u32,
    #[serde(skip)]
    next_try: Timestamp,
    #[serde(skip)]
    running: bool,
}

/// What the cart is told of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// The archive has committed itself.
    Committed,
    /// A Failure Reason.
    Failed(u16),
}

/// Who asked, under which Transaction UID.
pub(crate) type RelayKey = (String, Uid);

impl Relay {
    pub(crate) fn new(
        key: RelayKey,
        archive: String,
        references: Vec<(SopClassUid, SopInstanceUid)>,
        received: Timestamp,
        association: u64,
    ) -> Self {
        let (peer, transaction) = key;
        Self {
            peer,
            archive,
            transaction,
            references,
            received,
            decided: None,
            association: Some(association),
            verdicts: BTreeMap::new(),
            studies: BTreeMap::new(),
            failures: 0,
            next_try: received,
            running: false,
        }
    }

    fn key(&self) -> RelayKey {
        (self.peer.clone(), self.transaction.clone())
    }

    /// What a study says of the instances that are still open.
    pub(crate) fn look_into(&mut self, study: &Study) {
        for (class, sop) in &self.references {
            if !self.verdicts.contains_key(sop)
                && let Some(verdict) = study.archived(&self.archive, class, sop)
            {
                self.verdicts.insert(sop.clone(), verdict);
            }
        }
    }

    fn is_open(&self, sop: &SopInstanceUid) -> bool {
        self.decided.is_none() && !self.verdicts.contains_key(sop)
    }

    /// Whether an instance of it is nowhere yet.
    fn is_missing(&self, sop: &SopInstanceUid) -> bool {
        self.is_open(sop) && !self.studies.contains_key(sop)
    }

    /// When something happens to it by itself.
    fn deadline(&self) -> Option<Timestamp> {
        if self.decided.is_some() {
            return (!self.running).then_some(self.next_try);
        }
        let is_missing = self.references.iter().any(|(_, sop)| self.is_missing(sop));
        let wait = if is_missing {
            limits::RELAY_ARRIVAL
        } else {
            limits::RELAY_TRIES
        };
        Some(self.received.plus(wait))
    }

    fn report(&self, id: u64) -> Option<RelayReport> {
        let (_, verdicts) = self.decided.as_ref()?;
        let mut report = RelayReport {
            id,
            peer: self.peer.clone(),
            archive: self.archive.clone(),
            transaction: self.transaction.clone(),
            association: self.association,
            committed: Vec::new(),
            failed: Vec::new(),
        };
        for ((sop_class, sop_instance), verdict) in self.references.iter().zip(verdicts) {
            let reference = CommitmentReference {
                sop_class: sop_class.clone(),
                sop_instance: sop_instance.clone(),
            };
            match verdict {
                Verdict::Committed => report.committed.push(reference),
                Verdict::Failed(reason) => report.failed.push((reference, *reason)),
            }
        }
        Some(report)
    }
}

impl Study {
    /// What the archive's delivery of an image says; `None` while it is under way, or where the image isn't here.
    fn archived(
        &self,
        archive: &str,
        class: &SopClassUid,
        sop: &SopInstanceUid,
    ) -> Option<Verdict> {
        let instance = self.instances.get(sop)?;
        let is_it = |version: &super::record::Version| version.stored.sop_class == *class;
        // Two contents under one UID: only one of them was forwarded, and nobody knows which one the cart means.
        if instance.versions.len() != 1 || !instance.versions.iter().all(is_it) {
            return Some(Verdict::Failed(CLASS_INSTANCE_CONFLICT));
        }
        let object = ObjectKey::Image(sop.clone());
        let mut deliveries = self.deliveries.iter();
        let delivery = deliveries.find(|one| one.peer == archive && one.object == object);
        let Some(delivery) = delivery else {
            return Some(Verdict::Failed(PROCESSING_FAILURE));
        };
        match delivery.state {
            DeliveryState::Due => None,
            DeliveryState::Sent if !self.done => None,
            // Having it is not the same as keeping it.
            DeliveryState::Confirmed if delivery.proof.shown() == Some(PeerMark::Committed) => {
                Some(Verdict::Committed)
            }
            DeliveryState::Sent
            | DeliveryState::Confirmed
            | DeliveryState::Unconfirmed
            | DeliveryState::Dead => Some(Verdict::Failed(PROCESSING_FAILURE)),
        }
    }
}

/// The requests in hand.
#[derive(Default)]
pub(super) struct Relays {
    by_key: BTreeMap<RelayKey, Relay>,
    jobs: BTreeMap<u64, RelayKey>,
    next_job: u64,
    /// Requests that were given up since the start, by cart.
    given_up: BTreeMap<String, u64>,
}

impl Relays {
    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn alarms(&self) -> impl Iterator<Item = String> {
        self.given_up.iter().map(|(peer, n)| {
            format!(
                "{peer} asked {n} time(s) for storage commitment and could not be told the answer for {} hours: check its \
                 host and port, and whether it accepts us as SCP.",
                limits::RELAY_TRIES.as_secs() / 3600
            )
        })
    }
}

impl Engine {
    /// The peer that commits itself to a cart's images: that of the first route that forwards them.
    pub(crate) fn archive_of(&self, cart: &str) -> Option<String> {
        let mut routes = self.settings.routing.routes.iter();
        let route = routes.find(|route| route.send_images && route.takes(cart))?;
        Some(route.to.clone())
    }

    pub(crate) fn has_relay(&self, key: &RelayKey) -> bool {
        self.relays.by_key.contains_key(key)
    }

    pub(crate) fn relays(&self) -> usize {
        self.relays.by_key.len()
    }

    /// Takes a request in that is on disk; also after a restart.
    pub(crate) fn keep_relay(&mut self, mut relay: Relay) {
        let missing: BTreeSet<_> = relay.references.iter().map(|(_, sop)| sop).collect();
        tracing::info!(peer = relay.peer, transaction = %relay.transaction, instances = missing.len(), "request for commitment");
        // One that was kept before a restart has no association any more.
        self.counters.relays_asked += u64::from(relay.association.is_some());
        relay.next_try = Timestamp::default();
        self.relays.by_key.insert(relay.key(), relay);
    }

    pub(super) fn relay_deadline(&self) -> Option<Timestamp> {
        if self.draining {
            return None;
        }
        self.relays
            .by_key
            .values()
            .filter_map(Relay::deadline)
            .min()
    }

    /// A study is about to leave the engine's hands: what it says now counts.
    pub(super) fn tell_relays(&mut self, study: &Study) {
        for relay in self.relays.by_key.values_mut() {
            relay.look_into(study);
        }
    }

    /// Looks what the requests still wait for, decides those that are complete or overdue, and reports what is due.
    pub(super) fn review_relays(&mut self, now: Timestamp) {
        if self.draining {
            return;
        }
        let keys: Vec<RelayKey> = self.relays.by_key.keys().cloned().collect();
        for key in keys {
            self.find_instances(&key, now);
            self.decide(&key, now);
            self.report_relay(&key, now);
        }
    }

    fn find_instances(&mut self, key: &RelayKey, now: Timestamp) {
        let Some(relay) = self.relays.by_key.get_mut(key) else {
            return;
        };
        if relay.decided.is_some() {
            return;
        }
        let mut demanded = BTreeSet::new();
        for (class, sop) in relay.references.clone() {
            if !relay.is_open(&sop) {
                continue;
            }
            let known = relay
                .studies
                .get(&sop)
                .and_then(|uid| self.studies.get(uid));
            let study = known.or_else(|| {
                let mut studies = self.studies.values();
                studies.find(|study| study.instances.contains_key(&sop))
            });
            let Some(study) = study else {
                relay.studies.remove(&sop);
                continue;
            };
            relay.studies.insert(sop.clone(), study.uid.clone());
            match study.archived(&relay.archive, &class, &sop) {
                Some(verdict) => {
                    relay.verdicts.insert(sop, verdict);
                }
                None => {
                    demanded.insert((study.uid.clone(), sop));
                }
            }
        }
        let archive = relay.archive.clone();
        for (uid, sop) in demanded {
            self.demand_commitment(&uid, &archive, &ObjectKey::Image(sop), now);
        }
    }

    fn decide(&mut self, key: &RelayKey, now: Timestamp) {
        let Some(relay) = self.relays.by_key.get_mut(key) else {
            return;
        };
        if relay.decided.is_some() {
            return;
        }
        let waited = now.since(relay.received);
        let mut verdicts = Vec::new();
        for (_, sop) in &relay.references {
            let overdue = if relay.is_missing(sop) {
                (waited >= limits::RELAY_ARRIVAL).then_some(Verdict::Failed(NO_SUCH_INSTANCE))
            } else {
                (waited >= limits::RELAY_TRIES).then_some(Verdict::Failed(PROCESSING_FAILURE))
            };
            match relay.verdicts.get(sop).copied().or(overdue) {
                Some(verdict) => verdicts.push(verdict),
                None => return,
            }
        }
        let committed = verdicts
            .iter()
            .filter(|verdict| **verdict == Verdict::Committed)
            .count();
        tracing::info!(peer = relay.peer, transaction = %relay.transaction, committed, failed = verdicts.len() - committed, "request for commitment decided");
        relay.decided = Some((now, verdicts));
        relay.next_try = now;
        // What the cart is told once it is told again after a restart.
        self.actions
            .push(Action::KeepRelay(Box::new(relay.clone())));
    }

    fn report_relay(&mut self, key: &RelayKey, now: Timestamp) {
        let id = self.relays.next_job + 1;
        let Some(relay) = self.relays.by_key.get_mut(key) else {
            return;
        };
        if relay.running || relay.next_try > now {
            return;
        }
        let Some(report) = relay.report(id) else {
            return;
        };
        relay.running = true;
        self.relays.next_job = id;
        self.relays.jobs.insert(id, key.clone());
        self.actions.push(Action::Report(Box::new(report)));
    }

    /// The cart was told, or in words why not.
    pub(super) fn on_relay_reported(
        &mut self,
        id: u64,
        outcome: Result<(), String>,
        now: Timestamp,
    ) {
        let Some(key) = self.relays.jobs.remove(&id) else {
            return;
        };
        let retry = self.settings.retry;
        let Some(relay) = self.relays.by_key.get_mut(&key) else {
            return;
        };
        relay.running = false;
        relay.association = None;
        let (peer, transaction) = key.clone();
        let detail = match outcome {
            Ok(()) => {
                tracing::info!(peer, %transaction, "the cart was told");
                self.counters.relays_reported += 1;
                return self.end_relay(&key);
            }
            Err(detail) => detail,
        };
        let since = relay.decided.as_ref().map_or(now, |(decided, _)| *decided);
        if now.since(since) >= limits::RELAY_TRIES {
            tracing::error!(peer, %transaction, detail, "the cart could not be told for too long; given up");
            *self.relays.given_up.entry(peer).or_default() += 1;
            return self.end_relay(&key);
        }
        let wait = backoff(retry.first, retry.max, relay.failures);
        let wait: Duration = with_jitter(wait, &peer, relay.failures);
        relay.failures = relay.failures.saturating_add(1);
        relay.next_try = now.plus(wait);
        tracing::warn!(peer, %transaction, detail, wait_ms = wait.as_millis(), "the cart could not be told");
    }

    fn end_relay(&mut self, key: &RelayKey) {
        self.relays.by_key.remove(key);
        self.actions.push(Action::DropRelay(key.clone()));
    }
}
