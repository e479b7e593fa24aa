//! Frames of every codec under headers that may not fit them. Eight bytes choose the header, the rest is one frame's bytes.
#![no_main]
#![allow(clippy::unwrap_used, reason = "what fails here is a finding")]

use libfuzzer_sys::fuzz_target;
use sonode_fuzz::{MemoryFile, picture};
use sonode_worker::dicom::{open, pixels::Frames};

fuzz_target!(|input: &[u8]| {
    let Some((header, frame)) = input.split_first_chunk::<8>() else {
        return;
    };
    let file = MemoryFile::new(&picture::file(header, frame));
    let opened = open(&file.path()).unwrap();
    let Ok(frames) = Frames::of(&opened) else {
        return;
    };
    for at in 0..frames.count().min(2) {
        if let Ok(rgb) = frames.rgb(at) {
            let [width, height] = frames.size();
            assert_eq!((rgb.width, rgb.height), (width, height));
        }
    }
});
