//! Tables of noise, made once: complex Gaussian scatterers and smooth clouds.
//!
//! A case reads the tables through its own offset, so that two cases share no speckle pattern; tissue reads them in
//! its own (material) coordinates, so that its speckle moves with it.

use std::sync::OnceLock;

use crate::rng::Draw;

const SIDE: usize = 1024;
const MASK: usize = SIDE - 1;
const CLOUD_SIDE: usize = 256;
const CLOUD_MASK: usize = CLOUD_SIDE - 1;

/// Complex Gaussian white noise of unit power, `[1024, 1024]`, periodic.
fn scatterers() -> &'static [[f32; 2]] {
    static TABLE: OnceLock<Vec<[f32; 2]>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut rng = Draw::new(0x5eed, 0x5ca7);
        let scale = std::f32::consts::FRAC_1_SQRT_2;
        (0..SIDE * SIDE)
            .map(|_| [rng.normal() * scale, rng.normal() * scale])
            .collect()
    })
}

/// Smooth noise of zero mean and unit variance, `[256, 256]`, periodic, correlated over about 8 cells.
fn clouds() -> &'static [f32] {
    static TABLE: OnceLock<Vec<f32>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut rng = Draw::new(0x5eed, 0xc10d);
        let mut field: Vec<f32> = (0..CLOUD_SIDE * CLOUD_SIDE).map(|_| rng.normal()).collect();
        for _ in 0..3 {
            field = box_periodic(&field, 4);
        }
        let n = field.len() as f32;
        let sd = (field.iter().map(|v| v * v).sum::<f32>() / n)
            .sqrt()
            .max(1e-6);
        field.iter().map(|v| v / sd).collect()
    })
}

fn box_periodic(field: &[f32], radius: usize) -> Vec<f32> {
    let n = CLOUD_SIDE;
    let mut rows = vec![0.0; n * n];
    let mut both = vec![0.0; n * n];
    let window = |from: &[f32], step: usize, start: usize, at: usize| -> f32 {
        (0..=2 * radius)
            .map(|k| from[start + ((at + k + n - radius) & CLOUD_MASK) * step])
            .sum::<f32>()
    };
    for y in 0..n {
        for x in 0..n {
            rows[y * n + x] = window(field, 1, y * n, x);
        }
    }
    for y in 0..n {
        for x in 0..n {
            both[y * n + x] = window(&rows, n, x, y);
        }
    }
    both
}

/// One case's view of the tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    table: &'static [[f32; 2]],
    clouds: &'static [f32],
    ox: f32,
    oy: f32,
    /// Scatterer cells per centimetre.
    density: f32,
}

impl Field {
    pub(crate) fn new(rng: &mut Draw, density: f32) -> Self {
        Self {
            table: scatterers(),
            clouds: clouds(),
            ox: rng.range(0.0, 1.0) * SIDE as f32,
            oy: rng.range(0.0, 1.0) * SIDE as f32,
            density,
        }
    }

    /// Another, unrelated part of the same tables.
    pub(crate) fn shifted(self, by: f32) -> Self {
        Self {
            ox: self.ox + by * 317.7,
            oy: self.oy + by * 533.3,
            ..self
        }
    }

    /// The scatterers at a place in centimetres, interpolated, of unit power everywhere.
    pub(crate) fn at(&self, x: f32, y: f32) -> [f32; 2] {
        // The offset keeps the argument positive, so that truncation is a floor.
        let u = x * self.density + self.ox + 8192.0;
        let v = y * self.density + self.oy + 8192.0;
        let (iu, iv) = (u as usize, v as usize);
        let (fu, fv) = (u - iu as f32, v - iv as f32);
        let (x0, x1) = (iu & MASK, (iu + 1) & MASK);
        let (y0, y1) = ((iv & MASK) * SIDE, ((iv + 1) & MASK) * SIDE);
        let (gu, gv) = (1.0 - fu, 1.0 - fv);
        let (a, b, c, d) = (
            self.table[y0 + x0],
            self.table[y0 + x1],
            self.table[y1 + x0],
            self.table[y1 + x1],
        );
        let norm = ((gu * gu + fu * fu) * (gv * gv + fv * fv)).sqrt().recip();
        let mix = |k: usize| ((a[k] * gu + b[k] * fu) * gv + (c[k] * gu + d[k] * fu) * fv) * norm;
        [mix(0), mix(1)]
    }

    /// The nearest scatterer: for media that need no smooth motion.
    pub(crate) fn nearest(&self, x: f32, y: f32) -> [f32; 2] {
        let u = (x * self.density + self.ox + 8192.0) as usize & MASK;
        let v = (y * self.density + self.oy + 8192.0) as usize & MASK;
        self.table[v * SIDE + u]
    }

    /// A cloud of unit variance, correlated over about 8 / `per_cm` centimetres.
    pub(crate) fn cloud(&self, x: f32, y: f32, per_cm: f32) -> f32 {
        let u = x * per_cm + self.ox + 4096.0;
        let v = y * per_cm + self.oy + 4096.0;
        let (iu, iv) = (u as usize, v as usize);
        let (fu, fv) = (u - iu as f32, v - iv as f32);
        let at = |i: usize, j: usize| self.clouds[(j & CLOUD_MASK) * CLOUD_SIDE + (i & CLOUD_MASK)];
        (at(iu, iv) * (1.0 - fu) + at(iu + 1, iv) * fu) * (1.0 - fv)
            + (at(iu, iv + 1) * (1.0 - fu) + at(iu + 1, iv + 1) * fu) * fv
    }

    /// A run of white noise for one line of electronic noise.
    pub(crate) fn line(&self, row: usize) -> impl Iterator<Item = [f32; 2]> + '_ {
        let start = (row + self.oy as usize) & MASK;
        let from = self.ox as usize;
        (0..).map(move |k| self.table[start * SIDE + ((k + from) & MASK)])
    }
}
