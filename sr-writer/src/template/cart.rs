//! What another report of the study says beside ours, with a reference to it; and the volumes over the body surface area.

use sonode_findings::{CartReport, Quantity};

use super::Source;
use crate::codes;
use crate::texts::Language;
use crate::tree::{Composite, ImageRef, Text};

/// The other report's own values, inferred from it; and the index, whichever of them is known.
pub(super) fn comments(source: &Source<'_>) -> Vec<Text> {
    let language = source.request.style.language;
    let findings = source.findings;
    let mut comments = Vec::new();
    let named = findings.cart.as_ref().and_then(|uid| {
        let mut instances = findings.instances.iter();
        instances
            .find(|instance| instance.sop_instance_uid == *uid)?
            .cart
            .as_ref()
    });
    if let Some(report) = named {
        let text = Text::new(codes::COMMENT, &said(report, language));
        comments.push(match reference_of(source) {
            Some(reference) => text.inferred_from_report(reference),
            None => text,
        });
    }
    if let Some(index) = findings.lv.as_ref().and_then(|lv| lv.index.as_ref()) {
        comments.push(Text::new(codes::COMMENT, &language.volume_index(index)));
    }
    comments
}

/// The other report, where there is one and it can be referenced.
pub(super) fn reference_of(source: &Source<'_>) -> Option<Composite> {
    let uid = source.findings.cart.as_ref()?;
    let mut instances = source.findings.instances.iter();
    let instance = instances.find(|instance| instance.sop_instance_uid == *uid)?;
    Some(Composite::new(ImageRef {
        series: instance.series_instance_uid.clone()?,
        instance: uid.clone(),
        class: instance.sop_class_uid.clone()?,
    }))
}

/// The values in a sentence, each with its unit.
fn said(report: &CartReport, language: Language) -> String {
    let values: Vec<String> = report
        .values
        .iter()
        .map(|value| {
            let (places, unit) = match value.quantity {
                Quantity::Lvef => (1, "%"),
                Quantity::Edv | Quantity::Esv => (1, "ml"),
                Quantity::HeartRate => (0, "/min"),
                Quantity::Height => (2, "m"),
                Quantity::Weight => (1, "kg"),
                Quantity::BodySurfaceArea => (2, "m2"),
            };
            let name = language.quantity(value.quantity);
            let method = value.method.as_ref();
            let method = method.map_or_else(String::new, |method| format!(" ({method})"));
            format!("{name} {:.places$} {unit}{method}", value.value)
        })
        .collect();
    language.cart_report(&report.maker, &values)
}
