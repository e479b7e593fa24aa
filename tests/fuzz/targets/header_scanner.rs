//! The header scanner over a data set: the first byte is the encoding, the second the length of the pieces, and the pieces
//! must not change what is found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonode_conformance::transfer_syntax::Encoding;
use sonode_dimse::{HeaderFacts, HeaderScanner};

fn scan(encoding: Encoding, data: &[u8], piece: usize) -> HeaderFacts {
    let mut scanner = HeaderScanner::new(encoding);
    for piece in data.chunks(piece) {
        scanner.push(piece);
    }
    scanner.finish()
}

fuzz_target!(|input: &[u8]| {
    let [encoding, piece, data @ ..] = input else {
        return;
    };
    let encoding = match encoding % 4 {
        0 => Encoding::ImplicitLittle,
        1 => Encoding::ExplicitLittle,
        2 => Encoding::ExplicitBig,
        _ => Encoding::Deflated,
    };
    let whole = scan(encoding, data, data.len().max(1));
    let pieces = scan(encoding, data, usize::from(*piece) + 1);
    assert_eq!(whole.study().ok(), pieces.study().ok());
    assert_eq!(whole.series().ok(), pieces.series().ok());
    assert_eq!(whole.sop_instance().ok(), pieces.sop_instance().ok());
    assert_eq!(whole.sop_class().ok(), pieces.sop_class().ok());
});
