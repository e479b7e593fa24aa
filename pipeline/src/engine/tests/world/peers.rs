//! The peers that the world delivers to.

use super::*;

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
