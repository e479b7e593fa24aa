//! Where everything lies, and what it is called; the names are drawn in the documentation of [`crate::spool`].
//!
//! A name is only ever made from validated parts, and whatever else stands in a folder parses as [`Name::Unknown`].

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sonode_conformance::{SopInstanceUid, StudyInstanceUid};

use super::error::SpoolError;
use super::instance::ShortDigest;

/// The layout's version, as VERSION says it.
pub(super) const VERSION: u32 = 1;

/// The folders under a data folder.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    pub(super) fn version(&self) -> PathBuf {
        self.root.join("VERSION")
    }

    pub(super) fn node_uid(&self) -> PathBuf {
        self.root.join("node-uid")
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    pub(super) fn open(&self) -> PathBuf {
        self.root.join("open")
    }

    pub(super) fn done(&self) -> PathBuf {
        self.root.join("done")
    }

    pub(super) fn kept(&self) -> PathBuf {
        self.root.join("kept")
    }

    pub(super) fn unsorted(&self) -> PathBuf {
        self.root.join("unsorted")
    }

    /// The 256 folders of `open/`: one folder with every open study would make each of its fsyncs slower.
    pub(super) fn open_groups(&self) -> impl Iterator<Item = PathBuf> {
        let open = self.open();
        (0..=u8::MAX).map(move |group| open.join(format!("{group:02x}")))
    }

    /// The folder of `open/` in which a study's folder lies: the first byte of SHA-256 over its UID.
    pub(super) fn open_group(&self, study: &StudyInstanceUid) -> PathBuf {
        let digest: [u8; 32] = Sha256::digest(study.as_str()).into();
        let [group, ..] = digest;
        self.open().join(format!("{group:02x}"))
    }

    pub(super) fn open_study(&self, study: &StudyInstanceUid) -> PathBuf {
        self.open_group(study).join(study.as_str())
    }

    pub(super) fn done_day(&self, day: &Day) -> PathBuf {
        self.done().join(day.as_str())
    }

    pub(super) fn done_study(&self, day: &Day, study: &StudyInstanceUid) -> PathBuf {
        self.done_day(day).join(study.as_str())
    }
}

/// A folder's name under `done/`: eight digits, `YYYYMMDD`. Sorts by time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(Box<str>);

impl Day {
    /// Parses eight digits.
    ///
    /// # Errors
    /// [`SpoolError::BadName`] for anything else.
    pub fn parse(text: &str) -> Result<Self, SpoolError> {
        if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.into()))
        } else {
            Err(SpoolError::BadName(text.to_owned()))
        }
    }

    /// The eight digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A file in a study's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Instance(SopInstanceUid, ShortDigest),
    /// The header of an instance whose image was pruned.
    Pruned(SopInstanceUid, ShortDigest),
    Findings(ShortDigest),
    Report(u32, SopInstanceUid),
    Companion(u32, SopInstanceUid),
    Mark(PeerMark, String, SopInstanceUid),
    /// An instance whose file was found damaged when the same instance came again, or when its study was finished.
    Damaged,
    Unknown,
}

pub(super) fn instance_name(sop: &SopInstanceUid, digest: ShortDigest) -> String {
    format!("{sop}.{digest}.dcm")
}

pub(super) fn pruned_name(sop: &SopInstanceUid, digest: ShortDigest) -> String {
    format!("{sop}.{digest}.pruned")
}

/// What the names of every version of an instance begin with. A UID ends where a component of 16 hexadecimal digits
/// and `dcm` or `pruned` follow; [`is_version_of`] checks that, since `1.2` begins `1.2.3` too.
pub(super) fn instance_prefix(sop: &SopInstanceUid) -> String {
    format!("{sop}.")
}

pub(super) fn is_version_of(name: &str, sop: &SopInstanceUid) -> bool {
    matches!(Name::parse(name), Name::Instance(found, _) | Name::Pruned(found, _) if found == *sop)
}

pub(super) fn findings_name(digest: ShortDigest) -> String {
    format!("{digest}.findings.json")
}

pub(super) fn report_name(revision: u32, sop: &SopInstanceUid) -> String {
    format!("report-{revision}-{sop}.dcm")
}

pub(super) fn companion_name(revision: u32, sop: &SopInstanceUid) -> String {
    format!("companion-{revision}-{sop}.dcm")
}

/// What is recorded of an object and a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerMark {
    /// The peer answered its C-STORE with success.
    Delivered,
    /// The peer has committed itself to keep it (PS3.4 annex J).
    Committed,
    /// The peer had it when it was queried.
    Found,
}

impl PeerMark {
    const ALL: [Self; 3] = [Self::Delivered, Self::Committed, Self::Found];

    fn prefix(self) -> &'static str {
        match self {
            Self::Delivered => "delivered-",
            Self::Committed => "committed-",
            Self::Found => "found-",
        }
    }
}

/// A peer's name is percent-encoded, so that it can hold what a configuration allows and still be read back.
pub(super) fn mark_name(
    mark: PeerMark,
    peer: &str,
    sop: &SopInstanceUid,
) -> Result<String, SpoolError> {
    let mut encoded = String::new();
    for byte in peer.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            encoded.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16));
            encoded.push('%');
            encoded.extend(digits.into_iter().flatten());
        }
    }
    let name = format!("{}{encoded}-{sop}", mark.prefix());
    // NAME_MAX of every Linux file system that can hold a spool.
    if peer.is_empty() || name.len() > 255 {
        return Err(SpoolError::BadName(peer.to_owned()));
    }
    Ok(name)
}

