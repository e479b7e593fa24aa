//! `sonode echo`: C-ECHO with the answer in plain words.

use clap::Args;

use super::{CliError, TargetArgs};
use crate::scu;

#[derive(Debug, Args)]
pub(super) struct Echo {
    /// A peer's name in the configuration, or AET@HOST:PORT.
    #[arg(value_name = "PEER|AET@HOST:PORT")]
    peer: String,
    #[command(flatten)]
    target: TargetArgs,
}

/// Echoes one peer.
pub(super) fn run(args: &Echo) -> Result<(), CliError> {
    let (own, target) = args.target.resolve(&args.peer)?;
    let timeouts = scu::Timeouts::default();
    let answer =
        scu::echo(&own, &target.ae_title, &target.address, &timeouts).map_err(|error| {
            anyhow::anyhow!(
                "{} at {}, called as {own}: {error}",
                target.ae_title,
                target.address
            )
        })?;
    println!(
        "{} at {} answers: {} in {:.0} ms ({})",
        target.ae_title,
        target.address,
        answer.status,
        answer.elapsed.as_secs_f64() * 1000.0,
        answer
            .implementation
            .as_deref()
            .unwrap_or("no implementation version name"),
    );
    Ok(())
}
