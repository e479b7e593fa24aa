//! The scanner's and the window's parameters: everything about an image's look that a case fixes.

use crate::noise::Field;
use crate::ranges::{self, Split};
use crate::rng::Draw;
use crate::shape::{Cord, Dropout};
use crate::spec::Quality;

/// Everything about the scanner and the patient's window that a case fixes.
#[derive(Clone, Debug)]
pub struct Scanner {
    /// Half of the opening angle, radians.
    pub half_angle: f32,
    /// Depth, cm.
    pub depth: f32,
    /// Lateral and axial width of the point-spread function.
    pub lateral_psf_deg: f32,
    /// See [`Scanner::lateral_psf_deg`].
    pub axial_psf_cm: f32,
    /// Grey scale.
    pub dynamic_range_db: f32,
    /// See [`ranges::GAMMA`].
    pub gamma: f32,
    /// See [`ranges::S_CURVE`].
    pub s_curve: f32,
    /// See [`ranges::GAIN_OFFSET_DB`].
    pub gain_db: f32,
    /// See [`ranges::EDGE_DROP_DB`].
    pub edge_drop_db: f32,
    /// See [`ranges::NOISE_DB`].
    pub noise_db: f32,
    /// Levels in dB against the myocardium: blood, outside, thin walls, pericardium.
    pub(crate) levels: [f32; 4],
    /// How much the echo depends on the wall's angle, dB, and how bright its surface is, dB.
    pub(crate) specular: [f32; 2],
    /// Strength of clouds in the tissue and outside it, dB, and their fineness.
    pub(crate) clouds: [f32; 3],
    /// Uncompensated gain at five depths, dB.
    pub(crate) tgc: [f32; 5],
    /// Gain by line, dB, smooth over the beams: amplitude and fineness.
    pub(crate) line_gain: [f32; 2],
    /// Shadows: centre and half-width in parts of the opening, strength in dB, where it starts in cm.
    pub(crate) shadows: Vec<[f32; 4]>,
    /// Side lobes in dB and their extent in degrees.
    pub(crate) side_lobes: [f32; 2],
    /// Near-field clutter: level in dB, reach in cm.
    pub(crate) clutter: [f32; 2],
    /// Chest wall: layers with depth, thickness and level.
    pub(crate) layers: Vec<[f32; 3]>,
    /// Haze and distractors: place in parts of (angle, depth), size in cm, level in dB.
    pub(crate) haze: Vec<[f32; 5]>,
    /// Distractors: bright arcs and lines outside the ventricle.
    pub(crate) distractors: Vec<Cord>,
    pub(crate) dropouts: Vec<Dropout>,
    /// How far the tissue's outlines stray from the model's smooth ones, cm.
    pub(crate) wobble: f32,
    pub(crate) field: Field,
    /// Range of the nearest sample, cm: the transducer's face.
    pub near: f32,
    /// Depth of the focus, cm.
    pub(crate) focus: f32,
}

impl Scanner {
    /// Draws a scanner for an image of `depth` cm.
    pub fn draw(rng: &mut Draw, split: Split, depth: f32) -> Self {
        let half_angle = ranges::HALF_ANGLE_DEG.draw(rng, split).to_radians();
        Self {
            half_angle,
            depth,
            lateral_psf_deg: ranges::LATERAL_PSF_DEG.draw(rng, split),
            axial_psf_cm: ranges::AXIAL_PSF_CM.draw(rng, split),
            dynamic_range_db: ranges::DYNAMIC_RANGE_DB.draw(rng, split),
            gamma: ranges::GAMMA.draw(rng, split),
            s_curve: ranges::S_CURVE.draw(rng, split),
            gain_db: ranges::GAIN_OFFSET_DB.draw(rng, split),
            edge_drop_db: ranges::EDGE_DROP_DB.draw(rng, split),
            noise_db: ranges::NOISE_DB.draw(rng, split),
            levels: [
                -rng.range(16.0, 52.0),
                -rng.range(2.0, 30.0),
                rng.range(-15.0, 4.0),
                rng.range(-4.0, 12.0),
            ],
            specular: [rng.range(0.0, 12.0), rng.range(-2.0, 6.0)],
            clouds: [
                rng.range(0.5, 5.0),
                rng.range(1.0, 9.0),
                rng.range(3.0, 12.0),
            ],
            tgc: std::array::from_fn(|_| rng.normal() * 2.5),
            line_gain: [rng.range(0.0, 2.0), rng.range(2.0, 14.0)],
            shadows: draw_shadows(rng),
            side_lobes: [rng.range(-46.0, -24.0), rng.range(6.0, 24.0)],
            clutter: [rng.range(-34.0, -6.0), rng.range(0.5, 3.5)],
            layers: (0..=rng.index(4))
                .map(|_| {
                    [
                        rng.range(0.2, 1.9),
                        rng.range(0.05, 0.35),
                        rng.range(-10.0, 10.0),
                    ]
                })
                .collect(),
            haze: (0..rng.index(5))
                .map(|_| {
                    [
                        rng.range(-0.9, 0.9),
                        rng.range(0.1, 0.95),
                        rng.range(0.6, 2.6),
                        rng.range(0.6, 2.6),
                        rng.range(-32.0, -9.0),
                    ]
                })
                .collect(),
            distractors: draw_distractors(rng, half_angle, depth),
            dropouts: draw_dropouts(rng),
            wobble: rng.range(0.0, 0.09),
            field: Field::new(rng, rng_density(depth)),
            near: rng.range(0.0, 0.5),
            focus: rng.range(4.0, 12.0),
        }
    }

