//! The inference worker: one DICOM instance in, its `Findings` out.
//!
//! ```text
//! dicom    a Part 10 file -> header, scope, calibration, timing, decoded luma     hostile bytes end here
//! measure  a clip -> view, quality, contours, beats, volumes, checks              the only users of `net` and `models`
//! analysis ties the two together
//! serve    the protocol with the node, and the process's own limits
//! illustrate  pages and cines for people: frames put into what the node has composed
//! second_reader  a vision-language model's view of the same frames, in words
//! ```
//!
//! **Architecture invariants:** this is the only crate that links libtorch, and the only one that opens pixel data. It
//! opens no socket and writes no file that it was not asked for by name.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_lossless,
    clippy::many_single_char_names,
    clippy::similar_names,
    reason = "image and tensor arithmetic"
)]

pub mod analysis;
pub mod cli;
pub mod clip;
pub mod device;
pub mod dicom;
pub mod illustrate;
pub mod measure;
pub mod models;
pub mod net;

#[cfg(test)]
mod draws;
mod parallel;
pub mod second_reader;
pub mod serve;
pub mod train;
