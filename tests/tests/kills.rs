//! `kill -9` of the node in random moments, while several DCMTK carts send: ten times, or as often as `SONODE_KILLS` says.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sonode_tests::dice::dice;
use sonode_tests::load::{Acknowledged, Template, send_until};
use sonode_tests::node::{Config, Node};
use sonode_tests::promises::{
    current_report, reports_by_study, stored_as_sent, stored_by_instance, story,
};
use sonode_tests::wait::eventually;
use sonode_tests::{dcmtk, reliability};

const CARTS: u32 = 4;
const KILLS: u32 = 10;
/// A life's length, in milliseconds: from before the models are loaded to well into the work.
const LIFE_MS: std::ops::Range<u64> = 100..4000;
const HEALTHY: Duration = Duration::from_mins(2);
const ALL_DONE: Duration = Duration::from_mins(15);

/// Kills and starts the node; how long each start took until an association was accepted.
fn kill_again_and_again(node: &mut Node, kills: u32) -> Result<Vec<Duration>> {
    let mut healthy = Vec::new();
    for kill in 0..kills {
        // When the node dies differs from kill to kill, and not from run to run.
        let life = LIFE_MS.start + dice(kill.into()) % (LIFE_MS.end - LIFE_MS.start);
        thread::sleep(Duration::from_millis(life));
        node.kill()?;
        let started = Instant::now();
        node.spawn()?;
        let address = node.address();
        eventually("the node to take associations", HEALTHY, || {
            Ok(dcmtk::echoscu(address, &[])?.success().ok())
        })?;
        healthy.push(started.elapsed());
    }
    node.ready()?;
    Ok(healthy)
}

#[test]
fn a_node_that_is_killed_under_load_loses_nothing_that_it_acknowledged() -> Result<()> {
    let kills = std::env::var("SONODE_KILLS").map_or(Ok(KILLS), |kills| kills.parse())?;
    let folder = tempfile::tempdir()?;
    let template = Template::new(11, &folder.path().join("template"))?;
    let (pacs, port) = dcmtk::StoreScp::start_anywhere(&["-uf"])?;
    let mut config = Config::with_pacs(port, dcmtk::STORE_SCP);
    config.quiet_period_s = 3;
    for route in &mut config.routes {
        route.report_unmeasured = Some("always".to_owned());
    }
    let mut node = Node::start(&config)?;
    let address = node.address();
    let stop = AtomicBool::new(false);
    let sent_in = folder.path().join("sent");
    let (healthy, told) = thread::scope(|scope| {
        let carts: Vec<_> = (0..CARTS)
            .map(|cart| {
                let (stop, template, sent_in) = (&stop, &template, &sent_in);
                scope.spawn(move || send_until(stop, address, template, sent_in, [cart, CARTS]))
            })
            .collect();
        let healthy = kill_again_and_again(&mut node, kills);
        stop.store(true, Ordering::Relaxed);
        let told: Result<Vec<Acknowledged>> = carts
            .into_iter()
            .map(|cart| cart.join().map_err(|_| anyhow::anyhow!("a cart died"))?)
            .collect();
        anyhow::Ok((healthy?, told?))
    })?;
    let studies: Vec<&String> = told.iter().flat_map(|told| &told.studies).collect();
    let files: Vec<&PathBuf> = told.iter().flat_map(|told| &told.files).collect();
    ensure!(!studies.is_empty(), "no study was sent between the kills");
    for uid in &studies {
        let is_known = node.study(uid)?.is_some();
        ensure!(
            is_known,
            "the node has forgotten it: {}",
            story(&node, uid)?
        );
    }
    for uid in &studies {
        let done = node.study_done(uid, ALL_DONE);
        let done = done.with_context(|| story(&node, uid).unwrap_or_default())?;
        ensure!(
            done.get("state") == Some(&Value::from("reported")),
            "{done}"
        );
    }
    let stored = stored_by_instance(&node)?;
    for file in &files {
        stored_as_sent(&stored, file)?;
    }
    let reports = reports_by_study(&pacs.received()?)?;
    for uid in &studies {
        let ours = reports
            .get(*uid)
            .with_context(|| format!("no report of {uid}"))?;
        current_report(&node, uid, ours)?;
    }
    reliability::row(
        "`kill -9` of the node while four DCMTK carts send",
        kills,
        &format!(
            "nothing of {} instances in {} studies",
            files.len(),
            studies.len()
        ),
        &healthy,
    )
}
