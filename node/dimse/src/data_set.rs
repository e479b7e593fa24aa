//! Small data sets that are read and written whole: those of the normalized services and of queries (PS3.5 section 7).
//!
//! An object's data set is never read here: [`crate::header`] sees it pass. Length, number of elements and nesting are
//! bounded by [`limits`], so that what a peer sends costs a bounded multiple of its bytes.

use sonode_conformance::limits;
use sonode_conformance::transfer_syntax::Encoding;

use crate::cursor::Cursor;
use crate::header::Tag;

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// VRs with 16 reserved bits and a 32-bit length (PS3.5 table 7.1-1).
const LONG: [&[u8; 2]; 13] = [
    b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV",
];

/// Sequences that a peer may write with a defined length in Implicit VR, where nothing else tells that they are some.
const SEQUENCES: [Tag; 9] = [
    // Failed SOP Sequence, Referenced SOP Sequence.
    Tag(0x0008, 0x1198),
    Tag(0x0008, 0x1199),
    // Referenced Series Sequence, Referenced Image Sequence.
    Tag(0x0008, 0x1115),
    Tag(0x0008, 0x1140),
    // Referenced Non-Image Composite SOP Instance, Scheduled Step Attributes, Performed Series Sequence.
    Tag(0x0040, 0x0220),
    Tag(0x0040, 0x0270),
    Tag(0x0040, 0x0340),
    // Concept Name Code Sequence, Current Requested Procedure Evidence Sequence.
    Tag(0x0040, 0xA043),
    Tag(0x0040, 0xA375),
];

/// Why a data set can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DataSetError {
    /// It ends inside an element.
    #[error("the data set ends inside an element")]
    CutOff,
    /// An item or a delimiter stands where none belongs, or none stands where one does.
    #[error("an item or a delimiter stands in a wrong place")]
    BadNesting,
    /// Longer than [`limits::DATA_SET_BYTES_MAX`], more than [`limits::DATA_SET_ELEMENTS_MAX`] elements, or nested
    /// deeper than [`limits::DATA_SET_DEPTH_MAX`].
    #[error("the data set is too large")]
    TooLarge,
    /// Big endian or deflated.
    #[error("the data set is in a transfer syntax that was not agreed upon")]
    Encoding,
    /// A needed attribute is absent or can't be used.
    #[error("the data set has no usable {0}")]
    Missing(&'static str),
}

/// A data set in memory, in the order in which it came. It has no `Debug`: it may hold patient data.
#[derive(Clone, Default)]
pub struct DataSet<'a>(Vec<(Tag, Value<'a>)>);

#[derive(Clone)]
enum Value<'a> {
    Bytes(&'a [u8]),
    Items(Vec<DataSet<'a>>),
}

impl<'a> DataSet<'a> {
    /// Reads a whole data set in Implicit or Explicit VR Little Endian.
    ///
    /// # Errors
    /// Each [`DataSetError`] variant but `Missing`.
    pub fn parse(bytes: &'a [u8], encoding: Encoding) -> Result<Self, DataSetError> {
        if bytes.len() > limits::DATA_SET_BYTES_MAX {
            return Err(DataSetError::TooLarge);
        }
        let explicit = match encoding {
            Encoding::ImplicitLittle => false,
            Encoding::ExplicitLittle => true,
            Encoding::ExplicitBig | Encoding::Deflated => return Err(DataSetError::Encoding),
        };
        let mut reader = Reader {
            cursor: Cursor(bytes),
            explicit,
            left: limits::DATA_SET_ELEMENTS_MAX,
        };
        let set = reader.elements(0, false)?;
        if reader.cursor.is_empty() {
            Ok(set)
        } else {
            Err(DataSetError::BadNesting)
        }
    }

    /// A value without padding; empty if it is absent, empty or a sequence.
    pub fn text(&self, tag: Tag) -> &'a [u8] {
        match self.find(tag) {
            Some(Value::Bytes(bytes)) => {
                let end = bytes.iter().rposition(|b| !matches!(b, 0 | b' '));
                let bytes = bytes.get(..end.map_or(0, |i| i + 1)).unwrap_or_default();
                bytes.trim_ascii_start()
            }
            _ => &[],
        }
    }

    /// A value of VR US.
    pub fn number(&self, tag: Tag) -> Option<u16> {
        match self.find(tag) {
            Some(Value::Bytes(bytes)) => Cursor(bytes).u16_le(),
            _ => None,
        }
    }

    /// The items of a sequence; none if it is absent.
    pub fn items(&self, tag: Tag) -> &[DataSet<'a>] {
        match self.find(tag) {
            Some(Value::Items(items)) => items,
            _ => &[],
        }
    }

    fn find(&self, tag: Tag) -> Option<&Value<'a>> {
        let (_, value) = self.0.iter().find(|(found, _)| *found == tag)?;
        Some(value)
    }
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    explicit: bool,
    /// Elements and items that may still come.
    left: usize,
}

