//! The node as a service class user: one association, requested, used and released by a blocking caller.

mod association;

use std::time::{Duration, Instant};

use sonode_conformance::{AeTitle, DimseStatus, limits, sop_class, transfer_syntax};
use sonode_dimse::{Proposal, ProposalError, Rejection};

pub(crate) use association::Association;

use crate::config::{Config, Limits, PeerAddress};

/// Time-outs of an association that we request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// For the TCP connection.
    pub(crate) connect: Duration,
    /// For a response.
    pub(crate) response: Duration,
    /// Inside a message without a byte.
    pub(crate) inside_message: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: limits::CONNECT,
            response: limits::RESPONSE,
            inside_message: limits::INSIDE_MESSAGE,
        }
    }
}

impl From<&Limits> for Timeouts {
    fn from(limits: &Limits) -> Self {
        Self {
            response: limits.response,
            inside_message: limits.inside_message,
            ..Self::default()
        }
    }
}

/// Why a peer could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScuError {
    /// The host's name has no address.
    #[error("the host {0:?} can't be found: {1}")]
    Unknown(String, std::io::Error),
    /// No TCP connection.
    #[error("no connection: {0}; is it running, and does the firewall let port and host through?")]
    Connect(std::io::Error),
    /// A-ASSOCIATE-RJ.
    #[error("the association was rejected: {0}")]
    Rejected(Rejection),
    /// A-ABORT, a time-out, a broken connection, or bytes that are no DICOM.
    #[error("the association broke: {0}")]
    Broken(String),
    /// The file could not be read while it was sent; the association was aborted.
    #[error("the file could not be read: {0}")]
    File(std::io::Error),
    /// The peer accepted no context for what was to be done.
    #[error("it does not accept {0}")]
    NoContext(String),
    /// The proposal can't be written.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
}

impl ScuError {
    /// Whether the peer called it permanent: somebody has to mend a configuration.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self, Self::Rejected(rejection) if !rejection.is_transient())
    }
}

/// The title and the address by which a peer is called.
///
/// # Errors
/// [`ScuError::Broken`] where the configuration has none, since it was reloaded.
pub(crate) fn place_of(config: &Config, peer: &str) -> Result<(AeTitle, PeerAddress), ScuError> {
    config
        .peer(peer)
        .and_then(|peer| Some((peer.ae_title.clone(), peer.address.clone()?)))
        .ok_or_else(|| {
            ScuError::Broken("the configuration has no host and port for this peer".to_owned())
        })
}

/// The answer to a C-ECHO.
#[derive(Debug)]
pub(crate) struct EchoAnswer {
    pub(crate) status: DimseStatus,
    /// From the TCP connection to the response.
    pub(crate) elapsed: Duration,
    /// Implementation Version Name of the peer.
    pub(crate) implementation: Option<String>,
}

/// Connects, associates, echoes and releases.
///
/// # Errors
/// Each [`ScuError`] variant but `File`.
pub(crate) fn echo(
    own: &AeTitle,
    peer: &AeTitle,
    address: &PeerAddress,
    timeouts: &Timeouts,
) -> Result<EchoAnswer, ScuError> {
    let began = Instant::now();
    let syntaxes = [
        transfer_syntax::EXPLICIT_LITTLE,
        transfer_syntax::IMPLICIT_LITTLE,
    ];
    let proposal =
        Proposal::new(own.clone(), peer.clone()).with_context(sop_class::VERIFICATION, syntaxes)?;
    let mut association = Association::open(proposal, address, timeouts)?;
    let status = association.echo()?;
    let elapsed = began.elapsed();
    let implementation = association.accepted().implementation_version_name.clone();
    association.release();
    Ok(EchoAnswer {
        status,
        elapsed,
        implementation,
    })
}
