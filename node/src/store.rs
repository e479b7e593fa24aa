//! The DIMSE services behind an accepted association: who may associate, C-ECHO, C-STORE. Every status that a peer
//! gets from us is decided here, in [`Refusal::status`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use sonode_conformance::negotiation::Offer;
use sonode_conformance::{
    AeTitle, DimseStatus, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
    sop_class, transfer_syntax,
};
use sonode_dimse::{
    Acceptance, AssociateRequest, Command, DimseEvent, HeaderFacts, HeaderScanner, Rejection,
    StoreRq, negotiate, respond,
};
use sonode_pipeline::spool::{Committed, FileMeta, InstanceWriter, ReceiveError};
use sonode_pipeline::{Arrival, Timestamp};

use crate::association::Service;
use crate::config::{Commitment, Peer};
use crate::header;
use crate::metrics::{AssociationResult, StoreResult};
use crate::node::{NO_ROOM, Node, OpenAssociation};
use crate::refused::RefusedObject;
use crate::rejection;
use crate::services::{self, Services};

/// Why a C-STORE failed. One variant, one status.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("Affected SOP Class UID is invalid")]
    BadSopClass,
    #[error("Affected SOP Instance UID is invalid")]
    BadSopInstance,
    #[error("SOP Class UID differs from the presentation context")]
    OtherContext,
    #[error("SOP Class UID in the data set differs from the command")]
    OtherSopClass,
    #[error("SOP Instance UID in the data set differs from the command")]
    OtherSopInstance,
    #[error("the request has no data set")]
    NoDataSet,
    #[error(transparent)]
    Receive(#[from] ReceiveError),
}

impl Refusal {
    /// The DIMSE status of each failure (PS3.4 table B.2-1). A7xx are passing: the cart tries again.
    fn status(&self) -> DimseStatus {
        match self {
            Self::BadSopClass
            | Self::BadSopInstance
            | Self::OtherContext
            | Self::OtherSopClass
            | Self::OtherSopInstance => DimseStatus::DATA_SET_MISMATCH,
            Self::NoDataSet | Self::Receive(ReceiveError::TooLarge) => {
                DimseStatus::CANNOT_UNDERSTAND
            }
            Self::Receive(
                ReceiveError::OutOfSpace | ReceiveError::Poisoned | ReceiveError::Io { .. },
            ) => DimseStatus::OUT_OF_RESOURCES,
        }
    }

    /// The Error Comment: at most 64 characters, without paths or patient data.
    fn comment(&self) -> String {
        match self {
            Self::Receive(ReceiveError::OutOfSpace) => {
                "the disk is full; try again later".to_owned()
            }
            Self::Receive(ReceiveError::Poisoned | ReceiveError::Io { .. }) => {
                "the disk failed; the node needs its operator".to_owned()
            }
            Self::Receive(ReceiveError::TooLarge) => "the object is longer than 8 GiB".to_owned(),
            other => other.to_string(),
        }
    }
}

/// An instance that is coming in.
struct Incoming {
    command: Command,
    began: Instant,
    sop_class: Option<SopClassUid>,
    sop_instance: Option<SopInstanceUid>,
    scanner: HeaderScanner,
    /// The file, or why there is none: then the rest of the data set is read and dropped, and the reason answered.
    writer: Result<InstanceWriter, Refusal>,
}

impl Incoming {
    /// Goes on with the file, if there is one.
    fn write(&mut self, write: impl FnOnce(&mut InstanceWriter) -> Result<(), ReceiveError>) {
        if let Ok(writer) = &mut self.writer
            && let Err(error) = write(writer)
        {
            // Dropping the writer deletes the file at once: a full disk gets its space back.
            self.writer = Err(error.into());
        }
    }

    /// Where in the file's buffer the next bytes may be received; empty if there is no file.
    fn space(&mut self, most: usize) -> &mut [u8] {
        self.write(InstanceWriter::make_space);
        match &mut self.writer {
            Ok(writer) => writer.space(most),
            Err(_) => &mut [],
        }
    }

    fn filled(&mut self, bytes: usize) {
        let Self {
            scanner, writer, ..
        } = self;
        if let Ok(writer) = writer {
            scanner.push(writer.space(bytes));
        }
        self.write(|writer| writer.filled(bytes));
    }
}

