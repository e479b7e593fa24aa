//! Random numbers in tests: libtorch has one generator for the whole process, so tests that draw from it take turns.

use std::sync::{Mutex, MutexGuard, PoisonError};

static TURN: Mutex<()> = Mutex::new(());

/// Seeds the generator. Nobody else who asks draws until what is returned is dropped.
pub(crate) fn seeded(seed: i64) -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed);
    turn
}
