//! What an association may use beside storage: the normalized services, by the peer's configuration.

use std::collections::HashMap;
use std::sync::mpsc::SyncSender;

use sonode_conformance::transfer_syntax::{self, Encoding};
use sonode_conformance::{DimseStatus, limits, sop_class};
use sonode_dimse::command::{Command, RawUid, Request, Response};
use sonode_dimse::response::event_report_request;
use sonode_dimse::{AssociateRequest, NegotiatedContext, RoleSelection, respond};

use crate::commitment;
use crate::config::{Commitment, Config, Peer};
use crate::mailbox::Outgoing;
use crate::node::Node;
use crate::procedure_step;
use crate::relay;

/// The classes that a peer may use.
pub(crate) fn offered(config: &Config, peer: &Peer) -> Vec<&'static str> {
    let mut classes = Vec::new();
    if config.asks_commitment_of(&peer.name) || peer.commitment == Commitment::Relay {
        classes.push(sop_class::STORAGE_COMMITMENT);
    }
    if peer.mpps {
        classes.push(sop_class::PERFORMED_PROCEDURE_STEP);
    }
    classes
}

/// The roles that are agreed to (PS3.7 annex D.3.3.4): a peer that is asked for commitment is the SCP of it, a cart that
/// asks is its SCU. A peer that proposes no role and reports all the same is understood.
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
            scu: role.scu && peer.commitment == Commitment::Relay,
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
    /// Requests of ours on this association.
    sent: u16,
    /// Who waits for which response.
    awaiting: HashMap<u16, SyncSender<DimseStatus>>,
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
            ..Self::default()
        }
    }

    /// Takes a command if it is one of these services' on its own context; its data set follows.
    pub(crate) fn begin(&mut self, context: u8, command: &Command) -> bool {
        let Some((class, encoding)) = self.contexts.get(&context) else {
            return false;
        };
        let is_served = matches!(
            (*class, command),
            (
                sop_class::STORAGE_COMMITMENT,
                Command::EventReportRq(..) | Command::ActionRq(..)
            ) | (
                sop_class::PERFORMED_PROCEDURE_STEP,
                Command::CreateRq(_) | Command::SetRq(_)
            )
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
        (peer, association): (&Peer, u64),
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
        let Incoming {
            command,
            encoding,
            data,
            ..
        } = incoming;
        let (status, comment) = match &command {
            Command::ActionRq(_, action) if peer.commitment == Commitment::Relay => {
                relay::take_action(node, (&peer.name, association), *action, &data, encoding)
            }
            Command::CreateRq(_) | Command::SetRq(_) => {
                procedure_step::take(node, &peer.name, &command, &data, encoding)
            }
            Command::EventReportRq(..) => {
                let (status, _) =
                    commitment::take_event(node, &peer.name, &command, &data, encoding);
                (status, String::new())
            }
            _ => (
                DimseStatus::NOT_AUTHORIZED,
                "this peer may not ask for commitment".to_owned(),
            ),
        };
        respond(&command, status, &comment)
    }

    /// An N-EVENT-REPORT of ours that waits for this association.
    pub(crate) fn take_request(
        &mut self,
        node: &Node,
        association: u64,
    ) -> Option<(u8, Vec<u8>, Vec<u8>)> {
        let is_its =
            |(_, (class, _)): &(&u8, &(&str, Encoding))| *class == sop_class::STORAGE_COMMITMENT;
        let (context, (class, encoding)) = self.contexts.iter().find(is_its)?;
        let Outgoing { result, answer } = node.mailboxes().take(association)?;
        self.sent = self.sent.wrapping_add(1).max(1);
        let request = Request {
            message_id: self.sent,
            sop_class: RawUid::from(*class),
            sop_instance: RawUid::from(sop_class::STORAGE_COMMITMENT_INSTANCE),
        };
        let command = event_report_request(&request, result.event_type());
        let data = result.encode(*encoding);
        self.awaiting.insert(self.sent, answer);
        Some((*context, command, data))
    }

    /// A response to such a request.
    pub(crate) fn on_response(&mut self, response: &Response) {
        if let Some(answer) = self.awaiting.remove(&response.message_id) {
            // Nobody waits any more: the report is sent again.
            answer.try_send(response.status).unwrap_or_default();
        }
    }
}
