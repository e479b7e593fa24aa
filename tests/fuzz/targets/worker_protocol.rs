//! What a worker gone wrong could tell the node, and the node the worker: frames and their JSON. What is read must be
//! written and read again as it was.
#![no_main]
#![allow(clippy::unwrap_used, reason = "what fails here is a finding")]

use libfuzzer_sys::fuzz_target;
use sonode_findings::protocol::{FromWorker, ToWorker, read_frame, write_frame};

fuzz_target!(|input: &[u8]| {
    let mut jobs = input;
    while let Ok(job) = read_frame::<ToWorker>(&mut jobs) {
        let mut wire = Vec::new();
        write_frame(&mut wire, &job).unwrap();
        assert_eq!(read_frame::<ToWorker>(&mut wire.as_slice()).unwrap(), job);
    }
    let mut answers = input;
    while let Ok(answer) = read_frame::<FromWorker>(&mut answers) {
        let mut wire = Vec::new();
        write_frame(&mut wire, &answer).unwrap();
        assert!(read_frame::<FromWorker>(&mut wire.as_slice()).is_ok());
    }
});
