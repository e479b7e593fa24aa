use std::io::Write;

use sonode_conformance::limits;

use super::*;

fn explicit(tag: Tag, vr: [u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = element_head(tag, &vr);
    bytes.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(value);
    bytes
}

fn long(tag: Tag, vr: [u8; 2], length: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = element_head(tag, &vr);
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend(length.to_le_bytes());
    bytes.extend_from_slice(value);
    bytes
}

fn implicit(tag: Tag, length: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = element_head(tag, b"");
    bytes.extend(length.to_le_bytes());
    bytes.extend_from_slice(value);
    bytes
}

fn element_head(tag: Tag, vr: &[u8]) -> Vec<u8> {
    let mut bytes = tag.0.to_le_bytes().to_vec();
    bytes.extend(tag.1.to_le_bytes());
    bytes.extend_from_slice(vr);
    bytes
}

fn marker(element: u16, length: u32) -> Vec<u8> {
    implicit(Tag(0xFFFE, element), length, &[])
}

fn study() -> Vec<u8> {
    explicit(Tag::STUDY_INSTANCE_UID, *b"UI", b"1.2.3\0")
}

fn scan(encoding: Encoding, parts: &[Vec<u8>]) -> HeaderFacts {
    let mut scanner = HeaderScanner::new(encoding);
    scanner.push(&parts.concat());
    scanner.finish()
}

fn found_study(facts: &HeaderFacts) -> bool {
    facts
        .study()
        .unwrap()
        .is_some_and(|uid| uid.as_str() == "1.2.3")
}

#[test]
fn unknown_sequences_of_undefined_length_hold_implicit_elements() {
    let private = [
        long(Tag(0x0019, 0x1001), *b"UN", u32::MAX, &[]),
        marker(0xE000, u32::MAX),
        implicit(Tag(0x0008, 0x0060), 2, b"US"),
        implicit(Tag(0x0008, 0x1140), u32::MAX, &[]),
        marker(0xE000, 10),
        implicit(Tag(0x0008, 0x1150), 2, b"1\0"),
        marker(0xE0DD, 0),
        marker(0xE00D, 0),
        marker(0xE0DD, 0),
    ]
    .concat();
    let facts = scan(Encoding::ExplicitLittle, &[private, study()]);
    assert!(found_study(&facts));
    assert_eq!(
        facts.raw(Tag::MODALITY),
        None,
        "a nested value is not the data set's"
    );
    assert_eq!(facts.end(), ScanEnd::EndOfDataSet);
}

#[test]
fn any_depth_is_survived_and_too_much_is_given_up() {
    let depth = usize::try_from(limits::HEADER_DEPTH_MAX).unwrap();
    let sex = explicit(Tag::PATIENT_SEX, *b"CS", b"F ");
    let open = [
        long(Tag(0x0018, 0x9999), *b"SQ", u32::MAX, &[]),
        marker(0xE000, u32::MAX),
    ]
    .concat();
    let close = [marker(0xE00D, 0), marker(0xE0DD, 0)].concat();
    let nested = |depth| {
        let parts = [
            sex.clone(),
            open.repeat(depth),
            close.repeat(depth),
            study(),
        ];
        scan(Encoding::ExplicitLittle, &parts)
    };
    assert!(found_study(&nested(depth)));
    let deeper = nested(depth + 1);
    assert_eq!(deeper.end(), ScanEnd::TooDeep);
    assert_eq!(deeper.raw(Tag::PATIENT_SEX), Some(b"F ".as_slice()));
    assert_eq!(nested(1_000_000).end(), ScanEnd::TooDeep);
}

#[test]
fn it_gives_up_with_a_reason_and_with_what_it_has() {
    let sop = explicit(Tag::SOP_INSTANCE_UID, *b"UI", b"1.2");
    let cases = [
        (sop.clone(), ScanEnd::OutOfOrder),
        (
            explicit(Tag::SOP_CLASS_UID, *b"UI", b"1.2"),
            ScanEnd::OutOfOrder,
        ),
        (implicit(Tag::PATIENT_ID, 4, b"1234"), ScanEnd::BadVr),
        (marker(0xE00D, 0), ScanEnd::BadNesting),
        (
            [long(Tag(0x0009, 1), *b"SQ", u32::MAX, &[]), study()].concat(),
            ScanEnd::BadNesting,
        ),
        (
            long(Tag::PATIENT_NAME, *b"UN", 300_000, &vec![0; 300_000]),
            ScanEnd::KeptTooMuch,
        ),
        (
            long(Tag(0x0028, 0x0010), *b"UN", u32::MAX, &[]),
            ScanEnd::Complete,
        ),
        (study()[..10].to_vec(), ScanEnd::Truncated),
        (vec![], ScanEnd::EndOfDataSet),
    ];
    for (bad, end) in cases {
        let facts = scan(Encoding::ExplicitLittle, &[sop.clone(), bad]);
        assert_eq!(facts.end(), end);
        assert_eq!(facts.sop_instance().unwrap().unwrap().as_str(), "1.2");
        assert_eq!(facts.study(), Ok(None));
    }
}

#[test]
fn how_far_it_looks_is_bounded() {
    let mut scanner = HeaderScanner::new(Encoding::ExplicitLittle);
    scanner.push(&long(Tag(0x0009, 0x1001), *b"OB", u32::MAX - 1, &[]));
    let piece = vec![0; 1 << 20];
    let pushed = std::iter::from_fn(|| {
        scanner.push(&piece);
        (!scanner.is_done()).then_some(())
    })
    .count();
    assert_eq!(pushed, 63);
    assert_eq!(scanner.finish().end(), ScanEnd::ScannedTooMuch);
}

#[test]
fn what_inflates_a_thousandfold_is_bounded_too() {
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder
        .write_all(&long(Tag(0x0009, 0x1001), *b"OB", u32::MAX - 1, &[]))
        .unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..80 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 200_000);
    let facts = scan(Encoding::Deflated, &[bomb]);
    assert_eq!(facts.end(), ScanEnd::ScannedTooMuch);
}

