//! The attributes of a received object that the pipeline needs, still as the peer wrote them.

use sonode_conformance::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid};

/// The raw values of one object's header, as the node's scanner saw them pass: bytes in the object's own character set,
/// padding included, empty where the attribute is missing or empty. [`crate::text`] decodes them.
///
/// It has no `Debug` on purpose: it holds patient data.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderSummary {
    /// Specific Character Set (0008,0005), with its backslashes.
    pub specific_character_set: Vec<u8>,
    /// Study Instance UID (0020,000D), where it was readable.
    pub study_instance_uid: Option<StudyInstanceUid>,
    /// SOP Instance UID (0008,0018) of the data set, where it was readable.
    pub sop_instance_uid: Option<SopInstanceUid>,
    /// Series Instance UID (0020,000E), where it was readable.
    pub series_instance_uid: Option<SeriesInstanceUid>,
    /// SOP Class UID (0008,0016) of the data set, where it was readable.
    pub sop_class_uid: Option<SopClassUid>,
    /// Device UID (0018,1002): the node recognises what it made itself by it.
    pub device_uid: Vec<u8>,
    /// Modality (0008,0060).
    pub modality: Vec<u8>,
    /// Patient's Name (0010,0010).
    pub patient_name: Vec<u8>,
    /// Patient ID (0010,0020).
    pub patient_id: Vec<u8>,
    /// Issuer of Patient ID (0010,0021).
    pub issuer_of_patient_id: Vec<u8>,
    /// Patient's Birth Date (0010,0030).
    pub patient_birth_date: Vec<u8>,
    /// Patient's Sex (0010,0040).
    pub patient_sex: Vec<u8>,
    /// Study Date (0008,0020).
    pub study_date: Vec<u8>,
    /// Study Time (0008,0030).
    pub study_time: Vec<u8>,
    /// Accession Number (0008,0050).
    pub accession_number: Vec<u8>,
    /// Referring Physician's Name (0008,0090).
    pub referring_physician_name: Vec<u8>,
    /// Study ID (0020,0010).
    pub study_id: Vec<u8>,
    /// Study Description (0008,1030).
    pub study_description: Vec<u8>,
    /// Timezone Offset From UTC (0008,0201).
    pub timezone_offset_from_utc: Vec<u8>,
    /// What the object says if it is a rejection note.
    pub rejection: Option<RejectionNote>,
    /// Request Attributes Sequence (0040,0275), as far as it was read; empty where the scanner doesn't enter sequences.
    pub requests: Vec<RawRequest>,
}

/// What a rejection note says: a Key Object Selection whose title tells why instances are not to be used (IHE IOCM).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectionNote {
    /// Its title: a code of DCM with its meaning.
    pub title: &'static str,
    /// How many instances it names.
    pub instances: usize,
}

/// One item of the Request Attributes Sequence, raw.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RawRequest {
    /// Accession Number (0008,0050).
    pub accession_number: Vec<u8>,
    /// Requested Procedure ID (0040,1001).
    pub requested_procedure_id: Vec<u8>,
    /// Requested Procedure Description (0032,1060).
    pub requested_procedure_description: Vec<u8>,
    /// Placer Order Number / Imaging Service Request (0040,2016).
    pub placer_order_number: Vec<u8>,
    /// Filler Order Number / Imaging Service Request (0040,2017).
    pub filler_order_number: Vec<u8>,
}
