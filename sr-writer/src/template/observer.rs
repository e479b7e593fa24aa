//! TID 1204 (language), TID 1002 and 1004 (the node as observer), TID 1600 (image library).

use super::Source;
use crate::codes::{self, Unit};
use crate::identity::device_uid;
use crate::tree::{Coded, Container, Image, Num, Text, UidRef};
use sonode_conformance::implementation;

/// TID 1204: the language of all that follows.
pub(super) fn language(root: Container, source: &Source<'_>) -> Container {
    let (language, country) = source.request.style.language.codes();
    root.modifier(
        Coded::new(codes::LANGUAGE, language).modifier(Coded::new(codes::COUNTRY, country)),
    )
}

/// TID 1002 and 1004: who observed. The node did, with its models; nobody else has.
pub(super) fn observer(root: Container, source: &Source<'_>) -> Container {
    let request = source.request;
    let text = |name, value: &str| Text::new(name, value);
    let root = root
        .observed(Coded::new(codes::OBSERVER_TYPE, codes::DEVICE))
        .observed(UidRef::new(
            codes::DEVICE_OBSERVER_UID,
            device_uid(&request.node_uid),
        ))
        .observed(text(
            codes::DEVICE_OBSERVER_NAME,
            request.station_ae.as_str(),
        ))
        .observed(text(
            codes::DEVICE_OBSERVER_MANUFACTURER,
            implementation::MANUFACTURER,
        ))
        .observed(text(
            codes::DEVICE_OBSERVER_MODEL,
            implementation::MODEL_NAME,
        ));
    if request.device_serial.trim().is_empty() {
        return root;
    }
    root.observed(text(codes::DEVICE_OBSERVER_SERIAL, &request.device_serial))
}

/// TID 1600: each image that was looked at, once. `None` where none can be referenced.
pub(super) fn image_library(source: &Source<'_>) -> Option<Container> {
    let entries: Vec<Image> = source
        .findings
        .instances
        .iter()
        .filter_map(|instance| {
            let mut entry = Image::whole(None, source.image(instance)?)
                .acquired(Coded::new(codes::MODALITY, codes::ULTRASOUND));
            if let Some(rows) = instance.rows {
                entry = entry.acquired(pixels(codes::PIXEL_DATA_ROWS, rows));
            }
            if let Some(columns) = instance.columns {
                entry = entry.acquired(pixels(codes::PIXEL_DATA_COLUMNS, columns));
            }
            Some(entry)
        })
        .collect();
    if entries.is_empty() {
        return None;
    }
    let group = Container::new(codes::IMAGE_LIBRARY_GROUP).contains_all(entries);
    Some(Container::new(codes::IMAGE_LIBRARY).contains(group))
}

fn pixels(name: codes::Code, count: u32) -> Num {
    Num::new(name, count.into(), Unit::Pixels)
}
