//! The HTTP interface: probes, metrics, peers; and what a reload changes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use sonode_tests::cart::{Answer, Cart, Proposal, VERIFICATION};
use sonode_tests::dcmtk::{STORE_SCP, StoreScp};
use sonode_tests::node::{AE_TITLE, Config, Node, Peer};
use sonode_tests::part10::{IMPLICIT_LITTLE, Object};
use sonode_tests::samples;
use sonode_tests::wait::{eventually, free_port};

#[test]
fn the_probes_and_the_page_answer_and_what_is_not_there_is_not_found() -> Result<()> {
    let node = Node::start(&Config::default())?;
    for path in [
        "/healthz",
        "/readyz",
        "/",
        "/metrics",
        "/api/v1/studies",
        "/api/v1/peers",
    ] {
        assert_eq!(node.http().status(path), Some(200), "{path}");
    }
    for path in ["/api/v1/studies/1.2.3.4.5", "/no-such-path"] {
        assert_eq!(node.http().status(path), Some(404), "{path}");
    }
    let bad = node.http().status("/api/v1/studies/..%2f..%2fetc");
    assert!(matches!(bad, Some(400 | 404)), "{bad:?}");
    Ok(())
}

#[test]
fn metrics_count_what_happened_under_names_of_our_own() -> Result<()> {
    let node = Node::start(&Config::default())?;
    let object = Object::read(&samples::pydicom("examples_rgb_color.dcm")?)?;
    let proposals = [Proposal::for_object(&object)];
    let before: BTreeSet<String> = samples_of(&node)?.into_iter().collect();
    let mut cart = Cart::associate(node.address(), AE_TITLE, "CART1", &proposals)?;
    assert_eq!(cart.store(&object)?.status, 0);
    cart.release()?;
    eventually("the store to be counted", Duration::from_secs(10), || {
        let new: Vec<String> = samples_of(&node)?
            .into_iter()
            .filter(|line| !before.contains(line))
            .collect();
        Ok(new
            .iter()
            .any(|line| line.starts_with("sonode_stores_total"))
            .then_some(()))
    })
}

/// The lines of `/metrics` that carry a value. Each one has our prefix.
fn samples_of(node: &Node) -> Result<Vec<String>> {
    let text = node.http().text("/metrics")?;
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    for line in lines.clone() {
        assert!(line.starts_with("sonode_"), "{line}");
    }
    Ok(lines.map(str::to_owned).collect())
}

#[test]
fn a_peer_can_be_tested_over_the_api() -> Result<()> {
    let (_pacs, port) = StoreScp::start_anywhere(&[])?;
    let mut config = Config::with_pacs(port, STORE_SCP);
    config
        .peers
        .push(Peer::on_port("gone", "GONE", free_port()?));
    let node = Node::start(&config)?;
    let peers = node.http().json("/api/v1/peers")?;
    let names: Vec<&str> = peers
        .as_array()
        .context("not a list")?
        .iter()
        .filter_map(|p| p.get("name")?.as_str())
        .collect();
    assert_eq!(names, ["cart-1", "pacs", "gone"]);
    let echo = |name: &str| node.http().post(&format!("/api/v1/peers/{name}/echo"), "");
    assert_eq!(echo("pacs")?.get("ok"), Some(&Value::Bool(true)));
    let gone = echo("gone")?;
    assert_eq!(gone.get("ok"), Some(&Value::Bool(false)));
    assert!(
        gone.get("error")
            .and_then(Value::as_str)
            .is_some_and(|why| !why.is_empty()),
        "{gone}"
    );
    Ok(())
}

#[test]
fn a_reload_lets_a_new_cart_in_and_a_broken_one_changes_nothing() -> Result<()> {
    let mut config = Config::default();
    let node = Node::start(&config)?;
    let proposals = [Proposal::new(VERIFICATION, &[IMPLICIT_LITTLE])];
    let accepts = |calling: &str| -> Result<bool> {
        let answer = Cart::call(node.address(), AE_TITLE, calling, &proposals)?;
        Ok(matches!(answer, Answer::Accepted(_)))
    };
    assert!(!accepts("CART2")?);
    config.peers.push(Peer::caller("cart-2", "CART2"));
    node.reload(&config)?;
    eventually("the new cart to be known", Duration::from_secs(20), || {
        Ok(accepts("CART2")?.then_some(()))
    })?;
    // A title that is too long: the old configuration stays.
    let mut broken = Config::default();
    broken
        .peers
        .push(Peer::caller("cart-3", "A TITLE THAT IS MUCH TOO LONG"));
    node.reload(&broken)?;
    eventually("the complaint", Duration::from_secs(20), || {
        Ok(node.log().contains("peer[1].ae_title").then_some(()))
    })?;
    assert!(accepts("CART2")?);
    Ok(())
}
