use super::super::header::Header;
use super::super::testing::DataSet;
use super::*;

const EXPLICIT: Encoding = Encoding {
    explicit: true,
    big: false,
};
const PRIVATE: Tag = Tag(0x2005, 0x1010);

fn scanned(bytes: &[u8], encoding: Encoding) -> Result<Layout, ScanError> {
    scan(&Source::Memory(bytes.to_vec()), 0, encoding)
}

fn name_of(layout: &Layout) -> Option<String> {
    let header = Header::parse(&layout.header, layout.character_set.clone()).unwrap();
    header.attributes().text(tags::PATIENT_NAME)
}

/// Sequences in sequences, each of undefined length, the innermost empty.
fn nested(tag: Tag, depth: usize) -> DataSet {
    (0..depth).fold(DataSet::default(), |inner, _| {
        DataSet::default().sequence(tag, &[inner])
    })
}

#[test]
fn nesting_over_the_limit_is_refused_and_never_recursed_into() {
    for tag in [tags::REQUEST_ATTRIBUTES_SEQUENCE, PRIVATE] {
        let deep = nested(tag, 20_000);
        assert!(matches!(
            scanned(&deep.0, EXPLICIT),
            Err(ScanError::TooDeep)
        ));
        let allowed = nested(tag, PARSE_DEPTH_MAX as usize);
        let layout = scanned(&allowed.0, EXPLICIT).unwrap();
        Header::parse(&layout.header, String::new()).unwrap();
    }
}

#[test]
fn a_private_un_of_undefined_length_hides_nothing_after_it() {
    // CP-246: implicit items inside, although the data set is explicit.
    let inside = [
        &[0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF][..],
        &[0x05, 0x20, 0x11, 0x10, 2, 0, 0, 0, b'x', b'y'],
        &[0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0],
        &[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0],
    ]
    .concat();
    let data = DataSet::default()
        .long(PRIVATE, "UN", UNDEFINED, &inside)
        .text(tags::PATIENT_NAME, "PN", "After^It");
    let layout = scanned(&data.0, EXPLICIT).unwrap();
    assert_eq!(name_of(&layout).as_deref(), Some("After^It"));
    assert!(!layout.truncated);
}

#[test]
fn attributes_after_pixel_data_are_read_and_its_bytes_are_not_copied() {
    let data = DataSet::default()
        .long(tags::PIXEL_DATA, "OB", 6, &[7; 6])
        .text(tags::PATIENT_NAME, "PN", "Behind^Pixels");
    let layout = scanned(&data.0, EXPLICIT).unwrap();
    assert_eq!(name_of(&layout).as_deref(), Some("Behind^Pixels"));
    let span = Span { offset: 12, len: 6 };
    assert_eq!(
        layout.pixel_data,
        Some(PixelData::Native { span, words: false })
    );
}

#[test]
fn a_data_set_that_breaks_off_keeps_what_came_before() {
    let data = DataSet::default()
        .text(tags::PATIENT_NAME, "PN", "Cut^Short")
        .long(tags::PIXEL_DATA, "OB", 1000, &[7; 10]);
    let layout = scanned(&data.0, EXPLICIT).unwrap();
    assert_eq!(name_of(&layout).as_deref(), Some("Cut^Short"));
    assert!(layout.truncated);
}

#[test]
fn a_value_under_a_foreign_vr_is_dropped_and_not_misread() {
    let data = DataSet::default().text(tags::ROWS, "LO", "four").text(
        tags::PATIENT_NAME,
        "PN",
        "Good^Value",
    );
    let layout = scanned(&data.0, EXPLICIT).unwrap();
    let header = Header::parse(&layout.header, String::new()).unwrap();
    assert!(!header.attributes().has(tags::ROWS));
    assert_eq!(name_of(&layout).as_deref(), Some("Good^Value"));
}

#[test]
fn big_endian_numbers_are_turned() {
    let bytes = [0x00, 0x28, 0x00, 0x10, b'U', b'S', 0, 2, 0x01, 0x02];
    let encoding = Encoding {
        explicit: true,
        big: true,
    };
    let layout = scanned(&bytes, encoding).unwrap();
    let header = Header::parse(&layout.header, String::new()).unwrap();
    assert_eq!(header.attributes().whole(tags::ROWS), Some(0x0102));
}

proptest::proptest! {
    #[test]
    fn any_bytes_end_in_an_answer(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400),
        explicit: bool,
        big: bool,
    ) {
        if let Ok(layout) = scanned(&bytes, Encoding { explicit, big }) {
            // What dicom-object makes of it is its own affair, as long as it returns.
            drop(Header::parse(&layout.header, layout.character_set));
        }
    }

    /// A sound data set with bytes changed gets deeper than noise does.
    #[test]
    fn damaged_data_sets_parse_or_are_refused(
        damage in proptest::collection::vec((0_usize..300, proptest::num::u8::ANY), 0..8),
    ) {
        let item = DataSet::default()
            .number(tags::REGION_SPATIAL_FORMAT, 1)
            .text(tags::CODE_MEANING, "LO", "inside");
        let mut bytes = DataSet::default()
            .text(tags::PATIENT_NAME, "PN", "A^B")
            .sequence(tags::SEQUENCE_OF_ULTRASOUND_REGIONS, &[item.clone(), item])
            .long(PRIVATE, "UN", 4, &[1, 2, 3, 4])
            .fragments(&[b"ab", b"cd"])
            .0;
        for (at, byte) in damage {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        if let Ok(layout) = scanned(&bytes, EXPLICIT) {
            let header = Header::parse(&layout.header, layout.character_set);
            proptest::prop_assert!(header.is_ok(), "{:?}", header.err());
        }
    }
}
