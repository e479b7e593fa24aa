//! What a cart says beside its images: that an examination is over (MPPS), and that images are not to be used (IOCM).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sonode_tests::node::{CART, Config, Node, Peer, Route};
use sonode_tests::wait::{eventually, free_port};
use sonode_tests::{dcmtk, python, samples};

const SETTLED: Duration = Duration::from_mins(4);

fn study_of(file: &std::path::Path) -> Result<String> {
    let list = python::json("attributes.py", &[file])?;
    let study = list.pointer("/0/study").and_then(Value::as_str);
    Ok(study.context("no study")?.to_owned())
}

#[test]
fn a_completed_step_closes_its_study_after_a_minute() -> Result<()> {
    let mut config = Config {
        quiet_period_s: 3600,
        ..Config::default()
    };
    config.peers[0].more = "mpps = true".to_owned();
    config.peers.push(Peer::caller("cart-2", "CART2"));
    let mut node = Node::start(&config)?;
    let file = samples::pydicom("examples_rgb_color.dcm")?;
    let path = file.to_str().context("a path")?;
    let port = node.address().port().to_string();
    let refused = python::json("mpps_cart.py", &[&port, "CART2", path])?;
    ensure!(refused == json!({"accepted": false}), "{refused}");
    let said = python::json("mpps_cart.py", &[&port, CART, path])?;
    let expected = json!({
        "accepted": true, "created": 0, "again": 0x0111, "stored": [0], "set": 0, "late": 0x0110, "unknown": 0x0112
    });
    ensure!(said == expected, "{said}");
    // What it said is on the disk.
    node.kill()?;
    node.restart()?;
    let study = study_of(&file)?;
    eventually("the study to close", SETTLED, || {
        let detail = node.study(&study)?.unwrap_or_default();
        Ok((detail["state"] != "receiving").then_some(()))
    })?;
    node.study_done(&study, SETTLED)?;
    Ok(())
}

#[test]
fn a_rejection_note_stops_its_study() -> Result<()> {
    let port = free_port()?;
    let mut config = Config::default();
    config
        .peers
        .push(Peer::on_port("pacs", dcmtk::STORE_SCP, port));
    config.routes.push(Route {
        send: vec!["sr".to_owned(), "images".to_owned()],
        report_unmeasured: Some("always".to_owned()),
        ..Route::reports_to("pacs")
    });
    let node = Node::start(&config)?;
    let file = samples::pydicom("examples_rgb_color.dcm")?;
    let study = study_of(&file)?;
    let folder = tempfile::tempdir()?;
    let rejection = folder.path().join("note.dcm");
    let arguments = [
        file.to_str().context("a path")?,
        rejection.to_str().context("a path")?,
        "113001",
    ];
    python::run("rejection_note.py", &arguments)?.success()?;
    // Nobody listens at the PACS yet, so that everything is still owed.
    dcmtk::dcmsend(node.address(), &[file, rejection])?.success()?;
    let held = eventually("the study to be held", SETTLED, || {
        let detail = node.study(&study)?.unwrap_or_default();
        Ok((detail["state"] == "held").then_some(detail))
    })?;
    let reason = held["reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("113001"), "{reason}");
    let health = node.http().json("/api/v1/health")?;
    ensure!(health["alarms"].to_string().contains("113001"), "{health}");
    let pacs = dcmtk::StoreScp::start(port, &[])?;
    node.cli(&["studies", "close", &study])?.success()?;
    node.study_done(&study, SETTLED)?;
    // The image, the note and the report: after the operator's word, and not before.
    ensure!(pacs.received()?.len() == 3, "{:?}", pacs.received()?);
    Ok(())
}
