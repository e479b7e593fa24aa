//! Writing A-ASSOCIATE-RQ and -AC with dicom-ul.

use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, Pdu, PresentationContextProposed, PresentationContextResult,
    PresentationContextResultReason, RequestorRoles, UserVariableItem, WriteError, write_pdu,
};
use sonode_conformance::negotiation::ContextAnswer;
use sonode_conformance::{implementation, transfer_syntax};

use super::{Acceptance, AssociateRequest, Proposal, RoleSelection};

/// Where called AE title, calling AE title and the reserved 32 bytes stand in the PDU (PS3.8 table 9-11).
const ECHOED: std::ops::Range<usize> = 10..74;

fn user_variables(max_pdu_length: u32, roles: &[RoleSelection]) -> Vec<UserVariableItem> {
    let mut items = vec![
        UserVariableItem::MaxLength(max_pdu_length),
        UserVariableItem::ImplementationClassUID(implementation::CLASS_UID.into()),
    ];
    items.extend(roles.iter().map(|role| {
        UserVariableItem::ScuScpRoleSelectionSubItem(
            role.sop_class.clone(),
            RequestorRoles {
                scu: role.scu,
                scp: role.scp,
            },
        )
    }));
    // PS3.7 table D.3-1 lists the sub-items in ascending order of type.
    items.push(UserVariableItem::ImplementationVersionName(
        implementation::VERSION_NAME.into(),
    ));
    items
}

/// The A-ASSOCIATE-RQ of a proposal.
pub(crate) fn request_pdu(proposal: &Proposal) -> Result<Vec<u8>, WriteError> {
    let pdu = Pdu::AssociationRQ(AssociationRQ {
        protocol_version: 1,
        calling_ae_title: proposal.calling.as_str().into(),
        called_ae_title: proposal.called.as_str().into(),
        application_context_name: implementation::APPLICATION_CONTEXT.into(),
        presentation_contexts: proposal
            .contexts
            .iter()
            .map(|context| PresentationContextProposed {
                id: context.id,
                abstract_syntax: context.abstract_syntax.clone(),
                transfer_syntaxes: context.transfer_syntaxes.clone(),
            })
            .collect(),
        user_variables: user_variables(proposal.max_pdu_length, &proposal.roles),
    });
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, &pdu)?;
    Ok(bytes)
}

/// The A-ASSOCIATE-AC that answers `request`.
pub(crate) fn accept_pdu(
    request_fields: &[u8; 64],
    acceptance: &Acceptance,
) -> Result<Vec<u8>, WriteError> {
    let pdu = Pdu::AssociationAC(AssociationAC {
        protocol_version: 1,
        calling_ae_title: String::new(),
        called_ae_title: String::new(),
        application_context_name: implementation::APPLICATION_CONTEXT.into(),
        presentation_contexts: acceptance
            .contexts
            .iter()
            .map(|context| {
                let (reason, syntax) = result(&context.answer);
                PresentationContextResult {
                    id: context.id,
                    reason,
                    transfer_syntax: syntax.into(),
                }
            })
            .collect(),
        user_variables: user_variables(acceptance.max_pdu_length, &acceptance.roles),
    });
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, &pdu)?;
    // PS3.8 table 9-17: these fields go back exactly as they came, padding and all.
    if let Some(fields) = bytes.get_mut(ECHOED) {
        fields.copy_from_slice(request_fields);
    }
    Ok(bytes)
}

/// A rejected context carries a transfer syntax that isn't significant (PS3.8 table 9-18).
fn result(answer: &ContextAnswer) -> (PresentationContextResultReason, &'static str) {
    use PresentationContextResultReason as Reason;
    match answer {
        ContextAnswer::Accepted(uid) => (Reason::Acceptance, uid),
        ContextAnswer::AbstractSyntaxNotSupported => (
            Reason::AbstractSyntaxNotSupported,
            transfer_syntax::IMPLICIT_LITTLE,
        ),
        ContextAnswer::TransferSyntaxesNotSupported => (
            Reason::TransferSyntaxesNotSupported,
            transfer_syntax::IMPLICIT_LITTLE,
        ),
    }
}

/// The 64 bytes of a request's body that [`accept_pdu`] gives back.
pub(crate) fn echoed(request: &AssociateRequest, body: &[u8]) -> [u8; 64] {
    let mut fields = [0; 64];
    let (called, rest) = fields.split_at_mut(16);
    let (calling, reserved) = rest.split_at_mut(16);
    called.copy_from_slice(&request.called.0);
    calling.copy_from_slice(&request.calling.0);
    if let Some(bytes) = body.get(36..68) {
        reserved.copy_from_slice(bytes);
    }
    fields
}
