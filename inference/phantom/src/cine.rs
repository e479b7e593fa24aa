//! Cines: a clip of one subject on one device, frame by frame, with its truth.

use crate::acquire::{Acquisition, Polar, Ring, Scene};
use crate::anatomy::{Heart, Pose, SizeLaw};
use crate::motion::{Cycle, Rhythm};
use crate::ranges::{self, Split};
use crate::rng::Draw;
use crate::scan_convert::{Converter, Raster, tone};
use crate::scanner::Scanner;
use crate::screen::{self, Layout};
use crate::shape::Slice;
pub use crate::spec::{Calibration, Encoding, Photometric, Quality, StudySpec, Subject};
use crate::style::Style;
use crate::truth::{self, Truth};

/// One frame. `pixels` is `[height, width, samples]`, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// 3 for RGB, 1 for grey.
    pub samples: u16,
    /// The samples.
    pub pixels: Vec<u8>,
}

/// A cine that can be rendered and written.
#[derive(Clone, Debug)]
pub struct Study {
    spec: StudySpec,
    heart: Heart,
    pose: Pose,
    cycle: Cycle,
    rhythm: Rhythm,
    scanner: Scanner,
    raster: Raster,
    layout: Layout,
    heart_rate: f32,
    truth: Option<Truth>,
}

const HEART: u64 = 0x6865_6172_7400_0000;
const WINDOW: u64 = 0x7769_6e64_6f77_0000;
/// The fastest heart that is drawn.
const RATE_MAX: f32 = 110.0;

impl Study {
    /// Draws the case of `spec`. Two specs that differ in the view alone show one and the same ventricle.
    pub fn generate(spec: &StudySpec) -> Self {
        let mut spec = spec.clone();
        if spec.subject == Subject::Still {
            spec.frames = 1;
        }
        let view = spec.view();
        let mut rng = Draw::new(spec.seed, spec.split.tag() ^ HEART);
        let drawn_ef = ranges::LVEF_PERCENT.draw(&mut rng, spec.split);
        let law = SizeLaw {
            edv_ml: spec.edv_ml.map_or((60.0, 250.0), |v| (v, v)),
            lvef_percent: spec.lvef_percent.unwrap_or(drawn_ef),
        };
        let heart = Heart::draw(&mut rng.clone(), law, view);
        let cycle = Cycle::draw(&mut rng);
        let (heart_rate, rhythm) = rhythm(&mut rng, &spec);
        let mut rng = Draw::new(spec.seed, spec.split.tag() ^ WINDOW ^ view as u64);
        let pose = pose(&mut rng, &spec, &heart);
        let depth = depth(&mut rng, spec.split, &heart, &pose);
        let mut scanner = Scanner::draw(&mut rng, spec.split, depth);
        scanner.set_quality(&mut rng, spec.quality);
        let layout = Layout::of(&spec, &scanner);
        let mut study = Self {
            raster: layout.raster,
            spec,
            heart,
            pose,
            cycle,
            rhythm,
            scanner,
            layout,
            heart_rate,
            truth: None,
        };
        study.truth = matches!(study.spec.subject, Subject::Apical(_)).then(|| study.measure());
        study
    }

    /// What it was made of.
    pub fn spec(&self) -> &StudySpec {
        &self.spec
    }

    /// What is known; `None` where the subject can't be measured.
    pub fn truth(&self) -> Option<&Truth> {
        self.truth.as_ref()
    }

    /// Beats per minute.
    pub fn heart_rate(&self) -> f32 {
        self.heart_rate
    }

    /// How the image lies over the scan plane.
    pub fn raster(&self) -> &Raster {
        &self.raster
    }

    /// The box of the two-dimensional region in pixels: left, top, right, bottom, ends included.
    pub fn region(&self) -> [u32; 4] {
        self.layout.region
    }

