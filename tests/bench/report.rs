//! From the last byte of a study's last cine to its report in the PACS.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sonode_tests::cart::{Cart, Proposal};
use sonode_tests::dcmtk::{STORE_SCP, StoreScp};
use sonode_tests::load::study_of;
use sonode_tests::node::{AE_TITLE, CART, Config, Node};
use sonode_tests::part10::Object;
use sonode_tests::samples;

use crate::table::median;

/// Six cines of 60 frames, JPEG Baseline.
const VIEWS: &str = "a4c,a2c,a4c,a2c,a4c,a2c";
/// Between two cines of a study: a sonographer takes longer.
const PAUSE: Duration = Duration::from_secs(1);
const WITHIN: Duration = Duration::from_mins(3);

/// Where the time went, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeline {
    /// From the last byte to the end of the last analysis.
    pub(crate) analysing: f64,
    /// From the study's closing to the decision on the report.
    pub(crate) reporting: f64,
    /// From there to the PACS's success.
    pub(crate) delivering: f64,
}

impl Timeline {
    /// Without the quiet period, which lies between the analysis and the closing.
    pub(crate) fn total(self) -> f64 {
        self.analysing + self.reporting + self.delivering
    }
}

/// A study after the other through one node.
pub(crate) fn measure(rounds: u32) -> Result<Vec<Timeline>> {
    let (_pacs, port) = StoreScp::start_anywhere(&[])?;
    let node = Node::start(&Config::with_pacs(port, STORE_SCP))?;
    let mut found = Vec::new();
    // The first round warms up.
    for round in 0..=rounds {
        let folder = tempfile::tempdir()?;
        let phantom = samples::phantom_of(VIEWS, 1 + u64::from(round), folder.path())?;
        let mut cart = None;
        let mut last_byte = jiff::Timestamp::now();
        for file in &phantom.files {
            let object = Object::read(file)?;
            let cart = if let Some(cart) = &mut cart {
                thread::sleep(PAUSE);
                cart
            } else {
                let proposals = [Proposal::for_object(&object)];
                cart.insert(Cart::associate(node.address(), AE_TITLE, CART, &proposals)?)
            };
            let mut sending = cart.begin(&object, &object.sop_instance)?;
            sending.send(usize::MAX)?;
            last_byte = jiff::Timestamp::now();
            let answer = sending.response()?;
            ensure!(
                answer.status == 0,
                "{:#06x}: {}",
                answer.status,
                answer.comment
            );
        }
        cart.context("no cine")?.release()?;
        let study = study_of(phantom.files.first().context("no cine")?)?;
        let done = node.study_done(&study, WITHIN)?;
        ensure!(
            done["lvef_percent"].is_number(),
            "nothing was measured: {done}"
        );
        if round > 0 {
            found.push(timeline(last_byte, &done["timeline"])?);
        }
    }
    Ok(found)
}

type Part = fn(&Timeline) -> f64;

/// A table of medians.
pub(crate) fn table(rounds: &[Timeline]) -> String {
    let mut text =
        "| from | to | ms, median | least to most |\n| --- | --- | --- | --- |\n".to_owned();
    let parts: [(&str, &str, Part); 4] = [
        (
            "last byte of the last cine",
            "end of the last analysis",
            |one| one.analysing,
        ),
        ("the study's closing", "decision on the report", |one| {
            one.reporting
        }),
        ("decision on the report", "the PACS's success", |one| {
            one.delivering
        }),
        ("**all of it**", "", |one| one.total()),
    ];
    for (from, to, part) in parts {
        let mut values: Vec<f64> = rounds.iter().map(part).collect();
        values.sort_by(f64::total_cmp);
        let middle = median(values.iter().copied()).unwrap_or(f64::NAN);
        let [least, most] =
            [values.first(), values.last()].map(|end| end.copied().unwrap_or(f64::NAN));
        let row = format!("| {from} | {to} | {middle:.0} | {least:.0} to {most:.0} |\n");
        text.push_str(&row);
    }
    text
}

/// `last_byte` as the cart wrote it, the rest by the node's clock, which is the same.
fn timeline(last_byte: jiff::Timestamp, times: &Value) -> Result<Timeline> {
    let of = |name: &str| {
        let text = times[name]
            .as_str()
            .with_context(|| format!("no {name} in {times}"))?;
        let time: jiff::Timestamp = text.parse()?;
        let millis = i32::try_from(time.as_millisecond() - last_byte.as_millisecond())?;
        anyhow::Ok(f64::from(millis))
    };
    Ok(Timeline {
        analysing: of("analysed")?,
        reporting: of("reported")? - of("closed")?,
        delivering: of("delivered")? - of("reported")?,
    })
}
