//! Names in every character set that carts use: from the cart through the node to Orthanc and DCMTK, in the images' own
//! set and in UTF-8, byte for byte where the set is the same.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use sonode_tests::node::{Config, Node, Peer, Route};
use sonode_tests::orthanc::Pacs;
use sonode_tests::{dcmtk, python, samples};

const REPORT: Duration = Duration::from_mins(4);

/// A cart's still, and the name in it.
#[derive(Debug, Deserialize)]
struct Still {
    file: PathBuf,
    study: String,
    charset: String,
    /// None: the bytes can't be decoded.
    name: Option<String>,
    /// The name's bytes in a report in the images' own set, in hexadecimal: the same as in the still.
    raw: String,
    /// The set that a report in the images' own set names.
    reported: String,
}

/// A report, as pydicom finds it.
#[derive(Debug, Deserialize)]
struct Told {
    study: String,
    charset: String,
    raw: String,
}

/// One peer for each setting at each PACS; neither PACS looks at the title by which it is called.
const PEERS: [(&str, &str); 4] = [
    ("orthanc-source", "charset = \"source\""),
    ("orthanc-utf8", "charset = \"utf-8\""),
    ("dcmtk-source", "charset = \"source\""),
    ("dcmtk-utf8", "charset = \"utf-8\""),
];

#[test]
fn names_in_every_set_arrive_in_both_settings_at_both_pacss() -> Result<()> {
    let pacs = Pacs::new()?;
    let orthanc_port = pacs.dicom_port();
    let orthanc = pacs.start()?;
    let (storescp, storescp_port) = dcmtk::StoreScp::start_anywhere(&[])?;
    let mut config = Config::default();
    for (name, more) in PEERS {
        let port = if name.starts_with("orthanc") {
            orthanc_port
        } else {
            storescp_port
        };
        config
            .peers
            .push(Peer::on_port(name, &name.to_uppercase(), port));
        config.routes.push(Route {
            // A still isn't measured: its report says so, and names the patient all the same.
            report_unmeasured: Some("always".to_owned()),
            more,
            ..Route::reports_to(name)
        });
    }
    let node = Node::start(&config)?;
    let folder = tempfile::tempdir()?;
    let still = samples::pydicom("examples_rgb_color.dcm")?;
    let written = python::json("charset_objects.py", &[&still, &folder.path().to_owned()])?;
    let stills: Vec<Still> = serde_json::from_value(written)?;
    let files: Vec<PathBuf> = stills.iter().map(|still| still.file.clone()).collect();
    dcmtk::dcmsend(node.address(), &files)?.success()?;
    let mut from_orthanc = Vec::new();
    for still in &stills {
        node.study_done(&still.study, REPORT)?;
        for (i, held) in orthanc.reports(&still.study)?.iter().enumerate() {
            let path = folder.path().join(format!("{}-{i}.dcm", still.study));
            orthanc.download(held, &path)?;
            from_orthanc.push(path);
        }
    }
    check("Orthanc", &stills, &from_orthanc)?;
    check("DCMTK", &stills, &storescp.received()?)
}

/// Every still has its two reports, one in each setting; where both come to the same set they are alike.
fn check(pacs: &str, stills: &[Still], files: &[PathBuf]) -> Result<()> {
    let told: Vec<Told> = serde_json::from_value(python::json("names.py", files)?)?;
    let mut by_study: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for report in &told {
        let all = by_study.entry(&report.study).or_default();
        all.push((&report.charset, &report.raw));
    }
    for still in stills {
        let mut got = by_study
            .remove(still.study.as_str())
            .with_context(|| format!("{pacs} has no report for {:?}", still.charset))?;
        got.sort_unstable();
        let utf8 = still.name.as_ref().map(|name| hex(name.as_bytes()));
        let in_utf8 = match &utf8 {
            Some(name) if still.reported.is_empty() => ("", name.as_str()),
            Some(name) => ("ISO_IR 192", name.as_str()),
            // What can't be decoded stays in its own set.
            None => (still.reported.as_str(), still.raw.as_str()),
        };
        let mut wanted = vec![(still.reported.as_str(), still.raw.as_str()), in_utf8];
        wanted.sort_unstable();
        ensure!(
            got == wanted,
            "{pacs}, {:?}: {got:?} is not {wanted:?}",
            still.charset
        );
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String can't fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}
