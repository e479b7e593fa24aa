//! The engine, the spool, the committer, the queue and the worker pool.
//!
//! **Architecture invariants:** the engine is sans-I/O: events in, actions out, one next deadline, the time an argument.
//! What was promised to a peer is a file in the spool; the queue can be lost and costs repeated work only. Nothing here
//! opens a peer's pixels: that is the worker's, in its own process.

#![warn(clippy::indexing_slicing)]

mod companions;
mod engine;
mod header;
mod pipeline;
mod ports;
mod pruning;
mod queue;
mod report;
mod runtime;
mod settings;
pub mod spool;
mod states;
mod status;
mod text;
mod time;
mod workers;

pub use companions::CompanionKey;
pub use header::{HeaderSummary, RawRequest, RejectionNote};
pub use pipeline::{
    Arrival, CommandError, Pipeline, RelayError, RenderError, StartError, StepError,
};
pub use ports::{
    Analyzer, AssociationFailure, Clock, CommitmentJob, CommitmentNotice, CommitmentObject,
    CommitmentOutcome, CommitmentQuestion, CommitmentReference, CommitmentReport, CompanionFile,
    DeliveryJob, DeliveryObject, DeliveryReport, Headers, ObjectResult, PageRequest, Ports,
    RelayReport, RelayRequest, RenderedReport, ReportKey, ReportSender, StepRequest, SystemClock,
    Tell, Worker, WorkerEnd, WorkerEvent,
};
pub use report::{content_date_time, series_number};
pub use settings::{ReportUnmeasured, RetrySettings, Route, Routing, Settings, WorkerSettings};
pub use status::{
    Counters, DeliveryAnswer, DeliveryCounts, DeliveryStatus, Health, InstanceStatus, PeerHealth,
    QueueLengths, StudyDetail, StudyStatus, Timeline, UnsortedStatus, VersionStatus, WorkerState,
};
pub use time::Timestamp;
pub use workers::WorkerProgram;
