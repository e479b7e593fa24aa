use dicom_dictionary_std::tags;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::super::testing::DataSet;
use super::*;

const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";

fn image(photometric: &str, samples: u16, [columns, rows]: [u16; 2], frames: &str) -> DataSet {
    DataSet::default()
        .number(tags::SAMPLES_PER_PIXEL, samples)
        .text(tags::PHOTOMETRIC_INTERPRETATION, "CS", photometric)
        .text(tags::NUMBER_OF_FRAMES, "IS", frames)
        .number(tags::ROWS, rows)
        .number(tags::COLUMNS, columns)
        .number(tags::BITS_ALLOCATED, 8)
        .number(tags::BITS_STORED, 8)
}

fn native(data: DataSet, bytes: &[u8]) -> Opened {
    data.long(tags::PIXEL_DATA, "OB", bytes.len() as u32, bytes)
        .open()
}

fn pixels(opened: &Opened, frame: usize) -> Vec<u8> {
    Frames::of(opened).unwrap().rgb(frame).unwrap().pixels
}

/// A frame header of a JPEG that claims this size.
fn jpeg_of(columns: u16, rows: u16) -> Vec<u8> {
    let [r0, r1] = rows.to_be_bytes();
    let [c0, c1] = columns.to_be_bytes();
    let sof = [0xFF, 0xC0, 0, 11, 8, r0, r1, c0, c1, 1, 1, 0x11, 0];
    let sos = [0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0];
    [&[0xFF, 0xD8][..], &sof, &sos].concat()
}

#[test]
fn colour_by_plane_is_woven() {
    let data = image("RGB", 3, [2, 1], "1").number(tags::PLANAR_CONFIGURATION, 1);
    assert_eq!(
        pixels(&native(data, &[1, 2, 3, 4, 5, 6]), 0),
        [1, 3, 5, 2, 4, 6]
    );
}

#[test]
fn native_422_has_two_bytes_a_pixel_and_its_second_frame_is_found() {
    let data = image("YBR_FULL_422", 3, [2, 1], "2");
    let opened = native(data, &[10, 20, 128, 128, 30, 40, 128, 128]);
    assert_eq!(pixels(&opened, 1), [30, 30, 30, 40, 40, 40]);
    let mislabelled = image("YBR_FULL_422", 3, [2, 1], "1");
    let opened = native(mislabelled, &[10, 128, 128, 20, 128, 128]);
    assert_eq!(pixels(&opened, 0), [10, 10, 10, 20, 20, 20]);
}

#[test]
fn monochrome1_is_inverted_and_sixteen_bits_are_reduced() {
    assert_eq!(
        pixels(&native(image("MONOCHROME1", 1, [2, 1], "1"), &[0, 250]), 0)[..4],
        [255, 255, 255, 5]
    );
    let wide = DataSet::default()
        .number(tags::SAMPLES_PER_PIXEL, 1)
        .text(tags::PHOTOMETRIC_INTERPRETATION, "CS", "MONOCHROME2")
        .number(tags::ROWS, 1)
        .number(tags::COLUMNS, 1)
        .number(tags::BITS_ALLOCATED, 16)
        .number(tags::BITS_STORED, 12);
    assert_eq!(pixels(&native(wide, &[0xF0, 0x0F]), 0), [255; 3]);
}

#[test]
fn the_palette_is_applied() {
    let descriptor = [2_u16, 0, 8].map(u16::to_le_bytes).concat();
    let table = |data: DataSet, tag, values: [u8; 2]| data.long(tag, "OW", 2, &values);
    let data = image("PALETTE COLOR", 1, [2, 1], "1").short(
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        "US",
        &descriptor,
    );
    let data = table(data, tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA, [1, 4]);
    let data = table(data, tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA, [2, 5]);
    let data = table(data, tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA, [3, 6]);
    assert_eq!(pixels(&native(data, &[1, 0]), 0), [4, 5, 6, 1, 2, 3]);
}