    /// The mean levels of blood and of the outside, for tests and reports, dB against the myocardium.
    pub fn blood_db(&self) -> f32 {
        self.levels[0]
    }

    /// Hides as little, as usual or as much of the ventricle as a quality says.
    pub(crate) fn set_quality(&mut self, rng: &mut Draw, quality: Quality) {
        match quality {
            Quality::Good => {
                self.soften(0.35);
                self.set_blood(rng.range(28.0, 46.0));
                self.gain_db = self.gain_db.clamp(3.0, 13.0);
                self.noise_db = self.noise_db.min(-62.0);
                self.half_angle = self.half_angle.max(36f32.to_radians());
            }
            Quality::Fair => self.soften(0.8),
            Quality::Poor => self.spoil(rng),
        }
    }

    /// Less than usual of what hides the ventricle, for a cine of good quality.
    pub fn soften(&mut self, keep: f32) {
        for shadow in &mut self.shadows {
            shadow[2] *= keep;
        }
        for drop in &mut self.dropouts {
            drop.depth_db *= keep;
        }
        for haze in &mut self.haze {
            haze[4] -= 12.0 * (1.0 - keep);
        }
        self.clutter[0] -= 14.0 * (1.0 - keep);
        self.side_lobes[0] -= 10.0 * (1.0 - keep);
        let distractors = self.distractors.len() as f32 * keep;
        self.distractors.truncate(distractors as usize);
    }

    /// Makes the ventricle unreadable: haze as bright as the wall, long dropouts, shadows from both sides.
    pub(crate) fn spoil(&mut self, rng: &mut Draw) {
        self.set_blood(rng.range(3.0, 9.0));
        self.noise_db = self.noise_db.max(-20.0);
        for left in [true, false] {
            self.dropouts.push(Dropout {
                left,
                centre: rng.range(0.3, 0.7),
                extent: rng.range(0.5, 0.8),
                depth_db: -rng.range(16.0, 26.0),
            });
            let side = if left { -1.0 } else { 1.0 };
            self.shadows
                .push([side, rng.range(0.3, 0.6), rng.range(14.0, 34.0), 1.0]);
        }
        for _ in 0..4 {
            let place = [rng.range(-0.5, 0.5), rng.range(0.2, 0.7)];
            let size = [rng.range(1.0, 2.5), rng.range(1.0, 2.5)];
            self.haze
                .push([place[0], place[1], size[0], size[1], rng.range(-8.0, 0.0)]);
        }
    }

    /// Sets the contrast between blood and muscle, dB below the myocardium.
    pub fn set_blood(&mut self, db: f32) {
        self.levels[0] = -db.abs();
    }
}

/// Scatterer cells per centimetre: about two to a resolution cell at any depth.
fn rng_density(depth: f32) -> f32 {
    (420.0 / depth).clamp(20.0, 45.0)
}

fn draw_shadows(rng: &mut Draw) -> Vec<[f32; 4]> {
    let mut shadows = Vec::new();
    // Ribs and lung come in from the sides.
    for side in [-1.0, 1.0] {
        if rng.chance(0.25) {
            let half = rng.range(0.05, 0.4);
            shadows.push([side, half, rng.range(6.0, 34.0), rng.range(0.3, 3.0)]);
        }
    }
    if rng.chance(0.2) {
        shadows.push([
            rng.range(-0.8, 0.8),
            rng.range(0.02, 0.12),
            rng.range(3.0, 16.0),
            rng.range(0.5, 5.0),
        ]);
    }
    shadows
}

fn draw_dropouts(rng: &mut Draw) -> Vec<Dropout> {
    (0..rng.index(5))
        .map(|_| Dropout {
            // The lateral wall runs along the beam and drops out more often.
            left: rng.chance(0.35),
            centre: rng.range(0.0, 1.0),
            extent: rng.range(0.08, 0.38),
            depth_db: -rng.range(3.0, 26.0),
        })
        .collect()
}

fn draw_distractors(rng: &mut Draw, half_angle: f32, depth: f32) -> Vec<Cord> {
    let mut cords = Vec::new();
    for _ in 0..rng.index(5) {
        let angle = rng.range(-half_angle, half_angle);
        let range = rng.range(0.15, 1.0) * depth;
        let (x, y) = (range * angle.sin(), range * angle.cos());
        let lean = rng.range(-1.0, 1.0);
        let length = rng.range(0.2, 2.2);
        cords.push(Cord {
            from: [x, y],
            to: [x + length * lean.cos(), y + length * lean.sin()],
            radius: rng.range(0.05, 0.35),
            level_db: rng.range(-18.0, 8.0),
        });
    }
    cords
}
