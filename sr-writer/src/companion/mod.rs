//! Companions of a report, for archives and viewers that show no Structured Report: a page and a cine.
//!
//! Here they are composed, as SVG, and made DICOM objects of. Frames are put in and pixels are made in between, by the
//! worker, which alone opens pixel data: [`compose`] says what it is asked, [`write_companion`] takes its answer.

mod cine;
mod curve;
mod page;
mod panel;
mod svg;

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sonode_conformance::sop_class::{ENCAPSULATED_PDF, SECONDARY_CAPTURE, TRUE_COLOR_CAPTURE};
use sonode_conformance::transfer_syntax::JPEG_BASELINE;
use sonode_conformance::{AeTitle, SeriesInstanceUid, SopInstanceUid, Uid};
use sonode_findings::protocol::{PageForm, Picture};
use sonode_findings::{Findings, StudyContext};

use crate::dataset;
use crate::form::{CharacterSet, Syntax};
use crate::request::{ContentDateTime, WriteError, WrittenReport};
use crate::texts::Language;
use crate::write::known_uid;

/// What goes beside a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Companion {
    /// One page as a picture: Secondary Capture.
    SecondaryCapture,
    /// A measured cine with the contour drawn on every frame: Multi-frame True Color Secondary Capture. One for each
    /// plane.
    OverlayCine,
    /// The same page as a document: Encapsulated PDF.
    Pdf,
}

impl Companion {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::SecondaryCapture, Self::OverlayCine, Self::Pdf];

    /// The name in the configuration and in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SecondaryCapture => "secondary-capture",
            Self::OverlayCine => "overlay-cine",
            Self::Pdf => "pdf",
        }
    }

    /// SOP Class UID.
    pub const fn sop_class(self) -> &'static str {
        match self {
            Self::SecondaryCapture => SECONDARY_CAPTURE,
            Self::OverlayCine => TRUE_COLOR_CAPTURE,
            Self::Pdf => ENCAPSULATED_PDF,
        }
    }

    /// Transfer Syntax UID: what every archive reads, uncompressed where there is text. A cine is JPEG in any case.
    pub const fn transfer_syntax(self, syntax: Syntax) -> &'static str {
        match self {
            Self::SecondaryCapture | Self::Pdf => syntax.uid(),
            Self::OverlayCine => JPEG_BASELINE,
        }
    }

    /// How far its Series Number lies after that of the reports.
    pub const fn series_offset(self) -> u32 {
        match self {
            Self::SecondaryCapture => 10,
            Self::OverlayCine => 11,
            Self::Pdf => 12,
        }
    }

    /// The planes of which there is something to draw, the four-chamber one first. A page shows all of them and always
    /// says something; a cine shows one and needs its contours.
    pub fn planes(self, findings: &Findings) -> Vec<u8> {
        match self {
            Self::SecondaryCapture | Self::Pdf => vec![0],
            Self::OverlayCine => (0..2)
                .filter(|plane| cine::clip(findings, *plane).is_some())
                .collect(),
        }
    }
}

impl FromStr for Companion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or("write \"secondary-capture\", \"overlay-cine\" or \"pdf\"")
    }
}

/// Everything about a companion that is neither findings nor patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanionRequest {
    /// What is made.
    pub companion: Companion,
    /// Of which of the planes that were measured, from 0; see [`Companion::planes`].
    pub plane: u8,
    /// In which transfer syntax; see [`Companion::transfer_syntax`].
    pub syntax: Syntax,
    /// The language of its text.
    pub language: Language,
    /// The character set of its attributes.
    pub charset: CharacterSet,
    /// The node's own UID.
    pub node_uid: Uid,
    /// SOP Instance UID; see [`crate::companion_uid`].
    pub sop_instance_uid: SopInstanceUid,
    /// Series Instance UID; see [`crate::companion_series_uid`].
    pub series_instance_uid: SeriesInstanceUid,
    /// Series Number (0020,0011).
    pub series_number: u32,
    /// The report's revision, which is the Instance Number too.
    pub revision: u32,
    /// When the report was decided.
    pub content: ContentDateTime,
    /// Device Serial Number (0018,1000).
    pub device_serial: String,
    /// The node's AE title.
    pub station_ae: AeTitle,
}

/// What the worker is asked to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Composition {
    /// One page.
    Page {
        /// The page, which names frames as `frame:0` and so on.
        svg: String,
        /// The frames that it names: instance, and frame from 1.
        frames: Vec<(SopInstanceUid, u32)>,
        /// What it becomes.
        form: PageForm,
    },
    /// One SVG over each frame of a clip.
    Cine {
        /// The clip.
        clip: SopInstanceUid,
        /// The sheets, from frame 1 on.
        sheets: Vec<String>,
    },
}

/// Composes a companion; none where there is nothing to show. The same arguments give the same text.
pub fn compose(
    findings: &Findings,
    context: &StudyContext,
    request: &CompanionRequest,
) -> Option<Composition> {
    let form = match request.companion {
        Companion::SecondaryCapture => PageForm::Raster,
        Companion::Pdf => PageForm::Pdf,
        Companion::OverlayCine => {
            let clip = cine::clip(findings, request.plane)?;
            return Some(Composition::Cine {
                clip: clip.sop_instance_uid.clone(),
                sheets: cine::sheets(findings, clip, request.language),
            });
        }
    };
    let (svg, frames) = page::compose(findings, context, request);
    Some(Composition::Page { svg, frames, form })
}

/// Makes a DICOM object of what was drawn.
///
/// # Errors
/// [`WriteError::Picture`] where the picture is of another kind than the companion, [`WriteError::StudyMismatch`] and
/// [`WriteError::Encode`].
pub fn write_companion(
    findings: &Findings,
    context: &StudyContext,
    request: &CompanionRequest,
    picture: Picture,
) -> Result<WrittenReport, WriteError> {
    if findings.study_instance_uid != context.study_instance_uid {
        return Err(WriteError::StudyMismatch {
            findings: findings.study_instance_uid.clone(),
            context: context.study_instance_uid.clone(),
        });
    }
    Ok(WrittenReport {
        bytes: dataset::encode_companion(findings, context, request, picture)?,
        sop_class: known_uid(request.companion.sop_class())?.into(),
        sop_instance: request.sop_instance_uid.clone(),
        transfer_syntax: known_uid(request.companion.transfer_syntax(request.syntax))?.into(),
    })
}
