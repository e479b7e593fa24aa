//! A parsed data set's content tree, of any structured report, with whatever it lacks left out.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

/// A coded concept as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundCode {
    pub(crate) value: String,
    pub(crate) scheme: String,
    pub(crate) meaning: String,
}

/// What a content item says, as it was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    /// CONTAINER, and the template that it follows.
    Container(Option<String>),
    /// CODE.
    Code(Option<FoundCode>),
    /// TEXT, PNAME, DATE, TIME, DATETIME, UIDREF: one value.
    Text(String),
    /// NUM: value, unit, qualifier.
    Num {
        value: Option<String>,
        unit: Option<FoundCode>,
        qualifier: Option<FoundCode>,
    },
    /// SCOORD, SCOORD3D: graphic type and numbers.
    Graphic { kind: String, data: Vec<f64> },
    /// TCOORD: range type and whatever numbers it has.
    Temporal { kind: String, data: String },
    /// IMAGE, COMPOSITE, WAVEFORM: the referenced object and frames.
    Reference {
        class: String,
        instance: String,
        frames: Vec<String>,
    },
    /// An item that stands for another one, named by its position.
    Position(String),
    /// A value type that PS3.3 doesn't know.
    Unknown,
}

/// A content item as it was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FoundItem {
    /// Where it stands: `1` is the root, `1.2` its second child.
    pub(crate) path: String,
    pub(crate) relationship: String,
    pub(crate) value_type: String,
    pub(crate) name: Option<FoundCode>,
    pub(crate) value: Found,
    pub(crate) children: Vec<FoundItem>,
}

impl FoundItem {
    /// The item and all that it holds, in document order.
    pub(crate) fn walk(&self) -> Vec<&Self> {
        let mut all = vec![self];
        for child in &self.children {
            all.extend(child.walk());
        }
        all
    }

    /// Whether the concept name is this code, in either generation.
    pub(crate) fn is(&self, code: crate::codes::Code) -> bool {
        let is_it = |name: &FoundCode| {
            let mut generations = code.generations();
            generations.any(|known| name.value == known.value && name.scheme == known.scheme)
        };
        self.name.as_ref().is_some_and(is_it)
    }

    /// The children of this concept name.
    pub(crate) fn named(&self, code: crate::codes::Code) -> impl Iterator<Item = &Self> {
        self.children.iter().filter(move |child| child.is(code))
    }
}

/// The content tree of a data set. It recurses as deep as the data set is nested, which [`super::parse`] has bounded.
pub(crate) fn content(dataset: &InMemDicomObject) -> FoundItem {
    item(dataset, "1".to_owned())
}

fn item(dataset: &InMemDicomObject, path: String) -> FoundItem {
    let value_type = text(dataset, tags::VALUE_TYPE);
    let children = items(dataset, tags::CONTENT_SEQUENCE)
        .iter()
        .enumerate()
        .map(|(i, child)| item(child, format!("{path}.{}", i + 1)))
        .collect();
    FoundItem {
        relationship: text(dataset, tags::RELATIONSHIP_TYPE),
        name: code(dataset, tags::CONCEPT_NAME_CODE_SEQUENCE),
        value: value(dataset, &value_type),
        path,
        value_type,
        children,
    }
}

fn value(dataset: &InMemDicomObject, value_type: &str) -> Found {
    match value_type {
        "CONTAINER" => Found::Container(
            items(dataset, tags::CONTENT_TEMPLATE_SEQUENCE)
                .first()
                .map(|template| text(template, tags::TEMPLATE_IDENTIFIER)),
        ),
        "CODE" => Found::Code(code(dataset, tags::CONCEPT_CODE_SEQUENCE)),
        "TEXT" => Found::Text(text(dataset, tags::TEXT_VALUE)),
        "PNAME" => Found::Text(text(dataset, tags::PERSON_NAME)),
        "UIDREF" => Found::Text(text(dataset, tags::UID)),
        "DATE" => Found::Text(text(dataset, tags::DATE)),
        "TIME" => Found::Text(text(dataset, tags::TIME)),
        "DATETIME" => Found::Text(text(dataset, tags::DATE_TIME)),
        "NUM" => number(dataset),
        "SCOORD" | "SCOORD3D" => Found::Graphic {
            kind: text(dataset, tags::GRAPHIC_TYPE),
            data: dataset
                .get(tags::GRAPHIC_DATA)
                .and_then(|element| element.to_multi_float64().ok())
                .unwrap_or_default(),
        },
        "TCOORD" => Found::Temporal {
            kind: text(dataset, tags::TEMPORAL_RANGE_TYPE),
            data: [
                tags::REFERENCED_SAMPLE_POSITIONS,
                tags::REFERENCED_TIME_OFFSETS,
                tags::REFERENCED_DATE_TIME,
            ]
            .iter()
            .map(|tag| text(dataset, *tag))
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
        },
        "IMAGE" | "COMPOSITE" | "WAVEFORM" => reference(dataset),
        _ => match text(dataset, tags::REFERENCED_CONTENT_ITEM_IDENTIFIER) {
            position if position.is_empty() => Found::Unknown,
            position => Found::Position(position.replace('\\', ".")),
        },
    }
}

fn number(dataset: &InMemDicomObject) -> Found {
    let measured = items(dataset, tags::MEASURED_VALUE_SEQUENCE).first();
    Found::Num {
        value: measured
            .map(|item| text(item, tags::NUMERIC_VALUE))
            .filter(|value| !value.is_empty()),
        unit: measured.and_then(|item| code(item, tags::MEASUREMENT_UNITS_CODE_SEQUENCE)),
        qualifier: code(dataset, tags::NUMERIC_VALUE_QUALIFIER_CODE_SEQUENCE),
    }
}

fn reference(dataset: &InMemDicomObject) -> Found {
    let object = items(dataset, tags::REFERENCED_SOP_SEQUENCE).first();
    let get = |tag| object.map(|object| text(object, tag)).unwrap_or_default();
    let frames = get(tags::REFERENCED_FRAME_NUMBER);
    Found::Reference {
        class: get(tags::REFERENCED_SOP_CLASS_UID),
        instance: get(tags::REFERENCED_SOP_INSTANCE_UID),
        frames: frames
            .split('\\')
            .map(|frame| frame.trim().to_owned())
            .filter(|frame| !frame.is_empty())
            .collect(),
    }
}

/// The items of a sequence; none where it is absent.
pub(crate) fn items(dataset: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    dataset
        .get(tag)
        .and_then(|element| element.items())
        .unwrap_or_default()
}

/// An element's text, several values joined with a backslash, without padding; empty where it is absent.
pub(crate) fn text(dataset: &InMemDicomObject, tag: Tag) -> String {
    let text = dataset.get(tag).and_then(|element| element.to_str().ok());
    text.map(|text| text.trim_end_matches([' ', '\0']).to_owned())
        .unwrap_or_default()
}

/// The first item of a code sequence.
pub(crate) fn code(dataset: &InMemDicomObject, tag: Tag) -> Option<FoundCode> {
    let item = items(dataset, tag).first()?;
    // PS3.3 table 8.8-1: a long code or a URN stands in another attribute.
    let value = [
        tags::CODE_VALUE,
        tags::LONG_CODE_VALUE,
        tags::URN_CODE_VALUE,
    ]
    .iter()
    .map(|tag| text(item, *tag))
    .find(|value| !value.is_empty())
    .unwrap_or_default();
    Some(FoundCode {
        value,
        scheme: text(item, tags::CODING_SCHEME_DESIGNATOR),
        meaning: text(item, tags::CODE_MEANING),
    })
}
