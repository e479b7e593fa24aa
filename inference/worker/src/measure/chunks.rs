//! Frames in equal parts, each decoded, resampled and mapped on one core.

use std::ops::Range;

use tch::TchError;

use super::frames::find;
use super::grid::{Placement, Resampler};
use super::lanes::{self, Network};
use super::sector::Sector;
use super::ventricle::Ventricle;
use crate::clip::Clip;
use crate::models::{FrameMaps, ReadError, Segmenter, mirror, prepare};

/// Most frames that one core decodes and maps at a time. It is the same on every machine, so that the numbers are,
/// and small enough for the cores to have equal shares of a cine.
const CHUNK: usize = 8;

/// Fewest frames of a chunk where there is more than one.
const CHUNK_MIN: usize = 3;

/// Frames that were mapped together, and what was seen beside that.
pub(super) struct Chunk {
    pub(super) frames: Vec<Mapped>,
    pub(super) sector: Sector,
    pub(super) brightest: u8,
    /// Frames for other models, resampled.
    pub(super) shown: Vec<Vec<f32>>,
}

/// A frame that is mapped, but not read yet.
pub(super) struct Mapped {
    /// From 0.
    pub(super) index: usize,
    /// On the network's grid, rounded.
    pub(super) luma: Vec<u8>,
    pub(super) maps: FrameMaps,
    /// The ventricle in these maps alone.
    pub(super) alone: Option<Ventricle>,
}

/// What every frame of a clip is mapped with.
pub(super) struct Mapper<'a> {
    clip: &'a Clip,
    segmenter: &'a Segmenter,
    pub(super) placement: Placement,
    resampler: Resampler,
    /// Frames to be kept for other models, rising.
    pub(super) wanted: Vec<usize>,
}

impl<'a> Mapper<'a> {
    pub(super) fn new(clip: &'a Clip, segmenter: &'a Segmenter) -> Self {
        let wanted = prepare::sampling(&segmenter.manifest().input, clip.frames, None);
        let placement = segmenter.placement(clip);
        Self {
            clip,
            segmenter,
            placement,
            resampler: Resampler::new(&placement, clip.width, clip.height, segmenter.side()),
            wanted: wanted.map_or_else(
                |_| Vec::new(),
                |sampling| sampling.into_iter().flatten().flatten().collect(),
            ),
        }
    }

    /// Decodes, resamples and maps frames, on all cores; the chunks are in the order of `numbers`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(super) fn map(&self, numbers: &[usize]) -> Result<Vec<Chunk>, ReadError> {
        lanes::run(self.segmenter, chunks(numbers.len()), |chunk, network| {
            self.map_chunk(&numbers[part(numbers.len(), chunk)], network)
        })
    }

    fn map_chunk(&self, numbers: &[usize], network: &Network<'_>) -> Result<Chunk, ReadError> {
        let mut brightest = 0;
        let mut sector = Sector::new(self.segmenter.side());
        let mut inputs = Vec::with_capacity(CHUNK);
        let (mut luma, mut shown) = (Vec::with_capacity(CHUNK), Vec::new());
        for index in numbers {
            let frame = self.clip.frame(*index)?;
            brightest = frame.iter().copied().fold(brightest, u8::max);
            let mut grid = self.resampler.sample(&frame);
            sector.add(&grid);
            if self.wanted.binary_search(index).is_ok() {
                shown.push(grid.clone());
            }
            luma.push(grid.iter().map(|luma| luma.round() as u8).collect());
            self.segmenter.normalise(&mut grid);
            inputs.push(grid);
        }
        let mapped = numbers.iter().zip(luma).zip(network(inputs)?);
        let frames = mapped.map(|((index, luma), maps)| Mapped {
            index: *index,
            luma,
            alone: find(&maps, &self.placement),
            maps,
        });
        Ok(Chunk {
            frames: frames.collect(),
            sector,
            brightest,
            shown,
        })
    }
}

/// Volumes of some frames as the network sees them in the mirror, in cubes of the unit of length; none where it sees no
/// ventricle. Each group of `frames`, which are luma on the network's grid, is mapped on one core.
///
/// # Errors
/// As libtorch reports them.
pub(super) fn mirrored_volumes(
    segmenter: &Segmenter,
    placement: &Placement,
    frames: &[&[&Vec<u8>]],
) -> Result<Vec<Vec<Option<f64>>>, TchError> {
    let input = |luma: &&Vec<u8>| {
        let mut input: Vec<f32> = luma.iter().map(|luma| f32::from(*luma)).collect();
        segmenter.normalise(&mut input);
        mirror(&mut input, segmenter.side());
        input
    };
    lanes::run(segmenter, frames.len(), |group, network| {
        let maps = network(frames[group].iter().map(input).collect())?;
        let ventricles = maps
            .into_iter()
            .map(|maps| find(&maps.mirrored(), placement));
        Ok(ventricles.map(|found| Some(found?.volume())).collect())
    })
}

/// Chunks of so many frames: two at least, so that no core waits, unless they would be very short.
fn chunks(frames: usize) -> usize {
    let fewest = if frames < 2 * CHUNK_MIN { 1 } else { 2 };
    frames.div_ceil(CHUNK).max(fewest.min(frames))
}

/// The frames of a chunk. Chunks are as equal as can be: with a short one at the end, the core that has it would wait.
fn part(frames: usize, chunk: usize) -> Range<usize> {
    let begin = |chunk: usize| frames * chunk / chunks(frames);
    begin(chunk)..begin(chunk + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_equal_and_leave_no_frame_out() {
        let of = |frames| (0..chunks(frames)).flat_map(move |chunk| part(frames, chunk));
        for frames in [0, 1, 8, 9, 60, 97] {
            assert_eq!(
                of(frames).collect::<Vec<_>>(),
                (0..frames).collect::<Vec<_>>()
            );
        }
        let lengths = (0..chunks(60)).map(|chunk| part(60, chunk).len());
        assert!(lengths.clone().all(|length| (7..=CHUNK).contains(&length)));
        assert_eq!(lengths.step_by(2).sum::<usize>(), 28);
        let least = |frames| {
            (0..chunks(frames))
                .map(move |chunk| part(frames, chunk).len())
                .min()
        };
        assert!((6..200).all(|frames| least(frames) >= Some(CHUNK_MIN)));
        assert_eq!([0, 1, 5, 6, 16, 17].map(chunks), [0, 1, 1, 2, 2, 3]);
    }
}
