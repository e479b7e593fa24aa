//! Evaluation of the whole measurement on phantom cines whose truth is known.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sha2::{Digest, Sha256};
use sonode_phantom::anatomy::View;
use sonode_phantom::cine::{Quality, Study, StudySpec, Subject};
use sonode_phantom::style::Style;
use tch::Device;

use super::case::{Case, Outcome};
use super::document;
use crate::models::manifest::{Accuracy, Manifest};
use crate::models::{MANIFEST, Models, ModelsError, hex, list};

/// What `sonode-worker evaluate` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct EvaluateArgs {
    /// Folder with the models.
    #[arg(long, default_value = "models")]
    pub models: PathBuf,
    /// The document to write.
    #[arg(long, default_value = "inference/EVALUATION.md")]
    pub out: PathBuf,
    /// Four-chamber cines of each of the four styles.
    #[arg(long, default_value_t = 25)]
    pub cines: usize,
    /// First seed.
    #[arg(long, default_value_t = 900_000)]
    pub seed: u64,
    /// Cines that are rendered and read at once.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Write the measured error of EF into the model's manifest, from which intervals are made.
    #[arg(long)]
    pub record: bool,
}

/// Why an evaluation failed.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The models can't be used.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The document or the manifest can't be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The manifest can't be written as TOML.
    #[error("the manifest can't be written: {0}")]
    Manifest(#[from] toml::ser::Error),
}

/// Reads phantom cines of every style and writes what was found against what is true.
///
/// # Errors
/// Every variant of [`EvaluateError`].
pub fn run(args: &EvaluateArgs, report: &mut (dyn Write + Send)) -> Result<(), EvaluateError> {
    let models = Models::load(&args.models, Device::cuda_if_available(), true)?;
    let specs = specs(args);
    let cases = read_all(&specs, &models, args.threads, report);
    let text = document::write(args, &models, &seed_digest(&specs), &cases);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| EvaluateError::Io { path, source }
    };
    fs::write(&args.out, text).map_err(io(&args.out))?;
    if args.record {
        record(args, &cases)?;
    }
    Ok(())
}

/// The cines: for each style four-chamber ones, then a fifth as many two-chamber ones, spoilt ones and other subjects.
fn specs(args: &EvaluateArgs) -> Vec<StudySpec> {
    let mut specs = Vec::new();
    let others = args.cines.div_ceil(5);
    for (number, style) in Style::ALL.into_iter().enumerate() {
        let first = args.seed + 10_000 * number as u64;
        for i in 0..args.cines as u64 {
            let mut spec = StudySpec::new(first + i, style);
            spec.quality = if i % 2 == 0 {
                Quality::Good
            } else {
                Quality::Fair
            };
            specs.push(spec);
        }
        for i in 0..others as u64 {
            let seed = first + 5_000 + i;
            specs.push(StudySpec::of(seed, style, Subject::Apical(View::A2c)));
            let spoilt = StudySpec {
                quality: Quality::Poor,
                ..StudySpec::new(seed + 1_000, style)
            };
            specs.push(spoilt);
            for subject in [
                Subject::Plax,
                Subject::ShortAxis,
                Subject::Noise,
                Subject::Blank,
            ] {
                specs.push(StudySpec::of(seed + 2_000, style, subject));
            }
        }
    }
    specs
}

/// Renders and reads every cine; the result doesn't depend on the number of threads.
fn read_all(
    specs: &[StudySpec],
    models: &Models,
    threads: usize,
    report: &mut (dyn Write + Send),
) -> Vec<Case> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((at, spec)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            specs.get(at).map(|spec| (at, spec))
        } {
            done.push((at, Case::read(&Study::generate(spec), models)));
        }
        done
    };
    let mut cases: Vec<(usize, Case)> = thread::scope(|scope| {
        let workers: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let mut cases = work();
        for worker in workers {
            cases.extend(
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        cases
    });
    cases.sort_by_key(|(at, _)| *at);
    let cases: Vec<Case> = cases.into_iter().map(|(_, case)| case).collect();
    for case in &cases {
        // A report that nobody reads any more must not end the evaluation.
        if writeln!(report, "{case}").is_err() {
            break;
        }
    }
    cases
}

/// SHA-256 of the seeds, so that a reader can see which cines a table stands on.
fn seed_digest(specs: &[StudySpec]) -> String {
    let mut digest = Sha256::new();
    for spec in specs {
        digest.update(format!(
            "{:?} {:?} {}\n",
            spec.style, spec.subject, spec.seed
        ));
    }
    hex(&digest.finalize())
}

/// Writes the deviation of EF's error into the manifest.
fn record(args: &EvaluateArgs, cases: &[Case]) -> Result<(), EvaluateError> {
    let errors: Vec<f64> = cases
        .iter()
        .filter(|case| case.is_four_chamber() && !case.is_spoilt())
        .filter_map(|case| match &case.outcome {
            Outcome::Measured(m) => Some(m.lvef_percent - case.truth.as_ref()?.lvef_percent),
            Outcome::Refused(..) => None,
        })
        .collect();
    let square = errors.iter().map(|error| error * error).sum::<f64>() / errors.len().max(1) as f64;
    let accuracy = Accuracy {
        ef_error_sd_points: (square.sqrt() * 10.0).round() / 10.0,
        measured_on: format!(
            "{} phantom cines of four styles, seed {}, see inference/EVALUATION.md",
            errors.len(),
            args.seed
        ),
    };
    for model in list(&args.models)? {
        let manifest = Manifest {
            accuracy: Some(accuracy.clone()),
            ..model.manifest
        };
        let path = model.file.with_file_name(MANIFEST);
        let text = toml::to_string(&manifest)?;
        fs::write(&path, text).map_err(|source| EvaluateError::Io { path, source })?;
    }
    Ok(())
}
