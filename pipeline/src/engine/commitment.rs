//! Whether a peer keeps what it took: storage commitment, and a query where that can't be had.
//!
//! Every delivery of which a route demands a commitment goes on after the peer has taken the object: the peer is asked
//! (N-ACTION), asked again on silence, and answers when it likes (N-EVENT-REPORT). Where it doesn't offer the service, or
//! has not answered when `commit_timeout` is over, it is queried, and what it doesn't have then stays unconfirmed. Nothing
//! is unconfirmed while no association comes about: a PACS that is down for days is asked when it is back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sonode_conformance::status::DeliveryOutcome;
use sonode_conformance::{DimseStatus, SopInstanceUid, StudyInstanceUid, Uid, limits};

use super::analysis::backoff;
use super::outcome::{note, object_name, with_jitter};
use super::record::{Delivery, Lane, ObjectKey, Study};
use super::{Action, Engine};
use crate::ports::{
    CommitmentJob, CommitmentNotice, CommitmentObject, CommitmentOutcome, CommitmentQuestion,
    CommitmentReport, ObjectResult,
};
use crate::settings::Routing;
use crate::spool::{PeerMark, StoredInstance};
use crate::states::{DeliveryEvent, DeliveryState};
use crate::time::Timestamp;

/// Objects in one request.
const REQUEST_OBJECTS_MAX: usize = 256;
/// Transactions whose answers are still known; the oldest go first.
const TRANSACTIONS_MAX: usize = 65_536;

/// What shows that a peer keeps an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    wanted: Wanted,
    /// When the peer took it: the time-out counts from here.
    taken: Timestamp,
    /// When the peer was asked about it last.
    asked: Option<Timestamp>,
    /// The transactions in which it was asked for, oldest first.
    transactions: VecDeque<Uid>,
    /// How often the peer said that it doesn't have it.
    denied: u32,
    /// By what it was shown.
    shown: Option<PeerMark>,
}

/// What a peer has to show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Wanted {
    /// Nothing: its C-STORE response is enough.
    #[default]
    Nothing,
    /// That it has it.
    Query,
    /// That it has committed itself.
    Commitment,
}

impl Proof {
    /// By what the peer has shown that it keeps it.
    pub(crate) fn shown(&self) -> Option<PeerMark> {
        self.shown
    }

    /// A mark in the spool says so.
    pub(super) fn set_shown(&mut self, mark: PeerMark) {
        self.shown = Some(mark);
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted != Wanted::Nothing
    }

    /// The peer took the object. Where it says that it has it already (0111), it has to show that.
    pub(super) fn begin(&mut self, result: &ObjectResult, now: Timestamp) {
        let has_it = matches!(result, ObjectResult::Status(status, _)
            if status.delivery() == DeliveryOutcome::VerifyThenStored);
        if has_it && self.wanted == Wanted::Nothing {
            self.wanted = Wanted::Query;
        }
        self.restart(now);
    }

    /// The time begins anew.
    pub(super) fn restart(&mut self, now: Timestamp) {
        self.taken = now;
        self.asked = None;
    }

    /// When the peer is asked next.
    fn next(&self, rules: Rules) -> Timestamp {
        match self.asked {
            None => self.taken.plus(rules.gather),
            Some(asked) => asked
                .plus(rules.again)
                .min(self.taken.plus(rules.timeout).max(asked)),
        }
    }

    /// Whether the peer is queried now, and not asked to commit itself.
    fn is_to_be_found(&self, refused: bool, rules: Rules, now: Timestamp) -> bool {
        refused || self.wanted == Wanted::Query || self.is_overdue(rules, now)
    }

    fn is_overdue(&self, rules: Rules, now: Timestamp) -> bool {
        now >= self.taken.plus(rules.timeout)
    }
}

/// The times for one peer.
#[derive(Debug, Clone, Copy)]
struct Rules {
    timeout: Duration,
    again: Duration,
    gather: Duration,
}

impl Rules {
    fn of(routing: &Routing, peer: &str) -> Self {
        let timeout = routing.commit_timeout_of(peer);
        let again = timeout / limits::COMMIT_ASKS;
        Self {
            timeout,
            again,
            gather: limits::COMMIT_GATHER.min(again),
        }
    }
}

/// When a peer is asked next about objects of one study.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProofLane {
    due: Timestamp,
    /// Not before, since no association came about.
    not_before: Timestamp,
    /// Associations that failed in a row.
    failures: u32,
    /// The peer doesn't offer storage commitment.
    refused: bool,
}

