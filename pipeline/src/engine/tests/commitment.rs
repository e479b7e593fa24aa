//! Whether a peer keeps what it took.

use std::time::Duration;

use sonode_conformance::{DimseStatus, SopInstanceUid, Uid, limits};

use super::super::*;
use super::world::{World, route, sop_uid, study_uid, success};
use crate::ports::{
    AssociationFailure, CommitmentNotice, CommitmentOutcome, CommitmentQuestion, ObjectResult,
};
use crate::spool::PeerMark;
use crate::states::DeliveryState;

const MEASURABLE: usize = 0;
const QUIET: Duration = Duration::from_mins(5);
const AGAIN: Duration = Duration::from_hours(3);
const NO_SUCH_INSTANCE: u16 = 0x0112;

fn committing() -> World {
    let mut to = route("pacs-a");
    to.commit = true;
    World::with_routes(vec![to])
}

/// A measured study whose report the PACS has taken, and the report's UID.
fn taken() -> (World, SopInstanceUid) {
    let mut world = committing();
    world.worker_ready();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.worker_works(0);
    world.pass(QUIET);
    world.peer_answers(&success(), None);
    let sop = world.reports.first().unwrap().2.clone();
    (world, sop)
}

fn delivery(world: &World) -> (DeliveryState, usize) {
    let uid = study_uid(1);
    let study = world.engine.study(&uid).or(world.finished.get(&uid));
    let study = study.unwrap();
    (study.deliveries[0].state, study.deliveries.len())
}

/// The transaction of the question that waits.
fn transaction(world: &World) -> Uid {
    match &world.questions.front().expect("a question").question {
        CommitmentQuestion::Commit { transaction, .. } => transaction.clone(),
        CommitmentQuestion::Find => panic!("a query"),
    }
}

fn is_query(world: &World) -> bool {
    world.questions.front().expect("a question").question == CommitmentQuestion::Find
}

fn notice(
    transaction: Uid,
    committed: &[&SopInstanceUid],
    failed: &[(&SopInstanceUid, u16)],
) -> CommitmentNotice {
    CommitmentNotice {
        peer: "pacs-a".to_owned(),
        transaction,
        committed: committed.iter().copied().cloned().collect(),
        failed: failed
            .iter()
            .map(|(sop, why)| ((*sop).clone(), *why))
            .collect(),
    }
}

fn no_association() -> CommitmentOutcome {
    CommitmentOutcome::NoAssociation(AssociationFailure {
        permanent: false,
        detail: "no connection".to_owned(),
    })
}

#[test]
fn a_study_is_done_when_the_pacs_has_committed_itself() {
    let (mut world, sop) = taken();
    assert_eq!(delivery(&world).0, DeliveryState::Sent);
    assert!(world.finished.is_empty(), "it may be pruned too early");
    assert!(world.questions.is_empty());
    world.pass(limits::COMMIT_GATHER);
    let transaction = transaction(&world);
    let job = world.peer_is_asked(CommitmentOutcome::Requested);
    assert_eq!(job.objects[0].sop_instance, sop);
    assert!(world.finished.is_empty());
    assert!(world.notice(notice(transaction.clone(), &[&sop], &[])));
    assert_eq!(delivery(&world).0, DeliveryState::Confirmed);
    let mark = (
        PeerMark::Committed,
        study_uid(1),
        "pacs-a".to_owned(),
        sop.clone(),
    );
    assert!(world.marked.contains(&mark));
    assert!(world.finished.contains_key(&study_uid(1)));
    // A PACS whose response got lost says it again.
    assert!(world.notice(notice(transaction, &[&sop], &[])));
    assert_eq!(delivery(&world).0, DeliveryState::Confirmed);
    assert!(world.finished.contains_key(&study_uid(1)));
}

#[test]
fn a_strangers_answer_or_one_to_a_strange_transaction_changes_nothing() {
    let (mut world, sop) = taken();
    world.pass(limits::COMMIT_GATHER);
    let asked = transaction(&world);
    world.peer_is_asked(CommitmentOutcome::Requested);
    assert!(!world.notice(notice("1.2.3".parse().unwrap(), &[&sop], &[])));
    let mut other = notice(asked, &[&sop], &[]);
    other.peer = "pacs-b".to_owned();
    assert!(!world.notice(other));
    assert_eq!(delivery(&world).0, DeliveryState::Sent);
}

#[test]
fn silence_is_asked_again_and_every_transaction_may_be_answered() {
    let (mut world, sop) = taken();
    world.pass(limits::COMMIT_GATHER);
    let first = transaction(&world);
    world.peer_is_asked(CommitmentOutcome::Requested);
    world.pass_all_but_a_second(AGAIN);
    assert!(world.questions.is_empty());
    world.pass(Duration::from_secs(1));
    assert_ne!(transaction(&world), first);
    world.peer_is_asked(CommitmentOutcome::Requested);
    assert!(world.notice(notice(first, &[&sop], &[])));
    assert_eq!(delivery(&world).0, DeliveryState::Confirmed);
}

