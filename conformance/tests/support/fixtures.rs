//! Findings, contexts and requests from which the gates' reports are written.

use sonode_conformance::sop_class::{COMPREHENSIVE_SR, US_IMAGE, US_MULTIFRAME};
use sonode_findings::grade::{Profile, grades};
use sonode_findings::phrases::rule;
use sonode_findings::{
    Beat, BodySize, Calibration, CalibrationSource, CardiacPhase, CartReport, CartValue, Check,
    CheckOutcome, Contour, Disks, Findings, Grade, InstanceFindings, LvMeasurement, Method,
    ModelRef, Phi, Quality, Quantity, Rejection, RequestAttributes, Sentence, StudyContext, View,
    ViewLabel, phrases,
};
use sonode_sr_writer::{
    Coding, ContentDateTime, Document, FindingsCode, Form, Language, Predecessor, ReportForm,
    ReportRequest, Style, Syntax, WrittenReport, series_uid, write,
};

/// A named report: what goes in.
pub(crate) struct Fixture {
    pub(crate) name: &'static str,
    pub(crate) findings: Findings,
    pub(crate) context: StudyContext,
    pub(crate) request: ReportRequest,
}

impl Fixture {
    pub(crate) fn write(&self) -> WrittenReport {
        write(&self.findings, &self.context, &self.request)
            .unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }
}

pub(crate) const STUDY: &str = "2.25.101";

/// Every kind of report that issue and facts ask for, each in one form; `measured` in both.
pub(crate) fn all() -> Vec<Fixture> {
    let named = |name, patient: &str, referring: &str| {
        let mut fixture = measured(name);
        fixture.context.patient_name = Phi::new(patient);
        fixture.context.referring_physician_name = Phi::new(referring);
        fixture
    };
    let mut comprehensive = measured("measured-comprehensive");
    comprehensive.request.form.class = ReportForm::Comprehensive;
    comprehensive.request.sop_instance_uid = "2.25.502".parse().unwrap();
    vec![
        measured("measured"),
        comprehensive,
        named("name-german", "Müller^Zoë^^Dr.", "Größe^Jörg"),
        russian(named(
            "name-russian",
            "Иванова^Мария^Петровна",
            "Сидоров^Пётр",
        )),
        named("name-chinese", "Wang^XiaoDong=王^小東", "Li^Na=李^娜"),
        named(
            "name-japanese",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            "Suzuki^Ichirou=鈴木^一郎",
        ),
        uncalibrated(),
        unmeasured(),
        nothing_there(),
        two_chamber(),
        two_clips(),
        biplane(),
        revision(),
        failed_check(),
        chinese_report(),
        validated_model(),
        severely_impaired(),
        cart_report(),
        in_class("measured-enhanced", ReportForm::Enhanced),
        implicit(),
        echo_report("echo-report", measured("")),
        echo_report("echo-report-biplane", biplane()),
        echo_report("echo-report-one-beat", two_chamber()),
        echo_report_of_old(),
        simplified("simplified", measured("")),
        simplified("simplified-biplane", biplane()),
        key_object("key-object", measured("")),
        key_object("key-object-biplane", biplane()),
    ]
}

fn in_class(name: &'static str, class: ReportForm) -> Fixture {
    let mut fixture = measured(name);
    fixture.request.form.class = class;
    fixture.request.sop_instance_uid = "2.25.504".parse().unwrap();
    fixture
}

/// With a name that is not ASCII: the character set works in either syntax.
fn implicit() -> Fixture {
    let mut fixture = in_class("measured-implicit", ReportForm::Comprehensive);
    fixture.request.form.syntax = Syntax::ImplicitLittle;
    fixture.context.patient_name = Phi::new("Müller^Zoë");
    fixture
}

/// The fixture's findings as another document.
fn as_document(name: &'static str, document: Document, mut fixture: Fixture) -> Fixture {
    fixture.name = name;
    fixture.request.document = document;
    fixture.request.form = document.forms().next().unwrap();
    fixture.request.series_instance_uid =
        series_uid(&fixture.request.node_uid, &STUDY.parse().unwrap(), document);
    fixture.request.sop_instance_uid = "2.25.505".parse().unwrap();
    fixture
}

pub(crate) fn echo_report(name: &'static str, fixture: Fixture) -> Fixture {
    as_document(name, Document::EchoReport, fixture)
}

/// In the codes that echo systems in the field still send, and PS3.16's own name for the findings.
fn echo_report_of_old() -> Fixture {
    let mut fixture = echo_report("echo-report-srt", measured(""));
    fixture.request.style.codes = Coding::Srt;
    fixture.request.style.findings_code = FindingsCode::Ln59776;
    fixture
}