    /// Whether each pixel lies within the sector, `[height, width]`.
    pub fn sector_mask(&self) -> Vec<bool> {
        let mut mask = Vec::with_capacity(self.raster.width * self.raster.height);
        for row in 0..self.raster.height {
            for column in 0..self.raster.width {
                let [x, y] = self.raster.to_plane(column as f32, row as f32);
                let r = x.hypot(y);
                mask.push(
                    y > 0.0
                        && x.atan2(y).abs() < self.scanner.half_angle
                        && r > self.scanner.near
                        && r < self.scanner.depth,
                );
            }
        }
        mask
    }

    /// The frames in order, rendered one by one.
    pub fn frames(&self) -> Frames<'_> {
        let fine = if self.spec.style == Style::D {
            0.6
        } else {
            1.0
        };
        let beams = (160.0 * fine) as usize;
        let samples = (512.0 * fine) as usize;
        Frames {
            study: self,
            acquisition: Acquisition::new(&self.scanner, beams, samples),
            converter: Converter::new(&self.raster, &self.scanner, beams, samples),
            tone: tone(&self.scanner),
            backdrop: self.layout.backdrop(self),
            held: Vec::new(),
            next: 0,
        }
    }

    fn seconds(&self, frame: u32) -> f32 {
        frame as f32 / self.spec.fps
    }

    /// The fraction of RR at a frame.
    pub(crate) fn beat_fraction(&self, frame: u32) -> f32 {
        self.rhythm.at(self.seconds(frame)).1
    }

    /// The fraction of RR at a time in seconds.
    pub(crate) fn beat_fraction_at(&self, seconds: f32) -> f32 {
        self.rhythm.at(seconds.max(0.0)).1
    }

    pub(crate) fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    fn slice(&self, frame: u32) -> Slice {
        let phase = self.cycle.at(self.beat_fraction(frame));
        Slice::new(
            &self.heart,
            self.pose,
            self.spec.view(),
            phase,
            &self.scanner.dropouts,
        )
    }

    fn measure(&self) -> Truth {
        let view = self.spec.view();
        let mut volumes_ml = Vec::new();
        let mut contours = Vec::new();
        for frame in 0..self.spec.frames {
            let contraction = self.cycle.at(self.beat_fraction(frame)).contraction;
            volumes_ml.push(self.heart.volume(contraction));
            let slice = self.slice(frame);
            let outline = truth::outline(&self.heart, self.pose, view, contraction, &slice);
            contours.push(truth::to_pixels(&outline, &self.raster));
        }
        let r_waves: Vec<f32> = self
            .rhythm
            .r_waves()
            .iter()
            .map(|s| s * self.spec.fps)
            .collect();
        let (edv_ml, esv_ml) = (self.heart.edv_ml, self.heart.esv_ml);
        Truth {
            edv_ml,
            esv_ml,
            lvef_percent: 100.0 * (edv_ml - esv_ml) / edv_ml,
            beats: truth::beats(&volumes_ml, &r_waves),
            volumes_ml,
            contours,
            cm_per_px: self.raster.cm_per_px,
            heart_rate: self.heart_rate,
            view,
            tilt_degrees: self.pose.tilt.to_degrees(),
        }
    }

    fn render(&self, acquisition: &mut Acquisition, frame: u32) -> Polar {
        let scene = match self.spec.subject {
            Subject::ShortAxis => {
                let phase = self.cycle.at(self.beat_fraction(frame));
                let lv = self.heart.at(phase.contraction);
                Scene::ShortAxis(Ring {
                    centre: [0.6, 0.5 * self.scanner.depth],
                    radius: lv.radius,
                    wall: lv.wall,
                    radius_ed: lv.radius_ed,
                })
            }
            Subject::Blank | Subject::Noise => Scene::Empty,
            _ => {
                let slice = self.slice(frame);
                return acquisition.render(&self.scanner, &Scene::Apical(&slice), frame);
            }
        };
        acquisition.render(&self.scanner, &scene, frame)
    }
}

