//! Which frames a model is shown, and what becomes of their luma.

use super::*;

fn input(layout: &str, frames: u32, stride: u32, rest: &str) -> Input {
    toml::from_str(&format!(
        "layout = \"{layout}\"\nframes = {frames}\nstride = {stride}\nheight = 16\nwidth = 16\nfit = \"stretch\"\n{rest}"
    ))
    .unwrap()
}

const GREY: &str =
    "channels = 1\npadding = \"none\"\nvalue_range = [0.0, 1.0]\nmean = [0.0]\nstd = [1.0]";

fn of_clips(frames: u32, stride: u32, padding: &str) -> Input {
    let rest = format!(
        "channels = 1\npadding = \"{padding}\"\nvalue_range = [0.0, 1.0]\nmean = [0.0]\nstd = [1.0]"
    );
    input("NCTHW", frames, stride, &rest)
}

/// First and last frame of each input.
fn ends(sampling: &[Vec<Option<usize>>]) -> Vec<[Option<usize>; 2]> {
    sampling
        .iter()
        .map(|frames| [frames[0], frames[frames.len() - 1]])
        .collect()
}

#[test]
fn single_frames_are_spread_over_the_cine() {
    let frame = input("NCHW", 1, 1, GREY);
    let of = |frames| -> Vec<usize> {
        let sampling = sampling(&frame, frames, None).unwrap();
        sampling
            .into_iter()
            .map(|frames| frames[0].unwrap())
            .collect()
    };
    assert_eq!(of(3), [0, 1, 2]);
    let many = of(61);
    assert_eq!(many.len(), FRAMES_SHOWN_MAX);
    assert_eq!((many[0], many[1], many[15]), (0, 4, 60));
    assert_eq!(of(65).len(), 9);
}

#[test]
fn clips_are_spread_so_that_the_last_one_ends_with_the_cine() {
    // EchoNet-Dynamic: 32 frames, every other one, so 63 frames of the cine.
    let echonet = of_clips(32, 2, "zero");
    let sampling = sampling(&echonet, 123, None).unwrap();
    assert_eq!(
        ends(&sampling),
        [
            [Some(0), Some(62)],
            [Some(20), Some(82)],
            [Some(40), Some(102)],
            [Some(60), Some(122)]
        ]
    );
    assert_eq!(sampling[1][..3], [Some(20), Some(22), Some(24)]);
    assert_eq!(super::sampling(&echonet, 64, None).unwrap().len(), 2);
}

#[test]
fn a_short_cine_gives_one_padded_clip() {
    let zero = sampling(&of_clips(4, 2, "zero"), 5, None).unwrap();
    assert_eq!(zero, [[Some(0), Some(2), Some(4), None]]);
    let repeated = sampling(&of_clips(4, 2, "repeat-last"), 4, None).unwrap();
    assert_eq!(repeated, [[Some(0), Some(2), Some(3), Some(3)]]);
}

#[test]
fn a_model_that_counts_in_time_skips_or_repeats_frames() {
    let mut in_time = of_clips(4, 2, "zero");
    in_time.frame_rate_hz = Some(50.0);
    let of = |frames, rate| sampling(&in_time, frames, rate);
    assert_eq!(of(4, Some(25.0)).unwrap(), [[0, 1, 2, 3].map(Some)]);
    assert_eq!(of(13, Some(100.0)).unwrap(), [[0, 4, 8, 12].map(Some)]);
    assert_eq!(of(3, Some(12.5)).unwrap()[0], [0, 1, 1, 2].map(Some));
    assert_eq!(of(60, None), Err(UnknownRate));
    // One frame lies at no distance from itself.
    let mut frame = input("NCHW", 1, 1, GREY);
    frame.frame_rate_hz = Some(50.0);
    assert_eq!(sampling(&frame, 2, None).unwrap().len(), 2);
}

#[test]
fn luma_is_scaled_then_normalised_by_channel_and_padding_stays_zero() {
    let rest = "channels = 3\npadding = \"zero\"\nvalue_range = [0.0, 255.0]\nmean = [10.0, 20.0, 30.0]\nstd = [2.0, 4.0, 5.0]";
    let colour = input("NCTHW", 3, 1, rest);
    let clip = Clip {
        frames: 2,
        height: 20,
        width: 24,
        pixels: [vec![50; 480], vec![0; 480]].concat().into(),
        origin: [0, 0],
        image: [24, 20],
        cm_per_px: None,
        pixel_aspect: 1.0,
        frame_rate_hz: None,
        heart_rate_bpm: None,
        header_view: None,
        norms: None,
    };
    let sampling = sampling(&colour, clip.frames, None).unwrap();
    let tensor = tensor(&colour, &clip, &sampling).unwrap();
    assert_eq!(tensor.size(), [1, 3, 3, 16, 16]);
    let at = |channel, frame| tensor.double_value(&[0, channel, frame, 7, 9]);
    let expected = [[20.0, -5.0, 0.0], [7.5, -5.0, 0.0], [4.0, -6.0, 0.0]];
    for (channel, frames) in (0..).zip(expected) {
        for (frame, value) in (0..).zip(frames) {
            assert!(
                (at(channel, frame) - value).abs() < 1e-4,
                "{channel} {frame}"
            );
        }
    }
}

#[test]
fn a_percentile_is_a_rank() {
    let values: Vec<f32> = (0..=100).rev().map(|v| v as f32).collect();
    assert!((percentile_of(&values, 99.0) - 99.0).abs() < f32::EPSILON);
    assert!((percentile_of(&values, 0.0)).abs() < f32::EPSILON);
    assert!((percentile_of(&[], 50.0)).abs() < f32::EPSILON);
}
