//! Command sets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonode_dimse::Command;

fuzz_target!(|input: &[u8]| {
    if let Ok((command, _)) = Command::parse(input) {
        assert!(!command.name().is_empty());
        assert!(!(command.request().is_some() && command.response().is_some()));
    }
});
