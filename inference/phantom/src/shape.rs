//! One heart at one instant, cut by the image plane: tables along the axis, a lookup of tissue by place, and thin
//! structures (leaflets, cords, lumps).

use crate::anatomy::{Heart, Pose, Ventricle, View};
use crate::motion::Phase;

/// What lies at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tissue {
    /// Lung, liver, chest: anything but heart.
    Outside,
    /// Left ventricular cavity.
    Cavity,
    /// Left ventricular wall.
    Wall,
    /// Left atrium.
    La,
    /// Right ventricle.
    Rv,
    /// Right atrium.
    Ra,
    /// Walls of the atria and the right ventricle, and the groove between atrium and ventricle.
    Thin,
    /// Pericardium.
    Pericardium,
}

/// The answer of [`Slice::locate`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    pub(crate) tissue: Tissue,
    /// The place in the heart's end-diastolic frame, cm: where its speckle belongs.
    pub(crate) reference: [f32; 2],
    /// In the wall: 0 at the cavity, 1 at the outer surface. Otherwise 0.
    pub(crate) depth: f32,
    /// Dropout of this stretch of wall, dB, at most 0.
    pub(crate) drop_db: f32,
    /// The wall's normal, in the heart's frame.
    pub(crate) normal: [f32; 2],
}

/// A thin structure: a segment with a radius, in the heart's frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cord {
    pub(crate) from: [f32; 2],
    pub(crate) to: [f32; 2],
    pub(crate) radius: f32,
    pub(crate) level_db: f32,
}

/// A stretch of wall that returns little echo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    pub(crate) left: bool,
    /// Centre and half-extent along the axis, in parts of the length.
    pub(crate) centre: f32,
    pub(crate) extent: f32,
    /// At most 0.
    pub(crate) depth_db: f32,
}

/// Lateral boundaries at one level, heart frame, relative to the bowed axis.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    axis: f32,
    endo: [f32; 2],
    epi: [f32; 2],
    /// Right ventricle or right atrium: from, to (both left of the axis, from < to); equal where absent.
    right: [f32; 2],
    right_is_atrium: bool,
    la: [f32; 2],
    drop: [f32; 2],
    /// Cosine and sine of the endocardium's slope, left and right.
    slope: [[f32; 2]; 2],
}

/// One heart at one instant in the image plane.
pub(crate) struct Slice {
    rows: Vec<Row>,
    /// Level of the first row and spacing, cm, in the heart's frame (0 = apparent end-diastolic apex).
    top: f32,
    step: f32,
    /// Levels: apparent apex, mitral plane, tricuspid plane.
    pub(crate) apex: f32,
    pub(crate) base: f32,
    tricuspid: f32,
    base_ed: f32,
    scale: [f32; 2],
    wall_scale: f32,
    rv_wall: f32,
    has_right: bool,
    pub(crate) cords: Vec<Cord>,
    pose: Pose,
    rot: [f32; 2],
}

const ROWS: usize = 220;
const LEFT: usize = 0;
const RIGHT: usize = 1;

/// Half-width of an atrium at `q` (0 annulus, 1 roof), as a part of its widest.
fn atrium(q: f32, [power, neck]: [f32; 2]) -> f32 {
    let u = (neck * q - (neck - 1.0)).abs();
    if u >= 1.0 {
        0.0
    } else {
        (1.0 - u.powf(power)).sqrt()
    }
}

impl Slice {
    pub(crate) fn new(
        heart: &Heart,
        pose: Pose,
        view: View,
        phase: Phase,
        drops: &[Dropout],
    ) -> Self {
        let lv = heart.at(phase.contraction);
        let ed = heart.at(0.0);
        let apparent_ed = apparent_length(&ed, pose.tilt, view);
        let apparent = apparent_length(&lv, pose.tilt, view);
        let base_ed = apparent_ed;
        let base = base_ed - heart.mapse * phase.contraction * pose.tilt.cos();
        let tricuspid = base - heart.tv_offset;
        let top = -2.2;
        let bottom = base + heart.la_length.max(heart.ra[1]) + 1.2;
        let step = (bottom - top) / (ROWS - 1) as f32;
        let mut slice = Self {
            rows: Vec::with_capacity(ROWS),
            top,
            step,
            apex: base - apparent,
            base,
            tricuspid,
            base_ed,
            scale: [lv.radius_ed / lv.radius, apparent_ed / apparent],
            wall_scale: heart.wall / lv.wall,
            rv_wall: heart.rv_wall,
            has_right: view == View::A4c,
            cords: Vec::new(),
            pose,
            rot: [pose.rotation.cos(), pose.rotation.sin()],
        };
        for k in 0..ROWS {
            let z = top + step * k as f32;
            slice
                .rows
                .push(row(heart, &lv, &slice, view, phase, z, drops));
        }
        slice.fill_slopes();
        slice.add_leaflets(heart, phase);
        slice.add_lumps(heart, &lv);
        slice
    }

