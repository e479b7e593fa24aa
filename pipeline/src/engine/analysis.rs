//! The worker's jobs, attempts and suspects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonode_conformance::{SopInstanceUid, StudyInstanceUid};
use sonode_findings::protocol::Analyzed;
use sonode_findings::{InstanceFindings, Rejection, phrases};

use super::arrivals::advance_instance;
use super::readings::LateReadings;
use super::unsorted::Key;
use super::worker::Phase;
use super::{Action, Engine};
use crate::companions::CompanionKey;
use crate::states::{InstanceEvent, InstanceState, StudyEvent, StudyState};
use crate::status::WorkerState;
use crate::text;
use crate::time::Timestamp;

/// However many credits a worker claims: its jobs have to fit into the socket's buffer, so that writing never waits.
const CREDITS_MAX: usize = 256;

/// What is durable about an instance's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// A run was begun and has not ended.
    pub(crate) started: bool,
    /// Charged runs.
    pub(crate) attempts: u32,
    /// Runs alone.
    pub(crate) suspect: bool,
}

type Job = (Timestamp, StudyInstanceUid, SopInstanceUid);

/// The analyses that wait and run, and the worker that runs them.
#[derive(Default)]
pub(super) struct Analysis {
    /// Healthy ones, first come, first served.
    waiting: BTreeSet<Job>,
    /// Those that run alone.
    suspects: BTreeSet<Job>,
    /// Companions that wait to be drawn; each runs alone.
    pub(super) drawings: BTreeSet<(StudyInstanceUid, CompanionKey)>,
    pub(super) running: BTreeMap<u64, Running>,
    /// Readings that may still come from the worker.
    pub(super) readings: LateReadings,
    next_job: u64,
    pub(super) phase: Phase,
    pub(super) generation: u64,
    /// Deaths since the last answer.
    pub(super) deaths: u32,
    pub(super) problem: Option<String>,
}

pub(super) struct Running {
    pub(super) task: Task,
    /// No other job was in flight at any time of this run.
    alone: bool,
}

/// What the worker was asked.
pub(super) enum Task {
    /// To analyse an instance.
    Analysis(StudyInstanceUid, SopInstanceUid),
    /// To say whose an object of `unsorted/` is.
    Identification(Key),
    /// To draw a companion.
    Drawing(StudyInstanceUid, CompanionKey),
}

impl Analysis {
    pub(super) fn enqueue(
        &mut self,
        received: Timestamp,
        study: StudyInstanceUid,
        sop: SopInstanceUid,
        suspect: bool,
    ) {
        let queue = if suspect {
            &mut self.suspects
        } else {
            &mut self.waiting
        };
        queue.insert((received, study, sop));
    }

    pub(super) fn forget(&mut self, study: &StudyInstanceUid) {
        self.waiting.retain(|(_, uid, _)| uid != study);
        self.suspects.retain(|(_, uid, _)| uid != study);
        self.drawings.retain(|(uid, _)| uid != study);
        self.readings.forget(study);
    }

    /// Waiting, running, suspect.
    pub(super) fn lengths(&self) -> (usize, usize, usize) {
        (
            self.waiting.len() + self.suspects.len(),
            self.running.len(),
            self.suspects.len(),
        )
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn worker_state(&self) -> WorkerState {
        match (&self.phase, &self.problem) {
            (Phase::Ready { ready, .. }, _) => WorkerState::Ready {
                device: ready.device.clone(),
                models: ready.models.clone(),
                credits: ready.credits,
            },
            (_, Some(reason)) => WorkerState::Failed {
                reason: reason.clone(),
            },
            (Phase::Down { .. } | Phase::Starting { .. }, None) => WorkerState::Starting,
        }
    }
}

impl Engine {
    /// A run ended with its worker. It is charged only where nothing else can have been the cause.
    pub(super) fn on_run_lost(&mut self, job: &Running, now: Timestamp) {
        let (uid, sop) = match &job.task {
            Task::Analysis(uid, sop) => (uid, sop),
            Task::Identification(key) => return self.on_identification_lost(key),
            Task::Drawing(uid, key) => return self.on_drawing_lost(uid, *key, now),
        };
        let attempts_max = self.settings.worker.attempts_max;
        let Some(instance) = self
            .studies
            .get_mut(uid)
            .and_then(|study| study.instances.get_mut(sop))
        else {
            return;
        };
        instance.suspect = true;
        if job.alone {
            instance.attempts += 1;
            self.counters.attempts_charged += 1;
        }
        tracing::warn!(study = %uid, sop_instance = %sop, attempts = instance.attempts, charged = job.alone, "analysis lost");
        if instance.attempts >= attempts_max {
            self.reject_undecodable(uid, sop, now);
            return;
        }
        let mark = Mark {
            started: false,
            attempts: instance.attempts,
            suspect: true,
        };
        let received = instance
            .version()
            .map(|version| version.received)
            .unwrap_or_default();
        self.actions
            .push(Action::SetMark(uid.clone(), sop.clone(), mark));
        self.analysis
            .enqueue(received, uid.clone(), sop.clone(), true);
        self.save(uid);
    }

