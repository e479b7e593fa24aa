//! Cines as real DICOM objects: Ultrasound Multi-frame Image Storage (stills: Ultrasound Image Storage), Part 10.

use std::io::Write;

use dicom_core::value::{DataSetSequence, PixelFragmentSequence, PrimitiveValue, Value};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject};
use sonode_conformance::{SopInstanceUid, StudyInstanceUid, UidError};
use sonode_conformance::{implementation, sop_class, transfer_syntax};

use crate::cine::{Calibration, Encoding, Photometric, Study, Subject};
use crate::encode;
use crate::rng::Draw;
use crate::style::Style;

/// Who the study is said to be of, and where it belongs. Every value is invented by the caller.
#[derive(Clone)]
pub struct Identity {
    /// Patient's Name (0010,0010), in DICOM's form `Family^Given`.
    pub patient_name: String,
    /// Patient ID (0010,0020).
    pub patient_id: String,
    /// Patient's Sex (0010,0040): `M`, `F`, `O` or empty.
    pub sex: String,
    /// Patient's Birth Date (0010,0030), `YYYYMMDD` or empty.
    pub birth_date: String,
    /// Study Date (0008,0020), `YYYYMMDD`.
    pub study_date: String,
    /// Study Time (0008,0030), `HHMMSS`.
    pub study_time: String,
    /// Accession Number (0008,0050), or empty.
    pub accession_number: String,
    /// The study's UID; derived from seed and salt where it is `None`.
    pub study_uid: Option<StudyInstanceUid>,
    /// Series Number (0020,0011).
    pub series_number: u32,
    /// Instance Number (0020,0013).
    pub instance_number: u32,
    /// Whether View Code Sequence (0054,0220) states the view.
    pub state_view: bool,
    /// Goes into every UID, so that two runs with one seed can differ.
    pub salt: u64,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            patient_name: "Phantom^Sonode".into(),
            patient_id: "PHANTOM".into(),
            sex: "O".into(),
            birth_date: "19600101".into(),
            study_date: "20260101".into(),
            study_time: "120000".into(),
            accession_number: String::new(),
            study_uid: None,
            series_number: 1,
            instance_number: 1,
            state_view: false,
            salt: 0,
        }
    }
}

