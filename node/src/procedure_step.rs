//! Modality Performed Procedure Step as SCP (PS3.4 annex F.7): kept, and used to know when a study is complete.

use sonode_conformance::transfer_syntax::{self, Encoding};
use sonode_conformance::{DimseStatus, SopInstanceUid};
use sonode_dimse::command::Command;
use sonode_dimse::procedure_step::{StepData, StepStatus};
use sonode_pipeline::{StepError, StepRequest};

use crate::node::Node;

/// Takes an N-CREATE or N-SET; gives its status and Error Comment. What it says is durable then.
pub(crate) fn take(
    node: &Node,
    peer: &str,
    command: &Command,
    data: &[u8],
    encoding: Encoding,
) -> (DimseStatus, String) {
    let is_new = matches!(command, Command::CreateRq(_));
    let step: Option<SopInstanceUid> = command
        .request()
        .and_then(|request| request.sop_instance.sop_instance().ok());
    let Some(step) = step else {
        let comment = "the SOP Instance UID is missing or invalid".to_owned();
        return (DimseStatus::INVALID_SOP_INSTANCE, comment);
    };
    let read = match StepData::parse(data, encoding) {
        Ok(read) => read,
        Err(error) => {
            tracing::warn!(peer, %step, %error, "a performed procedure step can't be read");
            return (DimseStatus::INVALID_ATTRIBUTE, error.to_string());
        }
    };
    if is_new && read.status != Some(StepStatus::InProgress) {
        let comment = "a step is created IN PROGRESS".to_owned();
        return (DimseStatus::INVALID_ATTRIBUTE, comment);
    }
    let syntax = if encoding == Encoding::ExplicitLittle {
        transfer_syntax::EXPLICIT_LITTLE
    } else {
        transfer_syntax::IMPLICIT_LITTLE
    };
    let outcome = node.pipeline().procedure_step(StepRequest {
        peer: peer.to_owned(),
        step: step.clone(),
        is_new,
        ended: match read.status {
            None | Some(StepStatus::InProgress) => None,
            Some(StepStatus::Completed) => Some(true),
            Some(StepStatus::Discontinued) => Some(false),
        },
        studies: read.studies,
        instances: read.instances,
        data_set: (data.to_vec(), syntax.to_owned()),
    });
    match outcome {
        Ok(()) => (DimseStatus::SUCCESS, String::new()),
        Err(error) => {
            tracing::warn!(peer, %step, %error, "a performed procedure step was refused");
            let status = match error {
                StepError::Known => DimseStatus::DUPLICATE_SOP_INSTANCE,
                StepError::Unknown => DimseStatus::NO_SUCH_INSTANCE,
                StepError::Ended | StepError::Stopping => DimseStatus::PROCESSING_FAILURE,
                StepError::Storage(_) => DimseStatus::RESOURCE_LIMITATION,
            };
            let comment = match error {
                StepError::Storage(_) => "it could not be kept; try again later".to_owned(),
                other => other.to_string(),
            };
            (status, comment)
        }
    }
}
