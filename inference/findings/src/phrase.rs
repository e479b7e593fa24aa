//! Sentences of ours as an id and its values, so that a report can say them in its own language.
//!
//! The JSON of findings carries each sentence in English, as the contract names it (`detail`, `notes`, `rejected_detail`,
//! `reasons`), and beside it what it is made of. Whoever writes another language takes the id's wording there; what has
//! no such parts is said as it stands. A [`Sentence`] can be made of a [`Pattern`] alone, or of somebody else's words.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A sentence that can be said: its id, and its English wording with a place `{0}`, `{1}`, … for each of `N` values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern<const N: usize> {
    /// Stable name, such as `outside-range`.
    pub id: &'static str,
    /// English wording.
    pub english: &'static str,
}

/// What a sentence is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phrase {
    /// Which pattern.
    pub id: String,
    /// What stands in its places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
}

/// What stands in a place of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A figure as it is printed, a unit, a name, or words that are not ours: the same in every language.
    Text(String),
    /// Words of ours.
    Phrase(Phrase),
    /// Several of either, one after the other.
    List(Vec<Value>),
}

/// A sentence in English, and what it is made of where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    text: String,
    phrase: Option<Phrase>,
}

/// One language's wordings.
pub struct Wording {
    /// The wording of an id.
    pub of: fn(&str) -> Option<&'static str>,
    /// What stands between the parts of a list.
    pub separator: &'static str,
}

impl<const N: usize> Pattern<N> {
    /// The sentence with these values in its places.
    pub fn say(self, values: [Value; N]) -> Sentence {
        let phrase = Phrase {
            id: self.id.to_owned(),
            values: values.into(),
        };
        Sentence {
            text: phrase.english().unwrap_or_else(|| self.english.to_owned()),
            phrase: Some(phrase),
        }
    }
}

impl Pattern<1> {
    /// The value in a sentence that was kept in English; none where it is another sentence.
    pub fn value_in(self, english: &str) -> Option<&str> {
        let (before, after) = self.english.split_once("{0}")?;
        english.strip_prefix(before)?.strip_suffix(after)
    }
}

/// A pattern without places is its own sentence.
impl From<Pattern<0>> for Sentence {
    fn from(pattern: Pattern<0>) -> Self {
        pattern.say([])
    }
}

impl fmt::Display for Pattern<0> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.english)
    }
}

impl Phrase {
    /// The sentence in English; none where the id is unknown here.
    pub fn english(&self) -> Option<String> {
        self.render(&crate::phrases::ENGLISH)
    }

    /// The sentence in a language; none where that has no wording for it or for a part of it.
    pub fn render(&self, wording: &Wording) -> Option<String> {
        let mut parts = (wording.of)(&self.id)?.split('{');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (place, rest) = part.split_once('}')?;
            let place: usize = place.parse().ok()?;
            text.push_str(&self.values.get(place)?.render(wording)?);
            text.push_str(rest);
        }
        Some(text)
    }

    /// The phrase of a sentence that has no values, found by its English wording.
    pub fn plain(english: &str) -> Option<Self> {
        let found = crate::phrases::ALL.iter();
        let mut found = found.filter(|(_, wording)| *wording == english && !wording.contains('{'));
        found.next().map(|(id, _)| Self {
            id: (*id).to_owned(),
            values: Vec::new(),
        })
    }
}

