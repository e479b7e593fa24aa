//! The patient and study attributes that a report copies, in Unicode.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use sonode_findings::{Phi, RequestAttributes, StudyContext};

use super::Opened;
use super::header::Attributes;

/// The study context of an instance; none where it has no readable Study Instance UID.
pub fn study_context(opened: &Opened) -> Option<StudyContext> {
    let attributes = opened.attributes();
    let phi = |tag| phi(attributes, tag);
    let text = |tag| attributes.trimmed(tag).unwrap_or_default();
    Some(StudyContext {
        study_instance_uid: opened.study_instance_uid()?,
        source_character_set: opened.header().character_set().to_owned(),
        patient_name: phi(tags::PATIENT_NAME),
        patient_id: phi(tags::PATIENT_ID),
        issuer_of_patient_id: phi(tags::ISSUER_OF_PATIENT_ID),
        patient_birth_date: phi(tags::PATIENT_BIRTH_DATE),
        patient_sex: phi(tags::PATIENT_SEX),
        study_date: text(tags::STUDY_DATE),
        study_time: text(tags::STUDY_TIME),
        accession_number: phi(tags::ACCESSION_NUMBER),
        referring_physician_name: phi(tags::REFERRING_PHYSICIAN_NAME),
        study_id: phi(tags::STUDY_ID),
        study_description: phi(tags::STUDY_DESCRIPTION),
        timezone_offset_from_utc: text(tags::TIMEZONE_OFFSET_FROM_UTC),
        requests: attributes
            .items(tags::REQUEST_ATTRIBUTES_SEQUENCE)
            .map(request)
            .collect(),
    })
}

fn request(item: Attributes<'_>) -> RequestAttributes {
    let phi = |tag| phi(item, tag);
    RequestAttributes {
        accession_number: phi(tags::ACCESSION_NUMBER),
        requested_procedure_id: phi(tags::REQUESTED_PROCEDURE_ID),
        requested_procedure_description: phi(tags::REQUESTED_PROCEDURE_DESCRIPTION),
        placer_order_number: phi(tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST),
        filler_order_number: phi(tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST),
    }
}

fn phi(attributes: Attributes<'_>, tag: Tag) -> Phi {
    // Trimmed on both sides, as the node does it: it compares Patient IDs.
    Phi::new(attributes.trimmed(tag).unwrap_or_default())
}
