//! Every kind of report through every validator: dciodvfy, dsrdump, PixelMed's templates, highdicom as a reader, our
//! own linter, and golden dumps.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is missing fails the test"
)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sonode_findings::{CardiacPhase, Findings, InstanceFindings, LvSummary, Method};
use sonode_sr_writer::codes::{self, Unit};
use sonode_sr_writer::{Coding, Document, device_uid, lint, show};
use support::fixtures::{self, Fixture};
use support::tools;

/// Writes every fixture's report into a folder.
fn files(folder: &Path) -> Vec<(Fixture, PathBuf)> {
    let write = |fixture: Fixture| {
        let path = folder.join(format!("{}.dcm", fixture.name));
        std::fs::write(&path, fixture.write().bytes).unwrap();
        (fixture, path)
    };
    fixtures::all().into_iter().map(write).collect()
}

#[test]
fn dciodvfy_finds_no_error() {
    let folder = tempfile::tempdir().unwrap();
    for (fixture, path) in files(folder.path()) {
        // No version of dciodvfy knows the class ("Information Object Not found").
        if fixture.request.document == Document::SimplifiedEchoReport {
            continue;
        }
        assert_eq!(tools::dciodvfy(&path), [""; 0], "{}", fixture.name);
    }
}

#[test]
fn dsrdump_reads_every_report_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    for (fixture, path) in files(folder.path()) {
        assert_eq!(tools::dsrdump(&path), [""; 0], "{}", fixture.name);
    }
}

/// One start of Java takes seconds, so the reports whose trees differ in structure go through, two at a time.
#[test]
fn pixelmed_finds_the_templates_kept() {
    let distinct = [
        "measured-comprehensive",
        "uncalibrated",
        "unmeasured",
        "nothing-there",
        "biplane",
        "cart-report",
        "key-object-biplane",
        "echo-report-biplane",
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(folder.path());
    files.retain(|(fixture, _)| distinct.contains(&fixture.name));
    assert_eq!(files.len(), distinct.len());
    for pair in files.chunks(2) {
        std::thread::scope(|scope| {
            for (fixture, path) in pair {
                let about = tools::pixelmed_knows(fixture.request.document).unwrap();
                scope.spawn(move || {
                    let complaints = tools::pixelmed(path, about);
                    assert_eq!(complaints, [""; 0], "{}", fixture.name);
                });
            }
        });
    }
}

#[test]
fn our_linter_finds_no_defect_and_the_same_input_gives_the_same_bytes() {
    for fixture in fixtures::all() {
        let report = fixture.write();
        assert_eq!(lint(&report.bytes), [], "{}", fixture.name);
        assert_eq!(report, fixture.write(), "{}", fixture.name);
    }
}

#[test]
fn highdicom_reads_the_same_numbers_contours_and_identifiers_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(folder.path());
    files.retain(|(fixture, _)| fixture.request.document == Document::MeasurementReport);
    let paths: Vec<&Path> = files.iter().map(|(_, path)| path.as_path()).collect();
    let read = tools::python("read_reports.py", &paths);
    for (fixture, _) in &files {
        let got = &read[fixture.name];
        let Fixture {
            name,
            findings,
            context,
            request,
        } = fixture;
        assert_eq!(got["sop_class"], request.form.class.sop_class(), "{name}");
        assert_eq!(got["patient_name"], context.patient_name.expose(), "{name}");
        assert_eq!(
            got["referring_physician"],
            context.referring_physician_name.expose(),
            "{name}"
        );
        let device = device_uid(&request.node_uid);
        assert_eq!(got["device_uids"], json!([device.as_str()]), "{name}");
        check_function(name, findings, &got["functions"]);
        check_contours(name, findings, &got["contours"]);
        check_tracking(name, got);
    }
}

