//! The acceptor of an association: the SCP side of a connection.

use std::time::{Duration, Instant};

use crate::associate::{self, Acceptance, AssociateRequest};
use crate::machine::{Action, Failure, Input, Machine, Role, State, Timers};
use crate::pdu::{PData, PduError, PduKind, RawPdu};
use crate::refusal::{Abort, Rejection};

/// What the driver has to know. At most one for each input; none after the last.
#[derive(Debug)]
pub enum AcceptorEvent<'a> {
    /// A peer asks: answer with [`Acceptor::accept`] or [`Acceptor::reject`].
    Requested(Box<AssociateRequest>),
    /// A peer asked for what no configuration allows (protocol version, application context), and was rejected. The
    /// last event.
    Refused {
        /// What the peer asked for.
        request: Box<AssociateRequest>,
        /// What it was told.
        rejection: Rejection,
    },
    /// PDVs for [`crate::Assembler::push`].
    Data(PData<'a>),
    /// The association was released in order; a message that is not whole is dropped. The last event.
    Released,
    /// The peer aborted. The last event.
    Aborted(Abort),
    /// The association is over for another reason; if there is a transport left, A-ABORT is in the output. The last event.
    Failed(Failure),
}

/// The state machine. See the crate's documentation for the loop around it.
#[derive(Debug)]
pub struct Acceptor {
    machine: Machine,
    /// The request's fields that go back in the A-ASSOCIATE-AC.
    echoed: [u8; 64],
}

impl Acceptor {
    /// A connection was accepted at `now`.
    pub fn new(timers: Timers, now: Instant) -> Self {
        Self {
            machine: Machine::new(Role::Acceptor, timers, now),
            echoed: [0; 64],
        }
    }

    /// A whole PDU came.
    pub fn on_pdu<'a>(&mut self, pdu: RawPdu<'a>, now: Instant) -> Option<AcceptorEvent<'a>> {
        // What can't be read is told apart from what is not allowed now only where it would be delivered.
        match (self.machine.state(), pdu.kind) {
            (State::AwaitingRequest, PduKind::AssociateRq) => return self.on_request(pdu, now),
            (State::Established | State::AwaitingReleaseReply, PduKind::PData) => {
                let Some(data) = PData::parse(pdu.body) else {
                    return self.fail(Input::Invalid, Failure::MalformedPdu(pdu.kind), now);
                };
                self.machine.step(Input::Pdu(pdu.kind), now);
                return Some(AcceptorEvent::Data(data));
            }
            _ => {}
        }
        match self.machine.step(Input::Pdu(pdu.kind), now) {
            Action::Deliver if pdu.kind == PduKind::Abort => {
                Some(AcceptorEvent::Aborted(Abort::parse(pdu.body)))
            }
            Action::Deliver | Action::SendReleaseRpAndDeliver => Some(AcceptorEvent::Released),
            Action::SendAbort(_) => Some(AcceptorEvent::Failed(Failure::UnexpectedPdu(pdu.kind))),
            _ => None,
        }
    }

    fn on_request<'a>(&mut self, pdu: RawPdu<'a>, now: Instant) -> Option<AcceptorEvent<'a>> {
        let request = match AssociateRequest::parse(pdu.body) {
            Ok(request) => Box::new(request),
            Err(error) => return self.fail(Input::Invalid, error.into(), now),
        };
        self.echoed = associate::echoed(&request, pdu.body);
        self.machine.step(Input::Pdu(pdu.kind), now);
        let rejection = if request.protocol_version & 1 == 0 {
            Rejection::PROTOCOL_VERSION
        } else if !associate::is_dicom_context(&request.application_context) {
            Rejection::APPLICATION_CONTEXT
        } else {
            return Some(AcceptorEvent::Requested(request));
        };
        self.reject(rejection, now);
        Some(AcceptorEvent::Refused { request, rejection })
    }

    /// Accepts the request; aborts if the answer can't be written, which takes more role selections than fit into one
    /// item. Ignored if the peer has gone meanwhile.
    pub fn accept(&mut self, acceptance: &Acceptance, now: Instant) {
        match associate::accept_pdu(&self.echoed, acceptance) {
            Ok(pdu) => {
                if self.machine.step(Input::Accept, now) == Action::SendAnswer {
                    self.machine.on_message(false, now);
                    self.machine.send(&pdu);
                }
            }
            Err(_) => self.abort(Abort::NOT_SPECIFIED, now),
        }
    }

    /// Rejects the request; then the peer's close is awaited. Ignored if the peer has gone meanwhile.
    pub fn reject(&mut self, rejection: Rejection, now: Instant) {
        if self.machine.step(Input::Reject, now) == Action::SendAnswer {
            self.machine.send(&rejection.pdu());
        }
    }

    /// Aborts, for a reason that the driver knows: no event follows.
    pub fn abort(&mut self, abort: Abort, now: Instant) {
        self.machine.step(Input::Abort(abort), now);
    }

    /// Asks for release, as an acceptor may. [`AcceptorEvent::Released`] follows.
    pub fn release(&mut self, now: Instant) {
        self.machine.step(Input::Release, now);
    }

    /// Bytes came; `inside_pdu` is [`crate::PduReader::is_inside_pdu`] after the whole PDUs were consumed.
    pub fn on_bytes(&mut self, inside_pdu: bool, now: Instant) {
        self.machine.on_bytes(inside_pdu, now);
    }

    /// The driver was busy for so long with a part of the PDU that is not whole: that time is not the peer's.
    pub fn on_delay(&mut self, delay: Duration) {
        self.machine.on_delay(delay);
    }

    /// A P-DATA-TF was dealt with, or a response was sent; `inside_message` is
    /// [`crate::Assembler::is_inside_message`].
    pub fn on_message(&mut self, inside_message: bool, now: Instant) {
        self.machine.on_message(inside_message, now);
    }

    /// [`crate::PduReader::pdu`] failed.
    pub fn on_pdu_error(
        &mut self,
        error: PduError,
        now: Instant,
    ) -> Option<AcceptorEvent<'static>> {
        self.machine
            .on_pdu_error(error, now)
            .map(AcceptorEvent::Failed)
    }

    /// The peer closed its side, or the transport broke.
    pub fn on_transport_closed(&mut self, now: Instant) -> Option<AcceptorEvent<'static>> {
        self.fail(Input::TransportClosed, Failure::TransportClosed, now)
    }

    /// The next deadline has passed; does nothing if it hasn't.
    pub fn on_timeout(&mut self, now: Instant) -> Option<AcceptorEvent<'static>> {
        self.machine
            .on_timeout(now)
            .map(|timer| AcceptorEvent::Failed(Failure::Timeout(timer)))
    }

    /// When [`Self::on_timeout`] is to be called; `None` once closed.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.machine.next_deadline()
    }

    /// Bytes to send, in order; empty most of the time. P-DATA is the driver's own to send.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.machine.take_output()
    }

    /// Whether responses may be sent.
    pub fn may_send_data(&self) -> bool {
        self.machine.state() == State::Established
    }

    /// Whether the transport is to be closed, after what [`Self::take_output`] gives was sent.
    pub fn is_closed(&self) -> bool {
        self.machine.state() == State::Closed
    }

    fn fail(
        &mut self,
        input: Input,
        failure: Failure,
        now: Instant,
    ) -> Option<AcceptorEvent<'static>> {
        self.machine
            .fail(input, failure, now)
            .map(AcceptorEvent::Failed)
    }
}
