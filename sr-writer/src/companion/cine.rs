//! The sheets of an overlay cine: what is drawn over each frame, and the strip below it.

use std::fmt::Write as _;

use sonode_findings::{CardiacPhase, Findings, InstanceFindings};

use super::page::view_name;
use super::panel::{colour_on_image, draw_contour};
use super::svg::{Anchor, DARK, Rect, Style, Svg, width};
use crate::texts::Language;

/// Colour of a contour between the phases.
const BETWEEN: &str = "#7ee08a";

/// The clip that a cine is made of: that of one of the planes that the summary stands on.
pub(super) fn clip(findings: &Findings, plane: u8) -> Option<&InstanceFindings> {
    let clip = findings.sources().get(usize::from(plane)).copied()?;
    let has_size = clip.columns.is_some() && clip.rows.is_some();
    (has_size && !clip.traces.is_empty() && !clip.volume_curve.is_empty()).then_some(clip)
}

/// One sheet for each frame that was analysed.
pub(super) fn sheets(
    findings: &Findings,
    clip: &InstanceFindings,
    language: Language,
) -> Vec<String> {
    let count = u32::try_from(clip.volume_curve.len()).unwrap_or(u32::MAX);
    (1..=count)
        .map(|frame| sheet(findings, clip, language, frame, count))
        .collect()
}

fn sheet(
    findings: &Findings,
    clip: &InstanceFindings,
    language: Language,
    frame: u32,
    count: u32,
) -> String {
    let [columns, rows] = [clip.columns, clip.rows].map(|side| side.unwrap_or(0));
    // JPEG with halved chroma wants an even number of columns.
    let columns = f64::from(columns.next_multiple_of(2));
    let rows = f64::from(rows);
    let notices = notices(findings, language);
    let size = text_size(&notices, columns);
    let line = (size * 1.45).ceil();
    let lines = 1 + u32::try_from(notices.len()).unwrap_or(0);
    let strip = line * f64::from(lines) + size * 0.6;
    let mut svg = Svg::new(columns, rows + strip);
    let phase = phase_of(clip, frame);
    if let Some(trace) = clip.traces.iter().find(|trace| trace.frame == frame) {
        let colour = phase.map_or(BETWEEN, colour_on_image);
        draw_contour(&mut svg, &trace.points, colour);
    }
    svg.rect(Rect::new(0.0, rows, columns, strip), 0.0, DARK.background);
    let mut baseline = rows + line;
    for notice in &notices {
        let style = Style::new(size, DARK.warning).bold();
        svg.text([size * 0.5, baseline], style, notice);
        baseline += line;
    }
    let style = Style::new(size, DARK.ink);
    svg.text([size * 0.5, baseline], style, &numbers(findings));
    let texts = language.page();
    let mark = match phase {
        Some(CardiacPhase::EndDiastole) => "  ED",
        Some(CardiacPhase::EndSystole) => "  ES",
        None => "",
    };
    let view = match findings.sources().len() {
        // Which of two planes this is.
        2 => format!("{}  ", view_name(clip)),
        _ => String::new(),
    };
    let number = texts.frame.replace("{}", &format!("{frame}/{count}"));
    let place = format!("{view}{number}{mark}");
    let colour = phase.map_or(DARK.faint, colour_on_image);
    svg.text(
        [columns - size * 0.5, baseline],
        Style::new(size, colour).at(Anchor::End),
        &place,
    );
    svg.finish()
}

fn notices(findings: &Findings, language: Language) -> Vec<&'static str> {
    let mut notices = vec![language.ai_statement()];
    if findings.models.iter().any(|model| model.research) {
        notices.push(language.research_statement());
    }
    notices
}

/// As large as the longest notice allows, within what can be read and what doesn't shout.
fn text_size(notices: &[&str], columns: f64) -> f64 {
    let unit = Style::new(1.0, "").bold();
    let longest = notices
        .iter()
        .map(|notice| width(notice, unit))
        .fold(1.0, f64::max);
    (columns / (longest + 1.0))
        .clamp(9.0, 24.0)
        .min(columns / 30.0 + 4.0)
}

fn numbers(findings: &Findings) -> String {
    let Some(lv) = &findings.lv else {
        return String::new();
    };
    let lv = &lv.measurement;
    let mut text = format!("AI  LVEF {:.0} %", lv.lvef_percent);
    for (name, volume) in [("EDV", lv.edv_ml), ("ESV", lv.esv_ml)] {
        if let Some(volume) = volume {
            // Writing into a String doesn't fail.
            write!(text, "  {name} {volume:.0} ml").unwrap_or_default();
        }
    }
    text
}

fn phase_of(clip: &InstanceFindings, frame: u32) -> Option<CardiacPhase> {
    clip.contours
        .iter()
        .find(|contour| contour.frame == frame)
        .map(|contour| contour.phase)
}
