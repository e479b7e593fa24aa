//! Rows of templates as data: what PS3.16 writes as relationship, value type, concept name and value, in its order. A row
//! without a value is left out, one with several is repeated (its VM).
//!
//! `S` is what the values are taken from. The kinds of rows are the relationships and value types that the builders of
//! [`crate::tree`] have, so that a table can't state what a tree can't hold.

use crate::codes::{Code, Unit};
use crate::tree::{Coded, Container, Image, Num, Text, UidRef};
use sonode_conformance::Uid;

/// A row of a container.
pub(super) enum Row<S: 'static> {
    /// HAS CONCEPT MOD.
    Modifier(Modifier<S>),
    /// HAS OBS CONTEXT CODE.
    ContextCode(Code, fn(&S) -> Code),
    /// HAS OBS CONTEXT TEXT.
    ContextText(Code, fn(&S) -> Option<String>),
    /// HAS OBS CONTEXT UIDREF.
    ContextUid(Code, fn(&S) -> Uid),
    /// CONTAINS CODE.
    Code(Code, fn(&S) -> Code),
}

/// HAS CONCEPT MOD.
pub(super) enum Modifier<S: 'static> {
    /// CODE, with what modifies it in turn.
    Code(Code, fn(&S) -> Code, &'static [Modifier<S>]),
    /// TEXT, any number of them.
    Texts(Code, fn(&S) -> Vec<String>),
}

/// A row of an image: HAS ACQ CONTEXT.
pub(super) enum Acquisition<S: 'static> {
    /// CODE.
    Code(Code, fn(&S) -> Code),
    /// NUM.
    Count(Code, Unit, fn(&S) -> Option<u32>),
}

/// The container with a table's rows in it.
pub(super) fn fill<S>(container: Container, rows: &'static [Row<S>], of: &S) -> Container {
    rows.iter().fold(container, |container, row| match row {
        Row::Modifier(Modifier::Code(name, value, under)) => {
            let under = under.iter();
            container.modifier(under.fold(Coded::new(*name, value(of)), |coded, modifier| {
                modify(coded, modifier, of)
            }))
        }
        Row::Modifier(Modifier::Texts(name, values)) => {
            let values = values(of).into_iter();
            values.fold(container, |container, text| {
                container.modifier(Text::new(*name, &text))
            })
        }
        Row::ContextCode(name, value) => container.observed(Coded::new(*name, value(of))),
        Row::ContextText(name, value) => match value(of) {
            Some(text) => container.observed(Text::new(*name, &text)),
            None => container,
        },
        Row::ContextUid(name, value) => container.observed(UidRef::new(*name, value(of))),
        Row::Code(name, value) => container.contains(Coded::new(*name, value(of))),
    })
}

fn modify<S>(coded: Coded, modifier: &'static Modifier<S>, of: &S) -> Coded {
    match modifier {
        Modifier::Code(name, value, under) => {
            let inner = Coded::new(*name, value(of));
            let inner = under
                .iter()
                .fold(inner, |inner, modifier| modify(inner, modifier, of));
            coded.modifier(inner)
        }
        Modifier::Texts(name, values) => values(of)
            .into_iter()
            .fold(coded, |coded, text| coded.modifier(Text::new(*name, &text))),
    }
}

/// The image with a table's rows under it.
pub(super) fn acquire<S>(image: Image, rows: &'static [Acquisition<S>], of: &S) -> Image {
    rows.iter().fold(image, |image, row| match row {
        Acquisition::Code(name, value) => image.acquired(Coded::new(*name, value(of))),
        Acquisition::Count(name, unit, value) => match value(of) {
            Some(count) => image.acquired(Num::new(*name, count.into(), *unit)),
            None => image,
        },
    })
}
