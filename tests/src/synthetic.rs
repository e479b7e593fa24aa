//! Objects made on the fly: cines without a picture for load, where only their size counts, and hostile ones.

use crate::part10::{EXPLICIT_LITTLE, Object};

/// Bytes of one frame: 600 by 800 pixels in colour.
pub const FRAME_BYTES: usize = 600 * 800 * 3;

/// Ultrasound Multi-frame Image Storage.
const CLASS: &str = "1.2.840.10008.5.1.4.1.1.3.1";

/// A native cine of `frames` black frames.
pub fn cine(study: &str, instance: &str, frames: u16) -> Object {
    let black = vec![0; usize::from(frames) * FRAME_BYTES];
    native([study, instance], frames, [600, 800], &black)
}

/// Native pixels in colour: an even number of bytes.
pub fn native(uids: [&str; 2], frames: u16, size: [u16; 2], pixels: &[u8]) -> Object {
    let mut set = image(uids, frames, size);
    set.extend(b"\xE0\x7F\x10\x00OB\0\0");
    set.extend(
        u32::try_from(pixels.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    set.extend(pixels);
    object(uids[1], EXPLICIT_LITTLE, set)
}

/// Encapsulated frames, a fragment each, under a header that declares `frames` of this size.
pub fn encapsulated(
    uids: [&str; 2],
    transfer_syntax: &str,
    frames: u16,
    size: [u16; 2],
    fragments: &[&[u8]],
) -> Object {
    let mut set = image(uids, frames, size);
    set.extend(b"\xE0\x7F\x10\x00OB\0\0\xFF\xFF\xFF\xFF");
    set.extend(b"\xFE\xFF\x00\xE0\0\0\0\0");
    for fragment in fragments {
        set.extend(b"\xFE\xFF\x00\xE0");
        let padded = fragment.len().next_multiple_of(2);
        set.extend(u32::try_from(padded).unwrap_or(u32::MAX).to_le_bytes());
        set.extend(*fragment);
        set.resize(set.len() + padded - fragment.len(), 0);
    }
    set.extend(b"\xFE\xFF\xDD\xE0\0\0\0\0");
    object(uids[1], transfer_syntax, set)
}

/// A data set that ends in sequences, each in an item of the one before.
pub fn nested(study: &str, instance: &str, depth: usize) -> Object {
    let mut set = image([study, instance], 1, [8, 8]);
    for _ in 0..depth {
        set.extend(b"\x40\x00\x30\xA7SQ\0\0\xFF\xFF\xFF\xFF");
        set.extend(b"\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF");
    }
    for _ in 0..depth {
        set.extend(b"\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0");
    }
    object(instance, EXPLICIT_LITTLE, set)
}

fn object(instance: &str, transfer_syntax: &str, data_set: Vec<u8>) -> Object {
    Object {
        sop_class: CLASS.to_owned(),
        sop_instance: instance.to_owned(),
        transfer_syntax: transfer_syntax.to_owned(),
        data_set,
    }
}

/// The elements before the pixels.
fn image([study, instance]: [&str; 2], frames: u16, [rows, columns]: [u16; 2]) -> Vec<u8> {
    let mut set = Vec::new();
    text(&mut set, *b"\x08\x00\x16\x00UI", CLASS);
    text(&mut set, *b"\x08\x00\x18\x00UI", instance);
    text(&mut set, *b"\x08\x00\x60\x00CS", "US");
    text(&mut set, *b"\x10\x00\x20\x00LO", "LOAD");
    text(&mut set, *b"\x20\x00\x0D\x00UI", study);
    text(&mut set, *b"\x20\x00\x0E\x00UI", &format!("{study}.1"));
    number(&mut set, [0x28, 0x00, 0x02, 0x00], 3);
    text(&mut set, *b"\x28\x00\x04\x00CS", "RGB");
    number(&mut set, [0x28, 0x00, 0x06, 0x00], 0);
    text(&mut set, *b"\x28\x00\x08\x00IS", &frames.to_string());
    number(&mut set, [0x28, 0x00, 0x10, 0x00], rows);
    number(&mut set, [0x28, 0x00, 0x11, 0x00], columns);
    number(&mut set, [0x28, 0x00, 0x00, 0x01], 8);
    number(&mut set, [0x28, 0x00, 0x01, 0x01], 8);
    number(&mut set, [0x28, 0x00, 0x02, 0x01], 7);
    number(&mut set, [0x28, 0x00, 0x03, 0x01], 0);
    set
}

fn element(set: &mut Vec<u8>, head: [u8; 6], value: &[u8]) {
    set.extend(head);
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    set.extend(length.to_le_bytes());
    set.extend(value);
}

fn text(set: &mut Vec<u8>, head: [u8; 6], text: &str) {
    let mut value = text.as_bytes().to_vec();
    if value.len() % 2 == 1 {
        value.push(if head.ends_with(b"UI") { 0 } else { b' ' });
    }
    element(set, head, &value);
}

fn number(set: &mut Vec<u8>, [a, b, c, d]: [u8; 4], number: u16) {
    element(set, [a, b, c, d, b'U', b'S'], &number.to_le_bytes());
}
