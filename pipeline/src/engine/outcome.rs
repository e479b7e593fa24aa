//! What a peer's answers mean, and how long a failure waits.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sonode_conformance::status::DeliveryOutcome;
use sonode_conformance::{DimseStatus, StudyInstanceUid};
use sonode_sr_writer::Document;

use super::record::{Delivery, ObjectKey};
use crate::ports::{DeliveryObject, DeliveryReport, ObjectResult};
use crate::settings::RetrySettings;
use crate::states::DeliveryEvent;
use crate::status::DeliveryAnswer;
use crate::time::Timestamp;

/// Answers kept of one delivery; equal ones in a row count as one.
const ANSWERS_MAX: usize = 200;

/// How a lane's objects failed, the longest wait last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Failure {
    #[default]
    None,
    Passing,
    /// An association that ended over one of its objects: the lane waits, so that what is healthy goes first.
    Broke,
    /// With a status that archives use for passing faults too, for the nth time.
    Refused(u32),
}

pub(super) fn result_of(
    report: &DeliveryReport,
    uid: &StudyInstanceUid,
    key: &ObjectKey,
) -> ObjectResult {
    let is_it = |object: &DeliveryObject| match (object, key) {
        (DeliveryObject::Report(named), ObjectKey::Report(revision, document)) => {
            named.study == *uid && named.revision == *revision && named.document == *document
        }
        (DeliveryObject::Image(stored), ObjectKey::Image(sop)) => {
            stored.sop_instance == *sop && stored.study.as_ref() == Some(uid)
        }
        (DeliveryObject::Companion(file), ObjectKey::Companion(key)) => {
            file.study == *uid && file.key == *key
        }
        _ => false,
    };
    let answered = report.results.iter().find(|(object, _)| is_it(object));
    answered.map_or_else(
        || ObjectResult::NotSent("no answer".to_owned()),
        |(_, result)| result.clone(),
    )
}

/// What an answer means for the delivery and for its lane.
pub(super) fn judge(
    delivery: &mut Delivery,
    result: &ObjectResult,
    retry: RetrySettings,
) -> (DeliveryEvent, Failure) {
    match result {
        ObjectResult::Status(status, _) => match status.delivery() {
            // 0111: the UID stands for these bytes alone; the peer has to show that it has it (`commitment.rs`).
            DeliveryOutcome::Stored
            | DeliveryOutcome::StoredWithWarning
            | DeliveryOutcome::VerifyThenStored => (DeliveryEvent::Accepted, Failure::None),
            DeliveryOutcome::Later => (DeliveryEvent::FailedForNow, Failure::Passing),
            DeliveryOutcome::DeadLetter => (DeliveryEvent::FailedForGood, Failure::None),
            DeliveryOutcome::FewTries => {
                delivery.refused += 1;
                if delivery.refused >= retry.refused_tries_max {
                    (DeliveryEvent::FailedForGood, Failure::None)
                } else {
                    (
                        DeliveryEvent::FailedForNow,
                        Failure::Refused(delivery.refused),
                    )
                }
            }
        },
        ObjectResult::NotSent(_) => (DeliveryEvent::FailedForNow, Failure::Passing),
        // Never a dead letter for this alone: a network that breaks for days breaks over some object each time.
        ObjectResult::Broke(_) => {
            delivery.broke = delivery.broke.saturating_add(1);
            (DeliveryEvent::FailedForNow, Failure::Broke)
        }
        ObjectResult::NoContext(_) => (DeliveryEvent::FailedForGood, Failure::None),
        ObjectResult::Failed(_) => {
            delivery.failed_here += 1;
            if delivery.failed_here >= retry.refused_tries_max {
                (DeliveryEvent::FailedForGood, Failure::None)
            } else {
                (DeliveryEvent::FailedForNow, Failure::Passing)
            }
        }
    }
}

pub(super) fn note_answer(delivery: &mut Delivery, result: ObjectResult, now: Timestamp) {
    let (status, comment) = match result {
        ObjectResult::Status(status, comment) => (Some(status), comment),
        ObjectResult::NotSent(detail) => (None, Some(format!("not sent: {detail}"))),
        ObjectResult::Broke(detail) => (None, Some(format!("broke off: {detail}"))),
        ObjectResult::NoContext(offered) => (
            None,
            Some(format!(
                "the peer accepts no form of it; offered were {offered}"
            )),
        ),
        ObjectResult::Failed(detail) => (None, Some(format!("failed here: {detail}"))),
    };
    note(delivery, status, comment, now);
}

/// Keeps an answer among the delivery's; an equal one in a row only counts.
pub(super) fn note(
    delivery: &mut Delivery,
    status: Option<DimseStatus>,
    comment: Option<String>,
    now: Timestamp,
) {
    let last = delivery.answers.last_mut();
    if let Some(last) = last.filter(|last| last.status == status && last.comment == comment) {
        last.time = now;
        last.times = last.times.saturating_add(1);
        return;
    }
    if delivery.answers.len() >= ANSWERS_MAX {
        delivery.answers.remove(0);
    }
    delivery.answers.push(DeliveryAnswer {
        time: now,
        status,
        comment,
        times: 1,
    });
}

/// The name of an object in listings.
pub(super) fn object_name(key: &ObjectKey) -> String {
    match key {
        ObjectKey::Report(revision, Document::MeasurementReport) => format!("report-{revision}"),
        ObjectKey::Report(revision, document) => format!("{}-{revision}", document.name()),
        ObjectKey::Image(sop) => sop.to_string(),
        ObjectKey::Companion(key) => format!(
            "{}{}-{}-{}",
            key.companion.name(),
            if key.plane > 0 {
                "-of-second-plane"
            } else {
                ""
            },
            key.revision,
            key.language.tag()
        ),
    }
}

/// `wait` and up to a quarter more, by a hash of what waits and how often it has failed: many studies that failed
/// together don't come back together, and the engine stays deterministic.
pub(super) fn with_jitter(wait: Duration, key: &str, failures: u32) -> Duration {
    let hash = Sha256::new()
        .chain_update(key.as_bytes())
        .chain_update(failures.to_be_bytes())
        .finalize();
    let part = hash.first().copied().map_or(0, u32::from);
    wait + wait / 4 * part / 256
}

/// No failure waits longer than this, its jitter included.
pub(super) fn longest_wait(retry: RetrySettings) -> Duration {
    let longest = retry.max.max(retry.first);
    longest + longest / 4
}
