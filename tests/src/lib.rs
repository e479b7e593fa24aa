//! The harness of the whole-node tests: a node as it ships, and real peers around it on loopback.
//!
//! **Architecture invariant:** nothing here links the node. The tests see what a hospital sees: the program's command
//! line, its configuration file, its sockets, its HTTP interface and its data folder. Objects are read back with
//! readers that aren't Sonode's (DCMTK, dicom3tools, pydicom, highdicom), and [`cart`] speaks DICOM's upper layer
//! with code of its own, so that a mistake can't cancel itself out.
//!
//! Each test starts its own node and peers on free ports, and each process is killed when its value is dropped.

#![allow(
    clippy::missing_errors_doc,
    reason = "every error of the harness ends its test, with its context in words"
)]

pub mod cart;
pub mod dcmtk;
pub mod dice;
pub mod gate;
pub mod http;
pub mod load;
pub mod node;
pub mod orthanc;
pub mod part10;
pub mod paths;
pub mod process;
pub mod promises;
pub mod python;
pub mod reliability;
pub mod report;
pub mod samples;
pub mod strace;
pub mod synthetic;
pub mod wait;
