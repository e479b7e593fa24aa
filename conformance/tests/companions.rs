//! Companions of reports through dciodvfy, and golden pages and sheets.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is missing fails the test"
)]

mod support;

use std::path::Path;

use sonode_findings::protocol::{JpegFrame, Picture};
use sonode_findings::{Findings, Region, Trace};
use sonode_sr_writer::{
    CharacterSet, Companion, CompanionRequest, Composition, Language, Syntax, companion_series_uid,
    compose, write_companion,
};
use support::fixtures::{self, Fixture};
use support::tools;

/// What the worker adds for pictures: the analysed part, and the contour of every frame.
fn with_traces(mut findings: Findings) -> Findings {
    for clip in &mut findings.instances {
        let Some(first) = clip.contours.first().cloned() else {
            continue;
        };
        clip.region = Some(Region {
            column: 40,
            row: 20,
            columns: 560,
            rows: 420,
            pixel_aspect: 1.0,
        });
        clip.traces = (1..=3)
            .map(|frame| Trace {
                frame,
                points: first.points.clone(),
            })
            .collect();
        clip.volume_curve = vec![118.0, 80.5, 49.0];
    }
    findings
}

fn request(fixture: &Fixture, companion: Companion, language: Language) -> CompanionRequest {
    let of = &fixture.request;
    CompanionRequest {
        companion,
        plane: 0,
        syntax: Syntax::default(),
        language,
        charset: CharacterSet::Source,
        node_uid: of.node_uid.clone(),
        sop_instance_uid: "2.25.9001".parse().unwrap(),
        series_instance_uid: companion_series_uid(
            &of.node_uid,
            &fixture.context.study_instance_uid,
            companion,
        ),
        series_number: 9911,
        revision: of.revision,
        content: of.content.clone(),
        device_serial: of.device_serial.clone(),
        station_ae: of.station_ae.clone(),
    }
}

fn picture(companion: Companion) -> Picture {
    match companion {
        Companion::SecondaryCapture => Picture::Raster {
            columns: 5,
            rows: 3,
            rgb: vec![90; 45],
        },
        Companion::OverlayCine => Picture::Cine {
            columns: 4,
            rows: 2,
            frames: vec![JpegFrame(vec![0xFF, 0xD8, 0xFF, 0xD9]); 3],
        },
        Companion::Pdf => Picture::Pdf {
            file: b"%PDF-1.7\n%%EOF\n".to_vec(),
        },
    }
}

/// The fixtures whose pages differ.
fn shown() -> Vec<Fixture> {
    let names = [
        "measured",
        "uncalibrated",
        "unmeasured",
        "biplane",
        "revision",
        "name-chinese",
        "failed-check",
        "cart-report",
    ];
    let mut all = fixtures::all();
    all.retain(|fixture| names.contains(&fixture.name));
    assert_eq!(all.len(), names.len());
    for fixture in &mut all {
        fixture.findings = with_traces(fixture.findings.clone());
    }
    all
}

#[test]
fn dciodvfy_finds_no_error() {
    let folder = tempfile::tempdir().unwrap();
    for fixture in shown() {
        for (companion, kind) in [
            (Companion::SecondaryCapture, "SCImage"),
            (Companion::OverlayCine, "MultiframeTrueColorSCImage"),
            (Companion::Pdf, "EncapsulatedPDF"),
        ] {
            let request = request(&fixture, companion, Language::En);
            let written = write_companion(
                &fixture.findings,
                &fixture.context,
                &request,
                picture(companion),
            )
            .unwrap();
            assert_eq!(written.sop_class.as_str(), companion.sop_class());
            let path = folder.path().join("companion.dcm");
            std::fs::write(&path, written.bytes).unwrap();
            let errors = tools::dciodvfy_of(&path, &[kind]);
            assert_eq!(errors, [""; 0], "{} {}", fixture.name, companion.name());
        }
    }
}

#[test]
fn a_picture_of_another_kind_or_size_is_refused() {
    let fixture = fixtures::measured("measured");
    let write = |companion, picture| {
        let request = request(&fixture, companion, Language::En);
        write_companion(&fixture.findings, &fixture.context, &request, picture)
    };
    assert!(write(Companion::Pdf, picture(Companion::SecondaryCapture)).is_err());
    let torn = Picture::Raster {
        columns: 5,
        rows: 3,
        rgb: vec![90; 44],
    };
    assert!(write(Companion::SecondaryCapture, torn).is_err());
}

