//! Whether a peer keeps what it took: storage commitment, and a query where that can't be had.
//!
//! Every delivery of which a route demands a commitment goes on after the peer has taken the object: the peer is asked
//! (N-ACTION), asked again on silence, and answers when it likes (N-EVENT-REPORT). Where it doesn't offer the service, or
//! has not answered when `commit_timeout` is over, it is queried, and what it doesn't have then stays unconfirmed. Nothing
//! is unconfirmed while no association comes about: a PACS that is down for days is asked when it is back.
//!
//! [`proof`] is what is known of one object, [`ask`] who is asked when, [`answers`] what comes of it, [`verdict`] the end.

mod answers;
mod ask;
mod proof;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sonode_conformance::{SopInstanceUid, StudyInstanceUid, Uid, limits};

use super::record::{Delivery, ObjectKey, Study};
use crate::spool::{PeerMark, StoredInstance};
use crate::states::DeliveryState;
use crate::time::Timestamp;

pub(crate) use proof::{Proof, ProofLane};

/// Transactions whose answers are still known; the oldest go first.
const TRANSACTIONS_MAX: usize = 65_536;

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
    /// Of studies that are done: the peers that never showed to keep an object, once for each object. The queue has it
    /// too, and a start takes it from there.
    unconfirmed: VecDeque<(StudyInstanceUid, Vec<String>)>,
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

    /// A study is done: what it leaves unconfirmed stays an alarm.
    pub(super) fn count_done(&mut self, study: &Study) {
        self.uncount_done(&study.uid);
        let peers: Vec<String> = unconfirmed_of(study).map(str::to_owned).collect();
        if !peers.is_empty() {
            self.unconfirmed.push_back((study.uid.clone(), peers));
        }
        if self.unconfirmed.len() > limits::FINISHED_LISTED_MAX {
            self.unconfirmed.pop_front();
        }
    }

    /// It is in hand again, and counted there.
    pub(super) fn uncount_done(&mut self, study: &StudyInstanceUid) {
        self.unconfirmed.retain(|(done, _)| done != study);
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
    pub(super) fn take_up(&mut self, study: &mut Study, now: Timestamp) {
        study.proofs.clear();
        for delivery in &mut study.deliveries {
            delivery.proof.asked = None;
            // Later only by a clock that was ahead.
            delivery.proof.taken = delivery.proof.taken.min(now);
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

/// The peers that never showed to keep an object of this study, once for each object.
fn unconfirmed_of(study: &Study) -> impl Iterator<Item = &str> {
    let deliveries = study.deliveries.iter();
    deliveries
        .filter(|delivery| delivery.state == DeliveryState::Unconfirmed)
        .map(|delivery| delivery.peer.as_str())
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