fn simplified(name: &'static str, fixture: Fixture) -> Fixture {
    as_document(name, Document::SimplifiedEchoReport, fixture)
}

pub(crate) fn key_object(name: &'static str, fixture: Fixture) -> Fixture {
    as_document(name, Document::KeyObject, fixture)
}

/// From a cart that writes Cyrillic in one byte a character.
fn russian(mut fixture: Fixture) -> Fixture {
    fixture.context.source_character_set = "ISO_IR 144".into();
    fixture
}

pub(crate) fn measured(name: &'static str) -> Fixture {
    Fixture {
        name,
        findings: Findings::merge(
            STUDY.parse().unwrap(),
            vec![
                clip("2.25.301", ViewLabel::A4C, 0.91),
                refused("2.25.302", Rejection::NotACine),
                refused("2.25.303", Rejection::NotACine),
                refused("2.25.304", Rejection::ColourDoppler),
                document("2.25.305"),
            ],
        ),
        context: context(),
        request: request(),
    }
}

fn uncalibrated() -> Fixture {
    let mut clip = clip("2.25.301", ViewLabel::A4C, 0.91);
    clip.calibration = None;
    clip.heart_rate_bpm = None;
    for beat in &mut clip.beats {
        (beat.edv_ml, beat.esv_ml) = (None, None);
    }
    for contour in &mut clip.contours {
        contour.area_cm2 = None;
    }
    if let Some(lv) = &mut clip.lv {
        (lv.edv_ml, lv.esv_ml) = (None, None);
    }
    clip.notes.clear();
    clip.note(phrases::REGION_UNEXPLAINED);
    with("uncalibrated", vec![clip])
}

fn unmeasured() -> Fixture {
    let reasons = [phrases::UNCLEAR_BORDERS, phrases::NOISY_CURVE].map(Sentence::from);
    let detail = phrases::TOO_POOR.say([reasons.into_iter().collect()]);
    let mut poor = instance("2.25.301", US_MULTIFRAME).reject(Rejection::Quality, detail);
    poor.sop_class_uid = Some(US_MULTIFRAME.parse().unwrap());
    // An instance of which not even the series is known can't be referenced: it is spoken of in words.
    let mut lost = refused("2.25.309", Rejection::Undecodable);
    lost.series_instance_uid = None;
    lost.rows = None;
    lost.columns = None;
    with(
        "unmeasured",
        vec![
            poor,
            refused("2.25.302", Rejection::NotACine),
            refused("2.25.303", Rejection::MMode),
            refused("2.25.304", Rejection::SpectralDoppler),
            document("2.25.305"),
            lost,
        ],
    )
}

fn nothing_there() -> Fixture {
    let mut fixture = with("nothing-there", Vec::new());
    fixture.context = StudyContext::unknown(STUDY.parse().unwrap());
    fixture.request.device_serial.clear();
    fixture
}

fn two_chamber() -> Fixture {
    let mut clip = clip("2.25.301", ViewLabel::A2C, 0.55);
    clip.quality = Some(Quality {
        grade: Grade::Fair,
        score: 0.55,
        reasons: vec![phrases::LOOKS_FORESHORTENED.to_string()],
    });
    clip.beats.truncate(1);
    with("two-chamber", vec![clip])
}

/// The cart has sent a report of its own, which disagrees.
fn cart_report() -> Fixture {
    let value = |quantity, value, code: &str, method: Option<&str>| CartValue {
        quantity,
        value,
        code: code.to_owned(),
        scheme: "LN".to_owned(),
        method: method.map(str::to_owned),
    };
    let mut cart = document("2.25.305");
    cart.sop_class_uid = Some(COMPREHENSIVE_SR.parse().unwrap());
    cart.series_instance_uid = Some("2.25.203".parse().unwrap());
    cart.cart = Some(CartReport {
        content: "20260120101200".to_owned(),
        maker: "GE Vingmed Vivid T8".to_owned(),
        values: vec![
            value(
                Quantity::Lvef,
                41.5,
                "18043-0",
                Some("Method of Disks, Biplane"),
            ),
            value(Quantity::Edv, 118.0, "18026-5", None),
            value(Quantity::Height, 1.70, "8302-2", None),
            value(Quantity::Weight, 70.0, "29463-7", None),
        ],
    });
    with(
        "cart-report",
        vec![clip("2.25.301", ViewLabel::A4C, 0.91), cart],
    )
}

