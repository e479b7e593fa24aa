//! Stages of a stress echo: only the one at rest is measured.

use dicom_dictionary_std::tags;
use sonode_findings::{Rejection, phrases};

use super::{Attributes, Refusal, Said, refuse, says, words};

/// Names of the stage at rest.
const REST: [&str; 5] = ["REST", "RESTING", "BASELINE", "BASE", "BASAL"];
/// What is not done yet at rest: "pre-exercise".
const LOAD: [&str; 6] = [
    "EXERCISE",
    "EX",
    "STRESS",
    "DOBUTAMINE",
    "DOSE",
    "TREADMILL",
];
/// Names of the stages under load and after it. They count whatever stands beside them: "pre-peak" is no rest.
const LOADED: [&str; 9] = [
    "PEAK",
    "LOW",
    "MID",
    "HIGH",
    "MAX",
    "RECOVERY",
    "POST",
    "IMPOST",
    "IMMEDIATE",
];
/// How the words of a stress echo's protocol begin.
const PROTOCOL: [&str; 10] = [
    "STRESS",
    "DOBUTAMIN",
    "DSE",
    "EXERCISE",
    "TREADMILL",
    "BICYCLE",
    "ERGOMET",
    "ADENOSIN",
    "DIPYRIDAMOL",
    "BELASTUNG",
];

/// What a stage's name says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// There is none, or it is a number.
    Numbered(Option<u32>),
    Rest,
    /// Anything else. Which words makers have for a dose or a load has no end, so that what isn't rest is none.
    Other,
}

/// A stage of a stress echo, unless it is the one at rest.
pub(super) fn refusal(attributes: Attributes<'_>, said: &Said) -> Option<Refusal> {
    let stage = attributes
        .trimmed(tags::STAGE_NAME)
        .unwrap_or_default()
        .to_uppercase();
    let stages = attributes.whole(tags::NUMBER_OF_STAGES).unwrap_or(0);
    let numbered = match name(&stage) {
        Name::Rest => return None,
        // A protocol of one stage is no stress echo's, whatever the stage is called.
        Name::Other if stages == 1 => None,
        Name::Other => return refuse(Rejection::StressStage, says("Stage Name", &stage)),
        Name::Numbered(number) => number,
    };
    let number = attributes.whole(tags::STAGE_NUMBER).or(numbered);
    let number = number.unwrap_or(0);
    if number > 1 {
        let of = stages.max(number).to_string();
        return refuse(
            Rejection::StressStage,
            phrases::STRESS_STAGE.say([number.to_string().into(), of.into()]),
        );
    }
    let protocol = said.in_attribute("Protocol Name")?;
    let is_stress = |word: &&str| PROTOCOL.iter().any(|begin| word.starts_with(begin));
    let word = words(protocol).into_iter().find(is_stress)?;
    // The protocol is a stress echo's and nothing says that this is its resting stage.
    if number == 1 && stages > 1 {
        return None;
    }
    refuse(Rejection::StressStage, says("Protocol Name", word))
}

fn name(stage: &str) -> Name {
    let words = words(stage);
    let any = |list: &[&str]| words.iter().any(|word| list.contains(word));
    let number = |word: &&str| word.trim_start_matches("STAGE").parse().ok();
    if any(&LOADED) {
        Name::Other
    } else if any(&REST) || words == ["PRE"] || any(&["PRE"]) && any(&LOAD) {
        Name::Rest
    } else if words.iter().all(|word| {
        let rest = word.trim_start_matches("STAGE");
        rest.is_empty() || rest.parse::<u32>().is_ok()
    }) {
        Name::Numbered(words.iter().find_map(number))
    } else {
        Name::Other
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::DataSet;
    use super::*;

    fn is_refused(texts: &[(dicom_core::Tag, &'static str, &str)]) -> bool {
        let cine = DataSet::default()
            .text(tags::MODALITY, "CS", "US")
            .fragments(&[b"ab"]);
        let cine = texts
            .iter()
            .fold(cine, |set, (tag, vr, value)| set.text(*tag, vr, value));
        let opened = cine.open();
        let attributes = opened.attributes();
        let found = refusal(attributes, &Said::of(attributes));
        assert!(
            found
                .as_ref()
                .is_none_or(|(reason, _)| *reason == Rejection::StressStage)
        );
        found.is_some()
    }

    #[test]
    fn only_rest_is_measured() {
        let stage = |name: &str| is_refused(&[(tags::STAGE_NAME, "SH", name)]);
        for name in [
            "Rest",
            "BASELINE",
            "Pre",
            "Pre-exercise",
            "PRE STRESS",
            "Stage 1",
            "1",
        ] {
            assert!(!stage(name), "{name}");
        }
        let loaded = [
            "Peak",
            "PRE-PEAK",
            "Pre Peak",
            "Low dose",
            "20 MCG/KG",
            "50 W",
            "ATROPINE",
            "Post exercise",
            "Stage 3",
            "STAGE2",
            "4",
        ];
        for name in loaded {
            assert!(stage(name), "{name}");
        }
    }

    #[test]
    fn the_number_counts_without_a_name_and_without_their_count() {
        let number = |number| is_refused(&[(tags::STAGE_NUMBER, "IS", number)]);
        assert!(number("3"));
        assert!(!number("1"));
        // A single stage with a name of its own is an ordinary examination's.
        let adult = (tags::STAGE_NAME, "SH", "Adult");
        assert!(is_refused(&[adult]));
        assert!(!is_refused(&[adult, (tags::NUMBER_OF_STAGES, "IS", "1")]));
    }

    #[test]
    fn a_stress_protocol_needs_a_word_that_it_is_its_rest() {
        for name in ["Stressecho", "Dobutamin", "Bicycle", "Treadmill echo"] {
            let protocol = (tags::PROTOCOL_NAME, "LO", name);
            assert!(is_refused(&[protocol]), "{name}");
            assert!(!is_refused(&[protocol, (tags::STAGE_NAME, "SH", "Rest")]));
            let first = [
                (tags::STAGE_NUMBER, "IS", "1"),
                (tags::NUMBER_OF_STAGES, "IS", "4"),
            ];
            assert!(!is_refused(&[&[protocol], &first[..]].concat()));
        }
        assert!(!is_refused(&[(tags::PROTOCOL_NAME, "LO", "Adult echo")]));
    }
}