struct Head {
    tag: Tag,
    is_sequence: bool,
    /// UN of undefined length: Implicit VR inside (CP-246).
    is_implicit_inside: bool,
    length: u32,
}

impl<'a> Reader<'a> {
    /// Elements up to the end, or to the delimiter of the item of undefined length in which they stand.
    fn elements(&mut self, depth: u32, delimited: bool) -> Result<DataSet<'a>, DataSetError> {
        let mut set = Vec::new();
        while !self.cursor.is_empty() {
            let head = self.head().ok_or(DataSetError::CutOff)?;
            if head.tag == ITEM_END && delimited {
                return Ok(DataSet(set));
            }
            if head.tag.0 == ITEM.0 {
                return Err(DataSetError::BadNesting);
            }
            self.count()?;
            let value = if head.is_sequence {
                Value::Items(self.sequence(&head, depth + 1)?)
            } else {
                Value::Bytes(self.take(head.length)?)
            };
            set.push((head.tag, value));
        }
        if delimited {
            return Err(DataSetError::CutOff);
        }
        Ok(DataSet(set))
    }

    fn sequence(&mut self, head: &Head, depth: u32) -> Result<Vec<DataSet<'a>>, DataSetError> {
        if depth > limits::DATA_SET_DEPTH_MAX {
            return Err(DataSetError::TooLarge);
        }
        let explicit = self.explicit && !head.is_implicit_inside;
        if head.length != UNDEFINED {
            let mut inside = Reader {
                cursor: Cursor(self.take(head.length)?),
                explicit,
                left: self.left,
            };
            let mut items = Vec::new();
            while !inside.cursor.is_empty() {
                let head = inside.head().ok_or(DataSetError::CutOff)?;
                items.push(inside.item(&head, depth)?);
            }
            self.left = inside.left;
            return Ok(items);
        }
        let outside = std::mem::replace(&mut self.explicit, explicit);
        let mut items = Vec::new();
        loop {
            let head = self.head().ok_or(DataSetError::CutOff)?;
            if head.tag == SEQUENCE_END {
                break;
            }
            items.push(self.item(&head, depth)?);
        }
        self.explicit = outside;
        Ok(items)
    }

    fn item(&mut self, head: &Head, depth: u32) -> Result<DataSet<'a>, DataSetError> {
        if head.tag != ITEM {
            return Err(DataSetError::BadNesting);
        }
        self.count()?;
        if head.length == UNDEFINED {
            return self.elements(depth, true);
        }
        let mut inside = Reader {
            cursor: Cursor(self.take(head.length)?),
            explicit: self.explicit,
            left: self.left,
        };
        let set = inside.elements(depth, false)?;
        self.left = inside.left;
        Ok(set)
    }

    fn count(&mut self) -> Result<(), DataSetError> {
        self.left = self.left.checked_sub(1).ok_or(DataSetError::TooLarge)?;
        Ok(())
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], DataSetError> {
        let length = usize::try_from(length).map_err(|_| DataSetError::CutOff)?;
        self.cursor.take(length).ok_or(DataSetError::CutOff)
    }

    fn head(&mut self) -> Option<Head> {
        let cursor = &mut self.cursor;
        let tag = Tag(cursor.u16_le()?, cursor.u16_le()?);
        if !self.explicit || tag.0 == ITEM.0 {
            let length = cursor.u32_le()?;
            return Some(Head {
                tag,
                is_sequence: length == UNDEFINED || SEQUENCES.contains(&tag),
                is_implicit_inside: false,
                length,
            });
        }
        let vr = cursor.array::<2>()?;
        let length = if LONG.contains(&&vr) {
            cursor.take(2)?;
            cursor.u32_le()?
        } else {
            u32::from(cursor.u16_le()?)
        };
        Some(Head {
            tag,
            is_sequence: &vr == b"SQ" || length == UNDEFINED,
            is_implicit_inside: &vr == b"UN",
            length,
        })
    }
}

