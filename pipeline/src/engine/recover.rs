//! Takes up after a restart: what the spool holds is the truth, the queue's record adds what files don't say.

use std::collections::BTreeMap;

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};
use sonode_findings::{Rejection, StudyContext};
use sonode_sr_writer::{Document, Form};

use super::late::{TWO_PATIENTS, contradict, rejected_by};
use super::outcome::longest_wait;
use super::record::{FoundMark, Instance, Rendered, Study, Version, is_analysable};
use super::{Action, Engine, Mark};
use crate::header::RejectionNote;
use crate::spool::{Digest, PeerMark, StoredInstance};
use crate::states::{DeliveryEvent, InstanceEvent, InstanceState, StudyEvent, StudyState};
use crate::text;
use crate::time::Timestamp;

/// One open study as it was found.
pub(crate) struct Recovered {
    pub(crate) uid: StudyInstanceUid,
    /// What the queue kept, with its lanes.
    pub(crate) record: Option<Study>,
    /// Every version of every instance in the folder.
    pub(crate) instances: Vec<RecoveredInstance>,
    /// Reports in the folder, by revision.
    pub(crate) reports: Vec<FoundReport>,
    /// Marks of peers in the folder.
    pub(crate) peer_marks: Vec<FoundMark>,
    /// The queue's marks.
    pub(crate) marks: BTreeMap<SopInstanceUid, Mark>,
}

/// One report as it was found.
pub(crate) struct FoundReport {
    pub(crate) revision: u32,
    pub(crate) sop: SopInstanceUid,
    /// Which document it is, and its form as far as its SOP class tells.
    pub(crate) made_as: Option<(Document, Form)>,
}

/// One version of an instance as it was found.
pub(crate) struct RecoveredInstance {
    pub(crate) stored: StoredInstance,
    /// When its file was written.
    pub(crate) modified: Timestamp,
    /// What its findings say, where there are some: measured, or why not.
    pub(crate) findings: Option<(Option<Rejection>, Option<String>)>,
    /// Its header; read only where the record doesn't know the version.
    pub(crate) context: Option<StudyContext>,
    /// Name of the peer that sent it, as far as its file tells.
    pub(crate) peer: Option<String>,
    /// Made by this node.
    pub(crate) own: bool,
    /// What it says if it is a rejection note; read only where the record doesn't know the version.
    pub(crate) rejection: Option<RejectionNote>,
}

