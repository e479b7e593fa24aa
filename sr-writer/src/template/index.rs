//! The volumes over the body surface area as numbers: a TID 1501 group of their own, so that nobody takes them for the
//! volumes, and the two of CID 12300 that TID 5300 has.
//!
//! The biplane ones have a code each (CID 12300). Of a single plane PS3.16 has none: they are the volume, modified by
//! Measurement Type and Measurement Divisor as TID 5302 post-coordinates them.

use sonode_findings::{BsaOrigin, Method, VolumeIndex};

use super::group::header;
use super::quantity::{QUANTITIES, Quantity, Reading};
use super::{Source, cart, decimal};
use crate::codes::{self, Code, Unit};
use crate::identity::index_tracking_uid;
use crate::request::WriteError;
use crate::texts::Language;
use crate::tree::{Coded, Container, Image, Num};

/// One indexed volume.
struct Indexed {
    /// The volume that is indexed, by its name in [`QUANTITIES`].
    volume: Code,
    of: fn(&VolumeIndex) -> f64,
    /// Its own code and Short Label where the method is biplane.
    biplane: (Code, &'static str),
}

const INDEXED: [Indexed; 2] = [
    Indexed {
        volume: codes::LV_EDV,
        of: |index| index.edv_ml_m2,
        biplane: (codes::LV_EDV_BIPLANE_BSA, "LVEDVi (MOD bp)"),
    },
    Indexed {
        volume: codes::LV_ESV,
        of: |index| index.esv_ml_m2,
        biplane: (codes::LV_ESV_BIPLANE_BSA, "LVESVi (MOD bp)"),
    },
];

/// What is indexed of a study: the reading, the index, and each volume with its row.
struct Found<'a> {
    reading: Reading<'a>,
    index: &'a VolumeIndex,
}

impl<'a> Found<'a> {
    fn of(source: &Source<'a>) -> Result<Option<Self>, WriteError> {
        let index = source.findings.lv.as_ref();
        let index = index.and_then(|lv| lv.index.as_ref());
        let reading = Reading::summary(source)?;
        Ok(reading
            .zip(index)
            .map(|(reading, index)| Self { reading, index }))
    }

    /// The number by this name, with what it was measured on.
    fn number(&self, row: &Indexed, name: Code, quantity: &Quantity) -> Result<Num, WriteError> {
        let value = decimal((row.of)(self.index), 1, name.meaning)?;
        let num = Num::new(name, value, Unit::MillilitrePerSquareMetre);
        let sources = self.reading.sources(quantity)?;
        Ok(sources.into_iter().fold(num, Num::inferred_from))
    }
}

fn rows() -> impl Iterator<Item = (&'static Indexed, &'static Quantity)> {
    INDEXED.iter().filter_map(|row| {
        let mut quantities = QUANTITIES.iter();
        let quantity = quantities.find(|quantity| quantity.name == row.volume)?;
        Some((row, quantity))
    })
}

/// The group; `None` where no body surface area or no volume is known.
pub(super) fn group(source: &Source<'_>) -> Result<Option<Container>, WriteError> {
    let (Some(found), Some(lv)) = (Found::of(source)?, &source.findings.lv) else {
        return Ok(None);
    };
    let mut group = header(
        "1501",
        Language::index_label(found.reading.method),
        index_tracking_uid(&lv.source),
        &source.findings.models,
    );
    for (row, quantity) in rows() {
        let num = match found.reading.method {
            Method::ModBiplane => found.number(row, row.biplane.0, quantity)?,
            Method::ModA4c | Method::ModA2c => {
                let num = found.number(row, row.volume, quantity)?;
                found
                    .reading
                    .modify(num, quantity)
                    .modifier(Coded::new(codes::MEASUREMENT_TYPE, codes::INDEXED))
                    .modifier(Coded::new(codes::MEASUREMENT_DIVISOR, codes::BSA))
            }
        };
        group = group.contains(num.inferred_from_number(surface(source, found.index)?));
    }
    Ok(Some(group))
}

/// The body surface area, and what it was taken from (TID 300's derivation parameter).
fn surface(source: &Source<'_>, index: &VolumeIndex) -> Result<Num, WriteError> {
    let value = decimal(index.bsa_m2, 2, "the body surface area")?;
    let mut num = Num::new(codes::BSA, value, Unit::SquareMetre);
    if index.origin != BsaOrigin::Report {
        num = num.modifier(Coded::new(codes::MEASUREMENT_METHOD, codes::DU_BOIS));
    }
    if index.origin == BsaOrigin::HeaderDuBois {
        let mut measured = source.measured()?.into_iter();
        let image = measured.find_map(|clip| source.image(clip));
        return Ok(match image {
            Some(image) => num.inferred_from(Image::whole(None, image)),
            None => num,
        });
    }
    Ok(match cart::reference_of(source) {
        Some(report) => num.inferred_from_report(report),
        None => num,
    })
}

/// The numbers of CID 12300, with their Short Labels; none of a single plane.
pub(super) fn precoordinated(source: &Source<'_>) -> Result<Vec<(Num, &'static str)>, WriteError> {
    let found = Found::of(source)?;
    let Some(found) = found.filter(|found| found.reading.method == Method::ModBiplane) else {
        return Ok(Vec::new());
    };
    rows()
        .map(|(row, quantity)| {
            let (name, label) = row.biplane;
            Ok((found.number(row, name, quantity)?, label))
        })
        .collect()
}
