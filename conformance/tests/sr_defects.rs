//! Deliberate defects: each is caught by one of the gates at least, and by the one that is named here.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is missing fails the test"
)]

mod support;

use std::path::Path;

use sonode_sr_writer::lint;
use sonode_sr_writer::lint::Rule;
use support::tools::PixelMedKnows;
use support::{fixtures, tools};

/// A gate that must catch a defect.
#[derive(Debug, Clone, Copy)]
enum Gate {
    Dciodvfy,
    Dsrdump,
    PixelMed,
    Lint(Rule),
}

use Gate::{Dciodvfy, Dsrdump, Lint, PixelMed};

/// Each defect of `break_report.py` and who catches it.
const DEFECTS: &[(&str, &[Gate])] = &[
    ("no_evidence", &[Dciodvfy, Lint(Rule::Evidence)]),
    ("image_not_in_evidence", &[Dciodvfy, Lint(Rule::Evidence)]),
    ("evidence_of_another_study", &[Lint(Rule::EvidenceStudy)]),
    ("evidence_listed_twice", &[Lint(Rule::Evidence)]),
    ("no_verification_flag", &[Dciodvfy, Lint(Rule::Marking)]),
    ("verified_by_nobody", &[Dciodvfy, Lint(Rule::Marking)]),
    ("no_series_number", &[Dciodvfy]),
    ("no_performed_step", &[Dciodvfy]),
    ("modality_of_the_images", &[Dciodvfy, Lint(Rule::Marking)]),
    (
        "number_without_unit",
        &[Dciodvfy, Dsrdump, Lint(Rule::Number)],
    ),
    ("number_without_value", &[Lint(Rule::Number)]),
    ("number_that_is_too_long", &[Dciodvfy, Dsrdump]),
    ("unit_in_words", &[Lint(Rule::Unit)]),
    ("bogus_code", &[Lint(Rule::Code)]),
    ("wrong_meaning", &[Lint(Rule::Code)]),
    ("region_inferred_from_image", &[Dciodvfy, Dsrdump]),
    ("number_contains_image", &[Dsrdump, PixelMed]),
    ("odd_graphic_data", &[Dsrdump, Lint(Rule::Polyline)]),
    ("open_polyline", &[Lint(Rule::Polyline)]),
    ("point_outside", &[Lint(Rule::Inside)]),
    ("frame_zero", &[Lint(Rule::Frame)]),
    ("region_on_two_frames", &[Lint(Rule::Frame)]),
    ("no_tracking_uid", &[Lint(Rule::Tracking)]),
    ("shared_tracking_uid", &[Lint(Rule::Tracking)]),
    ("no_tracking_identifier", &[Lint(Rule::Tracking)]),
    ("no_observer", &[Lint(Rule::Observer)]),
    ("no_observer_uid", &[Lint(Rule::Observer)]),
    ("no_root_template", &[Lint(Rule::Template)]),
    ("no_group_template", &[Lint(Rule::Template)]),
    ("no_algorithm_version", &[Lint(Rule::Algorithm)]),
    ("language_of_another_standard", &[Lint(Rule::Code)]),
    ("no_ai_statement", &[Lint(Rule::Marking)]),
    ("research_not_marked", &[Lint(Rule::Marking)]),
    ("no_device_uid", &[Lint(Rule::Equipment)]),
    ("no_finding_site", &[Lint(Rule::Section)]),
    ("no_image_mode", &[Lint(Rule::Section)]),
    ("no_method", &[Lint(Rule::Section)]),
    ("no_cycle_point", &[Lint(Rule::Section)]),
    ("site_contained", &[Lint(Rule::Section)]),
    ("no_section_template", &[Lint(Rule::Template)]),
    ("older_code_newer_scheme", &[Lint(Rule::Code)]),
    (
        "name_without_character_set",
        &[Dciodvfy, Lint(Rule::CharacterSet)],
    ),
];

#[test]
fn each_deliberate_defect_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.dcm");
    std::fs::write(&report, fixtures::measured("measured").write().bytes).unwrap();
    let echo = folder.path().join("echo-report.dcm");
    let fixture = fixtures::echo_report("echo-report", fixtures::measured(""));
    std::fs::write(&echo, fixture.write().bytes).unwrap();
    let written = tools::python("break_report.py", &[&report, &echo, folder.path()]);
    let wanted: Vec<&str> = DEFECTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        written,
        serde_json::json!(wanted),
        "the table names them all"
    );
    let mut missed = Vec::new();
    for (name, gates) in DEFECTS {
        let path = folder.path().join(format!("{name}.dcm"));
        for gate in *gates {
            if !catches(*gate, &path) {
                missed.push(format!("{gate:?} does not catch {name}"));
            }
        }
    }
    assert_eq!(missed, [""; 0]);
}

fn catches(gate: Gate, path: &Path) -> bool {
    match gate {
        Dciodvfy => !tools::dciodvfy(path).is_empty(),
        Dsrdump => !tools::dsrdump(path).is_empty(),
        PixelMed => {
            let about = PixelMedKnows::Template("Root Template TID_1500");
            !tools::pixelmed(path, about).is_empty()
        }
        Lint(rule) => lint(&std::fs::read(path).unwrap())
            .iter()
            .any(|defect| defect.rule == rule),
    }
}
