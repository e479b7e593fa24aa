//! The golden check: another way to run a network is taken only where it gives, on images that are always the same, what
//! single precision gives.

/// Mean difference of probabilities that is still agreement.
const MEAN_MAX: f64 = 0.002;

/// Share of pixels that may come to lie on the other side of one half: on a grid of 112 x 112, 12 pixels, which is half
/// a percent of a ventricle's usual area.
const CROSSED_MAX: f64 = 0.001;

/// Radii of the golden images' cavities, as shares of the side: ventricles from end systole to end diastole.
const CAVITIES: [f64; 4] = [0.08, 0.12, 0.16, 0.2];

/// Whether probabilities agree with those of single precision, all of them being numbers.
pub(super) fn agrees(reference: &[f32], other: &[f32]) -> bool {
    if reference.len() != other.len() || other.iter().any(|p| !p.is_finite()) {
        return false;
    }
    let pairs = || reference.iter().zip(other);
    let sum: f64 = pairs().map(|(a, b)| f64::from((a - b).abs())).sum();
    let crossed = pairs().filter(|(a, b)| (**a > 0.5) != (**b > 0.5)).count();
    let count = reference.len().max(1) as f64;
    sum / count <= MEAN_MAX && crossed as f64 / count <= CROSSED_MAX
}

/// The golden images, luma of `[side, side]` each: a sector of tissue with a bright wall around a dark cavity, once for each
/// size of it.
pub(super) fn images(side: usize) -> Vec<Vec<f32>> {
    CAVITIES
        .iter()
        .map(|radius| {
            (0..side * side)
                .map(|at| {
                    let place = |i: usize| (i as f64 + 0.5) / side as f64;
                    luma(place(at % side), place(at / side), *radius)
                })
                .collect()
        })
        .collect()
}

/// Luma at a place of the unit square, apex up.
fn luma(x: f64, y: f64, radius: f64) -> f32 {
    let (dx, dy) = (x - 0.5, y - 0.02);
    if dx.abs() > dy * 0.8 || dx.hypot(dy) > 0.95 {
        return 0.0;
    }
    // Speckle that is the same everywhere: two waves of no common period.
    let speckle = 1.0 + 0.3 * (x * 181.0).sin() * (y * 157.0 + x * 23.0).sin();
    let long = 2.0 * radius;
    let ventricle = (dx / radius).hypot((y - 0.38) / long);
    let atrium = (dx / (0.9 * radius)).hypot((y - 0.42 - long - radius) / (0.9 * radius));
    let tissue = if ventricle < 1.0 || atrium < 1.0 {
        14.0
    } else if ventricle < 1.35 || atrium < 1.2 {
        150.0
    } else {
        70.0
    };
    (tissue * speckle) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_is_in_the_mean_and_at_the_outline() {
        let reference: Vec<f32> = (0..10_000).map(|i| (i % 100) as f32 / 100.0).collect();
        let shifted = |by: f32| reference.iter().map(|p| p + by).collect::<Vec<_>>();
        assert!(agrees(&reference, &reference));
        assert!(agrees(&reference, &shifted(-0.001)));
        assert!(!agrees(&reference, &shifted(0.003)), "the mean");
        let mut outline = reference.clone();
        for p in outline.iter_mut().skip(50).step_by(100).take(11) {
            *p = 0.52;
        }
        assert!(!agrees(&reference, &outline), "pixels that cross");
        outline[50] = f32::NAN;
        assert!(!agrees(&reference, &outline), "no number");
        assert!(!agrees(&reference, &reference[1..]));
    }
}
