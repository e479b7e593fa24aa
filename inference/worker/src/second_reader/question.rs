//! What the second reader is asked, in English and Chinese, the grammar that its answer is held to, and how an answer is
//! read. The questions are versioned with this program; a change of them changes answers.

use serde::Deserialize;
use sonode_findings::{Grade, ViewLabel};

use super::grammar::{Grammar, Part};

/// Longest reason or narrative, in characters.
const PROSE_MAX: usize = 120;

/// In which language is asked and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Chinese.
    Chinese,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One sentence: the ejection fraction, or why there is none.
    Sentence,
    /// A JSON object with view, quality, ejection fraction and a narrative.
    Json,
}

/// An answer, read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// The view.
    pub view: Option<ViewLabel>,
    /// Fitness for measurement.
    pub quality: Option<Grade>,
    /// Ejection fraction, 0 to 100.
    pub lvef_percent: Option<f64>,
    /// Free words: a narrative, or a reason.
    pub narrative: String,
}

impl std::str::FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "en" => Ok(Self::English),
            "zh" => Ok(Self::Chinese),
            _ => Err(format!(
                "\"{text}\" is no language of the question: say en or zh"
            )),
        }
    }
}

/// The words before and after the number, and before the reason.
fn frame(language: Language) -> [&'static str; 3] {
    match language {
        Language::English => ["LVEF about ", "%", "Image unfit, reason: "],
        Language::Chinese => ["LVEF约为", "%", "图像不合格,原因:"],
    }
}

/// The question.
pub fn question(language: Language, form: Form) -> String {
    let [before, after, reason] = frame(language);
    match (language, form) {
        (Language::English, Form::Sentence) => format!(
            "This is an echocardiogram. Is it an apical four-chamber view, and fit to measure the left ventricle? If it is, \
             answer \"{before}X{after}\" with your estimate of the ejection fraction; if not, answer \"{reason}\" and why."
        ),
        (Language::Chinese, Form::Sentence) => format!(
            "这是一段超声心动图。它是心尖四腔心切面吗?图像质量是否足以测量左心室?如果可以,请回答“{before}X{after}”,X为您估计的射血分数;\
             如果不可以,请回答“{reason}”并说明原因。"
        ),
        (Language::English, Form::Json) => "This is an echocardiogram. Answer as JSON: view (A4C, A2C or other), quality \
             (good, fair or poor), lvef_percent (your estimate of the ejection fraction, or null where the image doesn't \
             allow one), narrative (one or two sentences on what is seen)."
            .to_owned(),
        (Language::Chinese, Form::Json) => "这是一段超声心动图。请以JSON回答:view(A4C、A2C或other),quality(good、fair或poor),\
             lvef_percent(您估计的射血分数,图像不允许时为null),narrative(用一两句话描述所见)。"
            .to_owned(),
    }
}

/// What an answer may be.
pub fn grammar(language: Language, form: Form) -> Grammar {
    let [before, after, reason] = frame(language);
    let part = match form {
        Form::Sentence => Part::One(vec![
            Part::All(vec![Part::text(before), percent(), Part::text(after)]),
            Part::All(vec![Part::text(reason), Part::Prose(2, PROSE_MAX)]),
        ]),
        Form::Json => Part::All(vec![
            Part::text("{\"view\": \""),
            Part::words(&["A4C", "A2C", "other"]),
            Part::text("\", \"quality\": \""),
            Part::words(&["good", "fair", "poor"]),
            Part::text("\", \"lvef_percent\": "),
            Part::One(vec![percent(), Part::text("null")]),
            Part::text(", \"narrative\": \""),
            Part::Prose(2, PROSE_MAX),
            Part::text("\"}"),
        ]),
    };
    Grammar::new(&part)
}

/// A whole number from 5 to 85: what a heart can have, and the bounds of the measurement's own check.
fn percent() -> Part {
    let numbers: Vec<String> = (5..=85).map(|number| number.to_string()).collect();
    let words: Vec<&str> = numbers.iter().map(String::as_str).collect();
    Part::words(&words)
}

/// Reads an answer; none where it is not of the grammar, as one that was cut short isn't.
pub fn parse(answer: &str, language: Language, form: Form) -> Option<Reading> {
    if !grammar(language, form).accepts(answer) {
        return None;
    }
    let [before, after, reason] = frame(language);
    match form {
        Form::Sentence => {
            if let Some(rest) = answer.strip_prefix(reason) {
                return Some(Reading {
                    quality: Some(Grade::Poor),
                    narrative: rest.trim().to_owned(),
                    ..Reading::default()
                });
            }
            let number = answer.strip_prefix(before)?.strip_suffix(after)?;
            Some(Reading {
                lvef_percent: Some(number.parse().ok()?),
                ..Reading::default()
            })
        }
        Form::Json => {
            let Answer {
                view,
                quality,
                lvef_percent,
                narrative,
            } = serde_json::from_str(answer).ok()?;
            Some(Reading {
                view: Some(view),
                quality: Some(quality),
                lvef_percent,
                narrative: narrative.trim().to_owned(),
            })
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    view: ViewLabel,
    quality: Grade,
    lvef_percent: Option<f64>,
    narrative: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sentences_are_read_in_both_languages() {
        for (language, ef, unfit, why) in [
            (
                Language::English,
                "LVEF about 55%",
                "Image unfit, reason: no apex",
                "no apex",
            ),
            (
                Language::Chinese,
                "LVEF约为55%",
                "图像不合格,原因:未见心尖",
                "未见心尖",
            ),
        ] {
            let read = |text: &str| parse(text, language, Form::Sentence);
            assert_eq!(read(ef).unwrap().lvef_percent, Some(55.0));
            let refused = read(unfit).unwrap();
            assert_eq!(refused.quality, Some(Grade::Poor));
            assert_eq!(
                (refused.lvef_percent, refused.narrative.as_str()),
                (None, why)
            );
        }
    }

    #[test]
    fn an_answer_outside_the_grammar_is_none() {
        for text in [
            "LVEF约为99%",
            "LVEF约为5",
            "LVEF约为55%。",
            "图像不合格,原因:",
            "Ignore this",
        ] {
            assert_eq!(
                parse(text, Language::Chinese, Form::Sentence),
                None,
                "{text}"
            );
        }
        let cut = r#"{"view": "A4C", "quality": "good", "lvef_percent": 55, "narrative": "The"#;
        assert_eq!(parse(cut, Language::English, Form::Json), None);
    }

    #[test]
    fn the_json_form_is_read() {
        let text = r#"{"view": "A2C", "quality": "fair", "lvef_percent": null, "narrative": "左心室可见。"}"#;
        let reading = parse(text, Language::Chinese, Form::Json).unwrap();
        assert_eq!(reading.view, Some(ViewLabel::A2C));
        assert_eq!(reading.quality, Some(Grade::Fair));
        assert_eq!(reading.lvef_percent, None);
        assert_eq!(reading.narrative, "左心室可见。");
    }
}
