//! A cine in equal parts, each decoded, resampled and mapped on one core. Every frame is read beside its neighbours, those
//! across the seam of two parts too.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tch::TchError;

use super::frames::{FrameReading, find};
use super::grid::{Placement, Resampler};
use super::lanes::{self, Network};
use super::sector::Sector;
use crate::clip::Clip;
use crate::models::{FrameMaps, ReadError, Segmenter, mirror, prepare};

/// Most frames that one core decodes, maps and reads at a time. It is the same on every machine, so that the numbers are,
/// and small enough for the cores to have equal shares of a cine. Where there is more than one chunk, each has at least
/// half as many.
const CHUNK: usize = 8;

/// Consecutive frames that were mapped together, and what was read beside that.
pub(super) struct Chunk {
    /// Frames by number, from 0: the chunk's own, but for those whose neighbours were missing yet, and those of other
    /// chunks that waited for its frames.
    pub(super) frames: Vec<(usize, FrameReading)>,
    pub(super) sector: Sector,
    pub(super) brightest: u8,
    /// Frames for other models, resampled.
    pub(super) shown: Vec<Vec<f32>>,
    /// Luma of the chunk's frames on the network's grid, rounded.
    pub(super) small: Vec<Vec<u8>>,
}

/// Decodes, maps and reads every frame, on all cores.
///
/// # Errors
/// [`ReadError`].
pub(super) fn read(clip: &Clip, segmenter: &Segmenter) -> Result<Vec<Chunk>, ReadError> {
    let count = chunks(clip.frames);
    let wanted = prepare::sampling(&segmenter.manifest().input, clip.frames, None);
    let placement = segmenter.placement(clip);
    let reader = Reader {
        clip,
        segmenter,
        placement,
        resampler: Resampler::new(&placement, clip.width, clip.height, segmenter.side()),
        wanted: wanted.map_or_else(
            |_| Vec::new(),
            |sampling| sampling.into_iter().flatten().flatten().collect(),
        ),
        seams: Seams::new(count),
    };
    lanes::run(segmenter, count, |chunk, network| {
        reader.read(chunk, network)
    })
}

/// Volumes of some frames as the network sees them in the mirror, in cubes of the unit of length; none where it sees no
/// ventricle. Each group of `frames`, which are luma on the network's grid, is mapped on one core.
///
/// # Errors
/// As libtorch reports them.
pub(super) fn mirrored_volumes(
    segmenter: &Segmenter,
    placement: &Placement,
    frames: &[&[Vec<u8>]],
) -> Result<Vec<Vec<Option<f64>>>, TchError> {
    let input = |luma: &Vec<u8>| {
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

/// Chunks of a clip.
fn chunks(frames: usize) -> usize {
    frames.div_ceil(CHUNK)
}

/// The frames of a chunk. Chunks are as equal as can be: with a short one at the end, the core that has it would wait.
fn part(frames: usize, chunk: usize) -> Range<usize> {
    let begin = |chunk: usize| frames * chunk / chunks(frames);
    begin(chunk)..begin(chunk + 1)
}

/// A frame that is mapped, but not read yet.
struct Mapped {
    index: usize,
    /// On the network's grid.
    luma: Vec<f32>,
    maps: FrameMaps,
}

/// What every chunk is read with.
struct Reader<'a> {
    clip: &'a Clip,
    segmenter: &'a Segmenter,
    placement: Placement,
    resampler: Resampler,
    /// Frames to be kept for other models, rising.
    wanted: Vec<usize>,
    seams: Seams,
}

impl Reader<'_> {
    /// Decodes, resamples, maps and reads the frames of a chunk.
    fn read(&self, chunk: usize, network: &Network<'_>) -> Result<Chunk, ReadError> {
        let numbers = part(self.clip.frames, chunk);
        let mut brightest = 0;
        let mut sector = Sector::new(self.segmenter.side());
        let mut luma = Vec::with_capacity(CHUNK);
        let mut shown = Vec::new();
        for index in numbers.clone() {
            let frame = self.clip.frame(index)?;
            brightest = frame.iter().copied().fold(brightest, u8::max);
            let grid = self.resampler.sample(&frame);
            sector.add(&grid);
            if self.wanted.binary_search(&index).is_ok() {
                shown.push(grid.clone());
            }
            luma.push(grid);
        }
        let rounded = |grid: &Vec<f32>| grid.iter().map(|luma| luma.round() as u8).collect();
        let small = luma.iter().map(rounded).collect();
        let mut inputs = luma.clone();
        for input in &mut inputs {
            self.segmenter.normalise(input);
        }
        let mapped: Vec<Arc<Mapped>> = numbers
            .zip(luma)
            .zip(network(inputs)?)
            .map(|((index, luma), maps)| Arc::new(Mapped { index, luma, maps }))
            .collect();
        let mut frames = self.read_complete(&mapped);
        for joined in self.seams.meet(chunk, &mapped) {
            frames.extend(self.read_complete(&joined));
        }
        Ok(Chunk {
            frames,
            sector,
            brightest,
            shown,
            small,
        })
    }

    /// Reads those of some consecutive frames whose neighbours are there, or can't be: at the ends of the clip.
    fn read_complete(&self, mapped: &[Arc<Mapped>]) -> Vec<(usize, FrameReading)> {
        let last = self.clip.frames - 1;
        let read = mapped.iter().enumerate().filter_map(|(at, own)| {
            let before = at.checked_sub(1).and_then(|at| mapped.get(at));
            let after = mapped.get(at + 1);
            if (before.is_none() && own.index > 0) || (after.is_none() && own.index < last) {
                return None;
            }
            let around = [before, after].map(|frame| frame.map(|frame| &frame.maps));
            let reading = FrameReading::new(&own.maps, around, &own.luma, &self.placement);
            Some((own.index, reading))
        });
        read.collect()
    }
}

