//! TID 5200, Adult Echocardiography Procedure Report, as echo systems write it: section by finding site, group by image
//! mode, numbers with modifiers. Receivers match on the whole tuple of codes, so nothing stands in it that such a system
//! doesn't send, but for the one comment that marks it.

use super::head::{Headed, head};
use super::quantity::{QUANTITIES, Quantity, Reading, heart_rate};
use super::{Source, qualitative};
use crate::codes::{self, Code};
use crate::form::FindingsCode;
use crate::request::WriteError;
use crate::tree::{Coded, Container, Image, Node, Num};

/// The whole report.
///
/// # Errors
/// Those of [`super::document`].
pub(super) fn echo_report(source: &Source<'_>) -> Result<Node, WriteError> {
    let root = Container::templated(codes::ADULT_ECHO_REPORT, "5200");
    let mut root = head(root, Headed::Report, source);
    root = root.contains(image_library(source)?);
    root = root.contains(section(source)?);
    for statement in qualitative::statements(source) {
        root = root.contains(statement);
    }
    Ok(root.into())
}

/// The clips that the numbers stand on.
fn image_library(source: &Source<'_>) -> Result<Container, WriteError> {
    let clips = source.measured()?;
    let images = clips
        .iter()
        .map(|clip| Ok(Image::whole(None, source.measured_image(clip)?)))
        .collect::<Result<Vec<_>, WriteError>>()?;
    Ok(Container::new(codes::IMAGE_LIBRARY).contains_all(images))
}

/// TID 5202, the section of the left ventricle.
fn section(source: &Source<'_>) -> Result<Container, WriteError> {
    let name = match source.request.style.findings_code {
        FindingsCode::Dcm121070 => codes::FINDINGS,
        FindingsCode::Ln59776 => codes::FINDINGS_LN,
    };
    let mut group = Container::new(codes::MEASUREMENT_GROUP)
        .modifier(Coded::new(codes::IMAGE_MODE, codes::TWO_D_MODE));
    for num in numbers(source)? {
        group = group.contains(num);
    }
    Ok(Container::templated(name, "5202")
        .modifier(Coded::new(codes::FINDING_SITE, codes::LEFT_VENTRICLE))
        .contains(group))
}

/// TID 5203: each beat's number, then the one that counts, marked by its Selection Status.
fn numbers(source: &Source<'_>) -> Result<Vec<Num>, WriteError> {
    let clips = source.measured()?;
    let mut nums = Vec::new();
    for quantity in &QUANTITIES {
        for clip in &clips {
            for beat in Reading::beats(source, clip)? {
                nums.extend(number(&beat, quantity, None)?);
            }
        }
        if let Some(summary) = Reading::summary(source)? {
            nums.extend(number(&summary, quantity, Some(selection(&summary)))?);
        }
    }
    nums.extend(heart_rate(&clips)?);
    Ok(nums)
}

fn number(
    reading: &Reading<'_>,
    quantity: &Quantity,
    selected: Option<Code>,
) -> Result<Option<Num>, WriteError> {
    let Some(mut num) = reading.modified(quantity)? else {
        return Ok(None);
    };
    if let Some(why) = selected {
        num = num.property(Coded::new(codes::SELECTION_STATUS, why));
    }
    for image in reading.sources(quantity)? {
        num = num.inferred_from(image);
    }
    Ok(Some(num))
}

/// Why this value was selected. CID 12301 has no code for a median; it names the minimum and the maximum by the same
/// SNOMED concepts as CID 7464 does, so the median is named by that set's.
fn selection(summary: &Reading<'_>) -> Code {
    if summary.is_median {
        codes::MEDIAN
    } else {
        codes::MOST_RECENT_CHOSEN
    }
}
