//! What was found in one instance.

use serde::{Deserialize, Serialize};
use sonode_conformance::{SeriesInstanceUid, SopClassUid, SopInstanceUid};

use crate::cart::{BodySize, CartReport};
use crate::grade::EfGrade;
use crate::phrase::{Pattern, Phrase, Sentence};
use crate::phrases::{Rule, rule};
use crate::reading::SecondReading;

/// Everything that was found in one SOP instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceFindings {
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: SopInstanceUid,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: Option<SopClassUid>,
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: Option<SeriesInstanceUid>,
    /// SHA-256 of the file that was analysed, 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// Rows (0028,0010).
    pub rows: Option<u32>,
    /// Columns (0028,0011).
    pub columns: Option<u32>,
    /// Number of Frames (0028,0008).
    pub frames: Option<u32>,
    /// Frames a second, from the attribute that Frame Increment Pointer names.
    pub frame_rate_hz: Option<f64>,
    /// Beats a minute, from Heart Rate (0018,1088) or the R-wave times; never from the volume curve.
    pub heart_rate_bpm: Option<f64>,
    /// The view.
    pub view: Option<View>,
    /// Fitness for measurement.
    pub quality: Option<Quality>,
    /// Size of a pixel; null: EF only, no volumes.
    pub calibration: Option<Calibration>,
    /// The part of the image that was analysed; null where the instance is no cine.
    #[serde(default)]
    pub region: Option<Region>,
    /// The beats that were measured, in order of their end-diastolic frame.
    pub beats: Vec<Beat>,
    /// The contours at end diastole and end systole.
    pub contours: Vec<Contour>,
    /// The contour of every frame in which the ventricle was found, for a picture of the whole cine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<Trace>,
    /// Volume of every frame by the method of disks in millilitres, or in arbitrary units without a calibration.
    pub volume_curve: Vec<f64>,
    /// The clip's summary over its beats.
    pub lv: Option<LvMeasurement>,
    /// What the reference profiles call the ejection fraction.
    #[serde(default)]
    pub grades: Vec<EfGrade>,
    /// Consistency checks of this clip.
    pub checks: Vec<Check>,
    /// What a report of another maker says; null where the instance is no such report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cart: Option<CartReport>,
    /// The patient's size, where the header states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodySize>,
    /// Why the instance was not measured; null if it was.
    pub rejected: Option<Rejection>,
    /// The reason in a sentence.
    pub rejected_detail: Option<String>,
    /// What a reader should know beside the numbers, such as a corrected raster.
    pub notes: Vec<String>,
    /// What `notes`, `rejected_detail` and the reasons of `quality` are made of, where they have values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phrases: Vec<Phrase>,
    /// The models that took part.
    pub models: Vec<ModelRef>,
    /// What a second reader says; absent where none was asked or its answer came too late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_reading: Option<SecondReading>,
}

impl InstanceFindings {
    /// Findings of which nothing is known yet.
    pub fn empty(sop_instance_uid: SopInstanceUid) -> Self {
        Self {
            sop_instance_uid,
            sop_class_uid: None,
            series_instance_uid: None,
            sha256: None,
            rows: None,
            columns: None,
            frames: None,
            frame_rate_hz: None,
            heart_rate_bpm: None,
            view: None,
            quality: None,
            calibration: None,
            region: None,
            beats: Vec::new(),
            contours: Vec::new(),
            traces: Vec::new(),
            volume_curve: Vec::new(),
            lv: None,
            grades: Vec::new(),
            checks: Vec::new(),
            cart: None,
            body: None,
            rejected: None,
            rejected_detail: None,
            notes: Vec::new(),
            phrases: Vec::new(),
            models: Vec::new(),
            second_reading: None,
        }
    }

    /// Whether a report of the study stands on it: it was measured, or is a report whose values are named there.
    pub fn is_evidence(&self) -> bool {
        (self.rejected.is_none() && self.lv.is_some()) || self.cart.is_some()
    }

    /// The same findings, refused for measurement.
    #[must_use]
    pub fn reject(mut self, reason: Rejection, detail: impl Into<Sentence>) -> Self {
        self.rejected = Some(reason);
        self.rejected_detail = Some(self.keep(detail.into()));
        self.lv = None;
        self.grades = Vec::new();
        self.traces = Vec::new();
        self
    }

