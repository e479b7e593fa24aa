//! The data sets of the Storage Commitment Push Model (PS3.4 annex J.3).

use sonode_conformance::transfer_syntax::Encoding;
use sonode_conformance::{AeTitle, SopClassUid, SopInstanceUid, Uid};

use crate::data_set::{DataSet, DataSetError, DataSetWriter};
use crate::header::Tag;

/// Request Storage Commitment: the only Action Type ID (PS3.4 table J.3-1).
pub const REQUEST: u16 = 1;
/// Storage Commitment Request Successful: Event Type ID (PS3.4 table J.3-2).
pub const SUCCESSFUL: u16 = 1;
/// Storage Commitment Request Complete - Failures Exist: Event Type ID (PS3.4 table J.3-2).
pub const FAILURES_EXIST: u16 = 2;

/// Values of Failure Reason (0008,1197) (PS3.4 section J.3.3.1.1).
pub mod reason {
    /// Processing failure.
    pub const PROCESSING_FAILURE: u16 = 0x0110;
    /// No such object instance.
    pub const NO_SUCH_INSTANCE: u16 = 0x0112;
    /// Resource limitation.
    pub const RESOURCE_LIMITATION: u16 = 0x0213;
    /// Referenced SOP class not supported.
    pub const CLASS_NOT_SUPPORTED: u16 = 0x0122;
    /// Class/instance conflict.
    pub const CLASS_INSTANCE_CONFLICT: u16 = 0x0119;
    /// Duplicate transaction UID.
    pub const DUPLICATE_TRANSACTION: u16 = 0x0131;
}

const RETRIEVE_AE_TITLE: Tag = Tag(0x0008, 0x0054);
const REFERENCED_CLASS: Tag = Tag(0x0008, 0x1150);
const REFERENCED_INSTANCE: Tag = Tag(0x0008, 0x1155);
const TRANSACTION: Tag = Tag(0x0008, 0x1195);
const FAILURE_REASON: Tag = Tag(0x0008, 0x1197);
const FAILED: Tag = Tag(0x0008, 0x1198);
const REFERENCED: Tag = Tag(0x0008, 0x1199);

/// One item of a Referenced SOP Sequence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Referenced SOP Class UID.
    pub sop_class: SopClassUid,
    /// Referenced SOP Instance UID.
    pub sop_instance: SopInstanceUid,
}

/// What an N-ACTION asks for (PS3.4 table J.3-1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentRequest {
    /// Transaction UID.
    pub transaction: Uid,
    /// What is to be kept; never empty.
    pub references: Vec<Reference>,
}

/// What an N-EVENT-REPORT tells (PS3.4 table J.3-2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentResult {
    /// Transaction UID of the request.
    pub transaction: Uid,
    /// Retrieve AE Title (0008,0054): where the committed instances can be had.
    pub retrieve_ae_title: Option<AeTitle>,
    /// What is kept.
    pub committed: Vec<Reference>,
    /// What is not, each with its Failure Reason.
    pub failed: Vec<(Reference, u16)>,
}

impl CommitmentRequest {
    /// Reads the action information.
    ///
    /// # Errors
    /// Each [`DataSetError`] variant.
    pub fn parse(bytes: &[u8], encoding: Encoding) -> Result<Self, DataSetError> {
        let set = DataSet::parse(bytes, encoding)?;
        let references = references(&set, REFERENCED)?;
        if references.is_empty() {
            return Err(DataSetError::Missing("Referenced SOP Sequence (0008,1199)"));
        }
        Ok(Self {
            transaction: transaction(&set)?,
            references,
        })
    }

    /// The action information.
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        let set = DataSetWriter::new(encoding).text(TRANSACTION, *b"UI", self.transaction.as_str());
        let items: Vec<DataSetWriter> = self.references.iter().map(|r| item(&set, r)).collect();
        set.sequence(REFERENCED, items).finish()
    }
}

impl CommitmentResult {
    /// Reads the event information.
    ///
    /// # Errors
    /// Each [`DataSetError`] variant.
    pub fn parse(bytes: &[u8], encoding: Encoding) -> Result<Self, DataSetError> {
        let set = DataSet::parse(bytes, encoding)?;
        let failed = set.items(FAILED).iter().map(|item| {
            // Required; a peer that leaves it out has failed all the same.
            let why = item.number(FAILURE_REASON);
            Ok((reference(item)?, why.unwrap_or(reason::PROCESSING_FAILURE)))
        });
        Ok(Self {
            transaction: transaction(&set)?,
            retrieve_ae_title: AeTitle::parse(set.text(RETRIEVE_AE_TITLE)).ok(),
            committed: references(&set, REFERENCED)?,
            failed: failed.collect::<Result<_, DataSetError>>()?,
        })
    }

