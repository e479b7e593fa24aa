//! The acceptor against a naive oracle, over random sequences of what can happen.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use sonode_dimse::*;

use crate::golden_pdus::{A_ASSOCIATE_AC, A_ASSOCIATE_RQ, P_DATA_TF};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    Pdu(PduKind),
    Malformed(PduKind),
    WrongVersion,
    WrongContext,
    TooLong,
    UnknownPdu,
    TransportClosed,
    Timeout,
    EarlyTimeout,
    Accept,
    Reject,
    Release,
    Abort,
    Bytes,
}

/// What is expected of one step: the event's name, and the type of the PDU that is sent.
type Expected = (Option<&'static str>, Option<u8>);

/// What happened so far, in words of its own and without a state.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "deliberately no state machine"
)]
struct Oracle {
    was_asked: bool,
    has_accepted: bool,
    asked_for_release: bool,
    peer_asked_for_release: bool,
    said_last_word: bool,
    is_over: bool,
}

impl Oracle {
    #[expect(clippy::match_same_arms, reason = "one arm for each case")]
    fn step(&mut self, op: Op) -> Expected {
        if self.is_over {
            return (None, None);
        }
        let peer_gone = matches!(
            op,
            Op::TransportClosed | Op::Pdu(PduKind::Abort) | Op::Malformed(PduKind::Abort)
        );
        if self.said_last_word {
            self.is_over = peer_gone || op == Op::Timeout;
            return (None, None);
        }
        if peer_gone || (op == Op::Timeout && !self.was_asked) {
            self.is_over = true;
            let aborted = peer_gone && op != Op::TransportClosed;
            return (Some(if aborted { "Aborted" } else { "Failed" }), None);
        }
        match op {
            Op::EarlyTimeout | Op::Bytes => (None, None),
            Op::Accept if self.was_asked && !self.has_accepted => {
                self.has_accepted = true;
                (None, Some(2))
            }
            Op::Reject if self.was_asked && !self.has_accepted => self.last(None, 3),
            Op::Release if self.has_accepted && !self.asked_for_release => {
                self.asked_for_release = true;
                (None, Some(5))
            }
            Op::Accept | Op::Reject | Op::Release => (None, None),
            Op::Abort => self.last(None, 7),
            Op::Pdu(PduKind::AssociateRq) if !self.was_asked => {
                self.was_asked = true;
                (Some("Requested"), None)
            }
            Op::WrongVersion | Op::WrongContext if !self.was_asked => self.last(Some("Refused"), 3),
            Op::Pdu(PduKind::PData) if self.has_accepted && !self.peer_asked_for_release => {
                (Some("Data"), None)
            }
            Op::Pdu(PduKind::ReleaseRq) | Op::Malformed(PduKind::ReleaseRq)
                if self.has_accepted && !self.asked_for_release =>
            {
                self.last(Some("Released"), 6)
            }
            Op::Pdu(PduKind::ReleaseRq) | Op::Malformed(PduKind::ReleaseRq)
                if self.has_accepted && !self.peer_asked_for_release =>
            {
                self.peer_asked_for_release = true;
                (None, None)
            }
            Op::Pdu(PduKind::ReleaseRp) | Op::Malformed(PduKind::ReleaseRp)
                if self.asked_for_release =>
            {
                if self.peer_asked_for_release {
                    self.last(Some("Released"), 6)
                } else {
                    self.is_over = true;
                    (Some("Released"), None)
                }
            }
            _ => self.last(Some("Failed"), 7),
        }
    }

    fn last(&mut self, event: Option<&'static str>, pdu: u8) -> Expected {
        self.said_last_word = true;
        (event, Some(pdu))
    }
}

