//! The content tree of a structured report (PS3.3 C.17.3), in types that make wrong trees hard to write.
//!
//! Each value type is a type of its own and has only the methods for the relationships that it may be the source of;
//! each method takes only the types that may be its target. What remains (SOP class, depth, emptiness) is checked by
//! [`validate`], which knows PS3.3's tables.

mod build;
mod constraints;

pub use build::{Coded, Composite, Container, Image, Num, Qualifier, Region, Text, UidRef};
pub use constraints::{TreeError, relationship_allowed, validate};

use sonode_conformance::{SeriesInstanceUid, SopClassUid, SopInstanceUid, Uid};

use crate::codes::{Code, Unit};
use crate::form::Coding;

/// Relationship Type (0040,A010).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relationship {
    /// CONTAINS.
    Contains,
    /// HAS OBS CONTEXT.
    HasObsContext,
    /// HAS ACQ CONTEXT.
    HasAcqContext,
    /// HAS CONCEPT MOD.
    HasConceptMod,
    /// HAS PROPERTIES.
    HasProperties,
    /// INFERRED FROM.
    InferredFrom,
    /// SELECTED FROM.
    SelectedFrom,
}

impl Relationship {
    /// Every relationship.
    pub const ALL: &[Self] = &[
        Self::Contains,
        Self::HasObsContext,
        Self::HasAcqContext,
        Self::HasConceptMod,
        Self::HasProperties,
        Self::InferredFrom,
        Self::SelectedFrom,
    ];

    /// The value of Relationship Type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contains => "CONTAINS",
            Self::HasObsContext => "HAS OBS CONTEXT",
            Self::HasAcqContext => "HAS ACQ CONTEXT",
            Self::HasConceptMod => "HAS CONCEPT MOD",
            Self::HasProperties => "HAS PROPERTIES",
            Self::InferredFrom => "INFERRED FROM",
            Self::SelectedFrom => "SELECTED FROM",
        }
    }

    /// The relationship of a value of Relationship Type.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|r| r.as_str() == text)
    }
}

/// Value Type (0040,A040).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// CONTAINER.
    Container,
    /// CODE.
    Code,
    /// TEXT.
    Text,
    /// NUM.
    Num,
    /// UIDREF.
    UidRef,
    /// SCOORD.
    Scoord,
    /// IMAGE.
    Image,
    /// COMPOSITE.
    Composite,
}

impl ValueType {
    /// Every value type that a report of ours may contain.
    pub const ALL: &[Self] = &[
        Self::Container,
        Self::Code,
        Self::Text,
        Self::Num,
        Self::UidRef,
        Self::Scoord,
        Self::Image,
        Self::Composite,
    ];

    /// The value of Value Type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Container => "CONTAINER",
            Self::Code => "CODE",
            Self::Text => "TEXT",
            Self::Num => "NUM",
            Self::UidRef => "UIDREF",
            Self::Scoord => "SCOORD",
            Self::Image => "IMAGE",
            Self::Composite => "COMPOSITE",
        }
    }

    /// The value type of a value of Value Type.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|v| v.as_str() == text)
    }
}

/// A number as VR DS writes it: at most 16 characters, rounded to what the measurement is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal(String);

impl Decimal {
    /// The value rounded to `places` digits after the point; `None` where it is not finite or doesn't fit.
    pub fn rounded(value: f64, places: usize) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let text = format!("{value:.places$}");
        // A rounded negative zero would read "-0.0".
        let text = match text.strip_prefix('-') {
            Some(rest) if rest.bytes().all(|b| matches!(b, b'0' | b'.')) => rest.to_owned(),
            _ => text,
        };
        (text.len() <= 16).then_some(Self(text))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<u32> for Decimal {
    fn from(value: u32) -> Self {
        Self(value.to_string())
    }
}

/// An image or another object, and where Current Requested Procedure Evidence Sequence lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageRef {
    /// Its Series Instance UID.
    pub series: SeriesInstanceUid,
    /// Its SOP Instance UID.
    pub instance: SopInstanceUid,
    /// Its SOP Class UID.
    pub class: SopClassUid,
}

/// What a content item says.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A container; of a template (Content Template Sequence) or of none.
    Container(Option<&'static str>),
    /// A coded value.
    Code(Code),
    /// Text.
    Text(String),
    /// A number and its unit.
    Num(Decimal, Unit),
    /// A UID.
    UidRef(Uid),
    /// A closed polyline: (column, row) in image pixels; its last point is its first.
    Polyline(Vec<[f32; 2]>),
    /// An image; of its frames those listed, counted from 1, or all where none is.
    Image(ImageRef, Vec<u32>),
    /// An object that is no image, such as another report.
    Composite(ImageRef),
}

impl Value {
    /// The value's type.
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::Container(_) => ValueType::Container,
            Self::Code(_) => ValueType::Code,
            Self::Text(_) => ValueType::Text,
            Self::Num(..) => ValueType::Num,
            Self::UidRef(_) => ValueType::UidRef,
            Self::Polyline(_) => ValueType::Scoord,
            Self::Image(..) => ValueType::Image,
            Self::Composite(_) => ValueType::Composite,
        }
    }
}

/// A content item. It is made by the typed builders only.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    name: Option<Code>,
    value: Value,
    children: Vec<(Relationship, Node)>,
}

impl Node {
    /// Concept Name Code Sequence (0040,A043).
    pub fn name(&self) -> Option<Code> {
        self.name
    }

    /// What it says.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// What it is the source of, in order.
    pub fn children(&self) -> &[(Relationship, Self)] {
        &self.children
    }

    /// The same tree with its coded concepts in a generation of SNOMED.
    #[must_use]
    pub fn in_generation(mut self, coding: Coding) -> Self {
        self.name = self.name.map(|name| name.in_generation(coding));
        if let Value::Code(code) = &mut self.value {
            *code = code.in_generation(coding);
        }
        self.children = self
            .children
            .into_iter()
            .map(|(relationship, child)| (relationship, child.in_generation(coding)))
            .collect();
        self
    }

    /// Every image and every other object that the tree names, sorted, each once.
    pub fn images(&self) -> Vec<ImageRef> {
        let mut found = Vec::new();
        self.collect_images(&mut found);
        found.sort();
        found.dedup();
        found
    }

    fn collect_images(&self, found: &mut Vec<ImageRef>) {
        if let Value::Image(image, _) | Value::Composite(image) = &self.value {
            found.push(image.clone());
        }
        for (_, child) in &self.children {
            child.collect_images(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn numbers_fit_a_decimal_string() {
        let text = |value, places| Decimal::rounded(value, places).map(|d| d.as_str().to_owned());
        assert_eq!(text(58.4749, 1).as_deref(), Some("58.5"));
        assert_eq!(text(-0.01, 1).as_deref(), Some("0.0"));
        assert_eq!(text(f64::NAN, 1), None);
        assert_eq!(text(1e30, 1), None);
    }

    proptest::proptest! {
        #[test]
        fn no_number_is_longer_than_its_vr(value: f64, places in 0_usize..6) {
            if let Some(decimal) = Decimal::rounded(value, places) {
                assert!(decimal.as_str().len() <= 16);
                assert!((decimal.as_str().parse::<f64>().unwrap() - value).abs() <= 0.5001);
            }
        }
    }
}
