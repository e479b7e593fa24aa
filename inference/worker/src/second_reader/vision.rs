//! The vision tower: patches of one picture, or of one pair of frames, to the embeddings that stand in a prompt.

use tch::{Device, Kind, Tensor};

use super::config::VisionConfig;
use super::error::ReaderError;
use super::layers::Norm;
use super::linear::Linear;
use super::weights::{Loader, VISION};

/// Added to the variance in the merger's norm, which is PyTorch's own `LayerNorm`.
const LAYER_NORM_EPS: f64 = 1e-5;

/// How many patches a picture has from top to bottom and from left to right; multiples of the merge size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Rows of patches.
    pub rows: i64,
    /// Columns of patches.
    pub columns: i64,
}

impl Grid {
    /// Patches.
    pub fn patches(self) -> i64 {
        self.rows * self.columns
    }

    /// Tokens in a prompt.
    pub fn tokens(self, merge: i64) -> i64 {
        self.patches() / (merge * merge)
    }
}

/// The tower.
#[derive(Debug)]
pub struct Vision {
    config: VisionConfig,
    /// `[hidden, colours x frames x patch x patch]`: a convolution whose stride is its kernel.
    patch: Tensor,
    patch_bias: Tensor,
    post_conv: Norm,
    /// `[1, hidden, grid, grid]` in 32 bits.
    positions: Tensor,
    blocks: Vec<Block>,
    post: Norm,
    downsample: Tensor,
    downsample_bias: Tensor,
    merger: Merger,
}

#[derive(Debug)]
struct Block {
    norm1: Norm,
    norm2: Norm,
    qkv: Linear,
    proj: Linear,
    mlp: Gated,
}

#[derive(Debug)]
struct Gated {
    gate: Linear,
    up: Linear,
    down: Linear,
}

#[derive(Debug)]
struct Merger {
    proj: Linear,
    norm: [Tensor; 2],
    mlp: Gated,
}

impl Gated {
    fn load(loader: &Loader, at: &str) -> Result<Self, ReaderError> {
        Ok(Self {
            gate: loader.linear(&format!("{at}.gate_proj"))?,
            up: loader.linear(&format!("{at}.up_proj"))?,
            down: loader.linear(&format!("{at}.down_proj"))?,
        })
    }

    fn forward(&self, x: &Tensor, config: &VisionConfig) -> Tensor {
        let gate = config.activation.apply(&self.gate.forward(x));
        self.down.forward(&(gate * self.up.forward(x)))
    }
}

impl Vision {
    /// Loads it.
    ///
    /// # Errors
    /// [`ReaderError::Torch`].
    pub fn load(loader: &Loader, config: &VisionConfig) -> Result<Self, ReaderError> {
        let plain = |name: &str| loader.plain(&format!("{VISION}.{name}"));
        let norm = |name: &str| Norm::load(loader, &format!("{VISION}.{name}"), config.eps);
        let blocks = (0..config.depth).map(|block| {
            let at = format!("{VISION}.blocks.{block}");
            Ok(Block {
                norm1: Norm::load(loader, &format!("{at}.norm1"), config.eps)?,
                norm2: Norm::load(loader, &format!("{at}.norm2"), config.eps)?,
                qkv: loader.linear(&format!("{at}.attn.qkv"))?,
                proj: loader.linear(&format!("{at}.attn.proj"))?,
                mlp: Gated::load(loader, &format!("{at}.mlp"))?,
            })
        });
        let grid = config.grid;
        Ok(Self {
            patch: plain("patch_embed.proj.weight")?.view([config.hidden, -1]),
            patch_bias: plain("patch_embed.proj.bias")?,
            post_conv: norm("post_conv_layernorm")?,
            positions: plain("embeddings.position_embedding.weight")?
                .to_kind(Kind::Float)
                .view([grid, grid, config.hidden])
                .permute([2, 0, 1])
                .unsqueeze(0),
            blocks: blocks.collect::<Result<_, ReaderError>>()?,
            post: norm("post_layernorm")?,
            downsample: plain("downsample.weight")?,
            downsample_bias: plain("downsample.bias")?,
            merger: Merger {
                proj: loader.linear(&format!("{VISION}.merger.proj"))?,
                norm: [
                    plain("merger.post_projection_norm.weight")?,
                    plain("merger.post_projection_norm.bias")?,
                ],
                mlp: Gated::load(loader, &format!("{VISION}.merger"))?,
            },
            config: config.clone(),
        })
    }

