//! Every sentence that a reader of a report sees, in each language. Another language is another arm here.
//!
//! Code meanings stay those of the standard. What the worker says (figures of a check, details of a refusal) comes as an
//! id and its values and has its wording in `phrases`; words that are not ours come through as they are.

mod cart;
mod grades;
pub(crate) mod page;
mod phrases;
mod refusals;

use serde::{Deserialize, Serialize};
use sonode_findings::{
    Beat, CardiacPhase, Check, CheckOutcome, Grade, InstanceFindings, LvMeasurement, Method,
    ModelRef, Rejection, SecondReading, Sentence, ViewLabel,
};

use crate::codes::{self, Code};
use crate::companion::Companion;
use crate::form::Document;

/// Series Description (0008,103E) of documents. One for all languages: archives and viewers sort and filter by it.
pub const fn series_description(document: Document) -> &'static str {
    match document {
        Document::MeasurementReport => "AI LVEF, unverified",
        Document::EchoReport => "AI LVEF, unverified (echo report)",
        Document::SimplifiedEchoReport => "AI LVEF, unverified (simplified echo report)",
        Document::KeyObject => "AI LVEF, unverified (ED and ES frames)",
    }
}

/// The same of what goes beside a report.
pub const fn companion_description(companion: Companion) -> &'static str {
    match companion {
        Companion::SecondaryCapture => "AI LVEF, unverified (summary)",
        Companion::OverlayCine => "AI LVEF, unverified (contours)",
        Companion::Pdf => "AI LVEF, unverified (PDF)",
    }
}

/// The language of a report's sentences.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

impl std::str::FromStr for Language {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "en" => Ok(Self::En),
            "zh" => Ok(Self::Zh),
            _ => Err("write \"en\" or \"zh\""),
        }
    }
}

impl Language {
    /// The language tag (RFC 5646).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    /// The language and the country whose usage it follows (TID 1204).
    pub const fn codes(self) -> (Code, Code) {
        match self {
            Self::En => (codes::ENGLISH, codes::UNITED_STATES),
            Self::Zh => (codes::CHINESE, codes::CHINA),
        }
    }

