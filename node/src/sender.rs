//! Sends what the pipeline owes to peers: one association a job, in a thread of its own.

use std::borrow::Cow;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};

use sonode_dimse::Proposal;
use sonode_pipeline::{
    AssociationFailure, CommitmentJob, CommitmentOutcome, CommitmentReport, DeliveryJob,
    DeliveryObject, DeliveryReport, ObjectResult, PageRequest, RelayReport, RenderError, ReportKey,
    ReportSender,
};
use sonode_sr_writer::{Form, ReportForm, Syntax};

use crate::commitment;
use crate::config::Config;
use crate::node::Node;
use crate::part10::{Part10, Part10Error};
use crate::relay;
use crate::scu::{self, Association, ScuError, Timeouts};

/// Files of one job that can't be read, each of which costs an association.
const UNREADABLE_MAX: u32 = 3;

type Results = Vec<(DeliveryObject, ObjectResult)>;

/// The pipeline's way out. Made before the node, since the pipeline needs it, and attached to it afterwards.
#[derive(Clone, Default)]
pub(crate) struct Sender(Arc<OnceLock<Weak<Node>>>);

impl Sender {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Tells the sender whose it is.
    pub(crate) fn attach(&self, node: &Arc<Node>) {
        // Called once, by the node's own start.
        self.0.set(Arc::downgrade(node)).unwrap_or_default();
    }
}

impl Sender {
    /// Runs a job in a thread of its own. Every job is answered, since one that isn't keeps its peer busy for ever:
    /// `without` is called where there is no thread for it.
    fn run(
        &self,
        job: impl FnOnce(&Arc<Node>) + Send + 'static,
        without: impl FnOnce(&Node, AssociationFailure),
    ) {
        let sender = self.clone();
        let thread = std::thread::Builder::new()
            .name("delivery".to_owned())
            .spawn(move || {
                // A job may come while the node is still being put together.
                if let Some(node) = sender.0.wait().upgrade() {
                    job(&node);
                }
            });
        if let (Err(error), Some(node)) = (thread, self.0.get().and_then(Weak::upgrade)) {
            let failure = AssociationFailure {
                permanent: false,
                detail: format!("no thread for a delivery: {error}"),
            };
            without(&node, failure);
        }
    }
}

impl ReportSender for Sender {
    fn submit(&self, job: DeliveryJob) {
        let (id, peer) = (job.id, job.peer.clone());
        self.run(
            |node| deliver(node, job),
            |node, failure| {
                node.pipeline().delivered(DeliveryReport {
                    id,
                    peer,
                    results: Vec::new(),
                    association_error: Some(failure),
                });
            },
        );
    }

    fn ask(&self, job: CommitmentJob) {
        let id = job.id;
        let answer = move |node: &Node, outcome| {
            let report = CommitmentReport { id, outcome };
            node.pipeline().commitment_answered(report);
        };
        self.run(
            move |node| {
                let span = tracing::info_span!("commitment", peer = job.peer, id);
                let _entered = span.enter();
                answer(node, commitment::ask(node, &job));
            },
            move |node, failure| answer(node, CommitmentOutcome::NoAssociation(failure)),
        );
    }

    fn report(&self, report: RelayReport) {
        let id = report.id;
        self.run(
            move |node| {
                let span = tracing::info_span!("relay", peer = report.peer, id);
                let _entered = span.enter();
                node.pipeline()
                    .relay_reported(id, relay::report(node, &report));
            },
            move |node, failure| node.pipeline().relay_reported(id, Err(failure.detail)),
        );
    }
}

fn deliver(node: &Arc<Node>, job: DeliveryJob) {
    let span = tracing::info_span!("delivery", peer = job.peer, id = job.id);
    let _entered = span.enter();
    let mut results = Vec::with_capacity(job.objects.len());
    let outcome = send_all(node, &job, &mut results);
    let association_error = outcome.err().map(|error| AssociationFailure {
        permanent: error.is_permanent(),
        detail: error.to_string(),
    });
    for (_, result) in &results {
        node.metrics().delivered(&job.peer, outcome_name(result));
    }
    if let Some(failure) = &association_error {
        tracing::warn!(
            permanent = failure.permanent,
            detail = failure.detail,
            "delivery failed"
        );
    }
    let report = DeliveryReport {
        id: job.id,
        peer: job.peer,
        results,
        association_error,
    };
    node.pipeline().delivered(report);
}

