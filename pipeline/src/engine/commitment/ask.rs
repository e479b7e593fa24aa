//! Who is asked what, and when.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};
use sonode_conformance::{StudyInstanceUid, Uid, limits};

use super::Job;
use super::proof::{Proof, ProofLane, Rules, Wanted};
use crate::engine::record::{Delivery, ObjectKey, Study};
use crate::engine::{Action, Engine};
use crate::ports::{CommitmentJob, CommitmentObject, CommitmentQuestion};
use crate::spool::PeerMark;
use crate::time::Timestamp;

/// Objects in one request.
const REQUEST_OBJECTS_MAX: usize = 256;

impl Engine {
    /// What a peer has to show of what it is sent of a study, if it takes it now.
    pub(in crate::engine) fn proof_wanted(
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
    pub(in crate::engine) fn demand_commitment(
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

    pub(in crate::engine) fn proof_deadline(&self) -> Option<Timestamp> {
        if self.draining {
            return None;
        }
        let peers = self.proving.due.iter();
        peers
            .filter(|(peer, _)| !self.proving.is_busy(peer))
            .filter_map(|(_, due)| due.first().map(|(time, _)| *time))
            .min()
    }

    pub(in crate::engine) fn schedule_proofs(&mut self, uid: &StudyInstanceUid) {
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
    pub(in crate::engine) fn schedule_proof(&mut self, uid: &StudyInstanceUid, peer: &str) {
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
    pub(in crate::engine) fn dispatch_proofs(&mut self, now: Timestamp) {
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
}
