//! A-ASSOCIATE-RQ and A-ASSOCIATE-AC (PS3.8 sections 9.3.2 and 9.3.3, PS3.7 annex D.3.3).
//!
//! Reading is the crate's own, because carts deviate: unknown items are passed over, only bit 0 of the protocol version
//! counts, padding by spaces or NULs is ignored. Writing is dicom-ul's.

mod parse;
mod write;

use std::fmt;

use sonode_conformance::negotiation::{self, ContextAnswer, Offer};
use sonode_conformance::{AeTitle, AeTitleError, implementation, limits};

/// An AE title as it stands in a PDU: 16 bytes, of which not all need be valid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TitleField(pub [u8; 16]);

impl TitleField {
    /// The title.
    ///
    /// # Errors
    /// As [`AeTitle::parse`].
    pub fn title(&self) -> Result<AeTitle, AeTitleError> {
        AeTitle::parse(&self.0)
    }
}

impl fmt::Display for TitleField {
    /// For the log: without padding, bytes outside ASCII escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", parse::unpadded(&self.0).escape_ascii())
    }
}

impl fmt::Debug for TitleField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A presentation context as proposed (PS3.8 table 9-13). UIDs are without padding, otherwise as the peer wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedContext {
    /// Odd, 1 to 255, once in a request.
    pub id: u8,
    /// Abstract syntax: a SOP class. Empty if the peer left it out.
    pub abstract_syntax: String,
    /// Transfer syntaxes in the peer's order.
    pub transfer_syntaxes: Vec<String>,
}

/// SCP/SCU role selection (PS3.7 table D.3-9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSelection {
    /// SOP class that it is about.
    pub sop_class: String,
    /// The requestor of the association takes the SCU role.
    pub scu: bool,
    /// The requestor of the association takes the SCP role.
    pub scp: bool,
}

/// User identity (PS3.7 table D.3-14). It is kept apart from logs: no field is shown by `Debug` but its type.
#[derive(Clone, PartialEq, Eq)]
pub struct UserIdentity {
    /// 1 user name, 2 user name and passcode, 3 Kerberos, 4 SAML, 5 JWT.
    pub kind: u8,
    /// Whether a positive response (0x59) is wished for.
    pub response_requested: bool,
    /// Primary field.
    pub primary: Vec<u8>,
    /// Secondary field: the passcode of type 2.
    pub secondary: Vec<u8>,
}

impl fmt::Debug for UserIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserIdentity")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A peer's A-ASSOCIATE-RQ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssociateRequest {
    /// Bit 0 is version 1, the only one.
    pub protocol_version: u16,
    /// Whom the peer wants.
    pub called: TitleField,
    /// Who the peer says it is.
    pub calling: TitleField,
    /// Application context name without padding.
    pub application_context: String,
    /// Proposed presentation contexts, [`limits::CONTEXTS_MAX`] at most, each identifier odd and once.
    pub contexts: Vec<ProposedContext>,
    /// The longest P-DATA-TF body that the peer takes, in bytes; 0: any length.
    pub max_pdu_length: u32,
    /// Implementation Class UID of the peer.
    pub implementation_class_uid: Option<String>,
    /// Implementation Version Name of the peer.
    pub implementation_version_name: Option<String>,
    /// User identity, if one was sent.
    pub identity: Option<UserIdentity>,
    /// Role selections.
    pub roles: Vec<RoleSelection>,
    /// Asynchronous operations window: operations invoked and performed; 0: any number.
    pub async_window: Option<(u16, u16)>,
    /// Every sub-item of the user information as it came, known or not: type and body.
    pub user_items: Vec<(u8, Vec<u8>)>,
}

impl AssociateRequest {
    /// Reads the body of an A-ASSOCIATE-RQ.
    ///
    /// # Errors
    /// Each [`AssociateError`] variant; each is answered with [`crate::Abort::INVALID_PARAMETER`].
    pub fn parse(body: &[u8]) -> Result<Self, AssociateError> {
        parse::request(body)
    }
}

