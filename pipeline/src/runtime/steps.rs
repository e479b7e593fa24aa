//! Performed procedure steps: on disk before they are answered.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sonode_conformance::SopInstanceUid;

use super::{Runtime, note};
use crate::engine::{Event, Step};
use crate::pipeline::StepError;
use crate::ports::StepRequest;
use crate::spool::KeptName;

impl Runtime {
    pub(super) fn step(&mut self, request: StepRequest) -> Result<(), StepError> {
        let known = self.engine.step_of(&request.step);
        let mut step = match (known, request.is_new) {
            (Some(_), true) => return Err(StepError::Known),
            (None, false) => return Err(StepError::Unknown),
            (Some(known), false) if known.ended.is_some() => return Err(StepError::Ended),
            (Some(known), false) => known.clone(),
            (None, true) => Step {
                uid: request.step.clone(),
                peer: request.peer,
                studies: BTreeSet::new(),
                instances: BTreeSet::new(),
                ended: None,
                changed: self.now(),
                data_sets: Vec::new(),
            },
        };
        step.studies.extend(request.studies);
        if let Some(instances) = request.instances {
            step.instances = instances.into_iter().collect();
        }
        step.ended = request.ended;
        step.changed = self.now();
        let (bytes, syntax) = request.data_set;
        step.data_sets.push((hexadecimal(&bytes), syntax));
        // Strings, UIDs and numbers: it can be written.
        let json = serde_json::to_vec(&step).unwrap_or_default();
        self.spool
            .keep(&KeptName::ProcedureStep(request.step), &json)
            .map_err(|error| StepError::Storage(error.to_string()))?;
        self.event(Event::Step(Box::new(step)));
        Ok(())
    }

    pub(super) fn drop_step(&self, step: SopInstanceUid) {
        let released = self.spool.release(&KeptName::ProcedureStep(step));
        note("end of a performed procedure step", released);
    }

    pub(super) fn recover_step(&mut self, step: Step) {
        if step.is_stale(self.now()) {
            self.drop_step(step.uid);
        } else {
            self.event(Event::Step(Box::new(step)));
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing into a String can't fail.
            write!(text, "{byte:02x}").unwrap_or_default();
            text
        })
}
