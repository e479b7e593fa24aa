//! Runs `sonode-worker` as a command beside the node: the commands that need pixels or models hand over to it.

use std::process::Command;

use anyhow::Context as _;

use super::CliError;
use crate::config::default_worker;

/// The worker's command line so far. Its log is as quiet as that of our own commands.
pub(super) fn command(subcommand: &str) -> Command {
    let mut command = Command::new(default_worker());
    command.arg(subcommand);
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", "warn,usvg=error");
    }
    command
}

/// Runs it to its end with our own standard streams.
pub(super) fn finish(mut command: Command) -> Result<(), CliError> {
    let status = command
        .status()
        .with_context(|| could_not_start(&command))?;
    if status.success() {
        Ok(())
    } else {
        Err(anyhow::anyhow!("sonode-worker ended with {status}; its reason stands above").into())
    }
}

/// Runs it to its end and gives what it wrote to standard output.
pub(super) fn output(mut command: Command) -> Result<Vec<u8>, CliError> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| could_not_start(&command))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(anyhow::anyhow!(
            "sonode-worker ended with {}; its reason stands above",
            output.status
        )
        .into())
    }
}

/// What to say when the program is not there.
pub(super) fn could_not_start(command: &Command) -> String {
    format!(
        "{} can't be started: build it with `make build`",
        command.get_program().display()
    )
}
