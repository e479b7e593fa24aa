//! The scanner: tissue levels on a polar grid, scatterers, point-spread function, artefacts, gain, log compression.
//!
//! Polar images are `[samples, beams]`, row-major, so that a range line is contiguous.

use crate::noise::Field;
use crate::ranges::{self, Split};
use crate::rng::Draw;
use crate::shape::{Cord, Dropout, Slice, Tissue};

/// Everything about the scanner and the patient's window that a case fixes.
#[derive(Clone, Debug)]
pub struct Scanner {
    /// Half of the opening angle, radians.
    pub half_angle: f32,
    /// Depth, cm.
    pub depth: f32,
    /// Lateral and axial width of the point-spread function.
    pub lateral_psf_deg: f32,
    /// See [`Scanner::lateral_psf_deg`].
    pub axial_psf_cm: f32,
    /// Grey scale.
    pub dynamic_range_db: f32,
    /// See [`ranges::GAMMA`].
    pub gamma: f32,
    /// See [`ranges::S_CURVE`].
    pub s_curve: f32,
    /// See [`ranges::GAIN_OFFSET_DB`].
    pub gain_db: f32,
    /// See [`ranges::EDGE_DROP_DB`].
    pub edge_drop_db: f32,
    /// See [`ranges::NOISE_DB`].
    pub noise_db: f32,
    /// Levels in dB against the myocardium: blood, outside, thin walls, pericardium.
    levels: [f32; 4],
    /// How much the echo depends on the wall's angle, dB, and how bright its surface is, dB.
    specular: [f32; 2],
    /// Strength of clouds in the tissue and outside it, dB, and their fineness.
    clouds: [f32; 3],
    /// Uncompensated gain at five depths, dB.
    tgc: [f32; 5],
    /// Gain by line, dB, smooth over the beams: amplitude and fineness.
    line_gain: [f32; 2],
    /// Shadows: centre and half-width in parts of the opening, strength in dB, where it starts in cm.
    shadows: Vec<[f32; 4]>,
    /// Side lobes in dB and their extent in degrees.
    side_lobes: [f32; 2],
    /// Near-field clutter: level in dB, reach in cm.
    clutter: [f32; 2],
    /// Chest wall: layers with depth, thickness and level.
    layers: Vec<[f32; 3]>,
    /// Haze and distractors: place in parts of (angle, depth), size in cm, level in dB.
    haze: Vec<[f32; 5]>,
    /// Distractors: bright arcs and lines outside the ventricle.
    distractors: Vec<Cord>,
    pub(crate) dropouts: Vec<Dropout>,
    field: Field,
    /// Range of the nearest sample, cm: the transducer's face.
    pub near: f32,
    /// Depth of the focus, cm.
    focus: f32,
}

