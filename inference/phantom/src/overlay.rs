//! What a scanner draws over and beside the echo: text, depth ticks, a grey bar, an ECG trace.

use crate::rng::Draw;

/// A grey canvas that overlays are drawn on, `[height, width]`, 0 to 255.
pub(crate) struct Canvas<'a> {
    pub(crate) pixels: &'a mut [f32],
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Canvas<'_> {
    pub(crate) fn set(&mut self, x: i32, y: i32, value: f32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        if x < self.width && y < self.height {
            self.pixels[y * self.width + x] = value;
        }
    }

    pub(crate) fn fill(&mut self, x: i32, y: i32, w: i32, h: i32, value: f32) {
        for row in y..y + h {
            for column in x..x + w {
                self.set(column, row, value);
            }
        }
    }

    /// Text in a 5 x 7 face, `scale` times as large; what the face lacks is left blank.
    pub(crate) fn text(&mut self, x: i32, y: i32, scale: i32, value: f32, text: &str) {
        for (k, c) in text.chars().enumerate() {
            let left = x + 6 * scale * i32::try_from(k).unwrap_or(0);
            for (column, bits) in (0i32..).zip(glyph(c)) {
                for row in 0..7 {
                    if bits >> row & 1 == 1 {
                        self.fill(left + column * scale, y + row * scale, scale, scale, value);
                    }
                }
            }
        }
    }

    /// A line of width `thick`.
    pub(crate) fn line(&mut self, from: [f32; 2], to: [f32; 2], thick: i32, value: f32) {
        let steps = (to[0] - from[0])
            .abs()
            .max((to[1] - from[1]).abs())
            .ceil()
            .max(1.0);
        let mut at = 0.0;
        while at <= steps {
            let t = at / steps;
            let x = from[0] + (to[0] - from[0]) * t;
            let y = from[1] + (to[1] - from[1]) * t;
            self.fill(x.round() as i32, y.round() as i32, thick, thick, value);
            at += 1.0;
        }
    }

    /// Ticks down a line, each `gap` pixels, the fifth one longer.
    pub(crate) fn ticks(&mut self, x: i32, y: f32, gap: f32, value: f32) {
        let mut k = 0i32;
        while y + gap * (k as f32) < self.height as f32 && gap > 1.0 {
            let long = if k % 5 == 0 { 6 } else { 3 };
            self.fill(x, (y + gap * k as f32) as i32, long, 1, value);
            k += 1;
        }
    }

    /// A vertical grey wedge, bright at the top.
    pub(crate) fn wedge(&mut self, x: i32, y: i32, w: i32, h: i32) {
        for row in 0..h {
            let value = 255.0 * (1.0 - row as f32 / h.max(1) as f32);
            self.fill(x, y + row, w, 1, value);
        }
    }

    /// An ECG trace over the whole width: `beat` maps pixels to the fraction of an RR interval.
    pub(crate) fn ecg(&mut self, y: f32, tall: f32, value: f32, beat: impl Fn(f32) -> f32) {
        let mut last = [0.0, y];
        for x in 0..self.width {
            let at = [x as f32, y - tall * ecg(beat(x as f32))];
            if x > 0 {
                self.line(last, at, 1, value);
            }
            last = at;
        }
    }
}

/// The ECG at a fraction of RR, R wave at 0, amplitude about 1.
pub(crate) fn ecg(t: f32) -> f32 {
    let bump = |at: f32, width: f32, tall: f32| {
        let d = (t - at).rem_euclid(1.0);
        let d = d.min(1.0 - d);
        tall * (-(d / width).powi(2)).exp()
    };
    bump(0.0, 0.012, 1.0) - bump(0.03, 0.012, 0.3) - bump(0.97, 0.012, 0.15)
        + bump(0.32, 0.05, 0.28)
        + bump(0.84, 0.03, 0.16)
}

