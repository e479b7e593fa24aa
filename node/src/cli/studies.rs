//! `sonode studies`: the queue of the running node, through its API.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::Value;
use sonode_conformance::StudyInstanceUid;
use sonode_pipeline::{StudyStatus, UnsortedStatus};

use super::CliError;
use crate::config::Config;
use crate::refused::RefusedObject;

#[derive(Debug, Args)]
pub(super) struct Studies {
    #[command(subcommand)]
    command: Option<StudiesCommand>,
    /// The running node's configuration: its `http.listen` is where it is asked.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum StudiesCommand {
    /// Every study, a line each; then the objects of unsorted/, whose study nobody could read.
    List,
    /// Everything about one study, as JSON.
    Show { uid: StudyInstanceUid },
    /// Bring dead letters back and try again now.
    Retry { uid: StudyInstanceUid },
    /// Close an open study now instead of waiting.
    Close { uid: StudyInstanceUid },
    /// Delete a study with everything in it.
    Discard { uid: StudyInstanceUid },
}

/// Asks the running node.
pub(super) fn run(args: &Studies) -> Result<(), CliError> {
    let path = args
        .config
        .as_deref()
        .ok_or_else(|| CliError::Usage(anyhow::anyhow!("give the running node's --config FILE")))?;
    let config = Config::load(path)?;
    let api = format!("http://{}/api/v1", config.http_listen);
    let base = format!("{api}/studies");
    match &args.command {
        None | Some(StudiesCommand::List) => {
            let studies: Vec<StudyStatus> =
                serde_json::from_value(get(&base)?).context("the node's answer can't be read")?;
            let unsorted: Vec<UnsortedStatus> =
                serde_json::from_value(get(&format!("{api}/unsorted"))?)
                    .context("the node's answer can't be read")?;
            let refused: Vec<RefusedObject> =
                serde_json::from_value(get(&format!("{api}/refused"))?)
                    .context("the node's answer can't be read")?;
            list(&studies);
            list_unsorted(&unsorted);
            list_refused(&refused);
            Ok(())
        }
        Some(StudiesCommand::Show { uid }) => {
            let study = get(&format!("{base}/{uid}"))?;
            println!("{study:#}");
            Ok(())
        }
        Some(StudiesCommand::Retry { uid }) => post(&format!("{base}/{uid}/retry")),
        Some(StudiesCommand::Close { uid }) => post(&format!("{base}/{uid}/close")),
        Some(StudiesCommand::Discard { uid }) => post(&format!("{base}/{uid}/discard")),
    }
}

fn list(studies: &[StudyStatus]) {
    if studies.is_empty() {
        println!("no study");
    }
    for study in studies {
        let counts = study.deliveries;
        println!(
            "{}  {:<11} {:>3} instance(s)  LVEF {:>6}  due {} sent {} dead {}  {}",
            study.study_instance_uid,
            if study.done { "done" } else { &study.state },
            study.instances,
            study
                .lvef_percent
                .map_or("-".to_owned(), |ef| format!("{ef:.0} %")),
            counts.due,
            counts.sent + counts.confirmed + counts.unconfirmed,
            counts.dead,
            study.reason.as_deref().unwrap_or(""),
        );
    }
}

fn list_unsorted(objects: &[UnsortedStatus]) {
    for object in objects {
        let title = object.calling_ae.as_ref().map(ToString::to_string);
        println!(
            "unsorted/{}  received {} from {}  {} bytes  {}",
            object.file,
            object.received,
            object
                .from
                .as_deref()
                .or(title.as_deref())
                .unwrap_or("unknown"),
            object.bytes,
            object
                .reason
                .as_deref()
                .unwrap_or("waits for the worker to read its header"),
        );
    }
}

fn list_refused(objects: &[RefusedObject]) {
    for object in objects {
        println!(
            "refused  {}  by {} {} time(s), last {}: {} has to send it again  study {}",
            object.sop_instance_uid,
            object.status,
            object.times,
            object.last,
            object.peer,
            object
                .study_instance_uid
                .as_ref()
                .map_or("unknown".to_owned(), ToString::to_string),
        );
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into()
}

fn get(url: &str) -> Result<Value, CliError> {
    answer(agent().get(url).call(), url)
}

fn post(url: &str) -> Result<(), CliError> {
    answer(agent().post(url).send_empty(), url)?;
    println!("done");
    Ok(())
}

fn answer(
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    url: &str,
) -> Result<Value, CliError> {
    let mut response = response.map_err(|error| {
        anyhow::anyhow!("{url}: {error}; is `sonode serve` running with this configuration?")
    })?;
    let body: Value = response
        .body_mut()
        .read_json()
        .context("the node's answer is no JSON")?;
    if response.status().is_success() {
        return Ok(body);
    }
    let error = body
        .get("error")
        .and_then(Value::as_str)
        .unwrap_or("no reason given");
    Err(anyhow::anyhow!("{}: {error}", response.status()).into())
}
