//! Storage commitment of what the node sent (PS3.4 annex J), as SCU, and the query that takes its place.
//!
//! The engine decides what is asked and when; here are the questions on the wire, and the answers, whichever association
//! they come on.

use std::path::Path;
use std::time::{Duration, Instant};

use sonode_conformance::transfer_syntax::{self, Encoding};
use sonode_conformance::{DimseStatus, SeriesInstanceUid, SopInstanceUid, Uid, sop_class};
use sonode_dimse::command::Command;
use sonode_dimse::commitment::{self, CommitmentRequest, CommitmentResult, Reference};
use sonode_dimse::{DataSet, DataSetWriter, Proposal, Tag};
use sonode_pipeline::{
    AssociationFailure, CommitmentJob, CommitmentNotice, CommitmentObject, CommitmentOutcome,
    CommitmentQuestion,
};

use crate::header;
use crate::node::Node;
use crate::part10::Part10;
use crate::scu::{self, Association, ScuError, Timeouts};

/// Matches of a query for one SOP instance; archives that keep several copies list them all.
const MATCHES_MAX: usize = 16;

/// Asks a peer, in the caller's thread.
pub(crate) fn ask(node: &Node, job: &CommitmentJob) -> CommitmentOutcome {
    let class = match job.question {
        CommitmentQuestion::Commit { .. } => sop_class::STORAGE_COMMITMENT,
        CommitmentQuestion::Find => sop_class::STUDY_ROOT_FIND,
    };
    let mut association = match open(node, &job.peer, class) {
        Ok(association) => association,
        Err(error) => return CommitmentOutcome::NoAssociation(failure(&error)),
    };
    let Some((context, encoding)) = association.service(class) else {
        association.release();
        let name = sop_class::find_service(class).map_or(class, |service| service.name);
        return CommitmentOutcome::NotOffered(format!("it does not accept {name}"));
    };
    let outcome = match &job.question {
        CommitmentQuestion::Commit {
            transaction,
            linger,
        } => {
            let request = CommitmentRequest {
                transaction: transaction.clone(),
                references: job.objects.iter().filter_map(reference).collect(),
            };
            request_commitment(&mut association, (context, encoding), &request).inspect(|outcome| {
                if *outcome == CommitmentOutcome::Requested {
                    wait_for_answer(node, &mut association, &job.peer, transaction, *linger);
                }
            })
        }
        CommitmentQuestion::Find => find_all(&mut association, (context, encoding), &job.objects),
    };
    match outcome {
        Ok(outcome) => {
            association.release();
            outcome
        }
        Err(error) => match job.question {
            // It may have the request: it is treated like silence.
            CommitmentQuestion::Commit { .. } => {
                tracing::warn!(peer = job.peer, %error, "the request for commitment was not answered");
                CommitmentOutcome::Requested
            }
            CommitmentQuestion::Find => CommitmentOutcome::NoAssociation(failure(&error)),
        },
    }
}

fn failure(error: &ScuError) -> AssociationFailure {
    AssociationFailure {
        permanent: error.is_permanent(),
        detail: error.to_string(),
    }
}

fn open(node: &Node, peer: &str, class: &str) -> Result<Association, ScuError> {
    let config = node.config();
    let syntaxes = [
        transfer_syntax::EXPLICIT_LITTLE,
        transfer_syntax::IMPLICIT_LITTLE,
    ];
    let (title, address) = scu::place_of(&config, peer)?;
    let proposal =
        Proposal::new(config.node.ae_title.clone(), title).with_context(class, syntaxes)?;
    Association::open(proposal, &address, &Timeouts::from(&config.limits))
}

/// An object as it is named in a request: its class is known, or its file tells.
fn reference(object: &CommitmentObject) -> Option<Reference> {
    let of_file = || Some(Part10::open(object.path.as_deref()?).ok()?.sop_class);
    Some(Reference {
        sop_class: object.sop_class.clone().or_else(of_file)?,
        sop_instance: object.sop_instance.clone(),
    })
}

fn request_commitment(
    association: &mut Association,
    (context, encoding): (u8, Encoding),
    request: &CommitmentRequest,
) -> Result<CommitmentOutcome, ScuError> {
    let object = (
        sop_class::STORAGE_COMMITMENT,
        sop_class::STORAGE_COMMITMENT_INSTANCE,
    );
    let information = request.encode(encoding);
    let response = association.action(context, object, commitment::REQUEST, &information)?;
    let status = response.status;
    let detail = format!("{status} {}", response.comment());
    Ok(match status.0 {
        0 | 0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF => CommitmentOutcome::Requested,
        // No such SOP class or instance, not authorized, not supported, unrecognized operation: it never will.
        0x0112 | 0x0118 | 0x0122 | 0x0123 | 0x0124 | 0x0211 => {
            CommitmentOutcome::NotOffered(detail)
        }
        _ => CommitmentOutcome::Refused(detail),
    })
}

