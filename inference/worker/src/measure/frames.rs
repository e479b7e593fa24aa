//! Every frame decoded and mapped by the network, and what measurement needs of the maps; pixels and maps are let go,
//! so that a clip's length costs little memory.

use std::ops::Range;

use super::grid::{Grid, Placement, Resampler};
use super::lanes::{self, Network};
use super::sector::Sector;
use super::ventricle::Ventricle;
use crate::clip::Clip;
use crate::models::{FrameMaps, ReadError, Segmenter, prepare};

/// Most frames that one core decodes, maps and reads at a time. It is the same on every machine, so that the numbers are,
/// and small enough for the cores to have equal shares of a cine.
const CHUNK: usize = 8;

/// A pixel that the cavity's map gives less than this is no part of it at all.
const FAINT: f32 = 0.1;

/// Half of the window in which a ventricle is compared with its neighbours: seconds, and bounds in frames.
const JUMP_S: f64 = 0.12;
const JUMP_FRAMES: [usize; 2] = [3, 9];

/// A base that is this share of the long axis away from its neighbours' has jumped.
const JUMP_SHARE: f64 = 0.16;

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FrameReading {
    /// The ventricle in the mean of both maps.
    pub(super) ventricle: Option<Ventricle>,
    /// Volumes in the direct map and in the mirrored one, in cubes of the unit of length.
    pub(super) variants: [Option<f64>; 2],
    /// Areas over one half as shares of the grid.
    pub(super) areas: Areas,
    /// How sure the network is of the cavity: mean of |2p - 1| where it sees any of it, 0 to 1.
    pub(super) confidence: f64,
    /// Dice of the cavity with the frame before; none in the first frame.
    pub(super) overlap: Option<f64>,
    /// Area over that of the convex hull.
    pub(super) solidity: f64,
    /// Centres of left atrium and right heart, in the unit of length.
    pub(super) atrium_centre: Option<[f64; 2]>,
    pub(super) right_centre: Option<[f64; 2]>,
    /// Mean luma of the wall less that of the cavity, over the brightest luma.
    pub(super) contrast: f64,
}

/// Areas of the structures as shares of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Areas {
    pub(super) lv: f64,
    pub(super) myocardium: f64,
    pub(super) la: f64,
    pub(super) right: f64,
}

/// All frames of a clip.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClipFrames {
    pub(super) frames: Vec<FrameReading>,
    pub(super) placement: Placement,
    /// Frames whose ventricle was left out, since it jumped away from its neighbours.
    pub(super) left_out: usize,
    /// The brightest luma of all frames.
    pub(super) brightest: u8,
    /// Frames that other models may want to see too, resampled, in the order of [`prepare::sampling`].
    pub(super) shown: Vec<Vec<f32>>,
    sector: Sector,
}

/// Consecutive frames that were read together.
struct Chunk {
    frames: Vec<FrameReading>,
    /// The cavity in the first frame and in the last, for the overlap with the chunks around.
    ends: Option<[Grid; 2]>,
    sector: Sector,
    brightest: u8,
    shown: Vec<Vec<f32>>,
}

/// What every chunk is read with.
struct Reader<'a> {
    clip: &'a Clip,
    segmenter: &'a Segmenter,
    placement: Placement,
    resampler: Resampler,
    /// Frames to be kept for other models, rising.
    wanted: Vec<usize>,
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

impl Reader<'_> {
    /// Decodes, resamples, maps and reads the frames of a chunk.
    fn read(&self, chunk: usize, network: &Network<'_>) -> Result<Chunk, ReadError> {
        let mut brightest = 0;
        let mut luma = Vec::with_capacity(CHUNK);
        let mut shown = Vec::new();
        for index in part(self.clip.frames, chunk) {
            let frame = self.clip.frame(index)?;
            brightest = frame.iter().copied().fold(brightest, u8::max);
            let grid = self.resampler.sample(&frame);
            if self.wanted.binary_search(&index).is_ok() {
                shown.push(grid.clone());
            }
            luma.push(grid);
        }
        let mut inputs = luma.clone();
        for input in &mut inputs {
            self.segmenter.normalise(input);
        }
        let mut sector = Sector::new(self.segmenter.side());
        let mut frames = Vec::with_capacity(CHUNK);
        let mut ends: Option<[Grid; 2]> = None;
        for (luma, maps) in luma.iter().zip(network(inputs)?) {
            sector.add(luma);
            let mean = FrameMaps::mean(&maps);
            let before = ends.as_ref().map(|[_, last]| last);
            frames.push(FrameReading::new(
                &maps,
                &mean,
                before,
                luma,
                &self.placement,
            ));
            ends = Some(match ends {
                None => [mean.lv.clone(), mean.lv],
                Some([first, _]) => [first, mean.lv],
            });
        }
        Ok(Chunk {
            frames,
            ends,
            sector,
            brightest,
            shown,
        })
    }
}

