//! A cart's side of a whole association: A-ASSOCIATE-RQ, P-DATA-TF, release, abort, and all that isn't one of them. The
//! first byte is the length of the reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonode_fuzz::wire::play;

fuzz_target!(|input: &[u8]| {
    if let Some((cut, stream)) = input.split_first() {
        play(stream, usize::from(*cut) * 16 + 1);
    }
});
