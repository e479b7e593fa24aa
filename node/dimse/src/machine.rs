//! What acceptor and requestor have in common: the association's state table (PS3.8 table 9-10), its timers, its output.

use std::time::{Duration, Instant};

use sonode_conformance::limits;

use crate::associate::AssociateError;
use crate::pdu::{PduError, PduKind};
use crate::refusal::Abort;

/// Timers of one association. Defaults are those of [`limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// From the start of the connection to A-ASSOCIATE-RQ, for the driver's decision, and from our last word to the
    /// peer's close.
    pub artim: Duration,
    /// Between messages.
    pub idle: Duration,
    /// Inside a message or a PDU, without a byte.
    pub inside_message: Duration,
    /// For a peer's answer to A-ASSOCIATE-RQ, A-RELEASE-RQ, and to a request ([`crate::Requestor::expect_response`]).
    pub response: Duration,
}

/// Longer than any association; added to a clock's time it doesn't overflow.
const TIMER_MAX: Duration = Duration::from_hours(366 * 24);

impl Timers {
    fn capped(self) -> Self {
        Self {
            artim: self.artim.min(TIMER_MAX),
            idle: self.idle.min(TIMER_MAX),
            inside_message: self.inside_message.min(TIMER_MAX),
            response: self.response.min(TIMER_MAX),
        }
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            artim: limits::ARTIM,
            idle: limits::IDLE,
            inside_message: limits::INSIDE_MESSAGE,
            response: limits::RESPONSE,
        }
    }
}

/// Which timer ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// No A-ASSOCIATE-RQ came, or no decision about it was made.
    Artim,
    /// No message came.
    Idle,
    /// A message or a PDU began and then no byte came.
    InsideMessage,
    /// No answer came.
    Response,
}

/// Why an association ended without release, other than by the peer's A-ABORT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A timer ran out.
    #[error("timer {0:?} ran out")]
    Timeout(Timer),
    /// The transport was closed.
    #[error("the peer closed the connection without releasing or aborting the association")]
    TransportClosed,
    /// The stream of PDUs can't be read.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// A-ASSOCIATE-RQ or -AC can't be read.
    #[error(transparent)]
    Associate(#[from] AssociateError),
    /// A PDU that this state does not allow.
    #[error("unexpected PDU {0:?}")]
    UnexpectedPdu(PduKind),
    /// A P-DATA-TF whose items don't add up, or an A-ASSOCIATE-RJ that is too short.
    #[error("the body of a PDU {0:?} can't be read")]
    MalformedPdu(PduKind),
}

/// Who asked for the association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Acceptor,
    Requestor,
}

/// States of PS3.8 table 9-10. Local answers to a release come at once, so Sta8, Sta9 and Sta12 are passed through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Sta2.
    AwaitingRequest,
    /// Sta3.
    AwaitingDecision,
    /// Sta5.
    AwaitingAnswer,
    /// Sta6.
    Established,
    /// Sta7.
    AwaitingReleaseReply,
    /// Sta10.
    CollisionAcceptor,
    /// Sta11.
    CollisionRequestor,
    /// Sta13.
    AwaitingClose,
    /// Sta1.
    Closed,
}

/// What happens to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Pdu(PduKind),
    /// A PDU that can't be read.
    Invalid,
    TransportClosed,
    Timeout,
    Accept,
    Reject,
    Release,
    Abort(Abort),
}

/// What the machine does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing.
    Ignore,
    /// Hands what came to the user.
    Deliver,
    /// Sends A-ASSOCIATE-AC or -RJ.
    SendAnswer,
    SendReleaseRq,
    /// Sends A-RELEASE-RP and says nothing yet.
    SendReleaseRp,
    /// Sends A-RELEASE-RP and tells the user that the association is released.
    SendReleaseRpAndDeliver,
    /// Sends A-ABORT and tells the user why.
    SendAbort(Abort),
    /// Tells the user that it failed.
    Fail,
}

