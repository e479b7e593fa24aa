//! Text in any Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 section 6.1) to Unicode.
//!
//! Single-byte sets, ISO 2022 code extensions with the Japanese, Korean and Chinese sets, UTF-8, GB18030 and GBK.
//! Known misspellings (`ISO IR 192`, `ISO-IR 100`, `UTF-8`) are read as what they mean. Text that breaks its own
//! declaration is read as UTF-8 where it is UTF-8, and as Latin-1 otherwise, so that no character is dropped.

use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5,
    ISO_8859_6, ISO_8859_7, ISO_8859_8, ISO_8859_15, SHIFT_JIS, WINDOWS_874, WINDOWS_1254,
};

const ESCAPE: u8 = 0x1B;

/// The decoder that one Specific Character Set value asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing was declared, or nothing that is known.
    Undeclared,
    /// One set without code extensions that needs the whole text at once.
    Whole(&'static Encoding),
    /// ISO 2022, beginning with this set on the right; G0 is ASCII, or JIS X 0201's romaji.
    Iso2022(Right),
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

impl Charset {
    /// Reads the attribute's value, with `\` between several.
    pub fn parse(value: &str) -> Self {
        let mut terms = value.split('\\');
        let first = terms.next().unwrap_or_default();
        let extended = terms.next().is_some();
        let kind = match number_of(first) {
            Some(192) => Kind::Whole(encoding_rs::UTF_8),
            Some(18030) => Kind::Whole(GB18030),
            Some(936) => Kind::Whole(GBK),
            Some(6) if !extended => Kind::Undeclared,
            Some(number) => right_of(number).map_or(Kind::Undeclared, Kind::Iso2022),
            None if extended => Kind::Iso2022(Right::Latin1),
            None => Kind::Undeclared,
        };
        Self(kind)
    }

    /// The text, without trailing padding.
    pub fn decode(self, bytes: &[u8]) -> String {
        let bytes = trim_padding(bytes);
        if bytes.is_ascii() && !bytes.contains(&ESCAPE) {
            return bytes.iter().map(|byte| char::from(*byte)).collect();
        }
        match self.0 {
            Kind::Undeclared => utf8_or_latin1(bytes),
            Kind::Whole(encoding) => encoding
                .decode_without_bom_handling_and_without_replacement(bytes)
                .map_or_else(|| utf8_or_latin1(bytes), std::borrow::Cow::into_owned),
            Kind::Iso2022(right) => decode_iso2022(bytes, right),
        }
    }
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

fn right_of(number: u32) -> Option<Right> {
    Some(match number {
        // Sets that live in G0, or come by escape sequence only, leave G1 to be designated.
        6 | 87 | 159 | 100 => Right::Latin1,
        101 => Right::Set(ISO_8859_2),
        109 => Right::Set(ISO_8859_3),
        110 => Right::Set(ISO_8859_4),
        144 => Right::Set(ISO_8859_5),
        127 => Right::Set(ISO_8859_6),
        126 => Right::Set(ISO_8859_7),
        138 => Right::Set(ISO_8859_8),
        // Windows-1254 is ISO 8859-9 with C1 controls replaced, Windows-874 TIS 620 likewise.
        148 => Right::Set(WINDOWS_1254),
        203 => Right::Set(ISO_8859_15),
        166 => Right::Set(WINDOWS_874),
        // Half-width katakana have the same bytes in Shift_JIS.
        13 => Right::Set(SHIFT_JIS),
        149 => Right::Set(EUC_KR),
        58 => Right::Set(GBK),
        _ => return None,
    })
}

fn decode_iso2022(bytes: &[u8], initial: Right) -> String {
    let mut text = String::new();
    let (mut left, mut right) = (Left::Ascii, initial);
    let mut rest = bytes;
    while let Some(&byte) = rest.first() {
        if byte == ESCAPE {
            let (designated, len) = designation(&rest[1..]);
            match designated {
                Some(Designation::Left(set)) => left = set,
                Some(Designation::Right(set)) => right = set,
                None => {}
            }
            rest = &rest[1 + len..];
        } else if byte < 0x80 {
            rest = take_left(rest, &mut left, &mut text);
            let resets = matches!(byte, b'\\' | b'^' | b'=' | b'\r' | b'\n' | 0x0C | b'\t');
            // PS3.5 section 6.1.2.5.3: these end the extension; inside a two-byte set they are halves of characters.
            if resets && left == Left::Ascii {
                right = initial;
            }
        } else {
            let count = rest.iter().take_while(|byte| **byte >= 0x80).count();
            text.push_str(&right.decode(&rest[..count]));
            rest = &rest[count..];
        }
    }
    text
}

/// Decodes a character of G0 and gives what is left.
fn take_left<'a>(bytes: &'a [u8], left: &mut Left, text: &mut String) -> &'a [u8] {
    let pair = match bytes {
        [a @ 0x21..=0x7E, b @ 0x21..=0x7E, ..] if *left != Left::Ascii => [a | 0x80, b | 0x80],
        [first, rest @ ..] => {
            // A control, a space or an odd byte: the two-byte set has ended without saying so.
            *left = Left::Ascii;
            text.push(char::from(*first));
            return rest;
        }
        [] => return bytes,
    };
    // EUC-JP writes JIS X 0208 as two high bytes, and JIS X 0212 as the same after 0x8F.
    let in_euc_jp: &[u8] = match left {
        Left::JisX0212 => &[0x8F, pair[0], pair[1]],
        _ => &pair,
    };
    text.push_str(&EUC_JP.decode_without_bom_handling(in_euc_jp).0);
    &bytes[2..]
}

