//! What the fuzz targets share. Each target's file says what it feeds and what must hold; a panic, a hang or too much
//! memory is a finding in all of them. `run.sh` builds and runs them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "what a target needs and doesn't find must end it"
)]

pub mod picture;
pub mod wire;

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};

/// A file that exists in memory alone, for what is read by its path.
pub struct MemoryFile(File);

impl MemoryFile {
    /// A file with this content.
    ///
    /// # Panics
    /// Where the machine has no memory for it.
    pub fn new(content: &[u8]) -> Self {
        let mut file = File::from(memfd_create("fuzz", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        Self(file)
    }

    /// Its path in this process.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}
