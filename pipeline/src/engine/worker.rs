//! The worker's life: started, ready, overdue, ended, started again.

use std::time::Duration;

use sonode_findings::protocol::Ready;

use super::analysis::{Mark, Running, Task, backoff};
use super::readings::LateReadings;
use super::{Action, Engine, WorkerEnd};
use crate::time::Timestamp;

/// Longest wait before a worker is started again.
const RESTART_MAX: Duration = Duration::from_mins(1);
pub(super) enum Phase {
    /// No process; one is started then.
    Down { until: Timestamp },
    /// A process that has to be ready by then.
    Starting { deadline: Timestamp },
    /// A process that takes jobs; with jobs in flight it has to answer by then.
    Ready {
        ready: Ready,
        deadline: Option<Timestamp>,
    },
}

impl Default for Phase {
    fn default() -> Self {
        Self::Down {
            until: Timestamp::default(),
        }
    }
}

impl Engine {
    pub(super) fn worker_deadline(&self) -> Option<Timestamp> {
        match &self.analysis.phase {
            Phase::Down { .. } if self.draining => None,
            Phase::Down { until } => Some(*until),
            Phase::Starting { deadline } => Some(*deadline),
            Phase::Ready { deadline, .. } => *deadline,
        }
    }

    /// Starts a worker that is down, and ends one that is overdue.
    pub(super) fn check_worker(&mut self, now: Timestamp) {
        let overdue = match &self.analysis.phase {
            Phase::Down { until } if *until <= now && !self.draining => {
                self.analysis.generation += 1;
                self.analysis.phase = Phase::Starting {
                    deadline: now.plus(self.settings.worker.start_deadline),
                };
                self.counters.worker_starts += 1;
                self.actions
                    .push(Action::StartWorker(self.analysis.generation));
                false
            }
            Phase::Down { .. } => false,
            Phase::Starting { deadline } => *deadline <= now,
            Phase::Ready { deadline, .. } => deadline.is_some_and(|deadline| deadline <= now),
        };
        if overdue {
            self.counters.worker_overruns += 1;
            self.kill_worker("the worker gave no answer in time and was killed", now);
        }
    }

    /// Kills the worker at once; what it still says belongs to a generation that is over.
    pub(super) fn kill_worker(&mut self, why: &str, now: Timestamp) {
        self.actions
            .push(Action::KillWorker(self.analysis.generation));
        let end = WorkerEnd {
            detail: why.to_owned(),
            unusable: false,
        };
        self.on_worker_ended(self.analysis.generation, end, now);
    }

    pub(super) fn on_worker_ready(&mut self, generation: u64, ready: Ready, now: Timestamp) {
        if generation != self.analysis.generation
            || !matches!(self.analysis.phase, Phase::Starting { .. })
        {
            return;
        }
        let ours = env!("CARGO_PKG_VERSION");
        if ready.version != ours {
            let why = format!(
                "the worker is version {}, the node is {ours}: install both from one build",
                ready.version
            );
            self.kill_worker(&why, now);
            self.wait_for_mending(now);
            return;
        }
        tracing::info!(device = %ready.device, models = ready.models.len(), credits = ready.credits, "worker ready");
        self.analysis.problem = None;
        self.analysis.phase = Phase::Ready {
            ready,
            deadline: None,
        };
    }

    pub(super) fn on_worker_ended(&mut self, generation: u64, end: WorkerEnd, now: Timestamp) {
        if generation != self.analysis.generation
            || matches!(self.analysis.phase, Phase::Down { .. })
        {
            return;
        }
        tracing::warn!(reason = %end.detail, "worker ended");
        self.counters.worker_deaths += 1;
        let wait = backoff(
            self.settings.worker.restart_first,
            RESTART_MAX,
            self.analysis.deaths,
        );
        self.analysis.deaths = self.analysis.deaths.saturating_add(1);
        self.analysis.phase = Phase::Down {
            until: now.plus(wait),
        };
        self.analysis.problem = Some(end.detail);
        if end.unusable {
            self.wait_for_mending(now);
        }
        self.analysis.readings = LateReadings::default();
        let running = std::mem::take(&mut self.analysis.running);
        for job in running.into_values() {
            self.on_run_lost(&job, now);
        }
    }

    /// A cause that a new start alone doesn't remove: no hurry.
    fn wait_for_mending(&mut self, now: Timestamp) {
        self.analysis.phase = Phase::Down {
            until: now.plus(RESTART_MAX),
        };
    }

    /// Each answer gives the worker the whole time again: it has one model and runs its jobs one after the other.
    pub(super) fn extend_deadline(&mut self, now: Timestamp) {
        if let Phase::Ready { deadline, .. } = &mut self.analysis.phase {
            *deadline = None;
        }
        if !self.analysis.running.is_empty() {
            self.arm_deadline(now);
        }
    }

    pub(super) fn arm_deadline(&mut self, now: Timestamp) {
        let end = now.plus(self.settings.worker.deadline);
        if let Phase::Ready { deadline, .. } = &mut self.analysis.phase {
            deadline.get_or_insert(end);
        }
    }

    /// The worker is stopped by the node itself: what it had begun counts as never begun.
    pub(crate) fn stop(&mut self) -> Vec<Action> {
        let running = std::mem::take(&mut self.analysis.running);
        for Running { task, .. } in running.into_values() {
            // What lies in unsorted/ has no mark, and every start asks about it again.
            let Task::Analysis(study, sop) = task else {
                continue;
            };
            let instance = self
                .studies
                .get(&study)
                .and_then(|study| study.instances.get(&sop));
            let mark = instance.map_or_else(Mark::default, |instance| Mark {
                started: false,
                attempts: instance.attempts,
                suspect: instance.suspect,
            });
            self.actions.push(Action::SetMark(study, sop, mark));
        }
        self.actions
            .push(Action::KillWorker(self.analysis.generation));
        std::mem::take(&mut self.actions)
    }
}