enum Designation {
    Left(Left),
    Right(Right),
}

/// The set that an escape sequence names (PS3.3 tables C.12-3 and C.12-4), and the sequence's length after ESC.
fn designation(after: &[u8]) -> (Option<Designation>, usize) {
    use Designation::{Left as L, Right as R};
    let registered = |number| right_of(number).map(R);
    match after {
        [b'(', b'B' | b'J', ..] => (Some(L(Left::Ascii)), 2),
        [b'$', b'B' | b'@', ..] => (Some(L(Left::JisX0208)), 2),
        [b'$', b'(', b'D', ..] => (Some(L(Left::JisX0212)), 3),
        [b'$', b')', b'C', ..] => (registered(149), 3),
        [b'$', b')', b'A', ..] => (registered(58), 3),
        [b')', b'I', ..] => (registered(13), 2),
        [b'-', b'A', ..] => (registered(100), 2),
        [b'-', b'B', ..] => (registered(101), 2),
        [b'-', b'C', ..] => (registered(109), 2),
        [b'-', b'D', ..] => (registered(110), 2),
        [b'-', b'L', ..] => (registered(144), 2),
        [b'-', b'G', ..] => (registered(127), 2),
        [b'-', b'F', ..] => (registered(126), 2),
        [b'-', b'H', ..] => (registered(138), 2),
        [b'-', b'M', ..] => (registered(148), 2),
        [b'-', b'b', ..] => (registered(203), 2),
        [b'-', b'T', ..] => (registered(166), 2),
        _ => (None, 0),
    }
}

impl Right {
    fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Latin1 => utf8_or_latin1(bytes),
            Self::Set(encoding) => encoding
                .decode_without_bom_handling_and_without_replacement(bytes)
                .map_or_else(|| utf8_or_latin1(bytes), std::borrow::Cow::into_owned),
        }
    }
}

/// UTF-8 where the bytes are UTF-8, which other text practically never is by chance; Latin-1 otherwise.
fn utf8_or_latin1(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(
        |_| bytes.iter().map(|byte| char::from(*byte)).collect(),
        str::to_owned,
    )
}

