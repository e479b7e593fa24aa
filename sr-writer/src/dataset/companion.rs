//! Companions as DICOM objects: Secondary Capture (PS3.3 A.8.1), Multi-frame True Color Secondary Capture (A.8.5) and
//! Encapsulated PDF (A.45.1).

use dicom_core::value::{PixelFragmentSequence, PrimitiveValue};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use sonode_findings::protocol::Picture;
use sonode_findings::{Findings, InstanceFindings, StudyContext};

use super::element::{Item, cut};
use super::{in_its_set, modules, serialize};
use crate::codes;
use crate::companion::{Companion, CompanionRequest};
use crate::identity::device_uid;
use crate::request::WriteError;
use crate::texts::companion_description;

/// What a page is called where a viewer lists documents; the same in every language, as the series is.
const TITLE: &str = "AI LVEF summary, unverified";

/// The companion as a Part 10 file.
///
/// # Errors
/// [`WriteError::Picture`] and [`WriteError::Encode`].
pub(crate) fn encode_companion(
    findings: &Findings,
    context: &StudyContext,
    request: &CompanionRequest,
    picture: Picture,
) -> Result<Vec<u8>, WriteError> {
    let mut item = Item::new();
    modules::patient(&mut item, context);
    modules::study(&mut item, context);
    series(&mut item, request);
    equipment(&mut item, request);
    common(&mut item, findings, context, request);
    match (request.companion, picture) {
        (Companion::SecondaryCapture, Picture::Raster { columns, rows, rgb }) => {
            if rgb.len() != usize::from(columns) * usize::from(rows) * 3 {
                return Err(WriteError::Picture("pixels are missing"));
            }
            capture(&mut item, &findings.sources(), [columns, rows], "RGB");
            // An even length is what every native value has (PS3.5 section 8.1.1).
            item.put(DataElement::new(
                tags::PIXEL_DATA,
                VR::OB,
                PrimitiveValue::from(even(rgb)),
            ));
        }
        (
            Companion::OverlayCine,
            Picture::Cine {
                columns,
                rows,
                frames,
            },
        ) => {
            let files: Vec<Vec<u8>> = frames.into_iter().map(|frame| even(frame.0)).collect();
            let shown: Vec<&InstanceFindings> = findings
                .sources()
                .get(usize::from(request.plane))
                .copied()
                .into_iter()
                .collect();
            capture(&mut item, &shown, [columns, rows], "YBR_FULL_422");
            cine(&mut item, shown.first().copied(), [columns, rows], &files)?;
            let pixels = PixelFragmentSequence::new(offsets(&files)?, files);
            item.put(DataElement::new(tags::PIXEL_DATA, VR::OB, pixels));
        }
        (Companion::Pdf, Picture::Pdf { file }) => document(&mut item, findings, file)?,
        _ => return Err(WriteError::Picture("it is of another kind")),
    }
    serialize(
        in_its_set(item, context, request.charset),
        request.companion.sop_class(),
        &request.sop_instance_uid,
        request.companion.transfer_syntax(request.syntax),
    )
}

/// General Series (C.7.3.1) or Encapsulated Document Series (C.24.1). Captures of ultrasound are filed with it.
fn series(item: &mut Item, request: &CompanionRequest) {
    let modality = match request.companion {
        Companion::SecondaryCapture | Companion::OverlayCine => "US",
        Companion::Pdf => "DOC",
    };
    item.text(tags::MODALITY, VR::CS, modality)
        .text(
            tags::SERIES_INSTANCE_UID,
            VR::UI,
            request.series_instance_uid.as_str(),
        )
        .integers(tags::SERIES_NUMBER, &[request.series_number])
        .text(
            tags::SERIES_DESCRIPTION,
            VR::LO,
            companion_description(request.companion),
        )
        .integers(tags::INSTANCE_NUMBER, &[instance_number(request)]);
    if request.companion != Companion::Pdf {
        // Type 2C: a drawing has no laterality and no orientation in the patient.
        item.text(tags::LATERALITY, VR::CS, "")
            .text(tags::PATIENT_ORIENTATION, VR::CS, "");
    }
}

