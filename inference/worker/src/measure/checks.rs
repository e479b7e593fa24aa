//! The consistency checker: every rule has an id, a bound, a source and an outcome.
//!
//! A hard bound stops a number from being reported; a soft one is reported beside it.

use sonode_findings::{Check, CheckOutcome};

/// Where the proposed bounds come from.
const SONODE: &str = "Sonode plausibility bounds";
/// Where the method comes from.
const ASE_2015: &str = "ASE/EACVI 2015 (Lang, JASE 28:1)";

/// The rule on a plane beside the apex.
pub(super) const FORESHORTENING: &str = "foreshortening";

/// Long axis over the largest diameter, under which a ventricle looks foreshortened.
const ELONGATION_MIN: f64 = 1.35;

/// The figures of one clip that rules look at; what is not known is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// End-diastolic and end-systolic volume, in millilitres, or in any one unit where `calibrated` is false.
    pub volumes: [f64; 2],
    /// Whether volumes and lengths are in millilitres and centimetres.
    pub calibrated: bool,
    /// Ejection fraction in percent.
    pub lvef_percent: f64,
    /// Long axis at end diastole and at end systole.
    pub lengths: [f64; 2],
    /// Area-length volumes at end diastole and end systole, in the unit of `volumes`.
    pub area_length: [f64; 2],
    /// Beats a minute.
    pub heart_rate_bpm: Option<f64>,
    /// Seconds from end diastole to the end systole of the same beat; none without a frame rate, or where the clip
    /// holds them in the other order.
    pub systole_s: Option<f64>,
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
    pub fn refusal(&self) -> Option<String> {
        let failed: Vec<&str> = self
            .checks
            .iter()
            .filter(|check| check.outcome == CheckOutcome::Fail)
            .map(|check| check.detail.as_str())
            .collect();
        (!failed.is_empty()).then(|| failed.join("; "))
    }
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    Hard,
    Soft,
}

/// Applies every rule.
pub fn check(figures: &Figures) -> Verdict {
    Verdict {
        checks: vec![
            esv_below_edv(figures),
            ef(figures),
            edv(figures),
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
        ],
    }
}

fn esv_below_edv(f: &Figures) -> Check {
    let [edv, esv] = f.volumes;
    let unit = if f.calibrated { "ml" } else { "units" };
    let (relation, ok) = if esv < edv {
        ("<", true)
    } else {
        ("is not below", false)
    };
    outcome(
        "esv-below-edv",
        Bound::Hard,
        ok,
        format!("{esv:.0} {unit} {relation} {edv:.0} {unit}"),
        SONODE,
    )
}

fn ef(f: &Figures) -> Check {
    within(
        "ef-range",
        Bound::Hard,
        "EF",
        f.lvef_percent,
        "%",
        [5.0, 85.0],
    )
}

fn edv(f: &Figures) -> Check {
    calibrated("edv-range", f, || {
        within(
            "edv-range",
            Bound::Hard,
            "EDV",
            f.volumes[0],
            "ml",
            [20.0, 500.0],
        )
    })
}

fn lv_length(f: &Figures) -> Check {
    calibrated("lv-length", f, || {
        within(
            "lv-length",
            Bound::Soft,
            "LV length at end diastole",
            f.lengths[0],
            "cm",
            [5.0, 12.0],
        )
    })
}

fn length_change(f: &Figures) -> Check {
    let change = 100.0 * (1.0 - f.lengths[1] / f.lengths[0]);
    within(
        "length-change",
        Bound::Soft,
        "shortening of the long axis",
        change,
        "%",
        [-5.0, 30.0],
    )
}

fn cardiac_output(f: &Figures) -> Check {
    const ID: &str = "cardiac-output";
    let Some(rate) = f.heart_rate_bpm else {
        return skipped(ID, "the heart rate is not known");
    };
    calibrated(ID, f, || {
        let output = (f.volumes[0] - f.volumes[1]) * rate / 1000.0;
        within(
            ID,
            Bound::Soft,
            "stroke volume x heart rate",
            output,
            "l/min",
            [1.5, 15.0],
        )
    })
}

fn es_ed_interval(f: &Figures) -> Check {
    const ID: &str = "es-ed-interval";
    match f.systole_s {
        Some(s) => within(
            ID,
            Bound::Soft,
            "end diastole to end systole",
            s * 1000.0,
            "ms",
            [200.0, 500.0],
        ),
        None => skipped(
            ID,
            "the frame rate is not known, or the clip shows end systole before end diastole",
        ),
    }
}

fn contour_in_sector(f: &Figures) -> Check {
    let share = 100.0 * f.inside_sector;
    within(
        "contour-in-sector",
        Bound::Hard,
        "contour points inside the sector",
        share,
        "%",
        [85.0, 100.0],
    )
}

