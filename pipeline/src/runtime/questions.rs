//! What the node asks: the list, a study, the health; and what its operator orders.

use sonode_conformance::{StudyInstanceUid, limits};

use super::Runtime;
use crate::engine::Command;
use crate::pipeline::CommandError;
use crate::report::Member;
use crate::spool::{Discarded, SpoolError};
use crate::status::{Health, StudyDetail, StudyStatus};

/// Studies that are done and shown in the list.
const LISTED_DONE_MAX: usize = 500;

impl Runtime {
    /// Carries out an order. The files of a discarded study go with the answer: whoever asked deletes them.
    pub(super) fn command(
        &mut self,
        uid: &StudyInstanceUid,
        command: Command,
    ) -> Result<Option<Discarded>, CommandError> {
        self.take_back_done(uid);
        let mut discarded = None;
        if command == Command::Discard {
            // The files first: what is deleted there can't come back by a recovery.
            match self.spool.discard_study(uid) {
                // A study that only the files knew: it was done when the queue was lost.
                Ok(files) if !self.engine.knows(uid) => return Ok(Some(files)),
                Ok(files) => discarded = Some(files),
                Err(SpoolError::NoSuchStudy(_)) => {}
                Err(error) => return Err(CommandError::Storage(error.to_string())),
            }
        }
        let (result, actions) = self.engine.command(uid, command, self.now());
        self.carry_out(actions);
        self.save_dirty();
        result.map(|()| discarded)
    }

    pub(super) fn studies(&self) -> Vec<StudyStatus> {
        let mut studies = self.engine.list();
        studies.extend(self.queue.finished_latest(LISTED_DONE_MAX));
        studies
    }

    pub(super) fn study(&self, uid: &StudyInstanceUid) -> Option<StudyDetail> {
        match self.engine.study(uid) {
            Some(study) => Some(self.engine.detail(study)),
            None => self
                .queue
                .finished(uid)
                .map(|study| self.engine.detail(&study)),
        }
    }

    pub(super) fn members(&self, uid: &StudyInstanceUid) -> Option<Vec<Member>> {
        match self.engine.study(uid) {
            Some(study) => Some(study.members()),
            None => self.queue.finished(uid).map(|study| study.members()),
        }
    }

    pub(super) fn health(&self) -> Health {
        let mut health = self.engine.health();
        if self.spool.is_poisoned() {
            health.ready = false;
            health.problems.push(
                "an fsync failed and nothing more is taken in: check the disk, then restart the node".to_owned(),
            );
        }
        let free = self.spool.space().map(|space| space.free);
        if let Some(problem) = too_full(&free.map_err(|error| error.to_string())) {
            health.ready = false;
            health.problems.push(problem);
        }
        health
    }
}

/// Why the disk may not take the next object.
pub(super) fn too_full(free: &Result<u64, String>) -> Option<String> {
    match free {
        Ok(free) if *free >= limits::FREE_BYTES_MIN => None,
        Ok(free) => Some(format!(
            "the disk of data_dir has {} MiB left, and an object may need {}: make room, or C-STOREs are answered A700",
            free >> 20,
            limits::FREE_BYTES_MIN >> 20
        )),
        Err(error) => Some(format!(
            "the disk of data_dir can't be asked for its free space: {error}"
        )),
    }
}
