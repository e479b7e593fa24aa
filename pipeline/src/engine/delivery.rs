//! What is owed to whom, when it is tried, and what its answers mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use sonode_conformance::StudyInstanceUid;
use sonode_sr_writer::{Document, Style};

use super::analysis::backoff;
use super::outcome::{Failure, judge, note_answer, object_name, result_of, with_jitter};
use super::record::{Delivery, Lane, ObjectKey, Study};
use super::{Action, Engine};
use crate::ports::{
    CompanionFile, DeliveryJob, DeliveryObject, DeliveryReport, ObjectResult, ReportKey,
};
use crate::spool::PeerMark;
use crate::states::{DeliveryEvent, DeliveryState, StudyEvent};
use crate::status::PeerHealth;
use crate::time::Timestamp;

/// Objects in one job: an association that carries more would hold up the next report for too long.
const JOB_OBJECTS_MAX: usize = 256;

/// Who is being sent what.
#[derive(Default)]
pub(super) struct Sending {
    peers: BTreeMap<String, Peer>,
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
}

#[derive(Default)]
struct Peer {
    /// The lanes of all studies by due time.
    lanes: BTreeSet<(Timestamp, StudyInstanceUid)>,
    busy: bool,
    /// Associations that failed in a row.
    failures: u32,
    not_before: Timestamp,
    last_success: Option<Timestamp>,
    last_error: Option<String>,
    alarm: bool,
}

struct Job {
    peer: String,
    objects: Vec<(StudyInstanceUid, ObjectKey)>,
}

impl Sending {
    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// One line for each peer; `due` is counted by the caller, who has the studies.
    pub(super) fn health(
        &self,
        due: &BTreeMap<&str, usize>,
        unconfirmed: &BTreeMap<String, u64>,
    ) -> Vec<PeerHealth> {
        self.peers
            .iter()
            .map(|(name, peer)| PeerHealth {
                name: name.clone(),
                due: due.get(name.as_str()).copied().unwrap_or(0),
                busy: peer.busy,
                last_success: peer.last_success,
                last_error: peer.last_error.clone(),
                alarm: peer.alarm,
                unconfirmed: unconfirmed.get(name).copied().unwrap_or(0),
                next_try: peer
                    .lanes
                    .first()
                    .map(|(due, _)| (*due).max(peer.not_before)),
            })
            .collect()
    }

    /// The study's lanes leave the index.
    pub(super) fn forget(&mut self, study: &Study) {
        for (name, lane) in &study.lanes {
            if let Some(peer) = self.peers.get_mut(name) {
                peer.lanes.remove(&(lane.due, study.uid.clone()));
            }
        }
    }

    /// The peer may be called at once.
    pub(super) fn try_now(&mut self, peer: &str) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.not_before = Timestamp::default();
        }
    }

    /// When a lane is really tried: not before its peer may be called again.
    pub(super) fn next_try(&self, peer: &str, lane: Lane) -> Timestamp {
        let not_before = self.peers.get(peer).map(|peer| peer.not_before);
        lane.due.max(not_before.unwrap_or_default())
    }
}

impl Engine {
    pub(super) fn delivery_deadline(&self) -> Option<Timestamp> {
        if self.draining {
            return None;
        }
        self.sending
            .peers
            .values()
            .filter(|peer| !peer.busy)
            .filter_map(|peer| Some(peer.lanes.first()?.0.max(peer.not_before)))
            .min()
    }

    /// Owes an object to a peer, once.
    pub(super) fn owe(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        object: ObjectKey,
        style: Style,
        now: Timestamp,
    ) {
        let Some(study) = self.studies.get(uid) else {
            return;
        };
        let proof = self.proof_wanted(study, peer, &object, now);
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        if study.delivery_mut(peer, &object).is_some() {
            return;
        }
        let state = study.as_marked(peer, &object);
        study.deliveries.push(Delivery {
            peer: peer.to_owned(),
            object,
            state,
            refused: 0,
            failed_here: 0,
            broke: 0,
            version: None,
            style,
            rendered: None,
            answers: Vec::new(),
            proof,
            in_flight: false,
        });
        if state.is_owed() {
            let fresh = Lane {
                due: now,
                failures: 0,
            };
            // A peer that has just refused objects of this study isn't pressed with every new one.
            let lane = study
                .lanes
                .get(peer)
                .copied()
                .filter(|lane| lane.failures > 0 && lane.due > now)
                .unwrap_or(fresh);
            self.bring_back(uid);
            self.set_lane(uid, peer, Some(lane));
        } else {
            self.schedule_proof(uid, peer);
        }
    }

