//! The second reader: a vision-language model of GLM-4.6V-Flash's architecture that looks at the frames that were measured,
//! and says in words what it sees. It never overrules a measurement.
//!
//! ```text
//! config    config.json -> sizes                    fields, error
//! files     safetensors, mapped into memory         lora: an adapter, merged on the way
//! weights   what a configuration asks for, held against the files; linear: four precisions; budget: memory before loading
//! pictures  pixels -> patches                       vision: patches -> embeddings
//! template  a question -> a prompt                  tokens: a prompt -> tokens
//! decoder   embeddings -> hidden states             model: all of it; generate: answers, freely or within a grammar
//! question  what is asked, the grammar of its answer     verify: what of it may stand; cross: held against the measurement
//! review    all of it for one clip, in the worker           bench: how fast it is
//! ```
//! Everything is held against Hugging Face transformers by the fixtures in `tests/second_reader`, which
//! `inference/parity/reader_fixtures.py` makes.

pub mod bench;
pub mod budget;
pub mod config;
pub mod cross;
pub mod decoder;
mod error;
mod fields;
pub mod files;
pub mod generate;
pub mod grammar;
mod layers;
pub mod linear;
pub mod lora;
pub mod model;
pub mod pictures;
pub mod question;
pub mod review;
pub mod template;
pub mod tokens;
pub mod verify;
pub mod vision;
pub mod weights;

use std::path::PathBuf;

use tch::Device;

use crate::dicom::pixels::RgbFrame;
use budget::Budget;
use config::Config;
pub use error::ReaderError;
use linear::Precision;
use model::{Model, Prompt};
use pictures::{Patches, Pictures};
use template::{ChatTemplate, Question};
use tokens::{Shown, Tokens};
use weights::Loader;

/// Which checkpoint, and how it is loaded.
#[derive(Debug, Clone)]
pub struct Options {
    /// The checkpoint's folder, as published.
    pub checkpoint: PathBuf,
    /// An adapter in PEFT's format.
    pub adapter: Option<PathBuf>,
    /// How weights are stored.
    pub precision: Precision,
    /// Where the network is.
    pub device: Device,
    /// Bytes that it may take; none: what is found to be free.
    pub memory: Option<u64>,
    /// Whether a terminal shows how far loading has come.
    pub progress: bool,
}

/// A loaded checkpoint.
#[derive(Debug)]
pub struct SecondReader {
    /// The network.
    pub model: Model,
    /// The tokenizer.
    pub tokens: Tokens,
    pictures: Pictures,
    /// A raw prompt needs none.
    template: Option<ChatTemplate>,
}

/// A cine's frames, in colour, with the time of each.
#[derive(Debug)]
pub struct Cine {
    /// Frames as they are shown, all of one size.
    pub frames: Vec<RgbFrame>,
    /// Seconds from the clip's begin.
    pub seconds: Vec<f64>,
}

/// What is asked about which pictures.
#[derive(Debug, Default)]
pub struct Asked<'a> {
    /// The words.
    pub text: &'a str,
    /// Pictures.
    pub images: &'a [RgbFrame],
    /// A cine after them.
    pub cine: Option<&'a Cine>,
    /// Whether there is no template around the words.
    pub raw: bool,
    /// Whether the model may think first; none: as its template has it.
    pub thinking: Option<bool>,
}

impl SecondReader {
    /// Loads a checkpoint, if there is memory for it.
    ///
    /// # Errors
    /// Each of [`ReaderError`] but those of a prompt.
    pub fn load(options: &Options) -> Result<Self, ReaderError> {
        let folder = options.checkpoint.as_path();
        let config = Config::read(folder)?;
        let tokens = Tokens::read(folder, &config)?;
        let pictures = Pictures::read(folder, &config.vision)?;
        let template = ChatTemplate::read(folder)?;
        let mut loader = Loader::open(
            folder,
            options.adapter.as_deref(),
            &config,
            options.precision,
            options.device,
        )?;
        Budget::of(
            &config,
            loader.plan(),
            options.precision,
            options.device,
            options.memory,
        )
        .check()?;
        if options.progress {
            loader.show_progress();
        }
        Ok(Self {
            model: Model::load(&loader, &config)?,
            tokens,
            pictures,
            template,
        })
    }

    /// A question's prompt, in tokens and patches.
    ///
    /// # Errors
    /// [`ReaderError::Template`], [`ReaderError::Picture`], [`ReaderError::Prompt`], [`ReaderError::Tokenizer`].
    pub fn prompt(&self, asked: &Asked) -> Result<Prompt, ReaderError> {
        let mut shown = Vec::new();
        let mut patches: Vec<Patches> = Vec::new();
        for image in asked.images {
            let image = self.pictures.image(image)?;
            shown.push(Shown::Image(image.grid));
            patches.push(image);
        }
        if let Some(cine) = asked.cine {
            let pairs = self.pictures.cine(&cine.frames)?;
            let step = self.pictures.frames_of_a_patch() as usize;
            if let Some(first) = pairs.first() {
                shown.push(Shown::Cine {
                    grid: first.grid,
                    seconds: cine.seconds.iter().step_by(step).copied().collect(),
                });
            }
            patches.extend(pairs);
        }
        let text = if asked.raw {
            Tokens::raw(asked.text, asked.images.len())
        } else {
            let none = || ReaderError::Template("there is none in the checkpoint".to_owned());
            let template = self.template.as_ref().ok_or_else(none)?;
            template.render(&Question {
                text: asked.text,
                images: asked.images.len(),
                cines: usize::from(asked.cine.is_some()),
                thinking: asked.thinking,
            })?
        };
        let merge = self.model.config().vision.merge;
        Ok(Prompt {
            ids: self.tokens.expand(&text, &shown, merge)?,
            image: self.tokens.image(),
            pictures: patches,
        })
    }

    /// The frames of a cine that the published video processor would look at.
    pub fn sampled(&self, count: usize, rate_hz: f64) -> Vec<usize> {
        pictures::sampled(count, rate_hz, self.pictures.frames_of_a_patch())
    }
}
