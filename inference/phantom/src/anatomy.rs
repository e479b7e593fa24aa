//! One heart: a three-dimensional left ventricle with known volumes, and what surrounds it in an apical view.
//!
//! The ventricle is a truncated ellipsoid (superellipse profile, facts as in the usual prolate models): its width at a
//! fraction `s` of its axis, apex to annulus, is `R f(s)` to either side, its depth across the image plane `R q f(s)`.

use crate::ranges::{self, Split};
use crate::rng::Draw;

/// The views that the phantom's heart can be seen in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// Apical four-chamber.
    A4c,
    /// Apical two-chamber.
    A2c,
}

/// A segment of the wall that doesn't contract.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Akinesia {
    /// The side of the image it lies on: true for the left one.
    pub left: bool,
    /// Its centre along the axis, 0 apex to 1 annulus.
    pub centre: f32,
    /// Its half-extent along the axis.
    pub extent: f32,
}

/// A bright or dark lump that doesn't belong to the ventricle's outline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lump {
    /// Along the axis, 0 apex to 1 annulus.
    pub along: f32,
    /// Left (-1) or right (1) wall.
    pub side: f32,
    /// Radius in cm.
    pub radius: f32,
    /// How far it stands out of the wall, in radii.
    pub stand: f32,
    /// Echo level in dB against the myocardium.
    pub level_db: f32,
}

/// One heart, fixed over the cycle. Lengths in cm, volumes in ml.
#[derive(Clone, Debug)]
pub struct Heart {
    /// End-diastolic volume.
    pub edv_ml: f32,
    /// End-systolic volume.
    pub esv_ml: f32,
    /// End-diastolic length of the cavity.
    pub length: f32,
    /// Truncation: which part of the full ellipsoid's axis is there.
    pub tau: f32,
    /// Exponent of the superellipse.
    pub power: f32,
    /// Depth across the four-chamber plane over width in it.
    pub ovality: f32,
    /// Left half-width over right, minus one, halved.
    pub asymmetry: f32,
    /// Bow of the axis in parts of the length.
    pub banana: f32,
    /// End-diastolic wall.
    pub wall: f32,
    /// Shortening of the axis at end systole.
    pub mapse: f32,
    /// A segment that doesn't contract.
    pub akinesia: Option<Akinesia>,
    /// Widest right ventricle, 0 for none in this view.
    pub rv_width: f32,
    /// Where the right ventricle begins, as a fraction of the length.
    pub rv_start: f32,
    /// Right ventricular free wall.
    pub rv_wall: f32,
    /// How much more apical the tricuspid annulus lies.
    pub tv_offset: f32,
    /// Left atrium: half-width as a part of the annulus's.
    pub la_width: f32,
    /// Left atrium: length.
    pub la_length: f32,
    /// Right atrium: width and length.
    pub ra: [f32; 2],
    /// Exponent and neck of the atria's outline.
    pub atrium_shape: [f32; 2],
    /// Interatrial septum.
    pub ias: f32,
    /// Leaflets: length of the left and right one over the annulus, tenting depth in cm, thickness in cm.
    pub leaflets: [f32; 4],
    /// Papillary muscles and trabeculae.
    pub lumps: Vec<Lump>,
    /// Whether a moderator band crosses the right ventricle, and where along the axis.
    pub moderator: Option<f32>,
}

/// What a case's size may be.
#[derive(Clone, Copy, Debug)]
pub struct SizeLaw {
    /// End-diastolic volume, log-uniform, ml.
    pub edv_ml: (f32, f32),
    /// The ejection fraction in percent.
    pub lvef_percent: f32,
}

/// The profile at `s` for truncation `tau`: 1 at the widest level, 0 outside.
pub(crate) fn profile(s: f32, tau: f32, power: f32) -> f32 {
    let a = 0.5 / tau;
    let u = ((s - a) / a).abs();
    if u >= 1.0 {
        0.0
    } else {
        (1.0 - u.powf(power)).powf(1.0 / power)
    }
}

/// Disks that the volume integral uses.
const DISKS: usize = 200;

