//! Text in the character sets of DICOM (PS3.3 C.12.1.1.2, PS3.5 section 6.1), decoded to Unicode.
//!
//! Decoding never fails: what a set doesn't define becomes U+FFFD, since a report with one odd letter is better than none.

use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5,
    ISO_8859_6, ISO_8859_7, ISO_8859_8, ISO_8859_15, SHIFT_JIS, UTF_8, WINDOWS_874, WINDOWS_1254,
};
use sonode_conformance::StudyInstanceUid;
use sonode_findings::{Phi, RequestAttributes, StudyContext};

use crate::header::{HeaderSummary, RawRequest};

/// How the upper half of the code table is read.
#[derive(Clone, Copy, PartialEq)]
enum Upper {
    /// Nothing was declared. Senders that write letters all the same mean UTF-8 or Latin-1.
    Undeclared,
    /// ISO 8859-1: each byte is its code point.
    Latin1,
    /// Any other set without code extensions of its own.
    Set(&'static Encoding),
}

/// How the lower half is read.
#[derive(Clone, Copy, PartialEq)]
enum Lower {
    Ascii,
    /// JIS X 0208, two bytes a character.
    Jis0208,
    /// JIS X 0212, two bytes a character.
    Jis0212,
}

/// A decoder for one object's text.
pub(crate) struct Text {
    upper: Upper,
    /// One set for the whole value: escape sequences are not allowed in it.
    whole: Option<&'static Encoding>,
}

impl Text {
    /// The decoder for a value of Specific Character Set (0008,0005).
    pub(crate) fn new(specific_character_set: &[u8]) -> Self {
        let first = specific_character_set
            .split(|byte| *byte == b'\\')
            .next()
            .unwrap_or_default();
        let name = String::from_utf8_lossy(first)
            .trim_matches([' ', '\0'])
            .replace("ISO 2022 IR", "ISO_IR");
        let whole = match name.as_str() {
            "ISO_IR 192" => Some(UTF_8),
            "GB18030" => Some(GB18030),
            "GBK" => Some(GBK),
            _ => None,
        };
        let upper = match name.as_str() {
            "ISO_IR 100" => Upper::Latin1,
            "ISO_IR 101" => Upper::Set(ISO_8859_2),
            "ISO_IR 109" => Upper::Set(ISO_8859_3),
            "ISO_IR 110" => Upper::Set(ISO_8859_4),
            "ISO_IR 144" => Upper::Set(ISO_8859_5),
            "ISO_IR 127" => Upper::Set(ISO_8859_6),
            "ISO_IR 126" => Upper::Set(ISO_8859_7),
            "ISO_IR 138" => Upper::Set(ISO_8859_8),
            "ISO_IR 148" => Upper::Set(WINDOWS_1254),
            "ISO_IR 203" => Upper::Set(ISO_8859_15),
            "ISO_IR 13" => Upper::Set(SHIFT_JIS),
            "ISO_IR 166" => Upper::Set(WINDOWS_874),
            _ => Upper::Undeclared,
        };
        Self { upper, whole }
    }

    /// The text of a value, without the padding around it.
    pub(crate) fn decode(&self, raw: &[u8]) -> String {
        let text = match self.whole {
            Some(set) => set.decode_without_bom_handling(raw).0.into_owned(),
            None => self.decode_extended(raw),
        };
        text.trim_matches([' ', '\0']).to_owned()
    }