fn name(event: &AcceptorEvent<'_>) -> &'static str {
    match event {
        AcceptorEvent::Requested(_) => "Requested",
        AcceptorEvent::Refused { .. } => "Refused",
        AcceptorEvent::Data(_) => "Data",
        AcceptorEvent::Released => "Released",
        AcceptorEvent::Aborted(_) => "Aborted",
        AcceptorEvent::Failed(_) => "Failed",
    }
}

fn body_of(op: Op) -> Vec<u8> {
    let mut request = A_ASSOCIATE_RQ[6..].to_vec();
    match op {
        Op::Pdu(PduKind::AssociateRq) => request,
        Op::WrongVersion => {
            request[1] = 2;
            request
        }
        Op::WrongContext => {
            request[72] = b'9';
            request
        }
        Op::Pdu(PduKind::PData) => P_DATA_TF[6..].to_vec(),
        Op::Pdu(_) => vec![0; 4],
        _ => vec![],
    }
}

struct Driver {
    acceptor: Acceptor,
    now: Instant,
}

impl Driver {
    fn step(&mut self, op: Op) -> Option<&'static str> {
        let body = body_of(op);
        let pdu = |kind| RawPdu { kind, body: &body };
        let (acceptor, now) = (&mut self.acceptor, self.now);
        let event = match op {
            Op::Pdu(kind) | Op::Malformed(kind) => acceptor.on_pdu(pdu(kind), now),
            Op::WrongVersion | Op::WrongContext => acceptor.on_pdu(pdu(PduKind::AssociateRq), now),
            Op::TooLong => {
                let error = PduError::TooLong {
                    kind: PduKind::PData,
                    length: u32::MAX,
                    max: 1,
                };
                acceptor.on_pdu_error(error, now)
            }
            Op::UnknownPdu => acceptor.on_pdu_error(PduError::Unrecognized(8), now),
            Op::TransportClosed => acceptor.on_transport_closed(now),
            Op::Timeout => {
                self.now = acceptor.next_deadline().unwrap_or(now);
                acceptor.on_timeout(self.now)
            }
            Op::EarlyTimeout => acceptor.on_timeout(now),
            Op::Accept => {
                acceptor.accept(&Acceptance::new(vec![]), now);
                None
            }
            Op::Reject => {
                acceptor.reject(Rejection::CALLING_AE_TITLE, now);
                None
            }
            Op::Release => {
                acceptor.release(now);
                None
            }
            Op::Abort => {
                acceptor.abort(Abort::SERVICE_USER, now);
                None
            }
            Op::Bytes => {
                acceptor.on_bytes(true, now);
                None
            }
        };
        event.as_ref().map(name)
    }
}