impl Scanner {
    /// Draws a scanner for an image of `depth` cm.
    pub fn draw(rng: &mut Draw, split: Split, depth: f32) -> Self {
        let half_angle = ranges::HALF_ANGLE_DEG.draw(rng, split).to_radians();
        Self {
            half_angle,
            depth,
            lateral_psf_deg: ranges::LATERAL_PSF_DEG.draw(rng, split),
            axial_psf_cm: ranges::AXIAL_PSF_CM.draw(rng, split),
            dynamic_range_db: ranges::DYNAMIC_RANGE_DB.draw(rng, split),
            gamma: ranges::GAMMA.draw(rng, split),
            s_curve: ranges::S_CURVE.draw(rng, split),
            gain_db: ranges::GAIN_OFFSET_DB.draw(rng, split),
            edge_drop_db: ranges::EDGE_DROP_DB.draw(rng, split),
            noise_db: ranges::NOISE_DB.draw(rng, split),
            levels: [
                -rng.range(16.0, 52.0),
                -rng.range(2.0, 30.0),
                rng.range(-9.0, 4.0),
                rng.range(0.0, 13.0),
            ],
            specular: [rng.range(0.0, 12.0), rng.range(-2.0, 6.0)],
            clouds: [
                rng.range(0.5, 5.0),
                rng.range(1.0, 9.0),
                rng.range(3.0, 12.0),
            ],
            tgc: std::array::from_fn(|_| rng.normal() * 2.5),
            line_gain: [rng.range(0.0, 2.0), rng.range(2.0, 14.0)],
            shadows: draw_shadows(rng),
            side_lobes: [rng.range(-46.0, -24.0), rng.range(6.0, 24.0)],
            clutter: [rng.range(-34.0, -6.0), rng.range(0.5, 3.5)],
            layers: (0..1 + rng.index(4))
                .map(|_| {
                    [
                        rng.range(0.2, 1.9),
                        rng.range(0.05, 0.35),
                        rng.range(-10.0, 10.0),
                    ]
                })
                .collect(),
            haze: (0..rng.index(5))
                .map(|_| {
                    [
                        rng.range(-0.9, 0.9),
                        rng.range(0.1, 0.95),
                        rng.range(0.6, 2.6),
                        rng.range(0.6, 2.6),
                        rng.range(-32.0, -9.0),
                    ]
                })
                .collect(),
            distractors: draw_distractors(rng, half_angle, depth),
            dropouts: draw_dropouts(rng),
            field: Field::new(rng, rng_density(depth)),
            near: rng.range(0.0, 0.5),
            focus: rng.range(4.0, 12.0),
        }
    }

    /// The mean levels of blood and of the outside, for tests and reports, dB against the myocardium.
    pub fn blood_db(&self) -> f32 {
        self.levels[0]
    }

    /// Less than usual of what hides the ventricle, for a cine of good quality.
    pub fn soften(&mut self, keep: f32) {
        for shadow in &mut self.shadows {
            shadow[2] *= keep;
        }
        for drop in &mut self.dropouts {
            drop.depth_db *= keep;
        }
        for haze in &mut self.haze {
            haze[4] -= 12.0 * (1.0 - keep);
        }
    }

    /// Sets the contrast between blood and muscle, dB below the myocardium.
    pub fn set_blood(&mut self, db: f32) {
        self.levels[0] = -db.abs();
    }
}

/// Scatterer cells per centimetre: about two to a resolution cell at any depth.
fn rng_density(depth: f32) -> f32 {
    (420.0 / depth).clamp(20.0, 45.0)
}

fn draw_shadows(rng: &mut Draw) -> Vec<[f32; 4]> {
    let mut shadows = Vec::new();
    // Ribs and lung come in from the sides.
    for side in [-1.0, 1.0] {
        if rng.chance(0.25) {
            let half = rng.range(0.05, 0.4);
            shadows.push([side, half, rng.range(6.0, 34.0), rng.range(0.3, 3.0)]);
        }
    }
    if rng.chance(0.2) {
        shadows.push([
            rng.range(-0.8, 0.8),
            rng.range(0.02, 0.12),
            rng.range(3.0, 16.0),
            rng.range(0.5, 5.0),
        ]);
    }
    shadows
}

fn draw_dropouts(rng: &mut Draw) -> Vec<Dropout> {
    (0..rng.index(5))
        .map(|_| Dropout {
            // The lateral wall runs along the beam and drops out more often.
            left: rng.chance(0.35),
            centre: rng.range(0.0, 1.0),
            extent: rng.range(0.08, 0.38),
            depth_db: -rng.range(3.0, 26.0),
        })
        .collect()
}

fn draw_distractors(rng: &mut Draw, half_angle: f32, depth: f32) -> Vec<Cord> {
    let mut cords = Vec::new();
    for _ in 0..rng.index(5) {
        let angle = rng.range(-half_angle, half_angle);
        let range = rng.range(0.15, 1.0) * depth;
        let (x, y) = (range * angle.sin(), range * angle.cos());
        let lean = rng.range(-1.0, 1.0);
        let length = rng.range(0.2, 2.2);
        cords.push(Cord {
            from: [x, y],
            to: [x + length * lean.cos(), y + length * lean.sin()],
            radius: rng.range(0.05, 0.35),
            level_db: rng.range(-18.0, 8.0),
        });
    }
    cords
}

