//! What is written, and in which form: the documents, the classes and transfer syntaxes that each may take, and what a
//! receiver may choose.

use serde::{Deserialize, Serialize};
use sonode_conformance::sop_class::{
    COMPREHENSIVE_3D_SR, COMPREHENSIVE_SR, ENHANCED_SR, KEY_OBJECT_SELECTION, SIMPLIFIED_ECHO_SR,
};
use sonode_conformance::transfer_syntax::{EXPLICIT_LITTLE, IMPLICIT_LITTLE};

use crate::companion::Companion;
use crate::texts::Language;

/// What a study's result is written as. One study may owe several of them to one receiver.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub enum Document {
    /// TID 1500, Measurement Report: everything that was found, for AI viewers and readers.
    #[default]
    #[serde(rename = "tid1500")]
    MeasurementReport,
    /// TID 5200, Adult Echocardiography Procedure Report: the numbers, for echo reporting systems.
    #[serde(rename = "tid5200")]
    EchoReport,
    /// TID 5300, Simplified Adult Echocardiography Report: one code for each number.
    #[serde(rename = "tid5300")]
    SimplifiedEchoReport,
    /// A Key Object Selection that names the frames of end diastole and end systole.
    #[serde(rename = "key-object")]
    KeyObject,
}

impl Document {
    /// Every document.
    pub const ALL: [Self; 4] = [
        Self::MeasurementReport,
        Self::EchoReport,
        Self::SimplifiedEchoReport,
        Self::KeyObject,
    ];

    /// Its name in the configuration and in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MeasurementReport => "tid1500",
            Self::EchoReport => "tid5200",
            Self::SimplifiedEchoReport => "tid5300",
            Self::KeyObject => "key-object",
        }
    }

    /// Template Identifier (0040,DB00) of its root.
    pub const fn template(self) -> &'static str {
        match self {
            Self::MeasurementReport => "1500",
            Self::EchoReport => "5200",
            Self::SimplifiedEchoReport => "5300",
            Self::KeyObject => "2010",
        }
    }

    /// Its classes, the best first: the ladder that is gone down until the receiver accepts one.
    pub const fn ladder(self) -> &'static [ReportForm] {
        match self {
            Self::MeasurementReport => &[
                ReportForm::Comprehensive3d,
                ReportForm::Comprehensive,
                ReportForm::Enhanced,
            ],
            // Echo systems send it in Comprehensive SR, and their receivers look for it there.
            Self::EchoReport => &[
                ReportForm::Comprehensive,
                ReportForm::Comprehensive3d,
                ReportForm::Enhanced,
            ],
            Self::SimplifiedEchoReport => &[ReportForm::SimplifiedEcho],
            Self::KeyObject => &[ReportForm::KeyObject],
        }
    }

    /// Every form, the best first: each class in Explicit VR before Implicit VR, since a class that a viewer reads is
    /// worth more than a syntax, which nobody sees.
    pub fn forms(self) -> impl Iterator<Item = Form> {
        self.ladder().iter().flat_map(|class| {
            Syntax::ALL.map(|syntax| Form {
                class: *class,
                syntax,
            })
        })
    }

    /// What a receiver is sent that accepts none of the forms: a page that people read. Key objects point at images and
    /// have no such page.
    pub const fn page_instead(self) -> Option<Companion> {
        match self {
            Self::MeasurementReport | Self::EchoReport | Self::SimplifiedEchoReport => {
                Some(Companion::SecondaryCapture)
            }
            Self::KeyObject => None,
        }
    }

    /// Whether it has nothing to say of a study in which nothing was measured.
    pub const fn needs_measurement(self) -> bool {
        !matches!(self, Self::MeasurementReport)
    }

    /// Modality (0008,0060) of its series.
    pub const fn modality(self) -> &'static str {
        match self {
            Self::KeyObject => "KO",
            _ => "SR",
        }
    }
}

impl std::str::FromStr for Document {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|document| document.name() == text)
            .ok_or("it is none of \"tid1500\", \"tid5200\", \"tid5300\", \"key-object\"")
    }
}

/// The SOP class in which a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportForm {
    /// Comprehensive 3D SR: what IHE AIR and AI viewers expect.
    #[serde(rename = "comprehensive-3d")]
    Comprehensive3d,
    /// Comprehensive SR, for archives that don't take the former. The tree is the same.
    Comprehensive,
    /// Enhanced SR, for still older ones. The tree is the same: it refers to no content item by its position.
    Enhanced,
    /// Simplified Adult Echo SR.
    SimplifiedEcho,
    /// Key Object Selection Document.
    KeyObject,
}

impl ReportForm {
    /// Every class.
    pub const ALL: [Self; 5] = [
        Self::Comprehensive3d,
        Self::Comprehensive,
        Self::Enhanced,
        Self::SimplifiedEcho,
        Self::KeyObject,
    ];

