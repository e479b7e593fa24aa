//! `inference/EVALUATION.md`: what an evaluation found, as tables.

use std::fmt::Write as _;

use sonode_findings::{Rejection, ViewLabel};
use sonode_phantom::anatomy::View;
use sonode_phantom::cine::Subject;
use sonode_phantom::style::Style;

use super::case::{Case, Measured, Outcome, Truth};
use super::evaluate::EvaluateArgs;
use crate::models::Models;

/// The document.
pub(super) fn write(args: &EvaluateArgs, models: &Models, seeds: &str, cases: &[Case]) -> String {
    let mut text = String::new();
    let written = head(&mut text, args, models, seeds, cases)
        .and_then(|()| accuracy(&mut text, cases))
        .and_then(|()| gates(&mut text, cases));
    debug_assert!(written.is_ok(), "writing to a string can't fail");
    text
}

fn head(
    text: &mut String,
    args: &EvaluateArgs,
    models: &Models,
    seeds: &str,
    cases: &[Case],
) -> std::fmt::Result {
    let manifest = models.segmentation().manifest();
    writeln!(text, "# Evaluation of the built-in model\n")?;
    writeln!(
        text,
        "Measured by `sonode-worker evaluate --cines {} --seed {}` on synthetic cines alone. The phantom's truth is \
         exact; nothing here is clinical accuracy.\n",
        args.cines, args.seed
    )?;
    writeln!(
        text,
        "- Model: `{}` {}, SHA-256 `{}`",
        manifest.name, manifest.version, manifest.sha256
    )?;
    writeln!(text, "- Made by: {}", manifest.description)?;
    writeln!(
        text,
        "- {} cines, 60 frames at 30 a second; SHA-256 of styles, subjects and seeds: `{seeds}`",
        cases.len()
    )?;
    writeln!(
        text,
        "- Styles A and B are those of the training; C (persistence, mirrored) and D (low resolution, grey) are held \
         out together with shells of the parameters (`sonode_phantom::ranges`).\n"
    )
}