/// The one table: what each state does with each input, and where that leads.
///
/// ```text
///  acceptor                                                    requestor
///  AwaitingRequest                                             AwaitingAnswer --RJ--> Closed
///     | ASSOCIATE-RQ                                              |
///  AwaitingDecision --reject / send RJ--> AwaitingClose           | ASSOCIATE-AC
///     | accept / send AC                                          |
///     `---------------------> Established <-----------------------'
///                              | |   (P-DATA stays here)
///    release / send RELEASE-RQ | `--peer's RELEASE-RQ / send RELEASE-RP--> AwaitingClose
///                              v
///                  AwaitingReleaseReply --RELEASE-RP--> Closed
///                              | peer's RELEASE-RQ: both asked at once
///          acceptor -----------+----------- requestor / send RELEASE-RP
///             v                                v
///     CollisionAcceptor                CollisionRequestor
///             | RELEASE-RP / send              | RELEASE-RP
///             v RELEASE-RP                     v
///        AwaitingClose                       Closed
///
///  AwaitingClose --peer's close, ABORT, ARTIM--> Closed
///  any state     --peer's close, ABORT--> Closed
///  any state     --whatever is not drawn / send ABORT--> AwaitingClose
/// ```
///
/// After our last word (`AwaitingClose`) PS3.8 answers some PDUs with another A-ABORT; here they are all dropped, so that
/// a peer can't make us talk without end.
#[expect(
    clippy::match_same_arms,
    reason = "a row of the table for each state, as in PS3.8"
)]
pub(crate) fn transition(role: Role, state: State, input: Input) -> (Action, State) {
    use Action::{
        Deliver, Fail, Ignore, SendAbort, SendAnswer, SendReleaseRp, SendReleaseRpAndDeliver,
        SendReleaseRq,
    };
    use Input::{Accept, Invalid, Pdu, Reject, Release, Timeout, TransportClosed};
    use PduKind::{
        AssociateAc, AssociateRj, AssociateRq, PData, ReleaseRp, ReleaseRq, Unrecognized,
    };
    use State::{
        AwaitingAnswer, AwaitingClose, AwaitingDecision, AwaitingReleaseReply, AwaitingRequest,
        Closed, CollisionAcceptor, CollisionRequestor, Established,
    };
    match (state, input) {
        (Closed, _) => (Ignore, Closed),
        (AwaitingClose, TransportClosed | Timeout | Pdu(PduKind::Abort)) => (Ignore, Closed),
        (AwaitingClose, _) => (Ignore, AwaitingClose),

        (_, TransportClosed) => (Fail, Closed),
        (_, Pdu(PduKind::Abort)) => (Deliver, Closed),
        // AA-2: who never asked gets no answer.
        (AwaitingRequest, Timeout) => (Fail, Closed),
        (_, Timeout) => (SendAbort(Abort::NOT_SPECIFIED), AwaitingClose),
        (_, Input::Abort(abort)) => (SendAbort(abort), AwaitingClose),
        // AA-1: before there is an association it is the service user's, without a reason.
        (AwaitingRequest, Invalid) => (SendAbort(Abort::SERVICE_USER), AwaitingClose),
        (_, Invalid) => (SendAbort(Abort::INVALID_PARAMETER), AwaitingClose),

        (AwaitingRequest, Pdu(AssociateRq)) => (Deliver, AwaitingDecision),
        (AwaitingRequest, Pdu(_)) => (SendAbort(Abort::SERVICE_USER), AwaitingClose),
        (AwaitingDecision, Accept) => (SendAnswer, Established),
        (AwaitingDecision, Reject) => (SendAnswer, AwaitingClose),

        (AwaitingAnswer, Pdu(AssociateAc)) => (Deliver, Established),
        (AwaitingAnswer, Pdu(AssociateRj)) => (Deliver, Closed),

        (Established | AwaitingReleaseReply, Pdu(PData)) => (Deliver, state),
        (Established, Release) => (SendReleaseRq, AwaitingReleaseReply),
        (Established, Pdu(ReleaseRq)) => (SendReleaseRpAndDeliver, AwaitingClose),

        (AwaitingReleaseReply, Pdu(ReleaseRp)) => (Deliver, Closed),
        (AwaitingReleaseReply, Pdu(ReleaseRq)) => match role {
            Role::Acceptor => (Ignore, CollisionAcceptor),
            Role::Requestor => (SendReleaseRp, CollisionRequestor),
        },
        (CollisionAcceptor, Pdu(ReleaseRp)) => (SendReleaseRpAndDeliver, AwaitingClose),
        (CollisionRequestor, Pdu(ReleaseRp)) => (Deliver, Closed),

        (_, Pdu(Unrecognized(_))) => (SendAbort(Abort::UNRECOGNIZED_PDU), AwaitingClose),
        (_, Pdu(_)) => (SendAbort(Abort::UNEXPECTED_PDU), AwaitingClose),
        // A command that comes too late, because the peer was faster.
        (_, Accept | Reject | Release) => (Ignore, state),
    }
}

