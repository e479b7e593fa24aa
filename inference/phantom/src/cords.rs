//! Thin structures of a slice: leaflets, papillary muscles, trabeculae, the moderator band.

use crate::anatomy::{Heart, Ventricle};
use crate::motion::Phase;
use crate::shape::{Cord, Slice};

impl Slice {
    pub(crate) fn add_leaflets(&mut self, heart: &Heart, phase: Phase) {
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

    pub(crate) fn add_lumps(&mut self, heart: &Heart, lv: &Ventricle<'_>) {
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
