//! Character sets that dicom-object doesn't read: code extensions and misspelt terms. It is given the file as Latin
//! alphabet No. 1, which keeps every byte, and its text is decoded afterwards.

use std::borrow::Cow;

use dicom_core::value::{PrimitiveValue, Value};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use dicom_encoding::text::SpecificCharacterSet;
use dicom_object::InMemDicomObject;
use sonode_conformance::charset::{Charset, readable};

const LATIN_1: &[u8] = b"ISO_IR 100";
/// Tag and VR of Specific Character Set in explicit little endian, the tag alone in implicit.
const TAG: &[u8] = b"\x08\x00\x05\x00";
/// What comes before the data set: preamble and prefix.
const PREFIX_BYTES: usize = 132;

/// The file with another Specific Character Set in the same place, and what it declares; unchanged where dicom-object
/// reads it, or where the value is too short to be replaced, which those that it doesn't read aren't.
pub(super) fn as_latin1(bytes: &[u8]) -> (Cow<'_, [u8]>, Option<String>) {
    let Some((start, length)) = place(bytes) else {
        return (Cow::Borrowed(bytes), None);
    };
    let declared = bytes.get(start..start + length).unwrap_or_default();
    let declared = String::from_utf8_lossy(declared)
        .trim_matches([' ', '\0'])
        .to_owned();
    let is_read = !declared.contains('\\') && SpecificCharacterSet::from_code(&declared).is_some();
    if is_read || length < LATIN_1.len() || declared.is_empty() {
        return (Cow::Borrowed(bytes), None);
    }
    let mut copy = bytes.to_vec();
    for (i, byte) in copy.iter_mut().skip(start).take(length).enumerate() {
        *byte = LATIN_1.get(i).copied().unwrap_or(b' ');
    }
    (Cow::Owned(copy), Some(declared))
}

/// Where the value of the data set's first Specific Character Set lies, and its length.
fn place(bytes: &[u8]) -> Option<(usize, usize)> {
    let after = bytes.get(PREFIX_BYTES..)?;
    let at = PREFIX_BYTES + after.windows(TAG.len()).position(|window| window == TAG)?;
    let header = bytes.get(at + TAG.len()..at + TAG.len() + 4)?;
    let length = match header {
        [b'C', b'S', low, high] => usize::from(u16::from_le_bytes([*low, *high])),
        [a, b, c, d] => usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?,
        _ => return None,
    };
    let start = at + TAG.len() + 4;
    (start.checked_add(length)? <= bytes.len()).then_some((start, length))
}

/// Decodes the text of a data set that was read as Latin alphabet No. 1, and puts the declaration back.
pub(super) fn decode(object: &mut InMemDicomObject, declared: &str) {
    decode_items(object, &Charset::parse(declared));
    object.put(DataElement::new(
        tags::SPECIFIC_CHARACTER_SET,
        VR::CS,
        PrimitiveValue::from(declared),
    ));
}

/// It recurses as deep as the data set is nested, which the reader has bounded.
fn decode_items(object: &mut InMemDicomObject, charset: &Charset) {
    let all: Vec<_> = object.iter().map(|element| *element.header()).collect();
    for header in all {
        object.update_value(header.tag, |value| match value {
            Value::Sequence(sequence) => {
                for item in sequence.items_mut() {
                    decode_items(item, charset);
                }
            }
            Value::Primitive(text) if is_text(header.vr()) => {
                let latin1: Vec<u8> = text
                    .to_str()
                    .chars()
                    .filter_map(|c| u8::try_from(c).ok())
                    .collect();
                *text = PrimitiveValue::from(readable(&charset.decode(&latin1)));
            }
            _ => {}
        });
    }
}

fn is_text(vr: VR) -> bool {
    matches!(
        vr,
        VR::SH | VR::LO | VR::ST | VR::LT | VR::UC | VR::UT | VR::PN
    )
}