    /// `[patches, colours x frames x patch x patch]` in the order of merged squares to `[tokens, out]`.
    pub fn forward(&self, patches: &Tensor, grid: Grid) -> Tensor {
        let kind = self.patch.kind();
        let device = self.patch.device();
        let x = patches
            .to_device(device)
            .to_kind(kind)
            .linear(&self.patch, Some(&self.patch_bias));
        let places = places(grid, self.config.merge, device);
        let mut x = self.post_conv.forward(&x) + self.learned(&places, grid).to_kind(kind);
        let turn = self.turn(&places);
        for block in &self.blocks {
            x = &x + self.attend(block, &block.norm1.forward(&x), &turn);
            x = &x + block.mlp.forward(&block.norm2.forward(&x), &self.config);
        }
        self.merge(&self.post.forward(&x))
    }

    /// The learned positions, resampled to the picture's grid: bicubic, the border repeated, in 32 bits.
    fn learned(&self, places: &[Tensor; 2], grid: Grid) -> Tensor {
        let scaled = |place: &Tensor, size: i64| (place + 0.5) / size as f64 * 2.0 - 1.0;
        let [row, column] = places;
        let at = Tensor::stack(&[scaled(column, grid.columns), scaled(row, grid.rows)], -1);
        self.positions
            .grid_sampler_2d(&at.unsqueeze(0).unsqueeze(2), 2, 1, false)
            .squeeze_dim(0)
            .squeeze_dim(-1)
            .permute([1, 0])
    }

    /// Cosines and sines `[patches, 1, head]`: a quarter of the frequencies turns with the row, a quarter with the column,
    /// and both again for the second half, with which the first is paired.
    fn turn(&self, places: &[Tensor; 2]) -> [Tensor; 2] {
        let quarter = self.config.hidden / self.config.heads / 4;
        let device = places[0].device();
        let steps = Tensor::arange(quarter, (Kind::Float, device)) * 2.0 / (2 * quarter) as f64;
        let frequencies =
            (Tensor::full([1], self.config.theta, (Kind::Float, device)).pow(&steps)).reciprocal();
        let angle = |place: &Tensor| place.unsqueeze(1) * &frequencies;
        let [row, column] = places;
        let half = Tensor::cat(&[angle(row), angle(column)], -1);
        let whole = Tensor::cat(&[&half, &half], -1).unsqueeze(1);
        [whole.cos(), whole.sin()]
    }

    fn attend(&self, block: &Block, x: &Tensor, [cos, sin]: &[Tensor; 2]) -> Tensor {
        let count = x.size()[0];
        let qkv = block
            .qkv
            .forward(x)
            .reshape([count, 3, self.config.heads, -1]);
        let kind = x.kind();
        let turned = |which: i64| {
            let part = qkv.select(1, which).to_kind(Kind::Float);
            let half = part.size()[2] / 2;
            let swapped = Tensor::cat(&[-part.narrow(2, half, half), part.narrow(2, 0, half)], 2);
            (part * cos + swapped * sin).to_kind(kind)
        };
        let heads = |part: Tensor| part.transpose(0, 1).unsqueeze(0);
        let (q, k, v) = (heads(turned(0)), heads(turned(1)), heads(qkv.select(1, 2)));
        let seen = Tensor::scaled_dot_product_attention::<&Tensor>(
            &q, &k, &v, None, 0.0, false, None, false,
        );
        let seen = seen.squeeze_dim(0).transpose(0, 1).reshape([count, -1]);
        block.proj.forward(&seen)
    }

    fn merge(&self, x: &Tensor) -> Tensor {
        let merge = self.config.merge;
        let squares = x
            .view([-1, merge, merge, self.config.hidden])
            .permute([0, 3, 1, 2]);
        let x = squares
            .conv2d(
                &self.downsample,
                Some(&self.downsample_bias),
                [merge, merge],
                [0, 0],
                [1, 1],
                1,
            )
            .view([-1, self.config.out]);
        let [weight, bias] = &self.merger.norm;
        let x = self
            .merger
            .proj
            .forward(&x)
            .layer_norm(
                [self.config.out],
                Some(weight),
                Some(bias),
                LAYER_NORM_EPS,
                true,
            )
            .gelu("none");
        self.merger.mlp.forward(&x, &self.config)
    }
}

/// Row and column of each patch, in the order of merged squares, as 32-bit numbers.
fn places(grid: Grid, merge: i64, device: Device) -> [Tensor; 2] {
    let options = (Kind::Float, device);
    let order = |plane: Tensor| {
        plane
            .expand([grid.rows, grid.columns], false)
            .reshape([grid.rows / merge, merge, grid.columns / merge, merge])
            .transpose(1, 2)
            .flatten(0, -1)
    };
    [
        order(Tensor::arange(grid.rows, options).unsqueeze(1)),
        order(Tensor::arange(grid.columns, options).unsqueeze(0)),
    ]
}