    /// Notes something that a reader should know beside the numbers.
    pub fn note(&mut self, note: impl Into<Sentence>) {
        let text = self.keep(note.into());
        self.notes.push(text);
    }

    /// One of `notes`, `rejected_detail` and the reasons of `quality`, ready to be said in any language.
    pub fn sentence(&self, text: &str) -> Sentence {
        Sentence::known(text, &self.phrases)
    }

    /// Keeps what the sentence is made of, unless its wording alone tells that.
    fn keep(&mut self, sentence: Sentence) -> String {
        let (text, phrase) = sentence.into_parts();
        let phrase = phrase.filter(|phrase| !phrase.values.is_empty());
        self.phrases.extend(phrase);
        text
    }
}

/// Why an instance is not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rejection {
    /// A report, a waveform, a document: no pixels.
    NotAnImage,
    /// The pixels can't be decoded, or the worker died of them.
    Undecodable,
    /// A single frame.
    NotACine,
    /// Another organ: carotid, obstetric, abdominal.
    NotAnEcho,
    /// Neither A4C nor A2C.
    View,
    /// Too poor to be measured.
    Quality,
    /// No end diastole or no end systole inside the clip.
    NoBeat,
    /// A colour box lies over the tissue.
    ColourDoppler,
    /// M-mode.
    MMode,
    /// Spectral Doppler.
    SpectralDoppler,
    /// Dual, biplane or quad screen.
    #[serde(rename = "multiple-2d-regions")]
    Multiple2dRegions,
    /// A stage of a stress echo other than rest.
    StressStage,
    /// A contrast agent opacifies the cavity.
    Contrast,
    /// Transoesophageal.
    Tee,
    /// Under 18 years.
    Paediatric,
    /// Fetal heart.
    Fetal,
    /// A test patient.
    TestPatient,
}

impl Rejection {
    /// Whether a study of which every instance is rejected so is still an echo study.
    pub fn is_echo(self) -> bool {
        !matches!(self, Self::NotAnEcho | Self::NotAnImage | Self::Fetal)
    }
}

/// A view and how sure the classifier is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The label.
    pub label: ViewLabel,
    /// 0 to 1; null where the label comes from the header alone.
    pub probability: Option<f64>,
}

/// Standard views (ASE/EACVI).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ViewLabel {
    /// Apical four-chamber.
    A4C,
    /// Apical two-chamber.
    A2C,
    /// Any other.
    #[serde(rename = "other")]
    Other,
}

/// Fitness for measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// The grade.
    pub grade: Grade,
    /// 0 (unusable) to 1 (as good as it gets).
    pub score: f64,
    /// Why it isn't better.
    pub reasons: Vec<String>,
}

/// Grade of image quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Not to be measured.
    Poor,
    /// Measured, with a caution.
    Fair,
    /// Measured.
    Good,
}

/// Size of a pixel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Where it was read.
    pub source: CalibrationSource,
    /// Centimetres per pixel along a row (x) and along a column (y); they may differ.
    pub cm_per_px: [f64; 2],
}

/// A part of an image, in pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// First column, from 0.
    pub column: u32,
    /// First row, from 0.
    pub row: u32,
    /// Columns.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
    /// Height of a pixel over its width.
    pub pixel_aspect: f64,
}

/// The contour of one frame, as it was found there, or between those of the frames before and after it where this one wasn't
/// looked at; open at the mitral annulus as [`Contour`] is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Frame, from 1.
    pub frame: u32,
    /// (column, row) in image pixels, to a tenth.
    pub points: Vec<[f64; 2]>,
}

/// Where a calibration was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CalibrationSource {
    /// Sequence of Ultrasound Regions (0018,6011).
    UltrasoundRegion,
    /// The same, scaled by the raster that explains a region larger than the image.
    UltrasoundRegionRescaled,
}

/// One beat, from an end diastole to the end systole that belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// Frame of the largest volume, from 1.
    pub ed_frame: u32,
    /// Frame of the smallest volume, from 1.
    pub es_frame: u32,
    /// End-diastolic volume in millilitres; null without a calibration.
    pub edv_ml: Option<f64>,
    /// End-systolic volume in millilitres; null without a calibration.
    pub esv_ml: Option<f64>,
    /// Ejection fraction, 0 to 100.
    pub lvef_percent: f64,
    /// Whether the clip holds the whole beat, from end diastole to end diastole.
    pub complete: bool,
    /// The disks of `edv_ml`; null without a calibration.
    #[serde(default)]
    pub ed_disks: Option<Disks>,
    /// The disks of `esv_ml`; null without a calibration.
    #[serde(default)]
    pub es_disks: Option<Disks>,
}

