//! One phantom cine, read, beside its truth.

use std::fmt;

use sonode_findings::{CardiacPhase, Grade, Rejection, ViewLabel};
use sonode_phantom::anatomy::View;
use sonode_phantom::cine::{Frame, Quality, Study, Subject};
use sonode_phantom::style::Style;

use crate::clip::Clip;
use crate::measure::{ClipReading, Outline, read_clip};
use crate::models::Models;

/// A cine that was read.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) seed: u64,
    pub(super) style: Style,
    pub(super) subject: Subject,
    pub(super) quality: Quality,
    pub(super) truth: Option<Truth>,
    pub(super) view: Option<ViewLabel>,
    pub(super) probability: Option<f64>,
    pub(super) score: Option<(Grade, f64)>,
    pub(super) outcome: Outcome,
}

/// What is true of a cine.
#[derive(Debug, Clone)]
pub(super) struct Truth {
    pub(super) edv_ml: f64,
    pub(super) esv_ml: f64,
    pub(super) lvef_percent: f64,
    pub(super) tilt_degrees: f64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Measured(Measured),
    Refused(Rejection, String),
}

/// What was measured.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    pub(super) edv_ml: f64,
    pub(super) esv_ml: f64,
    pub(super) lvef_percent: f64,
    pub(super) interval: [f64; 2],
    /// Frames from the nearest true one, for each beat that was measured.
    pub(super) ed_frames: Vec<f64>,
    pub(super) es_frames: Vec<f64>,
    /// Dice of the contours with the true ones in the same frames.
    pub(super) ed_dice: Vec<f64>,
    pub(super) es_dice: Vec<f64>,
}

impl Case {
    /// Renders and reads a cine.
    pub(super) fn read(study: &Study, models: &Models) -> Self {
        let reading = read_clip(&clip(study), models);
        let spec = study.spec();
        Self {
            seed: spec.seed,
            style: spec.style,
            subject: spec.subject,
            quality: spec.quality,
            truth: study.truth().map(|truth| Truth {
                edv_ml: f64::from(truth.edv_ml),
                esv_ml: f64::from(truth.esv_ml),
                lvef_percent: f64::from(truth.lvef_percent),
                tilt_degrees: f64::from(truth.tilt_degrees),
            }),
            view: reading.view.as_ref().map(|view| view.label),
            probability: reading.view.as_ref().and_then(|view| view.probability),
            score: reading
                .quality
                .as_ref()
                .map(|quality| (quality.grade, quality.score)),
            outcome: outcome(study, reading),
        }
    }

    pub(super) fn is_four_chamber(&self) -> bool {
        self.subject == Subject::Apical(View::A4c)
    }

    pub(super) fn is_spoilt(&self) -> bool {
        self.quality == Quality::Poor
    }

    /// The measurement and its truth, if there are both.
    pub(super) fn measured(&self) -> Option<(&Measured, &Truth)> {
        match &self.outcome {
            Outcome::Measured(measured) => Some((measured, self.truth.as_ref()?)),
            Outcome::Refused(..) => None,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {} {:?} {:?}",
            self.style, self.seed, self.subject, self.quality
        )?;
        if let Some(truth) = &self.truth {
            write!(
                f,
                ", true EF {:.1} EDV {:.0} ESV {:.0} tilt {:.0}",
                truth.lvef_percent, truth.edv_ml, truth.esv_ml, truth.tilt_degrees
            )?;
        }
        if let (Some(view), Some(probability)) = (self.view, self.probability) {
            write!(f, ", {view:?} {probability:.2}")?;
        }
        if let Some((grade, score)) = self.score {
            write!(f, ", {grade:?} {score:.2}")?;
        }
        match &self.outcome {
            Outcome::Measured(m) => {
                write!(
                    f,
                    ": EF {:.1} EDV {:.0} ESV {:.0}",
                    m.lvef_percent, m.edv_ml, m.esv_ml
                )?;
                write!(f, ", Dice {:.2?} {:.2?}", m.ed_dice, m.es_dice)?;
                write!(f, ", frames {:?} {:?}", m.ed_frames, m.es_frames)
            }
            Outcome::Refused(reason, detail) => write!(f, ": {reason:?}, {detail}"),
        }
    }
}

