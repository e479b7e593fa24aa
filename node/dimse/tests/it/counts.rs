//! What receiving costs, in counts that no machine changes.

use sonode_dimse::*;

const PDU_LENGTH: u32 = 131_072;

/// PDUs of a C-STORE with a data set of so many bytes.
fn stream(bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let command = response::store_request(&StoreRq::default());
    write_message(&mut out, 1, &command, Some(&vec![7; bytes]), PDU_LENGTH);
    out
}

/// Takes a stream by way of the reader alone, as the node takes short PDVs; gives the bytes of the data set, the allocations, and the reads.
fn take(stream: &[u8]) -> (usize, u64, usize) {
    let mut reader = PduReader::new();
    reader.set_body_max(data_body_max(PDU_LENGTH));
    reader.set_read_ahead(512 * 1024);
    let mut assembler = Assembler::new([1]);
    let mut scanner =
        HeaderScanner::new(sonode_conformance::transfer_syntax::Encoding::ExplicitLittle);
    let (mut rest, mut data, mut reads) = (stream, 0, 0);
    let used = allocation_counter::measure(|| {
        while !rest.is_empty() {
            reads += 1;
            let read = std::io::Read::read(&mut rest, reader.space()).unwrap();
            reader.advance(read);
            while let Some(pdu) = reader.pdu().unwrap() {
                for pdv in PData::parse(pdu.body).unwrap() {
                    if let Some(DimseEvent::Data { bytes, .. }) = assembler.push(pdv).unwrap() {
                        scanner.push(bytes);
                        data += bytes.len();
                    }
                }
                reader.consume();
            }
        }
    });
    (data, used.count_total, reads)
}

#[test]
fn a_longer_data_set_costs_no_more_allocations_and_so_no_copies() {
    // The data set's bytes are given as they lie in the reader's buffer: with nothing allocated there is no other place
    // for them.
    let (short, few, _) = take(&stream(4_000_000));
    let (long, as_few, reads) = take(&stream(40_000_000));
    assert_eq!((short, long), (4_000_000, 40_000_000));
    assert_eq!(few, as_few, "allocations");
    assert!(few < 40, "{few} allocations");
    assert!(reads < 120, "{reads} reads of 40 MB");
}
