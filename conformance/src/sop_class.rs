//! The SOP classes that the node accepts or sends (PS3.4 annex B.5, PS3.6 annex A).

/// What the node does with instances of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// C-ECHO.
    Verification,
    /// Multi-frame ultrasound: stored and, where it is an echo cine, measured.
    Cine,
    /// Other images: stored, and refused for measurement with a reason.
    Image,
    /// Reports, presentation states, waveforms, documents, raw data: stored.
    Document,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SopClass {
    /// SOP Class UID.
    pub uid: &'static str,
    /// The name of PS3.6 table A-1.
    pub name: &'static str,
    /// What the node does with it.
    pub usage: Use,
    /// Whether the node also sends objects of its own making in this class.
    pub sent: bool,
}

/// Verification.
pub const VERIFICATION: &str = "1.2.840.10008.1.1";
/// Ultrasound Multi-frame Image Storage.
pub const US_MULTIFRAME: &str = "1.2.840.10008.5.1.4.1.1.3.1";
/// Ultrasound Multi-frame Image Storage (retired).
pub const US_MULTIFRAME_RETIRED: &str = "1.2.840.10008.5.1.4.1.1.3";
/// Ultrasound Image Storage.
pub const US_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.6.1";
/// Ultrasound Image Storage (retired).
pub const US_IMAGE_RETIRED: &str = "1.2.840.10008.5.1.4.1.1.6";
/// Enhanced US Volume Storage.
pub const ENHANCED_US_VOLUME: &str = "1.2.840.10008.5.1.4.1.1.6.2";
/// Comprehensive SR Storage.
pub const COMPREHENSIVE_SR: &str = "1.2.840.10008.5.1.4.1.1.88.33";
/// Comprehensive 3D SR Storage.
pub const COMPREHENSIVE_3D_SR: &str = "1.2.840.10008.5.1.4.1.1.88.34";
/// Enhanced SR Storage.
pub const ENHANCED_SR: &str = "1.2.840.10008.5.1.4.1.1.88.22";
/// Simplified Adult Echo SR Storage.
pub const SIMPLIFIED_ECHO_SR: &str = "1.2.840.10008.5.1.4.1.1.88.72";
/// Key Object Selection Document Storage.
pub const KEY_OBJECT_SELECTION: &str = "1.2.840.10008.5.1.4.1.1.88.59";
/// Basic Text SR Storage.
pub const BASIC_TEXT_SR: &str = "1.2.840.10008.5.1.4.1.1.88.11";

/// Secondary Capture Image Storage.
pub const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";
/// Multi-frame True Color Secondary Capture Image Storage.
pub const TRUE_COLOR_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7.4";
/// Encapsulated PDF Storage.
pub const ENCAPSULATED_PDF: &str = "1.2.840.10008.5.1.4.1.1.104.1";

/// Extensible SR Storage.
pub const EXTENSIBLE_SR: &str = "1.2.840.10008.5.1.4.1.1.88.35";

/// Storage Commitment Push Model (PS3.4 annex J).
pub const STORAGE_COMMITMENT: &str = "1.2.840.10008.1.20.1";
/// The one instance of [`STORAGE_COMMITMENT`] (PS3.4 section J.3.5).
pub const STORAGE_COMMITMENT_INSTANCE: &str = "1.2.840.10008.1.20.1.1";
/// Modality Performed Procedure Step (PS3.4 annex F.7).
pub const PERFORMED_PROCEDURE_STEP: &str = "1.2.840.10008.3.1.2.3.3";
/// Study Root Query/Retrieve Information Model - FIND (PS3.4 section C.6.2).
pub const STUDY_ROOT_FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";

/// A SOP class that isn't of stored objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// SOP Class UID.
    pub uid: &'static str,
    /// The name of PS3.6 table A-1.
    pub name: &'static str,
    /// What the node does with it as SCU; empty: nothing.
    pub scu: &'static str,
    /// What it offers as SCP, and to whom; empty: nothing.
    pub scp: &'static str,
}

/// Every such class beside Verification.
pub const SERVICES: &[Service] = &[
    Service {
        uid: STORAGE_COMMITMENT,
        name: "Storage Commitment Push Model",
        scu: "of what a route with `commit = true` sent",
        scp: "for peers with `commitment = \"relay\"`",
    },
    Service {
        uid: PERFORMED_PROCEDURE_STEP,
        name: "Modality Performed Procedure Step",
        scu: "",
        scp: "for peers with `mpps = true`",
    },
    Service {
        uid: STUDY_ROOT_FIND,
        name: "Study Root Query/Retrieve Information Model - FIND",
        scu: "at IMAGE level, where a peer doesn't commit, or says that it has an object already",
        scp: "",
    },
];

/// The row of a service, if it is in [`SERVICES`].
pub fn find_service(uid: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.uid == uid)
}

/// Whether a class is of reports in which an ultrasound system states measurements.
pub fn is_measurement_report(uid: &str) -> bool {
    [
        BASIC_TEXT_SR,
        ENHANCED_SR,
        COMPREHENSIVE_SR,
        COMPREHENSIVE_3D_SR,
        EXTENSIBLE_SR,
        SIMPLIFIED_ECHO_SR,
    ]
    .contains(&uid)
}

