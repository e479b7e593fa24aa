//! Reading a structured report: depth first, then dicom-object.

mod charset;
mod depth;
mod tree;

pub(crate) use tree::{Found, FoundCode, FoundItem, code, content, items, text};

use dicom_object::{DefaultDicomObject, OpenFileOptions};

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not a Part 10 file, cut off, or with an element that can't be.
    #[error("not a readable DICOM file: {0}")]
    Malformed(&'static str),
    /// Sequences nested deeper than is parsed.
    #[error("sequences are nested deeper than {0} levels")]
    TooDeep(u32),
    /// A transfer syntax whose data set isn't read here.
    #[error("the transfer syntax {0} is not read here")]
    TransferSyntax(String),
    /// The parser refused it.
    #[error("not a readable DICOM data set: {0}")]
    Parse(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Parses a Part 10 file whose depth has been found harmless: dicom-object recurses, and a stack overflow can't be
/// caught.
///
/// # Errors
/// Each [`ReadError`] variant.
pub(crate) fn parse(bytes: &[u8]) -> Result<DefaultDicomObject, ReadError> {
    depth::check(bytes)?;
    let (bytes, declared) = charset::as_latin1(bytes);
    let mut object = OpenFileOptions::new()
        .from_reader(bytes.as_ref())
        .map_err(|source| ReadError::Parse(Box::new(source)))?;
    if let Some(declared) = declared {
        charset::decode(&mut object, &declared);
    }
    Ok(object)
}
