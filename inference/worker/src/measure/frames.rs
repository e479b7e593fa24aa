//! What measurement needs of the maps of every frame; pixels and maps are let go, so that a clip's length costs little
//! memory.

use super::chunks::{self, Chunk};
use super::grid::{Grid, Placement};
use super::sector::Sector;
use super::ventricle::{Ventricle, distance};
use crate::clip::Clip;
use crate::models::{FrameMaps, ReadError, Segmenter};

/// A pixel that the cavity's map gives less than this is no part of it at all.
const FAINT: f32 = 0.1;

/// Half of the window in which a ventricle is compared with its neighbours: seconds, and bounds in frames.
const JUMP_S: f64 = 0.12;
const JUMP_FRAMES: [usize; 2] = [3, 9];

/// A base that is this share of the long axis away from its neighbours' has jumped.
const JUMP_SHARE: f64 = 0.16;

/// A hinge that is this share of the long axis away from its neighbours' has lost the annulus.
const HINGE_SHARE: f64 = 0.08;

/// How much of the maps that a contour is read in comes from the frame itself; each neighbour has half of the rest.
///
/// A network that sees one frame at a time loses a border now and then that its neighbours show: as one of three, two that
/// agree outvote it. On phantom cines of the training's styles this drew the base and the worst frame of a cine nearer to the
/// truth than a half did, and as much as mirror images of every frame had.
const OWN_SHARE: f32 = 1.0 / 3.0;

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FrameReading {
    /// The ventricle in the maps of the frame and its neighbours: its contour.
    pub(super) ventricle: Option<Ventricle>,
    /// The ventricle in the frame's own maps, with the annulus of the contour: its volume. The curve is smoothed over time
    /// itself, and with walls smoothed before it would lose part of its range, and EF with it.
    pub(super) alone: Option<Ventricle>,
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
    /// Frames that were left out of the curve, since their ventricle jumped away from its neighbours.
    pub(super) left_out: usize,
    /// The brightest luma of all frames.
    pub(super) brightest: u8,
    /// Frames that other models may want to see too, resampled, in the order of
    /// [`sampling`](crate::models::prepare::sampling).
    pub(super) shown: Vec<Vec<f32>>,
    /// Luma of every frame on the network's grid, rounded: a hundredth of a frame's own size.
    pub(super) small: Vec<Vec<u8>>,
    sector: Sector,
}

impl ClipFrames {
    /// Decodes, maps and reads every frame, on all cores.
    pub(super) fn read(clip: &Clip, segmenter: &Segmenter) -> Result<Self, ReadError> {
        let placement = segmenter.placement(clip);
        let chunks = chunks::read(clip, segmenter)?;
        Ok(Self::join(
            chunks,
            placement,
            segmenter.side(),
            clip.frame_rate_hz,
        ))
    }

    fn join(
        chunks: Vec<Chunk>,
        placement: Placement,
        side: usize,
        frame_rate_hz: Option<f64>,
    ) -> Self {
        let mut sector = Sector::new(side);
        let mut numbered: Vec<(usize, FrameReading)> = Vec::new();
        let mut brightest = 0;
        let (mut shown, mut small) = (Vec::new(), Vec::new());
        for mut chunk in chunks {
            sector.merge(&chunk.sector);
            brightest = brightest.max(chunk.brightest);
            numbered.append(&mut chunk.frames);
            shown.append(&mut chunk.shown);
            small.append(&mut chunk.small);
        }
        sector.close();
        numbered.sort_unstable_by_key(|(index, _)| *index);
        let mut frames: Vec<FrameReading> = numbered.into_iter().map(|(_, frame)| frame).collect();
        let left_out = leave_out_jumps(&mut frames, frame_rate_hz);
        Self {
            frames,
            placement,
            left_out,
            brightest,
            shown,
            small,
            sector,
        }
    }

