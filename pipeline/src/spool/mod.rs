//! The spool: what was promised to a peer is a file here, fsynced before it is answered.
//!
//! # On-disk layout, version 1
//!
//! ```text
//! data_dir/
//!   LOCK                        flock of the process that has the folder; empty
//!   VERSION                     the layout's version, decimal, one line
//!   node-uid                    the node's own UID, one line; made once, part of every report's identity
//!   incoming/
//!     <boot>-<association>-<n>.part    being received; deleted at start
//!     <boot>-discarded-<n>.part/       a study's folder on its way out; deleted at start
//!   open/<hh>/<StudyUID>/       hh: first byte of SHA-256 over the Study Instance UID, two hexadecimal digits
//!     <SOPUID>.<hash16>.dcm            an instance, immutable, DICOM Part 10
//!     <SOPUID>.<hash16>.pruned         preamble and file meta information of an instance whose image was pruned
//!     <hash16>.findings.json           what was found in it; outlives it
//!     report-<revision>-<SOPUID>.dcm   a report, immutable
//!     companion-<revision>-<SOPUID>.dcm    what goes beside a report, immutable
//!     delivered-<peer>-<SOPUID>        empty: the peer has taken the object; peer's name percent-encoded
//!     committed-<peer>-<SOPUID>        empty: the peer has committed itself to keep it
//!     found-<peer>-<SOPUID>            empty: the peer had it when it was queried
//!     <SOPUID>.<hash16>.dcm.<uuid>.damaged    a damaged file, found when its instance came again or its study ended
//!   done/<yyyymmdd>/<StudyUID>/ the same, when nothing is owed any more
//!   kept/                       promises of no study
//!     commitment-<hash32>.json         a cart's request for storage commitment, until the cart has the answer
//!     procedure-step-<SOPUID>.json     a performed procedure step (MPPS)
//!   unsorted/                   instances without a readable Study Instance UID, until the worker can name their study
//!   queue/                      the queue's own; not the spool's
//!   refused                     the node's list of what it refused; not the spool's
//! ```
//!
//! `hash16` is the first 16 hexadecimal digits of the instance's digest ([`Digest`]). The file meta
//! information carries the whole digest and the data set's length (32 bytes and a little-endian `u64`) as Private Information (0002,0102), with the Private Information Creator UID
//! `2.25.324538482691160449233475885739341764883`.
//!
//! A study lies in one place only. An instance is compared with the others of its study: same name means same bytes.
//! Everything must lie on one file system, since everything moves by rename.
//!
//! | version | since | change |
//! | --- | --- | --- |
//! | 1 | 0.1.0 | the first; companions, `committed-` and `found-` are names that it passes over if it doesn't know them; `kept/` is a folder that it doesn't look into |
//!
//! # Architecture invariants
//!
//! - One thread, the committer, makes, moves and removes every name outside `incoming/` and `kept/`. Its order of steps is
//!   in [`committer`]'s documentation. Callers only write and fdatasync files in `incoming/`, and fsync the folder of the
//!   name that they were given; where that fails they take the name back, and the spool is poisoned then. [`kept`] has its
//!   own folder. The scan of a start, before anything is received, removes study folders that are empty.
//! - Nothing is acknowledged before its contents, its name and its folder's name are durable.
//! - A failed fsync poisons the spool until a restart.
//! - Names are made from validated UIDs only.

mod committer;
mod disk;
mod durability;
mod error;
mod init;
mod instance;
mod integrity;
mod kept;
mod layout;
mod moves;
mod part10;
mod scan;
mod shared;
mod writer;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use sonode_conformance::{SopInstanceUid, StudyInstanceUid, Uid};