/// The services of one association.
pub(crate) struct StoreService {
    node: Arc<Node>,
    association: u64,
    address: SocketAddr,
    /// Who it is, once admitted.
    peer: Option<Peer>,
    /// Its place among the associations that may stand.
    open: Option<OpenAssociation>,
    /// Abstract and transfer syntax by context.
    contexts: HashMap<u8, (String, &'static str)>,
    incoming: Option<Incoming>,
    /// The other services.
    services: Services,
    /// A request with a data set that we refuse: answered when the data set has passed.
    refused: Option<Vec<u8>>,
    /// Objects acknowledged.
    pub(crate) stored: u64,
}

impl StoreService {
    pub(crate) fn new(node: Arc<Node>, association: u64, address: SocketAddr) -> Self {
        Self {
            node,
            association,
            address,
            peer: None,
            open: None,
            contexts: HashMap::new(),
            incoming: None,
            services: Services::default(),
            refused: None,
            stored: 0,
        }
    }

    /// The peer's name once it was admitted.
    pub(crate) fn peer_name(&self) -> Option<&str> {
        self.peer.as_ref().map(|peer| peer.name.as_str())
    }

    fn begin(&mut self, context: u8, command: &Command, has_data_set: bool) -> Option<Vec<u8>> {
        match command {
            Command::EchoRq(_) => respond(command, DimseStatus::SUCCESS, ""),
            Command::StoreRq(store) if has_data_set => {
                self.incoming = Some(self.start(context, store, command.clone()));
                None
            }
            Command::StoreRq(_) => {
                let refusal = Refusal::NoDataSet;
                respond(command, refusal.status(), &refusal.comment())
            }
            other if has_data_set && self.services.begin(context, other) => None,
            Command::EventReportRsp(response) => {
                self.services.on_response(response);
                None
            }
            // Other responses and C-CANCEL answer nothing that we asked; `respond` has no answer to them either.
            other => {
                let comment = format!("{} is not offered on this context", other.name());
                let answer = respond(other, DimseStatus::UNRECOGNIZED_OPERATION, &comment);
                if has_data_set {
                    self.refused = answer;
                    None
                } else {
                    answer
                }
            }
        }
    }

    /// Checks what the command says, before it names anything, and opens the file.
    fn start(&self, context: u8, store: &StoreRq, command: Command) -> Incoming {
        let sop_class = store.request.sop_class.sop_class().ok();
        let sop_instance = store.request.sop_instance.sop_instance().ok();
        let (abstract_syntax, syntax) = self
            .contexts
            .get(&context)
            .map_or(("", transfer_syntax::IMPLICIT_LITTLE), |pair| {
                (&pair.0, pair.1)
            });
        let encoding = transfer_syntax::find(syntax)
            .map_or(transfer_syntax::Encoding::ImplicitLittle, |row| {
                row.encoding
            });
        let writer = match (&sop_class, &sop_instance) {
            (None, _) => Err(Refusal::BadSopClass),
            (_, None) => Err(Refusal::BadSopInstance),
            (Some(class), _) if class.as_str() != abstract_syntax => Err(Refusal::OtherContext),
            (Some(class), Some(instance)) => self.open(class, instance, syntax),
        };
        Incoming {
            command,
            began: Instant::now(),
            sop_class,
            sop_instance,
            scanner: HeaderScanner::new(encoding),
            writer,
        }
    }

    fn open(
        &self,
        class: &SopClassUid,
        instance: &SopInstanceUid,
        syntax: &str,
    ) -> Result<InstanceWriter, Refusal> {
        let transfer_syntax =
            TransferSyntaxUid::parse(syntax.as_bytes()).map_err(|_| Refusal::OtherContext)?;
        let meta = FileMeta {
            sop_class: class.clone(),
            sop_instance: instance.clone(),
            transfer_syntax,
            calling_ae: self.peer.as_ref().map(|peer| peer.ae_title.clone()),
        };
        Ok(self.node.spool().begin(self.association, &meta)?)
    }

    fn note_refused(
        &self,
        sop_instance: &SopInstanceUid,
        study: Option<StudyInstanceUid>,
        status: DimseStatus,
    ) {
        self.node.refused().note(RefusedObject {
            sop_instance_uid: sop_instance.clone(),
            study_instance_uid: study,
            peer: self.peer_name().unwrap_or_default().to_owned(),
            status: status.to_string(),
            last: Timestamp::from_system(SystemTime::now()),
            times: 0,
        });
    }

