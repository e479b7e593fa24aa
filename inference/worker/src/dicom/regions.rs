//! Where the 2D image lies in the frame and how large its pixels are: Sequence of Ultrasound Regions (PS3.3 C.8.5.5).

use dicom_dictionary_std::tags;
use sonode_findings::{Calibration, CalibrationSource, Sentence, phrases};

use super::header::Attributes;

/// Region Spatial Format (0018,6012).
pub(crate) const FORMAT_2D: u32 = 1;
/// M-mode.
pub(crate) const FORMAT_M_MODE: u32 = 2;
/// Spectral Doppler.
pub(crate) const FORMAT_SPECTRAL: u32 = 3;
/// Region Data Type (0018,6014): tissue.
pub(crate) const DATA_TISSUE: u32 = 1;
/// Colour flow.
pub(crate) const DATA_COLOUR_FLOW: u32 = 2;
/// Physical Units (0018,6024, 0018,6026): centimetres.
const UNITS_CM: u32 = 3;
/// Region Flags (0018,6016), bit 0: low priority, that is, drawn under the others.
const FLAG_LOW_PRIORITY: u32 = 1;
/// Screens that ultrasound machines export, in columns and rows.
const RASTERS: [[f64; 2]; 18] = [
    [640.0, 480.0],
    [720.0, 480.0],
    [720.0, 576.0],
    [768.0, 576.0],
    [800.0, 600.0],
    [1016.0, 708.0],
    [1024.0, 768.0],
    [1152.0, 864.0],
    [1280.0, 720.0],
    [1280.0, 800.0],
    [1280.0, 960.0],
    [1280.0, 1024.0],
    [1440.0, 1080.0],
    [1600.0, 1200.0],
    [1680.0, 1050.0],
    [1920.0, 1080.0],
    [1920.0, 1200.0],
    [2560.0, 1440.0],
];
/// By how much exporters shrink a screen whatever its size.
const WHOLE_RATIOS: [f64; 3] = [2.0, 3.0, 4.0];
/// How far a raster's two axes may differ from one common ratio.
const RASTER_TOLERANCE: f64 = 0.01;
/// How much of a raster's fuller axis, and of its emptier one, the regions must fill to speak for it.
const RASTER_FILLED: [f64; 2] = [0.75, 0.55];
/// A region smaller than this on a side shows no ventricle.
const SIDE_MIN: f64 = 32.0;
/// Plausible centimetres per pixel: 5 to 40 cm of depth over 100 to 2000 rows.
const CM_PER_PX: std::ops::RangeInclusive<f64> = 0.002..=0.4;

/// One item of the sequence, as stated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Region Spatial Format (0018,6012).
    pub format: u32,
    /// Region Data Type (0018,6014).
    pub data: u32,
    /// Whether it is low priority (0018,6016, bit 0).
    pub low_priority: bool,
    /// Left, top, right and bottom (0018,6018 to 0018,601E), inclusive, in pixels of the stated raster.
    pub edges: [f64; 4],
    /// Physical Delta X and Y (0018,602C, 0018,602E), without sign, where both units are centimetres.
    pub cm_per_px: Option<[f64; 2]>,
}

/// The part of the image that is analysed, inside the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    /// First column.
    pub column: usize,
    /// First row.
    pub row: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// The crop, its calibration, and what a reader should know of both.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    /// Where the 2D tissue is; the whole image where nothing says.
    pub crop: Crop,
    /// Size of a pixel; none: no volumes in millilitres.
    pub calibration: Option<Calibration>,
    /// Height of a pixel over its width.
    pub pixel_aspect: f64,
    /// In sentences.
    pub notes: Vec<Sentence>,
}

impl Region {
    fn width(&self) -> f64 {
        self.edges[2] - self.edges[0] + 1.0
    }

    fn height(&self) -> f64 {
        self.edges[3] - self.edges[1] + 1.0
    }

