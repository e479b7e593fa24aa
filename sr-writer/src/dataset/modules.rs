//! The modules of a report beside its content (PS3.3 A.35.3.2, A.35.13.2): patient, study, series, equipment,
//! document, SOP common.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use sonode_conformance::implementation;
use sonode_findings::{Findings, ModelRef, RequestAttributes, StudyContext};

use super::element::{Item, cut};
use crate::codes;
use crate::form::Document;
use crate::identity::model_uid;
use crate::request::{Predecessor, ReportRequest};
use crate::texts::series_description;
use crate::tree::ImageRef;

/// Patient module (C.7.1.1): all type 2, copied.
pub(super) fn patient(item: &mut Item, context: &StudyContext) {
    item.text(tags::PATIENT_NAME, VR::PN, context.patient_name.expose())
        .text(tags::PATIENT_ID, VR::LO, context.patient_id.expose())
        .optional(
            tags::ISSUER_OF_PATIENT_ID,
            VR::LO,
            context.issuer_of_patient_id.expose(),
        )
        .text(
            tags::PATIENT_BIRTH_DATE,
            VR::DA,
            &date(context.patient_birth_date.expose()),
        )
        .text(tags::PATIENT_SEX, VR::CS, context.patient_sex.expose());
}

/// General Study module (C.7.2.1), copied.
pub(super) fn study(item: &mut Item, context: &StudyContext) {
    item.text(
        tags::STUDY_INSTANCE_UID,
        VR::UI,
        context.study_instance_uid.as_str(),
    )
    .text(tags::STUDY_DATE, VR::DA, &date(&context.study_date))
    .text(tags::STUDY_TIME, VR::TM, &time(&context.study_time))
    .text(
        tags::ACCESSION_NUMBER,
        VR::SH,
        context.accession_number.expose(),
    )
    .text(
        tags::REFERRING_PHYSICIAN_NAME,
        VR::PN,
        context.referring_physician_name.expose(),
    )
    .text(tags::STUDY_ID, VR::SH, context.study_id.expose())
    .optional(
        tags::STUDY_DESCRIPTION,
        VR::LO,
        context.study_description.expose(),
    );
}

/// SR Document Series module (C.17.1).
pub(super) fn series(item: &mut Item, request: &ReportRequest) {
    item.text(tags::MODALITY, VR::CS, request.document.modality())
        .text(
            tags::SERIES_INSTANCE_UID,
            VR::UI,
            request.series_instance_uid.as_str(),
        )
        .integers(tags::SERIES_NUMBER, &[request.series_number])
        .text(
            tags::SERIES_DESCRIPTION,
            VR::LO,
            series_description(request.document),
        )
        // Type 2: no procedure step of ours was registered anywhere.
        .sequence(
            tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE,
            Vec::new(),
        );
}

/// Enhanced General Equipment module (C.7.5.2).
pub(super) fn equipment(item: &mut Item, request: &ReportRequest) {
    maker(item);
    item.optional(
        tags::DEVICE_SERIAL_NUMBER,
        VR::LO,
        &cut(&request.device_serial, 64),
    )
    .text(tags::STATION_NAME, VR::SH, request.station_ae.as_str());
}

/// Who made an object, and with what.
pub(super) fn maker(item: &mut Item) {
    item.text(tags::MANUFACTURER, VR::LO, implementation::MANUFACTURER)
        .text(
            tags::MANUFACTURER_MODEL_NAME,
            VR::LO,
            implementation::MODEL_NAME,
        )
        .text(
            tags::SOFTWARE_VERSIONS,
            VR::LO,
            implementation::SOFTWARE_VERSION,
        );
}

