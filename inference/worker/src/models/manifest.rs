//! `model.toml`: what a TorchScript file expects and gives, so that nothing about it is guessed.

mod contract;
mod missing;

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sonode_findings::ModelRef;

pub use contract::{A2C, A4C};

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// A map of the left ventricle, and of other structures, for each frame.
    LvSegmentation,
    /// An ejection fraction for a clip.
    EfRegression,
    /// The view of a frame or clip.
    View,
    /// Fitness for measurement.
    Quality,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LvSegmentation => "lv-segmentation",
            Self::EfRegression => "ef-regression",
            Self::View => "view",
            Self::Quality => "quality",
        })
    }
}

/// The order of the input tensor's dimensions: batch, channels, frames, rows, columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// `[batch, channels, rows, columns]`: one frame at a time.
    #[serde(rename = "NCHW")]
    Nchw,
    /// `[batch, channels, frames, rows, columns]`.
    #[serde(rename = "NCTHW")]
    Ncthw,
}

/// How a crop becomes the input's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Stretched in both directions.
    Stretch,
    /// The whole crop with square pixels, padded with black.
    Letterbox,
    /// The square in the middle of the crop.
    CentreSquare,
}

/// What fills a clip that is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    /// A clip of one frame is never too short.
    None,
    /// Zeros after normalisation.
    Zero,
    /// The last frame again.
    RepeatLast,
}

/// What turns an output into a probability or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// The output is used as it is.
    Identity,
    /// Logits, each label for itself.
    Sigmoid,
    /// Logits, one label of all.
    Softmax,
    /// `1 - sigmoid`.
    OneMinusSigmoid,
}

/// The input tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Order of the dimensions.
    pub layout: Layout,
    /// 1: luma; 3: luma three times.
    pub channels: u32,
    /// Frames of one input.
    pub frames: u32,
    /// Every how many frames of the source one is taken.
    pub stride: u32,
    /// Frame rate that `stride` counts in; a clip of another rate is resampled in time. Left out: the clip's own.
    pub frame_rate_hz: Option<f64>,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// How a crop becomes that size.
    pub fit: Fit,
    /// Share of the crop that is cut off on each side before fitting, 0 to 0.4.
    #[serde(default)]
    pub zoom: f64,
    /// What fills a short clip.
    pub padding: Padding,
    /// What luma 0 and the brightest luma become, before `mean` and `std`.
    pub value_range: [f64; 2],
    /// Percentile of a frame's luma that counts as the brightest; left out: 255 does.
    pub brightest_percentile: Option<f64>,
    /// Subtracted, one value a channel.
    pub mean: Vec<f64>,
    /// Divided by afterwards, one value a channel.
    pub std: Vec<f64>,
}

impl Input {
    /// Whether a clip's frames, before their luma is scaled, look the same to a model with another input.
    pub fn shares_frames_with(&self, other: &Self) -> bool {
        let time = |input: &Self| {
            (
                input.layout,
                input.frames,
                input.stride,
                input.frame_rate_hz,
            )
        };
        let place = |input: &Self| (input.height, input.width, input.fit, input.zoom);
        time(self) == time(other) && place(self) == place(other)
    }
}

/// One output tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name: for people, and the key under which a model that gives a dictionary has it.
    pub name: String,
    /// What turns it into a probability or a number.
    pub activation: Activation,
    /// One label a channel or class; for a number, its name.
    pub labels: Vec<String>,
    /// UCUM unit of a number.
    pub unit: Option<String>,
}

/// The same network with weights and activations in bfloat16, as TorchScript that takes and gives single precision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bfloat16 {
    /// The TorchScript file, beside the manifest.
    pub file: String,
    /// SHA-256 of that file, 64 hexadecimal digits.
    pub sha256: String,
}

/// What is known of a model's error, from an evaluation that its documentation names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Standard deviation of the ejection fraction's error, in percentage points.
    pub ef_error_sd_points: f64,
    /// Where it was measured.
    pub measured_on: String,
}

/// Standard deviation of EF's error in points, where a manifest doesn't tell its model's own.
const UNKNOWN_ERROR_POINTS: f64 = 8.0;