/// Why a cine can't be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The frame is larger than JPEG allows, or its samples don't fit its size.
    #[error("a frame can't be coded as JPEG")]
    Jpeg(#[from] jpeg_encoder::EncodingError),
    /// The file meta information lacks something.
    #[error("the file meta information can't be built")]
    Meta(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The data set can't be written.
    #[error("the object can't be written")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A derived UID is none.
    #[error("a derived UID is not valid")]
    Uid(#[from] UidError),
}

/// The UIDs of a study's object under an identity.
#[derive(Clone, Debug)]
pub struct Uids {
    /// Study Instance UID.
    pub study: StudyInstanceUid,
    /// Series Instance UID.
    pub series: String,
    /// SOP Instance UID.
    pub instance: SopInstanceUid,
}

impl Uids {
    /// Derives them from the seed, the salt and the instance's place. Equal input, equal UIDs.
    ///
    /// # Errors
    /// [`UidError`] never in practice: the derived text is `2.25.` and a number of at most 39 digits.
    pub fn derive(study: &Study, identity: &Identity) -> Result<Self, UidError> {
        let seed = study.spec().seed;
        let series = u64::from(identity.series_number);
        let instance = (series << 32) | u64::from(identity.instance_number);
        let study_uid = match &identity.study_uid {
            Some(uid) => uid.clone(),
            None => StudyInstanceUid::parse(uid(seed, identity.salt, 1, 0).as_bytes())?,
        };
        Ok(Self {
            study: study_uid,
            series: uid(seed, identity.salt, 2, series),
            instance: SopInstanceUid::parse(uid(seed, identity.salt, 3, instance).as_bytes())?,
        })
    }
}

/// A UUID-derived UID (PS3.5 B.2), its 122 free bits from the generator.
fn uid(seed: u64, salt: u64, kind: u64, number: u64) -> String {
    let mut rng = Draw::keyed([seed, salt, 0x7569_6400 | kind, number]);
    let bits = (0..4).fold(0u128, |acc, _| (acc << 32) | u128::from(rng.bits()));
    let version_4 = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    format!("2.25.{version_4}")
}

/// Writes the Part 10 object of a cine; frames are rendered and coded one after the other. Returns its UIDs.
///
/// Colour under [`Encoding::JpegBaseline`] is always stored as `YBR_FULL_422`, as carts do.
///
/// # Errors
/// See [`WriteError`].
pub fn write(study: &Study, identity: &Identity, out: impl Write) -> Result<Uids, WriteError> {
    let uids = Uids::derive(study, identity)?;
    let file = object(study, identity, &uids)?;
    file.write_all(out)
        .map_err(|e| WriteError::Write(Box::new(e)))?;
    Ok(uids)
}

/// The object in memory.
///
/// # Errors
/// See [`WriteError`].
pub fn object(
    study: &Study,
    identity: &Identity,
    uids: &Uids,
) -> Result<FileDicomObject<InMemDicomObject>, WriteError> {
    let still = study.spec().subject == Subject::Still;
    let class = if still {
        sop_class::US_IMAGE
    } else {
        sop_class::US_MULTIFRAME
    };
    let syntax = match study.spec().encoding {
        Encoding::JpegBaseline(_) => transfer_syntax::JPEG_BASELINE,
        Encoding::Native => transfer_syntax::EXPLICIT_LITTLE,
    };
    let mut set = InMemDicomObject::new_empty();
    text(&mut set, tags::SOP_CLASS_UID, VR::UI, class);
    text(
        &mut set,
        tags::SOP_INSTANCE_UID,
        VR::UI,
        uids.instance.as_str(),
    );
    patient_and_study(&mut set, identity, uids);
    equipment(&mut set, study.spec().style);
    general_image(&mut set, study, identity);
    if !still {
        timing(&mut set, study);
    }
    region(&mut set, study);
    pixel_description(&mut set, study);
    pixels(&mut set, study)?;
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(class)
        .media_storage_sop_instance_uid(uids.instance.as_str())
        .transfer_syntax(syntax)
        .implementation_class_uid(implementation::CLASS_UID)
        .implementation_version_name(implementation::VERSION_NAME)
        .build()
        .map_err(|e| WriteError::Meta(Box::new(e)))?;
    Ok(set.with_exact_meta(meta))
}

fn text(set: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    set.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

fn short(set: &mut InMemDicomObject, tag: Tag, value: u16) {
    set.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
}

fn patient_and_study(set: &mut InMemDicomObject, identity: &Identity, uids: &Uids) {
    for (tag, vr, value) in [
        (tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
        (tags::PATIENT_NAME, VR::PN, identity.patient_name.as_str()),
        (tags::PATIENT_ID, VR::LO, &identity.patient_id),
        (tags::PATIENT_BIRTH_DATE, VR::DA, &identity.birth_date),
        (tags::PATIENT_SEX, VR::CS, &identity.sex),
        (tags::STUDY_INSTANCE_UID, VR::UI, uids.study.as_str()),
        (tags::STUDY_DATE, VR::DA, &identity.study_date),
        (tags::STUDY_TIME, VR::TM, &identity.study_time),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN, ""),
        (tags::STUDY_ID, VR::SH, "1"),
        (tags::ACCESSION_NUMBER, VR::SH, &identity.accession_number),
        (tags::STUDY_DESCRIPTION, VR::LO, "Echo phantom"),
        (tags::MODALITY, VR::CS, "US"),
        (tags::SERIES_INSTANCE_UID, VR::UI, &uids.series),
        (
            tags::SERIES_NUMBER,
            VR::IS,
            &identity.series_number.to_string(),
        ),
        (tags::SERIES_DATE, VR::DA, &identity.study_date),
        (tags::SERIES_TIME, VR::TM, &identity.study_time),
        (tags::CONTENT_DATE, VR::DA, &identity.study_date),
        (tags::CONTENT_TIME, VR::TM, &identity.study_time),
        (tags::BODY_PART_EXAMINED, VR::CS, "HEART"),
    ] {
        text(set, tag, vr, value);
    }
}

/// Invented makers, one for each style.
fn equipment(set: &mut InMemDicomObject, style: Style) {
    let (maker, model) = match style {
        Style::A => ("Aurelia Ultrasound", "Phantom A"),
        Style::B => ("Borealis Imaging", "Phantom B"),
        Style::C => ("Cassiopeia Medical", "Phantom C"),
        Style::D => ("Delphinus Portable", "Phantom D"),
    };
    text(set, tags::MANUFACTURER, VR::LO, maker);
    text(set, tags::MANUFACTURER_MODEL_NAME, VR::LO, model);
    text(
        set,
        tags::SOFTWARE_VERSIONS,
        VR::LO,
        env!("CARGO_PKG_VERSION"),
    );
}

fn general_image(set: &mut InMemDicomObject, study: &Study, identity: &Identity) {
    // PS3.3 C.8.5.6.1.1: value 3 is the kind of examination, value 4 the ultrasound's mode in hexadecimal bits.
    let mode = match study.spec().subject {
        Subject::MMode => "0002",
        Subject::ColourDoppler => "0011",
        _ => "0001",
    };
    let image_type = ["ORIGINAL", "PRIMARY", "TTE", mode].map(String::from);
    let value = PrimitiveValue::Strs(image_type.into_iter().collect());
    set.put(DataElement::new(tags::IMAGE_TYPE, VR::CS, value));
    text(
        set,
        tags::INSTANCE_NUMBER,
        VR::IS,
        &identity.instance_number.to_string(),
    );
    text(set, tags::PATIENT_ORIENTATION, VR::CS, "");
    text(set, tags::BURNED_IN_ANNOTATION, VR::CS, "NO");
    if let Encoding::JpegBaseline(_) = study.spec().encoding {
        text(set, tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01");
        text(
            set,
            tags::LOSSY_IMAGE_COMPRESSION_METHOD,
            VR::CS,
            "ISO_10918_1",
        );
    } else {
        text(set, tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00");
    }
    if let (true, Subject::Apical(view)) = (identity.state_view, study.spec().subject) {
        set.put(sequence(tags::VIEW_CODE_SEQUENCE, view_code(view)));
    }
}

/// CID 12226, SNOMED CT.
fn view_code(view: crate::anatomy::View) -> InMemDicomObject {
    let (code, meaning) = match view {
        crate::anatomy::View::A4c => ("399214001", "Apical four chamber"),
        crate::anatomy::View::A2c => ("399232001", "Apical two chamber"),
    };
    let mut item = InMemDicomObject::new_empty();
    text(&mut item, tags::CODE_VALUE, VR::SH, code);
    text(&mut item, tags::CODING_SCHEME_DESIGNATOR, VR::SH, "SCT");
    text(&mut item, tags::CODE_MEANING, VR::LO, meaning);
    item
}

fn timing(set: &mut InMemDicomObject, study: &Study) {
    let spec = study.spec();
    text(
        set,
        tags::NUMBER_OF_FRAMES,
        VR::IS,
        &spec.frames.to_string(),
    );
    let pointer = PrimitiveValue::Tags([tags::FRAME_TIME].into_iter().collect());
    set.put(DataElement::new(
        tags::FRAME_INCREMENT_POINTER,
        VR::AT,
        pointer,
    ));
    text(
        set,
        tags::FRAME_TIME,
        VR::DS,
        &format!("{:.4}", 1000.0 / spec.fps),
    );
    text(set, tags::CINE_RATE, VR::IS, &format!("{:.0}", spec.fps));
    text(
        set,
        tags::RECOMMENDED_DISPLAY_FRAME_RATE,
        VR::IS,
        &format!("{:.0}", spec.fps),
    );
    if study.truth().is_some() {
        text(
            set,
            tags::HEART_RATE,
            VR::IS,
            &format!("{:.0}", study.heart_rate()),
        );
    }
}

fn sequence(tag: Tag, item: InMemDicomObject) -> DataElement<InMemDicomObject, Vec<u8>> {
    DataElement::new(tag, VR::SQ, Value::from(DataSetSequence::from([item])))
}

/// Sequence of Ultrasound Regions (PS3.3 C.8.5.5).
fn region(set: &mut InMemDicomObject, study: &Study) {
    let (factor, finer) = match study.spec().calibration {
        Calibration::Missing => return,
        Calibration::Present => (1.0, 1),
        Calibration::Wrong => (2.5, 1),
        Calibration::OtherRaster => (0.5, 2),
    };
    let (format, kind, unit_x) = match study.spec().subject {
        Subject::MMode => (2, 1, 4),
        Subject::ColourDoppler => (1, 2, 3),
        _ => (1, 1, 3),
    };
    let raster = study.raster();
    let mut item = InMemDicomObject::new_empty();
    short(&mut item, tags::REGION_SPATIAL_FORMAT, format);
    short(&mut item, tags::REGION_DATA_TYPE, kind);
    let mut long = |tag, value: u32| {
        item.put(DataElement::new(tag, VR::UL, PrimitiveValue::from(value)));
    };
    long(tags::REGION_FLAGS, 0);
    for (tag, value) in [
        tags::REGION_LOCATION_MIN_X0,
        tags::REGION_LOCATION_MIN_Y0,
        tags::REGION_LOCATION_MAX_X1,
        tags::REGION_LOCATION_MAX_Y1,
    ]
    .into_iter()
    .zip(study.region())
    {
        long(tag, value * finer);
    }
    short(&mut item, tags::PHYSICAL_UNITS_X_DIRECTION, unit_x);
    short(&mut item, tags::PHYSICAL_UNITS_Y_DIRECTION, 3);
    let across = if unit_x == 4 {
        f64::from(study.spec().frames) / f64::from(study.spec().fps * study.spec().width as f32)
    } else {
        f64::from(raster.cm_per_px[0]) * factor
    };
    for (tag, value) in [
        (tags::PHYSICAL_DELTA_X, across),
        (
            tags::PHYSICAL_DELTA_Y,
            f64::from(raster.cm_per_px[1]) * factor,
        ),
    ] {
        item.put(DataElement::new(tag, VR::FD, PrimitiveValue::from(value)));
    }
    set.put(sequence(tags::SEQUENCE_OF_ULTRASOUND_REGIONS, item));
}

fn pixel_description(set: &mut InMemDicomObject, study: &Study) {
    let spec = study.spec();
    let (name, samples) = match (spec.photometric, spec.encoding) {
        (Photometric::Monochrome2, _) => ("MONOCHROME2", 1),
        (Photometric::Rgb, Encoding::Native) => ("RGB", 3),
        _ => ("YBR_FULL_422", 3),
    };
    text(set, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, name);
    short(set, tags::SAMPLES_PER_PIXEL, samples);
    if samples == 3 {
        short(set, tags::PLANAR_CONFIGURATION, 0);
    }
    let colour = u16::from(spec.subject == Subject::ColourDoppler);
    short(set, tags::ULTRASOUND_COLOR_DATA_PRESENT, colour);
    short(
        set,
        tags::ROWS,
        u16::try_from(spec.height).unwrap_or(u16::MAX),
    );
    short(
        set,
        tags::COLUMNS,
        u16::try_from(spec.width).unwrap_or(u16::MAX),
    );
    short(set, tags::BITS_ALLOCATED, 8);
    short(set, tags::BITS_STORED, 8);
    short(set, tags::HIGH_BIT, 7);
    short(set, tags::PIXEL_REPRESENTATION, 0);
}

fn pixels(set: &mut InMemDicomObject, study: &Study) -> Result<(), WriteError> {
    let raw = study.spec().width as usize * study.spec().height as usize;
    let raw = raw
        * if study.spec().photometric == Photometric::Monochrome2 {
            1
        } else {
            3
        };
    match study.spec().encoding {
        Encoding::Native => {
            let mut all = Vec::new();
            for frame in study.frames() {
                all.extend(encode::native(frame, study.spec().photometric));
            }
            if all.len() % 2 == 1 {
                all.push(0);
            }
            set.put(DataElement::new(
                tags::PIXEL_DATA,
                VR::OB,
                PrimitiveValue::from(all),
            ));
        }
        Encoding::JpegBaseline(quality) => {
            let fragments = study
                .frames()
                .map(|frame| encode::jpeg(&frame, quality))
                .collect::<Result<Vec<_>, _>>()?;
            let stored: usize = fragments.iter().map(Vec::len).sum();
            let ratio = (raw * fragments.len()) as f64 / stored.max(1) as f64;
            text(
                set,
                tags::LOSSY_IMAGE_COMPRESSION_RATIO,
                VR::DS,
                &format!("{ratio:.2}"),
            );
            let sequence = PixelFragmentSequence::new(offsets(&fragments), fragments);
            set.put(DataElement::new(
                tags::PIXEL_DATA,
                VR::OB,
                Value::from(sequence),
            ));
        }
    }
    Ok(())
}

/// The Basic Offset Table (PS3.5 A.4): from the first byte after the table's own item to each frame's item.
fn offsets(fragments: &[Vec<u8>]) -> Vec<u32> {
    let mut at = 0u32;
    fragments
        .iter()
        .map(|fragment| {
            let here = at;
            at = at
                .saturating_add(8)
                .saturating_add(u32::try_from(fragment.len()).unwrap_or(u32::MAX));
            here
        })
        .collect()
}
