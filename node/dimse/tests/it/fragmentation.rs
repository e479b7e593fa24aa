//! The same bytes in other pieces give the same result.

use std::io::Write;

use proptest::prelude::*;
use sonode_conformance::DimseStatus;
use sonode_conformance::transfer_syntax::Encoding;
use sonode_dimse::*;

/// Cuts `bytes` into pieces whose lengths follow `cuts`, over and over.
fn pieces<'a>(bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    cuts.iter().cycle().map_while(move |cut| {
        let (piece, later) = rest.split_at((*cut).min(rest.len()));
        rest = later;
        (!piece.is_empty()).then_some(piece)
    })
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        prop::collection::vec(1usize..40, 1..8),
        prop::collection::vec(1usize..5000, 1..4),
    ]
}

proptest! {
    #[test]
    fn pdus_come_whole_whatever_the_reads(
        sent in prop::collection::vec((1u8..8, prop::collection::vec(any::<u8>(), 0..9000)), 1..6),
        cuts in cuts(),
    ) {
        let mut stream = Vec::new();
        for (kind, body) in &sent {
            stream.extend_from_slice(&[*kind, 0]);
            stream.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
            stream.extend_from_slice(body);
        }
        let mut reader = PduReader::new();
        let mut got = Vec::new();
        for mut piece in pieces(&stream, &cuts) {
            while !piece.is_empty() {
                let read = std::io::Read::read(&mut piece, reader.space()).unwrap();
                prop_assert!(read > 0);
                reader.advance(read);
                while let Some(pdu) = reader.pdu().unwrap() {
                    got.push((pdu.kind, pdu.body.to_vec()));
                    reader.consume();
                }
            }
        }
        let sent: Vec<(PduKind, Vec<u8>)> = sent.into_iter().map(|(kind, body)| (kind.into(), body)).collect();
        prop_assert_eq!(got, sent);
        prop_assert!(!reader.is_inside_pdu());
    }

    #[test]
    fn pdvs_come_whole_wherever_their_bytes_are_received(
        sent in prop::collection::vec(prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..900)), 1..3), 1..8),
        cuts in cuts(),
        places in prop::collection::vec(0usize..700, 1..8),
    ) {
        let mut stream = Vec::new();
        for pdvs in &sent {
            let body: Vec<u8> = pdvs
                .iter()
                .flat_map(|(control, bytes)| {
                    let length = u32::try_from(bytes.len()).unwrap() + 2;
                    [&length.to_be_bytes()[..], &[7, *control], bytes].concat()
                })
                .collect();
            stream.extend_from_slice(&[4, 0]);
            stream.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
            stream.extend_from_slice(&body);
        }
        let mut reader = PduReader::new();
        let mut got = Vec::new();
        let mut places = places.iter().cycle();
        // What came of the PDV that is not whole.
        let mut begun: Vec<u8> = Vec::new();
        for mut piece in pieces(&stream, &cuts) {
            while !piece.is_empty() {
                // Room for some of the missing bytes, for all but the last and what is behind them, or none.
                let missing = reader.open_pdv().map_or(0, |open| open.missing - 1);
                let mut place = vec![0; missing.min(*places.next().unwrap())];
                let space = match place.len() {
                    0 => reader.space(),
                    all if all == missing => reader.space_behind(),
                    _ => &mut [],
                };
                let elsewhere = std::io::Read::read(&mut piece, &mut place).unwrap();
                let read = std::io::Read::read(&mut piece, space).unwrap();
                begun.extend_from_slice(&place[..elsewhere]);
                reader.shorten(elsewhere);
                reader.advance(read);
                while let Some(pdu) = reader.pdu().unwrap() {
                    for pdv in PData::parse(pdu.body).unwrap() {
                        let bytes = [&begun, pdv.bytes].concat();
                        begun.clear();
                        got.push((pdv.context, pdv.is_command, pdv.is_last, bytes));
                    }
                    reader.consume();
                }
                if let Some(open) = reader.open_pdv() {
                    begun.extend_from_slice(open.came.bytes);
                    let came = open.came.bytes.len();
                    reader.shorten(came);
                }
            }
        }
        let sent: Vec<_> = sent
            .into_iter()
            .flatten()
            .map(|(control, bytes)| (7, control & 1 != 0, control & 2 != 0, bytes))
            .collect();
        prop_assert_eq!(got, sent);
        prop_assert!(!reader.is_inside_pdu());
    }

    #[test]
    fn no_bytes_panic_the_reader(
        length in 0u32..2000,
        control: u8,
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        taken in prop::collection::vec(0usize..2000, 1..8),
        is_data in any::<bool>(),
    ) {
        let mut stream = Vec::new();
        if is_data {
            stream.extend([4, 0]);
            stream.extend((length + 6).to_be_bytes());
            stream.extend((length + 2).to_be_bytes());
            stream.extend([1, control]);
        }
        stream.extend(bytes);
        let mut reader = PduReader::new();
        let mut rest = stream.as_slice();
        let mut taken = taken.iter().cycle();
        while !rest.is_empty() {
            let is_open = reader.open_pdv().is_some();
            let space = if is_open { reader.space_behind() } else { reader.space() };
            let read = std::io::Read::read(&mut rest, space).unwrap();
            prop_assert!(read > 0);
            reader.advance(read);
            reader.shorten(*taken.next().unwrap());
            while !matches!(reader.pdu(), Ok(None)) {
                reader.consume();
            }
        }
    }

    #[test]
    fn messages_come_whole_whatever_the_fragments(
        data in prop::collection::vec(any::<u8>(), 0..3000),
        command_cuts in cuts(),
        data_cuts in cuts(),
        peer_max in prop_oneof![0u32..40, any::<u32>()],
        is_by_encoder in any::<bool>(),
    ) {
        let store = StoreRq {
            request: Request { message_id: 3, sop_class: "1.2.34".into(), sop_instance: "1.2.3.40".into() },
            priority: 2,
            move_originator: Some((b"MOVERS".as_slice().into(), 9)),
        };
        let command = response::store_request(&store);
        let mut assembler = Assembler::new([5]);
        let mut events = Vec::new();
        let mut stream = Vec::new();
        if is_by_encoder {
            let mut encoder = PdataEncoder::new(5, PdvKind::Command, peer_max);
            for piece in pieces(&command, &command_cuts) {
                stream.extend_from_slice(encoder.encode(piece, false));
            }
            stream.extend_from_slice(encoder.encode(&[], true));
            encoder.restart(5, PdvKind::Data);
            for piece in pieces(&data, &data_cuts) {
                stream.extend_from_slice(encoder.encode(piece, false));
            }
            stream.extend_from_slice(encoder.encode(&[], true));
            for pdu in pdus(&stream) {
                prop_assert!(pdu.len() <= usize::try_from(peer_max).unwrap().max(8) || peer_max == 0);
                events.extend(PData::parse(pdu).unwrap().map(|pdv| push(&mut assembler, pdv)));
            }
        } else {
            for (is_command, bytes, cuts) in [(true, &command, &command_cuts), (false, &data, &data_cuts)] {
                for bytes in pieces(bytes, cuts) {
                    events.push(push(&mut assembler, Pdv { context: 5, is_command, is_last: false, bytes }));
                }
                events.push(push(&mut assembler, Pdv { context: 5, is_command, is_last: true, bytes: &[] }));
            }
        }
        let events: Vec<(Option<Command>, Vec<u8>, bool)> = events.into_iter().flatten().collect();
        let (first, rest) = events.split_first().unwrap();
        prop_assert_eq!(first, &(Some(Command::StoreRq(store)), vec![], false));
        prop_assert!(rest.iter().all(|(command, ..)| command.is_none()));
        let got: Vec<u8> = rest.iter().flat_map(|(_, bytes, _)| bytes).copied().collect();
        prop_assert_eq!(got, data);
        let (last, before) = rest.split_last().unwrap();
        prop_assert!(last.2 && before.iter().all(|event| !event.2));
        prop_assert!(!assembler.is_inside_message());
    }

    #[test]
    fn no_fragments_panic_the_assembler(
        pdvs in prop::collection::vec((0u8..4, any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..20),
    ) {
        let mut assembler = Assembler::new([1, 3]);
        let mut has_failed = false;
        for (context, is_command, is_last, bytes) in &pdvs {
            let pdv = Pdv { context: *context, is_command: *is_command, is_last: *is_last, bytes };
            let result = assembler.push(pdv);
            prop_assert!(!has_failed || result.is_err());
            has_failed |= result.is_err();
        }
    }

    #[test]
    fn no_bytes_panic_the_command_reader(bytes: Vec<u8>) {
        if let Ok((command, _)) = Command::parse(&bytes) {
            let answer = respond(&command, DimseStatus::SUCCESS, "é\\");
            prop_assert_eq!(answer.is_some(), command.request().is_some());
        }
    }
}

