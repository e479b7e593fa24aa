//! Performed procedure steps.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::*;
use super::world::{World, sop_uid, study_uid};

const MEASURABLE: usize = 0;
const QUIET: Duration = Duration::from_mins(5);
const SHORT: Duration = Duration::from_mins(1);

/// A step of study 1 that lists these instances.
fn step(world: &mut World, number: u8, instances: &[u8], ended: Option<bool>) {
    let step = Step {
        uid: format!("1.9.{number}").parse().unwrap(),
        peer: "cart".to_owned(),
        studies: BTreeSet::from([study_uid(1)]),
        instances: instances
            .iter()
            .map(|n| sop_uid(1, MEASURABLE, *n))
            .collect(),
        ended,
        changed: world.now,
        data_sets: Vec::new(),
    };
    world.event(Event::Step(Box::new(step)));
}

fn is_closed(world: &World) -> bool {
    let study = world.engine.study(&study_uid(1)).unwrap();
    study.status().state == "closed"
}

#[test]
fn a_completed_step_whose_instances_are_all_here_shortens_the_wait() {
    let mut world = World::new();
    step(&mut world, 1, &[], None);
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.arrive(1, MEASURABLE, 1, 0, 0);
    step(&mut world, 1, &[0, 1], Some(true));
    world.pass_all_but_a_second(SHORT);
    assert!(!is_closed(&world));
    world.pass(Duration::from_secs(1));
    assert!(is_closed(&world));
    world.come_to_rest();
    assert_eq!(world.dropped_steps.len(), 1);
}

#[test]
fn anything_less_shortens_nothing() {
    // Still in progress; discontinued; an instance missing; nothing listed; another step open.
    type Steps = &'static [(u8, &'static [u8], Option<bool>)];
    let cases: [Steps; 5] = [
        &[(1, &[0], None)],
        &[(1, &[0], Some(false))],
        &[(1, &[0, 1], Some(true))],
        &[(1, &[], Some(true))],
        &[(1, &[0], Some(true)), (2, &[], None)],
    ];
    for steps in cases {
        let mut world = World::new();
        world.arrive(1, MEASURABLE, 0, 0, 0);
        for (number, instances, ended) in steps {
            step(&mut world, *number, instances, *ended);
        }
        world.pass_all_but_a_second(QUIET);
        assert!(!is_closed(&world), "{steps:?}");
        world.pass(Duration::from_secs(1));
        assert!(is_closed(&world), "{steps:?}");
    }
}

#[test]
fn the_last_instance_that_was_listed_starts_the_short_wait() {
    let mut world = World::new();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    step(&mut world, 1, &[0, 1], Some(true));
    world.pass(Duration::from_mins(2));
    world.arrive(1, MEASURABLE, 1, 0, 0);
    world.pass_all_but_a_second(SHORT);
    assert!(!is_closed(&world));
    world.pass(Duration::from_secs(1));
    assert!(is_closed(&world));
}
