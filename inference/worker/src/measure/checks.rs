//! The consistency checker: every rule has an id, a bound, a source and an outcome.
//!
//! A hard bound stops a number from being reported; a soft one is reported beside it.

use sonode_findings::phrases::{self, Rule, rule};
use sonode_findings::plausibility::{
    self, ASE_2015, Bound, SONODE, outcome, whole, whole_beside, within,
};
use sonode_findings::{Check, CheckOutcome, Pattern, Sentence, Value};

/// The rule on a plane beside the apex.
pub(super) const FORESHORTENING: Rule = rule::FORESHORTENING;

/// Largest difference of two ejection fractions of one clip that isn't remarked on, in points.
const EF_POINTS_MAX: f64 = 10.0;

/// Long axis over the largest diameter, under which a ventricle looks foreshortened.
const ELONGATION_MIN: f64 = 1.35;

/// Fewest frames a second that a beat is followed well enough in; a cine of film's 24 has 23.976. At 15, EF was 2.6 points too
/// low in the mean, on the phantom (inference/EVALUATION.md), which has nothing between 15 and 30.
const FRAME_RATE_MIN_HZ: f64 = 23.9;

/// The figures of one clip that rules look at; what is not known is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// End-diastolic and end-systolic volume, in millilitres, or in any one unit where `calibrated` is false.
    pub volumes: [f64; 2],
    /// Whether volumes and lengths are in millilitres and centimetres.
    pub calibrated: bool,
    /// Ejection fraction in percent.
    pub lvef_percent: f64,
    /// That of the beat which everything below is of; the other one where the median lies between two beats.
    pub beat_lvef_percent: f64,
    /// Long axis at end diastole and at end systole.
    pub lengths: [f64; 2],
    /// Area-length volumes at end diastole and end systole, in the unit of `volumes`.
    pub area_length: [f64; 2],
    /// Beats a minute.
    pub heart_rate_bpm: Option<f64>,
    /// Frames a second.
    pub frame_rate_hz: Option<f64>,
    /// Seconds from end diastole to the end systole of the same beat, or why they aren't known.
    pub systole_s: Result<f64, Pattern<0>>,
    /// Share of contour points inside the insonified sector, the worse of the two frames.
    pub inside_sector: f64,
    /// Whether the annulus was found between ventricle and atrium in both frames.
    pub annulus_seen: bool,
    /// How far the apex moves from end diastole to end systole, as a share of the end-diastolic length.
    pub apex_travel: f64,
    /// Whether the annulus lies deeper than the apex in both frames.
    pub depth_order: bool,
    /// Whether the left atrium lies beyond the annulus in both frames; none where no atrium is seen.
    pub atrium_below: Option<bool>,
    /// Long axis over the largest diameter at end diastole.
    pub elongation: f64,
    /// Share of the mapped cavity that lies in the contour's region, the worse of the two frames.
    pub region_share: f64,
}

/// What the rules found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Every rule's outcome.
    pub checks: Vec<Check>,
}

impl Verdict {
    /// The hard rules that failed, in words; none: numbers may be reported.
    pub fn refusal(&self) -> Option<Sentence> {
        let checks = self.checks.iter();
        let failed: Vec<Sentence> = checks
            .filter(|check| check.outcome == CheckOutcome::Fail)
            .map(Check::sentence)
            .collect();
        (!failed.is_empty()).then(|| phrases::IMPLAUSIBLE.say([failed.into_iter().collect()]))
    }
}

/// Applies every rule.
pub fn check(figures: &Figures) -> Verdict {
    Verdict {
        checks: vec![
            esv_below_edv(figures),
            plausibility::ef(figures.lvef_percent),
            calibrated(rule::EDV_RANGE, figures, || {
                plausibility::edv(figures.volumes[0])
            }),
            lv_length(figures),
            length_change(figures),
            cardiac_output(figures),
            es_ed_interval(figures),
            contour_in_sector(figures),
            one_region(figures),
            base_below_apex(figures),
            annulus(figures),
            atrium_below(figures),
            apex_travel(figures),
            area_length(figures),
            foreshortening(figures),
            frame_rate(figures),
        ],
    }
}

fn esv_below_edv(f: &Figures) -> Check {
    let unit = if f.calibrated {
        Value::from("ml")
    } else {
        phrases::UNITS.into()
    };
    plausibility::esv_below_edv(f.volumes, unit)
}

fn lv_length(f: &Figures) -> Check {
    let what = phrases::LV_LENGTH_ED.into();
    calibrated(rule::LV_LENGTH, f, || {
        within(
            rule::LV_LENGTH,
            Bound::Soft,
            what,
            f.lengths[0],
            "cm",
            [5.0, 12.0],
        )
    })
}

fn length_change(f: &Figures) -> Check {
    let change = 100.0 * (1.0 - f.lengths[1] / f.lengths[0]);
    let what = phrases::AXIS_SHORTENING.into();
    within(
        rule::LENGTH_CHANGE,
        Bound::Soft,
        what,
        change,
        "%",
        [-5.0, 30.0],
    )
}

fn cardiac_output(f: &Figures) -> Check {
    const RULE: Rule = rule::CARDIAC_OUTPUT;
    let Some(rate) = f.heart_rate_bpm else {
        return skipped(RULE, phrases::HEART_RATE_UNKNOWN);
    };
    calibrated(RULE, f, || plausibility::cardiac_output(f.volumes, rate))
}

fn es_ed_interval(f: &Figures) -> Check {
    const RULE: Rule = rule::ES_ED_INTERVAL;
    let s = match f.systole_s {
        Ok(s) => s,
        Err(reason) => return skipped(RULE, reason),
    };
    let what = phrases::ED_TO_ES.into();
    within(RULE, Bound::Soft, what, s * 1000.0, "ms", [200.0, 500.0])
}