fn op() -> impl Strategy<Value = Op> {
    use PduKind::*;
    let kind = prop::sample::select(vec![
        AssociateRq,
        AssociateAc,
        AssociateRj,
        PData,
        ReleaseRq,
        ReleaseRp,
        Abort,
    ]);
    prop_oneof![
        4 => kind.clone().prop_map(Op::Pdu),
        1 => kind.prop_map(Op::Malformed),
        4 => prop::sample::select(vec![
            Op::Pdu(AssociateRq), Op::Pdu(PData), Op::Pdu(ReleaseRq), Op::Pdu(ReleaseRp),
            Op::Accept, Op::Release, Op::Bytes, Op::EarlyTimeout,
        ]),
        1 => prop::sample::select(vec![
            Op::WrongVersion, Op::WrongContext, Op::TooLong, Op::UnknownPdu, Op::TransportClosed,
            Op::Timeout, Op::Reject, Op::Abort,
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_acceptor_does_what_the_oracle_says(
        is_established in any::<bool>(),
        ops in prop::collection::vec(op(), 0..12),
    ) {
        let now = Instant::now();
        let mut driver = Driver { acceptor: Acceptor::new(Timers::default(), now), now };
        let mut oracle = Oracle::default();
        let prefix = if is_established { vec![Op::Pdu(PduKind::AssociateRq), Op::Accept] } else { vec![] };
        for op in prefix.into_iter().chain(ops) {
            let expected = oracle.step(op);
            let event = driver.step(op);
            let sent = driver.acceptor.take_output();
            prop_assert_eq!((event, sent.first().copied()), expected, "{:?}", op);
            prop_assert_eq!(driver.acceptor.is_closed(), oracle.is_over, "{:?}", op);
            prop_assert_eq!(driver.acceptor.next_deadline().is_none(), oracle.is_over);
            driver.now += Duration::from_secs(1);
        }
        // Left alone, it ends by itself: one timer for the association, one for the peer's close.
        for _ in 0..2 {
            driver.step(Op::Timeout);
        }
        prop_assert!(driver.acceptor.is_closed());
    }

    #[test]
    fn no_bytes_panic_the_acceptor(kind in any::<u8>(), body: Vec<u8>, is_established in any::<bool>()) {
        let now = Instant::now();
        let mut driver = Driver { acceptor: Acceptor::new(Timers::default(), now), now };
        if is_established {
            driver.step(Op::Pdu(PduKind::AssociateRq));
            driver.step(Op::Accept);
        }
        let event = driver.acceptor.on_pdu(RawPdu { kind: kind.into(), body: &body }, now);
        if let Some(AcceptorEvent::Data(data)) = event {
            let mut assembler = Assembler::new(0..=255);
            for pdv in data {
                drop(assembler.push(pdv));
            }
        }
    }
}

proptest! {
    #[test]
    fn the_requestor_survives_anything_and_ends(
        is_accepted in any::<bool>(),
        pdus in prop::collection::vec((1u8..9, any::<Option<Vec<u8>>>(), 0u8..12), 0..12),
    ) {
        let mut now = Instant::now();
        let proposal = Proposal::new("A".parse().unwrap(), "B".parse().unwrap())
            .with_context("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])
            .unwrap();
        let mut requestor = Requestor::new(proposal, Timers::default(), now).unwrap();
        if is_accepted {
            let event = requestor.on_pdu(RawPdu { kind: PduKind::AssociateAc, body: &A_ASSOCIATE_AC[6..] }, now);
            prop_assert!(matches!(event, Some(RequestorEvent::Accepted(_))));
        }
        let mut is_over = false;
        for (kind, body, command) in &pdus {
            match command {
                0 => requestor.release(now),
                1 => requestor.abort(Abort::SERVICE_USER, now),
                2 => requestor.expect_response(now),
                3 => requestor.on_bytes(true, now),
                _ => {}
            }
            let body = body.as_deref().unwrap_or(&[0, 0, 0, 0]);
            let event = requestor.on_pdu(RawPdu { kind: (*kind).into(), body }, now);
            prop_assert!(!is_over || event.is_none(), "an event after the last");
            is_over |= *command == 1 || event.is_some_and(|event| !matches!(event, RequestorEvent::Accepted(_) | RequestorEvent::Data(_)));
            prop_assert_eq!(requestor.next_deadline().is_none(), requestor.is_closed());
            now += Duration::from_secs(1);
        }
        for _ in 0..2 {
            if let Some(due) = requestor.next_deadline() {
                drop(requestor.on_timeout(due));
            }
        }
        prop_assert!(requestor.is_closed());
    }
}

#[test]
fn before_an_association_every_abort_is_the_service_users() {
    for op in [
        Op::Pdu(PduKind::ReleaseRq),
        Op::Malformed(PduKind::AssociateRq),
        Op::UnknownPdu,
        Op::TooLong,
    ] {
        let now = Instant::now();
        let acceptor = Acceptor::new(Timers::default(), now);
        let mut driver = Driver { acceptor, now };
        driver.step(op);
        let sent = driver.acceptor.take_output();
        // AA-1 of PS3.8 table 9-7, which leaves the reason open.
        assert_eq!(sent, [7, 0, 0, 0, 0, 4, 0, 0, 0, 0], "{op:?}");
    }
}

#[test]
fn a_timer_without_end_is_no_overflow() {
    let now = Instant::now();
    let timers = Timers {
        artim: Duration::MAX,
        ..Timers::default()
    };
    assert!(Acceptor::new(timers, now).next_deadline() > Some(now));
}

#[test]
fn timers_follow_what_is_going_on() {
    let start = Instant::now();
    let timers = Timers::default();
    let mut driver = Driver {
        acceptor: Acceptor::new(timers, start),
        now: start,
    };
    let second = Duration::from_secs(1);
    driver.acceptor.on_bytes(true, start + second);
    assert_eq!(
        driver.acceptor.next_deadline(),
        Some(start + timers.artim),
        "a trickle of bytes doesn't put ARTIM off"
    );
    driver.step(Op::Pdu(PduKind::AssociateRq));
    driver.step(Op::Accept);
    assert_eq!(driver.acceptor.next_deadline(), Some(start + timers.idle));
    driver.acceptor.on_bytes(true, start + second);
    assert_eq!(
        driver.acceptor.next_deadline(),
        Some(start + second + timers.inside_message)
    );
    driver.acceptor.on_bytes(true, start + timers.idle);
    assert_eq!(
        driver.acceptor.next_deadline(),
        Some(start + second + timers.idle),
        "one PDU can't trickle without end"
    );
    driver.now = start + timers.idle;
    driver.step(Op::Pdu(PduKind::PData));
    driver.acceptor.on_message(true, driver.now);
    assert_eq!(
        driver.acceptor.next_deadline(),
        Some(driver.now + timers.inside_message)
    );
    driver.acceptor.on_message(false, driver.now);
    assert_eq!(
        driver.acceptor.next_deadline(),
        Some(driver.now + timers.idle)
    );
}
