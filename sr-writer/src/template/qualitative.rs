//! Qualitative Evaluations of TID 1500: what a reader has to know beside the numbers.

use std::collections::BTreeMap;

use sonode_findings::grade::{EfGrade, EfLabel};
use sonode_findings::{Check, CheckOutcome, InstanceFindings, LvSummary, Rejection, Sentence};

use super::{Source, decimal};
use crate::codes;
use crate::request::WriteError;
use crate::texts::Language;
use crate::tree::{Coded, Container, Image, Text};

/// The coded grades that are certain; then statement, revision, interval, derivation, grades, checks, quality, notes, the
/// cart's own values, second readings, other clips, refusals and models, in this order.
pub(super) fn evaluations(source: &Source<'_>) -> Result<Container, WriteError> {
    let mut items = statements(source);
    items.extend(result(source)?);
    items.extend(super::cart::comments(source));
    items.extend(candidates(source)?);
    items.extend(refusals(source));
    let language = source.request.style.language;
    items.extend(
        source
            .findings
            .models
            .iter()
            .map(|model| comment(&language.model(&model.name, &model.version, model.research))),
    );
    // TID 1500 has the row of codes before that of texts.
    Ok(Container::new(codes::QUALITATIVE_EVALUATIONS)
        .contains_all(normality(source)?)
        .contains_all(severity(source)?)
        .contains_all(items))
}

/// The grades that say where the ejection fraction lies by a normal range (CID 222), and by whose.
fn normality(source: &Source<'_>) -> Result<Vec<Coded>, WriteError> {
    let Some(lv) = &source.findings.lv else {
        return Ok(Vec::new());
    };
    let coded = |grade: &EfGrade| {
        let code = match grade.label {
            EfLabel::BelowNormal => codes::ABNORMALLY_LOW,
            EfLabel::Normal => codes::NORMAL,
            EfLabel::AboveNormal => codes::ABNORMALLY_HIGH,
            _ => return None,
        };
        Some(Coded::new(codes::NORMALITY, code))
    };
    graded(source, lv, coded)
}

/// The grades that state a severity (CID 3716). Where a profile has a word
/// without a severity (impaired, borderline, reduced, preserved) there is no code, and the word stands alone.
fn severity(source: &Source<'_>) -> Result<Vec<Coded>, WriteError> {
    let Some(lv) = &source.findings.lv else {
        return Ok(Vec::new());
    };
    let coded = |grade: &EfGrade| {
        let code = match grade.label {
            EfLabel::SeverelyImpaired => codes::SEVERE,
            EfLabel::MildlyReduced => codes::MILD,
            _ => return None,
        };
        let site = Coded::new(codes::FINDING_SITE, codes::LEFT_VENTRICLE);
        Some(Coded::new(codes::SEVERITY, code).modifier(site))
    };
    graded(source, lv, coded)
}

/// The grades that have a code, each with whose it is, the interval, and what it says in full. A grade beside which the
/// interval allows another one is said in words alone: a code would be read without its doubt.
fn graded(
    source: &Source<'_>,
    lv: &LvSummary,
    coded: impl Fn(&EfGrade) -> Option<Coded>,
) -> Result<Vec<Coded>, WriteError> {
    let language = source.request.style.language;
    let interval = interval(source)?;
    let is_certain = |grade: &&EfGrade| {
        let ends = lv.measurement.lvef_interval;
        ends.is_none_or(|ends| grade.others(ends).is_empty())
    };
    let certain = lv.grades.iter().filter(is_certain);
    let found = certain.filter_map(|grade| {
        let authority = language.profile(grade.profile);
        let in_full = language.ef_grade(grade, lv.measurement.lvef_interval);
        let coded = coded(grade)?.property(Text::new(codes::NORMAL_RANGE_AUTHORITY, authority));
        // The shorter one first: viewers show it in line, and put the longer one elsewhere.
        let coded = interval.iter().cloned().fold(coded, Coded::property);
        Some(coded.property(comment(&in_full)))
    });
    Ok(found.collect())
}

/// The interval of the ejection fraction in words, with its level.
pub(super) fn interval(source: &Source<'_>) -> Result<Option<Text>, WriteError> {
    let lv = source.findings.lv.as_ref();
    let Some([low, high]) = lv.and_then(|lv| lv.measurement.lvef_interval) else {
        return Ok(None);
    };
    let what = "the LVEF interval";
    let (low, high) = (decimal(low, 1, what)?, decimal(high, 1, what)?);
    let language = source.request.style.language;
    Ok(Some(comment(
        &language.interval(low.as_str(), high.as_str()),
    )))
}

fn comment(text: &str) -> Text {
    Text::new(codes::COMMENT, text)
}

/// That this is an AI's work, and what that means.
pub(super) fn marks(source: &Source<'_>) -> Vec<Text> {
    let language = source.request.style.language;
    let mut items = vec![comment(language.ai_statement())];
    if source.findings.models.iter().any(|model| model.research) {
        items.push(comment(language.research_statement()));
    }
    items
}

/// What stands first: that this is an AI's work, and which report it replaces.
pub(super) fn statements(source: &Source<'_>) -> Vec<Text> {
    let (request, language) = (source.request, source.request.style.language);
    let mut items = marks(source);
    if source.has_undecoded {
        items.push(comment(language.undecoded()));
    }
    if let Some(predecessor) = request.predecessors.first() {
        let uid = predecessor.sop_instance.as_str();
        items.push(comment(&language.revision(request.revision, uid)));
    }
    if source.findings.lv.is_none() {
        items.push(comment(if source.findings.instances.is_empty() {
            language.no_instances()
        } else {
            language.unmeasured()
        }));
    }
    items
}

