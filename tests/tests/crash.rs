//! `kill -9` of the node and of its worker: what was acknowledged is there, and each study is reported once.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use sonode_tests::cart::{Answer, Cart, Proposal};
use sonode_tests::node::{AE_TITLE, CART, Config, Node};
use sonode_tests::orthanc::{AE_TITLE as ORTHANC, Orthanc, Pacs};
use sonode_tests::part10::Object;
use sonode_tests::process::signal;
use sonode_tests::wait::{eventually, throughout};
use sonode_tests::{dcmtk, python, samples};

const REPORT: Duration = Duration::from_mins(4);
const WORKER: Duration = Duration::from_mins(1);
const SETTLED: Duration = Duration::from_secs(5);
/// Well under what a node that was asked once gives its jobs.
const AT_ONCE: Duration = Duration::from_secs(8);

fn study_of(name: &str) -> Result<String> {
    let list = python::json("attributes.py", &[samples::pydicom(name)?])?;
    let study = list.pointer("/0/study").and_then(Value::as_str);
    Ok(study.context("no study")?.to_owned())
}

fn cine() -> Result<(Object, String)> {
    Ok((
        Object::read(&samples::pydicom(samples::CINE)?)?,
        study_of(samples::CINE)?,
    ))
}

fn associate(node: &Node, objects: &[&Object]) -> Result<Cart> {
    let proposals: Vec<Proposal> = objects.iter().map(|o| Proposal::for_object(o)).collect();
    Cart::associate(node.address(), AE_TITLE, CART, &proposals)
}

/// Sends an object that has to be acknowledged.
fn store(cart: &mut Cart, object: &Object) -> Result<()> {
    let response = cart.store(object)?;
    ensure!(
        response.status == 0,
        "{:#06x}: {}",
        response.status,
        response.comment
    );
    Ok(())
}

fn reported_once(pacs: &Orthanc, node: &Node, study: &str) -> Result<()> {
    pacs.report(study, REPORT)?;
    let done = node.study_done(study, REPORT)?;
    assert_eq!(
        done.get("revision").and_then(Value::as_u64),
        Some(1),
        "{done}"
    );
    throughout("the PACS holds one report", SETTLED, || {
        Ok(pacs.reports(study)?.len() == 1)
    })
}

fn job_at_the_worker(node: &Node) -> Result<()> {
    eventually("the job to be at the worker", WORKER, || {
        let running = node.http().json("/api/v1/health")?;
        let running = running
            .pointer("/queue/instances_running")
            .and_then(Value::as_u64);
        Ok((running == Some(1)).then_some(()))
    })
}

#[test]
fn a_worker_that_is_killed_in_mid_job_costs_nothing_but_time() -> Result<()> {
    let pacs = Pacs::new()?;
    let node = Node::start(&Config::with_pacs(pacs.dicom_port(), ORTHANC))?;
    let pacs = pacs.start()?;
    let (object, study) = cine()?;
    let mut cart = associate(&node, &[&object])?;
    let before = node.workers()?;
    let worker = *before.first().context("no worker runs")?;
    // Stopped, it can't finish the job before it is killed: the kill is in mid-job on any machine.
    signal(worker, Signal::STOP)?;
    store(&mut cart, &object)?;
    job_at_the_worker(&node)?;
    signal(worker, Signal::KILL)?;
    // The listener doesn't notice.
    dcmtk::echoscu(node.address(), &[])?.success()?;
    eventually("another worker", WORKER, || {
        Ok(Some(node.workers()?).filter(|now| !now.is_empty() && !now.contains(&worker)))
    })?;
    cart.release()?;
    reported_once(&pacs, &node, &study)?;
    let done = node.study(&study)?.context("the study is listed")?;
    let instance = Node::instance(&done, &object.sop_instance)?;
    assert_eq!(
        instance.get("state").and_then(Value::as_str),
        Some("analysed"),
        "{instance}"
    );
    let attempts = instance.get("attempts").and_then(Value::as_u64);
    assert!(
        attempts <= Some(1),
        "at most one attempt is charged: {instance}"
    );
    Ok(())
}

#[test]
fn what_was_acknowledged_before_the_node_was_killed_is_there_byte_for_byte() -> Result<()> {
    let pacs = Pacs::new()?;
    let mut node = Node::start(&Config::with_pacs(pacs.dicom_port(), ORTHANC))?;
    let pacs = pacs.start()?;
    let (object, study) = cine()?;
    let still = Object::read(&samples::pydicom("examples_rgb_color.dcm")?)?;
    let still_study = study_of("examples_rgb_color.dcm")?;
    let cut = Object::read(&samples::pydicom("examples_palette.dcm")?)?;

    let mut cart = associate(&node, &[&object, &still, &cut])?;
    store(&mut cart, &object)?;
    store(&mut cart, &still)?;
    let mut sending = cart.begin(&cut, &cut.sop_instance)?;
    sending.send(cut.data_set.len() / 2)?;
    node.kill()?;
    assert!(
        sending.response().is_err(),
        "an object that was cut is not acknowledged"
    );

    node.restart()?;
    reported_once(&pacs, &node, &study)?;
    node.study_done(&still_study, REPORT)?;
    for (study, sent) in [(&study, &object), (&still_study, &still)] {
        let stored = node.stored(study, &sent.sop_instance)?;
        ensure!(
            stored.len() == 1,
            "{} is stored as {stored:?}",
            sent.sop_instance
        );
        assert_eq!(Object::read(&stored[0])?, *sent);
    }
    assert_eq!(
        node.study(&study_of("examples_palette.dcm")?)?,
        None,
        "half an object is no study"
    );
    // The cart sends again what it got no answer for.
    let mut cart = associate(&node, &[&cut])?;
    store(&mut cart, &cut)?;
    cart.release()
}