/// Writes a data set, element by element in ascending order, all lengths defined.
#[derive(Debug, Clone)]
pub struct DataSetWriter {
    explicit: bool,
    bytes: Vec<u8>,
}

impl DataSetWriter {
    /// An empty data set in Explicit VR Little Endian, or in Implicit VR Little Endian.
    pub fn new(encoding: Encoding) -> Self {
        Self {
            explicit: encoding == Encoding::ExplicitLittle,
            bytes: Vec::new(),
        }
    }

    /// An empty data set of the same encoding, for an item.
    #[must_use]
    pub fn item(&self) -> Self {
        Self {
            explicit: self.explicit,
            bytes: Vec::new(),
        }
    }

    /// A text of a VR with a 16-bit length, padded to an even one; empty: universal matching in a query.
    #[must_use]
    pub fn text(self, tag: Tag, vr: [u8; 2], value: &str) -> Self {
        let pad = if &vr == b"UI" { 0 } else { b' ' };
        let mut padded = value.as_bytes().to_vec();
        if !padded.len().is_multiple_of(2) {
            padded.push(pad);
        }
        self.element(tag, vr, &padded)
    }

    /// A value of VR US.
    #[must_use]
    pub fn number(self, tag: Tag, value: u16) -> Self {
        self.element(tag, *b"US", &value.to_le_bytes())
    }

    /// A sequence.
    #[must_use]
    pub fn sequence(self, tag: Tag, items: impl IntoIterator<Item = Self>) -> Self {
        let mut value = Vec::new();
        for item in items {
            value.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0]);
            value.extend_from_slice(&length(item.bytes.len()).to_le_bytes());
            value.extend_from_slice(&item.bytes);
        }
        self.element(tag, *b"SQ", &value)
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn element(mut self, tag: Tag, vr: [u8; 2], value: &[u8]) -> Self {
        self.bytes.extend_from_slice(&tag.0.to_le_bytes());
        self.bytes.extend_from_slice(&tag.1.to_le_bytes());
        if !self.explicit {
            self.bytes
                .extend_from_slice(&length(value.len()).to_le_bytes());
        } else if LONG.contains(&&vr) {
            self.bytes.extend_from_slice(&vr);
            self.bytes.extend_from_slice(&[0, 0]);
            self.bytes
                .extend_from_slice(&length(value.len()).to_le_bytes());
        } else {
            // Texts come from validated UIDs and titles, 64 characters at most.
            let short = u16::try_from(value.len()).unwrap_or(u16::MAX);
            self.bytes.extend_from_slice(&vr);
            self.bytes.extend_from_slice(&short.to_le_bytes());
        }
        self.bytes.extend_from_slice(value);
        self
    }
}

