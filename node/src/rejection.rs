//! Rejection notes: Key Object Selections that say why instances are not to be used (IHE RAD TF, Imaging Object Change
//! Management).

use std::io::Read;
use std::path::Path;

use sonode_conformance::{SopClassUid, limits, sop_class, transfer_syntax};
use sonode_dimse::{DataSet, Tag};
use sonode_pipeline::RejectionNote;

use crate::part10::Part10;

/// Document titles of CID 7011 by which instances are rejected, each with its code of DCM (PS3.16).
const TITLES: [(&[u8], &str); 4] = [
    (b"113001", "Rejected for Quality Reasons (113001)"),
    (b"113037", "Rejected for Patient Safety Reasons (113037)"),
    (b"113038", "Incorrect Modality Worklist Entry (113038)"),
    (b"113039", "Data Retention Policy Expired (113039)"),
];

const CODE_VALUE: Tag = Tag(0x0008, 0x0100);
const CODING_SCHEME: Tag = Tag(0x0008, 0x0102);
const SERIES: Tag = Tag(0x0008, 0x1115);
const REFERENCED: Tag = Tag(0x0008, 0x1199);
const TITLE: Tag = Tag(0x0040, 0xA043);
const EVIDENCE: Tag = Tag(0x0040, 0xA375);

/// Whether objects of a class can be rejection notes: whoever is none need not be read again.
pub(crate) fn may_reject(class: &SopClassUid) -> bool {
    class.as_str() == sop_class::KEY_OBJECT_SELECTION
}

/// What a stored Key Object says, if it is a rejection note that can be read.
pub(crate) fn note(path: &Path) -> Option<RejectionNote> {
    let mut part10 = Part10::open(path).ok()?;
    let encoding = transfer_syntax::find(part10.transfer_syntax.as_str())?.encoding;
    let mut bytes = Vec::new();
    let most = u64::try_from(limits::DATA_SET_BYTES_MAX).unwrap_or(u64::MAX);
    let read = (&mut part10.file).take(most).read_to_end(&mut bytes);
    let set = match read
        .map_err(|error| error.to_string())
        .and_then(|_| DataSet::parse(&bytes, encoding).map_err(|error| error.to_string()))
    {
        Ok(set) => set,
        Err(error) => {
            let sop_instance = &part10.sop_instance;
            tracing::warn!(%sop_instance, error, "a key object can't be read: whether it rejects anything isn't known");
            return None;
        }
    };
    let title = set.items(TITLE).first()?;
    if title.text(CODING_SCHEME) != b"DCM" {
        return None;
    }
    let code = title.text(CODE_VALUE);
    let (_, title) = TITLES.iter().find(|(known, _)| *known == code)?;
    let evidence = set.items(EVIDENCE).iter();
    Some(RejectionNote {
        title,
        instances: evidence
            .flat_map(|study| study.items(SERIES))
            .map(|series| series.items(REFERENCED).len())
            .sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonode_conformance::transfer_syntax::Encoding;
    use sonode_dimse::DataSetWriter;

    /// A Key Object Selection with this title, as a Part 10 file.
    fn key_object(
        syntax: &str,
        encoding: Encoding,
        scheme: &str,
        code: &str,
    ) -> tempfile::NamedTempFile {
        let set = DataSetWriter::new(encoding);
        let referenced = [set.item(), set.item()].map(|item| {
            item.text(Tag(0x0008, 0x1150), *b"UI", "1.2")
                .text(Tag(0x0008, 0x1155), *b"UI", "1.2.3")
        });
        let series = set.item().sequence(REFERENCED, referenced);
        let study = set.item().sequence(SERIES, [series]);
        let title = set
            .item()
            .text(CODE_VALUE, *b"SH", code)
            .text(CODING_SCHEME, *b"SH", scheme);
        let data = set.sequence(TITLE, [title]).sequence(EVIDENCE, [study]);
        let meta = DataSetWriter::new(Encoding::ExplicitLittle)
            .text(Tag(2, 2), *b"UI", sop_class::KEY_OBJECT_SELECTION)
            .text(Tag(2, 3), *b"UI", "1.2.3.4")
            .text(Tag(2, 0x10), *b"UI", syntax)
            .finish();
        let mut bytes = vec![0; 128];
        bytes.extend_from_slice(b"DICM\x02\0\0\0UL\x04\0");
        bytes.extend_from_slice(&u32::try_from(meta.len()).unwrap().to_le_bytes());
        bytes.extend(meta);
        bytes.extend(data.finish());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn the_four_titles_reject_and_no_other_does() {
        let explicit = (transfer_syntax::EXPLICIT_LITTLE, Encoding::ExplicitLittle);
        let implicit = (transfer_syntax::IMPLICIT_LITTLE, Encoding::ImplicitLittle);
        for (syntax, encoding) in [explicit, implicit] {
            for code in ["113001", "113037", "113038", "113039"] {
                let file = key_object(syntax, encoding, "DCM", code);
                let note = note(file.path()).expect(code);
                assert!(note.title.contains(code) && note.instances == 2);
            }
            let of_interest = key_object(syntax, encoding, "DCM", "113000");
            assert_eq!(note(of_interest.path()), None);
            let other_scheme = key_object(syntax, encoding, "99LOCAL", "113001");
            assert_eq!(note(other_scheme.path()), None);
        }
    }
}
