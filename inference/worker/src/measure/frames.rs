//! What measurement needs of the maps of the frames that are read; pixels and maps are let go, so that a clip's length costs
//! little memory.

use std::convert::Infallible;

use super::chosen::Chosen;
use super::chunks::{Chunk, Look, Mapped, Mapper};
use super::grid::{Grid, Placement};
use super::lanes;
use super::sector::Sector;
use super::ventricle::{Ventricle, distance};
use crate::clip::Clip;
use crate::models::{FrameMaps, ReadError, Segmenter};
use crate::parallel;

/// A pixel that the cavity's map gives less than this is no part of it at all.
const FAINT: f32 = 0.1;

/// Half of the window in which a ventricle is compared with its neighbours: seconds, and bounds in frames.
const JUMP_S: f64 = 0.12;
const JUMP_FRAMES: [usize; 2] = [3, 9];

/// A base that is this share of the long axis away from its neighbours' has jumped.
const JUMP_SHARE: f64 = 0.16;

/// A hinge that is this share of the long axis away from its neighbours' has lost the annulus.
const HINGE_SHARE: f64 = 0.08;

/// Frames of a clip that are mapped before any of them is read: what is in memory of a long clip at once, some 200 kB a frame.
const STRETCH: usize = 512;

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
    /// Dice of the cavity with the frame before; none where that wasn't read.
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

/// The frames of a clip.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClipFrames {
    /// By number from 0; none for those that weren't read.
    pub(super) frames: Vec<Option<FrameReading>>,
    pub(super) placement: Placement,
    /// Frames that were left out of the curve, since their ventricle jumped away from its neighbours.
    pub(super) left_out: usize,
    /// The brightest luma of all frames.
    pub(super) brightest: u8,
    /// Frames that other models may want to see too, resampled, in the order of
    /// [`sampling`](crate::models::prepare::sampling).
    pub(super) shown: Vec<Vec<f32>>,
    /// By number from 0: the volume in a frame's mirror image, in cubes of the unit of length; none where no ventricle was
    /// found there, or none looked for.
    pub(super) mirrored: Vec<Option<f64>>,
    sector: Sector,
}

impl ClipFrames {
    /// Decodes, maps and reads the frames that are [`Chosen`], on all cores. Once those for other models are there, these
    /// `judge` them beside the rest, which is short and would leave cores idle.
    pub(super) fn read<T: Default + Send>(
        clip: &Clip,
        segmenter: &Segmenter,
        judge: impl FnOnce(&[Vec<f32>]) -> Result<T, ReadError> + Send,
    ) -> Result<(Self, T), ReadError> {
        let (mut judge, mut judged) = (Some(judge), T::default());
        let mapper = Mapper::new(clip, segmenter);
        let mut read = Self {
            frames: vec![None; clip.frames],
            placement: mapper.placement,
            left_out: 0,
            brightest: 0,
            shown: Vec::new(),
            mirrored: vec![None; clip.frames],
            sector: Sector::new(segmenter.side()),
        };
        for begin in (0..clip.frames).step_by(STRETCH) {
            let end = clip.frames.min(begin + STRETCH);
            let chosen = Chosen::new(begin..end, clip.frame_rate_hz, &mapper.wanted);
            let first = chosen.first().iter().map(|index| Look {
                index: *index,
                known: None,
                mirrored: false,
            });
            let mut mapped = read.take_in(mapper.map(&first.collect::<Vec<_>>())?);
            let mut volumes = vec![None; end - begin];
            for frame in &mapped {
                volumes[frame.index - begin] = frame.alone.as_ref().map(Ventricle::volume);
            }
            let missing = chosen.missing(&volumes);
            let map_rest = || mapper.map(&missing.looks(&mapped));
            let more = match judge.take_if(|_| end == clip.frames) {
                Some(judge) => {
                    let judge = || judge(&read.shown);
                    let (by_others, more) = lanes::beside(segmenter.device(), judge, map_rest);
                    judged = by_others?;
                    more?
                }
                None => map_rest()?,
            };
            mapped.extend(read.take_in(more));
            mapped.sort_unstable_by_key(|frame| frame.index);
            read.read_mapped(&mapped);
        }
        read.sector.close();
        read.left_out = leave_out_jumps(&mut read.frames, clip.frame_rate_hz);
        Ok((read, judged))
    }

