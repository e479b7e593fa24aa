//! Reading A-ASSOCIATE-RQ and -AC bodies: items in any order, unknown ones passed over.

use super::{
    AssociateAccept, AssociateError, AssociateRequest, ContextResult, Proposal, ProposedContext,
    RoleSelection, TitleField, UserIdentity,
};
use crate::cursor::Cursor;

/// Item types (PS3.8 section 9.3.2, PS3.7 annex D.3.3).
mod item {
    pub(super) const APPLICATION_CONTEXT: u8 = 0x10;
    pub(super) const CONTEXT_RQ: u8 = 0x20;
    pub(super) const CONTEXT_AC: u8 = 0x21;
    pub(super) const ABSTRACT_SYNTAX: u8 = 0x30;
    pub(super) const TRANSFER_SYNTAX: u8 = 0x40;
    pub(super) const USER_INFORMATION: u8 = 0x50;
    pub(super) const MAXIMUM_LENGTH: u8 = 0x51;
    pub(super) const IMPLEMENTATION_CLASS: u8 = 0x52;
    pub(super) const ASYNC_WINDOW: u8 = 0x53;
    pub(super) const ROLE_SELECTION: u8 = 0x54;
    pub(super) const IMPLEMENTATION_VERSION: u8 = 0x55;
    pub(super) const USER_IDENTITY: u8 = 0x58;
}

/// Without spaces and NULs on both sides.
pub(super) fn unpadded(bytes: &[u8]) -> &[u8] {
    let padding = |byte: &u8| matches!(byte, 0 | b' ');
    let end = bytes.iter().rposition(|b| !padding(b)).map_or(0, |i| i + 1);
    let start = bytes.iter().position(|b| !padding(b)).unwrap_or(end);
    bytes.get(start..end).unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(unpadded(bytes)).into_owned()
}

/// Calls `each` with type and body of every item.
fn items<'a>(
    bytes: &'a [u8],
    inside: &'static str,
    mut each: impl FnMut(u8, &'a [u8]) -> Result<(), AssociateError>,
) -> Result<(), AssociateError> {
    let mut cursor = Cursor(bytes);
    while !cursor.is_empty() {
        let header = |cursor: &mut Cursor<'a>| {
            let kind = cursor.u8()?;
            cursor.u8()?;
            Some((kind, cursor.counted_u16()?))
        };
        let (kind, body) = header(&mut cursor).ok_or(AssociateError::CutOff(inside))?;
        each(kind, body)?;
    }
    Ok(())
}

/// Protocol version, called and calling title, and the variable items.
fn fixed(body: &[u8]) -> Option<(u16, TitleField, TitleField, &[u8])> {
    let mut cursor = Cursor(body);
    let version = cursor.u16_be()?;
    cursor.take(2)?;
    let called = TitleField(cursor.array()?);
    let calling = TitleField(cursor.array()?);
    cursor.take(32)?;
    Some((version, called, calling, cursor.0))
}

const FIXED_FIELDS: &str = "the fixed fields of the A-ASSOCIATE";

