//! Companions of a report: drawn by the worker, kept on disk, then owed like the report itself.
//!
//! A report waits a little for its companions, so that they leave on one association, and no longer: a worker that is
//! down or dies of a picture delays no report. What is drawn later follows it.

use std::collections::BTreeMap;
use std::time::Duration;

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};
use sonode_findings::Findings;
use sonode_findings::protocol::Illustrated;
use sonode_sr_writer::{Style, Syntax};

use super::analysis::Task;
use super::outcome::{note_answer, object_name};
use super::record::{Drawing, Lane, ObjectKey, Study};
use super::recover::settle_delivered;
use super::{Action, Engine};
use crate::companions::{CompanionKey, CompanionPlan};
use crate::ports::ObjectResult;
use crate::states::{DeliveryEvent, DeliveryState, DrawingEvent, DrawingState};
use crate::time::Timestamp;

/// How long a report waits for its companions. A page takes seconds, a long cine tens of them.
const REPORT_WAIT: Duration = Duration::from_mins(1);

impl Engine {
    /// Owes the companions that the routes of these peers want of this revision, and has them drawn.
    pub(super) fn owe_companions(
        &mut self,
        uid: &StudyInstanceUid,
        revision: u32,
        findings: &Findings,
        now: Timestamp,
    ) {
        let wanted = self.wanted_companions(uid, revision, findings);
        for (key, peers) in &wanted {
            for peer in peers {
                self.owe_companion(uid, peer, *key, now);
            }
        }
        self.queue_drawings(uid);
        let is_waiting = |study: &Study| study.is_drawing(revision);
        if self.studies.get(uid).is_some_and(is_waiting) {
            let until = now.plus(REPORT_WAIT);
            for peer in wanted.into_values().flatten() {
                self.move_lane(uid, &peer, until);
            }
        }
    }

    /// Owes one companion to a peer, which is to be drawn where nobody else is owed it.
    pub(super) fn owe_companion(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: CompanionKey,
        now: Timestamp,
    ) {
        if let Some(study) = self.studies.get_mut(uid)
            && study.drawing(key).is_none()
        {
            study.companions.push(Drawing {
                key,
                state: DrawingState::Waiting,
                attempts: 0,
            });
        }
        let style = Style {
            language: key.language,
            charset: key.charset,
            ..Style::default()
        };
        self.owe(uid, peer, ObjectKey::Companion(key), style, now);
    }

    fn wanted_companions(
        &self,
        uid: &StudyInstanceUid,
        revision: u32,
        findings: &Findings,
    ) -> BTreeMap<CompanionKey, Vec<String>> {
        let mut wanted: BTreeMap<CompanionKey, Vec<String>> = BTreeMap::new();
        for route in self.reporting_routes(uid, findings) {
            for companion in &route.companions {
                for plane in companion.planes(findings) {
                    let key = CompanionKey {
                        revision,
                        companion: *companion,
                        plane,
                        syntax: Syntax::default(),
                        language: route.style.language,
                        charset: route.style.charset,
                    };
                    wanted.entry(key).or_default().push(route.to.clone());
                }
            }
        }
        wanted
    }

    /// Queues what is not drawn yet.
    pub(super) fn queue_drawings(&mut self, uid: &StudyInstanceUid) {
        let Some(study) = self.studies.get(uid) else {
            return;
        };
        let waiting = study.companions.iter();
        let waiting = waiting.filter(|drawing| drawing.state == DrawingState::Waiting);
        self.analysis
            .drawings
            .extend(waiting.map(|drawing| (uid.clone(), drawing.key)));
    }

    /// Has the worker draw; it is called when nothing else runs.
    pub(super) fn begin_drawing(
        &mut self,
        uid: StudyInstanceUid,
        key: CompanionKey,
        now: Timestamp,
    ) {
        let is_waiting = self
            .studies
            .get(&uid)
            .and_then(|study| study.drawing(key))
            .is_some_and(|drawing| drawing.state == DrawingState::Waiting);
        // Replaced, or drawn meanwhile.
        if !is_waiting {
            return;
        }
        let id = self.start_run(Task::Drawing(uid.clone(), key), now);
        self.actions
            .push(Action::Illustrate(self.analysis.generation, id, uid, key));
    }

