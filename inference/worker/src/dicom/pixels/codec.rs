//! Compressed frames: what a codestream says of itself is checked against the header before anything is allocated for it.

use charls::CharLS;
use jpeg2k::DecodeParameters;
use sonode_findings::phrases;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::format::Format;
use super::raster::Model;
use super::{PixelError, Want, Words};

/// Scans of one progressive JPEG; each costs a pass over the image.
const SCANS_MAX: usize = 64;

/// A decoded frame before palette and depth: interleaved samples, and the model that the codestream itself knows of.
pub(super) struct Coded {
    pub(super) words: Words,
    pub(super) samples: usize,
    /// None: the header's Photometric Interpretation says.
    pub(super) model: Option<Model>,
}

/// Frame header of a JPEG or JPEG-LS codestream (ITU-T T.81 section B.2.2, T.87 annex C).
pub(super) struct FrameHeader {
    marker: u8,
    precision: u8,
    rows: usize,
    columns: usize,
    components: usize,
    has_jfif: bool,
    adobe_transform: Option<u8>,
    /// Interleave mode of a JPEG-LS scan.
    interleave: u8,
}

/// JPEG of every kind that DICOM has: DCT by zune-jpeg, lossless (SOF3) by jpeg-decoder.
pub(super) fn jpeg(bytes: &[u8], format: &Format, want: Want) -> Result<Coded, PixelError> {
    let header = frame_header(bytes).ok_or(PixelError::Codestream(phrases::NO_JPEG_HEADER))?;
    check_size(header.rows, header.columns, format)?;
    match (header.marker, header.precision) {
        (0xC0..=0xC2, 8) => jpeg_dct(bytes, &header, format, want),
        (0xC3, 2..=16) => jpeg_lossless(bytes, &header),
        (0xC0..=0xC2, _) => Err(PixelError::Unsupported(phrases::JPEG_12_BITS)),
        _ => Err(PixelError::Unsupported(phrases::JPEG_KIND)),
    }
}

/// DCT by zune-jpeg, which is several times as fast; what it refuses, jpeg-decoder often takes.
///
/// Luma is decoded in full size: jpeg-decoder's scaled decoding takes longer, and so little of the time is the inverse
/// transform's that libjpeg-turbo gains a fifth by it (see inference/PERFORMANCE.md).
fn jpeg_dct(
    bytes: &[u8],
    header: &FrameHeader,
    format: &Format,
    want: Want,
) -> Result<Coded, PixelError> {
    // Without a marker that says so, a codestream under "RGB" holds red, green and blue, whatever JFIF's custom is.
    let is_rgb = match header.adobe_transform {
        Some(transform) => transform == 0,
        None => format.photometric == "RGB" && !header.has_jfif,
    };
    let model = match header.components {
        1 => Model::Grey,
        3 if is_rgb => Model::Rgb,
        3 => Model::Ybr,
        _ => return Err(PixelError::Unsupported(phrases::JPEG_COMPONENTS)),
    };
    // A single sample would be taken for an index, or inverted, under the two other interpretations.
    let is_plain = format.palette.is_none() && format.photometric != "MONOCHROME1";
    // zune-jpeg 0.5 loses half of the luma of a progressive codestream whose colour is halved in height alone.
    let is_sequential = header.marker != 0xC2;
    if want == Want::Luma && model == Model::Ybr && is_plain && is_sequential {
        return Ok(Coded {
            words: Words::Bytes(zune(bytes, ColorSpace::Luma, format)?),
            samples: 1,
            model: Some(Model::Grey),
        });
    }
    // Asking for the codestream's own space keeps zune-jpeg from converting.
    let space = match (header.components, header.adobe_transform) {
        (1, _) => ColorSpace::Luma,
        (_, Some(0)) => ColorSpace::RGB,
        _ => ColorSpace::YCbCr,
    };
    let (samples, model) = match zune(bytes, space, format) {
        Ok(samples) => (samples, model),
        Err(_) => second_opinion(bytes, header, model)?,
    };
    Ok(Coded {
        words: Words::Bytes(samples),
        samples: header.components,
        model: Some(model),
    })
}