    /// Keeps what is known of frames before they are read.
    fn take_in(&mut self, chunks: Vec<Chunk>) -> Vec<Mapped> {
        let mut mapped = Vec::new();
        for mut chunk in chunks {
            self.sector.merge(&chunk.sector);
            self.brightest = self.brightest.max(chunk.brightest);
            self.shown.append(&mut chunk.shown);
            mapped.append(&mut chunk.frames);
            for (index, volume) in chunk.mirrored {
                self.mirrored[index] = volume;
            }
        }
        mapped
    }

    /// Reads frames that are mapped, in order, each beside those before and after it.
    fn read_mapped(&mut self, mapped: &[Mapped]) {
        let read = |at: usize| {
            let around = [at.checked_sub(1), Some(at + 1)];
            let around = around.map(|at| mapped.get(at?));
            let reading = FrameReading::new(&mapped[at], around, &self.placement);
            Ok::<_, Infallible>(reading)
        };
        let Ok(readings) = parallel::try_map(mapped.len(), parallel::cores(), read);
        for (frame, reading) in mapped.iter().zip(readings) {
            self.frames[frame.index] = Some(reading);
        }
    }

    /// The frames that were read.
    pub(super) fn count(&self) -> usize {
        self.frames.iter().flatten().count()
    }

    /// Volume of every frame, in cubes of the unit of length; none where no ventricle was found, or none looked for.
    pub(super) fn volumes(&self) -> Vec<Option<f64>> {
        let volume = |frame: &FrameReading| Some(frame.alone.as_ref()?.volume());
        self.frames
            .iter()
            .map(|frame| frame.as_ref().and_then(volume))
            .collect()
    }

    /// The ventricle in a frame.
    pub(super) fn ventricle(&self, frame: usize) -> Option<&Ventricle> {
        self.frames.get(frame)?.as_ref()?.ventricle.as_ref()
    }

    /// The frames in which a ventricle was found.
    pub(super) fn found(&self) -> impl Iterator<Item = (&FrameReading, &Ventricle)> {
        self.frames
            .iter()
            .flatten()
            .filter_map(|frame| Some((frame, frame.ventricle.as_ref()?)))
    }

    /// The median of a figure over the frames in which a ventricle was found; 0 where there is none.
    pub(super) fn median(&self, figure: impl Fn(&FrameReading) -> f64) -> f64 {
        self.median_known(|frame| Some(figure(frame)))
            .unwrap_or(0.0)
    }

