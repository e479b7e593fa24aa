//! From a clip to volumes: maps, ventricles, view, quality, beats, numbers, checks.
//!
//! ```text
//! frames     frames mapped by the network; the ventricle found in each             chosen, chunks, lanes, grid, sector, outline, ventricle, annulus
//! view       which chambers are seen, and where; what the view model and the header say
//! quality    is that good enough to be measured? What does the quality model say?
//! curve      volumes over time -> beats
//! numbers    beats -> volumes, EF and its interval, contours, checks               checks
//! ```

mod annulus;
pub mod checks;
mod chosen;
mod chunks;
mod curve;
mod frames;
mod grid;
mod lanes;
mod numbers;
mod outline;
mod quality;
mod sector;
mod ventricle;
mod view;

use sonode_findings::grade::EfGrade;
use sonode_findings::{
    Beat, Check, Contour, Grade, LvMeasurement, ModelRef, Quality, Rejection, Sentence, Trace,
    View, ViewLabel, phrases,
};

pub use curve::{Curve, CurveBeat};
pub use grid::{Grid, Placement, Resampler};
pub(crate) use numbers::INTERVAL_DEVIATIONS;
pub use outline::Outline;
pub use ventricle::{DISKS, Ventricle};

use crate::clip::Clip;
use crate::models::{Cine, Models, ReadError, Reader, ViewProbabilities};
use frames::ClipFrames;
use numbers::Numbers;

/// What was read in one clip. Frames count from 1; points are image pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipReading {
    /// The view, from the header where it says one, else from the view model or the chambers that are seen.
    pub view: Option<View>,
    /// Fitness for measurement.
    pub quality: Option<Quality>,
    /// The beats that were measured.
    pub beats: Vec<Beat>,
    /// The contours at end diastole and end systole of those beats.
    pub contours: Vec<Contour>,
    /// The contour of every frame in which the ventricle was found.
    pub traces: Vec<Trace>,
    /// Smoothed volume of every frame: millilitres, or percent of the largest without a calibration.
    pub volume_curve: Vec<f64>,
    /// Whether the clip's calibration gives volumes that no heart has: nothing is given in its unit then.
    pub calibration_is_wrong: bool,
    /// The clip's summary.
    pub lv: Option<LvMeasurement>,
    /// What the reference profiles call the ejection fraction.
    pub grades: Vec<EfGrade>,
    /// Every rule's outcome.
    pub checks: Vec<Check>,
    /// What a reader should know beside the numbers.
    pub notes: Vec<Sentence>,
    /// Why it was not measured, and the reason in a sentence.
    pub rejected: Option<(Rejection, Sentence)>,
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
            traces: Vec::new(),
            volume_curve: Vec::new(),
            calibration_is_wrong: false,
            lv: None,
            grades: Vec::new(),
            checks: Vec::new(),
            notes: Vec::new(),
            rejected: None,
            models: models.judges(),
        }
    }

    fn reject(mut self, reason: Rejection, detail: impl Into<Sentence>) -> Self {
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
    let judge = |shown: &[Vec<f32>]| judge(clip, models, shown);
    let read = ClipFrames::read(clip, models.segmentation(), judge).and_then(|(frames, judged)| {
        let reading = ClipReading::new(models);
        if quality::is_blank(&frames) {
            return Ok(reading.reject(Rejection::Quality, phrases::BLANK));
        }
        interpret(clip, models, &frames, judged, reading)
    });
    match read {
        Ok(reading) => reading,
        Err(ReadError::Pixels(error)) => {
            let mut reading = ClipReading::new(models);
            // No model has read this clip to its end.
            reading.models.clear();
            reading.reject(Rejection::Undecodable, error.sentence())
        }
        Err(ReadError::Torch(error)) => panic!("libtorch failed: {error}"),
    }
}

/// What the models of view and quality say of a clip; none where there is no such model, or it couldn't be asked.
#[derive(Clone, Copy, Default)]
struct Judged {
    view: Option<ViewProbabilities>,
    /// 0 to 1.
    fitness: Option<f64>,
}

/// `shown` as in [`Cine`].
fn judge(clip: &Clip, models: &Models, shown: &[Vec<f32>]) -> Result<Judged, ReadError> {
    let cine = Cine {
        clip,
        shown: Some((&models.segmentation().manifest().input, shown)),
    };
    let view = models.view().map(|model| model.read_view(cine));
    let fitness = models.quality().map(|model| model.read_number(cine));
    Ok(Judged {
        view: view.transpose()?.flatten(),
        fitness: fitness.transpose()?.flatten(),
    })
}

