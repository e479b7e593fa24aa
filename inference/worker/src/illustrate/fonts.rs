//! The fonts of a picture. They are part of the program, so that a picture is the same on every machine, and since the
//! sandbox lets the worker read no folder of fonts.
//!
//! `DejaVu Sans` has the alphabets of Europe, Arabic and Hebrew among others; Droid Sans Fallback has what it lacks for Chinese,
//! Japanese and Korean. A character that neither has is drawn as an empty box.

use std::sync::{Arc, LazyLock};

use resvg::usvg::fontdb::{Database, Source};
use resvg::usvg::{ImageHrefResolver, ImageKind, Options};

const FONTS: [&[u8]; 3] = [
    include_bytes!("../../assets/DejaVuSans.ttf"),
    include_bytes!("../../assets/DejaVuSans-Bold.ttf"),
    include_bytes!("../../assets/DroidSansFallbackFull.ttf"),
];

/// The family that a drawing names where it names none.
const FAMILY: &str = "DejaVu Sans";

static DATABASE: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut database = Database::new();
    for font in FONTS {
        database.load_font_source(Source::Binary(Arc::new(font)));
    }
    database.set_sans_serif_family(FAMILY);
    Arc::new(database)
});

/// How an SVG is read: with these fonts, and no image but `frame:N` from `frames`, which are JPEG files.
pub(super) fn options(frames: &[Arc<Vec<u8>>]) -> Options<'_> {
    Options {
        font_family: FAMILY.to_owned(),
        fontdb: Arc::clone(&DATABASE),
        image_href_resolver: ImageHrefResolver {
            resolve_data: Box::new(|_, _, _| None),
            resolve_string: Box::new(|href, _| {
                let index: usize = href.strip_prefix("frame:")?.parse().ok()?;
                Some(ImageKind::JPEG(Arc::clone(frames.get(index)?)))
            }),
        },
        ..Options::default()
    }
}