    fn data(&mut self, bytes: &[u8], is_last: bool) -> Option<Vec<u8>> {
        if self.services.is_receiving() {
            let peer = (self.peer.as_ref()?, self.association);
            return self.services.data(&self.node, peer, bytes, is_last);
        }
        if let Some(incoming) = &mut self.incoming {
            incoming.scanner.push(bytes);
            incoming.write(|writer| writer.write(bytes));
        }
        if !is_last {
            return None;
        }
        match self.incoming.take() {
            Some(incoming) => self.finish(incoming),
            None => self.refused.take(),
        }
    }

    /// The whole instance came: durable first, then success.
    fn finish(&mut self, incoming: Incoming) -> Option<Vec<u8>> {
        let Incoming {
            command,
            began,
            sop_class,
            sop_instance,
            scanner,
            writer,
        } = incoming;
        let last_byte = Instant::now();
        let facts = scanner.finish();
        let outcome = writer
            .and_then(|writer| {
                same_instance(sop_class.as_ref(), sop_instance.as_ref(), &facts)?;
                Ok(writer)
            })
            .and_then(|writer| {
                let study: Option<StudyInstanceUid> = facts.study().ok().flatten();
                let bytes = writer.len();
                let committed = self.node.spool().commit(writer.finish()?, study)?;
                Ok((committed, bytes))
            });
        let seconds = last_byte.elapsed().as_secs_f64();
        match outcome {
            Ok((committed, bytes)) => {
                self.node.metrics().stored(result(&committed), seconds);
                self.node.metrics().received_bytes.inc_by(bytes);
                self.stored += 1;
                tracing::debug!(
                    sop_instance_uid = sop_instance.as_ref().map(tracing::field::display),
                    bytes,
                    result = ?result(&committed),
                    receive_ms = last_byte.duration_since(began).as_millis(),
                    commit_ms = seconds * 1000.0,
                    "instance"
                );
                self.node
                    .refused()
                    .arrived(&committed.instance().sop_instance);
                let answer = respond(&command, DimseStatus::SUCCESS, "");
                let mut header = header::summary(&facts);
                let instance = committed.instance();
                if rejection::may_reject(&instance.sop_class) {
                    header.rejection = rejection::note(&instance.path);
                }
                self.node.pipeline().stored(Arrival {
                    committed,
                    header,
                    peer: self.peer_name().unwrap_or_default().to_owned(),
                    association: self.association,
                });
                answer
            }
            Err(refusal) => {
                if let (DimseStatus::OUT_OF_RESOURCES, Some(sop)) =
                    (refusal.status(), &sop_instance)
                {
                    self.note_refused(sop, facts.study().ok().flatten(), refusal.status());
                }
                self.node.metrics().stored(StoreResult::Failed, seconds);
                tracing::warn!(
                    sop_instance_uid = sop_instance.as_ref().map(tracing::field::display),
                    status = %refusal.status(),
                    reason = %refusal,
                    "instance refused"
                );
                respond(&command, refusal.status(), &refusal.comment())
            }
        }
    }
}

impl Service for StoreService {
    fn admit(&mut self, request: &AssociateRequest) -> Result<Acceptance, Rejection> {
        tracing::Span::current().record("calling_ae", tracing::field::display(&request.calling));
        let admitted = admit(&self.node, self.association, request, self.address);
        let result = match &admitted {
            Ok(_) => AssociationResult::Accepted,
            Err(rejection) if rejection.is_transient() => AssociationResult::Overload,
            Err(_) => AssociationResult::Rejected,
        };
        self.node.metrics().association(result);
        let (peer, open) = admitted.inspect_err(|rejection| {
            tracing::warn!(
                calling_ae = %request.calling,
                called_ae = %request.called,
                address = %self.address,
                reason = own_words(*rejection),
                "association rejected"
            );
        })?;
        let config = self.node.config();
        let services = services::offered(&config, &peer);
        let offer = Offer {
            accept_unknown: peer.accept_unknown,
            services: &services,
        };
        let contexts = negotiate(request, offer);
        self.services = Services::new(&contexts);
        self.contexts = contexts
            .iter()
            .filter(|context| sop_class::find_service(&context.abstract_syntax).is_none())
            .filter_map(|context| {
                let syntax = context.transfer_syntax()?;
                Some((context.id, (context.abstract_syntax.clone(), syntax)))
            })
            .collect();
        tracing::debug!(
            implementation = request.implementation_version_name.as_deref().unwrap_or(""),
            contexts = contexts.len(),
            accepted = self.contexts.len(),
            "association accepted"
        );
        self.node.note_call(&peer.name);
        self.node
            .pipeline()
            .association_opened(self.association, &peer.name);
        let roles = services::roles(&config, &peer, request);
        if peer.commitment == Commitment::Relay {
            self.node.mailboxes().open(self.association);
        }
        self.peer = Some(peer);
        self.open = Some(open);
        Ok(Acceptance {
            roles,
            ..Acceptance::new(contexts)
        })
    }

