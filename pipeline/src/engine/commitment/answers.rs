//! What a peer says: at once, or when it likes.

use sonode_conformance::{DimseStatus, SopInstanceUid, StudyInstanceUid, limits};

use super::Job;
use super::proof::{ProofLane, Rules, Wanted};
use crate::engine::Engine;
use crate::engine::analysis::backoff;
use crate::engine::outcome::{note, object_name, with_jitter};
use crate::engine::record::{Lane, ObjectKey};
use crate::ports::{CommitmentNotice, CommitmentOutcome, CommitmentReport};
use crate::spool::PeerMark;
use crate::states::{DeliveryEvent, DeliveryState};
use crate::time::Timestamp;

/// Failure Reasons (PS3.4 section J.3.3.1.1).
const PROCESSING_FAILURE: u16 = 0x0110;
const NO_SUCH_INSTANCE: u16 = 0x0112;
const DUPLICATE_TRANSACTION: u16 = 0x0131;
const RESOURCE_LIMITATION: u16 = 0x0213;

impl Engine {
    pub(in crate::engine) fn on_commitment_answered(
        &mut self,
        report: CommitmentReport,
        now: Timestamp,
    ) {
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

    pub(in crate::engine) fn on_committed(&mut self, notice: &CommitmentNotice, now: Timestamp) {
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
}
