//! The header as attributes: typed look-ups that forgive, over dicom-object.

use dicom_core::value::{PrimitiveValue, Value};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;

use sonode_conformance::charset::Charset;

/// A parsed header.
#[derive(Debug)]
pub struct Header {
    object: InMemDicomObject,
    charset: Charset,
    character_set: String,
}

/// A data set or a sequence item within a [`Header`].
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    object: &'a InMemDicomObject,
    charset: &'a Charset,
}

impl Header {
    /// Parses the clean copy that the scan made.
    ///
    /// # Errors
    /// What dicom-object says, in its words.
    pub(crate) fn parse(bytes: &[u8], character_set: String) -> Result<Self, String> {
        let object =
            InMemDicomObject::read_dataset_with_ts(bytes, &IMPLICIT_VR_LITTLE_ENDIAN.erased())
                .map_err(|error| error.to_string())?;
        Ok(Self {
            object,
            charset: Charset::parse(&character_set),
            character_set,
        })
    }

    /// Specific Character Set (0008,0005), as written.
    pub fn character_set(&self) -> &str {
        &self.character_set
    }

    /// The data set's own attributes.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes {
            object: &self.object,
            charset: &self.charset,
        }
    }
}

impl<'a> Attributes<'a> {
    /// Text, decoded; `\` stands between several values. None where the attribute is missing or empty.
    pub fn text(&self, tag: Tag) -> Option<String> {
        let raw = self.raw_text(tag)?;
        let text = self.charset.decode(&raw);
        let text = text.trim_end_matches([' ', '\0']);
        (!text.trim().is_empty()).then(|| text.to_owned())
    }

    /// Text without the spaces around it: codes, UIDs, identifiers.
    pub fn trimmed(&self, tag: Tag) -> Option<String> {
        self.text(tag).map(|text| text.trim().to_owned())
    }

    /// The values of a text attribute, each trimmed; empty ones are kept, for their place has a meaning.
    pub fn values(&self, tag: Tag) -> Vec<String> {
        self.text(tag)
            .map(|text| {
                text.split('\\')
                    .map(|value| value.trim().to_owned())
                    .collect()
            })
            .unwrap_or_default()
    }

    /// Every number of a binary or a text attribute; text that is no number is left out.
    pub fn numbers(&self, tag: Tag) -> Vec<f64> {
        let Some(Value::Primitive(value)) = self.object.get(tag).map(DataElement::value) else {
            return Vec::new();
        };
        match value {
            PrimitiveValue::Str(_) | PrimitiveValue::Strs(_) => self
                .values(tag)
                .iter()
                .filter_map(|value| number(value))
                .collect(),
            PrimitiveValue::Empty => Vec::new(),
            _ => value.to_multi_float64().unwrap_or_default(),
        }
    }

    /// The first number, finite.
    pub fn number(&self, tag: Tag) -> Option<f64> {
        self.numbers(tag).first().copied().filter(|n| n.is_finite())
    }

    /// The first number, as a whole one that isn't negative.
    pub fn whole(&self, tag: Tag) -> Option<u32> {
        let number = self.number(tag)?;
        (number >= 0.0 && number <= f64::from(u32::MAX)).then_some(number as u32)
    }

    /// The first value of an AT attribute.
    pub fn tag(&self, tag: Tag) -> Option<Tag> {
        match self.object.get(tag)?.value() {
            Value::Primitive(PrimitiveValue::Tags(tags)) => tags.first().copied(),
            _ => None,
        }
    }

    /// The value's bytes in little endian, of a binary attribute.
    pub fn bytes(&self, tag: Tag) -> Option<Vec<u8>> {
        let element = self.object.get(tag)?;
        element
            .value()
            .to_bytes()
            .ok()
            .map(std::borrow::Cow::into_owned)
    }

    /// The items of a sequence.
    pub fn items(&self, tag: Tag) -> impl Iterator<Item = Attributes<'a>> + use<'a> {
        let charset = self.charset;
        self.object
            .get(tag)
            .and_then(|element| element.items())
            .unwrap_or_default()
            .iter()
            .map(move |object| Attributes { object, charset })
    }

    /// Whether the attribute is there, with or without a value.
    pub fn has(&self, tag: Tag) -> bool {
        self.object.get(tag).is_some()
    }

    /// Code Value and Coding Scheme Designator of each item of a code sequence, in capitals.
    pub fn codes(&self, tag: Tag) -> Vec<(String, String)> {
        self.items(tag)
            .filter_map(|item| {
                let value = item.trimmed(tags::CODE_VALUE)?.to_uppercase();
                let scheme = item
                    .trimmed(tags::CODING_SCHEME_DESIGNATOR)
                    .unwrap_or_default();
                Some((value, scheme.to_uppercase()))
            })
            .collect()
    }

    /// The text's bytes as they stand in the file. The copy has no Specific Character Set, so dicom-object has read each
    /// byte as the character of the same number, and splits at 0x5C, also inside a two-byte character; both are undone.
    fn raw_text(&self, tag: Tag) -> Option<Vec<u8>> {
        let element = self.object.get(tag)?;
        let Value::Primitive(value) = element.value() else {
            return None;
        };
        if element.vr() == VR::UN {
            return Some(value.to_bytes().into_owned());
        }
        let byte = |c: char| u8::try_from(u32::from(c)).unwrap_or(b'?');
        match value {
            PrimitiveValue::Str(text) => Some(text.chars().map(byte).collect()),
            PrimitiveValue::Strs(values) => Some(values.join("\\").chars().map(byte).collect()),
            _ => None,
        }
    }
}

/// A decimal string, forgiving a comma and spaces.
fn number(text: &str) -> Option<f64> {
    text.trim_matches([' ', '\0'])
        .replace(',', ".")
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}
