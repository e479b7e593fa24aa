//! The language model: embeddings in, hidden states out, keys and values kept.

use tch::{Device, Kind, Tensor};

use super::config::{Rope, TextConfig};
use super::error::ReaderError;
use super::layers::Norm;
use super::linear::Linear;
use super::weights::{Loader, TEXT};

/// The decoder.
#[derive(Debug)]
pub struct Decoder {
    config: TextConfig,
    layers: Vec<Layer>,
    norm: Norm,
    frequencies: Tensor,
}

/// Four norms a layer: one before and one after each half.
#[derive(Debug)]
struct Layer {
    before_attention: Norm,
    after_attention: Norm,
    before_mlp: Norm,
    after_mlp: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    gate_up: Linear,
    down: Linear,
}

/// Keys and values of one sequence, with room for all of it.
#[derive(Debug)]
pub struct Cache {
    /// Keys and values of each layer, `[1, kv heads, room, head]`.
    layers: Vec<[Tensor; 2]>,
    length: i64,
    room: i64,
}

impl Cache {
    /// How many positions are filled.
    pub fn len(&self) -> i64 {
        self.length
    }

    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets what lies past a length, so that another continuation can be tried.
    pub fn truncate(&mut self, length: i64) {
        self.length = self.length.min(length);
    }

    /// Bytes that a sequence takes.
    pub fn bytes(config: &TextConfig, room: i64, kind: Kind) -> u64 {
        let numbers = 2 * config.layers * config.kv_heads * config.head * room;
        numbers as u64 * kind.elt_size_in_bytes() as u64
    }
}

impl Decoder {
    /// Loads it.
    ///
    /// # Errors
    /// [`ReaderError::Torch`].
    pub fn load(loader: &Loader, config: &TextConfig) -> Result<Self, ReaderError> {
        let layers = (0..config.layers).map(|layer| {
            let at = format!("{TEXT}.layers.{layer}");
            let norm = |name: &str| Norm::load(loader, &format!("{at}.{name}"), config.eps);
            let linear = |name: &str| loader.linear(&format!("{at}.{name}"));
            Ok(Layer {
                before_attention: norm("input_layernorm")?,
                after_attention: norm("post_self_attn_layernorm")?,
                before_mlp: norm("post_attention_layernorm")?,
                after_mlp: norm("post_mlp_layernorm")?,
                query: linear("self_attn.q_proj")?,
                key: linear("self_attn.k_proj")?,
                value: linear("self_attn.v_proj")?,
                output: linear("self_attn.o_proj")?,
                gate_up: linear("mlp.gate_up_proj")?,
                down: linear("mlp.down_proj")?,
            })
        });
        Ok(Self {
            layers: layers.collect::<Result<_, ReaderError>>()?,
            norm: Norm::load(loader, &format!("{TEXT}.norm"), config.eps)?,
            frequencies: frequencies(&config.rope, loader.device()),
            config: config.clone(),
        })
    }

    /// Room for a sequence of that many positions.
    pub fn cache(&self, room: i64, kind: Kind, device: Device) -> Cache {
        let shape = [1, self.config.kv_heads, room, self.config.head];
        let empty = || Tensor::empty(shape, (kind, device));
        Cache {
            layers: self.layers.iter().map(|_| [empty(), empty()]).collect(),
            length: 0,
            room,
        }
    }

    /// Hidden states `[count, hidden]` after the final norm. `positions` is `[3, count]`: time, height and width.
    pub fn forward(&self, embedded: &Tensor, positions: &Tensor, cache: &mut Cache) -> Tensor {
        let count = embedded.size()[0];
        debug_assert!(cache.length + count <= cache.room);
        let turn = self.turn(positions, embedded.kind());
        let mut x = embedded.shallow_clone();
        for (layer, kept) in self.layers.iter().zip(&cache.layers) {
            let seen = self.attend(
                layer,
                &layer.before_attention.forward(&x),
                &turn,
                kept,
                cache.length,
            );
            x = &x + layer.after_attention.forward(&seen);
            let made = self.feed_forward(layer, &layer.before_mlp.forward(&x));
            x = &x + layer.after_mlp.forward(&made);
        }
        cache.length += count;
        self.norm.forward(&x)
    }

