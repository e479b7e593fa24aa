//! The data sets of Modality Performed Procedure Step (PS3.4 annex F.7), as far as they tell when a study is complete.

use sonode_conformance::transfer_syntax::Encoding;
use sonode_conformance::{SopInstanceUid, StudyInstanceUid};

use crate::data_set::{DataSet, DataSetError};
use crate::header::Tag;

const REFERENCED_IMAGES: Tag = Tag(0x0008, 0x1140);
const REFERENCED_INSTANCE: Tag = Tag(0x0008, 0x1155);
const REFERENCED_OTHERS: Tag = Tag(0x0040, 0x0220);
const STATUS: Tag = Tag(0x0040, 0x0252);
const SCHEDULED_STEP: Tag = Tag(0x0040, 0x0270);
const PERFORMED_SERIES: Tag = Tag(0x0040, 0x0340);

/// Performed Procedure Step Status (0040,0252).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// IN PROGRESS.
    InProgress,
    /// COMPLETED.
    Completed,
    /// DISCONTINUED.
    Discontinued,
}

/// What an N-CREATE or N-SET says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepData {
    /// Its status; none where the data set has none.
    pub status: Option<StepStatus>,
    /// Study Instance UID of each item of Scheduled Step Attributes Sequence.
    pub studies: Vec<StudyInstanceUid>,
    /// Every instance that Performed Series Sequence lists; none where the data set lacks the sequence.
    pub instances: Option<Vec<SopInstanceUid>>,
}

impl StepData {
    /// Reads the attribute list.
    ///
    /// # Errors
    /// Each [`DataSetError`] variant; `Missing` for a status that PS3.3 C.4.14 doesn't know.
    pub fn parse(bytes: &[u8], encoding: Encoding) -> Result<Self, DataSetError> {
        let set = DataSet::parse(bytes, encoding)?;
        let status = match set.text(STATUS) {
            b"" => None,
            b"IN PROGRESS" => Some(StepStatus::InProgress),
            b"COMPLETED" => Some(StepStatus::Completed),
            b"DISCONTINUED" => Some(StepStatus::Discontinued),
            _ => {
                let what = "Performed Procedure Step Status (0040,0252)";
                return Err(DataSetError::Missing(what));
            }
        };
        let scheduled = set.items(SCHEDULED_STEP).iter();
        let series = set.items(PERFORMED_SERIES);
        let instances = series.iter().flat_map(|series| {
            let images = series.items(REFERENCED_IMAGES).iter();
            images.chain(series.items(REFERENCED_OTHERS))
        });
        let uid = |item: &DataSet<'_>| SopInstanceUid::parse(item.text(REFERENCED_INSTANCE)).ok();
        Ok(Self {
            status,
            studies: scheduled
                .filter_map(|item| StudyInstanceUid::parse(item.text(Tag::STUDY_INSTANCE_UID)).ok())
                .collect(),
            instances: (!series.is_empty()).then(|| instances.filter_map(uid).collect()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_set::DataSetWriter;

    #[test]
    fn a_step_names_its_study_and_lists_its_instances() {
        for encoding in [Encoding::ImplicitLittle, Encoding::ExplicitLittle] {
            let set = DataSetWriter::new(encoding);
            let item = |tag, uid: &str| set.item().text(tag, *b"UI", uid);
            let series = set
                .item()
                .sequence(REFERENCED_IMAGES, [item(REFERENCED_INSTANCE, "1.2.3.1")])
                .sequence(REFERENCED_OTHERS, [item(REFERENCED_INSTANCE, "1.2.3.2")]);
            let scheduled = [item(Tag::STUDY_INSTANCE_UID, "1.2.3")];
            let bytes = set
                .item()
                .text(STATUS, *b"CS", "COMPLETED")
                .sequence(SCHEDULED_STEP, scheduled)
                .sequence(PERFORMED_SERIES, [series])
                .finish();
            let step = StepData::parse(&bytes, encoding).unwrap();
            assert_eq!(step.status, Some(StepStatus::Completed));
            assert_eq!(step.studies, ["1.2.3".parse().unwrap()]);
            let instances = ["1.2.3.1", "1.2.3.2"].map(|uid| uid.parse().unwrap());
            assert_eq!(step.instances.unwrap(), instances);
            let other = set.item().text(STATUS, *b"CS", "DONE").finish();
            assert!(StepData::parse(&other, encoding).is_err());
        }
    }
}
