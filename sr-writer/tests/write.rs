//! What `write` refuses, and that no text of a patient's or a worker's breaks a report.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is missing fails the test"
)]

use proptest::prelude::{ProptestConfig, Strategy, prop, proptest};
use sonode_conformance::charset::Charset;
use sonode_conformance::sop_class::US_MULTIFRAME;
use sonode_findings::{
    Beat, CardiacPhase, Contour, Findings, Grade, InstanceFindings, LvMeasurement, Method, Phi,
    Quality, StudyContext,
};
use sonode_sr_writer::lint::{Rule, known_images};
use sonode_sr_writer::{
    CharacterSet, ContentDateTime, Document, Form, ReportForm, ReportRequest, Style, Syntax,
    WriteError, lint, lint_against, show, write,
};

const STUDY: &str = "2.25.1";

fn merged(instances: Vec<InstanceFindings>) -> Findings {
    Findings::merge(STUDY.parse().unwrap(), instances)
}

fn clip() -> InstanceFindings {
    let mut clip = InstanceFindings::empty("2.25.2".parse().unwrap());
    clip.sop_class_uid = Some(US_MULTIFRAME.parse().unwrap());
    clip.series_instance_uid = Some("2.25.3".parse().unwrap());
    (clip.rows, clip.columns, clip.frames) = (Some(100), Some(200), Some(30));
    clip.beats = vec![Beat {
        ed_frame: 3,
        es_frame: 12,
        edv_ml: Some(118.0),
        esv_ml: Some(49.0),
        lvef_percent: 58.5,
        complete: true,
        ed_disks: None,
        es_disks: None,
    }];
    clip.contours = vec![Contour {
        frame: 3,
        phase: CardiacPhase::EndDiastole,
        points: vec![[50.0, 90.0], [100.0, 10.0], [150.0, 90.0]],
        area_cm2: None,
    }];
    clip.lv = Some(LvMeasurement {
        edv_ml: Some(118.0),
        esv_ml: Some(49.0),
        lvef_percent: 58.5,
        lvef_interval: None,
        method: Method::ModA4c,
    });
    clip
}

fn request() -> ReportRequest {
    ReportRequest {
        document: Document::MeasurementReport,
        form: Form {
            class: ReportForm::Comprehensive3d,
            syntax: Syntax::ExplicitLittle,
        },
        style: Style::default(),
        node_uid: "2.25.7".parse().unwrap(),
        sop_instance_uid: "2.25.4".parse().unwrap(),
        series_instance_uid: "2.25.5".parse().unwrap(),
        series_number: 900,
        instance_number: 1,
        revision: 1,
        content: ContentDateTime {
            date: "20260120".into(),
            time: "101530".into(),
        },
        device_serial: "7".into(),
        station_ae: "SONODE".parse().unwrap(),
        predecessors: Vec::new(),
    }
}

fn context() -> StudyContext {
    StudyContext::unknown(STUDY.parse().unwrap())
}

fn of(clip: InstanceFindings) -> Findings {
    Findings::merge(STUDY.parse().unwrap(), vec![clip])
}

fn refused(change: impl FnOnce(&mut InstanceFindings)) -> WriteError {
    let mut clip = clip();
    change(&mut clip);
    write(&of(clip), &context(), &request()).unwrap_err()
}

#[test]
fn what_cannot_be_reported_is_refused_by_name() {
    assert!(write(&of(clip()), &context(), &request()).is_ok());
    assert!(matches!(
        refused(|clip| clip.series_instance_uid = None),
        WriteError::SourceUnknown(_)
    ));
    assert!(matches!(
        refused(|clip| clip.contours[0].frame = 31),
        WriteError::Frame { frame: 31, .. }
    ));
    assert!(matches!(
        refused(|clip| clip.beats[0].es_frame = 0),
        WriteError::Frame { frame: 0, .. }
    ));
    assert!(matches!(
        refused(|clip| clip.contours[0].points.truncate(2)),
        WriteError::Contour { .. }
    ));
    assert!(matches!(
        refused(|clip| clip.heart_rate_bpm = Some(f64::NAN)),
        WriteError::NotFinite(_)
    ));
}

#[test]
fn a_contour_just_outside_its_image_is_drawn_back_and_one_far_outside_is_refused() {
    let at = |x: f64| {
        let mut clip = clip();
        clip.contours[0].points[2][0] = x;
        write(&of(clip), &context(), &request())
    };
    assert!(at(200.9).is_ok());
    let Err(WriteError::Lint(defects)) = at(202.0) else {
        panic!("a point outside its image was written")
    };
    assert_eq!(defects[0].rule, Rule::Inside);
}

