//! A configuration file.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sonode::config::Config;

fuzz_target!(|input: &str| {
    let Ok(table) = input.parse::<toml::Table>() else {
        return;
    };
    if let Err(problems) = Config::check(table, Path::new("/etc/sonode")) {
        assert!(!problems.is_empty(), "refused without a reason");
    }
});
