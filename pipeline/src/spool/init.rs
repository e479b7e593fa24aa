//! Opening a data folder: lock, version, the node's UID, folders, and the traces of an earlier process.

use std::io;
use std::path::{Path, PathBuf};

use sonode_conformance::Uid;

use super::disk::{Disk, Entry};
use super::error::{OpenError, SpoolError};
use super::layout::{Layout, VERSION};
use super::shared::Shared;

/// Takes the folder for this process. The guard lasts as long as the spool.
pub(super) fn lock(disk: &dyn Disk, layout: &Layout) -> Result<Box<dyn Send + Sync>, OpenError> {
    make_path(disk, layout.root())?;
    let path = layout.lock();
    disk.lock(&path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked {
            data_dir: layout.root().to_owned(),
            lock: path,
        },
        _ => OpenError::Io {
            what: "lock",
            path,
            source,
        },
    })
}

/// Makes the folder what this version expects. The order matters at the first start: VERSION is written last, so a
/// folder that has one is complete.
pub(super) fn prepare(shared: &Shared) -> Result<Uid, OpenError> {
    let layout = &shared.layout;
    let known = check_version(shared)?;
    for folder in [
        layout.incoming(),
        layout.open(),
        layout.done(),
        layout.unsorted(),
        layout.kept(),
    ]
    .into_iter()
    .chain(layout.open_groups())
    {
        make_folder(&*shared.disk, &folder)?;
    }
    clear_incoming(shared)?;
    let uid = if known {
        read_node_uid(shared)?
    } else {
        first_node_uid(shared)?
    };
    if !known {
        write_file(shared, &layout.version(), &format!("{VERSION}\n"))?;
    }
    // What an earlier process made and didn't live to sync is visible and will be built upon: `open/<hh>`, `done/<day>` and
    // what is in `kept/` here, each study's folder when the committer first touches it.
    let root = layout.root();
    let mut folders = vec![layout.open(), layout.done(), layout.kept(), root.to_owned()];
    folders.extend(root.ancestors().skip(1).map(Path::to_owned));
    for folder in folders {
        match shared.disk.sync_folder(&folder) {
            // Above the data folder others may have the say, and may have made it long ago.
            Err(error) if !folder.starts_with(root) && is_foreign(&error) => {
                tracing::debug!(path = %folder.display(), %error, "not synced");
            }
            result => result.map_err(SpoolError::io("sync", &folder))?,
        }
    }
    Ok(uid)
}

/// Whether a folder can't be synced because it isn't ours to open or to write.
fn is_foreign(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(
        error.kind(),
        InvalidInput | PermissionDenied | ReadOnlyFilesystem | Unsupported
    )
}

/// Whether VERSION is there; another one than ours is an error.
fn check_version(shared: &Shared) -> Result<bool, OpenError> {
    let path = shared.layout.version();
    if shared.entry(&path)?.is_none() {
        return Ok(false);
    }
    let found = read_text(shared, &path)?;
    if found.trim() == VERSION.to_string() {
        return Ok(true);
    }
    Err(OpenError::Version {
        data_dir: shared.layout.root().to_owned(),
        found: found.trim().to_owned(),
        expected: VERSION,
    })
}

fn read_node_uid(shared: &Shared) -> Result<Uid, OpenError> {
    let path = shared.layout.node_uid();
    let text = match shared.entry(&path)? {
        Some(_) => read_text(shared, &path)?,
        None => String::new(),
    };
    Uid::parse(text.trim().as_bytes()).map_err(|source| OpenError::NodeUid { path, source })
}

/// The first start, or one after a first start that was cut short: a UID that was written then stays.
fn first_node_uid(shared: &Shared) -> Result<Uid, OpenError> {
    let path = shared.layout.node_uid();
    if shared.entry(&path)?.is_some() {
        return read_node_uid(shared);
    }
    let uid = Uid::from_uuid(uuid::Uuid::new_v4());
    write_file(shared, &path, &format!("{uid}\n"))?;
    Ok(uid)
}

fn read_text(shared: &Shared, path: &Path) -> Result<String, OpenError> {
    let bytes = shared
        .disk
        .read(path, 66)
        .map_err(SpoolError::io("read", path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a small file so that it is there whole or not at all.
fn write_file(shared: &Shared, path: &Path, text: &str) -> Result<(), OpenError> {
    let part = shared.part_path("init");
    let mut file = shared
        .disk
        .create(&part)
        .map_err(SpoolError::io("create", &part))?;
    file.append([text.as_bytes(), &[]])
        .and_then(|()| file.write_out())
        .map_err(SpoolError::io("write", &part))?;
    file.sync_data().map_err(SpoolError::io("sync", &part))?;
    shared
        .disk
        .rename(&part, path)
        .map_err(SpoolError::io("rename a part file to", path))?;
    let root = shared.layout.root();
    shared
        .disk
        .sync_folder(root)
        .map_err(SpoolError::io("sync", root))?;
    Ok(())
}

/// What lies in `incoming/` was never acknowledged, or was discarded.
fn clear_incoming(shared: &Shared) -> Result<(), OpenError> {
    let incoming = shared.layout.incoming();
    for name in shared.list(&incoming)? {
        let path = incoming.join(name);
        shared
            .remove_tree(&path)
            .map_err(SpoolError::io("remove", &path))?;
    }
    Ok(())
}

fn make_path(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    let mut missing: Vec<PathBuf> = Vec::new();
    for folder in path.ancestors() {
        match disk
            .entry(folder)
            .map_err(SpoolError::io("look at", folder))?
        {
            // A link to a folder is a usual way to put the data on another disk.
            Some(Entry::Folder | Entry::Other) => break,
            Some(Entry::File(_)) => {
                return Err(OpenError::Io {
                    what: "use as a folder",
                    path: folder.to_owned(),
                    source: io::ErrorKind::NotADirectory.into(),
                });
            }
            None => missing.push(folder.to_owned()),
        }
    }
    missing
        .iter()
        .rev()
        .try_for_each(|folder| make_folder(disk, folder))
}

fn make_folder(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    match disk.make_folder(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(SpoolError::io("make", path)(error).into())
        }
        _ => Ok(()),
    }
}
