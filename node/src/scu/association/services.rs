//! The normalized services and queries on a requested association.

use std::time::Instant;

use sonode_conformance::DimseStatus;
use sonode_conformance::transfer_syntax::{self, Encoding};
use sonode_dimse::command::{RawUid, Request, Response};
use sonode_dimse::response::{action_request, event_report_request, find_request, respond};
use sonode_dimse::write_message;

use super::{Association, Message};
use crate::scu::ScuError;

impl Association {
    /// The first accepted context of a class, and how its data sets are written.
    pub(crate) fn service(&self, class: &str) -> Option<(u8, Encoding)> {
        let context = self.accepted.accepted(class).next()?;
        let syntax = transfer_syntax::find(&context.transfer_syntax)?;
        Some((context.id, syntax.encoding))
    }

    /// N-ACTION.
    ///
    /// # Errors
    /// [`ScuError::Broken`].
    pub(crate) fn action(
        &mut self,
        context: u8,
        object: (&str, &str),
        action: u16,
        information: &[u8],
    ) -> Result<Response, ScuError> {
        let request = self.request(object);
        let message_id = request.message_id;
        self.message(context, &action_request(&request, action), information)?;
        Ok(self.response(message_id)?.0)
    }

    /// N-EVENT-REPORT, where we are the SCP.
    ///
    /// # Errors
    /// [`ScuError::Broken`].
    pub(crate) fn event_report(
        &mut self,
        context: u8,
        object: (&str, &str),
        event: u16,
        information: &[u8],
    ) -> Result<Response, ScuError> {
        let request = self.request(object);
        let message_id = request.message_id;
        self.message(context, &event_report_request(&request, event), information)?;
        Ok(self.response(message_id)?.0)
    }

    /// C-FIND: the identifiers that match, `most` at most, and the final status.
    ///
    /// # Errors
    /// [`ScuError::Broken`].
    pub(crate) fn find(
        &mut self,
        context: u8,
        class: &str,
        identifier: &[u8],
        most: usize,
    ) -> Result<(DimseStatus, Vec<Vec<u8>>), ScuError> {
        let message_id = self.next_message_id();
        let request = find_request(message_id, &RawUid::from(class));
        self.message(context, &request, identifier)?;
        let mut matches = Vec::new();
        loop {
            let (response, data) = self.response(message_id)?;
            if !matches!(response.status.0, 0xFF00 | 0xFF01) {
                return Ok((response.status, matches));
            }
            matches.push(data);
            if matches.len() > most {
                self.wire.abort();
                let what = "the peer found more than was asked for".to_owned();
                return Err(ScuError::Broken(what));
            }
        }
    }

    /// The next N-EVENT-REPORT request, if one comes by then. It is to be answered with [`Self::answer`].
    ///
    /// # Errors
    /// [`ScuError::Broken`].
    pub(crate) fn event(&mut self, until: Instant) -> Result<Option<Message>, ScuError> {
        loop {
            self.events.append(&mut self.wire.messages);
            let found = self.events.pop_front();
            if found.is_some() || self.wire.released || Instant::now() >= until {
                return Ok(found);
            }
            self.wire.step(Some(until))?;
        }
    }

    /// Answers a request of the peer's.
    ///
    /// # Errors
    /// [`ScuError::Broken`].
    pub(crate) fn answer(
        &mut self,
        message: &Message,
        status: DimseStatus,
    ) -> Result<(), ScuError> {
        let Some(response) = respond(&message.command, status, "") else {
            return Ok(());
        };
        let mut out = Vec::new();
        let peer_max = self.accepted.max_pdu_length;
        write_message(&mut out, message.context, &response, None, peer_max);
        self.wire.send(&out)
    }

    fn request(&mut self, (class, instance): (&str, &str)) -> Request {
        Request {
            message_id: self.next_message_id(),
            sop_class: RawUid::from(class),
            sop_instance: RawUid::from(instance),
        }
    }

    fn message(&mut self, context: u8, command: &[u8], data: &[u8]) -> Result<(), ScuError> {
        let mut out = Vec::new();
        let peer_max = self.accepted.max_pdu_length;
        write_message(&mut out, context, command, Some(data), peer_max);
        self.wire.send(&out)
    }
}
