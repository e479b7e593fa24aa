//! Structured reports: from findings to content tree to data set to Part 10 bytes; and reading any report back as a
//! tree that people can read.
//!
//! **Architecture invariant:** pure. No sockets, no files, no clock, no randomness: UIDs and time are passed in, and
//! the same input gives the same bytes.

pub mod codes;
mod companion;
mod dataset;
mod form;
mod identity;
pub mod lint;
mod read;
mod request;
mod show;
mod template;
pub mod texts;
pub mod tree;
mod write;

pub use companion::{Companion, CompanionRequest, Composition, compose, write_companion};
pub use form::{CharacterSet, Coding, Document, FindingsCode, Form, ReportForm, Style, Syntax};
pub use identity::{
    CompanionIdentity, ReportIdentity, companion_series_uid, companion_uid, device_uid, model_uid,
    report_uid, series_uid,
};
pub use lint::{lint, lint_against};
pub use read::ReadError;
pub use request::{ContentDateTime, Predecessor, ReportRequest, WriteError, WrittenReport};
pub use show::{ShowError, show};
pub use texts::Language;
pub use write::write;
