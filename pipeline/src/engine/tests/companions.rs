//! Companions: with their report where that can be, after it where not, and never twice.

use std::time::Duration;

use sonode_sr_writer::{Companion, Syntax};

use super::super::*;
use super::world::{World, route, study_uid, success};
use crate::states::DeliveryState;
use crate::{DeliveryObject, ObjectResult};

const MEASURABLE: usize = 0;
const QUIET: Duration = Duration::from_mins(5);

/// One peer that wants a page and a PDF, and a study that is measured and closed.
fn measured() -> World {
    let mut to = route("pacs-a");
    to.companions = [Companion::SecondaryCapture, Companion::Pdf].into();
    let mut world = World::with_routes(vec![to]);
    world.worker_ready();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.worker_works(0);
    world.pass(QUIET);
    world
}

/// Reports and companions of the oldest job.
fn on_its_way(world: &World) -> [usize; 2] {
    let objects = world.jobs.front().map_or(&[][..], |job| &job.objects);
    let reports = objects
        .iter()
        .filter(|object| matches!(object, DeliveryObject::Report(_)));
    let reports = reports.count();
    [reports, objects.len() - reports]
}

fn is_finished(world: &World) -> bool {
    world.finished.contains_key(&study_uid(1))
}

#[test]
fn a_report_waits_for_its_companions_and_leaves_with_them() {
    let mut world = measured();
    assert!(world.jobs.is_empty());
    world.worker_draws(None);
    assert!(world.jobs.is_empty());
    world.worker_draws(None);
    assert_eq!(on_its_way(&world), [1, 2]);
    world.peer_answers(&success(), None);
    assert_eq!(world.drawings.accepted.len(), 2);
    assert!(is_finished(&world));
}

#[test]
fn a_report_does_not_wait_for_a_worker_that_is_down_and_its_companions_follow() {
    let mut world = measured();
    world.worker_dies();
    world.pass(Duration::from_mins(2));
    assert_eq!(on_its_way(&world), [1, 0]);
    world.peer_answers(&success(), None);
    assert!(world.jobs.is_empty() && !is_finished(&world));
    world.worker_ready();
    world.worker_draws(None);
    world.worker_draws(None);
    assert_eq!(on_its_way(&world), [0, 2]);
    world.peer_answers(&success(), None);
    assert!(is_finished(&world));
}

#[test]
fn what_kills_workers_is_given_up_and_the_rest_leaves() {
    let mut world = measured();
    let attempts = world.settings.worker.attempts_max;
    let poison = world.drawings.running.as_ref().unwrap().2;
    let mut deaths = 0;
    for _ in 0..50 {
        world.worker_ready();
        match world.drawings.running {
            Some((_, _, key)) if key == poison => {
                world.worker_dies();
                deaths += 1;
            }
            Some(_) => world.worker_draws(None),
            None if world.jobs.is_empty() => world.pass(Duration::from_secs(5)),
            None => world.peer_answers(&success(), None),
        }
    }
    assert_eq!(deaths, attempts);
    assert_eq!(world.accepted.len(), 1);
    assert_eq!(world.drawings.accepted.len(), 1);
    let study = world.engine.study(&study_uid(1)).unwrap();
    let dead: Vec<_> = study
        .deliveries
        .iter()
        .filter(|d| d.state == DeliveryState::Dead)
        .collect();
    assert_eq!(dead.len(), 1);
    let said = dead[0].answers[0].comment.as_deref().unwrap();
    assert!(said.contains("did not survive"), "{said}");

    world.operate(&study_uid(1), Command::Retry).unwrap();
    world.come_to_rest();
    assert_eq!(world.drawings.accepted.len(), 2);
    assert_eq!(world.accepted.len(), 1, "the report was sent again");
    assert!(is_finished(&world));
}

#[test]
fn a_refusal_is_final_until_the_operator_tries_again() {
    let mut world = measured();
    world.worker_draws(Some("a frame can't be decoded"));
    world.worker_draws(None);
    assert_eq!(on_its_way(&world), [1, 1]);
    world.peer_answers(&success(), None);
    assert!(!is_finished(&world));
    assert!(world.drawings.running.is_none());
    world.operate(&study_uid(1), Command::Retry).unwrap();
    world.worker_draws(None);
    world.peer_answers(&success(), None);
    assert!(is_finished(&world));
}

#[test]
fn what_was_drawn_is_not_drawn_again_after_a_restart() {
    for lose_queue in [false, true] {
        let mut world = measured();
        world.worker_draws(None);
        world.restart(lose_queue);
        world.come_to_rest();
        assert!(world.drawings.drawn.values().all(|times| *times == 1));
        assert_eq!(world.drawings.kept.len(), 2);
        assert_eq!(world.drawings.accepted.len(), 2, "{lose_queue}");
        assert!(is_finished(&world));
    }
}

#[test]
fn delivered_companions_are_not_sent_again_when_the_queue_is_lost() {
    let mut world = measured();
    world.worker_draws(None);
    world.worker_draws(Some("no"));
    world.peer_answers(&success(), None);
    assert_eq!(world.drawings.accepted.len(), 1);
    world.restart(true);
    world.come_to_rest();
    assert_eq!(world.drawings.accepted.len(), 2);
    assert_eq!(world.accepted.len(), 1);
}

