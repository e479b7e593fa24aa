//! What the gates did with what was shown: views, quality, refusals.

use std::fmt::Write as _;

use sonode_findings::{Rejection, ViewLabel};
use sonode_phantom::anatomy::View;
use sonode_phantom::cine::Subject;
use sonode_phantom::style::Style;

use super::case::{Case, Outcome};
use super::score::area_under_curve;

/// The styles of the training and those that are held out.
const SIDES: [(&str, [Style; 2]); 2] = [
    ("A and B", [Style::A, Style::B]),
    ("C and D (held out)", [Style::C, Style::D]),
];

/// Which view each cine of good or fair quality was taken for.
pub(super) fn views(text: &mut String, cases: &[Case]) -> std::fmt::Result {
    writeln!(text, "## Views\n")?;
    writeln!(
        text,
        "| shown | styles | cines | A4C | A2C | other | right |\n|---|---|---|---|---|---|---|"
    )?;
    let kinds: [(&str, Subject, ViewLabel); 4] = [
        ("four-chamber", Subject::Apical(View::A4c), ViewLabel::A4C),
        ("two-chamber", Subject::Apical(View::A2c), ViewLabel::A2C),
        ("parasternal long axis", Subject::Plax, ViewLabel::Other),
        ("short axis", Subject::ShortAxis, ViewLabel::Other),
    ];
    for (side, styles) in SIDES {
        let (mut right, mut all) = (0, 0);
        for (name, subject, wanted) in kinds {
            let labels: Vec<ViewLabel> = cases
                .iter()
                .filter(|c| styles.contains(&c.style) && c.subject == subject && !c.is_spoilt())
                .map(|case| case.view.unwrap_or(ViewLabel::Other))
                .collect();
            let count = |label| labels.iter().filter(|l| **l == label).count();
            let [four, two, other] = [ViewLabel::A4C, ViewLabel::A2C, ViewLabel::Other].map(count);
            writeln!(
                text,
                "| {name} | {side} | {} | {four} | {two} | {other} | {} |",
                labels.len(),
                percent(count(wanted), labels.len())
            )?;
            right += count(wanted);
            all += labels.len();
        }
        writeln!(
            text,
            "| all | {side} | {all} | | | | {} |",
            percent(right, all)
        )?;
    }
    writeln!(text)
}

/// How well the quality score tells four-chamber cines of good or fair quality from spoilt ones.
pub(super) fn quality(text: &mut String, cases: &[Case]) -> std::fmt::Result {
    writeln!(
        text,
        "## Quality\n\nArea under the curve of the quality score: four-chamber cines of good or fair quality against \
         spoilt ones.\n"
    )?;
    writeln!(
        text,
        "| styles | good or fair | spoilt | area |\n|---|---|---|---|"
    )?;
    let of_each = Style::ALL.map(|style| (format!("{style:?}"), vec![style]));
    let of_both = SIDES.map(|(side, styles)| (side.to_owned(), styles.to_vec()));
    for (name, styles) in of_each.into_iter().chain(of_both) {
        let scored: Vec<(f64, bool)> = cases
            .iter()
            .filter(|c| styles.contains(&c.style) && c.is_four_chamber())
            .map(|case| {
                (
                    case.score.map_or(0.0, |(_, score)| score),
                    !case.is_spoilt(),
                )
            })
            .collect();
        let fit = scored.iter().filter(|(_, fit)| *fit).count();
        writeln!(
            text,
            "| {name} | {fit} | {} | {:.3} |",
            scored.len() - fit,
            area_under_curve(&scored)
        )?;
    }
    writeln!(text)
}

fn percent(part: usize, all: usize) -> String {
    format!("{:.1} %", 100.0 * part as f64 / all.max(1) as f64)
}

/// A kind of cine: its name, and whether a case is of it.
type Kind = (&'static str, fn(&Case) -> bool);

pub(super) fn shown(text: &mut String, cases: &[Case]) -> std::fmt::Result {
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
