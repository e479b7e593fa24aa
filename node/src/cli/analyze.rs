//! `sonode analyze`: DICOM in, findings and report out, without any network.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context as _, bail};
use clap::Args;
use sonode_conformance::{AeTitle, Uid};
use sonode_findings::protocol::{
    AnalyzeJob, Analyzed, FromWorker, ToWorker, read_frame, write_frame,
};
use sonode_findings::{Findings, StudyContext};
use sonode_sr_writer::{
    CharacterSet, Companion, CompanionRequest, Composition, Document, Language, ReportRequest,
    Syntax, compose,
};

use super::CliError;
use crate::config::{Device, default_models_dir};

#[derive(Debug, Args)]
pub(super) struct Analyze {
    /// DICOM files of one study.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
    /// Write the report.
    #[arg(long, value_name = "OUT.dcm")]
    sr: Option<PathBuf>,
    /// Write a picture with the contours.
    #[arg(long, value_name = "OUT.png")]
    overlay: Option<PathBuf>,
    /// Language of report and picture: en or zh.
    #[arg(long, default_value = "en")]
    language: Language,
    /// auto, cpu or cuda:N.
    #[arg(long, default_value = "auto")]
    device: Device,
    /// Folder of models. Default: models.
    #[arg(long, value_name = "DIR")]
    models_dir: Option<PathBuf>,
}

/// Analyses the files and writes what was asked for.
pub(super) fn run(args: &Analyze) -> Result<(), CliError> {
    for file in &args.files {
        if let Err(error) = std::fs::File::open(file) {
            return Err(CliError::Usage(anyhow::anyhow!(
                "{}: {error}",
                file.display()
            )));
        }
    }
    let models_dir = args.models_dir.clone().unwrap_or_else(default_models_dir);
    let (findings, context) = analyze(&args.files, args.device, &models_dir)?;
    if let Some(path) = &args.sr {
        write_report(&findings, &context, args.language, path)?;
    }
    if let Some(path) = &args.overlay {
        overlay(&findings, &context, &args.files, args.language, path)?;
    }
    if args.json {
        let json = serde_json::to_string_pretty(&findings).context("the findings make no JSON")?;
        println!("{json}");
    } else {
        print!("{}", super::summary::of(&findings));
    }
    Ok(())
}

/// Asks a worker of its own about every file.
fn analyze(
    files: &[PathBuf],
    device: Device,
    models_dir: &Path,
) -> anyhow::Result<(Findings, StudyContext)> {
    let mut command = super::worker::command("serve");
    command
        .args(["--allow-research-models", "--device"])
        .arg(device.to_string())
        .arg("--models-dir")
        .arg(models_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| super::worker::could_not_start(&command))?;
    let answers = ask(&mut child, files);
    // Its input is closed, so it ends; one that failed has said why on the way.
    child.wait()?;
    let mut instances = Vec::new();
    let mut contexts: Vec<StudyContext> = Vec::new();
    for answer in answers? {
        instances.push(answer.findings);
        contexts.extend(answer.context);
    }
    let Some(context) = contexts.first().cloned() else {
        bail!("none of the files has a readable Study Instance UID");
    };
    if let Some(other) = contexts
        .iter()
        .find(|c| c.study_instance_uid != context.study_instance_uid)
    {
        bail!(
            "the files belong to more than one study ({} and {}): give one study at a time",
            context.study_instance_uid,
            other.study_instance_uid
        );
    }
    Ok((
        Findings::merge(context.study_instance_uid.clone(), instances),
        context,
    ))
}

fn ask(child: &mut Child, files: &[PathBuf]) -> anyhow::Result<Vec<Analyzed>> {
    let mut to = child.stdin.take().context("the worker has no input")?;
    let mut from = BufReader::new(child.stdout.take().context("the worker has no output")?);
    let mut receive = || read_frame(&mut from).context("the worker ended; its reason stands above");
    match receive()? {
        FromWorker::Ready(_) => {}
        FromWorker::Analyzed(_) | FromWorker::Amended(_) | FromWorker::Illustrated(_) => {
            bail!("the worker answered before it was asked")
        }
    }
    let mut answers = Vec::new();
    for (id, file) in (0..).zip(files) {
        let path = std::path::absolute(file)?;
        write_frame(&mut to, &ToWorker::Analyze(AnalyzeJob { id, path }))?;
        match receive()? {
            FromWorker::Analyzed(answer) if answer.id == id => answers.push(*answer),
            _ => bail!("the worker answered another question"),
        }
    }
    Ok(answers)
}

fn write_report(
    findings: &Findings,
    context: &StudyContext,
    language: Language,
    path: &Path,
) -> anyhow::Result<()> {
    // Without a node there is no identity that lasts: every report written so is a new object.
    let node_uid = Uid::from_uuid(uuid::Uuid::new_v4());
    let document = Document::MeasurementReport;
    let form = document.forms().next().context("no form")?;
    let request = ReportRequest {
        document,
        form,
        style: sonode_sr_writer::Style {
            language,
            ..sonode_sr_writer::Style::default()
        },
        sop_instance_uid: Uid::from_uuid(uuid::Uuid::new_v4()).into(),
        series_instance_uid: sonode_sr_writer::series_uid(
            &node_uid,
            &context.study_instance_uid,
            document,
        ),
        device_serial: node_uid.to_string(),
        node_uid,
        series_number: sonode_pipeline::series_number(document),
        instance_number: 1,
        revision: 1,
        content: sonode_pipeline::content_date_time(
            sonode_pipeline::Timestamp::from_system(std::time::SystemTime::now()),
            &context.timezone_offset_from_utc,
        ),
        station_ae: AeTitle::parse(b"SONODE")?,
        predecessors: Vec::new(),
    };
    let report = sonode_sr_writer::write(findings, context, &request)?;
    std::fs::write(path, report.bytes)
        .with_context(|| format!("{} can't be written", path.display()))
}

/// Has the worker draw the summary page, since it alone opens pixels.
pub(super) fn overlay(
    findings: &Findings,
    context: &StudyContext,
    files: &[PathBuf],
    language: Language,
    path: &Path,
) -> Result<(), CliError> {
    let node_uid = Uid::from_uuid(uuid::Uuid::new_v4());
    let companion = Companion::SecondaryCapture;
    let study = &context.study_instance_uid;
    let request = CompanionRequest {
        companion,
        plane: 0,
        syntax: Syntax::default(),
        language,
        charset: CharacterSet::Source,
        sop_instance_uid: Uid::from_uuid(uuid::Uuid::new_v4()).into(),
        series_instance_uid: sonode_sr_writer::companion_series_uid(&node_uid, study, companion),
        series_number: 1,
        revision: 1,
        content: sonode_pipeline::content_date_time(
            sonode_pipeline::Timestamp::from_system(std::time::SystemTime::now()),
            &context.timezone_offset_from_utc,
        ),
        device_serial: node_uid.to_string(),
        station_ae: AeTitle::parse(b"SONODE").context("a constant title")?,
        node_uid,
    };
    let Some(Composition::Page { svg, frames, .. }) = compose(findings, context, &request) else {
        return Err(anyhow::anyhow!("the findings hold nothing to draw").into());
    };
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let page = folder.path().join("page.svg");
    std::fs::write(&page, svg).with_context(|| format!("{} can't be written", page.display()))?;
    let mut command = super::worker::command("overlay");
    command.arg("--page").arg(&page).arg("--out").arg(path);
    for (sop, frame) in frames {
        command.arg("--frame").arg(format!("{sop}:{frame}"));
    }
    command.args(files);
    super::worker::finish(command)
}
