//! Which tensors a configuration asks for, and how they become the parts of a network.

use std::collections::BTreeMap;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use tch::{Device, Kind, Tensor};

use super::config::{Config, TextConfig, VisionConfig};
use super::error::ReaderError;
use super::files::TensorFiles;
use super::linear::{Bits, Linear, Precision};
use super::lora::Adapter;

/// Names that carry no weights and that older versions wrote.
const IGNORED: [&str; 2] = [".rotary_emb.inv_freq", ".rotary_pos_emb.inv_freq"];
/// Problems told of one checkpoint; of a wholly other model there would be hundreds.
const PROBLEMS_MAX: usize = 2000;

/// Where the language model's tensors begin.
pub(super) const TEXT: &str = "model.language_model";
/// Where the vision tower's begin.
pub(super) const VISION: &str = "model.visual";

/// What a tensor is, which decides how it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A norm, a bias, a convolution, the learned positions.
    Plain,
    /// The embedding.
    Embedding,
    /// A linear layer of the decoder.
    Decoder,
    /// A linear layer of the tower, or the output layer.
    Other,
}

/// The tensors of a configuration by name, with their shapes.
#[derive(Debug)]
pub struct Plan(BTreeMap<String, (Vec<i64>, Role)>);

impl Plan {
    /// What a configuration asks for.
    pub fn of(config: &Config) -> Self {
        let mut plan = Self(BTreeMap::new());
        plan.text(&config.text);
        plan.vision(&config.vision);
        let (vocabulary, hidden) = (config.text.vocabulary, config.text.hidden);
        if !config.tied {
            plan.add("lm_head.weight", &[vocabulary, hidden], Role::Other);
        }
        plan
    }

    fn add(&mut self, name: impl Into<String>, shape: &[i64], role: Role) {
        self.0.insert(name.into(), (shape.to_vec(), role));
    }

    fn text(&mut self, c: &TextConfig) {
        let hidden = [c.hidden];
        self.add(
            format!("{TEXT}.embed_tokens.weight"),
            &[c.vocabulary, c.hidden],
            Role::Embedding,
        );
        self.add(format!("{TEXT}.norm.weight"), &hidden, Role::Plain);
        let (q, kv) = (c.heads * c.head, c.kv_heads * c.head);
        for layer in 0..c.layers {
            let at = format!("{TEXT}.layers.{layer}");
            for norm in [
                "input_layernorm",
                "post_self_attn_layernorm",
                "post_attention_layernorm",
                "post_mlp_layernorm",
            ] {
                self.add(format!("{at}.{norm}.weight"), &hidden, Role::Plain);
            }
            for (name, outputs) in [("q_proj", q), ("k_proj", kv), ("v_proj", kv)] {
                let name = format!("{at}.self_attn.{name}");
                self.add(
                    format!("{name}.weight"),
                    &[outputs, c.hidden],
                    Role::Decoder,
                );
                if c.bias {
                    self.add(format!("{name}.bias"), &[outputs], Role::Plain);
                }
            }
            for (name, outputs, inputs) in [
                ("self_attn.o_proj", c.hidden, q),
                ("mlp.gate_up_proj", 2 * c.intermediate, c.hidden),
                ("mlp.down_proj", c.hidden, c.intermediate),
            ] {
                self.add(
                    format!("{at}.{name}.weight"),
                    &[outputs, inputs],
                    Role::Decoder,
                );
            }
        }
    }

    fn vision(&mut self, c: &VisionConfig) {
        let (h, out) = (c.hidden, c.out);
        for (name, shape) in [
            (
                "patch_embed.proj.weight",
                &[h, c.channels, c.frames, c.patch, c.patch][..],
            ),
            ("patch_embed.proj.bias", &[h]),
            ("post_conv_layernorm.weight", &[h]),
            (
                "embeddings.position_embedding.weight",
                &[c.grid * c.grid, h],
            ),
            ("post_layernorm.weight", &[h]),
            ("downsample.weight", &[out, h, c.merge, c.merge]),
            ("downsample.bias", &[out]),
            ("merger.post_projection_norm.weight", &[out]),
            ("merger.post_projection_norm.bias", &[out]),
        ] {
            self.add(format!("{VISION}.{name}"), shape, Role::Plain);
        }
        for (name, outputs, inputs) in [
            ("merger.proj", out, out),
            ("merger.gate_proj", c.intermediate, out),
            ("merger.up_proj", c.intermediate, out),
            ("merger.down_proj", out, c.intermediate),
        ] {
            self.add(
                format!("{VISION}.{name}.weight"),
                &[outputs, inputs],
                Role::Other,
            );
        }
        for block in 0..c.depth {
            let at = format!("{VISION}.blocks.{block}");
            for norm in ["norm1", "norm2"] {
                self.add(format!("{at}.{norm}.weight"), &[h], Role::Plain);
            }
            if c.bias {
                self.add(format!("{at}.attn.qkv.bias"), &[3 * h], Role::Plain);
            }
            // A block's feed-forward layer is as wide as what the tower gives out: the published code's own choice.
            for (name, outputs, inputs) in [
                ("attn.qkv", 3 * h, h),
                ("attn.proj", h, h),
                ("mlp.gate_proj", out, h),
                ("mlp.up_proj", out, h),
                ("mlp.down_proj", h, out),
            ] {
                self.add(
                    format!("{at}.{name}.weight"),
                    &[outputs, inputs],
                    Role::Other,
                );
            }
        }
    }