fn accuracy(text: &mut String, cases: &[Case]) -> std::fmt::Result {
    writeln!(
        text,
        "## Four-chamber cines, half of good and half of fair quality\n"
    )?;
    writeln!(
        text,
        "| | {} |",
        [
            "A",
            "B",
            "C (held out)",
            "D (held out)",
            "A and B",
            "C and D"
        ]
        .join(" | ")
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    let groups: [&[Style]; 6] = [
        &[Style::A],
        &[Style::B],
        &[Style::C],
        &[Style::D],
        &[Style::A, Style::B],
        &[Style::C, Style::D],
    ];
    let constant = constant_ef(cases);
    let groups = groups.map(|styles| Group::new(cases, styles, constant));
    let mut row = |name: &str, cell: &dyn Fn(&Group) -> String| {
        let cells: Vec<String> = groups.iter().map(cell).collect();
        writeln!(text, "| {name} | {} |", cells.join(" | "))
    };
    row("cines", &|g| g.cines.to_string())?;
    row("measured", &|g| g.measured.to_string())?;
    row("view A4C", &|g| format!("{:.0} %", 100.0 * g.four_chamber))?;
    row("LV Dice at ED", &|g| format!("{:.3}", g.ed_dice))?;
    row("LV Dice at ES", &|g| format!("{:.3}", g.es_dice))?;
    row("EF bias (points)", &|g| format!("{:+.1}", g.ef_bias))?;
    row("EF MAE (points)", &|g| format!("{:.1}", g.ef_mae))?;
    row("EF limits of agreement (points)", &|g| {
        format!("{:+.1} to {:+.1}", g.ef_limits[0], g.ef_limits[1])
    })?;
    row("EF MAE of a constant (points)", &|g| {
        format!("{:.1}", g.constant_mae)
    })?;
    row("correlation of EF", &|g| format!("{:.2}", g.ef_correlation))?;
    row("EF inside its 90 % interval", &|g| {
        format!("{:.0} %", 100.0 * g.coverage)
    })?;
    row("EDV bias, MAE (ml)", &|g| {
        format!("{:+.0}, {:.0}", g.edv[0], g.edv[1])
    })?;
    row("ESV bias, MAE (ml)", &|g| {
        format!("{:+.0}, {:.0}", g.esv[0], g.esv[1])
    })?;
    row("ED frame, median error", &|g| format!("{:.0}", g.frames[0]))?;
    row("ES frame, median error", &|g| format!("{:.0}", g.frames[1]))?;
    writeln!(
        text,
        "\nThe constant is the mean EF of the A and B cines, {constant:.1} %. EF is that of the three-dimensional \
         ventricle; tilt (foreshortening) and the single plane are part of the error.\n"
    )
}

/// A kind of cine: its name, and whether a case is of it.
type Kind = (&'static str, fn(&Case) -> bool);

fn gates(text: &mut String, cases: &[Case]) -> std::fmt::Result {
    writeln!(text, "## What else was shown, and what came of it\n")?;
    writeln!(
        text,
        "| shown | cines | measured | as A4C | as A2C | refused as |\n|---|---|---|---|---|---|"
    )?;
    let kinds: [Kind; 7] = [
        ("four-chamber, good or fair", |c| {
            c.is_four_chamber() && !c.is_spoilt()
        }),
        ("four-chamber, spoilt", |c| {
            c.is_four_chamber() && c.is_spoilt()
        }),
        ("two-chamber", |c| c.subject == Subject::Apical(View::A2c)),
        ("parasternal long axis", |c| c.subject == Subject::Plax),
        ("short axis", |c| c.subject == Subject::ShortAxis),
        ("noise", |c| c.subject == Subject::Noise),
        ("blank", |c| c.subject == Subject::Blank),
    ];
    for (name, is_kind) in kinds {
        let shown: Vec<&Case> = cases.iter().filter(|case| is_kind(case)).collect();
        let measured: Vec<&&Case> = shown
            .iter()
            .filter(|case| matches!(case.outcome, Outcome::Measured(_)))
            .collect();
        let labelled = |label| {
            measured
                .iter()
                .filter(|case| case.view == Some(label))
                .count()
        };
        writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} |",
            shown.len(),
            measured.len(),
            labelled(ViewLabel::A4C),
            labelled(ViewLabel::A2C),
            refusals(&shown)
        )?;
    }
    Ok(())
}

fn refusals(shown: &[&Case]) -> String {
    let of = |reason: Rejection| {
        shown
            .iter()
            .filter(|c| matches!(c.outcome, Outcome::Refused(r, _) if r == reason))
            .count()
    };
    [
        ("view", Rejection::View),
        ("quality", Rejection::Quality),
        ("no-beat", Rejection::NoBeat),
    ]
    .into_iter()
    .map(|(name, reason)| (name, of(reason)))
    .filter(|(_, count)| *count > 0)
    .map(|(name, count)| format!("{name} {count}"))
    .collect::<Vec<_>>()
    .join(", ")
}

/// Mean true EF of the styles that were trained on: what a model that has learnt nothing else would say.
fn constant_ef(cases: &[Case]) -> f64 {
    let truths: Vec<f64> = cases
        .iter()
        .filter(|c| matches!(c.style, Style::A | Style::B) && c.is_four_chamber() && !c.is_spoilt())
        .filter_map(|case| Some(case.truth.as_ref()?.lvef_percent))
        .collect();
    mean(&truths)
}

/// Figures of the four-chamber cines of some styles.
struct Group {
    cines: usize,
    measured: usize,
    four_chamber: f64,
    ed_dice: f64,
    es_dice: f64,
    ef_bias: f64,
    ef_mae: f64,
    ef_limits: [f64; 2],
    ef_correlation: f64,
    constant_mae: f64,
    coverage: f64,
    edv: [f64; 2],
    esv: [f64; 2],
    frames: [f64; 2],
}

impl Group {
    fn new(cases: &[Case], styles: &[Style], constant: f64) -> Self {
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
        let four = cases
            .iter()
            .filter(|case| case.view == Some(ViewLabel::A4C))
            .count();
        Self {
            cines: cases.len(),
            measured: measured.len(),
            four_chamber: four as f64 / cases.len().max(1) as f64,
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

fn median_size(values: &[f64]) -> f64 {
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