/// Two planes of one ventricle, which allow the biplane method, of a patient whose size the images state.
fn biplane() -> Fixture {
    let planes = [
        (ViewLabel::A4C, "2.25.301", 4.6),
        (ViewLabel::A2C, "2.25.302", 5.0),
    ];
    let clips = planes.map(|(view, uid, diameter): (_, _, f64)| {
        let mut clip = clip(uid, view, 0.9);
        let disks = |scale: f64| {
            Some(Disks {
                length_cm: 8.1,
                diameters_cm: vec![diameter * scale; 20],
            })
        };
        for beat in &mut clip.beats {
            (beat.ed_disks, beat.es_disks) = (disks(1.0), disks(0.7));
        }
        clip.grades = grades(58.0, [Profile::AseEacvi2015Women, Profile::Bse2020]);
        clip.body = Some(BodySize {
            height_m: 1.70,
            weight_kg: 70.0,
        });
        clip
    });
    with("biplane", clips.to_vec())
}

/// An ejection fraction that one profile calls severely impaired and another one reduced.
fn severely_impaired() -> Fixture {
    let mut clip = clip("2.25.301", ViewLabel::A4C, 0.91);
    if let Some(lv) = &mut clip.lv {
        (lv.lvef_percent, lv.lvef_interval) = (31.2, Some([27.0, 35.4]));
        (lv.edv_ml, lv.esv_ml) = (Some(171.0), Some(117.6));
    }
    let profiles = [Profile::AseEacvi2015Women, Profile::Bse2020, Profile::EscHf];
    clip.grades = grades(31.2, profiles);
    with("severely-impaired", vec![clip])
}

fn two_clips() -> Fixture {
    let mut other = clip("2.25.306", ViewLabel::A2C, 0.8);
    other.series_instance_uid = Some("2.25.202".parse().unwrap());
    if let Some(lv) = &mut other.lv {
        lv.lvef_percent = 55.2;
    }
    with(
        "two-clips",
        vec![clip("2.25.301", ViewLabel::A4C, 0.9), other],
    )
}

fn revision() -> Fixture {
    let mut fixture = measured("revision");
    fixture.request.revision = 2;
    fixture.request.sop_instance_uid = "2.25.503".parse().unwrap();
    fixture.request.instance_number = 2;
    fixture.request.predecessors = vec![Predecessor {
        sop_class: ReportForm::Comprehensive3d.sop_class().parse().unwrap(),
        sop_instance: "2.25.501".parse().unwrap(),
        series: fixture.request.series_instance_uid.clone(),
        study: STUDY.parse().unwrap(),
    }];
    fixture
}

/// A clip whose numbers a hard check took away.
fn failed_check() -> Fixture {
    let mut clip = clip("2.25.301", ViewLabel::A4C, 0.9);
    clip.lv = None;
    let detail = phrases::ESV_NOT_BELOW_EDV.say(["121".into(), "118".into(), "ml".into()]);
    clip.checks = vec![Check::new(
        rule::ESV_BELOW_EDV,
        CheckOutcome::Fail,
        detail,
        "definition",
    )];
    with("failed-check", vec![clip])
}

fn chinese_report() -> Fixture {
    let mut fixture = measured("report-in-chinese");
    fixture.request.style.language = Language::Zh;
    fixture
}

fn validated_model() -> Fixture {
    let mut fixture = measured("validated-model");
    for model in fixture
        .findings
        .instances
        .iter_mut()
        .flat_map(|instance| &mut instance.models)
        .chain(&mut fixture.findings.models)
    {
        model.research = false;
    }
    fixture
}

fn with(name: &'static str, instances: Vec<InstanceFindings>) -> Fixture {
    Fixture {
        name,
        findings: Findings::merge(STUDY.parse().unwrap(), instances),
        context: context(),
        request: request(),
    }
}

