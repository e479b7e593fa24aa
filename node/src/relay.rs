//! Storage commitment for carts, as SCP (PS3.4 annex J): their requests in, the archive's answers out.

use std::sync::mpsc;
use std::time::Duration;

use sonode_conformance::transfer_syntax::{self, Encoding};
use sonode_conformance::{DimseStatus, limits, sop_class};
use sonode_dimse::Proposal;
use sonode_dimse::commitment::{CommitmentRequest, CommitmentResult, REQUEST, Reference};
use sonode_pipeline::{CommitmentReference, RelayError, RelayReport, RelayRequest};

use crate::mailbox::Outgoing;
use crate::node::Node;
use crate::scu::{self, Association, ScuError, Timeouts};

/// Takes an N-ACTION; gives its status and Error Comment. The request is durable then.
pub(crate) fn take_action(
    node: &Node,
    (peer, association): (&str, u64),
    action: u16,
    data: &[u8],
    encoding: Encoding,
) -> (DimseStatus, String) {
    if action != REQUEST {
        let comment = format!("there is no action {action}");
        return (DimseStatus::NO_SUCH_ACTION, comment);
    }
    let request = match CommitmentRequest::parse(data, encoding) {
        Ok(request) => request,
        Err(error) => {
            tracing::warn!(peer, %error, "a request for commitment can't be read");
            return (DimseStatus::INVALID_ARGUMENT, error.to_string());
        }
    };
    let references = request.references.into_iter();
    let outcome = node.pipeline().relay(RelayRequest {
        peer: peer.to_owned(),
        association,
        transaction: request.transaction,
        references: references
            .map(|one| CommitmentReference {
                sop_class: one.sop_class,
                sop_instance: one.sop_instance,
            })
            .collect(),
    });
    match outcome {
        Ok(()) => (DimseStatus::SUCCESS, String::new()),
        Err(error) => {
            tracing::warn!(peer, %error, "a request for commitment was refused");
            let status = match error {
                RelayError::NoArchive | RelayError::Stopping => DimseStatus::PROCESSING_FAILURE,
                RelayError::TooMany | RelayError::Storage(_) => DimseStatus::RESOURCE_LIMITATION,
            };
            // A path is nobody's business at the other end.
            let comment = match error {
                RelayError::Storage(_) => {
                    "the request could not be kept; try again later".to_owned()
                }
                other => other.to_string(),
            };
            (status, comment)
        }
    }
}

/// Tells a cart, in the caller's thread: on the association of its request if that still stands after a second, else on
/// one of ours.
///
/// # Errors
/// In words, why it was not told.
pub(crate) fn report(node: &Node, report: &RelayReport) -> Result<(), String> {
    let config = node.config();
    let reference = |one: &CommitmentReference| Reference {
        sop_class: one.sop_class.clone(),
        sop_instance: one.sop_instance.clone(),
    };
    let failed = report.failed.iter();
    let result = CommitmentResult {
        transaction: report.transaction.clone(),
        // Who keeps the images.
        retrieve_ae_title: config
            .peer(&report.archive)
            .map(|archive| archive.ae_title.clone()),
        committed: report.committed.iter().map(reference).collect(),
        failed: failed.map(|(one, why)| (reference(one), *why)).collect(),
    };
    let status = match report
        .association
        .and_then(|association| on_its_association(node, association, &result))
    {
        Some(status) => status,
        None => on_ours(node, &report.peer, &result).map_err(|error| error.to_string())?,
    };
    tracing::info!(peer = report.peer, %status, "commitment report sent");
    match status.0 {
        0 | 0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF => Ok(()),
        _ => Err(format!("it answered {status}")),
    }
}

/// `None` where the association has ended or ends unanswered.
fn on_its_association(
    node: &Node,
    association: u64,
    result: &CommitmentResult,
) -> Option<DimseStatus> {
    // A cart that closes after the response to its request is about to do so.
    std::thread::sleep(limits::RELAY_SAME_ASSOCIATION);
    let (answer, answered) = mpsc::sync_channel(1);
    let outgoing = Outgoing {
        result: result.clone(),
        answer,
    };
    if !node.mailboxes().leave(association, outgoing) {
        return None;
    }
    let patience = node.config().limits.response + Duration::from_secs(1);
    answered.recv_timeout(patience).ok()
}

fn on_ours(node: &Node, peer: &str, result: &CommitmentResult) -> Result<DimseStatus, ScuError> {
    let config = node.config();
    let class = sop_class::STORAGE_COMMITMENT;
    let (title, address) = scu::place_of(&config, peer)?;
    let proposal = Proposal::new(config.node.ae_title.clone(), title)
        .with_context(
            class,
            [
                transfer_syntax::EXPLICIT_LITTLE,
                transfer_syntax::IMPLICIT_LITTLE,
            ],
        )?
        .with_scp_role(class);
    let mut association = Association::open(proposal, &address, &Timeouts::from(&config.limits))?;
    let Some((context, encoding)) = association.service(class) else {
        association.release();
        return Err(ScuError::NoContext(
            "Storage Commitment with us as SCP".to_owned(),
        ));
    };
    let object = (class, sop_class::STORAGE_COMMITMENT_INSTANCE);
    let information = result.encode(encoding);
    let response = association.event_report(context, object, result.event_type(), &information)?;
    association.release();
    Ok(response.status)
}
