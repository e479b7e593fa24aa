//! `sonode serve`: the process's story from configuration to drained end.

use std::path::Path;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::CliError;
use crate::config::Config;
use crate::node::Running;

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(path: &Path) -> Result<(), CliError> {
    let config = Config::load(path)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Runtime::new().context("tokio can't start")?;
    let outcome = runtime.block_on(serve(config, path));
    // Dropped, it would wait for a drain that somebody is in too much of a hurry for.
    runtime.shutdown_background();
    Ok(outcome?)
}

async fn serve(config: Config, path: &Path) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let title = config.node.ae_title.clone();
    let running = Running::start(config).await?;
    tracing::info!(ae_title = %title, dicom = %running.dicom, page = %running.http, "listening");
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => match Config::load(path) {
                Ok(fresh) => {
                    tracing::info!(peers = fresh.peers.len(), routes = fresh.routes.len(), "peers and routes read again");
                    running.node.reload(fresh);
                }
                Err(error) => tracing::error!("the old peers and routes stay: {error}"),
            },
        }
    }
    tracing::info!("stopping: what runs may end");
    tokio::select! {
        () = running.stop() => tracing::info!("stopped"),
        // Whoever asks twice is in a hurry; everything that was acknowledged is on the disk already.
        _ = terminate.recv() => tracing::warn!("stopped at once"),
        _ = interrupt.recv() => tracing::warn!("stopped at once"),
    }
    Ok(())
}
