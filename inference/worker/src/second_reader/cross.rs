//! A reading held against the measurement of the same clip. Only warnings come of it: the measurement stands.

use sonode_findings::phrases::{self, Rule, rule};
use sonode_findings::{
    Check, CheckOutcome, Grade, InstanceFindings, ModelRef, Rejection, SecondReading, Sentence,
    Value, ViewLabel,
};

use super::question::Reading;
use super::verify::verify;

/// Points between measured and read ejection fraction that are still agreement: the same as for a regression network.
const POINTS_MAX: f64 = 10.0;
/// Where the rules come from.
const SOURCE: &str = "Sonode, second reader";

/// Puts a reading beside a clip's findings, with the checks that hold the two together.
pub fn put_beside(findings: &mut InstanceFindings, reading: &Reading, model: ModelRef) {
    let (narrative, struck) = verify(&reading.narrative, findings);
    let reading = SecondReading {
        model,
        view: reading.view,
        quality: reading.quality,
        lvef_percent: reading.lvef_percent,
        narrative,
        struck,
    };
    let checks = [
        ejection_fraction(findings, &reading),
        view(findings, &reading),
        quality(findings, &reading),
        struck_statements(&reading),
    ];
    findings.checks.extend(checks);
    findings.models.push(reading.model.clone());
    findings.second_reading = Some(reading);
}

/// Notes that there is no reading, and why.
pub fn absent(findings: &mut InstanceFindings, why: impl Into<Sentence>) {
    let check = check(rule::SECOND_READER, CheckOutcome::Skipped, why);
    findings.checks.push(check);
}

fn check(rule: Rule, outcome: CheckOutcome, detail: impl Into<Sentence>) -> Check {
    Check::new(rule, outcome, detail, SOURCE)
}

fn agreement(agrees: bool) -> CheckOutcome {
    if agrees {
        CheckOutcome::Pass
    } else {
        CheckOutcome::Warn
    }
}

fn ejection_fraction(findings: &InstanceFindings, reading: &SecondReading) -> Check {
    const RULE: Rule = rule::SECOND_READER_LVEF;
    let measured = findings.lv.as_ref().map(|lv| lv.lvef_percent);
    match (measured, reading.lvef_percent) {
        (Some(measured), Some(read)) => {
            let agrees = (measured - read).abs() <= POINTS_MAX;
            let figures = [measured, read, POINTS_MAX];
            let detail = phrases::READ_EF.say(figures.map(|figure| format!("{figure:.0}").into()));
            check(RULE, agreement(agrees), detail)
        }
        (Some(_), None) => check(RULE, CheckOutcome::Skipped, phrases::NO_EF_READ),
        (None, _) => check(RULE, CheckOutcome::Skipped, phrases::NO_EF_MEASURED),
    }
}

fn view(findings: &InstanceFindings, reading: &SecondReading) -> Check {
    const RULE: Rule = rule::SECOND_READER_VIEW;
    let found = findings.view.as_ref().map(|view| view.label);
    match (found, reading.view) {
        (Some(found), Some(read)) => {
            let detail = phrases::FOUND_AND_READ.say([found, read].map(view_name));
            check(RULE, agreement(found == read), detail)
        }
        _ => check(RULE, CheckOutcome::Skipped, phrases::NO_VIEW_NAMED),
    }
}

fn view_name(view: ViewLabel) -> Value {
    match view {
        ViewLabel::A4C => "A4C".into(),
        ViewLabel::A2C => "A2C".into(),
        ViewLabel::Other => phrases::OTHER.into(),
    }
}

/// Fit or not is what is compared; good and fair are both fit.
fn quality(findings: &InstanceFindings, reading: &SecondReading) -> Check {
    const RULE: Rule = rule::SECOND_READER_QUALITY;
    let found = match (&findings.quality, findings.rejected) {
        (_, Some(Rejection::Quality)) => Some(Grade::Poor),
        (quality, _) => quality.as_ref().map(|quality| quality.grade),
    };
    match (found, reading.quality) {
        (Some(found), Some(read)) => {
            let agrees = (found == Grade::Poor) == (read == Grade::Poor);
            let detail = phrases::FOUND_AND_READ.say([found, read].map(grade_name));
            check(RULE, agreement(agrees), detail)
        }
        _ => check(RULE, CheckOutcome::Skipped, phrases::NO_QUALITY_NAMED),
    }
}

fn grade_name(grade: Grade) -> Value {
    match grade {
        Grade::Good => phrases::GOOD.into(),
        Grade::Fair => phrases::FAIR.into(),
        Grade::Poor => phrases::POOR.into(),
    }
}

fn struck_statements(reading: &SecondReading) -> Check {
    const RULE: Rule = rule::SECOND_READER_NARRATIVE;
    if reading.struck.is_empty() {
        return check(RULE, CheckOutcome::Pass, phrases::ALL_SUPPORTED);
    }
    let count = reading.struck.len().to_string();
    let reasons = reading.struck.iter();
    let reasons = reasons.map(|one| Sentence::known(&one.reason, one.phrase.as_slice()));
    let detail = phrases::STRUCK.say([count.into(), reasons.collect()]);
    check(RULE, CheckOutcome::Warn, detail)
}

#[cfg(test)]
mod tests {
    use sonode_findings::{LvMeasurement, Method, View, ViewLabel};

    use super::*;

    fn outcomes(
        read_ef: f64,
        view: ViewLabel,
        quality: Grade,
        narrative: &str,
    ) -> Vec<CheckOutcome> {
        let mut findings = InstanceFindings::empty("1.2.3".parse().unwrap());
        findings.view = Some(View {
            label: ViewLabel::A4C,
            probability: None,
        });
        findings.quality = Some(sonode_findings::Quality {
            grade: Grade::Fair,
            score: 0.5,
            reasons: Vec::new(),
        });
        findings.lv = Some(LvMeasurement {
            edv_ml: None,
            esv_ml: None,
            lvef_percent: 55.0,
            lvef_interval: None,
            method: Method::ModA4c,
        });
        let before = findings.lv.clone();
        let reading = Reading {
            view: Some(view),
            quality: Some(quality),
            lvef_percent: Some(read_ef),
            narrative: narrative.to_owned(),
        };
        let model = ModelRef {
            name: "reader".to_owned(),
            version: "1".to_owned(),
            sha256: String::new(),
            research: true,
        };
        put_beside(&mut findings, &reading, model);
        assert_eq!(
            findings.lv, before,
            "a reading never overrules a measurement"
        );
        findings.checks.iter().map(|check| check.outcome).collect()
    }

    #[test]
    fn disagreement_warns_and_changes_nothing() {
        use CheckOutcome::{Pass, Warn};
        let said = "The left ventricle is seen.";
        let with = outcomes;
        assert_eq!(with(65.0, ViewLabel::A4C, Grade::Good, said), [Pass; 4]);
        assert_eq!(
            with(66.0, ViewLabel::A4C, Grade::Good, said),
            [Warn, Pass, Pass, Pass]
        );
        assert_eq!(
            with(55.0, ViewLabel::A2C, Grade::Poor, said),
            [Pass, Warn, Warn, Pass]
        );
        assert_eq!(
            with(55.0, ViewLabel::A4C, Grade::Good, "EF 20%."),
            [Pass, Pass, Pass, Warn]
        );
    }
}
