//! Rules about the document as a whole: identity, marking, evidence, equipment, character set.

use std::collections::BTreeSet;

use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, InMemDicomObject};

use super::{Defect, Rule};
use crate::codes;
use crate::dataset;
use crate::form::Document;
use crate::read::{Found, FoundItem, code, items, text};
use crate::texts::Language;

pub(super) fn defects(
    object: &DefaultDicomObject,
    root: &FoundItem,
    document: Document,
) -> Vec<Defect> {
    let mut defects = identity(object, document);
    defects.extend(marking(object, root, document));
    defects.extend(evidence(object, root));
    defects.extend(equipment(object));
    defects.extend(character_set(object, root, document));
    defects
}

fn identity(object: &DefaultDicomObject, document: Document) -> Vec<Defect> {
    let mut defects = Vec::new();
    let meta = object.meta();
    let padding = ['\0', ' '];
    let class = text(object, tags::SOP_CLASS_UID);
    let instance = text(object, tags::SOP_INSTANCE_UID);
    if meta.media_storage_sop_class_uid().trim_end_matches(padding) != class {
        let detail = "file meta information names another SOP class";
        defects.push(Defect::new(Rule::Identity, "SOPClassUID", detail));
    }
    if meta
        .media_storage_sop_instance_uid()
        .trim_end_matches(padding)
        != instance
    {
        let detail = "file meta information names another instance";
        defects.push(Defect::new(Rule::Identity, "SOPInstanceUID", detail));
    }
    let mut ladder = document.ladder().iter();
    if !ladder.any(|form| form.sop_class() == class) {
        let detail = format!("{} is not written in {class}", document.name());
        defects.push(Defect::new(Rule::Identity, "SOPClassUID", detail));
    }
    defects
}

fn marking(object: &InMemDicomObject, root: &FoundItem, document: Document) -> Vec<Defect> {
    let mut defects = Vec::new();
    let flags = [
        ("Modality", tags::MODALITY, document.modality()),
        ("VerificationFlag", tags::VERIFICATION_FLAG, "UNVERIFIED"),
        ("PreliminaryFlag", tags::PRELIMINARY_FLAG, "PRELIMINARY"),
    ];
    // A Key Object Selection has no flags.
    let count = if document == Document::KeyObject {
        1
    } else {
        3
    };
    for (name, tag, wanted) in flags.into_iter().take(count) {
        let found = text(object, tag);
        if found != wanted {
            let detail = format!("is {found:?}, not {wanted:?}");
            defects.push(Defect::new(Rule::Marking, name, detail));
        }
    }
    // A flat document has no place for sentences: there the header alone marks it.
    if document == Document::SimplifiedEchoReport {
        return defects;
    }
    // A statement of its own: beside a number it speaks of that number alone.
    let mut stated = root.walk();
    stated.retain(|item| item.relationship == "CONTAINS");
    let says = |statement: &str| {
        let mut texts = stated.iter();
        texts.any(|item| matches!(&item.value, Found::Text(text) if text.starts_with(statement)))
    };
    let languages = [Language::En, Language::Zh];
    if !languages.iter().any(|l| says(l.ai_statement())) {
        let detail = "no statement says that this is an AI's unverified result";
        defects.push(Defect::new(Rule::Marking, &root.path, detail));
    }
    let research = text(object, tags::CONTENT_QUALIFICATION) == "RESEARCH";
    if document != Document::KeyObject
        && research != languages.iter().any(|l| says(l.research_statement()))
    {
        let detail = "ContentQualification and the statement about research models disagree";
        defects.push(Defect::new(Rule::Marking, &root.path, detail));
    }
    defects
}

fn evidence(object: &InMemDicomObject, root: &FoundItem) -> Vec<Defect> {
    const PATH: &str = "CurrentRequestedProcedureEvidenceSequence";
    let mut defects = Vec::new();
    let study = text(object, tags::STUDY_INSTANCE_UID);
    let mut listed = BTreeSet::new();
    for item in items(object, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE) {
        let of = text(item, tags::STUDY_INSTANCE_UID);
        if of != study {
            let detail = format!("is of study {of}, the report is of {study}");
            defects.push(Defect::new(Rule::EvidenceStudy, PATH, detail));
        }
        for reference in items(item, tags::REFERENCED_SERIES_SEQUENCE)
            .iter()
            .flat_map(|series| items(series, tags::REFERENCED_SOP_SEQUENCE))
        {
            let class = text(reference, tags::REFERENCED_SOP_CLASS_UID);
            let instance = text(reference, tags::REFERENCED_SOP_INSTANCE_UID);
            if !listed.insert((class, instance.clone())) {
                let detail = format!("lists {instance} twice");
                defects.push(Defect::new(Rule::Evidence, PATH, detail));
            }
        }
    }
    let mut named = BTreeSet::new();
    for item in root.walk() {
        let Found::Reference {
            class, instance, ..
        } = &item.value
        else {
            continue;
        };
        let reference = (class.clone(), instance.clone());
        if !listed.contains(&reference) {
            let detail = format!("the evidence doesn't list {instance}");
            defects.push(Defect::new(Rule::Evidence, &item.path, detail));
        }
        named.insert(reference);
    }
    for (_, instance) in listed.difference(&named) {
        let detail = format!("lists {instance}, which the tree doesn't name");
        defects.push(Defect::new(Rule::Evidence, PATH, detail));
    }
    defects
}

fn equipment(object: &InMemDicomObject) -> Vec<Defect> {
    const PATH: &str = "ContributingEquipmentSequence";
    let mut defects = Vec::new();
    for item in items(object, tags::CONTRIBUTING_EQUIPMENT_SEQUENCE) {
        if text(item, tags::DEVICE_UID).is_empty() {
            defects.push(Defect::new(Rule::Equipment, PATH, "no DeviceUID"));
        }
        let purpose = code(item, tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE);
        if purpose.is_none_or(|purpose| purpose.value != codes::PROCESSING_EQUIPMENT.value) {
            let detail = "the purpose is not processing";
            defects.push(Defect::new(Rule::Equipment, PATH, detail));
        }
    }
    defects
}

fn character_set(
    object: &InMemDicomObject,
    root: &FoundItem,
    document: Document,
) -> Option<Defect> {
    // Bytes that nobody could decode are copied as they are, and the document says so where it has a place for it.
    let is_flagged = document == Document::SimplifiedEchoReport
        || root.walk().iter().any(|item| match &item.value {
            Found::Text(text) => [Language::En, Language::Zh]
                .iter()
                .any(|language| text.contains(language.undecoded())),
            _ => false,
        });
    let declared = text(object, tags::SPECIFIC_CHARACTER_SET);
    match declared.as_str() {
        set if dataset::is_written(set) => None,
        "" if is_flagged || is_ascii(object) => None,
        "" => Some(Defect::new(
            Rule::CharacterSet,
            "SpecificCharacterSet",
            "is absent although not all text is ASCII",
        )),
        other => Some(Defect::new(
            Rule::CharacterSet,
            "SpecificCharacterSet",
            format!("{other} is none that is written"),
        )),
    }
}

/// It recurses as deep as the data set is nested, which the reader has bounded.
fn is_ascii(dataset: &InMemDicomObject) -> bool {
    dataset.iter().all(|element| match element.items() {
        Some(items) => items.iter().all(is_ascii),
        None => element
            .to_multi_str()
            .map_or(true, |texts| texts.iter().all(|text| text.is_ascii())),
    })
}
