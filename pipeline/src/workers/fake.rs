//! A worker for tests: the test program itself, started again. libtest writes to standard output, so the shell sends
//! that to nowhere, and the fake talks over its standard input, which is the same socket.

use std::io::stdin;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use sonode_findings::protocol::{
    AnalyzeJob, Analyzed, FromWorker, Ready, ToWorker, read_frame, write_frame,
};
use sonode_findings::{
    InstanceFindings, LvMeasurement, Method, ModelRef, Rejection, StudyContext, phrases,
};

const VARIABLE: &str = "SONODE_FAKE_WORKER";

/// Program and arguments of a fake. Its script is a list of `<what>=<part of a path>`: what it does with a job whose
/// path contains that part; `die`, `hang`, `garbage`, `reject`, and `nameless` for an identification that finds no study.
/// `exit=<code>` and `version=<text>` count at its start.
pub(crate) fn command(script: &str) -> (PathBuf, Vec<String>) {
    let exe = std::env::current_exe().unwrap();
    let shell = format!(
        "{VARIABLE}='{script}' exec \"$0\" --exact workers::fake::run --nocapture >/dev/null"
    );
    (
        "/bin/sh".into(),
        vec!["-c".to_owned(), shell, exe.to_str().unwrap().to_owned()],
    )
}

#[test]
fn run() {
    let Ok(script) = std::env::var(VARIABLE) else {
        // As one test among the others it has nothing to do.
        return;
    };
    let rules: Vec<(&str, &str)> = script
        .split(' ')
        .filter_map(|rule| rule.split_once('='))
        .collect();
    let at_start = |what| {
        rules
            .iter()
            .find(|(name, _)| *name == what)
            .map(|(_, value)| *value)
    };
    if let Some(code) = at_start("exit") {
        eprintln!("only research models were found");
        std::process::exit(code.parse().unwrap());
    }
    let fd = stdin().as_fd().try_clone_to_owned().unwrap();
    let mut node = UnixStream::from(fd);
    let version = at_start("version")
        .unwrap_or(env!("CARGO_PKG_VERSION"))
        .to_owned();
    let ready = Ready {
        version,
        device: "cpu".to_owned(),
        models: vec![model()],
        credits: 4,
    };
    write_frame(&mut node, &FromWorker::Ready(ready)).unwrap();
    while let Ok(message) = read_frame(&mut node) {
        let (ToWorker::Analyze(job) | ToWorker::Identify(job)) = &message else {
            panic!("a fake draws nothing");
        };
        serve(
            &mut node,
            &rules,
            job,
            matches!(message, ToWorker::Identify(_)),
        );
    }
    std::process::exit(0);
}

fn serve(node: &mut UnixStream, rules: &[(&str, &str)], job: &AnalyzeJob, identify: bool) {
    let name = job.path.file_name().unwrap().to_str().unwrap().to_owned();
    let rule = rules.iter().find(|(_, part)| name.starts_with(part));
    let sop = name.rsplitn(3, '.').nth(2).unwrap().parse().unwrap();
    let mut findings = InstanceFindings::empty(sop);
    findings.models = vec![model()];
    findings.series_instance_uid = Some("1.2.3".parse().unwrap());
    findings.lv = Some(LvMeasurement {
        edv_ml: None,
        esv_ml: None,
        lvef_percent: 58.5,
        lvef_interval: None,
        method: Method::ModA4c,
    });
    match rule.map(|(what, _)| *what) {
        Some("die") => std::process::abort(),
        Some("hang") => loop {
            std::thread::park();
        },
        Some("garbage") => {
            use std::io::Write;
            node.write_all(&[0xFF; 64]).unwrap();
            loop {
                std::thread::park();
            }
        }
        Some("reject") => findings = findings.reject(Rejection::View, phrases::NO_VENTRICLE),
        _ => {}
    }
    let is_nameless = rule.is_some_and(|(what, _)| *what == "nameless");
    let study = (identify && !is_nameless).then(|| "1.2".parse().unwrap());
    let answer = Analyzed {
        id: job.id,
        findings,
        context: study.map(StudyContext::unknown),
        reading_may_follow: false,
    };
    write_frame(node, &FromWorker::Analyzed(Box::new(answer))).unwrap();
}

fn model() -> ModelRef {
    ModelRef {
        name: "fake".to_owned(),
        version: "1".to_owned(),
        sha256: "0".repeat(64),
        research: true,
    }
}