fn decode_peer(encoded: &str) -> Option<String> {
    let mut decoded = Vec::new();
    let mut rest = encoded.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            decoded.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            decoded.push(first);
            rest = after;
        }
    }
    String::from_utf8(decoded).ok()
}

impl Name {
    pub(super) fn parse(name: &str) -> Self {
        Self::parse_known(name).unwrap_or(Self::Unknown)
    }

    fn parse_known(name: &str) -> Option<Self> {
        if name.ends_with(".damaged") {
            return Some(Self::Damaged);
        }
        if let Some(digest) = name.strip_suffix(".findings.json") {
            return ShortDigest::parse(digest).map(Self::Findings);
        }
        for mark in PeerMark::ALL {
            if let Some(rest) = name.strip_prefix(mark.prefix()) {
                let (peer, sop) = rest.rsplit_once('-')?;
                return Some(Self::Mark(mark, decode_peer(peer)?, parse_sop(sop)?));
            }
        }
        if let Some(stem) = name.strip_suffix(".pruned") {
            let (sop, digest) = instance_parts(stem)?;
            return Some(Self::Pruned(sop, digest));
        }
        let stem = name.strip_suffix(".dcm")?;
        if let Some(rest) = stem.strip_prefix("report-") {
            let (revision, sop) = rest.split_once('-')?;
            return Some(Self::Report(revision.parse().ok()?, parse_sop(sop)?));
        }
        if let Some(rest) = stem.strip_prefix("companion-") {
            let (revision, sop) = rest.split_once('-')?;
            return Some(Self::Companion(revision.parse().ok()?, parse_sop(sop)?));
        }
        let (sop, digest) = instance_parts(stem)?;
        Some(Self::Instance(sop, digest))
    }
}

fn instance_parts(stem: &str) -> Option<(SopInstanceUid, ShortDigest)> {
    let (sop, digest) = stem.rsplit_once('.')?;
    Some((parse_sop(sop)?, ShortDigest::parse(digest)?))
}

fn parse_sop(text: &str) -> Option<SopInstanceUid> {
    SopInstanceUid::parse(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sop(text: &str) -> SopInstanceUid {
        text.parse().unwrap()
    }

    #[test]
    fn every_name_parses_to_what_it_was_made_from() {
        let digest = ShortDigest::parse("0123456789abcdef").unwrap();
        let uid = sop("1.2.840.1");
        let cases = [
            (
                instance_name(&uid, digest),
                Name::Instance(uid.clone(), digest),
            ),
            (pruned_name(&uid, digest), Name::Pruned(uid.clone(), digest)),
            (findings_name(digest), Name::Findings(digest)),
            (report_name(7, &uid), Name::Report(7, uid.clone())),
            (companion_name(7, &uid), Name::Companion(7, uid.clone())),
            (
                mark_name(PeerMark::Delivered, "main-pacs/é %", &uid).unwrap(),
                Name::Mark(PeerMark::Delivered, "main-pacs/é %".to_owned(), uid.clone()),
            ),
        ];
        for (text, name) in cases {
            assert!(!text.contains('/'), "{text}");
            assert_eq!(Name::parse(&text), name, "{text}");
        }
    }

    #[test]
    fn a_uid_that_begins_like_another_is_no_version_of_it() {
        let digest = ShortDigest::parse("1111111111111111").unwrap();
        let longer = instance_name(&sop("1.2.3"), digest);
        assert!(longer.starts_with(&instance_prefix(&sop("1.2"))));
        assert!(!is_version_of(&longer, &sop("1.2")));
        assert!(is_version_of(&longer, &sop("1.2.3")));
    }

    #[test]
    fn strangers_are_unknown() {
        for name in [
            "",
            ".dcm",
            "notes.txt",
            "1.2.dcm",
            "report-x-1.2.dcm",
            "delivered-1.2",
            "-",
        ] {
            assert_eq!(Name::parse(name), Name::Unknown, "{name}");
        }
        assert_eq!(
            Name::parse("1.2.0123456789abcdef.dcm.3.damaged"),
            Name::Damaged
        );
    }

    #[test]
    fn a_day_is_eight_digits() {
        assert!(Day::parse("20260131").is_ok());
        for bad in ["", "2026013", "2026-1-3", "../../..", "202601311"] {
            assert!(Day::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_peer_that_does_not_fit_is_refused() {
        assert!(mark_name(PeerMark::Found, "", &sop("1")).is_err());
        assert!(mark_name(PeerMark::Found, &"p".repeat(300), &sop("1")).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_peer_name_is_read_back(peer in "\\PC{1,40}") {
            for mark in PeerMark::ALL {
                if let Ok(name) = mark_name(mark, &peer, &sop("1.2")) {
                    let parsed = Name::Mark(mark, peer.clone(), sop("1.2"));
                    proptest::prop_assert_eq!(Name::parse(&name), parsed);
                }
            }
        }
    }
}
