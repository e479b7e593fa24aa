//! A Part 10 file, read with suspicion: its header, and where its pixels are.

pub mod cart;
pub mod context;
mod element;
mod header;
pub mod pixels;
pub mod regions;
mod scan;
pub mod scope;
mod sentences;
mod source;
#[cfg(test)]
pub(crate) mod testing;
pub mod timing;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use sonode_conformance::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid};

pub use header::{Attributes, Header};
pub use scan::ScanError;

use element::{Encoding, Window};
use scan::{Layout, PixelData};
use source::Source;

/// Deflated Explicit VR Little Endian (PS3.5 section A.5).
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
/// Explicit VR Big Endian (retired).
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
/// Implicit VR Little Endian.
const IMPLICIT: &str = "1.2.840.10008.1.2";
/// Explicit VR Little Endian.
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
/// Longest file meta information that is looked through.
const META_BYTES_MAX: u64 = 1 << 20;

/// An opened instance. Its pixels are still in the file.
#[derive(Debug)]
pub struct Opened {
    header: Header,
    transfer_syntax: String,
    media_sop_class: Option<String>,
    media_sop_instance: Option<String>,
    /// Shared with the frames that are decoded later.
    source: Arc<Source>,
    pixel_data: Option<PixelData>,
    big_endian: bool,
    truncated: bool,
}

/// Why a file can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Reading failed.
    #[error("the file can't be read: {0}")]
    Io(#[from] io::Error),
    /// No `DICM` after the preamble (PS3.10 section 7.1).
    #[error("it is no DICOM file: there is no DICM at byte 128")]
    NotPart10,
    /// The data set is broken or nested too deep.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A deflated data set of more than half a gibibyte.
    #[error("the deflated data set is longer than 512 MiB")]
    TooLongInflated,
    /// dicom-object refuses the copy that the scan made.
    #[error("the data set can't be parsed: {0}")]
    Header(String),
}

/// Opens a Part 10 file and parses its header; pixel data stays where it is.
///
/// # Errors
/// Each variant of [`OpenError`].
pub fn open(path: &Path) -> Result<Opened, OpenError> {
    let file = Source::file(File::open(path)?)?;
    if file.bytes(128, 4)? != b"DICM" {
        return Err(OpenError::NotPart10);
    }
    let meta = read_meta(&file)?;
    let encoding = Encoding {
        explicit: meta.transfer_syntax != IMPLICIT,
        big: meta.transfer_syntax == BIG_ENDIAN,
    };
    let (source, start) = if meta.transfer_syntax == DEFLATED {
        let inflated = file.inflate(meta.end)?.ok_or(OpenError::TooLongInflated)?;
        (inflated, 0)
    } else {
        (file, meta.end)
    };
    let Layout {
        header,
        character_set,
        pixel_data,
        truncated,
    } = scan::scan(&source, start, encoding)?;
    Ok(Opened {
        header: Header::parse(&header, character_set).map_err(OpenError::Header)?,
        transfer_syntax: meta.transfer_syntax,
        media_sop_class: meta.sop_class,
        media_sop_instance: meta.sop_instance,
        source: Arc::new(source),
        pixel_data,
        big_endian: encoding.big,
        truncated,
    })
}

impl Opened {
    /// The data set's attributes.
    pub fn attributes(&self) -> Attributes<'_> {
        self.header.attributes()
    }

    /// The header itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Transfer Syntax UID (0002,0010).
    pub fn transfer_syntax(&self) -> &str {
        &self.transfer_syntax
    }

    /// Whether there is Pixel Data (7FE0,0010).
    pub fn has_pixels(&self) -> bool {
        self.pixel_data.is_some()
    }

    /// Whether the file ends before its data set does.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// SOP Instance UID (0008,0018), or Media Storage SOP Instance UID where the data set has none.
    pub fn sop_instance_uid(&self) -> Option<SopInstanceUid> {
        self.uid(tags::SOP_INSTANCE_UID)
            .or(self.media_sop_instance.clone())
            .and_then(|uid| uid.parse().ok())
    }

    /// SOP Class UID (0008,0016), or Media Storage SOP Class UID where the data set has none.
    pub fn sop_class_uid(&self) -> Option<SopClassUid> {
        self.uid(tags::SOP_CLASS_UID)
            .or(self.media_sop_class.clone())
            .and_then(|uid| uid.parse().ok())
    }

    /// Series Instance UID (0020,000E).
    pub fn series_instance_uid(&self) -> Option<SeriesInstanceUid> {
        self.uid(tags::SERIES_INSTANCE_UID)?.parse().ok()
    }

    /// Study Instance UID (0020,000D).
    pub fn study_instance_uid(&self) -> Option<StudyInstanceUid> {
        self.uid(tags::STUDY_INSTANCE_UID)?.parse().ok()
    }

    fn uid(&self, tag: Tag) -> Option<String> {
        self.attributes().trimmed(tag)
    }
}

struct Meta {
    transfer_syntax: String,
    sop_class: Option<String>,
    sop_instance: Option<String>,
    end: u64,
}

/// Walks group 0002, which is Explicit VR Little Endian in every file (PS3.10 section 7.1). Its group length is often
/// wrong, so the group ends where another begins.
fn read_meta(file: &Source) -> Result<Meta, OpenError> {
    let encoding = Encoding {
        explicit: true,
        big: false,
    };
    let mut window = Window::new(file);
    let mut meta = Meta {
        transfer_syntax: String::new(),
        sop_class: None,
        sop_instance: None,
        end: 132,
    };
    while let Some(header) = window.header(meta.end, encoding)? {
        if header.tag.group() != 0x0002 || meta.end > META_BYTES_MAX {
            break;
        }
        let is_uid = [
            tags::TRANSFER_SYNTAX_UID,
            tags::MEDIA_STORAGE_SOP_CLASS_UID,
            tags::MEDIA_STORAGE_SOP_INSTANCE_UID,
        ]
        .contains(&header.tag);
        if is_uid && header.len <= 128 {
            let value = file.bytes(header.value_at, u64::from(header.len))?;
            let value = String::from_utf8_lossy(&value)
                .trim_matches(['\0', ' '])
                .to_owned();
            match header.tag {
                tags::TRANSFER_SYNTAX_UID => meta.transfer_syntax = value,
                tags::MEDIA_STORAGE_SOP_CLASS_UID => meta.sop_class = Some(value),
                _ => meta.sop_instance = Some(value),
            }
        }
        meta.end = header.value_at + u64::from(header.len);
    }
    if meta.transfer_syntax.is_empty() {
        // The scan looks at the first element, and finds explicit VR by itself.
        IMPLICIT.clone_into(&mut meta.transfer_syntax);
    }
    Ok(meta)
}
