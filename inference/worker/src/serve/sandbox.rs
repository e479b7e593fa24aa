//! What the worker takes from itself before it opens a stranger's bytes: privileges that a decoder never needs, so that
//! one which was taken over has none of them.
//!
//! Each layer is best effort, since kernels differ, and the log says which are in force:
//! rlimits; Landlock, by which nothing can be written and only named folders can be read; and a seccomp filter that
//! refuses sockets, programs, tracing, signals to others and the administration of the machine.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::{env, io, thread};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// Address space on a CPU. libtorch with the built-in model takes 0.85 GiB of it, and each core decodes a frame of at most
/// 200 MB.
const ADDRESS_SPACE_BYTES: u64 = 16 << 30;
/// Open files: a job needs one, libtorch and a GPU's driver some dozens.
const OPEN_FILES: u64 = 1024;
/// Resident memory on a GPU, where the driver maps more address space than there is memory.
const RESIDENT_BYTES_MAX: u64 = 24 << 30;
/// How often the resident memory is looked at.
const WATCH_PERIOD: std::time::Duration = std::time::Duration::from_millis(500);

/// What the worker must still be able to read.
#[derive(Debug, Clone)]
pub struct Allowed {
    /// The spool, where the jobs' files are; none: any file can be named.
    pub spool: Option<PathBuf>,
    /// The models.
    pub models: PathBuf,
    /// The second reader's folders.
    pub reader: Vec<PathBuf>,
    /// Memory that the second reader takes besides, its mapped files included.
    pub reader_bytes: u64,
    /// Whether a GPU's devices must be reached.
    pub gpu: bool,
}

/// Applies every layer that this kernel has, and says which, in one line for the log.
///
/// It is called before any other thread exists, because Landlock binds the calling thread and those it starts.
pub(super) fn enter(allowed: &Allowed) -> String {
    [
        in_force("rlimits", limit_resources(allowed)),
        in_force("landlock", restrict_files(allowed)),
        in_force("seccomp", filter_calls()),
    ]
    .join(", ")
}

fn in_force(layer: &str, outcome: Result<String, impl Display>) -> String {
    match outcome {
        Ok(state) => format!("{layer}: {state}"),
        Err(error) => format!("{layer}: NOT IN FORCE ({error})"),
    }
}

/// Ends the process when its resident memory exceeds a bound. On a GPU it stands in for the limit of address space.
///
/// # Errors
/// Where no thread can be started.
pub(super) fn watch_memory(reader_bytes: u64) -> io::Result<()> {
    let page = rustix::param::page_size() as u64;
    thread::Builder::new()
        .name("memory-watch".to_owned())
        .spawn(move || {
            loop {
                let resident = resident_pages().unwrap_or(0) * page;
                if resident > RESIDENT_BYTES_MAX + reader_bytes {
                    tracing::error!(resident, "the worker uses too much memory and ends");
                    std::process::abort();
                }
                thread::sleep(WATCH_PERIOD);
            }
        })
        .map(|_| ())
}

fn resident_pages() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse().ok()
}

fn limit_resources(allowed: &Allowed) -> Result<String, io::Error> {
    let lower = |resource, to: u64| {
        let hard = getrlimit(resource).maximum.unwrap_or(u64::MAX).min(to);
        setrlimit(
            resource,
            Rlimit {
                current: Some(hard),
                maximum: Some(hard),
            },
        )
    };
    // A core file would hold a patient's image.
    lower(Resource::Core, 0)?;
    lower(Resource::Nofile, OPEN_FILES)?;
    if allowed.gpu {
        return Ok("core, files".to_owned());
    }
    let bytes = ADDRESS_SPACE_BYTES + allowed.reader_bytes;
    lower(Resource::As, bytes)?;
    Ok(format!("core, files, {} GiB of address space", bytes >> 30))
}

fn restrict_files(allowed: &Allowed) -> Result<String, landlock::RulesetError> {
    let abi = ABI::V5;
    let read = AccessFs::from_read(abi);
    let mut readable = system_folders();
    readable.push(allowed.models.clone());
    readable.extend(allowed.reader.iter().cloned());
    match &allowed.spool {
        Some(spool) => readable.push(spool.clone()),
        None => readable.push(PathBuf::from("/")),
    }
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(&readable, read))?;
    let mut devices = vec!["/dev/null", "/dev/zero", "/dev/urandom"];
    if allowed.gpu {
        devices.extend(["/dev", "/proc/self"]);
    }
    for device in devices {
        if let Ok(fd) = PathFd::new(device) {
            rules = rules.add_rule(PathBeneath::new(fd, device_access(abi, device)))?;
        }
    }
    let status = rules.restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => "read-only".to_owned(),
        RulesetStatus::PartiallyEnforced => "read-only, as far as this kernel goes".to_owned(),
        RulesetStatus::NotEnforced => "NOT IN FORCE (the kernel has none)".to_owned(),
    })
}

/// Devices and `/proc/self` are opened for writing, and sent control codes; none is created or removed.
fn device_access(abi: ABI, path: &str) -> landlock::BitFlags<AccessFs> {
    let file = AccessFs::ReadFile | AccessFs::WriteFile;
    let use_it = if abi >= ABI::V5 {
        file | AccessFs::IoctlDev
    } else {
        file
    };
    if Path::new(path).is_dir() {
        use_it | AccessFs::ReadDir
    } else {
        use_it
    }
}

/// Where shared libraries and the kernel's own tables are: libtorch loads some of the first late.
fn system_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = ["/usr", "/lib", "/lib64", "/etc", "/proc", "/sys"]
        .iter()
        .map(PathBuf::from)
        .collect();
    folders.extend(super::libraries::libtorch_folder());
    folders.extend(
        env::current_exe()
            .ok()
            .and_then(|exe| Some(exe.parent()?.to_owned())),
    );
    folders.retain(|folder| folder.exists());
    folders
}

/// System calls that a decoder has no use for. They fail with EPERM, so that a library which merely tries goes on.
fn filter_calls() -> Result<String, seccompiler::Error> {
    let refused = [
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_open_by_handle_at,
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_personality,
    ];
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        refused.iter().map(|call| (*call, Vec::new())).collect();
    let arch: TargetArch = env::consts::ARCH
        .try_into()
        .map_err(seccompiler::Error::Backend)?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        arch,
    )
    .map_err(seccompiler::Error::Backend)?;
    let program: BpfProgram = filter.try_into().map_err(seccompiler::Error::Backend)?;
    seccompiler::apply_filter_all_threads(&program)?;
    Ok(format!("{} calls refused", refused.len()))
}
