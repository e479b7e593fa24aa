//! Evaluation of the whole measurement on phantom cines whose truth is known.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use sonode_phantom::cine::StudySpec;
use tch::Device;

use super::case::Case;
use super::cines::ACQUIRED;
use super::{cines, document};
use crate::measure::INTERVAL_DEVIATIONS;
use crate::models::manifest::{Accuracy, Manifest, Task};
use crate::models::{MANIFEST, Models, ModelsError, list};

/// What `sonode-worker evaluate` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct EvaluateArgs {
    /// Folder with the models.
    #[arg(long, default_value = "models")]
    pub models: PathBuf,
    /// The document to write.
    #[arg(long, default_value = "inference/EVALUATION.md")]
    pub out: PathBuf,
    /// Four-chamber cines of each held-out style; there are half as many of each other style.
    #[arg(long, default_value_t = 200)]
    pub cines: usize,
    /// First seed; with --calibrate it should be another one, such as 700000.
    #[arg(long, default_value_t = 900_000)]
    pub seed: u64,
    /// Cines that are rendered and read at once.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Write no document: read cines of the styles of the training instead, and write the error of EF that makes a
    /// 90 % interval hold nine in ten of them into the model's manifest.
    #[arg(long)]
    pub calibrate: bool,
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
    /// Nothing was measured that an error could be found from.
    #[error("none of the {0} cines was measured: there is no error to calibrate with")]
    NothingMeasured(usize),
    /// The manifest can't be written as TOML.
    #[error("the manifest can't be written: {0}")]
    Manifest(#[from] toml::ser::Error),
}

/// Reads phantom cines and writes what was found against what is true, or with `calibrate` how far EF is off.
///
/// # Errors
/// Every variant of [`EvaluateError`].
pub fn run(args: &EvaluateArgs, report: &mut (dyn Write + Send)) -> Result<(), EvaluateError> {
    let models = Models::load(&args.models, Device::cuda_if_available(), true)?;
    if args.calibrate {
        let specs = cines::calibration(args.cines, args.seed);
        let cases = cines::read(&specs, &models, args.threads, report);
        return calibrate(args, &models, &cases);
    }
    let specs = cines::evaluation(args.cines, args.seed);
    let acquired = ACQUIRED.map(|way| cines::acquired(way, args.cines, args.seed));
    let mut read = |specs: &Vec<StudySpec>| cines::read(specs, &models, args.threads, report);
    let evaluation = Evaluation {
        seeds: cines::digest(specs.iter().chain(acquired.iter().flatten())),
        cases: read(&specs),
        acquired: acquired.each_ref().map(read),
    };
    let text = document::write(args, &models, &evaluation);
    fs::write(&args.out, text).map_err(|source| EvaluateError::Io {
        path: args.out.clone(),
        source,
    })
}

/// What was read.
pub(super) struct Evaluation {
    /// SHA-256 of what every cine was drawn from.
    pub(super) seeds: String,
    pub(super) cases: Vec<Case>,
    /// By the place in [`ACQUIRED`].
    pub(super) acquired: [Vec<Case>; ACQUIRED.len()],
}

/// Writes the error of EF into the segmentation model's manifest.
fn calibrate(args: &EvaluateArgs, models: &Models, cases: &[Case]) -> Result<(), EvaluateError> {
    let stated = models.segmentation().manifest().ef_error_points();
    let needed: Vec<f64> = cases
        .iter()
        .filter_map(|case| {
            let (measured, truth) = case.measured()?;
            let error = measured.lvef_percent - truth.lvef_percent;
            Some(error_needed(error, measured.interval, stated))
        })
        .collect();
    let ef_error_sd_points =
        covering(needed, COVERED_SHARE).ok_or(EvaluateError::NothingMeasured(cases.len()))?;
    let accuracy = Accuracy {
        ef_error_sd_points: (ef_error_sd_points * UNSEEN_DEVICE * 10.0).round() / 10.0,
        measured_on: format!(
            "{} phantom cines of the styles of the training, times {UNSEEN_DEVICE:.2} for a device that is none of them: \
             sonode-worker evaluate --calibrate --seed {} --cines {}",
            cases.len(),
            args.seed,
            args.cines
        ),
    };
    let segmentation = list(&args.models)?
        .into_iter()
        .filter(|model| model.manifest.task == Task::LvSegmentation);
    for model in segmentation {
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

/// How much larger EF's error is on devices and at sites that the training has not seen, as every patient's are for a
/// model that has seen a phantom alone: EchoNet-Dynamic's mean error was 4.1 points at home and 6.0 at another hospital
/// (Ouyang 2020, PMC8979576).
const UNSEEN_DEVICE: f64 = 6.0 / 4.1;

/// The share of cines whose true EF an interval should hold.
const COVERED_SHARE: f64 = 0.90;

/// The model's error, in points, with which the interval of this cine would just hold the true EF: what the clip
/// itself contributes to its width, beside the error that was `stated` when it was made, stays as it is.
fn error_needed(error: f64, interval: [f64; 2], stated: f64) -> f64 {
    let deviation = (interval[1] - interval[0]) / 2.0 / INTERVAL_DEVIATIONS;
    let of_clip = (deviation * deviation - stated * stated).max(0.0);
    let wanted = error.abs() / INTERVAL_DEVIATIONS;
    (wanted * wanted - of_clip).max(0.0).sqrt()
}

/// The smallest of the values that a share of them doesn't exceed.
fn covering(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_that_covers_nine_in_ten_is_the_ninetieth_percentile_of_those_needed() {
        let values: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(covering(values, 0.9), Some(9.0));
        assert_eq!(covering(Vec::new(), 0.9), None);
    }

    #[test]
    fn what_the_clip_contributes_is_not_asked_of_the_model() {
        // A deviation of 5, of which the model's stated 4 leaves 3 to the clip.
        let half = 5.0 * INTERVAL_DEVIATIONS;
        let needed = |error: f64| error_needed(error, [50.0 - half, 50.0 + half], 4.0);
        assert!((needed(half) - 4.0).abs() < 1e-9);
        assert!((needed(-half) - 4.0).abs() < 1e-9);
        assert!(needed(3.0 * INTERVAL_DEVIATIONS).abs() < 1e-6);
    }
}
