//! `overlay`: the picture of a measurement.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use sonode_findings::Findings;

use crate::dicom;
use crate::overlay;

/// Arguments of `overlay`.
#[derive(Debug, Args)]
pub(super) struct OverlayArgs {
    /// findings.json, as `analyze --json` writes it
    #[arg(long)]
    findings: PathBuf,
    /// Where the PNG goes
    #[arg(long)]
    out: PathBuf,
    /// The study's DICOM files; the one that the findings stand on is drawn
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Draws the clip that the findings' summary stands on.
pub(super) fn run(args: &OverlayArgs) -> anyhow::Result<()> {
    let text = fs::read_to_string(&args.findings)
        .with_context(|| format!("reading {}", args.findings.display()))?;
    let findings: Findings = serde_json::from_str(&text)
        .with_context(|| format!("{} holds no findings", args.findings.display()))?;
    let Some(clip) = findings.sources().first().copied() else {
        bail!("nothing was measured in this study, so there is nothing to draw");
    };
    for file in &args.files {
        let opened = dicom::open(file).with_context(|| format!("opening {}", file.display()))?;
        if opened.sop_instance_uid().as_ref() == Some(&clip.sop_instance_uid) {
            let png = overlay::draw(&opened, clip, findings.lv.as_ref())?;
            return fs::write(&args.out, png)
                .with_context(|| format!("writing {}", args.out.display()));
        }
    }
    bail!(
        "none of the files is the clip that was measured, {}",
        clip.sop_instance_uid
    )
}