#[test]
fn a_transaction_is_known_after_a_restart() {
    let (mut world, sop) = taken();
    world.pass(limits::COMMIT_GATHER);
    let first = transaction(&world);
    world.peer_is_asked(CommitmentOutcome::Requested);
    world.restart(false);
    assert!(world.notice(notice(first, &[&sop], &[])));
    assert_eq!(delivery(&world).0, DeliveryState::Confirmed);
}

#[test]
fn without_the_queue_it_is_asked_for_again_and_what_was_shown_stays_shown() {
    for is_shown in [false, true] {
        let (mut world, _) = taken();
        if is_shown {
            world.pass(limits::COMMIT_GATHER);
            world.peer_shows_all();
            // The node died before it moved the study.
            world.open.insert(study_uid(1));
        }
        world.restart(true);
        world.worker_ready();
        world.pass(QUIET);
        assert_eq!(world.jobs.len(), 0, "it is not sent again");
        world.pass(limits::COMMIT_GATHER);
        assert_eq!(world.questions.is_empty(), is_shown);
        world.come_to_rest();
        assert_eq!(delivery(&world).0, DeliveryState::Confirmed);
    }
}

#[test]
fn a_pacs_without_the_service_is_queried() {
    let (mut world, sop) = taken();
    world.pass(limits::COMMIT_GATHER);
    world.peer_is_asked(CommitmentOutcome::NotOffered("no context".to_owned()));
    assert!(is_query(&world), "at once");
    world.peer_is_asked(CommitmentOutcome::Found(Vec::new()));
    assert_eq!(delivery(&world).0, DeliveryState::Sent, "it may be slow");
    world.pass(AGAIN);
    assert!(is_query(&world));
    world.peer_is_asked(CommitmentOutcome::Found(vec![sop.clone()]));
    assert_eq!(delivery(&world).0, DeliveryState::Confirmed);
    let mark = (PeerMark::Found, study_uid(1), "pacs-a".to_owned(), sop);
    assert!(world.marked.contains(&mark));
}

#[test]
fn a_pacs_that_offers_neither_leaves_it_unconfirmed_with_an_alarm() {
    let (mut world, _) = taken();
    world.pass(limits::COMMIT_GATHER);
    world.peer_is_asked(CommitmentOutcome::NotOffered("no context".to_owned()));
    assert_eq!(world.engine.health().alarms, [""; 0]);
    world.peer_is_asked(CommitmentOutcome::NotOffered("no query".to_owned()));
    assert_eq!(delivery(&world).0, DeliveryState::Unconfirmed);
    assert!(world.finished.contains_key(&study_uid(1)), "terminal");
    let alarms = world.engine.health().alarms;
    assert!(alarms[0].contains("pacs-a took 1 object"), "{alarms:?}");
    assert!(world.engine.health().ready);
    // A restart is no reason to forget it; that somebody has it asked for again is.
    world.restart(false);
    assert_eq!(world.engine.health().alarms, alarms);
    // It may have died before the folder left `open/`: the next one finishes the study once more.
    let done = world.finished.remove(&study_uid(1)).unwrap();
    world.records.insert(study_uid(1), done);
    world.open.insert(study_uid(1));
    world.restart(false);
    assert!(world.finished.contains_key(&study_uid(1)));
    assert_eq!(world.engine.health().alarms, alarms);
    assert_eq!(world.operate(&study_uid(1), Command::Retry), Ok(()));
    assert_eq!(world.engine.health().alarms, [""; 0]);
    world.come_to_rest();
    assert_eq!(delivery(&world).0, DeliveryState::Confirmed);
    world.restart(false);
    assert_eq!(world.engine.health().alarms, [""; 0]);
}

#[test]
fn no_more_unconfirmed_studies_are_remembered_than_finished_ones_are_listed() {
    let (mut world, _) = taken();
    world.pass(limits::COMMIT_GATHER);
    world.peer_is_asked(CommitmentOutcome::NotOffered("no context".to_owned()));
    world.peer_is_asked(CommitmentOutcome::NotOffered("no query".to_owned()));
    let mut done = world.finished.remove(&study_uid(1)).unwrap();
    assert_eq!(world.engine.unconfirmed()["pacs-a"], 1);
    for n in 0..=limits::FINISHED_LISTED_MAX {
        done.uid = format!("2.25.{n}").parse().unwrap();
        world.engine.remember_done(&done);
    }
    let most = u64::try_from(limits::FINISHED_LISTED_MAX).unwrap();
    assert_eq!(world.engine.unconfirmed()["pacs-a"], most);
}

#[test]
fn the_last_word_is_a_query_when_the_time_is_over() {
    let (mut world, sop) = taken();
    let mut asked = Vec::new();
    for _ in 0..20 {
        world.now = world.engine.next_deadline().unwrap().max(world.now);
        world.event(Event::Tick);
        if is_query(&world) {
            break;
        }
        asked.push(transaction(&world));
        world.peer_is_asked(CommitmentOutcome::Requested);
    }
    assert_eq!(asked.len(), 8);
    world.peer_is_asked(CommitmentOutcome::Found(Vec::new()));
    assert_eq!(delivery(&world).0, DeliveryState::Unconfirmed);
    // Later than late is still an answer, and the operator may have it asked for anew.
    assert_eq!(world.operate(&study_uid(1), Command::Retry), Ok(()));
    assert_eq!(delivery(&world).0, DeliveryState::Sent);
    assert!(world.notice(notice(asked[7].clone(), &[&sop], &[])));
    assert_eq!(delivery(&world).0, DeliveryState::Confirmed);
}