    /// Whether it shows tissue, or colour flow over tissue, in two dimensions.
    pub fn is_2d(&self) -> bool {
        self.format == FORMAT_2D && matches!(self.data, DATA_TISSUE | DATA_COLOUR_FLOW)
    }

    fn scaled(self, ratio: f64) -> Self {
        Self {
            edges: self.edges.map(|edge| (edge / ratio).floor()),
            cm_per_px: self.cm_per_px.map(|cm| cm.map(|cm| cm * ratio)),
            ..self
        }
    }
}

/// The regions that the header states, those without a box left out.
pub fn regions(attributes: Attributes<'_>) -> Vec<Region> {
    attributes
        .items(tags::SEQUENCE_OF_ULTRASOUND_REGIONS)
        .filter_map(region)
        .collect()
}

fn region(item: Attributes<'_>) -> Option<Region> {
    let edges = [
        item.number(tags::REGION_LOCATION_MIN_X0)?,
        item.number(tags::REGION_LOCATION_MIN_Y0)?,
        item.number(tags::REGION_LOCATION_MAX_X1)?,
        item.number(tags::REGION_LOCATION_MAX_Y1)?,
    ];
    let in_cm = [
        tags::PHYSICAL_UNITS_X_DIRECTION,
        tags::PHYSICAL_UNITS_Y_DIRECTION,
    ]
    .iter()
    .all(|tag| item.whole(*tag) == Some(UNITS_CM));
    let delta = |tag| item.number(tag).map(f64::abs).filter(|cm| *cm > 0.0);
    let cm_per_px = match (delta(tags::PHYSICAL_DELTA_X), delta(tags::PHYSICAL_DELTA_Y)) {
        (Some(x), Some(y)) if in_cm => Some([x, y]),
        _ => None,
    };
    Some(Region {
        format: item.whole(tags::REGION_SPATIAL_FORMAT)?,
        data: item.whole(tags::REGION_DATA_TYPE)?,
        low_priority: item.whole(tags::REGION_FLAGS).unwrap_or(0) & FLAG_LOW_PRIORITY != 0,
        edges,
        cm_per_px,
    })
}

/// The crop and calibration of an image of `image` columns and rows.
pub fn geometry(attributes: Attributes<'_>, image: [usize; 2]) -> Geometry {
    let stated = regions(attributes);
    let mut notes = Vec::new();
    let (regions, ratio) = match raster_ratio(&stated, image) {
        Raster::AsStated => (stated, None),
        Raster::Ratio(ratio) => {
            notes.push(phrases::REGION_SCALED.say([format!("{ratio:.2}").into()]));
            let scaled = stated.iter().map(|region| region.scaled(ratio)).collect();
            (scaled, Some(ratio))
        }
        Raster::Unexplained => {
            notes.push(phrases::REGION_UNEXPLAINED.into());
            (Vec::new(), None)
        }
    };
    let tissue = tissue_region(&regions);
    let calibration = tissue
        .and_then(|region| region.cm_per_px)
        .filter(|cm| cm.iter().all(|cm| CM_PER_PX.contains(cm)))
        .map(|cm_per_px| Calibration {
            source: match ratio {
                Some(_) => CalibrationSource::UltrasoundRegionRescaled,
                None => CalibrationSource::UltrasoundRegion,
            },
            cm_per_px,
        });
    if calibration.is_none() && notes.is_empty() {
        notes.push(phrases::NO_USABLE_CALIBRATION.into());
    }
    let pixel_aspect = calibration.as_ref().map_or_else(
        || pixel_aspect(attributes),
        |calibration| calibration.cm_per_px[1] / calibration.cm_per_px[0],
    );
    Geometry {
        crop: tissue.map_or_else(|| whole(image), |region| crop_of(region, image)),
        calibration,
        pixel_aspect,
        notes,
    }
}

