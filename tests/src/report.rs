//! A report as an independent reader (highdicom, pydicom) sees it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::dcmtk;
use crate::python;

/// What a viewer gets from a report.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Report {
    /// SOP Class UID.
    pub sop_class: String,
    /// SOP Instance UID.
    pub sop_instance: String,
    /// Study Instance UID.
    pub study: String,
    /// Patient's Name, decoded.
    pub patient_name: String,
    /// Patient ID, decoded.
    pub patient_id: String,
    /// Series Description.
    pub series_description: String,
    /// Verification Flag.
    pub verification: String,
    /// Content Qualification.
    pub content_qualification: String,
    /// SOP Instance UIDs in the evidence sequences.
    pub evidence: Vec<String>,
    /// Ejection fraction.
    pub lvef: Option<Quantity>,
    /// End-diastolic volume.
    pub edv: Option<Quantity>,
    /// End-systolic volume.
    pub esv: Option<Quantity>,
    /// The image regions, in the report's order: end diastole first.
    pub contours: Vec<Region>,
    /// How many planar measurement groups highdicom finds.
    pub planar_groups: usize,
}

/// A number with its UCUM unit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Quantity {
    /// The number.
    pub value: f64,
    /// The unit's code.
    pub unit: String,
}

/// One SCOORD.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Region {
    /// Graphic Type.
    pub graphic_type: String,
    /// (column, row) in image pixels.
    pub points: Vec<(f64, f64)>,
    /// The image that it lies on.
    pub image: String,
    /// Its frame, from 1.
    pub frame: u32,
    /// `ED` or `ES`, by its group's Cardiac Cycle Point.
    pub phase: Option<String>,
    /// Tracking UID.
    pub tracking_uid: Option<String>,
}

impl Report {
    /// Validates a report and reads it.
    pub fn read(file: &Path) -> Result<Self> {
        dcmtk::validate_report(file)?;
        let json = python::json("read_report.py", &[file])?;
        serde_json::from_value(json).context("the reader's output has another form")
    }

    /// The contours of end diastole and those of end systole: as many of the one as of the other.
    pub fn ed_and_es(&self) -> Result<(Vec<&Region>, Vec<&Region>)> {
        let of = |phase: &str| -> Vec<&Region> {
            let named = |region: &&Region| region.phase.as_deref() == Some(phase);
            self.contours.iter().filter(named).collect()
        };
        let (ed, es) = (of("ED"), of("ES"));
        ensure!(
            !ed.is_empty() && ed.len() == es.len() && 2 * ed.len() == self.contours.len(),
            "{} contours: {} of end diastole, {} of end systole",
            self.contours.len(),
            ed.len(),
            es.len()
        );
        Ok((ed, es))
    }
}

impl Region {
    /// Area inside, in square pixels (the shoelace formula).
    pub fn area(&self) -> f64 {
        let next = self.points.iter().cycle().skip(1);
        let doubled: f64 = self
            .points
            .iter()
            .zip(next)
            .map(|(a, b)| a.0 * b.1 - b.0 * a.1)
            .sum();
        doubled.abs() / 2.0
    }

    /// Mean of the points.
    pub fn centre(&self) -> (f64, f64) {
        let closed = self.points.len() > 1 && self.points.first() == self.points.last();
        let distinct = self.points.len() - usize::from(closed);
        let (mut x, mut y) = (0.0, 0.0);
        for point in self.points.iter().take(distinct) {
            x += point.0;
            y += point.1;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a contour has a few hundred points"
        )]
        let n = distinct.max(1) as f64;
        (x / n, y / n)
    }

    /// Fails unless it is a closed line inside an image of this size.
    pub fn check_inside(&self, columns: f64, rows: f64) -> Result<()> {
        ensure!(self.graphic_type == "POLYLINE", "a {}", self.graphic_type);
        ensure!(self.points.len() >= 10, "only {} points", self.points.len());
        ensure!(self.points.first() == self.points.last(), "an open line");
        for &(x, y) in &self.points {
            ensure!(
                (0.0..=columns).contains(&x) && (0.0..=rows).contains(&y),
                "({x}, {y}) is outside {columns} x {rows}"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(side: f64) -> Region {
        Region {
            graphic_type: "POLYLINE".to_owned(),
            points: vec![
                (1.0, 1.0),
                (1.0 + side, 1.0),
                (1.0 + side, 1.0 + side),
                (1.0, 1.0 + side),
                (1.0, 1.0),
            ],
            image: "1.2.3".to_owned(),
            frame: 1,
            phase: None,
            tracking_uid: None,
        }
    }

    #[test]
    fn area_and_centre_are_those_of_the_polygon() {
        let region = square(4.0);
        assert!((region.area() - 16.0).abs() < 1e-9);
        let (x, y) = region.centre();
        assert!((x - 3.0).abs() < 1e-9 && (y - 3.0).abs() < 1e-9);
        assert!(
            region
                .check_inside(5.0, 5.0)
                .unwrap_err()
                .to_string()
                .contains("points")
        );
    }
}
