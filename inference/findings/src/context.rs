//! The patient and study attributes that a report copies from its source images.

use serde::{Deserialize, Serialize};
use sonode_conformance::StudyInstanceUid;

/// Protected health information: text that must not reach a log. It has no `Debug` and no `Display` on purpose.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phi(String);

impl Phi {
    /// Wraps text that was decoded from its character set.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for a report, a page that its reader is entitled to, or a comparison; never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Patient, General Study and request attributes (PS3.3 C.7.1.1, C.7.2.1, C.4.14) of one study, decoded to Unicode.
///
/// Values keep DICOM's own syntax: `^` and `=` in names, `\` between multiple values. An attribute that the source
/// lacks or has empty is an empty string, as a type 2 attribute is written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyContext {
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: StudyInstanceUid,
    /// Specific Character Set (0008,0005) of the source, as written there; empty for the default repertoire.
    #[serde(default)]
    pub source_character_set: String,
    /// Patient's Name (0010,0010).
    #[serde(default)]
    pub patient_name: Phi,
    /// Patient ID (0010,0020).
    #[serde(default)]
    pub patient_id: Phi,
    /// Issuer of Patient ID (0010,0021).
    #[serde(default)]
    pub issuer_of_patient_id: Phi,
    /// Patient's Birth Date (0010,0030), `YYYYMMDD`.
    #[serde(default)]
    pub patient_birth_date: Phi,
    /// Patient's Sex (0010,0040): `M`, `F`, `O` or empty.
    #[serde(default)]
    pub patient_sex: Phi,
    /// Study Date (0008,0020), `YYYYMMDD`.
    #[serde(default)]
    pub study_date: String,
    /// Study Time (0008,0030).
    #[serde(default)]
    pub study_time: String,
    /// Accession Number (0008,0050).
    #[serde(default)]
    pub accession_number: Phi,
    /// Referring Physician's Name (0008,0090).
    #[serde(default)]
    pub referring_physician_name: Phi,
    /// Study ID (0020,0010).
    #[serde(default)]
    pub study_id: Phi,
    /// Study Description (0008,1030).
    #[serde(default)]
    pub study_description: Phi,
    /// Timezone Offset From UTC (0008,0201), `&ZZXX`; never invented.
    #[serde(default)]
    pub timezone_offset_from_utc: String,
    /// Request Attributes Sequence (0040,0275) of the source images.
    #[serde(default)]
    pub requests: Vec<RequestAttributes>,
}

impl StudyContext {
    /// A context of which nothing but the study's UID is known.
    pub fn unknown(study_instance_uid: StudyInstanceUid) -> Self {
        Self {
            study_instance_uid,
            source_character_set: String::new(),
            patient_name: Phi::default(),
            patient_id: Phi::default(),
            issuer_of_patient_id: Phi::default(),
            patient_birth_date: Phi::default(),
            patient_sex: Phi::default(),
            study_date: String::new(),
            study_time: String::new(),
            accession_number: Phi::default(),
            referring_physician_name: Phi::default(),
            study_id: Phi::default(),
            study_description: Phi::default(),
            timezone_offset_from_utc: String::new(),
            requests: Vec::new(),
        }
    }
}

/// One item of the Request Attributes Sequence, for Referenced Request Sequence (0040,A370).
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestAttributes {
    /// Accession Number (0008,0050).
    pub accession_number: Phi,
    /// Requested Procedure ID (0040,1001).
    pub requested_procedure_id: Phi,
    /// Requested Procedure Description (0032,1060).
    pub requested_procedure_description: Phi,
    /// Placer Order Number / Imaging Service Request (0040,2016).
    pub placer_order_number: Phi,
    /// Filler Order Number / Imaging Service Request (0040,2017).
    pub filler_order_number: Phi,
}
