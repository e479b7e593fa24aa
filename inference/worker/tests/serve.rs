//! The worker's executable over its protocol, with the built-in model and phantom studies.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use sonode_findings::protocol::{
    AnalyzeJob, Analyzed, FrameError, FromWorker, Ready, ToWorker, read_frame, write_frame,
};
use sonode_findings::{Rejection, ViewLabel};
use sonode_phantom::cine::Study;
use sonode_phantom::dicom::{Identity, write};
use sonode_phantom::spec::{StudySpec, Subject};
use sonode_phantom::style::Style;
use tempfile::TempDir;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

fn worker(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sonode-worker"));
    command.arg("serve").arg("--models-dir").arg(models());
    command.args(["--device", "cpu"]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

struct Talk {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
    ready: Ready,
}

impl Talk {
    fn start(spool: &Path) -> Self {
        let spool = spool.to_str().unwrap();
        let args = ["--allow-research-models", "--spool", spool];
        let mut child = worker(&args).spawn().unwrap();
        let to = child.stdin.take().unwrap();
        let mut from = child.stdout.take().unwrap();
        let FromWorker::Ready(ready) = read_frame(&mut from).unwrap() else {
            panic!("an answer came before Ready");
        };
        Self {
            child,
            to,
            from,
            ready,
        }
    }

    fn send(&mut self, id: u64, path: &Path) {
        let path = path.to_owned();
        write_frame(&mut self.to, &ToWorker::Analyze(AnalyzeJob { id, path })).unwrap();
    }

    fn answer(&mut self) -> Result<Analyzed, FrameError> {
        match read_frame(&mut self.from)? {
            FromWorker::Analyzed(analyzed) => Ok(*analyzed),
            FromWorker::Ready(_) => panic!("Ready came twice"),
            FromWorker::Amended(_) => panic!("a reading that nobody asked for"),
            FromWorker::Illustrated(_) => panic!("a drawing that nobody asked for"),
        }
    }

    fn identify(&mut self, path: &Path) -> Analyzed {
        let path = path.to_owned();
        let job = AnalyzeJob { id: 7, path };
        write_frame(&mut self.to, &ToWorker::Identify(job)).unwrap();
        self.answer().unwrap()
    }

    fn ask(&mut self, path: &Path) -> Analyzed {
        self.send(9, path);
        let answer = self.answer().unwrap();
        assert_eq!(answer.id, 9);
        answer
    }
}

fn phantom(folder: &Path, subject: Subject) -> (PathBuf, Study) {
    let mut spec = StudySpec::of(11, Style::A, subject);
    spec.frames = 45;
    let study = Study::generate(&spec);
    let path = folder.join("phantom.dcm");
    let file = BufWriter::new(File::create(&path).unwrap());
    write(&study, &Identity::default(), file).unwrap();
    (path, study)
}

#[test]
fn a_phantom_is_measured_near_its_truth_and_the_end_of_input_ends_the_worker() {
    let spool = TempDir::new().unwrap();
    let (path, study) = phantom(spool.path(), StudySpec::new(11, Style::A).subject);
    let mut talk = Talk::start(spool.path());
    assert!(
        talk.ready
            .models
            .iter()
            .all(|model| model.sha256.len() == 64)
    );
    let Analyzed {
        findings, context, ..
    } = talk.ask(&path);
    assert_eq!(findings.rejected, None, "{:?}", findings.rejected_detail);
    assert_eq!(findings.view.unwrap().label, ViewLabel::A4C);
    assert!(findings.calibration.is_some());
    assert!((findings.frame_rate_hz.unwrap() - 30.0).abs() < 0.01);
    let truth = study.truth().unwrap();
    let lv = findings.lv.unwrap();
    // Wide bounds: this is about the path; how well the model reads is the evaluation's matter.
    assert!(
        (lv.lvef_percent - f64::from(truth.lvef_percent)).abs() < 20.0,
        "{lv:?}"
    );
    assert!(
        (lv.edv_ml.unwrap() / f64::from(truth.edv_ml) - 1.0).abs() < 0.4,
        "{lv:?}"
    );
    assert_eq!(context.unwrap().patient_name.expose(), "Phantom^Sonode");
    drop(talk.to);
    assert!(talk.child.wait().unwrap().success());
}

#[test]
fn every_file_has_an_answer_and_a_bad_one_does_not_spoil_the_next() {
    let spool = TempDir::new().unwrap();
    let (colour, _) = phantom(spool.path(), Subject::ColourDoppler);
    let garbage = spool.path().join("1.2.3.0011223344556677.dcm");
    fs::write(&garbage, [0xA5; 5000]).unwrap();
    let cut = spool.path().join("1.2.4.0011223344556677.dcm");
    let whole = fs::read(&colour).unwrap();
    File::create(&cut)
        .unwrap()
        .write_all(&whole[..900])
        .unwrap();
    let mut talk = Talk::start(spool.path());
    assert_eq!(
        talk.ask(&garbage).findings.rejected,
        Some(Rejection::Undecodable)
    );
    assert_eq!(
        talk.ask(&cut).findings.rejected,
        Some(Rejection::Undecodable)
    );
    // Whose it is, and nothing about its pixels.
    let known = talk.identify(&colour);
    assert!(known.context.is_some() && known.findings.rejected.is_none());
    assert!(talk.identify(&garbage).context.is_none());
    let answer = talk.ask(&colour).findings;
    assert_eq!(answer.rejected, Some(Rejection::ColourDoppler));
    assert!(answer.lv.is_none() && answer.rejected_detail.is_some());
}

#[test]
fn credits_of_jobs_may_be_in_flight() {
    let spool = TempDir::new().unwrap();
    let (path, _) = phantom(spool.path(), Subject::Still);
    let mut talk = Talk::start(spool.path());
    let credits = u64::from(talk.ready.credits);
    for id in 0..credits {
        talk.send(id, &path);
    }
    for id in 0..credits {
        assert_eq!(talk.answer().unwrap().id, id);
    }
}

#[test]
fn research_models_need_leave() {
    let output = worker(&[])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("allow_research_models"), "{said}");
    assert!(output.stdout.is_empty());
}
