//! The attributes that the node needs, out of a data set as its bytes pass (PS3.5 section 7).
//!
//! The scan is flat: it follows sequences by counting levels, never by calling itself, keeps only the top-level values
//! of [`WANTED`], and stops behind the last of them, long before the pixels.

mod elements;
mod inflate;

use std::fmt;
use std::ops::Range;

use sonode_conformance::transfer_syntax::Encoding;
use sonode_conformance::{
    SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, UidError,
};

use elements::Elements;
use inflate::Inflate;

/// A data element tag: group and element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u16, pub u16);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:04X},{:04X})", self.0, self.1)
    }
}

macro_rules! wanted {
    ($($(#[$doc:meta])* $name:ident = ($group:literal, $element:literal);)+) => {
        impl Tag {$(
            $(#[$doc])*
            pub const $name: Self = Self($group, $element);
        )+}

        /// What is kept, in ascending order.
        pub const WANTED: &[Tag] = &[$(Tag::$name),+];
    };
}

wanted! {
    /// Specific Character Set.
    SPECIFIC_CHARACTER_SET = (0x0008, 0x0005);
    /// SOP Class UID.
    SOP_CLASS_UID = (0x0008, 0x0016);
    /// SOP Instance UID.
    SOP_INSTANCE_UID = (0x0008, 0x0018);
    /// Study Date.
    STUDY_DATE = (0x0008, 0x0020);
    /// Study Time.
    STUDY_TIME = (0x0008, 0x0030);
    /// Accession Number.
    ACCESSION_NUMBER = (0x0008, 0x0050);
    /// Modality.
    MODALITY = (0x0008, 0x0060);
    /// Manufacturer.
    MANUFACTURER = (0x0008, 0x0070);
    /// Referring Physician's Name.
    REFERRING_PHYSICIAN = (0x0008, 0x0090);
    /// Timezone Offset From UTC.
    TIMEZONE_OFFSET = (0x0008, 0x0201);
    /// Station Name.
    STATION_NAME = (0x0008, 0x1010);
    /// Study Description.
    STUDY_DESCRIPTION = (0x0008, 0x1030);
    /// Series Description.
    SERIES_DESCRIPTION = (0x0008, 0x103E);
    /// Manufacturer's Model Name.
    MODEL_NAME = (0x0008, 0x1090);
    /// Patient's Name.
    PATIENT_NAME = (0x0010, 0x0010);
    /// Patient ID.
    PATIENT_ID = (0x0010, 0x0020);
    /// Issuer of Patient ID.
    ISSUER_OF_PATIENT_ID = (0x0010, 0x0021);
    /// Patient's Birth Date.
    PATIENT_BIRTH_DATE = (0x0010, 0x0030);
    /// Patient's Sex.
    PATIENT_SEX = (0x0010, 0x0040);
    /// Device UID.
    DEVICE_UID = (0x0018, 0x1002);
    /// Study Instance UID.
    STUDY_INSTANCE_UID = (0x0020, 0x000D);
    /// Series Instance UID.
    SERIES_INSTANCE_UID = (0x0020, 0x000E);
    /// Study ID.
    STUDY_ID = (0x0020, 0x0010);
    /// Series Number.
    SERIES_NUMBER = (0x0020, 0x0011);
    /// Instance Number.
    INSTANCE_NUMBER = (0x0020, 0x0013);
    /// Number of Frames.
    NUMBER_OF_FRAMES = (0x0028, 0x0008);
}

/// Why a scan ended. Values that were whole by then are kept, whatever the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanEnd {
    /// The scan is behind the last of [`WANTED`].
    #[error("every wanted attribute was passed")]
    Complete,
    /// The data set ended between two elements.
    #[error("the data set ended")]
    EndOfDataSet,
    /// The data set ended inside an element or a sequence.
    #[error("the data set ended inside an element")]
    Truncated,
    /// A top-level tag that does not ascend.
    #[error("the data elements are not in ascending order")]
    OutOfOrder,
    /// Bytes that are no VR where Explicit VR needs one.
    #[error("a data element has no value representation")]
    BadVr,
    /// An item or a delimiter in a wrong place.
    #[error("an item or a delimiter stands where none belongs")]
    BadNesting,
    /// Sequences nested deeper than [`sonode_conformance::limits::HEADER_DEPTH_MAX`].
    #[error("sequences are nested too deeply")]
    TooDeep,
    /// Wanted values longer than [`sonode_conformance::limits::HEADER_KEPT_BYTES_MAX`].
    #[error("the wanted attributes are too long")]
    KeptTooMuch,
    /// [`sonode_conformance::limits::HEADER_SCANNED_BYTES_MAX`] went by.
    #[error("the wanted attributes are too far into the data set")]
    ScannedTooMuch,
    /// The deflated stream is broken.
    #[error("the deflated data set can't be inflated")]
    BadDeflate,
}

/// Sees the bytes of one data set as they pass, in pieces of any size. The pieces don't change the result.
pub struct HeaderScanner {
    elements: Elements,
    /// For deflated data sets.
    inflate: Option<Inflate>,
}

impl HeaderScanner {
    /// A scanner at the start of a data set.
    pub fn new(encoding: Encoding) -> Self {
        Self {
            elements: Elements::new(encoding),
            inflate: matches!(encoding, Encoding::Deflated).then(Inflate::new),
        }
    }

    /// Takes the next bytes. Costs nothing once the scan has ended.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.is_done() {
            return;
        }
        match &mut self.inflate {
            None => self.elements.push(bytes),
            Some(inflate) => inflate.push(bytes, &mut self.elements),
        }
    }

    /// Whether more bytes would change nothing.
    pub fn is_done(&self) -> bool {
        self.elements.end().is_some()
    }

    /// What was found. To be called when the data set is whole, or when nobody waits for it any more.
    pub fn finish(self) -> HeaderFacts {
        self.elements.finish()
    }
}

