//! The cardiac cycle: contraction, valve opening, and when each beat begins.

use crate::rng::Draw;

/// The state of the heart at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// 0 at end diastole, 1 at end systole; the volume is EDV - SV x this.
    pub contraction: f32,
    /// Mitral opening, 0 closed to 1 wide open.
    pub mitral: f32,
    /// Filling of the atria, 0 to 1.
    pub atrial: f32,
}

/// One case's cycle. All times are fractions of the RR interval, from the R wave's end diastole.
#[derive(Clone, Copy, Debug)]
pub struct Cycle {
    /// End systole.
    pub systole: f32,
    /// End of the E wave.
    e_end: f32,
    /// Start of the A wave.
    a_start: f32,
    /// Share of the stroke volume that fills by the E wave.
    e_share: f32,
    /// Share that fills in diastasis.
    mid_share: f32,
}

impl Cycle {
    /// Draws a cycle; end systole at 30 to 42 % of RR.
    pub fn draw(rng: &mut Draw) -> Self {
        let systole = rng.range(0.30, 0.42);
        let e_end = systole + rng.range(0.17, 0.24);
        Self {
            systole,
            e_end,
            a_start: rng.range(0.80, 0.86).max(e_end + 0.05),
            e_share: rng.range(0.50, 0.78),
            mid_share: rng.range(0.02, 0.07),
        }
    }

    /// The state at `t`, a fraction of RR in `0..1`.
    pub fn at(&self, t: f32) -> Phase {
        let t = t.rem_euclid(1.0);
        let contraction = self.contraction(t);
        Phase {
            contraction,
            mitral: self.mitral(t),
            atrial: contraction,
        }
    }

    fn contraction(&self, t: f32) -> f32 {
        if t < self.systole {
            // A short isovolumic start, then ejection that slows towards its end.
            let u = ((t / self.systole - 0.08) / 0.92).clamp(0.0, 1.0);
            return smooth(u.powf(0.85));
        }
        let after_e = 1.0 - self.e_share;
        if t < self.e_end {
            let u = (t - self.systole) / (self.e_end - self.systole);
            return 1.0 - self.e_share * smooth(((u - 0.12) / 0.88).clamp(0.0, 1.0));
        }
        let after_mid = after_e - self.mid_share;
        if t < self.a_start {
            let u = (t - self.e_end) / (self.a_start - self.e_end);
            return after_e - self.mid_share * u;
        }
        // The A wave ends at the R wave, so that end diastole is the maximum.
        after_mid * (1.0 - smooth((t - self.a_start) / (1.0 - self.a_start)))
    }

    fn mitral(&self, t: f32) -> f32 {
        if t < self.systole + 0.02 {
            return 0.0;
        }
        let wave = |from: f32, to: f32| {
            let u = ((t - from) / (to - from)).clamp(0.0, 1.0);
            (std::f32::consts::PI * u).sin().powf(0.6)
        };
        let e = wave(self.systole + 0.02, self.e_end + 0.06);
        let a = 0.75 * wave(self.a_start - 0.03, 1.0);
        let rest = if t > self.e_end && t < self.a_start {
            0.3
        } else {
            0.0
        };
        e.max(a).max(rest)
    }
}

fn smooth(u: f32) -> f32 {
    let u = u.clamp(0.0, 1.0);
    u * u * (3.0 - 2.0 * u)
}

/// Where the beats of a clip begin.
#[derive(Clone, Debug)]
pub struct Rhythm {
    /// R waves in seconds, ascending; the first is at or before 0.
    r_waves: Vec<f32>,
}

impl Rhythm {
    /// Beats that cover `seconds` at `rate` per minute, the first R wave `lead` of an RR before the clip's start;
    /// `irregular` varies each RR by up to 20 %.
    pub fn new(rng: &mut Draw, rate: f32, lead: f32, seconds: f32, irregular: bool) -> Self {
        let rr = 60.0 / rate;
        let mut at = -lead * rr;
        let mut r_waves = vec![at];
        while at <= seconds + rr {
            at += if irregular {
                rr * rng.range(0.8, 1.2)
            } else {
                rr
            };
            r_waves.push(at);
        }
        Self { r_waves }
    }

    /// The beat's number and the fraction of its RR at `seconds`.
    pub fn at(&self, seconds: f32) -> (usize, f32) {
        let beat = self
            .r_waves
            .partition_point(|r| *r <= seconds)
            .saturating_sub(1);
        let last = self.r_waves.len().saturating_sub(2);
        let beat = beat.min(last);
        let (from, to) = (self.r_waves[beat], self.r_waves[beat + 1]);
        (beat, ((seconds - from) / (to - from)).clamp(0.0, 1.0))
    }

    /// The R waves, seconds from the clip's first frame.
    pub fn r_waves(&self) -> &[f32] {
        &self.r_waves
    }
}
