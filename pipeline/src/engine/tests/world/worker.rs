//! The world's worker.

use sonode_findings::phrases;

use super::*;

impl World {
    pub(in crate::engine::tests) fn worker_ready(&mut self) {
        if self.has_worker && !self.is_ready {
            self.is_ready = true;
            let ready = Ready {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                device: "cpu".to_owned(),
                models: Vec::new(),
                credits: 3,
            };
            self.event(Event::WorkerReady(self.generation, ready));
        }
    }

    pub(in crate::engine::tests) fn worker_dies(&mut self) {
        self.worker_ends(WorkerEnd {
            detail: "signal 9".to_owned(),
            unusable: false,
        });
    }

    pub(in crate::engine::tests) fn worker_ends(&mut self, end: WorkerEnd) {
        if self.has_worker {
            self.has_worker = false;
            self.is_ready = false;
            self.lose_runs();
            self.event(Event::WorkerEnded(self.generation, end));
        }
    }

    /// The worker ends one of its jobs, in whatever way that job ends.
    pub(in crate::engine::tests) fn worker_works(&mut self, which: usize) {
        self.worker_answers(which, false);
    }

    /// As [`Self::worker_works`]; where a second reader may still read on, its reading waits in `late`.
    pub(in crate::engine::tests) fn worker_answers(&mut self, which: usize, reads_on: bool) {
        if self.running.is_empty() {
            return;
        }
        let which = which % self.running.len();
        let (id, stored, _) = self.running[which].clone();
        if stored.study.is_none() {
            return self.worker_identifies(id, &stored.sop_instance);
        }
        let empty = InstanceFindings::empty(stored.sop_instance.clone());
        let findings = match kind_of(&stored.sop_instance) {
            Kind::Killer => return self.worker_dies(),
            Kind::OtherView => empty.reject(Rejection::View, phrases::NO_VENTRICLE),
            Kind::Carotid => empty.reject(Rejection::NotAnEcho, Sentence::verbatim("carotid")),
            Kind::Measurable | Kind::Document | Kind::Own => measured(empty),
        };
        self.running.remove(which);
        self.suspects.remove(&stored.sop_instance);
        let reading_may_follow = reads_on && findings.lv.is_some();
        if reading_may_follow {
            self.late.push(Late::of(id, &findings));
        }
        let answer = Analyzed {
            id,
            findings,
            context: None,
            reading_may_follow,
        };
        self.event(Event::Analyzed(self.generation, Box::new(answer)));
    }

    pub(super) fn worker_identifies(&mut self, id: u64, sop: &SopInstanceUid) {
        let study = match kind_of(sop) {
            Kind::Killer => return self.worker_dies(),
            Kind::OtherView => None,
            _ => sop.as_str().split('.').nth(2),
        };
        self.running.clear();
        let context =
            study.map(|study| StudyContext::unknown(format!("1.2.{study}").parse().unwrap()));
        let answer = Analyzed {
            id,
            findings: InstanceFindings::empty(sop.clone()),
            context,
            reading_may_follow: false,
        };
        self.event(Event::Analyzed(self.generation, Box::new(answer)));
    }
}
