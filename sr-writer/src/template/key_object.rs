//! TID 2010, Key Object Selection: the frames of end diastole and end systole, for a viewer that shows no report.

use std::collections::BTreeSet;

use super::Source;
use super::head::{Headed, head};
use super::quantity::check_frame;
use crate::codes;
use crate::request::WriteError;
use crate::texts::Language;
use crate::tree::{Container, Image, Node, Text};

/// The whole selection.
///
/// # Errors
/// Those of [`super::document`].
pub(super) fn key_object(source: &Source<'_>) -> Result<Node, WriteError> {
    let language = source.request.style.language;
    let root = Container::templated(codes::OF_INTEREST, "2010");
    let mut root = head(root, Headed::KeyObject, source);
    let (text, images) = frames(source, language)?;
    root = root.contains(Text::new(codes::KEY_OBJECT_DESCRIPTION, &text));
    Ok(root.contains_all(images).into())
}

/// The frames that carry contours, in words and as references.
fn frames(source: &Source<'_>, language: Language) -> Result<(String, Vec<Image>), WriteError> {
    let mut sentences = vec![language.ai_statement().to_owned()];
    if source.has_undecoded {
        sentences.push(language.undecoded().to_owned());
    }
    let mut images = Vec::new();
    for clip in source.measured()? {
        let mut numbers = BTreeSet::new();
        for contour in &clip.contours {
            check_frame(clip, contour.frame)?;
            numbers.insert(contour.frame);
        }
        sentences.push(language.key_frames(clip));
        let image = source.measured_image(clip)?;
        images.push(Image::frames(None, image, numbers.into_iter().collect()));
    }
    Ok((sentences.join(". "), images))
}