/// State, timers and output of one association.
#[derive(Debug)]
pub(crate) struct Machine {
    role: Role,
    state: State,
    timers: Timers,
    /// When the state was entered.
    since: Instant,
    /// When the peer's last byte came, or our last message was dealt with.
    last_activity: Instant,
    /// When the incomplete PDU began.
    pdu_began: Option<Instant>,
    inside_message: bool,
    response_due: Option<Instant>,
    output: Vec<u8>,
}

impl Machine {
    pub(crate) fn new(role: Role, timers: Timers, now: Instant) -> Self {
        Self {
            role,
            state: match role {
                Role::Acceptor => State::AwaitingRequest,
                Role::Requestor => State::AwaitingAnswer,
            },
            timers: timers.capped(),
            since: now,
            last_activity: now,
            pdu_began: None,
            inside_message: false,
            response_due: None,
            output: Vec::new(),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Makes one step of the table, and sends what it says except the answer to a request, which the caller has.
    pub(crate) fn step(&mut self, input: Input, now: Instant) -> Action {
        let (action, next) = transition(self.role, self.state, input);
        if next != self.state {
            self.state = next;
            self.since = now;
        }
        if matches!(input, Input::Pdu(_)) {
            self.last_activity = now;
            self.pdu_began = None;
        }
        match action {
            Action::SendReleaseRq => self.send(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]),
            Action::SendReleaseRp | Action::SendReleaseRpAndDeliver => {
                self.send(&[6, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
            }
            Action::SendAbort(abort) => self.send(&abort.pdu()),
            Action::Ignore | Action::Deliver | Action::SendAnswer | Action::Fail => {}
        }
        action
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    pub(crate) fn on_bytes(&mut self, inside_pdu: bool, now: Instant) {
        self.last_activity = now;
        self.pdu_began = inside_pdu.then(|| self.pdu_began.unwrap_or(now));
    }

    pub(crate) fn on_delay(&mut self, delay: Duration) {
        self.pdu_began = self.pdu_began.map(|began| began + delay);
    }

    pub(crate) fn on_message(&mut self, inside: bool, now: Instant) {
        self.inside_message = inside;
        self.last_activity = now;
    }

    pub(crate) fn set_response_due(&mut self, due: bool, now: Instant) {
        self.response_due =
            (due && self.state == State::Established).then(|| now + self.timers.response);
    }

    /// The timer that runs out first, and when. `None` only in [`State::Closed`].
    fn next(&self) -> Option<(Instant, Timer)> {
        let timers = &self.timers;
        match self.state {
            State::Closed => None,
            State::AwaitingRequest | State::AwaitingDecision | State::AwaitingClose => {
                Some((self.since + timers.artim, Timer::Artim))
            }
            State::AwaitingAnswer
            | State::AwaitingReleaseReply
            | State::CollisionAcceptor
            | State::CollisionRequestor => Some((self.since + timers.response, Timer::Response)),
            State::Established => {
                let quiet = if self.inside_message || self.pdu_began.is_some() {
                    (
                        self.last_activity + timers.inside_message,
                        Timer::InsideMessage,
                    )
                } else {
                    (self.last_activity + timers.idle, Timer::Idle)
                };
                // One PDU may take as long as a pause between messages, so that a trickle of bytes ends as well.
                let pdu = self
                    .pdu_began
                    .map(|began| (began + timers.idle, Timer::InsideMessage));
                let response = self.response_due.map(|due| (due, Timer::Response));
                [Some(quiet), pdu, response]
                    .into_iter()
                    .flatten()
                    .min_by_key(|(due, _)| *due)
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next().map(|(due, _)| due)
    }

    /// Takes the step of a timer that has run out by `now`; `None` if none has, or if nobody needs to know.
    pub(crate) fn on_timeout(&mut self, now: Instant) -> Option<Timer> {
        let (due, timer) = self.next()?;
        if now < due {
            return None;
        }
        match self.step(Input::Timeout, now) {
            Action::Fail | Action::SendAbort(_) => Some(timer),
            _ => None,
        }
    }

    pub(crate) fn on_pdu_error(&mut self, error: PduError, now: Instant) -> Option<Failure> {
        let input = match error {
            PduError::Unrecognized(kind) => Input::Pdu(PduKind::Unrecognized(kind)),
            PduError::TooLong { .. } => Input::Invalid,
        };
        self.fail(input, error.into(), now)
    }

    /// A step that ends the association: the failure, unless it was over already.
    pub(crate) fn fail(&mut self, input: Input, failure: Failure, now: Instant) -> Option<Failure> {
        match self.step(input, now) {
            Action::Fail | Action::SendAbort(_) => Some(failure),
            _ => None,
        }
    }
}