/// The revision; a cine leaves room for both planes of each.
fn instance_number(request: &CompanionRequest) -> u32 {
    match request.companion {
        Companion::SecondaryCapture | Companion::Pdf => request.revision,
        Companion::OverlayCine => 2 * request.revision.max(1) - 1 + u32::from(request.plane),
    }
}

/// General Equipment (C.7.5.1) with this node's Device UID, and SC Equipment (C.8.6.1): made at a workstation.
fn equipment(item: &mut Item, request: &CompanionRequest) {
    modules::maker(item);
    item.optional(
        tags::DEVICE_SERIAL_NUMBER,
        VR::LO,
        &cut(&request.device_serial, 64),
    )
    .text(tags::STATION_NAME, VR::SH, request.station_ae.as_str())
    .text(
        tags::DEVICE_UID,
        VR::UI,
        device_uid(&request.node_uid).as_str(),
    )
    .text(tags::CONVERSION_TYPE, VR::CS, "WSD");
}

/// SOP Common (C.12.1), and what all three have of their own modules alike.
fn common(
    item: &mut Item,
    findings: &Findings,
    context: &StudyContext,
    request: &CompanionRequest,
) {
    let made = &request.content;
    item.text(tags::SOP_CLASS_UID, VR::UI, request.companion.sop_class())
        .text(
            tags::SOP_INSTANCE_UID,
            VR::UI,
            request.sop_instance_uid.as_str(),
        )
        .text(tags::INSTANCE_CREATION_DATE, VR::DA, &made.date)
        .text(tags::INSTANCE_CREATION_TIME, VR::TM, &made.time)
        .text(tags::CONTENT_DATE, VR::DA, &made.date)
        .text(tags::CONTENT_TIME, VR::TM, &made.time)
        // The patient's name stands in the picture.
        .text(tags::BURNED_IN_ANNOTATION, VR::CS, "YES")
        .optional(
            tags::TIMEZONE_OFFSET_FROM_UTC,
            VR::SH,
            &context.timezone_offset_from_utc,
        );
    modules::contributors(item, findings);
}

/// General Image (C.7.6.1), Image Pixel (C.7.6.3): a picture in colour, derived from the clips that were measured.
fn capture(item: &mut Item, shown: &[&InstanceFindings], [columns, rows]: [u16; 2], model: &str) {
    item.texts(tags::IMAGE_TYPE, VR::CS, &["DERIVED", "SECONDARY"])
        .text(
            tags::IMAGE_COMMENTS,
            VR::LT,
            "AI result, not verified by a physician",
        )
        .text(
            tags::DERIVATION_DESCRIPTION,
            VR::ST,
            "Contours and numbers of an automatic measurement, drawn with frames of the source images",
        )
        .numbers(tags::SAMPLES_PER_PIXEL, &[3])
        .text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, model)
        .numbers(tags::PLANAR_CONFIGURATION, &[0])
        .numbers(tags::ROWS, &[rows])
        .numbers(tags::COLUMNS, &[columns])
        .numbers(tags::BITS_ALLOCATED, &[8])
        .numbers(tags::BITS_STORED, &[8])
        .numbers(tags::HIGH_BIT, &[7])
        .numbers(tags::PIXEL_REPRESENTATION, &[0]);
    let sources = sources(shown, true);
    if !sources.is_empty() {
        item.sequence(tags::SOURCE_IMAGE_SEQUENCE, sources);
    }
}