#[test]
fn another_study_and_a_time_that_is_none_are_refused() {
    let other = StudyContext::unknown("2.25.99".parse().unwrap());
    assert!(matches!(
        write(&of(clip()), &other, &request()),
        Err(WriteError::StudyMismatch { .. })
    ));
    let mut late = request();
    late.content.time = "10:15".into();
    assert!(matches!(
        write(&of(clip()), &context(), &late),
        Err(WriteError::ContentDateTime(_))
    ));
}

#[test]
fn what_is_no_report_is_not_shown() {
    assert!(show(b"").is_err());
    assert_eq!(lint(b"")[0].rule, Rule::Readable);
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::char::any(), 0..40).prop_map(|chars| chars.into_iter().collect())
}

/// A name in each kind of set, as the images' bytes have it.
const NAMES: [(&str, &str); 8] = [
    ("ISO_IR 100", "Buc^Jérôme"),
    ("ISO_IR 144", "Люк"),
    ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
    ("\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东"),
    ("GB18030", "Wang^XiaoDong=王^小东"),
    ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
];

#[test]
fn names_are_written_in_the_images_own_set_and_read_back_in_either_syntax() {
    let findings = merged(vec![clip()]);
    for (set, name) in NAMES {
        for syntax in Syntax::ALL {
            let mut context = context();
            context.source_character_set = set.to_owned();
            context.patient_name = Phi::new(name);
            let mut request = request();
            request.form.syntax = syntax;
            let report = write(&findings, &context, &request).unwrap();
            let bytes = Charset::parse(set).encode(name).unwrap();
            let has = |part: &[u8]| report.bytes.windows(part.len()).any(|w| w == part);
            assert!(has(&bytes) && has(set.as_bytes()), "{set}");
            let shown = show(&report.bytes).unwrap();
            assert!(shown.contains(name), "{set}: {shown}");
            request.style.charset = CharacterSet::Utf8;
            let report = write(&findings, &context, &request).unwrap();
            let shown = show(&report.bytes).unwrap();
            assert!(
                shown.contains(name) && shown.contains("ISO_IR 192"),
                "{set}"
            );
        }
    }
}

#[test]
fn text_that_nobody_can_decode_is_copied_and_the_report_says_so() {
    let findings = merged(vec![clip()]);
    for set in ["", "ISO_IR 192"] {
        let mut context = context();
        context.source_character_set = set.to_owned();
        context.patient_name = Phi::new(Charset::parse(set).decode(b"M\xFCller^Zo"));
        let report = write(&findings, &context, &request()).unwrap();
        let part: &[u8] = b"M\xFCller^Zo";
        assert!(report.bytes.windows(part.len()).any(|w| w == part), "{set}");
        let shown = show(&report.bytes).unwrap();
        assert!(shown.contains("copied byte for byte"), "{set}: {shown}");
    }
}

#[test]
fn a_frame_beyond_the_clips_last_is_a_defect_where_the_clip_is_known() {
    let report = write(&merged(vec![clip()]), &context(), &request()).unwrap();
    let mut short = clip();
    short.frames = Some(3);
    let known = known_images(&merged(vec![short]));
    assert_eq!(lint(&report.bytes), []);
    let defects = lint_against(&report.bytes, &known);
    assert!(!defects.is_empty());
    assert!(
        defects.iter().all(|defect| defect.rule == Rule::Frame),
        "{defects:?}"
    );
    assert!(
        defects[0]
            .to_string()
            .contains("beyond the image's 3; count frames")
    );
}

#[test]
fn a_document_of_numbers_needs_one_and_its_own_class() {
    let mut request = request();
    request.document = Document::EchoReport;
    let empty = merged(Vec::new());
    let got = write(&empty, &context(), &request);
    assert!(matches!(
        got,
        Err(WriteError::NothingMeasured(Document::EchoReport))
    ));
    request.document = Document::KeyObject;
    let got = write(&merged(vec![clip()]), &context(), &request);
    assert!(matches!(got, Err(WriteError::Form { .. })));
}

proptest! {
    #[test]
    fn no_text_breaks_a_report(name in text(), note in text(), detail in text()) {
        let mut clip = clip();
        clip.notes = vec![note];
        clip.quality = Some(Quality {
            grade: Grade::Fair,
            score: 0.5,
            reasons: vec![detail],
        });
        let mut context = context();
        context.patient_name = Phi::new(name);
        let report = write(&of(clip), &context, &request()).unwrap();
        assert_eq!(report.bytes.len() % 2, 0);
        assert!(show(&report.bytes).unwrap().contains("58.5 %"));
    }

}

proptest! {
    // Few, since dicom-object's errors each resolve a backtrace, which takes the better part of a second.
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn no_changed_byte_makes_show_or_lint_panic(at in 132_usize..20_000, value: u8) {
        let mut bytes = write(&of(clip()), &context(), &request()).unwrap().bytes;
        let at = at % bytes.len();
        bytes[at] = value;
        // Readable or not: what counts is that both return.
        drop(show(&bytes));
        drop(lint(&bytes));
    }
}
