//! Random histories against the engine's promises.

use std::time::Duration;

use proptest::prelude::*;
use sonode_conformance::DimseStatus;
use sonode_findings::Rejection;

use sonode_sr_writer::Companion;

use super::super::record::{Drawing, ObjectKey};
use super::super::*;
use super::world::{KINDS, Kind, Queue, World, kind_of, route, study_uid, success};
use crate::ports::{AssociationFailure, ObjectResult};
use crate::states::{DeliveryState, DrawingState, InstanceState};

#[derive(Debug, Clone)]
enum Step {
    Arrive {
        study: u8,
        kind: usize,
        n: u8,
        version: u8,
        association: u64,
    },
    ArriveUnsorted {
        study: u8,
        kind: usize,
        n: u8,
        association: u64,
    },
    Open(u64),
    Close(u64),
    Pass(u64),
    WorkerReady,
    WorkerDies,
    WorkerWorks(usize),
    /// As `WorkerWorks`, but a second reading may follow.
    WorkerReadsOn(usize),
    WorkerReads,
    PeerAnswers(u16),
    NoAssociation(bool),
    /// The question to a peer is answered in one of these ways.
    PeerIsAsked(usize),
    /// A peer answers one of the requests that it ever got, with this Failure Reason or with success.
    Notice(usize, u16),
    Operator(u8, bool),
    /// The queue reaches the disk.
    KeepQueue,
    Restart(Queue),
    /// The node dies after so many actions more, in the midst of what one event led to.
    Fuse(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let arrive = (0..3_u8, 0..KINDS.len(), 0..3_u8, 0..2_u8, 0..4_u64).prop_map(
        |(study, kind, n, version, association)| Step::Arrive {
            study,
            kind,
            n,
            version,
            association,
        },
    );
    let arrive_unsorted =
        (0..3_u8, 0..KINDS.len(), 0..3_u8, 0..4_u64).prop_map(|(study, kind, n, association)| {
            Step::ArriveUnsorted {
                study,
                kind,
                n,
                association,
            }
        });
    prop_oneof![
        8 => arrive,
        2 => arrive_unsorted,
        2 => (0..4_u64).prop_map(Step::Open),
        2 => (0..4_u64).prop_map(Step::Close),
        4 => prop_oneof![1..10_u64, 200..2000_u64].prop_map(Step::Pass),
        4 => Just(Step::WorkerReady),
        1 => Just(Step::WorkerDies),
        8 => (0..4_usize).prop_map(Step::WorkerWorks),
        2 => (0..4_usize).prop_map(Step::WorkerReadsOn),
        2 => Just(Step::WorkerReads),
        4 => prop_oneof![Just(0_u16), Just(0xA700), Just(0xC000), Just(0x0122), Just(0x0111)].prop_map(Step::PeerAnswers),
        1 => any::<bool>().prop_map(Step::NoAssociation),
        4 => (0..6_usize).prop_map(Step::PeerIsAsked),
        3 => (any::<usize>(), prop_oneof![3 => Just(0_u16), 1 => Just(0x0112), 1 => Just(0x0110), 1 => Just(0x0122)])
            .prop_map(|(which, reason)| Step::Notice(which, reason)),
        1 => (0..3_u8, any::<bool>()).prop_map(|(study, retry)| Step::Operator(study, retry)),
        2 => Just(Step::KeepQueue),
        2 => prop_oneof![Just(Queue::Whole), Just(Queue::Stale), Just(Queue::Lost)].prop_map(Step::Restart),
        2 => (0..6_usize).prop_map(Step::Fuse),
    ]
}

fn take(world: &mut World, step: &Step) {
    match *step {
        Step::Arrive {
            study,
            kind,
            n,
            version,
            association,
        } => {
            world.arrive(study, kind, n, version, association);
        }
        Step::ArriveUnsorted {
            study,
            kind,
            n,
            association,
        } => world.arrive_unsorted(study, kind, n, association),
        Step::Open(id) => world.event(Event::AssociationOpened(id)),
        Step::Close(id) => world.event(Event::AssociationClosed(id)),
        Step::Pass(seconds) => world.pass(Duration::from_secs(seconds)),
        Step::WorkerReady => world.worker_ready(),
        Step::WorkerDies => world.worker_dies(),
        Step::WorkerWorks(_) | Step::WorkerReadsOn(_) if world.drawings.running.is_some() => {
            world.worker_draws(None);
        }
        Step::WorkerWorks(which) => world.worker_works(which),
        Step::WorkerReadsOn(which) => world.worker_answers(which, true),
        Step::WorkerReads => world.worker_reads(),
        Step::PeerAnswers(status) => {
            world.peer_answers(&ObjectResult::Status(DimseStatus(status), None), None);
        }
        Step::NoAssociation(permanent) => {
            let failure = AssociationFailure {
                permanent,
                detail: "refused".to_owned(),
            };
            world.peer_answers(&success(), Some(failure));
        }
        Step::PeerIsAsked(how) => world.peer_is_asked_at_random(how),
        Step::Notice(which, reason) => world.notice_at_random(which, reason),
        Step::Operator(study, retry) => {
            let command = if retry {
                Command::Retry
            } else {
                Command::Close
            };
            // It is refused where the state has no such step.
            drop(world.operate(&study_uid(study), command));
        }
        Step::KeepQueue => world.keep_queue(),
        Step::Restart(queue) => world.restart_with(queue),
        Step::Fuse(actions) => world.fuse = Some(actions),
    }
}

/// One peer that takes the report alone, and one that wants a picture beside it.
fn world() -> World {
    let mut with_picture = route("pacs-b");
    with_picture.companions = [Companion::SecondaryCapture].into();
    with_picture.commit = true;
    World::with_routes(vec![route("pacs-a"), with_picture])
}

/// Nothing is lost: every instance that was stored ends analysed or rejected, and rightly so.
fn check_instances(world: &World, queue_was_lost: bool) {
    assert!(world.open.is_empty(), "every study ends");
    let listed = world.engine.unsorted();
    assert_eq!(listed.len(), world.unsorted.len());
    for object in listed {
        let why = object.reason.unwrap();
        // A healthy one stays only where it was alone with so many deaths.
        let is_nameless = kind_of(&object.sop_instance_uid) == Kind::OtherView;
        assert!(is_nameless || why.contains("3 attempts"), "{why}");
    }
    for (uid, sop, _) in world.files.keys() {
        let Some(study) = world.finished.get(uid) else {
            // It was done when the queue was lost: it lies in done/, and nobody has asked for it since.
            assert!(queue_was_lost);
            continue;
        };
        let instance = study.instances.get(sop).expect("no instance is lost");
        let expected = match kind_of(sop) {
            Kind::Measurable => InstanceState::Analysed,
            Kind::OtherView => InstanceState::Rejected(Rejection::View),
            Kind::Carotid => InstanceState::Rejected(Rejection::NotAnEcho),
            Kind::Killer => InstanceState::Rejected(Rejection::Undecodable),
            Kind::Document | Kind::Own => InstanceState::Rejected(Rejection::NotAnImage),
        };
        if instance.state != expected {
            // A healthy instance is given up only where it was alone with so many deaths.
            assert_eq!(
                instance.state,
                InstanceState::Rejected(Rejection::Undecodable)
            );
            assert!(
                queue_was_lost || world.charges.get(sop).is_some_and(|charges| *charges >= 3),
                "{sop}"
            );
        }
    }
}

/// Each peer ends with one current report, the newest; revisions grow only with their evidence.
fn check_reports(world: &World) {
    for (uid, study) in &world.finished {
        for pair in study.reports.windows(2) {
            assert!(pair[0].revision < pair[1].revision);
            assert!(pair[1].evidence.extends(&pair[0].evidence));
        }
        for peer in ["pacs-a", "pacs-b"] {
            let accepted = world
                .accepted
                .iter()
                .filter(|(at, of, _)| at == peer && of == uid);
            let revisions: Vec<u32> = accepted.map(|(_, _, revision)| *revision).collect();
            assert!(revisions.is_sorted(), "{peer} {uid} {revisions:?}");
        }
    }
}

/// Whoever ends with a report and wants its picture has it, each revision's under a UID of its own.
fn check_companions(world: &World) {
    let uids: std::collections::BTreeSet<_> = world.drawings.kept.values().collect();
    assert_eq!(uids.len(), world.drawings.kept.len());
    for study in world.finished.values() {
        let last = study.reports.last().map(|report| report.revision);
        for delivery in study.deliveries.iter().filter(|d| d.peer == "pacs-b") {
            let is_report = matches!(delivery.object, ObjectKey::Report(..));
            if is_report && delivery.object.revision() == last {
                let is_its = |drawing: &&Drawing| Some(drawing.key.revision) == last;
                let drawing = study.companions.iter().find(is_its).expect("no picture");
                assert!(matches!(drawing.state, DrawingState::Drawn(_)));
                let mut deliveries = study.deliveries.iter();
                let of_it = deliveries.find(|d| d.object == ObjectKey::Companion(drawing.key));
                assert!(of_it.is_some_and(|delivery| delivery.state.is_taken()));
            }
        }
    }
}

/// What counts as kept was shown to be; whoever has to show it has, or was given up in the end.
fn check_proofs(world: &World) {
    for study in world.finished.values() {
        for delivery in &study.deliveries {
            let sop = study.delivered_as(delivery);
            let is_shown =
                sop.is_some_and(|sop| world.shown.contains(&(delivery.peer.clone(), sop)));
            match delivery.state {
                DeliveryState::Confirmed => assert!(is_shown, "confirmed out of nothing"),
                DeliveryState::Sent => assert_ne!(delivery.peer, "pacs-b", "nobody asks any more"),
                DeliveryState::Due | DeliveryState::Dead => panic!("owed by a study that is done"),
                DeliveryState::Unconfirmed => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_study_ends_as_promised(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = world();
        let mut queue_was_lost = false;
        for step in steps {
            queue_was_lost |= matches!(step, Step::Restart(Queue::Stale | Queue::Lost));
            take(&mut world, &step);
        }
        world.fuse = None;
        world.come_to_rest();
        world.retry_dead_letters();
        check_instances(&world, queue_was_lost);
        check_reports(&world);
        check_companions(&world);
        check_proofs(&world);
    }

    #[test]
    fn the_same_events_give_the_same_actions(steps in prop::collection::vec(step(), 1..60)) {
        let run = |steps: Vec<Step>| {
            let mut world = world();
            for step in steps {
                take(&mut world, &step);
            }
            world.come_to_rest();
            let studies: Vec<String> = world
                .finished
                .values()
                .map(|study| serde_json::to_string(study).unwrap())
                .collect();
            (studies, world.now)
        };
        prop_assert_eq!(run(steps.clone()), run(steps));
    }
}

/// A lane's time came while its picture was still being drawn, with a failure behind it: it was never looked at again.
#[test]
fn a_lane_that_failed_before_its_picture_was_drawn_is_taken_up_again() {
    let arrive = |kind, n| Step::Arrive {
        study: 0,
        kind,
        n,
        version: 0,
        association: 0,
    };
    let unsorted = Step::ArriveUnsorted {
        study: 0,
        kind: 0,
        n: 0,
        association: 0,
    };
    let mut steps = vec![
        arrive(0, 1),
        Step::WorkerReady,
        Step::Pass(298),
        unsorted,
        Step::Pass(2),
    ];
    steps.extend(std::iter::repeat_n(Step::WorkerWorks(0), 4));
    steps.extend([
        arrive(4, 0),
        Step::Pass(300),
        Step::Restart(Queue::Whole),
        Step::PeerAnswers(0),
        Step::PeerAnswers(0x0111),
        Step::Pass(6),
    ]);
    let mut world = world();
    for step in &steps {
        take(&mut world, step);
    }
    world.come_to_rest();
    check_instances(&world, false);
}

/// The node died after it had cleared an instance's mark and before its findings were durable: a suspect was none any more.
#[test]
fn a_suspect_stays_one_until_its_findings_are_durable() {
    let arrive = |study, kind| Step::Arrive {
        study,
        kind,
        n: 0,
        version: 0,
        association: 0,
    };
    let steps = [
        Step::WorkerReady,
        arrive(0, 3),
        Step::WorkerDies,
        Step::Pass(1),
        Step::Fuse(5),
        Step::WorkerReady,
        arrive(0, 0),
        arrive(1, 0),
        Step::WorkerDies,
        Step::WorkerReady,
        arrive(2, 0),
        Step::Fuse(5),
        Step::Pass(600),
    ];
    let mut world = world();
    for step in &steps {
        take(&mut world, step);
    }
    world.fuse = None;
    world.come_to_rest();
    check_instances(&world, false);
}
