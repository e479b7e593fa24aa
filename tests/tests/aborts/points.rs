//! The named points at which the node is aborted: every call that changes the spool or answers a peer, on the way of a
//! study of a clip and a still.

/// From when on a thread is watched. Until then nobody is: what it does before has another moment's points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// The cart's association stands; nothing was sent.
    Receiving,
    /// Everything is acknowledged and at the worker, which begins.
    Analysing,
    /// The PACS is called, and answers.
    Delivering,
    /// The main thread of a start, after an abort of the analysis.
    Starting,
    /// As [`Moment::Delivering`], in the life after one that ended before it wrote down that the PACS has the report.
    Resuming,
}

impl Moment {
    pub(crate) const ALL: [Self; 5] = [
        Self::Receiving,
        Self::Analysing,
        Self::Delivering,
        Self::Starting,
        Self::Resuming,
    ];

    /// The point at which the life before is aborted.
    pub(crate) fn after(self) -> Option<&'static Point> {
        let name = match self {
            Self::Receiving | Self::Analysing | Self::Delivering => return None,
            Self::Starting => "analysis: the first findings get their name",
            Self::Resuming => "delivery: the mark of what was delivered is begun",
        };
        POINTS.iter().find(|point| point.name == name)
    }
}

/// A call of a thread.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Phase and step.
    pub(crate) name: &'static str,
    /// From when on its thread is watched.
    pub(crate) moment: Moment,
    /// What the thread's name begins with.
    pub(crate) thread: &'static str,
    /// The system call.
    pub(crate) call: &'static str,
    /// What strace's line of it holds, in the words of [`super::scene::Scene::in_words`].
    pub(crate) holds: &'static str,
    /// Which of the thread's calls that do, from 1.
    pub(crate) which: usize,
}

/// The threads of the queue's own. Their calls are in no order.
pub(crate) const QUEUE: &str = "sled-io-";

