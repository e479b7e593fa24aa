//! The character set of a document, and its text in it.

use dicom_core::value::{DataSetSequence, PrimitiveValue, Value};
use dicom_core::{DataElement, VR};
use dicom_object::InMemDicomObject;
use sonode_conformance::charset::{Charset, has_undecoded};

use super::element::Item;
use crate::form::CharacterSet;

/// Where nothing narrower does.
const UTF_8: &str = "ISO_IR 192";
/// For text of which no set was declared: the only one beside ASCII that DCMTK 3.6.7's checker of value
/// representations knows.
const LATIN_1: &str = "ISO_IR 100";

/// The set for a document on images of `source`'s character set. Its term is empty where the default repertoire does,
/// since the attribute is of type 1C.
///
/// By [`CharacterSet::Source`], in order: the images' own set, Latin alphabet No. 1, UTF-8. Text that could not be decoded
/// is written in the images' own set in any case, byte for byte, or it would come to mean something else.
pub(super) fn of(item: &Item, source: &str, choice: CharacterSet) -> Charset {
    let own = Charset::parse(source);
    if item.all_text(str::is_ascii) {
        return Charset::parse("");
    }
    let has_raw = !item.all_text(|text| !has_undecoded(text));
    let by_choice: &[&str] = match choice {
        CharacterSet::Source => &[LATIN_1, UTF_8],
        CharacterSet::Utf8 => &[UTF_8],
    };
    let takes_own = has_raw || (choice == CharacterSet::Source && own.is_known());
    takes_own
        .then_some(own)
        .into_iter()
        .chain(by_choice.iter().map(|set| Charset::parse(set)))
        .find(|set| item.all_text(|text| set.encode(text).is_some()))
        .unwrap_or_else(|| Charset::parse(UTF_8))
}

/// Whether a document may be written in a set of this term.
pub(crate) fn is_written(term: &str) -> bool {
    let set = Charset::parse(term);
    set.is_known() && set.term() == term
}

/// The data set with its text in the set's bytes; dicom-object would write the first of several sets only.
///
/// It recurses as deep as the tree, which is our own.
pub(super) fn in_bytes(dataset: InMemDicomObject, set: &Charset) -> InMemDicomObject {
    let mut written = InMemDicomObject::new_empty();
    for element in dataset {
        let header = *element.header();
        let value = match element.into_value() {
            Value::Sequence(sequence) => {
                let items: Vec<InMemDicomObject> = sequence
                    .into_items()
                    .into_iter()
                    .map(|item| in_bytes(item, set))
                    .collect();
                Value::Sequence(DataSetSequence::from(items))
            }
            Value::Primitive(text @ (PrimitiveValue::Str(_) | PrimitiveValue::Strs(_)))
                if is_text(header.vr()) =>
            {
                Value::Primitive(encoded(&text, set))
            }
            other => other,
        };
        written.put(DataElement::new(header.tag, header.vr(), value));
    }
    written
}

/// Whether Specific Character Set governs the value (PS3.5 section 6.1.2.3).
fn is_text(vr: VR) -> bool {
    matches!(
        vr,
        VR::SH | VR::LO | VR::ST | VR::LT | VR::UC | VR::UT | VR::PN
    )
}

fn encoded(text: &PrimitiveValue, set: &Charset) -> PrimitiveValue {
    let text = text.to_str();
    // The set was chosen so that it has every character.
    let mut bytes = set
        .encode(&text)
        .unwrap_or_else(|| text.as_bytes().to_vec());
    if bytes.len() % 2 == 1 {
        bytes.push(b' ');
    }
    PrimitiveValue::U8(bytes.into())
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::tags;

    use super::*;

    fn term(text: &str, source: &str, choice: CharacterSet) -> String {
        let mut item = Item::new();
        item.text(tags::PATIENT_NAME, VR::PN, text);
        of(&item, source, choice).term().to_owned()
    }

    #[test]
    fn the_images_own_set_is_taken_where_it_keeps_every_character() {
        let set = |text, source| term(text, source, CharacterSet::Source);
        assert_eq!(set("Doe^Jane", "ISO_IR 192"), "");
        assert_eq!(set("M\u{fc}ller", "ISO_IR 192"), "ISO_IR 192");
        assert_eq!(set("M\u{fc}ller", ""), "ISO_IR 100");
        assert_eq!(
            set("\u{418}\u{432}\u{430}\u{43d}", "ISO_IR 144"),
            "ISO_IR 144"
        );
        // A Cyrillic source whose text has gone beyond its set.
        assert_eq!(set("\u{418}\u{432}\u{fc}", "ISO_IR 144"), "ISO_IR 192");
        assert_eq!(set("Wang=\u{738b}", "\\ISO 2022 IR 58"), "\\ISO 2022 IR 58");
        assert_eq!(set("Wang=\u{738b}", "iso ir 192"), "ISO_IR 192");
    }

    #[test]
    fn utf_8_is_taken_where_it_is_asked_for_and_needed() {
        let set = |text, source| term(text, source, CharacterSet::Utf8);
        assert_eq!(set("Doe^Jane", "ISO_IR 100"), "");
        assert_eq!(set("M\u{fc}ller", "ISO_IR 100"), "ISO_IR 192");
        // What could not be decoded stays in its own set.
        let raw = Charset::parse("ISO_IR 166").decode(b"\xFF\xB9");
        assert!(has_undecoded(&raw));
        assert_eq!(set(&raw, "ISO_IR 166"), "ISO_IR 166");
    }
}
