//! Carts that ask for storage commitment.

use std::time::Duration;

use sonode_conformance::sop_class::{US_IMAGE, US_MULTIFRAME};
use sonode_conformance::{SopInstanceUid, Uid, limits};

use super::super::*;
use super::world::{World, route, sop_uid, study_uid, success};
use crate::ports::{CommitmentNotice, CommitmentOutcome, CommitmentQuestion, RelayReport};

const MEASURABLE: usize = 0;

/// A cart that may ask, and an archive that gets its images by a route that demands nothing by itself.
fn relaying() -> World {
    let mut to = route("pacs-a");
    to.send_images = true;
    let mut world = World::with_routes(vec![to]);
    world.settings.routing.relays.insert("cart".to_owned());
    world.event(Event::Reload(world.settings.routing.clone()));
    world.worker_ready();
    world
}

fn transaction() -> Uid {
    "1.2.77".parse().unwrap()
}

impl World {
    /// As the runtime does it.
    fn ask(&mut self, class: &str, sops: &[SopInstanceUid]) {
        let key = ("cart".to_owned(), transaction());
        let archive = self.engine.archive_of("cart").unwrap();
        let references = sops
            .iter()
            .map(|sop| (class.parse().unwrap(), sop.clone()))
            .collect();
        let mut relay = Relay::new(key.clone(), archive, references, self.now, 7);
        self.kept
            .insert(key, serde_json::to_string(&relay).unwrap());
        for study in self.finished.values() {
            relay.look_into(study);
        }
        self.event(Event::RelayKept(Box::new(relay)));
    }

    fn take_images(&mut self) {
        while !self.jobs.is_empty() {
            self.peer_answers(&success(), None);
        }
    }
}

fn told(world: &mut World) -> RelayReport {
    world.relay_reports.pop_front().expect("the cart is told")
}

fn reasons(report: &RelayReport) -> Vec<u16> {
    report.failed.iter().map(|(_, reason)| *reason).collect()
}

#[test]
fn the_cart_is_told_what_the_archive_has_committed_itself_to_and_not_before() {
    let mut world = relaying();
    let sops = [0, 1].map(|n| sop_uid(1, MEASURABLE, n));
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.arrive(1, MEASURABLE, 1, 0, 0);
    world.ask(US_MULTIFRAME, &sops);
    world.take_images();
    assert!(
        world.relay_reports.is_empty(),
        "a C-STORE response is no commitment"
    );
    world.pass(limits::COMMIT_GATHER);
    assert!(world.relay_reports.is_empty());
    world.peer_shows_all();
    let report = told(&mut world);
    assert_eq!((report.committed.len(), report.failed.len()), (2, 0));
    assert_eq!(
        (report.archive.as_str(), report.association),
        ("pacs-a", Some(7))
    );
    world.event(Event::RelayReported(report.id, Ok(())));
    assert!(world.kept.is_empty());
    world.come_to_rest();
    assert_eq!(world.relay_reports, []);
}

#[test]
fn what_comes_within_a_minute_is_waited_for_and_what_does_not_is_missing() {
    let mut world = relaying();
    let sops = [0, 1].map(|n| sop_uid(1, MEASURABLE, n));
    world.ask(US_MULTIFRAME, &sops);
    world.pass(Duration::from_secs(30));
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.take_images();
    world.pass(limits::COMMIT_GATHER);
    world.peer_shows_all();
    assert!(world.relay_reports.is_empty(), "one may still come");
    world.pass(Duration::from_secs(25));
    let report = told(&mut world);
    assert_eq!(report.committed[0].sop_instance, sops[0]);
    assert_eq!(reasons(&report), [0x0112]);
}

