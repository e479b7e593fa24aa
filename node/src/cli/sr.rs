//! `sonode sr show|lint`: any Structured Report as a readable tree, and our linter.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::CliError;

#[derive(Debug, Args)]
pub(super) struct Sr {
    #[command(subcommand)]
    command: SrCommand,
}

#[derive(Debug, Subcommand)]
enum SrCommand {
    /// Print the content tree.
    Show {
        /// A Part 10 file.
        file: PathBuf,
    },
    /// Find what no validator finds; exit code 1 if there is anything.
    Lint {
        /// A Part 10 file.
        file: PathBuf,
    },
}

/// Shows or checks one report.
pub(super) fn run(args: &Sr) -> Result<(), CliError> {
    match &args.command {
        SrCommand::Show { file } => {
            let text = sonode_sr_writer::show(&read(file)?)
                .context("this is no report that can be shown")?;
            print!("{text}");
            Ok(())
        }
        SrCommand::Lint { file } => {
            let defects = sonode_sr_writer::lint(&read(file)?);
            for defect in &defects {
                println!("{defect}");
            }
            if defects.is_empty() {
                println!("{}: no defect", file.display());
                Ok(())
            } else {
                Err(anyhow::anyhow!("{} defect(s)", defects.len()).into())
            }
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(file)
        .map_err(|error| CliError::Usage(anyhow::anyhow!("{}: {error}", file.display())))
}
