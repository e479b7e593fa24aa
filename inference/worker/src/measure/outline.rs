//! Closed outlines: the iso-line of a map by marching squares, and what can be said of a polygon.

use super::grid::Grid;

/// A closed polygon; the last point is joined to the first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outline {
    /// The corners in order.
    pub points: Vec<[f64; 2]>,
}

impl Outline {
    /// The longest-reaching closed iso-line of a map at `level`, in the map's coordinates; none where nothing is over it.
    ///
    /// Crossings are interpolated between pixel centres, so that the line is exact to a small part of a pixel on a
    /// smooth map.
    pub fn around(map: &Grid, level: f32) -> Option<Self> {
        loops(map, level)
            .into_iter()
            .map(|points| Self { points })
            .filter(|outline| outline.points.len() >= 3)
            .max_by(|a, b| a.area().total_cmp(&b.area()))
    }

    /// Every edge, from each point to the next.
    pub fn edges(&self) -> impl Iterator<Item = ([f64; 2], [f64; 2])> + '_ {
        let next = self.points.iter().cycle().skip(1);
        self.points.iter().zip(next).map(|(a, b)| (*a, *b))
    }

    /// The area, never negative, in square units of the points.
    pub fn area(&self) -> f64 {
        self.signed_area().abs()
    }

    fn signed_area(&self) -> f64 {
        self.edges()
            .map(|(a, b)| a[0] * b[1] - b[0] * a[1])
            .sum::<f64>()
            / 2.0
    }

    /// The centre of gravity of the area.
    pub fn centroid(&self) -> [f64; 2] {
        let area = self.signed_area();
        if area.abs() < f64::EPSILON {
            return self.points.first().copied().unwrap_or_default();
        }
        let mut sum = [0.0; 2];
        for (a, b) in self.edges() {
            let cross = a[0] * b[1] - b[0] * a[1];
            sum[0] += (a[0] + b[0]) * cross;
            sum[1] += (a[1] + b[1]) * cross;
        }
        [sum[0] / (6.0 * area), sum[1] / (6.0 * area)]
    }

    /// The same polygon with every point mapped.
    #[must_use]
    pub fn map(&self, f: impl FnMut(&[f64; 2]) -> [f64; 2]) -> Self {
        Self {
            points: self.points.iter().map(f).collect(),
        }
    }

    /// Area over the area of the convex hull: 1 for a convex outline, less for a lobed one.
    pub fn solidity(&self) -> f64 {
        let hull = Self {
            points: convex_hull(&self.points),
        };
        let area = hull.area();
        if area > 0.0 { self.area() / area } else { 0.0 }
    }
}

/// Every closed iso-line of a map.
fn loops(map: &Grid, level: f32) -> Vec<Vec<[f64; 2]>> {
    // One row and column of cells more than pixels on each side: outside counts as 0, so every line closes.
    let (columns, rows) = (map.width + 2, map.height + 2);
    let mut padded = vec![0.0_f32; columns * rows];
    let lines = padded.chunks_exact_mut(columns).skip(1);
    for (line, values) in lines.zip(map.values.chunks_exact(map.width.max(1))) {
        line[1..=map.width].copy_from_slice(values);
    }
    let mut next = vec![usize::MAX; columns * rows * 2];
    for (y, two) in padded.windows(2 * columns).step_by(columns).enumerate() {
        let (upper, lower) = two.split_at(columns);
        for (x, (up, low)) in upper.windows(2).zip(lower.windows(2)).enumerate() {
            let corners = [up[0], up[1], low[1], low[0]];
            link_cell(corners, level, [x, y], columns, &mut next);
        }
    }
    let mut found = Vec::new();
    for start in 0..next.len() {
        let mut points = Vec::new();
        let mut edge = start;
        while next[edge] != usize::MAX {
            points.push(crossing(map, level, edge, columns));
            edge = std::mem::replace(&mut next[edge], usize::MAX);
        }
        if !points.is_empty() {
            found.push(points);
        }
    }
    found
}