pub(super) fn request(body: &[u8]) -> Result<AssociateRequest, AssociateError> {
    let (protocol_version, called, calling, variable) =
        fixed(body).ok_or(AssociateError::CutOff(FIXED_FIELDS))?;
    let mut application_context = String::new();
    let mut contexts: Vec<ProposedContext> = Vec::new();
    let mut user = UserInformation::default();
    items(variable, "an item", |kind, body| {
        match kind {
            item::APPLICATION_CONTEXT => application_context = text(body),
            item::CONTEXT_RQ => {
                let context = proposed_context(body)?;
                if context.id % 2 == 0 {
                    return Err(AssociateError::EvenContextId(context.id));
                }
                // Odd and once: so at most 128 of them are kept.
                if contexts.iter().any(|other| other.id == context.id) {
                    return Err(AssociateError::DuplicateContextId(context.id));
                }
                contexts.push(context);
            }
            item::USER_INFORMATION => user.read(body)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(AssociateRequest {
        protocol_version,
        called,
        calling,
        application_context,
        contexts,
        max_pdu_length: user.max_pdu_length,
        implementation_class_uid: user.implementation_class_uid,
        implementation_version_name: user.implementation_version_name,
        identity: user.identity,
        roles: user.roles,
        async_window: user.async_window,
        user_items: user.items,
    })
}

fn proposed_context(body: &[u8]) -> Result<ProposedContext, AssociateError> {
    let inside = "a presentation context item";
    let (head, syntaxes) = body
        .split_first_chunk::<4>()
        .ok_or(AssociateError::CutOff(inside))?;
    let mut context = ProposedContext {
        id: head[0],
        abstract_syntax: String::new(),
        transfer_syntaxes: Vec::new(),
    };
    items(syntaxes, inside, |kind, body| {
        match kind {
            item::ABSTRACT_SYNTAX => context.abstract_syntax = text(body),
            item::TRANSFER_SYNTAX => context.transfer_syntaxes.push(text(body)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(context)
}

#[derive(Default)]
struct UserInformation {
    max_pdu_length: u32,
    implementation_class_uid: Option<String>,
    implementation_version_name: Option<String>,
    identity: Option<UserIdentity>,
    roles: Vec<RoleSelection>,
    async_window: Option<(u16, u16)>,
    items: Vec<(u8, Vec<u8>)>,
}

impl UserInformation {
    /// A sub-item whose own fields can't be read is kept raw and otherwise ignored: none of them is worth a refusal.
    fn read(&mut self, body: &[u8]) -> Result<(), AssociateError> {
        items(body, "the user information", |kind, body| {
            let mut cursor = Cursor(body);
            match kind {
                item::MAXIMUM_LENGTH => self.max_pdu_length = cursor.u32_be().unwrap_or(0),
                item::IMPLEMENTATION_CLASS => self.implementation_class_uid = Some(text(body)),
                item::IMPLEMENTATION_VERSION => {
                    self.implementation_version_name = Some(text(body));
                }
                item::ASYNC_WINDOW => self.async_window = cursor.u16_be().zip(cursor.u16_be()),
                item::ROLE_SELECTION => self.roles.extend(role_selection(cursor)),
                item::USER_IDENTITY => self.identity = user_identity(cursor),
                _ => {}
            }
            self.items.push((kind, body.to_vec()));
            Ok(())
        })
    }
}

fn role_selection(mut cursor: Cursor<'_>) -> Option<RoleSelection> {
    let sop_class = text(cursor.counted_u16()?);
    Some(RoleSelection {
        sop_class,
        scu: cursor.u8()? != 0,
        scp: cursor.u8()? != 0,
    })
}

fn user_identity(mut cursor: Cursor<'_>) -> Option<UserIdentity> {
    Some(UserIdentity {
        kind: cursor.u8()?,
        response_requested: cursor.u8()? != 0,
        primary: cursor.counted_u16()?.to_vec(),
        secondary: cursor.counted_u16().unwrap_or_default().to_vec(),
    })
}

pub(super) fn accept(body: &[u8], proposal: &Proposal) -> Result<AssociateAccept, AssociateError> {
    let (_, _, _, variable) = fixed(body).ok_or(AssociateError::CutOff(FIXED_FIELDS))?;
    // What the peer passes over stays rejected (2: no reason).
    let mut contexts: Vec<ContextResult> = proposal
        .contexts
        .iter()
        .map(|proposed| ContextResult {
            id: proposed.id,
            result: 2,
            abstract_syntax: proposed.abstract_syntax.clone(),
            transfer_syntax: String::new(),
        })
        .collect();
    let mut user = UserInformation::default();
    items(variable, "an item", |kind, body| {
        match kind {
            item::CONTEXT_AC => context_result(body, proposal, &mut contexts)?,
            item::USER_INFORMATION => user.read(body)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(AssociateAccept {
        contexts,
        max_pdu_length: user.max_pdu_length,
        implementation_class_uid: user.implementation_class_uid,
        implementation_version_name: user.implementation_version_name,
    })
}

fn context_result(
    body: &[u8],
    proposal: &Proposal,
    contexts: &mut [ContextResult],
) -> Result<(), AssociateError> {
    let inside = "a presentation context item";
    let (&[id, _, result, _], syntaxes) = body
        .split_first_chunk::<4>()
        .ok_or(AssociateError::CutOff(inside))?;
    let mut transfer_syntax = String::new();
    let read = items(syntaxes, inside, |kind, body| {
        if kind == item::TRANSFER_SYNTAX {
            transfer_syntax = text(body);
        }
        Ok(())
    });
    let proposed = proposal.contexts.iter().find(|context| context.id == id);
    let slot = contexts.iter_mut().find(|context| context.id == id);
    let (proposed, slot) = match proposed.zip(slot) {
        Some(found) => found,
        None if result == 0 => return Err(AssociateError::NotProposed(id)),
        None => return Ok(()),
    };
    slot.result = result;
    if result == 0 {
        read?;
        // A peer that names none can only mean the only one.
        if let ("", [only]) = (
            transfer_syntax.as_str(),
            proposed.transfer_syntaxes.as_slice(),
        ) {
            transfer_syntax.clone_from(only);
        }
        if !proposed.transfer_syntaxes.contains(&transfer_syntax) {
            return Err(AssociateError::NotProposed(id));
        }
        slot.transfer_syntax = transfer_syntax;
    }
    Ok(())
}