impl fmt::Debug for HeaderScanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeaderScanner")
            .field("end", &self.elements.end())
            .finish_non_exhaustive()
    }
}

/// The values that were found, as bytes in the data set's own character set. `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderFacts {
    values: Vec<(Tag, Range<usize>)>,
    bytes: Vec<u8>,
    end: ScanEnd,
}

impl HeaderFacts {
    /// Why the scan ended.
    pub fn end(&self) -> ScanEnd {
        self.end
    }

    /// The value of one of [`WANTED`], padding and all; `None` if it wasn't there or not whole.
    pub fn raw(&self, tag: Tag) -> Option<&[u8]> {
        let (_, range) = self.values.iter().find(|(found, _)| *found == tag)?;
        self.bytes.get(range.clone())
    }

    /// Study Instance UID; `None` if absent or empty.
    ///
    /// # Errors
    /// As [`StudyInstanceUid::parse`], but never [`UidError::Empty`].
    pub fn study(&self) -> Result<Option<StudyInstanceUid>, UidError> {
        self.uid(Tag::STUDY_INSTANCE_UID, StudyInstanceUid::parse)
    }

    /// Series Instance UID; `None` if absent or empty.
    ///
    /// # Errors
    /// As [`SeriesInstanceUid::parse`], but never [`UidError::Empty`].
    pub fn series(&self) -> Result<Option<SeriesInstanceUid>, UidError> {
        self.uid(Tag::SERIES_INSTANCE_UID, SeriesInstanceUid::parse)
    }

    /// SOP Instance UID; `None` if absent or empty.
    ///
    /// # Errors
    /// As [`SopInstanceUid::parse`], but never [`UidError::Empty`].
    pub fn sop_instance(&self) -> Result<Option<SopInstanceUid>, UidError> {
        self.uid(Tag::SOP_INSTANCE_UID, SopInstanceUid::parse)
    }

    /// SOP Class UID; `None` if absent or empty.
    ///
    /// # Errors
    /// As [`SopClassUid::parse`], but never [`UidError::Empty`].
    pub fn sop_class(&self) -> Result<Option<SopClassUid>, UidError> {
        self.uid(Tag::SOP_CLASS_UID, SopClassUid::parse)
    }

    fn uid<T>(
        &self,
        tag: Tag,
        parse: impl Fn(&[u8]) -> Result<T, UidError>,
    ) -> Result<Option<T>, UidError> {
        match self.raw(tag).map(parse) {
            None | Some(Err(UidError::Empty)) => Ok(None),
            Some(result) => result.map(Some),
        }
    }
}

impl fmt::Debug for HeaderFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeaderFacts")
            .field("values", &self.values.len())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
