//! Chapters 6 to 8: what can be set, how associations go, what is answered, security.

use std::fmt::Write as _;

use sonode_conformance::{DimseStatus, implementation, limits};

pub(super) fn configuration(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "## 6 Configuration\n\n### 6.1 General configuration parameters\n\n| Key | What | Default |\n| --- | --- | --- |\n\
         | `node.ae_title`, `node.listen` | AE title and address | required, 0.0.0.0:11112 |\n\
         | `[[peer]]` `ae_title`, `host`, `port`, `allow_from` | a peer's title, where it is called, from where it may call | |\n\
         | `[[peer]]` `aliases` | further titles under which it may call | none |\n\
         | `[[peer]]` `charset_if_missing` | the character set of its objects that name none | none |\n\n\
         ### 6.2 Configuration of DIMSE services\n\n| Key | What | Default |\n| --- | --- | --- |\n\
         | `[[peer]]` `commitment` | `off`, `relay`: may it ask for storage commitment | `off` |\n\
         | `[[peer]]` `mpps` | its performed procedure steps are taken | false |\n\
         | `[[peer]]` `commit_timeout_s` | how long it has to show that it keeps what it took | 86400 |\n\
         | `[[peer]]` `accept_unknown` | store classes that aren't listed | true |\n\
         | `[[route]]` `send` | `sr`, `images` | `sr` |\n\
         | `[[route]]` `commit` | ask for storage commitment of what is sent | false |\n\
         | `[[route]]` `documents` | `tid1500`, `tid5200`, `tid5300` | `tid1500` |\n\
         | `[[route]]` `companions` | `secondary-capture`, `overlay-cine`, `pdf`, `key-object` | none |\n\
         | `[[route]]` `codes` | `sct`, `srt` | `sct` |\n\
         | `[[route]]` `findings_code` | `121070`, `59776-5` | `121070` |\n\
         | `[[route]]` `charset` | `source`, `utf-8` | `source` |\n\
         | `[[route]]` `language` | `en`, `zh` | `en` |\n\
         | `[[route]]` `report_unmeasured` | `never`, `echo-only`, `always` | `echo-only` |\n"
    )
}

pub(super) fn network(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "## 7 Network and media communication details\n\n### 7.1 General\n\n#### 7.1.1 General association parameters\n\n| | |\n| --- | --- |\n| Application context | {} |\n| Implementation Class \
         UID | {} |\n| Implementation Version Name | {} |\n| Maximum PDU length announced | {} bytes |\n| Presentation contexts \
         in one association | {} |\n| Asynchronous operations window | not negotiated |\n| Longest object | {} GiB |\n",
        implementation::APPLICATION_CONTEXT,
        implementation::CLASS_UID,
        implementation::VERSION_NAME,
        limits::PDU_LENGTH,
        limits::CONTEXTS_MAX,
        limits::INSTANCE_BYTES_MAX >> 30
    )?;
    writeln!(text, "| Timer | Default |\n| --- | --- |")?;
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
        (
            "storage commitment, from the C-STORE response",
            limits::COMMIT_TIMEOUT,
        ),
        (
            "storage commitment, association kept open for the answer",
            limits::COMMIT_LINGER,
        ),
    ] {
        writeln!(text, "| {name} | {} s |", value.as_secs())?;
    }
    writeln!(
        text,
        "\n### 7.2 Specifications\n\n#### 7.2.1 Sonode Application Entity\n\n##### 7.2.1.1 Sequencing of real-world activities\n\n\
         An instance arrives, is on the disk and is acknowledged; it is analysed; when nothing more comes of its study the report \
         is decided, rendered in the best form that each peer accepts, kept and sent. What comes later makes a revision, which \
         names the one that it replaces.\n\n\
         ##### 7.2.1.2 Association parameters\n\nAs in 7.1.1.\n\n\
         ##### 7.2.1.3 Association initiation\n\nTo deliver (5.2.5.1), one association at a time for each peer; to ask for \
         commitment and to query (5.2.6, 5.2.7); to answer a cart's request for commitment (5.2.6.2). Each class and transfer \
         syntax is proposed in a presentation context of its own. C-ECHO by `sonode echo`.\n\n\
         ##### 7.2.1.4 Association acceptance\n\nRejected for good: called AE title not recognized, calling AE title not recognized (or not \
         from this address), application context or protocol version not supported. For the moment: local limit exceeded, \
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
    )
}

pub(super) fn statuses(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "### 7.3 Status codes\n\n#### 7.3.1 General communication and failure behaviour\n\nA connection that breaks inside an object leaves \
         nothing of it. What is owed to a peer that can't be reached is tried again with growing waits, up to hours, for as long as it \
         takes. Whatever was acknowledged and whatever is owed survives a restart.\n\n#### 7.3.2 DIMSE services\n\n\
         **C-STORE and C-ECHO as SCP.** Success is returned when file and folder are on the disk. The same instance with \
         the same bytes is success; with other bytes it is kept as a further version.\n\n| Status | When |\n| --- | --- |"
    )?;
    let store = [
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
    ];
    rows(text, &store)?;
    writeln!(
        text,
        "\nEvery failure carries an Error Comment (0000,0902).\n\n\
         **C-STORE as SCU.** 0000 and Bxxx: delivered. 0111: delivered if the peer shows that it has it (5.2.6.1). A7xx, 0110, 0213 \
         and broken associations: tried again, with growing waits. Cxxx: a few tries over an hour, then a dead letter. A9xx, 0117, \
         0122, 0124: a dead letter. A permanent rejection of the association: tried again, with an alarm.\n\n\
         **N-CREATE and N-SET as SCP (5.2.2).**\n\n| Status | When |\n| --- | --- |"
    )?;
    let steps = [
        (DimseStatus::SUCCESS, "it is durable"),
        (
            DimseStatus::INVALID_ATTRIBUTE,
            "the data set can't be read, has a status that isn't known, or creates a step that isn't IN PROGRESS",
        ),
        (
            DimseStatus::DUPLICATE_SOP_INSTANCE,
            "N-CREATE of a step that is known",
        ),
        (
            DimseStatus::NO_SUCH_INSTANCE,
            "N-SET of a step that isn't known",
        ),
        (
            DimseStatus::PROCESSING_FAILURE,
            "N-SET of a step that has ended, or the node stops",
        ),
        (
            DimseStatus::INVALID_SOP_INSTANCE,
            "no SOP Instance UID, or an invalid one",
        ),
        (DimseStatus::RESOURCE_LIMITATION, "it can't be kept"),
    ];
    rows(text, &steps)?;
    writeln!(text)
}

fn rows(text: &mut String, statuses: &[(DimseStatus, &str)]) -> std::fmt::Result {
    statuses
        .iter()
        .try_for_each(|(status, when)| writeln!(text, "| {status} | {when} |"))
}

pub(super) fn security(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "## 8 Security\n\n### 8.1 Introduction\n\nAssociations are accepted from the AE titles and addresses of the configuration \
         alone. Received instances are stored and forwarded as they came, so that no digital signature is changed. Patient \
         attributes are never written to the log.\n\n\
         ### 8.2 External network requirements\n\nThe peers, and name resolution where the configuration names hosts. Nothing else: \
         no patient data and no query leaves for anybody whom no route names.\n\n\
         ### 8.3 TCP port configuration\n\n`node.listen` for DICOM; `http.listen` for the status page; the peers' `port` outwards.\n\n\
         ### 8.4 DICOM security profiles support\n\nNone: no TLS, no audit trail messages.\n\n\
         ### 8.5 User Identity Negotiation support\n\nNone: it is not proposed, and not answered where it is.\n"
    )
}