    /// Volume of every frame, in cubes of the unit of length.
    pub(super) fn volumes(&self) -> Vec<Option<f64>> {
        self.frames
            .iter()
            .map(|f| f.alone.as_ref().map(Ventricle::volume))
            .collect()
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
    /// Reads a frame from its own maps, from those of the frames before and after it, as far as there are such, and from
    /// its luma on the network's grid.
    pub(super) fn new(
        own: &FrameMaps,
        [before, after]: [Option<&FrameMaps>; 2],
        luma: &[f32],
        placement: &Placement,
    ) -> Self {
        let blended = blend(own, [before, after]);
        let maps = blended.as_ref().unwrap_or(own);
        let ventricle = find(maps, placement);
        let share = |map: &Grid| map.count_over(0.5) as f64 / map.values.len().max(1) as f64;
        Self {
            solidity: ventricle.as_ref().map_or(0.0, |v| v.outline.solidity()),
            ventricle,
            alone: find(own, placement),
            areas: Areas {
                lv: share(&maps.lv),
                myocardium: share(&maps.myocardium),
                la: share(&maps.la),
                right: share(&maps.right),
            },
            confidence: confidence(&maps.lv),
            overlap: before.map(|before| dice(&before.lv, &own.lv)),
            atrium_centre: centre(&maps.la).map(|point| placement.to_length(point)),
            right_centre: centre(&maps.right).map(|point| placement.to_length(point)),
            contrast: contrast(maps, luma),
        }
    }
}

/// The maps of a frame and its neighbours in one; at the ends of a clip the frame stands in for the neighbour that it lacks.
fn blend(own: &FrameMaps, neighbours: [Option<&FrameMaps>; 2]) -> Option<FrameMaps> {
    let others = neighbours.into_iter().flatten();
    let mut weighted: Vec<(f32, &FrameMaps)> =
        others.map(|maps| ((1.0 - OWN_SHARE) / 2.0, maps)).collect();
    let rest: f32 = weighted.iter().map(|(weight, _)| weight).sum();
    weighted.push((1.0 - rest, own));
    FrameMaps::blend(&weighted)
}

/// Takes the ventricle from frames in which it isn't where its neighbours have it, and counts those that the volume curve
/// loses by that. An open valve without visible leaflets lets a network run on into the atrium for a frame or two; the
/// annulus itself doesn't jump.
fn leave_out_jumps(frames: &mut [FrameReading], frame_rate_hz: Option<f64>) -> usize {
    let reach = frame_rate_hz.map_or(JUMP_FRAMES[0], |rate| (JUMP_S * rate).round() as usize);
    let reach = reach.clamp(JUMP_FRAMES[0], JUMP_FRAMES[1]);
    track_hinges(frames, reach);
    leave_out(frames, reach, |frame| &mut frame.ventricle);
    // The annulus is found best beside the neighbours, and it moves steadily enough to lose nothing by that.
    for frame in &mut *frames {
        if let (Some(alone), Some(ventricle)) = (&frame.alone, &frame.ventricle) {
            frame.alone = alone.with_hinges(ventricle.hinges());
        }
    }
    leave_out(frames, reach, |frame| &mut frame.alone)
}

/// Moves hinges of contours that aren't where those of the neighbours are. The annulus moves little in so short a time,
/// but the border between ventricle and atrium is where a network is unsure: there is nothing to be seen of it but
/// leaflets, and they are seen only while they lie across the beam.
fn track_hinges(frames: &mut [FrameReading], reach: usize) {
    let places: Vec<Option<[f64; 5]>> = frames
        .iter()
        .map(|frame| {
            let ventricle = frame.ventricle.as_ref()?;
            let [[a, b], [c, d]] = ventricle.hinges();
            Some([a, b, c, d, ventricle.length()])
        })
        .collect();
    for (at, frame) in frames.iter_mut().enumerate() {
        let Some(ventricle) = &frame.ventricle else {
            continue;
        };
        let window = &places[at.saturating_sub(reach)..(at + reach + 1).min(places.len())];
        let [a, b, c, d, length]: [f64; 5] = std::array::from_fn(|part| median(window, part));
        let (found, usual) = (ventricle.hinges(), [[a, b], [c, d]]);
        let hinges = [0, 1].map(|hinge| {
            let jumps = distance(found[hinge], usual[hinge]) > HINGE_SHARE * length;
            if jumps { usual[hinge] } else { found[hinge] }
        });
        if hinges != found {
            frame.ventricle = ventricle.with_hinges(hinges);
        }
    }
}

fn leave_out(
    frames: &mut [FrameReading],
    reach: usize,
    of: fn(&mut FrameReading) -> &mut Option<Ventricle>,
) -> usize {
    let places: Vec<Option<[f64; 3]>> = frames
        .iter_mut()
        .map(|frame| {
            let ventricle = of(frame).as_ref()?;
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
        *of(frame) = None;
    }
    jumps.into_iter().filter(|jumps| *jumps).count()
}

/// Whether base or length differ from their medians in a window by more than the annulus moves in that time.
fn jumps([x, y, length]: [f64; 3], window: &[Option<[f64; 3]>]) -> bool {
    let usual = median(window, 2);
    let moved = (x - median(window, 0)).hypot(y - median(window, 1));
    moved.max((length - usual).abs()) > JUMP_SHARE * usual
}

/// The median of one of several figures in the frames of a window that have them, at least one.
fn median<const N: usize>(window: &[Option<[f64; N]>], figure: usize) -> f64 {
    let mut values: Vec<f64> = window
        .iter()
        .flatten()
        .map(|figures| figures[figure])
        .collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub(super) fn find(maps: &FrameMaps, placement: &Placement) -> Option<Ventricle> {
    let others = [&maps.myocardium, &maps.right];
    Ventricle::find(&maps.lv, &maps.la, others, placement)
}

fn confidence(map: &Grid) -> f64 {
    let seen = map.over(FAINT).map(|at| (2.0 * map.values[at] - 1.0).abs());
    let (sum, count) = seen.fold((0.0_f32, 0_usize), |(sum, count), sure| {
        (sum + sure, count + 1)
    });
    f64::from(sum) / count.max(1) as f64
}

fn dice(a: &Grid, b: &Grid) -> f64 {
    let sum = a.count_over(0.5) + b.count_over(0.5);
    if sum == 0 {
        0.0
    } else {
        2.0 * a.count_over_in_both(b, 0.5) as f64 / sum as f64
    }
}

fn centre(map: &Grid) -> Option<[f64; 2]> {
    let (mut x, mut y, mut count) = (0.0, 0.0, 0.0);
    for at in map.over(0.5) {
        x += (at % map.width) as f64 + 0.5;
        y += (at / map.width) as f64 + 0.5;
        count += 1.0;
    }
    (count > 0.0).then(|| [x / count, y / count])
}

fn contrast(maps: &FrameMaps, luma: &[f32]) -> f64 {
    let mean = |map: &Grid| {
        let (sum, count) = map
            .over(0.5)
            .fold((0.0, 0.0), |(sum, count), at| (sum + luma[at], count + 1.0));
        if count > 0.0 { sum / count } else { 0.0 }
    };
    let brightest = luma.iter().copied().fold(1.0, f32::max);
    f64::from((mean(&maps.myocardium) - mean(&maps.lv)) / brightest)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

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

    /// A cavity of 20 x 60 pixels over an atrium of the same width.
    fn box_of_a_heart(top: usize) -> FrameReading {
        const SIDE: usize = 112;
        let fill = |rows: Range<usize>| {
            let mut map = Grid::filled(SIDE, SIDE, 0.0);
            for row in map
                .values
                .chunks_exact_mut(SIDE)
                .take(rows.end)
                .skip(rows.start)
            {
                row[40..60].fill(1.0);
            }
            map
        };
        let maps = FrameMaps {
            lv: fill(top..top + 60),
            myocardium: fill(0..0),
            la: fill(top + 60..top + 75),
            right: fill(0..0),
        };
        let placement = Placement {
            scale: [1.0; 2],
            offset: [0.0; 2],
            unit: [1.0; 2],
        };
        FrameReading::new(&maps, [None; 2], &vec![0.0; SIDE * SIDE], &placement)
    }

    #[test]
    fn a_hinge_that_lost_the_annulus_is_put_where_its_neighbours_have_it() {
        // The annulus moves by a pixel a frame.
        let mut frames: Vec<FrameReading> = (0..7).map(|at| box_of_a_heart(10 + at)).collect();
        let hinges = |frame: &FrameReading| frame.ventricle.as_ref().unwrap().hinges();
        let true_ones: Vec<[[f64; 2]; 2]> = frames.iter().map(hinges).collect();
        let [left, right] = true_ones[3];
        assert!(
            distance(left, right) > 16.0 && (left[1] - 73.0).abs() < 1.0,
            "{left:?}"
        );
        track_hinges(&mut frames, 3);
        assert_eq!(frames.iter().map(hinges).collect::<Vec<_>>(), true_ones);
        let whole = frames[3].ventricle.clone().unwrap();
        let lost = whole
            .with_hinges([[left[0], left[1] - 15.0], right])
            .unwrap();
        assert!(lost.area() < 0.95 * whole.area());
        frames[3].ventricle = Some(lost);
        track_hinges(&mut frames, 3);
        // The lost one counts in the median, which the next frame's takes the place of.
        assert!(distance(hinges(&frames[3])[0], left) < 1.5);
        assert!(distance(hinges(&frames[3])[1], right) < 1e-9);
        let found = frames[3].ventricle.as_ref().unwrap();
        assert!((found.area() / whole.area() - 1.0).abs() < 0.02);
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
