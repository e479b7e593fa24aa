//! What comes later and changes what was believed: another patient, a corrected header, a rejection note.

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};
use sonode_findings::{Phi, StudyContext};

use super::Engine;
use super::arrivals::advance_instance;
use super::record::{Instance, Study};
use crate::header::RejectionNote;
use crate::spool::Digest;
use crate::states::{InstanceEvent, InstanceState, StudyEvent};
use crate::text;
use crate::time::Timestamp;

/// Why two patients in one study hold it.
pub(super) const TWO_PATIENTS: &str = "the study's instances carry different Patient IDs";

/// Whether two objects name different patients; what one of them leaves empty is no contradiction.
pub(super) fn contradict(known: &StudyContext, arrived: &StudyContext) -> bool {
    let differ = |a: &Phi, b: &Phi| !a.is_empty() && !b.is_empty() && a != b;
    differ(&known.patient_id, &arrived.patient_id)
        || differ(&known.issuer_of_patient_id, &arrived.issuer_of_patient_id)
}

/// What a rejection note means for its study, in words.
pub(super) fn rejected_by(note: &RejectionNote) -> String {
    format!(
        "a rejection note came: {}, {} instance(s)",
        note.title, note.instances
    )
}

impl Engine {
    /// Two Patient IDs in one study: a report could go to the wrong patient.
    pub(super) fn check_patient(&mut self, uid: &StudyInstanceUid, arrived: &StudyContext) {
        let Some(study) = self.studies.get(uid) else {
            return;
        };
        let is_active = !study.released && study.state.reason().is_none();
        if is_active && contradict(&study.context, arrived) {
            self.bring_back(uid);
            self.step(uid, StudyEvent::Contradiction(TWO_PATIENTS.to_owned()));
        }
    }

    /// A rejection note: nothing more of the study leaves, whatever it is, until the operator says so.
    pub(super) fn check_rejection(&mut self, uid: &StudyInstanceUid, note: Option<&RejectionNote>) {
        let (Some(note), Some(study)) = (note, self.studies.get_mut(uid)) else {
            return;
        };
        let reason = rejected_by(note);
        tracing::error!(study = %uid, reason, "nothing more of the study is sent");
        study.rejected = Some(reason.clone());
        self.bring_back(uid);
        if self.studies.get(uid).is_some_and(Study::may_report) {
            self.step(uid, StudyEvent::Contradiction(reason));
        }
        self.save(uid);
    }

    /// Whether a peer gets images from us: what it sends back under their UIDs is no correction of them.
    pub(super) fn is_receiver(&self, peer: Option<&str>) -> bool {
        let mut routes = self.settings.routing.routes.iter();
        peer.is_some_and(|peer| routes.any(|route| route.send_images && route.to == peer))
    }

    /// The same instance came with other bytes from one that may correct it: its header counts from now on, and it is
    /// analysed anew. While an older version is being analysed it waits for its turn.
    pub(super) fn correct(
        &mut self,
        uid: &StudyInstanceUid,
        sop: &SopInstanceUid,
        corrected: &StudyContext,
        now: Timestamp,
    ) {
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        if !contradict(&study.context, corrected) {
            let mut context = corrected.clone();
            text::complete(&mut context, &study.context);
            study.context = context;
        }
        let Some(instance) = study.instances.get_mut(sop) else {
            return;
        };
        instance.wanted = instance
            .versions
            .last()
            .map(|version| version.stored.digest);
        if instance.state != InstanceState::Stored && instance.take_wanted() {
            self.queue_analysis(uid, sop, now);
        }
    }
}

impl Instance {
    /// Turns to the version that is wanted, if it isn't the one at hand; says whether it is to be analysed.
    pub(super) fn take_wanted(&mut self) -> bool {
        let is_it = |wanted: Digest| {
            let mut versions = self.versions.iter();
            versions.position(|version| version.stored.digest == wanted)
        };
        let Some(at) = self.wanted.take().and_then(is_it) else {
            return false;
        };
        if at == self.current {
            return false;
        }
        self.current = at;
        // Who was there when a worker died stays suspect until there is an answer.
        if self.state != InstanceState::Stored {
            self.attempts = 0;
            self.suspect = false;
            advance_instance(self, InstanceEvent::TryAgain);
        }
        true
    }
}
