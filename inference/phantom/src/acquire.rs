//! The scanner at work: tissue levels on a polar grid, scatterers, point-spread function, artefacts, gain, log
//! compression.
//!
//! Polar images are `[samples, beams]`, row-major, so that a range line is contiguous.

use crate::noise::Field;
use crate::scanner::Scanner;
use crate::shape::{Cord, Slice, Tissue};

/// What lies before the probe.
pub(crate) enum Scene<'a> {
    /// A heart cut along its axis.
    Apical(&'a Slice),
    /// A left ventricle cut across.
    ShortAxis(Ring),
    /// No heart at all.
    Empty,
}

/// A ventricle in short axis: centre, inner radius and wall, cm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring {
    pub(crate) centre: [f32; 2],
    pub(crate) radius: f32,
    pub(crate) wall: f32,
    /// The radius at end diastole, for the speckle.
    pub(crate) radius_ed: f32,
}

/// Levels and scatterers of one frame's media.
struct Media<'a> {
    scanner: &'a Scanner,
    blood: Field,
    outside: Field,
}

impl Media<'_> {
    fn surroundings(&self, x: f32, y: f32) -> (f32, [f32; 2]) {
        let [_, cloud, fine] = self.scanner.clouds;
        let level = self.scanner.levels[1] + cloud * self.outside.cloud(x, y, 0.5 * fine);
        (level, self.outside.nearest(x, y))
    }

    fn apical(&self, slice: &Slice, [x, y]: [f32; 2], beam: [f32; 2]) -> (f32, [f32; 2]) {
        let scanner = self.scanner;
        let [hx, hz] = slice.to_heart(x, y);
        // The wobble belongs to the heart's own frame, so that it moves little against the outline.
        let stray = scanner.wobble * scanner.field.cloud(hx, hz, 9.0);
        let hit = slice.locate([hx + stray, hz]);
        let [u, v] = hit.reference;
        let cloudy = || scanner.clouds[0] * scanner.field.cloud(u, v, scanner.clouds[2]);
        let level = match hit.tissue {
            Tissue::Outside => return self.surroundings(x, y),
            Tissue::Cavity | Tissue::La | Tissue::Rv | Tissue::Ra => {
                return (scanner.levels[0], self.blood.nearest(x, y));
            }
            Tissue::Wall => {
                let beam = slice.turn(beam);
                let facing = (beam[0] * hit.normal[0] + beam[1] * hit.normal[1]).abs();
                let edge = (1.0 - (hit.depth * 4.0).min((1.0 - hit.depth) * 5.0)).max(0.0);
                scanner.specular[0] * (facing - 0.6)
                    + scanner.specular[1] * edge
                    + hit.drop_db
                    + cloudy()
            }
            Tissue::Thin => scanner.levels[2] + cloudy(),
            Tissue::Pericardium => scanner.levels[3] + hit.drop_db + cloudy(),
        };
        (level, scanner.field.at(u, v))
    }

    fn ring(&self, ring: &Ring, [x, y]: [f32; 2]) -> (f32, [f32; 2]) {
        let scanner = self.scanner;
        let (dx, dy) = (x - ring.centre[0], y - ring.centre[1]);
        let d = dx.hypot(dy) + scanner.wobble * scanner.field.cloud(dx, dy, 9.0);
        // The right ventricle is a crescent on the left of the ring.
        let right = (dx + 1.35 * ring.radius_ed + ring.wall).hypot(dy) - 1.5 * ring.radius_ed;
        if d < ring.radius || (d > ring.radius + ring.wall && right < 0.0) {
            return (scanner.levels[0], self.blood.nearest(x, y));
        }
        if d < ring.radius + ring.wall || right < 0.4 {
            let scale = ring.radius_ed / ring.radius;
            let (u, v) = (dx * scale, dy * scale);
            let level = scanner.clouds[0] * scanner.field.cloud(u, v, scanner.clouds[2]);
            return (level, scanner.field.at(u, v));
        }
        self.surroundings(x, y)
    }
}

/// A polar image, `[samples, beams]`, grey 0 to 1.
pub(crate) struct Polar {
    pub(crate) grey: Vec<f32>,
    pub(crate) beams: usize,
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
    pub(crate) fn render(&mut self, scanner: &Scanner, scene: &Scene<'_>, time: u32) -> Polar {
        self.fill_levels(scanner, scene, time);
        self.stamp(scanner, scene);
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

    fn fill_levels(&mut self, scanner: &Scanner, scene: &Scene<'_>, time: u32) {
        let step = self.step(scanner);
        let media = Media {
            scanner,
            blood: scanner.field.shifted(1.0 + time as f32 * 0.37),
            outside: scanner.field.shifted(0.31),
        };
        for i in 0..self.samples {
            let r = scanner.near + (i as f32 + 0.5) * step;
            for (b, &[s, c]) in self.directions.iter().enumerate() {
                let (x, y) = (r * s, r * c);
                let (level, scatter) = match scene {
                    Scene::Apical(slice) => media.apical(slice, [x, y], [s, c]),
                    Scene::ShortAxis(ring) => media.ring(ring, [x, y]),
                    Scene::Empty => media.surroundings(x, y),
                };
                let at = i * self.beams + b;
                self.level[at] = level;
                [self.re[at], self.im[at]] = scatter;
            }
        }
    }

    /// Draws the thin structures over the levels.
    fn stamp(&mut self, scanner: &Scanner, scene: &Scene) {
        if let Scene::Apical(slice) = scene {
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
        Polar { grey, beams }
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
    for v in &mut kernel {
        *v *= norm;
    }
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
