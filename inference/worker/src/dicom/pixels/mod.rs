//! Pixel Data to luma and colour, one frame at a time.

mod codec;
mod format;
mod frames;
mod native;
mod palette;
mod raster;

use std::fmt::Display;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use sonode_findings::{Pattern, phrases};

use super::regions::Crop;
use super::scan::PixelData;
use super::source::Source;
use super::{BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, Opened};
use codec::Coded;
use format::Format;
use frames::FrameTable;
pub use raster::RgbFrame;
use raster::{Model, Raster};

/// Most pixels that are read of one clip; a longer one is analysed as far as that goes.
pub const CLIP_PIXELS_MAX: usize = 1 << 30;

/// An instance's frames, not yet decoded. Any number of threads can decode them at once.
#[derive(Debug)]
pub struct Frames {
    source: Arc<Source>,
    format: Format,
    coding: Coding,
    table: FrameTable,
}

/// Why pixels can't be decoded.
#[derive(Debug, thiserror::Error)]
pub enum PixelError {
    /// Reading failed.
    #[error("the file can't be read: {0}")]
    Io(#[from] io::Error),
    /// An attribute that decoding needs is missing.
    #[error("the header lacks {0}")]
    Missing(Pattern<0>),
    /// More pixels than any ultrasound screen has.
    #[error("a frame of this size is refused")]
    TooLarge,
    /// A transfer syntax without a decoder here.
    #[error("pixel data in {0} can't be decoded")]
    TransferSyntax(String),
    /// A variant without a decoder here.
    #[error("{0} is not supported")]
    Unsupported(Pattern<0>),
    /// The codestream's size is not the header's.
    #[error("the codestream is {}x{} but the header says {}x{}", coded[0], coded[1], stated[0], stated[1])]
    Size {
        /// Columns and rows of the codestream.
        coded: [usize; 2],
        /// Columns and rows of the header.
        stated: [usize; 2],
    },
    /// The codestream is broken.
    #[error("{0}")]
    Codestream(Pattern<0>),
    /// A decoder's own words.
    #[error("the decoder says: {0}")]
    Codec(String),
    /// A decoder panicked.
    #[error("the decoder gave up")]
    Panic,
    /// There is no such frame, or no frame at all.
    #[error("the pixel data holds no whole frame")]
    NoFrame,
    /// A frame among others.
    #[error("frame {frame}: {source}")]
    Frame {
        /// Its number, from 1.
        frame: usize,
        /// What is wrong with it.
        source: Box<PixelError>,
    },
}

impl PixelError {
    fn codec(error: impl Display) -> Self {
        Self::Codec(error.to_string())
    }

    fn in_frame(frame: usize, source: Self) -> Self {
        Self::Frame {
            frame: frame + 1,
            source: Box::new(source),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Native,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
}

/// What of a frame is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// Every component.
    Colour,
    /// Luma is enough, where a decoder can leave out the rest.
    Luma,
}

/// Samples of 8 or 16 bits.
enum Words {
    Bytes(Vec<u8>),
    Wide(Vec<u16>),
}

impl Words {
    /// A decoder's bytes: pairs in the machine's own order above 8 bits.
    fn native(bytes: Vec<u8>, precision: u8) -> Self {
        if precision <= 8 {
            return Self::Bytes(bytes);
        }
        let pairs = bytes.chunks_exact(2);
        Self::Wide(
            pairs
                .map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
                .collect(),
        )
    }

    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Wide(words) => words.len(),
        }
    }

    /// Planes one after another to samples one after another.
    fn interleaved(self, samples: usize) -> Self {
        fn weave<T: Copy>(planes: &[T], samples: usize) -> Vec<T> {
            let pixels = planes.len() / samples;
            (0..pixels)
                .flat_map(|pixel| (0..samples).map(move |sample| planes[sample * pixels + pixel]))
                .collect()
        }
        match self {
            Self::Bytes(bytes) => Self::Bytes(weave(&bytes, samples)),
            Self::Wide(words) => Self::Wide(weave(&words, samples)),
        }
    }

    /// The upper 8 of `bits` significant bits; signed values are moved up so that the least is 0.
    fn into_bytes(self, bits: u16, signed: bool) -> Vec<u8> {
        let words = match self {
            Self::Bytes(bytes) if !signed => return bytes,
            Self::Bytes(bytes) => bytes.into_iter().map(u16::from).collect(),
            Self::Wide(words) => words,
        };
        let mask = (1_u32 << bits) - 1;
        let sign = if signed { 1_u32 << (bits - 1) } else { 0 };
        words
            .into_iter()
            .map(|word| {
                let value = (u32::from(word) & mask) ^ sign;
                (if bits > 8 { value >> (bits - 8) } else { value }) as u8
            })
            .collect()
    }
}

impl Frames {
    /// Finds the frames of an instance; none is decoded yet.
    ///
    /// # Errors
    /// [`PixelError`] where the header rules decoding out, or there is no whole frame.
    pub fn of(opened: &Opened) -> Result<Self, PixelError> {
        let pixel_data = opened.pixel_data.as_ref().ok_or(PixelError::NoFrame)?;
        let coding = coding(&opened.transfer_syntax, pixel_data)?;
        let native_len = match pixel_data {
            PixelData::Native { span, .. } => Some(span.len),
            PixelData::Encapsulated { .. } => None,
        };
        let format = Format::read(opened.attributes(), opened.big_endian, native_len)?;
        let table = match pixel_data {
            PixelData::Native { span, words } => FrameTable::Native {
                offset: span.offset,
                size: format.native_frame_bytes,
                count: usize::try_from(span.len / format.native_frame_bytes.max(1))
                    .unwrap_or(usize::MAX)
                    .min(format.frames),
                swapped: *words && opened.big_endian && format.bits_allocated == 8,
            },
            PixelData::Encapsulated { .. } => {
                frames::encapsulated(&opened.source, pixel_data, format.frames)?
                    .ok_or(PixelError::NoFrame)?
            }
        };
        if table.len() == 0 {
            return Err(PixelError::NoFrame);
        }
        Ok(Self {
            source: Arc::clone(&opened.source),
            format,
            coding,
            table,
        })
    }

