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
        // And back to the bytes of the standard, padding apart.
        let written = Charset::parse(charset).encode(want).unwrap();
        assert_eq!(decoded(charset, &written), *want, "{charset}");
        if !charset.contains("IR 87") {
            assert_eq!(written, bytes.trim_ascii_end(), "{charset}");
        }
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
        "ISO IR 6",
        "NONSENSE",
    ] {
        assert_eq!(decoded(charset, "Zoë".as_bytes()), "Zoë", "{charset}");
    }
    assert_eq!(decoded("ISO IR 100", b"Zo\xEB"), "Zoë");
    assert_eq!(Charset::parse("ISO IR 100").term(), "ISO_IR 100");
    assert_eq!(Charset::parse("utf8").term(), "ISO_IR 192");
    let japanese = "ISO_IR 13\\ISO-2022 IR 87";
    assert_eq!(
        Charset::parse(japanese).term(),
        "ISO 2022 IR 13\\ISO 2022 IR 87"
    );
}

#[test]
fn what_cannot_be_decoded_is_kept_byte_for_byte() {
    for charset in ["", "ISO_IR 6", "ISO_IR 192", "NONSENSE"] {
        let set = Charset::parse(charset);
        let text = set.decode(b"Zo\xEB^A\xFFb");
        assert!(has_undecoded(&text), "{charset}");
        assert_eq!(readable(&text), "Zo\u{FFFD}^A\u{FFFD}b", "{charset}");
        assert_eq!(set.encode(&text).unwrap(), b"Zo\xEB^A\xFFb", "{charset}");
    }
    // A broken pair between good ones.
    let korean = Charset::parse("\\ISO 2022 IR 149");
    let text = korean.decode(b"\x1B$)C\xFB\xF3^\x1B$)C\xD1");
    assert!(has_undecoded(&text) && text.starts_with('洪'));
}

#[test]
fn a_backslash_may_be_half_a_character() {
    // Each second byte is 0x5C or 0x5E: splitting before decoding would tear the name.
    let set = Charset::parse("GBK");
    let name = "Wang^乗\\X";
    let bytes = set.encode(name).unwrap();
    assert_eq!(bytes, b"Wang^\x81\x5C\x5CX");
    assert_eq!(set.decode(&bytes), name);
    let japanese = Charset::parse("\\ISO 2022 IR 87");
    let bytes = b"\x1B$B=\x5C\x1B(B";
    let text = japanese.decode(bytes);
    assert_eq!(text.chars().count(), 1);
    assert_eq!(japanese.encode(&text).unwrap(), bytes);
}

#[test]
fn a_set_refuses_what_it_lacks() {
    for (charset, text) in [
        ("ISO_IR 100", "Люк"),
        ("ISO_IR 144", "Müller"),
        ("ISO_IR 166", "\u{2026}"),
        ("", "é"),
        ("\\ISO 2022 IR 58", "洪한"),
        ("\\ISO 2022 IR 149", "丂"),
        ("ISO_IR 13", "山"),
    ] {
        assert_eq!(Charset::parse(charset).encode(text), None, "{charset}");
    }
}

proptest::proptest! {
    #[test]
    fn what_was_decoded_reads_the_same_when_written_again(
        at in 0_usize..17,
        bytes: Vec<u8>,
    ) {
        let charset = Charset::parse([
            "", "ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 144", "ISO_IR 127",
            "ISO_IR 126", "ISO_IR 138", "ISO_IR 192", "GB18030", "GBK", "ISO_IR 203", "ISO_IR 13",
            "\\ISO 2022 IR 149", "\\ISO 2022 IR 58", "\\ISO 2022 IR 87",
        ][at]);
        let text = charset.decode(&bytes);
        // Bytes that were kept may join with their neighbours; without them the way there and back is exact.
        if !has_undecoded(&text) && let Some(written) = charset.encode(&text) {
            proptest::prop_assert_eq!(charset.decode(&written), text.trim_end_matches([' ', '\0']));
        }
    }

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
