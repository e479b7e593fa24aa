//! How Pixel Data is laid out: the Image Pixel module (PS3.3 C.7.6.3).

use dicom_dictionary_std::tags;
use sonode_conformance::limits::FRAME_PIXELS_MAX;
use sonode_findings::phrases;

use super::super::header::Attributes;
use super::PixelError;
use super::palette::Palette;

/// The Image Pixel module, checked.
#[derive(Debug)]
pub(super) struct Format {
    /// Rows (0028,0010), at least 1.
    pub(super) rows: usize,
    /// Columns (0028,0011), at least 1.
    pub(super) columns: usize,
    /// Number of Frames (0028,0008), at least 1.
    pub(super) frames: usize,
    /// Samples per Pixel (0028,0002): 1 or 3.
    pub(super) samples: usize,
    /// Bits Allocated (0028,0100).
    pub(super) bits_allocated: u16,
    /// Bits Stored (0028,0101), at most Bits Allocated.
    pub(super) bits_stored: u16,
    /// Pixel Representation (0028,0103): two's complement.
    pub(super) signed: bool,
    /// Planar Configuration (0028,0006): by plane.
    pub(super) planar: bool,
    /// Photometric Interpretation (0028,0004).
    pub(super) photometric: String,
    /// The palette of PALETTE COLOR.
    pub(super) palette: Option<Palette>,
    /// Byte order of native words.
    pub(super) big_endian: bool,
    /// Bytes of a native frame, as the length of Pixel Data has it; 0 where it is encapsulated.
    pub(super) native_frame_bytes: u64,
}

impl Format {
    /// Reads the module; `native_len` is the length of native Pixel Data.
    pub(super) fn read(
        attributes: Attributes<'_>,
        big_endian: bool,
        native_len: Option<u64>,
    ) -> Result<Self, PixelError> {
        let whole = |tag| attributes.whole(tag).map(|number| number as usize);
        let rows = whole(tags::ROWS).unwrap_or(0);
        let columns = whole(tags::COLUMNS).unwrap_or(0);
        if rows == 0 || columns == 0 {
            return Err(PixelError::Missing(phrases::ROWS_OR_COLUMNS));
        }
        if rows as u64 * columns as u64 > FRAME_PIXELS_MAX {
            return Err(PixelError::TooLarge);
        }
        let photometric = attributes
            .trimmed(tags::PHOTOMETRIC_INTERPRETATION)
            .unwrap_or_default()
            .to_uppercase();
        let samples = whole(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        if !matches!(samples, 1 | 3) {
            return Err(PixelError::Unsupported(phrases::SAMPLES_A_PIXEL));
        }
        let bits_allocated = whole(tags::BITS_ALLOCATED).unwrap_or(8);
        if native_len.is_some() && !matches!(bits_allocated, 8 | 16) {
            return Err(PixelError::Unsupported(phrases::BITS_A_SAMPLE));
        }
        let bits_stored = whole(tags::BITS_STORED).unwrap_or(bits_allocated);
        let palette = match photometric.as_str() {
            "PALETTE COLOR" => {
                Some(Palette::read(attributes).ok_or(PixelError::Missing(phrases::A_PALETTE))?)
            }
            _ => None,
        };
        let mut format = Self {
            rows,
            columns,
            frames: whole(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1),
            samples,
            bits_allocated: bits_allocated.min(64) as u16,
            bits_stored: bits_stored.clamp(1, bits_allocated.clamp(1, 16)) as u16,
            signed: attributes.whole(tags::PIXEL_REPRESENTATION) == Some(1),
            planar: attributes.whole(tags::PLANAR_CONFIGURATION) == Some(1),
            photometric,
            palette,
            big_endian,
            native_frame_bytes: 0,
        };
        format.native_frame_bytes = native_len.map_or(0, |len| format.native_frame_bytes(len));
        Ok(format)
    }

    /// Whether a native frame has two bytes a pixel: `YBR_FULL_422` that isn't mislabelled `YBR_FULL`, which is seen too.
    pub(super) fn is_packed_422(&self) -> bool {
        self.photometric.ends_with("_422")
            && self.native_frame_bytes == (self.rows * self.columns * 2) as u64
    }

    fn native_frame_bytes(&self, len: u64) -> u64 {
        let sample_bytes = usize::from(self.bits_allocated.div_ceil(8)) as u64;
        let pixels = (self.rows * self.columns) as u64;
        let full = pixels * self.samples as u64 * sample_bytes;
        if self.photometric.ends_with("_422") && len < full * self.frames as u64 {
            pixels * 2
        } else {
            full
        }
    }
}
