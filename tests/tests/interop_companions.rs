//! What goes beside a report reaches the PACS with it, once, in its own series, readable by others.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sonode_tests::node::{Config, Node};
use sonode_tests::orthanc::{AE_TITLE as ORTHANC, Held, Orthanc, Pacs};
use sonode_tests::wait::{eventually, throughout};
use sonode_tests::{dcmtk, python, samples};

const REPORT: Duration = Duration::from_mins(4);
/// A heart whose two planes agree well enough to be combined.
const BIPLANE_SEED: u64 = 13;
/// Several quiet periods.
const SETTLED: Duration = Duration::from_secs(8);

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// What pydicom makes of an instance in the PACS.
fn read(pacs: &Orthanc, held: &Held, folder: &Path) -> Result<Value> {
    let file = folder.join("companion.dcm");
    pacs.download(held, &file)?;
    let errors = dcmtk::dciodvfy(&file)?;
    ensure!(errors.is_empty(), "{errors:?}");
    python::json("read_companion.py", &[&file])
}

fn text<'a>(said: &'a Value, name: &str) -> Result<&'a str> {
    said.get(name)
        .and_then(Value::as_str)
        .with_context(|| format!("no {name} in {said}"))
}

/// The frames' spreads of brightness: a blank one has none.
fn deviations(said: &Value) -> Vec<f64> {
    let list = said.get("deviation").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect()
}

#[test]
fn a_pacs_gets_report_page_cine_and_document_once_and_their_echo_changes_nothing() -> Result<()> {
    let pacs = Pacs::new()?;
    let mut config = Config::with_pacs(pacs.dicom_port(), ORTHANC);
    config.routes[0].send = words(&["sr", "images"]);
    config.routes[0].more =
        "companions = [\"secondary-capture\", \"overlay-cine\", \"pdf\"]\nlanguage = \"zh\"";
    let node = Node::start(&config)?;
    // Everything that it gets comes back to the node.
    let pacs = pacs.start_forwarding_to(node.address())?;
    let folder = tempfile::tempdir()?;
    let phantom = samples::phantom(11, folder.path())?;
    let list = python::json("attributes.py", &phantom.files)?;
    let study = list
        .pointer("/0/study")
        .and_then(Value::as_str)
        .context("no study")?
        .to_owned();
    dcmtk::dcmsend(node.address(), &phantom.files)?.success()?;

    pacs.report(&study, REPORT)?;
    let done = node.study_done(&study, REPORT)?;
    eventually("the PACS to have sent everything back", REPORT, || {
        Ok(pacs.is_idle()?.then_some(()))
    })?;
    let made = |held: Vec<Held>| -> Vec<Held> {
        let sent = phantom.files.len();
        // What the cart sent lies there too.
        let own = held
            .into_iter()
            .filter(|one| !list.to_string().contains(&one.sop_instance_uid));
        let own: Vec<Held> = own.collect();
        assert!(sent > 0);
        own
    };
    let own = made(pacs.holds(&study)?);
    assert_eq!(own.len(), 4, "{own:?} {done}");
    let mut series = BTreeSet::new();
    let mut classes = BTreeSet::new();
    for held in own.iter().filter(|held| held.modality != "SR") {
        let said = read(&pacs, held, folder.path())?;
        assert_eq!(text(&said, "study")?, study);
        assert_eq!(text(&said, "burned_in")?, "YES");
        series.insert(text(&said, "series")?.to_owned());
        let class = text(&said, "sop_class")?.to_owned();
        match class.as_str() {
            "1.2.840.10008.5.1.4.1.1.7" => {
                assert_eq!(
                    said.pointer("/shape"),
                    Some(&serde_json::json!([1, 960, 1280, 3]))
                );
            }
            "1.2.840.10008.5.1.4.1.1.7.4" => {
                assert_eq!(text(&said, "transfer_syntax")?, "1.2.840.10008.1.2.4.50");
                assert!(deviations(&said).len() > 20, "{said}");
            }
            _ => {
                assert_eq!(text(&said, "mime")?, "application/pdf");
                assert_eq!(text(&said, "head")?, "%PDF-");
            }
        }
        assert!(
            deviations(&said).iter().all(|deviation| *deviation > 10.0),
            "{said}"
        );
        let sources = said.get("sources").and_then(Value::as_array);
        assert!(sources.is_some_and(|sources| !sources.is_empty()), "{said}");
        classes.insert(class);
    }
    assert_eq!((series.len(), classes.len()), (3, 3));

    throughout("nothing more is made of what came back", SETTLED, || {
        let is_quiet = node.study(&study)?.is_some_and(|study| {
            study.get("done") == Some(&Value::Bool(true))
                && study.get("revision") == Some(&1.into())
        });
        Ok(is_quiet && made(pacs.holds(&study)?).len() == 4)
    })
}

#[test]
fn a_biplane_measurement_comes_with_a_cine_of_each_plane() -> Result<()> {
    let pacs = Pacs::new()?;
    let mut config = Config::with_pacs(pacs.dicom_port(), ORTHANC);
    config.routes[0].more = "companions = [\"overlay-cine\"]";
    let node = Node::start(&config)?;
    let pacs = pacs.start()?;
    let folder = tempfile::tempdir()?;
    let phantom = samples::phantom_of("a4c,a2c", BIPLANE_SEED, folder.path())?;
    let list = python::json("attributes.py", &phantom.files)?;
    let study = list
        .pointer("/0/study")
        .and_then(Value::as_str)
        .context("no study")?
        .to_owned();
    dcmtk::dcmsend(node.address(), &phantom.files)?.success()?;
    pacs.report(&study, REPORT)?;
    node.study_done(&study, REPORT)?;
    let mut shown = BTreeSet::new();
    let mut series = BTreeSet::new();
    for held in pacs.holds(&study)? {
        if held.modality == "SR" {
            continue;
        }
        let said = read(&pacs, &held, folder.path())?;
        series.insert(text(&said, "series")?.to_owned());
        let sources = said.get("sources").and_then(Value::as_array);
        let [source] = sources.map_or(&[][..], Vec::as_slice) else {
            anyhow::bail!("not of one clip: {said}");
        };
        shown.insert(source.to_string());
    }
    // Two cines, each of another clip, in one series.
    assert_eq!((shown.len(), series.len()), (2, 1), "{shown:?}");
    Ok(())
}

#[test]
fn a_route_without_companions_sends_the_report_alone() -> Result<()> {
    let pacs = Pacs::new()?;
    let config = Config::with_pacs(pacs.dicom_port(), ORTHANC);
    let node = Node::start(&config)?;
    let pacs = pacs.start()?;
    let file = samples::pydicom(samples::CINE)?;
    let list = python::json("attributes.py", &[&file])?;
    let study = list
        .pointer("/0/study")
        .and_then(Value::as_str)
        .context("no study")?;
    dcmtk::storescu(node.address(), &["-xy"], std::slice::from_ref(&file))?.success()?;
    pacs.report(study, REPORT)?;
    node.study_done(study, REPORT)?;
    assert_eq!(pacs.holds(study)?.len(), 1);
    Ok(())
}