    /// The names with their shapes.
    pub fn shapes(&self) -> BTreeMap<String, Vec<i64>> {
        let shape =
            |(name, (shape, _)): (&String, &(Vec<i64>, Role))| (name.clone(), shape.clone());
        self.0.iter().map(shape).collect()
    }

    /// How many numbers there are.
    pub fn parameters(&self) -> u64 {
        let size = |(shape, _): &(Vec<i64>, Role)| shape.iter().product::<i64>() as u64;
        self.0.values().map(size).sum()
    }

    /// Bytes of the weights as they are stored.
    pub fn bytes(&self, precision: Precision, kind: Kind) -> u64 {
        let bytes = |(shape, role): &(Vec<i64>, Role)| {
            if let (Role::Decoder | Role::Other, &[outputs, inputs]) = (role, shape.as_slice()) {
                return bits(precision, *role).bytes(outputs, inputs, kind);
            }
            let stored = if *role == Role::Embedding {
                precision.storage()
            } else {
                kind
            };
            shape.iter().product::<i64>() as u64 * stored.elt_size_in_bytes() as u64
        };
        self.0.values().map(bytes).sum()
    }

    /// Bytes of the weights that one token of an answer reads: the decoder and the output layer.
    pub fn bytes_of_a_step(&self, precision: Precision, kind: Kind) -> u64 {
        let step = |name: &str| {
            name.starts_with(TEXT) && !name.contains("embed_tokens") || name == "lm_head.weight"
        };
        let part = self.0.iter().filter(|(name, _)| step(name));
        Self(
            part.map(|(name, part)| (name.clone(), part.clone()))
                .collect(),
        )
        .bytes(precision, kind)
    }