fn push(assembler: &mut Assembler, pdv: Pdv<'_>) -> Option<(Option<Command>, Vec<u8>, bool)> {
    match assembler.push(pdv).unwrap()? {
        DimseEvent::Command { command, .. } => Some((Some(command), vec![], false)),
        DimseEvent::Data { bytes, is_last, .. } => Some((None, bytes.to_vec(), is_last)),
    }
}

/// Bodies of the PDUs in a stream.
fn pdus(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut bodies = Vec::new();
    while let Some((header, rest)) = stream.split_at_checked(6) {
        let length = u32::from_be_bytes(header[2..].try_into().unwrap());
        let (body, later) = rest.split_at(usize::try_from(length).unwrap());
        bodies.push(body);
        stream = later;
    }
    bodies
}

/// What a generated data set is made of.
#[derive(Debug, Clone)]
enum Value {
    Text(Vec<u8>),
    /// Items, and whether their lengths are written.
    Sequence(Vec<Vec<(Tag, Value)>>, bool),
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop::collection::vec(b'0'..=b'9', 0..30)
        .prop_map(|digits| Value::Text(digits.into_iter().flat_map(|d| [d, b'.']).collect()));
    text.prop_recursive(4, 12, 3, |inner| {
        let element = (prop::sample::select(WANTED_AND_OTHERS.to_vec()), inner);
        let item = prop::collection::vec(element, 0..3);
        (prop::collection::vec(item, 0..3), any::<bool>())
            .prop_map(|(items, has_lengths)| Value::Sequence(items, has_lengths))
    })
}

