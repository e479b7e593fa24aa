//! Unicode to bytes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use encoding_rs::{EUC_JP, EUC_KR, Encoding, GBK, SHIFT_JIS};

use super::{Charset, Element, Kind, Left, REGISTERED, Right, raw_byte};

const ESCAPE: u8 = 0x1B;

/// JIS X 0212 by character: the web's EUC-JP, which `encoding_rs` writes, reads the set but doesn't write it.
static JIS_X_0212: LazyLock<BTreeMap<char, [u8; 2]>> = LazyLock::new(|| {
    let bytes = 0x21_u8..=0x7E;
    let pairs = bytes
        .clone()
        .flat_map(|a| bytes.clone().map(move |b| [a, b]));
    pairs
        .filter_map(|[a, b]| {
            let in_euc = [0x8F, a | 0x80, b | 0x80];
            let text = EUC_JP.decode_without_bom_handling_and_without_replacement(&in_euc)?;
            Some((text.chars().next()?, [a, b]))
        })
        .collect()
});

impl Charset {
    /// The bytes of a text, or `None` where the set lacks one of its characters. What could not be decoded is written
    /// as the bytes that it was.
    pub fn encode(&self, text: &str) -> Option<Vec<u8>> {
        match self.kind {
            Kind::Undeclared => plain(text),
            Kind::Whole(encoding) => whole(encoding, text),
            Kind::Iso2022 { romaji, right } => Writer {
                out: Vec::with_capacity(text.len()),
                left: Left::Ascii,
                right,
                initial: right,
                romaji,
                extensions: &self.extensions,
            }
            .write(text),
        }
    }
}

/// ASCII, and bytes that were kept.
fn plain(text: &str) -> Option<Vec<u8>> {
    text.chars()
        .map(|c| raw_byte(c).or(u8::try_from(c).ok().filter(u8::is_ascii)))
        .collect()
}

fn whole(encoding: &'static Encoding, text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut buffer = [0; 4];
    for c in text.chars() {
        match raw_byte(c) {
            Some(byte) => out.push(byte),
            None => out.extend(in_encoding(encoding, c.encode_utf8(&mut buffer))?),
        }
    }
    Some(out)
}

fn in_encoding(encoding: &'static Encoding, text: &str) -> Option<Vec<u8>> {
    let (bytes, _, unmappable) = encoding.encode(text);
    (!unmappable).then(|| bytes.into_owned())
}

/// Writes with code extensions. G0 is back in ASCII and G1 in its first set before each delimiter and at the end
/// (PS3.5 section 6.1.2.5.3).
struct Writer<'a> {
    out: Vec<u8>,
    left: Left,
    right: Right,
    initial: Right,
    /// G0 is JIS X 0201, whose bytes are ASCII's but for two.
    romaji: bool,
    extensions: &'a [Element],
}

impl Writer<'_> {
    fn write(mut self, text: &str) -> Option<Vec<u8>> {
        for c in text.chars() {
            match (raw_byte(c), u8::try_from(c).ok().filter(u8::is_ascii)) {
                (Some(byte), _) => self.out.push(byte),
                (None, Some(byte)) => self.ascii(byte),
                (None, None) => self.other(c)?,
            }
        }
        self.leave_two_bytes();
        Some(self.out)
    }

    fn ascii(&mut self, byte: u8) {
        self.leave_two_bytes();
        if matches!(byte, b'\\' | b'^' | b'=') || byte < b' ' {
            self.right = self.initial;
        }
        self.out.push(byte);
    }

    fn leave_two_bytes(&mut self) {
        if self.left != Left::Ascii {
            let g0 = if self.romaji { b"(J" } else { b"(B" };
            self.escape(g0);
            self.left = Left::Ascii;
        }
    }

    /// In the set that is designated, in the first one that has it otherwise.
    fn other(&mut self, c: char) -> Option<()> {
        let designated = [Element::Left(self.left), Element::Right(self.right)];
        let (element, bytes) = designated
            .iter()
            .chain(self.extensions)
            .find_map(|element| Some((*element, in_element(*element, c)?)))?;
        let changes = match element {
            Element::Left(set) => std::mem::replace(&mut self.left, set) != set,
            Element::Right(set) => std::mem::replace(&mut self.right, set) != set,
        };
        if changes {
            let (_, _, sequence) = REGISTERED.iter().find(|(_, known, _)| *known == element)?;
            self.escape(sequence);
        }
        self.out.extend(bytes);
        Some(())
    }

    fn escape(&mut self, sequence: &[u8]) {
        self.out.push(ESCAPE);
        self.out.extend_from_slice(sequence);
    }
}

/// One character in one set, if it is in it.
fn in_element(element: Element, c: char) -> Option<Vec<u8>> {
    let mut buffer = [0; 4];
    let text: &str = c.encode_utf8(&mut buffer);
    match element {
        Element::Left(Left::Ascii) => None,
        Element::Left(Left::JisX0212) => JIS_X_0212.get(&c).map(|pair| pair.to_vec()),
        // EUC-JP without its high bits.
        Element::Left(Left::JisX0208) => match in_encoding(EUC_JP, text)?.as_slice() {
            [a @ 0xA1..=0xFE, b @ 0xA1..=0xFE] => Some(vec![a & 0x7F, b & 0x7F]),
            _ => None,
        },
        Element::Right(Right::Latin1) => {
            let byte = u8::try_from(c).ok().filter(|byte| *byte >= 0xA0)?;
            Some(vec![byte])
        }
        Element::Right(Right::Set(encoding)) => {
            let bytes = in_encoding(encoding, text)?;
            // A superset's further characters are none of the registered set's: C1 controls, and two-byte characters
            // beyond GB 2312 and KS X 1001, whose bytes all have the high bit and lie above 0xA0.
            let is_two_byte = encoding == EUC_KR || encoding == GBK;
            let length = if is_two_byte { 2 } else { 1 };
            let is_katakana = encoding != SHIFT_JIS || matches!(c, '\u{FF61}'..='\u{FF9F}');
            let fits = bytes.len() == length && bytes.iter().all(|byte| *byte >= 0xA0);
            (fits && is_katakana).then_some(bytes)
        }
    }
}
