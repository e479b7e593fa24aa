//! `sonode models`: the registry, which the worker keeps, since it alone may load a model.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::CliError;
use crate::config::default_models_dir;

#[derive(Debug, Args)]
pub(super) struct Models {
    #[command(subcommand)]
    command: Option<ModelsCommand>,
    /// Folder of models. Default: models.
    #[arg(long, value_name = "DIR", global = true)]
    models_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// Every model, with its task, version, licence and checksum.
    List,
    /// Everything that a model's manifest says.
    Inspect {
        /// Name of the model.
        name: String,
    },
    /// How fast a model runs here.
    Bench {
        /// Name of the model, or the folder of a second reader's checkpoint.
        name: String,
        /// How a second reader's weights are stored: fp32, bf16, int8 or int4.
        #[arg(long)]
        dtype: Option<String>,
    },
}

/// Hands the question to the worker.
pub(super) fn run(args: &Models) -> Result<(), CliError> {
    let mut command = super::worker::command("models");
    match &args.command {
        None | Some(ModelsCommand::List) => command.arg("list"),
        Some(ModelsCommand::Inspect { name }) => command.arg("inspect").arg(name),
        Some(ModelsCommand::Bench { name, dtype }) => {
            let dtype = dtype.iter().flat_map(|dtype| ["--dtype", dtype]);
            command.arg("bench").arg(name).args(dtype)
        }
    };
    command
        .arg("--models-dir")
        .arg(args.models_dir.clone().unwrap_or_else(default_models_dir));
    super::worker::finish(command)
}
