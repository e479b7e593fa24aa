//! Figures over many cines: errors, agreement, coverage.

use sonode_phantom::style::Style;

use super::case::{Case, Measured, Truth};

/// Mean true EF of the styles that were trained on: what a model that has learnt nothing else would say.
pub(super) fn constant_ef(cases: &[Case]) -> f64 {
    let truths: Vec<f64> = cases
        .iter()
        .filter(|c| matches!(c.style, Style::A | Style::B) && c.is_four_chamber() && !c.is_spoilt())
        .filter_map(|case| Some(case.truth.as_ref()?.lvef_percent))
        .collect();
    mean(&truths)
}

/// Figures of the four-chamber cines of some styles.
pub(super) struct Group {
    pub(super) cines: usize,
    pub(super) measured: usize,
    pub(super) dice: f64,
    pub(super) ed_dice: f64,
    pub(super) es_dice: f64,
    pub(super) ef_bias: f64,
    pub(super) ef_mae: f64,
    pub(super) ef_limits: [f64; 2],
    pub(super) ef_correlation: f64,
    pub(super) constant_mae: f64,
    pub(super) coverage: f64,
    pub(super) width: f64,
    pub(super) edv: [f64; 2],
    pub(super) esv: [f64; 2],
    pub(super) frames: [f64; 2],
}

impl Group {
    pub(super) fn new(cases: &[Case], styles: &[Style], constant: f64) -> Self {
        let cases: Vec<&Case> = cases
            .iter()
            .filter(|c| styles.contains(&c.style) && c.is_four_chamber() && !c.is_spoilt())
            .collect();
        let measured: Vec<(&Measured, &Truth)> =
            cases.iter().filter_map(|case| case.measured()).collect();
        let all = |of: fn(&Measured) -> &[f64]| -> Vec<f64> {
            measured
                .iter()
                .flat_map(|(m, _)| of(m).iter().copied())
                .collect()
        };
        let errors = |of: fn(&Measured, &Truth) -> f64| -> Vec<f64> {
            measured
                .iter()
                .map(|(m, t)| of(m, t))
                .filter(|error| error.is_finite())
                .collect()
        };
        let ef = errors(|m, t| m.lvef_percent - t.lvef_percent);
        let (edv, esv) = (
            errors(|m, t| m.edv_ml - t.edv_ml),
            errors(|m, t| m.esv_ml - t.esv_ml),
        );
        let bias = mean(&ef);
        let deviation = mean(
            &ef.iter()
                .map(|error| (error - bias).powi(2))
                .collect::<Vec<_>>(),
        )
        .sqrt();
        let covered = measured
            .iter()
            .filter(|(m, t)| (m.interval[0]..=m.interval[1]).contains(&t.lvef_percent))
            .count();
        Self {
            cines: cases.len(),
            measured: measured.len(),
            dice: mean(&[all(|m| &m.ed_dice), all(|m| &m.es_dice)].concat()),
            ed_dice: mean(&all(|m| &m.ed_dice)),
            es_dice: mean(&all(|m| &m.es_dice)),
            ef_bias: bias,
            ef_mae: mean_size(&ef),
            ef_limits: [bias - 1.96 * deviation, bias + 1.96 * deviation],
            ef_correlation: correlation(&measured),
            constant_mae: mean_size(
                &errors(|_, t| t.lvef_percent)
                    .iter()
                    .map(|ef| ef - constant)
                    .collect::<Vec<_>>(),
            ),
            coverage: covered as f64 / measured.len().max(1) as f64,
            width: median_size(
                &measured
                    .iter()
                    .map(|(m, _)| m.interval[1] - m.interval[0])
                    .collect::<Vec<_>>(),
            ),
            edv: [mean(&edv), mean_size(&edv)],
            esv: [mean(&esv), mean_size(&esv)],
            frames: [
                median_size(&all(|m| &m.ed_frames)),
                median_size(&all(|m| &m.es_frames)),
            ],
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn mean_size(values: &[f64]) -> f64 {
    mean(&values.iter().map(|value| value.abs()).collect::<Vec<_>>())
}

pub(super) fn median_size(values: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.get(sizes.len() / 2).copied().unwrap_or(f64::NAN)
}

fn correlation(pairs: &[(&Measured, &Truth)]) -> f64 {
    let (found, truth): (Vec<f64>, Vec<f64>) = pairs
        .iter()
        .map(|(m, t)| (m.lvef_percent, t.lvef_percent))
        .unzip();
    let (a, b) = (mean(&found), mean(&truth));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (found, truth) in found.iter().zip(&truth) {
        ab += (found - a) * (truth - b);
        aa += (found - a).powi(2);
        bb += (truth - b).powi(2);
    }
    ab / (aa * bb).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages() {
        assert!((mean_size(&[-2.0, 4.0]) - 3.0).abs() < 1e-9);
        assert!((median_size(&[-5.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!(median_size(&[]).is_nan());
    }
}
