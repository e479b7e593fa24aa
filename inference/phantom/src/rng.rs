//! Reproducible random draws: `ChaCha8` keyed by a seed and a purpose.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A stream of draws. Two streams with another `(seed, purpose)` are independent of each other.
#[derive(Clone, Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// Begins the stream of `purpose` under `seed`.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self::keyed([seed, purpose, 0, 0])
    }

    /// Begins the stream of a whole key.
    pub fn keyed(words: [u64; 4]) -> Self {
        let mut key = [0u8; 32];
        for (to, word) in key.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in `lo..hi`; `lo` where the interval is empty.
    pub fn range(&mut self, lo: f32, hi: f32) -> f32 {
        lo + (hi - lo) * self.0.random::<f32>()
    }

    /// Uniform on a logarithmic scale; both ends positive.
    pub fn log_range(&mut self, lo: f32, hi: f32) -> f32 {
        self.range(lo.ln(), hi.ln()).exp()
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f32) -> bool {
        self.0.random::<f32>() < p
    }

    /// Uniform in `0..n`; `n` at least 1.
    pub fn index(&mut self, n: usize) -> usize {
        self.0.random_range(0..n.max(1))
    }

    /// Standard normal (Box-Muller).
    pub fn normal(&mut self) -> f32 {
        let u = self.0.random::<f32>().max(1e-7);
        let v = self.0.random::<f32>() * std::f32::consts::TAU;
        (-2.0 * u.ln()).sqrt() * v.cos()
    }

    /// Minus one or plus one.
    pub fn sign(&mut self) -> f32 {
        if self.chance(0.5) { 1.0 } else { -1.0 }
    }

    /// Thirty-two random bits.
    pub fn bits(&mut self) -> u32 {
        self.0.random()
    }
}