const fn row(uid: &'static str, name: &'static str, usage: Use) -> SopClass {
    SopClass {
        uid,
        name,
        usage,
        sent: false,
    }
}

const fn made(uid: &'static str, name: &'static str, usage: Use) -> SopClass {
    SopClass {
        uid,
        name,
        usage,
        sent: true,
    }
}

/// Every class that is accepted by name. Unlisted storage classes are a matter of `accept_unknown`.
pub const TABLE: &[SopClass] = &[
    row(VERIFICATION, "Verification", Use::Verification),
    row(
        US_MULTIFRAME,
        "Ultrasound Multi-frame Image Storage",
        Use::Cine,
    ),
    row(
        US_MULTIFRAME_RETIRED,
        "Ultrasound Multi-frame Image Storage (Retired)",
        Use::Cine,
    ),
    row(US_IMAGE, "Ultrasound Image Storage", Use::Image),
    row(
        US_IMAGE_RETIRED,
        "Ultrasound Image Storage (Retired)",
        Use::Image,
    ),
    row(ENHANCED_US_VOLUME, "Enhanced US Volume Storage", Use::Image),
    made(
        SECONDARY_CAPTURE,
        "Secondary Capture Image Storage",
        Use::Image,
    ),
    row(
        "1.2.840.10008.5.1.4.1.1.7.1",
        "Multi-frame Single Bit Secondary Capture Image Storage",
        Use::Image,
    ),
    row(
        "1.2.840.10008.5.1.4.1.1.7.2",
        "Multi-frame Grayscale Byte Secondary Capture Image Storage",
        Use::Image,
    ),
    row(
        "1.2.840.10008.5.1.4.1.1.7.3",
        "Multi-frame Grayscale Word Secondary Capture Image Storage",
        Use::Image,
    ),
    made(
        TRUE_COLOR_CAPTURE,
        "Multi-frame True Color Secondary Capture Image Storage",
        Use::Image,
    ),
    row(BASIC_TEXT_SR, "Basic Text SR Storage", Use::Document),
    made(ENHANCED_SR, "Enhanced SR Storage", Use::Document),
    made(COMPREHENSIVE_SR, "Comprehensive SR Storage", Use::Document),
    made(
        COMPREHENSIVE_3D_SR,
        "Comprehensive 3D SR Storage",
        Use::Document,
    ),
    row(EXTENSIBLE_SR, "Extensible SR Storage", Use::Document),
    made(
        SIMPLIFIED_ECHO_SR,
        "Simplified Adult Echo SR Storage",
        Use::Document,
    ),
    row(
        "1.2.840.10008.5.1.4.1.1.11.1",
        "Grayscale Softcopy Presentation State Storage",
        Use::Document,
    ),
    row(
        "1.2.840.10008.5.1.4.1.1.11.2",
        "Color Softcopy Presentation State Storage",
        Use::Document,
    ),
    row(
        "1.2.840.10008.5.1.4.1.1.9.1.1",
        "12-lead ECG Waveform Storage",
        Use::Document,
    ),
    row(
        "1.2.840.10008.5.1.4.1.1.9.1.2",
        "General ECG Waveform Storage",
        Use::Document,
    ),
    made(ENCAPSULATED_PDF, "Encapsulated PDF Storage", Use::Document),
    made(
        KEY_OBJECT_SELECTION,
        "Key Object Selection Document Storage",
        Use::Document,
    ),
    row(
        "1.2.840.10008.5.1.4.1.1.66",
        "Raw Data Storage",
        Use::Document,
    ),
    row(
        "1.3.46.670589.2.5.1.1",
        "Philips Private 3D Presentation State Storage",
        Use::Document,
    ),
];

/// The row of a class, if it is in the table.
pub fn find(uid: &str) -> Option<&'static SopClass> {
    TABLE.iter().find(|class| class.uid == uid)
}

/// Whether a UID that is not in the table may name a storage class: the storage classes of PS3.4 all begin with
/// 1.2.840.10008.5.1.4.1.1., and private classes stand under other roots. Everything else under 1.2.840.10008
/// (query, worklist, commitment, MPPS, printing) is a service that the node doesn't offer.
pub fn may_be_unlisted_storage(uid: &str) -> bool {
    uid.starts_with("1.2.840.10008.5.1.4.1.1.") || !uid.starts_with("1.2.840.10008.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_valid_and_unique() {
        for (i, class) in TABLE.iter().enumerate() {
            assert!(
                crate::Uid::parse(class.uid.as_bytes()).is_ok(),
                "{}",
                class.uid
            );
            assert!(
                TABLE[..i].iter().all(|other| other.uid != class.uid),
                "{}",
                class.uid
            );
        }
    }

    #[test]
    fn services_are_not_storage() {
        for uid in [
            "1.2.840.10008.1.20.1",
            "1.2.840.10008.5.1.4.31",
            "1.2.840.10008.5.1.4.1.2.2.1",
        ] {
            assert!(!may_be_unlisted_storage(uid), "{uid}");
        }
        assert!(may_be_unlisted_storage("1.2.840.10008.5.1.4.1.1.481.1"));
        assert!(may_be_unlisted_storage("1.3.12.2.1107.5.9.1"));
    }
}
