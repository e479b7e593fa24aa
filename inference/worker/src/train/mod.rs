//! Training of the built-in network on the phantom, and on nothing else.

mod case;
mod data;
mod document;
pub mod evaluate;
mod score;

use std::io::{self, Write};
use std::path::PathBuf;

use sonode_phantom::ranges::Split;
use sonode_phantom::rng::Draw;
use sonode_phantom::training::{TrainingImage, label};
use tch::nn::{self, ModuleT as _, OptimizerConfig as _};
use tch::{Device, Kind, TchError, Tensor};

use crate::models::manifest::{Activation, Fit, Input, Layout, Manifest, Output, Padding, Task};
use crate::net::{ExportError, LABELS, UNet, WIDTHS, export, loss};

pub use score::Scores;

/// Images of one step.
const BATCH: usize = 32;

/// Highest learning rate, reached after the warm-up.
const RATE: f64 = 3e-3;

/// Share of the steps over which the learning rate rises.
const WARM_UP: f64 = 0.03;

/// Weight of each label in the loss: the cavity counts most, since volumes come from it.
const LABEL_WEIGHTS: [f32; LABELS.len()] = [3.0, 1.0, 1.0, 0.7];

/// A cavity under this share of the image is a small one, and is shown twice as often.
const SMALL_CAVITY_SHARE: f64 = 0.045;

/// Share of presentations that show no apical view.
const NEGATIVE_SHARE: f32 = 0.10;

/// One view image is drawn for so many training images; a third of them show another view.
const OTHER_VIEWS_SHARE: usize = 5;

/// Seeds of the splits start here, far apart, so that no image serves in two of them.
const SPLIT_SEEDS: u64 = 1 << 32;

/// What `sonode-worker train` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct TrainArgs {
    /// Folder for the TorchScript file and its manifest.
    #[arg(long, default_value = "models/lv-segmentation")]
    pub out: PathBuf,
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

/// Trains the network, exports it, and reports its Dice on validation and held-out images.
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
    let seed_of = |split: u64| args.seed.wrapping_mul(4 * SPLIT_SEEDS) + split * SPLIT_SEEDS;
    let images = data::draw_images(seed_of(0), args.images, Split::Train, args.threads);
    let others = args.images / OTHER_VIEWS_SHARE;
    let others = data::draw_other_views(seed_of(0), others, Split::Train, args.threads);
    writeln!(report, "{} images drawn", images.len())?;
    let store = nn::VarStore::new(Device::cuda_if_available());
    let net = UNet::new(&store.root(), &WIDTHS);
    fit(&net, &store, (&images, &others), args, report)?;
    drop((images, others));
    let mut store = store;
    store.set_device(Device::Cpu);
    let mut manifest = manifest_template();
    manifest.description = format!(
        "U-Net trained on the synthetic phantom alone: sonode-worker train --seed {} --images {} --presentations {} \
         --threads {}",
        args.seed, args.images, args.presentations, args.threads
    );
    export(&net, manifest, &args.out)?;
    for (number, name, split) in [
        (1, "validation", Split::Validation),
        (2, "held out", Split::HeldOut),
    ] {
        let images = data::draw_images(seed_of(number), args.score_images, split, args.threads);
        let scores = score::score(&net, &images);
        writeln!(report, "{name}, {} images: {scores}", images.len())?;
    }
    Ok(())
}

/// The manifest of the built-in network, without its checksum.
pub fn manifest_template() -> Manifest {
    Manifest {
        name: "lv-segmentation".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        task: Task::LvSegmentation,
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
            name: "maps".to_owned(),
            activation: Activation::Sigmoid,
            labels: LABELS.map(str::to_owned).to_vec(),
            unit: None,
        }],
        accuracy: None,
    }
}

