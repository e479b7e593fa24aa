//! Where the mitral annulus crosses a ventricle's outline.

use super::grid::Grid;
use super::outline::Outline;
use super::ventricle::distance;

/// Grid pixels that a contour point looks outwards for the atrium.
const CONTACT_REACH: [f64; 3] = [1.0, 2.0, 3.0];

/// Share of the long axis, from its basal end, in which the hinges are looked for where no atrium is seen.
const BASAL_SHARE: f64 = 0.08;

/// Tenths of the annulus at each of its ends that belong to a corner.
const CORNER_TENTHS: usize = 2;

/// Share of the outline over which the atrium has to touch the ventricle to count as its base.
const BASE_SHARE_MIN: f64 = 0.04;
/// The outline's points from one index onwards to another.
pub(super) fn way(outline: &Outline, from: usize, to: usize) -> Vec<[f64; 2]> {
    let count = outline.points.len();
    let steps = (to + count - from) % count;
    (0..=steps)
        .filter_map(|step| outline.points.get((from + step) % count).copied())
        .collect()
}

/// The ends of a stretch, moved onto the straight line that fits its middle best.
pub(super) fn straight_ends(stretch: &[[f64; 2]]) -> Option<[[f64; 2]; 2]> {
    let (first, last) = (*stretch.first()?, *stretch.last()?);
    let cut = stretch.len() * CORNER_TENTHS / 10;
    let middle = stretch.get(cut..stretch.len() - cut)?;
    let (mut x, mut y, mut total) = (0.0, 0.0, 0.0);
    for pair in middle.windows(2) {
        let weight = distance(pair[0], pair[1]);
        x += weight * f64::midpoint(pair[0][0], pair[1][0]);
        y += weight * f64::midpoint(pair[0][1], pair[1][1]);
        total += weight;
    }
    if total <= 0.0 {
        return Some([first, last]);
    }
    let centre = [x / total, y / total];
    // The ends' own direction is steadier than that of a fit over a short stretch.
    let along = distance(first, last).max(f64::EPSILON);
    let direction = [(last[0] - first[0]) / along, (last[1] - first[1]) / along];
    let onto = |point: [f64; 2]| {
        let t = (point[0] - centre[0]) * direction[0] + (point[1] - centre[1]) * direction[1];
        [centre[0] + t * direction[0], centre[1] + t * direction[1]]
    };
    Some([onto(first), onto(last)])
}

/// The ends of the annulus, where cavity and atrium meet: those of the longest stretch of the outline that looks
/// outwards onto the atrium. None where the atrium hardly touches it.
pub(super) fn annulus(outline: &Outline, atrium: &Grid, others: [&Grid; 2]) -> Option<[usize; 2]> {
    let count = outline.points.len();
    let centre = outline.centroid();
    let touches: Vec<bool> = (0..count)
        .map(|i| {
            let (before, at, after) = (
                outline.points[(i + count - 2) % count],
                outline.points[i],
                outline.points[(i + 2) % count],
            );
            let outward = outward(before, after, at, centre);
            let seen = |map: &Grid| -> f64 {
                CONTACT_REACH
                    .iter()
                    .map(|r| map.sample([at[0] + outward[0] * r, at[1] + outward[1] * r]))
                    .sum()
            };
            let atrium = seen(atrium);
            atrium > 0.5 && atrium > others.into_iter().map(seen).sum::<f64>()
        })
        .collect();
    let (first, length) = longest_run(&touches, count / 40 + 1)?;
    (length >= 2 && length < count * 3 / 4 && length as f64 >= BASE_SHARE_MIN * count as f64)
        .then(|| [first, (first + length - 1) % count])
}

/// The unit normal of the line through `before` and `after` that points away from the centre at `at`.
fn outward(before: [f64; 2], after: [f64; 2], at: [f64; 2], centre: [f64; 2]) -> [f64; 2] {
    let (dx, dy) = (after[0] - before[0], after[1] - before[1]);
    let length = distance(before, after).max(f64::EPSILON);
    let normal = [dy / length, -dx / length];
    let side = normal[0] * (at[0] - centre[0]) + normal[1] * (at[1] - centre[1]);
    if side < 0.0 {
        [-normal[0], -normal[1]]
    } else {
        normal
    }
}

/// First index and length of the longest cyclic run of true, bridging gaps of at most `gap`.
fn longest_run(flags: &[bool], gap: usize) -> Option<(usize, usize)> {
    let count = flags.len();
    let start =
        (0..count).find(|i| flags[*i] && (1..=gap).all(|g| !flags[(i + count - g) % count]));
    let Some(start) = start else {
        return flags.iter().any(|flag| *flag).then_some((0, count));
    };
    let mut best = (start, 0);
    let mut from = start;
    let mut last = start;
    for step in 0..count {
        let at = start + step;
        if !flags[at % count] {
            continue;
        }
        if at - last > gap + 1 {
            from = at;
        }
        last = at;
        if at - from + 1 > best.1 {
            best = (from % count, at - from + 1);
        }
    }
    Some(best)
}

/// The hinges where no atrium is seen: the outermost points of the deeper end of the principal axis.
pub(super) fn basal_end(outline: &Outline) -> Option<[usize; 2]> {
    let axis = principal_axis(outline);
    // Towards depth: in apical views the base lies away from the probe.
    let axis = if axis[1] < 0.0 {
        [-axis[0], -axis[1]]
    } else {
        axis
    };
    let along = |p: &[f64; 2]| p[0] * axis[0] + p[1] * axis[1];
    let across = |p: &[f64; 2]| p[1] * axis[0] - p[0] * axis[1];
    let (low, high) = outline
        .points
        .iter()
        .map(along)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    let basal: Vec<usize> = (0..outline.points.len())
        .filter(|i| along(&outline.points[*i]) > high - BASAL_SHARE * (high - low))
        .collect();
    let by =
        |a: &usize, b: &usize| across(&outline.points[*a]).total_cmp(&across(&outline.points[*b]));
    let (one, other) = (
        *basal.iter().min_by(|a, b| by(a, b))?,
        *basal.iter().max_by(|a, b| by(a, b))?,
    );
    let count = outline.points.len();
    // The annulus is the shorter way round between the two.
    let way = (other + count - one) % count;
    Some(if way <= count / 2 {
        [one, other]
    } else {
        [other, one]
    })
}

/// Unit vector of the largest second moment of the polygon's corners, weighted by the length of their edges.
fn principal_axis(outline: &Outline) -> [f64; 2] {
    let centre = outline.centroid();
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in outline.edges() {
        let weight = distance(a, b);
        let (x, y) = (
            f64::midpoint(a[0], b[0]) - centre[0],
            f64::midpoint(a[1], b[1]) - centre[1],
        );
        xx += weight * x * x;
        xy += weight * x * y;
        yy += weight * y * y;
    }
    let angle = (2.0 * xy).atan2(xx - yy) / 2.0;
    [angle.cos(), angle.sin()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_cyclic_and_bridge_small_gaps() {
        let flags = |text: &str| text.bytes().map(|b| b == b'1').collect::<Vec<_>>();
        assert_eq!(longest_run(&flags("0011011000"), 1), Some((2, 5)));
        assert_eq!(longest_run(&flags("1100000011"), 1), Some((8, 4)));
        assert_eq!(longest_run(&flags("0100001110"), 1), Some((6, 3)));
        assert_eq!(longest_run(&flags("0000"), 1), None);
        assert_eq!(longest_run(&flags("1111"), 1), Some((0, 4)));
    }
}
