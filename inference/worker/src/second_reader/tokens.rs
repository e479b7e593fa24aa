//! The tokenizer of a checkpoint, and prompts in its tokens.

use std::path::Path;

use tokenizers::Tokenizer;
use tokenizers::decoders::DecoderWrapper;

use super::config::Config;
use super::error::ReaderError;
use super::vision::Grid;

const IMAGE: &str = "<|image|>";
const VIDEO: &str = "<|video|>";
const BEGIN: &str = "<|begin_of_image|>";
const END: &str = "<|end_of_image|>";

/// The tokenizer, and the special tokens that prompts need.
#[derive(Debug)]
pub struct Tokens {
    tokenizer: Tokenizer,
    image: i64,
}

/// What a place in a rendered prompt stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// One picture.
    Image(Grid),
    /// A cine: the pairs' grid, and when each pair begins, in seconds.
    Cine {
        /// Of each pair of frames.
        grid: Grid,
        /// One for each pair.
        seconds: Vec<f64>,
    },
}

impl Tokens {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// [`ReaderError::Tokenizer`], and [`ReaderError::Config`] where it and `config.json` name different tokens.
    pub fn read(folder: &Path, config: &Config) -> Result<Self, ReaderError> {
        let file = folder.join("tokenizer.json");
        let mut tokenizer = Tokenizer::from_file(&file).map_err(|error| {
            ReaderError::Tokenizer(format!("{} can't be read: {error}", file.display()))
        })?;
        // What a file may ask for in training must not cut a prompt.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| ReaderError::Tokenizer(error.to_string()))?;
        let own = tokenizer.token_to_id(IMAGE).map(i64::from);
        let image = match (own, config.image_token) {
            (Some(own), Some(stated)) if own != stated => {
                let what =
                    format!("image_token_id is {stated}, and the tokenizer's {IMAGE} is {own}");
                return Err(ReaderError::Config(vec![what]));
            }
            (own, stated) => own.or(stated).ok_or_else(|| {
                ReaderError::Config(vec!["no image_token_id is named".to_owned()])
            })?,
        };
        Ok(Self { tokenizer, image })
    }

    /// The token that stands for a part of a picture.
    pub fn image(&self) -> i64 {
        self.image
    }

    /// The tokenizer itself.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Whether tokens are written in the byte-level alphabet.
    pub fn is_byte_level(&self) -> bool {
        matches!(
            self.tokenizer.get_decoder(),
            Some(DecoderWrapper::ByteLevel(_))
        )
    }

    /// The tokens of a text; special tokens in it are themselves.
    ///
    /// # Errors
    /// [`ReaderError::Tokenizer`].
    pub fn encode(&self, text: &str) -> Result<Vec<i64>, ReaderError> {
        let encoding = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(|error| ReaderError::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
    }

    /// The text of tokens, without the special ones.
    ///
    /// # Errors
    /// [`ReaderError::Tokenizer`].
    pub fn decode(&self, ids: &[i64]) -> Result<String, ReaderError> {
        let ids: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
        self.tokenizer
            .decode(&ids, true)
            .map_err(|error| ReaderError::Tokenizer(error.to_string()))
    }

    /// A prompt without a template: begin, image tokens and end for each picture, then the text.
    pub fn raw(text: &str, images: usize) -> String {
        format!("{BEGIN}{IMAGE}{END}").repeat(images) + text
    }

    /// Puts as many image tokens for each mark as its picture has, and encodes the whole.
    ///
    /// # Errors
    /// [`ReaderError::Prompt`] where there are more or fewer marks than pictures, [`ReaderError::Tokenizer`].
    pub fn expand(
        &self,
        prompt: &str,
        shown: &[Shown],
        merge: i64,
    ) -> Result<Vec<i64>, ReaderError> {
        let mut images = shown.iter().filter(|one| matches!(one, Shown::Image(_)));
        let mut cines = shown.iter().filter(|one| matches!(one, Shown::Cine { .. }));
        let wrong = || {
            let what = format!(
                "the prompt doesn't show its {} pictures once each: it must not itself hold {IMAGE} or {VIDEO}",
                shown.len()
            );
            ReaderError::Prompt(what)
        };
        let mut text = String::new();
        let mut rest = prompt;
        while let Some((at, mark)) = first_mark(rest) {
            text.push_str(&rest[..at]);
            let next = if mark == IMAGE {
                images.next()
            } else {
                cines.next()
            };
            text.push_str(&next.ok_or_else(wrong)?.marks(merge));
            rest = &rest[at + mark.len()..];
        }
        if images.next().is_some() || cines.next().is_some() {
            return Err(wrong());
        }
        text.push_str(rest);
        self.encode(&text)
    }
}

impl Shown {
    fn marks(&self, merge: i64) -> String {
        match self {
            Self::Image(grid) => IMAGE.repeat(grid.tokens(merge) as usize),
            Self::Cine { grid, seconds } => {
                let frame = IMAGE.repeat(grid.tokens(merge) as usize);
                let pair = |at: &f64| format!("{BEGIN}{frame}{END}{at:.1} seconds");
                seconds.iter().map(pair).collect()
            }
        }
    }
}

fn first_mark(text: &str) -> Option<(usize, &'static str)> {
    [IMAGE, VIDEO]
        .into_iter()
        .filter_map(|mark| Some((text.find(mark)?, mark)))
        .min()
}