    /// What marks every report.
    pub const fn ai_statement(self) -> &'static str {
        match self {
            Self::En => "AI result, not verified by a physician",
            Self::Zh => "AI 结果，未经医师核实",
        }
    }

    /// What marks a report in which a research model took part.
    pub const fn research_statement(self) -> &'static str {
        match self {
            Self::En => "AI, research model, not validated, not for diagnosis",
            Self::Zh => "AI 研究模型，未经验证，不得用于诊断",
        }
    }

    /// That text of the images could not be decoded.
    pub const fn undecoded(self) -> &'static str {
        match self {
            Self::En => {
                "Text of the images is not in the character set that they declare; it is copied byte for byte"
            }
            Self::Zh => "图像中的文字与其声明的字符集不符，已逐字节原样复制",
        }
    }

    /// That nothing was measured.
    pub const fn unmeasured(self) -> &'static str {
        match self {
            Self::En => "The left ventricle was not measured. The reasons follow for every image.",
            Self::Zh => "未测量左心室。以下逐一说明各图像的原因。",
        }
    }

    /// That no instance was there to be measured.
    pub const fn no_instances(self) -> &'static str {
        match self {
            Self::En => "The study holds no image that could be measured.",
            Self::Zh => "该检查中没有可测量的图像。",
        }
    }

    /// That this report replaces another one.
    pub fn revision(self, revision: u32, predecessor: &str) -> String {
        match self {
            Self::En => {
                format!(
                    "Revision {revision}: replaces the earlier report of this study ({predecessor})."
                )
            }
            Self::Zh => format!("第 {revision} 版：取代该检查先前的报告（{predecessor}）。"),
        }
    }

    /// The interval of the ejection fraction, both ends in percent with one digit after the point.
    pub fn interval(self, low: &str, high: &str) -> String {
        match self {
            Self::En => format!("LVEF, 90 % interval: {low} to {high} %"),
            Self::Zh => format!("LVEF 90 % 区间：{low} 至 {high} %"),
        }
    }

    /// How the summary was made, of which beats.
    pub fn derivation<'a>(
        self,
        method: Method,
        beats: impl IntoIterator<Item = &'a Beat>,
    ) -> String {
        let method = self.method(method);
        let (mut count, mut complete) = (0_usize, true);
        for beat in beats {
            count += 1;
            complete &= beat.complete;
        }
        let beats = count;
        match self {
            Self::En if !complete => {
                format!("{method}; no complete beat: one end diastole and one end systole.")
            }
            Self::Zh if !complete => {
                format!("{method}；无完整心动周期：一个舒张末期与一个收缩末期。")
            }
            Self::En if beats == 1 => format!("{method}; one beat."),
            Self::En => format!("{method}; median of {beats} beats."),
            Self::Zh if beats == 1 => format!("{method}；单个心动周期。"),
            Self::Zh => format!("{method}；{beats} 个心动周期的中位数。"),
        }
    }

    /// That volumes and areas are missing, and why.
    pub const fn no_calibration(self) -> &'static str {
        match self {
            Self::En => {
                "Volumes and areas are not reported: the image carries no usable calibration. The ejection fraction is a ratio and needs none."
            }
            Self::Zh => "未报告容积和面积：图像没有可用的标定。射血分数为比值，不需要标定。",
        }
    }

    /// A warning or failed check.
    pub fn check(self, check: &Check) -> String {
        let (name, said) = (self.check_name(&check.id), self.outcome(check));
        match self {
            Self::En => format!("Check {name}: {said}"),
            Self::Zh => format!("核查 {name}：{said}"),
        }
    }

    /// How many checks passed, and the names of those that were not possible.
    pub fn checks_made(self, passed: usize, skipped: &[&str]) -> String {
        match self {
            Self::En if skipped.is_empty() => format!("Checks: {passed} passed"),
            Self::Zh if skipped.is_empty() => format!("核查：{passed} 项通过"),
            Self::En => format!(
                "Checks: {passed} passed; not possible: {}",
                skipped.join(", ")
            ),
            Self::Zh => format!("核查：{passed} 项通过；无法进行：{}", skipped.join("、")),
        }
    }

    /// The same in a list of checks.
    pub(crate) fn check_line(self, check: &Check) -> String {
        let (name, said) = (self.check_title(&check.id), self.outcome(check));
        match self {
            Self::En => format!("{name}: {said}"),
            Self::Zh => format!("{name}：{said}"),
        }
    }

    fn outcome(self, check: &Check) -> String {
        let outcome = match (self, check.outcome) {
            (Self::En, CheckOutcome::Fail) => "failed",
            (Self::En, CheckOutcome::Warn) => "warning",
            (Self::En, CheckOutcome::Pass) => "passed",
            (Self::En, CheckOutcome::Skipped) => "not possible",
            (Self::Zh, CheckOutcome::Fail) => "未通过",
            (Self::Zh, CheckOutcome::Warn) => "警告",
            (Self::Zh, CheckOutcome::Pass) => "通过",
            (Self::Zh, CheckOutcome::Skipped) => "无法进行",
        };
        let detail = self.say(&check.sentence());
        match self {
            Self::En => format!("{outcome}: {detail}"),
            Self::Zh => format!("{outcome}：{detail}"),
        }
    }

    /// A second reader's words, under a heading that says whose they are.
    pub fn second_reading(self, reading: &SecondReading) -> String {
        let ModelRef {
            name,
            version,
            sha256,
            ..
        } = &reading.model;
        let SecondReading {
            narrative, struck, ..
        } = reading;
        let struck = struck.len();
        let mut text = match self {
            Self::En => format!(
                "AI-generated narrative, not verified by a physician ({name} {version}, SHA-256 {sha256}): "
            ),
            Self::Zh => {
                format!("AI 生成的描述，未经医师核实（{name} {version}，SHA-256 {sha256}）：")
            }
        };
        text.push_str(match (self, narrative.is_empty()) {
            (_, false) => narrative,
            (Self::En, true) => "nothing that the measurement supports.",
            (Self::Zh, true) => "无测量结果支持的内容。",
        });
        let end = match (self, struck) {
            (_, 0) => String::new(),
            (Self::En, 1) => " [1 statement without support was struck]".to_owned(),
            (Self::En, _) => format!(" [{struck} statements without support were struck]"),
            (Self::Zh, _) => format!(" [已删除 {struck} 条无测量依据的陈述]"),
        };
        text.push_str(&end);
        text
    }

    /// Grade, score and reasons of image quality.
    pub fn quality(self, grade: Grade, score: &str, reasons: &[Sentence]) -> String {
        let name = self.grade(grade);
        let (head, colon, between) = match self {
            Self::En => (format!("Image quality: {name} (score {score})"), ": ", "; "),
            Self::Zh => (format!("图像质量：{name}（评分 {score}）"), "：", "；"),
        };
        if reasons.is_empty() {
            return head;
        }
        let reasons: Vec<String> = reasons.iter().map(|reason| self.say(reason)).collect();
        format!("{head}{colon}{}", reasons.join(between))
    }

    /// A note of the worker's.
    pub fn note(self, note: &Sentence) -> String {
        let note = self.say(note);
        match self {
            Self::En => format!("Note: {note}"),
            Self::Zh => format!("备注：{note}"),
        }
    }

    /// A clip that was measured too, but that the summary does not stand on.
    pub fn candidate(self, clip: &InstanceFindings, lv: &LvMeasurement) -> String {
        let comma = match self {
            Self::En => ", ",
            Self::Zh => "，",
        };
        let value = |label: &str, value: Option<f64>, unit: &str| {
            value
                .map(|v| format!("{comma}{label} {v:.1} {unit}"))
                .unwrap_or_default()
        };
        let (method, beats) = (self.method(lv.method), clip.beats.len());
        let ef = lv.lvef_percent;
        let volumes = value("EDV", lv.edv_ml, "ml") + &value("ESV", lv.esv_ml, "ml");
        match self {
            Self::En => format!(
                "Also measured, not part of the result: {method}: LVEF {ef:.1} %{volumes}, beats: {beats}"
            ),
            Self::Zh => format!(
                "另行测量，未计入结果：{method}：LVEF {ef:.1} %{volumes}，心动周期数：{beats}"
            ),
        }
    }

    /// That some images were not measured, and why. `unnamed` are those that no reference can point at.
    pub fn not_measured(
        self,
        count: usize,
        reason: Rejection,
        detail: Option<&Sentence>,
        unnamed: &[&str],
    ) -> String {
        let mut text = match (self, count) {
            (Self::En, 1) => format!("1 object not measured: {}", self.rejection(reason)),
            (Self::En, _) => format!("{count} objects not measured: {}", self.rejection(reason)),
            (Self::Zh, _) => format!("{count} 个对象未测量：{}", self.rejection(reason)),
        };
        if let Some(detail) = detail.filter(|detail| !detail.text().trim().is_empty()) {
            text.push_str(match self {
                Self::En => ". ",
                Self::Zh => "。",
            });
            text.push_str(&self.say(detail));
        }
        if !unnamed.is_empty() {
            text.push_str(" (");
            text.push_str(&unnamed.join(", "));
            text.push(')');
        }
        text
    }

    /// That a clip was neither measured nor refused.
    pub const fn no_result(self) -> &'static str {
        match self {
            Self::En => "1 object gave no measurement",
            Self::Zh => "1 个对象没有测量结果",
        }
    }

    /// A model that took part.
    pub fn model(self, name: &str, version: &str, research: bool) -> String {
        match (self, research) {
            (Self::En, false) => format!("Model: {name} {version}"),
            (Self::En, true) => format!("Model: {name} {version} (research)"),
            (Self::Zh, false) => format!("模型：{name} {version}"),
            (Self::Zh, true) => format!("模型：{name} {version}（研究用）"),
        }
    }

    /// The label of a tracked contour. It is an identifier, and therefore the same in every language.
    pub fn contour_label(view: Option<ViewLabel>, phase: CardiacPhase, ordinal: usize) -> String {
        let phase = match phase {
            CardiacPhase::EndDiastole => "ED",
            CardiacPhase::EndSystole => "ES",
        };
        let view = view_label(view);
        match ordinal {
            1 => format!("LV endocardium {view}{phase}"),
            _ => format!("LV endocardium {view}{phase} {ordinal}"),
        }
    }

    /// The label of a clip's left-ventricular function; an identifier too.
    pub fn function_label(method: Method) -> &'static str {
        match method {
            Method::ModA4c => "LV function A4C",
            Method::ModA2c => "LV function A2C",
            Method::ModBiplane => "LV function biplane",
        }
    }

    /// The label of the volumes over the body surface area; an identifier too.
    pub(crate) const fn index_label(method: Method) -> &'static str {
        match method {
            Method::ModA4c => "LV volume index A4C",
            Method::ModA2c => "LV volume index A2C",
            Method::ModBiplane => "LV volume index biplane",
        }
    }

    /// The tracking identifier of one beat of a clip. One for all languages, as identifiers are.
    pub(crate) fn beat_label(method: Method, ordinal: usize) -> String {
        format!("{} beat {ordinal}", Self::function_label(method))
    }

    /// Which frames of a clip are its end diastoles and end systoles.
    pub fn key_frames(self, clip: &InstanceFindings) -> String {
        let view = view_label(clip.view.as_ref().map(|view| view.label));
        let of = |phase: CardiacPhase| {
            let frames: std::collections::BTreeSet<u32> = clip
                .contours
                .iter()
                .filter(|contour| contour.phase == phase)
                .map(|contour| contour.frame)
                .collect();
            let frames: Vec<String> = frames.iter().map(ToString::to_string).collect();
            frames.join(", ")
        };
        let (ed, es) = (of(CardiacPhase::EndDiastole), of(CardiacPhase::EndSystole));
        match self {
            Self::En => format!("{view}end diastole: frame {ed}; end systole: frame {es}"),
            Self::Zh => format!("{view}舒张末期：第 {ed} 帧；收缩末期：第 {es} 帧"),
        }
    }

    const fn method(self, method: Method) -> &'static str {
        match (self, method) {
            (Self::En, Method::ModA4c) => "Method of disks, single plane, apical four-chamber",
            (Self::En, Method::ModA2c) => "Method of disks, single plane, apical two-chamber",
            (Self::En, Method::ModBiplane) => "Method of disks, biplane",
            (Self::Zh, Method::ModA4c) => "单平面圆盘法，心尖四腔切面",
            (Self::Zh, Method::ModA2c) => "单平面圆盘法，心尖两腔切面",
            (Self::Zh, Method::ModBiplane) => "双平面圆盘法",
        }
    }

    pub(crate) const fn grade(self, grade: Grade) -> &'static str {
        match (self, grade) {
            (Self::En, Grade::Poor) => "poor",
            (Self::En, Grade::Fair) => "fair",
            (Self::En, Grade::Good) => "good",
            (Self::Zh, Grade::Poor) => "差",
            (Self::Zh, Grade::Fair) => "一般",
            (Self::Zh, Grade::Good) => "好",
        }
    }
}

