//! Chapter 5: what is accepted, and what is sent.

use std::fmt::Write as _;

use sonode_conformance::sop_class::{self, Use};
use sonode_conformance::{limits, transfer_syntax};
use sonode_dimse::commitment;
use sonode_sr_writer::{Companion, Document, Syntax};

/// What the template has before the services that there are.
pub(super) fn opening(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "## 5 Service and interoperability description\n\n### 5.1 Mapping of services to Application Entities\n\nThe one \
         application entity has them all.\n\n### 5.2 DIMSE services\n\n\
         #### 5.2.1 Basic Worklist Management service\n\nNot supported.\n"
    )
}

/// What the template has between MPPS and Storage.
pub(super) fn not_offered(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "#### 5.2.3 Unified Worklist and Procedure Step service\n\nNot supported.\n\n\
         #### 5.2.4 Instance Availability Notification service\n\nNot supported.\n"
    )
}

/// What the template has after Storage Commitment.
pub(super) fn closing(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "#### 5.2.7 Query/Retrieve service\n\nC-FIND as SCU at IMAGE level, for what 5.2.6.1 says. No retrieve, in either role.\n\n\
         #### 5.2.8 Print Management service\n\nNot supported.\n\n\
         ### 5.3 DICOM Web Services\n\nNot supported.\n\n### 5.4 Media services\n\nNot supported.\n\n\
         ### 5.5 Real-Time Video services\n\nNot supported.\n\n\
         ### 5.6 Cross-service considerations\n\nInstances of one study that contradict each other in Patient ID hold it until the \
         operator decides. An instance that comes again with other bytes is measured again and a revision is made, with the \
         attributes of the later header. A Key Object Selection with the title 113001, 113037, 113038 or 113039 (DCM) holds its \
         study: nothing more of it is sent until the operator decides.\n\n\
         ### 5.7 Specific Character Sets\n\nWith `charset = \"source\"` a document is written in the images' own set where that has \
         every character, in ISO_IR 100 or ISO_IR 192 otherwise; with `\"utf-8\"` in ISO_IR 192. Specific Character Set is left out \
         where all text is ASCII. Bytes that can't be decoded are copied as they are, and the document says so.\n"
    )
}

pub(super) fn accepted(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "##### 5.2.5.2 SCP of the Storage SOP Classes\n\nVerification is accepted beside them.\n\n| SOP class | UID | Use |\n| --- | --- | --- |"
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
        "| Transfer syntax | UID | Pixels |\n| --- | --- | --- |"
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

/// The pictures beside a report.
fn companions(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "\nWhere a route names them, these go beside a report, each kind in a series of its own:\n\n\
         | `companions` | SOP class | Transfer syntax |\n| --- | --- | --- |"
    )?;
    for companion in Companion::ALL {
        let uid = companion.sop_class();
        let name = sop_class::find(uid).map_or(uid, |class| class.name);
        let syntax = companion.transfer_syntax(Syntax::default());
        writeln!(
            text,
            "| `{}` | {name} ({uid}) | {syntax} |",
            companion.name()
        )?;
    }
    writeln!(
        text,
        "\nOf a biplane measurement there is an overlay cine of each plane. **The last rung of the ladder:** with every \
         report Secondary Capture is proposed too. A peer that accepts none of the report's classes and takes that one is \
         sent the page as a picture in its place, in Explicit VR Little Endian or, where it accepts only that, in Implicit \
         VR Little Endian, on the same association, which waits for at most {} s until it is drawn, and otherwise on a \
         later one. A later revision is offered as a report again.",
        limits::PAGE_WAIT.as_secs()
    )
}

pub(super) fn sent(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "#### 5.2.5 Storage service\n\n##### 5.2.5.1 SCU of the Storage SOP Classes\n\n| `documents`, `companions` | Root template | SOP classes, the best first | Where nothing was measured |\n| --- | --- | --- | --- |"
    )?;
    for document in Document::ALL {
        let classes: Vec<String> = document
            .ladder()
            .iter()
            .map(|form| {
                let uid = form.sop_class();
                let name = sop_class::find(uid).map_or(uid, |class| class.name);
                format!("{name} ({uid})")
            })
            .collect();
        let unmeasured = if document.needs_measurement() {
            "not sent"
        } else {
            "says why, as `report_unmeasured` has it"
        };
        writeln!(
            text,
            "| `{}` | TID {} | {} | {unmeasured} |",
            document.name(),
            document.template(),
            classes.join(", ")
        )?;
    }
    companions(text)?;
    let syntaxes: Vec<&str> = Syntax::ALL.iter().map(|syntax| syntax.uid()).collect();
    writeln!(
        text,
        "\nEvery class of a document is proposed in each of the transfer syntaxes {}, each in a presentation context of its \
         own. What is sent is the first class that the peer accepts, in the first syntax in which it does; the log names it \
         and what was not accepted before it. A document is written and stored once for a peer and every later send sends \
         those bytes. Where the peer accepts none of its classes the delivery is given up as a dead letter that says so, \
         until the operator retries it.\n",
        syntaxes.join(" and ")
    )?;
    writeln!(
        text,
        "TID 5300 requires Timezone Offset From UTC (0008,0201) and is not sent where the images don't state one.\n\n\
         Received instances are forwarded, where a route says so, in the class and transfer syntax in which they came.\n"
    )
}