fn one_region(f: &Figures) -> Check {
    within(
        "one-region",
        Bound::Soft,
        "share of the mapped cavity in one region",
        100.0 * f.region_share,
        "%",
        [90.0, 100.0],
    )
}

fn base_below_apex(f: &Figures) -> Check {
    let detail = if f.depth_order {
        "the annulus lies deeper than the apex"
    } else {
        "the annulus does not lie deeper than the apex"
    };
    outcome(
        "apex-towards-probe",
        Bound::Hard,
        f.depth_order,
        detail.to_owned(),
        ASE_2015,
    )
}

fn annulus(f: &Figures) -> Check {
    let detail = if f.annulus_seen {
        "the annulus was found between ventricle and atrium"
    } else {
        "no atrium borders on the ventricle: the annulus was taken from the outline alone"
    };
    outcome(
        "annulus-seen",
        Bound::Soft,
        f.annulus_seen,
        detail.to_owned(),
        ASE_2015,
    )
}

fn atrium_below(f: &Figures) -> Check {
    const ID: &str = "atrium-beyond-annulus";
    let Some(below) = f.atrium_below else {
        return skipped(ID, "no left atrium is seen");
    };
    let detail = if below {
        "the left atrium lies beyond the annulus"
    } else {
        "what was taken for the left atrium does not lie beyond the annulus"
    };
    outcome(ID, Bound::Soft, below, detail.to_owned(), ASE_2015)
}

/// A plane beside the apex cuts the ventricle short: 10 degrees of tilt take an eighth of the volume at end diastole and
/// add 2 points to EF, 20 degrees a third and 4 points (measured on the phantom with perfect contours).
fn foreshortening(f: &Figures) -> Check {
    let ok = f.elongation >= ELONGATION_MIN;
    let detail = if ok {
        format!(
            "the long axis is {:.2} times the largest diameter (at least {ELONGATION_MIN:.2})",
            f.elongation
        )
    } else {
        format!(
            "the long axis is only {:.2} times the largest diameter (at least {ELONGATION_MIN:.2}): the ventricle may be \
             foreshortened, its volumes too small and its EF too high",
            f.elongation
        )
    };
    outcome(FORESHORTENING, Bound::Soft, ok, detail, SONODE)
}

fn apex_travel(f: &Figures) -> Check {
    let travel = 100.0 * f.apex_travel;
    within(
        "apex-travel",
        Bound::Soft,
        "movement of the apex over the length",
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
    let difference = (ef - f.lvef_percent).abs();
    let detail = format!(
        "EF {ef:.0} % by area and length, {:.0} % by disks: {difference:.0} points apart (at most 10)",
        f.lvef_percent
    );
    outcome(
        "area-length-agreement",
        Bound::Soft,
        difference <= 10.0,
        detail,
        ASE_2015,
    )
}

/// Compares the measured EF with that of a model that saw no contour; none: it could not be asked.
pub(super) fn ef_regression(lvef_percent: f64, regressed: Option<f64>) -> Check {
    const ID: &str = "ef-regression-agreement";
    let Some(regressed) = regressed else {
        return skipped(
            ID,
            "the EF regression model counts its frames in time, and the frame rate is not known",
        );
    };
    let difference = (regressed - lvef_percent).abs();
    let detail = format!(
        "EF {regressed:.0} % by regression, {lvef_percent:.0} % by disks: {difference:.0} points apart (at most 10)"
    );
    outcome(ID, Bound::Soft, difference <= 10.0, detail, SONODE)
}

fn calibrated(id: &str, figures: &Figures, rule: impl FnOnce() -> Check) -> Check {
    if figures.calibrated {
        rule()
    } else {
        skipped(id, "the image has no calibration")
    }
}

fn within(
    id: &str,
    bound: Bound,
    what: &str,
    value: f64,
    unit: &str,
    [low, high]: [f64; 2],
) -> Check {
    let ok = (low..=high).contains(&value);
    let relation = if ok { "within" } else { "outside" };
    // Two significant digits where a value is small.
    let digits = usize::from(high < 50.0);
    let detail = format!("{what} {value:.digits$} {unit} is {relation} {low}-{high} {unit}");
    outcome(id, bound, ok, detail, SONODE)
}

fn outcome(id: &str, bound: Bound, ok: bool, detail: String, source: &str) -> Check {
    let outcome = match (ok, bound) {
        (true, _) => CheckOutcome::Pass,
        (false, Bound::Soft) => CheckOutcome::Warn,
        (false, Bound::Hard) => CheckOutcome::Fail,
    };
    Check {
        id: id.to_owned(),
        outcome,
        detail,
        source: source.to_owned(),
    }
}

fn skipped(id: &str, why: &str) -> Check {
    Check {
        id: id.to_owned(),
        outcome: CheckOutcome::Skipped,
        detail: why.to_owned(),
        source: SONODE.to_owned(),
    }
}

#[cfg(test)]
mod tests;
