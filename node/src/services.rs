//! What an association may use beside storage: the normalized services, by the peer's configuration.

use std::collections::HashMap;

use sonode_conformance::transfer_syntax::{self, Encoding};
use sonode_conformance::{DimseStatus, limits, sop_class};
use sonode_dimse::command::Command;
use sonode_dimse::{AssociateRequest, NegotiatedContext, RoleSelection, respond};

use crate::commitment;
use crate::config::{Config, Peer};
use crate::node::Node;

/// The classes that a peer may use.
pub(crate) fn offered(config: &Config, peer: &Peer) -> Vec<&'static str> {
    let mut classes = Vec::new();
    if config.asks_commitment_of(&peer.name) {
        classes.push(sop_class::STORAGE_COMMITMENT);
    }
    classes
}

/// The roles that are agreed to (PS3.7 annex D.3.3.4): a peer that is asked for commitment is the SCP of it. One that
/// proposes no role and reports all the same is understood.
pub(crate) fn roles(
    config: &Config,
    peer: &Peer,
    request: &AssociateRequest,
) -> Vec<RoleSelection> {
    let asked = request.roles.iter();
    asked
        .filter(|role| role.sop_class == sop_class::STORAGE_COMMITMENT)
        .map(|role| RoleSelection {
            sop_class: role.sop_class.clone(),
            scu: false,
            scp: role.scp && config.asks_commitment_of(&peer.name),
        })
        .collect()
}

/// A message that is coming in; its data set is kept in memory, within bounds.
struct Incoming {
    command: Command,
    encoding: Encoding,
    data: Vec<u8>,
    is_too_long: bool,
}

/// The normalized services of one association.
#[derive(Default)]
pub(crate) struct Services {
    /// Abstract syntax and encoding by context.
    contexts: HashMap<u8, (&'static str, Encoding)>,
    incoming: Option<Incoming>,
}

impl Services {
    pub(crate) fn new(contexts: &[NegotiatedContext]) -> Self {
        let contexts = contexts.iter().filter_map(|context| {
            let class = sop_class::find_service(&context.abstract_syntax)?;
            let syntax = transfer_syntax::find(context.transfer_syntax()?)?;
            Some((context.id, (class.uid, syntax.encoding)))
        });
        Self {
            contexts: contexts.collect(),
            incoming: None,
        }
    }

    /// Takes a command if it is one of these services' on its own context; its data set follows.
    pub(crate) fn begin(&mut self, context: u8, command: &Command) -> bool {
        let Some((class, encoding)) = self.contexts.get(&context) else {
            return false;
        };
        let is_served = matches!(
            (*class, command),
            (sop_class::STORAGE_COMMITMENT, Command::EventReportRq(..))
        );
        if is_served {
            self.incoming = Some(Incoming {
                command: command.clone(),
                encoding: *encoding,
                data: Vec::new(),
                is_too_long: false,
            });
        }
        is_served
    }

    /// Whether a data set is coming.
    pub(crate) fn is_receiving(&self) -> bool {
        self.incoming.is_some()
    }

    /// Takes the next bytes; gives the response when the message is whole.
    pub(crate) fn data(
        &mut self,
        node: &Node,
        peer: &str,
        bytes: &[u8],
        is_last: bool,
    ) -> Option<Vec<u8>> {
        let incoming = self.incoming.as_mut()?;
        if incoming.data.len() + bytes.len() > limits::DATA_SET_BYTES_MAX {
            incoming.is_too_long = true;
            incoming.data = Vec::new();
        } else if !incoming.is_too_long {
            incoming.data.extend_from_slice(bytes);
        }
        if !is_last {
            return None;
        }
        let incoming = self.incoming.take()?;
        if incoming.is_too_long {
            let comment = "the data set is longer than 8 MiB";
            return respond(&incoming.command, DimseStatus::PROCESSING_FAILURE, comment);
        }
        let (status, _) = commitment::take_event(
            node,
            peer,
            &incoming.command,
            &incoming.data,
            incoming.encoding,
        );
        respond(&incoming.command, status, "")
    }
}
