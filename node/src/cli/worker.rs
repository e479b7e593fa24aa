//! Runs `sonode-worker` as a command beside the node: the commands that need pixels or models hand over to it.

use std::process::Command;

use anyhow::Context as _;

use super::CliError;

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

fn could_not_start(command: &Command) -> String {
    format!(
        "{} can't be started: build it with `make build`",
        command.get_program().display()
    )
}
