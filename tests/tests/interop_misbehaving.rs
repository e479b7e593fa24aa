//! Receivers that misbehave in every way that DCMTK's storescp can: what they are owed arrives in the end, once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sonode_tests::dcmtk::StoreScp;
use sonode_tests::node::{Config, Node, Peer, Route};
use sonode_tests::part10::Object;
use sonode_tests::wait::{eventually, free_port};
use sonode_tests::{dcmtk, python, samples};

const SETTLED: Duration = Duration::from_mins(4);

/// A receiver, how it misbehaves, and whether nothing gets through as long as it does.
const CASES: [(&str, &[&str], bool); 6] = [
    ("refusing", &["--refuse"], true),
    ("aborting-after", &["--abort-after"], true),
    ("aborting-during", &["--abort-during"], true),
    // It rejects who doesn't name an implementation; we do.
    ("rejecting", &["--reject"], false),
    ("sleeping-after", &["--sleep-after", "2"], false),
    ("sleeping-during", &["--sleep-during", "1"], false),
];

#[test]
fn what_a_misbehaving_receiver_is_owed_arrives_when_it_behaves_and_harms_no_other() -> Result<()> {
    let mut config = Config::default();
    let mut receivers = Vec::new();
    for (name, arguments, _) in CASES {
        let port = free_port()?;
        let title: String = name.to_uppercase().chars().take(16).collect();
        config.peers.push(Peer::on_port(name, &title, port));
        config.routes.push(Route {
            send: vec!["sr".to_owned(), "images".to_owned()],
            report_unmeasured: Some("always".to_owned()),
            ..Route::reports_to(name)
        });
        receivers.push((port, Some(StoreScp::start(port, arguments)?)));
    }
    let node = Node::start(&config)?;
    let file = samples::pydicom("examples_rgb_color.dcm")?;
    let list = python::json("attributes.py", &[&file])?;
    let study = list.pointer("/0/study").and_then(Value::as_str);
    let study = study.context("no study")?;
    dcmtk::storescu(node.address(), &[], &[file])?.success()?;

    eventually("every receiver to show what it is like", SETTLED, || {
        let detail = node.study(study)?.unwrap_or_default();
        let is_shown = |(name, _, is_bad): &(&str, &[&str], bool)| {
            let found = states(&detail, name);
            let as_expected = |(state, tries): &(String, usize)| {
                if *is_bad {
                    state == "due" && *tries > 0
                } else {
                    state == "sent"
                }
            };
            found.len() == 2 && found.iter().all(as_expected)
        };
        Ok(CASES.iter().all(is_shown).then_some(()))
    })?;
    for ((_, _, is_bad), (port, scp)) in CASES.iter().zip(&mut receivers) {
        if *is_bad {
            drop(scp.take());
            *scp = Some(StoreScp::start(*port, &[])?);
        }
    }
    node.study_done(study, SETTLED)?;
    let mut reports = Vec::new();
    for ((name, ..), (_, scp)) in CASES.iter().zip(&receivers) {
        let received = scp.as_ref().context("no receiver")?.received()?;
        ensure!(received.len() == 2, "{name} received {received:?}");
        for file in received {
            let object = Object::read(&file)?;
            if object.sop_class.contains(".88.") {
                dcmtk::validate_report(&file)?;
                reports.push(object);
            }
        }
    }
    ensure!(reports.len() == CASES.len());
    // One UID has one content, wherever and however often it was sent.
    let first = &reports[0];
    ensure!(reports.iter().all(|report| {
        report.sop_instance == first.sop_instance && report.data_set == first.data_set
    }));
    Ok(())
}

/// State and number of answers of each delivery to a peer.
fn states(study: &Value, peer: &str) -> Vec<(String, usize)> {
    let list = study["delivery_list"].as_array().into_iter().flatten();
    list.filter(|delivery| delivery["peer"] == peer)
        .map(|delivery| {
            let state = delivery["state"].as_str().unwrap_or_default().to_owned();
            (state, delivery["answers"].as_array().map_or(0, Vec::len))
        })
        .collect()
}