const WANTED_AND_OTHERS: [Tag; 8] = [
    Tag(0x0008, 0x0000),
    Tag::SOP_CLASS_UID,
    Tag(0x0009, 0x1010),
    Tag::PATIENT_NAME,
    Tag::DEVICE_UID,
    Tag::STUDY_INSTANCE_UID,
    Tag::SERIES_INSTANCE_UID,
    Tag::NUMBER_OF_FRAMES,
];

/// A writer for one encoding.
#[derive(Clone, Copy)]
struct Writer {
    is_explicit: bool,
    is_big: bool,
}

impl Writer {
    fn u16(self, out: &mut Vec<u8>, value: u16) {
        out.extend(if self.is_big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        });
    }

    fn u32(self, out: &mut Vec<u8>, value: u32) {
        out.extend(if self.is_big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        });
    }

    fn tag(self, out: &mut Vec<u8>, tag: Tag) {
        self.u16(out, tag.0);
        self.u16(out, tag.1);
    }

    fn marker(self, out: &mut Vec<u8>, element: u16, length: u32) {
        self.tag(out, Tag(0xFFFE, element));
        self.u32(out, length);
    }

    fn element(self, out: &mut Vec<u8>, tag: Tag, value: &Value) {
        self.tag(out, tag);
        match value {
            Value::Text(text) if self.is_explicit => {
                out.extend_from_slice(b"LO");
                self.u16(out, text.len().try_into().unwrap());
                out.extend_from_slice(text);
            }
            Value::Text(text) => {
                self.u32(out, text.len().try_into().unwrap());
                out.extend_from_slice(text);
            }
            Value::Sequence(items, has_lengths) => {
                if self.is_explicit {
                    out.extend_from_slice(b"SQ\0\0");
                }
                let mut content = Vec::new();
                for item in items {
                    self.item(&mut content, item, *has_lengths);
                }
                if *has_lengths {
                    self.u32(out, content.len().try_into().unwrap());
                } else {
                    self.u32(out, u32::MAX);
                    self.marker(&mut content, 0xE0DD, 0);
                }
                out.extend(content);
            }
        }
    }

    fn item(self, out: &mut Vec<u8>, item: &[(Tag, Value)], has_lengths: bool) {
        let mut content = Vec::new();
        for (tag, value) in item {
            self.element(&mut content, *tag, value);
        }
        if has_lengths {
            self.marker(out, 0xE000, content.len().try_into().unwrap());
            out.extend(content);
        } else {
            self.marker(out, 0xE000, u32::MAX);
            out.extend(content);
            self.marker(out, 0xE00D, 0);
        }
    }
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn encode(encoding: Encoding, elements: &[(Tag, Value)]) -> Vec<u8> {
    let writer = Writer {
        is_explicit: encoding != Encoding::ImplicitLittle,
        is_big: encoding == Encoding::ExplicitBig,
    };
    let mut bytes = Vec::new();
    for (tag, value) in elements {
        writer.element(&mut bytes, *tag, value);
    }
    if encoding == Encoding::Deflated {
        deflate(&bytes)
    } else {
        bytes
    }
}