pub(crate) fn request() -> ReportRequest {
    let node_uid = "2.25.7".parse().unwrap();
    ReportRequest {
        document: Document::MeasurementReport,
        form: Form {
            class: ReportForm::Comprehensive3d,
            syntax: Syntax::ExplicitLittle,
        },
        style: Style::default(),
        sop_instance_uid: "2.25.501".parse().unwrap(),
        series_instance_uid: series_uid(
            &node_uid,
            &STUDY.parse().unwrap(),
            Document::MeasurementReport,
        ),
        node_uid,
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

pub(crate) fn context() -> StudyContext {
    let mut context = StudyContext::unknown(STUDY.parse().unwrap());
    context.patient_name = Phi::new("Doe^Jane");
    context.patient_id = Phi::new("PID001");
    context.issuer_of_patient_id = Phi::new("HOSP");
    context.patient_birth_date = Phi::new("19600131");
    context.patient_sex = Phi::new("F");
    context.study_date = "20260120".into();
    context.study_time = "095500".into();
    context.accession_number = Phi::new("ACC1");
    context.referring_physician_name = Phi::new("Roe^Richard");
    context.study_id = Phi::new("S1");
    context.study_description = Phi::new("TTE");
    context.timezone_offset_from_utc = "+0100".into();
    context.requests = vec![RequestAttributes {
        accession_number: Phi::new("ACC1"),
        requested_procedure_id: Phi::new("RP1"),
        requested_procedure_description: Phi::new("Echocardiography"),
        placer_order_number: Phi::new("P1"),
        filler_order_number: Phi::new("F1"),
    }];
    context
}

fn instance(uid: &str, class: &str) -> InstanceFindings {
    let mut instance = InstanceFindings::empty(uid.parse().unwrap());
    instance.sop_class_uid = Some(class.parse().unwrap());
    instance.series_instance_uid = Some("2.25.201".parse().unwrap());
    instance.sha256 = Some("0f".repeat(32));
    instance.rows = Some(240);
    instance.columns = Some(320);
    instance
}

fn refused(uid: &str, reason: Rejection) -> InstanceFindings {
    instance(uid, US_IMAGE).reject(reason, Sentence::verbatim(""))
}

fn document(uid: &str) -> InstanceFindings {
    let class = sonode_conformance::sop_class::BASIC_TEXT_SR;
    let detail = phrases::NOT_ANALYSED.say(["Basic Text SR Storage".into()]);
    let mut document = instance(uid, class).reject(Rejection::NotAnImage, detail);
    (document.rows, document.columns) = (None, None);
    document
}

pub(crate) fn clip(uid: &str, view: ViewLabel, score: f64) -> InstanceFindings {
    let mut clip = instance(uid, US_MULTIFRAME);
    clip.frames = Some(60);
    clip.frame_rate_hz = Some(30.0);
    clip.heart_rate_bpm = Some(65.0);
    clip.view = Some(View {
        label: view,
        probability: Some(0.98),
    });
    clip.quality = Some(Quality {
        grade: Grade::Good,
        score,
        reasons: Vec::new(),
    });
    clip.calibration = Some(Calibration {
        source: CalibrationSource::UltrasoundRegion,
        cm_per_px: [0.031, 0.031],
    });
    clip.beats = vec![
        beat([2, 14], [119.04, 49.26]),
        beat([30, 42], [116.9, 48.7]),
    ];
    clip.contours = vec![
        contour(2, CardiacPhase::EndDiastole, 45.0, 29.917),
        contour(14, CardiacPhase::EndSystole, 33.75, 16.83),
    ];
    clip.lv = Some(LvMeasurement {
        edv_ml: Some(117.97),
        esv_ml: Some(48.98),
        lvef_percent: 58.48,
        lvef_interval: Some([53.02, 63.51]),
        method: if view == ViewLabel::A2C {
            Method::ModA2c
        } else {
            Method::ModA4c
        },
    });
    let source = "ASE/EACVI 2015";
    let below = phrases::ESV_BELOW_EDV.say(["49".into(), "118".into(), "ml".into()]);
    let short = phrases::FORESHORTENED.say(["1.28".into(), "1.35".into()]);
    clip.checks = vec![
        Check::new(rule::ESV_BELOW_EDV, CheckOutcome::Pass, below, source),
        Check::new(rule::FORESHORTENING, CheckOutcome::Warn, short, source),
    ];
    clip.note(phrases::REGION_SCALED.say(["2.00".into()]));
    clip.models = vec![ModelRef {
        name: "lv-segmentation".into(),
        version: "0.1.0".into(),
        sha256: "ab".repeat(32),
        research: true,
    }];
    clip
}

fn beat(frames: [u32; 2], [edv, esv]: [f64; 2]) -> Beat {
    Beat {
        ed_frame: frames[0],
        es_frame: frames[1],
        edv_ml: Some(edv),
        esv_ml: Some(esv),
        lvef_percent: 100.0 * (edv - esv) / edv,
        complete: true,
        ed_disks: None,
        es_disks: None,
    }
}

/// Half an ellipse, open at the annulus, its apex up.
fn contour(frame: u32, phase: CardiacPhase, half_width: f64, area: f64) -> Contour {
    let points = (0..=20)
        .map(|i| {
            let angle = std::f64::consts::PI * (1.0 + f64::from(i) / 20.0);
            [
                160.0 + half_width * angle.cos(),
                200.0 + 150.0 * angle.sin(),
            ]
        })
        .collect();
    Contour {
        frame,
        phase,
        points,
        area_cm2: Some(area),
    }
}