const fn point(
    name: &'static str,
    moment: Moment,
    [thread, call, holds]: [&'static str; 3],
    which: usize,
) -> Point {
    Point {
        name,
        moment,
        thread,
        call,
        holds,
        which,
    }
}

use Moment::{Analysing, Delivering, Receiving, Resuming, Starting};

const MAIN: &str = "sonode";
const ASSOCIATION: &str = "association";
const COMMITTER: &str = "committer";
const ENGINE: &str = "engine";
const DELIVERY: &str = "delivery";

/// The points, in the order of a study's way.
#[rustfmt::skip]
pub(crate) const POINTS: &[Point] = &[
    point("receive: the clip's part file is made", Receiving, [ASSOCIATION, "openat", "DATA/incoming/"], 1),
    point("receive: the clip's first bytes are written", Receiving, [ASSOCIATION, "pwrite64", "DATA/incoming/"], 1),
    point("receive: bytes of the clip are written", Receiving, [ASSOCIATION, "pwrite64", "DATA/incoming/"], 3),
    point("receive: the clip's digest is written", Receiving, [ASSOCIATION, "pwrite64", ", 4096, 0)"], 1),
    point("receive: the clip's contents are synced", Receiving, [ASSOCIATION, "fdatasync", "DATA/incoming/"], 1),
    point("receive: the study's folder is made", Receiving, [COMMITTER, "mkdir", "DATA/open/HH/STUDY"], 1),
    point("receive: the study's folder's name is synced", Receiving, [COMMITTER, "fsync", "<DATA/open/HH>"], 1),
    point("receive: the clip gets its name", Receiving, [COMMITTER, "renameat2", "DATA/open/HH/STUDY/CLIP"], 1),
    point("receive: the clip's name is synced", Receiving, [ASSOCIATION, "fsync", "<DATA/open/HH/STUDY>"], 1),
    point("receive: the clip is acknowledged", Receiving, [ASSOCIATION, "sendto", r#""\4\0"#], 1),
    point("receive: the queue is told of the clip", Receiving, [QUEUE, "pwrite64", "DATA/queue/db"], 1),
    point("receive: the length of the clip's job is sent", Receiving, [ENGINE, "sendto", r#"\0\0\0", 4"#], 1),
    point("receive: the clip's job is sent", Receiving, [ENGINE, "sendto", r#"\"type"#], 1),
    point("receive: the still's part file is made", Receiving, [ASSOCIATION, "openat", "DATA/incoming/"], 2),
    point("receive: the still's contents are synced", Receiving, [ASSOCIATION, "fdatasync", "DATA/incoming/"], 2),
    point("receive: the still gets its name", Receiving, [COMMITTER, "renameat2", "DATA/open/HH/STUDY/STILL"], 1),
    point("receive: the still's name is synced", Receiving, [ASSOCIATION, "fsync", "<DATA/open/HH/STUDY>"], 2),
    point("receive: the still is acknowledged", Receiving, [ASSOCIATION, "sendto", r#""\4\0"#], 2),
    point("receive: the length of the still's job is sent", Receiving, [ENGINE, "sendto", r#"\0\0\0", 4"#], 2),
    point("receive: the still's job is sent", Receiving, [ENGINE, "sendto", r#"\"type"#], 2),
    point("receive: the association is released", Receiving, [ASSOCIATION, "sendto", r#""\6\0"#], 1),

    point("analysis: the first findings' part file is made", Analysing, [ENGINE, "openat", "DATA/incoming/"], 1),
    point("analysis: the first findings' contents are synced", Analysing, [ENGINE, "fdatasync", "DATA/incoming/"], 1),
    point("analysis: the first findings get their name", Analysing, [COMMITTER, "renameat2", ".findings.json"], 1),
    point("analysis: the first findings' name is synced", Analysing, [ENGINE, "fsync", "<DATA/open/HH/STUDY>"], 1),
    point("analysis: the last findings' part file is made", Analysing, [ENGINE, "openat", "DATA/incoming/"], 2),
    point("analysis: the last findings' contents are synced", Analysing, [ENGINE, "fdatasync", "DATA/incoming/"], 2),
    point("analysis: the last findings get their name", Analysing, [COMMITTER, "renameat2", ".findings.json"], 2),
    point("analysis: the last findings' name is synced", Analysing, [ENGINE, "fsync", "<DATA/open/HH/STUDY>"], 2),

    point("report: its part file is made", Delivering, [DELIVERY, "openat", "DATA/incoming/"], 1),
    point("report: it is written", Delivering, [DELIVERY, "pwrite64", "DATA/incoming/"], 1),
    point("report: its contents are synced", Delivering, [DELIVERY, "fdatasync", "DATA/incoming/"], 1),
    point("report: it gets its name", Delivering, [COMMITTER, "renameat2", "DATA/open/HH/STUDY/report-1-"], 1),
    point("report: its name is synced", Delivering, [DELIVERY, "fsync", "<DATA/open/HH/STUDY>"], 1),
    point("report: the queue is told of it", Delivering, [QUEUE, "pwrite64", "DATA/queue/db"], 1),

    point("delivery: the C-STORE-RQ is sent", Delivering, [DELIVERY, "sendto", r#""\4\0"#], 1),
    point("delivery: the report's first bytes are sent", Delivering, [DELIVERY, "sendto", r#""\4\0"#], 2),
    point("delivery: the report's last bytes are sent", Delivering, [DELIVERY, "sendto", r#""\4\0"#], 3),
    point("delivery: the association is released", Delivering, [DELIVERY, "sendto", r#""\5\0"#], 1),
    point("delivery: the mark of what was delivered is begun", Delivering, [ENGINE, "openat", "DATA/incoming/"], 1),
    point("delivery: the mark gets its name", Delivering, [COMMITTER, "renameat2", "DATA/open/HH/STUDY/delivered-pacs-"], 1),
    point("delivery: the mark's name is synced", Delivering, [ENGINE, "fsync", "<DATA/open/HH/STUDY>"], 1),
    point("delivery: the day's folder is made", Delivering, [COMMITTER, "mkdir", "DATA/done/DAY"], 1),
    point("delivery: the day's folder's name is synced", Delivering, [COMMITTER, "fsync", "<DATA/done>"], 1),
    point("delivery: the study moves to the day's folder", Delivering, [COMMITTER, "renameat2", "DATA/done/DAY/STUDY"], 1),
    point("delivery: the study's new name is synced", Delivering, [COMMITTER, "fsync", "<DATA/done/DAY>"], 1),
    point("delivery: the study's old name is synced away", Delivering, [COMMITTER, "fsync", "<DATA/open/HH>"], 1),

    point("recovery: the data folder is locked", Starting, [MAIN, "openat", "DATA/LOCK"], 1),
    point("recovery: a part file is removed", Starting, [MAIN, "unlink", "DATA/incoming/"], 1),
    point("recovery: open/ is synced", Starting, [MAIN, "fsync", "<DATA/open>"], 1),
    point("recovery: done/ is synced", Starting, [MAIN, "fsync", "<DATA/done>"], 1),
    point("recovery: kept/ is synced", Starting, [MAIN, "fsync", "<DATA/kept>"], 1),
    point("recovery: the data folder is synced", Starting, [MAIN, "fsync", "<DATA>"], 1),
    point("recovery: the queue is opened", Starting, [MAIN, "openat", "DATA/queue/db"], 1),
    point("recovery: the study's folder is listed", Starting, [MAIN, "openat", "DATA/open/HH/STUDY\""], 1),
    point("recovery: the clip is read", Starting, [MAIN, "openat", "DATA/open/HH/STUDY/CLIP"], 1),
    point("recovery: the report is sent again", Resuming, [DELIVERY, "sendto", r#""\4\0"#], 1),
    point("recovery: the report's first bytes are sent again", Resuming, [DELIVERY, "sendto", r#""\4\0"#], 2),
    point("recovery: the report's last bytes are sent again", Resuming, [DELIVERY, "sendto", r#""\4\0"#], 3),
    point("recovery: the association is released", Resuming, [DELIVERY, "sendto", r#""\5\0"#], 1),
    point("recovery: the mark of what was delivered is begun", Resuming, [ENGINE, "openat", "DATA/incoming/"], 1),
    point("recovery: what the last life named is synced", Resuming, [COMMITTER, "fsync", "<DATA/open/HH/STUDY>"], 1),
    point("recovery: the study's folder's name is synced", Resuming, [COMMITTER, "fsync", "<DATA/open/HH>"], 1),
    point("recovery: the mark gets its name", Resuming, [COMMITTER, "renameat2", "DATA/open/HH/STUDY/delivered-pacs-"], 1),
    point("recovery: the mark's name is synced", Resuming, [ENGINE, "fsync", "<DATA/open/HH/STUDY>"], 1),
    point("recovery: the day's folder is made", Resuming, [COMMITTER, "mkdir", "DATA/done/DAY"], 1),
    point("recovery: the day's folder's name is synced", Resuming, [COMMITTER, "fsync", "<DATA/done>"], 1),
    point("recovery: the study moves to the day's folder", Resuming, [COMMITTER, "renameat2", "DATA/done/DAY/STUDY"], 1),
    point("recovery: the study's new name is synced", Resuming, [COMMITTER, "fsync", "<DATA/done/DAY>"], 1),
    point("recovery: the study's old name is synced away", Resuming, [COMMITTER, "fsync", "<DATA/open/HH>"], 2),
];
