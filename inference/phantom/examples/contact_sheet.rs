//! Contact sheets of the phantom, to be looked at: `contact_sheet DIR` writes PNG files and DICOM objects there.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "pixel arithmetic"
)]

use std::path::Path;

use sonode_phantom::anatomy::View;
use sonode_phantom::cine::{Frame, Study, StudySpec, Subject};
use sonode_phantom::dicom::{self, Identity};
use sonode_phantom::gates;
use sonode_phantom::ranges::Split;
use sonode_phantom::style::Style;
use sonode_phantom::training::{self, TrainingImage};

const COLUMNS: u32 = 8;
const ZOOM: u32 = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args()
        .nth(1)
        .ok_or("usage: contact_sheet DIR [FIRST_SEED]")?;
    let first: u64 = std::env::args().nth(2).map_or(Ok(0), |s| s.parse())?;
    let dir = Path::new(&dir);
    for (name, split, outlines) in [
        ("train", Split::Train, false),
        ("train-masks", Split::Train, true),
        ("held-out", Split::HeldOut, false),
    ] {
        let started = std::time::Instant::now();
        let images: Vec<_> = (first..first + 40)
            .map(|s| training::sample(s, split))
            .collect();
        println!(
            "{name}: {:.1} ms an image",
            started.elapsed().as_secs_f64() * 1000.0 / 40.0
        );
        training_sheet(&images, outlines).save(dir.join(format!("{name}.png")))?;
    }
    let views: Vec<_> = (first..first + 40)
        .map(|s| as_training(s, Split::Train))
        .collect();
    training_sheet(&views, false).save(dir.join("views.png"))?;
    for (name, subject) in [
        ("a4c", Subject::Apical(View::A4c)),
        ("a2c", Subject::Apical(View::A2c)),
        ("plax", Subject::Plax),
        ("short-axis", Subject::ShortAxis),
        ("colour", Subject::ColourDoppler),
        ("m-mode", Subject::MMode),
        ("noise", Subject::Noise),
        ("still", Subject::Still),
        ("blank", Subject::Blank),
    ] {
        for style in Style::ALL {
            let study = Study::generate(&StudySpec::of(first, style, subject));
            let started = std::time::Instant::now();
            let frames: Vec<Frame> = study.frames().take(30).collect();
            let rate = frames.len() as f64 / started.elapsed().as_secs_f64();
            println!("{name} {style:?}: {rate:.0} frames a second");
            let file = std::fs::File::create(dir.join(format!("cine-{name}-{style:?}.dcm")))?;
            dicom::write(&study, &Identity::default(), std::io::BufWriter::new(file))?;
            cine_sheet(&study, &frames).save(dir.join(format!("cine-{name}-{style:?}.png")))?;
        }
    }
    Ok(())
}

fn as_training(seed: u64, split: Split) -> TrainingImage {
    let view = gates::view_sample(seed, split, training::SIZE);
    let labels = vec![0; view.pixels.len()];
    TrainingImage {
        size: view.size,
        pixels: view.pixels,
        labels,
        view: View::A4c,
        mirrored: false,
    }
}

/// The end-diastolic and the end-systolic frame, or the first and a middle one, with the true contour beside them.
fn cine_sheet(study: &Study, frames: &[Frame]) -> image::RgbImage {
    let beat = study.truth().and_then(|t| t.beats.first().copied());
    let picks = beat.map_or([0, frames.len() / 2], |b| {
        [b.ed_frame as usize - 1, b.es_frame as usize - 1]
    });
    let (w, h) = (study.spec().width, study.spec().height);
    let mut sheet = image::RgbImage::new(2 * w, 2 * h);
    for (column, pick) in (0u32..).zip(picks) {
        let Some(frame) = frames.get(pick) else {
            continue;
        };
        for (k, sample) in (0u32..).zip(frame.pixels.chunks(frame.samples.into())) {
            let rgb = if let [r, g, b] = sample {
                [*r, *g, *b]
            } else {
                [sample[0]; 3]
            };
            for row in 0..2 {
                sheet.put_pixel(column * w + k % w, row * h + k / w, image::Rgb(rgb));
            }
        }
        for point in study
            .truth()
            .and_then(|t| t.contours.get(pick))
            .into_iter()
            .flatten()
        {
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let x = point[0].round() as u32 + column * w + dx;
                let y = point[1].round() as u32 + h + dy;
                if x < 2 * w && y < 2 * h {
                    sheet.put_pixel(x, y, image::Rgb([255, 60, 60]));
                }
            }
        }
    }
    sheet
}

fn training_sheet(images: &[TrainingImage], outlines: bool) -> image::RgbImage {
    let side = u32::try_from(training::SIZE).unwrap_or(0) * ZOOM + 4;
    let rows = u32::try_from(images.len()).unwrap_or(0).div_ceil(COLUMNS);
    let mut sheet =
        image::RgbImage::from_pixel(side * COLUMNS, side * rows, image::Rgb([30, 30, 60]));
    for (k, picture) in (0u32..).zip(images) {
        let (left, top) = ((k % COLUMNS) * side, (k / COLUMNS) * side);
        for y in 0..side - 4 {
            for x in 0..side - 4 {
                let at = (y / ZOOM) as usize * picture.size + (x / ZOOM) as usize;
                let grey = picture.pixels[at];
                let edge = picture.labels[at] != picture.labels.get(at + 1).copied().unwrap_or(0)
                    || picture.labels[at]
                        != picture.labels.get(at + picture.size).copied().unwrap_or(0);
                let colour = if outlines && edge {
                    match picture.labels[at] {
                        1 => [255, 80, 80],
                        2 => [80, 255, 80],
                        3 => [90, 140, 255],
                        4 => [255, 230, 80],
                        _ => [255, 255, 255],
                    }
                } else {
                    [grey; 3]
                };
                sheet.put_pixel(left + x, top + y, image::Rgb(colour));
            }
        }
    }
    sheet
}
