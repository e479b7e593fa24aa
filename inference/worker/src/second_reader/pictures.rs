//! Pictures as the published processor makes them: sides a multiple of patch and merge, bicubic with antialiasing in whole
//! numbers, CLIP's mean and spread, patches in the order of merged squares.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::Value;
use tch::{Kind, Tensor};

use super::config::{VisionConfig, read_json};
use super::error::ReaderError;
use super::vision::Grid;
use crate::dicom;
use crate::dicom::pixels::{Frames, RgbFrame};

/// Sides may differ by this factor at most.
const ASPECT_MAX: f64 = 200.0;
/// Most pixels of one picture that are looked at.
const PIXELS_MAX: usize = 1 << 28;
/// PIL's number for bicubic.
const BICUBIC: i64 = 3;

/// The processor's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Pictures {
    /// Area times frames, least and most.
    image_area: [f64; 2],
    /// The same of a cine.
    cine_area: [f64; 2],
    mean: [f64; 3],
    std: [f64; 3],
    rescale: f64,
    patch: i64,
    merge: i64,
    /// Frames of a patch.
    frames: i64,
}

/// A picture or a pair of frames, ready for the tower.
#[derive(Debug)]
pub struct Patches {
    /// `[patches, colours x frames x patch x patch]`, 32 bits.
    pub values: Tensor,
    /// Its grid.
    pub grid: Grid,
}

impl Pictures {
    /// Reads `preprocessor_config.json` and `video_preprocessor_config.json`, or both parts of `processor_config.json`.
    ///
    /// # Errors
    /// [`ReaderError::Malformed`] where a setting is none that this processor has or contradicts `config.json`.
    pub fn read(folder: &Path, config: &VisionConfig) -> Result<Self, ReaderError> {
        let json = |name: &str| -> Result<Value, ReaderError> {
            let path = folder.join(name);
            if path.exists() {
                read_json(&path)
            } else {
                Ok(Value::Null)
            }
        };
        let both = json("processor_config.json")?;
        let part = |own: Value, key: &str| match own {
            Value::Null => both.get(key).cloned().unwrap_or_default(),
            own => own,
        };
        let image = part(json("preprocessor_config.json")?, "image_processor");
        let cine = part(json("video_preprocessor_config.json")?, "video_processor");
        Self::parse(&image, &cine, config)
            .map_err(|what| ReaderError::malformed(&folder.join("preprocessor_config.json"), what))
    }

    fn parse(image: &Value, cine: &Value, config: &VisionConfig) -> Result<Self, String> {
        let triple = |key: &str, default: [f64; 3]| match image.get(key).and_then(Value::as_array) {
            None => Ok(default),
            Some(list) => {
                let numbers: Vec<f64> = list.iter().filter_map(Value::as_f64).collect();
                numbers
                    .try_into()
                    .map_err(|_| format!("{key} is no three numbers"))
            }
        };
        let whole = |key: &str, stated: i64| match image.get(key).and_then(Value::as_i64) {
            Some(own) if own != stated => {
                Err(format!("{key} is {own}, and config.json has {stated}"))
            }
            _ => Ok(stated),
        };
        for key in ["do_resize", "do_rescale", "do_normalize"] {
            if image.get(key).and_then(Value::as_bool) == Some(false) {
                return Err(format!("{key} is off, which no published checkpoint has"));
            }
        }
        if let Some(other) = image
            .get("resample")
            .and_then(Value::as_i64)
            .filter(|n| *n != BICUBIC)
        {
            return Err(format!("resample is {other}; only 3, bicubic, is known"));
        }
        Ok(Self {
            image_area: area(image, [112.0 * 112.0, 28.0 * 28.0 * 15000.0]),
            cine_area: area(cine, [112.0 * 112.0, 28.0 * 28.0 * 2.0 * 30000.0]),
            mean: triple("image_mean", [0.481_454_66, 0.457_827_5, 0.408_210_73])?,
            std: triple("image_std", [0.268_629_54, 0.261_302_58, 0.275_777_11])?,
            rescale: image
                .get("rescale_factor")
                .and_then(Value::as_f64)
                .unwrap_or(1.0 / 255.0),
            patch: whole("patch_size", config.patch)?,
            merge: whole("merge_size", config.merge)?,
            frames: whole("temporal_patch_size", config.frames)?,
        })
    }

    /// Frames of a patch.
    pub fn frames_of_a_patch(&self) -> i64 {
        self.frames
    }

    /// One picture, which stands for every frame of its patches.
    ///
    /// # Errors
    /// [`ReaderError::Picture`] where it is too narrow, [`ReaderError::Torch`].
    pub fn image(&self, picture: &RgbFrame) -> Result<Patches, ReaderError> {
        let frame = self.frame(picture, self.frames, self.image_area)?;
        let frames: Vec<&Tensor> = (0..self.frames).map(|_| &frame).collect();
        Ok(self.patches(&frames))
    }

