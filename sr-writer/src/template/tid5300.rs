//! TID 5300, Simplified Adult Echocardiography Report: flat, one code for each number.

use super::head::{Headed, head};
use super::quantity::{QUANTITIES, Reading};
use super::{Source, index};
use crate::codes;
use crate::request::WriteError;
use crate::tree::{Container, Node, Text};

/// The whole report. Every number that is measured here has a code of CID 12300; the heart rate is none of the
/// ventricle's and stays out.
///
/// # Errors
/// Those of [`super::document`].
pub(super) fn simplified_echo_report(source: &Source<'_>) -> Result<Node, WriteError> {
    let root = Container::templated(codes::ADULT_ECHO_REPORT, "5300");
    let root = head(root, Headed::Report, source);
    Ok(root.contains(precoordinated(source)?).into())
}

/// TID 5301: the study's numbers; single beats have no code here.
fn precoordinated(source: &Source<'_>) -> Result<Container, WriteError> {
    let mut section = Container::new(codes::PRECOORDINATED);
    let Some(summary) = Reading::summary(source)? else {
        return Ok(section);
    };
    for quantity in &QUANTITIES {
        let Some((name, label)) = quantity.precoordinated(summary.method) else {
            continue;
        };
        let Some(num) = summary.num(quantity, name)? else {
            continue;
        };
        let mut num = num.property(Text::new(codes::SHORT_LABEL, label));
        for image in summary.sources(quantity)? {
            num = num.inferred_from(image);
        }
        section = section.contains(num);
    }
    for (num, label) in index::precoordinated(source)? {
        section = section.contains(num.property(Text::new(codes::SHORT_LABEL, label)));
    }
    Ok(section)
}