#[test]
fn an_answer_after_the_end_still_confirms() {
    let (mut world, sop) = taken();
    world.pass(limits::COMMIT_GATHER);
    let asked = transaction(&world);
    world.peer_is_asked(CommitmentOutcome::Requested);
    world.pass(Duration::from_hours(24));
    world.peer_is_asked(CommitmentOutcome::NotOffered("no query".to_owned()));
    assert_eq!(delivery(&world).0, DeliveryState::Unconfirmed);
    assert!(world.notice(notice(asked, &[&sop], &[])));
    assert_eq!(delivery(&world).0, DeliveryState::Confirmed);
    assert!(world.finished.contains_key(&study_uid(1)));
}

#[test]
fn nothing_is_unconfirmed_while_the_pacs_is_down() {
    let (mut world, _) = taken();
    let down_until = world.now.plus(Duration::from_hours(72));
    while world.now < down_until {
        world.now = world.engine.next_deadline().unwrap().max(world.now);
        world.event(Event::Tick);
        world.peer_is_asked(no_association());
    }
    assert_eq!(delivery(&world).0, DeliveryState::Sent);
    world.come_to_rest();
    assert_eq!(delivery(&world).0, DeliveryState::Confirmed);
}

#[test]
fn what_the_pacs_lacks_is_sent_again_three_times_and_no_more() {
    let (mut world, sop) = taken();
    for round in 0..3 {
        world.pass(limits::COMMIT_GATHER);
        let asked = transaction(&world);
        world.peer_is_asked(CommitmentOutcome::Requested);
        assert!(world.notice(notice(asked, &[], &[(&sop, NO_SUCH_INSTANCE)])));
        assert_eq!(delivery(&world).0, DeliveryState::Due, "{round}");
        world.pass(limits::RETRY_FIRST);
        world.peer_answers(&success(), None);
    }
    world.pass(limits::COMMIT_GATHER);
    let asked = transaction(&world);
    world.peer_is_asked(CommitmentOutcome::Requested);
    assert!(world.notice(notice(asked, &[], &[(&sop, NO_SUCH_INSTANCE)])));
    assert_eq!(delivery(&world).0, DeliveryState::Sent);
    world.pass(Duration::ZERO);
    assert!(is_query(&world));
    assert_eq!(world.accepted.len(), 4);
}

#[test]
fn a_failure_reason_says_what_follows() {
    for (reason, queried) in [
        (0x0110, false),
        (0x0213, false),
        (0x0131, false),
        (0x0122, true),
        (0x0119, true),
    ] {
        let (mut world, sop) = taken();
        world.pass(limits::COMMIT_GATHER);
        let asked = transaction(&world);
        world.peer_is_asked(CommitmentOutcome::Requested);
        assert!(world.notice(notice(asked, &[], &[(&sop, reason)])));
        world.pass(Duration::ZERO);
        assert_eq!(!world.questions.is_empty(), queried, "{reason:04X}");
        world.pass(AGAIN);
        assert_eq!(is_query(&world), queried, "{reason:04X}");
    }
}

#[test]
fn an_object_that_the_pacs_says_it_has_is_looked_for_there() {
    let duplicate = ObjectResult::Status(DimseStatus::DUPLICATE_SOP_INSTANCE, None);
    let mut world = World::with_routes(vec![route("pacs-a")]);
    world.worker_ready();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.worker_works(0);
    world.pass(QUIET);
    world.peer_answers(&duplicate, None);
    assert_eq!(delivery(&world).0, DeliveryState::Sent);
    world.pass(limits::COMMIT_GATHER);
    assert!(is_query(&world));
    world.peer_shows_all();
    assert_eq!(delivery(&world).0, DeliveryState::Confirmed);
}

#[test]
fn forwarded_images_are_asked_for_while_the_study_receives() {
    let mut world = committing();
    world.settings.routing.routes[0].send_images = true;
    world.event(Event::Reload(world.settings.routing.clone()));
    for n in 0..3 {
        world.arrive(1, MEASURABLE, n, 0, 0);
        world.peer_answers(&success(), None);
    }
    world.pass(limits::COMMIT_GATHER);
    let job = world.questions.front().unwrap();
    let sops: Vec<_> = job.objects.iter().map(|o| o.sop_instance.clone()).collect();
    assert_eq!(sops, [0, 1, 2].map(|n| sop_uid(1, MEASURABLE, n)));
    world.worker_ready();
    world.come_to_rest();
    let study = &world.finished[&study_uid(1)];
    assert_eq!(study.status().deliveries.confirmed, 4);
}
