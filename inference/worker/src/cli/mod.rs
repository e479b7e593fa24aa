//! The command line.

mod analyze;
mod export;
mod models;
mod overlay;
mod phantom;
mod read;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::device::{self, DeviceChoice};
use crate::second_reader::{
    self,
    linear::Precision,
    question::Language,
    review::{ReviewOptions, WhenLate},
};
use crate::serve::{self, ServeError};
use crate::train;

/// No model may be used: none is there, or only research models are and they are not allowed.
const NO_MODEL: u8 = 3;

/// Measures the left ventricle in DICOM echo cines.
#[derive(Debug, Parser)]
#[command(name = "sonode-worker", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a node: jobs on standard input, findings on standard output
    Serve(ServeArgs),
    /// Analyse files and print what was found
    Analyze(analyze::AnalyzeArgs),
    /// Put frames into a page of the node's
    Overlay(overlay::OverlayArgs),
    /// Ask the second reader, a vision-language model
    Read(read::ReadArgs),
    /// Write a synthetic study whose volumes are known
    Phantom(phantom::PhantomArgs),
    /// Train the built-in network on the phantom
    Train(train::TrainArgs),
    /// Evaluate the models on phantom cines
    Evaluate(train::evaluate::EvaluateArgs),
    /// Copy one verified model into a folder of its own, for another node
    Export(export::ExportArgs),
    /// The registry of models
    #[command(subcommand)]
    Models(models::ModelsCommand),
}

/// Which models, and where they run.
#[derive(Debug, Clone, Args)]
struct ModelArgs {
    /// Folder of the models
    #[arg(long, default_value = "models")]
    models_dir: PathBuf,
    /// auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    models: ModelArgs,
    /// Let models that were trained on synthetic data alone measure patients
    #[arg(long)]
    allow_research_models: bool,
    /// The only folder whose files may be opened
    #[arg(long)]
    spool: Option<PathBuf>,
    #[command(flatten)]
    second_reader: SecondReaderArgs,
}

/// A second reader beside the measurement.
#[expect(
    clippy::struct_field_names,
    reason = "the options of `serve` that are the second reader's say so"
)]
#[derive(Debug, Args)]
struct SecondReaderArgs {
    /// Folder of a second reader's checkpoint
    #[arg(long)]
    second_reader: Option<PathBuf>,
    /// Folder of a LoRA adapter for it
    #[arg(long, requires = "second_reader")]
    second_reader_adapter: Option<PathBuf>,
    /// How its weights are stored: fp32, bf16, int8 or int4
    #[arg(long, default_value = "int8")]
    second_reader_dtype: Precision,
    /// Longest time that an answer is held for its reading, in seconds
    #[arg(long, default_value_t = 20)]
    second_reader_deadline_s: u64,
    /// What becomes of a reading that was not in time: drop it, or revise the report
    #[arg(long, default_value = "drop")]
    second_reader_when_late: WhenLate,
    /// Language of its narrative: en or zh
    #[arg(long, default_value = "en")]
    second_reader_language: Language,
    /// Let it read on a CPU, which takes minutes at full size
    #[arg(long)]
    second_reader_on_cpu: bool,
}

impl SecondReaderArgs {
    fn options(&self, device: DeviceChoice) -> anyhow::Result<Option<ReviewOptions>> {
        let Some(checkpoint) = &self.second_reader else {
            return Ok(None);
        };
        let device = device::resolve(device)?;
        if !device.is_cuda() && !self.second_reader_on_cpu {
            tracing::warn!(
                "the second reader is off: there is no GPU, and it was not asked for on a CPU"
            );
            return Ok(None);
        }
        let reader = second_reader::Options {
            checkpoint: checkpoint.clone(),
            adapter: self.second_reader_adapter.clone(),
            precision: self.second_reader_dtype,
            device,
            // Asked before the worker gives up the right to start other programs.
            memory: second_reader::budget::free(device),
            progress: false,
        };
        Ok(Some(ReviewOptions {
            reader,
            deadline: Duration::from_secs(self.second_reader_deadline_s),
            when_late: self.second_reader_when_late,
            language: self.second_reader_language,
        }))
    }
}

/// What is logged unless the environment says otherwise. That a second font is taken for Chinese is no warning.
const LOG: &str = "info,usvg=error";

/// Runs the program.
pub fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG)))
        .init();
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sonode-worker: {}", message(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, without those that the error before has already told.
fn message(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if parts.last().is_none_or(|before| !before.contains(&cause)) {
            parts.push(cause);
        }
    }
    parts.join(": ")
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let wants_gpu = match &command {
        Command::Serve(args) => args.models.device != DeviceChoice::Cpu,
        Command::Analyze(args) => args.models.device != DeviceChoice::Cpu,
        Command::Read(args) => args.reader.device != DeviceChoice::Cpu,
        Command::Train(_) | Command::Evaluate(_) | Command::Models(_) => true,
        Command::Export(_) | Command::Overlay(_) | Command::Phantom(_) => false,
    };
    if wants_gpu {
        serve::restart_with_cuda()?;
    }
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Serve(args) => serve(args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Overlay(args) => overlay::run(&args).map(done),
        Command::Read(args) => read::run(&args).map(done),
        Command::Phantom(args) => phantom::run(&args).map(done),
        Command::Train(args) => Ok(train::run(&args, &mut io::stdout()).map(done)?),
        Command::Evaluate(args) => Ok(train::evaluate::run(&args, &mut io::stdout()).map(done)?),
        Command::Export(args) => export::run(&args).map(done),
        Command::Models(command) => models::run(&command).map(done),
    }
}

fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let options = serve::Options {
        models_dir: args.models.models_dir,
        device: args.models.device,
        allow_research_models: args.allow_research_models,
        spool: args.spool,
        second_reader: args.second_reader.options(args.models.device)?,
    };
    match serve::run(&options, io::stdin(), io::stdout().lock()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error @ ServeError::Models(_)) => {
            eprintln!("sonode-worker: {error}");
            Ok(ExitCode::from(NO_MODEL))
        }
        Err(error) => Err(error.into()),
    }
}
