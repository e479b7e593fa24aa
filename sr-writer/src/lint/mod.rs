//! What no validator catches: the linter that every report passes before it leaves this crate.
//!
//! It reads the bytes, not the tree that they were made of, so that it also catches what the encoder does wrong.

mod content;
mod document;

use crate::read;

/// What a rule of the linter asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The file can be read, and has a content tree.
    Readable,
    /// SOP class and instance are the same in file meta information and data set, and the class is one that is written.
    Identity,
    /// Modality SR, UNVERIFIED, PRELIMINARY, and the AI statement for a human reader.
    Marking,
    /// Each template is identified: 1500 at the root, 1410 or 1501 at each measurement group.
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
    /// Frame numbers are whole and count from 1; a region names exactly one.
    Frame,
    /// A region is a polyline of at least three points whose last point is its first.
    Polyline,
    /// A region lies inside its image, where the image library tells its size.
    Inside,
    /// Each contributing equipment has a Device UID.
    Equipment,
    /// Text outside the default repertoire has a Specific Character Set.
    CharacterSet,
}

/// One defect of a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {detail}")]
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

/// Every defect of a report as we write it; none for a good one.
pub fn lint(bytes: &[u8]) -> Vec<Defect> {
    let object = match read::parse(bytes) {
        Ok(object) => object,
        Err(e) => return vec![Defect::new(Rule::Readable, "file", e.to_string())],
    };
    let root = read::content(&object);
    if root.value_type != "CONTAINER" {
        let detail = "the object has no content tree";
        return vec![Defect::new(Rule::Readable, "1", detail)];
    }
    let mut defects = document::defects(&object, &root);
    defects.extend(content::defects(&root));
    defects
}