/// View and quality, and what can be measured where both are good enough.
fn interpret(
    clip: &Clip,
    models: &Models,
    frames: &ClipFrames,
    judged: Judged,
    mut reading: ClipReading,
) -> Result<ClipReading, ReadError> {
    let maps = models.segmentation().structures();
    let decision = view::decide(clip.header_view, &view::judge(frames, maps), judged.view);
    reading.view = decision.view;
    reading.notes.extend(decision.note);
    reading.notes.extend(not_asked(models, judged));
    let curve = Curve::smooth(&frames.volumes(), clip.frame_rate_hz);
    let by_outline = quality::judge(frames, curve.as_ref(), maps, judged.fitness);
    let view = match decision.measurable {
        Ok(view) => view,
        Err(reason) => {
            return Ok(refuse_view(
                clip,
                judged.fitness,
                by_outline,
                reason,
                reading,
            ));
        }
    };
    if frames.left_out > 0 {
        let counts = [frames.left_out, frames.count()];
        let note = phrases::FRAMES_LEFT_OUT.say(counts.map(|count| count.to_string().into()));
        reading.notes.push(note);
    }
    let detail = too_poor(&by_outline);
    let poor = by_outline.grade == Grade::Poor;
    reading.quality = Some(by_outline);
    match curve.filter(|_| !poor) {
        Some(curve) => {
            let reading = measure(clip, models, frames, &curve, view, reading);
            compare_regression(clip, models, reading)
        }
        None => Ok(reading.reject(Rejection::Quality, detail)),
    }
}

/// Refuses a clip in which no apical view was found. Where there is a quality model, it grades the clip alone, since there
/// is no outline to judge by; and if it finds the image spoilt, that is the reason: then no one can tell the view, unless
/// the header does.
fn refuse_view(
    clip: &Clip,
    fitness: Option<f64>,
    by_outline: Quality,
    reason: Sentence,
    mut reading: ClipReading,
) -> ClipReading {
    let quality = fitness.map_or(by_outline, quality::judge_image);
    let spoilt = fitness.is_some() && quality.grade == Grade::Poor;
    let detail = too_poor(&quality);
    reading.quality = Some(quality);
    if spoilt && clip.header_view != Some(ViewLabel::Other) {
        reading.notes.push(reason);
        reading.reject(Rejection::Quality, detail)
    } else {
        reading.reject(Rejection::View, reason)
    }
}

fn too_poor(quality: &Quality) -> Sentence {
    let reasons = quality.reasons.iter();
    let reasons = reasons.map(|reason| Sentence::known(reason, &[]));
    phrases::TOO_POOR.say([reasons.collect()])
}

/// Models of view and quality that are there and had no say.
fn not_asked(models: &Models, judged: Judged) -> Vec<Sentence> {
    let silent = [
        models.view().filter(|_| judged.view.is_none()),
        models.quality().filter(|_| judged.fitness.is_none()),
    ];
    let note =
        |model: &Reader| phrases::MODEL_NOT_ASKED.say([model.manifest().name.as_str().into()]);
    silent.into_iter().flatten().map(note).collect()
}

/// Beats and numbers from a clip that passed the gates.
fn measure(
    clip: &Clip,
    models: &Models,
    frames: &ClipFrames,
    curve: &Curve,
    view: ViewLabel,
    mut reading: ClipReading,
) -> ClipReading {
    reading.volume_curve = numbers::published(curve, clip.cm_per_px.is_some());
    let beats = curve.beats();
    if beats.is_empty() {
        return reading.reject(Rejection::NoBeat, phrases::NO_BEAT);
    }
    let model_error = models.segmentation().manifest().ef_error_points();
    match Numbers::new(clip, model_error, frames, curve, &beats) {
        Some(numbers) => numbers.fill(clip, frames, curve, view, reading),
        None => reading.reject(Rejection::Quality, phrases::NO_VENTRICLE_AT_PHASE),
    }
}

/// Where an ejection fraction was measured and a model can give another one, a check compares the two.
fn compare_regression(
    clip: &Clip,
    models: &Models,
    mut reading: ClipReading,
) -> Result<ClipReading, ReadError> {
    if let (Some(model), Some(lv)) = (models.ef_regression(), &reading.lv) {
        let regressed = model.read_number(clip)?;
        let check = checks::ef_regression(lv.lvef_percent, regressed);
        reading.checks.push(check);
        if regressed.is_some() {
            reading.models.push(model.manifest().model_ref());
        }
    }
    Ok(reading)
}