fn zune(bytes: &[u8], space: ColorSpace, format: &Format) -> Result<Vec<u8>, PixelError> {
    let options = DecoderOptions::default()
        .set_max_width(format.columns)
        .set_max_height(format.rows)
        .jpeg_set_max_scans(SCANS_MAX)
        .jpeg_set_out_colorspace(space);
    JpegDecoder::new_with_options(ZCursor::new(bytes), options)
        .decode()
        .map_err(PixelError::codec)
}

/// By jpeg-decoder, which gives red, green and blue of whatever the codestream holds: unconverted, its lines come
/// plane after plane.
pub(super) fn second_opinion(
    bytes: &[u8],
    header: &FrameHeader,
    model: Model,
) -> Result<(Vec<u8>, Model), PixelError> {
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(header.rows * header.columns * header.components);
    let model = match model {
        Model::Grey => Model::Grey,
        Model::Rgb => {
            decoder.set_color_transform(jpeg_decoder::ColorTransform::RGB);
            Model::Rgb
        }
        Model::Ybr => {
            decoder.set_color_transform(jpeg_decoder::ColorTransform::YCbCr);
            Model::Rgb
        }
    };
    let samples = decoder.decode().map_err(PixelError::codec)?;
    Ok((samples, model))
}

fn jpeg_lossless(bytes: &[u8], header: &FrameHeader) -> Result<Coded, PixelError> {
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(header.rows * header.columns * header.components * 2);
    // The samples as they are: what they mean is the header's to say.
    decoder.set_color_transform(jpeg_decoder::ColorTransform::None);
    let decoded = decoder.decode().map_err(PixelError::codec)?;
    Ok(Coded {
        words: Words::native(decoded, header.precision),
        samples: header.components,
        model: None,
    })
}

/// JPEG-LS, lossless and near-lossless, by `CharLS`.
pub(super) fn jpeg_ls(bytes: &[u8], format: &Format) -> Result<Coded, PixelError> {
    let header = frame_header(bytes).ok_or(PixelError::Codestream(phrases::NO_JPEG_LS_HEADER))?;
    check_size(header.rows, header.columns, format)?;
    if header.marker != 0xF7 || !matches!(header.components, 1 | 3) {
        return Err(PixelError::Unsupported(phrases::JPEG_LS_KIND));
    }
    let decoded = CharLS::default().decode(bytes).map_err(PixelError::codec)?;
    let words = Words::native(decoded, header.precision);
    // CharLS gives planes where the codestream has one scan a component.
    let planar = header.components == 3 && header.interleave == 0;
    Ok(Coded {
        words: if planar { words.interleaved(3) } else { words },
        samples: header.components,
        model: None,
    })
}

/// JPEG 2000 and HTJ2K, by the Rust port of `OpenJPEG`.
pub(super) fn jpeg_2000(bytes: &[u8], format: &Format) -> Result<Coded, PixelError> {
    let (rows, columns, components) = siz(bytes).ok_or(PixelError::Codestream(phrases::NO_SIZ))?;
    check_size(rows, columns, format)?;
    if !matches!(components, 1 | 3) {
        return Err(PixelError::Unsupported(phrases::J2K_COMPONENTS));
    }
    let image = jpeg2k::Image::from_bytes_with(bytes, DecodeParameters::default())
        .map_err(PixelError::codec)?;
    let planes = image.components();
    let pixels = rows * columns;
    if planes.len() != components || planes.iter().any(|plane| plane.data().len() != pixels) {
        return Err(PixelError::Unsupported(phrases::J2K_SUBSAMPLED));
    }
    let wide = planes.iter().any(|plane| plane.precision() > 8);
    let mut samples = vec![0_u16; pixels * components];
    for (index, plane) in planes.iter().enumerate() {
        // Signed components under an unsigned header are moved up to where unsigned ones lie; under a signed one they
        // stay two's complement, as native samples are.
        let offset = if plane.is_signed() && !format.signed {
            1_i32 << (plane.precision().clamp(1, 16) - 1)
        } else {
            0
        };
        let places = samples.iter_mut().skip(index).step_by(components);
        for (place, value) in places.zip(plane.data()) {
            *place = value.wrapping_add(offset) as u16;
        }
    }
    let words = if wide {
        Words::Wide(samples)
    } else {
        Words::Bytes(samples.into_iter().map(|value| value as u8).collect())
    };
    // With a component transform the decoder has given back red, green and blue, whatever the header says.
    let model = (components == 3 && has_component_transform(bytes)).then_some(Model::Rgb);
    Ok(Coded {
        words,
        samples: components,
        model,
    })
}

