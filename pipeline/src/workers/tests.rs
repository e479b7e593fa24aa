use std::sync::mpsc::{Receiver, channel};

use sonode_findings::protocol::{AnalyzeJob, Ready};

use super::*;

fn start(script: &str) -> (Box<dyn Worker>, Receiver<WorkerEvent>) {
    let (program, args) = fake::command(script);
    let (sender, events) = channel();
    let tell = move |event| drop(sender.send(event));
    let worker = WorkerProgram { program, args }.start(Box::new(tell));
    (worker.unwrap(), events)
}

fn ready(events: &Receiver<WorkerEvent>) -> Ready {
    match events.recv().unwrap() {
        WorkerEvent::Ready(ready) => ready,
        WorkerEvent::Analyzed(_) | WorkerEvent::Amended(_) | WorkerEvent::Illustrated(_) => {
            panic!("an answer before any job")
        }
        WorkerEvent::Ended(end) => panic!("{end:?}"),
    }
}

fn ended(events: &Receiver<WorkerEvent>) -> WorkerEnd {
    loop {
        if let WorkerEvent::Ended(end) = events.recv().unwrap() {
            return end;
        }
    }
}

fn job(id: u64, sop: &str) -> ToWorker {
    ToWorker::Analyze(AnalyzeJob {
        id,
        path: format!("/spool/{sop}.0123456789abcdef.dcm").into(),
    })
}

#[test]
fn it_is_ready_and_answers_and_ends_when_it_is_killed() {
    let (mut worker, events) = start("reject=1.2.9");
    assert_eq!(ready(&events).version, env!("CARGO_PKG_VERSION"));
    for (id, sop) in [(1, "1.2.3"), (2, "1.2.9")] {
        worker.give(&job(id, sop));
        let WorkerEvent::Analyzed(answer) = events.recv().unwrap() else {
            panic!("no answer");
        };
        assert_eq!(answer.id, id);
        assert_eq!(answer.findings.sop_instance_uid.as_str(), sop);
        assert_eq!(answer.findings.rejected.is_some(), sop == "1.2.9");
    }
    drop(worker);
    assert_eq!(ended(&events).detail, "the worker was ended by signal 9");
}

#[test]
fn a_death_in_mid_job_is_told_with_its_signal() {
    let (mut worker, events) = start("die=1.2.3");
    ready(&events);
    worker.give(&job(1, "1.2.3"));
    let end = ended(&events);
    assert!(
        end.detail.starts_with("the worker was ended by signal 6"),
        "{}",
        end.detail
    );
    assert!(!end.unusable);
}

#[test]
fn one_that_talks_nonsense_is_killed() {
    let (mut worker, events) = start("garbage=1.2.3");
    ready(&events);
    worker.give(&job(1, "1.2.3"));
    let end = ended(&events);
    assert!(end.detail.contains("over the limit"), "{}", end.detail);
}

#[test]
fn one_without_a_usable_model_says_what_to_do() {
    let (_worker, events) = start("exit=3");
    let end = ended(&events);
    assert!(end.unusable);
    assert!(
        end.detail
            .starts_with("no usable model: set allow_research_models"),
        "{}",
        end.detail
    );
    assert!(
        end.detail.contains("only research models were found"),
        "{}",
        end.detail
    );
}

#[test]
fn a_program_that_is_missing_is_an_error() {
    let missing = WorkerProgram {
        program: "/nonexistent/sonode-worker".into(),
        args: Vec::new(),
    };
    let error = missing.start(Box::new(drop)).err().unwrap().to_string();
    assert!(
        error.starts_with("/nonexistent/sonode-worker: No such file"),
        "{error}"
    );
}