/// The cine as decoding and cropping would give it.
fn clip(study: &Study) -> Clip {
    let spec = study.spec();
    let [left, top, right, bottom] = study.region().map(|edge| edge as usize);
    let (width, height) = (right - left + 1, bottom - top + 1);
    let mut pixels = Vec::with_capacity(spec.frames as usize * width * height);
    let mut frames = 0;
    for frame in study.frames() {
        for row in top..=bottom {
            pixels.extend((left..=right).map(|column| luma(&frame, column, row)));
        }
        frames += 1;
    }
    Clip {
        frames,
        height,
        width,
        pixels: pixels.into(),
        origin: [left, top],
        image: [spec.width as usize, spec.height as usize],
        cm_per_px: Some(study.raster().cm_per_px.map(f64::from)),
        pixel_aspect: 1.0,
        frame_rate_hz: Some(f64::from(spec.fps)),
        heart_rate_bpm: Some(f64::from(study.heart_rate())),
        header_view: None,
        norms: None,
    }
}

/// Luma of ITU-R BT.601, as in a JPEG's first component.
fn luma(frame: &Frame, column: usize, row: usize) -> u8 {
    let samples = usize::from(frame.samples);
    let at = (row * frame.width as usize + column) * samples;
    match frame.pixels.get(at..at + samples) {
        Some([grey]) => *grey,
        Some([r, g, b, ..]) => {
            (0.299 * f32::from(*r) + 0.587 * f32::from(*g) + 0.114 * f32::from(*b)).round() as u8
        }
        _ => 0,
    }
}

fn outcome(study: &Study, reading: ClipReading) -> Outcome {
    if let Some((reason, detail)) = reading.rejected {
        return Outcome::Refused(reason, detail.to_string());
    }
    let (Some(lv), Some(truth)) = (&reading.lv, study.truth()) else {
        // A number where nothing can be measured counts as a measurement of nothing.
        let found = reading.lv.map_or(0.0, |lv| lv.lvef_percent);
        return Outcome::Measured(Measured::baseless(found));
    };
    let volume = |ml: Option<f64>| ml.unwrap_or(f64::NAN);
    let nearest = |found: u32, of: fn(&sonode_phantom::truth::Beat) -> u32| {
        truth
            .beats
            .iter()
            .map(|beat| f64::from(of(beat)) - f64::from(found))
            .min_by(|a, b| a.abs().total_cmp(&b.abs()))
    };
    let dice = |phase: CardiacPhase| -> Vec<f64> {
        reading
            .contours
            .iter()
            .filter(|contour| contour.phase == phase)
            .filter_map(|contour| {
                let true_one = truth.contours.get(contour.frame as usize - 1)?;
                let points = contour.points.clone();
                Some(overlap(&Outline { points }, &true_outline(true_one)))
            })
            .collect()
    };
    Outcome::Measured(Measured {
        edv_ml: volume(lv.edv_ml),
        esv_ml: volume(lv.esv_ml),
        lvef_percent: lv.lvef_percent,
        interval: lv.lvef_interval.unwrap_or([0.0, 100.0]),
        ed_frames: reading
            .beats
            .iter()
            .filter_map(|b| nearest(b.ed_frame, |b| b.ed_frame))
            .collect(),
        es_frames: reading
            .beats
            .iter()
            .filter_map(|b| nearest(b.es_frame, |b| b.es_frame))
            .collect(),
        ed_dice: dice(CardiacPhase::EndDiastole),
        es_dice: dice(CardiacPhase::EndSystole),
    })
}

impl Measured {
    fn baseless(lvef_percent: f64) -> Self {
        Self {
            edv_ml: f64::NAN,
            esv_ml: f64::NAN,
            lvef_percent,
            interval: [0.0, 100.0],
            ed_frames: Vec::new(),
            es_frames: Vec::new(),
            ed_dice: Vec::new(),
            es_dice: Vec::new(),
        }
    }
}

/// The phantom's whole numbers are pixel centres; contours count from the pixel's corner.
fn true_outline(contour: &[[f32; 2]]) -> Outline {
    let points = contour.iter();
    Outline {
        points: points
            .map(|p| [f64::from(p[0]) + 0.5, f64::from(p[1]) + 0.5])
            .collect(),
    }
}

/// Dice of two polygons, counted at the centres of image pixels.
fn overlap(a: &Outline, b: &Outline) -> f64 {
    let (mut both, mut sum) = (0.0, 0.0);
    let rows = a.points.iter().chain(&b.points).map(|p| p[1]);
    let (low, high) = rows.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| {
        (low.min(y), high.max(y))
    });
    let mut y = low.floor() + 0.5;
    while y < high {
        let (spans_a, spans_b) = (spans(a, y), spans(b, y));
        sum += length(&spans_a) + length(&spans_b);
        for x in &spans_a {
            both += spans_b
                .iter()
                .map(|s| (x[1].min(s[1]) - x[0].max(s[0])).max(0.0))
                .sum::<f64>();
        }
        y += 1.0;
    }
    if sum > 0.0 { 2.0 * both / sum } else { 0.0 }
}