fn outcome_name(result: &ObjectResult) -> &'static str {
    match result {
        ObjectResult::Status(status, _) if status.0 == 0 => "stored",
        ObjectResult::Status(status, _) if (0xB000..=0xBFFF).contains(&status.0) => "warning",
        ObjectResult::Status(..) => "refused",
        ObjectResult::NotSent(_) => "not-sent",
        ObjectResult::Broke(_) => "broke",
        ObjectResult::NoContext(_) => "no-context",
        ObjectResult::Failed(_) => "failed",
    }
}

/// Sends every object on one association; the results of those whose answer came are kept whatever happens then.
fn send_all(node: &Node, job: &DeliveryJob, results: &mut Results) -> Result<(), ScuError> {
    let config = node.config();
    let association = send_each(
        &job.objects,
        results,
        || open(&config, job),
        |association, object| match taken_as(node, association, object) {
            Ok(object) => {
                let result = send_object(node, association, &object);
                (object.into_owned(), result)
            }
            Err(result) => (object.clone(), Ok(result)),
        },
    )?;
    if let Some(association) = association {
        association.release();
    }
    Ok(())
}

/// Sends one object after the other; returns the association, if it stands.
///
/// A file of ours that can't be read ends its association too, since half of it is on its way. That is no fault of the peer's,
/// and the rest goes out on the next association. After [`UNREADABLE_MAX`] of them the disk is to blame, and the rest waits.
fn send_each<A>(
    objects: &[DeliveryObject],
    results: &mut Results,
    mut open: impl FnMut() -> Result<A, ScuError>,
    mut send: impl FnMut(&mut A, &DeliveryObject) -> (DeliveryObject, Result<ObjectResult, ScuError>),
) -> Result<Option<A>, ScuError> {
    let mut standing = None;
    let mut unreadable = 0;
    for object in objects {
        let association = match &mut standing {
            Some(association) => association,
            none => none.insert(open()?),
        };
        let (object, result) = send(association, object);
        match result {
            Ok(result) => results.push((object, result)),
            Err(error @ ScuError::File(_)) => {
                results.push((object, ObjectResult::Failed(error.to_string())));
                standing = None;
                unreadable += 1;
                if unreadable == UNREADABLE_MAX {
                    break;
                }
            }
            Err(error) => {
                results.push((object, ObjectResult::Broke(error.to_string())));
                return Err(error);
            }
        }
    }
    Ok(standing)
}

/// As what an object leaves on this association: itself, or the page, where no form of a report is accepted.
fn taken_as<'a>(
    node: &Node,
    association: &Association,
    object: &'a DeliveryObject,
) -> Result<Cow<'a, DeliveryObject>, ObjectResult> {
    let DeliveryObject::Report(key) = object else {
        return Ok(Cow::Borrowed(object));
    };
    if key.document.forms().any(|form| takes(association, form)) {
        return Ok(Cow::Borrowed(object));
    }
    let offered: Vec<Form> = key.document.forms().collect();
    let request = page_request(association, key, names(&offered))?;
    let page = node.pipeline().page_instead(request);
    // It takes too long, or nobody needs it any more: what is still owed leaves later.
    let later =
        || ObjectResult::NotSent("the page that stands in for it is not drawn yet".to_owned());
    let page = page.ok_or_else(later)?;
    Ok(Cow::Owned(DeliveryObject::Companion(page)))
}

fn takes(association: &Association, form: Form) -> bool {
    let context = association.context(form.class.sop_class(), form.syntax.uid());
    context.is_some()
}

/// Sends one object; a report is rendered in the best form that the association accepted.
fn send_object(
    node: &Node,
    association: &mut Association,
    object: &DeliveryObject,
) -> Result<ObjectResult, ScuError> {
    match object {
        DeliveryObject::Image(instance) => send_file(association, &instance.path),
        DeliveryObject::Companion(file) => send_file(association, &file.path),
        DeliveryObject::Report(key) => send_report(node, association, key),
    }
}

