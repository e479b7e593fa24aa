//! Structured reports of anybody: shown, linted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonode_sr_writer::{lint, show};

fuzz_target!(|input: &[u8]| {
    drop(show(input));
    drop(lint(input));
});
