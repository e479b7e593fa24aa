//! The command line: parsing, exit codes, and one module a command.

mod analyze;
mod check;
mod demo;
mod echo;
mod models;
mod send;
mod serve;
mod sr;
mod studies;
mod summary;
mod worker;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use sonode_conformance::AeTitle;

use crate::config::{Config, ConfigError, PeerAddress};

/// Ultrasound in, Structured Report out: a DICOM node that measures the left ventricle.
#[derive(Debug, Parser)]
#[command(name = "sonode", version, about, long_about = None)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage or configuration.\nStart with: sonode demo"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// More in the log; twice for everything. `RUST_LOG` wins.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node. SIGTERM drains, SIGHUP re-reads the peers and routes.
    Serve(ConfigArg),
    /// Send a phantom study, or the given files, through a whole node on loopback and print the report.
    Demo(demo::Demo),
    /// Analyse files without any network: DICOM in, findings and report out.
    Analyze(analyze::Analyze),
    /// Report every problem of a configuration at once, each with its key.
    Check(ConfigArg),
    /// C-ECHO a peer; a rejection is explained in plain words.
    Echo(echo::Echo),
    /// C-STORE files to a peer; also a load generator.
    Send(send::Send),
    /// The queue of the running node: list, show, retry, close, discard.
    Studies(studies::Studies),
    /// Show or check any Structured Report.
    Sr(sr::Sr),
    /// Print the DICOM Conformance Statement as Markdown.
    Conformance,
    /// The registry of models: list, inspect, bench.
    Models(models::Models),
}

#[derive(Debug, Args)]
struct ConfigArg {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// How a command failed.
#[derive(Debug)]
enum CliError {
    /// Exit code 1.
    Failed(anyhow::Error),
    /// Exit code 2.
    Usage(anyhow::Error),
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.into())
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(cli.verbose, matches!(cli.command, Command::Serve(_)));
    let outcome = match cli.command {
        Command::Serve(args) => serve::run(&args.config),
        Command::Demo(args) => demo::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Check(args) => check::run(&args.config),
        Command::Echo(args) => echo::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Studies(args) => studies::run(&args),
        Command::Sr(args) => sr::run(&args),
        Command::Conformance => {
            use std::io::Write as _;
            std::io::stdout()
                .write_all(crate::statement::markdown().as_bytes())
                .map_err(|error| CliError::Failed(error.into()))
        }
        Command::Models(args) => models::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::Failed(error)) => {
            eprintln!("sonode: {error:#}");
            ExitCode::from(1)
        }
        Err(CliError::Usage(error)) => {
            eprintln!("sonode: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn start_log(verbose: u8, serving: bool) {
    let level = match (serving, verbose) {
        (false, 0) => "warn",
        (true, 0) | (false, 1) => "info",
        // The queue's own library tells of every page that it writes.
        (true, 1) | (false, _) => "debug,sled=info",
        (true, _) => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

/// A peer by its name in the configuration, or spelled out as `AET@HOST:PORT`.
#[derive(Debug, Clone)]
struct Target {
    ae_title: AeTitle,
    address: PeerAddress,
}

#[derive(Debug, Args)]
struct TargetArgs {
    /// Our own AE title. Default: the configuration's, else SONODE.
    #[arg(long, value_name = "AET")]
    from: Option<AeTitle>,
    /// The configuration in which PEER is looked up.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl TargetArgs {
    /// Our own title and the peer that `text` names.
    fn resolve(&self, text: &str) -> Result<(AeTitle, Target), CliError> {
        let config = self.config.as_deref().map(Config::load).transpose()?;
        let own = match (&self.from, &config) {
            (Some(title), _) => title.clone(),
            (None, Some(config)) => config.node.ae_title.clone(),
            (None, None) => {
                AeTitle::parse(b"SONODE").map_err(|error| CliError::Failed(error.into()))?
            }
        };
        if let Some(target) = spelled_out(text).map_err(CliError::Usage)? {
            return Ok((own, target));
        }
        let config = config.ok_or_else(|| {
            CliError::Usage(anyhow::anyhow!(
                "{text:?} is no AET@HOST:PORT; to look it up as a peer's name, give --config FILE"
            ))
        })?;
        let peer = config.peer(text).ok_or_else(|| {
            let names: Vec<&str> = config.peers.iter().map(|peer| peer.name.as_str()).collect();
            CliError::Usage(anyhow::anyhow!(
                "there is no peer {text:?}; known: {}",
                names.join(", ")
            ))
        })?;
        let address = peer.address.clone().ok_or_else(|| {
            CliError::Usage(anyhow::anyhow!(
                "the peer {text:?} has no host and port in the configuration"
            ))
        })?;
        Ok((
            own,
            Target {
                ae_title: peer.ae_title.clone(),
                address,
            },
        ))
    }
}

/// Parses `AET@HOST:PORT`; none if there is no `@`.
fn spelled_out(text: &str) -> anyhow::Result<Option<Target>> {
    let Some((title, place)) = text.rsplit_once('@') else {
        return Ok(None);
    };
    let ae_title = title
        .parse()
        .map_err(|error| anyhow::anyhow!("{title:?} is no AE title: {error}"))?;
    let (host, port) = place
        .rsplit_once(':')
        .ok_or_else(|| anyhow::anyhow!("{text:?} lacks the port: write AET@HOST:PORT"))?;
    let port = port
        .parse()
        .map_err(|_| anyhow::anyhow!("{port:?} is no port number"))?;
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    Ok(Some(Target {
        ae_title,
        address: PeerAddress { host, port },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_target_is_spelled_out_with_a_title_a_host_and_a_port() {
        let target = spelled_out("PACS@[::1]:104").unwrap().unwrap();
        assert_eq!(
            (target.address.host.as_str(), target.address.port),
            ("::1", 104)
        );
        assert!(spelled_out("pacs").unwrap().is_none());
        assert!(spelled_out("PACS@host").is_err());
        assert!(spelled_out("@host:1").is_err());
    }
}
