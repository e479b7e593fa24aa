//! A LoRA adapter in PEFT's format: `adapter_config.json` and `adapter_model.safetensors`. It is merged into the weights
//! as they are loaded: W + scale B A.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use tch::{Kind, Tensor};

use super::config::read_json;
use super::error::ReaderError;
use super::files::TensorFiles;

/// What PEFT puts before the model's own names.
const PREFIX: &str = "base_model.model.";
/// Settings that change what a merge is; each must be off.
const UNKNOWN: [&str; 12] = [
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "fan_in_fan_out",
    "modules_to_save",
    "trainable_token_indices",
    "layer_replication",
    "target_parameters",
    "arrow_config",
    "alora_invocation_tokens",
    "velora_config",
];

/// An adapter.
#[derive(Debug)]
pub struct Adapter {
    files: TensorFiles,
    /// By the name of the weight that they change: its two halves and their factor.
    parts: BTreeMap<String, Part>,
}

#[derive(Debug)]
struct Part {
    a: String,
    b: String,
    scale: f64,
}

impl Adapter {
    /// Reads an adapter for a model whose weights have these shapes.
    ///
    /// # Errors
    /// [`ReaderError::File`], [`ReaderError::Malformed`]; [`ReaderError::Config`] for a kind of adapter that is not
    /// merged here; [`ReaderError::Tensors`] with every tensor that has no partner, no weight or another shape.
    pub fn read(folder: &Path, weights: &BTreeMap<String, Vec<i64>>) -> Result<Self, ReaderError> {
        let settings = Settings::read(&folder.join("adapter_config.json"))?;
        let files = TensorFiles::open(folder, "adapter_model")?;
        let mut problems = Vec::new();
        let mut parts = BTreeMap::new();
        let names: BTreeSet<&str> = files.names().collect();
        for name in &names {
            let Some((module, half)) = module_of(name) else {
                problems.push(format!("{name} of the adapter is no lora_A or lora_B"));
                continue;
            };
            let partner = name.replace(
                half,
                if half == ".lora_A" {
                    ".lora_B"
                } else {
                    ".lora_A"
                },
            );
            if !names.contains(partner.as_str()) {
                problems.push(format!("{partner} is missing in the adapter"));
            } else if half == ".lora_A" {
                match part(&files, weights, &settings, &module, name, &partner) {
                    Ok(part) => drop(parts.insert(format!("{module}.weight"), part)),
                    Err(why) => problems.push(why),
                }
            }
        }
        if problems.is_empty() {
            Ok(Self { files, parts })
        } else {
            Err(ReaderError::Tensors(problems))
        }
    }

    /// How many weights it changes.
    pub fn weights(&self) -> usize {
        self.parts.len()
    }

    /// A weight with its change, in 32 bits; as it is where the adapter has none for it.
    ///
    /// # Errors
    /// [`ReaderError::Torch`].
    pub fn merge(&self, name: &str, weight: Tensor) -> Result<Tensor, ReaderError> {
        let Some(part) = self.parts.get(name) else {
            return Ok(weight);
        };
        let a = self.files.tensor(&part.a)?.to_kind(Kind::Float);
        let b = self.files.tensor(&part.b)?.to_kind(Kind::Float);
        Ok(weight.to_kind(Kind::Float) + b.matmul(&a) * part.scale)
    }
}

/// `base_model.model.MODULE.lora_A.weight` to MODULE and the half.
fn module_of(name: &str) -> Option<(String, &'static str)> {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    let half = [".lora_A", ".lora_B"]
        .into_iter()
        .find(|half| name.contains(half))?;
    let (module, rest) = name.split_once(half)?;
    // With a name of the adapter between them, where it was saved by an older version.
    (rest.ends_with(".weight")).then(|| (module.to_owned(), half))
}

fn part(
    files: &TensorFiles,
    weights: &BTreeMap<String, Vec<i64>>,
    settings: &Settings,
    module: &str,
    a: &str,
    b: &str,
) -> Result<Part, String> {
    let Some(&[outputs, inputs]) = weights.get(&format!("{module}.weight")).map(Vec::as_slice)
    else {
        return Err(format!(
            "the adapter changes {module}, which is no linear layer"
        ));
    };
    let (rank, scale) = settings.of(module);
    let wrong = |name: &str, should: [i64; 2]| {
        let is = files.shape(name).unwrap_or_default();
        (is != should).then(|| format!("{name} of the adapter is {is:?}, not {should:?}"))
    };
    match wrong(a, [rank, inputs]).or(wrong(b, [outputs, rank])) {
        Some(why) => Err(why),
        None => Ok(Part {
            a: a.to_owned(),
            b: b.to_owned(),
            scale,
        }),
    }
}