    /// Frames of a cine, all of one size, as many together as a patch holds; the last one is repeated.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn cine(&self, frames: &[RgbFrame]) -> Result<Vec<Patches>, ReaderError> {
        let count = frames.len() as i64;
        let made = frames
            .iter()
            .map(|frame| self.frame(frame, count.max(self.frames), self.cine_area));
        let made: Vec<Tensor> = made.collect::<Result<_, _>>()?;
        let groups = made.chunks(self.frames as usize).map(|group| {
            let last = group.len() - 1;
            let frames = (0..self.frames as usize).map(|i| &group[i.min(last)]);
            self.patches(&frames.collect::<Vec<_>>())
        });
        Ok(groups.collect())
    }

    /// `[3, rows, columns]`, normalised.
    fn frame(&self, picture: &RgbFrame, count: i64, area: [f64; 2]) -> Result<Tensor, ReaderError> {
        let (rows, columns) = (picture.height as i64, picture.width as i64);
        let [to_rows, to_columns] = self.size(count, rows, columns, area)?;
        let whole = Tensor::f_from_slice(&picture.pixels)?
            .f_view([rows, columns, 3])?
            .permute([2, 0, 1])
            .unsqueeze(0)
            .contiguous();
        let whole = if [to_rows, to_columns] == [rows, columns] {
            whole
        } else {
            whole.f_internal_upsample_bicubic2d_aa([to_rows, to_columns], false, None, None)?
        };
        let three = |numbers: &[f64; 3]| {
            let narrow: Vec<f32> = numbers.iter().map(|n| *n as f32).collect();
            (Tensor::from_slice(&narrow) * (1.0 / self.rescale)).view([3, 1, 1])
        };
        let frame = whole.squeeze_dim(0).to_kind(Kind::Float);
        Ok((frame - three(&self.mean)) / three(&self.std))
    }

    /// The size that a picture is brought to.
    fn size(
        &self,
        count: i64,
        rows: i64,
        columns: i64,
        [least, most]: [f64; 2],
    ) -> Result<[i64; 2], ReaderError> {
        let factor = (self.patch * self.merge) as f64;
        if rows < 1 || columns < 1 {
            return Err(ReaderError::Picture("the picture is empty".to_owned()));
        }
        let (mut rows, mut columns) = (rows as f64, columns as f64);
        if rows < factor || columns < factor {
            let scale = (factor / rows).max(factor / columns);
            (rows, columns) = ((rows * scale).trunc(), (columns * scale).trunc());
        }
        if rows.max(columns) / rows.min(columns) > ASPECT_MAX {
            let what = format!("a picture of {columns} x {rows} is too narrow");
            return Err(ReaderError::Picture(what));
        }
        let together = self.frames as f64;
        let count = count as f64;
        let steps = (count / together).round_ties_even() * together;
        let mut to = [rows, columns].map(|side| (side / factor).round_ties_even() * factor);
        let area = steps * to[0] * to[1];
        if area > most {
            let beta = (count * rows * columns / most).sqrt();
            to = [rows, columns].map(|side| ((side / beta / factor).floor() * factor).max(factor));
        } else if area < least {
            let beta = (least / (count * rows * columns)).sqrt();
            to = [rows, columns].map(|side| (side * beta / factor).ceil() * factor);
        }
        Ok(to.map(|side| side as i64))
    }

    fn patches(&self, frames: &[&Tensor]) -> Patches {
        let stacked = Tensor::stack(frames, 0);
        let size = stacked.size();
        let grid = Grid {
            rows: size[2] / self.patch,
            columns: size[3] / self.patch,
        };
        let (m, p) = (self.merge, self.patch);
        let values = stacked
            .view([self.frames, 3, grid.rows / m, m, p, grid.columns / m, m, p].as_slice())
            .permute([2, 5, 3, 6, 1, 0, 4, 7].as_slice())
            .reshape([grid.patches(), 3 * self.frames * p * p]);
        Patches { values, grid }
    }
}

fn area(settings: &Value, default: [f64; 2]) -> [f64; 2] {
    let size = settings.get("size");
    let edge = |key: &str, older: &str| {
        size.and_then(|size| size.get(key))
            .or_else(|| settings.get(older))
            .and_then(Value::as_f64)
    };
    [
        edge("shortest_edge", "min_pixels").unwrap_or(default[0]),
        edge("longest_edge", "max_pixels").unwrap_or(default[1]),
    ]
}