#[test]
fn only_a_commitment_of_the_same_instance_is_a_success() {
    // It is found by a query alone.
    let mut world = relaying();
    let sop = sop_uid(1, MEASURABLE, 0);
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.ask(US_MULTIFRAME, std::slice::from_ref(&sop));
    world.take_images();
    world.pass(limits::COMMIT_GATHER);
    world.peer_is_asked(CommitmentOutcome::NotOffered("no context".to_owned()));
    world.peer_is_asked(CommitmentOutcome::Found(vec![sop.clone()]));
    assert_eq!(reasons(&told(&mut world)), [0x0110]);
    // The cart names another class.
    let mut world = relaying();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.ask(US_IMAGE, std::slice::from_ref(&sop));
    assert_eq!(reasons(&told(&mut world)), [0x0119]);
    // Two contents came under its UID, and the archive has one of them.
    let mut world = relaying();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.arrive(1, MEASURABLE, 0, 1, 0);
    world.ask(US_MULTIFRAME, std::slice::from_ref(&sop));
    assert_eq!(reasons(&told(&mut world)), [0x0119]);
    // The archive never shows it.
    let mut world = relaying();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.ask(US_MULTIFRAME, &[sop]);
    world.take_images();
    world.pass(limits::COMMIT_GATHER);
    world.peer_is_asked(CommitmentOutcome::NotOffered("no context".to_owned()));
    world.peer_is_asked(CommitmentOutcome::NotOffered("no query".to_owned()));
    assert_eq!(reasons(&told(&mut world)), [0x0110]);
}

#[test]
fn a_study_that_is_done_is_answered_for_too() {
    let mut world = relaying();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.come_to_rest();
    assert!(world.finished.contains_key(&study_uid(1)));
    world.ask(US_MULTIFRAME, &[sop_uid(1, MEASURABLE, 0)]);
    assert_eq!(told(&mut world).committed.len(), 1);
}

#[test]
fn a_request_and_what_was_decided_survive_a_restart() {
    for is_decided in [false, true] {
        let mut world = relaying();
        world.arrive(1, MEASURABLE, 0, 0, 0);
        world.ask(US_MULTIFRAME, &[sop_uid(1, MEASURABLE, 0)]);
        world.take_images();
        if is_decided {
            world.pass(limits::COMMIT_GATHER);
            world.peer_shows_all();
            assert_eq!(told(&mut world).committed.len(), 1);
        }
        world.restart(true);
        world.pass(limits::COMMIT_GATHER);
        if !is_decided {
            assert!(world.relay_reports.is_empty());
            world.peer_shows_all();
        }
        let report = told(&mut world);
        assert_eq!((report.committed.len(), report.association), (1, None));
    }
}

#[test]
fn a_cart_that_cannot_be_told_is_tried_for_three_days() {
    let mut world = relaying();
    world.ask(US_MULTIFRAME, &[sop_uid(1, MEASURABLE, 0)]);
    world.pass(limits::RELAY_ARRIVAL);
    let decided = world.now;
    let mut tries = 0;
    while let Some(report) = world.relay_reports.pop_front() {
        tries += 1;
        world.event(Event::RelayReported(
            report.id,
            Err("no connection".to_owned()),
        ));
        if let Some(next) = world.engine.next_deadline() {
            world.now = next.max(world.now);
            world.event(Event::Tick);
        }
    }
    assert!(tries > 70, "{tries}");
    assert!(world.now.since(decided) >= Duration::from_hours(72));
    assert!(world.kept.is_empty());
    let alarms = world.engine.health().alarms;
    assert!(alarms[0].contains("cart asked 1 time"), "{alarms:?}");
}

/// A cart without the right to ask sent first; then one that has it.
#[test]
fn a_commitment_is_asked_for_where_nobody_had_demanded_one() {
    let mut world = relaying();
    world.peer = "other";
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.take_images();
    world.pass(limits::COMMIT_GATHER);
    assert!(world.questions.is_empty());
    world.ask(US_MULTIFRAME, &[sop_uid(1, MEASURABLE, 0)]);
    world.pass(limits::COMMIT_GATHER);
    let question = world.questions.front().expect("the archive is asked");
    let CommitmentQuestion::Commit { transaction, .. } = question.question.clone() else {
        panic!("a query");
    };
    world.peer_is_asked(CommitmentOutcome::Requested);
    world.notice(CommitmentNotice {
        peer: "pacs-a".to_owned(),
        transaction,
        committed: vec![sop_uid(1, MEASURABLE, 0)],
        failed: Vec::new(),
    });
    assert_eq!(told(&mut world).committed.len(), 1);
}
