//! From a clip to a model's input, as its manifest says: which frames are taken, how they fit, what their luma becomes.
//!
//! ```text
//! sampling    frames of a cine -> frames of each input (stride, frame rate, padding)
//! Placement   crop -> the input's grid (fit, zoom), by area averaging
//! scale       luma -> value_range (brightest_percentile)
//! normalise   one channel -> all channels, less mean, over std
//! ```

use tch::{Device, Kind, TchError, Tensor};

use super::ReadError;
use super::manifest::{Input, Layout, Padding};
use crate::clip::{Clip, spread};
use crate::measure::{Placement, Resampler};
use crate::parallel;

/// Most frames that a model of single frames is shown of one cine.
pub const FRAMES_SHOWN_MAX: usize = 16;

/// Most clips that a model of clips is shown of one cine: PanEcho's own number.
pub const CLIPS_SHOWN_MAX: usize = 4;

/// The brightest luma that a frame is scaled by is at least this, so that a dark frame's noise doesn't become an image.
const BRIGHTEST_MIN: f32 = 24.0;

/// A model counts its frames in time, and the clip doesn't say its frame rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownRate;

/// The frames of each input that is made of a cine, from 0; none stands for zeros after normalisation.
///
/// Single frames are [`spread`] over the cine. Clips begin at evenly spaced frames, the first one at the first frame and
/// the last one so that it ends with the cine; a cine too short for one clip gives one that is padded. Frames are taken,
/// never blended: a cine of another frame rate than the model's repeats or skips some.
///
/// # Errors
/// [`UnknownRate`] where a clip's frames lie in time and `rate_hz` is unknown.
pub fn sampling(
    input: &Input,
    frames: usize,
    rate_hz: Option<f64>,
) -> Result<Vec<Vec<Option<usize>>>, UnknownRate> {
    if input.layout == Layout::Nchw {
        return Ok(spread(frames, FRAMES_SHOWN_MAX)
            .map(|at| vec![Some(at)])
            .collect());
    }
    let speed = match (input.frame_rate_hz, rate_hz) {
        (Some(model), Some(cine)) => cine / model,
        (Some(_), None) if input.frames > 1 => return Err(UnknownRate),
        _ => 1.0,
    };
    let step = f64::from(input.stride) * speed;
    let offsets: Vec<usize> = (0..input.frames)
        .map(|frame| (f64::from(frame) * step).round() as usize)
        .collect();
    let span = offsets.last().map_or(1, |last| last + 1);
    let slack = frames.saturating_sub(span);
    let count = CLIPS_SHOWN_MAX.min(slack + 1);
    let last = frames.saturating_sub(1);
    let frame = |at: usize| match input.padding {
        Padding::Zero => (at <= last).then_some(at),
        _ => Some(at.min(last)),
    };
    Ok((0..count)
        .map(|sample| {
            let part = sample as f64 / (count - 1).max(1) as f64;
            let start = (part * slack as f64).round() as usize;
            offsets.iter().map(|offset| frame(start + offset)).collect()
        })
        .collect())
}

/// Scales luma in place to the manifest's value range.
pub fn scale(input: &Input, luma: &mut [f32]) {
    match input.brightest_percentile {
        Some(percentile) => scale_to_brightest(luma, percentile),
        None => luma.iter_mut().for_each(|value| *value /= 255.0),
    }
    let [low, high] = input.value_range.map(|bound| bound as f32);
    for value in luma {
        *value = low + (high - low) * *value;
    }
}

/// Scaled luma `[n, 1, …, rows, columns]` as the model takes it: in all its channels, less mean, over std.
///
/// # Errors
/// As libtorch reports them.
pub fn normalise(input: &Input, luma: &Tensor) -> Result<Tensor, TchError> {
    let mut shape = vec![1_i64; luma.dim()];
    shape[1] = i64::from(input.channels);
    let of = |values: &[f64]| {
        let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        Tensor::from_slice(&values).f_view(shape.as_slice())
    };
    luma.f_sub(&of(&input.mean)?)?.f_div(&of(&input.std)?)
}

/// A cine as a model takes it: `[n, channels, rows, columns]` or `[n, channels, frames, rows, columns]`.
///
/// # Errors
/// [`ReadError`].
pub fn tensor(
    input: &Input,
    clip: &Clip,
    sampling: &[Vec<Option<usize>>],
) -> Result<Tensor, ReadError> {
    let side = input.height as usize;
    let resampler = Resampler::new(&Placement::new(input, clip), clip.width, clip.height, side);
    let wanted: Vec<Option<usize>> = sampling.iter().flatten().copied().collect();
    let grid = |at: usize| -> Result<Option<Vec<f32>>, ReadError> {
        let Some(frame) = wanted[at] else {
            return Ok(None);
        };
        Ok(Some(resampler.sample(&clip.frame(frame)?)))
    };
    let grids = parallel::try_map(wanted.len(), parallel::cores(), grid)?;
    Ok(of_grids(input, grids)?)
}

/// Resampled frames as a model takes them, as in [`tensor`]; none stands for zeros after normalisation.
///
/// # Errors
/// As libtorch reports them.
pub fn of_grids(
    input: &Input,
    grids: impl IntoIterator<Item = Option<Vec<f32>>>,
) -> Result<Tensor, TchError> {
    let side = input.height as usize;
    let (mut luma, mut shown) = (Vec::new(), Vec::new());
    for grid in grids {
        shown.push(if grid.is_some() { 1.0_f32 } else { 0.0 });
        let mut grid = grid.unwrap_or_else(|| vec![0.0; side * side]);
        scale(input, &mut grid);
        luma.extend(grid);
    }
    let (frames, side) = (i64::from(input.frames), side as i64);
    let luma = Tensor::from_slice(&luma).f_view([-1, 1, frames, side, side])?;
    // Zeros after normalisation, where a clip is padded with them.
    let shown = Tensor::from_slice(&shown).f_view([-1, 1, frames, 1, 1])?;
    let clips = normalise(input, &luma)?.f_mul(&shown)?;
    debug_assert_eq!((clips.kind(), clips.device()), (Kind::Float, Device::Cpu));
    match input.layout {
        Layout::Nchw => clips.f_squeeze_dim(2),
        Layout::Ncthw => Ok(clips),
    }
}

/// Scales luma so that a percentile of it, 0 to 100, becomes 1, and cuts what is brighter.
pub fn scale_to_brightest(luma: &mut [f32], percentile: f64) {
    let brightest = percentile_of(luma, percentile).max(BRIGHTEST_MIN);
    for value in luma {
        *value = (*value / brightest).min(1.0);
    }
}

/// A percentile, 0 to 100, by rank.
fn percentile_of(values: &[f32], percentile: f64) -> f32 {
    let mut sorted = values.to_vec();
    let rank = ((sorted.len().saturating_sub(1)) as f64 * percentile / 100.0).round() as usize;
    if rank >= sorted.len() {
        return 0.0;
    }
    *sorted.select_nth_unstable_by(rank, f32::total_cmp).1
}

#[cfg(test)]
mod tests;
