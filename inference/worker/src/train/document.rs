//! `inference/EVALUATION.md`: what an evaluation found, as tables.

use std::fmt::Write as _;

use sonode_phantom::style::Style;

use super::case::Case;
use super::cines::ACQUIRED;
use super::evaluate::{EvaluateArgs, Evaluation};
use super::figures::{Group, constant_ef};
use super::outcomes;
use crate::models::Models;

/// The document.
pub(super) fn write(args: &EvaluateArgs, models: &Models, evaluation: &Evaluation) -> String {
    let mut text = String::new();
    let cases = &evaluation.cases;
    let written = head(&mut text, args, models, evaluation)
        .and_then(|()| accuracy(&mut text, cases))
        .and_then(|()| acquisition(&mut text, evaluation))
        .and_then(|()| outcomes::views(&mut text, cases))
        .and_then(|()| outcomes::quality(&mut text, cases))
        .and_then(|()| outcomes::shown(&mut text, cases));
    debug_assert!(written.is_ok(), "writing to a string can't fail");
    text
}

fn head(
    text: &mut String,
    args: &EvaluateArgs,
    models: &Models,
    evaluation: &Evaluation,
) -> std::fmt::Result {
    writeln!(text, "# Evaluation of the built-in models\n")?;
    writeln!(
        text,
        "Measured by `sonode-worker evaluate --cines {} --seed {}` on synthetic cines alone. The phantom's truth is \
         exact; nothing here is clinical accuracy.\n",
        args.cines, args.seed
    )?;
    for (manifest, way) in models.manifests() {
        writeln!(
            text,
            "- Model: `{}` {}, SHA-256 `{}`, run in {way}. {}",
            manifest.name, manifest.version, manifest.sha256, manifest.description
        )?;
    }
    writeln!(
        text,
        "- {} cines, 60 frames at 30 a second, and {} acquired otherwise; SHA-256 of what all were drawn from: `{}`",
        evaluation.cases.len(),
        evaluation.acquired.iter().map(Vec::len).sum::<usize>(),
        evaluation.seeds
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
    row("LV Dice", &|g| format!("{:.3}", g.dice))?;
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
    row("90 % interval, median width (points)", &|g| {
        format!("{:.0}", g.width)
    })?;
    row("ED frame, median error", &|g| format!("{:.0}", g.frames[0]))?;
    row("ES frame, median error", &|g| format!("{:.0}", g.frames[1]))?;
    writeln!(
        text,
        "\nThe constant is the mean EF of the A and B cines, {constant:.1} %. EF is that of the three-dimensional \
         ventricle; tilt (foreshortening) and the single plane are part of the error.\n"
    )
}

/// What becomes of the figures where a cine is acquired in another way.
fn acquisition(text: &mut String, evaluation: &Evaluation) -> std::fmt::Result {
    writeln!(
        text,
        "## The held-out styles, acquired otherwise\n\n\
         | | cines | measured | LV Dice | EF bias | EF MAE | EF inside its 90 % interval | ED frame | ES frame |\n\
         |---|---|---|---|---|---|---|---|---|"
    )?;
    let held = [Style::C, Style::D];
    let constant = constant_ef(&evaluation.cases);
    let names = ACQUIRED.map(|(name, _)| name);
    let otherwise = names.into_iter().zip(&evaluation.acquired);
    let rows = [("as above", &evaluation.cases)]
        .into_iter()
        .chain(otherwise);
    for (name, cases) in rows {
        let group = Group::new(cases, &held, constant);
        writeln!(
            text,
            "| {name} | {} | {} | {:.3} | {:+.1} | {:.1} | {:.0} % | {:.0} | {:.0} |",
            group.cines,
            group.measured,
            group.dice,
            group.ef_bias,
            group.ef_mae,
            100.0 * group.coverage,
            group.frames[0],
            group.frames[1]
        )?;
    }
    writeln!(text)
}
