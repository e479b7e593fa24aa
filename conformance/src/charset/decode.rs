//! Bytes to Unicode.

use encoding_rs::{DecoderResult, EUC_JP, Encoding, UTF_8};

use super::{Charset, Element, Kind, Left, REGISTERED, Right, raw};

const ESCAPE: u8 = 0x1B;

impl Charset {
    /// The text of a value, without trailing padding. It never fails: see [`super::has_undecoded`].
    pub fn decode(&self, bytes: &[u8]) -> String {
        let bytes = trim_padding(bytes);
        let mut text = String::with_capacity(bytes.len());
        match self.kind {
            // Senders that declare nothing and write letters all the same often mean UTF-8, which other text
            // practically never is by chance.
            Kind::Undeclared if std::str::from_utf8(bytes).is_ok() => {
                run(UTF_8, bytes, &mut text);
            }
            Kind::Undeclared => text.extend(bytes.iter().map(|byte| match byte {
                0..0x80 => char::from(*byte),
                _ => raw(*byte),
            })),
            Kind::Whole(encoding) => run(encoding, bytes, &mut text),
            Kind::Iso2022 { right, .. } => iso2022(bytes, right, &mut text),
        }
        text
    }
}

/// Decodes with one encoding; what it can't decode is kept byte by byte.
fn run(encoding: &'static Encoding, bytes: &[u8], text: &mut String) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut decoder = encoding.new_decoder_without_bom_handling();
        let room = decoder
            .max_utf8_buffer_length_without_replacement(rest.len())
            .unwrap_or(4 * rest.len());
        let mut out = String::with_capacity(room);
        let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut out, true);
        text.push_str(&out);
        let DecoderResult::Malformed(length, after) = result else {
            return;
        };
        // The malformed bytes end before the last `after` that were read.
        let end = read.saturating_sub(usize::from(after));
        let start = end.saturating_sub(usize::from(length));
        let malformed = rest.get(start..end).unwrap_or_default();
        text.extend(malformed.iter().map(|byte| match byte {
            0..0x80 => char::from(*byte),
            _ => raw(*byte),
        }));
        rest = rest.get(end.max(1)..).unwrap_or_default();
    }
}

/// Code extensions of ISO 2022 (PS3.5 section 6.1.2.5): escape sequences switch a half of the table; delimiters and
/// control characters switch back.
fn iso2022(bytes: &[u8], initial: Right, text: &mut String) {
    let (mut left, mut right) = (Left::Ascii, initial);
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == ESCAPE {
            rest = designate(after, &mut left, &mut right);
        } else if byte >= 0x80 {
            let count = rest.iter().take_while(|byte| **byte >= 0x80).count();
            let (high, after) = rest.split_at(count);
            match right {
                Right::Latin1 => text.extend(high.iter().map(|byte| char::from(*byte))),
                Right::Set(encoding) => run(encoding, high, text),
            }
            rest = after;
        } else if let (Some(encoded), Some(pair)) = (in_euc_jp(left, rest), rest.get(..2)) {
            run(EUC_JP, &encoded, text);
            rest = rest.get(pair.len()..).unwrap_or_default();
        } else {
            // A control, a space or a half pair: the two-byte set has ended without saying so.
            left = Left::Ascii;
            if matches!(byte, b'\\' | b'^' | b'=') || byte < b' ' {
                right = initial;
            }
            text.push(char::from(byte));
            rest = after;
        }
    }
}

/// A pair of a Japanese set as EUC-JP writes it: JIS X 0208 as two high bytes, JIS X 0212 as the same after 0x8F.
fn in_euc_jp(left: Left, rest: &[u8]) -> Option<Vec<u8>> {
    let [a @ 0x21..=0x7E, b @ 0x21..=0x7E, ..] = rest else {
        return None;
    };
    let pair = [a | 0x80, b | 0x80];
    match left {
        Left::Ascii => None,
        Left::JisX0208 => Some(pair.to_vec()),
        Left::JisX0212 => Some([&[0x8F], pair.as_slice()].concat()),
    }
}

/// Follows one escape sequence (PS3.3 tables C.12-3 and C.12-4) and gives what comes after it. An unknown one is
/// dropped by its ESC alone, so that its rest stays visible.
fn designate<'a>(after: &'a [u8], left: &mut Left, right: &mut Right) -> &'a [u8] {
    match after {
        [b'(', b'B' | b'J', rest @ ..] => {
            *left = Left::Ascii;
            return rest;
        }
        [b'$', b'@', rest @ ..] => {
            *left = Left::JisX0208;
            return rest;
        }
        _ => {}
    }
    for (_, element, sequence) in REGISTERED {
        if let Some(rest) = after.strip_prefix(*sequence) {
            match element {
                Element::Left(set) => *left = *set,
                Element::Right(set) => *right = *set,
            }
            return rest;
        }
    }
    after
}

fn trim_padding(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | 0] = bytes {
        bytes = rest;
    }
    bytes
}