/// A polar image, `[samples, beams]`, grey 0 to 1.
pub(crate) struct Polar {
    pub(crate) grey: Vec<f32>,
    pub(crate) beams: usize,
    pub(crate) samples: usize,
    pub(crate) half_angle: f32,
    pub(crate) near: f32,
    pub(crate) step: f32,
}

/// What a case needs for all of its frames, made once: beam directions and buffers.
pub(crate) struct Acquisition {
    beams: usize,
    samples: usize,
    directions: Vec<[f32; 2]>,
    line_gain: Vec<f32>,
    shadow: Vec<Vec<(f32, f32)>>,
    level: Vec<f32>,
    re: Vec<f32>,
    im: Vec<f32>,
    scratch: Vec<f32>,
    haze: Vec<f32>,
}

impl Acquisition {
    pub(crate) fn new(scanner: &Scanner, beams: usize, samples: usize) -> Self {
        let n = beams * samples;
        let span = |b: usize| 2.0 * (b as f32 + 0.5) / beams as f32 - 1.0;
        let directions = (0..beams)
            .map(|b| {
                let (s, c) = (span(b) * scanner.half_angle).sin_cos();
                [s, c]
            })
            .collect();
        let line_gain = (0..beams)
            .map(|b| {
                let u = span(b);
                let wobble = scanner
                    .field
                    .cloud(u * scanner.line_gain[1] * 4.0, 7.0, 1.0);
                scanner.line_gain[0] * wobble - scanner.edge_drop_db * u.abs().powi(3)
            })
            .collect();
        let shadow = (0..beams)
            .map(|b| {
                scanner
                    .shadows
                    .iter()
                    .filter_map(|[centre, half, db, from]| {
                        let u = ((span(b) - centre) / half).abs();
                        (u < 1.3).then(|| (*from, db * (1.0 - smooth((u - 0.6) / 0.7))))
                    })
                    .collect()
            })
            .collect();
        let mut made = Self {
            beams,
            samples,
            directions,
            line_gain,
            shadow,
            level: vec![0.0; n],
            re: vec![0.0; n],
            im: vec![0.0; n],
            scratch: vec![0.0; n],
            haze: vec![0.0; n],
        };
        made.prepare_haze(scanner);
        made
    }

    fn step(&self, scanner: &Scanner) -> f32 {
        (scanner.depth - scanner.near) / self.samples as f32
    }

    /// Haze, clutter and the chest wall stay where the probe is: one power image serves all frames.
    fn prepare_haze(&mut self, scanner: &Scanner) {
        let step = self.step(scanner);
        for i in 0..self.samples {
            let r = scanner.near + (i as f32 + 0.5) * step;
            let clutter = power(scanner.clutter[0]) * (-r / scanner.clutter[1]).exp();
            for b in 0..self.beams {
                let [s, c] = self.directions[b];
                let (x, y) = (r * s, r * c);
                let mut p = clutter * power(4.0 * scanner.field.cloud(x, y, 6.0));
                for [depth, thick, level] in &scanner.layers {
                    let bend = 0.12 * scanner.field.cloud(x, 3.0 * depth, 3.0);
                    let u = (r - depth + bend) / thick;
                    if u.abs() < 3.0 {
                        p += power(level - 6.0) * (-u * u).exp();
                    }
                }
                for [angle, depth, w, h, level] in &scanner.haze {
                    let centre = [
                        (angle * scanner.half_angle).sin() * depth * scanner.depth,
                        (angle * scanner.half_angle).cos() * depth * scanner.depth,
                    ];
                    let d = ((x - centre[0]) / w).powi(2) + ((y - centre[1]) / h).powi(2);
                    if d < 6.0 {
                        p += power(*level) * (-d).exp();
                    }
                }
                self.haze[i * self.beams + b] = p;
            }
        }
    }