#[test]
fn a_new_revision_has_its_own_companions_and_old_ones_are_not_drawn_any_more() {
    let mut world = measured();
    world.worker_draws(None);
    // The second companion of revision 1 is being drawn when new evidence comes.
    world.arrive(1, MEASURABLE, 1, 0, 0);
    world.event(Event::AssociationClosed(0));
    world.worker_draws(None);
    world.come_to_rest();
    let revisions: Vec<u32> = world
        .drawings
        .accepted
        .iter()
        .map(|(_, key)| key.revision)
        .collect();
    assert_eq!(
        revisions.iter().filter(|revision| **revision == 2).count(),
        2
    );
    let uids: std::collections::BTreeSet<_> = world.drawings.kept.values().collect();
    assert_eq!(uids.len(), world.drawings.kept.len());
    assert!(is_finished(&world));
}

#[test]
fn routes_without_companions_wait_for_nothing() {
    assert!(reporting().drawings.running.is_none());
}

/// The association that is on its way to the peer takes no report, and the page.
fn request_page(world: &mut World) -> PageRequest {
    let job = world.jobs.front().unwrap();
    let [DeliveryObject::Report(key)] = job.objects.as_slice() else {
        panic!("not the report alone");
    };
    let request = PageRequest {
        report: key.clone(),
        offered: "Enhanced SR".to_owned(),
        syntax: Syntax::ImplicitLittle,
    };
    world.event(Event::PageRequested(request.clone()));
    request
}

/// A peer to which a report is on its way.
fn reporting() -> World {
    let mut world = World::with_routes(vec![route("pacs-a")]);
    world.worker_ready();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.worker_works(0);
    world.pass(QUIET);
    assert_eq!(on_its_way(&world), [1, 0]);
    world
}

fn assert_one_page(world: &World) {
    assert!(is_finished(world));
    let [(_, key)] = world.drawings.accepted.as_slice() else {
        panic!("not one page");
    };
    assert_eq!(key.companion, Companion::SecondaryCapture);
    assert_eq!(key.syntax, Syntax::ImplicitLittle);
    let page = world.finished[&study_uid(1)].deliveries.last().unwrap();
    let why = page.answers[0].comment.as_deref().unwrap();
    assert!(why.contains("in place of the report"), "{why}");
}

/// The last rung of the ladder.
#[test]
fn a_peer_that_takes_no_report_gets_the_page_on_the_same_association() {
    let mut world = reporting();
    let request = request_page(&mut world);
    assert!(matches!(world.engine.page_for(&request), Page::Awaited));
    world.worker_draws(None);
    let Page::Drawn(page) = world.engine.page_for(&request) else {
        panic!("no page");
    };
    // Nobody else gets it while it is on its way.
    assert!(matches!(world.engine.page_for(&request), Page::None));
    world.jobs.front_mut().unwrap().objects = vec![DeliveryObject::Companion(page)];
    world.peer_answers(&success(), None);
    assert_one_page(&world);
    // A later revision is offered as a report.
    world.arrive(1, MEASURABLE, 1, 0, 0);
    world.event(Event::AssociationClosed(0));
    world.worker_works(0);
    world.pass(QUIET);
    assert_eq!(on_its_way(&world), [1, 0]);
    world.peer_answers(&success(), None);
    assert!(is_finished(&world));
    assert_eq!(world.drawings.accepted.len(), 1);
}

#[test]
fn a_page_that_is_drawn_too_late_leaves_on_the_next_association() {
    let too_late = || ObjectResult::NotSent("the page is not drawn yet".to_owned());
    for lose_queue in [None, Some(false), Some(true)] {
        let mut world = reporting();
        request_page(&mut world);
        world.peer_answers(&too_late(), None);
        assert!(world.jobs.is_empty() && !is_finished(&world));
        if let Some(lose_queue) = lose_queue {
            world.restart(lose_queue);
            world.worker_ready();
            // Where the queue is lost, so is what the peer takes: it is asked again.
            if lose_queue {
                world.pass(QUIET);
                request_page(&mut world);
                world.peer_answers(&too_late(), None);
            }
        }
        world.worker_draws(None);
        assert_eq!(on_its_way(&world), [0, 1]);
        world.peer_answers(&success(), None);
        assert_one_page(&world);
    }
}

/// The association breaks while the page is on its way.
#[test]
fn a_page_that_did_not_arrive_is_sent_again() {
    let mut world = reporting();
    let request = request_page(&mut world);
    world.worker_draws(None);
    assert!(matches!(world.engine.page_for(&request), Page::Drawn(_)));
    // The job is answered without it.
    world.jobs.front_mut().unwrap().objects.clear();
    world.peer_answers(&success(), None);
    world.pass(QUIET);
    assert_eq!(on_its_way(&world), [0, 1]);
    world.peer_answers(&success(), None);
    assert_one_page(&world);
}