    /// The instance has used up its attempts: the study is reported without it.
    fn reject_undecodable(
        &mut self,
        study: &StudyInstanceUid,
        sop: &SopInstanceUid,
        now: Timestamp,
    ) {
        let attempts = self.settings.worker.attempts_max;
        let detail = phrases::NOT_SURVIVED.say([attempts.to_string().into()]);
        let findings = InstanceFindings::empty(sop.clone()).reject(Rejection::Undecodable, detail);
        self.take_findings(study, sop, findings, now);
    }

    pub(super) fn on_analyzed(&mut self, generation: u64, answer: Analyzed, now: Timestamp) {
        if generation != self.analysis.generation {
            return;
        }
        let Some(job) = self.analysis.running.remove(&answer.id) else {
            self.kill_worker(
                "the worker answered a job that it didn't have and was killed",
                now,
            );
            return;
        };
        self.analysis.deaths = 0;
        self.extend_deadline(now);
        let (uid, sop) = match job.task {
            Task::Analysis(uid, sop) => (uid, sop),
            Task::Identification(key) => return self.on_identified(&key, answer),
            Task::Drawing(uid, key) => {
                self.kill_worker(
                    "the worker analysed what it should draw and was killed",
                    now,
                );
                return self.on_drawing_lost(&uid, key, now);
            }
        };
        if let (Some(study), Some(context)) = (self.studies.get_mut(&uid), &answer.context) {
            // The worker reads the whole file, sequences included. It completes what the header scanner saw.
            if context.study_instance_uid == uid && study.context.patient_id == context.patient_id {
                text::complete(&mut study.context, context);
            }
        }
        if answer.reading_may_follow {
            self.await_reading(answer.id, &uid, &sop);
        }
        self.take_findings(&uid, &sop, answer.findings, now);
    }

    fn take_findings(
        &mut self,
        uid: &StudyInstanceUid,
        sop: &SopInstanceUid,
        findings: InstanceFindings,
        now: Timestamp,
    ) {
        self.keep_findings(uid, sop, findings, now);
        // After the findings: a node that dies between the two must still know that the instance was a suspect.
        self.actions
            .push(Action::ClearMark(uid.clone(), sop.clone()));
        self.settle(uid, now);
    }

    fn keep_findings(
        &mut self,
        uid: &StudyInstanceUid,
        sop: &SopInstanceUid,
        mut findings: InstanceFindings,
        now: Timestamp,
    ) {
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        let Some(instance) = study.instances.get_mut(sop) else {
            return;
        };
        let Some(stored) = instance.version().map(|version| version.stored.clone()) else {
            return;
        };
        if instance.state != InstanceState::Stored {
            return;
        }
        findings.sop_instance_uid = sop.clone();
        findings
            .sop_class_uid
            .get_or_insert_with(|| stored.sop_class.clone());
        instance.suspect = false;
        instance.detail.clone_from(&findings.rejected_detail);
        let event = match findings.rejected {
            None => InstanceEvent::Measured,
            Some(reason) => InstanceEvent::Refused(reason),
        };
        advance_instance(instance, event);
        let is_late_evidence = findings.rejected.is_none() && instance.late;
        match findings.rejected {
            None => self.counters.instances_analysed += 1,
            Some(_) => self.counters.instances_rejected += 1,
        }
        study.timeline.analysed = Some(now);
        tracing::info!(study = %uid, sop_instance = %sop, rejected = ?findings.rejected, "instance analysed");
        // It came again while it was being analysed.
        let again = instance.take_wanted();
        // The findings are durable before the record says that there are some.
        self.actions
            .push(Action::PutFindings(stored, Box::new(findings)));
        self.save(uid);
        if is_late_evidence {
            self.reopen(uid, now);
        }
        if again {
            self.queue_analysis(uid, sop, now);
        }
    }

