//! What is sent: stills, JPEG cines and native cines, as files for DCMTK and as ready PDUs for the load generator.
//!
//! No receiver looks at the pixels, so they are noise: nothing on the way can compress them.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use sonode_tests::part10::{JPEG_BASELINE, Object};
use sonode_tests::synthetic::{encapsulated, native};

const ROOT: &str = "1.2.826.0.1.3680043.10.1234";
/// Compressed bytes of a frame: a JPEG cine of 60 frames has 3 MB.
const JPEG_FRAME_BYTES: usize = 50_000;
const FRAMES: u16 = 60;

/// The kinds of objects of a cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// 640 x 480 in colour, native: 0.9 MB.
    Still,
    /// 60 frames, JPEG Baseline: 3 MB.
    Jpeg,
    /// 60 frames of 800 x 600 in colour, native: 86 MB.
    Native,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Still => "0.9 MB still",
            Self::Jpeg => "3 MB JPEG cine",
            Self::Native => "86 MB native cine",
        }
    }

    /// How many each association sends.
    fn objects(self, associations: u32) -> u32 {
        let [alone, all] = match self {
            Self::Still => [120, 480],
            Self::Jpeg => [40, 128],
            Self::Native => [8, 16],
        };
        if associations == 1 {
            alone
        } else {
            (all / associations).max(1)
        }
    }

    fn object(self, uids: &Uids) -> Object {
        let uids = [&*uids.study, &*uids.instance];
        match self {
            Self::Still => native(uids, 1, [480, 640], &noise(480 * 640 * 3)),
            Self::Jpeg => {
                let frame = noise(JPEG_FRAME_BYTES);
                let frames = vec![&*frame; usize::from(FRAMES)];
                encapsulated(uids, JPEG_BASELINE, FRAMES, [600, 800], &frames)
            }
            Self::Native => {
                let pixels = noise(usize::from(FRAMES) * 600 * 800 * 3);
                native(uids, FRAMES, [600, 800], &pixels)
            }
        }
    }
}

/// Study and instance, always of the same length: the load generator writes them over those of its template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uids {
    pub(crate) study: String,
    pub(crate) instance: String,
}

impl Uids {
    pub(crate) fn new(association: u32, object: u32) -> Self {
        let study = format!("{ROOT}.{}", 1000 + association);
        let instance = format!("{study}.2.{}", 100_000 + object);
        Self { study, instance }
    }
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The objects of a kind as they are sent by one program.
pub(crate) struct Stock {
    pub(crate) kind: Kind,
    template: Object,
    objects: Option<u32>,
    folder: PathBuf,
}

impl Stock {
    pub(crate) fn new(kind: Kind, objects: Option<u32>, folder: &Path) -> Self {
        Self {
            kind,
            template: kind.object(&Uids::new(0, 0)),
            objects,
            folder: folder.to_owned(),
        }
    }

    pub(crate) fn template(&self) -> &Object {
        &self.template
    }

    /// How many objects each association sends.
    pub(crate) fn objects(&self, associations: u32) -> u32 {
        self.objects
            .unwrap_or_else(|| self.kind.objects(associations))
    }

    /// Bytes of one data set.
    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.template.data_set.len()).unwrap_or(u64::MAX)
    }

    /// A file of these UIDs, written unless it is there.
    pub(crate) fn file(&self, uids: &Uids) -> Result<PathBuf> {
        let path = self
            .folder
            .join(format!("{:?}-{}.dcm", self.kind, uids.instance));
        if path.exists() {
            return Ok(path);
        }
        let mut object = self.template.clone();
        let head = object.data_set.get_mut(..HEAD_BYTES).context("too short")?;
        number(head, uids)?;
        object.sop_instance.clone_from(&uids.instance);
        let mut file = BufWriter::new(File::create(&path)?);
        file.write_all(&object.to_part10()?)?;
        file.flush()?;
        Ok(path)
    }

    /// The data set as P-DATA-TFs whose variable field has at most `pdu_length` bytes, for a presentation context.
    pub(crate) fn pdus(&self, context: u8, pdu_length: usize) -> Result<Vec<u8>> {
        let set = &self.template.data_set;
        // Even fragments: some receivers decode as they come.
        let fragment = (pdu_length - 6) & !1;
        let mut pdus = Vec::with_capacity(set.len() + (set.len() / fragment + 1) * 12);
        for (index, bytes) in set.chunks(fragment).enumerate() {
            let is_last = (index + 1) * fragment >= set.len();
            let length = u32::try_from(bytes.len())?;
            pdus.extend([4, 0]);
            pdus.extend((length + 6).to_be_bytes());
            pdus.extend((length + 2).to_be_bytes());
            pdus.extend([context, if is_last { 2 } else { 0 }]);
            pdus.extend(bytes);
        }
        Ok(pdus)
    }
}

/// Every UID stands within so many bytes of the start.
pub(crate) const HEAD_BYTES: usize = 4096;

/// Writes these UIDs over those of the template.
pub(crate) fn number(head: &mut [u8], uids: &Uids) -> Result<()> {
    let template = Uids::new(0, 0);
    // The instance begins with the study: it goes first.
    for (old, new) in [
        (&template.instance, &uids.instance),
        (&template.study, &uids.study),
    ] {
        anyhow::ensure!(old.len() == new.len(), "{new} is not as long as {old}");
        let mut at = 0;
        while let Some(found) = head.get(at..).and_then(|rest| {
            rest.windows(old.len())
                .position(|window| window == old.as_bytes())
        }) {
            at += found;
            head.get_mut(at..at + new.len())
                .context("the UID is cut off")?
                .copy_from_slice(new.as_bytes());
            at += new.len();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_own_uids_and_the_pdus_hold_the_data_set() {
        let folder = tempfile::tempdir().unwrap();
        let stock = Stock::new(Kind::Still, None, folder.path());
        let uids = Uids::new(7, 31);
        let object = Object::read(&stock.file(&uids).unwrap()).unwrap();
        assert_eq!(object.sop_instance, uids.instance);
        let held = |text: &str| {
            let head = &object.data_set[..HEAD_BYTES];
            head.windows(text.len())
                .any(|window| *window == *text.as_bytes())
        };
        assert!(held(&uids.study) && held(&uids.instance));
        assert!(!held(&Uids::new(0, 0).study));
        let pdus = stock.pdus(1, 16_384).unwrap();
        let mut set: Vec<u8> = Vec::new();
        let mut rest = pdus.as_slice();
        while let [4, 0, a, b, c, d, after @ ..] = rest {
            let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap();
            assert!(length <= 16_384);
            set.extend(&after[6..length]);
            rest = &after[length..];
        }
        assert!(rest.is_empty());
        assert_eq!(set, stock.template().data_set);
    }
}
