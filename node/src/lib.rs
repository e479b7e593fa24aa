//! The Sonode node: configuration, sockets, DIMSE services, the page, the command line.
//!
//! **Architecture invariants:** the only crate with tokio. It never parses a peer's data set (the header scanner of
//! `sonode-dimse` sees the bytes pass) and never loads libtorch: both are the worker's, in its own process.
//!
//! One study, from socket to report: `listener` accepts, `association` drives the state machine, `store` checks
//! and writes into the spool, the pipeline analyses and decides, `sender` delivers through `scu`.
#![warn(clippy::indexing_slicing)]

mod association;
pub mod cli;
mod commitment;
pub mod config;
mod header;
mod http;
mod listener;
mod mailbox;
mod metrics;
mod node;
mod part10;
mod places;
mod procedure_step;
mod refused;
mod rejection;
mod relay;
mod scu;
mod sender;
mod services;
mod socket;
mod statement;
mod store;
mod strangers;
