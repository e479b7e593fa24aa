//! The builders: one type for each value type, one method for each relationship that it may be the source of.

use sonode_conformance::Uid;

use super::{Decimal, ImageRef, Node, Relationship, Value};
use crate::codes::{Code, Unit};

mod sealed {
    pub trait Sealed: Into<super::Node> {}
}

/// What may modify a concept (HAS CONCEPT MOD): CODE and TEXT.
pub trait Qualifier: sealed::Sealed {}
/// What may be a property of a statement.
pub trait Property: sealed::Sealed {}
/// What may be context of an observation or an acquisition.
pub trait Context: sealed::Sealed {}
/// What a container may contain.
pub trait Content: sealed::Sealed {}

macro_rules! items {
    ($($(#[$doc:meta])* $name:ident: $($role:ident),*;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name(Node);

        impl From<$name> for Node {
            fn from(item: $name) -> Self {
                item.0
            }
        }

        impl sealed::Sealed for $name {}
        $(impl $role for $name {})*
    )+};
}

items! {
    /// A CONTAINER item.
    Container: Content;
    /// A CODE item.
    Coded: Qualifier, Context, Content, Property;
    /// A TEXT item.
    Text: Qualifier, Context, Content, Property;
    /// A NUM item.
    Num: Context, Content, Property;
    /// A UIDREF item.
    UidRef: Context, Content;
    /// A SCOORD item: a closed polyline on one frame of one image.
    Region: Content;
    /// An IMAGE item.
    Image: Content;
    /// A COMPOSITE item.
    Composite: Content;
}

fn leaf(name: Option<Code>, value: Value) -> Node {
    Node {
        name,
        value,
        children: Vec::new(),
    }
}

fn add(node: &mut Node, relationship: Relationship, child: impl Into<Node>) {
    node.children.push((relationship, child.into()));
}

impl Container {
    /// An empty container.
    pub fn new(name: Code) -> Self {
        Self(leaf(Some(name), Value::Container(None)))
    }

    /// An empty container that follows a template of PS3.16.
    pub fn templated(name: Code, template: &'static str) -> Self {
        Self(leaf(Some(name), Value::Container(Some(template))))
    }

    /// CONTAINS.
    #[must_use]
    pub fn contains(mut self, item: impl Content) -> Self {
        add(&mut self.0, Relationship::Contains, item);
        self
    }

    /// CONTAINS, for each.
    #[must_use]
    pub fn contains_all<C: Content>(self, items: impl IntoIterator<Item = C>) -> Self {
        items.into_iter().fold(self, Self::contains)
    }

    /// HAS CONCEPT MOD.
    #[must_use]
    pub fn modifier(mut self, item: impl Qualifier) -> Self {
        add(&mut self.0, Relationship::HasConceptMod, item);
        self
    }

    /// HAS OBS CONTEXT.
    #[must_use]
    pub fn observed(mut self, item: impl Context) -> Self {
        add(&mut self.0, Relationship::HasObsContext, item);
        self
    }

    /// Whether nothing is contained.
    pub fn is_empty(&self) -> bool {
        self.0.children.is_empty()
    }
}

impl Coded {
    /// HAS PROPERTIES.
    #[must_use]
    pub fn property(mut self, item: impl Property) -> Self {
        add(&mut self.0, Relationship::HasProperties, item);
        self
    }

    /// A coded value.
    pub fn new(name: Code, value: Code) -> Self {
        Self(leaf(Some(name), Value::Code(value)))
    }

    /// HAS CONCEPT MOD.
    #[must_use]
    pub fn modifier(mut self, item: impl Qualifier) -> Self {
        add(&mut self.0, Relationship::HasConceptMod, item);
        self
    }
}

impl Text {
    /// Text. Control characters other than line breaks and tabs, which VR UT forbids, become spaces.
    pub fn new(name: Code, text: &str) -> Self {
        let text = text
            .chars()
            .map(|c| match c {
                '\t' | '\n' | '\r' => c,
                c if c.is_control() => ' ',
                c => c,
            })
            .collect();
        Self(leaf(Some(name), Value::Text(text)))
    }

    /// INFERRED FROM an image.
    #[must_use]
    pub fn inferred_from(mut self, image: Image) -> Self {
        add(&mut self.0, Relationship::InferredFrom, image);
        self
    }

    /// INFERRED FROM another report.
    #[must_use]
    pub fn inferred_from_report(mut self, report: Composite) -> Self {
        add(&mut self.0, Relationship::InferredFrom, report);
        self
    }
}

impl Composite {
    /// An object that is no image.
    pub fn new(object: ImageRef) -> Self {
        Self(leaf(None, Value::Composite(object)))
    }
}

impl Num {
    /// HAS PROPERTIES.
    #[must_use]
    pub fn property(mut self, item: impl Property) -> Self {
        add(&mut self.0, Relationship::HasProperties, item);
        self
    }

    /// A measured value.
    pub fn new(name: Code, value: Decimal, unit: Unit) -> Self {
        Self(leaf(Some(name), Value::Num(value, unit)))
    }

    /// HAS CONCEPT MOD.
    #[must_use]
    pub fn modifier(mut self, item: impl Qualifier) -> Self {
        add(&mut self.0, Relationship::HasConceptMod, item);
        self
    }

    /// INFERRED FROM an image.
    #[must_use]
    pub fn inferred_from(mut self, image: Image) -> Self {
        add(&mut self.0, Relationship::InferredFrom, image);
        self
    }

    /// INFERRED FROM another number.
    #[must_use]
    pub fn inferred_from_number(mut self, number: Self) -> Self {
        add(&mut self.0, Relationship::InferredFrom, number);
        self
    }

    /// INFERRED FROM another report.
    #[must_use]
    pub fn inferred_from_report(mut self, report: Composite) -> Self {
        add(&mut self.0, Relationship::InferredFrom, report);
        self
    }
}

impl UidRef {
    /// A UID.
    pub fn new(name: Code, uid: Uid) -> Self {
        Self(leaf(Some(name), Value::UidRef(uid)))
    }
}

impl Image {
    /// An image as a whole.
    pub fn whole(name: Option<Code>, image: ImageRef) -> Self {
        Self(leaf(name, Value::Image(image, Vec::new())))
    }

    /// Some frames of an image, counted from 1.
    pub fn frames(name: Option<Code>, image: ImageRef, frames: Vec<u32>) -> Self {
        Self(leaf(name, Value::Image(image, frames)))
    }

    /// HAS ACQ CONTEXT.
    #[must_use]
    pub fn acquired(mut self, item: impl Context) -> Self {
        add(&mut self.0, Relationship::HasAcqContext, item);
        self
    }
}

impl Region {
    /// A closed polyline selected from one frame of an image. The points are (column, row) in image pixels, open or
    /// closed; `None` for fewer than three, for one that is not finite, and for frame 0.
    pub fn closed(name: Code, points: &[[f64; 2]], image: ImageRef, frame: u32) -> Option<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "Graphic Data is VR FL; a pixel's coordinate needs no more"
        )]
        let mut outline: Vec<[f32; 2]> = points.iter().map(|p| p.map(|v| v as f32)).collect();
        outline.dedup();
        if outline.first() == outline.last() {
            outline.pop();
        }
        let finite = outline.iter().flatten().all(|v| v.is_finite());
        if outline.len() < 3 || !finite || frame == 0 {
            return None;
        }
        outline.extend(outline.first().copied());
        let mut node = leaf(Some(name), Value::Polyline(outline));
        add(
            &mut node,
            Relationship::SelectedFrom,
            Image::frames(None, image, vec![frame]),
        );
        Some(Self(node))
    }
}