use committer::{Committer, Existing, Publication, Reply, Request};
pub use disk::{Disk, DiskFile, Entry, RealDisk, Space};
use durability::Named;
pub use error::{OpenError, ReceiveError, SpoolError};
pub use instance::{Committed, Digest, DigestError, FileMeta, ShortDigest, StoredInstance};
use integrity::read_instance;
use kept::KeptLock;
pub use kept::KeptName;
pub use layout::{Day, PeerMark};
use layout::{Layout, Name};
pub use moves::Discarded;
use moves::Move;
pub use part10::HeaderError;
pub use scan::{OpenStudy, Skipped, Unsorted};
use shared::Shared;
pub use shared::StudyPlace;
pub use writer::{InstanceWriter, Pending};

/// A handle on the one spool of a data folder. Clones share it; when the last one goes, the committer ends and the lock
/// is released.
#[derive(Clone)]
pub struct Spool {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    node_uid: Uid,
    requests: Option<Sender<Request>>,
    committer: Option<JoinHandle<()>>,
    kept: KeptLock,
    /// Dropped last.
    _lock: Box<dyn Send + Sync>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.committer.take()
            && thread.join().is_err()
        {
            tracing::error!("the committer ended by a panic");
        }
    }
}

impl Spool {
    /// Opens the spool of a data folder, and makes it where there is none.
    ///
    /// # Errors
    /// Each [`OpenError`] variant.
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(RealDisk), data_dir)
    }

    /// As [`Spool::open`], on another file system.
    ///
    /// # Errors
    /// Each [`OpenError`] variant.
    pub fn open_on(disk: Arc<dyn Disk>, data_dir: &Path) -> Result<Self, OpenError> {
        let io = |what| {
            move |source| OpenError::Io {
                what,
                path: data_dir.to_owned(),
                source,
            }
        };
        // Paths are handed to the worker, which may have another current folder.
        let layout = Layout::new(std::path::absolute(data_dir).map_err(io("name"))?);
        let lock = init::lock(&*disk, &layout)?;
        let shared = Arc::new(Shared::new(disk, layout));
        let node_uid = init::prepare(&shared)?;
        let (requests, receiver) = mpsc::channel();
        let committer = Committer::new(Arc::clone(&shared));
        let committer = thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run(&receiver))
            .map_err(io("start the committer of"))?;
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                node_uid,
                requests: Some(requests),
                committer: Some(committer),
                kept: KeptLock::default(),
                _lock: lock,
            }),
        })
    }

    /// The node's own UID: made at the first start, the same ever after.
    pub fn node_uid(&self) -> &Uid {
        &self.inner.node_uid
    }

    /// The data folder, as an absolute path.
    pub fn data_dir(&self) -> &Path {
        self.shared().layout.root()
    }

    /// Whether an fsync failed: nothing is taken or written any more until a restart.
    pub fn is_poisoned(&self) -> bool {
        self.shared().is_poisoned()
    }

    /// How full the file system is.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn space(&self) -> Result<Space, SpoolError> {
        let root = self.data_dir();
        let space = self.shared().disk.space(root);
        space.map_err(SpoolError::io("ask for the free space of", root))
    }

    /// Begins to receive an instance: preamble and file meta information of a Part 10 file. `association` only names
    /// the part file.
    ///
    /// # Errors
    /// [`ReceiveError::Poisoned`], [`ReceiveError::OutOfSpace`], [`ReceiveError::Io`].
    pub fn begin(&self, association: u64, meta: &FileMeta) -> Result<InstanceWriter, ReceiveError> {
        InstanceWriter::create(self.shared(), association, meta)
    }

    /// Gives a received instance its name and returns when it is durable. Blocks for one or two fsyncs of a folder.
    /// Without a study it goes to `unsorted/`. A new instance of a study that is done brings the study back to `open/`;
    /// a duplicate doesn't.
    ///
    /// # Errors
    /// Each [`ReceiveError`] variant but `TooLarge`. Nothing of the instance is kept then.
    pub fn commit(
        &self,
        pending: Pending,
        study: Option<StudyInstanceUid>,
    ) -> Result<Committed, ReceiveError> {
        Ok(self.ask_durably(|reply| Request::Commit(Box::new(pending), study, reply))?)
    }

    /// Keeps what was found in an instance, in the place of what was found before. Durable when it returns.
    ///
    /// # Errors
    /// Each [`SpoolError`] variant but those of reports and names.
    pub fn put_findings(&self, instance: &StoredInstance, json: &[u8]) -> Result<(), SpoolError> {
        let publication = Publication {
            study: instance.study.clone(),
            name: layout::findings_name(instance.digest.short()),
            temp: writer::write_temp(self.shared(), json)?,
            existing: Existing::Replace,
        };
        self.publish(publication).map(drop)
    }

    /// Commits a report's bytes before they are sent for the first time; returns its file. Doing it again with the same
    /// bytes is a success and changes nothing.
    ///
    /// # Errors
    /// [`SpoolError::ReportDiffers`] when this revision and UID stand for other bytes; otherwise as
    /// [`Spool::put_findings`].
    pub fn commit_report(
        &self,
        study: &StudyInstanceUid,
        revision: u32,
        sop: &SopInstanceUid,
        bytes: &[u8],
    ) -> Result<PathBuf, SpoolError> {
        self.commit_made(study, layout::report_name(revision, sop), bytes)
    }

    /// Commits what goes beside a report, as [`Spool::commit_report`] does.
    ///
    /// # Errors
    /// As [`Spool::commit_report`].
    pub fn commit_companion(
        &self,
        study: &StudyInstanceUid,
        revision: u32,
        sop: &SopInstanceUid,
        bytes: &[u8],
    ) -> Result<PathBuf, SpoolError> {
        self.commit_made(study, layout::companion_name(revision, sop), bytes)
    }

    /// One name, one content.
    fn commit_made(
        &self,
        study: &StudyInstanceUid,
        name: String,
        bytes: &[u8],
    ) -> Result<PathBuf, SpoolError> {
        let publication = Publication {
            study: Some(study.clone()),
            name,
            temp: writer::write_temp(self.shared(), bytes)?,
            existing: Existing::MustEqual(bytes.to_vec()),
        };
        self.publish(publication)
    }

    /// The file of a report that was committed; `None` also where the spool can't be read.
    pub fn report(
        &self,
        study: &StudyInstanceUid,
        revision: u32,
        sop: &SopInstanceUid,
    ) -> Option<PathBuf> {
        self.made(study, &layout::report_name(revision, sop))
    }

    /// The file of a companion that was committed; `None` also where the spool can't be read.
    pub fn companion(
        &self,
        study: &StudyInstanceUid,
        revision: u32,
        sop: &SopInstanceUid,
    ) -> Option<PathBuf> {
        self.made(study, &layout::companion_name(revision, sop))
    }

    fn made(&self, study: &StudyInstanceUid, name: &str) -> Option<PathBuf> {
        let path = self.find_study(study).ok()??.1.join(name);
        let entry = self.shared().disk.entry(&path).ok()?;
        matches!(entry, Some(Entry::File(_))).then_some(path)
    }

    /// A small file of the spool, whole: findings.
    ///
    /// # Errors
    /// As the operating system gives them.
    pub fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        self.shared().disk.read(path, u64::MAX)
    }

    /// Records durably how far an object has come at a peer. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`SpoolError::BadName`] for a peer's name that is empty or too long for a file name; otherwise as
    /// [`Spool::put_findings`].
    pub fn mark(
        &self,
        mark: PeerMark,
        study: &StudyInstanceUid,
        peer: &str,
        sop: &SopInstanceUid,
    ) -> Result<(), SpoolError> {
        let publication = Publication {
            study: Some(study.clone()),
            name: layout::mark_name(mark, peer, sop)?,
            temp: writer::write_temp(self.shared(), &[])?,
            existing: Existing::Keep,
        };
        self.publish(publication).map(drop)
    }

    /// Moves a study to `done/<day>/`: nothing is owed any more. `day` is `YYYYMMDD`. A study that is done stays where
    /// it is. Files move with it: older [`StoredInstance::path`]s are stale.
    ///
    /// # Errors
    /// [`SpoolError::BadName`], [`SpoolError::NoSuchStudy`]; otherwise as [`Spool::put_findings`].
    pub fn finish_study(&self, study: &StudyInstanceUid, day: &str) -> Result<(), SpoolError> {
        let change = Move::Finish(study.clone(), Day::parse(day)?, None);
        self.change(change).map(drop)
    }

    /// As [`Spool::finish_study`], but only if the folder holds exactly as many instance files (versions counted) as
    /// the caller knows of: an instance that was committed a moment ago, and of which the caller hasn't heard yet, keeps
    /// the study open. A damaged file, of which no caller ever hears, is set aside and doesn't count.
    ///
    /// # Errors
    /// [`SpoolError::StudyChanged`]; otherwise as [`Spool::finish_study`].
    pub fn finish_study_if(
        &self,
        study: &StudyInstanceUid,
        day: &str,
        instances: usize,
    ) -> Result<(), SpoolError> {
        let change = Move::Finish(study.clone(), Day::parse(day)?, Some(instances));
        self.change(change).map(drop)
    }

    /// Moves a study from `done/` back to `open/` and returns its folder; an open one stays where it is.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchStudy`]; otherwise as [`Spool::put_findings`].
    pub fn reopen_study(&self, study: &StudyInstanceUid) -> Result<PathBuf, SpoolError> {
        self.change(Move::Reopen(study.clone()))
    }

    /// Removes a study with everything in it, wherever it lies. It is gone durably when this returns, and its files are
    /// deleted when what is returned is dropped.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchStudy`]; otherwise as [`Spool::put_findings`].
    pub fn discard_study(&self, study: &StudyInstanceUid) -> Result<Discarded, SpoolError> {
        let path = self.change(Move::Discard(study.clone()))?;
        Ok(Discarded::new(Arc::clone(self.shared()), path))
    }

    /// The days of `done/`, oldest first.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn done_days(&self) -> Result<Vec<Day>, SpoolError> {
        self.shared().done_days()
    }

    /// The studies that were finished on one day, in no order.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn done_studies(&self, day: &Day) -> Result<Vec<StudyInstanceUid>, SpoolError> {
        let folder = self.shared().layout.done_day(day);
        let names = self.shared().list(&folder)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The days of `done/` to which pruned images came back since this was asked last, since they were sent again.
    pub fn take_regrown_days(&self) -> BTreeSet<Day> {
        self.shared().take_regrown()
    }

    /// Removes the images of a study that was finished on this day; returns their bytes. What they were is kept: each
    /// one's header with its UIDs, digest, length and sender, the findings, the reports, what was delivered. The headers
    /// are durable before an image goes.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchStudy`] where it was reopened or discarded meanwhile; otherwise as [`Spool::put_findings`].
    /// Images that can't be deleted are gone from the study and deleted at the next start.
    pub fn prune_images(&self, study: &StudyInstanceUid, day: &Day) -> Result<u64, SpoolError> {
        let folder = self.shared().layout.done_study(day, study);
        let mut bytes = 0;
        for name in self.shared().list(&folder)? {
            if let Name::Instance(sop, digest) = Name::parse(&name) {
                let pruned = layout::pruned_name(&sop, digest);
                bytes += self.keep_header(study, &folder.join(name), pruned)?;
            }
        }
        if bytes > 0 {
            let images = self.change(Move::DropImages(study.clone(), day.clone()))?;
            drop(Discarded::new(Arc::clone(self.shared()), images));
        }
        Ok(bytes)
    }

    /// Gives the bytes of the image that may go then; none where it is damaged: it is evidence of that.
    fn keep_header(
        &self,
        study: &StudyInstanceUid,
        image: &Path,
        name: String,
    ) -> Result<u64, SpoolError> {
        let Ok(parsed) = read_instance(self.shared(), image)? else {
            return Ok(0);
        };
        let head = self.shared().disk.read(image, parsed.header_bytes);
        let publication = Publication {
            study: Some(study.clone()),
            name,
            temp: writer::write_temp(self.shared(), &head.map_err(SpoolError::io("read", image))?)?,
            existing: Existing::Keep,
        };
        self.publish(publication)?;
        Ok(parsed.header_bytes.saturating_add(parsed.data_set_bytes))
    }

    /// Moves an instance of `unsorted/`, with its findings, to the study that was found for it.
    ///
    /// # Errors
    /// As [`Spool::put_findings`].
    pub fn file_unsorted(
        &self,
        instance: &StoredInstance,
        study: &StudyInstanceUid,
    ) -> Result<StoredInstance, SpoolError> {
        let sop = instance.sop_instance.clone();
        let path = self.change(Move::File(sop, instance.digest, study.clone()))?;
        Ok(StoredInstance {
            study: Some(study.clone()),
            path,
            ..instance.clone()
        })
    }

    /// Where a study lies now; `None` where the spool doesn't have it.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: nobody knows whether the spool has it.
    pub fn find_study(
        &self,
        study: &StudyInstanceUid,
    ) -> Result<Option<(StudyPlace, PathBuf)>, SpoolError> {
        // Twice, because the committer may move the folder between the two looks of one search.
        match self.shared().find(study) {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) | Err(_) => self.shared().find(study),
        }
    }

    /// Where an instance's file lies now, after its study may have moved; `None` where it isn't there or can't be told.
    pub fn locate(&self, instance: &StoredInstance) -> Option<PathBuf> {
        let folder = match &instance.study {
            Some(study) => self.find_study(study).ok()??.1,
            None => self.shared().layout.unsorted(),
        };
        let name = layout::instance_name(&instance.sop_instance, instance.digest.short());
        Some(folder.join(name))
    }

    /// Everything in `open/`: what may still be owed. Reads names and headers, not data sets. Files that can't be used
    /// are reported in [`OpenStudy::skipped`] and stay where they are. For a start, before anything is received: a folder
    /// that an earlier process made and did not live to fill is removed.
    ///
    /// # Errors
    /// [`SpoolError::Io`] when `open/` itself can't be read.
    pub fn scan_open(&self) -> Result<Vec<OpenStudy>, SpoolError> {
        scan::open_studies(self.shared())
    }

    /// Everything of one study, open or done.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchStudy`], [`SpoolError::Io`].
    pub fn scan_study(&self, study: &StudyInstanceUid) -> Result<OpenStudy, SpoolError> {
        let found = self.find_study(study)?;
        let (_, folder) = found.ok_or_else(|| SpoolError::NoSuchStudy(study.clone()))?;
        scan::study(self.shared(), study.clone(), folder)
    }

    /// Everything in `unsorted/`.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn scan_unsorted(&self) -> Result<Unsorted, SpoolError> {
        scan::unsorted(self.shared())
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    fn change(&self, change: Move) -> Result<PathBuf, SpoolError> {
        self.ask(|reply| Request::Move(change, reply))
    }

    fn publish(&self, publication: Publication) -> Result<PathBuf, SpoolError> {
        self.ask_durably(|reply| Request::Publish(publication, reply))
    }

    /// Hands a request to the committer, and makes the name that it gave durable.
    fn ask_durably<T>(
        &self,
        request: impl FnOnce(Reply<Named<T>>) -> Request,
    ) -> Result<T, SpoolError> {
        self.ask(request)?.sync(self.shared())
    }

    /// Hands a request to the committer and waits. A committer that is gone has panicked: nothing can be promised.
    fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, SpoolError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let requests = self.inner.requests.as_ref().ok_or(SpoolError::Poisoned)?;
        requests
            .send(request(reply))
            .map_err(|_| SpoolError::Poisoned)?;
        answer.recv().unwrap_or(Err(SpoolError::Poisoned))
    }
}
