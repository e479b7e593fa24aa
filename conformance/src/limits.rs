//! Bounds and timers, each with its reason. Timers can be configured per peer; bounds are fixed.

use std::time::Duration;

/// ARTIM (PS3.8 section 9.1.4): from TCP accept to A-ASSOCIATE-RQ, and from A-RELEASE-RP or A-ABORT to TCP close.
pub const ARTIM: Duration = Duration::from_secs(30);
/// Between messages: carts hold an association open for a whole examination.
pub const IDLE: Duration = Duration::from_mins(10);
/// Inside a message or a PDU without a byte.
pub const INSIDE_MESSAGE: Duration = Duration::from_mins(1);
/// Waiting for a peer's response to our request.
pub const RESPONSE: Duration = Duration::from_mins(2);
/// An association that takes a page in place of a report, while the page is drawn: less than any archive's idle time-out.
pub const PAGE_WAIT: Duration = Duration::from_secs(15);
/// TCP connection to a peer.
pub const CONNECT: Duration = Duration::from_secs(10);
/// 256 KiB of an object on their way to a peer: one that takes less than a kilobyte a second counts as one that hangs.
pub const SEND_PORTION: Duration = Duration::from_mins(5);

/// Maximum PDU length that we announce, in bytes of its variable field (PS3.8 annex D.1).
pub const PDU_LENGTH: u32 = 131_072;
/// Longest A-ASSOCIATE-RQ that is read: 128 contexts of many syntaxes and identities fit in a fraction of it.
pub const ASSOCIATE_RQ_BYTES_MAX: u32 = 1 << 20;
/// Longest command set: the longest one that PS3.7 defines is far under this.
pub const COMMAND_SET_BYTES_MAX: usize = 64 * 1024;
/// Longest data set that is kept.
pub const INSTANCE_BYTES_MAX: u64 = 8 << 30;
/// Free space below which a node says that it isn't ready. Few echo objects are longer: an uncompressed cine of three
/// seconds has about 86 MB.
pub const FREE_BYTES_MIN: u64 = 256 << 20;
/// Above this share of the disk, in per cent, the images of done studies are pruned, oldest first.
pub const PRUNE_ABOVE_PERCENT: u8 = 80;
/// Above this share of the disk, in per cent, new associations are rejected transiently. [`FREE_BYTES_MIN`] counts as
/// taken for each association that stands.
pub const REFUSE_ABOVE_PERCENT: u8 = 95;
/// How much of a data set the header scanner keeps.
pub const HEADER_KEPT_BYTES_MAX: usize = 256 * 1024;
/// How much the header scanner reads before it gives up looking for the attributes it needs.
pub const HEADER_SCANNED_BYTES_MAX: u64 = 64 << 20;
/// Sequence nesting that the header scanner follows.
pub const HEADER_DEPTH_MAX: u32 = 64;
/// Sequence nesting that the worker parses: dicom-object recurses, and a stack overflow can't be caught.
pub const PARSE_DEPTH_MAX: u32 = 64;
/// Presentation contexts in one association (PS3.8 table 9-13: odd identifiers 1 to 255).
pub const CONTEXTS_MAX: usize = 128;
/// Longest frame of the worker's protocol.
pub const WORKER_FRAME_BYTES_MAX: u32 = 16 << 20;
/// Error Comment (0000,0902), VR LO.
pub const ERROR_COMMENT_CHARS_MAX: usize = 64;
/// Pixels in one decoded frame: 8192 x 8192 is far beyond any ultrasound screen.
pub const FRAME_PIXELS_MAX: u64 = 1 << 26;
/// Frames that are analysed in one cine; longer cines are analysed up to this frame.
pub const FRAMES_MAX: u32 = 4000;

/// Associations at once, unless configured.
pub const ASSOCIATIONS: usize = 64;
/// Idle for this long, an association makes room for another peer when the node is full. Longer than a cart takes from
/// one object of a study to the next, much shorter than [`IDLE`].
pub const SHARE_IDLE: Duration = Duration::from_secs(30);
/// Without a new instance before a study closes.
pub const QUIET_PERIOD: Duration = Duration::from_mins(5);
/// The same, when its performed procedure step is COMPLETED and every instance that it lists is here.
pub const QUIET_PERIOD_COMPLETE: Duration = Duration::from_mins(1);
/// How long a performed procedure step is kept whose study never came.
pub const STEP_KEPT: Duration = Duration::from_hours(14 * 24);
/// Longest time that a study stays open although instances keep coming.
pub const OPEN_MAX: Duration = Duration::from_hours(4);
/// One analysis of one instance.
pub const ANALYSIS: Duration = Duration::from_mins(10);
/// Runs of one instance that were charged before it is rejected.
pub const ATTEMPTS_MAX: u32 = 3;
/// First wait after a failed delivery; it doubles up to [`RETRY_MAX`].
pub const RETRY_FIRST: Duration = Duration::from_secs(5);
/// Longest wait between two deliveries.
pub const RETRY_MAX: Duration = Duration::from_hours(1);
/// Without a commitment before a peer is queried for what it took, and the last word is spoken.
pub const COMMIT_TIMEOUT: Duration = Duration::from_hours(24);
/// Into how many waits between two requests for the same objects the time-out is divided: three hours with the default.
pub const COMMIT_ASKS: u32 = 8;
/// From the last object that a peer took to the request for its commitment, so that one request names them all.
pub const COMMIT_GATHER: Duration = Duration::from_secs(5);
/// How long an association stays open for a report on the same association after the request.
pub const COMMIT_LINGER: Duration = Duration::from_secs(10);
/// How often an object is sent again because its receiver reports that it doesn't have it.
pub const COMMIT_DENIALS_MAX: u32 = 3;
/// How long a cart's request for commitment waits for instances that haven't come.
pub const RELAY_ARRIVAL: Duration = Duration::from_mins(1);
/// From a cart's request to the moment at which the association on which it came may be used for the answer.
pub const RELAY_SAME_ASSOCIATION: Duration = Duration::from_secs(1);
/// How long an archive's answer is waited for, and then how long the cart is tried to be told.
pub const RELAY_TRIES: Duration = Duration::from_hours(72);
/// Longest data set of a normalized or query service: a commitment of ten thousand instances is a quarter of it.
pub const DATA_SET_BYTES_MAX: usize = 8 << 20;
/// Data elements in such a data set, items counted.
pub const DATA_SET_ELEMENTS_MAX: usize = 1 << 17;
/// Sequence nesting in such a data set.
pub const DATA_SET_DEPTH_MAX: u32 = 8;
/// Studies that are done and still listed; the oldest are forgotten first.
pub const FINISHED_LISTED_MAX: usize = 10_000;
/// Objects listed that were refused for want of room and haven't come since; the oldest are forgotten first.
pub const REFUSED_LISTED_MAX: usize = 10_000;
/// Refused longest ago of what a start still lists: no cart sends an object again after so long.
pub const REFUSED_KEPT: Duration = Duration::from_hours(30 * 24);
/// How long a starting node waits for the lock of its queue, which an instance that has just ended may still hold.
pub const QUEUE_LOCK: Duration = Duration::from_secs(10);
/// Tries of a status class that archives use for passing faults (Cxxx) before the dead letter.
pub const REFUSED_TRIES_MAX: u32 = 6;
