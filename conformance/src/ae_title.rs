//! Application entity titles (PS3.5 table 6.2-1, VR AE).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an AE title was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AeTitleError {
    /// Only padding.
    #[error("the AE title is empty")]
    Empty,
    /// More than 16 characters.
    #[error("the AE title has {0} characters, 16 are allowed")]
    TooLong(usize),
    /// A backslash, a control character or a byte outside the default repertoire.
    #[error("the AE title contains a backslash, a control character or a non-ASCII byte")]
    BadCharacter,
}

/// An AE title of 1 to 16 characters of the default repertoire, without padding. Case is significant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AeTitle(Box<str>);

impl AeTitle {
    /// Parses a title as it stands in a PDU or a configuration; spaces and NULs on both sides are padding.
    ///
    /// # Errors
    /// Each [`AeTitleError`] variant, in the order in which it is listed.
    pub fn parse(raw: &[u8]) -> Result<Self, AeTitleError> {
        let padding = |b: &u8| matches!(b, 0 | b' ');
        let end = raw.iter().rposition(|b| !padding(b)).map_or(0, |i| i + 1);
        let start = raw.iter().position(|b| !padding(b)).unwrap_or(end);
        let text = raw.get(start..end).unwrap_or_default();
        if text.is_empty() {
            return Err(AeTitleError::Empty);
        }
        if text.len() > 16 {
            return Err(AeTitleError::TooLong(text.len()));
        }
        if text
            .iter()
            .any(|b| !(b' '..=b'~').contains(b) || *b == b'\\')
        {
            return Err(AeTitleError::BadCharacter);
        }
        Ok(Self(
            text.iter()
                .map(|b| char::from(*b))
                .collect::<String>()
                .into_boxed_str(),
        ))
    }

    /// The title without padding.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The title padded with spaces to the 16 bytes of an A-ASSOCIATE PDU (PS3.8 table 9-11).
    pub fn padded(&self) -> [u8; 16] {
        let mut field = [b' '; 16];
        for (to, from) in field.iter_mut().zip(self.0.bytes()) {
            *to = from;
        }
        field
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for AeTitle {
    type Err = AeTitleError;
    fn from_str(text: &str) -> Result<Self, AeTitleError> {
        Self::parse(text.as_bytes())
    }
}

impl TryFrom<String> for AeTitle {
    type Error = AeTitleError;
    fn try_from(text: String) -> Result<Self, AeTitleError> {
        Self::parse(text.as_bytes())
    }
}

impl From<AeTitle> for String {
    fn from(title: AeTitle) -> Self {
        title.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_and_space_padding_name_the_same_title() {
        let plain = AeTitle::parse(b"SONODE").unwrap();
        assert_eq!(
            AeTitle::parse(b"SONODE\0\0\0\0\0\0\0\0\0\0").unwrap(),
            plain
        );
        assert_eq!(AeTitle::parse(b"  SONODE        ").unwrap(), plain);
        assert_eq!(&plain.padded(), b"SONODE          ");
    }

    #[test]
    fn too_long_is_refused_rather_than_cut() {
        assert_eq!(
            AeTitle::parse(b"A2345678901234567"),
            Err(AeTitleError::TooLong(17))
        );
        assert_eq!(AeTitle::parse(b"A\\B"), Err(AeTitleError::BadCharacter));
        assert_eq!(
            AeTitle::parse(b"                "),
            Err(AeTitleError::Empty)
        );
    }
}
