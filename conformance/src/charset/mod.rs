//! Text in any Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 section 6.1), to Unicode and back.
//!
//! Values are decoded before they are split on a backslash, since a backslash may be half a character. Known
//! misspellings (`ISO IR 192`, `ISO-IR 100`, `UTF-8`) are read as what they mean. A byte that can't be decoded is kept:
//! it becomes one private character ([`raw`]) that every set writes as that very byte again, so that nobody's name is
//! guessed at and nothing is lost.

mod decode;
mod encode;

use encoding_rs::{
    EUC_KR, Encoding, GB18030, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6,
    ISO_8859_7, ISO_8859_8, ISO_8859_15, SHIFT_JIS, UTF_8, WINDOWS_874, WINDOWS_1254,
};

/// Above this, the private characters that stand for bytes; within the Basic Multilingual Plane's private use area.
const RAW: u32 = 0xF700;

/// The character that stands for a byte of 0x80 to 0xFF that could not be decoded.
fn raw(byte: u8) -> char {
    char::from_u32(RAW + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that such a character stands for.
fn raw_byte(c: char) -> Option<u8> {
    let byte = u8::try_from(u32::from(c).checked_sub(RAW)?).ok()?;
    (byte >= 0x80).then_some(byte)
}

/// Whether text holds bytes that could not be decoded.
pub fn has_undecoded(text: &str) -> bool {
    text.chars().any(|c| raw_byte(c).is_some())
}

/// The text for a screen: what could not be decoded shows as U+FFFD.
pub fn readable(text: &str) -> String {
    let shown = |c| raw_byte(c).map_or(c, |_| char::REPLACEMENT_CHARACTER);
    text.chars().map(shown).collect()
}

/// One value of Specific Character Set (0008,0005).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charset {
    kind: Kind,
    /// The sets that code extensions may switch to, in the order of the attribute's values.
    extensions: Vec<Element>,
    /// The attribute's value as PS3.3 spells it; empty where nothing was declared, or nothing that is known.
    term: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing was declared, or nothing that is known.
    Undeclared,
    /// One set without code extensions that needs the whole text at once.
    Whole(&'static Encoding),
    /// ISO 2022, beginning with these sets.
    Iso2022 { romaji: bool, right: Right },
}

/// The code elements in G1, bytes 0xA0 to 0xFF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    Latin1,
    Set(&'static Encoding),
}

/// The code elements in G0, bytes 0x20 to 0x7F.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Ascii,
    JisX0208,
    JisX0212,
}

/// What an escape sequence switches to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Left(Left),
    Right(Right),
}

/// A set of PS3.3 tables C.12-2 to C.12-5 by its registration number; its escape sequence, without ESC.
const REGISTERED: &[(u32, Element, &[u8])] = &[
    (100, Element::Right(Right::Latin1), b"-A"),
    (101, Element::Right(Right::Set(ISO_8859_2)), b"-B"),
    (109, Element::Right(Right::Set(ISO_8859_3)), b"-C"),
    (110, Element::Right(Right::Set(ISO_8859_4)), b"-D"),
    (144, Element::Right(Right::Set(ISO_8859_5)), b"-L"),
    (127, Element::Right(Right::Set(ISO_8859_6)), b"-G"),
    (126, Element::Right(Right::Set(ISO_8859_7)), b"-F"),
    (138, Element::Right(Right::Set(ISO_8859_8)), b"-H"),
    // Windows-1254 is ISO 8859-9 with C1 controls replaced, Windows-874 TIS 620 likewise.
    (148, Element::Right(Right::Set(WINDOWS_1254)), b"-M"),
    (203, Element::Right(Right::Set(ISO_8859_15)), b"-b"),
    (166, Element::Right(Right::Set(WINDOWS_874)), b"-T"),
    // Half-width katakana have the same bytes in Shift_JIS.
    (13, Element::Right(Right::Set(SHIFT_JIS)), b")I"),
    (149, Element::Right(Right::Set(EUC_KR)), b"$)C"),
    (58, Element::Right(Right::Set(GBK)), b"$)A"),
    (87, Element::Left(Left::JisX0208), b"$B"),
    (159, Element::Left(Left::JisX0212), b"$(D"),
];