/// What is written here has been counted long before it could reach 4 GiB.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Tag = Tag(0x0008, 0x0054);
    const SEQUENCE: Tag = Tag(0x0008, 0x1199);
    const UID: Tag = Tag(0x0008, 0x1155);
    const REASON: Tag = Tag(0x0008, 0x1197);

    fn written(encoding: Encoding) -> Vec<u8> {
        let set = DataSetWriter::new(encoding).text(TEXT, *b"AE", "PACS1");
        let items = ["1.2.3", "1.2.34"].map(|uid| set.item().text(UID, *b"UI", uid));
        let items = items.map(|item| item.number(REASON, 0x0112));
        set.sequence(SEQUENCE, items).finish()
    }

    #[test]
    fn what_is_written_reads_back_in_both_encodings() {
        for encoding in [Encoding::ImplicitLittle, Encoding::ExplicitLittle] {
            let bytes = written(encoding);
            let set = DataSet::parse(&bytes, encoding).unwrap();
            assert_eq!(set.text(TEXT), b"PACS1");
            let uids: Vec<&[u8]> = set.items(SEQUENCE).iter().map(|i| i.text(UID)).collect();
            assert_eq!(uids, [b"1.2.3".as_slice(), b"1.2.34"]);
            assert_eq!(set.items(SEQUENCE)[0].number(REASON), Some(0x0112));
            assert!(set.items(UID).is_empty() && set.text(SEQUENCE).is_empty());
        }
    }

    #[test]
    fn a_cut_data_set_is_an_error_and_never_a_panic() {
        for encoding in [Encoding::ImplicitLittle, Encoding::ExplicitLittle] {
            let bytes = written(encoding);
            let whole: Vec<usize> = (0..=bytes.len())
                .filter(|end| DataSet::parse(&bytes[..*end], encoding).is_ok())
                .collect();
            // Nothing, the text alone, all of it.
            assert_eq!(whole.len(), 3, "{whole:?}");
        }
    }

    #[test]
    fn undefined_lengths_and_cp_246_are_followed() {
        let item = [0x08, 0, 0x55, 0x11, 2, 0, 0, 0, b'1', b'2'];
        let mut bytes = vec![
            0x08, 0, 0x99, 0x11, b'U', b'N', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF,
        ];
        bytes.extend([0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
        bytes.extend(item);
        bytes.extend([0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0]);
        bytes.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
        bytes.extend([0x08, 0, 0x54, 0x00, b'A', b'E', 2, 0, b'A', b'B']);
        // Ascending order is the sender's duty, and nothing here depends on it.
        let set = DataSet::parse(&bytes, Encoding::ExplicitLittle).unwrap();
        assert_eq!(set.items(SEQUENCE)[0].text(UID), b"12");
        assert_eq!(set.text(TEXT), b"AB");
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep: Vec<u8> = std::iter::repeat_n(
            [
                0x08, 0, 0x99, 0x11, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF,
                0xFF,
            ],
            10_000,
        )
        .flatten()
        .collect();
        let parsed = DataSet::parse(&deep, Encoding::ImplicitLittle);
        assert_eq!(parsed.err(), Some(DataSetError::TooLarge));
        let mut deep = DataSetWriter::new(Encoding::ExplicitLittle);
        for _ in 0..1000 {
            deep = deep.item().sequence(SEQUENCE, [deep]);
        }
        let parsed = DataSet::parse(&deep.bytes, Encoding::ExplicitLittle);
        assert_eq!(parsed.err(), Some(DataSetError::TooLarge));
        let many = vec![0; 8 * (limits::DATA_SET_ELEMENTS_MAX + 1)];
        let parsed = DataSet::parse(&many, Encoding::ImplicitLittle);
        assert_eq!(parsed.err(), Some(DataSetError::TooLarge));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end_in_a_data_set_or_an_error(bytes: Vec<u8>, explicit: bool) {
            let encoding = if explicit { Encoding::ExplicitLittle } else { Encoding::ImplicitLittle };
            let _read = DataSet::parse(&bytes, encoding);
        }
    }
}
