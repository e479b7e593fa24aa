//! `analyze`: files in, findings out, without a node.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use sonode_conformance::StudyInstanceUid;
use sonode_findings::{Findings, InstanceFindings};

use super::{ModelArgs, NO_MODEL};
use crate::analysis::{self, Analysis};
use crate::device;
use crate::models::Models;

/// Arguments of `analyze`.
#[derive(Debug, Args)]
pub(super) struct AnalyzeArgs {
    /// DICOM files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) models: ModelArgs,
    /// One JSON document a file, one a line
    #[arg(long)]
    json: bool,
}

/// Analyses each file. A file that is no DICOM object fails the command after the others are done.
pub(super) fn run(args: &AnalyzeArgs) -> anyhow::Result<ExitCode> {
    let device = device::resolve(args.models.device)?;
    // Here a person asks about a file and sees the models' names: research models always may.
    let models = match Models::load(&args.models.models_dir, device, true) {
        Ok(models) => models,
        Err(error) => {
            eprintln!("sonode-worker: {error}");
            return Ok(ExitCode::from(NO_MODEL));
        }
    };
    let mut outcome = ExitCode::SUCCESS;
    for file in &args.files {
        if let Err(error) = analysis::check(file) {
            eprintln!("sonode-worker: {}: {error}", file.display());
            outcome = ExitCode::FAILURE;
            continue;
        }
        let Analysis { findings, context } = analysis::prepare(file)?.measure(&models);
        if args.json {
            let study = context.map(|context| context.study_instance_uid);
            println!("{}", json(study, findings)?);
        } else {
            println!("{}", file.display());
            print_readable(&findings);
        }
    }
    Ok(outcome)
}

fn json(study: Option<StudyInstanceUid>, findings: InstanceFindings) -> anyhow::Result<String> {
    let study = match study {
        Some(study) => study,
        // The nil UUID (PS3.5 annex B.2): the file names no study.
        None => "2.25.0".parse()?,
    };
    Ok(serde_json::to_string(&Findings::merge(
        study,
        vec![findings],
    ))?)
}

fn print_readable(findings: &InstanceFindings) {
    println!("  SOP instance  {}", findings.sop_instance_uid);
    let or_unknown = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
    println!(
        "  image         {} x {}, {} frames at {} per second",
        or_unknown(findings.columns.map(|n| n.to_string())),
        or_unknown(findings.rows.map(|n| n.to_string())),
        or_unknown(findings.frames.map(|n| n.to_string())),
        or_unknown(findings.frame_rate_hz.map(|rate| format!("{rate:.1}"))),
    );
    if let Some(view) = &findings.view {
        let sure = view.probability.map(|p| format!(", probability {p:.2}"));
        println!(
            "  view          {:?}{}",
            view.label,
            sure.unwrap_or_default()
        );
    }
    if let Some(quality) = &findings.quality {
        println!("  quality       {:?} ({:.2})", quality.grade, quality.score);
    }
    if let Some(lv) = &findings.lv {
        let interval = lv
            .lvef_interval
            .map(|[low, high]| format!(" ({low:.0} to {high:.0})"));
        println!(
            "  LVEF          {:.0} %{}",
            lv.lvef_percent,
            interval.unwrap_or_default()
        );
        let volume = |ml: Option<f64>| or_unknown(ml.map(|ml| format!("{ml:.0} ml")));
        println!(
            "  EDV, ESV      {}, {}",
            volume(lv.edv_ml),
            volume(lv.esv_ml)
        );
    }
    if let Some(detail) = &findings.rejected_detail {
        println!("  not measured  {detail}");
    }
    for note in &findings.notes {
        println!("  note          {note}");
    }
    for model in &findings.models {
        let research = if model.research {
            ", research model: not validated, not for diagnosis"
        } else {
            ""
        };
        println!("  model         {} {}{research}", model.name, model.version);
    }
}