    fn fill_slopes(&mut self) {
        for k in 0..ROWS {
            let (a, b) = (k.saturating_sub(1), (k + 1).min(ROWS - 1));
            for side in [LEFT, RIGHT] {
                let rise = (self.rows[b].epi[side] - self.rows[a].epi[side])
                    / (self.step * (b - a) as f32);
                let rise = rise.clamp(-6.0, 6.0);
                let norm = (1.0 + rise * rise).sqrt().recip();
                self.rows[k].slope[side] = [norm, -rise * norm];
            }
        }
    }

    fn row_at(&self, z: f32) -> &Row {
        let k = ((z - self.top) / self.step + 0.5).max(0.0) as usize;
        &self.rows[k.min(ROWS - 1)]
    }

    /// Half-widths of the cavity at level `z`, interpolated, and the axis's offset: `[axis, left, right]`.
    pub(crate) fn endo_at(&self, z: f32) -> [f32; 3] {
        let u = ((z - self.top) / self.step).clamp(0.0, (ROWS - 2) as f32);
        let k = u as usize;
        let f = u - k as f32;
        let (a, b) = (&self.rows[k], &self.rows[k + 1]);
        let mix = |x: f32, y: f32| x * (1.0 - f) + y * f;
        [
            mix(a.axis, b.axis),
            mix(a.endo[0], b.endo[0]),
            mix(a.endo[1], b.endo[1]),
        ]
    }

    /// The cavity's area in the plane, cm2.
    pub(crate) fn cavity_area(&self) -> f32 {
        let rows = self.rows.iter().enumerate();
        rows.filter(|(k, _)| self.top + self.step * (*k as f32) < self.base)
            .map(|(_, row)| (row.endo[0] + row.endo[1]) * self.step)
            .sum()
    }

    /// From image centimetres to the heart's frame.
    pub(crate) fn to_heart(&self, x: f32, y: f32) -> [f32; 2] {
        let (dx, dy) = (x - self.pose.apex[0], y - self.pose.apex[1]);
        let [c, s] = self.rot;
        [dx * c + dy * s, -dx * s + dy * c]
    }

    /// From the heart's frame to image centimetres.
    pub(crate) fn to_image(&self, [x, z]: [f32; 2]) -> [f32; 2] {
        let [c, s] = self.rot;
        [
            self.pose.apex[0] + x * c - z * s,
            self.pose.apex[1] + x * s + z * c,
        ]
    }

    /// A direction in the image turned into the heart's frame.
    pub(crate) fn turn(&self, [dx, dy]: [f32; 2]) -> [f32; 2] {
        let [c, s] = self.rot;
        [dx * c + dy * s, -dx * s + dy * c]
    }

    /// What lies at a place of the heart's frame.
    pub(crate) fn locate(&self, [x, z]: [f32; 2]) -> Hit {
        let row = self.row_at(z);
        let rel = x - row.axis;
        let side = if rel < 0.0 { LEFT } else { RIGHT };
        let sign = if rel < 0.0 { -1.0 } else { 1.0 };
        let mut hit = Hit {
            tissue: Tissue::Outside,
            reference: [x, z],
            depth: 0.0,
            drop_db: row.drop[side],
            normal: [row.slope[side][0] * sign, row.slope[side][1]],
        };
        if z < self.base {
            self.locate_ventricular(row, rel, z, side, sign, &mut hit);
        } else {
            self.locate_atrial(row, rel, z, &mut hit);
        }
        hit
    }

    fn locate_ventricular(
        &self,
        row: &Row,
        rel: f32,
        z: f32,
        side: usize,
        sign: f32,
        hit: &mut Hit,
    ) {
        let (endo, epi) = (row.endo[side], row.epi[side]);
        let dist = rel.abs();
        let ref_z = self.base_ed - (self.base - z) * self.scale[1];
        if dist < endo {
            hit.tissue = Tissue::Cavity;
            hit.reference = [rel * self.scale[0], ref_z];
        } else if dist < epi {
            hit.tissue = Tissue::Wall;
            let span = (epi - endo).max(1e-3);
            hit.depth = (dist - endo) / span;
            let out = endo * self.scale[0] + (dist - endo) * self.wall_scale;
            hit.reference = [sign * out, ref_z];
        } else if self.has_right && side == LEFT && row.right[1] > row.right[0] {
            hit.reference = [rel + self.rows_shift(row), ref_z];
            self.locate_right(row, rel, hit);
        } else {
            // The pericardium hugs the outer surface; further out is lung.
            let normal_gap = (dist - epi) * hit.normal[0].abs().max(0.25);
            if epi > 0.0 && normal_gap < 0.22 {
                hit.tissue = Tissue::Pericardium;
            }
        }
    }

    fn rows_shift(&self, row: &Row) -> f32 {
        row.epi[LEFT] * (1.0 - self.scale[0].recip())
    }

    fn locate_right(&self, row: &Row, rel: f32, hit: &mut Hit) {
        let [from, to] = row.right;
        if rel > from && rel < to {
            hit.tissue = if row.right_is_atrium {
                Tissue::Ra
            } else {
                Tissue::Rv
            };
        } else if rel <= from && rel > from - self.rv_wall {
            hit.tissue = Tissue::Thin;
            hit.depth = (from - rel) / self.rv_wall;
        } else if rel <= from && rel > from - self.rv_wall - 0.15 {
            hit.tissue = Tissue::Pericardium;
        } else if rel >= to {
            hit.tissue = Tissue::Thin;
        }
    }