    /// Renders one frame. `time` decorrelates blood and noise from frame to frame.
    pub(crate) fn render(&mut self, scanner: &Scanner, slice: Option<&Slice>, time: u32) -> Polar {
        self.fill_levels(scanner, slice, time);
        self.stamp(scanner, slice);
        self.scatter();
        let step = self.step(scanner);
        blur_axial(
            &mut self.re,
            &mut self.scratch,
            self.beams,
            scanner.axial_psf_cm / step,
        );
        blur_axial(
            &mut self.im,
            &mut self.scratch,
            self.beams,
            scanner.axial_psf_cm / step,
        );
        self.blur_lateral(scanner);
        self.detect(scanner, time)
    }

    fn fill_levels(&mut self, scanner: &Scanner, slice: Option<&Slice>, time: u32) {
        let step = self.step(scanner);
        let blood = scanner.field.shifted(1.0 + time as f32 * 0.37);
        let outside = scanner.field.shifted(0.31);
        let [tissue_cloud, outside_cloud, fine] = scanner.clouds;
        for b in 0..self.beams {
            let [s, c] = self.directions[b];
            let beam = slice.map_or([s, c], |slice| slice.turn([s, c]));
            for i in 0..self.samples {
                let r = scanner.near + (i as f32 + 0.5) * step;
                let (x, y) = (r * s, r * c);
                let at = i * self.beams + b;
                let Some(slice) = slice else {
                    self.level[at] = -80.0;
                    [self.re[at], self.im[at]] = outside.nearest(x, y);
                    continue;
                };
                let hit = slice.locate(slice.to_heart(x, y));
                let [u, v] = hit.reference;
                let (level, scatter) = match hit.tissue {
                    Tissue::Outside => (
                        scanner.levels[1] + outside_cloud * outside.cloud(x, y, 0.5 * fine),
                        outside.nearest(x, y),
                    ),
                    Tissue::Cavity | Tissue::La | Tissue::Rv | Tissue::Ra => {
                        (scanner.levels[0], blood.nearest(x, y))
                    }
                    Tissue::Wall => {
                        let facing = (beam[0] * hit.normal[0] + beam[1] * hit.normal[1]).abs();
                        let edge = (1.0 - (hit.depth * 4.0).min((1.0 - hit.depth) * 5.0)).max(0.0);
                        (
                            scanner.specular[0] * (facing - 0.6)
                                + scanner.specular[1] * edge
                                + hit.drop_db
                                + tissue_cloud * scanner.field.cloud(u, v, fine),
                            scanner.field.at(u, v),
                        )
                    }
                    Tissue::Thin => (
                        scanner.levels[2] + tissue_cloud * scanner.field.cloud(u, v, fine),
                        scanner.field.at(u, v),
                    ),
                    Tissue::Pericardium => (
                        scanner.levels[3]
                            + hit.drop_db
                            + tissue_cloud * scanner.field.cloud(u, v, fine),
                        scanner.field.at(u, v),
                    ),
                };
                self.level[at] = level;
                [self.re[at], self.im[at]] = scatter;
            }
        }
    }

    /// Draws the thin structures over the levels.
    fn stamp(&mut self, scanner: &Scanner, slice: Option<&Slice>) {
        if let Some(slice) = slice {
            for cord in &slice.cords {
                let placed = Cord {
                    from: slice.to_image(cord.from),
                    to: slice.to_image(cord.to),
                    ..*cord
                };
                self.stamp_cord(scanner, &placed);
            }
        }
        for cord in &scanner.distractors {
            self.stamp_cord(scanner, cord);
        }
    }

