//! Disk pressure: when the disk is fuller than the first mark, the images of done studies go, oldest day first.
//!
//! Nothing is owed of a done study any more: every destination has confirmed what it was to get. What stays of each
//! pruned image is in the spool's documentation. This is a thread of its own: it deletes gigabytes, and needs neither the
//! engine nor the queue, since a study that is taken up again meanwhile lies elsewhere then and is left alone.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::spool::{Day, Spool, SpoolError};

/// How often the disk is looked at. A gigabit network fills 7 GiB in this time.
const INTERVAL: Duration = Duration::from_mins(1);

/// The pruner's thread; ends with its handle, between two studies.
pub(crate) struct PrunerThread {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl PrunerThread {
    /// Starts it: above `percent` of the disk it prunes.
    pub(crate) fn start(spool: Spool, percent: u8) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("pruner".to_owned())
            .spawn(move || Pruner::new(spool).run(percent, &stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for PrunerThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the pruner ended by a panic");
        }
    }
}

struct Pruner {
    spool: Spool,
    /// Days whose studies have no images left. No study is finished on a past day, and the spool tells of images that came
    /// back.
    pruned: BTreeSet<Day>,
}

impl Pruner {
    fn new(spool: Spool) -> Self {
        Self {
            spool,
            pruned: BTreeSet::new(),
        }
    }

    fn run(mut self, percent: u8, stopped: &Receiver<()>) {
        let may_go_on = || stopped.try_recv() == Err(TryRecvError::Empty);
        while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let spool = self.spool.clone();
            let is_crowded = || Ok(spool.space()?.is_above(percent));
            match self.relieve(is_crowded, may_go_on) {
                Ok(0) => {}
                Ok(bytes) => {
                    tracing::info!(mib = bytes >> 20, "images of done studies were pruned");
                }
                Err(error) => tracing::error!(%error, "pruning stopped"),
            }
        }
    }

    /// Prunes while it is crowded; returns the bytes that went.
    fn relieve(
        &mut self,
        is_crowded: impl Fn() -> Result<bool, SpoolError>,
        may_go_on: impl Fn() -> bool,
    ) -> Result<u64, SpoolError> {
        let mut bytes = 0;
        if !is_crowded()? {
            return Ok(bytes);
        }
        for day in self.spool.take_regrown_days() {
            self.pruned.remove(&day);
        }
        let days = self.spool.done_days()?;
        for day in &days {
            if self.pruned.contains(day) {
                continue;
            }
            for study in self.spool.done_studies(day)? {
                match self.spool.prune_images(&study, day) {
                    Ok(pruned) => bytes += pruned,
                    // It was taken up again.
                    Err(SpoolError::NoSuchStudy(_)) => {}
                    Err(error) => return Err(error),
                }
                if !may_go_on() || !is_crowded()? {
                    return Ok(bytes);
                }
            }
            if Some(day) != days.last() {
                self.pruned.insert(day.clone());
            }
        }
        tracing::warn!(
            "the disk is above storage.prune_above_percent and no done study has images left to prune"
        );
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use sonode_conformance::StudyInstanceUid;

    use super::*;
    use crate::spool::FileMeta;

    fn study(number: u8) -> StudyInstanceUid {
        format!("1.2.{number}").parse().unwrap()
    }

    /// A spool with one image in each of some studies, each finished on its day.
    fn spool_of(folder: &std::path::Path, days: &[&str]) -> Spool {
        let spool = Spool::open(folder).unwrap();
        for (number, day) in (1..).zip(days) {
            put(&spool, number);
            spool.finish_study(&study(number), day).unwrap();
        }
        spool
    }

    /// Commits a study's image, or sends it again.
    fn put(spool: &Spool, number: u8) {
        let meta = FileMeta {
            sop_class: "1.2.840.10008.5.1.4.1.1.3.1".parse().unwrap(),
            sop_instance: format!("1.3.{number}").parse().unwrap(),
            transfer_syntax: "1.2.840.10008.1.2.1".parse().unwrap(),
            calling_ae: None,
        };
        let mut writer = spool.begin(1, &meta).unwrap();
        writer.write(&[number; 100]).unwrap();
        let pending = writer.finish().unwrap();
        spool.commit(pending, Some(study(number))).unwrap();
    }

    fn images(spool: &Spool, number: u8) -> usize {
        spool.scan_study(&study(number)).unwrap().instances.len()
    }

    /// Crowded for so many looks.
    fn crowded_for(looks: u32) -> impl Fn() -> Result<bool, SpoolError> {
        let left = Cell::new(looks);
        move || Ok(left.replace(left.get().saturating_sub(1)) > 0)
    }

    #[test]
    fn the_oldest_go_first_and_only_as_many_as_it_takes() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool_of(folder.path(), &["20260103", "20260101", "20260102"]);
        put(&spool, 4);
        let mut pruner = Pruner::new(spool.clone());
        assert_eq!(pruner.relieve(crowded_for(0), || true).unwrap(), 0);
        assert!(pruner.relieve(crowded_for(2), || true).unwrap() > 100);
        let left = || [1, 2, 3, 4].map(|number| images(&spool, number));
        assert_eq!(left(), [1, 0, 0, 1]);
        // The last day may get more studies; what is open is never touched.
        assert!(pruner.relieve(crowded_for(9), || true).unwrap() > 100);
        assert_eq!(left(), [0, 0, 0, 1]);
        spool.finish_study(&study(4), "20260103").unwrap();
        assert!(pruner.relieve(crowded_for(9), || true).unwrap() > 100);
        assert_eq!(left(), [0, 0, 0, 0]);
    }

    #[test]
    fn an_image_that_was_sent_again_goes_again() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool_of(folder.path(), &["20260101", "20260102"]);
        let mut pruner = Pruner::new(spool.clone());
        assert!(pruner.relieve(crowded_for(9), || true).unwrap() > 100);
        put(&spool, 1);
        assert_eq!(images(&spool, 1), 1);
        assert!(pruner.relieve(crowded_for(9), || true).unwrap() > 100);
        assert_eq!(images(&spool, 1), 0);
    }

    #[test]
    fn it_stops_between_two_studies() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool_of(folder.path(), &["20260101", "20260102"]);
        let mut pruner = Pruner::new(spool.clone());
        pruner.relieve(crowded_for(9), || false).unwrap();
        assert_eq!((images(&spool, 1), images(&spool, 2)), (0, 1));
    }

    #[test]
    fn its_thread_ends_with_its_handle_and_lets_go_of_the_spool() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool_of(folder.path(), &[]);
        drop(PrunerThread::start(spool.clone(), 80).unwrap());
        drop(spool);
        Spool::open(folder.path()).unwrap();
    }
}
