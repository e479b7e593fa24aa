//! `sonode check`: every problem of a configuration at once.

use std::path::Path;

use super::CliError;
use crate::config::{Config, Problem};

/// Prints what the configuration means, or fails with everything that is wrong.
pub(super) fn run(path: &Path) -> Result<(), CliError> {
    let config = Config::load(path)?;
    for warning in config.warnings.iter().chain(&missing(&config)) {
        eprintln!("warning: {warning}");
    }
    println!("{}: no problem", path.display());
    println!(
        "  {} listens on {}",
        config.node.ae_title, config.node.listen
    );
    println!("  data in {}", config.node.data_dir.display());
    for peer in &config.peers {
        let callable = peer
            .address
            .as_ref()
            .map_or("only calls us".to_owned(), ToString::to_string);
        println!("  peer {:<12} {:<16} {callable}", peer.name, peer.ae_title);
    }
    for route in &config.routes {
        let from = route
            .from
            .as_ref()
            .map_or("every peer".to_owned(), |names| names.join(", "));
        println!("  route {from} -> {}", route.to);
    }
    Ok(())
}

/// What `serve` would need and not find. A warning, since the file may be checked before everything is installed.
fn missing(config: &Config) -> Vec<Problem> {
    let inference = &config.inference;
    let mut missing = Vec::new();
    let mut note = |key: &str, what: String| {
        missing.push(Problem {
            key: key.to_owned(),
            what,
        });
    };
    if !inference.models_dir.is_dir() {
        let dir = inference.models_dir.display();
        note(
            "inference.models_dir",
            format!("there is no folder {dir}: studies would be kept and not reported"),
        );
    }
    if !inference.worker.is_file() {
        let program = inference.worker.display();
        note(
            "inference.worker",
            format!("there is no program {program}: studies would be kept and not reported"),
        );
    }
    missing
}