    fn stamp_cord(&mut self, scanner: &Scanner, cord: &Cord) {
        let step = self.step(scanner);
        let reach = cord.radius * 1.6;
        let polar = |p: [f32; 2]| (p[0].hypot(p[1]), p[0].atan2(p[1]));
        let ((r0, a0), (r1, a1)) = (polar(cord.from), polar(cord.to));
        let near = (r0.min(r1) - reach).max(0.3);
        let margin = (reach / near).min(1.5);
        let index = |r: f32| ((r - scanner.near) / step).clamp(0.0, self.samples as f32) as usize;
        let beam = |a: f32| {
            ((a / scanner.half_angle + 1.0) * 0.5 * self.beams as f32).clamp(0.0, self.beams as f32)
                as usize
        };
        let (i0, i1) = (index(near), index(r0.max(r1) + reach));
        let (b0, b1) = (beam(a0.min(a1) - margin), beam(a0.max(a1) + margin));
        let along = [cord.to[0] - cord.from[0], cord.to[1] - cord.from[1]];
        let norm = (along[0] * along[0] + along[1] * along[1])
            .max(1e-6)
            .recip();
        for i in i0..i1 {
            let r = scanner.near + (i as f32 + 0.5) * step;
            for b in b0..b1 {
                let [s, c] = self.directions[b];
                let d = [r * s - cord.from[0], r * c - cord.from[1]];
                let t = ((d[0] * along[0] + d[1] * along[1]) * norm).clamp(0.0, 1.0);
                let gap = (d[0] - t * along[0]).hypot(d[1] - t * along[1]) / cord.radius;
                if gap < 1.6 {
                    let at = i * self.beams + b;
                    let fade = 14.0 * (gap - 0.7).max(0.0);
                    self.level[at] = self.level[at].max(cord.level_db - fade);
                }
            }
        }
    }

    /// Levels become amplitudes on the scatterers; haze joins as its own power.
    fn scatter(&mut self) {
        for ((level, haze), (re, im)) in self
            .level
            .iter()
            .zip(&self.haze)
            .zip(self.re.iter_mut().zip(self.im.iter_mut()))
        {
            let a = (power(*level) + haze).sqrt();
            *re *= a;
            *im *= a;
        }
    }

    fn blur_lateral(&mut self, scanner: &Scanner) {
        let per_beam = 2.0 * scanner.half_angle.to_degrees() / self.beams as f32;
        let step = self.step(scanner);
        let mut row = vec![0.0; self.beams];
        for i in 0..self.samples {
            let r = scanner.near + (i as f32 + 0.5) * step;
            // Resolution is best at the focus.
            let off = ((r - scanner.focus) / scanner.depth).abs();
            let sigma = scanner.lateral_psf_deg * (0.85 + 0.9 * off) / per_beam;
            let kernel = gaussian(sigma);
            let at = i * self.beams..(i + 1) * self.beams;
            blur_row(&mut self.re[at.clone()], &mut row, &kernel);
            blur_row(&mut self.im[at], &mut row, &kernel);
        }
    }

    fn detect(&mut self, scanner: &Scanner, time: u32) -> Polar {
        let (beams, samples) = (self.beams, self.samples);
        let step = self.step(scanner);
        let mut grey = vec![0.0f32; beams * samples];
        let noise_field = scanner.field.shifted(5.0 + time as f32 * 1.13);
        let lobe = power(scanner.side_lobes[0]);
        let reach = ((scanner.side_lobes[1] / (2.0 * scanner.half_angle.to_degrees()))
            * beams as f32) as usize;
        let noise = power(scanner.noise_db);
        let top = 26.0 - scanner.gain_db;
        let mut echo = vec![0.0f32; beams];
        let mut wide = vec![0.0f32; beams];
        for i in 0..samples {
            let r = scanner.near + (i as f32 + 0.5) * step;
            let line = i * beams..(i + 1) * beams;
            for (e, (re, im)) in echo
                .iter_mut()
                .zip(self.re[line.clone()].iter().zip(&self.im[line.clone()]))
            {
                *e = re * re + im * im;
            }
            running_mean(&echo, &mut wide, reach.max(1));
            let tgc = curve(&scanner.tgc, r / scanner.depth);
            // What amplifies the deep echoes amplifies the noise with them.
            let noise_here = noise * power(14.0 * (r / scanner.depth) - 4.0);
            for (b, (out, n)) in grey[line].iter_mut().zip(noise_field.line(i)).enumerate() {
                let mut gain = tgc + self.line_gain[b];
                for (from, db) in &self.shadow[b] {
                    gain -= db * smooth((r - from) / 1.2);
                }
                let p = (echo[b] + lobe * wide[b]) * power(gain)
                    + noise_here * (n[0] * n[0] + n[1] * n[1]);
                let db = 10.0 * (p + 1e-12).log10();
                *out = (1.0 + (db - top) / scanner.dynamic_range_db).clamp(0.0, 1.0);
            }
        }
        Polar {
            grey,
            beams,
            samples,
            half_angle: scanner.half_angle,
            near: scanner.near,
            step,
        }
    }
}