/// Goes down the document's ladder to the best form that the association accepted.
fn send_report(
    node: &Node,
    association: &mut Association,
    key: &ReportKey,
) -> Result<ObjectResult, ScuError> {
    let accepted = key.document.forms();
    let accepted: Vec<Form> = accepted.filter(|form| takes(association, *form)).collect();
    match node.pipeline().render(key, &accepted) {
        Ok((form, report)) => {
            let better: Vec<Form> = key
                .document
                .forms()
                .take_while(|rung| *rung != form)
                .collect();
            let why = if better.is_empty() {
                "the best form".to_owned()
            } else {
                format!(
                    "the best form that the peer accepts; not accepted: {}",
                    names(&better)
                )
            };
            tracing::info!(study = %key.study, document = key.document.name(), %form, why, sop_instance_uid = %report.sop_instance, "report");
            match report.bytes {
                Some(bytes) => {
                    send_part10(association, Part10::of(Cursor::new(bytes), &report.path))
                }
                None => send_file(association, &report.path),
            }
        }
        // Replaced or discarded while it waited: nothing to send, nothing wrong.
        Err(RenderError::NotOwed) => Ok(ObjectResult::NotSent("not owed any more".to_owned())),
        Err(error) => Ok(ObjectResult::Failed(error.to_string())),
    }
}

/// The rung below every form of a document: the page as a picture, where the association accepted that.
fn page_request(
    association: &Association,
    key: &ReportKey,
    offered: String,
) -> Result<PageRequest, ObjectResult> {
    // Whoever takes another document of the report as one has no need of a picture.
    let page = key
        .document
        .page_instead()
        .filter(|_| !takes_reports(association));
    let Some(page) = page else {
        return Err(ObjectResult::NoContext(offered));
    };
    let is_taken = |syntax: &Syntax| {
        association
            .context(page.sop_class(), page.transfer_syntax(*syntax))
            .is_some()
    };
    let Some(syntax) = Syntax::ALL.into_iter().find(is_taken) else {
        return Err(ObjectResult::NoContext(format!(
            "{offered}, Secondary Capture Image"
        )));
    };
    tracing::info!(study = %key.study, document = key.document.name(), form = "the page as Secondary Capture", why = format!("the best form that the peer accepts; not accepted: {offered}"), "report");
    Ok(PageRequest {
        report: key.clone(),
        offered,
        syntax,
    })
}

/// Whether the association accepted any class of Structured Reports.
fn takes_reports(association: &Association) -> bool {
    let classes = ReportForm::ALL.into_iter();
    let mut classes = classes.filter(|class| *class != ReportForm::KeyObject);
    classes.any(|class| {
        let mut forms = Syntax::ALL.map(|syntax| Form { class, syntax }).into_iter();
        forms.any(|form| takes(association, form))
    })
}

