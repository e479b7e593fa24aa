//! The view, from the chambers that are seen and where they lie, from the view model, and from the header.

use sonode_findings::{Pattern, Sentence, View, ViewLabel, phrases};

use super::frames::{ClipFrames, FrameReading};
use super::ventricle::Ventricle;
use crate::models::{Structures, ViewProbabilities};

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

/// From this probability on, the view model's "another view" refuses a clip.
const OTHER_MIN: f64 = 0.5;

/// What the chambers say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Chambers {
    /// No apical view: how sure, and why.
    Other {
        probability: f64,
        reason: Pattern<0>,
    },
    /// An apical view; which one, where the network maps enough to tell.
    Apical(Option<View>),
}

/// The view that a clip is taken for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decision {
    /// None where nothing tells it.
    pub(super) view: Option<View>,
    /// Where two sources contradict each other.
    pub(super) note: Option<Sentence>,
    /// The apical view that the clip may be measured in, or why it can't be measured.
    pub(super) measurable: Result<ViewLabel, Sentence>,
}

/// Reads the view from the chambers. A rule on a structure that the network doesn't map says nothing.
pub(super) fn judge(frames: &ClipFrames, maps: Structures) -> Chambers {
    let count = frames.count().max(1) as f64;
    let found = frames
        .found()
        .filter(|(frame, _)| frame.areas.lv >= CAVITY_SHARE_MIN)
        .count() as f64
        / count;
    if found < FOUND_SHARE_MIN {
        return other(1.0 - found, phrases::NO_VENTRICLE);
    }
    let wall = frames.median(|frame| frame.areas.myocardium / frame.areas.lv);
    if maps.myocardium && wall < WALL_SHARE_MIN {
        return other(found, phrases::NO_WALLS);
    }
    if !maps.la {
        return Chambers::Apical(None);
    }
    let below = share_of(frames, atrium_is_below);
    let atrium = frames.median(|frame| frame.areas.la / frame.areas.lv);
    if atrium < ATRIUM_SHARE_MIN || below < FOUND_SHARE_MIN {
        return other(1.0 - below.min(found), phrases::NO_ATRIUM_BELOW);
    }
    if !maps.right {
        return Chambers::Apical(None);
    }
    let right = frames.median(|frame| frame.areas.right / frame.areas.lv);
    let beside = share_of(frames, right_is_beside);
    let four = logistic((right - RIGHT_SHARE[0]) / RIGHT_SHARE[1]) * beside.max(0.5);
    let (label, probability) = if four >= 0.5 {
        (ViewLabel::A4C, four)
    } else {
        (ViewLabel::A2C, 1.0 - four)
    };
    Chambers::Apical(Some(View {
        label,
        probability: Some(probability * found.min(below)),
    }))
}

/// The chambers and the view model can each refuse a clip. Else the header's word counts, then the view model's, then
/// that of the chambers; where the image contradicts the header, a note says so.
pub(super) fn decide(
    header: Option<ViewLabel>,
    chambers: &Chambers,
    model: Option<ViewProbabilities>,
) -> Decision {
    // A header names a view, not that its ventricle is in the picture.
    let by_chambers = match chambers {
        Chambers::Other {
            probability,
            reason,
        } => return refuse(*probability, (*reason).into()),
        Chambers::Apical(which) => which.clone(),
    };
    if let Some(ViewProbabilities { other, .. }) = model.filter(|seen| seen.other >= OTHER_MIN) {
        let reason = phrases::NOT_APICAL.say([format!("{other:.2}").into()]);
        return refuse(other, reason);
    }
    let seen = match (model, by_chambers) {
        (Some(model), Some(chambers)) => Some(both(model, &chambers)),
        (model, chambers) => model.map(apical).or(chambers),
    };
    let Some(label) = header else {
        return Decision {
            measurable: seen
                .as_ref()
                .map(|seen| seen.label)
                .ok_or_else(|| phrases::VIEW_UNTOLD.into()),
            view: seen,
            note: None,
        };
    };
    let contradicts = seen.filter(|seen| seen.label != label);
    Decision {
        view: Some(View {
            label,
            probability: None,
        }),
        note: contradicts.map(|seen| {
            phrases::VIEWS_CONTRADICT.say([name(label).into(), name(seen.label).into()])
        }),
        measurable: match label {
            ViewLabel::A4C | ViewLabel::A2C => Ok(label),
            ViewLabel::Other => Err(phrases::HEADER_NOT_APICAL.into()),
        },
    }
}