/// Some archives answer on the association of the request, and some of those only there.
fn wait_for_answer(
    node: &Node,
    association: &mut Association,
    peer: &str,
    transaction: &Uid,
    linger: Duration,
) {
    let until = Instant::now() + linger;
    let encoding = association
        .service(sop_class::STORAGE_COMMITMENT)
        .map_or(Encoding::ImplicitLittle, |(_, encoding)| encoding);
    loop {
        let message = match association.event(until) {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(peer, %error, "the association of the request ended");
                return;
            }
        };
        let (status, answered) = take_event(node, peer, &message.command, &message.data, encoding);
        if let Err(error) = association.answer(&message, status) {
            tracing::debug!(peer, %error, "the report could not be answered");
            return;
        }
        if answered.as_ref() == Some(transaction) {
            return;
        }
    }
}

/// Takes an N-EVENT-REPORT; gives its status and the transaction that it answers. What it says is durable then.
pub(crate) fn take_event(
    node: &Node,
    peer: &str,
    command: &Command,
    data: &[u8],
    encoding: Encoding,
) -> (DimseStatus, Option<Uid>) {
    let result = match CommitmentResult::parse(data, encoding) {
        Ok(result) => result,
        Err(error) => {
            tracing::warn!(peer, %error, command = command.name(), "a commitment report can't be read");
            return (DimseStatus::PROCESSING_FAILURE, None);
        }
    };
    let transaction = result.transaction;
    tracing::info!(
        peer,
        %transaction,
        committed = result.committed.len(),
        failed = result.failed.len(),
        "commitment report"
    );
    let notice = CommitmentNotice {
        peer: peer.to_owned(),
        transaction: transaction.clone(),
        committed: result
            .committed
            .into_iter()
            .map(|reference| reference.sop_instance)
            .collect(),
        failed: result
            .failed
            .into_iter()
            .map(|(reference, reason)| (reference.sop_instance, reason))
            .collect(),
    };
    let status = match node.pipeline().committed(notice) {
        Some(true) => DimseStatus::SUCCESS,
        Some(false) => {
            tracing::warn!(peer, %transaction, "a commitment report for no request of ours to this peer");
            DimseStatus::INVALID_ARGUMENT
        }
        // It says so again, after the restart.
        None => DimseStatus::PROCESSING_FAILURE,
    };
    (status, Some(transaction))
}

const SOP_INSTANCE: Tag = Tag::SOP_INSTANCE_UID;
const LEVEL: Tag = Tag(0x0008, 0x0052);

/// Which of the objects the peer has.
fn find_all(
    association: &mut Association,
    (context, encoding): (u8, Encoding),
    objects: &[CommitmentObject],
) -> Result<CommitmentOutcome, ScuError> {
    let mut found = Vec::new();
    for object in objects {
        let series = object.path.as_deref().and_then(series);
        let identifier = DataSetWriter::new(encoding)
            .text(SOP_INSTANCE, *b"UI", object.sop_instance.as_str())
            .text(LEVEL, *b"CS", "IMAGE")
            .text(Tag::STUDY_INSTANCE_UID, *b"UI", object.study.as_str())
            // Where the file is gone: any series.
            .text(
                Tag::SERIES_INSTANCE_UID,
                *b"UI",
                series.as_ref().map_or("", SeriesInstanceUid::as_str),
            )
            .finish();
        let class = sop_class::STUDY_ROOT_FIND;
        let (status, matches) = association.find(context, class, &identifier, MATCHES_MAX)?;
        match status.0 {
            0 => {}
            0x0122 | 0x0124 | 0x0211 => {
                return Ok(CommitmentOutcome::NotOffered(status.to_string()));
            }
            _ => return Ok(CommitmentOutcome::Refused(status.to_string())),
        }
        let is_it = |bytes: &Vec<u8>| {
            let set = DataSet::parse(bytes, encoding).ok();
            let sop = set.and_then(|set| SopInstanceUid::parse(set.text(SOP_INSTANCE)).ok());
            sop.as_ref() == Some(&object.sop_instance)
        };
        if matches.iter().any(is_it) {
            found.push(object.sop_instance.clone());
        }
    }
    Ok(CommitmentOutcome::Found(found))
}

/// The Series Instance UID of a stored object, which a hierarchical query needs (PS3.4 section C.4.1.2.1).
fn series(path: &Path) -> Option<SeriesInstanceUid> {
    let mut part10 = Part10::open(path).ok()?;
    let encoding = transfer_syntax::find(part10.transfer_syntax.as_str())?.encoding;
    header::scan(&mut part10, encoding).series().ok()?
}
