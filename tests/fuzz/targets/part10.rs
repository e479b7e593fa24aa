//! A file of a cart's, as the worker opens it: header, scope, regions, timing, a cart's own report, the patient, and the
//! first frame's pixels.
#![no_main]
#![allow(clippy::unwrap_used, reason = "what fails here is a finding")]

use libfuzzer_sys::fuzz_target;
use sonode_fuzz::MemoryFile;
use sonode_worker::analysis::{identify, prepare};

fuzz_target!(|input: &[u8]| {
    let file = MemoryFile::new(input);
    let prepared = prepare(&file.path()).unwrap();
    let identified = identify(&file.path()).unwrap();
    assert_eq!(prepared.sop_instance_uid(), identified.sop_instance_uid());
});