fn contour_in_sector(f: &Figures) -> Check {
    let (share, what) = (100.0 * f.inside_sector, phrases::POINTS_IN_SECTOR.into());
    within(
        rule::CONTOUR_IN_SECTOR,
        Bound::Hard,
        what,
        share,
        "%",
        [85.0, 100.0],
    )
}

fn one_region(f: &Figures) -> Check {
    let (share, what) = (100.0 * f.region_share, phrases::CAVITY_IN_ONE_REGION.into());
    within(
        rule::ONE_REGION,
        Bound::Soft,
        what,
        share,
        "%",
        [90.0, 100.0],
    )
}

fn base_below_apex(f: &Figures) -> Check {
    let detail = if f.depth_order {
        phrases::APEX_TOWARDS_PROBE
    } else {
        phrases::APEX_AWAY_FROM_PROBE
    };
    outcome(
        rule::APEX_TOWARDS_PROBE,
        Bound::Hard,
        f.depth_order,
        detail,
        ASE_2015,
    )
}

fn annulus(f: &Figures) -> Check {
    let detail = if f.annulus_seen {
        phrases::ANNULUS_SEEN
    } else {
        phrases::ANNULUS_FROM_OUTLINE
    };
    outcome(
        rule::ANNULUS_SEEN,
        Bound::Soft,
        f.annulus_seen,
        detail,
        ASE_2015,
    )
}

fn atrium_below(f: &Figures) -> Check {
    const RULE: Rule = rule::ATRIUM_BEYOND_ANNULUS;
    let Some(below) = f.atrium_below else {
        return skipped(RULE, phrases::NO_ATRIUM);
    };
    let detail = if below {
        phrases::ATRIUM_BEYOND
    } else {
        phrases::ATRIUM_NOT_BEYOND
    };
    outcome(RULE, Bound::Soft, below, detail, ASE_2015)
}

/// A plane beside the apex cuts the ventricle short: 10 degrees of tilt take an eighth of the volume at end diastole and
/// add 2 points to EF, 20 degrees a third and 4 points (measured on the phantom with perfect contours).
fn foreshortening(f: &Figures) -> Check {
    let ok = f.elongation >= ELONGATION_MIN;
    let pattern = if ok {
        phrases::ELONGATED
    } else {
        phrases::FORESHORTENED
    };
    let hundredths = |figure: f64| Value::from(format!("{figure:.2}"));
    let detail = pattern.say([hundredths(f.elongation), hundredths(ELONGATION_MIN)]);
    outcome(FORESHORTENING, Bound::Soft, ok, detail, SONODE)
}

/// What the ventricle does between two frames isn't seen: its largest and smallest volumes are not among the frames'.
fn frame_rate(f: &Figures) -> Check {
    const RULE: Rule = rule::FRAME_RATE;
    let Some(rate) = f.frame_rate_hz else {
        return skipped(RULE, phrases::FRAME_RATE_UNKNOWN);
    };
    let ok = rate >= FRAME_RATE_MIN_HZ;
    let pattern = if ok {
        phrases::FRAMES_A_SECOND
    } else {
        phrases::FEW_FRAMES_A_SECOND
    };
    let detail = pattern.say([format!("{rate:.1}").into(), whole(FRAME_RATE_MIN_HZ)]);
    outcome(RULE, Bound::Soft, ok, detail, SONODE)
}

fn apex_travel(f: &Figures) -> Check {
    let (travel, what) = (100.0 * f.apex_travel, phrases::APEX_MOVEMENT.into());
    within(
        rule::APEX_TRAVEL,
        Bound::Soft,
        what,
        travel,
        "%",
        [0.0, 20.0],
    )
}

fn area_length(f: &Figures) -> Check {
    let [edv, esv] = f.area_length;
    let ef = if edv > 0.0 {
        100.0 * (edv - esv) / edv
    } else {
        0.0
    };
    let difference = (ef - f.beat_lvef_percent).abs();
    let detail = phrases::AREA_LENGTH.say([
        whole(ef),
        whole(f.beat_lvef_percent),
        whole_beside(difference, EF_POINTS_MAX),
        whole(EF_POINTS_MAX),
    ]);
    let ok = difference <= EF_POINTS_MAX;
    outcome(
        rule::AREA_LENGTH_AGREEMENT,
        Bound::Soft,
        ok,
        detail,
        ASE_2015,
    )
}

/// Compares the measured EF with that of a model that saw no contour; none: it could not be asked.
pub(super) fn ef_regression(lvef_percent: f64, regressed: Option<f64>) -> Check {
    const RULE: Rule = rule::EF_REGRESSION_AGREEMENT;
    let Some(regressed) = regressed else {
        return skipped(RULE, phrases::REGRESSION_UNTIMED);
    };
    let difference = (regressed - lvef_percent).abs();
    let detail = phrases::REGRESSION.say([
        whole(regressed),
        whole(lvef_percent),
        whole_beside(difference, EF_POINTS_MAX),
        whole(EF_POINTS_MAX),
    ]);
    outcome(
        RULE,
        Bound::Soft,
        difference <= EF_POINTS_MAX,
        detail,
        SONODE,
    )
}

fn calibrated(rule: Rule, figures: &Figures, apply: impl FnOnce() -> Check) -> Check {
    if figures.calibrated {
        apply()
    } else {
        skipped(rule, phrases::NO_CALIBRATION)
    }
}

fn skipped(rule: Rule, why: impl Into<Sentence>) -> Check {
    Check::new(rule, CheckOutcome::Skipped, why, SONODE)
}

#[cfg(test)]
mod tests;