    /// What a companion is made of.
    pub(crate) fn companion_plan(
        &self,
        uid: &StudyInstanceUid,
        key: CompanionKey,
    ) -> Option<CompanionPlan> {
        let study = self.studies.get(uid)?;
        let report = study
            .reports
            .iter()
            .find(|report| report.revision == key.revision)?;
        let instances = report.members.iter().filter_map(|member| {
            let versions = &study.instances.get(&member.sop)?.versions;
            let analysed = versions.iter().find(|v| v.stored.digest == member.digest)?;
            Some(analysed.stored.clone())
        });
        Some(CompanionPlan {
            study: uid.clone(),
            key,
            context: study.context.clone(),
            members: report.members.clone(),
            instances: instances.collect(),
            content: report.content,
        })
    }

    /// The worker's answer.
    pub(super) fn on_illustrated(&mut self, generation: u64, answer: Illustrated, now: Timestamp) {
        if generation != self.analysis.generation {
            return;
        }
        let job = self.analysis.running.remove(&answer.id);
        let Some(Task::Drawing(uid, key)) = job.map(|job| job.task) else {
            self.kill_worker(
                "the worker answered a job that it didn't have and was killed",
                now,
            );
            return;
        };
        self.analysis.deaths = 0;
        self.extend_deadline(now);
        match answer.outcome {
            Ok(picture) => self
                .actions
                .push(Action::KeepCompanion(uid, key, Box::new(picture))),
            Err(detail) => self.give_up_drawing(&uid, key, &detail, now),
        }
    }

    /// A companion is on disk, or can't be put there.
    pub(super) fn on_companion_kept(
        &mut self,
        uid: &StudyInstanceUid,
        key: CompanionKey,
        outcome: Result<SopInstanceUid, String>,
        now: Timestamp,
    ) {
        // It may have been there already, so that the worker wasn't asked.
        self.analysis.running.retain(
            |_, job| !matches!(&job.task, Task::Drawing(of, which) if of == uid && *which == key),
        );
        self.extend_deadline(now);
        let sop = match outcome {
            Ok(sop) => sop,
            Err(detail) => return self.give_up_drawing(uid, key, &detail, now),
        };
        // Before it can come back from a PACS, its UID is known as our own.
        self.actions.push(Action::Issued(sop.clone()));
        self.step_drawing(uid, key, DrawingEvent::Kept(sop.clone()));
        tracing::info!(study = %uid, companion = key.companion.name(), revision = key.revision, sop_instance = %sop, "companion drawn");
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        // Where the queue was lost, a mark says who has it.
        settle_delivered(study);
        self.schedule_proofs(uid);
        self.let_go(uid, key.revision, now);
    }

    /// A run that drew was lost with its worker: drawings run alone, so it is charged.
    pub(super) fn on_drawing_lost(
        &mut self,
        uid: &StudyInstanceUid,
        key: CompanionKey,
        now: Timestamp,
    ) {
        let attempts_max = self.settings.worker.attempts_max;
        let Some(drawing) = self.studies.get_mut(uid).and_then(|s| s.drawing_mut(key)) else {
            return;
        };
        drawing.attempts += 1;
        let attempts = drawing.attempts;
        self.counters.attempts_charged += 1;
        tracing::warn!(study = %uid, companion = key.companion.name(), attempts, "drawing lost");
        if attempts >= attempts_max {
            let detail = format!("the worker did not survive drawing it in {attempts} attempts");
            self.give_up_drawing(uid, key, &detail, now);
        } else {
            self.analysis.drawings.insert((uid.clone(), key));
            self.save(uid);
        }
    }

