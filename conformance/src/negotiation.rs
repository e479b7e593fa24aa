//! The answer to one proposed presentation context (PS3.8 section 9.3.3.2), from the tables.

use crate::sop_class::{self, Use};
use crate::transfer_syntax;

/// Result/Reason of a presentation context in A-ASSOCIATE-AC (PS3.8 table 9-18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextAnswer {
    /// 0: accepted with this transfer syntax, one of those proposed.
    Accepted(&'static str),
    /// 3: abstract syntax not supported.
    AbstractSyntaxNotSupported,
    /// 4: none of the transfer syntaxes is supported.
    TransferSyntaxesNotSupported,
}

/// What is offered beside the classes of [`sop_class::TABLE`]; a matter of the peer's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offer<'a> {
    /// Storage classes that the table doesn't list are taken.
    pub accept_unknown: bool,
    /// SOP classes of [`sop_class::SERVICES`] that this peer may use.
    pub services: &'a [&'a str],
}

/// Answers one context.
///
/// JPEG Baseline is preferred for cines, since a cart that holds JPEG would otherwise inflate it; Explicit VR Little
/// Endian for everything else; then the order of the table.
pub fn answer<'a>(
    abstract_syntax: &str,
    transfer_syntaxes: impl IntoIterator<Item = &'a str>,
    offer: Offer<'_>,
) -> ContextAnswer {
    if sop_class::find_service(abstract_syntax).is_some() {
        return service(abstract_syntax, transfer_syntaxes, offer);
    }
    let usage = match sop_class::find(abstract_syntax) {
        Some(class) => class.usage,
        None if offer.accept_unknown && sop_class::may_be_unlisted_storage(abstract_syntax) => {
            Use::Document
        }
        None => return ContextAnswer::AbstractSyntaxNotSupported,
    };
    transfer_syntaxes
        .into_iter()
        .filter_map(transfer_syntax::find)
        .filter(|syntax| usage != Use::Verification || is_uncompressed(syntax.uid))
        .min_by_key(|syntax| preference(usage, syntax.uid))
        .map_or(ContextAnswer::TransferSyntaxesNotSupported, |syntax| {
            ContextAnswer::Accepted(syntax.uid)
        })
}

/// The normalized services exchange small data sets, which are read here: the two syntaxes that everybody writes.
fn service<'a>(
    abstract_syntax: &str,
    transfer_syntaxes: impl IntoIterator<Item = &'a str>,
    offer: Offer<'_>,
) -> ContextAnswer {
    if !offer.services.contains(&abstract_syntax) {
        return ContextAnswer::AbstractSyntaxNotSupported;
    }
    let offered: Vec<&str> = transfer_syntaxes.into_iter().collect();
    [
        transfer_syntax::EXPLICIT_LITTLE,
        transfer_syntax::IMPLICIT_LITTLE,
    ]
    .into_iter()
    .find(|syntax| offered.contains(syntax))
    .map_or(ContextAnswer::TransferSyntaxesNotSupported, |syntax| {
        ContextAnswer::Accepted(syntax)
    })
}

fn is_uncompressed(uid: &str) -> bool {
    matches!(
        uid,
        transfer_syntax::IMPLICIT_LITTLE
            | transfer_syntax::EXPLICIT_LITTLE
            | transfer_syntax::EXPLICIT_BIG
    )
}

/// The smaller, the better.
fn preference(usage: Use, uid: &str) -> usize {
    let first = if usage == Use::Cine {
        [
            transfer_syntax::JPEG_BASELINE,
            transfer_syntax::EXPLICIT_LITTLE,
        ]
    } else {
        [
            transfer_syntax::EXPLICIT_LITTLE,
            transfer_syntax::IMPLICIT_LITTLE,
        ]
    };
    first
        .iter()
        .position(|preferred| *preferred == uid)
        .unwrap_or_else(|| {
            let row = transfer_syntax::TABLE
                .iter()
                .position(|syntax| syntax.uid == uid);
            // Implicit VR loses private VRs and Big Endian is retired: both after everything else.
            let last = usize::from(matches!(
                uid,
                transfer_syntax::IMPLICIT_LITTLE | transfer_syntax::EXPLICIT_BIG
            )) * transfer_syntax::TABLE.len();
            first.len() + last + row.unwrap_or(usize::MAX / 2)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sop_class::{US_IMAGE, US_MULTIFRAME, VERIFICATION};
    use crate::transfer_syntax::{EXPLICIT_LITTLE, IMPLICIT_LITTLE, JPEG_BASELINE};

    const UNKNOWN_TOO: Offer<'_> = Offer {
        accept_unknown: true,
        services: &[],
    };

    #[test]
    fn a_service_is_for_the_peers_that_may_use_it() {
        let class = crate::sop_class::STORAGE_COMMITMENT;
        let may = Offer {
            accept_unknown: false,
            services: &[class],
        };
        let both = [IMPLICIT_LITTLE, EXPLICIT_LITTLE];
        assert_eq!(
            answer(class, both, UNKNOWN_TOO),
            ContextAnswer::AbstractSyntaxNotSupported
        );
        assert_eq!(
            answer(class, both, may),
            ContextAnswer::Accepted(EXPLICIT_LITTLE)
        );
        assert_eq!(
            answer(class, [JPEG_BASELINE], may),
            ContextAnswer::TransferSyntaxesNotSupported
        );
    }

    #[test]
    fn cines_come_as_jpeg_and_the_rest_as_explicit_little_endian() {
        let offered = [
            IMPLICIT_LITTLE,
            EXPLICIT_LITTLE,
            "1.2.840.10008.1.2.4.70",
            JPEG_BASELINE,
        ];
        assert_eq!(
            answer(US_MULTIFRAME, offered, Offer::default()),
            ContextAnswer::Accepted(JPEG_BASELINE)
        );
        assert_eq!(
            answer(US_IMAGE, offered, Offer::default()),
            ContextAnswer::Accepted(EXPLICIT_LITTLE)
        );
    }

    #[test]
    fn a_private_syntax_is_refused_and_a_private_class_is_taken_when_allowed() {
        assert_eq!(
            answer(US_IMAGE, ["1.2.3.4"], UNKNOWN_TOO),
            ContextAnswer::TransferSyntaxesNotSupported
        );
        assert_eq!(
            answer("1.2.3.4", [IMPLICIT_LITTLE], UNKNOWN_TOO),
            ContextAnswer::Accepted(IMPLICIT_LITTLE)
        );
        assert_eq!(
            answer("1.2.3.4", [IMPLICIT_LITTLE], Offer::default()),
            ContextAnswer::AbstractSyntaxNotSupported
        );
    }

    #[test]
    fn verification_takes_no_compressed_syntax() {
        assert_eq!(
            answer(VERIFICATION, [JPEG_BASELINE], Offer::default()),
            ContextAnswer::TransferSyntaxesNotSupported
        );
    }

    #[test]
    fn every_pair_of_the_tables_is_accepted_alone() {
        for class in sop_class::TABLE
            .iter()
            .filter(|class| class.usage != Use::Verification)
        {
            for syntax in transfer_syntax::TABLE {
                assert_eq!(
                    answer(class.uid, [syntax.uid], Offer::default()),
                    ContextAnswer::Accepted(syntax.uid)
                );
            }
        }
    }
}
