//! What was found in a study: its instances, and the one summary that the report states.

use serde::{Deserialize, Serialize};
use sonode_conformance::{SopInstanceUid, StudyInstanceUid};

use crate::biplane;
use crate::cart::{self, VolumeIndex};
use crate::grade::{EfGrade, grades};
use crate::instance::{Check, InstanceFindings, LvMeasurement, Method, ModelRef, ViewLabel};
use crate::phrases;
use crate::plausibility;

/// The schema's name and version.
pub const SCHEMA: &str = "sonode.findings/1";

/// Everything that was found in one study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// [`SCHEMA`].
    pub schema: String,
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: StudyInstanceUid,
    /// The instances, sorted by UID, so that the same evidence gives the same findings in any order of arrival.
    pub instances: Vec<InstanceFindings>,
    /// The study's summary; null where nothing was measured.
    pub lv: Option<LvSummary>,
    /// The report of another maker whose values are named beside ours.
    #[serde(default)]
    pub cart: Option<SopInstanceUid>,
    /// The checks of the clip that the summary stands on.
    pub checks: Vec<Check>,
    /// The models that took part, each once.
    pub models: Vec<ModelRef>,
}

/// The study's left-ventricular summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LvSummary {
    /// Volumes, ejection fraction, interval and method.
    #[serde(flatten)]
    pub measurement: LvMeasurement,
    /// The clip that the summary stands on; for a biplane measurement its four-chamber clip.
    pub source: SopInstanceUid,
    /// The two-chamber clip of a biplane measurement.
    #[serde(default)]
    pub second_source: Option<SopInstanceUid>,
    /// What the reference profiles call the ejection fraction.
    #[serde(default)]
    pub grades: Vec<EfGrade>,
    /// The volumes over the body surface area.
    #[serde(default)]
    pub index: Option<VolumeIndex>,
}

impl Findings {
    /// Merges the findings of a study's instances.
    ///
    /// The summary is biplane where a four-chamber and a two-chamber clip match; else that of the best clip: A4C before
    /// A2C, then the better quality, then more beats, then the smaller UID, so that the choice doesn't depend on the
    /// order of arrival.
    pub fn merge(
        study_instance_uid: StudyInstanceUid,
        mut instances: Vec<InstanceFindings>,
    ) -> Self {
        instances.sort_by(|a, b| a.sop_instance_uid.cmp(&b.sop_instance_uid));
        let (mut lv, mut checks) = summarise(&instances);
        let cart = cart::report(&instances);
        if let Some(lv) = &mut lv {
            let report = cart.map(|(_, report)| report);
            lv.index = cart::index(&lv.measurement, report, &instances);
            checks.extend(typical_size(lv));
            let ef = lv.measurement.lvef_percent;
            checks.extend(report.and_then(|report| cart::agreement(ef, report)));
        }
        let cart = cart.map(|(uid, _)| uid.clone());
        let mut models: Vec<ModelRef> = instances
            .iter()
            .flat_map(|instance| instance.models.iter().cloned())
            .collect();
        models.sort();
        models.dedup();
        Self {
            schema: SCHEMA.to_owned(),
            study_instance_uid,
            instances,
            lv,
            cart,
            checks,
            models,
        }
    }