fn rhythm(rng: &mut Draw, spec: &StudySpec) -> (f32, Rhythm) {
    let seconds = spec.frames as f32 / spec.fps;
    let drawn = ranges::HEART_RATE.draw(rng, spec.split);
    // Beats from R to R, a little of the one before, and the last frame's own duration.
    let least = 60.0 * (spec.beats as f32 + 0.22) / seconds;
    let rate = spec
        .heart_rate
        .unwrap_or_else(|| drawn.max(least.min(RATE_MAX)));
    let lead = 1.0 - rng.range(0.02, 0.14);
    (rate, Rhythm::new(rng, rate, lead, seconds, spec.irregular))
}

fn pose(rng: &mut Draw, spec: &StudySpec, heart: &Heart) -> Pose {
    let mut pose = Pose::draw(rng, spec.split);
    if let Some(tilt) = spec.tilt_degrees {
        pose.tilt = tilt.to_radians();
    }
    if spec.subject == Subject::Plax {
        // The long axis lies across the image, the apex at the left.
        pose.rotation = rng.range(-105.0f32, -75.0).to_radians();
        pose.apex = [-0.62 * heart.length, rng.range(6.0, 8.0)];
        pose.tilt = 0.0;
    } else {
        // A cine that is to be measured shows its whole ventricle.
        pose.rotation *= 0.6;
        pose.apex[0] = 0.4 * pose.apex[0] + 0.4 * heart.length * pose.rotation.sin();
        pose.apex[1] = pose.apex[1].clamp(1.8, 3.6);
    }
    pose
}

fn depth(rng: &mut Draw, split: Split, heart: &Heart, pose: &Pose) -> f32 {
    let axis = &ranges::DEPTH_CM;
    let drawn = axis.draw(rng, split);
    let least = pose.apex[1] + heart.length * pose.rotation.cos().max(0.4);
    let fitted = (least + rng.range(2.0, 5.0)).clamp(axis.train.lo, axis.train.hi);
    if axis.train.contains(drawn) {
        fitted
    } else {
        drawn
    }
}

/// The frames of a cine; holds the buffers and what persists from frame to frame.
pub struct Frames<'a> {
    study: &'a Study,
    acquisition: Acquisition,
    converter: Converter,
    tone: [f32; 257],
    backdrop: screen::Backdrop,
    held: Vec<f32>,
    next: u32,
}

impl Iterator for Frames<'_> {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let index = self.next;
        if index >= self.study.spec.frames {
            return None;
        }
        self.next += 1;
        let grey = self.grey(index);
        Some(self.backdrop.compose(self.study, index, &grey))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.study.spec.frames - self.next) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Frames<'_> {}

impl Frames<'_> {
    /// The sector in grey, 0 to 255.
    fn grey(&mut self, index: u32) -> Vec<f32> {
        let mut grey = Vec::new();
        if self.study.spec.subject == Subject::MMode {
            return screen::m_mode(self.study);
        }
        let mut polar = self.study.render(&mut self.acquisition, index);
        self.adjust(&mut polar, index);
        if self.study.spec.style == Style::C {
            self.persist(&mut polar);
        }
        self.converter.convert(&polar, &self.tone, 0.0, &mut grey);
        grey
    }

    /// Subjects without a heart: nothing, or bright snow.
    fn adjust(&self, polar: &mut Polar, index: u32) {
        match self.study.spec.subject {
            Subject::Blank => polar.grey.fill(0.0),
            Subject::Noise => {
                let mut rng = Draw::new(self.study.spec.seed, 0x6e6f_6973 ^ u64::from(index) << 32);
                polar
                    .grey
                    .iter_mut()
                    .for_each(|g| *g = 0.6 * rng.range(0.0, 1.0));
            }
            _ => {}
        }
    }

    /// Persistence: each frame keeps a third of what was shown before.
    fn persist(&mut self, polar: &mut Polar) {
        const KEEP: f32 = 0.33;
        if self.held.len() == polar.grey.len() {
            for (now, held) in polar.grey.iter_mut().zip(&self.held) {
                *now = KEEP * held + (1.0 - KEEP) * *now;
            }
        }
        self.held.clone_from(&polar.grey);
    }
}
