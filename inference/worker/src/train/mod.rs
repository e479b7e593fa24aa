//! Training of the built-in networks on the phantom, and on nothing else.
//!
//! ```text
//! data, distort     images, and what is done to them before each presentation; restyle for the view alone
//! segmentation      maps of the chambers                  score
//! gate              view and quality
//! evaluate          whole cines, read and compared with the truth        cines, case; document, figures, outcomes
//! ```

mod case;
mod cines;
mod data;
mod distort;
mod document;
pub mod evaluate;
mod figures;
mod gate;
mod outcomes;
mod restyle;
mod score;
mod segmentation;

use std::io::{self, Write};
use std::path::PathBuf;

use sonode_phantom::ranges::Split;
use tch::nn;
use tch::{Device, TchError};

use crate::models::manifest::{Activation, Fit, Input, Layout, Manifest, Output, Padding, Task};
use crate::net::{Classifier, ExportError, LABELS, UNet, WIDTHS, export};

pub use gate::GateScores;
pub use score::Scores;

/// Images of one step.
const BATCH: usize = 32;

/// Seeds of the splits start here, far apart, so that no image serves in two of them.
const SPLIT_SEEDS: u64 = 1 << 32;

/// A network that can be trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Trained {
    /// Maps of the chambers
    LvSegmentation,
    /// A4C, A2C or another view
    View,
    /// Whether an image can be read
    Quality,
}

/// What `sonode-worker train` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct TrainArgs {
    /// The network.
    #[arg(value_enum, default_value = "lv-segmentation")]
    pub network: Trained,
    /// Folder for the TorchScript file and its manifest [default: models/NETWORK]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Seed of images, weights and presentations.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Different training images.
    #[arg(long, default_value_t = 12_000)]
    pub images: usize,
    /// Images shown in all, each time augmented anew.
    #[arg(long, default_value_t = 72_000)]
    pub presentations: usize,
    /// Images of the validation split and of the held-out split that are scored at the end.
    #[arg(long, default_value_t = 400)]
    pub score_images: usize,
    /// Threads of libtorch and of the generator. With one, the same seed gives the same weights on one machine.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
}

/// Why training failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A number that can't be.
    #[error("--{0} must be at least {1}")]
    TooFew(&'static str, usize),
    /// libtorch failed.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
    /// The network could not be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The report could not be written.
    #[error("the report can't be written: {0}")]
    Io(#[from] io::Error),
}

/// Trains a network, exports it, and reports how it does on validation and held-out images.
///
/// # Errors
/// Every variant of [`TrainError`].
pub fn run(args: &TrainArgs, report: &mut dyn Write) -> Result<(), TrainError> {
    if args.images < BATCH {
        return Err(TrainError::TooFew("images", BATCH));
    }
    if args.presentations < BATCH {
        return Err(TrainError::TooFew("presentations", BATCH));
    }
    tch::set_num_threads(i32::try_from(args.threads).unwrap_or(1));
    tch::manual_seed(args.seed as i64);
    match args.network {
        Trained::LvSegmentation => segmentation(args, report),
        Trained::View => gate(Task::View, args, report),
        Trained::Quality => gate(Task::Quality, args, report),
    }
}

fn segmentation(args: &TrainArgs, report: &mut dyn Write) -> Result<(), TrainError> {
    let images = data::draw_images(args.first_seed(0), args.images, Split::Train, args.threads);
    writeln!(report, "{} images drawn", args.images)?;
    let mut store = nn::VarStore::new(Device::cuda_if_available());
    let net = UNet::new(&store.root(), &WIDTHS);
    segmentation::fit(&net, &store, &images, args, report)?;
    drop(images);
    store.set_device(Device::Cpu);
    export(&net, args.manifest(Task::LvSegmentation), &args.out())?;
    for (number, name, split) in SCORED {
        let first = args.first_seed(number);
        let images = data::draw_images(first, args.score_images, split, args.threads);
        let scores = score::score(&net, &images);
        writeln!(report, "{name}, {} images: {scores}", images.len())?;
    }
    Ok(())
}

fn gate(task: Task, args: &TrainArgs, report: &mut dyn Write) -> Result<(), TrainError> {
    let draw = |number, count, split| {
        gate::draw_images(task, args.first_seed(number), count, split, args.threads)
    };
    let images = draw(0, args.images, Split::Train);
    writeln!(report, "{} images drawn", args.images)?;
    let mut store = nn::VarStore::new(Device::cuda_if_available());
    let net = Classifier::new(&store.root(), gate::answers(task));
    gate::fit(&net, &store, &images, (task, args), report)?;
    drop(images);
    store.set_device(Device::Cpu);
    export(&net, args.manifest(task), &args.out())?;
    for (number, name, split) in SCORED {
        let images = draw(number, args.score_images, split);
        let scores = gate::score(task, &net, &images);
        writeln!(report, "{name}, {} images: {scores}", images.len())?;
    }
    Ok(())
}

/// What a trained network is scored on.
const SCORED: [(u64, &str, Split); 2] = [
    (1, "validation", Split::Validation),
    (2, "held out", Split::HeldOut),
];

impl TrainArgs {
    fn first_seed(&self, split: u64) -> u64 {
        self.seed.wrapping_mul(4 * SPLIT_SEEDS) + split * SPLIT_SEEDS
    }

    fn out(&self) -> PathBuf {
        self.out
            .clone()
            .unwrap_or_else(|| PathBuf::from("models").join(self.task().to_string()))
    }

    fn task(&self) -> Task {
        match self.network {
            Trained::LvSegmentation => Task::LvSegmentation,
            Trained::View => Task::View,
            Trained::Quality => Task::Quality,
        }
    }

    /// The manifest of what these arguments make, without its checksum.
    fn manifest(&self, task: Task) -> Manifest {
        let what = if task == Task::LvSegmentation {
            "U-Net"
        } else {
            "Convolutional classifier"
        };
        Manifest {
            description: format!(
                "{what} trained on the synthetic phantom alone: sonode-worker train {task} --seed {} --images {} \
                 --presentations {} --threads {}",
                self.seed, self.images, self.presentations, self.threads
            ),
            ..manifest_template(task)
        }
    }
}

/// The manifest of a built-in network, without its checksum.
pub fn manifest_template(task: Task) -> Manifest {
    let (name, activation, labels) = match task {
        Task::View => ("view", Activation::Softmax, gate::VIEWS.to_vec()),
        Task::Quality => ("quality", Activation::Sigmoid, vec!["quality"]),
        Task::LvSegmentation | Task::EfRegression => ("maps", Activation::Sigmoid, LABELS.to_vec()),
    };
    Manifest {
        name: task.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        task,
        file: "model.pt".to_owned(),
        sha256: "0".repeat(64),
        licence: "MIT OR Apache-2.0".to_owned(),
        research: true,
        description: String::new(),
        input: Input {
            layout: Layout::Nchw,
            channels: 1,
            frames: 1,
            stride: 1,
            frame_rate_hz: None,
            height: data::SIDE as u32,
            width: data::SIDE as u32,
            fit: Fit::Stretch,
            zoom: 0.0,
            padding: Padding::None,
            value_range: [0.0, 1.0],
            brightest_percentile: Some(data::BRIGHTEST_PERCENTILE),
            mean: vec![0.0],
            std: vec![1.0],
        },
        output: vec![Output {
            name: name.to_owned(),
            activation,
            labels: labels.into_iter().map(str::to_owned).collect(),
            unit: None,
        }],
        bfloat16: None,
        accuracy: None,
    }
}

/// The steps of a training and their learning rates: a linear warm-up, then half a cosine down to nothing.
struct Schedule<'a> {
    steps: usize,
    report: &'a mut dyn Write,
}