fn trim_padding(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | 0] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(charset: &str, bytes: &[u8]) -> String {
        Charset::parse(charset).decode(bytes)
    }

    /// The examples of PS3.5 annexes H, I and J, and one name in each single-byte set.
    #[test]
    fn the_standards_own_examples() {
        let cases: &[(&str, &[u8], &str)] = &[
            ("ISO_IR 100", b"Buc^J\xE9r\xF4me ", "Buc^Jérôme"),
            ("ISO_IR 101", b"Wa\xB3\xEAsa", "Wałęsa"),
            ("ISO_IR 144", b"\xBB\xEE\xDA", "Люк"),
            ("ISO_IR 126", b"\xC4\xE9\xEF\xED\xF5\xF3\xE9\xEF\xF2", "Διονυσιος"),
            ("ISO_IR 127", b"\xE2\xC8\xC7\xE6\xEA^\xE4\xE6\xD2\xC7\xD1", "قباني^لنزار"),
            ("ISO_IR 138", b"\xF9\xF8\xE5\xEF^\xE3\xE1\xE5\xF8\xE4", "שרון^דבורה"),
            ("ISO_IR 148", b"\xC7avu\xFEo\xF0lu", "Çavuşoğlu"),
            ("ISO_IR 203", b"\xA4uro", "€uro"),
            ("ISO_IR 166", b"\xB9\xD2\xC1", "นาม"),
            ("ISO_IR 13", b"\xD4\xCF\xC0\xDE^\xC0\xDB\xB3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
            ("ISO_IR 192", "Wang^XiaoDong=王^小东".as_bytes(), "Wang^XiaoDong=王^小东"),
            ("GB18030", b"Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB", "Wang^XiaoDong=王^小东"),
            ("GBK", b"\xCD\xF5^\xD0\xA1\xB6\xAB", "王^小东"),
            (
                "\\ISO 2022 IR 87",
                b"Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B=\x1B$B$d$^$@\x1B(B^\x1B$B$?$m$&\x1B(B",
                "Yamada^Tarou=山田^太郎=やまだ^たろう",
            ),
            (
                "ISO 2022 IR 13\\ISO 2022 IR 87",
                b"\xD4\xCF\xC0\xDE^\xC0\xDB\xB3=\x1B$B;3ED\x1B(J^\x1B$BB@O:\x1B(J",
                "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
            ),
            ("\\ISO 2022 IR 159", b"\x1B$(D0\x21\x1B(B", "丂"),
            (
                "\\ISO 2022 IR 149",
                b"Hong^Gildong=\x1B$)C\xFB\xF3^\x1B$)C\xD1\xCE\xD4\xD7=\x1B$)C\xC8\xAB^\x1B$)C\xB1\xE6\xB5\xBF",
                "Hong^Gildong=洪^吉洞=홍^길동",
            ),
            (
                "\\ISO 2022 IR 58",
                b"Zhang^XiaoDong=\x1B$)A\xD5\xC5^\x1B$)A\xD0\xA1\xB6\xAB",
                "Zhang^XiaoDong=张^小东",
            ),
        ];
        for (charset, bytes, want) in cases {
            assert_eq!(decoded(charset, bytes), *want, "{charset}");
        }
    }

    #[test]
    fn misspelt_and_missing_declarations_lose_no_character() {
        for charset in [
            "ISO IR 192",
            "ISO_IR_192",
            "ISO-IR 192",
            "UTF-8",
            "utf8",
            "",
            "ISO_IR 6",
        ] {
            assert_eq!(decoded(charset, "Zoë".as_bytes()), "Zoë", "{charset}");
        }
        assert_eq!(decoded("", b"Zo\xEB"), "Zoë");
        assert_eq!(decoded("ISO_IR 192", b"Zo\xEB"), "Zoë");
        assert_eq!(decoded("NONSENSE", b"Zo\xEB"), "Zoë");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_decode(charset in ".{0,20}", bytes: Vec<u8>) {
            let _: String = Charset::parse(&charset).decode(&bytes);
        }

        #[test]
        fn code_extensions_take_any_bytes(bytes in proptest::collection::vec(
            proptest::prop_oneof![proptest::strategy::Just(0x1B_u8), proptest::strategy::Just(b'$'), proptest::num::u8::ANY], 0..40,
        )) {
            let _: String = Charset::parse("\\ISO 2022 IR 87\\ISO 2022 IR 159").decode(&bytes);
        }
    }
}
