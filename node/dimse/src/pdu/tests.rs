use super::*;

fn feed(reader: &mut PduReader, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let read = std::io::Read::read(&mut bytes, reader.space()).unwrap();
        assert!(read > 0);
        reader.advance(read);
    }
}

#[test]
fn an_absurd_length_is_refused_before_anything_is_buffered() {
    let mut reader = PduReader::new();
    feed(&mut reader, &[1, 0, 0x7F, 0xFF, 0xFF, 0xFF]);
    assert_eq!(
        reader.pdu(),
        Err(PduError::TooLong {
            kind: PduKind::AssociateRq,
            length: 0x7FFF_FFFF,
            max: limits::ASSOCIATE_RQ_BYTES_MAX,
        })
    );
    assert!(reader.space().is_empty());
    assert!(reader.buffer.capacity() <= FIRST_READ);
    reader.consume();
    assert_eq!(reader.pdu(), Ok(None));
    assert!(!reader.space().is_empty());
}

#[test]
fn the_buffer_follows_what_came_and_not_what_was_declared() {
    let mut reader = PduReader::new();
    feed(&mut reader, &[1, 0, 0, 0x0F, 0xFF, 0xFF]);
    let mut sent = 6;
    while reader.pdu() == Ok(None) {
        assert!(reader.buffer.len() <= (2 * sent).max(FIRST_READ));
        let some = reader.space().len().min(3000);
        reader.advance(some);
        sent += some;
    }
    assert_eq!(reader.pdu().unwrap().unwrap().body.len(), 0x000F_FFFF);
}

#[test]
fn a_buffer_that_has_grown_takes_a_pdu_in_one_read() {
    let mut reader = PduReader::new();
    for _ in 0..2 {
        feed(&mut reader, &[4, 0, 0, 1, 0, 0]);
        while reader.pdu() == Ok(None) {
            let all = reader.space().len().min(HEADER + 0x1_0000 - reader.filled);
            reader.advance(all);
        }
        reader.consume();
    }
    feed(&mut reader, &[4, 0, 0, 1, 0, 0]);
    assert_eq!(reader.space().len(), 0x1_0000 + HEADERS);
}

#[test]
fn the_next_header_comes_with_the_body() {
    let mut reader = PduReader::new();
    feed(&mut reader, &[5, 0, 0, 0, 0, 4]);
    assert_eq!(reader.space().len(), 4 + HEADERS);
    feed(&mut reader, &[0, 0, 0, 0, 7, 0, 0, 0, 0, 0]);
    assert_eq!(reader.pdu().unwrap().unwrap().kind, PduKind::ReleaseRq);
    reader.consume();
    let abort = reader.pdu().unwrap().unwrap();
    assert_eq!((abort.kind, abort.body.len()), (PduKind::Abort, 0));
}

#[test]
fn of_pdus_of_one_length_nothing_but_headers_is_left_over() {
    const BODY: usize = 4000;
    let mut reader = PduReader::new();
    reader.set_read_ahead(4 * (HEADER + BODY) + HEADERS - 1);
    let pdu = [[4, 0, 0, 0, 0x0F, 0xA0].as_slice(), &[7; BODY]].concat();
    let mut stream = pdu.iter().copied().cycle();
    let mut left_over = Vec::new();
    for _ in 0..20 {
        reader.space().fill_with(|| stream.next().unwrap());
        reader.advance(usize::MAX);
        while reader.pdu().unwrap().is_some() {
            reader.consume();
        }
        left_over.push(reader.filled - reader.start);
    }
    assert_eq!(left_over.split_off(4), [HEADERS; 16]);
    assert_eq!(reader.space().len(), 3 * (HEADER + BODY));
}

#[test]
fn what_is_read_ahead_is_given_pdu_by_pdu() {
    // Bodies of 0 to 2999 bytes, each filled with its number.
    let lengths = (0..400_u32).map(|n| (n, n * 7919 % 3000));
    let mut stream = Vec::new();
    for (n, length) in lengths.clone() {
        stream.extend([4, 0]);
        stream.extend(length.to_be_bytes());
        stream.resize(
            stream.len() + usize::try_from(length).unwrap(),
            n.to_le_bytes()[0],
        );
    }
    let mut reader = PduReader::new();
    reader.set_read_ahead(10_000);
    let mut given = Vec::new();
    let mut rest = stream.as_slice();
    let mut reads = 0;
    while !rest.is_empty() {
        let space = reader.space();
        let read = space.len().min(rest.len());
        space[..read].copy_from_slice(&rest[..read]);
        rest = &rest[read..];
        reader.advance(read);
        reads += 1;
        while let Some(pdu) = reader.pdu().unwrap() {
            given.push((pdu.body.len(), pdu.body.first().copied()));
            reader.consume();
        }
    }
    assert!(!reader.is_inside_pdu());
    assert!(reads < 100, "{reads} reads");
    assert!(reader.buffer.len() <= 10_000);
    let sent = lengths.map(|(n, length)| {
        let length = usize::try_from(length).unwrap();
        (length, (length > 0).then(|| n.to_le_bytes()[0]))
    });
    assert_eq!(given, sent.collect::<Vec<_>>());
}

