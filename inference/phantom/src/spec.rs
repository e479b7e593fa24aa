//! What a cine is asked to be.

use crate::anatomy::View;
use crate::ranges::Split;
use crate::style::Style;

/// What a cine shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A heart in an apical view: what can be measured.
    Apical(View),
    /// Parasternal long axis, roughly.
    Plax,
    /// Parasternal short axis, roughly.
    ShortAxis,
    /// Apical four-chamber under a colour Doppler box.
    ColourDoppler,
    /// An M-mode strip.
    MMode,
    /// One frame of the four-chamber view.
    Still,
    /// A sector without an echo.
    Blank,
    /// Noise all over the sector, as without contact.
    Noise,
}

/// What the object says about centimetres per pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Calibration {
    /// A region with the true deltas.
    Present,
    /// No region at all.
    Missing,
    /// A region whose deltas are two and a half times too large.
    Wrong,
    /// A region stated in a raster twice as fine as the image's own, as some devices do.
    OtherRaster,
}

/// How samples are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Photometric {
    /// Three samples, red, green, blue.
    Rgb,
    /// Three samples, luma and chroma, chroma halved across.
    YbrFull422,
    /// One sample.
    Monochrome2,
}

/// How frames are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// JPEG Baseline at a quality of 1 to 100.
    JpegBaseline(u8),
    /// Explicit VR Little Endian, uncompressed. With [`Photometric::YbrFull422`] that is what some devices do although
    /// PS3.3 C.8.5.6.1.2 allows it for compressed data alone: a test for readers.
    Native,
}

/// How well the ventricle can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quality {
    /// Clear walls all around.
    Good,
    /// As drawn from the ranges.
    Fair,
    /// Most of the wall can't be told from the cavity.
    Poor,
}

/// What [`Study::generate`] is to make.
#[derive(Clone, Debug)]
pub struct StudySpec {
    /// Everything that isn't forced below follows from this.
    pub seed: u64,
    /// Whose parameter ranges are drawn from.
    pub split: Split,
    /// The device.
    pub style: Style,
    /// What is shown.
    pub subject: Subject,
    /// Number of frames; a still has one whatever this says.
    pub frames: u32,
    /// Frames per second.
    pub fps: f32,
    /// Complete beats that the clip holds at least, as far as its duration and 110 beats a minute allow.
    pub beats: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// What is said about centimetres per pixel.
    pub calibration: Calibration,
    /// Samples.
    pub photometric: Photometric,
    /// Storage.
    pub encoding: Encoding,
    /// How well it is seen.
    pub quality: Quality,
    /// Forces the ejection fraction, percent.
    pub lvef_percent: Option<f32>,
    /// Forces the end-diastolic volume, ml.
    pub edv_ml: Option<f32>,
    /// Forces the heart rate.
    pub heart_rate: Option<f32>,
    /// Forces the foreshortening, degrees.
    pub tilt_degrees: Option<f32>,
    /// Each RR differs by up to 20 %.
    pub irregular: bool,
}

impl StudySpec {
    /// A four-chamber cine of good quality: 60 frames at 30 a second, two beats, 800 x 600 (style D: 400 x 300), JPEG.
    pub fn new(seed: u64, style: Style) -> Self {
        let (width, height) = if style == Style::D {
            (400, 300)
        } else {
            (800, 600)
        };
        let held = matches!(style, Style::C | Style::D);
        Self {
            seed,
            split: if held { Split::HeldOut } else { Split::Train },
            style,
            subject: Subject::Apical(View::A4c),
            frames: 60,
            fps: 30.0,
            beats: 2,
            width,
            height,
            calibration: Calibration::Present,
            photometric: if style == Style::D {
                Photometric::Monochrome2
            } else {
                Photometric::YbrFull422
            },
            encoding: Encoding::JpegBaseline(88),
            quality: Quality::Good,
            lvef_percent: None,
            edv_ml: None,
            heart_rate: None,
            tilt_degrees: None,
            irregular: false,
        }
    }

    /// As [`StudySpec::new`] for another subject.
    pub fn of(seed: u64, style: Style, subject: Subject) -> Self {
        Self {
            subject,
            ..Self::new(seed, style)
        }
    }
}

impl StudySpec {
    /// The view that the heart is cut in; negatives start from the four-chamber view.
    pub(crate) fn view(&self) -> View {
        match self.subject {
            Subject::Apical(view) => view,
            _ => View::A4c,
        }
    }
}
