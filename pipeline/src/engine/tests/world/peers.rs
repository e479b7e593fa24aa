//! The peers that the world delivers to.

use super::*;
use crate::ports::{CommitmentOutcome, CommitmentQuestion};

impl World {
    /// The sender answers its oldest job.
    pub(in crate::engine::tests) fn peer_answers(
        &mut self,
        result: &ObjectResult,
        failure: Option<AssociationFailure>,
    ) {
        let Some(job) = self.jobs.pop_front() else {
            return;
        };
        let life = self.lives;
        let mut results = Vec::new();
        for object in job.objects {
            let result = if failure.is_some() {
                ObjectResult::NotSent("no association".to_owned())
            } else {
                self.send(&job.peer, &object, result)
            };
            results.push((object, result));
        }
        if self.lives != life {
            // The sender died with its node.
            return;
        }
        let report = DeliveryReport {
            id: job.id,
            peer: job.peer,
            results,
            association_error: failure,
        };
        self.event(Event::Delivered(Box::new(report)));
    }

    /// The peer takes the oldest job's objects in order, until one over which it aborts the association.
    pub(in crate::engine::tests) fn peer_aborts_over(
        &mut self,
        is_poison: impl Fn(&DeliveryObject) -> bool,
    ) {
        let Some(job) = self.jobs.pop_front() else {
            return;
        };
        let mut results = Vec::new();
        let mut failure = None;
        for object in job.objects {
            if is_poison(&object) {
                let detail = "A-ABORT".to_owned();
                results.push((object, ObjectResult::Broke(detail.clone())));
                failure = Some(AssociationFailure {
                    permanent: false,
                    detail,
                });
                break;
            }
            let result = self.send(&job.peer, &object, &success());
            results.push((object, result));
        }
        self.event(Event::Delivered(Box::new(DeliveryReport {
            id: job.id,
            peer: job.peer,
            results,
            association_error: failure,
        })));
    }

    /// The peer that was asked first answers.
    pub(in crate::engine::tests) fn peer_is_asked(
        &mut self,
        outcome: CommitmentOutcome,
    ) -> CommitmentJob {
        let job = self.questions.pop_front().expect("a question");
        match &outcome {
            CommitmentOutcome::Requested => self.requests.push(job.clone()),
            CommitmentOutcome::Found(found) => {
                let shown = found.iter().map(|sop| (job.peer.clone(), sop.clone()));
                self.shown.extend(shown);
            }
            _ => {}
        }
        let report = CommitmentReport {
            id: job.id,
            outcome,
        };
        self.event(Event::CommitmentAnswered(report));
        job
    }

    /// As the runtime does it: what is done is taken back in hand for a late answer.
    fn take_back_done(&mut self, uid: &StudyInstanceUid) {
        if !self.engine.knows(uid)
            && let Some(done) = self.finished.get(uid)
        {
            self.engine.adopt(done.clone());
        }
    }

    /// N-EVENT-REPORT comes; says whether it answers a request to that peer.
    pub(in crate::engine::tests) fn notice(&mut self, notice: CommitmentNotice) -> bool {
        let Some(uid) = self.engine.asked_under(&notice.transaction, &notice.peer) else {
            return false;
        };
        let shown = notice.committed.iter();
        self.shown
            .extend(shown.map(|sop| (notice.peer.clone(), sop.clone())));
        self.take_back_done(&uid);
        self.event(Event::Committed(notice));
        true
    }

    /// One of the ways in which a question can be answered, if there is one.
    pub(in crate::engine::tests) fn peer_is_asked_at_random(&mut self, how: usize) {
        let Some(job) = self.questions.front() else {
            return;
        };
        let sops = job.objects.iter().map(|object| object.sop_instance.clone());
        let all: Vec<SopInstanceUid> = sops.collect();
        let is_query = job.question == CommitmentQuestion::Find;
        let failure = AssociationFailure {
            permanent: false,
            detail: "no connection".to_owned(),
        };
        self.peer_is_asked(match (how, is_query) {
            (0, _) => CommitmentOutcome::NotOffered("no context".to_owned()),
            (1, _) => CommitmentOutcome::Refused("0110".to_owned()),
            (2, _) => CommitmentOutcome::NoAssociation(failure),
            (3, true) => CommitmentOutcome::Found(Vec::new()),
            (_, true) => CommitmentOutcome::Found(all),
            (_, false) => CommitmentOutcome::Requested,
        });
    }

