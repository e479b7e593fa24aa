//! `[inference.second_reader]`: a vision-language model that reads what was measured, in the worker.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::reader::{Problems, Section};

/// Longest time that a reading may hold an answer: the worker is given ten minutes for one.
const DEADLINE_S_MAX: u64 = 300;

/// A second reader. The checks of its files are the worker's, which loads them.
#[derive(Debug, Clone, PartialEq)]
pub struct SecondReader {
    /// `checkpoint`: its folder, as published.
    pub checkpoint: PathBuf,
    /// `adapter`: folder of a LoRA adapter in PEFT's format.
    pub adapter: Option<PathBuf>,
    /// `dtype`: how its weights are stored. Default `int8`.
    pub dtype: Dtype,
    /// `deadline_s`: longest time that a measurement waits for its reading; then the report leaves without. Default 20,
    /// far below the quiet period, so that readings delay no report.
    pub deadline_s: u64,
    /// `when_late`: what becomes of a reading that was not in time: none, or a revision of the report. Default `drop`.
    pub when_late: WhenLate,
    /// `language` of the narrative: `en` or `zh`. Default `en`.
    pub language: Tongue,
    /// `on_cpu`: read without a GPU too, which takes minutes at full size. Default false.
    pub on_cpu: bool,
}

/// One of the words that a key takes.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $($variant:ident = $word:literal),+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`.")] $variant),+
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("say {}", [$($word),+].join(" or "))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $word),+
                })
            }
        }
    };
}

words!(
    /// How weights are stored.
    Dtype, Fp32 = "fp32", Bf16 = "bf16", Int8 = "int8", Int4 = "int4"
);
words!(
    /// What becomes of a late reading.
    WhenLate, Drop = "drop", Revise = "revise"
);
words!(
    /// A language that the reader answers in.
    Tongue, En = "en", Zh = "zh"
);

impl SecondReader {
    /// Reads the table below `[inference]`; none where it is left out.
    pub(super) fn read(
        inference: &mut Section,
        folder: &Path,
        problems: &mut Problems,
    ) -> Option<Self> {
        if !inference.has("second_reader") {
            return None;
        }
        let mut section = inference.section("second_reader", problems);
        let checkpoint = section.required::<PathBuf>("checkpoint", problems);
        let reader = Self {
            checkpoint: folder.join(checkpoint.unwrap_or_default()),
            adapter: section
                .parsed::<PathBuf>("adapter", problems)
                .map(|adapter| folder.join(adapter)),
            dtype: section.parsed("dtype", problems).unwrap_or(Dtype::Int8),
            deadline_s: section
                .number("deadline_s", 1..=DEADLINE_S_MAX, problems)
                .unwrap_or(20),
            when_late: section
                .parsed("when_late", problems)
                .unwrap_or(WhenLate::Drop),
            language: section.parsed("language", problems).unwrap_or(Tongue::En),
            on_cpu: section.flag("on_cpu", problems).unwrap_or(false),
        };
        section.finish(
            &[
                "checkpoint",
                "adapter",
                "dtype",
                "deadline_s",
                "when_late",
                "language",
                "on_cpu",
            ],
            problems,
        );
        Some(reader)
    }

    /// The worker's arguments for it.
    pub fn arguments(&self) -> Vec<String> {
        let mut args = Vec::new();
        let mut add =
            |name: &str, value: String| args.extend([format!("--second-reader{name}"), value]);
        add("", self.checkpoint.display().to_string());
        if let Some(adapter) = &self.adapter {
            add("-adapter", adapter.display().to_string());
        }
        add("-dtype", self.dtype.to_string());
        add("-deadline-s", self.deadline_s.to_string());
        add("-when-late", self.when_late.to_string());
        add("-language", self.language.to_string());
        if self.on_cpu {
            args.push("--second-reader-on-cpu".to_owned());
        }
        args
    }
}
