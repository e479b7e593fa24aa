//! A disk that is too full or fails: who is refused, what the cart is told, and what IT sees of it.

use std::fs;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;
use sonode_tests::cart::{Answer, Cart, Proposal, VERIFICATION};
use sonode_tests::node::{AE_TITLE, CART, Config, Node};
use sonode_tests::part10::{IMPLICIT_LITTLE, Object};
use sonode_tests::samples;
use sonode_tests::wait::eventually;

/// From a node's start to its page.
const PAGE: Duration = Duration::from_secs(30);
const SAMPLE: &str = "examples_rgb_color.dcm";
/// Refused: out of resources (PS3.4 table B.2-1).
const OUT_OF_RESOURCES: u16 = 0xA700;

#[test]
fn above_the_second_mark_associations_are_refused_for_the_moment_and_the_node_says_so() -> Result<()>
{
    // Every disk is fuller than that, or has less than two objects' room below the mark.
    let node = Node::start_unready(&Config {
        storage_percent: 1,
        ..Config::default()
    })?;
    let http = node.http();
    // While its worker loads it isn't ready for that reason too.
    eventually("want of room to be the only problem", PAGE, || {
        let Ok(health) = http.json("/api/v1/health") else {
            return Ok(None);
        };
        let problems = health["problems"].as_array();
        let alone = problems.filter(|problems| problems.len() == 1);
        let said = alone.map(|problems| problems[0].to_string());
        Ok(said.filter(|said| said.contains("storage.refuse_above_percent: make room")))
    })?;
    assert_eq!(http.status("/readyz"), Some(503));
    let proposals = [Proposal::new(VERIFICATION, &[IMPLICIT_LITTLE])];
    match Cart::call(node.address(), AE_TITLE, CART, &proposals)? {
        Answer::Accepted(_) => bail!("it was accepted"),
        // Transient, by the presentation provider, local limit exceeded (PS3.8 table 9-21).
        Answer::Rejected(why) => assert_eq!((why.result, why.source, why.reason), (2, 3, 2)),
    }
    assert!(node.log().contains("make room"));
    Ok(())
}

#[test]
fn what_was_refused_is_listed_until_it_arrives() -> Result<()> {
    let mut node = Node::start(&Config {
        quiet_period_s: 3600,
        ..Config::default()
    })?;
    let object = Object::read(&samples::pydicom(SAMPLE)?)?;
    let proposals = [Proposal::for_object(&object)];
    let mut cart = Cart::associate(node.address(), AE_TITLE, CART, &proposals)?;
    let (incoming, aside) = (node.data_dir().join("incoming"), node.data_dir().join("x"));
    fs::rename(&incoming, &aside)?;
    for _ in 0..2 {
        assert_eq!(cart.store(&object)?.status, OUT_OF_RESOURCES);
    }
    let refused = |node: &Node| node.http().json("/api/v1/refused");
    let listed = refused(&node)?;
    let of = |key: &str| listed.pointer(&format!("/0/{key}")).cloned();
    assert_eq!(of("times"), Some(2.into()));
    assert_eq!(of("peer"), Some("cart-1".into()));
    assert_eq!(of("status"), Some("A700H (out of resources)".into()));
    assert!(of("study_instance_uid").is_some_and(|study| study.is_string()));
    let metrics = node.http().text("/metrics")?;
    assert!(metrics.contains("sonode_refused_instances 1"), "{metrics}");
    let told = node.cli(&["studies", "list"])?.stdout;
    assert!(told.contains("has to send it again"), "{told}");
    fs::rename(&aside, &incoming)?;
    node.kill()?;
    node.restart()?;
    assert_eq!(refused(&node)?, listed);
    let mut cart = Cart::associate(node.address(), AE_TITLE, CART, &proposals)?;
    assert_eq!(cart.store(&object)?.status, 0);
    assert_eq!(refused(&node)?, Value::Array(Vec::new()));
    cart.release()
}
