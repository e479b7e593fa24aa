//! Every sentence that the worker and the node say about a study, in English, and the name of every check.
//!
//! Another language has a wording for each id; a test of `sonode-sr-writer` fails where one is missing.

use crate::phrase::{Pattern, Wording};

macro_rules! patterns {
    ($($name:ident[$count:literal] = $id:literal, $english:literal;)+) => {
        $(
            #[doc = concat!("\"", $english, "\"")]
            pub const $name: Pattern<$count> = Pattern { id: $id, english: $english };
        )+
        /// Every id with its English wording.
        pub const ALL: &[(&str, &str)] = &[$(($id, $english)),+];
        /// The same with the number of places.
        #[cfg(test)]
        pub(crate) const COUNTS: &[(&str, &str, usize)] = &[$(($id, $english, $count)),+];
    };
}

patterns! {
    // Checks of a clip.
    ESV_BELOW_EDV[3] = "esv-below-edv", "{0} {2} < {1} {2}";
    ESV_NOT_BELOW_EDV[3] = "esv-not-below-edv", "{0} {2} is not below {1} {2}";
    UNITS[0] = "units", "units";
    WITHIN_RANGE[5] = "within-range", "{0} {1} {2} is within {3}-{4} {2}";
    OUTSIDE_RANGE[5] = "outside-range", "{0} {1} {2} is outside {3}-{4} {2}";
    EF[0] = "ef", "EF";
    EDV[0] = "edv", "EDV";
    ESV[0] = "esv", "ESV";
    LV_LENGTH_ED[0] = "lv-length-ed", "LV length at end diastole";
    AXIS_SHORTENING[0] = "axis-shortening", "shortening of the long axis";
    CARDIAC_OUTPUT[0] = "cardiac-output", "stroke volume x heart rate";
    ED_TO_ES[0] = "ed-to-es", "end diastole to end systole";
    POINTS_IN_SECTOR[0] = "points-in-sector", "contour points inside the sector";
    CAVITY_IN_ONE_REGION[0] = "cavity-in-one-region", "share of the mapped cavity in one region";
    APEX_MOVEMENT[0] = "apex-movement", "movement of the apex over the length";
    HEART_RATE_UNKNOWN[0] = "heart-rate-unknown", "the heart rate is not known";
    NO_CALIBRATION[0] = "no-calibration", "the image has no calibration";
    FRAME_RATE_UNKNOWN[0] = "frame-rate-unknown", "the frame rate is not known";
    SYSTOLE_FIRST[0] = "systole-first", "the clip shows end systole before end diastole";
    NO_ATRIUM[0] = "no-atrium", "no left atrium is seen";
    APEX_TOWARDS_PROBE[0] = "apex-towards-probe", "the annulus lies deeper than the apex";
    APEX_AWAY_FROM_PROBE[0] = "apex-away-from-probe", "the annulus does not lie deeper than the apex";
    ANNULUS_SEEN[0] = "annulus-seen", "the annulus was found between ventricle and atrium";
    ANNULUS_FROM_OUTLINE[0] = "annulus-from-outline", "no atrium borders on the ventricle: the annulus was taken from the outline alone";
    ATRIUM_BEYOND[0] = "atrium-beyond", "the left atrium lies beyond the annulus";
    ATRIUM_NOT_BEYOND[0] = "atrium-not-beyond", "what was taken for the left atrium does not lie beyond the annulus";
    ELONGATED[2] = "elongated", "the long axis is {0} times the largest diameter (at least {1})";
    FORESHORTENED[2] = "foreshortened", "the long axis is only {0} times the largest diameter (at least {1}): the ventricle may be foreshortened, its volumes too small and its EF too high";
    FRAMES_A_SECOND[2] = "frames-a-second", "{0} frames a second (at least {1})";
    FEW_FRAMES_A_SECOND[2] = "few-frames-a-second", "only {0} frames a second (at least {1}): end diastole and end systole may lie between frames, and the EF be too low";
    AREA_LENGTH[4] = "area-length", "EF {0} % by area and length, {1} % by disks: {2} points apart (at most {3})";
    REGRESSION[4] = "regression", "EF {0} % by regression, {1} % by disks: {2} points apart (at most {3})";
    REGRESSION_UNTIMED[0] = "regression-untimed", "the EF regression model counts its frames in time, and the frame rate is not known";

    // Checks of two clips, and of another report.
    OF_BIPLANE[1] = "of-biplane", "biplane: {0}";
    OF_FOUR_CHAMBER_CLIP[1] = "of-four-chamber-clip", "four-chamber clip: {0}";
    OF_TWO_CHAMBER_CLIP[1] = "of-two-chamber-clip", "two-chamber clip: {0}";
    ONE_RATE_UNKNOWN[0] = "one-rate-unknown", "the heart rate of one of the two clips is not known";
    ONE_UNCALIBRATED[0] = "one-uncalibrated", "one of the two clips has no calibration";
    RATES[4] = "rates", "{0} and {1} beats a minute are {2} % apart (at most {3} %)";
    AXES[4] = "axes", "long axes of {0} and {1} cm are {2} % apart (at most {3} %): one of them is foreshortened if more";
    PLANES[4] = "planes", "EF {0} % in the four-chamber and {1} % in the two-chamber view: {2} points apart (at most {3})";
    CART_EF[5] = "cart-ef", "EF {0} % here and {1} % in the report of {2}: {3} points apart (at most {4})";
    CART_EF_BY[6] = "cart-ef-by", "EF {0} % here and {1} % in the report of {2} ({5}): {3} points apart (at most {4})";
    THE_CART[0] = "the-cart", "the cart";

    // The second reader.
    READ_EF[3] = "read-ef", "measured {0} %, read {1} %, at most {2} points apart";
    NO_EF_READ[0] = "no-ef-read", "no LVEF was read";
    NO_EF_MEASURED[0] = "no-ef-measured", "no LVEF was measured";
    FOUND_AND_READ[2] = "found-and-read", "found {0}, read {1}";
    NO_VIEW_NAMED[0] = "no-view-named", "one of the two names no view";
    NO_QUALITY_NAMED[0] = "no-quality-named", "one of the two names no quality";
    GOOD[0] = "good", "good";
    FAIR[0] = "fair", "fair";
    POOR[0] = "poor", "poor";
    OTHER[0] = "other", "other";
    ALL_SUPPORTED[0] = "all-supported", "every statement is supported";
    STRUCK[2] = "struck", "{0} struck: {1}";
    NUMBER_NOT_MEASURED[1] = "number-not-measured", "the number {0} was not measured";
    NO_OBSERVATION[1] = "no-observation", "\"{0}\" is no observation";
    OTHER_SIDE[1] = "other-side", "the side \"{0}\" is none that was measured";
    OTHER_STRUCTURE[1] = "other-structure", "the structure \"{0}\" is none that was measured";
    NO_MEASUREMENTS_FINDING[1] = "no-measurements-finding", "\"{0}\" is no finding of a measurement";
    NAMES_ANOTHER_VIEW[0] = "names-another-view", "it names another view than the one that was found";
    SAYS_ANOTHER_FUNCTION[0] = "says-another-function", "what it says of the function is not what was measured";
    READER_OVERLOADED[0] = "reader-overloaded", "the second reader has too much to read";
    READER_NO_ANSWER[1] = "reader-no-answer", "the second reader gave no answer: {0}";
    READER_FAILED[0] = "reader-failed", "the second reader failed, and is off until the worker is started again";
    READER_LATE[0] = "reader-late", "the second reader was not in time";

    // Reasons of quality.
    UNCLEAR_BORDERS[0] = "unclear-borders", "unclear borders of the cavity (dropout or haze)";
    OUTLINE_JUMPS[0] = "outline-jumps", "the outline jumps from frame to frame";
    VENTRICLE_LOST[0] = "ventricle-lost", "the ventricle is lost in some frames";
    IRREGULAR_OUTLINE[0] = "irregular-outline", "an irregular outline";
    NOISY_CURVE[0] = "noisy-curve", "the volume curve is noisy";
    LITTLE_CONTRAST[0] = "little-contrast", "little contrast between wall and cavity (gain)";
    UNFIT[0] = "unfit", "the quality model finds the image unfit";
    LOOKS_FORESHORTENED[0] = "looks-foreshortened", "the ventricle looks foreshortened";

    // Notes.
    VIEWS_CONTRADICT[2] = "views-contradict", "The header says {0}, the image looks like {1}.";
    APICAL_FOUR_CHAMBER[0] = "apical-four-chamber", "apical four-chamber";
    APICAL_TWO_CHAMBER[0] = "apical-two-chamber", "apical two-chamber";
    ANOTHER_VIEW[0] = "another-view", "another view";
    MODEL_NOT_ASKED[1] = "model-not-asked", "The model {0} was not asked: it counts its frames in time, and the frame rate is not known.";
    FRAMES_LEFT_OUT[2] = "frames-left-out", "{0} of {1} frames were left out of the volume curve, since the outline jumped in them.";
    FRAMES_ANALYSED[2] = "frames-analysed", "{0} of the {1} stated frames were analysed.";
    NO_COMPLETE_BEAT[0] = "no-complete-beat", "The clip holds no complete beat: measured from one end diastole and one end systole, which may be of different beats.";
    VOLUMES_WITHHELD[0] = "volumes-withheld", "Volumes are not reported: they are outside what a heart can have.";
    REGION_SCALED[1] = "region-scaled", "The header's calibration is for an image {0} times as large as this one, and was scaled to it. If that is wrong, so are volumes and areas; the ejection fraction, a ratio, is unaffected.";
    REGION_UNEXPLAINED[0] = "region-unexplained", "The ultrasound regions lie outside the image and no common raster explains it; they were not used, so there is no calibration.";
    NO_USABLE_CALIBRATION[0] = "no-usable-calibration", "The image states no usable calibration in centimetres, so volumes are not given in millilitres.";

    // Refusals by the pixels.
    IMPLAUSIBLE[1] = "implausible", "Implausible: {0}.";
    TOO_POOR[1] = "too-poor", "Too poor to be measured: {0}.";
    BLANK[0] = "blank", "The image is blank.";
    NO_BEAT[0] = "no-beat", "The clip shows no end diastole and end systole of one beat.";
    NO_VENTRICLE_AT_PHASE[0] = "no-ventricle-at-phase", "No ventricle was found near end diastole or end systole.";
    NO_VENTRICLE[0] = "no-ventricle", "No left ventricle of an apical view was found.";
    NO_WALLS[0] = "no-walls", "The cavity that was found has no walls around it.";
    NO_ATRIUM_BELOW[0] = "no-atrium-below", "No left atrium was found below the ventricle.";
    NOT_APICAL[1] = "not-apical", "The view model sees no apical view (probability of another one {0}).";
    VIEW_UNTOLD[0] = "view-untold", "Nothing tells the view: the header names none, the segmentation model maps too few chambers, and there is no view model.";
    HEADER_NOT_APICAL[0] = "header-not-apical", "The header names another view than an apical one.";
    COLOURED[1] = "coloured", "{0} % of the image area is painted in the colours of a velocity map.";
    FRAMES_HELD[2] = "frames-held", "The file holds {0} of its {1} frames.";

    // Refusals by the header.
    BREAKS_OFF[0] = "breaks-off", "The file breaks off before its pixel data.";
    NO_PIXELS[0] = "no-pixels", "The object has no pixel data.";
    VOLUME_OF_PLANES[0] = "volume-of-planes", "It is a three-dimensional volume: its frames are planes, not moments.";
    MODALITY[1] = "modality", "Its modality is \"{0}\", not ultrasound.";
    ATTRIBUTE_SAYS[2] = "attribute-says", "{0} says \"{1}\".";
    LINEAR_TRANSDUCER[1] = "linear-transducer", "The transducer is a linear one (\"{0}\").";
    TRANSDUCER_TYPE[1] = "transducer-type", "The transducer's type is \"{0}\".";
    TEST_PATIENT[0] = "test-patient", "The patient's identifiers are those of a test patient.";
    UNDER_AGE[1] = "under-age", "The patient is under {0} years old.";
    STRESS_STAGE[2] = "stress-stage", "It is stage {0} of {1} of a stress echo.";
    CONTRAST_AGENT[0] = "contrast-agent", "The header names a contrast agent.";
    SPECTRAL_REGION[0] = "spectral-region", "The screen has a spectral Doppler region.";
    M_MODE_REGION[0] = "m-mode-region", "The screen has an M-mode region.";
    COLOUR_FLOW[0] = "colour-flow", "The header states colour flow data.";
    SEVERAL_IMAGES[1] = "several-images", "The screen has {0} 2D images.";
    SINGLE_FRAME[0] = "single-frame", "It is a single frame.";
    OWN_OBJECT[0] = "own-object", "An object that this node made itself.";
    NOT_ANALYSED[1] = "not-analysed", "Objects of class {0} are kept and not analysed.";
    NOT_SURVIVED[1] = "not-survived", "The analysis did not survive it in {0} attempts.";

    // What can't be read or decoded.
    UNPARSABLE[0] = "unparsable", "The data set can't be parsed.";
    UNREADABLE[1] = "unreadable", "The file can't be read: {0}.";
    NO_DICOM[0] = "no-dicom", "It is no DICOM file: there is no DICM at byte 128.";
    NESTED_TOO_DEEP[1] = "nested-too-deep", "Sequences are nested more than {0} deep.";
    BROKEN_AT[1] = "broken-at", "The data set is broken at byte {0}.";
    TOO_MANY_FRAGMENTS[0] = "too-many-fragments", "Pixel Data has too many fragments.";
    INFLATES_TOO_LONG[0] = "inflates-too-long", "The deflated data set is longer than 512 MiB.";
    HEADER_REFUSED[1] = "header-refused", "The data set can't be parsed: {0}.";
    HEADER_LACKS[1] = "header-lacks", "The header lacks {0}.";
    FRAME_TOO_LARGE[0] = "frame-too-large", "A frame of this size is refused.";
    SYNTAX_NOT_DECODED[1] = "syntax-not-decoded", "Pixel data in {0} can't be decoded.";
    NOT_SUPPORTED[1] = "not-supported", "Not supported: {0}.";
    CODESTREAM_SIZE[4] = "codestream-size", "The codestream is {0}x{1} but the header says {2}x{3}.";
    CODESTREAM[1] = "codestream", "The codestream is broken: {0}.";
    DECODER_SAYS[1] = "decoder-says", "The decoder says: {0}.";
    DECODER_GAVE_UP[0] = "decoder-gave-up", "The decoder gave up.";
    NO_WHOLE_FRAME[0] = "no-whole-frame", "The pixel data holds no whole frame.";
    IN_FRAME[2] = "in-frame", "Frame {0}: {1}";
    ROWS_OR_COLUMNS[0] = "rows-or-columns", "Rows or Columns";
    A_PALETTE[0] = "a-palette", "a palette";
    SAMPLES_A_PIXEL[0] = "samples-a-pixel", "other than 1 or 3 samples a pixel";
    BITS_A_SAMPLE[0] = "bits-a-sample", "other than 8 or 16 bits a sample";
    RLE_BITS[0] = "rle-bits", "RLE with other than 8 or 16 bits a sample";
    RLE_SEGMENTS[0] = "rle-segments", "RLE segments disagree with the header";
    RLE_OUTSIDE[0] = "rle-outside", "an RLE segment lies outside its frame";
    NO_JPEG_HEADER[0] = "no-jpeg-header", "no JPEG frame header";
    JPEG_12_BITS[0] = "jpeg-12-bits", "JPEG with 12 bits a sample";
    JPEG_KIND[0] = "jpeg-kind", "this kind of JPEG";
    JPEG_COMPONENTS[0] = "jpeg-components", "JPEG with two or four components";
    NO_JPEG_LS_HEADER[0] = "no-jpeg-ls-header", "no JPEG-LS frame header";
    JPEG_LS_KIND[0] = "jpeg-ls-kind", "this kind of JPEG-LS";
    NO_SIZ[0] = "no-siz", "no JPEG 2000 SIZ marker";
    J2K_COMPONENTS[0] = "j2k-components", "JPEG 2000 with two or four components";
    J2K_SUBSAMPLED[0] = "j2k-subsampled", "JPEG 2000 with subsampled components";
    ANOTHER_SIZE[0] = "another-size", "the frame has another size than stated";
}

