//! Short forms for putting attributes into a data set.

use dicom_core::value::{C, DataSetSequence, PrimitiveValue, Value};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::codes::Code;

/// A data set, or an item of one, in the making.
#[derive(Debug, Clone)]
pub(super) struct Item(InMemDicomObject);

impl Item {
    pub(super) fn new() -> Self {
        Self(InMemDicomObject::new_empty())
    }

    /// One text value, or an empty element for empty text, as type 2 is written.
    pub(super) fn text(&mut self, tag: Tag, vr: VR, value: &str) -> &mut Self {
        let value = if value.is_empty() {
            PrimitiveValue::Empty
        } else {
            PrimitiveValue::from(value)
        };
        self.0.put(DataElement::new(tag, vr, value));
        self
    }

    /// One text value, or no element for empty text, as type 3 is written.
    pub(super) fn optional(&mut self, tag: Tag, vr: VR, value: &str) -> &mut Self {
        if !value.is_empty() {
            self.text(tag, vr, value);
        }
        self
    }

    /// Whole numbers as VR IS.
    pub(super) fn integers(&mut self, tag: Tag, values: &[u32]) -> &mut Self {
        let texts: C<String> = values.iter().map(ToString::to_string).collect();
        self.0
            .put(DataElement::new(tag, VR::IS, PrimitiveValue::Strs(texts)));
        self
    }

    /// Several text values.
    pub(super) fn texts(&mut self, tag: Tag, vr: VR, values: &[&str]) -> &mut Self {
        let texts: C<String> = values.iter().map(ToString::to_string).collect();
        self.0
            .put(DataElement::new(tag, vr, PrimitiveValue::Strs(texts)));
        self
    }

    /// Whole numbers as VR US.
    pub(super) fn numbers(&mut self, tag: Tag, values: &[u16]) -> &mut Self {
        let values: C<u16> = values.iter().copied().collect();
        self.0
            .put(DataElement::new(tag, VR::US, PrimitiveValue::U16(values)));
        self
    }

    /// A tag as VR AT.
    pub(super) fn tag(&mut self, tag: Tag, named: Tag) -> &mut Self {
        let value = PrimitiveValue::Tags([named].into_iter().collect());
        self.0.put(DataElement::new(tag, VR::AT, value));
        self
    }

    /// Any element.
    pub(super) fn put(&mut self, element: DataElement<InMemDicomObject>) {
        self.0.put(element);
    }

    /// Numbers as VR FL.
    pub(super) fn floats(&mut self, tag: Tag, values: impl Iterator<Item = f32>) -> &mut Self {
        let values: C<f32> = values.collect();
        self.0
            .put(DataElement::new(tag, VR::FL, PrimitiveValue::F32(values)));
        self
    }

    /// A sequence; without items it is written empty, as type 2 is.
    pub(super) fn sequence(&mut self, tag: Tag, items: Vec<Self>) -> &mut Self {
        let items: Vec<InMemDicomObject> = items.into_iter().map(|item| item.0).collect();
        self.0
            .put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
        self
    }

    /// A code sequence of one item.
    pub(super) fn code(&mut self, tag: Tag, code: Code) -> &mut Self {
        let mut item = Self::new();
        item.text(tags::CODE_VALUE, VR::SH, code.value)
            .text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, code.scheme)
            .text(tags::CODE_MEANING, VR::LO, code.meaning);
        self.sequence(tag, vec![item])
    }

    /// Whether every text passes a test.
    pub(super) fn all_text(&self, test: impl Fn(&str) -> bool) -> bool {
        all_text(&self.0, &test)
    }

    pub(super) fn into_inner(self) -> InMemDicomObject {
        self.0
    }
}

/// The first `max` characters: VR LO and SH count characters, not bytes.
pub(super) fn cut(text: &str, max: usize) -> String {
    text.trim().chars().take(max).collect()
}

/// It recurses as deep as the tree, which is our own.
fn all_text(dataset: &InMemDicomObject, test: &impl Fn(&str) -> bool) -> bool {
    dataset.iter().all(|element| match element.value() {
        Value::Sequence(sequence) => sequence.items().iter().all(|item| all_text(item, test)),
        Value::Primitive(value) => value.to_multi_str().iter().all(|text| test(text)),
        Value::PixelSequence(_) => true,
    })
}
