//! `overlay`: a page of the node's as a picture.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use clap::Args;
use sonode_conformance::SopInstanceUid;
use sonode_findings::protocol::FrameOf;

use crate::dicom;
use crate::illustrate;

/// Arguments of `overlay`.
#[derive(Debug, Args)]
pub(super) struct OverlayArgs {
    /// The page as SVG, which names frames as frame:0, frame:1 and so on
    #[arg(long)]
    page: PathBuf,
    /// Each of those frames in order, as SOP-INSTANCE-UID:FRAME
    #[arg(long = "frame")]
    frames: Vec<Named>,
    /// Where the PNG goes
    #[arg(long)]
    out: PathBuf,
    /// The study's DICOM files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// A frame by its instance.
#[derive(Debug, Clone)]
struct Named {
    sop: SopInstanceUid,
    frame: u32,
}

impl FromStr for Named {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.rsplit_once(':');
        let named = parts.and_then(|(sop, frame)| {
            Some(Self {
                sop: sop.parse().ok()?,
                frame: frame.parse().ok()?,
            })
        });
        named.ok_or("write SOP-INSTANCE-UID:FRAME")
    }
}

/// Puts frames of the files into the page.
pub(super) fn run(args: &OverlayArgs) -> anyhow::Result<()> {
    let svg = fs::read_to_string(&args.page)
        .with_context(|| format!("reading {}", args.page.display()))?;
    let mut known: Vec<(SopInstanceUid, &PathBuf)> = Vec::new();
    for file in &args.files {
        let opened = dicom::open(file).with_context(|| format!("opening {}", file.display()))?;
        known.extend(opened.sop_instance_uid().map(|sop| (sop, file)));
    }
    let frame = |named: &Named| {
        let found = known.iter().find(|(sop, _)| *sop == named.sop);
        let (_, path) = found.with_context(|| format!("none of the files is {}", named.sop))?;
        anyhow::Ok(FrameOf {
            path: (*path).clone(),
            frame: named.frame,
        })
    };
    let frames: Vec<FrameOf> = args.frames.iter().map(frame).collect::<Result<_, _>>()?;
    let png = illustrate::png(&svg, &frames)?;
    fs::write(&args.out, png).with_context(|| format!("writing {}", args.out.display()))
}