impl ClipFrames {
    /// Decodes, maps and reads every frame, on all cores.
    pub(super) fn read(clip: &Clip, segmenter: &Segmenter) -> Result<Self, ReadError> {
        let placement = segmenter.placement(clip);
        let side = segmenter.side();
        let reader = Reader {
            clip,
            segmenter,
            placement,
            resampler: Resampler::new(&placement, clip.width, clip.height, side),
            wanted: prepare::sampling(&segmenter.manifest().input, clip.frames, None)
                .map(|sampling| sampling.into_iter().flatten().flatten().collect())
                .unwrap_or_default(),
        };
        let chunks = lanes::run(segmenter, chunks(clip.frames), |chunk, network| {
            reader.read(chunk, network)
        })?;
        Ok(Self::join(chunks, placement, side, clip.frame_rate_hz))
    }

    fn join(
        chunks: Vec<Chunk>,
        placement: Placement,
        side: usize,
        frame_rate_hz: Option<f64>,
    ) -> Self {
        let mut sector = Sector::new(side);
        let mut frames: Vec<FrameReading> = Vec::new();
        let mut brightest = 0;
        let mut shown = Vec::new();
        let mut before: Option<Grid> = None;
        for mut chunk in chunks {
            sector.merge(&chunk.sector);
            brightest = brightest.max(chunk.brightest);
            if let Some([first, last]) = chunk.ends {
                if let (Some(frame), Some(before)) = (chunk.frames.first_mut(), &before) {
                    frame.overlap = Some(dice(before, &first));
                }
                before = Some(last);
            }
            frames.append(&mut chunk.frames);
            shown.append(&mut chunk.shown);
        }
        sector.close();
        let left_out = leave_out_jumps(&mut frames, frame_rate_hz);
        Self {
            frames,
            placement,
            left_out,
            brightest,
            shown,
            sector,
        }
    }

    /// Volume of every frame, in cubes of the unit of length.
    pub(super) fn volumes(&self) -> Vec<Option<f64>> {
        self.frames
            .iter()
            .map(|f| f.ventricle.as_ref().map(Ventricle::volume))
            .collect()
    }

    /// Volumes of the direct maps (0) or of the mirrored ones (1).
    pub(super) fn variant_volumes(&self, which: usize) -> Vec<Option<f64>> {
        self.frames.iter().map(|f| f.variants[which]).collect()
    }

    /// The frames in which a ventricle was found.
    pub(super) fn found(&self) -> impl Iterator<Item = (&FrameReading, &Ventricle)> {
        self.frames
            .iter()
            .filter_map(|frame| Some((frame, frame.ventricle.as_ref()?)))
    }

    /// The median of a figure over the frames in which a ventricle was found; 0 where there is none.
    pub(super) fn median(&self, figure: impl Fn(&FrameReading) -> f64) -> f64 {
        let mut values: Vec<f64> = self.found().map(|(frame, _)| figure(frame)).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    }

    /// Share of a ventricle's outline that lies inside the insonified sector.
    pub(super) fn share_inside(&self, ventricle: &Ventricle) -> f64 {
        let points = &ventricle.outline.points;
        let inside = points
            .iter()
            .filter(|point| {
                let crop = self.placement.length_to_crop(**point);
                self.sector.holds(self.placement.crop_to_grid(crop))
            })
            .count();
        inside as f64 / points.len().max(1) as f64
    }
}

impl FrameReading {
    fn new(
        maps: &[FrameMaps; 2],
        mean: &FrameMaps,
        before: Option<&Grid>,
        luma: &[f32],
        placement: &Placement,
    ) -> Self {
        let ventricle = find(mean, placement);
        let variants = [0, 1].map(|which| find(&maps[which], placement).map(|v| v.volume()));
        let share = |map: &Grid| map.count_over(0.5) as f64 / map.values.len().max(1) as f64;
        Self {
            solidity: ventricle.as_ref().map_or(0.0, |v| v.outline.solidity()),
            ventricle,
            variants,
            areas: Areas {
                lv: share(&mean.lv),
                myocardium: share(&mean.myocardium),
                la: share(&mean.la),
                right: share(&mean.right),
            },
            confidence: confidence(&mean.lv),
            overlap: before.map(|before| dice(before, &mean.lv)),
            atrium_centre: centre(&mean.la).map(|point| placement.to_length(point)),
            right_centre: centre(&mean.right).map(|point| placement.to_length(point)),
            contrast: contrast(mean, luma),
        }
    }
}

