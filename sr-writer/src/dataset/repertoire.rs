//! The character set of a report: the narrowest that keeps every character.

use dicom_encoding::text::{SpecificCharacterSet, TextCodec as _};

use super::element::Item;
use crate::form::CharacterSet;

/// Where nothing narrower does.
const UTF_8: &str = "ISO_IR 192";

/// Sets of one byte a character without code extensions (PS3.3 table C.12-2), which older software reads too. First Latin
/// alphabet No. 1, the only one that DCMTK 3.6.7's checker of value representations knows.
pub(crate) const SINGLE_BYTE: [&str; 8] = [
    "ISO_IR 100",
    "ISO_IR 101",
    "ISO_IR 109",
    "ISO_IR 110",
    "ISO_IR 144",
    "ISO_IR 127",
    "ISO_IR 126",
    "ISO_IR 138",
];

/// The value of Specific Character Set (0008,0005) for a report on images of `source`'s character set; none where the
/// default repertoire does, since the attribute is of type 1C.
///
/// In order: Latin alphabet No. 1, the source's own set, UTF-8. A set of several bytes or with code extensions becomes
/// UTF-8.
pub(super) fn of(item: &Item, source: &str, charset: CharacterSet) -> Option<&'static str> {
    if item.all_text(str::is_ascii) {
        return None;
    }
    if charset == CharacterSet::Utf8 {
        return Some(UTF_8);
    }
    let own = SINGLE_BYTE.into_iter().find(|set| *set == source.trim());
    let keeps_all = |set: &&str| {
        SpecificCharacterSet::from_code(set)
            .is_some_and(|codec| item.all_text(|text| codec.encode(text).is_ok()))
    };
    let mut narrow = SINGLE_BYTE.first().copied().into_iter().chain(own);
    Some(narrow.find(keeps_all).unwrap_or(UTF_8))
}

/// Whether a report may be written in a set.
pub(crate) fn is_written(set: &str) -> bool {
    set == UTF_8 || SINGLE_BYTE.contains(&set)
}

#[cfg(test)]
mod tests {
    use dicom_core::VR;
    use dicom_dictionary_std::tags;

    use super::*;

    #[test]
    fn the_narrowest_set_that_keeps_every_character_is_taken() {
        let set = |text: &str, source: &str| {
            let mut item = Item::new();
            item.text(tags::PATIENT_NAME, VR::PN, text);
            of(&item, source, CharacterSet::Source)
        };
        assert_eq!(set("Doe^Jane", "ISO_IR 192"), None);
        assert_eq!(set("M\u{fc}ller", "ISO_IR 192"), Some("ISO_IR 100"));
        assert_eq!(
            set("\u{418}\u{432}\u{430}\u{43d}", "ISO_IR 144"),
            Some("ISO_IR 144")
        );
        assert_eq!(
            set("\u{418}\u{432}\u{430}\u{43d}", "ISO_IR 192"),
            Some(UTF_8)
        );
        // A Cyrillic source whose text has gone beyond its set.
        assert_eq!(set("\u{418}\u{432}\u{fc}", "ISO_IR 144"), Some(UTF_8));
        assert_eq!(set("\u{738b}", "\\ISO 2022 IR 58"), Some(UTF_8));
    }

    #[test]
    fn every_set_that_is_named_can_be_written() {
        for set in SINGLE_BYTE {
            assert!(SpecificCharacterSet::from_code(set).is_some(), "{set}");
        }
    }
}