/// Who is being asked what.
#[derive(Default)]
pub(super) struct Proving {
    /// The lanes of all studies by peer and due time.
    due: BTreeMap<String, BTreeSet<(Timestamp, StudyInstanceUid)>>,
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
    transactions: BTreeMap<Uid, (String, StudyInstanceUid)>,
    /// In order of age.
    ages: VecDeque<Uid>,
    /// Objects that a peer never showed to keep, since the start.
    unconfirmed: BTreeMap<String, u64>,
}

struct Job {
    peer: String,
    study: StudyInstanceUid,
    objects: Vec<ObjectKey>,
    /// Whether the peer is queried.
    find: bool,
}

impl Proving {
    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn unconfirmed(&self, peer: &str) -> u64 {
        self.unconfirmed.get(peer).copied().unwrap_or(0)
    }

    /// The study's lanes leave the index. Its transactions stay: an answer may be late.
    pub(super) fn forget(&mut self, study: &Study) {
        for (peer, lane) in &study.proofs {
            if let Some(due) = self.due.get_mut(peer) {
                due.remove(&(lane.due, study.uid.clone()));
            }
        }
    }

    /// After a restart: what was asked may be answered still, and is asked again at once, since nobody knows whether the
    /// question went out.
    pub(super) fn take_up(&mut self, study: &mut Study) {
        study.proofs.clear();
        for delivery in &mut study.deliveries {
            delivery.proof.asked = None;
            for transaction in delivery.proof.transactions.clone() {
                self.remember(transaction, &delivery.peer, &study.uid);
            }
        }
    }

    fn remember(&mut self, transaction: Uid, peer: &str, study: &StudyInstanceUid) {
        let place = (peer.to_owned(), study.clone());
        if self
            .transactions
            .insert(transaction.clone(), place)
            .is_none()
        {
            self.ages.push_back(transaction);
        }
        while self.ages.len() > TRANSACTIONS_MAX {
            if let Some(oldest) = self.ages.pop_front() {
                self.transactions.remove(&oldest);
            }
        }
    }

    fn is_busy(&self, peer: &str) -> bool {
        self.jobs.values().any(|job| job.peer == peer)
    }
}

/// As what the spool holds an object.
pub(crate) enum StoredAs<'a> {
    Instance(&'a StoredInstance),
    /// The report's revision.
    Report(u32),
    /// The report's revision.
    Companion(u32),
}

impl Study {
    /// As what the spool holds a delivered object.
    pub(crate) fn stored_as(&self, sop: &SopInstanceUid) -> Option<StoredAs<'_>> {
        let delivery = self
            .deliveries
            .iter()
            .find(|delivery| self.delivered_as(delivery).as_ref() == Some(sop))?;
        Some(match &delivery.object {
            ObjectKey::Image(_) => StoredAs::Instance(self.sent_version(delivery)?),
            ObjectKey::Report(revision, _) => StoredAs::Report(*revision),
            ObjectKey::Companion(key) => StoredAs::Companion(key.revision),
        })
    }

    /// The state in which an object begins to be owed, by the marks that outlived the queue.
    pub(super) fn as_marked(&self, peer: &str, object: &ObjectKey) -> DeliveryState {
        let is_kept = [PeerMark::Committed, PeerMark::Found]
            .into_iter()
            .any(|mark| self.is_marked(mark, peer, object));
        if is_kept {
            DeliveryState::Confirmed
        } else if self.is_marked(PeerMark::Delivered, peer, object) {
            DeliveryState::Sent
        } else {
            DeliveryState::Due
        }
    }

    /// When the peer is asked next about a delivery, if it is.
    pub(super) fn next_proof(&self, delivery: &Delivery) -> Option<Timestamp> {
        let lane = self.proofs.get(&delivery.peer)?;
        delivery.is_unproven().then_some(lane.due)
    }
}

