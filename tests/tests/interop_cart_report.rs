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

/// What came of a study to which a cart had added its own report.
struct Cited {
    /// Evidence and comments of ours.
    said: Value,
    /// The cart's report.
    cart: String,
    /// Its ejection fraction.
    lvef: String,
}

/// Sends a study with a cart's report of this template, whose ejection fraction is far from the truth.
fn reported(node: &Node, pacs: &Orthanc, seed: u64, template: &str) -> Result<Cited> {
    let folder = tempfile::tempdir()?;
    let phantom = samples::phantom(seed, folder.path())?;
    let cart = path(folder.path(), "cart.dcm");
    let image = phantom.files.first().context("no image")?;
    let list = python::json("attributes.py", &[image])?;
    let truth = phantom.true_lvef(text(&list, "/0/sop_instance")?)?;
    let apart = if truth > 50.0 { -25.0 } else { 25.0 };
    let lvef = format!("{:.1}", truth + apart);
    let [template, value] = [Path::new(template), Path::new(&lvef)];
    let arguments = [image.as_path(), cart.as_path(), template, value];
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
    Ok(Cited {
        said: python::json("cited.py", &[&file])?,
        cart: cart_uid,
        lvef,
    })
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
        let Cited {
            said: cited,
            cart,
            lvef,
        } = reported(&node, &pacs, seed, template)?;
        let evidence = cited.get("evidence").and_then(Value::as_array);
        let is_evidence = evidence.is_some_and(|list| list.contains(&cart.as_str().into()));
        assert!(is_evidence, "{template}: {cited}");
        let own = comment(&cited, "own report (GE Vingmed")?;
        let value = format!("LVEF {lvef} %");
        assert!(text(&own, "/text")?.contains(&value), "{own}");
        assert_eq!(text(&own, "/cited/0")?, cart);
        comment(&cited, "cart-ef-agreement")?;
        let index = comment(&cited, "body surface area 1.81 m2");
        assert_eq!(index.is_ok(), template != "1500", "{template}: {cited}");
    }
    Ok(())
}