/// Ranks and factors of `adapter_config.json`.
#[derive(Debug)]
struct Settings {
    rank: i64,
    alpha: f64,
    ranks: Vec<(String, f64)>,
    alphas: Vec<(String, f64)>,
    /// Divides by the root of the rank.
    rooted: bool,
}

impl Settings {
    fn read(path: &Path) -> Result<Self, ReaderError> {
        let json = read_json(path)?;
        let mut problems = Vec::new();
        let on = |key: &str| match json.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Array(list)) => !list.is_empty(),
            Some(_) => true,
        };
        if json.get("peft_type").and_then(Value::as_str) != Some("LORA") {
            problems.push("peft_type is not LORA".to_owned());
        }
        problems.extend(UNKNOWN.iter().filter(|key| on(key)).map(|key| {
            format!("adapter_config.json: {key} is set, and such an adapter isn't merged here")
        }));
        if !matches!(
            json.get("bias").and_then(Value::as_str),
            None | Some("none")
        ) {
            problems.push(
                "adapter_config.json: it changes biases, which aren't merged here".to_owned(),
            );
        }
        let rank = json.get("r").and_then(Value::as_i64).filter(|r| *r > 0);
        let alpha = json.get("lora_alpha").and_then(Value::as_f64);
        match (rank, alpha) {
            (Some(rank), Some(alpha)) if problems.is_empty() => Ok(Self {
                rank,
                alpha,
                ranks: patterns(&json, "rank_pattern"),
                alphas: patterns(&json, "alpha_pattern"),
                rooted: on("use_rslora"),
            }),
            _ => {
                if rank.is_none() || alpha.is_none() {
                    problems.push("adapter_config.json: r or lora_alpha is missing".to_owned());
                }
                Err(ReaderError::Config(problems))
            }
        }
    }

    /// Rank and scale of a module.
    fn of(&self, module: &str) -> (i64, f64) {
        let own = |patterns: &[(String, f64)]| {
            let found = patterns.iter().find(|(name, _)| ends_in(module, name));
            found.map(|(_, number)| *number)
        };
        let rank = own(&self.ranks).map_or(self.rank, |rank| rank as i64);
        let alpha = own(&self.alphas).unwrap_or(self.alpha);
        let by = if self.rooted {
            (rank as f64).sqrt()
        } else {
            rank as f64
        };
        (rank, alpha / by)
    }
}

/// Whether a pattern names the module, wholly or by its last parts. Patterns are regular expressions in PEFT; plain names
/// are what its users write.
fn ends_in(module: &str, pattern: &str) -> bool {
    module == pattern
        || module
            .strip_suffix(pattern)
            .is_some_and(|before| before.ends_with('.'))
}

fn patterns(json: &Value, key: &str) -> Vec<(String, f64)> {
    let map = json.get(key).and_then(Value::as_object);
    map.into_iter()
        .flatten()
        .filter_map(|(name, number)| Some((name.clone(), number.as_f64()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapters_names_lead_to_the_models() {
        let weight = "base_model.model.model.visual.blocks.0.attn.qkv.lora_A.weight";
        let (module, half) = module_of(weight).unwrap();
        assert_eq!(
            (module.as_str(), half),
            ("model.visual.blocks.0.attn.qkv", ".lora_A")
        );
        let (module, half) = module_of("base_model.model.lm_head.lora_B.default.weight").unwrap();
        assert_eq!((module.as_str(), half), ("lm_head", ".lora_B"));
        assert!(module_of("base_model.model.lm_head.lora_magnitude_vector").is_none());
    }

    #[test]
    fn patterns_name_whole_parts() {
        let settings = Settings {
            rank: 8,
            alpha: 16.0,
            ranks: vec![("v_proj".to_owned(), 2.0)],
            alphas: Vec::new(),
            rooted: false,
        };
        assert_eq!(settings.of("model.layers.0.self_attn.v_proj"), (2, 8.0));
        assert_eq!(settings.of("model.layers.0.self_attn.kv_proj"), (8, 2.0));
    }
}
