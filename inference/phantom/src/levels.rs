//! The lateral boundaries of a slice at one level: ventricle, wall, right heart and atria.

use crate::anatomy::{Heart, Ventricle, View};
use crate::motion::Phase;
use crate::shape::{Dropout, LEFT, RIGHT, Row, Slice};

/// Half-width of an atrium at `q` (0 annulus, 1 roof), as a part of its widest.
fn atrium(q: f32, [power, neck]: [f32; 2]) -> f32 {
    let u = (neck * q - (neck - 1.0)).abs();
    if u >= 1.0 {
        0.0
    } else {
        (1.0 - u.powf(power)).sqrt()
    }
}

/// The cavity's apparent length where the plane leaves the long axis by `tilt` at the annulus.
pub(crate) fn apparent_length(lv: &Ventricle<'_>, tilt: f32, view: View) -> f32 {
    if tilt.abs() < 1e-4 {
        return lv.length;
    }
    let (sin, cos) = tilt.sin_cos();
    let outside = |t: f32| {
        let s = 1.0 - t * cos / lv.length;
        s <= 0.0 || t * sin > across(lv, s, view)
    };
    let (mut lo, mut hi) = (0.3 * lv.length, lv.length / cos);
    for _ in 0..24 {
        let mid = f32::midpoint(lo, hi);
        if outside(mid) { hi = mid } else { lo = mid }
    }
    lo
}

/// Half of the cavity's extent perpendicular to the view's plane at `s`.
pub(crate) fn across(lv: &Ventricle<'_>, s: f32, view: View) -> f32 {
    match view {
        View::A4c => lv.half_depth(s),
        View::A2c => lv.half_width(s, true).midpoint(lv.half_width(s, false)),
    }
}

/// Half-width of the cavity within the view's plane at `s`.
pub(crate) fn within(lv: &Ventricle<'_>, s: f32, view: View, left: bool) -> f32 {
    match view {
        View::A4c => lv.half_width(s, left),
        View::A2c => lv.half_depth(s),
    }
}

/// Shrinks an extent by the distance that the tilted plane lies off the axis.
pub(crate) fn chord(extent: f32, across: f32, off: f32) -> f32 {
    let u = off / across.max(1e-4);
    if u >= 1.0 {
        0.0
    } else {
        extent * (1.0 - u * u).sqrt()
    }
}

/// The boundaries at level `z`.
pub(crate) fn row(
    heart: &Heart,
    lv: &Ventricle<'_>,
    slice: &Slice,
    view: View,
    phase: Phase,
    z: f32,
    drops: &[Dropout],
) -> Row {
    let mut row = Row::default();
    let (sin, cos) = slice.pose.tilt.sin_cos();
    let span = (slice.base - slice.apex).max(0.1);
    let along = ((z - slice.apex) / span).clamp(0.0, 1.0);
    row.axis = heart.banana * heart.length * 4.0 * along * (1.0 - along);
    let below = z - slice.base;
    if below < slice.step {
        let t = (slice.base - z).max(0.0);
        let s = 1.0 - t * cos / lv.length;
        let outer = lv.length + lv.wall;
        let outer_s = 1.0 - t * cos / outer;
        for (side, left) in [(LEFT, true), (RIGHT, false)] {
            row.endo[side] = chord(within(lv, s, view, left), across(lv, s, view), t * sin);
            let wide = match view {
                View::A4c => lv.outer_half_width(outer_s, left),
                View::A2c => {
                    lv.half_depth(outer_s)
                        + lv.wall * crate::anatomy::profile(outer_s, heart.tau, heart.power)
                }
            };
            let wide = chord(wide, across(lv, outer_s, view) + lv.wall * 0.9, t * sin);
            // The outer surface never cuts the inner one: at least a third of the wall stays.
            row.epi[side] = wide.max(if row.endo[side] > 0.0 {
                row.endo[side] + 0.35 * lv.wall
            } else {
                0.0
            });
        }
    }
    for drop in drops {
        let side = if drop.left { LEFT } else { RIGHT };
        let u = ((along - drop.centre) / drop.extent).abs();
        if u < 1.0 {
            row.drop[side] += drop.depth_db * 0.5 * (1.0 + (std::f32::consts::PI * u).cos());
        }
    }
    atria(heart, lv, slice, phase, z, &mut row);
    row
}

fn atria(heart: &Heart, lv: &Ventricle<'_>, slice: &Slice, phase: Phase, z: f32, row: &mut Row) {
    let grow = 0.86 + 0.14 * phase.atrial;
    let (left, right) = (lv.half_width(1.0, true), lv.half_width(1.0, false));
    let annulus = 0.5 * (left + right);
    let centre = 0.5 * (right - left);
    let q = (z - slice.base) / (heart.la_length * grow);
    if (0.0..1.0).contains(&q) {
        // At the annulus the atrium is as wide as the valve, whatever its own width.
        let blend = (q * 4.0).min(1.0);
        let widest = annulus * (1.0 + (heart.la_width * grow - 1.0) * blend);
        let half = widest * atrium(q, heart.atrium_shape).max(1.0 - 2.0 * blend);
        row.la = [centre - half, centre + half];
    }
    if !slice.has_right {
        return;
    }
    if z < slice.tricuspid {
        let start = slice.apex + heart.rv_start * (slice.base - slice.apex);
        let p = (z - start) / (slice.tricuspid - start);
        if (0.0..1.0).contains(&p) {
            let width = heart.rv_width * (1.0 - 0.28 * phase.contraction);
            let bulge = p.powf(0.65) * (1.0 - 0.35 * p.powi(3));
            let inner = -row.epi[LEFT].max(0.2);
            row.right = [inner - width * bulge, inner];
        }
    } else {
        let q = (z - slice.tricuspid) / (heart.ra[1] * grow);
        if (0.0..1.0).contains(&q) {
            let inner = if row.la[1] > row.la[0] {
                row.la[0] - heart.ias
            } else {
                -left - heart.ias
            };
            let inner = if z < slice.base {
                -row.epi[LEFT]
            } else {
                inner
            };
            // As wide as the tricuspid valve at its plane, then its own width.
            let valve = heart.rv_width * (1.0 - 0.28 * phase.contraction) * 0.65;
            let blend = (q * 3.0).min(1.0);
            let full = valve + (heart.ra[0] * grow - valve) * blend;
            let width = full * atrium(q, heart.atrium_shape).max(1.0 - 2.0 * blend);
            row.right = [inner - width, inner];
            row.right_is_atrium = true;
        }
    }
}