/// The frames of a cine that the published video processor looks at: six a second of clips up to half a minute, an even
/// number; and when each was taken.
pub fn sampled(count: usize, rate_hz: f64, frames_of_a_patch: i64) -> Vec<usize> {
    let last = count.saturating_sub(1);
    let duration = (last as f64 / rate_hz).round_ties_even() + 1.0;
    let per_second = match duration.min(2400.0) {
        d if d <= 30.0 => 3.0,
        d if d <= 300.0 => 1.0,
        _ => 0.5,
    };
    let together = frames_of_a_patch as f64;
    let wanted = ((duration.min(2400.0) * per_second * together) as usize).min(640);
    let spread = |from: usize, to: usize| -> Vec<usize> {
        let step = (to - from) as f64 / (wanted.max(2) - 1) as f64;
        let place = |i| match i {
            i if i + 1 == wanted && i > 0 => to,
            i => (from as f64 + i as f64 * step) as usize,
        };
        (0..wanted).map(place).collect()
    };
    let mut chosen = if count < wanted {
        spread(0, last)
    } else {
        by_time(
            count,
            rate_hz,
            1.0 / (together * per_second),
            duration.trunc(),
        )
    };
    if chosen.len() < wanted {
        let ends = chosen.first().copied().zip(chosen.last().copied());
        let (from, to) = ends.unwrap_or((0, last));
        chosen = spread(from, to);
    } else if chosen.len() > wanted {
        chosen = spread(0, last);
    }
    chosen.dedup();
    if chosen.len() % 2 == 1 {
        chosen.extend(chosen.last().copied());
    }
    chosen
}

fn by_time(count: usize, rate_hz: f64, every_s: f64, until_s: f64) -> Vec<usize> {
    let frame_s = 1.0 / rate_hz;
    let mut chosen = Vec::new();
    let mut next = 0.0;
    for frame in 0..count {
        if frame as f64 * frame_s >= next {
            next += every_s;
            chosen.push(frame);
            if next >= until_s {
                break;
            }
        }
    }
    chosen
}

/// A picture of a file: a PNG, or a DICOM object's first frame.
///
/// # Errors
/// [`ReaderError::File`] and [`ReaderError::Picture`].
pub fn read(path: &Path) -> Result<RgbFrame, ReaderError> {
    let mut cine = dicom_frames(path)?;
    match cine.as_mut() {
        Some(frames) => frames
            .rgb(0)
            .map_err(|error| ReaderError::Picture(format!("{}: {error}", path.display()))),
        None => png(path),
    }
}

/// A DICOM object's frames; none where the file is no DICOM object.
fn dicom_frames(path: &Path) -> Result<Option<Frames>, ReaderError> {
    let refused = |error: &dyn std::fmt::Display| {
        ReaderError::Picture(format!("{}: {error}", path.display()))
    };
    match dicom::open(path) {
        Ok(opened) => Frames::of(&opened)
            .map(Some)
            .map_err(|error| refused(&error)),
        Err(dicom::OpenError::Io(source)) if source.kind() != std::io::ErrorKind::UnexpectedEof => {
            Err(ReaderError::file(path)(source))
        }
        Err(dicom::OpenError::NotPart10 | dicom::OpenError::Io(_)) => Ok(None),
        Err(error) => Err(refused(&error)),
    }
}

fn png(path: &Path) -> Result<RgbFrame, ReaderError> {
    let refused = |what: String| ReaderError::Picture(format!("{}: {what}", path.display()));
    let file = File::open(path).map_err(ReaderError::file(path))?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder
        .read_info()
        .map_err(|error| refused(format!("it is neither DICOM nor PNG: {error}")))?;
    let size = reader
        .output_buffer_size()
        .filter(|size| *size <= 4 * PIXELS_MAX)
        .ok_or_else(|| refused("it is too large".to_owned()))?;
    let mut bytes = vec![0; size];
    let info = reader
        .next_frame(&mut bytes)
        .map_err(|error| refused(error.to_string()))?;
    if info.bit_depth != png::BitDepth::Eight {
        return Err(refused(
            "16 bits a colour are not read; save it with 8".to_owned(),
        ));
    }
    bytes.truncate(info.buffer_size());
    let pixels = match info.color_type {
        png::ColorType::Rgb => bytes,
        png::ColorType::Grayscale => bytes.iter().flat_map(|grey| [*grey; 3]).collect(),
        png::ColorType::GrayscaleAlpha => bytes
            .chunks_exact(2)
            .flat_map(|two| [over_white(two[0], two[1]); 3])
            .collect(),
        png::ColorType::Rgba => bytes
            .chunks_exact(4)
            .flat_map(|four| [0, 1, 2].map(|c| over_white(four[c], four[3])))
            .collect(),
        png::ColorType::Indexed => return Err(refused("its palette was not resolved".to_owned())),
    };
    Ok(RgbFrame {
        width: info.width as usize,
        height: info.height as usize,
        pixels,
    })
}

/// A transparent pixel over white, in the whole numbers of PIL's `alpha_composite`.
fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    let source = alpha * 255 * 128 / 255;
    let sum = value * source + 255 * (255 * 128 - source) + (0x80 << 7);
    ((((sum >> 8) + sum) >> 8) >> 7) as u8
}