#[test]
fn rle_gives_back_bytes_and_refuses_segments_outside_the_frame() {
    let header = |segments: u32, offset: u32| {
        let mut header = vec![0; 64];
        header[..4].copy_from_slice(&segments.to_le_bytes());
        header[4..8].copy_from_slice(&offset.to_le_bytes());
        header
    };
    let frame = [header(1, 64), vec![1, 7, 9]].concat();
    let opened = |frame: &[u8]| {
        image("MONOCHROME2", 1, [2, 1], "1")
            .fragments(&[frame])
            .open_as("1.2.840.10008.1.2.5")
    };
    assert_eq!(pixels(&opened(&frame), 0), [7, 7, 7, 9, 9, 9]);
    let outside = [header(1, 5000), vec![1, 7, 9]].concat();
    let opened = opened(&outside);
    assert!(matches!(
        Frames::of(&opened).unwrap().rgb(0),
        Err(PixelError::Codestream(_))
    ));
}

#[test]
fn a_codestream_of_another_size_is_refused_before_it_is_decoded() {
    let bomb = jpeg_of(65_535, 65_535);
    let opened = image("MONOCHROME2", 1, [10, 10], "1")
        .fragments(&[&bomb])
        .open_as(JPEG_BASELINE);
    let got = Frames::of(&opened).unwrap().rgb(0);
    assert!(
        matches!(
            got,
            Err(PixelError::Size {
                coded: [65_535, 65_535],
                ..
            })
        ),
        "{got:?}"
    );
    let opened = image("MONOCHROME2", 1, [65_535, 65_535], "1")
        .fragments(&[&bomb])
        .open_as(JPEG_BASELINE);
    assert!(matches!(Frames::of(&opened), Err(PixelError::TooLarge)));
}

#[test]
fn a_cut_file_has_its_whole_frames_and_video_has_none() {
    let opened = native(image("MONOCHROME2", 1, [2, 2], "5"), &[1; 10]);
    let frames = Frames::of(&opened).unwrap();
    assert_eq!((frames.count(), frames.stated()), (2, 5));
    let opened = image("YBR_PARTIAL_420", 3, [2, 2], "5")
        .fragments(&[b"video"])
        .open_as("1.2.840.10008.1.2.4.102");
    assert!(matches!(
        Frames::of(&opened),
        Err(PixelError::TransferSyntax(_))
    ));
}

#[test]
fn frames_come_out_in_order_whatever_thread_decodes_them() {
    let bytes: Vec<u8> = (0..200_u8).flat_map(|frame| [frame; 4]).collect();
    let opened = native(image("MONOCHROME2", 1, [2, 2], "200"), &bytes);
    let crop = Crop {
        column: 1,
        row: 0,
        width: 1,
        height: 2,
    };
    let frames = Frames::of(&opened).unwrap();
    let luma = crate::parallel::try_map(200, 5, |frame| frames.luma(crop, frame)).unwrap();
    let want: Vec<Vec<u8>> = (0..200_u8).map(|frame| vec![frame; 2]).collect();
    assert_eq!(luma, want);
}

/// A coloured picture of odd size as a JPEG of these samplings.
fn coloured_jpeg(
    [columns, rows]: [u16; 2],
    sampling: SamplingFactor,
    progressive: bool,
) -> Vec<u8> {
    let wave = |at: usize, by: usize| (128.0 + 100.0 * (at as f64 / by as f64).sin()) as u8;
    let pixels: Vec<u8> = (0..usize::from(columns) * usize::from(rows))
        .flat_map(|at| {
            let (x, y) = (at % usize::from(columns), at / usize::from(columns));
            [wave(x + y, 3), wave(x, 7), wave(2 * y, 5)]
        })
        .collect();
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, 85);
    encoder.set_sampling_factor(sampling);
    encoder.set_progressive(progressive);
    encoder
        .encode(&pixels, columns, rows, ColorType::Rgb)
        .unwrap();
    jpeg
}