/// Number of 2D images on the screen: 2D regions of which none lies within another.
pub fn count_2d(regions: &[Region]) -> usize {
    let boxes: Vec<&Region> = regions
        .iter()
        .filter(|region| region.is_2d() && region.data == DATA_TISSUE)
        .filter(|region| region.width() >= SIDE_MIN && region.height() >= SIDE_MIN)
        .collect();
    let mut apart: Vec<&Region> = Vec::new();
    for candidate in boxes {
        if apart.iter().all(|other| overlap(candidate, other) < 0.5) {
            apart.push(candidate);
        }
    }
    apart.len()
}

/// Shared area over the smaller area, 0 to 1.
fn overlap(a: &Region, b: &Region) -> f64 {
    let width = a.edges[2].min(b.edges[2]) - a.edges[0].max(b.edges[0]) + 1.0;
    let height = a.edges[3].min(b.edges[3]) - a.edges[1].max(b.edges[1]) + 1.0;
    let smaller = (a.width() * a.height()).min(b.width() * b.height());
    width.max(0.0) * height.max(0.0) / smaller.max(1.0)
}

/// The 2D region to be analysed: tissue before flow, high priority before low, the larger before the smaller.
fn tissue_region(regions: &[Region]) -> Option<&Region> {
    let area = |region: &Region| region.width() * region.height();
    regions
        .iter()
        .filter(|region| region.is_2d())
        .filter(|region| region.width() >= SIDE_MIN && region.height() >= SIDE_MIN)
        .max_by(|a, b| {
            let rank = |region: &Region| (region.data == DATA_TISSUE, !region.low_priority);
            rank(a).cmp(&rank(b)).then(area(a).total_cmp(&area(b)))
        })
}

#[derive(Debug, PartialEq)]
enum Raster {
    AsStated,
    Ratio(f64),
    Unexplained,
}

/// The raster that the regions are stated in. Exporters shrink pixels and forget the regions: a 640 x 480 screen's boxes
/// on 320 x 240 pixels would make volumes eight times too small.
///
/// A wrong ratio is worse than none. So it must be a whole number, or lead both axes to a screen that machines have; it
/// must hold every region; and the regions must fill most of that screen. The smallest that does is taken where it is a whole
/// number, since exporters halve, or where it is the only one: between two screens nothing tells which it was.
fn raster_ratio(regions: &[Region], image: [usize; 2]) -> Raster {
    let image = image.map(|side| side as f64);
    let extent = |axis: usize| {
        regions
            .iter()
            .map(|region| region.edges[axis + 2] + 1.0)
            .fold(0.0, f64::max)
    };
    let filled = [extent(0) / image[0], extent(1) / image[1]];
    // An inclusive edge that is written as an exclusive one is off by one, and no other raster.
    if extent(0) <= image[0] + 1.0 && extent(1) <= image[1] + 1.0 {
        return Raster::AsStated;
    }
    let least = filled[0].max(filled[1]);
    let emptier = filled[0].min(filled[1]);
    let screens = RASTERS.iter().filter_map(|raster| {
        let [x, y] = [raster[0] / image[0], raster[1] / image[1]];
        ((x / y - 1.0).abs() <= RASTER_TOLERANCE).then_some(x)
    });
    let mut found: Vec<f64> = screens
        .chain(WHOLE_RATIOS)
        .filter(|ratio| *ratio >= least * 0.999 && least >= ratio * RASTER_FILLED[0])
        .filter(|ratio| emptier >= ratio * RASTER_FILLED[1])
        .collect();
    found.sort_by(f64::total_cmp);
    match (found.first(), found.last()) {
        (Some(first), Some(last))
            if WHOLE_RATIOS.contains(first) || last / first - 1.0 <= RASTER_TOLERANCE =>
        {
            Raster::Ratio(*first)
        }
        _ => Raster::Unexplained,
    }
}

