//! P-DATA-TF bodies on an association with two presentation contexts: PDVs into commands and data sets. The bodies are cut
//! from the input by lengths of two bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonode_dimse::{Assembler, PData};

fuzz_target!(|input: &[u8]| {
    let mut assembler = Assembler::new([1, 3]);
    let mut rest = input;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (body, after) = after.split_at(length);
        rest = after;
        let Some(data) = PData::parse(body) else {
            continue;
        };
        for pdv in data {
            if assembler.push(pdv).is_err() {
                return;
            }
        }
    }
});