fn spans(outline: &Outline, y: f64) -> Vec<[f64; 2]> {
    let mut crossings: Vec<f64> = outline
        .edges()
        .filter(|(a, b)| (a[1] <= y) != (b[1] <= y))
        .map(|(a, b)| a[0] + (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]))
        .collect();
    crossings.sort_by(f64::total_cmp);
    crossings
        .chunks_exact(2)
        .map(|pair| [pair[0], pair[1]])
        .collect()
}

fn length(spans: &[[f64; 2]]) -> f64 {
    spans.iter().map(|span| span[1] - span[0]).sum()
}

#[cfg(test)]
mod tests {
    use sonode_phantom::cine::StudySpec;

    use super::*;

    #[test]
    fn polygons_overlap_by_their_areas() {
        let square = |x: f64| Outline {
            points: vec![[x, 0.0], [x + 10.0, 0.0], [x + 10.0, 10.0], [x, 10.0]],
        };
        assert!((overlap(&square(0.0), &square(0.0)) - 1.0).abs() < 1e-9);
        assert!((overlap(&square(0.0), &square(5.0)) - 0.5).abs() < 1e-9);
        assert!(overlap(&square(0.0), &square(20.0)).abs() < 1e-9);
    }

    #[test]
    fn a_clip_is_the_region_of_a_cine() {
        let mut spec = StudySpec::new(5, Style::D);
        spec.frames = 2;
        let study = Study::generate(&spec);
        let clip = clip(&study);
        let [left, top, right, bottom] = study.region();
        assert_eq!(clip.width as u32, right - left + 1);
        assert_eq!(clip.height as u32, bottom - top + 1);
        let last = clip.frame(1).unwrap();
        assert_eq!(last.len(), clip.width * clip.height);
        assert!(last.iter().any(|luma| *luma > 100));
        assert!(clip.frame(2).is_err());
    }

    fn models() -> Models {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        Models::load(&dir, tch::Device::Cpu, true).unwrap()
    }

    /// Dice of every frame's contour with the true one of the phantom's frame that it shows.
    fn dice(reading: &ClipReading, study: &Study, shown: impl Fn(usize) -> usize) -> Vec<f64> {
        let truth = study.truth().unwrap();
        let of_trace = |(at, trace): (usize, &sonode_findings::Trace)| {
            assert_eq!(trace.frame as usize, at + 1);
            let points = trace.points.clone();
            overlap(
                &Outline { points },
                &true_outline(&truth.contours[shown(at)]),
            )
        };
        reading.traces.iter().enumerate().map(of_trace).collect()
    }

    #[test]
    fn contours_follow_the_ventricle_in_frames_that_are_not_read_too() {
        let study = Study::generate(&StudySpec::new(31, Style::B));
        let reading = read_clip(&clip(&study), &models());
        let dice = dice(&reading, &study, |at| at);
        assert_eq!(dice.len(), 60);
        assert!(dice.iter().all(|dice| *dice > 0.9), "{dice:.2?}");
    }

    #[test]
    fn a_cine_of_several_stretches_is_measured_as_one() {
        let study = Study::generate(&StudySpec::new(32, Style::D));
        // To and fro, without a jump.
        let shown = |at: usize| match at % 118 {
            at if at < 60 => at,
            at => 118 - at,
        };
        let models = models();
        let mut clip = clip(&study);
        let of_short = read_clip(&clip, &models);
        let frames = (0..600).flat_map(|at| clip.frame(shown(at)).unwrap().to_vec());
        clip.pixels = frames.collect::<Vec<u8>>().into();
        clip.frames = 600;
        let of_long = read_clip(&clip, &models);
        let ef = |reading: &ClipReading| reading.lv.as_ref().unwrap().lvef_percent;
        assert!((ef(&of_long) - ef(&of_short)).abs() < 3.0);
        assert!(of_long.beats.len() > 4 * of_short.beats.len());
        let dice = dice(&of_long, &study, shown);
        assert_eq!(dice.len(), 600);
        assert!(dice.iter().all(|dice| *dice > 0.85), "{dice:.2?}");
    }
}