/// Storage Commitment and what takes its place.
pub(super) fn commitment(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "#### 5.2.6 Storage Commitment service\n\n##### 5.2.6.1 SCU, and of the query that takes its place\n\n| SOP class | UID | As SCU |\n| --- | --- | --- |"
    )?;
    for service in sop_class::SERVICES
        .iter()
        .filter(|service| !service.scu.is_empty())
    {
        writeln!(
            text,
            "| {} | {} | {} |",
            service.name, service.uid, service.scu
        )?;
    }
    let hours = limits::COMMIT_TIMEOUT.as_secs() / 3600;
    let again = (limits::COMMIT_TIMEOUT / limits::COMMIT_ASKS).as_secs() / 60;
    writeln!(
        text,
        "\nBoth are proposed in Explicit and Implicit VR Little Endian. With `commit = true` of a route the peer is asked by \
         N-ACTION (Action Type ID {}), {} s after it took the last object of a study, on an association of its own. The \
         answer, N-EVENT-REPORT, is taken on that association, which stays open for {} s, or on one that the peer opens under \
         its AE title or one of its `aliases`, whether it proposes the SCP role or not; it is matched by Transaction UID. Every \
         report is answered: 0000 when what it says is on the disk, also when it comes again; 0115 when this peer was not \
         asked under that Transaction UID; 0110 when it can't be read or the node stops.\n\n\
         On silence the peer is asked again every {again} minutes (an eighth of `commit_timeout_s`), each time under a new \
         Transaction UID; each of them may be answered. Failure Reason 0112: the object is sent again, {} times at most. 0110, \
         0131, 0213: asked again. Other reasons, a refused presentation context, N-ACTION statuses 0112, 0118, 0122, 0123, 0124 \
         and 0211, or silence for {hours} hours: the peer is queried by C-FIND (Query/Retrieve Level IMAGE, all unique keys). What it \
         finds is confirmed. What it doesn't find when the time is over, or can't be asked for, is unconfirmed: no longer kept \
         for this peer's sake, with an alarm, until the operator retries it. While no association comes about nothing is \
         unconfirmed. Without `commit` the C-STORE response counts, but after 0111 the peer is queried.\n",
        commitment::REQUEST,
        limits::COMMIT_GATHER.as_secs(),
        limits::COMMIT_LINGER.as_secs(),
        limits::COMMIT_DENIALS_MAX
    )
}

/// Storage Commitment for carts.
pub(super) fn relay(text: &mut String) -> std::fmt::Result {
    let class = sop_class::STORAGE_COMMITMENT;
    let name = sop_class::find_service(class).map_or("", |service| service.name);
    writeln!(
        text,
        "##### 5.2.6.2 SCP\n\n{name} ({class}) is accepted from peers with `commitment = \"relay\"`, in \
         Explicit or Implicit VR Little Endian; from others its presentation context is rejected. The node is no archive and \
         commits itself to nothing: an instance is reported as committed when the peer to which the first route forwards this \
         peer's images has committed itself to it by Storage Commitment, and Retrieve AE Title (0008,0054) names that peer. It is \
         asked for that as in 5.2.6.1, whether the route says `commit` or not.\n\n\
         N-ACTION is answered 0000 when the request is on the disk; 0115 when it can't be read; 0123 for another Action Type ID \
         than {}; 0110 where no route forwards the peer's images; 0213 when it can't be kept. N-EVENT-REPORT follows when \
         everything is known: on the association of the request if that stands {} s later, else on a new one to the peer's host \
         and port, where the SCP role is proposed and an answer to that isn't waited for. It is tried again with growing waits, \
         {} hours at most.\n\n| Failure Reason | When |\n| --- | --- |",
        commitment::REQUEST,
        limits::RELAY_SAME_ASSOCIATION.as_secs(),
        limits::RELAY_TRIES.as_secs() / 3600
    )?;
    let arrival = limits::RELAY_ARRIVAL.as_secs();
    let wait = limits::RELAY_TRIES.as_secs() / 3600;
    for (reason, when) in [
        (
            commitment::reason::NO_SUCH_INSTANCE,
            format!("the instance did not come within {arrival} s"),
        ),
        (
            commitment::reason::CLASS_INSTANCE_CONFLICT,
            "it has another SOP class, or came with several contents under its UID".to_owned(),
        ),
        (
            commitment::reason::PROCESSING_FAILURE,
            format!(
                "the archive refused it, did not commit itself to it, or has been silent for {wait} hours"
            ),
        ),
    ] {
        writeln!(text, "| {reason:04X}H | {when} |")?;
    }
    writeln!(text)
}

/// Modality Performed Procedure Step.
pub(super) fn procedure_step(text: &mut String) -> std::fmt::Result {
    let class = sop_class::PERFORMED_PROCEDURE_STEP;
    let name = sop_class::find_service(class).map_or("", |service| service.name);
    writeln!(
        text,
        "#### 5.2.2 Modality Performed Procedure Step service\n\n{name} ({class}) is accepted from peers with `mpps = true`, in Explicit \
         or Implicit VR Little Endian. N-CREATE and N-SET are kept on disk before they are answered, and for nobody else: the RIS \
         needs them all the same. When every step of a study is COMPLETED and all instances that they list are here, the study \
         closes {} s after the last of them instead of after `quiet_period_s`. Steps of studies that are done, and those of which \
         nothing was heard for {} days, are deleted. The statuses are in 7.3.2.\n",
        limits::QUIET_PERIOD_COMPLETE.as_secs(),
        limits::STEP_KEPT.as_secs() / 86_400
    )
}
