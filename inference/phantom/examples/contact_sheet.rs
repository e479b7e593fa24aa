//! Contact sheets of the phantom, to be looked at: `contact_sheet DIR` writes PNG files there.

use std::path::Path;

use sonode_phantom::ranges::Split;
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
    Ok(())
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
