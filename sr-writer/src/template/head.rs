//! The heads of documents as rows: TID 1204 (language), TID 1002 and 1004 (the node as observer), TID 1500's procedure;
//! and TID 1600 (image library).

use super::Source;
use super::rows::{Acquisition, Modifier, Row, acquire, fill};
use crate::codes::{self, Unit};
use crate::identity::device_uid;
use crate::request::ReportRequest;
use crate::tree::{Container, Image};
use sonode_conformance::implementation;
use sonode_findings::InstanceFindings;

type Head = Row<ReportRequest>;

/// TID 1204: the language of all that follows, and whose usage it is.
const LANGUAGE: &[Head] = &[Row::Modifier(Modifier::Code(
    codes::LANGUAGE,
    |request| request.style.language.codes().0,
    &[Modifier::Code(
        codes::COUNTRY,
        |request| request.style.language.codes().1,
        &[],
    )],
))];

/// TID 1204 without a country: in a key object only a container may be modified (PS3.3 table A.35.4-2).
const LANGUAGE_ALONE: &[Head] = &[Row::Modifier(Modifier::Code(
    codes::LANGUAGE,
    |request| request.style.language.codes().0,
    &[],
))];

/// TID 1002 and 1004: who observed. The node did, with its models; nobody else has.
const OBSERVER: &[Head] = &[
    Row::ContextCode(codes::OBSERVER_TYPE, |_| codes::DEVICE),
    Row::ContextUid(codes::DEVICE_OBSERVER_UID, |request| {
        device_uid(&request.node_uid)
    }),
    Row::ContextText(codes::DEVICE_OBSERVER_NAME, |request| {
        Some(request.station_ae.as_str().to_owned())
    }),
    Row::ContextText(codes::DEVICE_OBSERVER_MANUFACTURER, |_| {
        Some(implementation::MANUFACTURER.to_owned())
    }),
    Row::ContextText(codes::DEVICE_OBSERVER_MODEL, |_| {
        Some(implementation::MODEL_NAME.to_owned())
    }),
    Row::ContextText(codes::DEVICE_OBSERVER_SERIAL, |request| {
        let serial = request.device_serial.trim();
        (!serial.is_empty()).then(|| request.device_serial.clone())
    }),
];

/// TID 1500's procedure. What was analysed is an echocardiogram, whatever order it was made under: IHE AIR asks for the
/// imaging procedure, not for the algorithm.
const PROCEDURE: &[Head] = &[Row::Modifier(Modifier::Code(
    codes::PROCEDURE_REPORTED,
    |_| codes::TRANSTHORACIC_ECHO,
    &[],
))];

/// TID 1602, of each image.
const IMAGE_ENTRY: &[Acquisition<InstanceFindings>] = &[
    Acquisition::Code(codes::MODALITY, |_| codes::ULTRASOUND),
    Acquisition::Count(codes::PIXEL_DATA_ROWS, Unit::Pixels, |image| image.rows),
    Acquisition::Count(codes::PIXEL_DATA_COLUMNS, Unit::Pixels, |image| {
        image.columns
    }),
];

/// Which rows stand at the head of a document.
#[derive(Debug, Clone, Copy)]
pub(super) enum Headed {
    /// Language and observer.
    Report,
    /// The same, and the procedure.
    MeasurementReport,
    /// What a key object may have of them.
    KeyObject,
}

/// The root with the rows of its head.
pub(super) fn head(root: Container, headed: Headed, source: &Source<'_>) -> Container {
    let tables: &[&'static [Head]] = match headed {
        Headed::Report => &[LANGUAGE, OBSERVER],
        Headed::MeasurementReport => &[LANGUAGE, OBSERVER, PROCEDURE],
        Headed::KeyObject => &[LANGUAGE_ALONE, OBSERVER],
    };
    tables
        .iter()
        .fold(root, |root, rows| fill(root, rows, source.request))
}

/// TID 1600: each image that was looked at, once. `None` where none can be referenced.
pub(super) fn image_library(source: &Source<'_>) -> Option<Container> {
    let entries: Vec<Image> = source
        .findings
        .instances
        .iter()
        .filter_map(|instance| {
            let image = Image::whole(None, source.image(instance)?);
            Some(acquire(image, IMAGE_ENTRY, instance))
        })
        .collect();
    if entries.is_empty() {
        return None;
    }
    let group = Container::new(codes::IMAGE_LIBRARY_GROUP).contains_all(entries);
    Some(Container::new(codes::IMAGE_LIBRARY).contains(group))
}