/// Why an A-ASSOCIATE-RQ or -AC can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssociateError {
    /// The body ends inside its fixed fields or inside an item.
    #[error("the PDU ends inside {0}")]
    CutOff(&'static str),
    /// A presentation context identifier is even.
    #[error("presentation context identifier {0} is not odd")]
    EvenContextId(u8),
    /// A presentation context identifier occurs twice.
    #[error("presentation context identifier {0} occurs twice")]
    DuplicateContextId(u8),
    /// A context was accepted that was not proposed, or with a transfer syntax that was not, or without one of several.
    #[error("presentation context {0} was accepted in a way that was not proposed")]
    NotProposed(u8),
}

/// One presentation context and our answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedContext {
    /// Presentation context identifier.
    pub id: u8,
    /// Abstract syntax.
    pub abstract_syntax: String,
    /// Our answer.
    pub answer: ContextAnswer,
}

impl NegotiatedContext {
    /// The transfer syntax, if the context was accepted.
    pub fn transfer_syntax(&self) -> Option<&'static str> {
        match self.answer {
            ContextAnswer::Accepted(uid) => Some(uid),
            _ => None,
        }
    }
}

/// Answers every proposed context, each for itself, from the tables of `sonode-conformance`.
pub fn negotiate(request: &AssociateRequest, offer: Offer<'_>) -> Vec<NegotiatedContext> {
    let answer = |context: &ProposedContext| NegotiatedContext {
        id: context.id,
        abstract_syntax: context.abstract_syntax.clone(),
        answer: negotiation::answer(
            &context.abstract_syntax,
            context.transfer_syntaxes.iter().map(String::as_str),
            offer,
        ),
    };
    request.contexts.iter().map(answer).collect()
}

/// What the driver accepts an association with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// An answer to each proposed context.
    pub contexts: Vec<NegotiatedContext>,
    /// Role selections that are agreed to: a subset of those requested. Empty: every class in its default roles.
    pub roles: Vec<RoleSelection>,
    /// The longest P-DATA-TF body that we take, in bytes.
    pub max_pdu_length: u32,
}

impl Acceptance {
    /// Default roles and [`limits::PDU_LENGTH`].
    pub fn new(contexts: Vec<NegotiatedContext>) -> Self {
        Self {
            contexts,
            roles: Vec::new(),
            max_pdu_length: limits::PDU_LENGTH,
        }
    }

    /// Identifiers of the accepted contexts, for [`crate::Assembler::new`].
    pub fn accepted_ids(&self) -> impl Iterator<Item = u8> + '_ {
        self.contexts
            .iter()
            .filter(|context| context.transfer_syntax().is_some())
            .map(|context| context.id)
    }
}

/// Why a proposal was not built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// More than [`limits::CONTEXTS_MAX`].
    #[error(
        "one association has room for {} presentation contexts",
        limits::CONTEXTS_MAX
    )]
    TooManyContexts,
    /// A context without a transfer syntax.
    #[error("the presentation context for {0} has no transfer syntax")]
    NoTransferSyntax(String),
    /// No context at all.
    #[error("the proposal has no presentation context")]
    NoContext,
}

/// What we ask a peer for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    pub(crate) calling: AeTitle,
    pub(crate) called: AeTitle,
    pub(crate) contexts: Vec<ProposedContext>,
    pub(crate) roles: Vec<RoleSelection>,
    pub(crate) max_pdu_length: u32,
}

impl Proposal {
    /// A proposal without contexts, from `calling` to `called`, with [`limits::PDU_LENGTH`].
    pub fn new(calling: AeTitle, called: AeTitle) -> Self {
        Self {
            calling,
            called,
            contexts: Vec::new(),
            roles: Vec::new(),
            max_pdu_length: limits::PDU_LENGTH,
        }
    }

