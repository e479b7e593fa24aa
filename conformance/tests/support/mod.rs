//! What the gates share: reports to check, and the tools that check them.

#![allow(dead_code, reason = "each gate uses its own part")]
#![allow(
    clippy::unwrap_used,
    reason = "a fixture that can't be made fails its test"
)]

pub(crate) mod fixtures;
pub(crate) mod tools;