impl Engine {
    /// Takes up one open study.
    pub(crate) fn recover(&mut self, found: Recovered, now: Timestamp) -> Vec<Action> {
        let uid = found.uid.clone();
        let first = found
            .instances
            .iter()
            .map(|instance| instance.modified)
            .min();
        let mut study = found.record.unwrap_or_else(|| {
            let began = first.unwrap_or(now);
            Study::new(uid.clone(), StudyContext::unknown(uid.clone()), began)
        });
        study.done = false;
        study.timeline.closes_at = None;
        take_reports(&mut study, found.reports);
        study.found_marks = found.peer_marks;
        drop_missing(&mut study, &found.instances);
        let mut arrived = Vec::new();
        let mut instances = found.instances;
        // The latest version counts, as it did when they came.
        instances.sort_by_key(|instance| instance.modified);
        let mut holds = Vec::new();
        for instance in instances {
            let is_patient = |context: &StudyContext| contradict(&study.context, context);
            if !instance.own && !study.released && instance.context.as_ref().is_some_and(is_patient)
            {
                holds.push(TWO_PATIENTS.to_owned());
            }
            if let Some(note) = instance.rejection.as_ref().filter(|_| !instance.own) {
                let reason = rejected_by(note);
                study.rejected = Some(reason.clone());
                holds.push(reason);
            }
            let is_correction = !instance.own && !self.is_receiver(instance.peer.as_deref());
            if let Some(sop) = take_up(&mut study, instance, is_correction) {
                arrived.push(sop);
            }
        }
        for (sop, mark) in found.marks {
            if let Some(instance) = study.instances.get_mut(&sop) {
                // In flight when the node died: nobody is charged, and the next run is alone.
                instance.suspect |= mark.suspect || mark.started;
                instance.attempts = instance.attempts.max(mark.attempts);
            }
        }
        for instance in study.instances.values_mut() {
            // Whether it was analysed already is found out by doing it.
            instance.take_wanted();
        }
        for reason in holds {
            if let Ok(held) = study.state.after(StudyEvent::Contradiction(reason)) {
                study.state = held;
            }
        }
        let lanes = std::mem::take(&mut study.lanes);
        let waiting: Vec<SopInstanceUid> = study
            .instances
            .iter()
            .filter(|(_, instance)| instance.state == InstanceState::Stored)
            .map(|(sop, _)| sop.clone())
            .collect();
        settle_delivered(&mut study);
        self.proving.take_up(&mut study, now);
        begin_by(&mut study, now);
        // Its findings are on disk, and the record that says so, and that the study is open again, was lost.
        let has_grown = study
            .instances
            .values()
            .any(|instance| instance.late && instance.state == InstanceState::Analysed);
        let newest_made = study.newest_made();
        // What it decided last was lost with its record: an earlier revision must not follow the later one.
        let is_behind = study.is_behind();
        self.studies.insert(uid.clone(), study);
        if is_behind {
            self.supersede(&uid, newest_made);
        }
        if has_grown || is_behind {
            self.reopen(&uid, now);
        }
        for sop in waiting {
            self.queue_analysis(&uid, &sop, now);
        }
        for (sop, peer) in arrived {
            self.owe_image(&uid, &sop, peer.as_deref(), now);
        }
        self.queue_drawings(&uid);
        self.schedule_proofs(&uid);
        self.relane(&uid, now);
        let latest = now.plus(longest_wait(self.settings.retry));
        for (peer, mut lane) in lanes {
            lane.due = lane.due.min(latest);
            let is_known = self
                .studies
                .get(&uid)
                .is_some_and(|study| study.lanes.contains_key(&peer));
            if is_known {
                self.set_lane(&uid, &peer, Some(lane));
            }
        }
        self.save(&uid);
        self.settle(&uid, now);
        std::mem::take(&mut self.actions)
    }
}

/// A clock that was ahead has dated a study's beginning later than now, and its close would be as far away: waits begin
/// now at the latest.
fn begin_by(study: &mut Study, now: Timestamp) {
    study.opened_at = study.opened_at.min(now);
    study.quiet_from = study.quiet_from.min(now);
}

fn take_reports(study: &mut Study, found: Vec<FoundReport>) {
    study.found_reports.clear();
    study.found_documents.clear();
    for FoundReport {
        revision,
        sop,
        made_as,
    } in found
    {
        study.found_reports.push((revision, sop.clone()));
        let made = made_as.map(|(document, form)| (revision, document, Rendered { form, sop }));
        study.found_documents.extend(made);
    }
}

/// What the record speaks of and the folder doesn't hold is gone: somebody deleted it by hand.
fn drop_missing(study: &mut Study, found: &[RecoveredInstance]) {
    let is_there = |sop: &SopInstanceUid, digest: &Digest| {
        found.iter().any(|instance| {
            instance.stored.sop_instance == *sop && instance.stored.digest == *digest
        })
    };
    study.instances.retain(|sop, instance| {
        let current = instance.version().map(|version| version.stored.digest);
        instance
            .versions
            .retain(|version| is_there(sop, &version.stored.digest));
        instance.current = instance
            .versions
            .iter()
            .position(|version| Some(version.stored.digest) == current)
            .unwrap_or(0);
        !instance.versions.is_empty()
    });
}

