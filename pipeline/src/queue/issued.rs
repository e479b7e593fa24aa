//! Which reports are our own: the UIDs of the newest ones.
//!
//! A report that comes back is known by the device in its header as well; its UID is for a PACS that changes headers. So
//! the oldest may be forgotten, and the memory that sled needs doesn't grow with the node's age.

use sled::{Db, Tree};
use sonode_conformance::SopInstanceUid;
use twox_hash::XxHash3_128;

/// When so many are remembered, those before them are forgotten.
const GENERATION: usize = 50_000;

/// Two generations of UIDs: of each its XXH3-128, which no two share.
pub(super) struct Issued {
    /// The one that grows, and the one before it, which is full.
    trees: [Tree; 2],
    /// Entries of the one that grows, which sled would count one by one.
    count: usize,
}

impl Issued {
    /// Reads all of them, so that damage shows.
    pub(super) fn open(db: &Db) -> sled::Result<Self> {
        let [mut one, mut other] = [db.open_tree("issued-0")?, db.open_tree("issued-1")?];
        let mut counts = [0, 0];
        for (count, tree) in counts.iter_mut().zip([&one, &other]) {
            for entry in tree {
                entry?;
                *count += 1;
            }
        }
        let [mut count, second] = counts;
        if count >= GENERATION {
            std::mem::swap(&mut one, &mut other);
            count = second;
        }
        Ok(Self {
            trees: [one, other],
            count,
        })
    }

    pub(super) fn insert(&mut self, sop: &SopInstanceUid) -> sled::Result<()> {
        if self.contains(sop)? {
            return Ok(());
        }
        let [growing, full] = &mut self.trees;
        growing.insert(key(sop), &[])?;
        self.count += 1;
        if self.count >= GENERATION {
            full.clear()?;
            std::mem::swap(growing, full);
            self.count = 0;
        }
        Ok(())
    }

    pub(super) fn contains(&self, sop: &SopInstanceUid) -> sled::Result<bool> {
        let [growing, full] = &self.trees;
        let key = key(sop);
        Ok(growing.contains_key(key)? || full.contains_key(key)?)
    }
}

fn key(sop: &SopInstanceUid) -> [u8; 16] {
    XxHash3_128::oneshot(sop.as_str().as_bytes()).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(n: usize) -> SopInstanceUid {
        format!("1.3.{n}").parse().unwrap()
    }

    #[test]
    fn the_newest_are_known_and_the_oldest_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let db = sled::open(folder.path()).unwrap();
        let mut issued = Issued::open(&db).unwrap();
        let all = 2 * GENERATION + 7;
        for n in 0..all {
            issued.insert(&report(n)).unwrap();
            issued.insert(&report(n)).unwrap();
        }
        drop(issued);
        let mut issued = Issued::open(&db).unwrap();
        assert_eq!(issued.count, 7);
        let known = (0..all).filter(|n| issued.contains(&report(*n)).unwrap());
        assert_eq!(
            known.collect::<Vec<_>>(),
            (GENERATION..all).collect::<Vec<_>>()
        );
        issued.insert(&report(all)).unwrap();
        assert_eq!(issued.count, 8);
    }
}
