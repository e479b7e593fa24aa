//! Rules about the content tree: templates, observer, tracking, codes, units, numbers, frames, regions.

use std::collections::{BTreeMap, BTreeSet};

use super::{Defect, KnownImages, Rule};
use crate::codes::{self, Code, Unit};
use crate::form::Document;
use crate::read::{Found, FoundCode, FoundItem};
use sonode_conformance::Uid;

pub(super) fn defects(root: &FoundItem, document: Document, images: &KnownImages) -> Vec<Defect> {
    let mut defects = observer(root);
    let title = match document {
        Document::MeasurementReport => codes::IMAGING_MEASUREMENT_REPORT,
        Document::EchoReport | Document::SimplifiedEchoReport => codes::ADULT_ECHO_REPORT,
        Document::KeyObject => codes::OF_INTEREST,
    };
    if !root.is(title) || template(root) != Some(document.template()) {
        let detail = format!("the root is not identified as TID {}", document.template());
        defects.push(Defect::new(Rule::Template, &root.path, detail));
    }
    if document == Document::MeasurementReport {
        defects.extend(groups(root));
    }
    let sizes = sizes(root, images);
    for item in root.walk() {
        defects.extend(item_codes(item));
        defects.extend(number(item));
        defects.extend(frames(item, images));
        defects.extend(region(item, &sizes));
    }
    defects
}

pub(super) fn template(item: &FoundItem) -> Option<&str> {
    match &item.value {
        Found::Container(template) => template.as_deref(),
        _ => None,
    }
}

fn is_uid(text: &str) -> bool {
    Uid::parse(text.as_bytes()).is_ok()
}