    /// The form's SOP Class UID.
    pub const fn sop_class(self) -> &'static str {
        match self {
            Self::Comprehensive3d => COMPREHENSIVE_3D_SR,
            Self::Comprehensive => COMPREHENSIVE_SR,
            Self::Enhanced => ENHANCED_SR,
            Self::SimplifiedEcho => SIMPLIFIED_ECHO_SR,
            Self::KeyObject => KEY_OBJECT_SELECTION,
        }
    }

    /// The form of a SOP class.
    pub fn of(sop_class: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|form| form.sop_class() == sop_class)
    }
}

/// The transfer syntax in which a document is written. Big endian and deflated data sets are not: whoever takes those
/// has to take Implicit VR Little Endian too, DICOM's default (PS3.5 section 10.1).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Syntax {
    /// Explicit VR Little Endian.
    #[default]
    ExplicitLittle,
    /// Implicit VR Little Endian.
    ImplicitLittle,
}

impl Syntax {
    /// Both, the better one first.
    pub const ALL: [Self; 2] = [Self::ExplicitLittle, Self::ImplicitLittle];

    /// Transfer Syntax UID.
    pub const fn uid(self) -> &'static str {
        match self {
            Self::ExplicitLittle => EXPLICIT_LITTLE,
            Self::ImplicitLittle => IMPLICIT_LITTLE,
        }
    }
}

/// A rung of the ladder: class and transfer syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Form {
    /// The SOP class.
    pub class: ReportForm,
    /// The transfer syntax.
    pub syntax: Syntax,
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = sonode_conformance::sop_class::find(self.class.sop_class())
            .map_or("an unlisted class", |class| class.name);
        let syntax = match self.syntax {
            Syntax::ExplicitLittle => "Explicit VR Little Endian",
            Syntax::ImplicitLittle => "Implicit VR Little Endian",
        };
        write!(f, "{} in {syntax}", name.trim_end_matches(" Storage"))
    }
}

/// The generation of the coded concepts that SNOMED owns.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Coding {
    /// SNOMED CT, as PS3.16 has written them since 2019.
    #[default]
    Sct,
    /// SNOMED RT with the designator SRT, as echo systems in the field still send them.
    Srt,
}

impl std::str::FromStr for Coding {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sct" => Ok(Self::Sct),
            "srt" => Ok(Self::Srt),
            _ => Err("write \"sct\" or \"srt\""),
        }
    }
}

/// The concept that names the findings' container of TID 5202.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub enum FindingsCode {
    /// (121070, DCM): what echo systems send.
    #[default]
    #[serde(rename = "121070")]
    Dcm121070,
    /// (59776-5, LN): what PS3.16 says today.
    #[serde(rename = "59776-5")]
    Ln59776,
}

impl std::str::FromStr for FindingsCode {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "121070" => Ok(Self::Dcm121070),
            "59776-5" => Ok(Self::Ln59776),
            _ => Err("write \"121070\" or \"59776-5\""),
        }
    }
}

/// Which character set a document may use. ASCII text leaves the attribute out in either case.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum CharacterSet {
    /// That of the images where it keeps every character, UTF-8 elsewhere: some archives refuse another set than the
    /// study's, or take the patient for another one.
    #[default]
    Source,
    /// UTF-8.
    #[serde(rename = "utf-8")]
    Utf8,
}

impl CharacterSet {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Utf8 => "utf-8",
        }
    }
}

impl std::str::FromStr for CharacterSet {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "source" => Ok(Self::Source),
            "utf-8" => Ok(Self::Utf8),
            _ => Err("write \"source\" or \"utf-8\""),
        }
    }
}

/// What a receiver may choose about every document that it gets.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(default)]
pub struct Style {
    /// The generation of codes.
    pub codes: Coding,
    /// The name of TID 5202's container.
    pub findings_code: FindingsCode,
    /// The character set.
    pub charset: CharacterSet,
    /// The language of the sentences.
    pub language: Language,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_prefers_the_class_and_ends_in_the_default_syntax() {
        let forms: Vec<Form> = Document::MeasurementReport.forms().collect();
        assert_eq!(forms.len(), 6);
        assert_eq!(forms[0].class, ReportForm::Comprehensive3d);
        assert_eq!(forms[1].class, ReportForm::Comprehensive3d);
        assert_eq!(forms[1].syntax, Syntax::ImplicitLittle);
        assert_eq!(forms[5].class, ReportForm::Enhanced);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for document in Document::ALL {
            assert_eq!(document.name().parse(), Ok(document));
            let json = serde_json::to_value(document).unwrap();
            assert_eq!(json, document.name());
        }
    }
}