fn crop_of(region: &Region, image: [usize; 2]) -> Crop {
    let clamp = |value: f64, side: usize| (value.max(0.0) as usize).min(side.saturating_sub(1));
    let column = clamp(region.edges[0], image[0]);
    let row = clamp(region.edges[1], image[1]);
    let right = clamp(region.edges[2], image[0]);
    let bottom = clamp(region.edges[3], image[1]);
    Crop {
        column,
        row,
        width: right.saturating_sub(column) + 1,
        height: bottom.saturating_sub(row) + 1,
    }
}

fn whole(image: [usize; 2]) -> Crop {
    Crop {
        column: 0,
        row: 0,
        width: image[0],
        height: image[1],
    }
}

/// Pixel Aspect Ratio (0028,0034): vertical, then horizontal size.
fn pixel_aspect(attributes: Attributes<'_>) -> f64 {
    match attributes.numbers(tags::PIXEL_ASPECT_RATIO)[..] {
        [vertical, horizontal, ..] if vertical > 0.0 && horizontal > 0.0 => vertical / horizontal,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tissue(edges: [f64; 4]) -> Region {
        Region {
            format: FORMAT_2D,
            data: DATA_TISSUE,
            low_priority: false,
            edges,
            cm_per_px: Some([0.05, 0.05]),
        }
    }

    #[test]
    fn a_shrunk_export_is_scaled_by_the_one_raster_that_explains_it() {
        let region = tissue([84.0, 31.0, 595.0, 414.0]);
        assert_eq!(raster_ratio(&[region], [640, 480]), Raster::AsStated);
        assert_eq!(raster_ratio(&[region], [320, 240]), Raster::Ratio(2.0));
        let halved = tissue([200.0, 60.0, 1200.0, 900.0]);
        assert_eq!(raster_ratio(&[halved], [640, 480]), Raster::Ratio(2.0));
        // Too wide for 800 x 600, too narrow for 1152 x 864.
        let wide = tissue([120.0, 60.0, 830.0, 640.0]);
        assert_eq!(raster_ratio(&[wide], [640, 480]), Raster::Ratio(1.6));
        let scaled = region.scaled(2.0);
        assert_eq!(scaled.edges.map(|edge| edge as i64), [42, 15, 297, 207]);
        assert_eq!(scaled.cm_per_px, Some([0.1, 0.1]));
    }

    #[test]
    fn two_screens_that_explain_the_regions_explain_nothing() {
        // 1024 x 768 or 1152 x 864: volumes would differ by 42 %.
        let wide = tissue([200.0, 60.0, 900.0, 700.0]);
        assert_eq!(raster_ratio(&[wide], [640, 480]), Raster::Unexplained);
    }

    #[test]
    fn a_cropped_export_has_no_raster_and_so_no_calibration() {
        // A still of 800 x 350 whose regions go down to row 576: rows were cut off, nothing was shrunk.
        let regions = [
            tissue([120.0, 60.0, 800.0, 518.0]),
            tissue([176.0, 522.0, 743.0, 576.0]),
        ];
        assert_eq!(raster_ratio(&regions, [800, 350]), Raster::Unexplained);
    }

    #[test]
    fn one_image_drawn_over_another_counts_once_and_two_side_by_side_twice() {
        let left = tissue([0.0, 0.0, 299.0, 399.0]);
        let right = tissue([300.0, 0.0, 599.0, 399.0]);
        let inset = tissue([10.0, 10.0, 200.0, 200.0]);
        assert_eq!(count_2d(&[left, inset]), 1);
        assert_eq!(count_2d(&[left, right]), 2);
    }

    #[test]
    fn high_priority_tissue_is_chosen_and_clamped_to_the_image() {
        let low = Region {
            low_priority: true,
            ..tissue([0.0, 0.0, 639.0, 479.0])
        };
        let high = tissue([100.0, 50.0, 500.0, 480.0]);
        let regions = [low, high];
        let chosen = tissue_region(&regions).unwrap();
        assert_eq!(*chosen, high);
        let crop = crop_of(chosen, [640, 480]);
        assert_eq!(
            (crop.column, crop.row, crop.width, crop.height),
            (100, 50, 401, 430)
        );
    }
}