/// What the worker is asked to draw. `SONODE_GOLDEN=refresh` writes the files anew.
#[test]
fn the_pages_are_the_golden_ones() {
    for fixture in shown() {
        for language in [Language::En, Language::Zh] {
            let request = request(&fixture, Companion::SecondaryCapture, language);
            let page = compose(&fixture.findings, &fixture.context, &request).unwrap();
            let Composition::Page { svg, frames, .. } = page else {
                panic!("no page");
            };
            let frames: Vec<String> = frames
                .iter()
                .map(|(sop, frame)| format!("<!-- {sop} frame {frame} -->\n"))
                .collect();
            golden(
                &format!("page-{}-{}.svg", fixture.name, language.tag()),
                &(svg + &frames.concat()),
            );
        }
    }
}

#[test]
fn every_frame_of_a_cine_has_its_sheet_and_says_that_it_is_ai() {
    let fixture = &shown()[0];
    for (language, notice) in [
        (Language::En, "AI result, not verified by a physician"),
        (Language::Zh, "AI 结果，未经医师核实"),
    ] {
        let request = request(fixture, Companion::OverlayCine, language);
        let cine = compose(&fixture.findings, &fixture.context, &request).unwrap();
        let Composition::Cine { sheets, .. } = cine else {
            panic!("no cine");
        };
        assert_eq!(sheets.len(), 3);
        for sheet in &sheets {
            assert!(sheet.contains(notice) && sheet.contains("<path"), "{sheet}");
        }
        golden(&format!("sheet-{}.svg", language.tag()), &sheets[0]);
    }
    let unmeasured = shown();
    let mut unmeasured = unmeasured.iter();
    let unmeasured = unmeasured
        .find(|fixture| fixture.name == "unmeasured")
        .unwrap();
    let request = request(unmeasured, Companion::OverlayCine, Language::En);
    assert_eq!(
        compose(&unmeasured.findings, &unmeasured.context, &request),
        None
    );
}

#[test]
fn each_plane_of_a_biplane_measurement_has_a_cine_of_its_own() {
    let all = shown();
    let biplane = all
        .iter()
        .find(|fixture| fixture.name == "biplane")
        .unwrap();
    let planes = Companion::OverlayCine.planes(&biplane.findings);
    assert_eq!(planes, [0, 1]);
    assert_eq!(Companion::OverlayCine.planes(&all[0].findings), [0]);
    for (plane, view, uid) in [(0, "A4C", "2.25.301"), (1, "A2C", "2.25.302")] {
        let mut request = request(biplane, Companion::OverlayCine, Language::En);
        request.plane = plane;
        let composed = compose(&biplane.findings, &biplane.context, &request).unwrap();
        let Composition::Cine { clip, sheets } = composed else {
            panic!("no cine");
        };
        assert_eq!(clip.as_str(), uid);
        assert!(sheets.iter().all(|sheet| sheet.contains(view)), "{view}");
        let (findings, context) = (&biplane.findings, &biplane.context);
        let drawn = picture(Companion::OverlayCine);
        let written = write_companion(findings, context, &request, drawn).unwrap();
        // Of its own clip alone, and apart from the other one.
        let names = |uid: &str| {
            let mut windows = written.bytes.windows(uid.len());
            windows.any(|bytes| bytes == uid.as_bytes())
        };
        assert_eq!(
            [names("2.25.301"), names("2.25.302")],
            [plane == 0, plane == 1]
        );
    }
}

/// For archives that take nothing but DICOM's default transfer syntax.
#[test]
fn a_page_is_written_in_the_syntax_that_the_peer_takes() {
    let fixture = fixtures::measured("measured");
    let folder = tempfile::tempdir().unwrap();
    for syntax in Syntax::ALL {
        let mut request = request(&fixture, Companion::SecondaryCapture, Language::En);
        request.syntax = syntax;
        let (findings, context) = (&fixture.findings, &fixture.context);
        let drawn = picture(Companion::SecondaryCapture);
        let written = write_companion(findings, context, &request, drawn).unwrap();
        assert_eq!(written.transfer_syntax.as_str(), syntax.uid());
        let path = folder.path().join("page.dcm");
        std::fs::write(&path, written.bytes).unwrap();
        assert_eq!(tools::dciodvfy_of(&path, &["SCImage"]), [""; 0]);
    }
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var("SONODE_GOLDEN").is_ok_and(|value| value == "refresh") {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == golden,
        "{name} differs; SONODE_GOLDEN=refresh writes it anew"
    );
}