/// The disks of one volume, for the biplane method: Σ π/4 d² · length/n is the volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disks {
    /// Long axis from the apex to the middle of the annulus, centimetres.
    pub length_cm: f64,
    /// Diameters at equal distances from the annulus to the apex, centimetres.
    pub diameters_cm: Vec<f64>,
}

/// One contour of the cavity, open at the mitral annulus: first point and last point are its two hinges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contour {
    /// Frame, from 1.
    pub frame: u32,
    /// The phase.
    pub phase: CardiacPhase,
    /// (column, row) in image pixels, the upper left corner of the upper left pixel being (0, 0).
    pub points: Vec<[f64; 2]>,
    /// Area inside in square centimetres; null without a calibration.
    pub area_cm2: Option<f64>,
}

/// End diastole or end systole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CardiacPhase {
    /// End diastole.
    #[serde(rename = "ED")]
    EndDiastole,
    /// End systole.
    #[serde(rename = "ES")]
    EndSystole,
}

/// Left-ventricular volumes and ejection fraction of one clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LvMeasurement {
    /// End-diastolic volume in millilitres; null without a calibration.
    pub edv_ml: Option<f64>,
    /// End-systolic volume in millilitres; null without a calibration.
    pub esv_ml: Option<f64>,
    /// Ejection fraction, 0 to 100; the median of the beats.
    pub lvef_percent: f64,
    /// Interval for the ejection fraction, low and high; null where none was estimated.
    pub lvef_interval: Option<[f64; 2]>,
    /// How it was measured.
    pub method: Method,
}

/// How volumes were measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Method {
    /// Method of disks, single plane, apical four-chamber.
    #[serde(rename = "MOD-A4C")]
    ModA4c,
    /// Method of disks, single plane, apical two-chamber.
    #[serde(rename = "MOD-A2C")]
    ModA2c,
    /// Method of disks, biplane.
    #[serde(rename = "MOD-BP")]
    ModBiplane,
}

/// One consistency check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Stable name, such as `esv-below-edv`.
    pub id: String,
    /// The outcome.
    pub outcome: CheckOutcome,
    /// The figures, in a sentence.
    pub detail: String,
    /// Where the bound comes from.
    pub source: String,
    /// What `detail` is made of; absent where it is somebody else's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phrase: Option<Phrase>,
}

impl Check {
    /// The outcome of a check.
    pub fn new(
        rule: Rule,
        outcome: CheckOutcome,
        detail: impl Into<Sentence>,
        source: &str,
    ) -> Self {
        let (detail, phrase) = detail.into().into_parts();
        Self {
            id: rule.id().to_owned(),
            outcome,
            detail,
            source: source.to_owned(),
            phrase,
        }
    }

    /// The same, said of one of several measurements.
    pub(crate) fn said_of(&self, which: Pattern<1>) -> Self {
        let said = which.say([self.sentence().into()]);
        let (detail, phrase) = said.into_parts();
        Self {
            detail,
            phrase,
            ..self.clone()
        }
    }

    /// Whether it speaks of the heart's size, which is a finding, and no doubt about the measurement.
    pub fn is_about_size(&self) -> bool {
        [rule::EDV_TYPICAL, rule::ESV_TYPICAL]
            .iter()
            .any(|rule| rule.id() == self.id)
    }

    /// The detail, ready to be said in any language.
    pub fn sentence(&self) -> Sentence {
        Sentence::known(&self.detail, self.phrase.as_slice())
    }
}

/// Outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
    /// Within its bound.
    Pass,
    /// Outside a soft bound: reported beside the number.
    Warn,
    /// Outside a hard bound: the number is not reported.
    Fail,
    /// Could not be checked, since an input is unknown.
    Skipped,
}

/// One model that took part.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelRef {
    /// Name, such as `lv-segmentation`.
    pub name: String,
    /// Version.
    pub version: String,
    /// SHA-256 of the TorchScript file, 64 hexadecimal digits.
    pub sha256: String,
    /// Whether it is a research model, trained on synthetic data and not validated.
    #[serde(default)]
    pub research: bool,
}