    /// The report goes without it: its deliveries are dead letters, which the operator sees and can have tried again.
    fn give_up_drawing(
        &mut self,
        uid: &StudyInstanceUid,
        key: CompanionKey,
        detail: &str,
        now: Timestamp,
    ) {
        tracing::warn!(study = %uid, companion = key.companion.name(), revision = key.revision, detail, "companion can't be made: mend the cause, then retry the study");
        self.step_drawing(uid, key, DrawingEvent::GivenUp(detail.to_owned()));
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        let object = ObjectKey::Companion(key);
        for delivery in study.deliveries.iter_mut().filter(|d| d.object == object) {
            if let Ok(next) = delivery.state.after(DeliveryEvent::FailedForGood) {
                delivery.state = next;
                note_answer(delivery, ObjectResult::Failed(detail.to_owned()), now);
                self.counters.deliveries_dead += 1;
                tracing::warn!(study = %uid, peer = delivery.peer, object = %object_name(&object), "dead letter");
            }
        }
        self.let_go(uid, key.revision, now);
    }

    /// The operator wants what could not be drawn tried again.
    pub(super) fn retry_drawings(&mut self, uid: &StudyInstanceUid) {
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        for drawing in &mut study.companions {
            if let Ok(next) = drawing.state.after(DrawingEvent::Retry) {
                drawing.state = next;
                drawing.attempts = 0;
            }
        }
        self.queue_drawings(uid);
    }

    /// When nothing of a revision waits to be drawn any more, what is owed of it leaves.
    fn let_go(&mut self, uid: &StudyInstanceUid, revision: u32, now: Timestamp) {
        let Some(study) = self.studies.get(uid) else {
            return;
        };
        if !study.is_drawing(revision) {
            let owed = study.deliveries.iter();
            let owed = owed.filter(|delivery| delivery.state == DeliveryState::Due);
            let peers: Vec<String> = owed.map(|delivery| delivery.peer.clone()).collect();
            for peer in peers {
                self.move_lane(uid, &peer, now);
            }
        }
        self.save(uid);
        self.settle(uid, now);
    }

    /// Moves a lane that waits for nothing else; one with failures behind it keeps its backoff. Its time may have come
    /// while there was nothing to send, and it is looked at again.
    fn move_lane(&mut self, uid: &StudyInstanceUid, peer: &str, due: Timestamp) {
        let Some(study) = self.studies.get(uid) else {
            return;
        };
        let in_flight = study
            .deliveries
            .iter()
            .any(|d| d.peer == peer && d.in_flight);
        // A lane with something in flight is scheduled when that is answered.
        if in_flight {
            return;
        }
        let backing_off = study.lanes.get(peer).filter(|lane| lane.failures > 0);
        let lane = backing_off.map_or(Lane { due, failures: 0 }, |lane| Lane {
            due: lane.due,
            failures: lane.failures,
        });
        self.set_lane(uid, peer, Some(lane));
    }

    fn step_drawing(&mut self, uid: &StudyInstanceUid, key: CompanionKey, event: DrawingEvent) {
        let Some(drawing) = self.studies.get_mut(uid).and_then(|s| s.drawing_mut(key)) else {
            return;
        };
        match drawing.state.after(event) {
            Ok(next) => drawing.state = next,
            Err(prohibited) => tracing::error!(study = %uid, %prohibited, "companion state"),
        }
    }
}

impl Study {
    pub(crate) fn drawing(&self, key: CompanionKey) -> Option<&Drawing> {
        self.companions.iter().find(|drawing| drawing.key == key)
    }

    fn drawing_mut(&mut self, key: CompanionKey) -> Option<&mut Drawing> {
        self.companions
            .iter_mut()
            .find(|drawing| drawing.key == key)
    }

    /// The UID of a companion that is on disk.
    pub(crate) fn drawn(&self, key: CompanionKey) -> Option<&SopInstanceUid> {
        match &self.drawing(key)?.state {
            DrawingState::Drawn(sop) => Some(sop),
            DrawingState::Waiting | DrawingState::Failed(_) => None,
        }
    }

    /// Whether a companion of this revision waits to be drawn.
    fn is_drawing(&self, revision: u32) -> bool {
        self.companions.iter().any(|drawing| {
            drawing.key.revision == revision && drawing.state == DrawingState::Waiting
        })
    }
}