const fn view_label(view: Option<ViewLabel>) -> &'static str {
    match view {
        Some(ViewLabel::A4C) => "A4C ",
        Some(ViewLabel::A2C) => "A2C ",
        Some(ViewLabel::Other) | None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_count_and_name_what_no_reference_can_point_at() {
        let text = Language::En.not_measured(2, Rejection::NotACine, None, &[]);
        assert_eq!(text, "2 objects not measured: a single frame, not a cine");
        let detail = Sentence::verbatim("score 0.2");
        let text = Language::En.not_measured(1, Rejection::Quality, Some(&detail), &["1.2.3"]);
        assert_eq!(
            text,
            "1 object not measured: image quality too poor. score 0.2 (1.2.3)"
        );
    }

    #[test]
    fn a_second_readers_words_stand_under_its_name() {
        let reading = SecondReading {
            model: ModelRef {
                name: "GLM".to_owned(),
                version: "int8".to_owned(),
                sha256: "ab".to_owned(),
                research: false,
            },
            view: None,
            quality: None,
            lvef_percent: None,
            narrative: "The left ventricle is seen.".to_owned(),
            struck: vec![sonode_findings::Struck {
                sentence: "EF 20%.".to_owned(),
                reason: "not measured".to_owned(),
                phrase: None,
            }],
        };
        assert_eq!(
            Language::En.second_reading(&reading),
            "AI-generated narrative, not verified by a physician (GLM int8, SHA-256 ab): \
             The left ventricle is seen. [1 statement without support was struck]"
        );
        let zh = Language::Zh.second_reading(&reading);
        assert!(zh.starts_with("AI 生成的描述，未经医师核实") && !zh.contains("EF 20%"));
    }

    #[test]
    fn labels_of_further_contours_are_numbered() {
        let label = |ordinal| {
            Language::contour_label(Some(ViewLabel::A4C), CardiacPhase::EndDiastole, ordinal)
        };
        assert_eq!(label(1), "LV endocardium A4C ED");
        assert_eq!(label(2), "LV endocardium A4C ED 2");
    }
}
