//! `kill -9` of the node in random moments, while several DCMTK carts send: ten times, or as often as `SONODE_KILLS` says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sonode_tests::load::{Acknowledged, Template, same, send_until};
use sonode_tests::node::{Config, Node};
use sonode_tests::part10::Object;
use sonode_tests::wait::eventually;
use sonode_tests::{dcmtk, reliability};

const CARTS: u32 = 4;
const KILLS: u32 = 10;
/// A life's length, in milliseconds: from before the models are loaded to well into the work.
const LIFE_MS: std::ops::Range<u64> = 100..4000;
const HEALTHY: Duration = Duration::from_mins(2);
const ALL_DONE: Duration = Duration::from_mins(15);

/// `SplitMix64`: when the node dies differs from run to run of the table, and not from run to run of one seed.
fn dice(seed: u64) -> u64 {
    let z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB)
}

/// Kills and starts the node; how long each start took until an association was accepted.
fn kill_again_and_again(node: &mut Node, kills: u32) -> Result<Vec<Duration>> {
    let mut healthy = Vec::new();
    for kill in 0..kills {
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

/// Where a study lies, and what was said of it.
fn story(node: &Node, uid: &str) -> Result<String> {
    let files = node.all_stored()?;
    let files = files.iter().map(|path| path.display().to_string());
    let files: Vec<String> = files.filter(|path| path.contains(uid)).collect();
    let log = node.log();
    let is_about = |line: &&str| line.contains(uid) || line.contains("recovering");
    let lines: Vec<&str> = log.lines().filter(is_about).collect();
    Ok(format!("{uid} in {files:?}\n{}", lines.join("\n")))
}

/// Study Instance UID and SOP Instance UID.
type Instance = (String, String);

/// The spool's files: one folder a study, `<SOPUID>.<hash16>.dcm` each.
fn stored_by_instance(node: &Node) -> Result<BTreeMap<Instance, Vec<PathBuf>>> {
    let mut stored: BTreeMap<Instance, Vec<PathBuf>> = BTreeMap::new();
    for path in node.all_stored()? {
        let text =
            |part: Option<&std::ffi::OsStr>| part.and_then(|part| part.to_str()).map(str::to_owned);
        let study = text(path.parent().and_then(Path::file_name));
        let stem = text(path.file_stem());
        if let (Some(study), Some((sop, _))) = (
            study,
            stem.as_deref().and_then(|stem| stem.rsplit_once('.')),
        ) {
            stored
                .entry((study, sop.to_owned()))
                .or_default()
                .push(path);
        }
    }
    Ok(stored)
}

/// Exactly one version of the instance lies in the spool, and it is what was sent.
fn stored_as_sent(stored: &BTreeMap<Instance, Vec<PathBuf>>, file: &Path) -> Result<()> {
    let sent = Object::read(file)?;
    let study = sonode_tests::load::study_of(file)?;
    let instance = (study, sent.sop_instance.clone());
    let stored = stored.get(&instance).map(Vec::as_slice).unwrap_or_default();
    ensure!(
        stored.len() == 1,
        "{} is stored as {stored:?}",
        sent.sop_instance
    );
    let stored = stored.first().context("no file")?;
    ensure!(
        same(file, stored)?,
        "{} isn't what was sent",
        stored.display()
    );
    Ok(())
}

/// What the PACS has received: objects by study. No UID came with two contents.
fn reports_by_study(received: &[PathBuf]) -> Result<BTreeMap<String, BTreeMap<String, Object>>> {
    let mut studies: BTreeMap<String, BTreeMap<String, Object>> = BTreeMap::new();
    for path in received {
        let object = Object::read(path)?;
        let study = sonode_tests::load::study_of(path)?;
        let known = studies.entry(study).or_default();
        let uid = object.sop_instance.clone();
        if let Some(before) = known.insert(uid.clone(), object.clone()) {
            ensure!(before == object, "{uid} was sent with two contents");
        }
    }
    Ok(studies)
}

/// The PACS holds one report for each revision, and the newest is there.
fn current_report(node: &Node, uid: &str, ours: &BTreeMap<String, Object>) -> Result<()> {
    let study = node.study(uid)?.context("the study is listed")?;
    let revision = study.get("revision").and_then(Value::as_u64).unwrap_or(0);
    ensure!(revision >= 1, "no report of {uid}");
    ensure!(
        u64::try_from(ours.len())? <= revision,
        "{uid}: {} reports of {revision} revisions",
        ours.len()
    );
    let newest = format!("report-{revision}");
    let deliveries = study.get("delivery_list").and_then(Value::as_array);
    let delivery = deliveries
        .into_iter()
        .flatten()
        .find(|delivery| {
            let object = delivery.get("object").and_then(Value::as_str);
            object.is_some_and(|object| object.starts_with(&newest))
        })
        .with_context(|| format!("no delivery of {newest} in {study}"))?;
    let sop = delivery
        .get("sop_instance_uid")
        .and_then(Value::as_str)
        .with_context(|| format!("no UID in {delivery}"))?;
    ensure!(ours.contains_key(sop), "{sop} is not in the PACS");
    Ok(())
}
