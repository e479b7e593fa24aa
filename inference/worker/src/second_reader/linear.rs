//! A linear layer in one of four precisions. The two quantised ones store whole numbers and scales, and are turned back
//! where they are used: they save memory, and on a CPU int8 has a kernel of its own.

use std::str::FromStr;

use tch::{Device, Kind, Tensor};

/// Inputs that share a scale and an offset in int4.
const GROUP: i64 = 32;

/// How the weights of a loaded model are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floating point, weights and arithmetic.
    Fp32,
    /// bfloat16, weights and arithmetic; norms and softmax in 32 bits, as in the model's own code.
    Bf16,
    /// Linear layers in 8 bits with a scale an output (symmetric, rounded to nearest).
    Int8,
    /// Linear layers of the decoder in 4 bits with scale and offset for each 32 inputs; the rest of them in 8 bits.
    Int4,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "fp32" => Ok(Self::Fp32),
            "bf16" => Ok(Self::Bf16),
            "int8" => Ok(Self::Int8),
            "int4" => Ok(Self::Int4),
            _ => Err(format!(
                "\"{text}\" is no precision: say fp32, bf16, int8 or int4"
            )),
        }
    }
}

impl Precision {
    /// What is computed in. The quantised ones compute in 32 bits on a CPU, which has no faster unit for bfloat16.
    pub fn arithmetic(self, device: Device) -> Kind {
        match self {
            Self::Bf16 => Kind::BFloat16,
            Self::Int8 | Self::Int4 if device.is_cuda() => Kind::BFloat16,
            Self::Fp32 | Self::Int8 | Self::Int4 => Kind::Float,
        }
    }

    /// What an embedding is stored in: the quantised ones keep the published bfloat16.
    pub fn storage(self) -> Kind {
        match self {
            Self::Fp32 => Kind::Float,
            _ => Kind::BFloat16,
        }
    }

    /// The name that `--dtype` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }
}

/// The weights of one layer, `[outputs, inputs]`.
#[derive(Debug)]
enum Stored {
    Plain(Tensor),
    /// Whole numbers -127 to 127, and a scale an output.
    Eight {
        whole: Tensor,
        scale: Tensor,
    },
    /// Two numbers 0 to 15 a byte, the first in the low half; `[outputs, groups, 1]` scale and least value.
    Four {
        pairs: Tensor,
        scale: Tensor,
        least: Tensor,
    },
}

/// A linear layer: x Wᵀ + b.
#[derive(Debug)]
pub struct Linear {
    stored: Stored,
    bias: Option<Tensor>,
}

/// How many bits a layer's weights take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// As many as the arithmetic.
    Full,
    /// Eight.
    Eight,
    /// Four, where the inputs are in whole groups; else eight.
    Four,
}

impl Bits {
    /// What weights of this shape are stored in.
    #[must_use]
    pub fn fitting(self, inputs: i64) -> Self {
        if self == Self::Four && inputs % GROUP != 0 {
            Self::Eight
        } else {
            self
        }
    }

    /// Bytes of a layer.
    pub fn bytes(self, outputs: i64, inputs: i64, kind: Kind) -> u64 {
        let (outputs, inputs) = (outputs as u64, inputs as u64);
        let width = kind.elt_size_in_bytes() as u64;
        match self.fitting(inputs as i64) {
            Self::Full => outputs * inputs * width,
            Self::Eight => outputs * (inputs + width),
            Self::Four => outputs * (inputs / 2 + 2 * width * inputs / GROUP as u64),
        }
    }
}

impl Linear {
    /// A layer of weights in 32 bits, stored and computed as said.
    pub fn new(weight: &Tensor, bias: Option<Tensor>, bits: Bits, kind: Kind) -> Self {
        let stored = match bits.fitting(weight.size()[1]) {
            Bits::Full => Stored::Plain(weight.to_kind(kind)),
            Bits::Eight => eight(weight, kind),
            Bits::Four => four(weight, kind),
        };
        Self { stored, bias }
    }

