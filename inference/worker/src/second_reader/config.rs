//! `config.json` of a checkpoint: the sizes of the network, as Hugging Face transformers 5 reads them, with the same
//! defaults where a field is left out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tch::Tensor;

use super::error::ReaderError;
use super::fields::Fields;

/// Classes of this architecture: the weights and the arithmetic are the same.
const ARCHITECTURES: [&str; 2] = [
    "Glm4vForConditionalGeneration",
    "Glm46VForConditionalGeneration",
];

/// A whole model.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The language model.
    pub text: TextConfig,
    /// The vision tower.
    pub vision: VisionConfig,
    /// Whether the output layer is the embedding.
    pub tied: bool,
    /// The token that stands for a part of an image; none: the tokenizer's `<|image|>`.
    pub image_token: Option<i64>,
    /// Tokens that end an answer.
    pub ends: BTreeSet<i64>,
}

/// The language model.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Width of the residual stream.
    pub hidden: i64,
    /// Layers.
    pub layers: i64,
    /// Heads of queries.
    pub heads: i64,
    /// Heads of keys and values; `heads` is a multiple of it.
    pub kv_heads: i64,
    /// Width of a head.
    pub head: i64,
    /// Width inside the feed-forward layer.
    pub intermediate: i64,
    /// Entries of the embedding.
    pub vocabulary: i64,
    /// Whether queries, keys and values have a bias.
    pub bias: bool,
    /// Added to the mean square.
    pub eps: f64,
    /// Between gate and up.
    pub activation: Activation,
    /// Positions.
    pub rope: Rope,
    /// Longest sequence.
    pub positions: i64,
}

/// Rotary positions of the language model: pairs of neighbours are turned, in three sections.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How many numbers of a head are turned, from its first on.
    pub rotary: i64,
    /// How many frequencies belong to time, height and width; in sum half of `rotary`.
    pub sections: Vec<i64>,
    /// Frequencies are divided by it.
    pub factor: f64,
}

/// The vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// Blocks.
    pub depth: i64,
    /// Width of the residual stream.
    pub hidden: i64,
    /// Heads.
    pub heads: i64,
    /// Width inside the merger's feed-forward layer; a block's is `out`.
    pub intermediate: i64,
    /// Width of what the language model gets.
    pub out: i64,
    /// Colours.
    pub channels: i64,
    /// Side of a patch in pixels.
    pub patch: i64,
    /// Frames of a patch.
    pub frames: i64,
    /// Side of a square of patches that become one token.
    pub merge: i64,
    /// Side of the grid of learned positions.
    pub grid: i64,
    /// Whether queries, keys and values have a bias.
    pub bias: bool,
    /// Added to the mean square.
    pub eps: f64,
    /// Between gate and up.
    pub activation: Activation,
    /// Base of the frequencies.
    pub theta: f64,
}

/// Activations by transformers' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `silu`, `swish`.
    Silu,
    /// `gelu`.
    Gelu,
    /// `gelu_pytorch_tanh`, `gelu_new`.
    GeluTanh,
    /// `relu`.
    Relu,
}

impl Activation {
    /// Applies it.
    pub fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Self::Silu => x.silu(),
            Self::Gelu => x.gelu("none"),
            Self::GeluTanh => x.gelu("tanh"),
            Self::Relu => x.relu(),
        }
    }
}

impl Config {
    /// Reads `config.json` and, for the tokens that end an answer, `generation_config.json`.
    ///
    /// # Errors
    /// [`ReaderError::File`], [`ReaderError::Malformed`], and [`ReaderError::Config`] with every problem at once.
    pub fn read(folder: &Path) -> Result<Self, ReaderError> {
        let root = read_json(&folder.join("config.json"))?;
        let generation = folder.join("generation_config.json");
        let generation = if generation.exists() {
            read_json(&generation)?
        } else {
            Value::Null
        };
        Self::parse(&root, &generation)
    }

