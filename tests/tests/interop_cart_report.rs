//! A cart sends its own report with its images: ours names its values, cites it, and says where the two disagree.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use sonode_tests::node::{Config, Node};
use sonode_tests::orthanc::{AE_TITLE as ORTHANC, Orthanc, Pacs};
use sonode_tests::{dcmtk, python, samples};

const REPORT: Duration = Duration::from_mins(4);

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(name)
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("no {pointer} in {value}"))
}

/// Sends a study with a cart's report of this template; what ours cites.
fn reported(node: &Node, pacs: &Orthanc, seed: u64, template: &str) -> Result<(Value, String)> {
    let folder = tempfile::tempdir()?;
    let phantom = samples::phantom(seed, folder.path())?;
    let cart = path(folder.path(), "cart.dcm");
    let image = phantom.files.first().context("no image")?;
    let arguments = [image.as_path(), cart.as_path(), Path::new(template)];
    python::run("cart_report.py", &arguments)?.success()?;
    let said = python::json("attributes.py", &[image, &cart])?;
    let study = text(&said, "/0/study")?.to_owned();
    let cart_uid = text(&said, "/1/sop_instance")?.to_owned();
    let mut files = phantom.files.clone();
    files.push(cart);
    dcmtk::dcmsend(node.address(), &files)?.success()?;
    let held = pacs.report(&study, REPORT)?;
    node.study_done(&study, REPORT)?;
    let file = path(folder.path(), "report.dcm");
    pacs.download(&held, &file)?;
    dcmtk::validate_report(&file)?;
    let cited = python::json("cited.py", &[&file])?;
    Ok((cited, cart_uid))
}

/// The comment that holds these words, and what it cites.
fn comment(cited: &Value, words: &str) -> Result<Value> {
    let comments = cited.get("comments").and_then(Value::as_array);
    let found = comments.into_iter().flatten().find(|comment| {
        let text = comment.get("text").and_then(Value::as_str);
        text.is_some_and(|text| text.contains(words))
    });
    found
        .cloned()
        .with_context(|| format!("no {words:?} in {cited}"))
}

#[test]
fn a_carts_report_is_read_cited_and_compared_in_every_template() -> Result<()> {
    let pacs = Pacs::new()?;
    let config = Config::with_pacs(pacs.dicom_port(), ORTHANC);
    let (pacs, node) = (pacs.start()?, Node::start(&config)?);
    for (seed, template) in [(11, "5200"), (12, "5300"), (13, "1500")] {
        let (cited, cart) = reported(&node, &pacs, seed, template)?;
        let evidence = cited.get("evidence").and_then(Value::as_array);
        let is_evidence = evidence.is_some_and(|list| list.contains(&cart.as_str().into()));
        assert!(is_evidence, "{template}: {cited}");
        let own = comment(&cited, "own report (GE Vingmed")?;
        assert!(text(&own, "/text")?.contains("LVEF 31.5 %"), "{own}");
        assert_eq!(text(&own, "/cited/0")?, cart);
        // The phantoms' ventricles are healthy, this cart's isn't.
        comment(&cited, "cart-ef-agreement")?;
        let index = comment(&cited, "body surface area 1.81 m2");
        assert_eq!(index.is_ok(), template != "1500", "{template}: {cited}");
    }
    Ok(())
}