fn single_text(item: &FoundItem) -> Option<&str> {
    match &item.value {
        Found::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn observer(root: &FoundItem) -> Vec<Defect> {
    let mut defects = Vec::new();
    let is_device = root.named(codes::OBSERVER_TYPE).any(
        |item| matches!(&item.value, Found::Code(Some(code)) if code.value == codes::DEVICE.value),
    );
    if !is_device {
        let detail = "no device is named as the observer";
        defects.push(Defect::new(Rule::Observer, &root.path, detail));
    }
    let mut uids = root.named(codes::DEVICE_OBSERVER_UID);
    if !uids.any(|item| single_text(item).is_some_and(is_uid)) {
        let detail = "the device observer has no UID";
        defects.push(Defect::new(Rule::Observer, &root.path, detail));
    }
    defects
}

fn groups(root: &FoundItem) -> Vec<Defect> {
    let mut defects = Vec::new();
    let mut seen = BTreeSet::new();
    let all = root.walk();
    let groups = all.iter().filter(|item| item.is(codes::MEASUREMENT_GROUP));
    for group in groups {
        if !matches!(template(group), Some("1410" | "1501")) {
            let detail = "the measurement group's template is not identified";
            defects.push(Defect::new(Rule::Template, &group.path, detail));
        }
        for name in [
            codes::ALGORITHM_NAME,
            codes::ALGORITHM_VERSION,
            codes::ALGORITHM_FAMILY,
        ] {
            if group.named(name).count() != 1 {
                let detail = format!("not exactly one {}", name.meaning);
                defects.push(Defect::new(Rule::Algorithm, &group.path, detail));
            }
        }
        let identifiers: Vec<_> = group.named(codes::TRACKING_IDENTIFIER).collect();
        if identifiers.len() != 1 || !identifiers.iter().all(|item| single_text(item).is_some()) {
            let detail = "not exactly one tracking identifier";
            defects.push(Defect::new(Rule::Tracking, &group.path, detail));
        }
        let uids: Vec<_> = group
            .named(codes::TRACKING_UID)
            .filter_map(single_text)
            .filter(|uid| is_uid(uid))
            .collect();
        match uids.as_slice() {
            [uid] if !seen.insert((*uid).to_owned()) => {
                let detail = "another group has the same tracking UID";
                defects.push(Defect::new(Rule::Tracking, &group.path, detail));
            }
            [_] => {}
            _ => {
                let detail = "not exactly one tracking UID";
                defects.push(Defect::new(Rule::Tracking, &group.path, detail));
            }
        }
    }
    defects
}

fn item_codes(item: &FoundItem) -> Vec<Defect> {
    let mut found: Vec<(Rule, &FoundCode)> = Vec::new();
    found.extend(item.name.as_ref().map(|name| (Rule::Code, name)));
    match &item.value {
        Found::Code(Some(code)) => found.push((Rule::Code, code)),
        Found::Num {
            unit: Some(unit), ..
        } => found.push((Rule::Unit, unit)),
        _ => {}
    }
    let mut defects: Vec<Defect> = found
        .into_iter()
        .filter(|(rule, code)| match rule {
            Rule::Unit => !Unit::ALL.iter().any(|unit| is_same(code, unit.code())),
            _ => !codes::ALL.iter().any(|known| is_same(code, *known)),
        })
        .map(|(rule, code)| {
            let FoundCode {
                value,
                scheme,
                meaning,
            } = code;
            let detail = format!("({value}, {scheme}, {meaning:?}) is not in the table");
            Defect::new(rule, &item.path, detail)
        })
        .collect();
    if item.name.is_none() && !matches!(item.value_type.as_str(), "IMAGE" | "COMPOSITE") {
        defects.push(Defect::new(Rule::Code, &item.path, "no concept name"));
    }
    if matches!(item.value, Found::Code(None)) {
        defects.push(Defect::new(Rule::Code, &item.path, "no coded value"));
    }
    defects
}

fn is_same(found: &FoundCode, known: Code) -> bool {
    let mut generations = known.generations();
    generations.any(|known| {
        found.value == known.value && found.scheme == known.scheme && found.meaning == known.meaning
    })
}

fn number(item: &FoundItem) -> Option<Defect> {
    let Found::Num { value, unit, .. } = &item.value else {
        return None;
    };
    let value = value.as_deref().and_then(|value| value.trim().parse().ok());
    let detail = match (value, unit) {
        (None, _) => "the value is missing or is no number",
        (Some(value), _) if !f64::is_finite(value) => "the value is not finite",
        (_, None) => "the unit is missing",
        _ => return None,
    };
    Some(Defect::new(Rule::Number, &item.path, detail))
}

fn frames(item: &FoundItem, images: &KnownImages) -> Vec<Defect> {
    let Found::Reference {
        frames, instance, ..
    } = &item.value
    else {
        return Vec::new();
    };
    let last = images.get(instance).and_then(|image| image.frames);
    let wrong = |frame: &String| match (frame.parse::<u32>(), last) {
        (Err(_) | Ok(0), _) => Some(format!("{frame:?} is no frame number")),
        (Ok(number), Some(last)) if number > last => {
            Some(format!("frame {number} is beyond the image's {last}"))
        }
        _ => None,
    };
    let mut defects: Vec<Defect> = frames
        .iter()
        .filter_map(wrong)
        .map(|detail| Defect::new(Rule::Frame, &item.path, detail))
        .collect();
    if item.relationship == "SELECTED FROM" && frames.len() != 1 {
        let detail = format!("a region is on one frame, not on {}", frames.len());
        defects.push(Defect::new(Rule::Frame, &item.path, detail));
    }
    defects
}

/// Columns and rows by SOP Instance UID.
type Sizes<'a> = BTreeMap<&'a str, [f64; 2]>;

/// What is known of the images, and else what the image library says.
fn sizes<'a>(root: &'a FoundItem, images: &'a KnownImages) -> Sizes<'a> {
    let count = |entry: &FoundItem, name: Code| {
        entry.named(name).find_map(|item| match &item.value {
            Found::Num { value, .. } => value.as_ref()?.trim().parse::<f64>().ok(),
            _ => None,
        })
    };
    let mut sizes: Sizes<'a> = root
        .named(codes::IMAGE_LIBRARY)
        .flat_map(|library| &library.children)
        .flat_map(|group| &group.children)
        .filter_map(|entry| {
            let Found::Reference { instance, .. } = &entry.value else {
                return None;
            };
            let columns = count(entry, codes::PIXEL_DATA_COLUMNS)?;
            let rows = count(entry, codes::PIXEL_DATA_ROWS)?;
            Some((instance.as_str(), [columns, rows]))
        })
        .collect();
    sizes.extend(
        images
            .iter()
            .filter_map(|(uid, image)| Some((uid.as_str(), image.size?.map(f64::from)))),
    );
    sizes
}

fn region(item: &FoundItem, sizes: &Sizes<'_>) -> Vec<Defect> {
    let Found::Graphic { kind, data } = &item.value else {
        return Vec::new();
    };
    let mut defects = Vec::new();
    let points: Vec<&[f64]> = data.chunks(2).collect();
    let closed = points.len() >= 4 && data.len() % 2 == 0 && points.first() == points.last();
    if kind != "POLYLINE" || !closed {
        let detail = format!("{kind} of {} numbers is no closed polyline", data.len());
        defects.push(Defect::new(Rule::Polyline, &item.path, detail));
    }
    let size = item.children.iter().find_map(|child| match &child.value {
        Found::Reference { instance, .. } => sizes.get(instance.as_str()),
        _ => None,
    });
    let outside = |point: &&&[f64]| {
        point.iter().enumerate().any(|(axis, value)| {
            let most = size.and_then(|size| size.get(axis)).copied();
            !(0.0..=most.unwrap_or(f64::MAX)).contains(value)
        })
    };
    if let Some(point) = points.iter().find(outside) {
        let detail = format!("the point {point:?} is outside the image");
        defects.push(Defect::new(Rule::Inside, &item.path, detail));
    }
    defects
}