impl Value {
    fn render(&self, wording: &Wording) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Phrase(phrase) => phrase.render(wording),
            Self::List(values) => {
                let parts: Option<Vec<String>> =
                    values.iter().map(|value| value.render(wording)).collect();
                Some(parts?.join(wording.separator))
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Sentence> for Value {
    fn from(sentence: Sentence) -> Self {
        match sentence.phrase {
            Some(phrase) => Self::Phrase(phrase),
            None => Self::Text(sentence.text),
        }
    }
}

impl From<Pattern<0>> for Value {
    fn from(pattern: Pattern<0>) -> Self {
        Sentence::from(pattern).into()
    }
}

impl FromIterator<Sentence> for Value {
    fn from_iter<T: IntoIterator<Item = Sentence>>(sentences: T) -> Self {
        Self::List(sentences.into_iter().map(Self::from).collect())
    }
}

impl Sentence {
    /// Words that are not ours, such as a decoder's: they are said as they stand in every language.
    pub fn verbatim(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            phrase: None,
        }
    }

    /// A sentence that was kept in English, with what it is made of. A phrase that says something else is not believed.
    pub fn known(text: &str, phrases: &[Phrase]) -> Self {
        let mut said = phrases.iter();
        let said = said.find(|phrase| phrase.english().as_deref() == Some(text));
        Self {
            text: text.to_owned(),
            phrase: said.cloned().or_else(|| Phrase::plain(text)),
        }
    }

    /// In English.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it is made of.
    pub fn phrase(&self) -> Option<&Phrase> {
        self.phrase.as_ref()
    }

    /// In a language, or in English where that has no wording for it.
    pub fn render(&self, wording: &Wording) -> String {
        let phrase = self.phrase.as_ref();
        let rendered = phrase.and_then(|phrase| phrase.render(wording));
        rendered.unwrap_or_else(|| self.text.clone())
    }

    /// The two parts, for fields that lie side by side.
    pub fn into_parts(self) -> (String, Option<Phrase>) {
        (self.text, self.phrase)
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phrases;

    const GERMAN: Wording = Wording {
        of: |id| match id {
            "outside-range" => Some("{0}: {1} {2}, statt {3} bis {4} {2}"),
            "lv-length-ed" => Some("Länge"),
            "implausible" => Some("Unmöglich: {0}."),
            _ => None,
        },
        separator: "; ",
    };

    fn outside() -> Sentence {
        let what = phrases::LV_LENGTH_ED.into();
        phrases::OUTSIDE_RANGE.say([what, "4.0".into(), "cm".into(), "5".into(), "12".into()])
    }

    #[test]
    fn a_sentence_is_said_in_each_language_that_has_it() {
        let english = "LV length at end diastole 4.0 cm is outside 5-12 cm";
        assert_eq!(outside().text(), english);
        assert_eq!(
            outside().render(&GERMAN),
            "Länge: 4.0 cm, statt 5 bis 12 cm"
        );
        let refusal = phrases::IMPLAUSIBLE.say([[outside(), outside()].into_iter().collect()]);
        assert_eq!(
            refusal.text(),
            format!("Implausible: {english}; {english}.")
        );
        assert!(refusal.render(&GERMAN).starts_with("Unmöglich: Länge"));
        // One part without a wording, and all of it stays English.
        let unknown = phrases::IMPLAUSIBLE.say([phrases::SINGLE_FRAME.into()]);
        assert_eq!(unknown.render(&GERMAN), unknown.text());
    }

    #[test]
    fn a_phrase_survives_its_json_and_one_of_another_sentence_is_not_believed() {
        let (text, phrase) = outside().into_parts();
        let json = serde_json::to_string(&phrase).unwrap();
        let back: Phrase = serde_json::from_str(&json).unwrap();
        assert_eq!(
            Sentence::known(&text, std::slice::from_ref(&back)),
            outside()
        );
        let other = Sentence::known("Something else.", &[back]);
        assert_eq!(other.render(&GERMAN), "Something else.");
        let foreign: Phrase = serde_json::from_str(r#"{"id":"of-tomorrow"}"#).unwrap();
        assert_eq!(foreign.english(), None);
    }

    #[test]
    fn places_are_those_that_the_pattern_states() {
        // A pattern that lacks a place, or states one too many, would say less than it was given.
        for (id, wording, count) in phrases::COUNTS {
            for place in 0..*count {
                assert!(wording.contains(&format!("{{{place}}}")), "{id}");
            }
            assert!(!wording.contains(&format!("{{{count}}}")), "{id}");
        }
        let mut ids: Vec<_> = phrases::ALL.iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(
            ids.len(),
            phrases::ALL.len(),
            "an id stands for two sentences"
        );
    }
}
