//! Dice of a network on phantom images.

use std::fmt;

use sonode_phantom::training::TrainingImage;
use tch::{Device, Tensor};

use super::data;
use super::segmentation::tensors;
use crate::net::{LABELS, Network as _, UNet};

/// Images that are mapped at once.
const BATCH: usize = 16;

/// Overlap of a network's maps with the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Mean Dice of each label over the images that show it.
    pub dice: [f64; LABELS.len()],
    /// Area of the mapped cavity over the true one, in the third of images with the smallest cavities, the middle third
    /// and the third with the largest.
    pub cavity_area: [f64; 3],
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (label, dice) in LABELS.iter().zip(&self.dice) {
            write!(f, "Dice {label} {dice:.3}, ")?;
        }
        let [small, middle, large] = self.cavity_area;
        write!(
            f,
            "cavity area {small:.3} {middle:.3} {large:.3} of the truth (small, middle, large)"
        )
    }
}

/// Scores a network on images as they are.
pub(super) fn score(net: &UNet, images: &[TrainingImage]) -> Scores {
    let mut dice: [Vec<f64>; LABELS.len()] = std::array::from_fn(|_| Vec::new());
    let mut areas: Vec<[f64; 2]> = Vec::new();
    for chunk in images.chunks(BATCH) {
        let batch: Vec<data::Sample> = chunk.iter().map(data::plain).collect();
        let (input, masks) = tensors(&batch, Device::Cpu);
        let found = tch::no_grad(|| net.logits(&input, false).gt(0.0).to_kind(tch::Kind::Float));
        let sum = |x: &Tensor| x.sum_dim_intlist([2, 3].as_slice(), false, tch::Kind::Float);
        let (both, own, truth) = (sum(&(&found * &masks)), sum(&found), sum(&masks));
        for image in 0..batch.len() as i64 {
            for (label, dice) in dice.iter_mut().enumerate() {
                let at = [image, label as i64];
                let truth = truth.double_value(&at);
                if truth > 0.0 {
                    dice.push(2.0 * both.double_value(&at) / (own.double_value(&at) + truth));
                }
            }
            areas.push([
                own.double_value(&[image, 0]),
                truth.double_value(&[image, 0]),
            ]);
        }
    }
    Scores {
        dice: dice.map(|values| mean(&values)),
        cavity_area: thirds(&mut areas),
    }
}

fn thirds(areas: &mut [[f64; 2]]) -> [f64; 3] {
    areas.sort_by(|a, b| a[1].total_cmp(&b[1]));
    let third = areas.len().div_ceil(3).max(1);
    let mut ratios = areas.chunks(third).map(|areas| {
        let sum = |which: usize| areas.iter().map(|pair| pair[which]).sum::<f64>();
        sum(0) / sum(1).max(1.0)
    });
    std::array::from_fn(|_| ratios.next().unwrap_or(0.0))
}

/// The share of pairs of a true one and a false one in which the true one has the higher score; half of a tie.
pub(super) fn area_under_curve(scored: &[(f64, bool)]) -> f64 {
    let of = |wanted: bool| {
        scored
            .iter()
            .filter(move |(_, is)| *is == wanted)
            .map(|(score, _)| *score)
    };
    let (mut won, mut pairs) = (0.0, 0.0);
    for yes in of(true) {
        for no in of(false) {
            pairs += 1.0;
            won += if yes > no {
                1.0
            } else if yes < no {
                0.0
            } else {
                0.5
            };
        }
    }
    won / pairs
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_under_the_curve_counts_pairs() {
        let scored = [(0.9, true), (0.4, true), (0.6, false), (0.1, false)];
        assert!((area_under_curve(&scored) - 0.75).abs() < 1e-9);
        assert!((area_under_curve(&[(0.5, true), (0.5, false)]) - 0.5).abs() < 1e-9);
        assert!(area_under_curve(&[(0.5, true)]).is_nan());
    }

    #[test]
    fn thirds_are_taken_by_the_true_area() {
        let mut areas = [
            [60.0, 60.0],
            [11.0, 10.0],
            [27.0, 30.0],
            [22.0, 20.0],
            [55.0, 50.0],
            [36.0, 40.0],
        ];
        let [small, middle, large] = thirds(&mut areas);
        assert!((small - 1.1).abs() < 1e-9);
        assert!((middle - 0.9).abs() < 1e-9);
        assert!((large - 115.0 / 110.0).abs() < 1e-9);
    }
}
