//! One heart at one instant, cut by the image plane: tables along the axis, a lookup of tissue by place, and thin
//! structures (leaflets, cords, lumps).

use crate::anatomy::{Heart, Pose, View};
use crate::levels::{self, apparent_length};
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
pub(crate) struct Row {
    pub(crate) axis: f32,
    pub(crate) endo: [f32; 2],
    pub(crate) epi: [f32; 2],
    /// Right ventricle or right atrium: from, to (both left of the axis, from < to); equal where absent.
    pub(crate) right: [f32; 2],
    pub(crate) right_is_atrium: bool,
    pub(crate) la: [f32; 2],
    pub(crate) drop: [f32; 2],
    /// Cosine and sine of the endocardium's slope, left and right.
    pub(crate) slope: [[f32; 2]; 2],
}

/// One heart at one instant in the image plane.
pub(crate) struct Slice {
    pub(crate) rows: Vec<Row>,
    /// Level of the first row and spacing, cm, in the heart's frame (0 = apparent end-diastolic apex).
    pub(crate) top: f32,
    pub(crate) step: f32,
    /// Levels: apparent apex, mitral plane, tricuspid plane.
    pub(crate) apex: f32,
    pub(crate) base: f32,
    pub(crate) tricuspid: f32,
    pub(crate) base_ed: f32,
    pub(crate) scale: [f32; 2],
    pub(crate) wall_scale: f32,
    pub(crate) rv_wall: f32,
    pub(crate) has_right: bool,
    pub(crate) cords: Vec<Cord>,
    pub(crate) pose: Pose,
    pub(crate) rot: [f32; 2],
}

const ROWS: usize = 220;
pub(crate) const LEFT: usize = 0;
pub(crate) const RIGHT: usize = 1;

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
                .push(levels::row(heart, &lv, &slice, view, phase, z, drops));
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

    pub(crate) fn row_at(&self, z: f32) -> &Row {
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
}