impl Engine {
    /// What a peer has to show of what it is sent of a study, if it takes it now.
    pub(super) fn proof_wanted(
        &self,
        study: &Study,
        peer: &str,
        object: &ObjectKey,
        now: Timestamp,
    ) -> Proof {
        let takes = |from: &String, route: &crate::settings::Route| route.takes(from);
        let mut routes = self.settings.routing.routes.iter();
        let is_demanded = routes.any(|route| {
            route.commit
                && route.to == peer
                && (route.from.is_none() || study.from.iter().any(|from| takes(from, route)))
        });
        // A cart that may ask for commitment gets an answer only if the archive was asked.
        let mut carts = study.from.iter();
        let is_relayed = matches!(object, ObjectKey::Image(_))
            && carts.any(|cart| {
                self.settings.routing.relays.contains(cart)
                    && self.archive_of(cart).as_deref() == Some(peer)
            });
        let shown = [PeerMark::Committed, PeerMark::Found]
            .into_iter()
            .find(|mark| study.is_marked(*mark, peer, object));
        Proof {
            shown,
            wanted: if is_demanded || is_relayed {
                Wanted::Commitment
            } else {
                Wanted::Nothing
            },
            taken: now,
            ..Proof::default()
        }
    }

    /// A cart asks for what was delivered before anybody demanded a commitment.
    pub(super) fn demand_commitment(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
        now: Timestamp,
    ) {
        let mut is_new = false;
        self.with_delivery(uid, peer, key, |delivery| {
            is_new = delivery.proof.wanted != Wanted::Commitment && delivery.proof.shown.is_none();
            if is_new {
                delivery.proof.wanted = Wanted::Commitment;
                delivery.proof.restart(now);
            }
        });
        if is_new {
            self.schedule_proof(uid, peer);
        }
    }

    pub(super) fn proof_deadline(&self) -> Option<Timestamp> {
        if self.draining {
            return None;
        }
        let peers = self.proving.due.iter();
        peers
            .filter(|(peer, _)| !self.proving.is_busy(peer))
            .filter_map(|(_, due)| due.first().map(|(time, _)| *time))
            .min()
    }

    pub(super) fn schedule_proofs(&mut self, uid: &StudyInstanceUid) {
        let peers: BTreeSet<String> = self
            .studies
            .get(uid)
            .into_iter()
            .flat_map(|study| &study.deliveries)
            .map(|delivery| delivery.peer.clone())
            .collect();
        for peer in peers {
            self.schedule_proof(uid, &peer);
        }
    }

    /// Keeps the index of due times in step with one study and peer.
    pub(super) fn schedule_proof(&mut self, uid: &StudyInstanceUid, peer: &str) {
        let rules = Rules::of(&self.settings.routing, peer);
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        let next = study
            .deliveries
            .iter()
            .filter(|delivery| delivery.peer == peer && delivery.is_unproven())
            .map(|delivery| delivery.proof.next(rules))
            .min();
        let index = self.proving.due.entry(peer.to_owned()).or_default();
        let old = study.proofs.get(peer).copied();
        if let Some(old) = old {
            index.remove(&(old.due, uid.clone()));
        }
        let Some(next) = next else {
            study.proofs.remove(peer);
            return;
        };
        let lane = old.unwrap_or_default();
        let due = next.max(lane.not_before);
        study
            .proofs
            .insert(peer.to_owned(), ProofLane { due, ..lane });
        index.insert((due, uid.clone()));
        self.save(uid);
    }

    /// One question at a time for each peer.
    pub(super) fn dispatch_proofs(&mut self, now: Timestamp) {
        if self.draining {
            return;
        }
        let ready: Vec<(String, StudyInstanceUid)> = self
            .proving
            .due
            .iter()
            .filter(|(peer, _)| !self.proving.is_busy(peer))
            .filter_map(|(peer, due)| {
                let (time, study) = due.first()?;
                (*time <= now).then(|| (peer.clone(), study.clone()))
            })
            .collect();
        for (peer, study) in ready {
            self.ask_peer(&study, &peer, now);
        }
    }