fn names(forms: &[Form]) -> String {
    let names: Vec<String> = forms.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Proposes what the job needs: every form of a report, and each image in the syntax in which it was received.
fn open(config: &Config, job: &DeliveryJob) -> Result<Association, ScuError> {
    let (title, address) = scu::place_of(config, &job.peer)?;
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for object in &job.objects {
        match object {
            DeliveryObject::Report(key) => {
                let forms = key.document.forms();
                wanted.extend(forms.map(|form| (form.class.sop_class(), form.syntax.uid())));
                let page = key.document.page_instead().into_iter();
                wanted.extend(page.flat_map(|page| {
                    Syntax::ALL.map(|syntax| (page.sop_class(), page.transfer_syntax(syntax)))
                }));
            }
            DeliveryObject::Image(image) => {
                wanted.push((image.sop_class.as_str(), image.transfer_syntax.as_str()));
            }
            DeliveryObject::Companion(file) => {
                let companion = file.key.companion;
                let syntax = companion.transfer_syntax(file.key.syntax);
                wanted.push((companion.sop_class(), syntax));
            }
        }
    }
    wanted.sort_unstable();
    wanted.dedup();
    let mut proposal = Proposal::new(config.node.ae_title.clone(), title);
    for (class, syntax) in wanted {
        proposal = proposal.with_context(class, [syntax])?;
    }
    Association::open(proposal, &address, &Timeouts::from(&config.limits))
}

/// Sends one Part 10 file as it stands on the disk.
fn send_file(association: &mut Association, path: &Path) -> Result<ObjectResult, ScuError> {
    send_part10(association, Part10::open(path))
}

fn send_part10<R: Read>(
    association: &mut Association,
    part10: Result<Part10<R>, Part10Error>,
) -> Result<ObjectResult, ScuError> {
    let mut part10 = match part10 {
        Ok(part10) => part10,
        Err(error) => return Ok(ObjectResult::Failed(error.to_string())),
    };
    let context = association.context(part10.sop_class.as_str(), part10.transfer_syntax.as_str());
    let Some(context) = context else {
        return Ok(ObjectResult::NoContext(format!(
            "{} in {}",
            part10.sop_class, part10.transfer_syntax
        )));
    };
    let (status, comment) = association.store(
        context,
        &part10.sop_class,
        &part10.sop_instance,
        &mut part10.file,
    )?;
    Ok(ObjectResult::Status(status, comment))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use sonode_conformance::{DimseStatus, sop_class, transfer_syntax};
    use sonode_pipeline::spool::{Digest, StoredInstance};

    use super::*;

    fn images(number: u8) -> Vec<DeliveryObject> {
        let image = |number| {
            DeliveryObject::Image(StoredInstance {
                study: None,
                sop_class: sop_class::US_MULTIFRAME.parse().unwrap(),
                sop_instance: format!("1.2.{number}").parse().unwrap(),
                transfer_syntax: transfer_syntax::EXPLICIT_LITTLE.parse().unwrap(),
                digest: Digest::from_bytes([number; 32]),
                path: PathBuf::new(),
                bytes: 1,
                calling_ae: None,
            })
        };
        (0..number).map(image).collect()
    }

    fn unreadable() -> ScuError {
        ScuError::File(io::Error::other("an I/O error"))
    }

    /// Sends so many objects, of which each is answered by its place; gives how it ended, the results' names and the number
    /// of associations.
    fn send(
        objects: u8,
        mut answer: impl FnMut(u32) -> Result<(), ScuError>,
    ) -> (Result<bool, ScuError>, Vec<&'static str>, u32) {
        let (mut results, mut opened, mut sent) = (Vec::new(), 0, 0);
        let end = send_each(
            &images(objects),
            &mut results,
            || {
                opened += 1;
                Ok(())
            },
            |(), object| {
                sent += 1;
                let status = || ObjectResult::Status(DimseStatus::SUCCESS, None);
                (object.clone(), answer(sent).map(|()| status()))
            },
        );
        let names = results.iter().map(|(_, result)| outcome_name(result));
        (
            end.map(|standing| standing.is_some()),
            names.collect(),
            opened,
        )
    }

    #[test]
    fn what_follows_a_file_that_cannot_be_read_is_sent_on_the_next_association() {
        let one = |place| {
            if place == 2 {
                Err(unreadable())
            } else {
                Ok(())
            }
        };
        let (end, results, opened) = send(4, one);
        assert!(end.unwrap());
        assert_eq!(results, ["stored", "failed", "stored", "stored"]);
        assert_eq!(opened, 2);
        let (end, results, opened) = send(2, one);
        assert!(!end.unwrap(), "nothing is left to send");
        assert_eq!((results, opened), (vec!["stored", "failed"], 1));
    }

    #[test]
    fn a_disk_that_reads_nothing_costs_few_associations_and_no_alarm_about_the_peer() {
        let (end, results, opened) = send(9, |_| Err(unreadable()));
        assert!(!end.unwrap());
        assert_eq!((results, opened), (vec!["failed"; 3], 3));
    }

    #[test]
    fn an_association_that_breaks_ends_the_job() {
        let (end, results, opened) = send(3, |_| Err(ScuError::Broken("A-ABORT".to_owned())));
        assert!(end.is_err());
        assert_eq!((results, opened), (vec!["broke"], 1));
    }
}
