use super::super::testing::DataSet;
use super::*;

fn cine() -> DataSet {
    DataSet::default()
        .text(tags::MODALITY, "CS", "US")
        .text(tags::NUMBER_OF_FRAMES, "IS", "30")
        .fragments(&[b"ab"])
}

fn reason(data: &DataSet) -> Option<Rejection> {
    refusal(&data.open()).map(|(reason, _)| reason)
}

fn region(format: u16, data: u16, left: u32) -> DataSet {
    let edge = |set: DataSet, tag, value: u32| set.short(tag, "UL", &value.to_le_bytes());
    let set = DataSet::default()
        .number(tags::REGION_SPATIAL_FORMAT, format)
        .number(tags::REGION_DATA_TYPE, data);
    let set = edge(set, tags::REGION_LOCATION_MIN_X0, left);
    let set = edge(set, tags::REGION_LOCATION_MIN_Y0, 0);
    let set = edge(set, tags::REGION_LOCATION_MAX_X1, left + 299);
    edge(set, tags::REGION_LOCATION_MAX_Y1, 399)
}

fn with_regions(regions: &[DataSet]) -> DataSet {
    cine().sequence(tags::SEQUENCE_OF_ULTRASOUND_REGIONS, regions)
}

#[test]
fn a_plain_cine_passes_whatever_ultrasound_class_it_has() {
    assert_eq!(reason(&cine()), None);
    assert_eq!(reason(&with_regions(&[region(1, 1, 0)])), None);
}

#[test]
fn each_gate_has_its_reason() {
    let text = |tag, vr, value| cine().text(tag, vr, value);
    let cases = [
        (DataSet::default(), Rejection::NotAnImage),
        (
            text(tags::STUDY_DESCRIPTION, "LO", "Carotid duplex"),
            Rejection::NotAnEcho,
        ),
        (
            text(tags::BODY_PART_EXAMINED, "CS", "ABDOMEN"),
            Rejection::NotAnEcho,
        ),
        (text(tags::MODALITY, "CS", "MR"), Rejection::NotAnEcho),
        (
            text(tags::IMAGE_TYPE, "CS", "ORIGINAL\\PRIMARY\\OBSTETRICAL"),
            Rejection::NotAnEcho,
        ),
        (
            text(tags::TRANSDUCER_DATA, "LO", "L12-3\\UNUSED"),
            Rejection::NotAnEcho,
        ),
        (
            text(tags::STUDY_DESCRIPTION, "LO", "Fetal echo"),
            Rejection::Fetal,
        ),
        (text(tags::PROTOCOL_NAME, "LO", "Adult TEE"), Rejection::Tee),
        (
            text(tags::TRANSDUCER_TYPE, "CS", "ENDOCAV_PA").text(
                tags::PROTOCOL_NAME,
                "LO",
                "Adult TEE",
            ),
            Rejection::Tee,
        ),
        (
            text(tags::TRANSDUCER_TYPE, "CS", "ENDOCAV_PA").text(
                tags::STUDY_DESCRIPTION,
                "LO",
                "Echo",
            ),
            Rejection::Tee,
        ),
        (
            text(tags::TRANSDUCER_TYPE, "CS", "ENDOCAV_PA"),
            Rejection::NotAnEcho,
        ),
        (
            text(tags::IMAGE_TYPE, "CS", "ORIGINAL\\PRIMARY\\PEDIATRIC"),
            Rejection::Paediatric,
        ),
        (
            text(tags::IMAGE_TYPE, "CS", "ORIGINAL\\PRIMARY\\INTRACARDIAC"),
            Rejection::View,
        ),
        (
            text(
                tags::SOP_CLASS_UID,
                "UI",
                sonode_conformance::sop_class::ENHANCED_US_VOLUME,
            ),
            Rejection::NotACine,
        ),
        (text(tags::PATIENT_AGE, "AS", "012Y"), Rejection::Paediatric),
        (text(tags::PATIENT_AGE, "AS", "009M"), Rejection::Paediatric),
        (
            text(tags::PATIENT_ID, "LO", "TEST-001"),
            Rejection::TestPatient,
        ),
        (text(tags::STAGE_NAME, "SH", "Peak"), Rejection::StressStage),
        (
            text(tags::PROTOCOL_NAME, "LO", "Stress echo"),
            Rejection::StressStage,
        ),
        (
            text(tags::CONTRAST_BOLUS_AGENT, "LO", "SonoVue"),
            Rejection::Contrast,
        ),
        (with_regions(&[region(3, 3, 0)]), Rejection::SpectralDoppler),
        (with_regions(&[region(2, 1, 0)]), Rejection::MMode),
        (with_regions(&[region(1, 2, 0)]), Rejection::ColourDoppler),
        (
            with_regions(&[region(1, 1, 0), region(1, 1, 300)]),
            Rejection::Multiple2dRegions,
        ),
        (text(tags::NUMBER_OF_FRAMES, "IS", "1"), Rejection::NotACine),
    ];
    for (data, want) in cases {
        assert_eq!(reason(&data), Some(want));
    }
}

