//! The built-in networks, and their export to TorchScript.
//!
//! ```text
//! unet          maps of the chambers: lv-segmentation
//! classifier    one answer for an image: view, quality
//! export        folding, tracing, writing, checking: the same for both
//! ```

mod classifier;
mod export;
mod unet;

use std::fmt;

use tch::Tensor;
use tch::nn::{self, ConvConfig, Init, ModuleT};

pub use classifier::Classifier;
pub use export::{ExportError, export};
pub use unet::{LABELS, UNet, WIDTHS, loss};

/// A network of [`Layer`]s that ends in one convolution of 1 x 1: what training and export need to know of it.
pub trait Network: fmt::Debug {
    /// Every layer, in the order in which they run.
    fn layers(&self) -> Vec<&Layer>;

    /// What the head reads, with any implementation of the layers, so that training and export share one wiring.
    fn wire(&self, input: &Tensor, layer: &mut dyn FnMut(&Layer, &Tensor) -> Tensor) -> Tensor;

    /// The last convolution.
    fn head(&self) -> &nn::Conv2D;

    /// The head's output in the form that the network gives.
    fn shape(&self, output: Tensor) -> Tensor;

    /// Logits of an input `[n, 1, side, side]`.
    fn logits(&self, input: &Tensor, train: bool) -> Tensor {
        let features = self.wire(input, &mut |layer, x| layer.forward_t(x, train));
        self.shape(features.apply(self.head()))
    }
}

/// A convolution of 3 x 3 without bias, and the batch normalisation that takes the bias's place.
#[derive(Debug)]
pub struct Layer {
    conv: nn::Conv2D,
    norm: nn::BatchNorm,
}

impl Layer {
    fn new(path: &nn::Path<'_>, from: i64, to: i64) -> Self {
        let config = ConvConfig {
            padding: 1,
            bias: false,
            ..ConvConfig::default()
        };
        let norm = nn::BatchNormConfig {
            ws_init: Init::Const(1.0),
            ..Default::default()
        };
        Self {
            conv: nn::conv2d(path / "conv", from, to, 3, config),
            norm: nn::batch_norm2d(path / "norm", to, norm),
        }
    }

    /// The convolution with the normalisation of evaluation folded into it: weight and bias.
    fn folded(&self) -> [Tensor; 2] {
        // 1e-5 is the epsilon that batch normalisation itself adds.
        let mut scale: Tensor = 1.0 / (&self.norm.running_var + 1e-5).sqrt();
        if let Some(gain) = &self.norm.ws {
            scale *= gain;
        }
        let mut bias = -(&self.norm.running_mean * &scale);
        if let Some(shift) = &self.norm.bs {
            bias += shift;
        }
        let weight = &self.conv.ws * scale.view([-1, 1, 1, 1]);
        [weight.detach(), bias.detach()]
    }
}

impl ModuleT for Layer {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        input.apply(&self.conv).apply_t(&self.norm, train).relu()
    }
}

/// Two layers, one after the other, under `path`.
fn pair(path: &nn::Path<'_>, from: i64, to: i64) -> [Layer; 2] {
    [
        Layer::new(&(path / "a"), from, to),
        Layer::new(&(path / "b"), to, to),
    ]
}
