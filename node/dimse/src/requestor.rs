//! The requestor of an association: the SCU side of a connection.

use std::time::Instant;

use crate::associate::{self, AssociateAccept, Proposal, ProposalError};
use crate::machine::{Action, Failure, Input, Machine, Role, State, Timers};
use crate::pdu::{PData, PduError, PduKind, RawPdu};
use crate::refusal::{Abort, Rejection};

/// What the driver has to know. At most one for each input; none after the last.
#[derive(Debug)]
pub enum RequestorEvent<'a> {
    /// The peer accepted; single contexts may be rejected all the same.
    Accepted(Box<AssociateAccept>),
    /// The peer rejected. The last event.
    Rejected(Rejection),
    /// PDVs for [`crate::Assembler::push`].
    Data(PData<'a>),
    /// The association was released in order. The last event.
    Released,
    /// The peer aborted. The last event.
    Aborted(Abort),
    /// The association is over for another reason; if there is a transport left, A-ABORT is in the output. The last event.
    Failed(Failure),
}

/// The state machine. Its first output is the A-ASSOCIATE-RQ. The driver's loop is that of an [`crate::Acceptor`].
#[derive(Debug)]
pub struct Requestor {
    machine: Machine,
    proposal: Proposal,
}

impl Requestor {
    /// A connection stands since `now`, and `proposal` is asked for.
    ///
    /// # Errors
    /// [`ProposalError::NoContext`]; [`ProposalError::TooManyContexts`] if the PDU can't be written.
    pub fn new(proposal: Proposal, timers: Timers, now: Instant) -> Result<Self, ProposalError> {
        if proposal.contexts().is_empty() {
            return Err(ProposalError::NoContext);
        }
        let pdu = associate::request_pdu(&proposal).map_err(|_| ProposalError::TooManyContexts)?;
        let mut machine = Machine::new(Role::Requestor, timers, now);
        machine.send(&pdu);
        Ok(Self { machine, proposal })
    }

    /// A whole PDU came.
    pub fn on_pdu<'a>(&mut self, pdu: RawPdu<'a>, now: Instant) -> Option<RequestorEvent<'a>> {
        match (self.machine.state(), pdu.kind) {
            (State::AwaitingAnswer, PduKind::AssociateAc) => {
                return match AssociateAccept::parse(pdu.body, &self.proposal) {
                    Ok(accept) => {
                        self.machine.step(Input::Pdu(pdu.kind), now);
                        Some(RequestorEvent::Accepted(Box::new(accept)))
                    }
                    Err(error) => self.fail(Input::Invalid, error.into(), now),
                };
            }
            (State::AwaitingAnswer, PduKind::AssociateRj) => {
                let Some(rejection) = Rejection::parse(pdu.body) else {
                    return self.fail(Input::Invalid, Failure::MalformedPdu(pdu.kind), now);
                };
                self.machine.step(Input::Pdu(pdu.kind), now);
                return Some(RequestorEvent::Rejected(rejection));
            }
            (State::Established | State::AwaitingReleaseReply, PduKind::PData) => {
                let Some(data) = PData::parse(pdu.body) else {
                    return self.fail(Input::Invalid, Failure::MalformedPdu(pdu.kind), now);
                };
                self.machine.step(Input::Pdu(pdu.kind), now);
                return Some(RequestorEvent::Data(data));
            }
            _ => {}
        }
        match self.machine.step(Input::Pdu(pdu.kind), now) {
            Action::Deliver if pdu.kind == PduKind::Abort => {
                Some(RequestorEvent::Aborted(Abort::parse(pdu.body)))
            }
            Action::Deliver | Action::SendReleaseRpAndDeliver => Some(RequestorEvent::Released),
            Action::SendAbort(_) => Some(RequestorEvent::Failed(Failure::UnexpectedPdu(pdu.kind))),
            _ => None,
        }
    }

    /// Asks for release. [`RequestorEvent::Released`] follows.
    pub fn release(&mut self, now: Instant) {
        self.machine.step(Input::Release, now);
    }

    /// Aborts, for a reason that the driver knows: no event follows.
    pub fn abort(&mut self, abort: Abort, now: Instant) {
        self.machine.step(Input::Abort(abort), now);
    }

    /// A request is out whole: its response is due within [`Timers::response`].
    pub fn expect_response(&mut self, now: Instant) {
        self.machine.set_response_due(true, now);
    }

    /// The response came; nothing is due now.
    pub fn on_response(&mut self, now: Instant) {
        self.machine.set_response_due(false, now);
    }

    /// Bytes came; `inside_pdu` is [`crate::PduReader::is_inside_pdu`] after the whole PDUs were consumed.
    pub fn on_bytes(&mut self, inside_pdu: bool, now: Instant) {
        self.machine.on_bytes(inside_pdu, now);
    }

    /// A P-DATA-TF was dealt with, or a piece of a request was sent; `inside_message` is
    /// [`crate::Assembler::is_inside_message`].
    pub fn on_message(&mut self, inside_message: bool, now: Instant) {
        self.machine.on_message(inside_message, now);
    }

    /// [`crate::PduReader::pdu`] failed.
    pub fn on_pdu_error(
        &mut self,
        error: PduError,
        now: Instant,
    ) -> Option<RequestorEvent<'static>> {
        self.machine
            .on_pdu_error(error, now)
            .map(RequestorEvent::Failed)
    }

    /// The peer closed its side, or the transport broke.
    pub fn on_transport_closed(&mut self, now: Instant) -> Option<RequestorEvent<'static>> {
        self.fail(Input::TransportClosed, Failure::TransportClosed, now)
    }

    /// The next deadline has passed; does nothing if it hasn't.
    pub fn on_timeout(&mut self, now: Instant) -> Option<RequestorEvent<'static>> {
        self.machine
            .on_timeout(now)
            .map(|timer| RequestorEvent::Failed(Failure::Timeout(timer)))
    }

    /// When [`Self::on_timeout`] is to be called; `None` once closed.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.machine.next_deadline()
    }

    /// Bytes to send, in order. P-DATA is the driver's own to send.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.machine.take_output()
    }

    /// Whether requests may be sent.
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
    ) -> Option<RequestorEvent<'static>> {
        self.machine
            .fail(input, failure, now)
            .map(RequestorEvent::Failed)
    }
}
