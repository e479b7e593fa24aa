//! What the caller passes in and gets back. No clock and no randomness here: UIDs and time are arguments.

use sonode_conformance::{
    AeTitle, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
    Uid,
};

use crate::form::{Document, Form, Style};
use crate::lint::Defect;
use crate::tree::TreeError;

/// Everything about a report that is neither findings nor patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRequest {
    /// What to write.
    pub document: Document,
    /// In which SOP class and transfer syntax.
    pub form: Form,
    /// What the receiver has chosen.
    pub style: Style,
    /// The node's own UID, from which the device observer's UID is derived.
    pub node_uid: Uid,
    /// SOP Instance UID of the report; see [`crate::report_uid`].
    pub sop_instance_uid: SopInstanceUid,
    /// Series Instance UID of the report; see [`crate::series_uid`].
    pub series_instance_uid: SeriesInstanceUid,
    /// Series Number (0020,0011).
    pub series_number: u32,
    /// Instance Number (0020,0013).
    pub instance_number: u32,
    /// 1 for a study's first report, 2 for the one that replaces it, and so on.
    pub revision: u32,
    /// When the report was made.
    pub content: ContentDateTime,
    /// Device Serial Number (0018,1000), at most 64 characters.
    pub device_serial: String,
    /// Station Name (0008,1010): the node's AE title.
    pub station_ae: AeTitle,
    /// The reports that this one replaces, latest first: more than one where it isn't known which of them arrived.
    pub predecessors: Vec<Predecessor>,
}

/// Content Date (0008,0023) and Content Time (0008,0033).
///
/// Where [`sonode_findings::StudyContext::timezone_offset_from_utc`] is known it is copied into the report, and the
/// caller gives date and time in that zone (PS3.3 C.12.1.1.8); elsewhere in the node's local time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentDateTime {
    /// `YYYYMMDD`.
    pub date: String,
    /// `HHMMSS`.
    pub time: String,
}

/// A report that is replaced (Predecessor Documents Sequence, PS3.3 C.17.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// Its SOP Class UID.
    pub sop_class: SopClassUid,
    /// Its SOP Instance UID.
    pub sop_instance: SopInstanceUid,
    /// Its Series Instance UID.
    pub series: SeriesInstanceUid,
    /// Its Study Instance UID.
    pub study: StudyInstanceUid,
}

/// A report as a Part 10 file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenReport {
    /// The file: preamble, file meta information, data set.
    pub bytes: Vec<u8>,
    /// SOP Class UID.
    pub sop_class: SopClassUid,
    /// SOP Instance UID.
    pub sop_instance: SopInstanceUid,
    /// Transfer Syntax UID.
    pub transfer_syntax: TransferSyntaxUid,
}

/// Why no report could be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Findings and context speak of different studies.
    #[error("the findings are of study {findings}, the patient and study attributes of {context}")]
    StudyMismatch {
        /// The findings' study.
        findings: StudyInstanceUid,
        /// The context's study.
        context: StudyInstanceUid,
    },
    /// The document can't be written in this class.
    #[error("{} is not written as {form}", .document.name())]
    Form {
        /// The document.
        document: Document,
        /// The form.
        form: Form,
    },
    /// The document has nothing to say where nothing was measured.
    #[error("nothing was measured, so there is nothing to write as {}", .0.name())]
    NothingMeasured(Document),
    /// The summary's clip is not among the instances, or lacks its SOP class or series, so that it can't be referenced.
    #[error("the measured clip {0} can't be referenced: its SOP class or series is unknown")]
    SourceUnknown(SopInstanceUid),
    /// A number that is not finite.
    #[error("{0} is not a finite number")]
    NotFinite(&'static str),
    /// A frame that its clip doesn't have; they count from 1.
    #[error("{instance} has no frame {frame}")]
    Frame {
        /// The clip.
        instance: SopInstanceUid,
        /// The frame.
        frame: u32,
    },
    /// A contour with fewer than three points, or with a point that is not finite.
    #[error("the contour of frame {frame} of {instance} is malformed")]
    Contour {
        /// The contour's image.
        instance: SopInstanceUid,
        /// The contour's frame.
        frame: u32,
    },
    /// Content date or time is not of the form that DICOM writes.
    #[error("the content date and time {0:?} are not YYYYMMDD and HHMMSS")]
    ContentDateTime(ContentDateTime),
    /// A picture that the companion can't hold.
    #[error("the picture can't be made an object of: {0}")]
    Picture(&'static str),
    /// A relationship that the SOP class doesn't allow; a defect of this crate.
    #[error("the content tree is not allowed: {0}")]
    Tree(#[from] TreeError),
    /// The encoder failed.
    #[error("the report could not be encoded: {0}")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The linter found defects in what was written.
    #[error("the report has defects: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Lint(Vec<Defect>),
}