/// What highdicom can say of the documents that it has no template of: a key object's references and the numbers of a TID
/// 5200 tree. The class of TID 5300 it refuses, so that nothing of it is claimed.
#[test]
fn highdicom_reads_key_objects_and_the_numbers_of_echo_reports() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(folder.path());
    files.retain(|(fixture, _)| fixture.request.document != Document::MeasurementReport);
    let paths: Vec<&Path> = files.iter().map(|(_, path)| path.as_path()).collect();
    let read = tools::python("read_others.py", &paths);
    for (fixture, _) in &files {
        let (name, got) = (fixture.name, &read[fixture.name]);
        let lv = &fixture.findings.lv.as_ref().unwrap().measurement;
        match fixture.request.document {
            Document::KeyObject => {
                let references = fixture.findings.sources().into_iter().map(|clip| {
                    let mut frames: Vec<u32> = clip.contours.iter().map(|c| c.frame).collect();
                    frames.sort_unstable();
                    // Study, series and instance are found in the evidence.
                    json!([source_uid(clip), frames, 3])
                });
                let references: Vec<Value> = references.collect();
                assert_eq!(got["references"], json!(references), "{name}");
            }
            Document::EchoReport => {
                let numbers = got["numbers"].as_array().unwrap();
                // The selected value of each quantity comes after those of the beats.
                let last = |code: &str| {
                    let found = numbers.iter().rfind(|number| number[0] == code);
                    found.map(|number| (number[1].as_f64().unwrap(), number[2].clone()))
                };
                let tenth = |value: f64| (value * 10.0).round() / 10.0;
                assert_eq!(
                    last("18043-0"),
                    Some((tenth(lv.lvef_percent), "%".into())),
                    "{name}"
                );
                let volume = |ml: Option<f64>| ml.map(|ml| (tenth(ml), "ml".into()));
                assert_eq!(last("18026-5"), volume(lv.edv_ml), "{name}");
                assert_eq!(last("18148-7"), volume(lv.esv_ml), "{name}");
            }
            _ => {
                let refusal = got["refused"].as_str().unwrap();
                assert!(refusal.contains("not supported"), "{name}: {refusal}");
            }
        }
    }
}

/// The summary's numbers, rounded as they are reported, and nothing that was not measured.
fn check_function(name: &str, findings: &Findings, groups: &Value) {
    let Some(lv) = &findings.lv else {
        assert_eq!(groups, &json!([]), "{name}");
        return;
    };
    let sources = findings.sources();
    let tenth = |value: f64| (value * 10.0).round() / 10.0;
    let frames_of = |source: &InstanceFindings, phases: &[CardiacPhase]| {
        let mut frames: Vec<u32> = source
            .beats
            .iter()
            .flat_map(|beat| {
                phases.iter().map(|phase| match phase {
                    CardiacPhase::EndDiastole => beat.ed_frame,
                    CardiacPhase::EndSystole => beat.es_frame,
                })
            })
            .collect();
        frames.sort_unstable();
        json!(frames)
    };
    let frames = |phases: &[CardiacPhase]| {
        json!(
            sources
                .iter()
                .map(|source| frames_of(source, phases))
                .collect::<Vec<_>>()
        )
    };
    let (ed, es) = (CardiacPhase::EndDiastole, CardiacPhase::EndSystole);
    let derivation = sources
        .iter()
        .any(|source| source.beats.len() > 1)
        .then_some("373099004");
    let method = match lv.measurement.method {
        Method::ModBiplane => "125207",
        Method::ModA4c | Method::ModA2c => "125208",
    };
    let number = |code: &str, value: f64, unit: &str, frames: Value| {
        json!({
            "code": code, "value": tenth(value), "unit": unit, "method": method,
            "derivation": derivation, "frames": frames,
        })
    };
    let measurement = &lv.measurement;
    let mut wanted = vec![number(
        "18043-0",
        measurement.lvef_percent,
        "%",
        frames(&[ed, es]),
    )];
    wanted.extend(
        measurement
            .edv_ml
            .map(|ml| number("18026-5", ml, "ml", frames(&[ed]))),
    );
    wanted.extend(
        measurement
            .esv_ml
            .map(|ml| number("18148-7", ml, "ml", frames(&[es]))),
    );
    wanted.extend(sources[0].heart_rate_bpm.map(|bpm| {
        json!({
            "code": "8867-4", "value": bpm.round(), "unit": "/min", "method": null,
            "derivation": null, "frames": [[]],
        })
    }));
    assert_eq!(groups[0]["measurements"], json!(wanted), "{name}");
    let (index, beats) = match (&lv.index, &groups.as_array().unwrap()[1..]) {
        (Some(_), [index, beats @ ..]) => (Some(index), beats),
        (_, beats) => (None, beats),
    };
    check_beats(name, &sources, beats);
    check_index(name, lv, index);
    assert_eq!(groups[0]["finding"], "87878005", "{name}");
    assert_eq!(groups[0]["sites"], json!(["87878005"]), "{name}");
}

