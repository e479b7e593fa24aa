//! Findings as a few lines for a terminal.

use std::fmt::Write as _;

use sonode_findings::{CheckOutcome, Findings, InstanceFindings, Method};

/// The study's result, then each instance with its own or with the reason why there is none.
pub(super) fn of(findings: &Findings) -> String {
    let mut text = String::new();
    // Writing into a String can't fail.
    write(findings, &mut text).unwrap_or_default();
    text
}

fn write(findings: &Findings, text: &mut String) -> std::fmt::Result {
    match &findings.lv {
        None => writeln!(text, "Nothing was measured.")?,
        Some(lv) => {
            let measured = &lv.measurement;
            let method = match measured.method {
                Method::ModA4c => "method of disks, apical four-chamber",
                Method::ModA2c => "method of disks, apical two-chamber",
                Method::ModBiplane => "method of disks, biplane",
            };
            write!(text, "LVEF {:.0} %", measured.lvef_percent)?;
            if let Some([low, high]) = measured.lvef_interval {
                write!(text, " (interval {low:.0} to {high:.0})")?;
            }
            if let (Some(edv), Some(esv)) = (measured.edv_ml, measured.esv_ml) {
                write!(text, ", EDV {edv:.0} ml, ESV {esv:.0} ml")?;
            }
            writeln!(text, "; {method}")?;
            writeln!(text, "AI result, not verified by a physician.")?;
            if findings.models.iter().any(|model| model.research) {
                writeln!(text, "Research model, not validated, not for diagnosis.")?;
            }
        }
    }
    for check in &findings.checks {
        if matches!(check.outcome, CheckOutcome::Warn | CheckOutcome::Fail) {
            writeln!(text, "check {}: {}", check.id, check.detail)?;
        }
    }
    for instance in &findings.instances {
        line(instance, text)?;
    }
    Ok(())
}

fn line(instance: &InstanceFindings, text: &mut String) -> std::fmt::Result {
    write!(text, "  {}: ", instance.sop_instance_uid)?;
    match (&instance.rejected, &instance.lv) {
        (Some(reason), _) => {
            let name = serde_json::to_value(reason).unwrap_or_default();
            write!(
                text,
                "not measured ({})",
                name.as_str().unwrap_or("unknown")
            )?;
            if let Some(detail) = &instance.rejected_detail {
                write!(text, ": {detail}")?;
            }
        }
        (None, Some(lv)) => {
            write!(
                text,
                "LVEF {:.0} % over {} beat(s)",
                lv.lvef_percent,
                instance.beats.len()
            )?;
        }
        (None, None) => write!(text, "not measured")?,
    }
    for note in &instance.notes {
        write!(text, "; {note}")?;
    }
    writeln!(text)
}
