//! Fitness for measurement, from what the segmentation sees and how steadily, and from the quality model.

use sonode_findings::{Grade, Pattern, Quality, phrases};

use super::curve::Curve;
use super::frames::ClipFrames;
use crate::models::Structures;

/// Scores from which a clip is good, and from which it is fair.
const GRADES: [f64; 2] = [0.66, 0.36];

/// What scores less than this is a reason why a clip isn't better.
const HALF: f64 = 0.5;

/// A clip whose brightest pixel never passes this luma is blank.
const BLANK_LUMA: u8 = 12;

/// A curve whose range is this share of its largest volume is flat.
const FLAT_SHARE: f64 = 0.01;

/// Noise is measured against at least this share of the largest volume.
const RANGE_SHARE_MIN: f64 = 0.3;

/// One aspect of quality: the figure that scores 0, the one that scores 1, and what to say of a low score.
struct Aspect {
    value: f64,
    worst: f64,
    best: f64,
    reason: Pattern<0>,
}

impl Aspect {
    /// 0 to 1.
    fn score(&self) -> f64 {
        ((self.value - self.worst) / (self.best - self.worst)).clamp(0.0, 1.0)
    }
}

/// Whether a clip shows nothing at all.
pub(super) fn is_blank(frames: &ClipFrames) -> bool {
    frames.brightest <= BLANK_LUMA
}

/// Grades a clip in which ventricles were found.
///
/// The score is the geometric mean of its aspects, so that a single failure makes a clip poor; or the quality model's
/// `fitness`, 0 to 1, where that is less: a clip is no better than the stricter of the two judges says, since neither
/// sees what the other does.
pub(super) fn judge(
    frames: &ClipFrames,
    curve: Option<&Curve>,
    maps: Structures,
    fitness: Option<f64>,
) -> Quality {
    let aspects = aspects(frames, curve, maps);
    let product: f64 = aspects.iter().map(Aspect::score).product();
    let steadiness = product.powf(1.0 / aspects.len() as f64);
    let reasons = aspects
        .iter()
        .filter(|aspect| aspect.score() < HALF)
        .map(|aspect| aspect.reason);
    graded(
        fitness.map_or(steadiness, |fitness| fitness.min(steadiness)),
        reasons.chain(unfit(fitness)),
    )
}

/// Grades a clip by the quality model alone: one in which no apical view was found has no outline to judge by.
pub(super) fn judge_image(fitness: f64) -> Quality {
    graded(fitness, unfit(Some(fitness)))
}

fn unfit(fitness: Option<f64>) -> Option<Pattern<0>> {
    fitness
        .filter(|fitness| *fitness < HALF)
        .map(|_| phrases::UNFIT)
}

/// Reasons have no values, so that their wording alone tells which they are.
fn graded(score: f64, reasons: impl IntoIterator<Item = Pattern<0>>) -> Quality {
    Quality {
        grade: grade(score),
        score,
        reasons: reasons
            .into_iter()
            .map(|reason| reason.to_string())
            .collect(),
    }
}

fn aspects(frames: &ClipFrames, curve: Option<&Curve>, maps: Structures) -> Vec<Aspect> {
    let found = frames.found().count() as f64 / frames.count().max(1) as f64;
    let noise = curve.map_or(1.0, |curve| {
        let (low, high) = curve.range();
        // A curve without a beat is not noisy but flat, which is for the beat finder to say.
        if high - low > FLAT_SHARE * high {
            // A heart that hardly moves has a small range, and noise that is small for its EF is no fault of the image.
            curve.residual / (high - low).max(RANGE_SHARE_MIN * high)
        } else {
            0.0
        }
    });
    let mut aspects = vec![
        Aspect {
            value: frames.median(|frame| frame.confidence),
            worst: 0.35,
            best: 0.85,
            reason: phrases::UNCLEAR_BORDERS,
        },
        Aspect {
            value: frames.median_known(|frame| frame.overlap).unwrap_or(1.0),
            worst: 0.70,
            best: 0.94,
            reason: phrases::OUTLINE_JUMPS,
        },
        Aspect {
            value: found,
            worst: 0.5,
            best: 0.95,
            reason: phrases::VENTRICLE_LOST,
        },
        Aspect {
            value: frames.median(|frame| frame.solidity),
            worst: 0.70,
            best: 0.92,
            reason: phrases::IRREGULAR_OUTLINE,
        },
        Aspect {
            value: -noise,
            worst: -0.14,
            best: -0.06,
            reason: phrases::NOISY_CURVE,
        },
    ];
    if maps.myocardium {
        aspects.push(Aspect {
            value: frames.median(|frame| frame.contrast),
            worst: -0.05,
            best: 0.12,
            reason: phrases::LITTLE_CONTRAST,
        });
    }
    aspects
}

fn grade(score: f64) -> Grade {
    match score {
        s if s >= GRADES[0] => Grade::Good,
        s if s >= GRADES[1] => Grade::Fair,
        _ => Grade::Poor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_outline_is_graded_by_the_model() {
        let poor = judge_image(0.2);
        assert_eq!((poor.grade, poor.reasons.len()), (Grade::Poor, 1));
        let fair = judge_image(0.45);
        assert_eq!((fair.grade, fair.reasons.len()), (Grade::Fair, 1));
        let good = judge_image(0.9);
        assert_eq!((good.grade, good.reasons.len()), (Grade::Good, 0));
    }

    #[test]
    fn an_aspect_runs_from_nothing_to_one() {
        let aspect = |value| {
            Aspect {
                value,
                worst: 0.2,
                best: 0.6,
                reason: phrases::UNFIT,
            }
            .score()
        };
        assert!(aspect(0.1).abs() < 1e-9 && (aspect(0.4) - 0.5).abs() < 1e-9);
        assert!((aspect(0.9) - 1.0).abs() < 1e-9);
        assert_eq!(
            [grade(0.9), grade(0.5), grade(0.1)],
            [Grade::Good, Grade::Fair, Grade::Poor]
        );
    }
}
