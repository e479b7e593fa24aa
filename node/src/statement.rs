//! The DICOM Conformance Statement (PS3.2), generated from the tables that negotiation reads.

use std::fmt::Write as _;

use sonode_conformance::sop_class::{self, Use};
use sonode_conformance::{DimseStatus, implementation, limits, transfer_syntax};
use sonode_sr_writer::Companion;

/// The whole statement as Markdown.
pub(crate) fn markdown() -> String {
    let mut text = String::new();
    // Writing into a String can't fail.
    write(&mut text).unwrap_or_default();
    text
}

fn write(text: &mut String) -> std::fmt::Result {
    overview(text)?;
    accepted(text)?;
    statuses(text)?;
    sent(text)?;
    network(text)
}

fn overview(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "# Sonode {} DICOM Conformance Statement\n",
        implementation::SOFTWARE_VERSION
    )?;
    writeln!(
        text,
        "Sonode receives ultrasound studies by C-STORE, measures the left ventricle, and sends Structured Reports by \
         C-STORE. It is no archive: it offers no query, no retrieve, no worklist, no storage commitment and no MPPS.\n"
    )?;
    writeln!(text, "| | |\n| --- | --- |")?;
    writeln!(
        text,
        "| Application context | {} |",
        implementation::APPLICATION_CONTEXT
    )?;
    writeln!(
        text,
        "| Implementation Class UID | {} |",
        implementation::CLASS_UID
    )?;
    writeln!(
        text,
        "| Implementation Version Name | {} |",
        implementation::VERSION_NAME
    )?;
    writeln!(
        text,
        "| Maximum PDU length announced | {} bytes |",
        limits::PDU_LENGTH
    )?;
    writeln!(
        text,
        "| Presentation contexts in one association | {} |",
        limits::CONTEXTS_MAX
    )?;
    writeln!(text, "| Asynchronous operations window | not negotiated |")?;
    writeln!(
        text,
        "| Longest object | {} GiB |\n",
        limits::INSTANCE_BYTES_MAX >> 30
    )
}

fn accepted(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "## SOP classes accepted (SCP)\n\n| SOP class | UID | Use |\n| --- | --- | --- |"
    )?;
    for class in sop_class::TABLE {
        let usage = match class.usage {
            Use::Verification => "C-ECHO",
            Use::Cine => "stored; analysed",
            Use::Image => "stored; refused for measurement with a reason",
            Use::Document => "stored",
        };
        writeln!(text, "| {} | {} | {usage} |", class.name, class.uid)?;
    }
    writeln!(
        text,
        "\nStorage classes that are not listed are stored from peers with `accept_unknown = true`.\n"
    )?;
    writeln!(
        text,
        "## Transfer syntaxes accepted\n\n| Transfer syntax | UID | Pixels |\n| --- | --- | --- |"
    )?;
    for syntax in transfer_syntax::TABLE {
        let pixels = if syntax.decodable {
            "decoded"
        } else {
            "stored only"
        };
        writeln!(text, "| {} | {} | {pixels} |", syntax.name, syntax.uid)?;
    }
    writeln!(
        text,
        "\nEach presentation context is answered for itself. Where one context offers several syntaxes, JPEG Baseline is \
         chosen for multi-frame ultrasound, Explicit VR Little Endian for everything else. Verification takes the \
         uncompressed syntaxes.\n"
    )
}

fn statuses(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "## C-STORE statuses (SCP)\n\nSuccess is returned when file and folder are on the disk. The same instance with \
         the same bytes is success; with other bytes it is kept as a further version.\n\n| Status | When |\n| --- | --- |"
    )?;
    for (status, when) in [
        (DimseStatus::SUCCESS, "the instance is durable"),
        (
            DimseStatus::OUT_OF_RESOURCES,
            "the disk is full or failed; the instance may be sent again",
        ),
        (
            DimseStatus::DATA_SET_MISMATCH,
            "a UID of the command is invalid, or differs from the data set or the presentation context",
        ),
        (
            DimseStatus::CANNOT_UNDERSTAND,
            "no data set, or one longer than the limit",
        ),
        (
            DimseStatus::UNRECOGNIZED_OPERATION,
            "any request but C-ECHO and C-STORE",
        ),
    ] {
        writeln!(text, "| {status} | {when} |")?;
    }
    writeln!(
        text,
        "\nEvery failure carries an Error Comment (0000,0902).\n"
    )
}