impl<'a> Schedule<'a> {
    /// Highest learning rate, reached after the warm-up.
    const TOP: f64 = 3e-3;

    /// Share of the steps over which the learning rate rises.
    const WARM_UP: f64 = 0.03;

    /// Steps between two lines of the report.
    const TELL: usize = 50;

    fn new(presentations: usize, report: &'a mut dyn Write) -> Self {
        Self {
            steps: presentations / BATCH,
            report,
        }
    }

    /// Runs each step with its rate, and reports the losses that it gives.
    fn run(self, mut step: impl FnMut(f64) -> f64) -> Result<(), TrainError> {
        let mut running = 0.0;
        for number in 0..self.steps {
            running += step(self.rate(number));
            if (number + 1) % Self::TELL == 0 {
                let mean = running / Self::TELL as f64;
                writeln!(
                    self.report,
                    "step {} of {}: loss {mean:.4}",
                    number + 1,
                    self.steps
                )?;
                self.report.flush()?;
                running = 0.0;
            }
        }
        Ok(())
    }

    fn rate(&self, step: usize) -> f64 {
        let done = (step as f64 + 1.0) / self.steps as f64;
        if done < Self::WARM_UP {
            return Self::TOP * done / Self::WARM_UP;
        }
        let part = (done - Self::WARM_UP) / (1.0 - Self::WARM_UP);
        Self::TOP * (1.0 + (part * std::f64::consts::PI).cos()) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::seeded;

    #[test]
    fn one_seed_on_one_thread_gives_the_same_weights_again() {
        let _turn = seeded(0);
        for network in [Trained::LvSegmentation, Trained::View] {
            let train = || {
                let folder = tempfile::tempdir().unwrap();
                let args = TrainArgs {
                    network,
                    out: Some(folder.path().to_owned()),
                    seed: 7,
                    images: BATCH,
                    presentations: 2 * BATCH,
                    score_images: 1,
                    threads: 1,
                };
                run(&args, &mut io::sink()).unwrap();
                std::fs::read(folder.path().join("model.pt")).unwrap()
            };
            assert!(train() == train(), "{network:?}");
        }
    }

    #[test]
    fn the_rate_rises_and_falls_to_nothing() {
        let mut nowhere = io::sink();
        let schedule = Schedule::new(1000 * BATCH, &mut nowhere);
        assert!(schedule.rate(0) < Schedule::TOP / 10.0);
        assert!((schedule.rate(29) - Schedule::TOP).abs() < Schedule::TOP / 100.0);
        assert!(schedule.rate(999) < Schedule::TOP / 1000.0);
    }
}
