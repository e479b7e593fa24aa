//! The biplane method of disks: one ventricle from a four-chamber and a two-chamber clip.

use std::f64::consts::PI;

use crate::instance::{Beat, Check, CheckOutcome, Disks, InstanceFindings, LvMeasurement, Method};
use crate::phrases::{self, Rule, rule};
use crate::plausibility::{self, ASE_2015, SONODE, whole, whole_beside};

/// Largest difference of the two clips' heart rates, as a share of the slower one.
const RATE_SHARE_MAX: f64 = 0.10;

/// Largest difference of the two long axes at end diastole, as a share of the longer one.
const LENGTH_SHARE_MAX: f64 = 0.20;

/// Largest difference of the two planes' ejection fractions that isn't remarked on, in points.
const EF_POINTS_MAX: f64 = 10.0;

/// A biplane measurement, or the checks that say why there is none.
pub(crate) struct Biplane {
    /// Whether the clips show one ventricle at one time, as far as rates and lengths tell.
    pub(crate) matches: bool,
    /// The measurement; none where a check forbids it.
    pub(crate) measurement: Option<LvMeasurement>,
    /// What was checked of the pair.
    pub(crate) checks: Vec<Check>,
}

/// Measures the first pair that matches, and where none does, says of the first one why. Clips come best first; pairs in
/// the order of both clips' places together. What a pair's numbers are never decides on it.
pub(crate) fn first_match<'a>(
    fours: &[&'a InstanceFindings],
    twos: &[&'a InstanceFindings],
) -> Option<(Biplane, [&'a InstanceFindings; 2])> {
    let mut places: Vec<_> = (0..fours.len())
        .flat_map(|four| (0..twos.len()).map(move |two| (four + two, four, two)))
        .collect();
    places.sort_unstable();
    let mut pairs = places.into_iter().map(|(_, four, two)| {
        let pair = [fours[four], twos[two]];
        (measure(pair[0], pair[1]), pair)
    });
    let first = pairs.next()?;
    if first.0.matches {
        return Some(first);
    }
    pairs.find(|(pair, _)| pair.matches).or(Some(first))
}

/// Measures a pair of clips that were each measured by themselves. Images of a stress stage never come here.
///
/// Volumes are π/4 · Σ aᵢ bᵢ · L/20 with the longer of the two long axes (Lang 2015, JASE 28:1).
fn measure(four: &InstanceFindings, two: &InstanceFindings) -> Biplane {
    let mut checks = vec![rates_agree(four, two)];
    let planes = middle_beat(four).zip(middle_beat(two)).and_then(|(a, b)| {
        Some([
            [a.ed_disks.as_ref()?, b.ed_disks.as_ref()?],
            [a.es_disks.as_ref()?, b.es_disks.as_ref()?],
        ])
    });
    let Some([ed, es]) = planes else {
        checks.push(Check::new(
            rule::BIPLANE_LENGTHS,
            CheckOutcome::Skipped,
            phrases::ONE_UNCALIBRATED,
            SONODE,
        ));
        return Biplane {
            matches: false,
            measurement: None,
            checks,
        };
    };
    checks.push(lengths_agree(ed));
    let matches = checks.iter().all(|c| c.outcome == CheckOutcome::Pass);
    checks.push(planes_agree(four, two));
    let measurement = matches.then(|| {
        let (edv, esv) = (volume(ed), volume(es));
        let lvef_percent = 100.0 * (edv - esv) / edv;
        LvMeasurement {
            edv_ml: Some(edv),
            esv_ml: Some(esv),
            lvef_percent,
            lvef_interval: interval(lvef_percent, four, two),
            method: Method::ModBiplane,
        }
    });
    let mut measurement = measurement.filter(|lv| lv.lvef_percent.is_finite());
    let own = measurement.as_ref().map(|lv| plausible(lv, four, two));
    for check in own.into_iter().flatten() {
        if check.outcome == CheckOutcome::Fail {
            measurement = None;
        }
        checks.push(check.said_of(phrases::OF_BIPLANE));
    }
    Biplane {
        matches,
        measurement,
        checks,
    }
}

/// The rules that each clip's numbers were held against, for the numbers that are reported instead: the longer axis counts
/// for both planes, so that they may lie outside what either clip had.
fn plausible(lv: &LvMeasurement, four: &InstanceFindings, two: &InstanceFindings) -> Vec<Check> {
    let (Some(edv), Some(esv)) = (lv.edv_ml, lv.esv_ml) else {
        return Vec::new();
    };
    let mut checks = vec![
        plausibility::esv_below_edv([edv, esv], "ml".into()),
        plausibility::ef(lv.lvef_percent),
        plausibility::edv(edv),
    ];
    if let (Some(a), Some(b)) = (four.heart_rate_bpm, two.heart_rate_bpm) {
        checks.push(plausibility::cardiac_output(
            [edv, esv],
            f64::midpoint(a, b),
        ));
    }
    checks
}

/// The beat whose ejection fraction is the clip's.
fn middle_beat(clip: &InstanceFindings) -> Option<&Beat> {
    let lvef = clip.lv.as_ref()?.lvef_percent;
    clip.beats.iter().min_by(|a, b| {
        let off = |beat: &Beat| (beat.lvef_percent - lvef).abs();
        off(a).total_cmp(&off(b))
    })
}

/// Millilitres of one phase, seen in two planes.
fn volume([a, b]: [&Disks; 2]) -> f64 {
    let pairs = a.diameters_cm.iter().zip(&b.diameters_cm);
    let (products, count) = pairs.fold((0.0, 0.0), |(sum, count), (a, b)| {
        (sum + a * b, count + 1.0)
    });
    PI / 4.0 * products / count * a.length_cm.max(b.length_cm)
}

/// The planes' errors are mostly the model's own, so they don't average out: half the width is the mean of both.
fn interval(lvef: f64, four: &InstanceFindings, two: &InstanceFindings) -> Option<[f64; 2]> {
    let half = |clip: &InstanceFindings| {
        let [low, high] = clip.lv.as_ref()?.lvef_interval?;
        Some((high - low) / 2.0)
    };
    let half = f64::midpoint(half(four)?, half(two)?);
    Some([(lvef - half).max(0.0), (lvef + half).min(100.0)])
}

fn rates_agree(four: &InstanceFindings, two: &InstanceFindings) -> Check {
    const RULE: Rule = rule::BIPLANE_HEART_RATES;
    let (Some(a), Some(b)) = (four.heart_rate_bpm, two.heart_rate_bpm) else {
        return Check::new(
            RULE,
            CheckOutcome::Skipped,
            phrases::ONE_RATE_UNKNOWN,
            SONODE,
        );
    };
    let share = (a - b).abs() / a.min(b);
    let detail = phrases::RATES.say([
        whole(a),
        whole(b),
        whole_beside(share * 100.0, RATE_SHARE_MAX * 100.0),
        whole(RATE_SHARE_MAX * 100.0),
    ]);
    Check::new(RULE, pass_or_warn(share <= RATE_SHARE_MAX), detail, SONODE)
}

fn lengths_agree([a, b]: [&Disks; 2]) -> Check {
    let share = (a.length_cm - b.length_cm).abs() / a.length_cm.max(b.length_cm);
    let detail = phrases::AXES.say([
        format!("{:.1}", a.length_cm).into(),
        format!("{:.1}", b.length_cm).into(),
        whole_beside(share * 100.0, LENGTH_SHARE_MAX * 100.0),
        whole(LENGTH_SHARE_MAX * 100.0),
    ]);
    let outcome = pass_or_warn(share <= LENGTH_SHARE_MAX);
    Check::new(rule::BIPLANE_LENGTHS, outcome, detail, ASE_2015)
}

fn planes_agree(four: &InstanceFindings, two: &InstanceFindings) -> Check {
    let ef = |clip: &InstanceFindings| clip.lv.as_ref().map_or(f64::NAN, |lv| lv.lvef_percent);
    let (a, b) = (ef(four), ef(two));
    let apart = (a - b).abs();
    let detail = phrases::PLANES.say([
        whole(a),
        whole(b),
        whole_beside(apart, EF_POINTS_MAX),
        whole(EF_POINTS_MAX),
    ]);
    let outcome = pass_or_warn(apart <= EF_POINTS_MAX);
    Check::new(rule::PLANES_AGREE, outcome, detail, SONODE)
}

fn pass_or_warn(ok: bool) -> CheckOutcome {
    if ok {
        CheckOutcome::Pass
    } else {
        CheckOutcome::Warn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clip of a circular cylinder: every diameter alike.
    fn clip(
        uid: &str,
        method: Method,
        [length, ed, es]: [f64; 3],
        rate: Option<f64>,
    ) -> InstanceFindings {
        let disks = |diameter: f64| {
            Some(Disks {
                length_cm: length,
                diameters_cm: vec![diameter; 20],
            })
        };
        let cylinder = |d: f64| PI / 4.0 * d * d * length;
        let lvef_percent = 100.0 * (1.0 - cylinder(es) / cylinder(ed));
        let mut clip = InstanceFindings::empty(uid.parse().unwrap());
        clip.heart_rate_bpm = rate;
        clip.beats = vec![Beat {
            ed_frame: 1,
            es_frame: 9,
            edv_ml: Some(cylinder(ed)),
            esv_ml: Some(cylinder(es)),
            lvef_percent,
            complete: true,
            ed_disks: disks(ed),
            es_disks: disks(es),
        }];
        clip.lv = Some(LvMeasurement {
            edv_ml: Some(cylinder(ed)),
            esv_ml: Some(cylinder(es)),
            lvef_percent,
            lvef_interval: Some([lvef_percent - 6.0, lvef_percent + 6.0]),
            method,
        });
        clip
    }

    #[test]
    fn two_planes_of_one_elliptic_cylinder_give_its_volume() {
        let four = clip("1.2.4", Method::ModA4c, [8.0, 4.0, 3.0], Some(62.0));
        let two = clip("1.2.2", Method::ModA2c, [7.6, 5.0, 3.5], Some(65.0));
        let biplane = measure(&four, &two);
        let lv = biplane.measurement.unwrap();
        // The longer axis counts for both.
        assert!((lv.edv_ml.unwrap() - PI / 4.0 * 4.0 * 5.0 * 8.0).abs() < 1e-9);
        assert!((lv.esv_ml.unwrap() - PI / 4.0 * 3.0 * 3.5 * 8.0).abs() < 1e-9);
        assert!((lv.lvef_percent - 47.5).abs() < 1e-9);
        assert_eq!(lv.method, Method::ModBiplane);
        let [low, high] = lv.lvef_interval.unwrap();
        assert!((high - low - 12.0).abs() < 1e-9);
    }

    #[test]
    fn planes_that_do_not_match_are_not_combined_and_say_why() {
        let four = clip("1.2.4", Method::ModA4c, [8.0, 4.0, 3.0], Some(62.0));
        let cases = [
            (
                "biplane-heart-rates",
                [7.6, 5.0, 3.5],
                Some(75.0),
                CheckOutcome::Warn,
            ),
            (
                "biplane-heart-rates",
                [7.6, 5.0, 3.5],
                None,
                CheckOutcome::Skipped,
            ),
            (
                "biplane-lengths",
                [6.0, 5.0, 3.5],
                Some(62.0),
                CheckOutcome::Warn,
            ),
        ];
        for (id, sizes, rate, outcome) in cases {
            let biplane = measure(&four, &clip("1.2.2", Method::ModA2c, sizes, rate));
            assert!(biplane.measurement.is_none(), "{id}");
            let found = biplane.checks.iter().find(|check| check.id == id).unwrap();
            assert_eq!(found.outcome, outcome, "{id}");
        }
        let mut uncalibrated = clip("1.2.2", Method::ModA2c, [7.6, 5.0, 3.5], Some(62.0));
        uncalibrated.beats[0].ed_disks = None;
        assert!(measure(&four, &uncalibrated).measurement.is_none());
    }

    #[test]
    fn the_best_pair_that_matches_is_measured_whatever_it_gives() {
        let four = |uid, rate| clip(uid, Method::ModA4c, [13.0, 6.8, 5.0], Some(rate));
        let two = |uid, rate, ed| clip(uid, Method::ModA2c, [13.0, ed, 5.0], Some(rate));
        let fours = [four("1.4.1", 60.0), four("1.4.2", 80.0)];
        // The second goes with the second four-chamber clip, but together they are too large for a heart.
        let twos = [
            two("1.2.1", 100.0, 5.0),
            two("1.2.2", 82.0, 9.0),
            two("1.2.3", 61.0, 5.0),
        ];
        let chosen = |fours: &[&InstanceFindings], twos: &[&InstanceFindings]| {
            first_match(fours, twos).map(|(pair, [four, two])| {
                let uids = [&four.sop_instance_uid, &two.sop_instance_uid];
                (
                    pair.matches,
                    pair.measurement.is_some(),
                    uids.map(ToString::to_string),
                )
            })
        };
        let pair =
            |matches, measured, uids: [&str; 2]| Some((matches, measured, uids.map(str::to_owned)));
        let (fours, twos) = (fours.each_ref(), twos.each_ref());
        assert_eq!(chosen(&fours, &twos), pair(true, true, ["1.4.1", "1.2.3"]));
        assert_eq!(
            chosen(&fours[1..], &twos),
            pair(true, false, ["1.4.2", "1.2.2"])
        );
        assert_eq!(
            chosen(&fours, &twos[..1]),
            pair(false, false, ["1.4.1", "1.2.1"])
        );
        assert_eq!(chosen(&fours, &[]), None);
    }

    #[test]
    fn what_the_two_planes_give_together_is_held_against_the_bounds_too() {
        let four = clip("1.2.4", Method::ModA4c, [11.0, 7.2, 5.0], Some(62.0));
        let two = clip("1.2.2", Method::ModA2c, [13.0, 6.8, 5.0], Some(62.0));
        // 448 and 472 ml, and 500 with the longer axis.
        let biplane = measure(&four, &two);
        let lv = biplane.measurement.as_ref().map(|lv| lv.edv_ml);
        let edv = biplane.checks.iter().find(|check| check.id == "edv-range");
        assert_eq!(edv.unwrap().outcome, CheckOutcome::Pass, "{lv:?}");
        let wider = clip("1.2.2", Method::ModA2c, [13.0, 6.9, 5.0], Some(62.0));
        let biplane = measure(&four, &wider);
        assert!(biplane.measurement.is_none());
        let edv = biplane.checks.iter().find(|check| check.id == "edv-range");
        assert_eq!(edv.unwrap().outcome, CheckOutcome::Fail);
    }

    #[test]
    fn planes_that_disagree_on_ef_are_remarked_on() {
        let four = clip("1.2.4", Method::ModA4c, [8.0, 4.0, 2.5], Some(62.0));
        let two = clip("1.2.2", Method::ModA2c, [8.0, 5.0, 4.4], Some(62.0));
        let biplane = measure(&four, &two);
        assert!(biplane.measurement.is_some());
        let found = biplane
            .checks
            .iter()
            .find(|check| check.id == "planes-agree")
            .unwrap();
        assert_eq!(found.outcome, CheckOutcome::Warn);
    }
}