    /// The same from JSON.
    ///
    /// # Errors
    /// [`ReaderError::Config`].
    pub fn parse(root: &Value, generation: &Value) -> Result<Self, ReaderError> {
        let problems = RefCell::new(Vec::new());
        let top = Fields::new(Some(root), "", &problems);
        known_architecture(&top);
        if top.get("quantization_config").is_some() {
            top.problem("quantization_config: only unquantised checkpoints are read; int8 and int4 are made at load");
        }
        let text = top.under("text_config", "text_config.");
        let vision = top.under("vision_config", "vision_config.");
        for (part, name) in [(&text, "text_config"), (&vision, "vision_config")] {
            if !part.is_there() {
                top.problem(format!("there is no {name}"));
            }
        }
        let generation = Fields::new(Some(generation), "generation_config.json: ", &problems);
        // The first that says something: that is transformers' order too.
        let ends = [&generation, &top, &text]
            .iter()
            .find_map(|fields| fields.numbers("eos_token_id"))
            .unwrap_or_default();
        let config = Self {
            text: text_config(&text),
            vision: vision_config(&vision),
            tied: top.flag("tie_word_embeddings", false) || text.flag("tie_word_embeddings", false),
            image_token: top.get("image_token_id").and_then(Value::as_i64),
            ends: ends.into_iter().map(|id| id as i64).collect(),
        };
        if config.vision.out != config.text.hidden {
            top.problem(format!(
                "vision_config.out_hidden_size is {} and text_config.hidden_size {}",
                config.vision.out, config.text.hidden
            ));
        }
        let problems = problems.into_inner();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ReaderError::Config(problems))
        }
    }
}

pub(super) fn read_json(path: &Path) -> Result<Value, ReaderError> {
    let text = fs::read_to_string(path).map_err(ReaderError::file(path))?;
    serde_json::from_str(&text)
        .map_err(|error| ReaderError::malformed(path, format!("it is no JSON: {error}")))
}

fn known_architecture(top: &Fields) {
    let named = top.get("architectures").and_then(Value::as_array);
    let Some(named) = named.filter(|named| !named.is_empty()) else {
        return;
    };
    let names: Vec<&str> = named.iter().filter_map(Value::as_str).collect();
    if !names.iter().any(|name| ARCHITECTURES.contains(name)) {
        top.problem(format!(
            "the architecture is {}, and only {} are read",
            names.join(", "),
            ARCHITECTURES.join(" and ")
        ));
    }
}

fn activation(fields: &Fields) -> Activation {
    match fields.text("hidden_act").unwrap_or("silu") {
        "silu" | "swish" => Activation::Silu,
        "gelu" => Activation::Gelu,
        "gelu_pytorch_tanh" | "gelu_new" => Activation::GeluTanh,
        "relu" => Activation::Relu,
        other => {
            fields.problem(format!(
                "hidden_act is {other}; silu, gelu, gelu_pytorch_tanh and relu are known"
            ));
            Activation::Silu
        }
    }
}

fn text_config(fields: &Fields) -> TextConfig {
    let hidden = fields.size("hidden_size", 4096);
    let heads = fields.size("num_attention_heads", 32);
    // As in transformers, null means that every head has its own, and nothing means two.
    let kv_heads = if fields.is_null("num_key_value_heads") {
        heads
    } else {
        fields.size("num_key_value_heads", 2)
    };
    if hidden % heads != 0 || heads % kv_heads != 0 {
        fields.problem(format!(
            "hidden_size {hidden}, num_attention_heads {heads} and num_key_value_heads {kv_heads} don't divide"
        ));
    }
    let head = (hidden / heads).max(1);
    TextConfig {
        hidden,
        layers: fields.size("num_hidden_layers", 40),
        heads,
        kv_heads,
        head,
        intermediate: fields.size("intermediate_size", 13696),
        vocabulary: fields.size("vocab_size", 151_552),
        bias: fields.flag("attention_bias", true),
        eps: fields.number("rms_norm_eps", 1e-5),
        activation: activation(fields),
        rope: rope(fields, head),
        positions: fields.size("max_position_embeddings", 32_768),
    }
}

