//! What of a narrative may stand: sentences that the measurement supports. The others are struck, with the reason.
//!
//! The rules are plain and strict, since a sentence too few costs nothing: a number must be one that was measured; a side,
//! a structure or a finding that this program doesn't measure is struck wherever it is named; a word on the left
//! ventricle's function must agree with the measured ejection fraction.

use sonode_findings::{InstanceFindings, LvMeasurement, Sentence, Struck, ViewLabel, phrases};

/// Largest distance of a stated number from the measured one: rounding to a whole number.
const ROUNDING: f64 = 0.5;
/// Ejection fraction in percent from which no profile calls the function reduced (ASE/EACVI 2015, BSE 2020).
const NORMAL_FROM: f64 = 55.0;
/// Ejection fraction in percent under which no profile calls it normal (ESC 2021).
const REDUCED_UNDER: f64 = 50.0;

/// Names of the left ventricle; what is left of a sentence without them may name no other place.
const LEFT_VENTRICLE: [&str; 8] = [
    "left ventricular",
    "left ventricle",
    "lvef",
    "lv ",
    "左心室",
    "左室",
    "four-chamber",
    "two-chamber",
];
/// Sides.
const SIDES: [&str; 6] = ["left", "right", "rv ", "rvef", "左", "右"];
/// Structures that this program measures nothing of.
const STRUCTURES: [&str; 26] = [
    "atri",
    "aort",
    "mitral",
    "tricuspid",
    "pulmon",
    "septum",
    "septal",
    "valve",
    "pericard",
    "papillary",
    "apex",
    "wall",
    "chordae",
    "vena",
    "房",
    "主动脉",
    "二尖瓣",
    "三尖瓣",
    "瓣",
    "肺",
    "间隔",
    "心包",
    "乳头肌",
    "心尖部",
    "室壁",
    "腱索",
];
/// Findings that this program can't make.
const FINDINGS: [&str; 26] = [
    "thromb",
    "mass",
    "effusion",
    "stenosis",
    "regurgit",
    "kinesis",
    "kinetic",
    "hypertroph",
    "dilat",
    "vegetation",
    "shunt",
    "infarct",
    "ischem",
    "ischaem",
    "cardiomyopathy",
    "tamponade",
    "diastolic dysfunction",
    "血栓",
    "积液",
    "狭窄",
    "反流",
    "肥厚",
    "扩大",
    "扩张",
    "梗死",
    "占位",
];
const REDUCED: [&str; 9] = [
    "reduced",
    "impaired",
    "depressed",
    "poor function",
    "dysfunction",
    "减低",
    "降低",
    "下降",
    "减弱",
];
const NORMAL: [&str; 5] = ["normal", "preserved", "contracts well", "正常", "良好"];
/// Words that would command a reader; they are no observation.
const ADVICE: [&str; 8] = [
    "recommend",
    "should",
    "treat",
    "therapy",
    "diagnos",
    "建议",
    "治疗",
    "诊断",
];

/// A narrative, and what was struck from it.
pub fn verify(narrative: &str, findings: &InstanceFindings) -> (String, Vec<Struck>) {
    let mut kept = String::new();
    let mut struck = Vec::new();
    for sentence in sentences(narrative) {
        match objection(sentence, findings) {
            None => kept.push_str(sentence),
            Some(why) => {
                let (reason, phrase) = why.into_parts();
                struck.push(Struck {
                    sentence: sentence.trim().to_owned(),
                    reason,
                    phrase,
                });
            }
        }
    }
    (kept.trim().to_owned(), struck)
}

