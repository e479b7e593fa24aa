//! What is known about a cine: contours, volumes, frames of end diastole and end systole.

use crate::anatomy::{Heart, Pose, View};
use crate::levels::{across, apparent_length, chord, within};
use crate::scan_convert::Raster;
use crate::shape::Slice;

/// One complete beat. Frames count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The frame of the largest volume at the beat's start.
    pub ed_frame: u32,
    /// The frame of the smallest volume after it.
    pub es_frame: u32,
}

/// What is known about a cine of a heart.
#[derive(Clone, Debug)]
pub struct Truth {
    /// End-diastolic volume of the three-dimensional ventricle, ml.
    pub edv_ml: f32,
    /// End-systolic volume, ml.
    pub esv_ml: f32,
    /// Ejection fraction, percent.
    pub lvef_percent: f32,
    /// The complete beats.
    pub beats: Vec<Beat>,
    /// Volume at each frame, ml.
    pub volumes_ml: Vec<f32>,
    /// The cavity's outline at each frame: a closed polygon in image pixels (column, row), from the left end of the
    /// annulus over the apex to its right end; first and last point are the annulus.
    pub contours: Vec<Vec<[f32; 2]>>,
    /// Centimetres per pixel, across and down; true even where the object states none or other ones.
    pub cm_per_px: [f32; 2],
    /// Beats per minute.
    pub heart_rate: f32,
    /// The view.
    pub view: View,
    /// The angle between the image plane and the long axis, degrees.
    pub tilt_degrees: f32,
}

/// Points on each side of a contour.
const SIDE: usize = 32;

/// The cavity's outline in the scan plane, cm, closed by the annulus.
pub(crate) fn outline(
    heart: &Heart,
    pose: Pose,
    view: View,
    contraction: f32,
    slice: &Slice,
) -> Vec<[f32; 2]> {
    let lv = heart.at(contraction);
    let length = apparent_length(&lv, pose.tilt, view);
    let (sin, cos) = pose.tilt.sin_cos();
    let at = |k: usize, left: bool| {
        // Points crowd towards the apex, where the outline turns.
        let u = k as f32 / SIDE as f32;
        let t = length * (0.5 * std::f32::consts::PI * u).sin();
        let s = 1.0 - t * cos / lv.length;
        let half = if k == SIDE {
            0.0
        } else {
            chord(within(&lv, s, view, left), across(&lv, s, view), t * sin)
        };
        let along = 1.0 - t / length;
        let axis = heart.banana * heart.length * 4.0 * along * (1.0 - along);
        slice.to_image([axis + if left { -half } else { half }, slice.base - t])
    };
    let mut points: Vec<_> = (0..=SIDE).map(|k| at(k, true)).collect();
    points.extend((0..SIDE).rev().map(|k| at(k, false)));
    points
}

/// Complete beats of a volume curve, from the R waves (in frames, from 0) around them.
pub(crate) fn beats(volumes: &[f32], r_waves: &[f32]) -> Vec<Beat> {
    let extreme = |from: f32, to: f32, sign: f32| -> Option<usize> {
        let lo = from.ceil().max(0.0) as usize;
        let hi = (to.floor().max(0.0) as usize).min(volumes.len().checked_sub(1)?);
        (lo..=hi).max_by(|a, b| (sign * volumes[*a]).total_cmp(&(sign * volumes[*b])))
    };
    let last = volumes.len() as f32 - 1.0;
    let number = |k: usize| u32::try_from(k + 1).unwrap_or(u32::MAX);
    r_waves
        .windows(2)
        .filter(|pair| pair[0] >= -0.5 && pair[1] <= last + 0.5)
        .filter_map(|pair| {
            let quarter = 0.25 * (pair[1] - pair[0]);
            let ed = extreme(pair[0] - quarter, pair[0] + quarter, 1.0)?;
            let es = extreme(pair[0], pair[1], -1.0)?;
            Some(Beat {
                ed_frame: number(ed),
                es_frame: number(es),
            })
        })
        .collect()
}

/// Volume by the method of disks (single plane) of a contour that begins and ends at the annulus: 20 disks
/// perpendicular to the axis from the annulus' middle to the farthest point, ml.
pub fn disks_ml(contour: &[[f32; 2]], cm_per_px: [f32; 2]) -> Option<f32> {
    let d = diameters(contour, cm_per_px)?;
    Some(
        d.1.iter()
            .map(|w| std::f32::consts::FRAC_PI_4 * w * w)
            .sum::<f32>()
            * d.0
            / 20.0,
    )
}

/// Volume by the biplane method of disks, ml.
pub fn biplane_ml(a: &[[f32; 2]], b: &[[f32; 2]], a_cm: [f32; 2], b_cm: [f32; 2]) -> Option<f32> {
    let (a, b) = (diameters(a, a_cm)?, diameters(b, b_cm)?);
    let sum: f32 =
        a.1.iter()
            .zip(&b.1)
            .map(|(x, y)| std::f32::consts::FRAC_PI_4 * x * y)
            .sum();
    Some(sum * a.0.max(b.0) / 20.0)
}

/// The long axis's length and 20 diameters across it, apex first, cm.
fn diameters(contour: &[[f32; 2]], cm: [f32; 2]) -> Option<(f32, [f32; 20])> {
    let points: Vec<[f32; 2]> = contour
        .iter()
        .map(|p| [p[0] * cm[0], p[1] * cm[1]])
        .collect();
    let (first, last) = (*points.first()?, *points.last()?);
    let mid = [
        f32::midpoint(first[0], last[0]),
        f32::midpoint(first[1], last[1]),
    ];
    let far = |p: &[f32; 2]| (p[0] - mid[0]).hypot(p[1] - mid[1]);
    let apex = *points.iter().max_by(|a, b| far(a).total_cmp(&far(b)))?;
    let length = far(&apex);
    if length <= 0.0 {
        return None;
    }
    let axis = [(mid[0] - apex[0]) / length, (mid[1] - apex[1]) / length];
    let local: Vec<[f32; 2]> = points
        .iter()
        .map(|p| {
            let d = [p[0] - apex[0], p[1] - apex[1]];
            [
                d[0] * axis[0] + d[1] * axis[1],
                -d[0] * axis[1] + d[1] * axis[0],
            ]
        })
        .collect();
    let widths = std::array::from_fn(|k| {
        let level = (k as f32 + 0.5) / 20.0 * length;
        let (mut lo, mut hi) = (f32::MAX, f32::MIN);
        for pair in local
            .windows(2)
            .map(|w| (w[0], w[1]))
            .chain([(local[local.len() - 1], local[0])])
        {
            let ((z0, x0), (z1, x1)) = ((pair.0[0], pair.0[1]), (pair.1[0], pair.1[1]));
            if (z0 <= level) != (z1 <= level) {
                let x = x0 + (x1 - x0) * (level - z0) / (z1 - z0);
                lo = lo.min(x);
                hi = hi.max(x);
            }
        }
        (hi - lo).max(0.0)
    });
    Some((length, widths))
}

/// A contour of the scan plane in pixels of the raster.
pub(crate) fn to_pixels(outline: &[[f32; 2]], raster: &Raster) -> Vec<[f32; 2]> {
    outline.iter().map(|p| raster.to_pixel(*p)).collect()
}