/// Files one version; gives its UID and sender where the record didn't know the instance.
fn take_up(
    study: &mut Study,
    found: RecoveredInstance,
    is_correction: bool,
) -> Option<(SopInstanceUid, Option<String>)> {
    let sop = found.stored.sop_instance.clone();
    let digest = found.stored.digest;
    if let Some(context) = &found.context
        && !found.own
    {
        let is_newer = is_correction && study.instances.contains_key(&sop);
        if is_newer && !contradict(&study.context, context) {
            let mut corrected = context.clone();
            text::complete(&mut corrected, &study.context);
            study.context = corrected;
        } else {
            text::complete(&mut study.context, context);
        }
    }
    let late = study.state != StudyState::Receiving;
    let known = study.instances.get_mut(&sop);
    let is_news = known.is_none();
    let instance = match known {
        None => {
            let mut instance = Instance::new(found.stored, found.modified);
            instance.own = found.own;
            instance.late = late;
            study.instances.entry(sop.clone()).or_insert(instance)
        }
        Some(instance) => {
            let place = instance
                .versions
                .iter_mut()
                .find(|version| version.stored.digest == digest);
            if let Some(version) = place {
                version.stored = found.stored;
            } else {
                instance.versions.push(Version {
                    stored: found.stored,
                    received: found.modified,
                });
                if is_correction && !instance.own {
                    instance.current = instance.versions.len() - 1;
                    instance.late = late;
                }
            }
            instance
        }
    };
    let is_current = instance
        .version()
        .is_some_and(|version| version.stored.digest == digest);
    if is_current {
        follow_findings(instance, found.findings);
    }
    if !is_news {
        return None;
    }
    if !found.own {
        study.from.extend(found.peer.clone());
        let last = study
            .timeline
            .received_last
            .unwrap_or_default()
            .max(found.modified);
        let first = study
            .timeline
            .received_first
            .unwrap_or(found.modified)
            .min(found.modified);
        study.timeline.received_first = Some(first);
        study.timeline.received_last = Some(last);
        study.quiet_from = study.quiet_from.max(found.modified);
    }
    (!found.own).then_some((sop, found.peer))
}

fn is_never_analysed(instance: &Instance) -> bool {
    let is_looked_into = instance
        .version()
        .is_some_and(|version| is_analysable(&version.stored.sop_class));
    instance.state == InstanceState::Rejected(Rejection::NotAnImage)
        && (instance.own || !is_looked_into)
}

/// Findings on disk are the state; a state without findings on disk is void, but for what was never analysed.
fn follow_findings(instance: &mut Instance, findings: Option<(Option<Rejection>, Option<String>)>) {
    match findings {
        Some((rejected, detail)) => {
            let event = rejected.map_or(InstanceEvent::Measured, InstanceEvent::Refused);
            if let Ok(state) = InstanceState::Stored.after(event) {
                instance.state = state;
            }
            instance.detail = detail;
            instance.suspect = false;
        }
        // Nobody looks into it, so nothing was found. What an earlier version didn't look into is looked into now.
        None if is_never_analysed(instance) => {}
        None => instance.state = InstanceState::Stored,
    }
}

/// A mark outlives the record of its delivery.
pub(super) fn settle_delivered(study: &mut Study) {
    let marked = |mark: PeerMark| -> Vec<bool> {
        let deliveries = study.deliveries.iter();
        deliveries
            .map(|delivery| study.is_marked(mark, &delivery.peer, &delivery.object))
            .collect()
    };
    let rounds = [
        PeerMark::Delivered,
        // The stronger one last.
        PeerMark::Found,
        PeerMark::Committed,
    ]
    .map(|mark| (mark, marked(mark)));
    for (mark, marked) in rounds {
        let event = match mark {
            PeerMark::Delivered => DeliveryEvent::Accepted,
            PeerMark::Found | PeerMark::Committed => DeliveryEvent::Confirmation,
        };
        for (delivery, _) in study
            .deliveries
            .iter_mut()
            .zip(marked)
            .filter(|(_, is)| *is)
        {
            if let Ok(next) = delivery.state.after(event) {
                delivery.state = next;
            }
            if event == DeliveryEvent::Confirmation {
                delivery.proof.set_shown(mark);
            }
        }
    }
}
