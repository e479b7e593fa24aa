//! The ladder of forms: PACSs that take little get the best that they take, and one that takes nothing is a clear
//! delivery problem.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sonode_tests::node::{Config, Node, Peer, Route};
use sonode_tests::process::Run;
use sonode_tests::python::SelectiveScp;
use sonode_tests::wait::eventually;
use sonode_tests::{dcmtk, python, samples};

const REPORT: Duration = Duration::from_mins(4);
const COMPREHENSIVE_3D_SR: &str = "1.2.840.10008.5.1.4.1.1.88.34";
const COMPREHENSIVE_SR: &str = "1.2.840.10008.5.1.4.1.1.88.33";
const ENHANCED_SR: &str = "1.2.840.10008.5.1.4.1.1.88.22";
const KEY_OBJECT_SELECTION: &str = "1.2.840.10008.5.1.4.1.1.88.59";
const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";

/// One PACS and what it ends up with.
struct Case {
    name: &'static str,
    takes: &'static [(&'static str, &'static str)],
    /// Further lines of its route.
    route: &'static str,
    /// SOP class, transfer syntax and root template of each object, sorted.
    gets: &'static [(&'static str, &'static str, &'static str)],
}

const CASES: &[Case] = &[
    Case {
        name: "implicit-only",
        takes: &[
            (COMPREHENSIVE_SR, IMPLICIT_LITTLE),
            (COMPREHENSIVE_3D_SR, IMPLICIT_LITTLE),
        ],
        route: "",
        gets: &[(COMPREHENSIVE_3D_SR, IMPLICIT_LITTLE, "1500")],
    },
    Case {
        name: "comprehensive-only",
        takes: &[(COMPREHENSIVE_SR, EXPLICIT_LITTLE)],
        route: "",
        gets: &[(COMPREHENSIVE_SR, EXPLICIT_LITTLE, "1500")],
    },
    Case {
        name: "enhanced-only",
        takes: &[(ENHANCED_SR, EXPLICIT_LITTLE)],
        route: "documents = [\"tid5200\", \"tid1500\"]",
        gets: &[
            (ENHANCED_SR, EXPLICIT_LITTLE, "1500"),
            (ENHANCED_SR, EXPLICIT_LITTLE, "5200"),
        ],
    },
    Case {
        name: "echo-system",
        takes: &[
            (COMPREHENSIVE_SR, IMPLICIT_LITTLE),
            (KEY_OBJECT_SELECTION, IMPLICIT_LITTLE),
        ],
        route: "documents = [\"tid5200\"]\ncodes = \"srt\"\ncompanions = [\"key-object\"]",
        gets: &[
            (COMPREHENSIVE_SR, IMPLICIT_LITTLE, "5200"),
            (KEY_OBJECT_SELECTION, IMPLICIT_LITTLE, "2010"),
        ],
    },
    Case {
        name: "captures-only",
        takes: &[(SECONDARY_CAPTURE, EXPLICIT_LITTLE)],
        route: "",
        gets: &[(SECONDARY_CAPTURE, EXPLICIT_LITTLE, "")],
    },
    Case {
        name: "captures-implicit",
        takes: &[
            (SECONDARY_CAPTURE, IMPLICIT_LITTLE),
            (KEY_OBJECT_SELECTION, EXPLICIT_LITTLE),
        ],
        // Two documents that it doesn't take are one page.
        route: "documents = [\"tid1500\", \"tid5200\"]\nlanguage = \"zh\"",
        gets: &[(SECONDARY_CAPTURE, IMPLICIT_LITTLE, "")],
    },
    Case {
        name: "nothing",
        takes: &[],
        route: "",
        gets: &[],
    },
];

