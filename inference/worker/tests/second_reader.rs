//! The second reader's plumbing with a tiny random checkpoint: the phantom and a real cine go through it. What it says of
//! them means nothing, and nothing of it is looked at but its form.
#![expect(
    clippy::unwrap_used,
    reason = "what a test needs and doesn't find must fail it"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sonode_findings::protocol::{
    AnalyzeJob, Analyzed, FromWorker, ToWorker, read_frame, write_frame,
};
use sonode_findings::{CheckOutcome, InstanceFindings};
use sonode_phantom::anatomy::View;
use sonode_phantom::cine::Study;
use sonode_phantom::dicom::{Identity, write};
use sonode_phantom::spec::{StudySpec, Subject};
use sonode_phantom::style::Style;
use sonode_worker::second_reader::Options as Reader;
use sonode_worker::second_reader::linear::Precision;
use sonode_worker::second_reader::question::{Form, Language, grammar};
use tch::Device;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/second_reader/sharded")
}

fn phantom(folder: &Path, seed: u64) -> PathBuf {
    let mut spec = StudySpec::of(seed, Style::A, Subject::Apical(View::A4c));
    spec.frames = 40;
    let mut file = Vec::new();
    write(&Study::generate(&spec), &Identity::default(), &mut file).unwrap();
    let path = folder.join(format!("{seed}.dcm"));
    fs::write(&path, file).unwrap();
    path
}

/// pydicom's four-chamber cine in colour, where the Python peers are set up.
fn real_cine() -> Option<PathBuf> {
    let lib = workspace().join(".peers/lib");
    let pythons = fs::read_dir(lib).ok()?;
    pythons
        .filter_map(Result::ok)
        .map(|python| {
            python
                .path()
                .join("site-packages/pydicom/data/test_files/examples_ybr_color.dcm")
        })
        .find(|path| path.is_file())
}

/// What the worker tells about jobs, up to its `told`th message, in a process of its own: its limits bind the whole
/// process.
fn messages(paths: &[PathBuf], extra: &[&str], told: usize) -> Vec<FromWorker> {
    use std::process::Stdio;
    let mut child = Command::new(env!("CARGO_BIN_EXE_sonode-worker"))
        .args([
            "serve",
            "--allow-research-models",
            "--device",
            "cpu",
            "--models-dir",
        ])
        .arg(workspace().join("models"))
        .arg("--second-reader")
        .arg(checkpoint())
        .args(extra)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut jobs = child.stdin.take().unwrap();
    let mut from = child.stdout.take().unwrap();
    let FromWorker::Ready(ready) = read_frame(&mut from).unwrap() else {
        panic!("the worker answers before it is ready");
    };
    assert!(ready.credits as usize >= paths.len());
    for (id, path) in (0..).zip(paths) {
        let path = path.clone();
        write_frame(&mut jobs, &ToWorker::Analyze(AnalyzeJob { id, path })).unwrap();
    }
    let messages = (0..told).map(|_| read_frame(&mut from).unwrap()).collect();
    drop(jobs);
    assert!(child.wait().unwrap().success());
    messages
}

/// The worker's answers to jobs, in their order.
fn answers(paths: &[PathBuf], extra: &[&str]) -> Vec<Analyzed> {
    let told = messages(paths, extra, paths.len()).into_iter();
    let mut answers: Vec<Analyzed> = told
        .map(|message| match message {
            FromWorker::Analyzed(answer) => *answer,
            FromWorker::Ready(_) => panic!("ready twice"),
            FromWorker::Amended(_) => panic!("nobody was promised a reading"),
            FromWorker::Illustrated(_) => panic!("nobody asked for a picture"),
        })
        .collect();
    answers.sort_by_key(|answer| answer.id);
    assert!(answers.iter().all(|answer| !answer.reading_may_follow));
    answers
}

fn outcome(findings: &InstanceFindings, id: &str) -> Option<CheckOutcome> {
    let check = findings.checks.iter().find(|check| check.id == id)?;
    Some(check.outcome)
}

