//! What an analysis found, and the messages in which the node and its worker speak of it.
//!
//! **Architecture invariant:** data and pure functions only; no I/O beyond the `Read` and `Write` that a caller passes
//! in. The JSON form of [`Findings`] is part of the interface contract (`findings.json`, `analyze --json`): what is
//! not known is null, never 0; frames count from 1, as DICOM's do; points are (column, row) in image pixels.

mod biplane;
mod cart;
mod context;
pub mod grade;
mod instance;
mod phrase;
pub mod phrases;
pub mod plausibility;
pub mod protocol;
mod reading;
mod study;

pub use cart::{BodySize, BsaOrigin, CartReport, CartValue, Quantity, VolumeIndex, du_bois};
pub use context::{Phi, RequestAttributes, StudyContext};
pub use instance::{
    Beat, Calibration, CalibrationSource, CardiacPhase, Check, CheckOutcome, Contour, Disks, Grade,
    InstanceFindings, LvMeasurement, Method, ModelRef, Quality, Region, Rejection, Trace, View,
    ViewLabel,
};
pub use phrase::{Pattern, Phrase, Sentence, Value, Wording};
pub use reading::{SecondReading, Struck};
pub use study::{Findings, LvSummary, SCHEMA};
