//! A PACS that sends back everything it gets: there is no loop, and one report.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use sonode_tests::node::{AE_TITLE, CART, Config, Node};
use sonode_tests::orthanc::{AE_TITLE as ORTHANC, Pacs};
use sonode_tests::wait::{eventually, throughout};
use sonode_tests::{cart, dcmtk, part10, python, samples};

const REPORT: Duration = Duration::from_mins(4);
/// Several quiet periods.
const SETTLED: Duration = Duration::from_secs(10);

#[test]
fn an_orthanc_that_forwards_everything_back_holds_one_report() -> Result<()> {
    let pacs = Pacs::new()?;
    let mut config = Config::with_pacs(pacs.dicom_port(), ORTHANC);
    config.routes[0].send = vec!["sr".to_owned(), "images".to_owned()];
    let node = Node::start(&config)?;
    let pacs = pacs.start_forwarding_to(node.address())?;
    let file = samples::pydicom(samples::CINE)?;
    let attributes = python::json("attributes.py", &[&file])?;
    let study = attributes
        .pointer("/0/study")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();

    // As in a hospital where the cart sends to both.
    pacs.upload(&file)?;
    dcmtk::storescu(node.address(), &["-xy"], std::slice::from_ref(&file))?.success()?;
    pacs.report(&study, REPORT)?;
    // The report itself comes back too.
    eventually("the PACS to have sent everything back", REPORT, || {
        Ok(pacs.is_idle()?.then_some(()))
    })?;
    let done = node.study_done(&study, REPORT)?;
    assert_eq!(
        done.get("revision").and_then(Value::as_u64),
        Some(1),
        "{done}"
    );

    throughout(
        "the PACS holds one report and the study stays done",
        SETTLED,
        || {
            let study_is_done = node.study(&study)?.is_some_and(|s| {
                s.get("done") == Some(&Value::Bool(true)) && s.get("revision") == Some(&1.into())
            });
            Ok(study_is_done && pacs.reports(&study)?.len() == 1)
        },
    )?;

    // And once more, by hand: the report, straight from the PACS, under the cart's own title.
    let held = pacs.report(&study, REPORT)?;
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("report.dcm");
    pacs.download(&held, &copy)?;
    let report = part10::Object::read(&copy)?;
    let proposals = [cart::Proposal::for_object(&report)];
    let mut cart = cart::Cart::associate(node.address(), AE_TITLE, CART, &proposals)?;
    ensure!(
        cart.store(&report)?.status == 0,
        "our own report is taken, not refused"
    );
    cart.release()?;
    throughout("the PACS holds one report", SETTLED, || {
        Ok(pacs.reports(&study)?.len() == 1)
    })
}
