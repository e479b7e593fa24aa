//! What the operator can do with a study.

use sonode_conformance::StudyInstanceUid;

use super::arrivals::advance_instance;
use super::record::Lane;
use super::{Action, Engine};
use crate::pipeline::CommandError;
use crate::states::{DeliveryEvent, InstanceEvent, StudyEvent, StudyState};
use crate::time::Timestamp;

/// An operator's command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Close a receiving study, or release a held one.
    Close,
    /// Try again what failed.
    Retry,
    /// Delete it.
    Discard,
}

/// What an operator can do who wanted to close a study that can't be closed.
fn instead_of_closing(state: &StudyState) -> String {
    match state {
        StudyState::Receiving | StudyState::Held(_) => "the study can be closed".to_owned(),
        StudyState::Closed => {
            "the study is closed already: its instances are being analysed, then it is reported; \
                               nothing is left to do"
                .to_owned()
        }
        StudyState::Reported => {
            "the study is closed and its report decided already: `sonode studies show` tells what \
                                 went where, `sonode studies retry` sends again what was given up"
                .to_owned()
        }
        StudyState::Quarantined(reason) => {
            format!(
                "the study is quarantined ({reason}): mend the cause, then `sonode studies retry`"
            )
        }
    }
}

impl Engine {
    /// Carries out a command on a study in hand.
    pub(crate) fn command(
        &mut self,
        uid: &StudyInstanceUid,
        command: Command,
        now: Timestamp,
    ) -> (Result<(), CommandError>, Vec<Action>) {
        let result = match command {
            Command::Close => self.close_by_operator(uid, now),
            Command::Retry => self.retry(uid, now),
            Command::Discard => self.discard(uid),
        };
        (result, self.advance(now))
    }

    fn close_by_operator(
        &mut self,
        uid: &StudyInstanceUid,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let study = self
            .studies
            .get_mut(uid)
            .ok_or_else(|| CommandError::NoSuchStudy(uid.clone()))?;
        if study.state.after(StudyEvent::Close).is_err() {
            let result = Err(CommandError::NotNow(instead_of_closing(&study.state)));
            self.settle(uid, now);
            return result;
        }
        study.released |= matches!(study.state, StudyState::Held(_));
        study.rejected = None;
        self.close_study(uid, now);
        self.relane(uid, now);
        Ok(())
    }

    fn retry(&mut self, uid: &StudyInstanceUid, now: Timestamp) -> Result<(), CommandError> {
        let study = self
            .studies
            .get_mut(uid)
            .ok_or_else(|| CommandError::NoSuchStudy(uid.clone()))?;
        let late = study.state != StudyState::Receiving;
        let mut again = Vec::new();
        for (sop, instance) in &mut study.instances {
            if instance.is_undecodable() && instance.attempts > 0 {
                instance.attempts = 0;
                instance.suspect = true;
                instance.late = late;
                advance_instance(instance, InstanceEvent::TryAgain);
                again.push(sop.clone());
            }
        }
        let mut revived = false;
        for delivery in &mut study.deliveries {
            if let Ok(next) = delivery.state.after(DeliveryEvent::Retry) {
                delivery.state = next;
                delivery.proof.restart(now);
                delivery.refused = 0;
                delivery.failed_here = 0;
                delivery.broke = 0;
                revived = true;
            }
        }
        let was_quarantined = matches!(study.state, StudyState::Quarantined(_));
        self.retry_drawings(uid);
        for sop in &again {
            self.queue_analysis(uid, sop, now);
        }
        if revived || !again.is_empty() {
            self.bring_back(uid);
        }
        if was_quarantined {
            self.step(uid, StudyEvent::Retry);
        }
        self.relane(uid, now);
        self.schedule_proofs(uid);
        self.save(uid);
        self.settle(uid, now);
        Ok(())
    }

    fn discard(&mut self, uid: &StudyInstanceUid) -> Result<(), CommandError> {
        let study = self
            .studies
            .remove(uid)
            .ok_or_else(|| CommandError::NoSuchStudy(uid.clone()))?;
        if let Some(due) = study.timeline.closes_at {
            self.closings.remove(&(due, uid.clone()));
        }
        for studies in self.associations.values_mut() {
            studies.remove(uid);
        }
        self.analysis.forget(uid);
        self.sending.forget(&study);
        self.proving.forget(&study);
        tracing::info_span!("study", %uid).in_scope(|| tracing::info!("study discarded"));
        self.actions.push(Action::Discard(uid.clone()));
        Ok(())
    }

    /// Everything that is owed may be tried now.
    pub(super) fn relane(&mut self, uid: &StudyInstanceUid, now: Timestamp) {
        let Some(study) = self.studies.get(uid) else {
            return;
        };
        let peers: std::collections::BTreeSet<String> = study
            .deliveries
            .iter()
            .filter(|delivery| delivery.state.is_owed() && !delivery.in_flight)
            .map(|delivery| delivery.peer.clone())
            .collect();
        for peer in peers {
            self.sending.try_now(&peer);
            self.set_lane(
                uid,
                &peer,
                Some(Lane {
                    due: now,
                    failures: 0,
                }),
            );
        }
    }
}