/// The volumes over the body surface area: in a group and a unit of their own, by a biplane measurement under names of
/// their own too.
fn check_index(name: &str, lv: &LvSummary, group: Option<&Value>) {
    let Some(index) = &lv.index else {
        assert!(group.is_none(), "{name}");
        return;
    };
    let group = group.unwrap();
    let label = group["tracking_identifier"].as_str().unwrap();
    assert!(label.starts_with("LV volume index"), "{name}");
    let names = match lv.measurement.method {
        Method::ModBiplane => ["79997-3", "80002-9"],
        Method::ModA4c | Method::ModA2c => ["18026-5", "18148-7"],
    };
    let values = [index.edv_ml_m2, index.esv_ml_m2];
    let numbers = group["measurements"].as_array().unwrap();
    assert_eq!(numbers.len(), 2, "{name}");
    for ((number, code), value) in numbers.iter().zip(names).zip(values) {
        assert_eq!(number["code"], code, "{name}");
        assert_eq!(number["unit"], "ml/m2", "{name}");
        assert_eq!(
            number["value"],
            json!((value * 10.0).round() / 10.0),
            "{name}"
        );
    }
}

/// One group for each beat, where the summary is the median of several: its own numbers on its own frames.
fn check_beats(name: &str, sources: &[&InstanceFindings], groups: &[Value]) {
    let beats: Vec<_> = sources.iter().flat_map(|source| &source.beats).collect();
    let wanted = if beats.len() > 1 { beats.len() } else { 0 };
    assert_eq!(groups.len(), wanted, "{name}");
    for (group, beat) in groups.iter().zip(beats) {
        let lvef = &group["measurements"][0];
        let tenth = (beat.lvef_percent * 10.0).round() / 10.0;
        assert_eq!(lvef["value"], json!(tenth), "{name}");
        assert_eq!(lvef["derivation"], Value::Null, "{name}");
        assert_eq!(
            lvef["frames"],
            json!([[beat.ed_frame, beat.es_frame]]),
            "{name}"
        );
        assert_eq!(lvef["method"], "125208", "{name}");
    }
}

/// The contours of the clip that the summary stands on, each point within the precision of VR FL, closed.
fn check_contours(name: &str, findings: &Findings, groups: &Value) {
    let contours: Vec<_> = findings
        .sources()
        .into_iter()
        .flat_map(|source| source.contours.iter().map(move |contour| (source, contour)))
        .collect();
    let groups = groups.as_array().unwrap();
    assert_eq!(groups.len(), contours.len(), "{name}");
    for (group, (source, contour)) in groups.iter().zip(contours) {
        assert_eq!(group["frame"], contour.frame, "{name}");
        assert_eq!(group["image"], source_uid(source), "{name}");
        assert_eq!(group["graphic_type"], "POLYLINE", "{name}");
        let mut wanted = contour.points.clone();
        wanted.push(contour.points[0]);
        let got: Vec<[f64; 2]> = serde_json::from_value(group["points"].clone()).unwrap();
        assert_eq!(got.len(), wanted.len(), "{name}");
        for (got, wanted) in got.iter().flatten().zip(wanted.iter().flatten()) {
            assert!((got - wanted).abs() < 1e-3, "{name}: {got} is not {wanted}");
        }
        let areas: Vec<f64> = group["measurements"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["value"].as_f64().unwrap())
            .collect();
        let wanted: Vec<f64> = contour
            .area_cm2
            .iter()
            .map(|area| (area * 100.0).round() / 100.0)
            .collect();
        assert_eq!(areas, wanted, "{name}");
    }
}

fn source_uid(source: &InstanceFindings) -> &str {
    source.sop_instance_uid.as_str()
}