/// Overlays of a training image: some of each, anywhere that a crop may still show them.
pub(crate) fn scatter_overlays(rng: &mut Draw, canvas: &mut Canvas<'_>) {
    let (w, h) = (canvas.width as i32, canvas.height as i32);
    let bright = rng.range(90.0, 255.0);
    for _ in 0..rng.index(4) {
        let text: String = (0..2 + rng.index(9))
            .map(|_| char::from(b"0123456789ABCDEFGHIKLMNOPRSTU.:/ "[rng.index(33)]))
            .collect();
        let x = if rng.chance(0.5) {
            rng.range(0.0, 0.15)
        } else {
            rng.range(0.7, 0.95)
        };
        let y = if rng.chance(0.6) {
            rng.range(0.0, 0.2)
        } else {
            rng.range(0.75, 0.97)
        };
        let scale = 1 + i32::from(rng.chance(0.3));
        canvas.text(
            (x * w as f32) as i32,
            (y * h as f32) as i32,
            scale,
            bright,
            &text,
        );
    }
    if rng.chance(0.4) {
        let x = if rng.chance(0.5) { w - 8 } else { 2 };
        canvas.ticks(
            x,
            rng.range(0.0, 0.1) * h as f32,
            rng.range(4.0, 24.0),
            bright,
        );
    }
    if rng.chance(0.2) {
        let x = if rng.chance(0.6) { w - 12 } else { 2 };
        let tall = (rng.range(0.2, 0.5) * h as f32) as i32;
        canvas.wedge(x, (rng.range(0.05, 0.3) * h as f32) as i32, 6, tall);
    }
    if rng.chance(0.25) {
        let (start, beat) = (rng.range(0.0, 1.0), rng.range(0.3, 0.9) * w as f32);
        let y = rng.range(0.88, 0.99) * h as f32;
        canvas.ecg(y, rng.range(0.04, 0.1) * h as f32, bright, |x| {
            start + x / beat
        });
    }
    if rng.chance(0.3) {
        // The probe's marker beside the sector's tip.
        let x = (rng.range(0.35, 0.65) * w as f32) as i32;
        canvas.fill(x, (rng.range(0.0, 0.06) * h as f32) as i32, 4, 4, bright);
    }
}

/// Five columns, the lowest bit at the top.
fn glyph(c: char) -> [u8; 5] {
    match c.to_ascii_uppercase() {
        '0' => [0x3E, 0x51, 0x49, 0x45, 0x3E],
        '1' => [0x00, 0x42, 0x7F, 0x40, 0x00],
        '2' => [0x42, 0x61, 0x51, 0x49, 0x46],
        '3' => [0x21, 0x41, 0x45, 0x4B, 0x31],
        '4' => [0x18, 0x14, 0x12, 0x7F, 0x10],
        '5' => [0x27, 0x45, 0x45, 0x45, 0x39],
        '6' => [0x3C, 0x4A, 0x49, 0x49, 0x30],
        '7' => [0x01, 0x71, 0x09, 0x05, 0x03],
        '8' => [0x36, 0x49, 0x49, 0x49, 0x36],
        '9' => [0x06, 0x49, 0x49, 0x29, 0x1E],
        'A' => [0x7E, 0x11, 0x11, 0x11, 0x7E],
        'B' => [0x7F, 0x49, 0x49, 0x49, 0x36],
        'C' => [0x3E, 0x41, 0x41, 0x41, 0x22],
        'D' => [0x7F, 0x41, 0x41, 0x22, 0x1C],
        'E' => [0x7F, 0x49, 0x49, 0x49, 0x41],
        'F' => [0x7F, 0x09, 0x09, 0x09, 0x01],
        'G' => [0x3E, 0x41, 0x49, 0x49, 0x7A],
        'H' => [0x7F, 0x08, 0x08, 0x08, 0x7F],
        'I' => [0x00, 0x41, 0x7F, 0x41, 0x00],
        'J' => [0x20, 0x40, 0x41, 0x3F, 0x01],
        'K' => [0x7F, 0x08, 0x14, 0x22, 0x41],
        'L' => [0x7F, 0x40, 0x40, 0x40, 0x40],
        'M' => [0x7F, 0x02, 0x0C, 0x02, 0x7F],
        'N' => [0x7F, 0x04, 0x08, 0x10, 0x7F],
        'O' => [0x3E, 0x41, 0x41, 0x41, 0x3E],
        'P' => [0x7F, 0x09, 0x09, 0x09, 0x06],
        'Q' => [0x3E, 0x41, 0x51, 0x21, 0x5E],
        'R' => [0x7F, 0x09, 0x19, 0x29, 0x46],
        'S' => [0x46, 0x49, 0x49, 0x49, 0x31],
        'T' => [0x01, 0x01, 0x7F, 0x01, 0x01],
        'U' => [0x3F, 0x40, 0x40, 0x40, 0x3F],
        'V' => [0x1F, 0x20, 0x40, 0x20, 0x1F],
        'W' => [0x3F, 0x40, 0x38, 0x40, 0x3F],
        'X' => [0x63, 0x14, 0x08, 0x14, 0x63],
        'Y' => [0x07, 0x08, 0x70, 0x08, 0x07],
        'Z' => [0x61, 0x51, 0x49, 0x45, 0x43],
        '.' => [0x00, 0x60, 0x60, 0x00, 0x00],
        ':' => [0x00, 0x36, 0x36, 0x00, 0x00],
        '-' => [0x08; 5],
        '/' => [0x20, 0x10, 0x08, 0x04, 0x02],
        '%' => [0x23, 0x13, 0x08, 0x64, 0x62],
        _ => [0; 5],
    }
}
