//! A file system in memory that knows what was synced. [`CrashDisk::crash`] is a power loss: of everything that was not
//! synced, each change alone survives or not, as the seed says.
//!
//! It is harsher than any journaling file system: a rename is durable only by the fsync of its new parent, nothing
//! drags anything else along, and after a failed fsync the changes that it should have saved are never saved.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sonode_pipeline::spool::{Disk, DiskFile, Entry, Space};

/// The kinds of calls, for counts and faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Create,
    Append,
    Overwrite,
    SyncData,
    Read,
    Entry,
    List,
    MakeFolder,
    Rename,
    RemoveFile,
    RemoveFolder,
    SyncFolder,
}

/// An error at the n-th call of a kind, counted from 0 after it was set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) call: Call,
    pub(crate) nth: u64,
    pub(crate) errno: rustix::io::Errno,
}

enum Node {
    File {
        data: Vec<u8>,
        synced: Vec<u8>,
        /// An fsync failed: what was dirty then will never be written.
        lost: bool,
    },
    Folder {
        live: BTreeMap<String, usize>,
        durable: BTreeMap<String, usize>,
    },
}

/// A change of names that is not durable yet.
struct Change {
    /// The folder whose fsync makes it durable.
    folder: usize,
    kind: ChangeKind,
    lost: bool,
}

enum ChangeKind {
    Link { name: String, node: usize },
    Unlink { name: String },
    Rename { name: String, node: usize },
}

struct State {
    nodes: Vec<Node>,
    pending: Vec<Change>,
    counts: BTreeMap<Call, u64>,
    calls: u64,
    cut_at: Option<u64>,
    fault: Option<Fault>,
    locked: bool,
}

type Hook = Arc<dyn Fn(&Path) + Send + Sync>;

/// A handle on the one file system; clones share it.
#[derive(Clone)]
pub(crate) struct CrashDisk {
    state: Arc<Mutex<State>>,
    /// Called at each fsync of a folder, before it happens.
    hook: Option<Hook>,
}

/// What a file has room for at a time.
const SPACE: usize = 30_011;

struct OpenFile {
    disk: CrashDisk,
    node: usize,
    space: Vec<u8>,
}

struct LockGuard(CrashDisk);

/// `SplitMix64`: enough to choose what survives.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which isn't 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound as u64)).unwrap()
    }
}

fn new_folder() -> Node {
    Node::Folder {
        live: BTreeMap::new(),
        durable: BTreeMap::new(),
    }
}

fn not_found() -> io::Error {
    rustix::io::Errno::NOENT.into()
}

impl State {
    /// Whether nothing reaches the disk any more.
    fn is_cut(&self) -> bool {
        self.cut_at.is_some_and(|at| self.calls > at)
    }

    fn enter(&mut self, call: Call) -> io::Result<()> {
        self.calls += 1;
        if self.is_cut() {
            return Err(rustix::io::Errno::IO.into());
        }
        *self.counts.entry(call).or_default() += 1;
        if let Some(fault) = &mut self.fault
            && fault.call == call
        {
            if fault.nth == 0 {
                let errno = fault.errno;
                self.fault = None;
                return Err(errno.into());
            }
            fault.nth -= 1;
        }
        Ok(())
    }

    fn live(&mut self, folder: usize) -> io::Result<&mut BTreeMap<String, usize>> {
        match &mut self.nodes[folder] {
            Node::Folder { live, .. } => Ok(live),
            Node::File { .. } => Err(rustix::io::Errno::NOTDIR.into()),
        }
    }

    fn durable(&mut self, folder: usize) -> &mut BTreeMap<String, usize> {
        match &mut self.nodes[folder] {
            Node::Folder { durable, .. } => durable,
            Node::File { .. } => panic!("a change in a file"),
        }
    }

    fn find(&mut self, path: &Path) -> io::Result<usize> {
        let mut node = 0;
        for part in path.iter().skip(1) {
            let name = part.to_str().unwrap();
            node = *self.live(node)?.get(name).ok_or_else(not_found)?;
        }
        Ok(node)
    }

    fn parent(&mut self, path: &Path) -> io::Result<(usize, String)> {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        Ok((self.find(path.parent().unwrap())?, name))
    }