    /// The median of a figure over the frames in which a ventricle was found and that have it.
    pub(super) fn median_known(
        &self,
        figure: impl Fn(&FrameReading) -> Option<f64>,
    ) -> Option<f64> {
        let mut values: Vec<f64> = self
            .found()
            .filter_map(|(frame, _)| figure(frame))
            .collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
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
    /// Reads a frame from its own maps and from those of the frames read before and after it, as far as there are such.
    fn new(own: &Mapped, around: [Option<&Mapped>; 2], placement: &Placement) -> Self {
        let blended = blend(
            &own.maps,
            around.map(|frame| frame.map(|frame| &frame.maps)),
        );
        let maps = blended.as_ref().unwrap_or(&own.maps);
        let ventricle = find(maps, placement);
        let share = |map: &Grid| map.count_over(0.5) as f64 / map.values.len().max(1) as f64;
        let before = around[0].filter(|before| before.index + 1 == own.index);
        Self {
            solidity: ventricle.as_ref().map_or(0.0, |v| v.outline.solidity()),
            ventricle,
            alone: own.alone.clone(),
            areas: Areas {
                lv: share(&maps.lv),
                myocardium: share(&maps.myocardium),
                la: share(&maps.la),
                right: share(&maps.right),
            },
            confidence: confidence(&maps.lv),
            overlap: before.map(|before| dice(&before.maps.lv, &own.maps.lv)),
            atrium_centre: centre(&maps.la).map(|point| placement.to_length(point)),
            right_centre: centre(&maps.right).map(|point| placement.to_length(point)),
            contrast: contrast(maps, &own.luma),
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
fn leave_out_jumps(frames: &mut [Option<FrameReading>], frame_rate_hz: Option<f64>) -> usize {
    let reach = frame_rate_hz.map_or(JUMP_FRAMES[0], |rate| (JUMP_S * rate).round() as usize);
    let reach = reach.clamp(JUMP_FRAMES[0], JUMP_FRAMES[1]);
    track_hinges(frames, reach);
    leave_out(frames, reach, |frame| &mut frame.ventricle);
    // The annulus is found best beside the neighbours, and it moves steadily enough to lose nothing by that.
    for frame in frames.iter_mut().flatten() {
        if let (Some(alone), Some(ventricle)) = (&frame.alone, &frame.ventricle) {
            frame.alone = alone.with_hinges(ventricle.hinges());
        }
    }
    leave_out(frames, reach, |frame| &mut frame.alone)
}

/// Moves hinges of contours that aren't where those of the neighbours are. The annulus moves little in so short a time,
/// but the border between ventricle and atrium is where a network is unsure: there is nothing to be seen of it but
/// leaflets, and they are seen only while they lie across the beam.
fn track_hinges(frames: &mut [Option<FrameReading>], reach: usize) {
    let places: Vec<Option<[f64; 5]>> = frames
        .iter()
        .map(|frame| {
            let ventricle = frame.as_ref()?.ventricle.as_ref()?;
            let [[a, b], [c, d]] = ventricle.hinges();
            Some([a, b, c, d, ventricle.length()])
        })
        .collect();
    for (at, frame) in frames.iter_mut().enumerate() {
        let Some(frame) = frame else { continue };
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
    frames: &mut [Option<FrameReading>],
    reach: usize,
    of: fn(&mut FrameReading) -> &mut Option<Ventricle>,
) -> usize {
    let places: Vec<Option<[f64; 3]>> = frames
        .iter_mut()
        .map(|frame| {
            let ventricle = of(frame.as_mut()?).as_ref()?;
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
    let jumped = frames.iter_mut().zip(&jumps).filter(|(_, jumps)| **jumps);
    for frame in jumped.filter_map(|(frame, _)| frame.as_mut()) {
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

fn contrast(maps: &FrameMaps, luma: &[u8]) -> f64 {
    let mean = |map: &Grid| {
        let (sum, count) = map.over(0.5).fold((0.0, 0.0), |(sum, count), at| {
            (sum + f64::from(luma[at]), count + 1.0)
        });
        if count > 0.0 { sum / count } else { 0.0 }
    };
    let brightest = luma.iter().copied().fold(1, u8::max);
    (mean(&maps.myocardium) - mean(&maps.lv)) / f64::from(brightest)
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
        let mapped = Mapped {
            index: 0,
            luma: vec![0; SIDE * SIDE],
            alone: find(&maps, &placement),
            maps,
        };
        FrameReading::new(&mapped, [None; 2], &placement)
    }

    #[test]
    fn a_hinge_that_lost_the_annulus_is_put_where_its_neighbours_have_it() {
        // The annulus moves by a pixel a frame.
        let mut frames: Vec<Option<FrameReading>> =
            (0..7).map(|at| Some(box_of_a_heart(10 + at))).collect();
        let ventricle = |frame: &Option<FrameReading>| frame.clone().unwrap().ventricle.unwrap();
        let hinges = |frame: &Option<FrameReading>| ventricle(frame).hinges();
        let true_ones: Vec<[[f64; 2]; 2]> = frames.iter().map(hinges).collect();
        let [left, right] = true_ones[3];
        assert!(
            distance(left, right) > 16.0 && (left[1] - 73.0).abs() < 1.0,
            "{left:?}"
        );
        track_hinges(&mut frames, 3);
        assert_eq!(frames.iter().map(hinges).collect::<Vec<_>>(), true_ones);
        let whole = ventricle(&frames[3]);
        let lost = whole
            .with_hinges([[left[0], left[1] - 15.0], right])
            .unwrap();
        assert!(lost.area() < 0.95 * whole.area());
        frames[3].as_mut().unwrap().ventricle = Some(lost);
        track_hinges(&mut frames, 3);
        // The lost one counts in the median, which the next frame's takes the place of.
        assert!(distance(hinges(&frames[3])[0], left) < 1.5);
        assert!(distance(hinges(&frames[3])[1], right) < 1e-9);
        let found = ventricle(&frames[3]);
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