/// SR Document General module (C.17.2), or Key Object Document module (C.17.6.2), which has fewer attributes.
pub(super) fn document(
    item: &mut Item,
    context: &StudyContext,
    request: &ReportRequest,
    images: &[ImageRef],
) {
    item.integers(tags::INSTANCE_NUMBER, &[request.instance_number])
        .text(tags::CONTENT_DATE, VR::DA, &request.content.date)
        .text(tags::CONTENT_TIME, VR::TM, &request.content.time);
    if request.document != Document::KeyObject {
        flags(item);
    }
    if !context.requests.is_empty() {
        let requests = context
            .requests
            .iter()
            .map(|attributes| referenced_request(context, attributes))
            .collect();
        item.sequence(tags::REFERENCED_REQUEST_SEQUENCE, requests);
    }
    if !images.is_empty() {
        item.sequence(
            tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE,
            vec![evidence(context, images)],
        );
    }
    // A Key Object Selection has no such attribute; its series and instance number say which is the later one.
    if !request.predecessors.is_empty() && request.document != Document::KeyObject {
        let documents = request.predecessors.iter();
        item.sequence(
            tags::PREDECESSOR_DOCUMENTS_SEQUENCE,
            documents.map(predecessor_document).collect(),
        );
    }
}

/// What the document says of its own standing. The node has said all that it has to say of this evidence, an unmeasured
/// study included; later evidence makes another document. So COMPLETE, which says nothing of truth: that is the next two
/// flags' matter.
fn flags(item: &mut Item) {
    item.text(tags::COMPLETION_FLAG, VR::CS, "COMPLETE")
        .text(tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED")
        .text(tags::PRELIMINARY_FLAG, VR::CS, "PRELIMINARY")
        .sequence(tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, Vec::new());
}

/// One item of Referenced Request Sequence (table C.17-2).
fn referenced_request(context: &StudyContext, attributes: &RequestAttributes) -> Item {
    let mut item = Item::new();
    item.text(
        tags::STUDY_INSTANCE_UID,
        VR::UI,
        context.study_instance_uid.as_str(),
    )
    .sequence(tags::REFERENCED_STUDY_SEQUENCE, Vec::new())
    .text(
        tags::ACCESSION_NUMBER,
        VR::SH,
        attributes.accession_number.expose(),
    )
    .text(
        tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
        VR::LO,
        attributes.placer_order_number.expose(),
    )
    .text(
        tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
        VR::LO,
        attributes.filler_order_number.expose(),
    )
    .text(
        tags::REQUESTED_PROCEDURE_ID,
        VR::SH,
        attributes.requested_procedure_id.expose(),
    )
    .text(
        tags::REQUESTED_PROCEDURE_DESCRIPTION,
        VR::LO,
        attributes.requested_procedure_description.expose(),
    )
    .sequence(tags::REQUESTED_PROCEDURE_CODE_SEQUENCE, Vec::new());
    item
}

/// Hierarchical SOP Instance Reference macro (table C.17-3) over every image of the tree; `images` is sorted by series.
fn evidence(context: &StudyContext, images: &[ImageRef]) -> Item {
    let series = images
        .chunk_by(|a, b| a.series == b.series)
        .filter_map(|chunk| {
            let first = chunk.first()?;
            let instances = chunk
                .iter()
                .map(|image| sop_reference(image.class.as_str(), image.instance.as_str()))
                .collect();
            Some(series_reference(first.series.as_str(), instances))
        })
        .collect();
    study_reference(context.study_instance_uid.as_str(), series)
}

fn predecessor_document(predecessor: &Predecessor) -> Item {
    let instance = sop_reference(
        predecessor.sop_class.as_str(),
        predecessor.sop_instance.as_str(),
    );
    let series = series_reference(predecessor.series.as_str(), vec![instance]);
    study_reference(predecessor.study.as_str(), vec![series])
}

fn study_reference(study: &str, series: Vec<Item>) -> Item {
    let mut item = Item::new();
    item.sequence(tags::REFERENCED_SERIES_SEQUENCE, series)
        .text(tags::STUDY_INSTANCE_UID, VR::UI, study);
    item
}

fn series_reference(series: &str, instances: Vec<Item>) -> Item {
    let mut item = Item::new();
    item.sequence(tags::REFERENCED_SOP_SEQUENCE, instances)
        .text(tags::SERIES_INSTANCE_UID, VR::UI, series);
    item
}

fn sop_reference(class: &str, instance: &str) -> Item {
    let mut item = Item::new();
    item.text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, class)
        .text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance);
    item
}

