//! The DICOM Conformance Statement in the outline of PS3.2's template, generated from the tables that negotiation, the
//! configuration and the writer read.
//!
//! The template is PS3.2's annex N since its rewrite (Supplement 209). Seen were the opening of annex N in PS3.2 2024d, which
//! makes content and organization normative, and a public statement that follows annex N of 2026d section by section: the
//! numbers and titles are those. The template's own sentences were not at hand, and are not imitated.

mod annexes;
mod details;
mod overview;
mod services;

/// The whole statement as Markdown.
pub(crate) fn markdown() -> String {
    let mut text = String::new();
    // Writing into a String can't fail.
    write(&mut text).unwrap_or_default();
    text
}

fn write(text: &mut String) -> std::fmt::Result {
    overview::overview(text)?;
    overview::introduction(text)?;
    overview::model(text)?;
    services::opening(text)?;
    services::procedure_step(text)?;
    services::not_offered(text)?;
    services::sent(text)?;
    services::accepted(text)?;
    services::commitment(text)?;
    services::relay(text)?;
    services::closing(text)?;
    details::configuration(text)?;
    details::network(text)?;
    details::statuses(text)?;
    details::security(text)?;
    annexes::objects(text)?;
    annexes::content(text)?;
    annexes::mapping(text)?;
    annexes::code_sets(text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sonode_conformance::{sop_class, transfer_syntax};

    #[test]
    fn the_statement_names_every_class_and_syntax() {
        let text = super::markdown();
        for class in sop_class::TABLE {
            assert!(text.contains(class.uid), "{}", class.name);
        }
        for service in sop_class::SERVICES {
            assert!(text.contains(service.uid), "{}", service.name);
        }
        for syntax in transfer_syntax::TABLE {
            assert!(text.contains(syntax.uid), "{}", syntax.name);
        }
    }

    #[test]
    fn the_committed_statement_is_this_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../CONFORMANCE.md");
        let text = super::markdown();
        if std::env::var("SONODE_GOLDEN").is_ok_and(|value| value == "refresh") {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            text == committed,
            "CONFORMANCE.md is stale: write what `sonode conformance` prints into it"
        );
    }
}