    /// Adds a context; its identifier is the next odd number. The transfer syntaxes stand in order of preference.
    ///
    /// # Errors
    /// [`ProposalError::TooManyContexts`] and [`ProposalError::NoTransferSyntax`].
    pub fn with_context<'a>(
        mut self,
        abstract_syntax: &str,
        transfer_syntaxes: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ProposalError> {
        let id = u8::try_from(self.contexts.len() * 2 + 1)
            .map_err(|_| ProposalError::TooManyContexts)?;
        let transfer_syntaxes: Vec<String> =
            transfer_syntaxes.into_iter().map(String::from).collect();
        if transfer_syntaxes.is_empty() {
            return Err(ProposalError::NoTransferSyntax(abstract_syntax.into()));
        }
        self.contexts.push(ProposedContext {
            id,
            abstract_syntax: abstract_syntax.into(),
            transfer_syntaxes,
        });
        Ok(self)
    }

    /// Proposes that we are the SCP of a class, and the peer its SCU. An answer isn't waited for: peers that know which
    /// side they are on leave it out.
    #[must_use]
    pub fn with_scp_role(mut self, sop_class: &str) -> Self {
        self.roles.push(RoleSelection {
            sop_class: sop_class.to_owned(),
            scu: false,
            scp: true,
        });
        self
    }

    /// Announces another maximum PDU length, in bytes.
    #[must_use]
    pub fn with_max_pdu_length(mut self, bytes: u32) -> Self {
        self.max_pdu_length = bytes;
        self
    }

    /// The contexts in their order.
    pub fn contexts(&self) -> &[ProposedContext] {
        &self.contexts
    }
}

/// One context of an A-ASSOCIATE-AC (PS3.8 table 9-18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextResult {
    /// Presentation context identifier.
    pub id: u8,
    /// 0 acceptance, 1 user rejection, 2 no reason, 3 abstract syntax not supported, 4 transfer syntaxes not supported.
    pub result: u8,
    /// The abstract syntax that we proposed under this identifier.
    pub abstract_syntax: String,
    /// The transfer syntax: one of those proposed if accepted, else empty.
    pub transfer_syntax: String,
}

impl ContextResult {
    /// Whether objects of the class can be sent.
    pub fn is_accepted(&self) -> bool {
        self.result == 0
    }
}

/// A peer's A-ASSOCIATE-AC, compared with what was proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssociateAccept {
    /// One for each answered context; a context that the peer passed over stands here as rejected without a reason.
    pub contexts: Vec<ContextResult>,
    /// The longest P-DATA-TF body that the peer takes, in bytes; 0: any length.
    pub max_pdu_length: u32,
    /// Implementation Class UID of the peer.
    pub implementation_class_uid: Option<String>,
    /// Implementation Version Name of the peer.
    pub implementation_version_name: Option<String>,
}

impl AssociateAccept {
    /// Reads the body of an A-ASSOCIATE-AC that answers `proposal`.
    ///
    /// # Errors
    /// [`AssociateError::CutOff`] and [`AssociateError::NotProposed`].
    pub fn parse(body: &[u8], proposal: &Proposal) -> Result<Self, AssociateError> {
        parse::accept(body, proposal)
    }

    /// The accepted contexts of a class.
    pub fn accepted<'a>(
        &'a self,
        abstract_syntax: &'a str,
    ) -> impl Iterator<Item = &'a ContextResult> + 'a {
        self.contexts.iter().filter(move |context| {
            context.is_accepted() && context.abstract_syntax == abstract_syntax
        })
    }

    /// Identifiers of the accepted contexts, for [`crate::Assembler::new`].
    pub fn accepted_ids(&self) -> impl Iterator<Item = u8> + '_ {
        self.contexts
            .iter()
            .filter(|context| context.is_accepted())
            .map(|context| context.id)
    }
}

pub(crate) use write::{accept_pdu, echoed, request_pdu};

/// The one application context (PS3.7 annex A).
pub(crate) fn is_dicom_context(name: &str) -> bool {
    name == implementation::APPLICATION_CONTEXT
}
