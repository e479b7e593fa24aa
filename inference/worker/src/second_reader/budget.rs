//! How much memory a checkpoint takes, held against what is free before anything is loaded.

use std::fs;
use std::process::Command;

use tch::{Device, Kind};

use super::config::Config;
use super::decoder::Cache;
use super::error::ReaderError;
use super::linear::Precision;
use super::weights::Plan;

/// Positions of one question with a picture and its answer, rounded up.
const POSITIONS: i64 = 4096;
/// Taken by libtorch itself, and by what a layer computes with.
const WORK_BYTES: u64 = 1 << 30;

/// What a model takes and what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of the weights as stored.
    pub weights: u64,
    /// Bytes of keys and values of one question.
    pub cache: u64,
    /// The largest layer in 32 bits, which is there while it is quantised or turned back.
    pub layer: u64,
    /// Bytes that may be used; none where nobody can say.
    pub free: Option<u64>,
}

impl Budget {
    /// The budget of a configuration on a device. `limit` is what an operator grants, in place of what is found.
    pub fn of(
        config: &Config,
        plan: &Plan,
        precision: Precision,
        device: Device,
        limit: Option<u64>,
    ) -> Self {
        let kind = precision.arithmetic(device);
        let largest = plan
            .shapes()
            .values()
            .map(|shape| shape.iter().product::<i64>())
            .max()
            .unwrap_or(0);
        let layer = match precision {
            Precision::Fp32 | Precision::Bf16 => 0,
            Precision::Int8 | Precision::Int4 => {
                largest as u64 * Kind::Float.elt_size_in_bytes() as u64
            }
        };
        let tied = if config.tied && layer > 0 {
            largest as u64
        } else {
            0
        };
        Self {
            weights: plan.bytes(precision, kind) + tied,
            cache: Cache::bytes(&config.text, POSITIONS.min(config.text.positions), kind),
            layer,
            free: limit.or_else(|| free(device)),
        }
    }

    /// Everything together.
    pub fn need(&self) -> u64 {
        self.weights + self.cache + self.layer + WORK_BYTES.min(self.weights)
    }

    /// Whether it fits.
    ///
    /// # Errors
    /// [`ReaderError::Memory`] where it doesn't, or where nobody can say how much is free.
    pub fn check(&self) -> Result<(), ReaderError> {
        let in_words = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
        let refused = |free: String| ReaderError::Memory {
            need: in_words(self.need()),
            free,
        };
        match self.free {
            Some(free) if self.need() <= free => Ok(()),
            Some(free) => Err(refused(in_words(free))),
            None => Err(refused(
                "an unknown number of bytes (give --memory-gib)".to_owned(),
            )),
        }
    }
}

/// Bytes that are free on a device; none where nobody can say.
pub fn free(device: Device) -> Option<u64> {
    match device {
        // libtorch's C++ side knows, and its Rust binding has no way to ask.
        Device::Cuda(number) => free_on_gpu(number),
        _ => free_on_host(),
    }
}

fn free_on_gpu(number: usize) -> Option<u64> {
    let output = Command::new("nvidia-smi")
        .args(["--query-gpu=memory.free", "--format=csv,noheader,nounits"])
        .args(["-i", &number.to_string()])
        .output()
        .ok()?;
    let mib: u64 = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    Some(mib << 20)
}

/// The kernel's own estimate, or what is left of the control group where that is less.
fn free_on_host() -> Option<u64> {
    let memory = fs::read_to_string("/proc/meminfo").ok()?;
    let line = memory
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    let group = |name: &str| -> Option<u64> {
        let text = fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?;
        text.trim().parse().ok()
    };
    let left = group("memory.max").zip(group("memory.current"));
    let left = left.map_or(u64::MAX, |(most, now)| most.saturating_sub(now));
    Some((kib << 10).min(left))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// GLM-4.6V-Flash's sizes, as published.
    fn flash() -> Config {
        let text = json!({"num_key_value_heads": 2, "rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}});
        Config::parse(
            &json!({"text_config": text, "vision_config": {}}),
            &Value::Null,
        )
        .unwrap()
    }

    #[test]
    fn the_published_model_has_its_published_size() {
        let plan = Plan::of(&flash());
        let billions = plan.parameters() as f64 / 1e9;
        assert!((billions - 10.29).abs() < 0.01, "{billions}");
        let gb = |precision: Precision| plan.bytes(precision, Kind::BFloat16) as f64 / 1e9;
        assert!((gb(Precision::Bf16) - 20.6).abs() < 0.1);
        assert!(
            (10.5..11.2).contains(&gb(Precision::Int8)),
            "{}",
            gb(Precision::Int8)
        );
        assert!(
            (7.5..8.2).contains(&gb(Precision::Int4)),
            "{}",
            gb(Precision::Int4)
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_before_loading() {
        let config = flash();
        let plan = Plan::of(&config);
        let budget = |limit| Budget::of(&config, &plan, Precision::Int8, Device::Cpu, Some(limit));
        assert!(budget(64 << 30).check().is_ok());
        let told = budget(8 << 30).check().unwrap_err().to_string();
        assert!(
            told.contains("8.0 GiB are free") && told.contains("int4"),
            "{told}"
        );
    }
}