    /// The event information.
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        let mut set = DataSetWriter::new(encoding);
        if let Some(title) = &self.retrieve_ae_title {
            set = set.text(RETRIEVE_AE_TITLE, *b"AE", title.as_str());
        }
        set = set.text(TRANSACTION, *b"UI", self.transaction.as_str());
        if !self.failed.is_empty() {
            let items: Vec<DataSetWriter> = self
                .failed
                .iter()
                .map(|(failed, why)| item(&set, failed).number(FAILURE_REASON, *why))
                .collect();
            set = set.sequence(FAILED, items);
        }
        if !self.committed.is_empty() {
            let items: Vec<DataSetWriter> = self.committed.iter().map(|r| item(&set, r)).collect();
            set = set.sequence(REFERENCED, items);
        }
        set.finish()
    }

    /// Its Event Type ID.
    pub fn event_type(&self) -> u16 {
        if self.failed.is_empty() {
            SUCCESSFUL
        } else {
            FAILURES_EXIST
        }
    }
}

fn item(set: &DataSetWriter, reference: &Reference) -> DataSetWriter {
    set.item()
        .text(REFERENCED_CLASS, *b"UI", reference.sop_class.as_str())
        .text(REFERENCED_INSTANCE, *b"UI", reference.sop_instance.as_str())
}

fn references(set: &DataSet<'_>, sequence: Tag) -> Result<Vec<Reference>, DataSetError> {
    set.items(sequence).iter().map(reference).collect()
}

fn reference(item: &DataSet<'_>) -> Result<Reference, DataSetError> {
    let missing = DataSetError::Missing;
    Ok(Reference {
        sop_class: SopClassUid::parse(item.text(REFERENCED_CLASS))
            .map_err(|_| missing("Referenced SOP Class UID (0008,1150)"))?,
        sop_instance: SopInstanceUid::parse(item.text(REFERENCED_INSTANCE))
            .map_err(|_| missing("Referenced SOP Instance UID (0008,1155)"))?,
    })
}

fn transaction(set: &DataSet<'_>) -> Result<Uid, DataSetError> {
    Uid::parse(set.text(TRANSACTION))
        .map_err(|_| DataSetError::Missing("Transaction UID (0008,1195)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(n: u8) -> Vec<Reference> {
        (1..=n)
            .map(|i| Reference {
                sop_class: "1.2.840.10008.5.1.4.1.1.3.1".parse().unwrap(),
                sop_instance: format!("1.2.3.{i}").parse().unwrap(),
            })
            .collect()
    }

    #[test]
    fn a_request_and_its_result_read_back() {
        for encoding in [Encoding::ImplicitLittle, Encoding::ExplicitLittle] {
            let request = CommitmentRequest {
                transaction: "2.25.7".parse().unwrap(),
                references: references(3),
            };
            let bytes = request.encode(encoding);
            assert_eq!(CommitmentRequest::parse(&bytes, encoding), Ok(request));
            let mut result = CommitmentResult {
                transaction: "2.25.7".parse().unwrap(),
                retrieve_ae_title: Some("PACS".parse().unwrap()),
                committed: references(2),
                failed: vec![(references(3).remove(2), reason::NO_SUCH_INSTANCE)],
            };
            assert_eq!(result.event_type(), FAILURES_EXIST);
            let bytes = result.encode(encoding);
            assert_eq!(
                CommitmentResult::parse(&bytes, encoding),
                Ok(result.clone())
            );
            result.failed.clear();
            assert_eq!(result.event_type(), SUCCESSFUL);
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let nothing = CommitmentRequest {
            transaction: "2.25.7".parse().unwrap(),
            references: Vec::new(),
        };
        let bytes = nothing.encode(Encoding::ExplicitLittle);
        let parsed = CommitmentRequest::parse(&bytes, Encoding::ExplicitLittle);
        assert!(
            matches!(parsed, Err(DataSetError::Missing(_))),
            "{parsed:?}"
        );
    }
}