    pub(super) fn set_lane(&mut self, uid: &StudyInstanceUid, name: &str, lane: Option<Lane>) {
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        let peer = self.sending.peers.entry(name.to_owned()).or_default();
        let old = match lane {
            Some(lane) => study.lanes.insert(name.to_owned(), lane),
            None => study.lanes.remove(name),
        };
        if let Some(old) = old {
            peer.lanes.remove(&(old.due, uid.clone()));
        }
        peer.lanes.extend(lane.map(|lane| (lane.due, uid.clone())));
        self.save(uid);
    }

    /// One job at a time for each peer, so that a slow or dead one keeps nobody else waiting.
    pub(super) fn dispatch_deliveries(&mut self, now: Timestamp) {
        if self.draining {
            return;
        }
        let ready: Vec<String> = self
            .sending
            .peers
            .iter()
            .filter(|(_, peer)| !peer.busy && peer.not_before <= now)
            .filter(|(_, peer)| peer.lanes.first().is_some_and(|(due, _)| *due <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in ready {
            self.dispatch_to(&name, now);
        }
    }

    fn dispatch_to(&mut self, name: &str, now: Timestamp) {
        let mut objects = Vec::new();
        let mut keys = Vec::new();
        while keys.len() < JOB_OBJECTS_MAX {
            let lanes = self.sending.peers.get(name).map(|peer| &peer.lanes);
            let Some((_, uid)) = lanes
                .and_then(BTreeSet::first)
                .filter(|(due, _)| *due <= now)
                .cloned()
            else {
                break;
            };
            let room = JOB_OBJECTS_MAX - keys.len();
            let Some(study) = self.studies.get_mut(&uid) else {
                if let Some(peer) = self.sending.peers.get_mut(name) {
                    peer.lanes.retain(|(_, known)| *known != uid);
                }
                continue;
            };
            for (key, object) in take_due(study, name, room) {
                keys.push((uid.clone(), key));
                objects.push(object);
            }
            let is_emptied = keys.len() < JOB_OBJECTS_MAX;
            if is_emptied {
                // What is in flight is out of the index until it is answered.
                let failures = study.lanes.get(name).map_or(0, |lane| lane.failures);
                self.park_lane(&uid, name, failures);
            }
        }
        if objects.is_empty() {
            return;
        }
        self.sending.next_job += 1;
        let id = self.sending.next_job;
        if let Some(peer) = self.sending.peers.get_mut(name) {
            peer.busy = true;
        }
        tracing::debug!(
            peer = name,
            job = id,
            objects = objects.len(),
            "delivery begins"
        );
        self.sending.jobs.insert(
            id,
            Job {
                peer: name.to_owned(),
                objects: keys,
            },
        );
        self.actions.push(Action::Submit(DeliveryJob {
            id,
            peer: name.to_owned(),
            objects,
        }));
    }

    /// Puts one object more into the job that is on its way to a peer: it is answered with the others.
    pub(super) fn join_job(&mut self, uid: &StudyInstanceUid, peer: &str, key: ObjectKey) {
        let job = self.sending.jobs.values_mut().find(|job| job.peer == peer);
        let study = self.studies.get_mut(uid);
        let delivery = study.and_then(|study| study.delivery_mut(peer, &key));
        if let (Some(job), Some(delivery)) = (job, delivery) {
            delivery.in_flight = true;
            job.objects.push((uid.clone(), key));
        }
    }

    /// Takes a lane out of the index of due times; it keeps its count of failures.
    fn park_lane(&mut self, uid: &StudyInstanceUid, name: &str, failures: u32) {
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        let Some(lane) = study.lanes.get_mut(name) else {
            return;
        };
        lane.failures = failures;
        if let Some(peer) = self.sending.peers.get_mut(name) {
            peer.lanes.remove(&(lane.due, uid.clone()));
        }
    }

    pub(super) fn on_delivered(&mut self, report: DeliveryReport, now: Timestamp) {
        let Some(job) = self.sending.jobs.remove(&report.id) else {
            tracing::warn!(
                job = report.id,
                "an answer to a delivery that isn't running"
            );
            return;
        };
        let association_failed = report.association_error.is_some();
        let mut accepted_any = false;
        let mut failed: BTreeMap<StudyInstanceUid, Failure> = BTreeMap::new();
        let mut studies = BTreeSet::new();
        for (uid, key) in job.objects {
            let result = result_of(&report, &uid, &key);
            let (accepted, failure) = self.take_result(&uid, &job.peer, &key, result, now);
            accepted_any |= accepted;
            let worst = failed.entry(uid.clone()).or_default();
            *worst = (*worst).max(failure);
            studies.insert(uid);
        }
        self.note_association(&job.peer, report, accepted_any, now);
        for uid in studies {
            let failure = failed.get(&uid).copied().unwrap_or_default();
            self.reschedule_lane(&uid, &job.peer, failure, association_failed, now);
            self.settle(&uid, now);
        }
    }

    /// One object's answer: whether the peer took it, and how it failed.
    fn take_result(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
        result: ObjectResult,
        now: Timestamp,
    ) -> (bool, Failure) {
        let retry = self.settings.retry;
        let Some(study) = self.studies.get_mut(uid) else {
            return (false, Failure::None);
        };
        let current = study.report().map_or(0, |report| report.revision);
        let Some(delivery) = study.delivery_mut(peer, key) else {
            return (false, Failure::None);
        };
        delivery.in_flight = false;
        if !delivery.state.is_owed() {
            return (false, Failure::None);
        }
        let (event, failure) = judge(delivery, &result, retry);
        if event == DeliveryEvent::Accepted {
            delivery.proof.begin(&result, now);
        }
        note_answer(delivery, result, now);
        match delivery.state.after(event) {
            Ok(next) => delivery.state = next,
            Err(prohibited) => tracing::error!(study = %uid, peer, %prohibited, "delivery state"),
        }
        let (state, failed_here) = (delivery.state, delivery.failed_here);
        let is_superseded = key.revision().is_some_and(|revision| revision < current);
        tracing::info!(study = %uid, peer, object = %object_name(key), state = state.name(), "delivery state");
        if state.is_taken() {
            self.counters.deliveries_sent += 1;
            self.mark_peer(PeerMark::Delivered, uid, peer, key);
            self.schedule_proof(uid, peer);
        } else {
            self.counters.deliveries_failed += 1;
            if is_superseded {
                study
                    .deliveries
                    .retain(|delivery| !(delivery.peer == peer && delivery.object == *key));
            } else if state == DeliveryState::Dead {
                self.counters.deliveries_dead += 1;
                tracing::warn!(study = %uid, peer, object = %object_name(key), "dead letter: mend the cause, then retry the study");
                // A companion that can't be made holds up nothing else.
                if matches!(key, ObjectKey::Report(_, Document::MeasurementReport))
                    && failed_here >= retry.refused_tries_max
                {
                    self.quarantine(uid, "the report can't be made");
                }
            }
        }
        self.save(uid);
        (state.is_taken(), failure)
    }

    fn quarantine(&mut self, uid: &StudyInstanceUid, why: &str) {
        if self.studies.get(uid).is_some_and(Study::may_report) {
            self.step(uid, StudyEvent::Failure(why.to_owned()));
        }
    }

    pub(super) fn mark_peer(
        &mut self,
        mark: PeerMark,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
    ) {
        let Some(study) = self.studies.get(uid) else {
            return;
        };
        let mut deliveries = study.deliveries.iter();
        let sop = deliveries
            .find(|delivery| delivery.peer == peer && delivery.object == *key)
            .and_then(|delivery| study.delivered_as(delivery));
        if let Some(sop) = sop {
            self.actions
                .push(Action::MarkPeer(mark, uid.clone(), peer.to_owned(), sop));
        }
    }

    /// The peer's own backoff: where no association comes about, none of its lanes is at fault.
    fn note_association(
        &mut self,
        name: &str,
        report: DeliveryReport,
        accepted_any: bool,
        now: Timestamp,
    ) {
        let retry = self.settings.retry;
        let Some(peer) = self.sending.peers.get_mut(name) else {
            return;
        };
        peer.busy = false;
        if accepted_any {
            peer.failures = 0;
            peer.last_success = Some(now);
        }
        match report.association_error {
            None => {
                peer.failures = 0;
                peer.alarm = false;
                peer.last_error = None;
            }
            Some(failure) => {
                let wait = with_jitter(
                    backoff(retry.first, retry.max, peer.failures),
                    name,
                    peer.failures,
                );
                peer.failures = peer.failures.saturating_add(1);
                peer.not_before = now.plus(wait);
                peer.alarm = failure.permanent;
                tracing::warn!(peer = name, permanent = failure.permanent, detail = %failure.detail, wait_ms = wait.as_millis(), "no association");
                peer.last_error = Some(failure.detail);
            }
        }
    }

    fn reschedule_lane(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        failure: Failure,
        association_failed: bool,
        now: Timestamp,
    ) {
        let retry = self.settings.retry;
        let Some(study) = self.studies.get(uid) else {
            return;
        };
        let is_owing = study
            .deliveries
            .iter()
            .any(|delivery| delivery.peer == peer && delivery.state.is_owed());
        let failures = study.lanes.get(peer).map_or(0, |lane| lane.failures);
        let key = format!("{uid} {peer}");
        let lane = match failure {
            _ if !is_owing => None,
            Failure::None => Some(Lane {
                due: now,
                failures: 0,
            }),
            Failure::Passing if association_failed => Some(Lane { due: now, failures }),
            Failure::Passing | Failure::Broke => {
                let wait = with_jitter(backoff(retry.first, retry.max, failures), &key, failures);
                Some(Lane {
                    due: now.plus(wait),
                    failures: failures.saturating_add(1),
                })
            }
            Failure::Refused(refused) => {
                // The tries spread over `retry.max`: half of it before the last one, a quarter before that.
                let left = retry.refused_tries_max.saturating_sub(refused);
                let wait = retry.max / 1_u32.checked_shl(left).unwrap_or(u32::MAX).max(1);
                let wait = with_jitter(wait.max(retry.first), &key, refused);
                Some(Lane {
                    due: now.plus(wait),
                    failures,
                })
            }
        };
        self.set_lane(uid, peer, lane);
    }
}

/// What may leave a study for a peer now; marks it as being in flight.
fn take_due(study: &mut Study, peer: &str, room: usize) -> Vec<(ObjectKey, DeliveryObject)> {
    if study.rejected.is_some() {
        return Vec::new();
    }
    let may_report = study.may_report();
    let mut keys: Vec<(u32, ObjectKey)> = study
        .deliveries
        .iter()
        .filter(|delivery| delivery.peer == peer && delivery.state.is_owed() && !delivery.in_flight)
        .filter(|delivery| may_report || matches!(delivery.object, ObjectKey::Image(_)))
        .map(|delivery| (delivery.endings(), delivery.object.clone()))
        .collect();
    // What ended an association goes last, so that the rest of the study doesn't wait behind it.
    keys.sort();
    keys.truncate(room);
    let mut taken = Vec::new();
    for (_, key) in keys {
        let object = match &key {
            ObjectKey::Report(revision, document) => Some(DeliveryObject::Report(ReportKey {
                study: study.uid.clone(),
                revision: *revision,
                document: *document,
                peer: peer.to_owned(),
            })),
            ObjectKey::Image(_) => {
                let stored = study
                    .delivery(peer, &key)
                    .and_then(|delivery| study.sent_version(delivery))
                    .cloned();
                if let (Some(stored), Some(delivery)) = (&stored, study.delivery_mut(peer, &key)) {
                    delivery.version = Some(stored.digest);
                }
                stored.map(DeliveryObject::Image)
            }
            // What isn't drawn yet follows.
            ObjectKey::Companion(key) => study.drawn(*key).map(|sop| {
                DeliveryObject::Companion(CompanionFile {
                    study: study.uid.clone(),
                    key: *key,
                    sop_instance: sop.clone(),
                    // Filled in where the files are known.
                    path: PathBuf::new(),
                })
            }),
        };
        if let (Some(object), Some(delivery)) = (object, study.delivery_mut(peer, &key)) {
            delivery.in_flight = true;
            taken.push((key, object));
        }
    }
    taken
}
