use std::path::{Path, PathBuf};

use sonode_findings::protocol::FrameOf;
use sonode_phantom::anatomy::View;
use sonode_phantom::cine::Study;
use sonode_phantom::dicom::{Identity, write};
use sonode_phantom::spec::{StudySpec, Subject};
use sonode_phantom::style::Style;

use super::*;

/// A cine of so many frames; its width and height.
fn cine(folder: &tempfile::TempDir, frames: u32) -> (PathBuf, [usize; 2]) {
    let mut spec = StudySpec::of(7, Style::A, Subject::Apical(View::A4c));
    spec.frames = frames;
    let mut file = Vec::new();
    write(&Study::generate(&spec), &Identity::default(), &mut file).unwrap();
    let path = folder.path().join("cine.dcm");
    std::fs::write(&path, file).unwrap();
    let frames = crate::dicom::pixels::Frames::of(&crate::dicom::open(&path).unwrap()).unwrap();
    (path, frames.size())
}

fn page(text: &str) -> String {
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100"><image href="frame:0" width="100" height="100"/><text x="104" y="50" font-size="20" fill="#ff0000">{text}</text></svg>"##
    )
}

/// Pixels of the right half that the text has painted.
fn inked(picture: &Picture) -> usize {
    let Picture::Raster { columns, rgb, .. } = picture else {
        panic!("no raster");
    };
    let rows = rgb.chunks_exact(usize::from(*columns) * 3);
    rows.flat_map(|row| row[104 * 3..].chunks_exact(3))
        .filter(|pixel| pixel[0] > 128 && pixel[1] < 64)
        .count()
}

fn drawn(path: &Path, svg: String, form: PageForm) -> Picture {
    let frames = vec![FrameOf {
        path: path.to_owned(),
        frame: 1,
    }];
    illustrate(&Drawing::Page { svg, frames, form }).unwrap()
}

#[test]
fn a_page_has_its_frame_and_its_text_in_every_script() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = cine(&folder, 3);
    let blank = drawn(&path, page(""), PageForm::Raster);
    assert_eq!(inked(&blank), 0);
    let Picture::Raster { rgb, rows, .. } = &blank else {
        panic!("no raster");
    };
    assert_eq!(*rows, 100);
    assert!(
        rgb.iter().filter(|value| **value > 40).count() > 1000,
        "no frame"
    );
    // A character without a glyph is an empty box, which has less ink than any two of these differ by.
    let texts = [
        "EF 58 %",
        "王小明",
        "山田^太郎",
        "홍길동",
        "Ивáн",
        "Γιώργος",
    ];
    let ink: Vec<usize> = texts
        .iter()
        .map(|text| inked(&drawn(&path, page(text), PageForm::Raster)))
        .collect();
    assert!(ink.iter().all(|ink| *ink > 120), "{ink:?}");
    let boxes = inked(&drawn(
        &path,
        page("\u{E000}\u{E001}\u{E002}"),
        PageForm::Raster,
    ));
    assert!(ink[1] != boxes, "{boxes}");
}

#[test]
fn a_pdf_holds_text_that_can_be_searched() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = cine(&folder, 3);
    let Picture::Pdf { file } = drawn(&path, page("王小明 EF"), PageForm::Pdf) else {
        panic!("no PDF");
    };
    assert!(file.starts_with(b"%PDF-"));
    let holds = |what: &[u8]| file.windows(what.len()).any(|window| window == what);
    assert!(holds(b"/Type /Font") || holds(b"/Type/Font"));
    assert!(holds(b"/ToUnicode"));
}

#[test]
fn a_cine_keeps_its_frames_and_gets_its_sheets() {
    let folder = tempfile::tempdir().unwrap();
    let (path, [columns, rows]) = cine(&folder, 3);
    let sheet = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{columns}" height="{}"><rect x="0" y="{rows}" width="{columns}" height="40" fill="#ff0000"/></svg>"##,
        rows + 40
    );
    let drawing = Drawing::Cine {
        path: path.clone(),
        sheets: vec![sheet.clone(); 3],
    };
    let Ok(Picture::Cine {
        frames,
        columns: wide,
        rows: high,
    }) = illustrate(&drawing)
    else {
        panic!("no cine");
    };
    assert_eq!(
        (frames.len(), usize::from(wide), usize::from(high)),
        (3, columns, rows + 40)
    );
    let mut decoder =
        zune_jpeg::JpegDecoder::new(zune_core::bytestream::ZCursor::new(&frames[1].0));
    let pixels = decoder.decode().unwrap();
    let at = |row: usize| &pixels[(row * columns + columns / 2) * 3..][..3];
    assert!(
        at(rows + 20)[0] > 200 && at(rows + 20)[1] < 40,
        "{:?}",
        at(rows + 20)
    );
    assert!((0..rows).any(|row| at(row)[1] > 40), "no frame");
    // More sheets than frames.
    let drawing = Drawing::Cine {
        path,
        sheets: vec![sheet; 4],
    };
    assert!(matches!(
        illustrate(&drawing),
        Err(IllustrateError::Sheets {
            sheets: 4,
            frames: 3
        })
    ));
}