fn registered(number: u32) -> Option<Element> {
    let mut all = REGISTERED.iter();
    all.find(|(known, _, _)| *known == number)
        .map(|(_, element, _)| *element)
}

/// Every set that is read and written, as it is declared where it stands alone.
pub fn terms() -> impl Iterator<Item = String> {
    let registered = REGISTERED
        .iter()
        .map(|(number, _, _)| spelt(Some(*number), &[]));
    let whole = ["ISO_IR 192", "GB18030", "GBK"].map(str::to_owned);
    registered.chain(whole)
}

impl Charset {
    /// Reads the attribute's value, with `\` between several.
    pub fn parse(value: &str) -> Self {
        let terms: Vec<&str> = value.split('\\').collect();
        let first = terms.first().copied().unwrap_or_default();
        let rest = terms.get(1..).unwrap_or_default();
        let number = number_of(first);
        let undeclared = Self {
            kind: Kind::Undeclared,
            extensions: Vec::new(),
            term: String::new(),
        };
        let whole = |encoding, term: &str| Self {
            kind: Kind::Whole(encoding),
            extensions: Vec::new(),
            term: term.to_owned(),
        };
        match number {
            Some(192) => return whole(UTF_8, "ISO_IR 192"),
            Some(18030) => return whole(GB18030, "GB18030"),
            Some(936) => return whole(GBK, "GBK"),
            Some(6) | None if rest.is_empty() => return undeclared,
            None if !first.trim().is_empty() => return undeclared,
            _ => {}
        }
        let numbers: Vec<u32> = rest.iter().filter_map(|term| number_of(term)).collect();
        let right = match number.and_then(registered) {
            Some(Element::Right(right)) => right,
            // Sets that live in G0, or none at all, leave G1 to be designated.
            _ => Right::Latin1,
        };
        let known = number.is_none_or(|number| number == 6 || registered(number).is_some());
        if !known {
            return undeclared;
        }
        Self {
            kind: Kind::Iso2022 {
                romaji: number == Some(13),
                right,
            },
            extensions: number
                .into_iter()
                .chain(numbers.iter().copied())
                .filter_map(registered)
                .collect(),
            term: spelt(number, &numbers),
        }
    }

    /// The attribute's value as PS3.3 spells it; empty where nothing that is known was declared.
    pub fn term(&self) -> &str {
        &self.term
    }

    /// Whether the value is one that this table knows.
    pub fn is_known(&self) -> bool {
        self.kind != Kind::Undeclared
    }
}

/// `ISO_IR 100` alone, `ISO 2022 IR 100\ISO 2022 IR 87` with code extensions (PS3.3 tables C.12-2 and C.12-3). Sets of
/// several bytes exist with code extensions only.
fn spelt(first: Option<u32>, rest: &[u32]) -> String {
    let extended = |number: &u32| format!("ISO 2022 IR {number}");
    let first = match (first, rest.is_empty()) {
        (None, _) => String::new(),
        (Some(number @ (87 | 159 | 149 | 58)), true) => format!("\\{}", extended(&number)),
        (Some(number), true) => format!("ISO_IR {number}"),
        (Some(number), false) => extended(&number),
    };
    let rest = rest.iter().map(extended);
    std::iter::once(first)
        .chain(rest)
        .collect::<Vec<_>>()
        .join("\\")
}

/// The registration number in a defined term: `ISO_IR 100`, `ISO 2022 IR 87`, and misspellings of both. GB18030 and GBK
/// have none; they are given 18030 and 936.
fn number_of(term: &str) -> Option<u32> {
    let term: String = term
        .to_ascii_uppercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { ' ' })
        .collect();
    let mut words = term.split_whitespace();
    match (words.next()?, words.next()) {
        ("UTF8", _) | ("UTF", Some("8")) => return Some(192),
        ("GB18030", _) | ("GB", Some("18030")) => return Some(18030),
        ("GBK" | "GB2312", _) => return Some(936),
        _ => {}
    }
    let after_ir = term.rsplit_once("IR")?.1;
    after_ir.trim().parse().ok()
}

#[cfg(test)]
mod tests;
