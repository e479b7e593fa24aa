//! Frame rate and heart rate, each only from an attribute that states it (PS3.3 C.7.6.5, C.8.5.6).

use dicom_dictionary_std::tags;

use super::header::Attributes;

/// Frame rates of echo cines; what lies outside is a mistake of units.
const FRAME_RATE_HZ: std::ops::RangeInclusive<f64> = 1.0..=2000.0;
/// Heart rates; the same.
const HEART_RATE_BPM: std::ops::RangeInclusive<f64> = 20.0..=300.0;

/// Frames a second: from what Frame Increment Pointer (0028,0009) names, then Frame Time, Frame Time Vector, Cine Rate and
/// Recommended Display Frame Rate; none where none of them states a plausible one.
pub fn frame_rate_hz(attributes: Attributes<'_>) -> Option<f64> {
    let pointed = match attributes.tag(tags::FRAME_INCREMENT_POINTER) {
        Some(tags::FRAME_TIME) => from_frame_time(attributes),
        Some(tags::FRAME_TIME_VECTOR) => from_vector(attributes),
        _ => None,
    };
    let rate = |tag| {
        attributes
            .number(tag)
            .filter(|rate| FRAME_RATE_HZ.contains(rate))
    };
    pointed
        .or_else(|| from_frame_time(attributes))
        .or_else(|| from_vector(attributes))
        .or_else(|| rate(tags::CINE_RATE))
        .or_else(|| rate(tags::RECOMMENDED_DISPLAY_FRAME_RATE))
}

/// Beats a minute, from Heart Rate (0018,1088) or R Wave Time Vector (0018,6060); never computed from anything else.
pub fn heart_rate_bpm(attributes: Attributes<'_>) -> Option<f64> {
    let plausible = |rate: &f64| HEART_RATE_BPM.contains(rate);
    attributes
        .number(tags::HEART_RATE)
        .filter(plausible)
        .or_else(|| {
            let waves = attributes.numbers(tags::R_WAVE_TIME_VECTOR);
            let intervals = waves.windows(2).map(|pair| pair[1] - pair[0]).collect();
            Some(60_000.0 / median(intervals)?).filter(plausible)
        })
}

fn from_frame_time(attributes: Attributes<'_>) -> Option<f64> {
    from_milliseconds(attributes.number(tags::FRAME_TIME)?)
}

/// The first entry is 0: it belongs to the first frame, which follows none.
fn from_vector(attributes: Attributes<'_>) -> Option<f64> {
    let times = attributes.numbers(tags::FRAME_TIME_VECTOR);
    from_milliseconds(median(times.into_iter().skip(1).collect())?)
}

fn from_milliseconds(time: f64) -> Option<f64> {
    Some(1000.0 / time).filter(|rate| FRAME_RATE_HZ.contains(rate))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::super::testing::DataSet;
    use super::*;

    fn rate(data: &DataSet) -> Option<f64> {
        frame_rate_hz(data.open().attributes())
    }

    #[test]
    fn the_pointer_decides_between_frame_time_and_vector() {
        let both = DataSet::default().text(tags::FRAME_TIME, "DS", "20").text(
            tags::FRAME_TIME_VECTOR,
            "DS",
            "0\\40\\40\\40",
        );
        assert_eq!(rate(&both), Some(50.0));
        let pointed = both.short(tags::FRAME_INCREMENT_POINTER, "AT", &[0x18, 0, 0x65, 0x10]);
        assert_eq!(rate(&pointed), Some(25.0));
    }

    #[test]
    fn cine_rate_is_the_last_resort_and_nonsense_is_unknown() {
        let cine =
            DataSet::default()
                .text(tags::FRAME_TIME, "DS", "0")
                .text(tags::CINE_RATE, "IS", "30");
        assert_eq!(rate(&cine), Some(30.0));
        assert_eq!(rate(&DataSet::default()), None);
    }

    #[test]
    fn heart_rate_is_stated_or_comes_from_r_waves() {
        let of = |data: DataSet| heart_rate_bpm(data.open().attributes());
        assert_eq!(
            of(DataSet::default().text(tags::HEART_RATE, "IS", "72")),
            Some(72.0)
        );
        let waves: Vec<u8> = [0.0_f32, 750.0, 1500.0]
            .iter()
            .flat_map(|time| time.to_le_bytes())
            .collect();
        let waves = DataSet::default().short(tags::R_WAVE_TIME_VECTOR, "FL", &waves);
        assert_eq!(of(waves), Some(80.0));
        assert_eq!(
            of(DataSet::default().text(tags::HEART_RATE, "IS", "0")),
            None
        );
    }
}
