//! A cart's side of a whole association: A-ASSOCIATE-RQ, P-DATA-TF, release, abort, and all that isn't one of them. The
//! first byte is the length of the reads; each stream is played twice, with the rest of a PDV received in its place and without,
//! and both have to give the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonode_fuzz::wire::play;

fuzz_target!(|input: &[u8]| {
    if let Some((cut, stream)) = input.split_first() {
        let cut = usize::from(*cut) * 16 + 1;
        let copied = play(stream, cut, false);
        let in_place = play(stream, cut, true);
        // Of a PDV that never becomes whole, what came counts in its place alone.
        assert!(in_place.data >= copied.data);
        assert_eq!(in_place.commands, copied.commands);
        assert_eq!(in_place.is_released, copied.is_released);
    }
});
