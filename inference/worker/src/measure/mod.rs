//! From a clip to volumes: maps, ventricles, view, quality, beats, numbers, checks.
//!
//! ```text
//! frames     every frame mapped by the network; the ventricle found in each        lanes, grid, outline, ventricle, annulus
//! view       which chambers are seen, and where
//! quality    is that good enough to be measured?
//! curve      volumes over time -> beats
//! numbers    beats -> volumes, EF and its interval, contours, checks               checks
//! ```

mod annulus;
pub mod checks;
mod curve;
mod frames;
mod grid;
mod lanes;
mod numbers;
mod outline;
mod quality;
mod ventricle;
mod view;

use sonode_findings::{
    Beat, Check, Contour, Grade, LvMeasurement, ModelRef, Quality, Rejection, View, ViewLabel,
};

pub use curve::{Curve, CurveBeat};
pub use grid::{Grid, Placement, Resampler};
pub use outline::Outline;
pub use ventricle::{DISKS, Ventricle};

use crate::analysis::sentence;
use crate::clip::Clip;
use crate::models::Models;
use frames::{ClipFrames, ReadError};
use numbers::Numbers;

/// What was read in one clip. Frames count from 1; points are image pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipReading {
    /// The view, from the header where it says one, else from the chambers that are seen.
    pub view: Option<View>,
    /// Fitness for measurement.
    pub quality: Option<Quality>,
    /// The beats that were measured.
    pub beats: Vec<Beat>,
    /// The contours at end diastole and end systole of those beats.
    pub contours: Vec<Contour>,
    /// Smoothed volume of every frame: millilitres, or percent of the largest without a calibration.
    pub volume_curve: Vec<f64>,
    /// The clip's summary.
    pub lv: Option<LvMeasurement>,
    /// Every rule's outcome.
    pub checks: Vec<Check>,
    /// What a reader should know beside the numbers.
    pub notes: Vec<String>,
    /// Why it was not measured, and the reason in a sentence.
    pub rejected: Option<(Rejection, String)>,
    /// The models that took part.
    pub models: Vec<ModelRef>,
}

impl ClipReading {
    fn new(models: &Models) -> Self {
        Self {
            view: None,
            quality: None,
            beats: Vec::new(),
            contours: Vec::new(),
            volume_curve: Vec::new(),
            lv: None,
            checks: Vec::new(),
            notes: Vec::new(),
            rejected: None,
            models: models.refs(),
        }
    }

    fn reject(mut self, reason: Rejection, detail: impl Into<String>) -> Self {
        self.rejected = Some((reason, detail.into()));
        self
    }
}

/// Reads a clip: what can't be measured says why in `rejected`.
///
/// # Panics
/// If libtorch fails. What it fails of, such as a lost GPU or memory that is used up, holds for the next clip too, so
/// the process ends, and the node starts another and runs the job again.
#[expect(
    clippy::panic,
    reason = "a process whose libtorch fails can't answer for any further clip"
)]
pub fn read_clip(clip: &Clip, models: &Models) -> ClipReading {
    let mut reading = ClipReading::new(models);
    match ClipFrames::read(clip, models.segmentation()) {
        Ok(frames) if quality::is_blank(&frames) => {
            reading.reject(Rejection::Quality, "The image is blank.")
        }
        Ok(frames) => interpret(clip, models, &frames, reading),
        Err(ReadError::Pixels(error)) => {
            // No model has read this clip.
            reading.models.clear();
            reading.reject(Rejection::Undecodable, sentence(&error))
        }
        Err(ReadError::Torch(error)) => panic!("libtorch failed: {error}"),
    }
}

/// View, quality and numbers from the ventricles that were found.
fn interpret(
    clip: &Clip,
    models: &Models,
    frames: &ClipFrames,
    mut reading: ClipReading,
) -> ClipReading {
    let seen = view::judge(frames);
    let (view, note) = view::decide(clip.header_view, &seen);
    reading.view = Some(view.clone());
    reading.notes.extend(note);
    if view.label == ViewLabel::Other {
        let reason = seen
            .reason
            .unwrap_or("The header names another view than an apical one.");
        return reading.reject(Rejection::View, reason);
    }
    let curve = Curve::smooth(&frames.volumes(), clip.frame_rate_hz);
    let quality = quality::judge(frames, curve.as_ref());
    let poor = quality.grade == Grade::Poor;
    let detail = format!("Too poor to be measured: {}.", quality.reasons.join(", "));
    reading.quality = Some(quality);
    if frames.left_out > 0 {
        reading.notes.push(format!(
            "{} of {} frames were left out of the volume curve, since the outline jumped in them.",
            frames.left_out,
            frames.frames.len()
        ));
    }
    let Some(curve) = curve.filter(|_| !poor) else {
        return reading.reject(Rejection::Quality, detail);
    };
    reading.volume_curve = numbers::published(&curve, clip);
    let beats = curve.beats();
    if beats.is_empty() {
        return reading.reject(
            Rejection::NoBeat,
            "The clip shows no end diastole and end systole of one beat.",
        );
    }
    match Numbers::new(
        clip,
        models.segmentation().manifest(),
        frames,
        &curve,
        &beats,
    ) {
        Some(numbers) => numbers.fill(clip, view.label, reading),
        None => reading.reject(
            Rejection::Quality,
            "No ventricle was found near end diastole or end systole.",
        ),
    }
}
