//! What a second reader, a vision-language model, says of a clip. It stands beside the measurement and never in its place.

use serde::{Deserialize, Serialize};

use crate::instance::{Grade, ModelRef, ViewLabel};
use crate::phrase::Phrase;

/// A second reader's answer about one clip. View, quality and ejection fraction are among the values that its grammar
/// knows; only `narrative` is free text, of which what the measurement doesn't support is already struck.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecondReading {
    /// Who read; the checksum is of everything that it was loaded from.
    pub model: ModelRef,
    /// The view that it sees; null where it doesn't say.
    pub view: Option<ViewLabel>,
    /// The quality that it sees; null where it doesn't say.
    pub quality: Option<Grade>,
    /// The ejection fraction that it estimates, 0 to 100; null where it gives none.
    pub lvef_percent: Option<f64>,
    /// What it says in words, or why it gives no ejection fraction; empty where nothing is left.
    pub narrative: String,
    /// Sentences that were struck from the narrative, each with the reason.
    pub struck: Vec<Struck>,
}

/// A sentence that the measurement doesn't support.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Struck {
    /// The sentence, for whoever reviews the model; no report shows it.
    pub sentence: String,
    /// Why.
    pub reason: String,
    /// What `reason` is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phrase: Option<Phrase>,
}