    /// Code extensions of ISO 2022 (PS3.5 section 6.1.2.5): escape sequences switch a half of the table; `\`, `^`, `=`
    /// and control characters switch back.
    fn decode_extended(&self, raw: &[u8]) -> String {
        let mut text = String::with_capacity(raw.len());
        let (mut lower, mut upper) = (Lower::Ascii, self.upper);
        let mut rest = raw;
        while let Some((&byte, after)) = rest.split_first() {
            if byte == 0x1B {
                rest = escape(after, &mut lower, &mut upper);
            } else if byte >= 0x80 {
                let run = rest.iter().take_while(|byte| **byte >= 0x80).count();
                let (high, after) = rest.split_at(run);
                decode_upper(upper, high, &mut text);
                rest = after;
            } else if lower != Lower::Ascii && byte > b' ' {
                rest = decode_pair(lower, rest, &mut text);
            } else {
                if matches!(byte, b'\\' | b'^' | b'=') || byte < b' ' {
                    (lower, upper) = (Lower::Ascii, self.upper);
                }
                text.push(char::from(byte));
                rest = after;
            }
        }
        text
    }
}

/// Follows one escape sequence (PS3.3 tables C.12-3 and C.12-4) and returns what comes after it. An unknown one is
/// dropped by its ESC alone, so that its rest stays visible.
fn escape<'a>(after: &'a [u8], lower: &mut Lower, upper: &mut Upper) -> &'a [u8] {
    match after {
        [b'(', b'B' | b'J', rest @ ..] => {
            *lower = Lower::Ascii;
            rest
        }
        [b'$', b'B' | b'@', rest @ ..] => {
            *lower = Lower::Jis0208;
            rest
        }
        [b'$', b'(', b'D', rest @ ..] => {
            *lower = Lower::Jis0212;
            rest
        }
        [b'$', b')', set @ (b'C' | b'A'), rest @ ..] => {
            *upper = Upper::Set(if *set == b'C' { EUC_KR } else { GBK });
            rest
        }
        [b')', b'I', rest @ ..] => {
            *upper = Upper::Set(SHIFT_JIS);
            rest
        }
        [b'-', set, rest @ ..] => {
            *upper = match set {
                b'A' => Upper::Latin1,
                b'B' => Upper::Set(ISO_8859_2),
                b'C' => Upper::Set(ISO_8859_3),
                b'D' => Upper::Set(ISO_8859_4),
                b'L' => Upper::Set(ISO_8859_5),
                b'G' => Upper::Set(ISO_8859_6),
                b'F' => Upper::Set(ISO_8859_7),
                b'H' => Upper::Set(ISO_8859_8),
                b'M' => Upper::Set(WINDOWS_1254),
                b'T' => Upper::Set(WINDOWS_874),
                b'b' => Upper::Set(ISO_8859_15),
                _ => return after,
            };
            rest
        }
        _ => after,
    }
}

fn decode_upper(upper: Upper, high: &[u8], text: &mut String) {
    match upper {
        Upper::Set(set) => text.push_str(&set.decode_without_bom_handling(high).0),
        Upper::Undeclared if std::str::from_utf8(high).is_ok() => {
            text.push_str(&String::from_utf8_lossy(high));
        }
        Upper::Latin1 | Upper::Undeclared => text.extend(high.iter().map(|b| char::from(*b))),
    }
}

/// Two bytes of a Japanese set, read as EUC-JP writes them: both with the high bit, JIS X 0212 behind 0x8F.
fn decode_pair<'a>(lower: Lower, rest: &'a [u8], text: &mut String) -> &'a [u8] {
    let (pair, after) = rest.split_at(rest.len().min(2));
    let mut euc = Vec::with_capacity(3);
    if lower == Lower::Jis0212 {
        euc.push(0x8F);
    }
    euc.extend(pair.iter().map(|byte| byte | 0x80));
    text.push_str(&EUC_JP.decode_without_bom_handling(&euc).0);
    after
}

impl HeaderSummary {
    /// The patient and study attributes, decoded.
    pub fn context(&self, study: StudyInstanceUid) -> StudyContext {
        let text = Text::new(&self.specific_character_set);
        let phi = |raw: &[u8]| Phi::new(text.decode(raw));
        StudyContext {
            study_instance_uid: study,
            source_character_set: plain(&self.specific_character_set),
            patient_name: phi(&self.patient_name),
            patient_id: phi(&self.patient_id),
            issuer_of_patient_id: phi(&self.issuer_of_patient_id),
            patient_birth_date: phi(&self.patient_birth_date),
            patient_sex: phi(&self.patient_sex),
            study_date: plain(&self.study_date),
            study_time: plain(&self.study_time),
            accession_number: phi(&self.accession_number),
            referring_physician_name: phi(&self.referring_physician_name),
            study_id: phi(&self.study_id),
            study_description: phi(&self.study_description),
            timezone_offset_from_utc: plain(&self.timezone_offset_from_utc),
            requests: self
                .requests
                .iter()
                .map(|raw| request(&text, raw))
                .collect(),
        }
    }
}