/// A model's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name, the same as its folder's.
    pub name: String,
    /// Version.
    pub version: String,
    /// What it is for.
    pub task: Task,
    /// The TorchScript file, beside the manifest.
    pub file: String,
    /// SHA-256 of that file, 64 hexadecimal digits.
    pub sha256: String,
    /// Licence of the weights, as an SPDX expression.
    pub licence: String,
    /// Whether it is a research model: not validated, and used for reports only where that is allowed.
    pub research: bool,
    /// A sentence on what it is and how it was made.
    #[serde(default)]
    pub description: String,
    /// The input tensor.
    pub input: Input,
    /// The output tensors, in order.
    pub output: Vec<Output>,
    /// Its form for processors that compute in bfloat16; left out: single precision everywhere.
    pub bfloat16: Option<Bfloat16>,
    /// What is known of its error.
    pub accuracy: Option<Accuracy>,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ManifestError {
    /// Not TOML, an unknown key, a missing key or a value of the wrong type.
    #[error("{0}")]
    Syntax(String),
    /// A value that can't be.
    #[error("`{key}` {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestError::Syntax`] names the missing or unknown key and says what to write, [`ManifestError::Value`] names
    /// the one whose value can't be, for the model's task too.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text)
            .map_err(|error| ManifestError::Syntax(missing::explain(error.message())))?;
        manifest.check()?;
        manifest.check_task()?;
        require(
            manifest.bfloat16.is_none() || manifest.input.layout == Layout::Nchw,
            "bfloat16",
            "is for single frames: leave it out of a model of clips",
        )?;
        Ok(manifest)
    }

    /// The reference that findings carry.
    pub fn model_ref(&self) -> ModelRef {
        ModelRef {
            name: self.name.clone(),
            version: self.version.clone(),
            sha256: self.sha256.clone(),
            research: self.research,
        }
    }

    /// Standard deviation of EF's error in points, from an evaluation where there is one.
    pub fn ef_error_points(&self) -> f64 {
        self.accuracy
            .as_ref()
            .map_or(UNKNOWN_ERROR_POINTS, |accuracy| accuracy.ef_error_sd_points)
    }

    fn check(&self) -> Result<(), ManifestError> {
        for (key, text) in [
            ("name", &self.name),
            ("version", &self.version),
            ("licence", &self.licence),
        ] {
            require(!text.trim().is_empty(), key, "is empty")?;
        }
        check_file(["file", "sha256"], &self.file, &self.sha256)?;
        if let Some(Bfloat16 { file, sha256 }) = &self.bfloat16 {
            check_file(["bfloat16.file", "bfloat16.sha256"], file, sha256)?;
        }
        self.input.check()?;
        require(
            !self.output.is_empty(),
            "output",
            "must list at least one output",
        )?;
        // The name may become a file's, as that of the model's own file does.
        let named = self.output.iter().all(|output| is_plain(&output.name));
        require(named, "output.name", "must be a plain name")?;
        let labelled = self.output.iter().all(|output| !output.labels.is_empty());
        require(labelled, "output.labels", "must not be empty")?;
        let sd = self
            .accuracy
            .as_ref()
            .map_or(1.0, |accuracy| accuracy.ef_error_sd_points);
        require(
            sd.is_finite() && sd > 0.0,
            "accuracy.ef_error_sd_points",
            "must be positive",
        )
    }
}

impl Input {
    fn check(&self) -> Result<(), ManifestError> {
        require(
            matches!(self.channels, 1 | 3),
            "input.channels",
            "must be 1 or 3",
        )?;
        require(
            (1..=512).contains(&self.frames),
            "input.frames",
            "must be 1 to 512",
        )?;
        require(
            (1..=64).contains(&self.stride),
            "input.stride",
            "must be 1 to 64",
        )?;
        for (key, size) in [("input.height", self.height), ("input.width", self.width)] {
            require((16..=1024).contains(&size), key, "must be 16 to 1024")?;
        }
        let one_frame = self.layout == Layout::Nchw;
        require(
            !one_frame || self.frames == 1,
            "input.frames",
            "must be 1 in the layout NCHW",
        )?;
        let rate = self.frame_rate_hz.unwrap_or(1.0);
        require(
            rate.is_finite() && rate > 0.0,
            "input.frame_rate_hz",
            "must be positive",
        )?;
        require(
            (0.0..=0.4).contains(&self.zoom),
            "input.zoom",
            "must be 0 to 0.4",
        )?;
        let [low, high] = self.value_range;
        let is_range = low.is_finite() && high.is_finite() && low < high;
        require(is_range, "input.value_range", "must be two rising numbers")?;
        let percentile = self.brightest_percentile.unwrap_or(100.0);
        require(
            (50.0..=100.0).contains(&percentile),
            "input.brightest_percentile",
            "must be 50 to 100",
        )?;
        for (key, values) in [("input.mean", &self.mean), ("input.std", &self.std)] {
            let fits =
                values.len() == self.channels as usize && values.iter().all(|v| v.is_finite());
            require(fits, key, "must have one number a channel")?;
        }
        require(
            self.std.iter().all(|std| *std > 0.0),
            "input.std",
            "must be positive",
        )
    }
}

fn check_file(keys: [&'static str; 2], file: &str, sha256: &str) -> Result<(), ManifestError> {
    // A plain name: a path of the manifest's own could lead out of the models' folder.
    require(
        is_plain(file),
        keys[0],
        "must be the name of a file beside the manifest",
    )?;
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    require(
        sha256.len() == 64 && sha256.bytes().all(is_digit),
        keys[1],
        "must be 64 lower-case hexadecimal digits",
    )
}

fn is_plain(name: &str) -> bool {
    Path::new(name)
        .file_name()
        .is_some_and(|last| *last == *name)
}

fn require(holds: bool, key: &'static str, problem: &str) -> Result<(), ManifestError> {
    if holds {
        Ok(())
    } else {
        Err(ManifestError::Value {
            key,
            problem: problem.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