    fn ask_peer(&mut self, uid: &StudyInstanceUid, peer: &str, now: Timestamp) {
        let rules = Rules::of(&self.settings.routing, peer);
        let transaction = self.transaction(uid, peer, now);
        let Some(study) = self.studies.get_mut(uid) else {
            if let Some(due) = self.proving.due.get_mut(peer) {
                due.retain(|(_, known)| known != uid);
            }
            return;
        };
        let refused = study.proofs.get(peer).is_some_and(|lane| lane.refused);
        let due: Vec<&Delivery> = study
            .deliveries
            .iter()
            .filter(|delivery| delivery.peer == peer && delivery.is_unproven())
            .filter(|delivery| delivery.proof.next(rules) <= now)
            .collect();
        let is_found = |delivery: &&&Delivery| delivery.proof.is_to_be_found(refused, rules, now);
        let find = due.iter().any(|delivery| is_found(&delivery));
        let (keys, objects): (Vec<ObjectKey>, Vec<CommitmentObject>) = due
            .iter()
            .filter(|delivery| is_found(delivery) == find)
            .filter_map(|delivery| {
                let object = CommitmentObject {
                    sop_class: study.class_of(delivery),
                    sop_instance: study.delivered_as(delivery)?,
                    study: uid.clone(),
                    // Filled in where the files are known.
                    path: None,
                };
                Some((delivery.object.clone(), object))
            })
            .take(REQUEST_OBJECTS_MAX)
            .unzip();
        for key in &keys {
            if let Some(delivery) = study.delivery_mut(peer, key) {
                delivery.proof.asked = Some(now);
                if !find {
                    let transactions = &mut delivery.proof.transactions;
                    transactions.push_back(transaction.clone());
                    if transactions.len() > usize::try_from(limits::COMMIT_ASKS).unwrap_or(0) {
                        transactions.pop_front();
                    }
                }
            }
        }
        if let Some(due) = self.proving.due.get_mut(peer) {
            // Back when it is answered.
            due.retain(|(_, known)| known != uid);
        }
        if keys.is_empty() {
            return self.schedule_proof(uid, peer);
        }
        let question = if find {
            CommitmentQuestion::Find
        } else {
            self.counters.commitments_asked += 1;
            self.proving.remember(transaction.clone(), peer, uid);
            CommitmentQuestion::Commit {
                transaction,
                linger: limits::COMMIT_LINGER.min(rules.again / 2),
            }
        };
        self.save(uid);
        self.proving.next_job += 1;
        let id = self.proving.next_job;
        let job = Job {
            peer: peer.to_owned(),
            study: uid.clone(),
            objects: keys,
            find,
        };
        self.proving.jobs.insert(id, job);
        tracing::debug!(study = %uid, peer, ?question, objects = objects.len(), "the peer is asked");
        self.actions.push(Action::Ask(CommitmentJob {
            id,
            peer: peer.to_owned(),
            question,
            objects,
        }));
    }

