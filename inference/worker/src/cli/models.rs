//! `models`: what is in the registry, and how fast it is here.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use super::ModelArgs;
use crate::device;
use crate::models::{self, BUCKETS, Listed, Models};

/// Runs of each batch size that are timed, after one that isn't.
const RUNS: usize = 5;

/// What to do with the registry.
#[derive(Debug, Subcommand)]
pub(super) enum ModelsCommand {
    /// Name every model whose file has its stated checksum
    List(FolderArgs),
    /// Print one model's manifest
    Inspect {
        /// The model's name
        name: String,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Time one model on this machine
    Bench {
        /// The model's name
        name: String,
        #[command(flatten)]
        models: ModelArgs,
    },
}

/// Where the models are.
#[derive(Debug, Clone, Args)]
pub(super) struct FolderArgs {
    /// Folder of the models
    #[arg(long, default_value = "models")]
    models_dir: PathBuf,
}

/// Runs one of them.
pub(super) fn run(command: &ModelsCommand) -> anyhow::Result<()> {
    match command {
        ModelsCommand::List(folder) => list(folder),
        ModelsCommand::Inspect { name, folder } => inspect(name, folder),
        ModelsCommand::Bench { name, models } => bench(name, models),
    }
}

fn list(folder: &FolderArgs) -> anyhow::Result<()> {
    for Listed { manifest, .. } in models::list(&folder.models_dir)? {
        let model = manifest.model_ref();
        let research = if model.research { "research" } else { "" };
        let task = manifest.task;
        println!(
            "{:<24} {:<10} {task:<20} {research}",
            model.name, model.version
        );
    }
    Ok(())
}

fn inspect(name: &str, folder: &FolderArgs) -> anyhow::Result<()> {
    let listed = find(name, folder)?;
    println!("# {}", listed.file.display());
    print!("{}", toml::to_string_pretty(&listed.manifest)?);
    Ok(())
}

fn find(name: &str, folder: &FolderArgs) -> anyhow::Result<Listed> {
    models::list(&folder.models_dir)?
        .into_iter()
        .find(|listed| listed.manifest.name == name)
        .with_context(|| format!("{} has no model \"{name}\"", folder.models_dir.display()))
}

/// Frames a second of each batch size. A frame is mapped twice, directly and in the mirror, as in an analysis.
fn bench(name: &str, args: &ModelArgs) -> anyhow::Result<()> {
    let device = device::resolve(args.device)?;
    let models = Models::load(&args.models_dir, device, true)?;
    let segmentation = models.segmentation();
    if segmentation.manifest().name != name {
        bail!(
            "only the segmentation model runs, and that is \"{}\"",
            segmentation.manifest().name
        );
    }
    println!("{name} on {}", device::name(device));
    println!("{:>6}  {:>12}  {:>10}", "batch", "ms a batch", "frames/s");
    let side = segmentation.side();
    let frame = vec![0.5_f32; side * side];
    for bucket in BUCKETS {
        let frames = vec![frame.clone(); bucket];
        segmentation.run(&frames)?;
        let begun = Instant::now();
        for _ in 0..RUNS {
            segmentation.run(&frames)?;
        }
        let seconds = begun.elapsed().as_secs_f64() / RUNS as f64;
        println!(
            "{bucket:>6}  {:>12.2}  {:>10.1}",
            seconds * 1000.0,
            bucket as f64 / seconds
        );
    }
    Ok(())
}