    /// One of the requests that were ever made is answered, maybe once more, maybe in vain.
    pub(in crate::engine::tests) fn notice_at_random(&mut self, which: usize, reason: u16) {
        let Some(job) = self.requests.get(which % self.requests.len().max(1)) else {
            return;
        };
        let CommitmentQuestion::Commit { transaction, .. } = &job.question else {
            return;
        };
        let sops = job.objects.iter().map(|object| object.sop_instance.clone());
        let mut notice = CommitmentNotice {
            peer: job.peer.clone(),
            transaction: transaction.clone(),
            committed: sops.collect(),
            failed: Vec::new(),
        };
        if reason != 0 {
            let failed = std::mem::take(&mut notice.committed);
            notice.failed = failed.into_iter().map(|sop| (sop, reason)).collect();
        }
        self.notice(notice);
    }

    /// The peer that was asked first keeps everything, and says so.
    pub(in crate::engine::tests) fn peer_shows_all(&mut self) {
        let Some(job) = self.questions.front() else {
            return;
        };
        let objects: Vec<SopInstanceUid> = job
            .objects
            .iter()
            .map(|object| object.sop_instance.clone())
            .collect();
        match job.question.clone() {
            CommitmentQuestion::Find => {
                self.peer_is_asked(CommitmentOutcome::Found(objects));
            }
            CommitmentQuestion::Commit { transaction, .. } => {
                let job = self.peer_is_asked(CommitmentOutcome::Requested);
                self.notice(CommitmentNotice {
                    peer: job.peer,
                    transaction,
                    committed: objects,
                    failed: Vec::new(),
                });
            }
        }
    }

    /// The operator has mended every cause and tries again.
    pub(in crate::engine::tests) fn retry_dead_letters(&mut self) {
        let is_dead = |uid: &&StudyInstanceUid| {
            let study = self.engine.study(uid);
            study.is_some_and(Study::has_dead_letter)
        };
        let dead: Vec<StudyInstanceUid> = self.open.iter().filter(is_dead).cloned().collect();
        for uid in dead {
            self.operate(&uid, Command::Retry).unwrap();
        }
        self.come_to_rest();
    }

    /// As the node's sender does it: rendered first, then sent.
    pub(super) fn send(
        &mut self,
        peer: &str,
        object: &DeliveryObject,
        result: &ObjectResult,
    ) -> ObjectResult {
        let is_taken = matches!(result, ObjectResult::Status(status, _) if status.0 == 0);
        let key = match object {
            DeliveryObject::Report(key) => key,
            DeliveryObject::Companion(file) => {
                assert!(
                    self.drawings
                        .kept
                        .values()
                        .any(|sop| *sop == file.sop_instance)
                );
                if is_taken {
                    self.drawings.accepted.push((peer.to_owned(), file.key));
                }
                return result.clone();
            }
            DeliveryObject::Image(_) => return result.clone(),
        };
        let Some(plan) = self.engine.plan(key) else {
            return ObjectResult::Failed("not owed".to_owned());
        };
        let findings = self.merged(&key.study, &plan.members);
        let sop = report_sop(&findings, &plan.members);
        self.reports
            .insert((key.study.clone(), key.revision, sop.clone()));
        self.event(Event::Rendered(
            key.clone(),
            Form {
                class: ReportForm::Comprehensive3d,
                syntax: Syntax::ExplicitLittle,
            },
            sop,
        ));
        if is_taken {
            self.accepted
                .push((peer.to_owned(), key.study.clone(), key.revision));
        }
        result.clone()
    }
}