#[test]
fn phantom_and_real_cine_are_read_beside_their_measurement() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = vec![phantom(folder.path(), 7), phantom(folder.path(), 8)];
    files.extend(real_cine());
    let plain = [
        "--second-reader-on-cpu",
        "--second-reader-dtype",
        "fp32",
        "--second-reader-deadline-s",
        "240",
    ];
    for Analyzed { findings, .. } in answers(&files, &plain) {
        let reading = findings.second_reading.clone().unwrap();
        assert_eq!(reading.model.name, "sharded");
        assert_eq!(reading.model.sha256.len(), 64);
        assert!(reading.view.is_some() && reading.quality.is_some());
        assert!(
            reading
                .lvef_percent
                .is_none_or(|ef| (5.0..=85.0).contains(&ef))
        );
        assert!(findings.models.contains(&reading.model));
        for id in [
            "second-reader-lvef",
            "second-reader-view",
            "second-reader-quality",
        ] {
            assert!(outcome(&findings, id).is_some(), "{id}");
        }
        let narrative = outcome(&findings, "second-reader-narrative");
        let expected = if reading.struck.is_empty() {
            CheckOutcome::Pass
        } else {
            CheckOutcome::Warn
        };
        assert_eq!(narrative, Some(expected));
    }
}

#[test]
fn a_late_reading_keeps_no_answer_and_a_cpu_must_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = [phantom(folder.path(), 7)];
    let late = answers(
        &file,
        &["--second-reader-on-cpu", "--second-reader-deadline-s", "0"],
    );
    assert_eq!(late[0].findings.second_reading, None);
    assert_eq!(
        outcome(&late[0].findings, "second-reader"),
        Some(CheckOutcome::Skipped)
    );
    let off = answers(&file, &[]);
    assert_eq!(off[0].findings.second_reading, None);
    assert_eq!(outcome(&off[0].findings, "second-reader"), None);
    // The measurement is the same with it, without it and too late for it.
    assert_eq!(late[0].findings.lv, off[0].findings.lv);
}

#[test]
fn where_readings_may_revise_a_report_a_late_one_follows_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let file = [phantom(folder.path(), 7)];
    let extra = [
        "--second-reader-on-cpu",
        "--second-reader-deadline-s",
        "0",
        "--second-reader-when-late",
        "revise",
    ];
    let mut told = messages(&file, &extra, 2).into_iter();
    let (Some(FromWorker::Analyzed(answer)), Some(FromWorker::Amended(late))) =
        (told.next(), told.next())
    else {
        panic!("not an answer and its reading");
    };
    assert!(answer.reading_may_follow);
    assert_eq!(answer.findings.second_reading, None);
    assert_eq!(late.id, answer.id);
    assert!(late.findings.second_reading.is_some());
    // The check that none had come is gone with it, and the measurement is the same.
    assert_eq!(outcome(&late.findings, "second-reader"), None);
    assert_eq!(late.findings.lv, answer.findings.lv);
}

#[test]
fn models_bench_times_a_checkpoint() {
    let output = Command::new(env!("CARGO_BIN_EXE_sonode-worker"))
        .args(["models", "bench", "--device", "cpu", "--dtype", "fp32"])
        .arg(checkpoint())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for line in [
        "prompt with one 512 x 512 picture",
        "constrained answer",
        "peak memory",
    ] {
        assert!(told.contains(line), "{told}");
    }
}

#[test]
fn a_constrained_answer_is_always_one_of_the_grammar() {
    use sonode_worker::second_reader::generate::constrained;
    use sonode_worker::second_reader::grammar::Vocabulary;
    use sonode_worker::second_reader::{Asked, SecondReader};
    let reader = SecondReader::load(&Reader {
        checkpoint: checkpoint(),
        adapter: None,
        precision: Precision::Fp32,
        device: Device::Cpu,
        memory: None,
        progress: false,
    })
    .unwrap();
    let known = reader.model.config().text.vocabulary;
    for language in [Language::English, Language::Chinese] {
        for form in [Form::Sentence, Form::Json] {
            let vocabulary =
                Vocabulary::new(&reader.tokens, grammar(language, form), known).unwrap();
            let asked = Asked {
                text: "心尖",
                ..Asked::default()
            };
            let prompt = reader.prompt(&asked).unwrap();
            let answer = constrained(&reader.model, &prompt, &vocabulary, 600, &|| true).unwrap();
            let told = vocabulary.text(&answer.ids);
            assert!(vocabulary.grammar().accepts(&told), "{told}");
        }
    }
}