/// Where chunks meet. The one that comes to a seam first leaves its frames there, and the other one reads them.
struct Seams(Vec<Mutex<Option<Vec<Arc<Mapped>>>>>);

impl Seams {
    /// Between so many chunks.
    fn new(chunks: usize) -> Self {
        Self((1..chunks).map(|_| Mutex::new(None)).collect())
    }

    /// Brings a chunk's frames to the seams at its ends: for each seam whose other side was there before, the two frames on
    /// both sides of it, in order.
    fn meet(&self, chunk: usize, mapped: &[Arc<Mapped>]) -> Vec<Vec<Arc<Mapped>>> {
        let two = mapped.len().min(2);
        let before = chunk.checked_sub(1).map(|seam| (seam, &mapped[..two]));
        let after = (chunk, &mapped[mapped.len() - two..]);
        let ends = before.into_iter().chain([after]);
        let joined = ends.filter_map(|(seam, end)| {
            let mut waiting = self
                .0
                .get(seam)?
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let Some(other) = waiting.take() else {
                *waiting = Some(end.to_vec());
                return None;
            };
            drop(waiting);
            let mut joined = [other, end.to_vec()].concat();
            joined.sort_unstable_by_key(|mapped| mapped.index);
            Some(joined)
        });
        joined.collect()
    }
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
        assert!((9..200).all(|frames| least(frames) >= Some(CHUNK / 2)));
    }

    #[test]
    fn whoever_comes_to_a_seam_second_has_the_frames_of_both_sides() {
        let grid = super::super::grid::Grid::filled(1, 1, 0.0);
        let mapped = |numbers: Range<usize>| -> Vec<Arc<Mapped>> {
            let of = |index| {
                Arc::new(Mapped {
                    index,
                    luma: Vec::new(),
                    maps: FrameMaps {
                        lv: grid.clone(),
                        myocardium: grid.clone(),
                        la: grid.clone(),
                        right: grid.clone(),
                    },
                })
            };
            numbers.map(of).collect()
        };
        let numbers = |joined: Vec<Vec<Arc<Mapped>>>| -> Vec<Vec<usize>> {
            let of = |frames: Vec<Arc<Mapped>>| frames.iter().map(|frame| frame.index).collect();
            joined.into_iter().map(of).collect()
        };
        let seams = Seams::new(3);
        assert!(seams.meet(2, &mapped(8..12)).is_empty());
        assert!(seams.meet(0, &mapped(0..4)).is_empty());
        let both = seams.meet(1, &mapped(4..8));
        assert_eq!(numbers(both), [[2, 3, 4, 5], [6, 7, 8, 9]]);
        assert!(Seams::new(1).meet(0, &mapped(0..2)).is_empty());
    }
}
