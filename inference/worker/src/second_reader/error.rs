//! Why a checkpoint can't be used, or can't answer.

use std::io;
use std::path::{Path, PathBuf};

use tch::TchError;

/// Why the second reader can't be loaded or can't read.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// A file of the checkpoint can't be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the checkpoint is not what its name says.
    #[error("{}: {detail}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The configuration describes a model that this program doesn't have.
    #[error("config.json: {}", .0.join("; "))]
    Config(Vec<String>),
    /// Tensors of the checkpoint or of its adapter are missing, left over or of another shape.
    #[error("the weights don't fit config.json: {}", .0.join("; "))]
    Tensors(Vec<String>),
    /// The model is larger than the memory that may be used.
    #[error(
        "the second reader needs {need} of memory and {free} are free: choose int8 or int4, or a machine with more"
    )]
    Memory {
        /// What it takes, in words.
        need: String,
        /// What is there, in words.
        free: String,
    },
    /// The tokenizer refuses a text.
    #[error("the tokenizer: {0}")]
    Tokenizer(String),
    /// The chat template can't be rendered.
    #[error("chat_template.jinja: {0}")]
    Template(String),
    /// A picture can't be shown to the model.
    #[error("{0}")]
    Picture(String),
    /// A prompt that can't be asked.
    #[error("{0}")]
    Prompt(String),
    /// libtorch refuses.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

impl ReaderError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn malformed(path: &Path, detail: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            detail: detail.into(),
        }
    }
}
