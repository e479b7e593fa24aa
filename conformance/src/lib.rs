//! What the node declares on the wire: typed UIDs and AE titles, SOP classes, transfer syntaxes, presentation-context
//! negotiation, DIMSE statuses, limits and timers.
//!
//! **Architecture invariant:** no I/O and no clock here. Negotiation, the Conformance Statement and the tests read the
//! same tables, so that what is declared is what is done.

mod ae_title;
pub mod charset;
pub mod implementation;
pub mod limits;
pub mod negotiation;
pub mod sop_class;
pub mod status;
pub mod transfer_syntax;
mod uid;

pub use ae_title::{AeTitle, AeTitleError};
pub use status::DimseStatus;
pub use uid::{
    SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid, Uid,
    UidError,
};
