//! The ventricle of one frame: hinges of the mitral annulus, apex, long axis, method of disks.

use std::f64::consts::PI;

use super::annulus::{annulus, basal_end, straight_ends, way};
use super::grid::{Grid, Placement};
use super::outline::Outline;

/// Number of disks (Lang 2015, JASE 28:1).
pub const DISKS: usize = 20;

/// The ventricle of one frame. Lengths are in centimetres where the clip is calibrated, else in widths of a pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct Ventricle {
    /// The cavity's outline, in the unit of length, the crop's upper left corner being (0, 0); its first and last
    /// points are the hinges of the mitral annulus.
    pub outline: Outline,
    /// The point farthest from the annulus.
    pub apex: [f64; 2],
    /// The middle between the hinges.
    pub base: [f64; 2],
    /// Whether the hinges were found where ventricle and atrium meet, and not from the outline alone.
    pub annulus_seen: bool,
    /// The whole border of the cavity on the map, past the hinges too.
    pub border: Outline,
    /// Share of everything that was mapped as cavity which lies inside the outline's region, 0 to 1.
    pub region_share: f64,
}

impl Ventricle {
    /// Reads the ventricle from the maps of one frame: cavity, atrium, and everything else that may border on it.
    ///
    /// None where no region is over one half.
    pub fn find(
        cavity: &Grid,
        atrium: &Grid,
        others: [&Grid; 2],
        placement: &Placement,
    ) -> Option<Self> {
        let (part, corner) = cavity.around(0.5)?;
        let region = part.largest_region(0.5);
        let [left, top] = corner.map(|corner| corner as f64);
        let outline = Outline::around(&region, 0.5)?.map(|p| [p[0] + left, p[1] + top]);
        let on_grid = annulus(&outline, atrium, others);
        let lengths = outline.map(|point| placement.to_length(*point));
        let (annulus_seen, [first, last]) = match on_grid {
            Some(ends) => (true, ends),
            None => (false, basal_end(&lengths)?),
        };
        let mut ventricle = Self::with_annulus(&lengths, first, last, annulus_seen)?;
        ventricle.region_share = region.count_over(0.5) as f64 / part.count_over(0.5).max(1) as f64;
        Some(ventricle)
    }

    /// A ventricle whose annulus is known: it runs from the outline's point `first` onwards to `last`, and the apex
    /// lies on the other way.
    fn with_annulus(
        outline: &Outline,
        first: usize,
        last: usize,
        annulus_seen: bool,
    ) -> Option<Self> {
        let annulus = way(outline, first, last);
        if annulus.len() < 2 {
            return None;
        }
        // A map rounds corners off, so the annulus seems to begin a little way up the walls. Its line doesn't.
        let hinges = straight_ends(&annulus)?;
        let walls = way(outline, last, first);
        Self::between_hinges(walls, [hinges[1], hinges[0]], outline.clone(), annulus_seen)
    }

    /// A ventricle whose walls run from close to one hinge to close to the other.
    fn between_hinges(
        mut walls: Vec<[f64; 2]>,
        hinges: [[f64; 2]; 2],
        border: Outline,
        annulus_seen: bool,
    ) -> Option<Self> {
        let count = walls.len();
        if count < 3 {
            return None;
        }
        (walls[0], walls[count - 1]) = (hinges[0], hinges[1]);
        // The hinge on the left comes first, so that contours of several frames run alike.
        if walls[0][0] > walls[count - 1][0] {
            walls.reverse();
        }
        let base = between(hinges[0], hinges[1], 0.5);
        let apex = farthest(&walls, base)?;
        Some(Self {
            outline: Outline { points: walls },
            apex,
            base,
            annulus_seen,
            border,
            region_share: 1.0,
        })
    }

    /// The hinges of the mitral annulus, the one on the left first.
    pub fn hinges(&self) -> [[f64; 2]; 2] {
        let points = &self.outline.points;
        [points[0], points[points.len() - 1]]
    }

    /// The same ventricle with its annulus elsewhere: its walls end where its border comes closest to those hinges.
    pub fn with_hinges(&self, hinges: [[f64; 2]; 2]) -> Option<Self> {
        let places = 0..self.border.points.len();
        let [one, other] = hinges.map(|hinge| {
            let off = |at: &usize| distance(self.border.points[*at], hinge);
            places.clone().min_by(|a, b| off(a).total_cmp(&off(b)))
        });
        let (one, other) = (one?, other?);
        let base = between(hinges[0], hinges[1], 0.5);
        let reach = |walls: &[[f64; 2]]| farthest(walls, base).map_or(0.0, |p| distance(p, base));
        let mut walls = way(&self.border, one, other);
        let mut back = way(&self.border, other, one);
        if reach(&back) > reach(&walls) {
            back.reverse();
            walls = back;
        }
        let moved = Self::between_hinges(walls, hinges, self.border.clone(), self.annulus_seen)?;
        Some(Self {
            region_share: self.region_share,
            ..moved
        })
    }

