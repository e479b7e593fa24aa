//! How a process of the node's dies, and what of the disk outlives it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{CALM, Event, World};
use crate::crash_disk::{Call, Fault};
use crate::network::Host;

/// What happens to a process.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    /// It dies after so many calls of the disk: in the midst of something.
    Cut(u64),
    /// A call of the disk fails.
    Fault(Fault),
    /// It dies between two things.
    Death,
    /// It is stopped and ends in order.
    Stop,
}

impl World {
    /// One of them for each process, or none.
    pub(super) fn plan_trouble(&mut self) {
        if self.deaths_left == 0 || self.now >= CALM {
            return;
        }
        self.deaths_left -= 1;
        let trouble = match self.dice.below(8) {
            0..4 => Trouble::Cut(self.dice.below(120) as u64),
            4..6 => Trouble::Fault(self.fault()),
            6 => Trouble::Death,
            _ => Trouble::Stop,
        };
        self.plan_within(60_000, Event::Trouble(self.boot, trouble));
    }

    fn fault(&mut self) -> Fault {
        const CALLS: [(Call, Errno); 10] = [
            (Call::Create, Errno::NOSPC),
            (Call::Append, Errno::NOSPC),
            (Call::Append, Errno::IO),
            (Call::SyncData, Errno::IO),
            (Call::SyncFolder, Errno::IO),
            (Call::Rename, Errno::NOSPC),
            (Call::MakeFolder, Errno::NOSPC),
            (Call::Entry, Errno::IO),
            (Call::List, Errno::IO),
            (Call::RemoveFile, Errno::IO),
        ];
        let (call, errno) = CALLS[self.dice.below(CALLS.len())];
        let nth = self.dice.below(12) as u64;
        Fault { call, nth, errno }
    }

    pub(super) fn get_into(&mut self, trouble: Trouble) {
        if self.now >= CALM {
            return;
        }
        tracing::info!(now = ?self.now, ?trouble, "SIM trouble");
        match trouble {
            Trouble::Cut(calls) => {
                // What the queue's own files hold after the cut is beyond it: it is as it was now.
                self.queue_was_lost = true;
                self.frozen_queue = Some(self.copy_of_queue());
                self.disk.cut_after(calls);
                // A node that has nothing to do dies all the same.
                let death = Event::Trouble(self.boot, Trouble::Death);
                self.plan(self.now + Duration::from_secs(15), death);
            }
            Trouble::Fault(fault) => {
                self.disk.set_fault(Some(fault));
                // The operator comes.
                let death = Event::Trouble(self.boot, Trouble::Death);
                self.plan(self.now + Duration::from_secs(15), death);
            }
            Trouble::Death => self.die(),
            Trouble::Stop => {
                if let Some(node) = self.node.take() {
                    node.pipeline.drain(Instant::now());
                }
                self.disk.restart();
                self.go_away(false);
            }
        }
    }

    /// The power fails, or the process is killed.
    pub(super) fn die(&mut self) {
        let frozen = self.frozen_queue.take();
        let frozen = frozen.unwrap_or_else(|| self.copy_of_queue());
        self.disk.cut_after(0);
        if let Some(node) = self.node.take() {
            // Its threads end; nothing of what they still do reaches the disk or the network.
            node.pipeline.drain(Instant::now());
        }
        let queue = self.data_dir().join("queue");
        std::fs::remove_dir_all(&queue).unwrap();
        match self.dice.below(8) {
            0 | 1 => {
                self.queue_was_lost = true;
                std::fs::remove_dir_all(&frozen).unwrap();
            }
            2 if frozen.join("db").exists() => {
                self.queue_was_lost = true;
                self.damage(&frozen.join("db"));
                std::fs::rename(&frozen, &queue).unwrap();
            }
            _ => std::fs::rename(&frozen, &queue).unwrap(),
        }
        let is_power_loss = self.dice.below(3) > 0;
        tracing::info!(now = ?self.now, is_power_loss, has_queue = queue.exists(), "SIM death");
        if is_power_loss {
            self.disk.crash(self.dice.next());
        } else {
            self.disk.restart();
        }
        let silently = is_power_loss && self.dice.below(4) > 0;
        self.go_away(silently);
    }

    fn go_away(&mut self, silently: bool) {
        let (now, dice) = (self.now, &mut self.dice);
        self.network.lose(Host::Node, silently, now, dice);
        self.plan_within(20_000, Event::NodeStarts);
    }

    /// One byte is another one, or what follows it is gone.
    fn damage(&mut self, file: &Path) {
        let mut bytes = std::fs::read(file).unwrap();
        let written = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        let at = self.dice.below(written + 1);
        if self.dice.below(2) == 0 {
            bytes.truncate(at);
        } else if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 0xA5;
        }
        std::fs::write(file, bytes).unwrap();
    }

    fn copy_of_queue(&self) -> PathBuf {
        let copy = self.folder.path().join("frozen");
        // It may have died before it had a queue.
        std::fs::create_dir_all(self.data_dir().join("queue")).unwrap();
        copy_folder(&self.data_dir().join("queue"), &copy).unwrap();
        copy
    }
}

/// As a kill leaves it: what a program that is still writing has written.
fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
