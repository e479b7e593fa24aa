//! What no validator catches: the linter that every report passes before it leaves this crate.
//!
//! It reads the bytes, not the tree that they were made of, so that it also catches what the encoder does wrong.

mod content;
mod document;
mod echo;

use std::collections::BTreeMap;

use sonode_findings::Findings;

use crate::codes;
use crate::form::{Document, ReportForm};
use crate::read::{self, FoundItem};

/// What a rule of the linter asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The file can be read, and has a content tree.
    Readable,
    /// SOP class and instance are the same in file meta information and data set, and the class is one in which the
    /// document is written.
    Identity,
    /// Modality, UNVERIFIED, PRELIMINARY, and the AI statement for a human reader.
    Marking,
    /// Each template is identified, at the root and at each container that begins one.
    Template,
    /// The device observer is named, with its UID.
    Observer,
    /// Each measurement group has a tracking identifier and a tracking UID of its own.
    Tracking,
    /// Each measurement group names its algorithm, with version and family.
    Algorithm,
    /// Each image of the tree is listed in the evidence, once, and nothing else is.
    Evidence,
    /// The evidence is of the report's own study.
    EvidenceStudy,
    /// Each code stands in the code table with the same meaning.
    Code,
    /// Each unit stands in the unit table.
    Unit,
    /// Each number has a value that is one, and a unit.
    Number,
    /// Frame numbers are whole, count from 1 and are frames that the image has; a region names exactly one.
    Frame,
    /// A region is a polyline of at least three points whose last point is its first.
    Polyline,
    /// A region lies inside its image.
    Inside,
    /// Each contributing equipment has a Device UID.
    Equipment,
    /// Text outside the default repertoire has a Specific Character Set.
    CharacterSet,
    /// An echo report's sections name their site and its groups their mode; each number says how it was measured.
    Section,
}

impl Rule {
    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Readable => "give a Part 10 file of a Structured Report",
            Self::Identity => "write the file meta information from the data set that it precedes",
            Self::Marking => {
                "mark the document as an unverified AI result, in the header and in words"
            }
            Self::Template => "put the Content Template Sequence at the container that begins it",
            Self::Observer => "name the device as the observer, with its UID (TID 1002, TID 1004)",
            Self::Tracking => {
                "give each group one tracking identifier and one UID that no other group has"
            }
            Self::Algorithm => "name algorithm, version and family once in each group (TID 4019)",
            Self::Evidence => {
                "list each image of the tree once in the evidence, by its series, and nothing else"
            }
            Self::EvidenceStudy => "refer to images of the report's own study only",
            Self::Code => "take code, scheme and meaning from the code table together",
            Self::Unit => "take the UCUM unit from the unit table",
            Self::Number => "leave out a number that isn't known, or write its value and unit",
            Self::Frame => "count frames from 1 to the image's Number of Frames",
            Self::Polyline => "repeat the first point at the end of three or more",
            Self::Inside => "write (column, row) in pixels of the image that the region is on",
            Self::Equipment => {
                "give each model a Device UID and the purpose (109102, DCM) in Contributing Equipment"
            }
            Self::CharacterSet => "name the set in which the text is written",
            Self::Section => {
                "write site, mode, method and cycle point as TID 5202 and 5203 have them"
            }
        }
    }
}

/// One defect of a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {detail}; {}", .rule.remedy())]
pub struct Defect {
    /// The rule that was broken.
    pub rule: Rule,
    /// Where: the position of a content item (`1` is the root), or an attribute's name.
    pub path: String,
    /// What is wrong, in a sentence.
    pub detail: String,
}

impl Defect {
    fn new(rule: Rule, path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            rule,
            path: path.into(),
            detail: detail.into(),
        }
    }
}

/// What is known of an image that a report refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownImage {
    /// Number of Frames (0028,0008).
    pub frames: Option<u32>,
    /// Columns (0028,0011) and Rows (0028,0010).
    pub size: Option<[u32; 2]>,
}

/// The images that a report may refer to, by SOP Instance UID.
pub type KnownImages = BTreeMap<String, KnownImage>;

/// The images of a study's findings.
pub fn known_images(findings: &Findings) -> KnownImages {
    let known = |instance: &sonode_findings::InstanceFindings| {
        let size = instance.columns.zip(instance.rows);
        let image = KnownImage {
            frames: instance.frames,
            size: size.map(|(columns, rows)| [columns, rows]),
        };
        (instance.sop_instance_uid.to_string(), image)
    };
    findings.instances.iter().map(known).collect()
}

/// Every defect of a report as we write it; none for a good one. Of its images it knows what the report itself says.
pub fn lint(bytes: &[u8]) -> Vec<Defect> {
    lint_against(bytes, &KnownImages::new())
}

/// The same, against what is known of the images: no frame beyond a clip's last, no point outside its raster.
pub fn lint_against(bytes: &[u8], images: &KnownImages) -> Vec<Defect> {
    let object = match read::parse(bytes) {
        Ok(object) => object,
        Err(e) => return vec![Defect::new(Rule::Readable, "file", e.to_string())],
    };
    let root = read::content(&object);
    if root.value_type != "CONTAINER" {
        let detail = "the object has no content tree";
        return vec![Defect::new(Rule::Readable, "1", detail)];
    }
    let class = read::text(&object, dicom_dictionary_std::tags::SOP_CLASS_UID);
    let document = document_of(&class, &root);
    let mut defects = document::defects(&object, &root, document);
    defects.extend(content::defects(&root, document, images));
    if document == Document::EchoReport {
        defects.extend(echo::defects(&root));
    }
    defects
}

/// What a report is meant to be, by its class and its title; a TID 1500 where neither tells.
fn document_of(class: &str, root: &FoundItem) -> Document {
    match ReportForm::of(class) {
        Some(ReportForm::KeyObject) => Document::KeyObject,
        Some(ReportForm::SimplifiedEcho) => Document::SimplifiedEchoReport,
        _ if root.is(codes::ADULT_ECHO_REPORT) => Document::EchoReport,
        _ => Document::MeasurementReport,
    }
}