    /// A Transaction UID that no other request has: a UUID of version 8 (RFC 9562), made of what is asked, whom and when.
    fn transaction(&self, uid: &StudyInstanceUid, peer: &str, now: Timestamp) -> Uid {
        let hash = Sha256::new()
            .chain_update(self.settings.ae_title.as_str())
            .chain_update([0])
            .chain_update(peer)
            .chain_update([0])
            .chain_update(uid.as_str())
            .chain_update(now.as_millis().to_be_bytes())
            .chain_update(self.proving.next_job.to_be_bytes())
            .finalize();
        let bytes = hash.first_chunk().copied().unwrap_or_default();
        Uid::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The study that this peer was asked about under a Transaction UID.
    pub(crate) fn asked_under(&self, transaction: &Uid, peer: &str) -> Option<StudyInstanceUid> {
        let (asked, study) = self.proving.transactions.get(transaction)?;
        (asked == peer).then(|| study.clone())
    }

    pub(super) fn on_commitment_answered(&mut self, report: CommitmentReport, now: Timestamp) {
        let Some(job) = self.proving.jobs.remove(&report.id) else {
            tracing::warn!(job = report.id, "an answer to a question that nobody asked");
            return;
        };
        let Job {
            peer,
            study: uid,
            objects,
            find,
        } = job;
        let rules = Rules::of(&self.settings.routing, &peer);
        match report.outcome {
            CommitmentOutcome::Requested => self.settle_lane(&uid, &peer, |lane| lane.failures = 0),
            CommitmentOutcome::Refused(detail) => {
                tracing::warn!(study = %uid, peer, detail, "the peer refused the question; it is asked again while there is time");
                for key in objects.iter().filter(|_| find) {
                    self.give_up_overdue(&uid, &peer, key, &detail, now);
                }
                self.settle_lane(&uid, &peer, |lane| lane.failures = 0);
            }
            CommitmentOutcome::NoAssociation(failure) => {
                let retry = self.settings.retry;
                self.settle_lane(&uid, &peer, |lane| {
                    let wait = backoff(retry.first, retry.max.min(rules.again), lane.failures);
                    let wait = with_jitter(wait, &peer, lane.failures);
                    lane.not_before = now.plus(wait);
                    lane.failures = lane.failures.saturating_add(1);
                });
                tracing::warn!(study = %uid, peer, permanent = failure.permanent, detail = failure.detail, "no association to ask for commitment");
                for key in &objects {
                    self.with_delivery(&uid, &peer, key, |delivery| delivery.proof.asked = None);
                }
            }
            CommitmentOutcome::NotOffered(detail) => {
                tracing::warn!(study = %uid, peer, detail, "the peer doesn't offer what would show that it keeps the objects");
                for key in &objects {
                    if find {
                        // Nothing more can be learnt.
                        self.give_up(&uid, &peer, key, &detail, now);
                    } else {
                        // It is queried at once.
                        self.with_delivery(&uid, &peer, key, |delivery| {
                            delivery.proof.asked = None;
                        });
                    }
                }
                self.settle_lane(&uid, &peer, |lane| {
                    lane.refused = true;
                    lane.failures = 0;
                });
            }
            CommitmentOutcome::Found(found) => {
                for key in &objects {
                    self.take_found(&uid, &peer, key, &found, now);
                }
                self.settle_lane(&uid, &peer, |lane| lane.failures = 0);
            }
        }
        self.schedule_proof(&uid, &peer);
        self.save(&uid);
        self.settle(&uid, now);
    }

    fn settle_lane(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        change: impl FnOnce(&mut ProofLane),
    ) {
        if let Some(study) = self.studies.get_mut(uid) {
            change(study.proofs.entry(peer.to_owned()).or_default());
        }
    }

    fn with_delivery(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
        change: impl FnOnce(&mut Delivery),
    ) {
        let study = self.studies.get_mut(uid);
        if let Some(delivery) = study.and_then(|study| study.delivery_mut(peer, key)) {
            change(delivery);
        }
    }

    fn take_found(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
        found: &[SopInstanceUid],
        now: Timestamp,
    ) {
        let Some(study) = self.studies.get(uid) else {
            return;
        };
        let Some(delivery) = study
            .deliveries
            .iter()
            .find(|delivery| delivery.peer == peer && delivery.object == *key)
            .filter(|delivery| delivery.is_unproven())
        else {
            return;
        };
        let is_found = study
            .delivered_as(delivery)
            .is_some_and(|sop| found.contains(&sop));
        if is_found {
            self.confirm(uid, peer, key, PeerMark::Found, now);
        } else {
            self.give_up_overdue(uid, peer, key, "it doesn't find it when it is queried", now);
        }
    }

    fn give_up_overdue(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
        detail: &str,
        now: Timestamp,
    ) {
        let rules = Rules::of(&self.settings.routing, peer);
        let mut is_overdue = false;
        self.with_delivery(uid, peer, key, |delivery| {
            is_overdue = delivery.proof.is_overdue(rules, now);
        });
        if is_overdue {
            self.give_up(uid, peer, key, detail, now);
        }
    }

    pub(super) fn on_committed(&mut self, notice: &CommitmentNotice, now: Timestamp) {
        let Some(uid) = self.asked_under(&notice.transaction, &notice.peer) else {
            return;
        };
        let peer = notice.peer.as_str();
        let Some(study) = self.studies.get(&uid) else {
            tracing::warn!(study = %uid, peer, "a commitment for a study that is gone");
            return;
        };
        let asked: Vec<(ObjectKey, SopInstanceUid)> = study
            .deliveries
            .iter()
            .filter(|delivery| delivery.peer == peer)
            .filter(|delivery| delivery.proof.transactions.contains(&notice.transaction))
            .filter_map(|delivery| Some((delivery.object.clone(), study.delivered_as(delivery)?)))
            .collect();
        for (key, sop) in &asked {
            let failed = notice.failed.iter().find(|(failed, _)| failed == sop);
            if let Some((_, reason)) = failed {
                self.take_failure(&uid, peer, key, *reason, now);
            } else if notice.committed.contains(sop) {
                self.confirm(&uid, peer, key, PeerMark::Committed, now);
            }
        }
        self.schedule_proof(&uid, peer);
        self.save(&uid);
        self.settle(&uid, now);
    }

    /// What a Failure Reason means (PS3.4 section J.3.3.1.1).
    fn take_failure(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
        reason: u16,
        now: Timestamp,
    ) {
        let status = DimseStatus(reason);
        let comment = "storage commitment failed".to_owned();
        let mut denied = 0;
        self.with_delivery(uid, peer, key, |delivery| {
            note(delivery, Some(status), Some(comment), now);
            if delivery.state == DeliveryState::Sent {
                delivery.proof.denied += u32::from(reason == NO_SUCH_INSTANCE);
                denied = delivery.proof.denied;
            }
        });
        tracing::warn!(study = %uid, peer, object = %object_name(key), %status, "the peer doesn't commit itself");
        match reason {
            // It took the object and doesn't have it: it is sent again. Later it may still be on its way inside.
            NO_SUCH_INSTANCE if (1..=limits::COMMIT_DENIALS_MAX).contains(&denied) => {
                self.send_again(uid, peer, key, now);
            }
            // Passing faults, and a transaction that it knows: it is asked again in its time.
            PROCESSING_FAILURE | RESOURCE_LIMITATION | DUPLICATE_TRANSACTION => {}
            // It never will.
            _ => self.with_delivery(uid, peer, key, |delivery| {
                delivery.proof.wanted = Wanted::Query;
                delivery.proof.asked = None;
            }),
        }
    }

    fn send_again(&mut self, uid: &StudyInstanceUid, peer: &str, key: &ObjectKey, now: Timestamp) {
        let wait = self.settings.retry.first;
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        let current = study.report().map_or(0, |report| report.revision);
        if key.revision().is_some_and(|revision| revision < current) {
            // The PACS lacks what a later revision replaces: so much the better.
            study
                .deliveries
                .retain(|delivery| !(delivery.peer == peer && delivery.object == *key));
            return;
        }
        if self.advance_delivery(uid, peer, key, DeliveryEvent::Denial) {
            let lane = Lane {
                due: now.plus(wait),
                failures: 0,
            };
            self.bring_back(uid);
            self.set_lane(uid, peer, Some(lane));
        }
    }

    fn confirm(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
        mark: PeerMark,
        now: Timestamp,
    ) {
        if !self.advance_delivery(uid, peer, key, DeliveryEvent::Confirmation) {
            return;
        }
        self.counters.deliveries_confirmed += 1;
        self.with_delivery(uid, peer, key, |delivery| delivery.proof.set_shown(mark));
        self.with_delivery(uid, peer, key, |delivery| {
            let how = match mark {
                PeerMark::Committed => "storage commitment",
                PeerMark::Found | PeerMark::Delivered => "found by C-FIND",
            };
            note(
                delivery,
                Some(DimseStatus::SUCCESS),
                Some(how.to_owned()),
                now,
            );
        });
        self.mark_peer(mark, uid, peer, key);
    }

    /// The end of the search, with an alarm.
    fn give_up(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
        detail: &str,
        now: Timestamp,
    ) {
        if !self.advance_delivery(uid, peer, key, DeliveryEvent::ConfirmationOverdue) {
            return;
        }
        tracing::error!(study = %uid, peer, object = %object_name(key), detail, "unconfirmed: the peer took the object and doesn't show that it keeps it");
        self.counters.deliveries_unconfirmed += 1;
        *self.proving.unconfirmed.entry(peer.to_owned()).or_default() += 1;
        let detail = format!("unconfirmed: {detail}");
        self.with_delivery(uid, peer, key, |delivery| {
            note(delivery, None, Some(detail), now);
        });
    }

    /// Moves a delivery along its table. What the table doesn't allow has been answered before.
    fn advance_delivery(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
        event: DeliveryEvent,
    ) -> bool {
        let study = self.studies.get_mut(uid);
        let Some(delivery) = study.and_then(|study| study.delivery_mut(peer, key)) else {
            return false;
        };
        let Ok(next) = delivery.state.after(event) else {
            return false;
        };
        delivery.state = next;
        tracing::info!(study = %uid, peer, object = %object_name(key), state = next.name(), "delivery state");
        true
    }

    /// What somebody has to look into.
    pub(super) fn alarms(&self) -> Vec<String> {
        let unconfirmed = self.proving.unconfirmed.iter().map(|(peer, n)| {
            format!(
                "{peer} took {n} object(s) since the start and doesn't show that it keeps them: look for them there, \
                 then `sonode studies retry UID` asks again."
            )
        });
        let rejected = self.studies.values().filter_map(|study| {
            let reason = study.rejected.as_ref()?;
            Some(format!(
                "study {}: {reason}. Nothing more of it is sent: `sonode studies discard`, or `close` to go on all the same.",
                study.uid
            ))
        });
        unconfirmed
            .chain(self.relays.alarms())
            .chain(rejected)
            .collect()
    }
}

/// Failure Reasons (PS3.4 section J.3.3.1.1).
const PROCESSING_FAILURE: u16 = 0x0110;
const NO_SUCH_INSTANCE: u16 = 0x0112;
const DUPLICATE_TRANSACTION: u16 = 0x0131;
const RESOURCE_LIMITATION: u16 = 0x0213;
