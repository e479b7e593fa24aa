//! The messages of an association: fragments into events for the [`Service`], its answers and requests into PDUs.

use std::io::{self, Write};
use std::net::TcpStream;

use sonode_dimse::{Acceptance, Assembler, AssociateRequest, Pdv, ProtocolError, write_message};

use super::Service;

/// Why messages can't be taken or sent any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error(transparent)]
    Socket(#[from] io::Error),
}

/// The messages of an association, both ways.
pub(super) struct Messages<'s> {
    stream: &'s TcpStream,
    /// Once the association stands.
    assembler: Option<Assembler>,
    peer_max: u32,
}

impl<'s> Messages<'s> {
    pub(super) fn new(stream: &'s TcpStream) -> Self {
        Self {
            stream,
            assembler: None,
            peer_max: 0,
        }
    }

    /// The association stands.
    pub(super) fn begin(&mut self, request: &AssociateRequest, acceptance: &Acceptance) {
        self.peer_max = request.max_pdu_length;
        self.assembler = Some(Assembler::new(acceptance.accepted_ids()));
    }

    pub(super) fn have_begun(&self) -> bool {
        self.assembler.is_some()
    }

    /// Whether one has begun and is not whole.
    pub(super) fn is_inside_one(&self) -> bool {
        let assembler = self.assembler.as_ref();
        assembler.is_some_and(Assembler::is_inside_message)
    }

    /// Whether a fragment goes on with the data set of the one that is not whole.
    pub(super) fn go_on_with(&self, pdv: Pdv<'_>) -> bool {
        let assembler = self.assembler.as_ref();
        !pdv.is_command && assembler.is_some_and(|assembler| assembler.is_data_due(pdv.context))
    }

    /// Gives every PDV's event to the service and sends its answers; says whether a message is unfinished.
    pub(super) fn take<'a>(
        &mut self,
        pdvs: impl IntoIterator<Item = Pdv<'a>>,
        service: &mut dyn Service,
    ) -> Result<bool, Broken> {
        for pdv in pdvs {
            let context = pdv.context;
            // The state machine delivers no data before acceptance.
            let assembler = self.assembler.as_mut();
            let assembler = assembler.ok_or(ProtocolError::DataWithoutCommand)?;
            if let Some(event) = assembler.push(pdv)?
                && let Some(answer) = service.message(event)
            {
                self.send(context, &answer, None)?;
            }
        }
        Ok(self.is_inside_one())
    }

    /// Sends one: a command, and its data set.
    pub(super) fn send(&self, context: u8, command: &[u8], data: Option<&[u8]>) -> io::Result<()> {
        let mut out = Vec::new();
        write_message(&mut out, context, command, data, self.peer_max);
        (&*self.stream).write_all(&out)
    }
}
