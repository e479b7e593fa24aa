//! The segmentation network: a small U-Net.

use tch::nn::{self, ConvConfig};
use tch::{Kind, Tensor};

use super::{Layer, Network, pair};

/// Structures that the network maps, in the order of its output channels.
pub const LABELS: [&str; 4] = ["lv", "myocardium", "la", "right-heart"];

/// Channels of the four levels.
pub const WIDTHS: [i64; 4] = [16, 32, 64, 112];

/// A U-Net of four levels on a grid of half the input's size: `[n, 1, side, side]` to logits `[n, 4, side, side]`, for
/// a side that is a multiple of 16.
///
/// Pixels are folded into channels at the input and unfolded at the output (`PixelUnshuffle`, `PixelShuffle`), which
/// keeps the outline's sub-pixel detail at a quarter of the cost.
#[derive(Debug)]
pub struct UNet {
    down: Vec<[Layer; 2]>,
    up: Vec<[Layer; 2]>,
    head: nn::Conv2D,
}

impl UNet {
    /// A network with new weights under `path`, of the given widths.
    pub fn new(path: &nn::Path<'_>, widths: &[i64]) -> Self {
        let mut from = 4;
        let mut down = Vec::new();
        for (level, to) in widths.iter().enumerate() {
            down.push(pair(&(path / "down" / level), from, *to));
            from = *to;
        }
        let mut up = Vec::new();
        for (level, to) in widths.iter().enumerate().rev().skip(1) {
            up.push(pair(&(path / "up" / level), from + to, *to));
            from = *to;
        }
        let head = nn::conv2d(
            path / "head",
            from,
            4 * LABELS.len() as i64,
            1,
            ConvConfig::default(),
        );
        Self { down, up, head }
    }
}

impl Network for UNet {
    fn layers(&self) -> Vec<&Layer> {
        self.down.iter().chain(&self.up).flatten().collect()
    }

    fn wire(&self, input: &Tensor, layer: &mut dyn FnMut(&Layer, &Tensor) -> Tensor) -> Tensor {
        let mut pair = |[a, b]: &[Layer; 2], x: &Tensor| {
            let x = layer(a, x);
            layer(b, &x)
        };
        let mut x = input.pixel_unshuffle(2);
        let mut skips = Vec::new();
        for (level, layers) in self.down.iter().enumerate() {
            if level > 0 {
                x = x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false);
            }
            x = pair(layers, &x);
            skips.push(x.shallow_clone());
        }
        skips.pop();
        for layers in &self.up {
            let raised = x.upsample_nearest2d_vec(None::<&[i64]>, [2.0, 2.0].as_slice());
            let skip = skips.pop().unwrap_or_else(|| raised.shallow_clone());
            x = pair(layers, &Tensor::cat(&[raised, skip], 1));
        }
        x
    }

    fn head(&self) -> &nn::Conv2D {
        &self.head
    }

    fn shape(&self, output: Tensor) -> Tensor {
        output.pixel_shuffle(2)
    }
}

/// Binary cross-entropy and soft Dice of logits against masks, both `[n, labels, side, side]`; `weights` counts the
/// labels, `[labels]`.
///
/// Dice is taken for each image by itself, so that a small cavity weighs as much as a large one.
pub fn loss(logits: &Tensor, masks: &Tensor, weights: &Tensor) -> Tensor {
    let entropy = logits
        .binary_cross_entropy_with_logits(
            masks,
            None::<&Tensor>,
            None::<&Tensor>,
            tch::Reduction::None,
        )
        .mean_dim([0, 2, 3].as_slice(), false, Kind::Float);
    let shares = logits.sigmoid();
    let sum = |x: &Tensor| x.sum_dim_intlist([2, 3].as_slice(), false, Kind::Float);
    // The constant makes an absent structure that isn't seen a perfect score.
    let dice = (sum(&(&shares * masks)) * 2.0 + 20.0) / (sum(&shares) + sum(masks) + 20.0);
    let dice: Tensor = 1.0 - dice.mean_dim([0].as_slice(), false, Kind::Float);
    ((entropy + dice) * weights).sum(Kind::Float) / weights.sum(Kind::Float)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::draws::seeded;

    #[test]
    fn the_network_keeps_the_grid_and_has_about_half_a_million_weights() {
        let _turn = seeded(1);
        let store = nn::VarStore::new(Device::Cpu);
        let net = UNet::new(&store.root(), &WIDTHS);
        let input = Tensor::rand([2, 1, 112, 112], (Kind::Float, Device::Cpu));
        assert_eq!(net.logits(&input, false).size(), [2, 4, 112, 112]);
        let weights: usize = store.trainable_variables().iter().map(Tensor::numel).sum();
        assert!((300_000..900_000).contains(&weights), "{weights}");
    }

    #[test]
    fn the_loss_falls_towards_the_truth() {
        let masks = Tensor::zeros([1, 4, 16, 16], (Kind::Float, Device::Cpu));
        drop(masks.narrow(2, 4, 8).narrow(3, 4, 8).fill_(1.0));
        let weights = Tensor::from_slice(&[2.0_f32, 1.0, 1.0, 1.0]);
        let of = |logits: Tensor| loss(&logits, &masks, &weights).double_value(&[]);
        let (wrong, unsure, right) = (
            of((&masks * -20.0) + 10.0),
            of(&masks * 0.0),
            of((&masks * 20.0) - 10.0),
        );
        assert!(
            wrong > unsure && unsure > right && right < 0.01,
            "{wrong} {unsure} {right}"
        );
    }
}
