//! What the node promises, looked up after a fault: in its spool, in its list of studies and at the PACS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::load;
use crate::node::Node;
use crate::part10::Object;

/// Where a study lies, and what was said of it.
pub fn story(node: &Node, uid: &str) -> Result<String> {
    let files = node.all_stored()?;
    let files = files.iter().map(|path| path.display().to_string());
    let files: Vec<String> = files.filter(|path| path.contains(uid)).collect();
    let log = node.log();
    let is_about = |line: &&str| line.contains(uid) || line.contains("recovering");
    let lines: Vec<&str> = log.lines().filter(is_about).collect();
    Ok(format!("{uid} in {files:?}\n{}", lines.join("\n")))
}

/// Study Instance UID and SOP Instance UID.
pub type Instance = (String, String);

/// The spool's files: one folder a study, `<SOPUID>.<hash16>.dcm` each.
pub fn stored_by_instance(node: &Node) -> Result<BTreeMap<Instance, Vec<PathBuf>>> {
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
pub fn stored_as_sent(stored: &BTreeMap<Instance, Vec<PathBuf>>, file: &Path) -> Result<()> {
    let sent = Object::read(file)?;
    let study = load::study_of(file)?;
    let instance = (study, sent.sop_instance.clone());
    let stored = stored.get(&instance).map(Vec::as_slice).unwrap_or_default();
    ensure!(
        stored.len() == 1,
        "{} is stored as {stored:?}",
        sent.sop_instance
    );
    let stored = stored.first().context("no file")?;
    ensure!(
        load::same(file, stored)?,
        "{} isn't what was sent",
        stored.display()
    );
    Ok(())
}

/// Objects by study, and there by SOP Instance UID.
pub type Reports = BTreeMap<String, BTreeMap<String, Object>>;

/// What the PACS has received: objects by study. No UID came with two contents.
pub fn reports_by_study(received: &[PathBuf]) -> Result<Reports> {
    let mut studies = Reports::new();
    for path in received {
        let object = Object::read(path)?;
        let study = load::study_of(path)?;
        let known = studies.entry(study).or_default();
        let uid = object.sop_instance.clone();
        if let Some(before) = known.insert(uid.clone(), object.clone()) {
            ensure!(before == object, "{uid} was sent with two contents");
        }
    }
    Ok(studies)
}

/// The PACS holds one report for each revision, and the newest is there.
pub fn current_report(node: &Node, uid: &str, ours: &BTreeMap<String, Object>) -> Result<()> {
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
