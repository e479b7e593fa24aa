//! Writes the first inputs of every target, made by the project's own writers: `seeds FOLDER`. What fuzzing found beyond
//! them lies beside them in `corpus/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a tool of the developers"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sonode_conformance::sop_class;
use sonode_dimse::{Proposal, Requestor, Timers};
use sonode_findings::protocol::{AnalyzeJob, ToWorker, write_frame};
use sonode_findings::{Beat, Findings, InstanceFindings, LvMeasurement, Method, StudyContext};
use sonode_phantom::anatomy::View;
use sonode_phantom::cine::Study;
use sonode_phantom::dicom::{Identity, write};
use sonode_phantom::spec::{StudySpec, Subject};
use sonode_phantom::style::Style as Device;
use sonode_sr_writer::{ContentDateTime, Document, Form, ReportForm, ReportRequest, Style, Syntax};

/// C-ECHO-RQ in Implicit VR Little Endian (PS3.7 section 9.3.5.1).
const ECHO: &[u8] = b"\x00\x00\x00\x00\x04\x00\x00\x00\x38\x00\x00\x00\
    \x00\x00\x02\x00\x12\x00\x00\x001.2.840.10008.1.1\x00\
    \x00\x00\x00\x01\x02\x00\x00\x00\x30\x00\
    \x00\x00\x10\x01\x02\x00\x00\x00\x01\x00\
    \x00\x00\x00\x08\x02\x00\x00\x00\x01\x01";

struct Corpus(PathBuf);

impl Corpus {
    fn add(&self, target: &str, name: &str, input: &[u8]) {
        let folder = self.0.join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), input).unwrap();
    }
}

fn main() {
    let folder = std::env::args().nth(1).expect("seeds FOLDER");
    let corpus = Corpus(folder.into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    wire(&corpus);
    let mut job = Vec::new();
    let analyze = AnalyzeJob {
        id: 1,
        path: "/spool/1.dcm".into(),
    };
    write_frame(&mut job, &ToWorker::Analyze(analyze)).unwrap();
    corpus.add("worker_protocol", "analyze", &job);
    for (style, name) in [
        (Device::A, "a"),
        (Device::B, "b"),
        (Device::C, "c"),
        (Device::D, "d"),
    ] {
        let file = phantom(style);
        corpus.add("part10", name, &file[..file.len().min(20_000)]);
        // Behind preamble, meta information and its group length the data set begins.
        let meta = u32::from_le_bytes(file[140..144].try_into().unwrap()) as usize;
        let data = &file[144 + meta..];
        corpus.add(
            "header_scanner",
            name,
            &[&[1, 7], &data[..data.len().min(4000)]].concat(),
        );
    }
    for syntax in 0..11 {
        for photometric in [1, 2, 3, 5] {
            let header = [syntax, photometric, 8, 0, 8, 0, 0, 1];
            let name = format!("{syntax}-{photometric}");
            corpus.add("pixels", &name, &[&header[..], &[0x55; 192]].concat());
        }
    }
    for (name, report) in reports() {
        corpus.add("report", &name, &report);
        corpus.add("part10", &format!("report-{name}"), &report);
    }
    let example = fs::read(root.join("deploy/sonode.example.toml")).unwrap();
    corpus.add("config", "example", &example);
    // Every key in force.
    let text = String::from_utf8(example).unwrap();
    let all: Vec<&str> = text
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .collect();
    corpus.add("config", "all", all.join("\n").as_bytes());
}

fn wire(corpus: &Corpus) {
    let proposal = Proposal::new("CART".parse().unwrap(), "SONODE".parse().unwrap())
        .with_context("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])
        .unwrap()
        .with_context(
            sop_class::US_MULTIFRAME,
            ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"],
        )
        .unwrap();
    let mut cart = Requestor::new(proposal, Timers::default(), Instant::now()).unwrap();
    let request = cart.take_output();
    let pdv = [&[1, 0x03][..], ECHO].concat();
    let mut body = u32::try_from(pdv.len()).unwrap().to_be_bytes().to_vec();
    body.extend(&pdv);
    let mut data = vec![4, 0];
    data.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    data.extend(&body);
    let release = [5, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    let abort = [7, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    corpus.add(
        "association",
        "echo",
        &[&[255], &request[..], &data, &release].concat(),
    );
    corpus.add(
        "association",
        "abort",
        &[&[0], &request[..], &data, &abort].concat(),
    );
    corpus.add("command", "echo", ECHO);
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    corpus.add("assembler", "echo", &[&length[..], &body].concat());
}

/// Every kind of report in each syntax, of a clip with one beat.
fn reports() -> Vec<(String, Vec<u8>)> {
    let mut clip = InstanceFindings::empty("2.25.2".parse().unwrap());
    clip.sop_class_uid = Some(sop_class::US_MULTIFRAME.parse().unwrap());
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
    clip.lv = Some(LvMeasurement {
        edv_ml: Some(118.0),
        esv_ml: Some(49.0),
        lvef_percent: 58.5,
        lvef_interval: None,
        method: Method::ModA4c,
    });
    let findings = Findings::merge("2.25.1".parse().unwrap(), vec![clip]);
    let context = StudyContext::unknown("2.25.1".parse().unwrap());
    let mut reports = Vec::new();
    for document in [Document::MeasurementReport, Document::EchoReport] {
        for syntax in [Syntax::ExplicitLittle, Syntax::ImplicitLittle] {
            let request = ReportRequest {
                document,
                form: Form {
                    class: ReportForm::Comprehensive,
                    syntax,
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
            };
            let written = sonode_sr_writer::write(&findings, &context, &request).unwrap();
            reports.push((
                format!("{document:?}-{syntax:?}").to_lowercase(),
                written.bytes,
            ));
        }
    }
    reports
}

fn phantom(style: Device) -> Vec<u8> {
    let mut spec = StudySpec::of(1, style, Subject::Apical(View::A4c));
    spec.frames = 2;
    let mut file = Vec::new();
    write(&Study::generate(&spec), &Identity::default(), &mut file).unwrap();
    file
}