    fn feed_forward(&self, layer: &Layer, x: &Tensor) -> Tensor {
        let both = layer.gate_up.forward(x).chunk(2, -1);
        let gate = self.config.activation.apply(&both[0]);
        layer.down.forward(&(&both[1] * gate))
    }

    /// Cosines and sines `[count, rotary]`. Each section of the frequencies takes its angle from one axis, in turn; each
    /// frequency stands twice, for two neighbours.
    fn turn(&self, positions: &Tensor, kind: Kind) -> [Tensor; 2] {
        let angles = positions.to_kind(Kind::Float).unsqueeze(-1) * &self.frequencies;
        let mut from = 0;
        let sections = self
            .config
            .rope
            .sections
            .iter()
            .enumerate()
            .map(|(i, width)| {
                let section = angles.select(0, i as i64 % 3).narrow(-1, from, *width);
                from += width;
                section
            });
        let angles = Tensor::cat(&sections.collect::<Vec<_>>(), -1);
        let angles = angles.repeat_interleave_self_int(2, -1, None);
        [angles.cos().to_kind(kind), angles.sin().to_kind(kind)]
    }

    fn attend(
        &self,
        layer: &Layer,
        x: &Tensor,
        turn: &[Tensor; 2],
        [keys, values]: &[Tensor; 2],
        past: i64,
    ) -> Tensor {
        let c = &self.config;
        let count = x.size()[0];
        let split = |part: Tensor, heads: i64| {
            part.view([count, heads, c.head])
                .transpose(0, 1)
                .unsqueeze(0)
        };
        let query = turned(&split(layer.query.forward(x), c.heads), turn);
        let key = turned(&split(layer.key.forward(x), c.kv_heads), turn);
        let value = split(layer.value.forward(x), c.kv_heads);
        keys.narrow(2, past, count).copy_(&key);
        values.narrow(2, past, count).copy_(&value);
        let (key, value) = (
            keys.narrow(2, 0, past + count),
            values.narrow(2, 0, past + count),
        );
        let seen = if count == 1 {
            // Heads that share a key are its queries: nothing is copied, which decoding would spend its time on.
            let query = query.view([1, c.kv_heads, c.heads / c.kv_heads, c.head]);
            attention(&query, &key, &value, None, false).view([1, c.heads, 1, c.head])
        } else {
            let each = |kept: &Tensor| shared(kept, c.heads / c.kv_heads);
            // Past positions are all visible, the new ones up to themselves.
            let mask = (past > 0)
                .then(|| Tensor::ones([count, past + count], (Kind::Bool, x.device())).tril(past));
            attention(&query, &each(&key), &each(&value), mask.as_ref(), past == 0)
        };
        let seen = seen.squeeze_dim(0).transpose(0, 1).reshape([count, -1]);
        layer.output.forward(&seen)
    }
}

fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
    Tensor::scaled_dot_product_attention(q, k, v, mask, 0.0, causal, None, false)
}

/// `[1, kv heads, count, head]`, each head as often as it is shared.
fn shared(kept: &Tensor, times: i64) -> Tensor {
    if times == 1 {
        return kept.shallow_clone();
    }
    let size = kept.size();
    kept.unsqueeze(2)
        .expand([size[0], size[1], times, size[2], size[3]], false)
        .reshape([size[0], size[1] * times, size[2], size[3]])
}

/// The frequencies of the numbers that are turned.
fn frequencies(rope: &Rope, device: Device) -> Tensor {
    let steps = Tensor::arange_start_step(0, rope.rotary, 2, (Kind::Float, device));
    let powers =
        Tensor::full([1], rope.theta, (Kind::Float, device)).pow(&(steps / rope.rotary as f64));
    powers.reciprocal() / rope.factor
}

/// Turns the first numbers of each head: neighbours are a pair, and what is past them stays as it is.
fn turned(x: &Tensor, [cos, sin]: &[Tensor; 2]) -> Tensor {
    let rotary = cos.size()[1];
    let first = x.narrow(-1, 0, rotary);
    let even = first.slice(-1, 0, None, 2);
    let odd = first.slice(-1, 1, None, 2);
    let swapped = Tensor::stack(&[-odd, even], -1).flatten(-2, -1);
    let first = first * cos + swapped * sin;
    let rest = x.size()[3] - rotary;
    if rest == 0 {
        first
    } else {
        Tensor::cat(&[first, x.narrow(-1, rotary, rest)], -1)
    }
}
