//! How the node names itself (PS3.7 annex D.3.3.2).

/// Implementation Class UID (0002,0012), a UUID-derived UID that is fixed for this product.
pub const CLASS_UID: &str = "2.25.186127514930273160834672907731465187219";

/// Implementation Version Name (0002,0013), at most 16 characters.
pub const VERSION_NAME: &str = "SONODE_0_1_0";

/// Manufacturer (0008,0070) of what the node makes.
pub const MANUFACTURER: &str = "Sonode";

/// Manufacturer's Model Name (0008,1090) of what the node makes.
pub const MODEL_NAME: &str = "Sonode";

/// Software Versions (0018,1020) of what the node makes.
pub const SOFTWARE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// DICOM Application Context Name (PS3.7 annex A.2.1).
pub const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