    /// From the apex to the middle of the annulus.
    pub fn length(&self) -> f64 {
        distance(self.apex, self.base)
    }

    /// Area of the cavity, closed by the line between the hinges.
    pub fn area(&self) -> f64 {
        self.outline.area()
    }

    /// Volume by the method of disks: Σ π (d/2)² L/20 (Lang 2015, JASE 28:1).
    pub fn volume(&self) -> f64 {
        let height = self.length() / DISKS as f64;
        self.diameters()
            .iter()
            .map(|d| PI * d * d / 4.0 * height)
            .sum()
    }

    /// Diameters across the middles of [`DISKS`] equal parts of the long axis, from the annulus on.
    pub fn diameters(&self) -> [f64; DISKS] {
        diameters(&self.outline, self.base, self.apex)
    }

    /// Volume by area and length, 8 A² / (3 π L), as a cross-check.
    pub fn area_length_volume(&self) -> f64 {
        let length = self.length();
        if length > 0.0 {
            8.0 * self.area().powi(2) / (3.0 * PI * length)
        } else {
            0.0
        }
    }

    /// The outline in `count` points spread evenly over its length, hinge to hinge, in the unit of length.
    pub fn contour(&self, count: usize) -> Vec<[f64; 2]> {
        let points = &self.outline.points;
        let total: f64 = points
            .windows(2)
            .map(|pair| distance(pair[0], pair[1]))
            .sum();
        let step = total / count.saturating_sub(1).max(1) as f64;
        let mut contour = vec![points[0]];
        let mut walked = 0.0;
        for pair in points.windows(2) {
            let span = distance(pair[0], pair[1]);
            while contour.len() + 1 < count && walked + span >= step * contour.len() as f64 {
                let part = (step * contour.len() as f64 - walked) / span;
                contour.push(between(pair[0], pair[1], part));
            }
            walked += span;
        }
        contour.push(points[points.len() - 1]);
        contour
    }
}

/// The widths of the outline across the middles of [`DISKS`] equal parts of the long axis, from the base on.
fn diameters(outline: &Outline, base: [f64; 2], apex: [f64; 2]) -> [f64; DISKS] {
    let length = distance(base, apex);
    let mut widths = [0.0; DISKS];
    if length <= 0.0 {
        return widths;
    }
    let axis = [(apex[0] - base[0]) / length, (apex[1] - base[1]) / length];
    let turned = outline.map(|point| {
        let (x, y) = (point[0] - base[0], point[1] - base[1]);
        [x * axis[0] + y * axis[1], y * axis[0] - x * axis[1]]
    });
    for (k, width) in widths.iter_mut().enumerate() {
        *width = width_at(&turned, (k as f64 + 0.5) / DISKS as f64 * length);
    }
    widths
}

/// Total length inside a polygon of the line at one value of the first coordinate.
fn width_at(outline: &Outline, at: f64) -> f64 {
    let mut crossings: Vec<f64> = outline
        .edges()
        .filter(|(a, b)| (a[0] <= at) != (b[0] <= at))
        .map(|(a, b)| between(a, b, (at - a[0]) / (b[0] - a[0]))[1])
        .collect();
    crossings.sort_by(f64::total_cmp);
    crossings
        .chunks_exact(2)
        .map(|pair| pair[1] - pair[0])
        .sum()
}

/// The point that lies farthest from another one.
fn farthest(points: &[[f64; 2]], from: [f64; 2]) -> Option<[f64; 2]> {
    let by = |p: &[f64; 2], q: &[f64; 2]| distance(*p, from).total_cmp(&distance(*q, from));
    points.iter().copied().max_by(by)
}

pub(super) fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    // Not hypot, which guards against overflow, and takes several times as long.
    let (x, y) = (a[0] - b[0], a[1] - b[1]);
    (x * x + y * y).sqrt()
}