fn check_tracking(name: &str, report: &Value) {
    let mut uids: Vec<&str> = ["contours", "functions"]
        .iter()
        .flat_map(|kind| report[kind].as_array().unwrap())
        .map(|group| group["tracking_uid"].as_str().unwrap())
        .collect();
    let count = uids.len();
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), count, "{name}");
}

/// What is tracked keeps its identifier when the analysis is repeated with another frame and another outline.
#[test]
fn tracking_identifiers_outlive_a_new_analysis() {
    let tracked = |fixture: &Fixture| -> Vec<String> {
        let text = show(&fixture.write().bytes).unwrap();
        text.lines()
            .filter(|line| line.contains("Tracking Unique Identifier"))
            .map(|line| line.trim().to_owned())
            .collect()
    };
    let first = fixtures::measured("first");
    let mut second = fixtures::measured("second");
    for instance in &mut second.findings.instances {
        for contour in &mut instance.contours {
            contour.frame += 1;
            contour.points.pop();
        }
        for model in &mut instance.models {
            model.version = "0.2.0".into();
        }
    }
    assert_eq!(tracked(&first).len(), 5);
    assert_eq!(tracked(&first), tracked(&second));
}

/// Each code's meaning is that of the standard, as pydicom generates it from PS3.16.
#[test]
fn the_code_table_is_the_standards() {
    // Schemes that pydicom has no dictionary of, units that it lacks, and concepts that it has under SNOMED's own name
    // only (PS3.16 calls two of them so in TID 5202 and 5203, and its CID 3716 the third).
    let elsewhere = [
        "en",
        "zh",
        "US",
        "CN",
        "C0034375",
        "ml",
        "ml/m2",
        "m2",
        "{pixels}",
        "246112005",
        "272518008",
        "399264008",
    ];
    let units = Unit::ALL.iter().map(|unit| unit.code());
    let table: Vec<codes::Code> = codes::ALL.iter().copied().chain(units).collect();
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("codes.json");
    let pairs: Vec<[&str; 2]> = table.iter().map(|code| [code.value, code.scheme]).collect();
    std::fs::write(&asked, serde_json::to_vec(&pairs).unwrap()).unwrap();
    let meanings: Vec<Vec<String>> =
        serde_json::from_value(tools::python("code_meanings.py", &[&asked])).unwrap();
    assert_eq!(meanings.len(), table.len());
    for (code, meanings) in table.iter().zip(meanings) {
        // "US" is also Ultrasound in scheme DCM, which pydicom knows.
        let known_elsewhere = elsewhere.contains(&code.value) && code.scheme != "DCM";
        // Units are displayed by their UCUM code; their meaning is free (PS3.16 section 7.2.2).
        let agrees = code.scheme == "UCUM" || meanings.iter().any(|m| m == code.meaning);
        assert!(
            known_elsewhere || (!meanings.is_empty() && agrees),
            "{code:?}: {meanings:?}"
        );
    }
}

/// Each concept's older name is the one to which pydicom's table, generated from PS3.16, maps it.
#[test]
fn the_older_names_are_the_standards() {
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("codes.json");
    let pairs: Vec<[&str; 2]> = codes::ALL
        .iter()
        .map(|code| [code.value, code.in_generation(Coding::Srt).value])
        .filter(|[newer, older]| newer != older)
        .collect();
    std::fs::write(&asked, serde_json::to_vec(&pairs).unwrap()).unwrap();
    let wrong = tools::python("older_names.py", &[&asked]);
    assert_eq!(wrong, json!([]), "of {} pairs", pairs.len());
    assert!(pairs.len() > 10);
}

/// What a person sees of each report. `SONODE_GOLDEN=refresh` writes the files anew.
#[test]
fn the_dumps_are_the_golden_ones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let refresh = std::env::var("SONODE_GOLDEN").is_ok_and(|value| value == "refresh");
    for fixture in fixtures::all() {
        let path = folder.join(format!("{}.txt", fixture.name));
        let text = show(&fixture.write().bytes).unwrap();
        if refresh {
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            text, golden,
            "{} differs; SONODE_GOLDEN=refresh writes it anew",
            fixture.name
        );
    }
}