    fn link(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let (folder, name) = self.parent(path)?;
        if self.live(folder)?.contains_key(&name) {
            return Err(rustix::io::Errno::EXIST.into());
        }
        let number = self.nodes.len();
        self.nodes.push(node);
        self.live(folder)?.insert(name.clone(), number);
        self.change(folder, ChangeKind::Link { name, node: number });
        Ok(number)
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        self.live(folder)?.remove(&name).ok_or_else(not_found)?;
        self.change(folder, ChangeKind::Unlink { name });
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path, replace: bool) -> io::Result<()> {
        let (old, old_name) = self.parent(from)?;
        let (new, name) = self.parent(to)?;
        let node = *self.live(old)?.get(&old_name).ok_or_else(not_found)?;
        if !replace && self.live(new)?.contains_key(&name) {
            return Err(rustix::io::Errno::EXIST.into());
        }
        self.live(old)?.remove(&old_name);
        self.live(new)?.insert(name.clone(), node);
        self.change(new, ChangeKind::Rename { name, node });
        Ok(())
    }

    fn change(&mut self, folder: usize, kind: ChangeKind) {
        self.pending.push(Change {
            folder,
            kind,
            lost: false,
        });
    }

    fn apply(&mut self, change: Change) {
        match change.kind {
            ChangeKind::Link { name, node } => {
                self.durable(change.folder).insert(name, node);
            }
            ChangeKind::Unlink { name } => {
                self.durable(change.folder).remove(&name);
            }
            ChangeKind::Rename { name, node } => {
                for other in &mut self.nodes {
                    if let Node::Folder { durable, .. } = other {
                        durable.retain(|_, linked| *linked != node);
                    }
                }
                self.durable(change.folder).insert(name, node);
            }
        }
    }

    /// Makes the pending changes durable that `which` picks, in their order.
    fn settle(&mut self, mut which: impl FnMut(&Change) -> bool) {
        for change in std::mem::take(&mut self.pending) {
            if !change.lost && which(&change) {
                self.apply(change);
            } else {
                self.pending.push(change);
            }
        }
    }

    fn sync_file(&mut self, node: usize) {
        if let Node::File { data, synced, lost } = &mut self.nodes[node]
            && !*lost
        {
            synced.clone_from(data);
        }
    }
}

impl CrashDisk {
    pub(crate) fn new() -> Self {
        let state = State {
            nodes: vec![new_folder()],
            pending: Vec::new(),
            counts: BTreeMap::new(),
            calls: 0,
            cut_at: None,
            fault: None,
            locked: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            hook: None,
        }
    }

    pub(crate) fn with_hook(self, hook: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        Self {
            hook: Some(Arc::new(hook)),
            ..self
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls of a kind were made.
    pub(crate) fn count(&self, call: Call) -> u64 {
        self.state().counts.get(&call).copied().unwrap_or_default()
    }

    /// After so many more calls each one fails: the power is off, or the process is dead.
    pub(crate) fn cut_after(&self, calls: u64) {
        let mut state = self.state();
        state.cut_at = Some(state.calls + calls);
    }

    /// Whether a call came after that.
    pub(crate) fn is_cut(&self) -> bool {
        self.state().is_cut()
    }

    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        self.state().fault = fault;
    }

    /// The process is gone and the system lives on: nothing is lost.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        state.cut_at = None;
        state.fault = None;
        state.locked = false;
    }

    /// The power fails and comes back.
    pub(crate) fn crash(&self, seed: u64) {
        self.restart();
        let mut dice = Dice(seed);
        let mut state = self.state();
        state.settle(|_| dice.below(2) == 0);
        state.pending.clear();
        for node in &mut state.nodes {
            match node {
                Node::Folder { live, durable } => live.clone_from(durable),
                Node::File { data, synced, lost } => {
                    if data != synced && (*lost || dice.below(3) > 0) {
                        // Nothing of it, or a beginning whose rest is zeros.
                        let kept = if *lost { 0 } else { dice.below(data.len() + 1) };
                        data[kept..].fill(0);
                        if dice.below(2) == 0 || *lost {
                            data.clone_from(synced);
                        }
                    }
                    synced.clone_from(data);
                    *lost = false;
                }
            }
        }
    }

