//! What has to hold: at each start, and when everything has come to rest.

use super::World;
use crate::cart::Clip;
use crate::pacs::has;
use crate::process::data_set;

impl World {
    fn deleted(&self) -> impl Iterator<Item = &Clip> {
        self.carts.iter().flat_map(|cart| &cart.deleted)
    }

    /// What a cart has deleted is in the spool, byte for byte.
    pub(super) fn check_spool(&self) -> Result<(), String> {
        let Some(node) = &self.node else {
            return Ok(());
        };
        // A study that ends meanwhile would change its place between the look into its folder and the one into the file.
        node.settle();
        for clip in self.deleted() {
            let found = node.spool.scan_study(&clip.study);
            if self.disk.is_cut() {
                // It dies over this very look; the next process is looked at.
                return Ok(());
            }
            let found = found.map_err(|error| format!("{}: {error}", clip.sop))?;
            let instance = found.instances.iter().find(|i| i.sop_instance == clip.sop);
            let path = &instance
                .ok_or_else(|| format!("{} is lost", clip.sop))?
                .path;
            let file = self.disk.contents(path);
            let file = file.ok_or_else(|| format!("the file of {} is gone", clip.sop))?;
            if data_set(&file) != clip.data {
                return Err(format!("{} has other bytes", clip.sop));
            }
        }
        Ok(())
    }

    /// The operator: what is quarantined or was given up is tried again.
    pub(super) fn operate(&mut self) {
        let Some(node) = &self.node else {
            return;
        };
        node.settle();
        if self.now > super::CALM {
            for study in node.pipeline.studies() {
                let is_stuck = study.state == "quarantined" || study.deliveries.dead > 0;
                // It may have come along by itself meanwhile.
                if is_stuck && node.pipeline.retry(&study.study_instance_uid).is_err() {
                    node.settle();
                }
            }
        }
    }

    /// The carts have nothing left, and the node owes nothing any more.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_empty = self.carts.iter().all(|cart| cart.clips.is_empty());
        is_empty
            && self.node.as_ref().is_some_and(|node| {
                let studies = node.pipeline.studies();
                studies.iter().all(|study| study.done)
            })
    }

    pub(super) fn unrest(&self) -> String {
        let left: usize = self.carts.iter().map(|cart| cart.clips.len()).sum();
        let studies = self.node.as_ref().map(|node| node.pipeline.studies());
        let open = studies.into_iter().flatten().filter(|study| !study.done);
        let open: Vec<String> = open
            .map(|study| {
                let uid = study.study_instance_uid;
                format!(
                    "{uid} {} {:?} {:?}",
                    study.state, study.reason, study.deliveries
                )
            })
            .collect();
        format!("{left} clips are left in the carts; open: {open:?}")
    }

    /// While the queue lives, no study is forgotten: the operator finds what became of it. And it lives unless the
    /// schedule itself lost or damaged it.
    pub(super) fn check_list(&self) -> Result<(), String> {
        let Some(node) = self.node.as_ref().filter(|_| !self.queue_was_lost) else {
            return Ok(());
        };
        if self.data_dir().join("queue.broken-1").exists() {
            return Err("a sound queue was set aside".to_owned());
        }
        let listed = node.pipeline.studies();
        let is_listed = |clip: &&Clip| {
            let mut listed = listed.iter();
            listed.any(|study| study.study_instance_uid == clip.study)
        };
        match self.deleted().find(|clip| !is_listed(clip)) {
            Some(clip) => Err(format!("{} isn't listed any more", clip.study)),
            None => Ok(()),
        }
    }

    /// Each study has one current report, and it stands on every clip.
    pub(super) fn check_pacs(&self) -> Result<(), String> {
        let kept = &self.pacs.kept;
        let mut studies: Vec<_> = self.deleted().map(|clip| clip.study.clone()).collect();
        studies.sort();
        studies.dedup();
        for study in studies {
            let of_it: Vec<_> = self
                .pacs
                .reports
                .iter()
                .filter(|report| has(&kept[*report], study.as_str()))
                .collect();
            // Whoever is named by another one, as its predecessor, is replaced.
            let is_replaced = |report: &&&_| {
                let mut others = of_it.iter().filter(|other| *other != *report);
                others.any(|other| has(&kept[*other], report.as_str()))
            };
            let current: Vec<_> = of_it.iter().filter(|report| !is_replaced(report)).collect();
            let [current] = current[..] else {
                let (all, count) = (of_it.len(), current.len());
                return Err(format!("{study} has {count} current reports of {all}"));
            };
            for clip in self.deleted().filter(|clip| clip.study == study) {
                if !has(&kept[*current], clip.sop.as_str()) {
                    return Err(format!("{study}: the report leaves out {}", clip.sop));
                }
                if self.route.send_images && kept.get(&clip.sop) != Some(&clip.data) {
                    return Err(format!("the PACS lacks {}", clip.sop));
                }
            }
        }
        Ok(())
    }
}