/// P-DATA-TF of one PDV whose content is `bytes`.
fn p_data(control: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    let body = [&(length + 2).to_be_bytes()[..], &[1, control], bytes].concat();
    [&[4, 0], &(length + 6).to_be_bytes()[..], &body].concat()
}

#[test]
fn the_rest_of_a_pdv_is_received_elsewhere_but_for_its_last_byte() {
    let mut reader = PduReader::new();
    let content: Vec<u8> = (0..100).collect();
    let pdu = p_data(2, &content);
    feed(&mut reader, &pdu[..HEADERS + 10]);
    let open = reader.open_pdv().unwrap();
    assert_eq!((open.came.bytes, open.missing), (&content[..10], 90));
    assert!(!open.came.is_last && open.is_last && !open.came.is_command);
    // What came was dealt with, then 60 bytes were received elsewhere and, in one read, 29 and what follows.
    reader.shorten(10);
    assert_eq!(reader.open_pdv().unwrap().came.bytes, []);
    reader.shorten(60);
    let open = reader.open_pdv().unwrap();
    assert_eq!((open.missing, open.length), (30, 100));
    let behind = [&[99], &p_data(2, &[7])[..HEADERS]].concat();
    assert_eq!(reader.space_behind().len(), behind.len());
    reader.space_behind().copy_from_slice(&behind);
    reader.shorten(29);
    reader.advance(behind.len());
    let rest = reader.pdu().unwrap().unwrap();
    let pdvs: Vec<_> = PData::parse(rest.body).unwrap().collect();
    assert_eq!(pdvs.len(), 1);
    assert!(pdvs[0].is_last && pdvs[0].bytes == [99]);
    assert_eq!(reader.open_pdv(), None, "it is whole");
    reader.consume();
    let next = reader.open_pdv().unwrap();
    assert_eq!((next.missing, next.length), (1, 1));
}

#[test]
fn the_last_byte_of_a_pdv_stays() {
    let mut reader = PduReader::new();
    feed(&mut reader, &p_data(0, &[5; 20])[..HEADERS + 8]);
    reader.shorten(usize::MAX);
    let open = reader.open_pdv().unwrap();
    assert_eq!((open.came.bytes.len(), open.missing), (0, 1));
    reader.shorten(1);
    assert_eq!(reader.open_pdv().unwrap().missing, 1);
    feed(&mut reader, &[5]);
    assert_eq!(reader.pdu().unwrap().unwrap().body, [0, 0, 0, 3, 1, 0, 5]);
}

#[test]
fn only_a_pdv_that_is_alone_in_a_p_data_tf_is_open() {
    let one = p_data(0, &[5; 20]);
    let other_kind = [&[1], &one[1..]].concat();
    // Its length says that another one follows; that it is longer than the PDU; that it is shorter than its header.
    let [two, longer, shorter] =
        [10, 23, 1].map(|length| [&one[..HEADER], &[0, 0, 0, length], &one[10..]].concat());
    for pdu in [
        other_kind,
        two,
        longer,
        shorter,
        vec![4, 0, 0, 0, 0, 5, 0, 0, 0, 1, 1, 0],
    ] {
        let mut reader = PduReader::new();
        let came = pdu.len().min(HEADERS + 4);
        feed(&mut reader, &pdu[..came]);
        let before = reader.buffer[..came].to_vec();
        assert_eq!(reader.open_pdv(), None, "{pdu:?}");
        reader.shorten(2);
        assert_eq!(reader.buffer[..came], before);
    }
    let mut reader = PduReader::new();
    for came in 0..HEADERS {
        assert_eq!(reader.open_pdv(), None, "{came}");
        feed(&mut reader, &one[came..=came]);
    }
    assert_eq!(reader.open_pdv().unwrap().missing, 20);
    reader.set_body_max(25);
    assert_eq!(reader.open_pdv(), None, "it is too long");
}

#[test]
fn tls_and_http_on_the_wrong_port_are_told_by_name() {
    for (first, word) in [(0x16, "TLS"), (b'G', "HTTP"), (0x99, "99H")] {
        let mut reader = PduReader::new();
        feed(&mut reader, &[first, 3, 1, 0, 0, 0]);
        let error = reader.pdu().unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn the_bound_on_data_has_room_for_peers_that_count_differently() {
    assert_eq!(data_body_max(0), 2 * limits::PDU_LENGTH);
    assert_eq!(data_body_max(1), 32 * 1024);
    assert_eq!(data_body_max(u32::MAX), u32::MAX);
}

#[test]
fn pdvs_are_checked_before_any_is_given() {
    assert!(PData::parse(&[]).is_none());
    assert!(PData::parse(&[0, 0, 0, 1, 1]).is_none());
    assert!(PData::parse(&[0, 0, 0, 2, 1, 3, 0, 0, 0, 3, 1, 0]).is_none());
    let body = [0, 0, 0, 2, 1, 3, 0, 0, 0, 3, 5, 0, 9];
    let pdvs: Vec<_> = PData::parse(&body).unwrap().collect();
    assert_eq!(pdvs.len(), 2);
    assert!(pdvs[0].is_command && pdvs[0].is_last && pdvs[0].bytes.is_empty());
    assert_eq!((pdvs[1].context, pdvs[1].bytes), (5, [9].as_slice()));
    assert!(!pdvs[1].is_command && !pdvs[1].is_last);
}