/// Rotary positions from `rope_parameters`, or from the older `rope_scaling` with theta and factor beside it.
fn rope(fields: &Fields, head: i64) -> Rope {
    let new = fields.under("rope_parameters", "text_config.rope_parameters.");
    let old = fields.under("rope_scaling", "text_config.rope_scaling.");
    let inner = if old.is_there() { old } else { new };
    let theta = inner.number("rope_theta", fields.number("rope_theta", 10_000.0));
    let share = inner.number(
        "partial_rotary_factor",
        fields.number("partial_rotary_factor", 1.0),
    );
    let kind = inner.text("rope_type").or(inner.text("type"));
    let factor = match kind.unwrap_or("default") {
        // `mrope` is what the sections were called before they had a field.
        "default" | "mrope" => 1.0,
        "linear" => inner.number("factor", 1.0),
        other => {
            inner.problem(format!(
                "rope_type is {other}; default and linear are known"
            ));
            1.0
        }
    };
    let rotary = (head as f64 * share) as i64;
    let sections: Vec<i64> = inner.numbers("mrope_section").map_or_else(
        || vec![8, 12, 12],
        |list| list.into_iter().map(|n| n as i64).collect(),
    );
    if rotary % 2 != 0 || sections.iter().sum::<i64>() * 2 != rotary {
        fields.problem(format!(
            "mrope_section {sections:?} is not in sum half of the {rotary} numbers of a head of {head} that are turned"
        ));
    }
    Rope {
        theta,
        rotary,
        sections,
        factor,
    }
}

fn vision_config(fields: &Fields) -> VisionConfig {
    let hidden = fields.size("hidden_size", 1536);
    let heads = fields.size("num_heads", fields.size("num_attention_heads", 12));
    let patch = fields.size("patch_size", 14);
    let rope = fields.under("rope_parameters", "vision_config.rope_parameters.");
    // Half of a head turns with the row, half with the column, each in pairs.
    if hidden % heads != 0 || (hidden / heads) % 4 != 0 {
        fields.problem(format!(
            "hidden_size {hidden} in {heads} heads gives no heads of a multiple of four"
        ));
    }
    VisionConfig {
        depth: fields.size("depth", fields.size("num_hidden_layers", 24)),
        hidden,
        heads,
        intermediate: fields.size("intermediate_size", 13696),
        out: fields.size("out_hidden_size", 4096),
        channels: fields.size("in_channels", 3),
        patch,
        frames: fields.size("temporal_patch_size", 2),
        merge: fields.size("spatial_merge_size", 2),
        grid: (fields.size("image_size", 336) / patch).max(1),
        bias: fields.flag("attention_bias", false),
        eps: fields.number("rms_norm_eps", 1e-5),
        activation: activation(fields),
        theta: rope.number("rope_theta", fields.number("rope_theta", 10_000.0)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_has_the_published_classes_defaults() {
        let root = json!({"text_config": {"rope_scaling": {"type": "default", "mrope_section": [8, 12, 12]},
            "partial_rotary_factor": 0.5, "num_key_value_heads": 2, "eos_token_id": [5, 6]}, "vision_config": {}});
        let config = Config::parse(&root, &Value::Null).unwrap();
        assert_eq!(config.text.head, 128);
        assert_eq!(config.text.rope.rotary, 64);
        assert_eq!(config.vision.grid, 24);
        assert_eq!(config.ends, BTreeSet::from([5, 6]));
        assert_eq!(config.image_token, None);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let root = json!({"architectures": ["LlamaForCausalLM"], "text_config": {"hidden_size": 65, "hidden_act": "mish",
            "rope_parameters": {"rope_type": "yarn"}}});
        let told = Config::parse(&root, &Value::Null).unwrap_err().to_string();
        for part in [
            "LlamaForCausalLM",
            "no vision_config",
            "hidden_size 65",
            "mish",
            "yarn",
            "mrope_section",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