    fn locate_atrial(&self, row: &Row, rel: f32, z: f32, hit: &mut Hit) {
        hit.reference = [rel, z - self.base + self.base_ed];
        let [la0, la1] = row.la;
        // The groove: annular tissue that closes the wall's lower end.
        let groove = z - self.base < 0.55;
        if rel > la0 && rel < la1 {
            hit.tissue = Tissue::La;
        } else if la1 > la0 && rel >= la1 && rel < la1 + if groove { 0.75 } else { 0.25 } {
            hit.tissue = Tissue::Thin;
        } else if self.has_right && row.right[1] > row.right[0] && rel < la0 {
            if rel > row.right[1] {
                hit.tissue = Tissue::Thin;
            } else {
                self.locate_right(row, rel, hit);
            }
        } else if la1 > la0 && rel <= la0 && rel > la0 - if groove { 0.75 } else { 0.25 } {
            hit.tissue = Tissue::Thin;
        }
    }

    fn add_leaflets(&mut self, heart: &Heart, phase: Phase) {
        let [axis, left, right] = self.endo_at(self.base - 0.02);
        let annulus = left + right;
        let [len_l, len_r, tent, thick] = heart.leaflets;
        let meet = axis - left + annulus * len_l / (len_l + len_r);
        let open = phase.mitral;
        let plane = self.base - 0.05;
        for (hinge, share, sign) in [(axis - left, len_l, 1.0), (axis + right, len_r, -1.0)] {
            let length = share * annulus;
            let shut = [meet, plane - tent * (1.0 - 0.3 * open)];
            // An open leaflet hangs towards the apex, a little off its wall.
            let hang = [hinge + sign * 0.28 * length, plane - 0.95 * length];
            let tip = [
                shut[0] + (hang[0] - shut[0]) * open,
                shut[1] + (hang[1] - shut[1]) * open,
            ];
            let bend = [
                f32::midpoint(hinge, tip[0]) + sign * 0.10 * annulus * open,
                f32::midpoint(plane, tip[1]) + 0.15 * (1.0 - open) - 0.1 * open,
            ];
            self.curve([hinge, plane], bend, tip, 0.5 * thick, 1.0);
        }
        if self.has_right {
            self.add_tricuspid(open, thick);
        }
    }

    fn add_tricuspid(&mut self, open: f32, thick: f32) {
        let z = self.tricuspid - 0.1;
        let row = *self.row_at(z);
        let [from, to] = row.right;
        if to - from < 0.8 {
            return;
        }
        let width = to - from;
        let meet = from + 0.5 * width + row.axis;
        for (hinge, sign) in [(from + row.axis, 1.0), (to + row.axis, -1.0)] {
            let shut = [meet, z - 0.25];
            let hang = [hinge + sign * 0.12 * width, z - 0.5 * width];
            let tip = [
                shut[0] + (hang[0] - shut[0]) * open,
                shut[1] + (hang[1] - shut[1]) * open,
            ];
            let bend = [f32::midpoint(hinge, tip[0]), f32::midpoint(z, tip[1]) + 0.1];
            self.curve([hinge, z], bend, tip, 0.4 * thick, -3.0);
        }
    }

    fn curve(&mut self, a: [f32; 2], b: [f32; 2], c: [f32; 2], radius: f32, level_db: f32) {
        let at = |t: f32| {
            let (u, v) = (1.0 - t, t);
            [0, 1].map(|k| a[k] * u * u + 2.0 * b[k] * u * v + c[k] * v * v)
        };
        let parts = 5u8;
        for k in 0..parts {
            let t = |k: u8| f32::from(k) / f32::from(parts);
            self.cords.push(Cord {
                from: at(t(k)),
                to: at(t(k + 1)),
                radius,
                level_db,
            });
        }
    }

    fn add_lumps(&mut self, heart: &Heart, lv: &Ventricle<'_>) {
        for lump in &heart.lumps {
            let z = self.apex + lump.along * (self.base - self.apex);
            let [axis, left, right] = self.endo_at(z);
            let edge = if lump.side < 0.0 { left } else { right };
            // Muscle thickens as it shortens, and never fills the cavity's middle.
            let radius = (lump.radius * (1.0 + 0.3 * lv.contraction)).min(0.45 * edge);
            let x = axis + lump.side * (edge - lump.stand * radius);
            let along = (1.0 + lump.stand) * radius;
            self.cords.push(Cord {
                from: [x, z - along],
                to: [x, z + along],
                radius,
                level_db: lump.level_db,
            });
        }
        if let Some(along) = heart.moderator {
            let z = along * self.base;
            let row = self.row_at(z);
            let [from, to] = row.right;
            if to - from > 0.5 {
                self.cords.push(Cord {
                    from: [from + row.axis, z - 0.6],
                    to: [to + row.axis, z + 0.3],
                    radius: 0.14,
                    level_db: -6.0,
                });
            }
        }
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

fn row(
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