const SAMPLINGS: [SamplingFactor; 5] = [
    SamplingFactor::R_4_4_4,
    SamplingFactor::R_4_2_2,
    SamplingFactor::R_4_2_0,
    SamplingFactor::R_4_4_0,
    SamplingFactor::R_4_1_1,
];

#[test]
fn luma_alone_is_the_luma_of_the_whole() {
    let size = [83, 45];
    let crop = Crop {
        column: 3,
        row: 5,
        width: 70,
        height: 40,
    };
    for sampling in SAMPLINGS {
        for progressive in [false, true] {
            let jpeg = coloured_jpeg(size, sampling, progressive);
            let opened = image("YBR_FULL_422", 3, size, "1")
                .fragments(&[&jpeg])
                .open_as(JPEG_BASELINE);
            let frames = Frames::of(&opened).unwrap();
            let mut whole = vec![0; crop.width * crop.height];
            let raster = frames.raster(0, Want::Colour).unwrap();
            assert_eq!(raster.model, Model::Ybr);
            raster.luma(crop, &mut whole);
            let alone = frames.raster(0, Want::Luma).unwrap().model == Model::Grey;
            assert_eq!(alone, !progressive, "{sampling:?}");
            let found = frames.luma(crop, 0).unwrap();
            assert!(found == whole, "{sampling:?} {progressive}");
            let (beside_flow, _) = frames.luma_and_flow(crop, 0).unwrap();
            assert!(beside_flow == whole, "{sampling:?} {progressive}");
        }
    }
}

#[test]
fn the_second_decoder_gives_the_colours_of_the_first() {
    for sampling in SAMPLINGS {
        let jpeg = coloured_jpeg([83, 45], sampling, false);
        let header = codec::frame_header(&jpeg).unwrap();
        let (samples, model) = codec::second_opinion(&jpeg, &header, Model::Ybr).unwrap();
        assert_eq!((samples.len(), model), (83 * 45 * 3, Model::Rgb));
        let opened = image("YBR_FULL_422", 3, [83, 45], "1")
            .fragments(&[&jpeg])
            .open_as(JPEG_BASELINE);
        let first = pixels(&opened, 0);
        let apart = |(a, b): (&u8, &u8)| u64::from(a.abs_diff(*b));
        let sum: u64 = first.iter().zip(&samples).map(apart).sum();
        // Each spreads half-sized colour differences over the pixels in its own way.
        let mean = sum as f64 / samples.len() as f64;
        assert!(mean < 6.0, "{sampling:?}: {mean}");
    }
}

#[test]
fn luma_that_would_be_taken_for_an_inverted_sample_is_not_asked_for_alone() {
    let jpeg = coloured_jpeg([83, 45], SamplingFactor::R_4_4_4, false);
    let opened = image("MONOCHROME1", 3, [83, 45], "1")
        .fragments(&[&jpeg])
        .open_as(JPEG_BASELINE);
    let frames = Frames::of(&opened).unwrap();
    assert_eq!(frames.raster(0, Want::Luma).unwrap().model, Model::Ybr);
}

proptest::proptest! {
    #[test]
    fn any_codestream_is_an_answer(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        syntax in 0_usize..5,
    ) {
        let syntax = ["4.50", "4.70", "4.80", "4.90", "5"][syntax];
        let start: &[u8] = if syntax == "4.90" { &[0xFF, 0x4F, 0xFF, 0x51] } else { &[0xFF, 0xD8] };
        let stream = [start, &bytes].concat();
        let opened = image("MONOCHROME2", 1, [16, 16], "1")
            .fragments(&[&stream])
            .open_as(&format!("1.2.840.10008.1.2.{syntax}"));
        let frames = Frames::of(&opened).unwrap();
        let colour = frames.rgb(0);
        if let Ok(frame) = &colour {
            proptest::prop_assert_eq!((frame.width, frame.height), (16, 16));
        }
        let crop = Crop { column: 0, row: 0, width: 16, height: 16 };
        proptest::prop_assert!(colour.is_err() || frames.luma(crop, 0).is_ok());
    }
}
