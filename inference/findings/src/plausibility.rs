//! The bounds of a ventricle's numbers, for one clip's and for a biplane measurement's. A hard bound stops a number from being
//! reported; a soft one is reported beside it.

use crate::cart::VolumeIndex;
use crate::grade::Profile;
use crate::instance::{Check, CheckOutcome};
use crate::phrase::{Sentence, Value};
use crate::phrases::{self, Rule, rule};

/// Where the bounds come from.
pub const SONODE: &str = "Sonode plausibility bounds";
/// Where the method and the normal ranges come from.
pub const ASE_2015: &str = "ASE/EACVI 2015 (Lang, JASE 28:1)";

/// What a missed bound does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The number isn't reported.
    Hard,
    /// It is reported, with a warning.
    Soft,
}

/// Ejection fraction in percent: 5 to 85.
pub fn ef(lvef_percent: f64) -> Check {
    let range = [5.0, 85.0];
    within(
        rule::EF_RANGE,
        Bound::Hard,
        phrases::EF.into(),
        lvef_percent,
        "%",
        range,
    )
}

/// End-diastolic volume in millilitres: 20 to 500.
pub fn edv(edv_ml: f64) -> Check {
    let range = [20.0, 500.0];
    within(
        rule::EDV_RANGE,
        Bound::Hard,
        phrases::EDV.into(),
        edv_ml,
        "ml",
        range,
    )
}

/// End-systolic volume against the end-diastolic one, both in `unit`.
pub fn esv_below_edv([edv, esv]: [f64; 2], unit: Value) -> Check {
    let (pattern, ok) = if esv < edv {
        (phrases::ESV_BELOW_EDV, true)
    } else {
        (phrases::ESV_NOT_BELOW_EDV, false)
    };
    let detail = pattern.say([whole(esv), whole(edv), unit]);
    outcome(rule::ESV_BELOW_EDV, Bound::Hard, ok, detail, SONODE)
}

/// Stroke volume times heart rate: 1.5 to 15 l/min, from millilitres and beats a minute.
pub fn cardiac_output(volumes_ml: [f64; 2], rate_bpm: f64) -> Check {
    let output = (volumes_ml[0] - volumes_ml[1]) * rate_bpm / 1000.0;
    let what = phrases::CARDIAC_OUTPUT.into();
    let range = [1.5, 15.0];
    within(
        rule::CARDIAC_OUTPUT,
        Bound::Soft,
        what,
        output,
        "l/min",
        range,
    )
}

/// Volumes against a profile's normal ranges by sex, over the body surface area where it is known; empty for a profile that
/// has none.
pub fn typical_size(
    profile: Profile,
    volumes_ml: [f64; 2],
    index: Option<&VolumeIndex>,
) -> Vec<Check> {
    let sized = match index {
        Some(index) => {
            let volumes = [index.edv_ml_m2, index.esv_ml_m2];
            profile
                .indexed_volumes()
                .map(|ranges| (volumes, ranges, "ml/m2"))
        }
        None => profile
            .volumes_ml()
            .map(|ranges| (volumes_ml, ranges, "ml")),
    };
    let Some((volumes, ranges, unit)) = sized else {
        return Vec::new();
    };
    let rules = [
        (rule::EDV_TYPICAL, phrases::EDV),
        (rule::ESV_TYPICAL, phrases::ESV),
    ];
    let values = volumes.into_iter().zip(ranges);
    let checks = rules
        .into_iter()
        .zip(values)
        .map(|((rule, what), (value, range))| {
            let ok = holds(value, range);
            let detail = said(ok, what.into(), value, unit, range);
            outcome(rule, Bound::Soft, ok, detail, profile.source())
        });
    checks.collect()
}

/// Whether a value lies inside a range, both ends counted.
fn holds(value: f64, [low, high]: [f64; 2]) -> bool {
    (low..=high).contains(&value)
}

