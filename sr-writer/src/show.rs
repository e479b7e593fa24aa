//! Any structured report as a tree that people can read.

use crate::read::{self, ReadError};

/// Why a file can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// It can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Shows.
pub fn show(bytes: &[u8]) -> Result<String, ShowError> {
    let object = read::parse(bytes)?;
    Ok(format!("{object:?}"))
}