fn sent(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "## SOP classes sent (SCU)\n\n| SOP class | UID | Template |\n| --- | --- | --- |"
    )?;
    let companion = |uid: &str| Companion::ALL.into_iter().find(|c| c.sop_class() == uid);
    let sent = || sop_class::TABLE.iter().filter(|class| class.sent);
    for class in sent().filter(|class| companion(class.uid).is_none()) {
        writeln!(text, "| {} | {} | TID 1500 |", class.name, class.uid)?;
    }
    writeln!(
        text,
        "\nWhere a route names them, companions go beside a report, each kind in a series of its own:\n\n\
         | SOP class | UID | Transfer syntax | In the configuration |\n| --- | --- | --- | --- |"
    )?;
    for class in sent() {
        if let Some(companion) = companion(class.uid) {
            let syntax = companion.transfer_syntax();
            let name = companion.name();
            writeln!(
                text,
                "| {} | {} | {syntax} | {name} |",
                class.name, class.uid
            )?;
        }
    }
    writeln!(
        text,
        "\nReports are sent in Explicit VR Little Endian, in the first of these classes that the peer accepts, in the \
         order Comprehensive 3D SR, Comprehensive SR. Verification Flag is UNVERIFIED. A report with non-ASCII text is \
         written in ISO_IR 100 where that suffices, else in the images' own character set where that has one byte a \
         character and no code extensions, else in ISO_IR 192. Received instances are forwarded, where a route says so, in the class and syntax in which \
         they came. Verification is used to test a peer.\n"
    )
}

fn network(text: &mut String) -> std::fmt::Result {
    writeln!(text, "## Timers\n\n| Timer | Default |\n| --- | --- |")?;
    for (name, value) in [
        ("ARTIM", limits::ARTIM),
        ("between messages", limits::IDLE),
        (
            "between messages, while the node is full and another peer has less than its share",
            limits::SHARE_IDLE,
        ),
        ("inside a message without a byte", limits::INSIDE_MESSAGE),
        ("response of a peer", limits::RESPONSE),
        ("TCP connection to a peer", limits::CONNECT),
    ] {
        writeln!(text, "| {name} | {} s |", value.as_secs())?;
    }
    writeln!(
        text,
        "\n## Association rejection\n\nPermanent: called AE title not recognized, calling AE title not recognized (or not \
         from this address), application context or protocol version not supported. Transient: local limit exceeded, \
         over `max_associations` ({} by default) or while the node stops.\n",
        limits::ASSOCIATIONS
    )?;
    writeln!(
        text,
        "One peer alone may have all of `max_associations`. When the node is full and a peer calls that has fewer than \
         `max_associations` divided by the number of peers that have or want one, or none, then the peer that has the \
         most loses the association that has been idle longest, if that is at least {} s: it gets an A-ABORT (source \
         service-provider, reason not specified) between two messages, never inside one, and the newcomer is accepted.\n",
        limits::SHARE_IDLE.as_secs()
    )?;
    writeln!(
        text,
        "## Retention\n\nAn instance is kept at least until every delivery of its study has ended. After that it is deleted \
         when more than {} % of the disk is taken (`storage.prune_above_percent`), the studies of the oldest day first; \
         its UIDs, digest, sender and findings are kept, and the same instance sent again is a duplicate. When more than \
         {} % is taken (`storage.refuse_above_percent`), associations are rejected transiently (local limit exceeded). \
         Sonode is no archive: the carts keep sending to the PACS, or a route forwards the images there.",
        limits::PRUNE_ABOVE_PERCENT,
        limits::REFUSE_ABOVE_PERCENT
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_statement_names_every_class_and_syntax() {
        let text = super::markdown();
        for class in super::sop_class::TABLE {
            assert!(text.contains(class.uid), "{}", class.name);
        }
        for syntax in super::transfer_syntax::TABLE {
            assert!(text.contains(syntax.uid), "{}", syntax.name);
        }
    }
}