/// Multi-frame (C.7.6.6), Cine (C.7.6.5) and SC Multi-frame (C.8.6.3, C.8.6.4) modules.
fn cine(
    item: &mut Item,
    clip: Option<&InstanceFindings>,
    [columns, rows]: [u16; 2],
    files: &[Vec<u8>],
) -> Result<(), WriteError> {
    let count = u32::try_from(files.len()).map_err(encoding)?;
    item.integers(tags::NUMBER_OF_FRAMES, &[count]);
    let rate = clip
        .and_then(|clip| clip.frame_rate_hz)
        .filter(|rate| rate.is_finite() && *rate > 0.0);
    if let Some(rate) = rate {
        item.tag(tags::FRAME_INCREMENT_POINTER, tags::FRAME_TIME)
            .text(tags::FRAME_TIME, VR::DS, &format!("{:.4}", 1000.0 / rate))
            .text(
                tags::RECOMMENDED_DISPLAY_FRAME_RATE,
                VR::IS,
                &format!("{:.0}", rate.max(1.0)),
            );
    } else {
        // The clip doesn't say its times, so none are made up: its frames are numbered.
        let numbers: Vec<u32> = (1..=count).collect();
        item.tag(tags::FRAME_INCREMENT_POINTER, tags::PAGE_NUMBER_VECTOR)
            .integers(tags::PAGE_NUMBER_VECTOR, &numbers);
    }
    let compressed = files
        .iter()
        .map(|file| file.len() as u64)
        .sum::<u64>()
        .max(1);
    let whole = u64::from(count) * u64::from(columns) * u64::from(rows) * 3;
    let tenths = whole * 10 / compressed;
    item.text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01")
        .text(
            tags::LOSSY_IMAGE_COMPRESSION_RATIO,
            VR::DS,
            &format!("{}.{}", tenths / 10, tenths % 10),
        )
        .text(tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS, "ISO_10918_1");
    Ok(())
}

/// Encapsulated Document module (C.24.2).
fn document(item: &mut Item, findings: &Findings, file: Vec<u8>) -> Result<(), WriteError> {
    let length = u32::try_from(file.len()).map_err(encoding)?;
    let research = findings.models.iter().any(|model| model.research);
    item.text(tags::ACQUISITION_DATE_TIME, VR::DT, "")
        .text(tags::DOCUMENT_TITLE, VR::ST, TITLE)
        .code(
            tags::CONCEPT_NAME_CODE_SEQUENCE,
            codes::IMAGING_MEASUREMENT_REPORT,
        )
        .text(tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED")
        .text(
            tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT,
            VR::LO,
            "application/pdf",
        );
    item.put(DataElement::new(
        tags::ENCAPSULATED_DOCUMENT_LENGTH,
        VR::UL,
        PrimitiveValue::from(length),
    ));
    item.put(DataElement::new(
        tags::ENCAPSULATED_DOCUMENT,
        VR::OB,
        PrimitiveValue::from(even(file)),
    ));
    if research {
        item.text(tags::CONTENT_QUALIFICATION, VR::CS, "RESEARCH");
    }
    let sources = sources(&findings.sources(), false);
    if !sources.is_empty() {
        item.sequence(tags::SOURCE_INSTANCE_SEQUENCE, sources);
    }
    Ok(())
}

/// The clips that the result stands on; of an image, with the purpose and the frames.
fn sources(shown: &[&InstanceFindings], of_image: bool) -> Vec<Item> {
    let reference = |clip: &&InstanceFindings| {
        let class = clip.sop_class_uid.as_ref()?;
        let mut item = Item::new();
        item.text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, class.as_str())
            .text(
                tags::REFERENCED_SOP_INSTANCE_UID,
                VR::UI,
                clip.sop_instance_uid.as_str(),
            );
        if of_image {
            item.code(
                tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE,
                codes::SOURCE_IMAGE,
            );
        }
        Some(item)
    };
    shown.iter().filter_map(reference).collect()
}

/// The Basic Offset Table: where each frame's item begins (PS3.5 annex A.4).
fn offsets(files: &[Vec<u8>]) -> Result<Vec<u32>, WriteError> {
    let mut offsets = Vec::with_capacity(files.len());
    let mut at: u32 = 0;
    for file in files {
        offsets.push(at);
        let length = u32::try_from(file.len() + 8).map_err(encoding)?;
        at = at
            .checked_add(length)
            .ok_or(WriteError::Picture("it is larger than an offset can say"))?;
    }
    Ok(offsets)
}

fn even(mut bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.len().is_multiple_of(2) {
        bytes.push(0);
    }
    bytes
}

fn encoding(error: impl std::error::Error + Send + Sync + 'static) -> WriteError {
    WriteError::Encode(Box::new(error))
}