impl Heart {
    /// Draws a heart for one view.
    pub fn draw(rng: &mut Draw, law: SizeLaw, view: View) -> Self {
        let edv_ml = rng.log_range(law.edv_ml.0, law.edv_ml.1);
        let ef = law.lvef_percent / 100.0;
        let mut heart = Self {
            edv_ml,
            esv_ml: edv_ml * (1.0 - ef),
            length: 8.0,
            tau: rng.range(0.62, 0.85),
            power: rng.range(1.75, 2.5),
            ovality: rng.range(0.94, 1.06),
            asymmetry: rng.range(-0.10, 0.10),
            banana: rng.range(-0.035, 0.035),
            wall: rng.range(0.65, 1.35),
            mapse: 1.0,
            akinesia: None,
            rv_width: 0.0,
            rv_start: rng.range(0.12, 0.38),
            rv_wall: rng.range(0.3, 0.6),
            tv_offset: rng.range(0.1, 0.8),
            la_width: rng.range(1.0, 1.55),
            la_length: rng.range(2.8, 6.0),
            ra: [rng.range(2.6, 4.8), rng.range(2.8, 5.5)],
            atrium_shape: [rng.range(1.9, 3.2), rng.range(1.55, 1.85)],
            ias: rng.range(0.15, 0.4),
            leaflets: [
                rng.range(0.50, 0.75),
                rng.range(0.38, 0.58),
                rng.range(0.1, 0.9),
                rng.range(0.12, 0.32),
            ],
            lumps: Vec::new(),
            moderator: None,
        };
        if rng.chance(0.10) {
            heart.akinesia = Some(Akinesia {
                left: rng.chance(0.5),
                centre: rng.range(0.25, 0.75),
                extent: rng.range(0.15, 0.35),
            });
        }
        heart.fit_length(rng);
        // Long-axis shortening follows the ejection fraction, with the spread that patients have.
        heart.mapse = (heart.length * (0.03 + 0.20 * ef) * rng.range(0.75, 1.25)).clamp(0.4, 1.8);
        if view == View::A4c {
            heart.rv_width = rng.range(2.0, 4.6);
            heart.moderator = rng.chance(0.5).then(|| rng.range(0.3, 0.6));
        }
        heart.lumps = draw_lumps(rng);
        heart
    }

    /// A length that gives the ventricle a human width: 3.4 to 6.9 cm and at most 0.76 of the length.
    fn fit_length(&mut self, rng: &mut Draw) {
        let scale = (self.edv_ml / 120.0).cbrt();
        for attempt in 0..60u8 {
            let spread = if attempt < 50 {
                rng.range(7.0, 10.0)
            } else {
                9.5
            };
            self.length = (spread * scale).clamp(5.8, 10.2);
            let width = 2.0 * self.radius(self.edv_ml, self.length);
            if (3.2..=6.9).contains(&width) && width <= 0.76 * self.length {
                return;
            }
        }
    }

    /// `R` for a volume and a length, without akinesia.
    fn radius(&self, volume: f32, length: f32) -> f32 {
        let mean: f32 = (0..DISKS)
            .map(|k| profile((k as f32 + 0.5) / DISKS as f32, self.tau, self.power).powi(2))
            .sum::<f32>()
            / DISKS as f32;
        (volume / (std::f32::consts::PI * mean * self.ovality * length)).sqrt()
    }

    /// The end-diastolic `R`.
    pub fn radius_ed(&self) -> f32 {
        self.radius(self.edv_ml, self.length)
    }

    /// The volume at a contraction of 0 (end diastole) to 1 (end systole), ml.
    pub fn volume(&self, contraction: f32) -> f32 {
        self.edv_ml - (self.edv_ml - self.esv_ml) * contraction
    }

    /// Where the wall doesn't move: 1 within the akinetic segment, 0 away from it.
    pub(crate) fn akinetic(&self, s: f32, left: bool) -> f32 {
        match self.akinesia {
            Some(a) if a.left == left => {
                let u = ((s - a.centre) / a.extent).abs();
                if u < 1.0 {
                    0.9 * (0.5 + 0.5 * (std::f32::consts::PI * u).cos())
                } else {
                    0.0
                }
            }
            _ => 0.0,
        }
    }

    /// The ventricle at a contraction.
    pub fn at(&self, contraction: f32) -> Ventricle<'_> {
        let length = self.length - self.mapse * contraction;
        let volume = self.volume(contraction);
        let radius_ed = self.radius_ed();
        // V = pi/4 L sum (R A + R_ed B)(2 R q f): a quadratic in R once the akinetic part is held at its ED width.
        let (mut alpha, mut beta) = (0.0, 0.0);
        for k in 0..DISKS {
            let s = (k as f32 + 0.5) / DISKS as f32;
            let f = profile(s, self.tau, self.power);
            let still = self.akinetic(s, true) * (1.0 + self.asymmetry)
                + self.akinetic(s, false) * (1.0 - self.asymmetry);
            alpha += f * f * (2.0 - still);
            beta += f * f * still * radius_ed;
        }
        let scale = std::f32::consts::FRAC_PI_4 * length * 2.0 * self.ovality / DISKS as f32;
        let (alpha, beta) = (alpha * scale, beta * scale);
        let radius = (-beta + (beta * beta + 4.0 * alpha * volume).sqrt()) / (2.0 * alpha);
        // The wall keeps its volume: its ring's area x length is constant.
        let ring = ((radius_ed + self.wall).powi(2) - radius_ed.powi(2)) * self.length;
        let wall = (radius * radius + ring / length).sqrt() - radius;
        Ventricle {
            heart: self,
            contraction,
            length,
            radius,
            radius_ed,
            wall,
            volume,
        }
    }
}

