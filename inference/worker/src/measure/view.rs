//! The view, from the chambers that are seen and where they lie.

use sonode_findings::{View, ViewLabel};

use super::frames::{ClipFrames, FrameReading};
use super::ventricle::Ventricle;

/// Share of frames in which a ventricle must be found.
const FOUND_SHARE_MIN: f64 = 0.6;

/// A cavity under this share of the grid is too small to be the ventricle of an apical view.
const CAVITY_SHARE_MIN: f64 = 0.012;

/// Wall over cavity, by area: a cavity without walls is none.
const WALL_SHARE_MIN: f64 = 0.15;

/// Left atrium over ventricle, by area: under it the atrium counts as not seen.
const ATRIUM_SHARE_MIN: f64 = 0.04;

/// Right heart over ventricle, by area: the middle between views with and without it, and the width of the doubt.
const RIGHT_SHARE: [f64; 2] = [0.10, 0.03];

/// What the pixels say.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) view: View,
    /// Why it is no apical view.
    pub(super) reason: Option<&'static str>,
}

/// Reads the view from the chambers.
pub(super) fn judge(frames: &ClipFrames) -> Seen {
    let count = frames.frames.len().max(1) as f64;
    let found = frames
        .found()
        .filter(|(frame, _)| frame.areas.lv >= CAVITY_SHARE_MIN)
        .count() as f64
        / count;
    if found < FOUND_SHARE_MIN {
        return other(
            1.0 - found,
            "No left ventricle of an apical view was found.",
        );
    }
    let wall = frames.median(|frame| frame.areas.myocardium / frame.areas.lv);
    if wall < WALL_SHARE_MIN {
        return other(found, "The cavity that was found has no walls around it.");
    }
    let below = share_of(frames, atrium_is_below);
    let atrium = frames.median(|frame| frame.areas.la / frame.areas.lv);
    if atrium < ATRIUM_SHARE_MIN || below < FOUND_SHARE_MIN {
        return other(
            1.0 - below.min(found),
            "No left atrium was found below the ventricle.",
        );
    }
    let right = frames.median(|frame| frame.areas.right / frame.areas.lv);
    let beside = share_of(frames, right_is_beside);
    let four = logistic((right - RIGHT_SHARE[0]) / RIGHT_SHARE[1]) * beside.max(0.5);
    let (label, probability) = if four >= 0.5 {
        (ViewLabel::A4C, four)
    } else {
        (ViewLabel::A2C, 1.0 - four)
    };
    let view = View {
        label,
        probability: Some(probability * found.min(below)),
    };
    Seen { view, reason: None }
}

/// The header's word counts; where the pixels contradict it, a note says so.
pub(super) fn decide(header: Option<ViewLabel>, seen: &Seen) -> (View, Option<String>) {
    match header {
        // A header names a view, not that its ventricle is in the picture.
        Some(label) if seen.view.label != ViewLabel::Other => {
            let note = (label != seen.view.label).then(|| {
                format!(
                    "The header says {}, the chambers in the image look like {}.",
                    name(label),
                    name(seen.view.label)
                )
            });
            (
                View {
                    label,
                    probability: None,
                },
                note,
            )
        }
        _ => (seen.view.clone(), None),
    }
}

fn name(label: ViewLabel) -> &'static str {
    match label {
        ViewLabel::A4C => "apical four-chamber",
        ViewLabel::A2C => "apical two-chamber",
        ViewLabel::Other => "another view",
    }
}

fn other(probability: f64, reason: &'static str) -> Seen {
    let view = View {
        label: ViewLabel::Other,
        probability: Some(probability.clamp(0.0, 1.0)),
    };
    Seen {
        view,
        reason: Some(reason),
    }
}

/// Share of the frames with a ventricle for which a relation holds.
fn share_of(frames: &ClipFrames, holds: fn(&FrameReading, &Ventricle) -> bool) -> f64 {
    let (mut yes, mut all) = (0.0, 0.0);
    for (frame, ventricle) in frames.found() {
        all += 1.0;
        yes += f64::from(u8::from(holds(frame, ventricle)));
    }
    if all > 0.0 { yes / all } else { 0.0 }
}

/// Coordinates of a point along the long axis (0 at the apex, 1 at the annulus) and across it, in lengths.
fn on_axis(ventricle: &Ventricle, point: [f64; 2]) -> [f64; 2] {
    let axis = [
        ventricle.base[0] - ventricle.apex[0],
        ventricle.base[1] - ventricle.apex[1],
    ];
    let square = (axis[0] * axis[0] + axis[1] * axis[1]).max(f64::EPSILON);
    let offset = [point[0] - ventricle.apex[0], point[1] - ventricle.apex[1]];
    [
        (offset[0] * axis[0] + offset[1] * axis[1]) / square,
        (offset[0] * axis[1] - offset[1] * axis[0]) / square,
    ]
}

pub(super) fn atrium_is_below(frame: &FrameReading, ventricle: &Ventricle) -> bool {
    frame
        .atrium_centre
        .is_some_and(|centre| on_axis(ventricle, centre)[0] > 0.9)
}

fn right_is_beside(frame: &FrameReading, ventricle: &Ventricle) -> bool {
    frame
        .right_centre
        .is_some_and(|centre| on_axis(ventricle, centre)[1].abs() > 0.2)
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(label: ViewLabel) -> Seen {
        Seen {
            view: View {
                label,
                probability: Some(0.9),
            },
            reason: None,
        }
    }

    #[test]
    fn the_header_counts_unless_there_is_no_ventricle() {
        let (view, note) = decide(Some(ViewLabel::A4C), &seen(ViewLabel::A4C));
        assert_eq!(
            (view.label, view.probability, note),
            (ViewLabel::A4C, None, None)
        );
        let (view, note) = decide(Some(ViewLabel::A2C), &seen(ViewLabel::A4C));
        assert_eq!(view.label, ViewLabel::A2C);
        assert!(note.unwrap().contains("four-chamber"));
        let (view, note) = decide(Some(ViewLabel::Other), &seen(ViewLabel::A4C));
        assert!(view.label == ViewLabel::Other && note.is_some());
        let (view, _) = decide(Some(ViewLabel::A4C), &seen(ViewLabel::Other));
        assert_eq!(view.label, ViewLabel::Other);
        let (view, _) = decide(None, &seen(ViewLabel::A2C));
        assert_eq!((view.label, view.probability), (ViewLabel::A2C, Some(0.9)));
    }

    #[test]
    fn places_are_told_along_the_axis_and_across_it() {
        let ventricle = Ventricle {
            outline: super::super::Outline::default(),
            apex: [10.0, 2.0],
            base: [10.0, 10.0],
            annulus_seen: true,
        };
        let [along, across] = on_axis(&ventricle, [10.0, 12.0]);
        assert!((along - 1.25).abs() < 1e-9 && across.abs() < 1e-9);
        assert!((on_axis(&ventricle, [6.0, 6.0])[1].abs() - 0.5).abs() < 1e-9);
    }
}