/// Sentences with the marks that end them. A full stop between two figures ends none.
fn sentences(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    let letters: Vec<(usize, char)> = text.char_indices().collect();
    for (i, (at, letter)) in letters.iter().enumerate() {
        let next = letters.get(i + 1).map(|(_, next)| *next);
        let ends = match letter {
            '。' | '！' | '？' | '；' | ';' | '!' | '?' | '\n' => true,
            '.' => next.is_none_or(|next| !next.is_ascii_digit()),
            _ => false,
        };
        if ends {
            let to = at + letter.len_utf8();
            parts.push(&text[from..to]);
            from = to;
        }
    }
    parts.push(&text[from..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Why a sentence can't stand; none: it can.
fn objection(sentence: &str, findings: &InstanceFindings) -> Option<Sentence> {
    // A space at the end, so that a short name at the end is found too.
    let lower = format!("{} ", sentence.to_lowercase());
    let has = |words: &[&'static str]| words.iter().copied().find(|word| lower.contains(word));
    if let Some(number) = unsupported_number(&lower, findings) {
        return Some(phrases::NUMBER_NOT_MEASURED.say([number.into()]));
    }
    if let Some(word) = has(&ADVICE) {
        return Some(phrases::NO_OBSERVATION.say([word.trim().into()]));
    }
    let rest = LEFT_VENTRICLE
        .iter()
        .fold(lower.clone(), |text, name| text.replace(name, " "));
    let elsewhere = |words: &[&'static str]| words.iter().copied().find(|word| rest.contains(word));
    if let Some(word) = elsewhere(&SIDES) {
        return Some(phrases::OTHER_SIDE.say([word.trim().into()]));
    }
    if let Some(word) = elsewhere(&STRUCTURES) {
        return Some(phrases::OTHER_STRUCTURE.say([word.into()]));
    }
    if let Some(word) = elsewhere(&FINDINGS) {
        return Some(phrases::NO_MEASUREMENTS_FINDING.say([word.into()]));
    }
    contradiction(&lower, findings)
}

fn contradiction(lower: &str, findings: &InstanceFindings) -> Option<Sentence> {
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let view = findings.view.as_ref().map(|view| view.label);
    let named = [
        (
            ViewLabel::A4C,
            ["four-chamber", "four chamber", "a4c", "四腔"],
        ),
        (
            ViewLabel::A2C,
            ["two-chamber", "two chamber", "a2c", "两腔"],
        ),
    ];
    for (label, words) in named {
        if has(&words) && view != Some(label) {
            return Some(phrases::NAMES_ANOTHER_VIEW.into());
        }
    }
    let ef = findings.lv.as_ref().map(|lv| lv.lvef_percent);
    let negated = has(&[
        "not ",
        "n't ",
        "no ",
        "不",
        "未",
        "无",
        "abnormal",
        "subnormal",
    ]);
    if has(&REDUCED) || has(&NORMAL) {
        // With a negation nobody can tell by rules what is meant.
        let agrees = match ef {
            Some(ef) if !negated && has(&REDUCED) && !has(&NORMAL) => ef < NORMAL_FROM,
            Some(ef) if !negated && has(&NORMAL) && !has(&REDUCED) => ef >= REDUCED_UNDER,
            _ => false,
        };
        if !agrees {
            return Some(phrases::SAYS_ANOTHER_FUNCTION.into());
        }
    }
    None
}

/// The first number that no measurement gave.
fn unsupported_number(text: &str, findings: &InstanceFindings) -> Option<String> {
    let text = ["a4c", "a2c"]
        .iter()
        .fold(text.to_owned(), |text, name| text.replace(name, " "));
    if let Some(word) = written_number(&text) {
        return Some(word.to_owned());
    }
    let known = known_numbers(findings);
    text.split(|c: char| !(c.is_numeric() || c == '.'))
        .map(|number| number.trim_matches('.'))
        .filter(|number| !number.is_empty())
        .find(|number| {
            let value = number.parse::<f64>();
            !value.is_ok_and(|value| known.iter().any(|known| (known - value).abs() <= ROUNDING))
        })
        .map(str::to_owned)
}

/// Numbers in words can't be compared; those that name a view are none.
fn written_number(text: &str) -> Option<&'static str> {
    const WORDS: [&str; 14] = [
        "twenty",
        "thirty",
        "forty",
        "fifty",
        "sixty",
        "seventy",
        "eighty",
        "percent",
        "百分之",
        "十",
        "half",
        "third",
        "millilit",
        "毫升",
    ];
    let digits = text.chars().any(|c| c.is_ascii_digit());
    WORDS.into_iter().find(|word| {
        text.contains(word) && !(digits && matches!(*word, "percent" | "millilit" | "毫升"))
    })
}

fn known_numbers(findings: &InstanceFindings) -> Vec<f64> {
    let mut known = Vec::new();
    if let Some(LvMeasurement {
        edv_ml,
        esv_ml,
        lvef_percent,
        ..
    }) = &findings.lv
    {
        known.push(*lvef_percent);
        known.extend(edv_ml.iter().chain(esv_ml).copied());
    }
    known.extend(findings.heart_rate_bpm);
    known
}

#[cfg(test)]
mod tests {
    use sonode_findings::{Method, View};

    use super::*;

    fn measured(ef: f64) -> InstanceFindings {
        let mut findings = InstanceFindings::empty("1.2.3".parse().unwrap());
        findings.view = Some(View {
            label: ViewLabel::A4C,
            probability: None,
        });
        findings.lv = Some(LvMeasurement {
            edv_ml: Some(118.2),
            esv_ml: Some(49.0),
            lvef_percent: ef,
            lvef_interval: None,
            method: Method::ModA4c,
        });
        findings
    }

    #[test]
    fn what_is_measured_may_be_said() {
        for sentence in [
            "The left ventricle contracts well.",
            "LVEF is about 58%, EDV 118 ml.",
            "This is an apical four-chamber view.",
            "左心室收缩功能正常。",
            "左心室射血分数约为58%。",
            "The image is clear.",
        ] {
            assert_eq!(
                verify(sentence, &measured(58.4)),
                (sentence.to_owned(), Vec::new())
            );
        }
    }

    #[test]
    fn numbers_sides_structures_and_findings_without_support_are_struck() {
        for sentence in [
            "LVEF is about 40%.",
            "LVEF is fifty percent.",
            "The right ventricle is large.",
            "The left atrium is seen.",
            "右心室增大。",
            "左心房可见。",
            "There is a thrombus.",
            "心包积液。",
            "Mild mitral regurgitation.",
            "Left ventricular function is reduced.",
            "左心室收缩功能减低。",
            "Function is not normal.",
            "This is a two-chamber view.",
            "A cardiologist should be called.",
            "RV normal",
            "EF ５８%",
        ] {
            let (kept, struck) = verify(sentence, &measured(58.4));
            assert!(kept.is_empty() && struck.len() == 1, "{sentence}");
        }
    }

    #[test]
    fn only_the_sentence_goes_that_is_wrong() {
        let text = "LVEF 58.4%. The aorta is wide. 左心室收缩功能正常。";
        let (kept, struck) = verify(text, &measured(58.4));
        assert_eq!(kept, "LVEF 58.4%. 左心室收缩功能正常。");
        assert_eq!(struck.len(), 1);
        assert_eq!(struck[0].sentence, "The aorta is wide.");
        assert!(struck[0].reason.contains("aort"));
    }

    #[test]
    fn without_a_measurement_no_number_and_no_word_on_function_stands() {
        let nothing = InstanceFindings::empty("1.2.3".parse().unwrap());
        for sentence in [
            "LVEF 58%.",
            "Normal function.",
            "This is a four-chamber view.",
        ] {
            assert!(verify(sentence, &nothing).0.is_empty(), "{sentence}");
        }
    }
}
