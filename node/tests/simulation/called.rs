//! The end of a connection that was called, around the real `Acceptor`: for the node and for the PACS.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sonode_conformance::DimseStatus;
use sonode_conformance::negotiation::Offer;
use sonode_dimse::{
    Acceptance, Acceptor, AcceptorEvent, Assembler, AssociateRequest, Command, DimseEvent, PData,
    PduReader, Rejection, StoreRq, Timers, data_body_max, negotiate, respond, write_message,
};

/// Shorter than in a hospital, so that a schedule is over sooner; in the same order.
pub(crate) const TIMERS: Timers = Timers {
    artim: Duration::from_secs(5),
    idle: Duration::from_mins(1),
    inside_message: Duration::from_secs(8),
    response: Duration::from_secs(15),
};
/// So short that every object goes in several PDUs.
pub(crate) const PDU_LENGTH: u32 = 1024;

/// What stands behind it.
pub(crate) trait Scp {
    /// Why a request is turned down.
    fn refuses(&mut self, request: &AssociateRequest) -> Option<Rejection>;
    /// A C-STORE begins, in this transfer syntax.
    fn begin(&mut self, store: &StoreRq, transfer_syntax: &'static str);
    fn data(&mut self, bytes: &[u8]);
    /// The object is whole: the answer, or none.
    fn end(&mut self) -> Option<DimseStatus>;
}

pub(crate) struct Called {
    reader: PduReader,
    acceptor: Acceptor,
    assembler: Option<Assembler>,
    contexts: HashMap<u8, &'static str>,
    peer_max: u32,
    command: Option<Command>,
    output: Vec<u8>,
}

impl Called {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            reader: PduReader::new(),
            acceptor: Acceptor::new(TIMERS, now),
            assembler: None,
            contexts: HashMap::new(),
            peer_max: 0,
            command: None,
            output: Vec::new(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.acceptor.next_deadline()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.acceptor.is_closed()
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) {
        self.acceptor.on_timeout(now);
    }

    pub(crate) fn on_closed(&mut self, now: Instant) {
        self.acceptor.on_transport_closed(now);
    }

    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        let mut output = std::mem::take(&mut self.output);
        output.extend(self.acceptor.take_output());
        output
    }

    pub(crate) fn on_bytes(&mut self, mut bytes: &[u8], now: Instant, scp: &mut dyn Scp) {
        let mut reader = std::mem::take(&mut self.reader);
        while !bytes.is_empty() && !self.acceptor.is_closed() {
            let read = std::io::Read::read(&mut bytes, reader.space()).unwrap();
            reader.advance(read);
            loop {
                let event = match reader.pdu() {
                    Ok(None) => break,
                    Ok(Some(pdu)) => self.acceptor.on_pdu(pdu, now),
                    Err(error) => self.acceptor.on_pdu_error(error, now),
                };
                match event {
                    Some(AcceptorEvent::Requested(request)) => {
                        if let Some(length) = self.decide(&request, now, scp) {
                            reader.set_body_max(data_body_max(length));
                        }
                    }
                    Some(AcceptorEvent::Data(data)) => self.messages(data, now, scp),
                    _ => {}
                }
                reader.consume();
                if self.acceptor.is_closed() {
                    break;
                }
            }
        }
        self.acceptor.on_bytes(reader.is_inside_pdu(), now);
        self.reader = reader;
    }

    /// Gives the longest PDU that comes from now on.
    fn decide(
        &mut self,
        request: &AssociateRequest,
        now: Instant,
        scp: &mut dyn Scp,
    ) -> Option<u32> {
        if let Some(rejection) = scp.refuses(request) {
            self.acceptor.reject(rejection, now);
            return None;
        }
        self.peer_max = request.max_pdu_length;
        let acceptance = Acceptance {
            max_pdu_length: PDU_LENGTH,
            ..Acceptance::new(negotiate(request, Offer::default()))
        };
        self.contexts = acceptance
            .contexts
            .iter()
            .filter_map(|context| Some((context.id, context.transfer_syntax()?)))
            .collect();
        self.assembler = Some(Assembler::new(acceptance.accepted_ids()));
        self.acceptor.accept(&acceptance, now);
        Some(acceptance.max_pdu_length)
    }

    fn messages(&mut self, data: PData<'_>, now: Instant, scp: &mut dyn Scp) {
        let mut assembler = self.assembler.take().expect("data before acceptance");
        for pdv in data {
            let context = pdv.context;
            match assembler.push(pdv) {
                Ok(Some(DimseEvent::Command { command, .. })) => {
                    if let Command::StoreRq(store) = &command {
                        scp.begin(store, self.contexts[&context]);
                    }
                    self.command = Some(command);
                }
                Ok(Some(DimseEvent::Data { bytes, is_last, .. })) => {
                    scp.data(bytes);
                    if is_last
                        && let Some(command) = self.command.take()
                        && let Some(status) = scp.end()
                        && let Some(answer) = respond(&command, status, "")
                    {
                        write_message(&mut self.output, context, &answer, None, self.peer_max);
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    self.acceptor.abort(error.abort(), now);
                    break;
                }
            }
        }
        self.acceptor.on_message(assembler.is_inside_message(), now);
        self.assembler = Some(assembler);
    }
}