    /// Holds the files against the plan.
    ///
    /// # Errors
    /// [`ReaderError::Tensors`], which names every tensor that is missing, left over, or of another shape.
    pub fn check(&self, files: &TensorFiles, config: &Config) -> Result<(), ReaderError> {
        let mut problems = Vec::new();
        for (name, (shape, _)) in &self.0 {
            match files.shape(name) {
                None => problems.push(format!("{name} is missing")),
                Some(is) if is != shape => {
                    problems.push(format!("{name} is {is:?}, not {shape:?}"));
                }
                Some(_) => {}
            }
        }
        for name in files.names().filter(|name| !self.0.contains_key(*name)) {
            if may_be_left_over(name, config) {
                tracing::warn!(tensor = name, "not used");
            } else {
                problems.push(format!("{name} belongs to no part of this model"));
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        let more = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        Err(ReaderError::Tensors(problems))
    }
}

/// What transformers leaves aside too: buffers of older versions, a second copy of a tied embedding, and layers past the
/// last one, by which the family predicts more than one token at a time.
fn may_be_left_over(name: &str, config: &Config) -> bool {
    let past_last = name
        .strip_prefix(&format!("{TEXT}.layers."))
        .and_then(|rest| rest.split('.').next()?.parse::<i64>().ok())
        .is_some_and(|layer| layer >= config.text.layers);
    past_last
        || IGNORED.iter().any(|end| name.ends_with(end))
        || (config.tied && name == "lm_head.weight")
}

fn bits(precision: Precision, role: Role) -> Bits {
    match (precision, role) {
        (Precision::Fp32 | Precision::Bf16, _) | (_, Role::Plain | Role::Embedding) => Bits::Full,
        (Precision::Int4, Role::Decoder) => Bits::Four,
        _ => Bits::Eight,
    }
}

/// The weights of a checkpoint on their way into a network.
pub struct Loader {
    files: TensorFiles,
    plan: Plan,
    adapter: Option<Adapter>,
    precision: Precision,
    device: Device,
    progress: ProgressBar,
}

impl Loader {
    /// Opens a checkpoint and its adapter, and holds them against the configuration.
    ///
    /// # Errors
    /// Those of [`TensorFiles::open`], [`Adapter::read`] and [`Plan::check`].
    pub fn open(
        folder: &Path,
        adapter: Option<&Path>,
        config: &Config,
        precision: Precision,
        device: Device,
    ) -> Result<Self, ReaderError> {
        let plan = Plan::of(config);
        let files = TensorFiles::open(folder, "model")?;
        plan.check(&files, config)?;
        let adapter = adapter
            .map(|folder| Adapter::read(folder, &plan.shapes()))
            .transpose()?;
        Ok(Self {
            files,
            plan,
            adapter,
            precision,
            device,
            progress: ProgressBar::hidden(),
        })
    }

    /// What there is to load.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is computed in.
    pub fn kind(&self) -> Kind {
        self.precision.arithmetic(self.device)
    }

    /// Where the network will be.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Shows how far loading has come, on a terminal.
    pub fn show_progress(&mut self) {
        let style =
            ProgressStyle::with_template("{msg} [{wide_bar}] {bytes} of {total_bytes}, {eta}");
        let bytes = self.plan.bytes(self.precision, self.kind());
        self.progress = ProgressBar::new(bytes).with_message("loading the second reader");
        if let Ok(style) = style {
            self.progress.set_style(style);
        }
    }

    /// A tensor that is stored as it is computed with.
    ///
    /// # Errors
    /// [`ReaderError::Torch`].
    pub fn plain(&self, name: &str) -> Result<Tensor, ReaderError> {
        self.stored(name, self.kind())
    }

    /// The embedding.
    ///
    /// # Errors
    /// [`ReaderError::Torch`].
    pub fn embedding(&self, name: &str) -> Result<Tensor, ReaderError> {
        self.stored(name, self.precision.storage())
    }

    fn stored(&self, name: &str, kind: Kind) -> Result<Tensor, ReaderError> {
        let weight = self.merged(name)?;
        // A copy in any case: the file's pages must not be what is computed with.
        let tensor = weight.to_kind(kind).to_device(self.device).copy();
        self.progress
            .inc(tensor.numel() as u64 * kind.elt_size_in_bytes() as u64);
        Ok(tensor)
    }

    /// A linear layer with its bias, where it has one.
    ///
    /// # Errors
    /// [`ReaderError::Torch`].
    pub fn linear(&self, name: &str) -> Result<Linear, ReaderError> {
        let weight = format!("{name}.weight");
        let bias = format!("{name}.bias");
        let bias = if self.plan.0.contains_key(&bias) {
            Some(self.plain(&bias)?)
        } else {
            None
        };
        let role = self
            .plan
            .0
            .get(&weight)
            .map_or(Role::Other, |(_, role)| *role);
        self.layer(&weight, bias, bits(self.precision, role))
    }

    /// The output layer; of a tied model the embedding again, which in full precision isn't stored twice.
    ///
    /// # Errors
    /// [`ReaderError::Torch`].
    pub fn output(&self, tied: Option<&Tensor>) -> Result<Linear, ReaderError> {
        let Some(embedding) = tied else {
            return self.linear("lm_head");
        };
        match bits(self.precision, Role::Other) {
            Bits::Full => Ok(Linear::new(embedding, None, Bits::Full, self.kind())),
            bits => self.layer(&format!("{TEXT}.embed_tokens.weight"), None, bits),
        }
    }

    fn layer(&self, name: &str, bias: Option<Tensor>, bits: Bits) -> Result<Linear, ReaderError> {
        let kind = self.kind();
        let weight = self.merged(name)?;
        let size = weight.size();
        let layer = if bits == Bits::Full {
            Linear::new(&weight.to_kind(kind).copy(), bias, bits, kind)
        } else {
            // One layer at a time in 32 bits.
            let bias = bias.map(|bias| bias.to_device(Device::Cpu));
            Linear::new(&weight.to_kind(Kind::Float), bias, bits, kind)
        };
        self.progress.inc(bits.bytes(size[0], size[1], kind));
        Ok(layer.to_device(self.device))
    }

    fn merged(&self, name: &str) -> Result<Tensor, ReaderError> {
        let weight = self.files.tensor(name)?;
        match &self.adapter {
            Some(adapter) => adapter.merge(name, weight),
            None => Ok(weight),
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.progress.finish_and_clear();
    }
}