#[test]
fn what_only_sounds_like_a_reason_is_none() {
    let text = |tag, vr, value| reason(&cine().text(tag, vr, value));
    assert_eq!(
        text(tags::STUDY_DESCRIPTION, "LO", "TTE, abdominal aorta seen"),
        None
    );
    assert_eq!(
        text(tags::SERIES_DESCRIPTION, "LO", "TTE without contrast"),
        None
    );
    let grown = text(tags::PATIENT_AGE, "AS", "031Y");
    assert_eq!(grown, None);
    let congenital = cine().text(tags::PATIENT_AGE, "AS", "031Y").text(
        tags::STUDY_DESCRIPTION,
        "LO",
        "Paediatric cardiology TTE",
    );
    assert_eq!(reason(&congenital), None);
    assert_eq!(text(tags::PATIENT_ID, "LO", "TESTAROSSA1"), None);
    assert_eq!(text(tags::PATIENT_AGE, "AS", "018Y"), None);
    assert_eq!(text(tags::PATIENT_AGE, "AS", "000Y"), None);
}

#[test]
fn age_follows_from_the_dates_to_the_day() {
    let born = |date| {
        reason(&cine().text(tags::STUDY_DATE, "DA", "20260615").text(
            tags::PATIENT_BIRTH_DATE,
            "DA",
            date,
        ))
    };
    assert_eq!(born("20080616"), Some(Rejection::Paediatric));
    assert_eq!(born("20080615"), None);
    assert_eq!(born("19000101"), None);
}

#[test]
fn views_are_read_from_codes_and_names() {
    let coded_by = |scheme, value| {
        let item = DataSet::default().text(tags::CODE_VALUE, "SH", value).text(
            tags::CODING_SCHEME_DESIGNATOR,
            "SH",
            scheme,
        );
        let cine = cine().sequence(tags::VIEW_CODE_SEQUENCE, &[item]);
        let named = cine.text(tags::VIEW_NAME, "SH", "A4C");
        view(named.open().attributes())
    };
    let coded = |value| coded_by("SCT", value);
    assert_eq!(coded_by("99VENDOR", "4CH"), Some(ViewLabel::A4C));
    assert_eq!(coded("399214001"), Some(ViewLabel::A4C));
    assert_eq!(coded("399232001"), Some(ViewLabel::A2C));
    assert_eq!(coded("399139001"), Some(ViewLabel::Other));
    let named = |name| view(cine().text(tags::VIEW_NAME, "SH", name).open().attributes());
    assert_eq!(named("Apical 4 chamber"), Some(ViewLabel::A4C));
    assert_eq!(named("AP2"), Some(ViewLabel::A2C));
    assert_eq!(named("PLAX"), Some(ViewLabel::Other));
    assert_eq!(named("loop 7"), None);
}

#[test]
fn an_image_that_breaks_off_is_no_document() {
    let mut cut = cine();
    cut.0.truncate(cut.0.len() - 30);
    assert_eq!(reason(&cut), Some(Rejection::Undecodable));
    let document = DataSet::default().text(tags::MODALITY, "CS", "SR");
    assert_eq!(reason(&document), Some(Rejection::NotAnImage));
}
