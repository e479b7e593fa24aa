//! The annexes: objects that are made, their content, where attributes come from, codes.

use std::fmt::Write as _;

use sonode_sr_writer::codes::{self, Unit};
use sonode_sr_writer::{Coding, Document};

pub(super) fn objects(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "## Annex A Information object definitions\n\nEvery object that is made has these attributes beside its content.\n\n\
         | Attributes | Value |\n| --- | --- |\n\
         | Patient and General Study modules | copied from the images |\n\
         | Modality (0008,0060) | SR, or KO for a key object |\n\
         | Series Instance UID (0020,000E) | one for each study and kind of document |\n\
         | SOP Instance UID (0008,0018) | 2.25 and a UUID of version 5 over what the document is made of, its class, its transfer syntax and the route's choices |\n\
         | Instance Number (0020,0013) | the revision; of an overlay cine twice the revision less one, and one more for the second plane |\n\
         | Completion Flag (0040,A491), Verification Flag (0040,A493), Preliminary Flag (0040,A496) | COMPLETE, UNVERIFIED, PRELIMINARY; not in a key object |\n\
         | Content Qualification (0018,9004) | RESEARCH where a research model took part |\n\
         | Contributing Equipment Sequence (0018,A001) | each model: name, version, SHA-256, and a Device UID that changes with it |\n\
         | Current Requested Procedure Evidence Sequence (0040,A375) | each image that the content names, once |\n\
         | Predecessor Documents Sequence (0040,A360) | the document that a revision replaces; not in a key object |\n\
         | Referenced Request Sequence (0040,A370) | from the images' Request Attributes Sequence (0040,0275) |\n\
         | Timezone Offset From UTC (0008,0201) | copied; content date and time are in that zone, elsewhere in the node's local time |\n"
    )
}

pub(super) fn content(text: &mut String) -> std::fmt::Result {
    writeln!(text, "## Annex B Structured Report content encoding\n")?;
    for document in Document::ALL {
        let what = match document {
            Document::MeasurementReport => {
                "TID 1500: language and country (TID 1204), device observer (TID 1002, 1004), image library (TID 1600), a group \
                 for each contour (TID 1410), for the ventricle's function and for each beat (TID 1501, TID 300, TID 310, TID \
                 320) and for the volumes over the body surface area, each with its algorithm (TID 4019), and qualitative \
                 evaluations. An indexed biplane volume has its code of CID 12300; of a single plane PS3.16 has none, and it is \
                 the volume modified by Measurement Type (Indexed) and Measurement Divisor (BSA) as in TID 5302, in ml/m2. A \
                 grade that states a severity is coded too (CID 3716), as is where the value lies by a normal range (CID 222), \
                 each with the profile's name as Normal Range Authority, and only where \
                 the interval allows no other grade. The comments that mark an AI's result stand beside the ejection fraction and, \
                 as statements of their own, before all other comments."
            }
            Document::EchoReport => {
                "TID 5200: image library, one section for the left ventricle (TID 5202) with one group in 2D mode; each beat's \
                 numbers, then the study's with Selection Status (TID 5203, TID 300)."
            }
            Document::SimplifiedEchoReport => {
                "TID 5300: pre-coordinated measurements alone (TID 5301), each with Short Label and source frames; of a biplane \
                 measurement the volumes over the body surface area too."
            }
            Document::KeyObject => {
                "TID 2010, title Of Interest: the frames that carry contours, and in words which of them are end diastoles and \
                 end systoles."
            }
        };
        writeln!(text, "- `{}`: {what}", document.name())?;
    }
    writeln!(
        text,
        "\n### What the objects are checked with\n\nIn every test run, over reports of every kind: both releases of `dciodvfy` \
         (attributes, modules, evidence), DCMTK's `dsrdump` (relationships and value types), the product's own linter (`sonode \
         sr lint`). PixelMed's `DicomSRValidator` of 2022 checks TID 1500 and TID 2010 row by row, and of TID 5200 the class's \
         relationships alone, since it has no template of the echo reports; TID 5300's class it doesn't know. highdicom reads TID \
         1500 and key objects back; of TID 5200 it reads the tree, and it refuses TID 5300's class. For Secondary Capture, \
         Multi-frame True Color Secondary Capture and Encapsulated PDF neither has a checker: `dciodvfy` checks them, pydicom \
         decodes their pixels.\n"
    )
}

pub(super) fn mapping(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "## Annex C Security details\n\nNone beside chapter 8.\n\n## Annex D Mapping of attributes\n\n| Attribute of the document | From the images |\n| --- | --- |\n\
         | Patient's Name, Patient ID, Issuer of Patient ID, Patient's Birth Date, Patient's Sex | the same attributes |\n\
         | Study Instance UID, Study Date, Study Time, Accession Number, Referring Physician's Name, Study ID, Study Description | the same attributes |\n\
         | Referenced Request Sequence: Accession Number, Requested Procedure ID and Description, Placer and Filler Order Number | Request Attributes Sequence |\n\
         | Specific Character Set | the same, or ISO_IR 192, by `charset` |\n\n\
         A date or time that is none is left empty.\n"
    )
}

pub(super) fn code_sets(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "## Annex E Code set usage\n\nWith `codes = \"srt\"` the concepts of SNOMED CT are written under the names that \
         SNOMED RT had for them.\n\n| Code | Scheme | Meaning | With `codes = \"srt\"` | Source |\n| --- | --- | --- | --- | --- |"
    )?;
    for code in codes::ALL {
        let older = code.in_generation(Coding::Srt);
        let older = if older == *code { "" } else { older.value };
        writeln!(
            text,
            "| {} | {} | {} | {older} | {} |",
            code.value, code.scheme, code.meaning, code.source
        )?;
    }
    writeln!(text, "\n| Unit | Scheme | Meaning |\n| --- | --- | --- |")?;
    for unit in Unit::ALL {
        let code = unit.code();
        writeln!(
            text,
            "| {} | {} | {} |",
            code.value, code.scheme, code.meaning
        )?;
    }
    Ok(())
}
