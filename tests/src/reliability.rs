//! Rows of tests/RELIABILITY.md, as `make soak` collects them: where `SONODE_RELIABILITY` names a file, a row is added to it.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};

/// One fault: how often it was injected, what was lost, and how long the node took each time until it was healthy again.
pub fn row(fault: &str, times: u32, lost: &str, healthy: &[Duration]) -> Result<()> {
    let mut sorted: Vec<f64> = healthy.iter().map(Duration::as_secs_f64).collect();
    sorted.sort_by(f64::total_cmp);
    let again = match (sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(median), Some(most)) => format!("{median:.1} s, at most {most:.1} s"),
        _ => "at once".to_owned(),
    };
    let line = format!("| {fault} | {times} | {lost} | {again} |");
    println!("{line}");
    let Some(path) = std::env::var_os("SONODE_RELIABILITY") else {
        return Ok(());
    };
    let mut file = File::options().create(true).append(true).open(&path);
    let file = file
        .as_mut()
        .ok()
        .context("SONODE_RELIABILITY can't be written")?;
    Ok(writeln!(file, "{line}")?)
}
