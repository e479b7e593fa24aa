//! The node dies and comes back: what files and queue hold is what it finds.

use super::*;

/// What a death leaves of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::tests) enum Queue {
    Whole,
    /// As it was some time ago: it is written to disk a few times a second.
    Stale,
    Lost,
}

#[derive(Clone, Default)]
pub(super) struct KeptQueue {
    records: BTreeMap<StudyInstanceUid, Study>,
    marks: BTreeMap<(StudyInstanceUid, SopInstanceUid), Mark>,
    finished: BTreeMap<StudyInstanceUid, Study>,
}

impl World {
    /// What the queue holds now is what a stale one will hold.
    pub(in crate::engine::tests) fn keep_queue(&mut self) {
        self.kept_queue = KeptQueue {
            records: self.records.clone(),
            marks: self.marks.clone(),
            finished: self.finished.clone(),
        };
    }

    /// The queue comes back as it was when it was last kept. A finished study's record counts as durable.
    fn go_back_to_kept_queue(&mut self) {
        let kept = self.kept_queue.clone();
        (self.records, self.marks) = (kept.records, kept.marks);
        let (finished, open) = (&mut self.finished, &mut self.open);
        for (uid, done) in kept.finished {
            if open.contains(&uid) {
                finished.insert(uid, done);
            }
        }
        // As the runtime does it: the folder of a study that its record believes to be open comes back.
        for uid in self.records.keys() {
            finished.remove(uid);
            open.insert(uid.clone());
        }
    }

    /// `kill -9` of the node and a new start, with what is left of its queue.
    pub(in crate::engine::tests) fn restart_with(&mut self, queue: Queue) {
        let lose_queue = queue != Queue::Whole;
        match queue {
            Queue::Whole => {}
            Queue::Stale => self.go_back_to_kept_queue(),
            Queue::Lost => {
                self.records.clear();
                self.marks.clear();
                self.finished.clear();
            }
        }
        if lose_queue {
            self.charges.clear();
            self.suspects.clear();
        }
        // The node's death charges nobody; what was in flight runs alone.
        for (_, stored, alone) in std::mem::take(&mut self.running) {
            if lose_queue || stored.study.is_none() {
                continue;
            }
            if alone {
                self.note_charge_on_record(&stored);
            }
            self.suspects.insert(stored.sop_instance);
        }
        self.has_worker = false;
        self.is_ready = false;
        self.drawings.running = None;
        self.late.clear();
        self.jobs.clear();
        self.questions.clear();
        self.relay_reports.clear();
        self.lives += 1;
        self.engine = Engine::new(self.settings.clone());
        for uid in self.open.clone() {
            self.recover(uid);
        }
        for (uid, done) in &self.finished {
            if !self.engine.knows(uid) {
                self.engine.remember_done(done);
            }
        }
        for json in self.kept.values() {
            self.engine.keep_relay(serde_json::from_str(json).unwrap());
        }
        for instance in self.unsorted.values() {
            self.engine.keep_unsorted(UnsortedArrival {
                instance: instance.clone(),
                received: self.now,
                peer: Some("cart".to_owned()),
                association: 0,
            });
        }
        self.event(Event::Tick);
    }

    /// The same with the queue as it was, or none.
    pub(in crate::engine::tests) fn restart(&mut self, lose_queue: bool) {
        self.restart_with(if lose_queue {
            Queue::Lost
        } else {
            Queue::Whole
        });
    }

    /// The node found its worker overdue, charged the run that was alone, and died before it could kill the worker: the
    /// charge is on record.
    pub(in crate::engine::tests) fn note_charge_on_record(&mut self, stored: &StoredInstance) {
        let study = stored.study.as_ref().and_then(|uid| self.records.get(uid));
        let recorded = study.and_then(|study| study.instances.get(&stored.sop_instance));
        let charges = self.charges.entry(stored.sop_instance.clone()).or_default();
        if recorded.is_some_and(|instance| instance.attempts > *charges) {
            *charges += 1;
        }
    }

    pub(in crate::engine::tests) fn recover(&mut self, uid: StudyInstanceUid) {
        let record = self.records.get(&uid).or(self.finished.get(&uid)).cloned();
        let is_known = |stored| record.as_ref().is_some_and(|record| record.has(stored));
        let instances = self.files.iter().filter(|((study, ..), _)| *study == uid);
        let instances = instances
            .map(|((_, sop, digest), stored)| RecoveredInstance {
                stored: stored.clone(),
                modified: self.now,
                findings: self
                    .findings
                    .get(&(uid.clone(), *digest))
                    .map(|found| (found.rejected, found.rejected_detail.clone())),
                context: (!is_known(stored))
                    .then(|| self.contexts.get(&(sop.clone(), *digest)).cloned())
                    .flatten(),
                rejection: self.rejection.clone().filter(|_| !is_known(stored)),
                peer: Some("cart".to_owned()),
                own: kind_of(sop) == Kind::Own,
            })
            .collect();
        let reports = self.reports.iter().filter(|(study, ..)| *study == uid);
        let marked = self.marked.iter().filter(|(_, study, ..)| *study == uid);
        let marks = self.marks.iter().filter(|((study, _), _)| *study == uid);
        let found = Recovered {
            record,
            instances,
            reports: reports
                .map(|(_, revision, sop)| FoundReport {
                    revision: *revision,
                    sop: sop.clone(),
                    made_as: None,
                })
                .collect(),
            peer_marks: marked
                .map(|(mark, _, peer, sop)| FoundMark {
                    mark: *mark,
                    peer: peer.clone(),
                    sop: sop.clone(),
                })
                .collect(),
            marks: marks.map(|((_, sop), mark)| (sop.clone(), *mark)).collect(),
            uid,
        };
        let actions = self.engine.recover(found, self.now);
        self.carry_out(actions);
    }
}