/// Shows the images and adapts the weights.
fn fit(
    net: &UNet,
    store: &nn::VarStore,
    (images, others): (&[TrainingImage], &[Vec<u8>]),
    args: &TrainArgs,
    report: &mut dyn Write,
) -> Result<(), TrainError> {
    let mut optimizer = nn::AdamW::default().build(store, RATE)?;
    let steps = args.presentations / BATCH;
    let weights = Tensor::from_slice(&LABEL_WEIGHTS).to_device(store.device());
    let mut order = Order::new(images, args.seed);
    let mut draw = Draw::new(args.seed, 0x6175_676d);
    let mut running = 0.0;
    for step in 0..steps {
        optimizer.set_lr(rate(step, steps));
        let batch: Vec<data::Sample> = (0..BATCH)
            .map(|_| {
                let image = &images[order.next()];
                if draw.chance(NEGATIVE_SHARE) {
                    data::negative(image, others, &mut draw)
                } else {
                    data::augmented(image, &mut draw)
                }
            })
            .collect();
        let (input, masks) = tensors(&batch, store.device());
        let loss = loss(&net.forward_t(&input, true), &masks, &weights);
        optimizer.backward_step(&loss);
        running += loss.double_value(&[]);
        if (step + 1) % 50 == 0 {
            writeln!(
                report,
                "step {} of {steps}: loss {:.4}",
                step + 1,
                running / 50.0
            )?;
            report.flush()?;
            running = 0.0;
        }
    }
    Ok(())
}

/// Input `[n, 1, side, side]` and masks `[n, labels, side, side]` of a batch.
fn tensors(batch: &[data::Sample], device: Device) -> (Tensor, Tensor) {
    let side = data::SIDE as i64;
    let stack = |part: fn(&data::Sample) -> &[f32], channels: i64| {
        let values: Vec<f32> = batch
            .iter()
            .flat_map(|sample| part(sample).iter().copied())
            .collect();
        Tensor::from_slice(&values)
            .view([batch.len() as i64, channels, side, side])
            .to_device(device)
            .to_kind(Kind::Float)
    };
    (
        stack(|s| &s.input, 1),
        stack(|s| &s.masks, LABELS.len() as i64),
    )
}

/// Linear warm-up, then half a cosine down to nothing.
fn rate(step: usize, steps: usize) -> f64 {
    let done = (step as f64 + 1.0) / steps as f64;
    if done < WARM_UP {
        return RATE * done / WARM_UP;
    }
    let part = (done - WARM_UP) / (1.0 - WARM_UP);
    RATE * (1.0 + (part * std::f64::consts::PI).cos()) / 2.0
}

/// The order of presentation: every image once, small cavities twice, shuffled, and again.
struct Order {
    pool: Vec<usize>,
    at: usize,
    draw: Draw,
}

impl Order {
    fn new(images: &[TrainingImage], seed: u64) -> Self {
        let is_small = |image: &TrainingImage| {
            let cavity: f64 = image
                .labels
                .iter()
                .map(|class| f64::from(u8::from(*class == label::LV)))
                .sum();
            cavity < SMALL_CAVITY_SHARE * image.labels.len() as f64
        };
        let twice = images
            .iter()
            .enumerate()
            .filter(|(_, image)| is_small(image))
            .map(|(i, _)| i);
        let pool: Vec<usize> = (0..images.len()).chain(twice).collect();
        Self {
            at: pool.len(),
            pool,
            draw: Draw::new(seed, 0x6f72_6465),
        }
    }

    fn next(&mut self) -> usize {
        if self.at >= self.pool.len() {
            for i in (1..self.pool.len()).rev() {
                self.pool.swap(i, self.draw.index(i + 1));
            }
            self.at = 0;
        }
        self.at += 1;
        self.pool[self.at - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls_to_nothing() {
        assert!(rate(0, 1000) < RATE / 10.0);
        assert!((rate(29, 1000) - RATE).abs() < RATE / 100.0);
        assert!(rate(999, 1000) < RATE / 1000.0);
    }

    #[test]
    fn every_image_comes_in_each_round() {
        let images = data::draw_images(3, 4, Split::Train, 1);
        let mut order = Order::new(&images, 9);
        let round: Vec<usize> = (0..order.pool.len()).map(|_| order.next()).collect();
        for i in 0..4 {
            assert!(round.contains(&i));
        }
        let mut again = Order::new(&images, 9);
        assert!(round.iter().all(|i| *i == again.next()));
    }
}