#[test]
fn a_zlib_wrapper_is_tolerated_and_garbage_is_not() {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&study()).unwrap();
    let stream = encoder.finish().unwrap();
    assert!(found_study(&scan(
        Encoding::Deflated,
        std::slice::from_ref(&stream)
    )));
    let mut in_bytes = HeaderScanner::new(Encoding::Deflated);
    for byte in &stream {
        in_bytes.push(&[*byte]);
    }
    assert!(found_study(&in_bytes.finish()));
    let facts = scan(Encoding::Deflated, &[vec![0xFF; 100]]);
    assert_eq!(facts.end(), ScanEnd::BadDeflate);
}

#[test]
fn file_meta_information_that_strayed_into_the_data_set_is_stepped_over() {
    let meta = [
        explicit(Tag(0x0002, 0x0000), *b"UL", &[0; 4]),
        explicit(Tag(0x0002, 0x0010), *b"UI", b"1.2.840.10008.1.2\0"),
    ]
    .concat();
    assert!(found_study(&scan(
        Encoding::ExplicitLittle,
        &[meta.clone(), study()]
    )));
    let rest = implicit(Tag::STUDY_INSTANCE_UID, 6, b"1.2.3\0");
    assert!(found_study(&scan(Encoding::ImplicitLittle, &[meta, rest])));
}

#[test]
fn a_data_set_in_the_other_encoding_is_read() {
    let rest = [
        implicit(Tag::SOP_INSTANCE_UID, 4, b"1.2\0"),
        implicit(Tag::STUDY_INSTANCE_UID, 6, b"1.2.3\0"),
    ];
    assert!(found_study(&scan(Encoding::ExplicitLittle, &rest)));
    let rest = [explicit(Tag::SOP_INSTANCE_UID, *b"UI", b"1.2\0"), study()];
    assert!(found_study(&scan(Encoding::ImplicitLittle, &rest)));
}

#[test]
fn empty_and_wrong_uids_are_told_apart() {
    let empty = scan(
        Encoding::ExplicitLittle,
        &[explicit(Tag::STUDY_INSTANCE_UID, *b"UI", b"")],
    );
    assert_eq!(empty.study(), Ok(None));
    assert_eq!(empty.raw(Tag::STUDY_INSTANCE_UID), Some(b"".as_slice()));
    let wrong = scan(
        Encoding::ExplicitLittle,
        &[explicit(Tag::STUDY_INSTANCE_UID, *b"UI", b"../1")],
    );
    assert_eq!(wrong.study(), Err(UidError::BadCharacter));
}

#[test]
fn the_list_is_ascending() {
    assert!(WANTED.is_sorted_by(|a, b| a < b));
}

#[test]
fn no_value_shows_in_debug() {
    let name = explicit(Tag::PATIENT_NAME, *b"PN", b"DOE^JANE");
    let facts = scan(Encoding::ExplicitLittle, &[name]);
    assert_eq!(facts.raw(Tag::PATIENT_NAME), Some(b"DOE^JANE".as_slice()));
    let shown = format!("{facts:?}");
    assert!(!shown.contains("DOE") && !shown.contains("68"), "{shown}");
}
