//! TID 1500, Measurement Report.

use super::head::{Headed, head, image_library};
use super::{Source, group, index, qualitative};
use crate::codes;
use crate::request::WriteError;
use crate::tree::{Container, Node};

/// The whole report. Where nothing was measured it holds the qualitative evaluations alone, which say why.
///
/// # Errors
/// Those of [`super::document`].
pub(super) fn measurement_report(source: &Source<'_>) -> Result<Node, WriteError> {
    let root = Container::templated(codes::IMAGING_MEASUREMENT_REPORT, "1500");
    let mut root = head(root, Headed::MeasurementReport, source);
    if let Some(library) = image_library(source) {
        root = root.contains(library);
    }
    let measurements = imaging_measurements(source)?;
    if !measurements.is_empty() {
        root = root.contains(measurements);
    }
    Ok(root.contains(qualitative::evaluations(source)?).into())
}

fn imaging_measurements(source: &Source<'_>) -> Result<Container, WriteError> {
    // The result first, then what it stands on: a reader reads from the top.
    let mut groups: Vec<Container> = group::function(source)?.into_iter().collect();
    groups.extend(index::group(source)?);
    for clip in source.measured()? {
        groups.extend(group::beats(source, clip)?);
    }
    for clip in source.measured()? {
        groups.extend(group::contours(source, clip)?);
    }
    Ok(Container::new(codes::IMAGING_MEASUREMENTS).contains_all(groups))
}