/// dB to power.
fn power(db: f32) -> f32 {
    (db * 0.332_192_8).exp2()
}

fn smooth(u: f32) -> f32 {
    let u = u.clamp(0.0, 1.0);
    u * u * (3.0 - 2.0 * u)
}

fn curve(points: &[f32; 5], u: f32) -> f32 {
    let x = u.clamp(0.0, 0.9999) * 4.0;
    let k = x as usize;
    let f = x - k as f32;
    points[k] * (1.0 - f) + points[k + 1] * f
}

/// Half of a Gaussian kernel of unit energy, centre first: speckle keeps its power whatever the blur.
fn gaussian(sigma: f32) -> Vec<f32> {
    let sigma = sigma.max(0.15);
    let half = (2.6 * sigma).ceil() as usize;
    let mut kernel: Vec<f32> = (0..=half)
        .map(|k| (-0.5 * (k as f32 / sigma).powi(2)).exp())
        .collect();
    let energy: f32 = kernel.iter().skip(1).map(|v| 2.0 * v * v).sum::<f32>() + 1.0;
    let norm = energy.sqrt().recip();
    kernel.iter_mut().for_each(|v| *v *= norm);
    kernel
}

fn blur_row(row: &mut [f32], scratch: &mut [f32], half: &[f32]) {
    let n = row.len();
    for (out, v) in scratch.iter_mut().zip(row.iter()) {
        *out = v * half[0];
    }
    for (k, w) in half.iter().enumerate().skip(1) {
        if k >= n {
            break;
        }
        for (out, v) in scratch[k..].iter_mut().zip(row.iter()) {
            *out += v * w;
        }
        for (out, v) in scratch.iter_mut().zip(&row[k..]) {
            *out += v * w;
        }
    }
    row.copy_from_slice(&scratch[..n]);
}

fn blur_axial(image: &mut [f32], scratch: &mut [f32], beams: usize, sigma: f32) {
    let half = gaussian(sigma);
    for (out, v) in scratch.iter_mut().zip(image.iter()) {
        *out = v * half[0];
    }
    for (k, w) in half.iter().enumerate().skip(1) {
        let shift = k * beams;
        if shift >= image.len() {
            break;
        }
        for (out, v) in scratch[shift..].iter_mut().zip(image.iter()) {
            *out += v * w;
        }
        for (out, v) in scratch.iter_mut().zip(&image[shift..]) {
            *out += v * w;
        }
    }
    image.copy_from_slice(scratch);
}

fn running_mean(from: &[f32], to: &mut [f32], reach: usize) {
    let n = from.len();
    let mut sum: f32 = from.iter().take(reach).sum();
    for b in 0..n {
        if b + reach < n {
            sum += from[b + reach];
        }
        if b > reach {
            sum -= from[b - reach - 1];
        }
        to[b] = sum.max(0.0) / (2 * reach + 1) as f32;
    }
}