/// SOP Common module (C.12.1), with the models as contributing equipment.
pub(super) fn sop_common(
    item: &mut Item,
    findings: &Findings,
    context: &StudyContext,
    request: &ReportRequest,
) {
    item.text(tags::SOP_CLASS_UID, VR::UI, request.form.class.sop_class())
        .text(
            tags::SOP_INSTANCE_UID,
            VR::UI,
            request.sop_instance_uid.as_str(),
        )
        .text(tags::INSTANCE_CREATION_DATE, VR::DA, &request.content.date)
        .text(tags::INSTANCE_CREATION_TIME, VR::TM, &request.content.time)
        .optional(
            tags::TIMEZONE_OFFSET_FROM_UTC,
            VR::SH,
            &context.timezone_offset_from_utc,
        );
    if findings.models.iter().any(|model| model.research) {
        item.text(tags::CONTENT_QUALIFICATION, VR::CS, "RESEARCH");
    }
    contributors(item, findings);
}

/// The models as Contributing Equipment Sequence (0018,A001).
pub(super) fn contributors(item: &mut Item, findings: &Findings) {
    if !findings.models.is_empty() {
        let models = findings.models.iter().map(contributor).collect();
        item.sequence(tags::CONTRIBUTING_EQUIPMENT_SEQUENCE, models);
    }
}

/// IHE AIR 6.5.3.1: one item for each algorithm, with a Device UID that changes when the model does.
fn contributor(model: &ModelRef) -> Item {
    let mut item = Item::new();
    item.code(
        tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE,
        codes::PROCESSING_EQUIPMENT,
    )
    .text(tags::MANUFACTURER, VR::LO, implementation::MANUFACTURER)
    .text(tags::MANUFACTURER_MODEL_NAME, VR::LO, &cut(&model.name, 64))
    .text(tags::SOFTWARE_VERSIONS, VR::LO, &cut(&model.version, 64))
    .text(tags::DEVICE_UID, VR::UI, model_uid(model).as_str())
    .text(
        tags::CONTRIBUTION_DESCRIPTION,
        VR::ST,
        &format!("SHA-256 {}", cut(&model.sha256, 64)),
    );
    item
}

/// A date as VR DA writes it. The form with dots of ACR-NEMA, which old carts still send, loses its dots; anything
/// else that is no date is left empty, since receivers refuse objects over it.
fn date(text: &str) -> String {
    let digits: String = text.trim().chars().filter(|c| *c != '.').collect();
    let is_date = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit());
    if is_date { digits } else { String::new() }
}

/// A time as TM writes it: `HH[MM[SS[.F{1,6}]]]` (PS3.5 table 6.2-1). ACR-NEMA's colons are dropped; what is no time is
/// left out, since a wrong one would be worse than none.
fn time(text: &str) -> String {
    let plain: String = text.trim().chars().filter(|c| *c != ':').collect();
    let (clock, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    let is_time = matches!(clock.len(), 2 | 4 | 6)
        && is_number(clock)
        && is_number(fraction)
        && fraction.len() <= 6
        && (fraction.is_empty() || clock.len() == 6);
    match (is_time, fraction.is_empty()) {
        (false, _) => String::new(),
        (true, true) => clock.to_owned(),
        (true, false) => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::{date, time};

    #[test]
    fn times_are_written_as_dicom_writes_them() {
        assert_eq!(time("140438"), "140438");
        assert_eq!(time("140438.123456"), "140438.123456");
        assert_eq!(time("14:04:38"), "140438");
        assert_eq!(time("14"), "14");
        for no_time in ["", "noon", "1404381", "14.5", "140438.1234567", "140438.-1"] {
            assert_eq!(time(no_time), "", "{no_time}");
        }
    }

    #[test]
    fn dates_are_written_as_dicom_writes_them() {
        assert_eq!(date("19600131"), "19600131");
        assert_eq!(date("1960.01.31"), "19600131");
        assert_eq!(date("31 January 1960"), "");
        assert_eq!(date(""), "");
    }
}
