//! The spool against a file system that loses what was not synced, against faults, and on the real one.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows test functions; these are their helpers"
)]

mod behaviour;
mod concurrency;
mod crash_disk;
mod durability;
mod faults;
mod filing;
mod kept;
mod lying_disk;
mod oracle;
