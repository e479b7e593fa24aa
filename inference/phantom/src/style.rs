//! Four synthetic device styles. None copies a vendor's screen; each stands for a family of looks.

use crate::ranges::Split;
use crate::rng::Draw;

/// How a device draws its screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// Blue-grey map, ECG strip, grey bar at the right.
    A,
    /// Sepia map, text at the top, depth ticks.
    B,
    /// Persistence and a left-right flip. Held out.
    C,
    /// Monochrome and of low resolution. Held out.
    D,
}

impl Style {
    /// All four.
    pub const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];

    /// A and B for training and validation, C and D held out.
    pub fn draw(rng: &mut Draw, split: Split) -> Self {
        let first = rng.chance(0.5);
        match (split, first) {
            (Split::HeldOut, true) => Self::C,
            (Split::HeldOut, false) => Self::D,
            (_, true) => Self::A,
            (_, false) => Self::B,
        }
    }
}