    /// x Wᵀ + b; the last side of `x` is the inputs.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        match &self.stored {
            Stored::Plain(weight) => x.linear(weight, self.bias.as_ref()),
            Stored::Eight { whole, scale } => {
                let y = x.matmul(&whole.to_kind(kind).tr()) * scale;
                match &self.bias {
                    Some(bias) => y + bias,
                    None => y,
                }
            }
            Stored::Four {
                pairs,
                scale,
                least,
            } => {
                let weight = from_four(pairs, scale, least).to_kind(kind);
                x.linear(&weight, self.bias.as_ref())
            }
        }
    }

    /// The layer on another device.
    #[must_use]
    pub fn to_device(self, device: Device) -> Self {
        let to = |tensor: &Tensor| tensor.to_device(device);
        let stored = match &self.stored {
            Stored::Plain(weight) => Stored::Plain(to(weight)),
            Stored::Eight { whole, scale } => Stored::Eight {
                whole: to(whole),
                scale: to(scale),
            },
            Stored::Four {
                pairs,
                scale,
                least,
            } => Stored::Four {
                pairs: to(pairs),
                scale: to(scale),
                least: to(least),
            },
        };
        Self {
            stored,
            bias: self.bias.as_ref().map(to),
        }
    }
}

fn eight(weight: &Tensor, kind: Kind) -> Stored {
    let largest = weight.abs().amax([1].as_slice(), true);
    let scale = (largest / 127.0).clamp_min(f64::from(f32::MIN_POSITIVE));
    let whole = (weight / &scale).round().clamp(-127, 127);
    Stored::Eight {
        whole: whole.to_kind(Kind::Int8),
        scale: scale.squeeze_dim(1).to_kind(kind),
    }
}

fn four(weight: &Tensor, kind: Kind) -> Stored {
    let (outputs, inputs) = (weight.size()[0], weight.size()[1]);
    let groups = weight.view([outputs, inputs / GROUP, GROUP]);
    let least = groups.amin([2].as_slice(), true);
    let most = groups.amax([2].as_slice(), true);
    let scale = ((most - &least) / 15.0).clamp_min(f64::from(f32::MIN_POSITIVE));
    // Rounded before the numbers are, so that these make up for it.
    let (least, scale) = (least.to_kind(kind), scale.to_kind(kind));
    let whole = ((&groups - least.to_kind(Kind::Float)) / scale.to_kind(Kind::Float))
        .round()
        .clamp(0, 15)
        .to_kind(Kind::Uint8)
        .view([outputs, inputs / 2, 2]);
    let pairs = whole.select(2, 0) + whole.select(2, 1) * 16;
    Stored::Four {
        pairs: pairs.contiguous(),
        scale,
        least,
    }
}

fn from_four(pairs: &Tensor, scale: &Tensor, least: &Tensor) -> Tensor {
    let low = pairs.bitwise_and(15);
    let high = pairs.bitwise_right_shift_tensor_scalar(4);
    let outputs = pairs.size()[0];
    let whole = Tensor::stack(&[low, high], 2).view([outputs, -1, GROUP]);
    (whole.to_kind(scale.kind()) * scale + least).view([outputs, -1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::seeded;

    fn worst(bits: Bits, inputs: i64) -> f64 {
        let _turn = seeded(3);
        let weight = Tensor::randn([24, inputs], (Kind::Float, Device::Cpu));
        let x = Tensor::randn([5, inputs], (Kind::Float, Device::Cpu));
        let exact = x.matmul(&weight.tr());
        let layer = Linear::new(&weight, None, bits, Kind::Float);
        let difference = (layer.forward(&x) - &exact).norm() / exact.norm();
        difference.double_value(&[])
    }

    #[test]
    fn fewer_bits_lose_as_much_as_they_must() {
        assert!(worst(Bits::Full, 64) < 1e-9);
        // Half a step of 127 in the largest of 64 normal numbers, and half a step of 15 in 32.
        assert!((1e-3..0.02).contains(&worst(Bits::Eight, 64)));
        assert!((0.02..0.12).contains(&worst(Bits::Four, 64)));
        // 40 inputs are no whole groups: eight bits then.
        assert!((1e-3..0.02).contains(&worst(Bits::Four, 40)));
    }

    #[test]
    fn the_bytes_are_those_that_are_stored() {
        let weight = Tensor::ones([24, 64], (Kind::Float, Device::Cpu));
        for bits in [Bits::Full, Bits::Eight, Bits::Four] {
            let layer = Linear::new(&weight, None, bits, Kind::BFloat16);
            let size =
                |tensor: &Tensor| tensor.numel() as u64 * tensor.kind().elt_size_in_bytes() as u64;
            let stored = match &layer.stored {
                Stored::Plain(weight) => size(weight),
                Stored::Eight { whole, scale } => size(whole) + size(scale),
                Stored::Four {
                    pairs,
                    scale,
                    least,
                } => size(pairs) + size(scale) + size(least),
            };
            assert_eq!(bits.bytes(24, 64, Kind::BFloat16), stored);
        }
    }
}
