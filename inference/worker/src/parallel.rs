//! Work spread over the cores.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Threads that this process can keep busy: the processors that it may use, as far as its control group lets it.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// `work` of every number under `count`, in order, on at most `threads` threads of its own. Nothing of the result
/// depends on their number.
///
/// # Errors
/// The failure of the lowest number that fails. What had not begun by then isn't begun.
///
/// # Panics
/// As `work` does, or if no thread can be started.
pub(crate) fn try_map<T, E>(
    count: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E>
where
    T: Send,
    E: Send,
{
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let lane = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                break;
            }
            let result = work(at);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            done.push((at, result));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let lanes: Vec<_> = (0..threads.clamp(1, count.max(1)))
            .map(|_| scope.spawn(lane))
            .collect();
        lanes
            .into_iter()
            .flat_map(|lane| lane.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    // Numbers are taken in order and whoever takes one finishes it, so none is missing under the lowest failure.
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_whatever_the_threads() {
        for threads in [1, 2, 7, 100] {
            let squares = try_map(50, threads, |at| Ok::<_, ()>(at * at)).unwrap();
            assert_eq!(squares, (0..50).map(|at| at * at).collect::<Vec<_>>());
        }
        assert_eq!(try_map(0, 4, Ok::<_, ()>).unwrap(), Vec::<usize>::new());
    }

    #[test]
    fn the_lowest_failure_is_the_answer() {
        for threads in [1, 3, 16] {
            let failing = |at: usize| if at % 10 == 7 { Err(at) } else { Ok(at) };
            assert_eq!(try_map(1000, threads, failing), Err(7));
        }
    }
}
