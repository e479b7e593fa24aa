//! Storage commitment of what the node sent, with PACSs that answer in every way that PACSs have.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sonode_tests::node::{Config, Node, Peer, Route};
use sonode_tests::orthanc::{AE_TITLE as ORTHANC, Pacs};
use sonode_tests::python::CommittingPacs;
use sonode_tests::wait::{eventually, free_port};
use sonode_tests::{dcmtk, python, samples};

const SETTLED: Duration = Duration::from_mins(4);

/// A PACS, how it behaves, how its deliveries end and by what they are shown.
const CASES: [(&str, &str, &str); 6] = [
    ("late", "confirmed", "storage commitment"),
    ("same", "confirmed", "storage commitment"),
    ("refusing", "confirmed", "found by C-FIND"),
    ("silent", "confirmed", "found by C-FIND"),
    (
        "forgetful",
        "unconfirmed",
        "unconfirmed: it doesn't find it",
    ),
    ("denying", "confirmed", "storage commitment"),
];

fn route(to: &str) -> Route {
    Route {
        send: vec!["sr".to_owned(), "images".to_owned()],
        report_unmeasured: Some("always".to_owned()),
        more: "commit = true",
        ..Route::reports_to(to)
    }
}

#[test]
fn each_pacs_shows_in_its_own_way_that_it_keeps_what_it_took() -> Result<()> {
    let orthanc = Pacs::new()?;
    let mut config = Config::default();
    let mut ports = Vec::new();
    for (name, ..) in CASES {
        let port = free_port()?;
        let patience = if name == "silent" || name == "forgetful" {
            8
        } else {
            600
        };
        let alias = if name == "late" {
            "aliases = [\"ARCHIVE\"]"
        } else {
            ""
        };
        config.peers.push(Peer {
            more: format!("commit_timeout_s = {patience}\n{alias}"),
            ..Peer::on_port(name, &name.to_uppercase(), port)
        });
        config.routes.push(route(name));
        ports.push(port);
    }
    config
        .peers
        .push(Peer::on_port("orthanc", ORTHANC, orthanc.dicom_port()));
    config.routes.push(route("orthanc"));
    let node = Node::start(&config)?;
    let orthanc = orthanc.start_knowing(node.address())?;
    let pacss = CASES
        .iter()
        .zip(ports)
        .map(|((name, ..), port)| CommittingPacs::start(port, node.address(), name))
        .collect::<Result<Vec<_>>>()?;

    let file = samples::pydicom("examples_rgb_color.dcm")?;
    let list = python::json("attributes.py", &[&file])?;
    let study = list.pointer("/0/study").and_then(Value::as_str);
    let study = study.context("no study")?;
    dcmtk::storescu(node.address(), &[], &[file])?.success()?;
    let done = node.study_done(study, SETTLED)?;

    let ended = [("orthanc", "confirmed", "storage commitment")];
    for (name, state, shown_by) in CASES.iter().chain(&ended) {
        let ends = endings(&done, name);
        ensure!(
            ends.len() == 2,
            "{name}: an image and a report, not {ends:?}"
        );
        for (found, comment) in ends {
            ensure!(found == *state, "{name}: {found}, {comment}");
            ensure!(comment.contains(shown_by), "{name}: {comment}");
        }
    }
    ensure!(orthanc.holds(study)?.len() == 2);

    let count = |pacs: &CommittingPacs, what: &str| -> Result<usize> {
        let events = pacs.events()?;
        Ok(events.iter().filter(|event| event["what"] == what).count())
    };
    let [late, _, refusing, silent, _, denying] = pacss.as_slice() else {
        unreachable!("six cases");
    };
    ensure!(count(refusing, "asked")? == 0 && count(refusing, "queried")? == 2);
    ensure!(count(silent, "asked")? > 2, "it isn't asked again");
    // An image and a report, each once more after it was denied.
    ensure!(count(denying, "stored")? == 4);
    // Twice each: an answer that comes again is success again.
    eventually("the late answers to be answered", SETTLED, || {
        Ok((count(late, "answered")? >= 2).then_some(()))
    })?;
    for event in late.events()?.iter().filter(|e| e["what"] == "answered") {
        ensure!(event["status"] == 0, "{event}");
    }

    let health = node.http().json("/api/v1/health")?;
    let alarms = health["alarms"].to_string();
    ensure!(alarms.contains("forgetful took 2 object(s)"), "{alarms}");
    ensure!(!alarms.contains("silent"), "{alarms}");
    Ok(())
}

/// State and last comment of each delivery to a peer.
fn endings(study: &Value, peer: &str) -> Vec<(String, String)> {
    let text = |value: Option<&Value>| {
        let text = value.and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let list = study["delivery_list"].as_array().into_iter().flatten();
    list.filter(|delivery| delivery["peer"] == peer)
        .map(|delivery| {
            let newest = delivery["answers"].as_array().and_then(|all| all.last());
            let comment = newest.and_then(|answer| answer.get("comment"));
            (text(delivery.get("state")), text(comment))
        })
        .collect()
}
