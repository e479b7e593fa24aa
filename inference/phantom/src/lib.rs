//! The synthetic echo phantom: apical cines of a beating left ventricle whose volumes are known.
//!
//! One heart ([`anatomy`]), beating ([`motion`]), is cut by the image plane, seen by a simulated scanner ([`scanner`]),
//! scan-converted ([`scan_convert`]) and drawn in a device's style ([`style`]). From the same model come small training
//! images with masks ([`training`]); [`cine`] makes clips with their truth ([`truth`]), [`dicom`] writes them.
//!
//! **Architecture invariant:** everything follows from a seed; no clock, no I/O beside the writer that is passed in.
//! What training may never see is declared in [`ranges`] and nowhere else.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::many_single_char_names,
    clippy::similar_names,
    reason = "image synthesis is arithmetic between pixel indices and small floating-point numbers"
)]

mod acquire;
pub mod anatomy;
pub mod cine;
mod cords;
mod degrade;
pub mod dicom;
mod encode;
pub mod gates;
mod levels;
pub mod motion;
mod noise;
mod overlay;
pub mod ranges;
pub mod rng;
pub mod scan_convert;
pub mod scanner;
mod screen;
mod shape;
pub mod spec;
pub mod style;
pub mod training;
pub mod truth;