/// English.
pub const ENGLISH: Wording = Wording {
    of: |id| {
        let mut all = ALL.iter();
        all.find(|(known, _)| *known == id)
            .map(|(_, english)| *english)
    },
    separator: "; ",
};

/// The name of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule(&'static str);

impl Rule {
    /// As findings name it.
    pub const fn id(self) -> &'static str {
        self.0
    }
}

macro_rules! rules {
    ($($name:ident = $id:literal;)+) => {
        /// The checks that there are.
        pub mod rule {
            use super::Rule;
            $(
                #[doc = concat!("`", $id, "`")]
                pub const $name: Rule = Rule($id);
            )+
            /// Every one.
            pub const ALL: &[Rule] = &[$($name),+];
        }
    };
}

rules! {
    ESV_BELOW_EDV = "esv-below-edv";
    EF_RANGE = "ef-range";
    EDV_RANGE = "edv-range";
    EDV_TYPICAL = "edv-typical";
    ESV_TYPICAL = "esv-typical";
    LV_LENGTH = "lv-length";
    LENGTH_CHANGE = "length-change";
    CARDIAC_OUTPUT = "cardiac-output";
    ES_ED_INTERVAL = "es-ed-interval";
    CONTOUR_IN_SECTOR = "contour-in-sector";
    ONE_REGION = "one-region";
    APEX_TOWARDS_PROBE = "apex-towards-probe";
    ANNULUS_SEEN = "annulus-seen";
    ATRIUM_BEYOND_ANNULUS = "atrium-beyond-annulus";
    APEX_TRAVEL = "apex-travel";
    AREA_LENGTH_AGREEMENT = "area-length-agreement";
    FORESHORTENING = "foreshortening";
    FRAME_RATE = "frame-rate";
    EF_REGRESSION_AGREEMENT = "ef-regression-agreement";
    BIPLANE_HEART_RATES = "biplane-heart-rates";
    BIPLANE_LENGTHS = "biplane-lengths";
    PLANES_AGREE = "planes-agree";
    CART_EF_AGREEMENT = "cart-ef-agreement";
    SECOND_READER = "second-reader";
    SECOND_READER_LVEF = "second-reader-lvef";
    SECOND_READER_VIEW = "second-reader-view";
    SECOND_READER_QUALITY = "second-reader-quality";
    SECOND_READER_NARRATIVE = "second-reader-narrative";
}