    fn message(&mut self, event: DimseEvent<'_>) -> Option<Vec<u8>> {
        match event {
            DimseEvent::Command {
                context,
                command,
                has_data_set,
            } => self.begin(context, &command, has_data_set),
            DimseEvent::Data { bytes, is_last, .. } => self.data(bytes, is_last),
        }
    }

    fn space(&mut self, most: usize) -> &mut [u8] {
        match &mut self.incoming {
            Some(incoming) if most > 0 => incoming.space(most),
            _ => &mut [],
        }
    }

    fn filled(&mut self, bytes: usize) {
        if let Some(incoming) = &mut self.incoming {
            incoming.filled(bytes);
        }
    }

    fn take_request(&mut self) -> Option<(u8, Vec<u8>, Vec<u8>)> {
        self.services.take_request(&self.node, self.association)
    }

    fn set_busy(&mut self, busy: bool) {
        if let Some(open) = &self.open {
            open.set_busy(busy);
        }
    }

    fn has_to_yield(&mut self) -> bool {
        self.open.as_ref().is_some_and(OpenAssociation::is_wanted)
    }
}

impl Drop for StoreService {
    fn drop(&mut self) {
        if self.peer.is_some() {
            self.node.mailboxes().close(self.association);
            self.node.pipeline().association_closed(self.association);
        }
    }
}

/// Whom a request is from, if it may associate now.
fn admit(
    node: &Arc<Node>,
    association: u64,
    request: &AssociateRequest,
    address: SocketAddr,
) -> Result<(Peer, OpenAssociation), Rejection> {
    let config = node.config();
    if request.called.title().ok().as_ref() != Some(&config.node.ae_title) {
        return Err(Rejection::CALLED_AE_TITLE);
    }
    let calling: AeTitle = request
        .calling
        .title()
        .map_err(|_| Rejection::CALLING_AE_TITLE)?;
    let peer = config
        .peers
        .iter()
        .find(|peer| peer.is_called(&calling) && peer.allows(address.ip()))
        .ok_or(Rejection::CALLING_AE_TITLE)?;
    if node.is_stopping() {
        return Err(Rejection::LOCAL_LIMIT);
    }
    if !node.has_room() {
        tracing::error!(peer = %peer.name, "{NO_ROOM}");
        return Err(Rejection::LOCAL_LIMIT);
    }
    let open = node
        .take_place(association, &peer.name)
        .ok_or(Rejection::LOCAL_LIMIT)?;
    Ok((peer.clone(), open))
}

/// Our own rejections for our own log: what its reader has to mend.
fn own_words(rejection: Rejection) -> &'static str {
    match rejection {
        Rejection::CALLED_AE_TITLE => {
            "we were called by a title that is not ours: correct it at the peer, or node.ae_title here"
        }
        Rejection::CALLING_AE_TITLE => {
            "no [[peer]] has this title and address: add one, or widen its allow_from"
        }
        Rejection::LOCAL_LIMIT => {
            "the disk is too full, or limits.max_associations stand already and none of them is idle and over its peer's share, or the node is stopping"
        }
        _ => "the request can't be served",
    }
}

/// The data set must be the instance that the command names. What the scanner could not read is not held against it.
fn same_instance(
    sop_class: Option<&SopClassUid>,
    sop_instance: Option<&SopInstanceUid>,
    facts: &HeaderFacts,
) -> Result<(), Refusal> {
    match facts.sop_class() {
        Ok(Some(found)) if Some(&found) != sop_class => return Err(Refusal::OtherSopClass),
        _ => {}
    }
    match facts.sop_instance() {
        Ok(Some(found)) if Some(&found) != sop_instance => Err(Refusal::OtherSopInstance),
        Err(_) => Err(Refusal::OtherSopInstance),
        _ => Ok(()),
    }
}

fn result(committed: &Committed) -> StoreResult {
    match committed {
        Committed::Stored(_) => StoreResult::Stored,
        Committed::Duplicate(_) => StoreResult::Duplicate,
        Committed::NewVersion(_) => StoreResult::NewVersion,
    }
}