fn check_size(rows: usize, columns: usize, format: &Format) -> Result<(), PixelError> {
    if (rows, columns) == (format.rows, format.columns) {
        return Ok(());
    }
    Err(PixelError::Size {
        coded: [columns, rows],
        stated: [format.columns, format.rows],
    })
}

/// Walks the marker segments up to the first scan.
pub(super) fn frame_header(bytes: &[u8]) -> Option<FrameHeader> {
    let mut header: Option<FrameHeader> = None;
    let (mut has_jfif, mut adobe_transform) = (false, None);
    let mut at = 2;
    loop {
        let [0xFF, marker] = *bytes.get(at..)?.first_chunk()? else {
            at += 1;
            continue;
        };
        // Fill bytes, and markers without a segment.
        if matches!(marker, 0xFF | 0x00 | 0x01 | 0xD0..=0xD8) {
            at += if marker == 0xFF { 1 } else { 2 };
            continue;
        }
        let length = usize::from(u16::from_be_bytes(*bytes.get(at + 2..)?.first_chunk()?));
        let segment = bytes.get(at + 4..at + 2 + length.max(2))?;
        match marker {
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7 => {
                let [precision, r0, r1, c0, c1, components] = *segment.first_chunk()?;
                header = Some(FrameHeader {
                    marker,
                    precision,
                    rows: usize::from(u16::from_be_bytes([r0, r1])),
                    columns: usize::from(u16::from_be_bytes([c0, c1])),
                    components: usize::from(components),
                    has_jfif: false,
                    adobe_transform: None,
                    interleave: 0,
                });
            }
            0xE0 => has_jfif |= segment.starts_with(b"JFIF"),
            0xEE if segment.starts_with(b"Adobe") => adobe_transform = segment.get(11).copied(),
            0xDA => {
                let mut header = header?;
                header.has_jfif = has_jfif;
                header.adobe_transform = adobe_transform;
                let parameters = 1 + 2 * usize::from(*segment.first()?);
                header.interleave = segment.get(parameters + 1).copied().unwrap_or(0);
                return Some(header);
            }
            0xD9 => return None,
            _ => {}
        }
        at += 2 + length.max(2);
    }
}

/// Rows, columns and components of the SIZ segment (ITU-T T.800 section A.5.1), in a codestream or a JP2 around it.
fn siz(bytes: &[u8]) -> Option<(usize, usize, usize)> {
    let at = codestream_at(bytes)?;
    let field = |offset: usize| {
        let four = bytes.get(at + offset..)?.first_chunk()?;
        Some(u32::from_be_bytes(*four) as usize)
    };
    let (right, bottom) = (field(8)?, field(12)?);
    let (left, top) = (field(16)?, field(20)?);
    let components = u16::from_be_bytes(*bytes.get(at + 40..)?.first_chunk()?);
    Some((
        bottom.checked_sub(top)?,
        right.checked_sub(left)?,
        usize::from(components),
    ))
}

/// Whether the COD segment (section A.6.1) says that a multiple component transform was used.
fn has_component_transform(bytes: &[u8]) -> bool {
    let Some(mut at) = codestream_at(bytes).map(|at| at + 2) else {
        return false;
    };
    while let Some([0xFF, marker, l0, l1]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        match marker {
            0x52 => return bytes.get(at + 8) == Some(&1),
            0x90 => return false,
            _ => at += 2 + usize::from(u16::from_be_bytes([*l0, *l1])),
        }
    }
    false
}

fn codestream_at(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..bytes.len().min(64 * 1024))?;
    head.windows(4)
        .position(|four| four == [0xFF, 0x4F, 0xFF, 0x51])
}