#[test]
fn a_node_that_is_killed_again_and_again_reports_once() -> Result<()> {
    let pacs = Pacs::new()?;
    let mut node = Node::start(&Config::with_pacs(pacs.dicom_port(), ORTHANC))?;
    let pacs = pacs.start()?;
    let (object, study) = cine()?;
    let mut cart = associate(&node, &[&object])?;
    store(&mut cart, &object)?;
    drop(cart);
    // Right after the acknowledgement, and then with the study in whatever state the last life left it.
    for _ in 0..4 {
        node.kill()?;
        node.restart()?;
    }
    reported_once(&pacs, &node, &study)?;
    // Once more when all is done: nothing begins anew.
    node.kill()?;
    node.restart()?;
    reported_once(&pacs, &node, &study)
}

#[test]
fn a_queue_that_is_lost_costs_work_and_no_data() -> Result<()> {
    let pacs = Pacs::new()?;
    let mut node = Node::start(&Config::with_pacs(pacs.dicom_port(), ORTHANC))?;
    let (object, study) = cine()?;
    let mut cart = associate(&node, &[&object])?;
    store(&mut cart, &object)?;
    cart.release()?;
    node.kill()?;
    let queue = node.data_dir().join("queue");
    std::fs::remove_dir_all(&queue).with_context(|| format!("no {}", queue.display()))?;
    let pacs = pacs.start()?;
    node.restart()?;
    reported_once(&pacs, &node, &study)?;
    let stored = node.stored(&study, &object.sop_instance)?;
    ensure!(stored.len() == 1, "stored as {stored:?}");
    assert_eq!(Object::read(&stored[0])?, object);
    Ok(())
}

#[test]
fn a_pacs_that_comes_late_gets_its_report() -> Result<()> {
    let pacs = Pacs::new()?;
    let node = Node::start(&Config::with_pacs(pacs.dicom_port(), ORTHANC))?;
    let (object, study) = cine()?;
    let mut cart = associate(&node, &[&object])?;
    store(&mut cart, &object)?;
    cart.release()?;
    eventually("a delivery that failed", REPORT, || {
        let health = node.http().json("/api/v1/health")?;
        let failed = health
            .pointer("/counters/deliveries_failed")
            .and_then(Value::as_u64);
        Ok((failed >= Some(1)).then_some(()))
    })?;
    let waiting = node.study(&study)?.context("the study is listed")?;
    assert_eq!(waiting.get("done"), Some(&Value::Bool(false)), "{waiting}");
    let pacs = pacs.start()?;
    reported_once(&pacs, &node, &study)
}

#[test]
fn a_pacs_that_misbehaves_gets_its_report_in_the_end() -> Result<()> {
    let (bad, port) = dcmtk::StoreScp::start_anywhere(&["--abort-during"])?;
    let node = Node::start(&Config::with_pacs(port, dcmtk::STORE_SCP))?;
    let (object, study) = cine()?;
    let mut cart = associate(&node, &[&object])?;
    store(&mut cart, &object)?;
    cart.release()?;
    eventually("a delivery that failed", REPORT, || {
        let health = node.http().json("/api/v1/health")?;
        let failed = health
            .pointer("/counters/deliveries_failed")
            .and_then(Value::as_u64);
        Ok((failed >= Some(1)).then_some(()))
    })?;
    drop(bad);
    let good = dcmtk::StoreScp::start(port, &[])?;
    node.study_done(&study, REPORT)?;
    let received = good.received()?;
    ensure!(received.len() == 1, "the PACS received {received:?}");
    dcmtk::validate_report(&received[0])
}

#[test]
fn a_node_that_is_asked_to_end_drains_and_ends() -> Result<()> {
    let mut node = Node::start(&Config::default())?;
    let (object, study) = cine()?;
    let mut cart = associate(&node, &[&object])?;
    store(&mut cart, &object)?;
    cart.release()?;
    let status = node.terminate()?;
    assert_eq!(status.code(), Some(0), "{status}");
    node.restart()?;
    let stored = node.stored(&study, &object.sop_instance)?;
    ensure!(stored.len() == 1, "stored as {stored:?}");
    assert_eq!(Object::read(&stored[0])?, object);
    Ok(())
}

#[test]
fn a_node_that_is_stopping_says_so_and_asked_twice_waits_for_nothing() -> Result<()> {
    let mut node = Node::start(&Config::default())?;
    let (object, study) = cine()?;
    let mut cart = associate(&node, &[&object])?;
    let stopped = node.stop_worker()?;
    store(&mut cart, &object)?;
    cart.release()?;
    job_at_the_worker(&node)?;
    signal(node.pid()?, Signal::TERM)?;
    let patient = node.ended(Duration::from_secs(2));
    ensure!(patient.is_err(), "it left its job: {patient:?}");
    let proposals = [Proposal::for_object(&object)];
    match Cart::call(node.address(), AE_TITLE, CART, &proposals)? {
        Answer::Accepted(_) => bail!("it takes associations while it stops"),
        // Transient, by the presentation provider, local limit exceeded (PS3.8 table 9-21): the cart tries again.
        Answer::Rejected(why) => assert_eq!((why.result, why.source, why.reason), (2, 3, 2)),
    }
    signal(node.pid()?, Signal::TERM)?;
    let status = node.ended(AT_ONCE)?;
    assert_eq!(status.code(), Some(0), "{status}");
    drop(stopped);
    node.restart()?;
    let stored = node.stored(&study, &object.sop_instance)?;
    ensure!(stored.len() == 1, "stored as {stored:?}");
    assert_eq!(Object::read(&stored[0])?, object);
    Ok(())
}