/// The likelier of the two apical views.
fn apical(seen: ViewProbabilities) -> View {
    let (label, probability) = if seen.a4c >= seen.a2c {
        (ViewLabel::A4C, seen.a4c)
    } else {
        (ViewLabel::A2C, seen.a2c)
    };
    View {
        label,
        probability: Some(probability),
    }
}

/// The likelier of the two apical views for two judges that see different things: the model the whole image, the
/// segmentation whether there is a right heart. Each counts as much as the other.
fn both(model: ViewProbabilities, chambers: &View) -> View {
    let by_chambers = match (chambers.label, chambers.probability.unwrap_or(0.5)) {
        (ViewLabel::A4C, probability) => probability,
        (_, probability) => 1.0 - probability,
    };
    let by_model = model.a4c / (model.a4c + model.a2c).max(f64::EPSILON);
    let four = f64::midpoint(by_model, by_chambers);
    let (label, share) = if four >= 0.5 {
        (ViewLabel::A4C, four)
    } else {
        (ViewLabel::A2C, 1.0 - four)
    };
    View {
        label,
        probability: Some(share * (1.0 - model.other)),
    }
}

fn refuse(probability: f64, reason: Sentence) -> Decision {
    Decision {
        view: Some(View {
            label: ViewLabel::Other,
            probability: Some(probability.clamp(0.0, 1.0)),
        }),
        note: None,
        measurable: Err(reason),
    }
}

fn name(label: ViewLabel) -> Pattern<0> {
    match label {
        ViewLabel::A4C => phrases::APICAL_FOUR_CHAMBER,
        ViewLabel::A2C => phrases::APICAL_TWO_CHAMBER,
        ViewLabel::Other => phrases::ANOTHER_VIEW,
    }
}

