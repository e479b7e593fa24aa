//! `models run`: one model alone, on a tensor as it is or on a cine as an analysis would prepare it. What went in and what
//! came out are written as NumPy files, so that any other program can be held against them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use tch::{Kind, Tensor};

use super::super::ModelArgs;
use crate::analysis;
use crate::device;
use crate::models::prepare::{self, UnknownRate};
use crate::models::{self, Manifest, Module};

/// Which model, on what.
#[derive(Debug, Args)]
pub(in crate::cli) struct RunArgs {
    /// The model's name
    name: String,
    /// A DICOM cine, which is prepared as the manifest says, or a .npy file of float32 in the manifest's shape
    input: PathBuf,
    /// Folder for input.npy and one .npy file an output, before its activation; it is made if it is missing
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    models: ModelArgs,
}

/// Runs it.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<()> {
    let device = device::resolve(args.models.device)?;
    let listed = super::find(&args.name, &args.models.models_dir)?;
    let module = models::load_module(&listed, device)?;
    let manifest = &listed.manifest;
    let is_tensor = args.input.extension().is_some_and(|end| end == "npy");
    let input = if is_tensor {
        Tensor::read_npy(&args.input)
            .with_context(|| format!("{} can't be read", args.input.display()))?
    } else {
        prepared(manifest, &args.input)?
    };
    fits(&module, &input).with_context(|| args.input.display().to_string())?;
    let outputs = module.run(&input)?;
    fs::create_dir_all(&args.out)
        .with_context(|| format!("{} can't be made", args.out.display()))?;
    let names = manifest.output.iter().map(|output| output.name.as_str());
    for (name, tensor) in [("input", &input)].into_iter().chain(names.zip(&outputs)) {
        let file = args.out.join(format!("{name}.npy"));
        // Its writer takes the memory as it lies.
        tensor
            .contiguous()
            .write_npy(&file)
            .with_context(|| format!("{} can't be written", file.display()))?;
        println!("{} {:?}", file.display(), tensor.size());
    }
    Ok(())
}

/// The cine of a DICOM file as an analysis shows it to the model.
fn prepared(manifest: &Manifest, file: &Path) -> anyhow::Result<Tensor> {
    analysis::check(file).with_context(|| file.display().to_string())?;
    let prepared = analysis::prepare(file)?;
    let Some(clip) = prepared.clip() else {
        let why = prepared.rejection();
        bail!("{} is no cine to be measured: {why:?}", file.display());
    };
    let input = &manifest.input;
    match prepare::sampling(input, clip.frames, clip.frame_rate_hz) {
        Ok(sampling) => Ok(prepare::tensor(input, clip, &sampling)?),
        Err(UnknownRate) => bail!(
            "{} doesn't say its frame rate, and the model counts its frames in time",
            file.display()
        ),
    }
}

fn fits(module: &Module, input: &Tensor) -> anyhow::Result<()> {
    let count = input.size().first().copied().unwrap_or(0);
    let expected = module.input_shape(count.max(1) as usize);
    ensure!(
        input.kind() == Kind::Float && input.size() == expected,
        "holds {:?} of {:?}, but the model takes Float of {expected:?}, the first number being any",
        input.size(),
        input.kind()
    );
    Ok(())
}
