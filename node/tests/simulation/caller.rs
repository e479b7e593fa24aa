//! The end of a connection that called, around the real `Requestor`: for the carts and for the node.

use std::collections::VecDeque;
use std::time::Instant;

use sonode_conformance::{DimseStatus, SopClassUid, SopInstanceUid};
use sonode_dimse::response::store_request;
use sonode_dimse::{
    Abort, Assembler, AssociateAccept, DimseEvent, PData, PduReader, Proposal, RawUid, Request,
    Requestor, RequestorEvent, Response, StoreRq, data_body_max, write_message,
};

use crate::called::{PDU_LENGTH, TIMERS};

/// One C-STORE.
pub(crate) struct Outgoing {
    pub(crate) context: u8,
    pub(crate) sop_class: SopClassUid,
    pub(crate) sop_instance: SopInstanceUid,
    pub(crate) data: Vec<u8>,
}

/// What is sent, and who wants to know what became of it.
pub(crate) trait Scu {
    /// The next object; none: release.
    fn next(&mut self, accept: &AssociateAccept) -> Option<Outgoing>;
    /// The answer to the last one.
    fn answered(&mut self, status: DimseStatus);
    /// The end: in order, or why not.
    fn over(&mut self, outcome: Result<(), String>);
}

pub(crate) struct Caller {
    reader: PduReader,
    requestor: Requestor,
    assembler: Assembler,
    accepted: Option<AssociateAccept>,
    responses: VecDeque<Response>,
    message_id: u16,
    output: Vec<u8>,
    is_over: bool,
}

impl Caller {
    pub(crate) fn new(proposal: Proposal, now: Instant) -> Self {
        let proposal = proposal.with_max_pdu_length(PDU_LENGTH);
        Self {
            reader: PduReader::new(),
            requestor: Requestor::new(proposal, TIMERS, now).unwrap(),
            assembler: Assembler::new([]),
            accepted: None,
            responses: VecDeque::new(),
            message_id: 0,
            output: Vec::new(),
            is_over: false,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.requestor.next_deadline()
    }

    /// Whether nothing is to be said or heard any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.requestor.is_closed() || self.is_over
    }

    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        let mut output = self.requestor.take_output();
        output.append(&mut self.output);
        output
    }

    pub(crate) fn on_timeout(&mut self, now: Instant, scu: &mut dyn Scu) {
        if let Some(event) = self.requestor.on_timeout(now) {
            self.ended(&event, scu);
        }
    }

    pub(crate) fn on_closed(&mut self, now: Instant, scu: &mut dyn Scu) {
        self.requestor.on_transport_closed(now);
        self.end(Err("the peer closed the connection".to_owned()), scu);
    }

    pub(crate) fn on_bytes(&mut self, mut bytes: &[u8], now: Instant, scu: &mut dyn Scu) {
        let mut reader = std::mem::take(&mut self.reader);
        while !bytes.is_empty() && !self.is_closed() {
            let read = std::io::Read::read(&mut bytes, reader.space()).unwrap();
            reader.advance(read);
            loop {
                let event = match reader.pdu() {
                    Ok(None) => break,
                    Ok(Some(pdu)) => self.requestor.on_pdu(pdu, now),
                    Err(error) => self.requestor.on_pdu_error(error, now),
                };
                match event {
                    Some(RequestorEvent::Accepted(accept)) => {
                        reader.set_body_max(data_body_max(PDU_LENGTH));
                        self.assembler = Assembler::new(accept.accepted_ids());
                        self.accepted = Some(*accept);
                        self.go_on(now, scu);
                    }
                    Some(RequestorEvent::Data(data)) => self.answers(data, now, scu),
                    Some(event) => self.ended(&event, scu),
                    None => {}
                }
                reader.consume();
                if self.is_closed() {
                    break;
                }
            }
        }
        self.requestor.on_bytes(reader.is_inside_pdu(), now);
        self.reader = reader;
    }

    fn answers(&mut self, data: PData<'_>, now: Instant, scu: &mut dyn Scu) {
        for pdv in data {
            match self.assembler.push(pdv) {
                Ok(Some(DimseEvent::Command { command, .. })) => {
                    self.responses.extend(command.response().cloned());
                }
                Ok(_) => {}
                Err(error) => {
                    self.requestor.abort(error.abort(), now);
                    self.end(Err(error.to_string()), scu);
                }
            }
        }
        self.requestor
            .on_message(self.assembler.is_inside_message(), now);
        while let Some(response) = self.responses.pop_front() {
            if response.message_id != self.message_id {
                self.requestor.abort(Abort::SERVICE_USER, now);
                return self.end(Err("another message was answered".to_owned()), scu);
            }
            self.requestor.on_response(now);
            scu.answered(response.status);
            self.go_on(now, scu);
        }
    }

    fn go_on(&mut self, now: Instant, scu: &mut dyn Scu) {
        let Some(accepted) = &self.accepted else {
            return;
        };
        let Some(object) = scu.next(accepted) else {
            return self.requestor.release(now);
        };
        self.message_id += 1;
        let request = store_request(&StoreRq {
            request: Request {
                message_id: self.message_id,
                sop_class: RawUid::from(object.sop_class.as_str()),
                sop_instance: RawUid::from(object.sop_instance.as_str()),
            },
            ..StoreRq::default()
        });
        let max = accepted.max_pdu_length;
        let data = Some(object.data.as_slice());
        write_message(&mut self.output, object.context, &request, data, max);
        self.requestor.expect_response(now);
    }

    fn ended(&mut self, event: &RequestorEvent<'_>, scu: &mut dyn Scu) {
        match event {
            RequestorEvent::Released => self.end(Ok(()), scu),
            other => self.end(Err(format!("{other:?}")), scu),
        }
    }

    fn end(&mut self, outcome: Result<(), String>, scu: &mut dyn Scu) {
        if !self.is_over {
            self.is_over = true;
            scu.over(outcome);
        }
    }
}
