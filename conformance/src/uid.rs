//! Unique identifiers (PS3.5 section 9), parsed once at the wire.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a UID was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UidError {
    /// Nothing left after the padding was stripped.
    #[error("the UID is empty")]
    Empty,
    /// PS3.5 section 9.1: at most 64 characters.
    #[error("the UID has {0} characters, 64 are allowed")]
    TooLong(usize),
    /// A byte other than `0`-`9` and `.`.
    #[error("the UID contains a character other than 0-9 and '.'")]
    BadCharacter,
    /// Dots alone, which as a file name would mean a folder.
    #[error("the UID has no digit")]
    NoDigit,
}

/// A usable UID: `[0-9.]{1,64}` with at least one digit.
///
/// Safe as a file name. Leading zeros and empty components are tolerated (PS3.5 forbids them, carts send them) and
/// kept: refusing them would lose the study, correcting them would break the references to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uid(Box<str>);

impl Uid {
    /// Parses a UID as a peer wrote it: trailing NULs and surrounding spaces are padding.
    ///
    /// # Errors
    /// Each [`UidError`] variant, in the order in which it is listed.
    pub fn parse(raw: &[u8]) -> Result<Self, UidError> {
        let end = raw
            .iter()
            .rposition(|b| !matches!(b, 0 | b' '))
            .map_or(0, |i| i + 1);
        let start = raw.iter().position(|b| *b != b' ').unwrap_or(0).min(end);
        let text = raw.get(start..end).unwrap_or_default();
        if text.is_empty() {
            return Err(UidError::Empty);
        }
        if text.len() > 64 {
            return Err(UidError::TooLong(text.len()));
        }
        if !text.iter().all(|b| b.is_ascii_digit() || *b == b'.') {
            return Err(UidError::BadCharacter);
        }
        if !text.iter().any(u8::is_ascii_digit) {
            return Err(UidError::NoDigit);
        }
        Ok(Self(
            text.iter()
                .map(|b| char::from(*b))
                .collect::<String>()
                .into_boxed_str(),
        ))
    }

    /// `2.25.` and the decimal form of a UUID (PS3.5 section B.2).
    pub fn from_uuid(uuid: uuid::Uuid) -> Self {
        Self(format!("2.25.{}", uuid.as_u128()).into_boxed_str())
    }

    /// The UID without padding.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Uid {
    type Err = UidError;
    fn from_str(text: &str) -> Result<Self, UidError> {
        Self::parse(text.as_bytes())
    }
}

impl TryFrom<String> for Uid {
    type Error = UidError;
    fn try_from(text: String) -> Result<Self, UidError> {
        Self::parse(text.as_bytes())
    }
}

impl From<Uid> for String {
    fn from(uid: Uid) -> Self {
        uid.0.into()
    }
}

macro_rules! uid_kinds {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uid);

        impl $name {
            /// Parses the UID as a peer wrote it, padding and all.
            ///
            /// # Errors
            /// As [`Uid::parse`].
            pub fn parse(raw: &[u8]) -> Result<Self, UidError> {
                Uid::parse(raw).map(Self)
            }

            /// The UID without padding.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<Uid> for $name {
            fn from(uid: Uid) -> Self {
                Self(uid)
            }
        }

        impl std::str::FromStr for $name {
            type Err = UidError;
            fn from_str(text: &str) -> Result<Self, UidError> {
                Uid::parse(text.as_bytes()).map(Self)
            }
        }
    )+};
}

uid_kinds! {
    /// Study Instance UID (0020,000D).
    StudyInstanceUid,
    /// Series Instance UID (0020,000E).
    SeriesInstanceUid,
    /// SOP Instance UID (0008,0018).
    SopInstanceUid,
    /// SOP Class UID (0008,0016).
    SopClassUid,
    /// Transfer Syntax UID (0002,0010).
    TransferSyntaxUid,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_stripped_and_leading_zeros_are_kept() {
        assert_eq!(Uid::parse(b"1.2.840\0").unwrap().as_str(), "1.2.840");
        assert_eq!(Uid::parse(b" 1.02.3 \0 ").unwrap().as_str(), "1.02.3");
    }

    #[test]
    fn what_could_leave_the_folder_is_refused() {
        assert_eq!(Uid::parse(b"../../etc"), Err(UidError::BadCharacter));
        assert_eq!(Uid::parse(b"/etc/passwd"), Err(UidError::BadCharacter));
        assert_eq!(Uid::parse(b".."), Err(UidError::NoDigit));
        assert_eq!(Uid::parse(b"."), Err(UidError::NoDigit));
        assert_eq!(Uid::parse(b"1\0.2"), Err(UidError::BadCharacter));
        assert_eq!(Uid::parse(b" \0 "), Err(UidError::Empty));
        assert_eq!(Uid::parse(&[b'1'; 65]), Err(UidError::TooLong(65)));
    }

    #[test]
    fn a_uuid_makes_a_uid_of_at_most_44_characters() {
        assert_eq!(Uid::from_uuid(uuid::Uuid::max()).as_str().len(), 44);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic_and_an_accepted_uid_parses_to_itself(raw: Vec<u8>) {
            if let Ok(uid) = Uid::parse(&raw) {
                assert_eq!(Uid::parse(uid.as_str().as_bytes()).unwrap(), uid);
                assert!(!uid.as_str().contains('/'));
            }
        }
    }
}
