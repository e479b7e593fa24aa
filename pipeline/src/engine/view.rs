//! The engine in the words of [`crate::status`].

use std::collections::BTreeMap;

use sonode_conformance::{SopInstanceUid, charset};
use sonode_findings::Phi;

use super::Engine;
use super::outcome::object_name;
use super::record::{Instance, ObjectKey, Study};
use crate::states::{DeliveryState, InstanceState, StudyState};
use crate::status::{
    DeliveryCounts, DeliveryStatus, Health, InstanceStatus, QueueLengths, StudyDetail, StudyStatus,
    VersionStatus, WorkerState,
};

impl Engine {
    /// The studies in hand.
    pub(crate) fn list(&self) -> Vec<StudyStatus> {
        self.studies.values().map(Study::status).collect()
    }

    /// One study, in hand or not.
    pub(crate) fn detail(&self, study: &Study) -> StudyDetail {
        StudyDetail {
            status: study.status(),
            patient_name: shown(&study.context.patient_name),
            patient_id: shown(&study.context.patient_id),
            study_date: study.context.study_date.clone(),
            instance_list: study
                .instances
                .iter()
                .map(|(uid, instance)| instance_status(uid, instance))
                .collect(),
            delivery_list: study
                .deliveries
                .iter()
                .map(|delivery| {
                    let lane = study.lanes.get(&delivery.peer);
                    DeliveryStatus {
                        peer: delivery.peer.clone(),
                        object: object_name(&delivery.object),
                        sop_instance_uid: match &delivery.object {
                            ObjectKey::Image(uid) => Some(uid.clone()),
                            ObjectKey::Report(..) => {
                                delivery.rendered.as_ref().map(|made| made.sop.clone())
                            }
                            ObjectKey::Companion(key) => study.drawn(*key).cloned(),
                        },
                        state: delivery.state.name().to_owned(),
                        next_try: lane
                            .filter(|_| delivery.state.is_owed())
                            .map(|lane| self.sending.next_try(&delivery.peer, *lane))
                            .or_else(|| study.next_proof(delivery)),
                        answers: delivery.answers.clone(),
                    }
                })
                .collect(),
            lv: study.report().and_then(|report| report.evidence.lv.clone()),
        }
    }

    /// Readiness, lengths and counters.
    pub(crate) fn health(&self) -> Health {
        let worker = self.analysis.worker_state();
        let mut problems = Vec::new();
        if let WorkerState::Failed { reason } = &worker {
            problems.push(reason.clone());
        }
        if worker == WorkerState::Starting {
            problems.push("the worker is loading its models".to_owned());
        }
        let mut due: BTreeMap<&str, usize> = BTreeMap::new();
        let mut queue = QueueLengths {
            studies_open: self.studies.len(),
            ..QueueLengths::default()
        };
        for study in self.studies.values() {
            queue.studies_held += usize::from(matches!(study.state, StudyState::Held(_)));
            queue.studies_quarantined +=
                usize::from(matches!(study.state, StudyState::Quarantined(_)));
            for delivery in &study.deliveries {
                queue.deliveries_unproven += usize::from(delivery.is_unproven());
                match delivery.state {
                    DeliveryState::Due => *due.entry(delivery.peer.as_str()).or_default() += 1,
                    DeliveryState::Dead => queue.deliveries_dead += 1,
                    DeliveryState::Sent | DeliveryState::Confirmed | DeliveryState::Unconfirmed => {
                    }
                }
            }
        }
        queue.deliveries_due = due.values().sum();
        queue.instances_unsorted = self.unsorted.len();
        (
            queue.instances_waiting,
            queue.instances_running,
            queue.instances_suspect,
        ) = self.analysis.lengths();
        Health {
            ready: problems.is_empty() && !self.draining,
            problems,
            worker,
            queue,
            alarms: self.alarms(),
            counters: self.counters,
            peers: self.sending.health(&due, &self.unconfirmed()),
        }
    }

    /// Whether nothing runs that a stop would cut short.
    pub(crate) fn is_idle(&self) -> bool {
        self.analysis.is_idle()
            && self.sending.is_idle()
            && self.proving.is_idle()
            && self.relays.is_idle()
    }
}

impl Study {
    /// Its line in the list.
    pub(crate) fn status(&self) -> StudyStatus {
        let count = |is: fn(InstanceState) -> bool| {
            self.instances
                .values()
                .filter(|instance| is(instance.state))
                .count()
        };
        let lv = self.report().and_then(|report| report.evidence.lv.as_ref());
        StudyStatus {
            study_instance_uid: self.uid.clone(),
            state: self.state.name().to_owned(),
            reason: self
                .state
                .reason()
                .map(str::to_owned)
                .or_else(|| self.unreported.clone()),
            done: self.done,
            from: self.from.iter().cloned().collect(),
            instances: self.instances.len(),
            analysed: count(|state| state == InstanceState::Analysed),
            rejected: count(|state| matches!(state, InstanceState::Rejected(_))),
            revision: self.report().map(|report| report.revision),
            lvef_percent: lv.map(|lv| lv.measurement.lvef_percent),
            deliveries: self.delivery_counts(),
            timeline: self.timeline,
        }
    }

    fn delivery_counts(&self) -> DeliveryCounts {
        let mut counts = DeliveryCounts::default();
        for delivery in &self.deliveries {
            match delivery.state {
                DeliveryState::Due => counts.due += 1,
                DeliveryState::Sent => counts.sent += 1,
                DeliveryState::Confirmed => counts.confirmed += 1,
                DeliveryState::Unconfirmed => counts.unconfirmed += 1,
                DeliveryState::Dead => counts.dead += 1,
            }
        }
        counts
    }
}

fn instance_status(uid: &SopInstanceUid, instance: &Instance) -> InstanceStatus {
    let current = instance.version();
    InstanceStatus {
        sop_instance_uid: uid.clone(),
        sop_class_uid: current.map(|version| version.stored.sop_class.clone()),
        state: instance.state.name().to_owned(),
        rejected: match instance.state {
            InstanceState::Rejected(reason) => Some(reason),
            InstanceState::Stored | InstanceState::Analysed => None,
        },
        rejected_detail: instance.detail.clone(),
        attempts: instance.attempts,
        suspect: instance.suspect,
        bytes: current.map_or(0, |version| version.stored.bytes),
        versions: instance
            .versions
            .iter()
            .enumerate()
            .map(|(i, version)| VersionStatus {
                digest: version.stored.digest.to_string(),
                received: version.received,
                current: i == instance.current,
            })
            .collect(),
    }
}

/// For a screen: what could not be decoded shows as such.
fn shown(text: &Phi) -> Phi {
    Phi::new(charset::readable(text.expose()))
}
