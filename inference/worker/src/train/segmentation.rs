//! Training of the network that maps the chambers.

use std::io::Write;

use sonode_phantom::rng::Draw;
use sonode_phantom::training::{TrainingImage, label};
use tch::nn::{self, OptimizerConfig as _};
use tch::{Device, Kind, Tensor};

use super::{BATCH, Schedule, TrainArgs, TrainError, data};
use crate::net::{LABELS, Network as _, UNet, loss};

/// Weight of each label in the loss: the cavity counts most, since volumes come from it.
const LABEL_WEIGHTS: [f32; LABELS.len()] = [3.0, 1.0, 1.0, 0.7];

/// A cavity under this share of the image is a small one, and is shown twice as often.
const SMALL_CAVITY_SHARE: f64 = 0.045;

/// Share of presentations that show no heart.
const NEGATIVE_SHARE: f32 = 0.05;

/// Shows the images and adapts the weights.
pub(super) fn fit(
    net: &UNet,
    store: &nn::VarStore,
    images: &[TrainingImage],
    args: &TrainArgs,
    report: &mut dyn Write,
) -> Result<(), TrainError> {
    let mut optimizer = nn::AdamW::default().build(store, Schedule::TOP)?;
    let weights = Tensor::from_slice(&LABEL_WEIGHTS).to_device(store.device());
    let mut order = Order::new(images, args.seed);
    let mut draw = Draw::new(args.seed, 0x6175_676d);
    Schedule::new(args.presentations, report).run(|rate| {
        optimizer.set_lr(rate);
        let batch: Vec<data::Sample> = (0..BATCH)
            .map(|_| {
                let image = &images[order.next()];
                if draw.chance(NEGATIVE_SHARE) {
                    data::negative(image, &mut draw)
                } else {
                    data::augmented(image, &mut draw)
                }
            })
            .collect();
        let (input, masks) = tensors(&batch, store.device());
        let loss = loss(&net.logits(&input, true), &masks, &weights);
        optimizer.backward_step(&loss);
        loss.double_value(&[])
    })
}

/// Input `[n, 1, side, side]` and masks `[n, labels, side, side]` of a batch.
pub(super) fn tensors(batch: &[data::Sample], device: Device) -> (Tensor, Tensor) {
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
    use sonode_phantom::ranges::Split;

    use super::*;

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
