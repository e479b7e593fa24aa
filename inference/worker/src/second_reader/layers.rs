//! Small parts that tower and decoder share.

use tch::{Kind, Tensor};

use super::error::ReaderError;
use super::weights::Loader;

/// A root-mean-square norm, computed in 32 bits, its weight applied in the arithmetic's own.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Tensor,
    eps: f64,
}

impl Norm {
    pub(super) fn load(loader: &Loader, name: &str, eps: f64) -> Result<Self, ReaderError> {
        let weight = loader.plain(&format!("{name}.weight"))?;
        Ok(Self { weight, eps })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let exact = x.to_kind(Kind::Float);
        let square = exact.square().mean_dim([-1].as_slice(), true, Kind::Float);
        let scaled = exact * (square + self.eps).rsqrt();
        &self.weight * scaled.to_kind(x.kind())
    }
}