fn other(probability: f64, reason: Pattern<0>) -> Chambers {
    Chambers::Other {
        probability,
        reason,
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

    fn chambers(label: ViewLabel) -> Chambers {
        Chambers::Apical(Some(View {
            label,
            probability: Some(0.9),
        }))
    }

    const NO_VENTRICLE: Chambers = Chambers::Other {
        probability: 0.8,
        reason: phrases::NO_VENTRICLE,
    };

    fn probabilities(a4c: f64, a2c: f64) -> ViewProbabilities {
        let other = 1.0 - a4c - a2c;
        ViewProbabilities { a4c, a2c, other }
    }

    fn view_of(decision: &Decision) -> (ViewLabel, Option<f64>) {
        let view = decision.view.clone().unwrap();
        (view.label, view.probability)
    }

    #[test]
    fn the_header_counts_unless_there_is_no_ventricle() {
        let of = |header, chambers: &Chambers| decide(Some(header), chambers, None);
        let agreed = of(ViewLabel::A4C, &chambers(ViewLabel::A4C));
        assert_eq!(view_of(&agreed), (ViewLabel::A4C, None));
        assert_eq!((agreed.note, agreed.measurable), (None, Ok(ViewLabel::A4C)));
        let contradicted = of(ViewLabel::A2C, &chambers(ViewLabel::A4C));
        assert_eq!(view_of(&contradicted), (ViewLabel::A2C, None));
        assert!(contradicted.note.unwrap().text().contains("four-chamber"));
        let refused = of(ViewLabel::Other, &chambers(ViewLabel::A4C));
        assert!(
            refused.note.is_some() && refused.measurable.unwrap_err().text().contains("header")
        );
        let refused = of(ViewLabel::A4C, &NO_VENTRICLE);
        assert_eq!(view_of(&refused), (ViewLabel::Other, Some(0.8)));
        assert_eq!(refused.measurable, Err(phrases::NO_VENTRICLE.into()));
        let alone = decide(None, &chambers(ViewLabel::A2C), None);
        assert_eq!(view_of(&alone), (ViewLabel::A2C, Some(0.9)));
    }

    #[test]
    fn the_view_model_refuses_or_names_the_view() {
        // Of two apical views the surer of model and chambers has its way.
        let told = |a4c, a2c| {
            let model = Some(probabilities(a4c, a2c));
            decide(None, &chambers(ViewLabel::A2C), model)
        };
        assert_eq!(told(0.6, 0.3).measurable, Ok(ViewLabel::A2C));
        let sure = told(0.9, 0.01);
        assert_eq!(sure.measurable, Ok(ViewLabel::A4C));
        let probability = view_of(&sure).1.unwrap();
        assert!((0.4..0.6).contains(&probability), "{probability}");
        let agreed = decide(
            None,
            &chambers(ViewLabel::A4C),
            Some(probabilities(0.9, 0.0)),
        );
        assert!((view_of(&agreed).1.unwrap() - 0.95 * 0.9).abs() < 1e-9);
        assert_eq!(agreed.measurable, Ok(ViewLabel::A4C));
        let refused = decide(
            None,
            &chambers(ViewLabel::A4C),
            Some(probabilities(0.4, 0.1)),
        );
        assert_eq!(view_of(&refused), (ViewLabel::Other, Some(0.5)));
        assert!(refused.measurable.unwrap_err().text().contains("0.50"));
        // The header doesn't bring back what it refuses.
        let refused = decide(
            Some(ViewLabel::A4C),
            &chambers(ViewLabel::A4C),
            Some(probabilities(0.1, 0.1)),
        );
        assert_eq!(view_of(&refused).0, ViewLabel::Other);
        let contradicted = decide(
            Some(ViewLabel::A4C),
            &chambers(ViewLabel::A4C),
            Some(probabilities(0.0, 0.95)),
        );
        assert_eq!(view_of(&contradicted), (ViewLabel::A4C, None));
        assert!(contradicted.note.unwrap().text().contains("two-chamber"));
        // Nor does it bring back what the chambers refuse.
        let refused = decide(None, &NO_VENTRICLE, Some(probabilities(0.9, 0.1)));
        assert_eq!(refused.measurable, Err(phrases::NO_VENTRICLE.into()));
    }

    #[test]
    fn a_network_of_the_cavity_alone_needs_another_word_on_the_view() {
        let cavity = Chambers::Apical(None);
        let untold = decide(None, &cavity, None);
        assert!(
            untold.view.is_none() && untold.measurable.unwrap_err().text().contains("view model")
        );
        let told = decide(None, &cavity, Some(probabilities(0.2, 0.7)));
        assert_eq!(view_of(&told), (ViewLabel::A2C, Some(0.7)));
        let told = decide(Some(ViewLabel::A4C), &cavity, None);
        assert_eq!(
            (view_of(&told).0, told.note, told.measurable),
            (ViewLabel::A4C, None, Ok(ViewLabel::A4C))
        );
    }

    #[test]
    fn places_are_told_along_the_axis_and_across_it() {
        let ventricle = Ventricle {
            outline: super::super::Outline::default(),
            apex: [10.0, 2.0],
            base: [10.0, 10.0],
            annulus_seen: true,
            border: super::super::Outline::default(),
            region_share: 1.0,
        };
        let [along, across] = on_axis(&ventricle, [10.0, 12.0]);
        assert!((along - 1.25).abs() < 1e-9 && across.abs() < 1e-9);
        assert!((on_axis(&ventricle, [6.0, 6.0])[1].abs() - 0.5).abs() < 1e-9);
    }
}