/// What qualifies the result.
fn result(source: &Source<'_>) -> Result<Vec<Text>, WriteError> {
    let language = source.request.style.language;
    let mut items = Vec::new();
    if let Some(lv) = &source.findings.lv {
        items.extend(interval(source)?);
        let clips = source.measured()?;
        let beats = clips.iter().flat_map(|clip| &clip.beats);
        items.push(comment(&language.derivation(lv.measurement.method, beats)));
        if clips.iter().any(|clip| clip.calibration.is_none()) {
            items.push(comment(language.no_calibration()));
        }
    }
    if let Some(lv) = &source.findings.lv {
        let in_full = |grade| comment(&language.ef_grade(grade, lv.measurement.lvef_interval));
        items.extend(lv.grades.iter().map(in_full));
    }
    items.extend(checks_made(language, &source.findings.checks));
    items.extend(reportable(&source.findings.checks).map(|check| comment(&language.check(check))));
    for clip in source.measured()? {
        if let Some(quality) = &clip.quality {
            let score = decimal(quality.score, 2, "the quality score")?;
            let reasons = quality.reasons.iter().map(|reason| clip.sentence(reason));
            let reasons: Vec<Sentence> = reasons.collect();
            let text = language.quality(quality.grade, score.as_str(), &reasons);
            items.push(Text::new(codes::QUALITY_ASSESSMENT, &text));
        }
        let notes = clip.notes.iter().map(|note| clip.sentence(note));
        items.extend(notes.map(|note| comment(&language.note(&note))));
        if let Some(reading) = &clip.second_reading {
            items.push(refer(
                comment(&language.second_reading(reading)),
                source,
                clip,
            ));
        }
    }
    Ok(items)
}

/// Clips that were measured too, each with its own numbers.
fn candidates(source: &Source<'_>) -> Result<Vec<Text>, WriteError> {
    let used = source.measured()?;
    let is_used = |clip: &InstanceFindings| {
        used.iter()
            .any(|other| other.sop_instance_uid == clip.sop_instance_uid)
    };
    Ok(source
        .findings
        .instances
        .iter()
        .filter(|clip| clip.rejected.is_none() && !is_used(clip))
        .map(|clip| {
            let text = match &clip.lv {
                Some(lv) => comment(&source.request.style.language.candidate(clip, lv)),
                None => no_result(source.request.style.language, clip),
            };
            refer(text, source, clip)
        })
        .collect())
}

/// A clip without numbers that was not refused either: the checks that took them away say why.
fn no_result(language: Language, clip: &InstanceFindings) -> Text {
    let mut parts = vec![language.no_result().to_owned()];
    parts.extend(reportable(&clip.checks).map(|check| language.check(check)));
    Text::new(codes::NOT_ATTEMPTED, &parts.join(". "))
}

/// How many checks passed, and which were not possible.
fn checks_made(language: Language, checks: &[Check]) -> Option<Text> {
    let of = |outcome: CheckOutcome| checks.iter().filter(move |check| check.outcome == outcome);
    let skipped = of(CheckOutcome::Skipped).map(|check| language.check_title(&check.id));
    let skipped: Vec<&str> = skipped.collect();
    let text = language.checks_made(of(CheckOutcome::Pass).count(), &skipped);
    (!checks.is_empty()).then(|| comment(&text))
}

/// The checks that a reader has to know of.
fn reportable(checks: &[Check]) -> impl Iterator<Item = &Check> {
    checks
        .iter()
        .filter(|check| matches!(check.outcome, CheckOutcome::Fail | CheckOutcome::Warn))
}

/// What was not measured and why: one text for each reason, which points at every image that it speaks of.
fn refusals(source: &Source<'_>) -> Vec<Text> {
    type Reason<'a> = (Rejection, Option<&'a str>);
    let mut reasons: BTreeMap<Reason<'_>, Vec<&InstanceFindings>> = BTreeMap::new();
    for instance in &source.findings.instances {
        if let Some(rejection) = instance.rejected {
            let detail = instance.rejected_detail.as_deref();
            reasons
                .entry((rejection, detail))
                .or_default()
                .push(instance);
        }
    }
    let refusal = |((rejection, detail), instances): (Reason<'_>, Vec<&InstanceFindings>)| {
        let unnamed: Vec<&str> = instances
            .iter()
            .filter(|instance| source.image(instance).is_none())
            .map(|instance| instance.sop_instance_uid.as_str())
            .collect();
        let language = source.request.style.language;
        // Equal English is equal in every language, so that any of them can say it.
        let detail = detail.zip(instances.first());
        let detail = detail.map(|(detail, instance)| instance.sentence(detail));
        let text = language.not_measured(instances.len(), rejection, detail.as_ref(), &unnamed);
        instances
            .iter()
            .fold(Text::new(codes::NOT_ATTEMPTED, &text), |text, instance| {
                refer(text, source, instance)
            })
    };
    reasons.into_iter().map(refusal).collect()
}

/// The text, pointing at an instance where that can be done.
fn refer(text: Text, source: &Source<'_>, instance: &InstanceFindings) -> Text {
    match source.image(instance) {
        Some(image) => text.inferred_from(Image::whole(None, image)),
        None => text,
    }
}
