//! Second readings that came after their answer: the study is reported anew, with them.

use std::collections::BTreeMap;

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};
use sonode_findings::protocol::Amended;

use super::{Action, Engine};
use crate::spool::Digest;
use crate::states::{InstanceState, StudyState};
use crate::time::Timestamp;

/// Most readings that are awaited. A worker holds fewer; one that promises more without end is not believed.
const AWAITED_MAX: usize = 64;

/// Readings that the running worker may still bring, by the number of the job. They end with it: the reports that left
/// without them said so, and nothing is owed.
#[derive(Default)]
pub(super) struct LateReadings(BTreeMap<u64, Read>);

/// What is read: a version of an instance.
struct Read {
    study: StudyInstanceUid,
    sop: SopInstanceUid,
    digest: Digest,
}

impl LateReadings {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn forget(&mut self, study: &StudyInstanceUid) {
        self.0.retain(|_, read| read.study != *study);
    }
}

impl Engine {
    pub(super) fn await_reading(&mut self, id: u64, uid: &StudyInstanceUid, sop: &SopInstanceUid) {
        let instance = self
            .studies
            .get(uid)
            .and_then(|study| study.instances.get(sop));
        let Some(version) = instance.and_then(|instance| instance.version()) else {
            return;
        };
        let read = Read {
            study: uid.clone(),
            sop: sop.clone(),
            digest: version.stored.digest,
        };
        let awaited = &mut self.analysis.readings.0;
        awaited.insert(id, read);
        if awaited.len() > AWAITED_MAX {
            awaited.pop_first();
        }
    }

    /// Which study a reading is about, if it is awaited.
    pub(crate) fn study_read(&self, generation: u64, id: u64) -> Option<&StudyInstanceUid> {
        let awaited = self.analysis.readings.0.get(&id)?;
        (generation == self.analysis.generation).then_some(&awaited.study)
    }

    /// The findings on disk are replaced by the same ones with the reading. A reported study is opened again, so that
    /// readings that come one after the other make one revision.
    pub(super) fn on_amended(&mut self, generation: u64, amended: Amended, now: Timestamp) {
        if generation != self.analysis.generation {
            return;
        }
        let Amended { id, mut findings } = amended;
        // Given up here, or its study discarded.
        let Some(Read { study, sop, digest }) = self.analysis.readings.0.remove(&id) else {
            return;
        };
        let Some(known) = self.studies.get_mut(&study) else {
            return;
        };
        let instance = known.instances.get(&sop);
        let Some(stored) = instance
            .filter(|instance| instance.state != InstanceState::Stored)
            .and_then(|instance| instance.version())
            .map(|version| version.stored.clone())
            .filter(|stored| stored.digest == digest)
        else {
            return;
        };
        findings.sop_instance_uid = sop.clone();
        findings
            .sop_class_uid
            .get_or_insert_with(|| stored.sop_class.clone());
        tracing::info!(%study, sop_instance = %sop, "a second reading came late");
        if known.state != StudyState::Receiving {
            known.quiet_from = now;
        }
        self.reopen(&study, now);
        self.actions
            .push(Action::PutFindings(stored, Box::new(findings)));
        self.settle(&study, now);
    }
}
