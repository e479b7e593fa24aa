//! Frames in equal parts, each decoded, resampled and mapped on one core.

use std::ops::Range;

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
    /// By frame: the volume in its mirror image, in cubes of the unit of length; none where no ventricle is seen there.
    pub(super) mirrored: Vec<(usize, Option<f64>)>,
    pub(super) sector: Sector,
    pub(super) brightest: u8,
    /// Frames for other models, resampled.
    pub(super) shown: Vec<Vec<f32>>,
}

/// What is asked about one frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look<'a> {
    /// From 0.
    pub(super) index: usize,
    /// Its luma on the network's grid, where it was mapped before.
    pub(super) known: Option<&'a [u8]>,
    /// Whether it is to be mapped in the mirror too.
    pub(super) mirrored: bool,
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

    /// Decodes, resamples and maps frames, on all cores; the chunks are in the order of `looks`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(super) fn map(&self, looks: &[Look<'_>]) -> Result<Vec<Chunk>, ReadError> {
        lanes::run(self.segmenter, chunks(looks.len()), |chunk, network| {
            self.map_chunk(&looks[part(looks.len(), chunk)], network)
        })
    }

    fn map_chunk(&self, looks: &[Look<'_>], network: &Network<'_>) -> Result<Chunk, ReadError> {
        let mut chunk = Chunk {
            frames: Vec::with_capacity(looks.len()),
            mirrored: Vec::new(),
            sector: Sector::new(self.segmenter.side()),
            brightest: 0,
            shown: Vec::new(),
        };
        let (mut inputs, mut mirrors) = (Vec::new(), Vec::new());
        let mut decoded = Vec::new();
        for look in looks {
            let luma = if let Some(luma) = look.known {
                luma
            } else {
                let mut grid = self.decode(look.index, &mut chunk)?;
                let luma: Vec<u8> = grid.iter().map(|luma| luma.round() as u8).collect();
                self.segmenter.normalise(&mut grid);
                inputs.push(grid);
                decoded.push((look.index, luma));
                decoded.last().map_or(&[][..], |(_, luma)| luma)
            };
            if look.mirrored {
                mirrors.push(self.mirror_of(luma));
            }
        }
        inputs.append(&mut mirrors);
        let mut maps = network(inputs)?.into_iter();
        for ((index, luma), maps) in decoded.into_iter().zip(maps.by_ref()) {
            chunk.frames.push(Mapped {
                index,
                luma,
                alone: find(&maps, &self.placement),
                maps,
            });
        }
        let mirrored = looks.iter().filter(|look| look.mirrored);
        for (look, maps) in mirrored.zip(maps) {
            let found = find(&maps.mirrored(), &self.placement);
            let volume = found.as_ref().map(Ventricle::volume);
            chunk.mirrored.push((look.index, volume));
        }
        Ok(chunk)
    }

    /// A frame's luma on the network's grid.
    fn decode(&self, index: usize, chunk: &mut Chunk) -> Result<Vec<f32>, ReadError> {
        let frame = self.clip.frame(index)?;
        chunk.brightest = frame.iter().copied().fold(chunk.brightest, u8::max);
        let grid = self.resampler.sample(&frame);
        chunk.sector.add(&grid);
        if self.wanted.binary_search(&index).is_ok() {
            chunk.shown.push(grid.clone());
        }
        Ok(grid)
    }

    /// The network's input for the mirror image of a frame.
    fn mirror_of(&self, luma: &[u8]) -> Vec<f32> {
        let mut input: Vec<f32> = luma.iter().map(|luma| f32::from(*luma)).collect();
        self.segmenter.normalise(&mut input);
        mirror(&mut input, self.segmenter.side());
        input
    }
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