/// The left ventricle at one instant.
#[derive(Clone, Copy, Debug)]
pub struct Ventricle<'a> {
    /// Whose it is.
    pub heart: &'a Heart,
    /// 0 end diastole, 1 end systole.
    pub contraction: f32,
    /// Length of the cavity, cm.
    pub length: f32,
    /// Radius at the widest level, cm.
    pub radius: f32,
    /// The same at end diastole.
    pub radius_ed: f32,
    /// Thickness of the wall, cm.
    pub wall: f32,
    /// Volume of the cavity, ml.
    pub volume: f32,
}

impl Ventricle<'_> {
    /// Half-width of the cavity at `s`, to one side, cm.
    pub fn half_width(&self, s: f32, left: bool) -> f32 {
        let h = self.heart;
        let still = h.akinetic(s, left);
        let side = if left {
            1.0 + h.asymmetry
        } else {
            1.0 - h.asymmetry
        };
        let radius = self.radius * (1.0 - still) + self.radius_ed * still;
        profile(s, h.tau, h.power) * side * radius
    }

    /// Half of the cavity's extent across the four-chamber plane at `s`, cm.
    pub fn half_depth(&self, s: f32) -> f32 {
        profile(s, self.heart.tau, self.heart.power) * self.radius * self.heart.ovality
    }

    /// Half-width of the outer surface at a fraction `s` of the outer length, cm.
    pub fn outer_half_width(&self, s: f32, left: bool) -> f32 {
        let h = self.heart;
        let thin = 1.0 - 0.35 * h.akinetic(s, left);
        let side = if left {
            1.0 + h.asymmetry
        } else {
            1.0 - h.asymmetry
        };
        let still = h.akinetic(s, left);
        let radius = self.radius * (1.0 - still) + self.radius_ed * still;
        profile(s, h.tau, h.power) * (side * radius + self.wall * thin)
    }
}

fn draw_lumps(rng: &mut Draw) -> Vec<Lump> {
    let mut lumps = Vec::new();
    for side in [-1.0, 1.0] {
        // The anterolateral papillary muscle shows on the right more often than the other one on the left.
        if rng.chance(if side > 0.0 { 0.55 } else { 0.15 }) {
            let along = rng.range(0.4, 0.6);
            for k in 0..3u8 {
                lumps.push(Lump {
                    along: along + f32::from(k) * 0.05,
                    side,
                    radius: rng.range(0.25, 0.5),
                    stand: rng.range(0.2, 0.8),
                    level_db: rng.range(-8.0, 2.0),
                });
            }
        }
    }
    for _ in 0..rng.index(11) {
        lumps.push(Lump {
            along: rng.range(0.03, 0.45),
            side: rng.sign(),
            radius: rng.range(0.1, 0.28),
            stand: rng.range(-0.2, 0.8),
            level_db: rng.range(-14.0, 0.0),
        });
    }
    lumps
}

/// Where the heart lies in the image.
#[derive(Clone, Copy, Debug)]
pub struct Pose {
    /// The apparent apex at end diastole: lateral offset and depth, cm.
    pub apex: [f32; 2],
    /// Rotation within the image, radians.
    pub rotation: f32,
    /// Foreshortening: the plane's angle to the long axis, radians.
    pub tilt: f32,
}

impl Pose {
    /// Draws a pose for an apical view.
    pub fn draw(rng: &mut Draw, split: Split) -> Self {
        let rotation = (rng.normal() * 9.0).clamp(-25.0, 25.0);
        let tilt = match split {
            Split::HeldOut if rng.chance(0.25) => ranges::TILT_DEG.draw(rng, split),
            _ => (rng.normal() * 8.0).abs().min(ranges::TILT_DEG.train.hi),
        };
        let depth = rng.range(1.3, 4.5).min(rng.range(1.3, 5.5));
        // The apex stays roughly under the probe; a rotated heart starts further to the side it leans away from.
        let lateral = rng.normal() * 0.25 * depth.min(2.5)
            - rotation.to_radians().sin() * rng.range(0.0, 3.0);
        Self {
            apex: [lateral, depth],
            rotation: rotation.to_radians(),
            tilt: tilt.to_radians(),
        }
    }
}