/// A value against a range, both in `unit`.
pub fn within(
    rule: Rule,
    bound: Bound,
    what: Value,
    value: f64,
    unit: &str,
    range: [f64; 2],
) -> Check {
    let ok = holds(value, range);
    outcome(rule, bound, ok, said(ok, what, value, unit, range), SONODE)
}

fn said(ok: bool, what: Value, value: f64, unit: &str, range: [f64; 2]) -> Sentence {
    let pattern = if ok {
        phrases::WITHIN_RANGE
    } else {
        phrases::OUTSIDE_RANGE
    };
    // Two significant digits where a value is small.
    let digits = usize::from(range[1] < 50.0);
    let [low, high] = range.map(|end| Value::from(end.to_string()));
    pattern.say([
        what,
        shown(value, digits, |shown| holds(shown, range) == ok),
        unit.into(),
        low,
        high,
    ])
}

/// A figure without digits after the point.
pub fn whole(figure: f64) -> Value {
    format!("{figure:.0}").into()
}

/// A figure without digits after the point, or with as many as show on which side of a bound it lies: "85.3 % is outside
/// 5-85 %", and not "85 %".
pub fn whole_beside(figure: f64, most: f64) -> Value {
    shown(figure, 0, |shown| (shown <= most) == (figure <= most))
}

fn shown(value: f64, digits: usize, agrees: impl Fn(f64) -> bool) -> Value {
    let with = |digits: usize| format!("{value:.digits$}");
    let plain = (digits..digits + 4)
        .map(with)
        .find(|text| text.parse().is_ok_and(&agrees));
    plain.unwrap_or_else(|| value.to_string()).into()
}

/// A check with what came of it.
pub fn outcome(
    rule: Rule,
    bound: Bound,
    ok: bool,
    detail: impl Into<Sentence>,
    source: &str,
) -> Check {
    let outcome = match (ok, bound) {
        (true, _) => CheckOutcome::Pass,
        (false, Bound::Soft) => CheckOutcome::Warn,
        (false, Bound::Hard) => CheckOutcome::Fail,
    };
    Check::new(rule, outcome, detail, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_that_is_missed_by_little_shows_it() {
        let check = ef(85.3);
        assert_eq!(check.outcome, CheckOutcome::Fail);
        assert_eq!(check.detail, "EF 85.3 % is outside 5-85 %");
        assert_eq!(ef(85.0).detail, "EF 85 % is within 5-85 %");
        assert_eq!(edv(500.04).detail, "EDV 500.04 ml is outside 20-500 ml");
        assert_eq!(edv(19.6).detail, "EDV 19.6 ml is outside 20-500 ml");
        assert_eq!(whole_beside(10.4, 10.0), "10.4".into());
        assert_eq!(whole_beside(9.6, 10.0), "10".into());
    }

    #[test]
    fn typical_volumes_are_those_of_the_sex() {
        use CheckOutcome::{Pass, Warn};
        let of = |profile, volumes| {
            let checks = typical_size(profile, volumes, None);
            checks.iter().map(|check| check.outcome).collect::<Vec<_>>()
        };
        assert_eq!(of(Profile::AseEacvi2015Men, [150.0, 61.0]), [Pass, Pass]);
        assert_eq!(of(Profile::AseEacvi2015Women, [150.0, 61.0]), [Warn, Warn]);
        assert_eq!(of(Profile::AseEacvi2015Women, [46.0, 42.0]), [Pass, Pass]);
        assert_eq!(of(Profile::Bse2020, [150.0, 61.0]), []);
        // A large man: 170 ml are within the range over 2.4 square metres.
        let index = VolumeIndex {
            bsa_m2: 2.4,
            origin: crate::cart::BsaOrigin::Report,
            edv_ml_m2: 170.0 / 2.4,
            esv_ml_m2: 80.0 / 2.4,
        };
        let checks = typical_size(Profile::AseEacvi2015Men, [170.0, 80.0], Some(&index));
        assert_eq!(checks[0].detail, "EDV 71 ml/m2 is within 34-74 ml/m2");
        assert_eq!(checks[1].detail, "ESV 33.3 ml/m2 is outside 11-31 ml/m2");
    }
}
