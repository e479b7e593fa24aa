//! Where the models run.

use std::str::FromStr;

use tch::{Cuda, Device};

/// What `--device` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU where there is one, the CPU otherwise.
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU by its number.
    Cuda(usize),
}

/// Why a device can't be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Not a name of a device.
    #[error("\"{0}\" is no device: say auto, cpu or cuda:N")]
    Unknown(String),
    /// A GPU was asked for, and libtorch sees none of that number.
    #[error(
        "there is no GPU number {asked}: libtorch sees {seen}; is the CUDA side set up (make gpu), and a driver?"
    )]
    Missing {
        /// The number that was asked for.
        asked: usize,
        /// How many there are.
        seen: i64,
    },
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| DeviceError::Unknown(text.to_owned())),
        }
    }
}

/// The device that a choice stands for on this machine.
///
/// # Errors
/// [`DeviceError::Missing`] where a GPU was asked for by number and is not there.
pub fn resolve(choice: DeviceChoice) -> Result<Device, DeviceError> {
    match choice {
        DeviceChoice::Auto if Cuda::is_available() => Ok(Device::Cuda(0)),
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(asked) => {
            let seen = Cuda::device_count();
            if Cuda::is_available() && (asked as i64) < seen {
                Ok(Device::Cuda(asked))
            } else {
                Err(DeviceError::Missing { asked, seen })
            }
        }
    }
}

/// Whether a device has instructions that compute in bfloat16, without which it is slower than in single precision.
pub fn has_bfloat16(device: Device) -> bool {
    match device {
        #[cfg(target_arch = "x86_64")]
        Device::Cpu => std::arch::is_x86_feature_detected!("avx512bf16"),
        // All that the pinned libtorch runs on.
        Device::Cuda(_) => true,
        _ => false,
    }
}

/// `cpu` or `cuda:N`.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(number) => format!("cuda:{number}"),
        _ => "cpu".to_owned(),
    }
}
