//! Any structured report as a tree that people can read.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use sonode_conformance::sop_class;

use crate::read::{self, Found, FoundCode, FoundItem, ReadError, items, text};

/// Points of a polyline that are written out; the rest are counted.
const POINTS_SHOWN: usize = 3;

/// Why a file can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// It can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is no structured report: it has no content tree.
    #[error("the object has no content tree; its SOP class is {0}")]
    NotAReport(String),
}

/// Any structured report, whoever made it, as an indented tree: patient, study and document first, then each content
/// item with its relationship, concept, value, code and unit, and the frames that it refers to.
///
/// The text names the patient: it is for people who may see the report, not for logs.
///
/// # Errors
/// Each [`ShowError`] variant.
pub fn show(bytes: &[u8]) -> Result<String, ShowError> {
    let object = read::parse(bytes)?;
    if object.get(tags::VALUE_TYPE).is_none() {
        return Err(ShowError::NotAReport(text(&object, tags::SOP_CLASS_UID)));
    }
    let mut out = String::new();
    head(&object, &mut out);
    out.push('\n');
    body(&read::content(&object), 0, &mut out);
    Ok(out)
}

fn head(object: &InMemDicomObject, out: &mut String) {
    let get = |tag| text(object, tag);
    let class = get(tags::SOP_CLASS_UID);
    let title = sop_class::find(&class).map_or(class.as_str(), |class| class.name);
    push_line(out, 0, title.trim_end_matches(" Storage"));
    let joined = |parts: &[Tag]| {
        let parts: Vec<String> = parts.iter().map(|tag| get(*tag)).collect();
        let parts: Vec<&str> = parts
            .iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        parts.join(", ")
    };
    let lines = [
        (
            "Patient",
            joined(&[
                tags::PATIENT_NAME,
                tags::PATIENT_ID,
                tags::PATIENT_SEX,
                tags::PATIENT_BIRTH_DATE,
            ]),
        ),
        (
            "Study",
            joined(&[
                tags::STUDY_DESCRIPTION,
                tags::STUDY_DATE,
                tags::ACCESSION_NUMBER,
            ]),
        ),
        ("Study UID", get(tags::STUDY_INSTANCE_UID)),
        (
            "Series",
            joined(&[tags::SERIES_DESCRIPTION, tags::SERIES_NUMBER]),
        ),
        (
            "Status",
            joined(&[
                tags::COMPLETION_FLAG,
                tags::VERIFICATION_FLAG,
                tags::PRELIMINARY_FLAG,
                tags::CONTENT_QUALIFICATION,
            ]),
        ),
        (
            "Made",
            joined(&[
                tags::CONTENT_DATE,
                tags::CONTENT_TIME,
                tags::TIMEZONE_OFFSET_FROM_UTC,
            ]),
        ),
        (
            "By",
            joined(&[
                tags::MANUFACTURER,
                tags::MANUFACTURER_MODEL_NAME,
                tags::SOFTWARE_VERSIONS,
            ]),
        ),
        ("Instance UID", get(tags::SOP_INSTANCE_UID)),
        ("Replaces", predecessors(object)),
        ("Equipment", contributors(object)),
        ("Character set", get(tags::SPECIFIC_CHARACTER_SET)),
    ];
    for (label, value) in lines {
        if !value.is_empty() {
            push_line(out, 0, &format!("{label}: {value}"));
        }
    }
}

fn predecessors(object: &InMemDicomObject) -> String {
    let instances: Vec<String> = items(object, tags::PREDECESSOR_DOCUMENTS_SEQUENCE)
        .iter()
        .flat_map(|study| items(study, tags::REFERENCED_SERIES_SEQUENCE))
        .flat_map(|series| items(series, tags::REFERENCED_SOP_SEQUENCE))
        .map(|instance| text(instance, tags::REFERENCED_SOP_INSTANCE_UID))
        .collect();
    instances.join(", ")
}

fn contributors(object: &InMemDicomObject) -> String {
    let each: Vec<String> = items(object, tags::CONTRIBUTING_EQUIPMENT_SEQUENCE)
        .iter()
        .map(|item| {
            let parts = [
                text(item, tags::MANUFACTURER_MODEL_NAME),
                text(item, tags::SOFTWARE_VERSIONS),
            ];
            parts.join(" ").trim().to_owned()
        })
        .collect();
    each.join(", ")
}

/// It recurses as deep as the data set is nested, which [`read::parse`] has bounded.
fn body(item: &FoundItem, depth: usize, out: &mut String) {
    let mut line = String::new();
    if !item.relationship.is_empty() && item.relationship != "CONTAINS" {
        line.push_str(&item.relationship.to_lowercase());
        line.push(' ');
    }
    let kind = if item.value_type.is_empty() {
        "reference"
    } else {
        &item.value_type
    };
    line.push_str(kind);
    if let Some(name) = &item.name {
        line.push(' ');
        line.push_str(&name.meaning);
        if item.value_type != "CONTAINER" {
            line.push(':');
        }
    }
    let value = value(&item.value);
    if !value.is_empty() {
        line.push(' ');
        line.push_str(&value);
    }
    push_line(out, depth, &line);
    for child in &item.children {
        body(child, depth + 1, out);
    }
}

fn value(found: &Found) -> String {
    match found {
        Found::Container(template) => template
            .as_ref()
            .map(|template| format!("[TID {template}]"))
            .unwrap_or_default(),
        Found::Code(code) => code.as_ref().map(coded).unwrap_or_default(),
        Found::Text(text) => text.clone(),
        Found::Num {
            value,
            unit,
            qualifier,
        } => {
            let mut text = value.clone().unwrap_or_else(|| "no value".to_owned());
            if let Some(unit) = unit {
                text = format!("{text} {}", unit.value);
            }
            if let Some(qualifier) = qualifier {
                text = format!("{text} ({})", qualifier.meaning);
            }
            text
        }
        Found::Graphic { kind, data } => graphic(kind, data),
        Found::Temporal { kind, data } => format!("{kind} {data}"),
        Found::Reference {
            class,
            instance,
            frames,
        } => {
            let name = sop_class::find(class).map_or(class.as_str(), |class| class.name);
            let name = name.trim_end_matches(" Storage");
            match frames.len() {
                0 => format!("{name} {instance}"),
                1 => format!("{name} {instance} frame {}", frames.join("")),
                _ => format!("{name} {instance} frames {}", frames.join(", ")),
            }
        }
        Found::Position(position) => format!("-> {position}"),
        Found::Unknown => "(unknown value type)".to_owned(),
    }
}

fn graphic(kind: &str, data: &[f64]) -> String {
    let points: Vec<String> = data
        .chunks_exact(2)
        .take(POINTS_SHOWN)
        .filter_map(|point| match point {
            [x, y] => Some(format!("({x:.1}, {y:.1})")),
            _ => None,
        })
        .collect();
    let more = if data.len() > 2 * POINTS_SHOWN {
        " ..."
    } else {
        ""
    };
    format!(
        "{kind} {} points: {}{more}",
        data.len() / 2,
        points.join(" ")
    )
}

fn coded(code: &FoundCode) -> String {
    format!("{} ({}, {})", code.meaning, code.value, code.scheme)
}

fn push_line(out: &mut String, depth: usize, line: &str) {
    out.push_str(&"  ".repeat(depth));
    // A peer's text must not move the terminal's cursor or forge a line.
    out.extend(line.chars().map(|c| if c.is_control() { ' ' } else { c }));
    let trimmed = out.trim_end_matches(' ').len();
    out.truncate(trimmed);
    out.push('\n');
}
