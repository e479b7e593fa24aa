//! Storage commitment for carts: they are told what the archive has committed itself to, and nothing else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sonode_tests::node::{CART, Config, Node, Peer, Route};
use sonode_tests::orthanc::{AE_TITLE as ORTHANC, Pacs};
use sonode_tests::python::{CommittingCart, CommittingPacs};
use sonode_tests::wait::{eventually, free_port};
use sonode_tests::{python, samples};

const ANSWER: Duration = Duration::from_mins(3);
const RELAY: &str = "commitment = \"relay\"";

/// A cart that may ask and one that may not; the images go to one archive.
fn config(archive: u16, cart: u16) -> Config {
    let mut config = Config {
        // Studies stay open: commitment doesn't wait for them.
        quiet_period_s: 3600,
        ..Config::default()
    };
    config.peers = vec![
        Peer {
            more: RELAY.to_owned(),
            ..Peer::on_port("cart-1", CART, cart)
        },
        Peer::caller("cart-2", "CART2"),
        Peer::on_port("archive", "SAME", archive),
    ];
    config.routes.push(Route {
        send: vec!["images".to_owned()],
        ..Route::reports_to("archive")
    });
    config
}

fn sop_instance(file: &std::path::Path) -> Result<String> {
    let list = python::json("attributes.py", &[file])?;
    let uid = list.pointer("/0/sop_instance").and_then(Value::as_str);
    Ok(uid.context("no SOP Instance UID")?.to_owned())
}

#[test]
fn a_cart_is_told_on_its_association_or_on_a_new_one_and_orthanc_too() -> Result<()> {
    let (archive_port, cart_port) = (free_port()?, free_port()?);
    let orthanc = Pacs::new()?;
    let mut config = config(archive_port, cart_port);
    config.peers.push(Peer {
        more: RELAY.to_owned(),
        ..Peer::on_port("orthanc", ORTHANC, orthanc.dicom_port())
    });
    let node = Node::start(&config)?;
    let _archive = CommittingPacs::start(archive_port, node.address(), "same")?;
    let orthanc = orthanc.start_knowing(node.address())?;
    let image = samples::pydicom("examples_rgb_color.dcm")?;
    let uid = sop_instance(&image)?;

    // Who isn't configured for it has no context, and its image is taken all the same.
    let stranger = CommittingCart::start(&node, cart_port, "CART2", "stay", "", &[&image])?;
    let events = stranger.until("refused", ANSWER)?;
    ensure!(events[0]["statuses"] == json!([0]), "{events:?}");

    for mode in ["leave", "roles"] {
        let cart = CommittingCart::start(&node, cart_port, CART, mode, "", &[&image])?;
        let events = cart.until("told", ANSWER)?;
        let told = events.last().context("nothing")?;
        ensure!(told["committed"] == json!([uid]), "{mode}: {told}");
        ensure!(told["kind"] == 1 && told["failed"] == json!([]), "{told}");
        ensure!(told["retrieve"] == "SAME", "{told}");
        ensure!(told["same_association"] == false, "{mode}: {told}");
    }

    let cart = CommittingCart::start(&node, cart_port, CART, "stay", "1.2.3.4.5", &[&image])?;
    let events = cart.until("told", ANSWER)?;
    let (asked, told) = (&events[1], events.last().context("nothing")?);
    ensure!(told["same_association"] == true, "{told}");
    ensure!(told["transaction"] == asked["transaction"], "{told}");
    ensure!(
        told["kind"] == 2 && told["committed"] == json!([uid]),
        "{told}"
    );
    ensure!(told["failed"] == json!([["1.2.3.4.5", 0x0112]]), "{told}");

    // Orthanc as the cart: it sends, asks, and is called by its own AE title.
    let other = samples::pydicom("examples_ybr_color.dcm")?;
    orthanc.upload(&other)?;
    let transaction = orthanc.store_with_commitment("sonode", &sop_instance(&other)?)?;
    let report = eventually("Orthanc to be told", ANSWER, || {
        let report = orthanc
            .http()
            .json(&format!("/storage-commitment/{transaction}"))?;
        Ok((report["Status"] != "Pending").then_some(report))
    })?;
    ensure!(report["Status"] == "Success", "{report}");
    Ok(())
}

#[test]
fn what_a_cart_asked_for_outlives_the_node_and_waits_for_the_archive() -> Result<()> {
    let (archive_port, cart_port) = (free_port()?, free_port()?);
    let mut node = Node::start(&config(archive_port, cart_port))?;
    let image = samples::pydicom("examples_rgb_color.dcm")?;
    let cart = CommittingCart::start(&node, cart_port, CART, "leave", "", &[&image])?;
    let events = cart.until("asked", ANSWER)?;
    ensure!(events.last().context("nothing")?["status"] == 0);
    node.kill()?;
    node.restart()?;
    let _archive = CommittingPacs::start(archive_port, node.address(), "same")?;
    let events = cart.until("told", ANSWER)?;
    let told = events.last().context("nothing")?;
    ensure!(
        told["committed"] == json!([sop_instance(&image)?]),
        "{told}"
    );
    Ok(())
}