pub(super) fn between(a: [f64; 2], b: [f64; 2], part: f64) -> [f64; 2] {
    [a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maps of a half ellipsoid, apex up, turned by `angle`, with an atrium below its flat base; `radii` are
    /// half-width and length in centimetres, `unit` the size of a grid pixel.
    fn half_ellipsoid(radii: [f64; 2], angle: f64, unit: [f64; 2]) -> [Grid; 3] {
        const SIDE: usize = 112;
        let centre = [SIDE as f64 / 2.0 * unit[0], SIDE as f64 / 2.0 * unit[1]];
        let mut maps: [Grid; 3] = std::array::from_fn(|_| Grid::filled(SIDE, SIDE, 0.0));
        for y in 0..SIDE {
            for x in 0..SIDE {
                let mut inside = [0.0_f32; 3];
                // 8 x 8 points a pixel stand for the partial volume that a network's map shows at an edge.
                for i in 0..64 {
                    let sub = [
                        f64::from(i % 8) / 8.0 + 0.0625,
                        f64::from(i / 8) / 8.0 + 0.0625,
                    ];
                    let p = [
                        (x as f64 + sub[0]) * unit[0] - centre[0],
                        (y as f64 + sub[1]) * unit[1] - centre[1],
                    ];
                    let across = p[0] * angle.cos() + p[1] * angle.sin();
                    let up = p[0] * angle.sin() - p[1] * angle.cos();
                    let reach = (across / radii[0]).powi(2) + (up / radii[1]).powi(2);
                    let region = match (reach <= 1.0, up >= 0.0) {
                        (true, true) => 0,
                        (true, false) => 1,
                        (false, _) => 2,
                    };
                    inside[region] += 1.0 / 64.0;
                }
                for (map, share) in maps.iter_mut().zip(inside) {
                    map.values[y * SIDE + x] = share;
                }
            }
        }
        maps
    }

    fn placement(unit: [f64; 2]) -> Placement {
        Placement {
            scale: [1.0, 1.0],
            offset: [0.0, 0.0],
            unit,
        }
    }

    #[test]
    fn a_half_ellipsoid_has_its_volume_within_one_percent() {
        for (angle, unit) in [
            (0.0, [0.14, 0.14]),
            (0.35, [0.14, 0.14]),
            (-0.5, [0.14, 0.14]),
            (0.3, [0.12, 0.18]),
        ] {
            let [cavity, atrium, others] = half_ellipsoid([2.4, 6.5], angle, unit);
            let lv = Ventricle::find(&cavity, &atrium, [&others; 2], &placement(unit)).unwrap();
            let truth = 2.0 / 3.0 * PI * 2.4 * 2.4 * 6.5;
            assert!(lv.annulus_seen);
            assert!(
                (lv.volume() / truth - 1.0).abs() < 0.01,
                "{angle} {}",
                lv.volume() / truth
            );
            assert!(
                (lv.length() / 6.5 - 1.0).abs() < 0.01,
                "{angle} {}",
                lv.length()
            );
            assert!((lv.area_length_volume() / truth - 1.0).abs() < 0.02);
            assert!(lv.apex[1] < lv.base[1]);
            assert!(lv.outline.points[0][0] < lv.outline.points.last().unwrap()[0]);
        }
    }

    #[test]
    fn without_an_atrium_the_deeper_end_is_the_base() {
        let unit = [0.14, 0.14];
        let [cavity, atrium, others] = half_ellipsoid([2.4, 6.5], 0.2, unit);
        let none = Grid::filled(112, 112, 0.0);
        let seen = Ventricle::find(&cavity, &atrium, [&others; 2], &placement(unit)).unwrap();
        let lv = Ventricle::find(&cavity, &none, [&others; 2], &placement(unit)).unwrap();
        assert!(!lv.annulus_seen);
        assert!(
            distance(lv.base, seen.base) < 0.8,
            "{:?} {:?}",
            lv.base,
            seen.base
        );
        assert!((lv.volume() / seen.volume() - 1.0).abs() < 0.1);
        assert!(Ventricle::find(&none, &none, [&none; 2], &placement(unit)).is_none());
    }

    #[test]
    fn an_annulus_that_is_put_elsewhere_cuts_the_border_there() {
        let unit = [0.14, 0.14];
        let [cavity, atrium, others] = half_ellipsoid([2.4, 6.5], 0.2, unit);
        let lv = Ventricle::find(&cavity, &atrium, [&others; 2], &placement(unit)).unwrap();
        let same = lv.with_hinges(lv.hinges()).unwrap();
        assert_eq!(same.hinges(), lv.hinges());
        assert!((same.volume() / lv.volume() - 1.0).abs() < 0.01);
        // A hinge that was lost up the wall, and the border that still goes past it.
        let [left, right] = lv.hinges();
        let up = lv.outline.points[lv.outline.points.len() / 8];
        let lost = lv.with_hinges([up, right]).unwrap();
        assert!(lost.area() < 0.97 * lv.area());
        let found = lost.with_hinges([left, right]).unwrap();
        assert_eq!(found.hinges(), [left, right]);
        assert!((found.area() / lv.area() - 1.0).abs() < 0.01);
        assert!(distance(found.apex, lv.apex) < 1e-9);
        // The order in which the hinges are named says nothing.
        assert_eq!(
            lost.with_hinges([right, left]).unwrap().hinges(),
            [left, right]
        );
    }

    #[test]
    fn a_resampled_contour_runs_from_hinge_to_hinge() {
        let unit = [0.14, 0.14];
        let [cavity, atrium, others] = half_ellipsoid([2.4, 6.5], 0.2, unit);
        let lv = Ventricle::find(&cavity, &atrium, [&others; 2], &placement(unit)).unwrap();
        let contour = lv.contour(48);
        assert_eq!(contour.len(), 48);
        let ends = [contour[0], contour[47]];
        let hinges = [lv.outline.points[0], *lv.outline.points.last().unwrap()];
        assert!(ends.iter().zip(hinges).all(|(a, b)| distance(*a, b) < 1e-9));
        let area = Outline { points: contour }.area();
        assert!((area / lv.area() - 1.0).abs() < 0.01);
    }
}