/// Takes the ventricle from frames in which it isn't where its neighbours have it, and counts them. An open valve
/// without visible leaflets lets a network run on into the atrium for a frame or two; the annulus itself doesn't jump.
fn leave_out_jumps(frames: &mut [FrameReading], frame_rate_hz: Option<f64>) -> usize {
    let reach = frame_rate_hz.map_or(JUMP_FRAMES[0], |rate| (JUMP_S * rate).round() as usize);
    let reach = reach.clamp(JUMP_FRAMES[0], JUMP_FRAMES[1]);
    let places: Vec<Option<[f64; 3]>> = frames
        .iter()
        .map(|frame| {
            let ventricle = frame.ventricle.as_ref()?;
            Some([ventricle.base[0], ventricle.base[1], ventricle.length()])
        })
        .collect();
    let jumps: Vec<bool> = places
        .iter()
        .enumerate()
        .map(|(at, place)| {
            let window = &places[at.saturating_sub(reach)..(at + reach + 1).min(places.len())];
            place.is_some_and(|place| jumps(place, window))
        })
        .collect();
    for (frame, _) in frames.iter_mut().zip(&jumps).filter(|(_, jumps)| **jumps) {
        frame.ventricle = None;
        frame.variants = [None; 2];
    }
    jumps.into_iter().filter(|jumps| *jumps).count()
}

/// Whether base or length differ from their medians in a window by more than the annulus moves in that time.
fn jumps([x, y, length]: [f64; 3], window: &[Option<[f64; 3]>]) -> bool {
    let median = |part: usize| {
        let mut values: Vec<f64> = window.iter().flatten().map(|place| place[part]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let usual = median(2);
    let moved = (x - median(0)).hypot(y - median(1));
    moved.max((length - usual).abs()) > JUMP_SHARE * usual
}

fn find(maps: &FrameMaps, placement: &Placement) -> Option<Ventricle> {
    let others = [&maps.myocardium, &maps.right];
    Ventricle::find(&maps.lv, &maps.la, others, placement)
}

fn confidence(map: &Grid) -> f64 {
    let seen: Vec<f32> = map.values.iter().copied().filter(|p| *p > FAINT).collect();
    let sum: f32 = seen.iter().map(|p| (2.0 * p - 1.0).abs()).sum();
    f64::from(sum) / seen.len().max(1) as f64
}

fn dice(a: &Grid, b: &Grid) -> f64 {
    let both = a
        .values
        .iter()
        .zip(&b.values)
        .filter(|(a, b)| **a > 0.5 && **b > 0.5)
        .count();
    let sum = a.count_over(0.5) + b.count_over(0.5);
    if sum == 0 {
        0.0
    } else {
        2.0 * both as f64 / sum as f64
    }
}

fn centre(map: &Grid) -> Option<[f64; 2]> {
    let (mut x, mut y, mut count) = (0.0, 0.0, 0.0);
    for (at, _) in map.values.iter().enumerate().filter(|(_, p)| **p > 0.5) {
        x += (at % map.width) as f64 + 0.5;
        y += (at / map.width) as f64 + 0.5;
        count += 1.0;
    }
    (count > 0.0).then(|| [x / count, y / count])
}

fn contrast(maps: &FrameMaps, luma: &[f32]) -> f64 {
    let mean = |map: &Grid| {
        let (sum, count) = map
            .values
            .iter()
            .zip(luma)
            .filter(|(p, _)| **p > 0.5)
            .fold((0.0, 0.0), |(sum, count), (_, luma)| {
                (sum + luma, count + 1.0)
            });
        if count > 0.0 { sum / count } else { 0.0 }
    };
    let brightest = luma.iter().copied().fold(1.0, f32::max);
    f64::from((mean(&maps.myocardium) - mean(&maps.lv)) / brightest)
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
    }

    #[test]
    fn a_jump_is_told_from_the_annulus_own_movement() {
        let steady = |at: f64| Some([50.0, 80.0 + at, 60.0 - at]);
        let mut window: Vec<Option<[f64; 3]>> = (0..7).map(|i| steady(f64::from(i))).collect();
        window[3] = Some([52.0, 97.0, 77.0]);
        window[4] = None;
        assert!(jumps([52.0, 97.0, 77.0], &window));
        assert!(!jumps([50.0, 80.0, 60.0], &window));
        assert!(!jumps([50.0, 86.0, 54.0], &window));
    }

    #[test]
    fn overlap_and_confidence_are_shares() {
        let mut a = Grid::filled(4, 4, 0.0);
        let mut b = a.clone();
        a.values[..4].fill(1.0);
        b.values[2..6].fill(1.0);
        assert!((dice(&a, &b) - 0.5).abs() < 1e-9);
        assert!((confidence(&a) - 1.0).abs() < 1e-9);
        a.values[..4].fill(0.5);
        assert!(confidence(&a) < 1e-9);
        assert_eq!(centre(&Grid::filled(4, 4, 0.0)), None);
    }
}
