//! Which parameter values may be trained on and which are held out.
//!
//! Every axis of appearance and physiology that has a held-out shell is declared here, once; the generators draw
//! through [`Axis::draw`] and in no other way, so a test over this table proves what training can never see.

use crate::rng::Draw;

/// Which part of the phantom a sample belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Styles A and B, the training ranges.
    Train,
    /// As [`Split::Train`], other seeds.
    Validation,
    /// Styles C and D, and the held-out shells.
    HeldOut,
}

impl Split {
    /// The word that separates the seeds of one split from another's.
    pub(crate) const fn tag(self) -> u64 {
        match self {
            Self::Train => 0x7472_6169_6e00_0001,
            Self::Validation => 0x7661_6c69_6400_0002,
            Self::HeldOut => 0x6865_6c64_0000_0003,
        }
    }
}

/// A closed interval of one parameter, in the axis's own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The lower end.
    pub lo: f32,
    /// The upper end.
    pub hi: f32,
}

impl Span {
    const fn new(lo: f32, hi: f32) -> Self {
        Self { lo, hi }
    }

    /// Whether `value` lies inside, ends included.
    pub fn contains(self, value: f32) -> bool {
        (self.lo..=self.hi).contains(&value)
    }
}

/// One parameter with its training range and its held-out shells, which touch but never overlap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    /// The parameter and its unit.
    pub name: &'static str,
    /// What training may draw.
    pub train: Span,
    /// What only the held-out split may draw.
    pub held: &'static [Span],
}

/// How often a held-out sample takes a held-out shell on one axis: more than half of the axes at once, so that a
/// held-out image is unlike training in several ways together.
const HELD_SHARE: f32 = 0.6;

impl Axis {
    /// Draws a value for `split`.
    pub fn draw(&self, rng: &mut Draw, split: Split) -> f32 {
        let shell = rng.chance(HELD_SHARE);
        let pick = rng.index(self.held.len().max(1));
        match (split, self.held.get(pick)) {
            (Split::HeldOut, Some(span)) if shell => rng.range(span.lo, span.hi),
            _ => rng.range(self.train.lo, self.train.hi),
        }
    }

    /// Draws a training value, whatever the split: for the demo's cines of the styles A and B.
    pub fn draw_common(&self, rng: &mut Draw) -> f32 {
        rng.range(self.train.lo, self.train.hi)
    }
}

/// Half of the sector's opening angle.
pub const HALF_ANGLE_DEG: Axis = Axis {
    name: "half-angle (degrees)",
    train: Span::new(31.0, 46.0),
    held: &[Span::new(30.0, 31.0), Span::new(46.0, 50.0)],
};
/// Lateral width of the point-spread function (standard deviation).
pub const LATERAL_PSF_DEG: Axis = Axis {
    name: "lateral PSF (degrees)",
    train: Span::new(0.45, 1.5),
    held: &[Span::new(1.5, 2.1)],
};
/// Axial width of the point-spread function (standard deviation).
pub const AXIAL_PSF_CM: Axis = Axis {
    name: "axial PSF (cm)",
    train: Span::new(0.025, 0.075),
    held: &[Span::new(0.075, 0.10)],
};
/// What the display's grey scale spans.
pub const DYNAMIC_RANGE_DB: Axis = Axis {
    name: "dynamic range (dB)",
    train: Span::new(46.0, 66.0),
    held: &[Span::new(40.0, 46.0), Span::new(66.0, 72.0)],
};
/// The display's gamma.
pub const GAMMA: Axis = Axis {
    name: "gamma",
    train: Span::new(0.7, 1.5),
    held: &[Span::new(0.55, 0.7), Span::new(1.5, 1.9)],
};
/// Loss of sensitivity at the sector's edges.
pub const EDGE_DROP_DB: Axis = Axis {
    name: "edge drop (dB)",
    train: Span::new(0.0, 14.0),
    held: &[Span::new(14.0, 20.0)],
};
/// Electronic noise under the myocardium's level.
pub const NOISE_DB: Axis = Axis {
    name: "noise (dB)",
    train: Span::new(-82.0, -50.0),
    held: &[Span::new(-50.0, -45.0)],
};
/// Strength of an S-shaped grey curve; training has none.
pub const S_CURVE: Axis = Axis {
    name: "S-curve",
    train: Span::new(0.0, 0.0),
    held: &[Span::new(0.5, 1.0)],
};
/// Receive gain.
pub const GAIN_OFFSET_DB: Axis = Axis {
    name: "gain offset (dB)",
    train: Span::new(0.0, 26.0),
    held: &[Span::new(-4.0, 0.0), Span::new(26.0, 30.0)],
};
/// True ejection fraction of the case.
pub const LVEF_PERCENT: Axis = Axis {
    name: "LVEF (percent)",
    train: Span::new(20.0, 75.0),
    held: &[Span::new(15.0, 20.0)],
};
/// The image's depth.
pub const DEPTH_CM: Axis = Axis {
    name: "depth (cm)",
    train: Span::new(10.0, 18.0),
    held: &[Span::new(18.0, 20.0)],
};
/// Heart rate.
pub const HEART_RATE: Axis = Axis {
    name: "heart rate (/min)",
    train: Span::new(50.0, 100.0),
    held: &[Span::new(100.0, 110.0)],
};
/// Foreshortening: the angle between the image plane and the long axis.
pub const TILT_DEG: Axis = Axis {
    name: "tilt (degrees)",
    train: Span::new(0.0, 15.0),
    held: &[Span::new(15.0, 25.0)],
};

/// Every axis that has a held-out shell.
pub const AXES: [&Axis; 13] = [
    &HALF_ANGLE_DEG,
    &LATERAL_PSF_DEG,
    &AXIAL_PSF_CM,
    &DYNAMIC_RANGE_DB,
    &GAMMA,
    &EDGE_DROP_DB,
    &NOISE_DB,
    &S_CURVE,
    &GAIN_OFFSET_DB,
    &LVEF_PERCENT,
    &DEPTH_CM,
    &HEART_RATE,
    &TILT_DEG,
];
