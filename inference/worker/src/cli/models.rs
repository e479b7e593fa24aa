//! `models`: what is in the registry, what one of them gives for an input, and how fast it is here.

mod run;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, Subcommand};
use tch::{Device, Kind, Tensor};

use super::ModelArgs;
use crate::device;
use crate::models::manifest::Layout;
use crate::models::{self, Listed};
use crate::second_reader::{self, linear::Precision};

/// Runs of each batch size that are timed, after one that isn't.
const RUNS: usize = 15;

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
        /// The model's name, or the folder of a second reader's checkpoint
        name: String,
        /// How a second reader's weights are stored: fp32, bf16, int8 or int4
        #[arg(long, default_value = "bf16")]
        dtype: Precision,
        #[command(flatten)]
        models: ModelArgs,
    },
    /// Run one model on a tensor or a cine, and keep what went in and what came out
    Run(run::RunArgs),
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
        ModelsCommand::Bench {
            name,
            dtype,
            models,
        } => {
            let checkpoint = PathBuf::from(name);
            if checkpoint.join("config.json").is_file() {
                bench_reader(checkpoint, *dtype, models)
            } else {
                bench(name, models)
            }
        }
        ModelsCommand::Run(args) => run::run(args),
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
    let listed = models::find(&folder.models_dir, name)?;
    println!("# {}", listed.file.display());
    print!("{}", toml::to_string_pretty(&listed.manifest)?);
    Ok(())
}

fn bench_reader(checkpoint: PathBuf, precision: Precision, args: &ModelArgs) -> anyhow::Result<()> {
    let options = second_reader::Options {
        checkpoint,
        adapter: None,
        precision,
        device: device::resolve(args.device)?,
        memory: None,
        progress: true,
    };
    Ok(second_reader::bench::run(&options, &mut std::io::stdout())?)
}

/// Frames or clips a second of each batch size.
fn bench(name: &str, args: &ModelArgs) -> anyhow::Result<()> {
    let device = device::resolve(args.device)?;
    let listed = models::find(&args.models_dir, name)?;
    let module = models::load_as_used(&listed, device)?;
    let what = match listed.manifest.input.layout {
        Layout::Nchw => "frames/s",
        Layout::Ncthw => "clips/s",
    };
    println!("{name} on {}, {}", device::name(device), module.way());
    println!("{:>6}  {:>12}  {what:>10}", "batch", "ms a batch");
    for bucket in module.buckets() {
        let input = Tensor::full(module.input_shape(*bucket), 0.5, (Kind::Float, Device::Cpu));
        module.run(&input)?;
        let begun = Instant::now();
        for _ in 0..RUNS {
            module.run(&input)?;
        }
        let seconds = begun.elapsed().as_secs_f64() / RUNS as f64;
        println!(
            "{bucket:>6}  {:>12.2}  {:>10.1}",
            seconds * 1000.0,
            *bucket as f64 / seconds
        );
    }
    Ok(())
}