/// Links the iso-line's crossings of one cell, whose corners run clockwise from the upper left, each to the next with the inside on one and the same hand.
///
/// Walking round the cell clockwise, a line leads from a crossing out of the inside to a crossing into it; the
/// neighbouring cell walks the shared edge the other way, so every crossing has one successor. In a saddle the mean of
/// the corners decides.
fn link_cell(
    corners: [f32; 4],
    level: f32,
    [x, y]: [usize; 2],
    columns: usize,
    next: &mut [usize],
) {
    let inside = corners.map(|value| value > level);
    if inside == [inside[0]; 4] {
        return;
    }
    let edge = |x: usize, y: usize, vertical: usize| (y * columns + x) * 2 + vertical;
    let edges = [
        edge(x, y, 0),
        edge(x + 1, y, 1),
        edge(x, y + 1, 0),
        edge(x, y, 1),
    ];
    let mut crossings = [(0, false); 4];
    let mut count = 0;
    for i in (0..4).filter(|i| inside[*i] != inside[(i + 1) % 4]) {
        crossings[count] = (edges[i], inside[i]);
        count += 1;
    }
    let joined = corners.iter().sum::<f32>() / 4.0 > level;
    for (i, (from, leaving)) in crossings[..count].iter().enumerate() {
        if *leaving {
            let to = if joined {
                (i + 1) % count
            } else {
                (i + count - 1) % count
            };
            next[*from] = crossings[to].0;
        }
    }
}

/// Where the iso-line crosses an edge, in the map's coordinates.
fn crossing(map: &Grid, level: f32, edge: usize, columns: usize) -> [f64; 2] {
    let (cell, vertical) = (edge / 2, edge % 2);
    let (x, y) = ((cell % columns) as isize - 1, (cell / columns) as isize - 1);
    let (dx, dy) = if vertical == 1 { (0, 1) } else { (1, 0) };
    let (a, b) = (f64::from(map.at(x, y)), f64::from(map.at(x + dx, y + dy)));
    let part = if (b - a).abs() > f64::EPSILON {
        (f64::from(level) - a) / (b - a)
    } else {
        0.5
    };
    [
        x as f64 + 0.5 + part * dx as f64,
        y as f64 + 0.5 + part * dy as f64,
    ]
}

/// Andrew's monotone chain.
fn convex_hull(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    let turn = |o: [f64; 2], a: [f64; 2], b: [f64; 2]| {
        (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])
    };
    let half = |points: &mut dyn Iterator<Item = [f64; 2]>| {
        let mut chain: Vec<[f64; 2]> = Vec::new();
        for point in points {
            while let [.., o, a] = chain[..] {
                if turn(o, a, point) > 0.0 {
                    break;
                }
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut sorted.iter().copied());
    hull.extend(half(&mut sorted.iter().rev().copied()));
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A soft disc: 0.5 exactly at the radius.
    fn disc(side: usize, centre: [f64; 2], radius: f64) -> Grid {
        let mut grid = Grid::filled(side, side, 0.0);
        for y in 0..side {
            for x in 0..side {
                let distance = (x as f64 + 0.5 - centre[0]).hypot(y as f64 + 0.5 - centre[1]);
                let value = 1.0 / (1.0 + ((distance - radius) * 2.0).exp());
                grid.values[y * side + x] = value as f32;
            }
        }
        grid
    }

    #[test]
    fn the_iso_line_is_exact_to_a_small_part_of_a_pixel() {
        let outline = Outline::around(&disc(64, [30.3, 33.7], 12.4), 0.5).unwrap();
        for point in &outline.points {
            let radius = (point[0] - 30.3).hypot(point[1] - 33.7);
            assert!((radius - 12.4).abs() < 0.05, "{radius}");
        }
        let truth = std::f64::consts::PI * 12.4 * 12.4;
        assert!((outline.area() / truth - 1.0).abs() < 0.005);
        let centroid = outline.centroid();
        assert!((centroid[0] - 30.3).abs() < 0.02 && (centroid[1] - 33.7).abs() < 0.02);
        assert!(outline.solidity() > 0.99);
    }

    #[test]
    fn a_structure_at_the_border_is_closed_there_and_a_saddle_is_no_trap() {
        let cut = Outline::around(&disc(32, [0.0, 16.0], 8.0), 0.5).unwrap();
        let half = std::f64::consts::PI * 32.0;
        assert!((cut.area() / half - 1.0).abs() < 0.1, "{}", cut.area());
        let mut saddle = Grid::filled(4, 4, 0.0);
        saddle.values[5] = 1.0;
        saddle.values[10] = 1.0;
        assert_eq!(loops(&saddle, 0.6).len(), 2);
        assert_eq!(loops(&saddle, 0.4).len(), 1);
        assert!(Outline::around(&Grid::filled(4, 4, 0.0), 0.5).is_none());
    }
}