    /// The clips that the summary stands on: none, one, or the two of a biplane measurement, the four-chamber first.
    pub fn sources(&self) -> Vec<&InstanceFindings> {
        let Some(lv) = &self.lv else {
            return Vec::new();
        };
        let find = |uid: &SopInstanceUid| {
            self.instances
                .iter()
                .find(|instance| instance.sop_instance_uid == *uid)
        };
        [find(&lv.source), lv.second_source.as_ref().and_then(find)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Whether any instance is of an echo study, measured or not.
    pub fn is_echo(&self) -> bool {
        self.instances
            .iter()
            .any(|instance| match instance.rejected {
                None => true,
                Some(reason) => reason.is_echo(),
            })
    }
}

/// The summary of clips, and its checks.
fn summarise(instances: &[InstanceFindings]) -> (Option<LvSummary>, Vec<Check>) {
    let fours = best_first(instances, ViewLabel::A4C);
    let twos = best_first(instances, ViewLabel::A2C);
    let Some(best) = fours.first().or(twos.first()) else {
        return (None, Vec::new());
    };
    let mut checks = best.checks.clone();
    let mut summary = best.lv.clone().map(|measurement| LvSummary {
        measurement,
        source: best.sop_instance_uid.clone(),
        second_source: None,
        grades: best.grades.clone(),
        index: None,
    });
    if let Some((pair, [four, two])) = biplane::first_match(&fours, &twos) {
        if let Some(measurement) = pair.measurement {
            let of_four = four.checks.iter();
            let profiles = four.grades.iter().map(|grade| grade.profile);
            summary = Some(LvSummary {
                grades: grades(measurement.lvef_percent, profiles),
                measurement,
                source: four.sop_instance_uid.clone(),
                second_source: Some(two.sop_instance_uid.clone()),
                index: None,
            });
            let of_two = two.checks.iter();
            checks = of_four
                .map(|check| check.said_of(phrases::OF_FOUR_CHAMBER_CLIP))
                .chain(of_two.map(|check| check.said_of(phrases::OF_TWO_CHAMBER_CLIP)))
                .collect();
        }
        checks.extend(pair.checks);
    }
    (summary, checks)
}

/// The volumes that are reported, against the normal ranges of the profiles that apply.
fn typical_size(lv: &LvSummary) -> Vec<Check> {
    let measured = lv.measurement.edv_ml.zip(lv.measurement.esv_ml);
    let Some((edv, esv)) = measured else {
        return Vec::new();
    };
    let profiles = lv.grades.iter().map(|grade| grade.profile);
    profiles
        .flat_map(|profile| plausibility::typical_size(profile, [edv, esv], lv.index.as_ref()))
        .collect()
}

/// The measured clips of a view, the best first.
fn best_first(instances: &[InstanceFindings], view: ViewLabel) -> Vec<&InstanceFindings> {
    let rank = |clip: &InstanceFindings| {
        let score = clip.quality.as_ref().map_or(0.0, |quality| quality.score);
        let complete = clip.beats.iter().filter(|beat| beat.complete).count();
        (score, complete)
    };
    let measured =
        |clip: &&InstanceFindings| clip.rejected.is_none() && view_of(clip) == Some(view);
    let mut clips: Vec<_> = instances.iter().filter(measured).collect();
    // Stable: equals stay in the order of their UIDs.
    clips.sort_by(|a, b| {
        let ((a_score, a_beats), (b_score, b_beats)) = (rank(a), rank(b));
        b_score.total_cmp(&a_score).then(b_beats.cmp(&a_beats))
    });
    clips
}

/// The view that a clip was measured in.
fn view_of(clip: &InstanceFindings) -> Option<ViewLabel> {
    Some(match clip.lv.as_ref()?.method {
        Method::ModA4c | Method::ModBiplane => ViewLabel::A4C,
        Method::ModA2c => ViewLabel::A2C,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::{Grade, Quality, View};

    fn clip(uid: &str, label: ViewLabel, score: f64) -> InstanceFindings {
        let mut clip = InstanceFindings::empty(uid.parse().unwrap());
        clip.view = Some(View {
            label,
            probability: Some(0.9),
        });
        clip.quality = Some(Quality {
            grade: Grade::Good,
            score,
            reasons: Vec::new(),
        });
        clip.lv = Some(LvMeasurement {
            edv_ml: Some(118.0),
            esv_ml: Some(49.0),
            lvef_percent: 58.5,
            lvef_interval: None,
            method: if label == ViewLabel::A4C {
                Method::ModA4c
            } else {
                Method::ModA2c
            },
        });
        clip
    }

    #[test]
    fn the_best_four_chamber_clip_is_chosen_in_any_order_of_arrival() {
        let clips = [
            clip("1.2.3", ViewLabel::A2C, 0.99),
            clip("1.2.2", ViewLabel::A4C, 0.7),
            clip("1.2.1", ViewLabel::A4C, 0.8),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let instances = order.iter().map(|i| clips[*i].clone()).collect();
            let findings = Findings::merge("1.2".parse().unwrap(), instances);
            assert_eq!(findings.lv.as_ref().unwrap().source.as_str(), "1.2.1");
            let sources = findings.sources();
            assert_eq!(sources.len(), 1);
            assert_eq!(sources[0].sop_instance_uid.as_str(), "1.2.1");
        }
    }

    #[test]
    fn the_json_has_the_contracts_names() {
        let findings = Findings::merge(
            "1.2".parse().unwrap(),
            vec![clip("1.2.1", ViewLabel::A4C, 0.8)],
        );
        let json = serde_json::to_value(&findings).unwrap();
        assert_eq!(json["schema"], "sonode.findings/1");
        assert_eq!(json["lv"]["lvef_percent"], 58.5);
        assert_eq!(json["lv"]["method"], "MOD-A4C");
        assert_eq!(json["instances"][0]["view"]["label"], "A4C");
        assert_eq!(json["instances"][0]["quality"]["grade"], "good");
        assert!(json["instances"][0]["rejected"].is_null());
        let back: Findings = serde_json::from_value(json).unwrap();
        assert_eq!(back, findings);
    }
}