#[test]
fn each_pacs_gets_the_best_form_that_it_takes() -> Result<()> {
    let mut config = Config::default();
    let mut pacss = Vec::new();
    for case in CASES {
        let takes: Vec<String> = case
            .takes
            .iter()
            .map(|(class, syntax)| format!("{class}@{syntax}"))
            .collect();
        let pacs = SelectiveScp::start(&takes)?;
        let peer = Peer::on_port(case.name, SelectiveScp::AE_TITLE, pacs.port());
        config.peers.push(Peer {
            // One title each: a node that is called tells its peers apart by it.
            ae_title: case.name.to_uppercase().chars().take(16).collect(),
            ..peer
        });
        config.routes.push(Route {
            more: case.route,
            ..Route::reports_to(case.name)
        });
        pacss.push(pacs);
    }
    let node = Node::start(&config)?;
    let file = samples::pydicom(samples::CINE)?;
    let list = python::json("attributes.py", &[&file])?;
    let study = list.pointer("/0/study").and_then(Value::as_str);
    let study = study.context("no study")?;
    dcmtk::storescu(node.address(), &["-xy"], &[file])?.success()?;
    let settled = eventually("every delivery to end", REPORT, || {
        let Some(detail) = node.study(study)? else {
            return Ok(None);
        };
        let deliveries = deliveries(&detail);
        let all_over = deliveries.iter().all(|delivery| delivery.state != "due");
        Ok((!deliveries.is_empty() && all_over).then_some(deliveries))
    })?;
    for (case, pacs) in CASES.iter().zip(&pacss) {
        check(case, pacs, &settled).context(case.name)?;
        let associations = pacs.associations()?;
        ensure!(
            associations == 1,
            "{}: {associations} associations",
            case.name
        );
    }
    let log = node.log();
    ensure!(
        log.contains("not accepted: Comprehensive 3D SR in Explicit VR Little Endian"),
        "the log doesn't say why a lesser form was taken"
    );
    ensure!(
        log.contains("the page is owed in place of the report"),
        "the log doesn't say why a page was taken"
    );
    let in_place = settled.iter().filter(|one| one.peer == "captures-only");
    let mut in_place = in_place.map(|one| one.comment.as_str());
    ensure!(
        in_place.all(|why| why.contains("of which the peer accepts no form")),
        "the listing doesn't say why a page was taken"
    );
    Ok(())
}

struct Delivery {
    peer: String,
    state: String,
    comment: String,
}

fn deliveries(study: &Value) -> Vec<Delivery> {
    let list = study.get("delivery_list").and_then(Value::as_array);
    let text = |value: Option<&Value>| {
        let text = value.and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    list.into_iter()
        .flatten()
        .map(|delivery| Delivery {
            peer: text(delivery.get("peer")),
            state: text(delivery.get("state")),
            comment: text(delivery.pointer("/answers/0/comment")),
        })
        .collect()
}

fn check(case: &Case, pacs: &SelectiveScp, deliveries: &[Delivery]) -> Result<()> {
    let received = pacs.received()?;
    let mut got = Vec::new();
    for file in &received {
        let is_page = case
            .gets
            .iter()
            .any(|(class, ..)| *class == SECONDARY_CAPTURE);
        if is_page {
            ensure!(dcmtk::dciodvfy(file)?.is_empty());
            let picture = python::json("read_companion.py", &[file])?;
            ensure!(
                picture.pointer("/burned_in") == Some(&"YES".into()),
                "{picture}"
            );
        } else {
            sound(file)?;
        }
        let attributes = python::json("root.py", &[file])?;
        let text = |name: &str| {
            let value = attributes.get(name).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        got.push((text("class"), text("syntax"), text("template")));
    }
    got.sort();
    let wanted: Vec<_> = case
        .gets
        .iter()
        .map(|(class, syntax, template)| {
            (
                (*class).to_owned(),
                (*syntax).to_owned(),
                (*template).to_owned(),
            )
        })
        .collect();
    ensure!(got == wanted, "it got {got:?}");
    for delivery in deliveries.iter().filter(|at| at.peer == case.name) {
        if case.gets.is_empty() {
            ensure!(
                delivery.state == "dead" && delivery.comment.contains("Enhanced SR in Implicit VR"),
                "{}: {}",
                delivery.state,
                delivery.comment
            );
        } else {
            ensure!(delivery.state == "sent", "{}", delivery.state);
        }
    }
    Ok(())
}

/// An SR passes DCMTK's and dicom3tools' validators, and DCMTK makes a page of it.
fn sound(file: &Path) -> Result<()> {
    dcmtk::validate_report(file)?;
    let page = file.with_extension("html");
    Run::of(Command::new("dsr2html").arg(file).arg(&page))?.success()?;
    let html = std::fs::read_to_string(&page)?;
    std::fs::remove_file(&page)?;
    ensure!(html.contains("AI result, not verified by a physician"));
    Ok(())
}
