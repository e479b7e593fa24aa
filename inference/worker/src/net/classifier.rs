//! The networks that answer for a whole image: which view, and whether it can be read.

use tch::nn::{self, ConvConfig};
use tch::{Kind, Tensor};

use super::{Layer, Network, pair};

/// Channels of the five levels.
const WIDTHS: [i64; 5] = [16, 24, 40, 64, 96];

/// A convolutional classifier on a grid of half the input's size: `[n, 1, side, side]` to logits `[n, answers]`, for a
/// side that is a multiple of 32.
#[derive(Debug)]
pub struct Classifier {
    levels: Vec<[Layer; 2]>,
    head: nn::Conv2D,
}

impl Classifier {
    /// A network with new weights under `path`, for so many answers.
    pub fn new(path: &nn::Path<'_>, answers: i64) -> Self {
        let mut from = 4;
        let mut levels = Vec::new();
        for (level, to) in WIDTHS.iter().enumerate() {
            levels.push(pair(&(path / "levels" / level), from, *to));
            from = *to;
        }
        let head = nn::conv2d(path / "head", from, answers, 1, ConvConfig::default());
        Self { levels, head }
    }
}

impl Network for Classifier {
    fn layers(&self) -> Vec<&Layer> {
        self.levels.iter().flatten().collect()
    }

    fn wire(&self, input: &Tensor, layer: &mut dyn FnMut(&Layer, &Tensor) -> Tensor) -> Tensor {
        let mut x = input.pixel_unshuffle(2);
        for (level, [a, b]) in self.levels.iter().enumerate() {
            if level > 0 {
                x = x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false);
            }
            x = layer(a, &x);
            x = layer(b, &x);
        }
        x.mean_dim([2, 3].as_slice(), true, Kind::Float)
    }

    fn head(&self) -> &nn::Conv2D {
        &self.head
    }

    fn shape(&self, output: Tensor) -> Tensor {
        output.flatten(1, -1)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::draws::seeded;

    #[test]
    fn an_image_gets_one_logit_an_answer() {
        let _turn = seeded(1);
        let store = nn::VarStore::new(Device::Cpu);
        let net = Classifier::new(&store.root(), 3);
        let input = Tensor::rand([2, 1, 112, 112], (Kind::Float, Device::Cpu));
        assert_eq!(net.logits(&input, false).size(), [2, 3]);
        let weights: usize = store.trainable_variables().iter().map(Tensor::numel).sum();
        assert!((100_000..400_000).contains(&weights), "{weights}");
    }
}