    /// The contents of a file, for the oracle: not counted, never failing for a fault.
    pub(crate) fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let mut state = self.state();
        let node = state.find(path).ok()?;
        match &state.nodes[node] {
            Node::File { data, .. } => Some(data.clone()),
            Node::Folder { .. } => None,
        }
    }

    /// Puts other bytes into a file, durably: decay.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let node = state.find(path).unwrap();
        if let Node::File { data, synced, .. } = &mut state.nodes[node] {
            change(data);
            synced.clone_from(data);
        }
    }

    /// Every file and folder, by path.
    pub(crate) fn tree(&self) -> Vec<PathBuf> {
        fn walk(state: &State, node: usize, path: &Path, found: &mut Vec<PathBuf>) {
            if let Node::Folder { live, .. } = &state.nodes[node] {
                for (name, child) in live {
                    let path = path.join(name);
                    walk(state, *child, &path, found);
                    found.push(path);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.state(), 0, Path::new("/"), &mut found);
        found
    }
}

impl DiskFile for OpenFile {
    fn append(&mut self, parts: [&[u8]; 2]) -> io::Result<()> {
        let bytes = parts.concat();
        let mut state = self.disk.state();
        let result = state.enter(Call::Append);
        if let Node::File { data, .. } = &mut state.nodes[self.node] {
            // A failed write may have written a part.
            let written = if result.is_ok() {
                bytes.len()
            } else {
                bytes.len() / 2
            };
            data.extend_from_slice(&bytes[..written]);
        }
        result
    }

    fn space(&mut self) -> &mut [u8] {
        &mut self.space
    }

    fn filled(&mut self, bytes: usize) -> io::Result<()> {
        let space = std::mem::take(&mut self.space);
        let result = self.append([&space[..bytes], &[]]);
        self.space = space;
        result
    }

    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.enter(Call::Overwrite)?;
        if let Node::File { data, .. } = &mut state.nodes[self.node] {
            let start = usize::try_from(offset).unwrap();
            data[start..start + bytes.len()].copy_from_slice(bytes);
        }
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.disk.state().enter(Call::Append)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        if let Err(error) = state.enter(Call::SyncData) {
            let failed = !state.is_cut();
            if let Node::File { lost, .. } = &mut state.nodes[self.node] {
                *lost |= failed;
            }
            return Err(error);
        }
        state.sync_file(self.node);
        Ok(())
    }
}

impl Disk for CrashDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.enter(Call::Create)?;
        let file = Node::File {
            data: Vec::new(),
            synced: Vec::new(),
            lost: false,
        };
        let node = state.link(path, file)?;
        drop(state);
        Ok(Box::new(OpenFile {
            disk: self.clone(),
            node,
            space: vec![0; SPACE],
        }))
    }

    fn read(&self, path: &Path, max: u64) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.enter(Call::Read)?;
        let node = state.find(path)?;
        match &state.nodes[node] {
            Node::File { data, .. } => {
                let end = data.len().min(usize::try_from(max).unwrap_or(usize::MAX));
                Ok(data[..end].to_vec())
            }
            Node::Folder { .. } => Err(rustix::io::Errno::ISDIR.into()),
        }
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        let mut state = self.state();
        state.enter(Call::Entry)?;
        match state.find(path) {
            Ok(node) => Ok(Some(match &state.nodes[node] {
                Node::File { data, .. } => Entry::File(data.len() as u64),
                Node::Folder { .. } => Entry::Folder,
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.enter(Call::List)?;
        let node = state.find(folder)?;
        Ok(state.live(node)?.keys().cloned().collect())
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::MakeFolder)?;
        state.link(path, new_folder()).map(drop)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::Rename)?;
        state.rename(from, to, false)
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::Rename)?;
        state.rename(from, to, true)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::RemoveFile)?;
        state.unlink(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::RemoveFolder)?;
        let node = state.find(path)?;
        if !state.live(node)?.is_empty() {
            return Err(rustix::io::Errno::NOTEMPTY.into());
        }
        state.unlink(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        if let Some(hook) = &self.hook {
            hook(path);
        }
        let mut state = self.state();
        let entered = state.enter(Call::SyncFolder);
        let node = state.find(path)?;
        if let Err(error) = entered {
            let failed = !state.is_cut();
            for change in &mut state.pending {
                change.lost |= failed && change.folder == node;
            }
            return Err(error);
        }
        state.settle(|change| change.folder == node);
        Ok(())
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        Ok(Space {
            free: 1 << 40,
            used: 0,
        })
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.state();
        if std::mem::replace(&mut state.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        drop(state);
        Ok(Box::new(LockGuard(self.clone())))
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}