fn request(text: &Text, raw: &RawRequest) -> RequestAttributes {
    let phi = |raw: &[u8]| Phi::new(text.decode(raw));
    RequestAttributes {
        accession_number: phi(&raw.accession_number),
        requested_procedure_id: phi(&raw.requested_procedure_id),
        requested_procedure_description: phi(&raw.requested_procedure_description),
        placer_order_number: phi(&raw.placer_order_number),
        filler_order_number: phi(&raw.filler_order_number),
    }
}

/// Values of the default repertoire alone (CS, DA, TM, SH of digits).
fn plain(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw)
        .trim_matches([' ', '\0'])
        .to_owned()
}

/// Takes over what `more` knows and `context` doesn't: an object of the study may lack what another one has.
pub(crate) fn complete(context: &mut StudyContext, more: &StudyContext) {
    let fill = |to: &mut Phi, from: &Phi| {
        if to.is_empty() {
            to.clone_from(from);
        }
    };
    let fill_plain = |to: &mut String, from: &String| {
        if to.is_empty() {
            to.clone_from(from);
        }
    };
    fill_plain(
        &mut context.source_character_set,
        &more.source_character_set,
    );
    fill(&mut context.patient_name, &more.patient_name);
    fill(&mut context.patient_id, &more.patient_id);
    fill(
        &mut context.issuer_of_patient_id,
        &more.issuer_of_patient_id,
    );
    fill(&mut context.patient_birth_date, &more.patient_birth_date);
    fill(&mut context.patient_sex, &more.patient_sex);
    fill_plain(&mut context.study_date, &more.study_date);
    fill_plain(&mut context.study_time, &more.study_time);
    fill(&mut context.accession_number, &more.accession_number);
    fill(
        &mut context.referring_physician_name,
        &more.referring_physician_name,
    );
    fill(&mut context.study_id, &more.study_id);
    fill(&mut context.study_description, &more.study_description);
    fill_plain(
        &mut context.timezone_offset_from_utc,
        &more.timezone_offset_from_utc,
    );
    if context.requests.is_empty() {
        context.requests.clone_from(&more.requests);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(set: &str, raw: &[u8]) -> String {
        Text::new(set.as_bytes()).decode(raw)
    }

    #[test]
    fn the_examples_of_ps3_5_annexes_h_to_k() {
        // H.3.1, H.3.2
        assert_eq!(
            decode(
                "\\ISO 2022 IR 87",
                b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
            ),
            "Yamada^Tarou=山田^太郎=やまだ^たろう"
        );
        assert_eq!(
            decode(
                "ISO 2022 IR 13\\ISO 2022 IR 87",
                b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J"
            ),
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"
        );
        // I.2
        assert_eq!(
            decode(
                "\\ISO 2022 IR 149",
                b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
            ),
            "Hong^Gildong=洪^吉洞=홍^길동"
        );
        // J.1, J.2
        assert_eq!(
            decode("ISO_IR 192", "Wang^XiaoDong=王^小东".as_bytes()),
            "Wang^XiaoDong=王^小东"
        );
        assert_eq!(
            decode("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab"),
            "Wang^XiaoDong=王^小东"
        );
        // K.2
        assert_eq!(
            decode(
                "\\ISO 2022 IR 58",
                b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="
            ),
            "Zhang^XiaoDong=张^小东="
        );
    }

    #[test]
    fn single_byte_sets_and_letters_that_nobody_declared() {
        assert_eq!(decode("ISO_IR 100", b"Buc^J\xe9r\xf4me "), "Buc^Jérôme");
        assert_eq!(decode("ISO_IR 144", b"\xbb\xee\xda"), "Люк");
        assert_eq!(decode("", "Müller".as_bytes()), "Müller");
        assert_eq!(decode("", b"M\xfcller\0"), "Müller");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(set: Vec<u8>, raw: Vec<u8>) {
            let text = Text::new(&set).decode(&raw);
            assert!(text.chars().count() <= 2 * raw.len());
        }
    }
}
