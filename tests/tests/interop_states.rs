//! The acceptor's column of PS3.8 table 9-10, state by state, driven by a raw peer whose PDUs pynetdicom writes: the cases of
//! pynetdicom's own state machine tests, from the other side of the wire.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sonode_tests::node::{Config, Node};
use sonode_tests::wait::eventually;
use sonode_tests::{dcmtk, python, samples};

/// AA-1: an A-ABORT whose source is the service user.
const AA_1: &[&str] = &["abort 0 0"];
/// AA-8 for a PDU that the state doesn't expect: from the service provider, unexpected PDU.
const UNEXPECTED: &[&str] = &["abort 2 2"];
/// AA-8 for a PDU of no known type.
const UNRECOGNIZED: &[&str] = &["abort 2 1"];
/// AA-8 for a PDU that can't be read.
const INVALID: &[&str] = &["abort 2 6"];
/// AA-2, AA-3, AA-4, AA-5, AR-5: nothing is said. AA-6: what comes is ignored.
const SILENCE: &[&str] = &[];

/// Each state, what the peer does in it, and what it hears. Every connection is closed by the node then, at the latest
/// when ARTIM has run out.
///
/// Not reached from the wire: Sta3, since the node decides at once, so that what follows the request is met in Sta6; Sta7 to
/// Sta12, since the node ends no association by A-RELEASE.
const CASES: &[(&str, &[&str])] = &[
    ("sta2:associate-ac", AA_1),
    ("sta2:associate-rj", AA_1),
    ("sta2:data", AA_1),
    ("sta2:release-rq", AA_1),
    ("sta2:release-rp", AA_1),
    ("sta2:unknown", AA_1),
    ("sta2:broken-rq", AA_1),
    ("sta2:abort", SILENCE),
    ("sta2:close", SILENCE),
    ("sta2:nothing", SILENCE),
    ("sta6:associate-rq", UNEXPECTED),
    ("sta6:associate-ac", UNEXPECTED),
    ("sta6:associate-rj", UNEXPECTED),
    ("sta6:release-rp", UNEXPECTED),
    ("sta6:unknown", UNRECOGNIZED),
    ("sta6:broken-data", INVALID),
    ("sta6:release-rq", &["release-rp"]),
    ("sta6:abort", SILENCE),
    ("sta6:close", SILENCE),
    ("sta13:associate-ac", SILENCE),
    ("sta13:associate-rj", SILENCE),
    ("sta13:data", SILENCE),
    ("sta13:release-rq", SILENCE),
    ("sta13:release-rp", SILENCE),
    ("sta13:abort", SILENCE),
    ("sta13:close", SILENCE),
    ("sta13:nothing", SILENCE),
    // AA-7 says another A-ABORT; the node has spoken its last word and lets nobody make it talk.
    ("sta13:associate-rq", SILENCE),
    ("sta13:unknown", SILENCE),
];

fn words(list: Option<&Value>) -> Vec<&str> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).collect()
}

#[test]
fn every_state_answers_as_the_standard_says_and_the_node_goes_on() -> Result<()> {
    let config = Config {
        artim_s: 1,
        ..Config::default()
    };
    let node = Node::start(&config)?;
    let mut arguments = vec![node.address().port().to_string()];
    arguments.extend(CASES.iter().map(|(case, _)| (*case).to_owned()));
    let played = python::json("states.py", &arguments)?;
    let played = played.as_array().context("no list")?;
    ensure!(played.len() == CASES.len());
    for ((case, expected), got) in CASES.iter().zip(played) {
        ensure!(
            words(got.get("answers")) == *expected,
            "{case}: {got}, expected {expected:?}"
        );
    }
    dcmtk::echoscu(node.address(), &[])?.success()?;
    let file = samples::pydicom("examples_rgb_color.dcm")?;
    dcmtk::storescu(node.address(), &[], &[file])?.success()?;
    eventually("the object", Duration::from_secs(30), || {
        let stored = node.all_stored()?;
        Ok((stored.len() == 1).then_some(()))
    })
}
