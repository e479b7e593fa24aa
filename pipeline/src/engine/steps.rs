//! Performed procedure steps: when a cart says that an examination is over, and everything that it lists is here, nobody
//! has to wait for the whole quiet period.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sonode_conformance::{SopInstanceUid, StudyInstanceUid, limits};

use super::record::Study;
use super::{Action, Engine};
use crate::time::Timestamp;

/// A performed procedure step, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) uid: SopInstanceUid,
    /// The cart's name in the configuration.
    pub(crate) peer: String,
    pub(crate) studies: BTreeSet<StudyInstanceUid>,
    /// What it lists.
    pub(crate) instances: BTreeSet<SopInstanceUid>,
    /// COMPLETED (`true`) or DISCONTINUED.
    pub(crate) ended: Option<bool>,
    /// When something was heard of it last.
    pub(crate) changed: Timestamp,
    /// The attribute lists as they came, hexadecimal, each with its transfer syntax.
    pub(crate) data_sets: Vec<(String, String)>,
}

/// The steps of studies that aren't done.
#[derive(Default)]
pub(super) struct Steps(BTreeMap<SopInstanceUid, Step>);

impl Engine {
    pub(crate) fn step_of(&self, uid: &SopInstanceUid) -> Option<&Step> {
        self.steps.0.get(uid)
    }

    /// Takes in what is on disk.
    pub(super) fn on_step(&mut self, step: Step, now: Timestamp) {
        let studies = step.studies.clone();
        tracing::info!(peer = step.peer, step = %step.uid, ended = ?step.ended, instances = step.instances.len(), "performed procedure step");
        self.steps.0.insert(step.uid.clone(), step);
        for study in studies {
            self.settle(&study, now);
        }
    }

    /// Whether every step of a study is completed and all that they list is here. A step that was discontinued says
    /// nothing of what is still to come.
    pub(super) fn is_complete(&self, study: &Study) -> bool {
        let steps = self.steps.0.values();
        let mut its = steps
            .filter(|step| step.studies.contains(&study.uid))
            .peekable();
        let is_here = |step: &Step| {
            let mut instances = step.instances.iter();
            !step.instances.is_empty() && instances.all(|sop| study.instances.contains_key(sop))
        };
        its.peek().is_some() && its.all(|step| step.ended == Some(true) && is_here(step))
    }

    /// A study is done: its steps are no longer needed, unless they belong to another one too.
    pub(super) fn drop_steps(&mut self, study: &StudyInstanceUid) {
        for step in self.steps.0.values_mut() {
            if step.ended.is_some() {
                step.studies.remove(study);
            }
        }
        let over: Vec<SopInstanceUid> = self
            .steps
            .0
            .values()
            .filter(|step| step.ended.is_some() && step.studies.is_empty())
            .map(|step| step.uid.clone())
            .collect();
        for step in over {
            self.steps.0.remove(&step);
            self.actions.push(Action::DropStep(step));
        }
    }
}

impl Step {
    /// Whether its study never came.
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        now.since(self.changed) > limits::STEP_KEPT
    }
}
