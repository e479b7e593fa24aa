//! The insonified sector, as far as its luma shows it.

/// Luma over which a pixel belongs to the insonified sector.
const SECTOR_LUMA: f32 = 6.0;

/// Grid pixels by which a contour may leave the sector's hull before it counts as outside.
const SECTOR_SLACK: f64 = 2.0;

/// Where the scanner sees anything: the hull by rows of what is ever brighter than black.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sector {
    side: usize,
    brightest: Vec<f32>,
    /// First and last column of each row; none where a row is black.
    rows: Vec<Option<(usize, usize)>>,
}

impl Sector {
    /// Of a grid of `side` pixels.
    pub(super) fn new(side: usize) -> Self {
        Self {
            side,
            brightest: vec![0.0; side * side],
            rows: Vec::new(),
        }
    }

    /// Takes in the luma of one frame, `[side, side]`.
    pub(super) fn add(&mut self, luma: &[f32]) {
        for (brightest, luma) in self.brightest.iter_mut().zip(luma) {
            *brightest = brightest.max(*luma);
        }
    }

    /// Takes in what another one has seen.
    pub(super) fn merge(&mut self, other: &Self) {
        self.add(&other.brightest);
    }

    /// Finds the hull, once everything was taken in.
    pub(super) fn close(&mut self) {
        self.rows = self
            .brightest
            .chunks_exact(self.side)
            .map(|row| {
                let first = row.iter().position(|luma| *luma > SECTOR_LUMA)?;
                let last = row.iter().rposition(|luma| *luma > SECTOR_LUMA)?;
                Some((first, last))
            })
            .collect();
    }

    /// Whether a point of the grid lies between the outermost bright pixels of a row near its own.
    pub(super) fn holds(&self, point: [f64; 2]) -> bool {
        let row = point[1].floor() as isize;
        let near = (row - 2..=row + 2).filter_map(|row| usize::try_from(row).ok());
        near.filter_map(|row| *self.rows.get(row)?)
            .any(|(first, last)| {
                point[0] >= first as f64 - SECTOR_SLACK
                    && point[0] <= last as f64 + 1.0 + SECTOR_SLACK
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sector_is_what_is_ever_bright() {
        let mut sector = Sector::new(16);
        let mut luma = vec![0.0; 256];
        for y in 4..12 {
            luma[y * 16 + 5] = 40.0;
            luma[y * 16 + 10] = 40.0;
        }
        sector.add(&luma);
        sector.close();
        assert!(
            sector.holds([8.0, 8.0]),
            "a dark cavity between bright walls is inside"
        );
        assert!(!sector.holds([1.0, 8.0]) && !sector.holds([8.0, 15.5]));
    }
}