fn scan<'a>(encoding: Encoding, pieces: impl IntoIterator<Item = &'a [u8]>) -> HeaderFacts {
    let mut scanner = HeaderScanner::new(encoding);
    for piece in pieces {
        scanner.push(piece);
    }
    scanner.finish()
}

fn encoding() -> impl Strategy<Value = Encoding> {
    prop::sample::select(vec![
        Encoding::ImplicitLittle,
        Encoding::ExplicitLittle,
        Encoding::ExplicitBig,
        Encoding::Deflated,
    ])
}

proptest! {
    #[test]
    fn headers_are_read_whatever_the_fragments(
        values in prop::collection::vec(value(), WANTED_AND_OTHERS.len()),
        encoding in encoding(),
        cuts in cuts(),
        is_truncated in any::<bool>(),
    ) {
        let mut elements: Vec<(Tag, Value)> = WANTED_AND_OTHERS.into_iter().zip(values).collect();
        elements.push((Tag(0x0028, 0x0010), Value::Text(vec![1, 0])));
        let whole = encode(encoding, &elements);
        let bytes = if is_truncated { &whole[..whole.len() * 2 / 3] } else { &whole[..] };
        let at_once = scan(encoding, [bytes]);
        prop_assert_eq!(&scan(encoding, pieces(bytes, &cuts)), &at_once);
        if !is_truncated {
            prop_assert_eq!(at_once.end(), ScanEnd::Complete);
            for (tag, value) in &elements {
                let kept = match value {
                    Value::Text(text) if header::WANTED.contains(tag) => Some(text.as_slice()),
                    // The content of a sequence of known length would be kept; nothing wanted is a sequence.
                    Value::Sequence(_, true) => continue,
                    _ => None,
                };
                prop_assert_eq!(at_once.raw(*tag), kept, "{}", tag);
            }
        }
    }

    #[test]
    fn no_bytes_panic_the_scanner_and_their_pieces_agree(bytes: Vec<u8>, encoding in encoding(), cuts in cuts()) {
        let at_once = scan(encoding, [bytes.as_slice()]);
        let in_pieces = scan(encoding, pieces(&bytes, &cuts));
        if encoding != Encoding::Deflated {
            prop_assert_eq!(at_once, in_pieces);
        }
    }

    #[test]
    fn no_element_headers_panic_the_scanner(
        elements in prop::collection::vec((0u16..4, 0u16..4, prop::sample::select(vec![b"SQ", b"UN", b"OB", b"LO", b"??"]), prop::sample::select(vec![0u32, 2, 8, u32::MAX])), 0..40),
        cuts in cuts(),
        encoding in encoding(),
    ) {
        let mut bytes = Vec::new();
        for (group, element, vr, length) in elements {
            let (group, element) = match group {
                0 => (0xFFFEu16, [0xE000u16, 0xE00D, 0xE0DD, 0xE000][usize::from(element)]),
                group => (group * 8, element * 16),
            };
            bytes.extend(group.to_le_bytes());
            bytes.extend(element.to_le_bytes());
            bytes.extend_from_slice(vr);
            bytes.extend_from_slice(&[0, 0]);
            bytes.extend(length.to_le_bytes());
        }
        let in_pieces = scan(encoding, pieces(&bytes, &cuts));
        if encoding != Encoding::Deflated {
            prop_assert_eq!(scan(encoding, [bytes.as_slice()]), in_pieces);
        }
    }
}
