//! Promises of no study: there after a power loss, whole, until they are released.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use sonode_pipeline::spool::{KeptName, Spool};

use crate::crash_disk::CrashDisk;
use crate::oracle::open;

#[derive(Debug, Clone, Copy)]
enum Step {
    Keep(u8, u8),
    Release(u8),
    PowerLoss(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, any::<u8>()).prop_map(|(n, mark)| Step::Keep(n, mark)),
        2 => (0..4_u8).prop_map(Step::Release),
        2 => any::<u64>().prop_map(Step::PowerLoss),
    ]
}

fn name(n: u8) -> KeptName {
    let uid = format!("1.2.{}", n / 2);
    if n.is_multiple_of(2) {
        KeptName::Commitment("cart/1".to_owned(), uid.parse().unwrap())
    } else {
        KeptName::ProcedureStep(uid.parse().unwrap())
    }
}

fn check(spool: &Spool, expected: &BTreeMap<u8, Vec<u8>>) -> Result<(), TestCaseError> {
    let mut found = spool.kept().unwrap();
    found.sort();
    let mut expected: Vec<_> = expected.values().cloned().collect();
    expected.sort();
    prop_assert_eq!(found, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    #[test]
    fn what_was_kept_stands_until_it_is_released(steps in prop::collection::vec(step(), 1..30)) {
        let disk = CrashDisk::new();
        let mut spool = open(disk.clone()).unwrap();
        let mut expected = BTreeMap::new();
        for step in steps {
            match step {
                Step::Keep(n, mark) => {
                    let json = vec![mark; 100];
                    spool.keep(&name(n), &json).unwrap();
                    expected.insert(n, json);
                }
                Step::Release(n) => {
                    spool.release(&name(n)).unwrap();
                    expected.remove(&n);
                }
                Step::PowerLoss(seed) => {
                    drop(spool);
                    disk.crash(seed);
                    spool = open(disk.clone()).unwrap();
                }
            }
            check(&spool, &expected)?;
        }
    }
}