    /// Whole frames in the file, at most Number of Frames of them.
    pub fn count(&self) -> usize {
        self.table.len().min(self.format.frames)
    }

    /// Number of Frames (0028,0008), as stated.
    pub fn stated(&self) -> usize {
        self.format.frames
    }

    /// Columns and rows.
    pub fn size(&self) -> [usize; 2] {
        [self.format.columns, self.format.rows]
    }

    /// Whether frames can show another colour than grey.
    pub fn is_colour(&self) -> bool {
        self.format.samples > 1 || self.format.palette.is_some()
    }

    /// One frame in colour, counted from 0.
    ///
    /// # Errors
    /// [`PixelError`] as decoding has it.
    pub fn rgb(&self, frame: usize) -> Result<RgbFrame, PixelError> {
        self.raster(frame, Want::Colour).map(Raster::into_rgb)
    }

    /// One frame's luma inside `crop`, `[crop.height, crop.width]`, counted from 0.
    ///
    /// # Errors
    /// [`PixelError::Frame`] as decoding has it.
    pub fn luma(&self, crop: Crop, frame: usize) -> Result<Vec<u8>, PixelError> {
        // A decoder's way to luma alone is a shortcut: what fails there is decided by the way that it cuts short.
        self.raster(frame, Want::Luma)
            .or_else(|_| self.raster(frame, Want::Colour))
            .map(|raster| cropped(&raster, crop))
            .map_err(|source| PixelError::in_frame(frame, source))
    }

    /// One frame's luma as [`Self::luma`] has it, and the share of it that a colour map of velocities paints, 0 to 1.
    ///
    /// # Errors
    /// [`PixelError::Frame`] as decoding has it.
    pub fn luma_and_flow(&self, crop: Crop, frame: usize) -> Result<(Vec<u8>, f64), PixelError> {
        self.raster(frame, Want::Colour)
            .map(|raster| (cropped(&raster, crop), raster.doppler_share(crop)))
            .map_err(|source| PixelError::in_frame(frame, source))
    }

    /// Decodes one frame. The decoders are others' code on a stranger's bytes: a panic is an answer, not an end.
    fn raster(&self, frame: usize, want: Want) -> Result<Raster, PixelError> {
        catch_unwind(AssertUnwindSafe(|| self.decode(frame, want)))
            .unwrap_or(Err(PixelError::Panic))
    }

    fn decode(&self, frame: usize, want: Want) -> Result<Raster, PixelError> {
        let format = &self.format;
        let bytes = self.table.read(&self.source, frame)?;
        let coded = match self.coding {
            Coding::Native => native::native(bytes, format),
            Coding::Rle => native::rle(&bytes, format),
            Coding::Jpeg => codec::jpeg(&bytes, format, want),
            Coding::JpegLs => codec::jpeg_ls(&bytes, format),
            Coding::Jpeg2000 => codec::jpeg_2000(&bytes, format),
        }?;
        if coded.words.len() != format.rows * format.columns * coded.samples {
            return Err(PixelError::Codestream(phrases::ANOTHER_SIZE));
        }
        Ok(self.shown(coded))
    }

    /// Palette, depth, inversion, and the model of what was decoded.
    fn shown(&self, coded: Coded) -> Raster {
        let format = &self.format;
        let raster = |model, samples| Raster {
            model,
            columns: format.columns,
            samples,
        };
        if let Some(palette) = format.palette.as_ref().filter(|_| coded.samples == 1) {
            return raster(Model::Rgb, palette.apply(&coded.words));
        }
        let mut samples = coded.words.into_bytes(format.bits_stored, format.signed);
        if coded.samples == 1 {
            if format.photometric == "MONOCHROME1" {
                for sample in &mut samples {
                    *sample = !*sample;
                }
            }
            return raster(Model::Grey, samples);
        }
        let stated = match format.photometric.as_str() {
            // The transforms of JPEG 2000 are undone by its decoder.
            "YBR_RCT" | "YBR_ICT" => Model::Rgb,
            ybr if ybr.starts_with("YBR") => Model::Ybr,
            _ => Model::Rgb,
        };
        raster(coded.model.unwrap_or(stated), samples)
    }
}

/// A frame's luma inside `crop`.
fn cropped(raster: &Raster, crop: Crop) -> Vec<u8> {
    let mut luma = vec![0; crop.width * crop.height];
    raster.luma(crop, &mut luma);
    luma
}

fn coding(transfer_syntax: &str, pixel_data: &PixelData) -> Result<Coding, PixelError> {
    if matches!(pixel_data, PixelData::Native { .. }) {
        return match transfer_syntax {
            IMPLICIT | EXPLICIT | BIG_ENDIAN | DEFLATED => Ok(Coding::Native),
            other => Err(PixelError::TransferSyntax(other.to_owned())),
        };
    }
    let last = transfer_syntax.strip_prefix("1.2.840.10008.1.2.");
    Ok(match last {
        Some("5") => Coding::Rle,
        Some("4.50" | "4.51" | "4.57" | "4.70") => Coding::Jpeg,
        Some("4.80" | "4.81") => Coding::JpegLs,
        Some("4.90" | "4.91" | "4.201" | "4.202" | "4.203") => Coding::Jpeg2000,
        _ => return Err(PixelError::TransferSyntax(transfer_syntax.to_owned())),
    })
}

#[cfg(test)]
mod tests;