    /// What a report stands on has grown after the close.
    pub(super) fn reopen(&mut self, uid: &StudyInstanceUid, now: Timestamp) {
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        for instance in study.instances.values_mut() {
            instance.late = instance.late && instance.state == InstanceState::Stored;
        }
        if !matches!(study.state, StudyState::Closed | StudyState::Reported) {
            return;
        }
        study.opened_at = now;
        self.counters.studies_reopened += 1;
        self.bring_back(uid);
        self.step(uid, StudyEvent::LateEvidence);
    }

    /// The study is owed something again: out of `done/`.
    pub(super) fn bring_back(&mut self, uid: &StudyInstanceUid) {
        if let Some(study) = self.studies.get_mut(uid).filter(|study| study.done) {
            study.done = false;
            self.actions.push(Action::Reopen(uid.clone()));
        }
    }

    /// Gives the worker what it has credits for. While a suspect, an object of `unsorted/` or a companion waits, nothing
    /// else begins: it runs alone and next. A companion's report waits for it, so it comes before other studies' analyses.
    pub(super) fn dispatch_analyses(&mut self, now: Timestamp) {
        let Phase::Ready { ready, .. } = &self.analysis.phase else {
            return;
        };
        let credits = usize::try_from(ready.credits)
            .unwrap_or(CREDITS_MAX)
            .clamp(1, CREDITS_MAX);
        while !self.draining {
            let analysis = &mut self.analysis;
            if !analysis.suspects.is_empty()
                || self.unsorted.is_waiting()
                || !analysis.drawings.is_empty()
            {
                if !analysis.running.is_empty() {
                    return;
                }
                if let Some((_, study, sop)) = analysis.suspects.pop_first() {
                    self.begin(study, sop, now);
                } else if let Some(key) = self.unsorted.pop_waiting() {
                    self.begin_identification(key, now);
                } else if let Some((study, key)) = self.analysis.drawings.pop_first() {
                    self.begin_drawing(study, key, now);
                }
                continue;
            }
            if analysis.running.len() >= credits || analysis.is_running_alone(&self.studies) {
                return;
            }
            let Some((_, study, sop)) = analysis.waiting.pop_first() else {
                return;
            };
            self.begin(study, sop, now);
        }
    }

    fn begin(&mut self, study: StudyInstanceUid, sop: SopInstanceUid, now: Timestamp) {
        let Some(instance) = self
            .studies
            .get(&study)
            .and_then(|study| study.instances.get(&sop))
        else {
            return;
        };
        let Some(stored) = instance.version().map(|version| version.stored.clone()) else {
            return;
        };
        let mark = Mark {
            started: true,
            attempts: instance.attempts,
            suspect: instance.suspect,
        };
        tracing::info_span!("study", uid = %study).in_scope(|| {
            let _attempt = tracing::info_span!("attempt", n = mark.attempts + 1).entered();
            tracing::debug!(sop_instance = %sop, "analysis begins");
        });
        self.actions
            .push(Action::SetMark(study.clone(), sop.clone(), mark));
        let id = self.start_run(Task::Analysis(study, sop), now);
        self.actions
            .push(Action::Analyze(self.analysis.generation, id, stored));
    }

    /// Books a run; gives its number.
    pub(super) fn start_run(&mut self, task: Task, now: Timestamp) -> u64 {
        let is_first = self.analysis.running.is_empty();
        if is_first {
            // Waiting for a job is not an overrun.
            self.extend_deadline(now);
        }
        // A reading that goes on beside it may be what kills the worker.
        let alone = is_first && self.analysis.readings.is_empty();
        let analysis = &mut self.analysis;
        for other in analysis.running.values_mut() {
            other.alone = false;
        }
        analysis.next_job += 1;
        let id = analysis.next_job;
        analysis.running.insert(id, Running { task, alone });
        self.arm_deadline(now);
        id
    }
}

impl Analysis {
    /// Whether a job runs beside which none may begin.
    fn is_running_alone(&self, studies: &BTreeMap<StudyInstanceUid, super::Study>) -> bool {
        self.running.values().any(|job| match &job.task {
            Task::Identification(_) | Task::Drawing(..) => true,
            Task::Analysis(study, sop) => studies
                .get(study)
                .and_then(|study| study.instances.get(sop))
                .is_some_and(|instance| instance.suspect),
        })
    }
}

/// `first`, doubled with each failure, at most `max`.
pub(super) fn backoff(first: Duration, max: Duration, failures: u32) -> Duration {
    first
        .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
        .min(max)
}
