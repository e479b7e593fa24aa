//! The whole network: a prompt with pictures in it to the logits of the next token, step by step.

use tch::{Device, Kind, Tensor, no_grad};

use super::config::Config;
use super::decoder::{Cache, Decoder};
use super::error::ReaderError;
use super::linear::Linear;
use super::pictures::Patches;
use super::vision::{Grid, Vision};
use super::weights::{Loader, TEXT};

/// The network.
#[derive(Debug)]
pub struct Model {
    config: Config,
    embedding: Tensor,
    vision: Vision,
    decoder: Decoder,
    output: Linear,
    kind: Kind,
    device: Device,
}

/// Tokens with the pictures that stand in them, in order.
#[derive(Debug)]
pub struct Prompt {
    /// The tokens; each picture is a run of `image`.
    pub ids: Vec<i64>,
    /// The token that stands for a part of a picture.
    pub image: i64,
    /// The pictures.
    pub pictures: Vec<Patches>,
}

/// A sequence on its way.
#[derive(Debug)]
pub struct Sequence {
    cache: Cache,
    /// What is added to a token's number to make its position.
    shift: i64,
}

impl Sequence {
    /// Tokens seen.
    pub fn len(&self) -> i64 {
        self.cache.len()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }
}

impl Model {
    /// Loads it.
    ///
    /// # Errors
    /// [`ReaderError::Torch`].
    pub fn load(loader: &Loader, config: &Config) -> Result<Self, ReaderError> {
        let embedding = loader.embedding(&format!("{TEXT}.embed_tokens.weight"))?;
        Ok(Self {
            vision: Vision::load(loader, &config.vision)?,
            decoder: Decoder::load(loader, &config.text)?,
            output: loader.output(config.tied.then_some(&embedding))?,
            embedding,
            config: config.clone(),
            kind: loader.kind(),
            device: loader.device(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Reads a prompt, with room for so many tokens after it: the sequence, and the logits of the next token.
    ///
    /// # Errors
    /// [`ReaderError::Prompt`] where a token is none of the vocabulary, pictures and their runs of tokens differ, or the
    /// sequence is longer than the model takes.
    pub fn read(&self, prompt: &Prompt, room: i64) -> Result<(Sequence, Tensor), ReaderError> {
        let mut sequence = self.begin(prompt, room)?;
        let hidden = no_grad(|| {
            let embedded = self.embed_prompt(prompt);
            let positions = positions(prompt, self.config.vision.merge).to_device(self.device);
            self.decoder
                .forward(&embedded, &positions, &mut sequence.cache)
        });
        Ok((sequence, self.logits(&hidden, 1).squeeze_dim(0)))
    }

    /// The logits after the last `count` tokens of a prompt, `[count, vocabulary]`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn tail(&self, prompt: &Prompt, count: i64) -> Result<Tensor, ReaderError> {
        let mut sequence = self.begin(prompt, 0)?;
        let hidden = no_grad(|| {
            let embedded = self.embed_prompt(prompt);
            let positions = positions(prompt, self.config.vision.merge).to_device(self.device);
            self.decoder
                .forward(&embedded, &positions, &mut sequence.cache)
        });
        Ok(self.logits(&hidden, count))
    }

    /// Goes on with tokens; the logits after the last of them.
    pub fn go_on(&self, sequence: &mut Sequence, ids: &[i64]) -> Tensor {
        let hidden = no_grad(|| {
            let first = sequence.cache.len() + sequence.shift;
            let count = ids.len() as i64;
            let positions = Tensor::arange_start(first, first + count, (Kind::Int64, self.device))
                .unsqueeze(0)
                .expand([3, count], false);
            let embedded = self.embed(&Tensor::from_slice(ids));
            self.decoder
                .forward(&embedded, &positions, &mut sequence.cache)
        });
        self.logits(&hidden, 1).squeeze_dim(0)
    }

    fn begin(&self, prompt: &Prompt, room: i64) -> Result<Sequence, ReaderError> {
        let count = prompt.ids.len() as i64;
        let text = &self.config.text;
        if prompt.ids.is_empty() {
            return Err(ReaderError::Prompt("the prompt is empty".to_owned()));
        }
        if let Some(id) = prompt
            .ids
            .iter()
            .find(|id| !(0..text.vocabulary).contains(*id))
        {
            let what = format!("token {id} is none of the {} of the model", text.vocabulary);
            return Err(ReaderError::Prompt(what));
        }
        if count + room > text.positions {
            let what = format!(
                "{count} tokens and {room} of the answer are more than the {} that the model takes",
                text.positions
            );
            return Err(ReaderError::Prompt(what));
        }
        prompt.fits(self.config.vision.merge)?;
        let last = positions(prompt, self.config.vision.merge)
            .max()
            .int64_value(&[]);
        Ok(Sequence {
            cache: self.decoder.cache(count + room, self.kind, self.device),
            shift: last + 1 - count,
        })
    }

    fn embed(&self, ids: &Tensor) -> Tensor {
        let ids = ids.to_device(self.device);
        self.embedding.index_select(0, &ids).to_kind(self.kind)
    }

    /// The embeddings of a prompt, its pictures in the places of their tokens.
    fn embed_prompt(&self, prompt: &Prompt) -> Tensor {
        let embedded = self.embed(&Tensor::from_slice(&prompt.ids));
        for (picture, (start, count)) in prompt.pictures.iter().zip(prompt.runs()) {
            let seen = self.vision.forward(&picture.values, picture.grid);
            embedded.narrow(0, start, count).copy_(&seen);
        }
        embedded
    }

    fn logits(&self, hidden: &Tensor, count: i64) -> Tensor {
        no_grad(|| {
            let total = hidden.size()[0];
            let count = count.min(total);
            let last = hidden.narrow(0, total - count, count);
            self.output.forward(&last).to_kind(Kind::Float)
        })
    }
}

impl Prompt {
    /// Begin and length of each run of image tokens.
    fn runs(&self) -> Vec<(i64, i64)> {
        let mut runs: Vec<(i64, i64)> = Vec::new();
        for (at, _) in self
            .ids
            .iter()
            .enumerate()
            .filter(|(_, id)| **id == self.image)
        {
            let at = at as i64;
            match runs.last_mut() {
                Some((start, count)) if *start + *count == at => *count += 1,
                _ => runs.push((at, 1)),
            }
        }
        runs
    }

    fn fits(&self, merge: i64) -> Result<(), ReaderError> {
        let runs: Vec<i64> = self.runs().into_iter().map(|(_, count)| count).collect();
        let tokens = |grid: Grid| grid.tokens(merge);
        let pictures: Vec<i64> = self.pictures.iter().map(|one| tokens(one.grid)).collect();
        if runs == pictures {
            Ok(())
        } else {
            let what = format!(
                "the prompt has runs of {runs:?} image tokens for pictures of {pictures:?}"
            );
            Err(ReaderError::Prompt(what))
        }
    }
}

/// `[3, count]`: time, height and width. Text counts on in all three; in a picture time stands still while height and width
/// follow its merged squares, and what comes after begins past its longer side.
fn positions(prompt: &Prompt, merge: i64) -> Tensor {
    let count = prompt.ids.len();
    let mut axes = [vec![0i64; count], vec![0; count], vec![0; count]];
    let mut pictures = prompt.pictures.iter().map(|one| one.grid);
    let mut next = 0;
    let mut at = 0;
    while at < count {
        let grid = if prompt.ids[at] == prompt.image {
            pictures.next()
        } else {
            None
        };
        let Some(grid) = grid else {
            for axis in &mut axes {
                axis[at] = next;
            }
            next += 1;
            at += 1;
            continue;
        };
        let (rows, columns) = (grid.rows / merge, grid.columns / merge);
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)))
        {
            axes[0][at] = next;
            axes[1][at] = next + row;
            axes[2][at] = next + column;
            at += 1;
        }
        next += grid.rows.max(grid.columns) / merge;
    }
    Tensor::stack(&axes.map(|axis| Tensor::from_slice(&axis)), 0)
}
