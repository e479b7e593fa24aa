//! Drives a requested association over a blocking socket.

mod services;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use sonode_conformance::{DimseStatus, SopClassUid, SopInstanceUid, limits, sop_class};
use sonode_dimse::command::{Command, RawUid, Request, Response, StoreRq};
use sonode_dimse::response::{echo_request, store_request};
use sonode_dimse::{
    Abort, Assembler, AssociateAccept, DimseEvent, PData, PdataEncoder, PduReader, PdvKind,
    Proposal, Requestor, RequestorEvent, Timers, data_body_max,
};

use super::{ScuError, Timeouts};
use crate::config::PeerAddress;
use crate::socket;

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// N-EVENT-REPORT requests that are kept while a response is awaited. One at a time may be unanswered, since we negotiate
/// no asynchronous operations (PS3.7 annex D.3.3.3).
const EVENTS_MAX: usize = 16;

/// An association that stands.
pub(crate) struct Association {
    wire: Wire,
    accepted: AssociateAccept,
    message_id: u16,
    /// N-EVENT-REPORT requests that came while a response was awaited.
    events: VecDeque<Message>,
}

/// A message of the peer's.
pub(crate) struct Message {
    context: u8,
    /// Its command set.
    pub(crate) command: Command,
    /// Its data set; empty if it has none.
    pub(crate) data: Vec<u8>,
}

/// Socket, state machine and what has come.
struct Wire {
    stream: TcpStream,
    reader: PduReader,
    requestor: Requestor,
    assembler: Assembler,
    accepted: Option<Box<AssociateAccept>>,
    /// Whole messages in order of arrival.
    messages: VecDeque<Message>,
    /// One whose data set is coming.
    partial: Option<Message>,
    released: bool,
}

impl Association {
    /// Connects and associates.
    ///
    /// # Errors
    /// [`ScuError::Unknown`], `Connect`, `Rejected`, `Broken` and `Proposal`.
    pub(crate) fn open(
        proposal: Proposal,
        address: &PeerAddress,
        timeouts: &Timeouts,
    ) -> Result<Self, ScuError> {
        let stream = connect(address, timeouts.connect)?;
        let timers = Timers {
            response: timeouts.response,
            inside_message: timeouts.inside_message,
            ..Timers::default()
        };
        crate::socket::prepare(&stream).map_err(ScuError::Connect)?;
        let mut wire = Wire {
            stream,
            reader: PduReader::new(),
            requestor: Requestor::new(proposal, timers, Instant::now())?,
            assembler: Assembler::new([]),
            accepted: None,
            messages: VecDeque::new(),
            partial: None,
            released: false,
        };
        loop {
            wire.step(None)?;
            if let Some(accepted) = wire.accepted.take() {
                wire.assembler = Assembler::new(accepted.accepted_ids());
                wire.reader.set_body_max(data_body_max(limits::PDU_LENGTH));
                return Ok(Self {
                    wire,
                    accepted: *accepted,
                    message_id: 0,
                    events: VecDeque::new(),
                });
            }
        }
    }

    /// What the peer accepted.
    pub(crate) fn accepted(&self) -> &AssociateAccept {
        &self.accepted
    }

    /// The context of a class in a transfer syntax, if it was accepted.
    pub(crate) fn context(&self, class: &str, transfer_syntax: &str) -> Option<u8> {
        self.accepted
            .accepted(class)
            .find(|context| context.transfer_syntax == transfer_syntax)
            .map(|context| context.id)
    }

    /// C-ECHO.
    ///
    /// # Errors
    /// [`ScuError::NoContext`] and `Broken`.
    pub(crate) fn echo(&mut self) -> Result<DimseStatus, ScuError> {
        let context = self
            .accepted
            .accepted(sop_class::VERIFICATION)
            .next()
            .map(|context| context.id)
            .ok_or_else(|| ScuError::NoContext("Verification".to_owned()))?;
        let message_id = self.next_message_id();
        let mut encoder =
            PdataEncoder::new(context, PdvKind::Command, self.accepted.max_pdu_length);
        self.wire
            .send(encoder.encode(&echo_request(message_id), true))?;
        Ok(self.response(message_id)?.0.status)
    }

    /// C-STORE of `data_set`, read to its end.
    ///
    /// # Errors
    /// [`ScuError::File`], after which the association is aborted, and `Broken`.
    pub(crate) fn store(
        &mut self,
        context: u8,
        class: &SopClassUid,
        instance: &SopInstanceUid,
        data_set: &mut impl Read,
    ) -> Result<(DimseStatus, Option<String>), ScuError> {
        let message_id = self.next_message_id();
        let request = store_request(&StoreRq {
            request: Request {
                message_id,
                sop_class: RawUid::from(class.as_str()),
                sop_instance: RawUid::from(instance.as_str()),
            },
            ..StoreRq::default()
        });
        let mut encoder =
            PdataEncoder::new(context, PdvKind::Command, self.accepted.max_pdu_length);
        self.wire.send(encoder.encode(&request, true))?;
        encoder.restart(context, PdvKind::Data);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = match data_set.read(&mut chunk) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Whatever was sent stays without its last fragment, so the peer can't take it for whole.
                Err(error) => {
                    self.wire.abort();
                    return Err(ScuError::File(error));
                }
            };
            let pdus = encoder.encode(chunk.get(..read).unwrap_or_default(), read == 0);
            self.wire.send(pdus)?;
            if read == 0 {
                break;
            }
        }
        let (response, _) = self.response(message_id)?;
        let comment = response.error_comment.escape_ascii().to_string();
        Ok((response.status, (!comment.is_empty()).then_some(comment)))
    }

    /// Releases; a peer that doesn't answer any more is left.
    pub(crate) fn release(mut self) {
        self.wire.requestor.release(Instant::now());
        while !self.wire.released && !self.wire.requestor.is_closed() {
            // Nobody waits for an answer any more.
            self.wire.messages.clear();
            if let Err(error) = self.wire.step(None) {
                tracing::debug!(%error, "release");
                break;
            }
        }
        self.wire
            .stream
            .shutdown(Shutdown::Both)
            .unwrap_or_default();
    }

    fn next_message_id(&mut self) -> u16 {
        self.message_id = self.message_id.wrapping_add(1).max(1);
        self.message_id
    }

    /// The response to a message of ours, with its data set.
    fn response(&mut self, message_id: u16) -> Result<(Response, Vec<u8>), ScuError> {
        self.wire.requestor.expect_response(Instant::now());
        loop {
            if let Some(message) = self.wire.messages.pop_front() {
                let Some(response) = message.command.response().cloned() else {
                    self.keep_event(message)?;
                    continue;
                };
                if response.message_id != message_id {
                    self.wire.abort();
                    return Err(ScuError::Broken(
                        "the peer answered another message".to_owned(),
                    ));
                }
                self.wire.requestor.on_response(Instant::now());
                return Ok((response, message.data));
            }
            if self.wire.released {
                return Err(ScuError::Broken(
                    "the peer released the association unanswered".to_owned(),
                ));
            }
            self.wire.step(None)?;
        }
    }

    fn keep_event(&mut self, event: Message) -> Result<(), ScuError> {
        if self.events.len() >= EVENTS_MAX {
            self.wire.abort();
            let what = "the peer sends one request after the other and no response".to_owned();
            return Err(ScuError::Broken(what));
        }
        self.events.push_back(event);
        Ok(())
    }
}

impl Wire {
    /// Sends what there is to send, then takes what comes or lets a deadline pass: the association's, or this one.
    ///
    /// So nothing that a peer does or leaves undone keeps a caller for ever: its answer is due [`limits::RESPONSE`] after
    /// the request however many bytes come meanwhile, and what is sent to it has [`limits::SEND_PORTION`] for each portion.
    fn step(&mut self, until: Option<Instant>) -> Result<(), ScuError> {
        self.flush()?;
        if self.requestor.is_closed() {
            return if self.released {
                Ok(())
            } else {
                Err(ScuError::Broken("it is over".to_owned()))
            };
        }
        // Before it reads: of a peer that never stops talking no read ever comes back empty.
        self.take_timeout()?;
        let wait = self
            .requestor
            .next_deadline()
            .into_iter()
            .chain(until)
            .min()
            .map_or(Duration::from_secs(1), |deadline| {
                deadline.saturating_duration_since(Instant::now())
            })
            .max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(wait)).map_err(broken)?;
        match socket::read(&self.stream, [self.reader.space(), &mut []]) {
            Ok(0) => {
                self.requestor.on_transport_closed(Instant::now());
                if self.released {
                    Ok(())
                } else {
                    Err(ScuError::Broken(
                        "the peer closed the connection".to_owned(),
                    ))
                }
            }
            Ok(read) => {
                self.reader.advance(read);
                self.take_pdus()
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                ) =>
            {
                self.take_timeout()
            }
            Err(error) => Err(broken(error)),
        }
    }

    /// Does nothing while no deadline has passed.
    fn take_timeout(&mut self) -> Result<(), ScuError> {
        match self.requestor.on_timeout(Instant::now()) {
            Some(RequestorEvent::Failed(failure)) => {
                self.flush()?;
                Err(ScuError::Broken(failure.to_string()))
            }
            _ => Ok(()),
        }
    }

    fn take_pdus(&mut self) -> Result<(), ScuError> {
        loop {
            let now = Instant::now();
            let event = match self.reader.pdu() {
                Ok(None) => break,
                Ok(Some(pdu)) => self.requestor.on_pdu(pdu, now),
                Err(error) => self.requestor.on_pdu_error(error, now),
            };
            let outcome = match event {
                None => Ok(()),
                Some(RequestorEvent::Accepted(accepted)) => {
                    self.accepted = Some(accepted);
                    Ok(())
                }
                Some(RequestorEvent::Data(data)) => {
                    let (partial, messages) = (&mut self.partial, &mut self.messages);
                    collect(data, &mut self.assembler, partial, messages).map_err(
                        |(error, abort)| {
                            self.requestor.abort(abort, now);
                            error
                        },
                    )
                }
                Some(RequestorEvent::Released) => {
                    self.released = true;
                    Ok(())
                }
                Some(RequestorEvent::Rejected(rejection)) => Err(ScuError::Rejected(rejection)),
                Some(RequestorEvent::Aborted(abort)) => Err(ScuError::Broken(abort.to_string())),
                Some(RequestorEvent::Failed(failure)) => Err(ScuError::Broken(failure.to_string())),
            };
            self.reader.consume();
            self.requestor
                .on_message(self.assembler.is_inside_message(), now);
            if outcome.is_err() {
                // The A-ABORT that tells the peer; what broke is told to our own caller.
                self.flush().unwrap_or_default();
                return outcome;
            }
        }
        self.requestor
            .on_bytes(self.reader.is_inside_pdu(), Instant::now());
        Ok(())
    }

    /// Sends P-DATA.
    fn send(&mut self, pdus: &[u8]) -> Result<(), ScuError> {
        self.flush()?;
        let until = Instant::now() + limits::SEND_PORTION;
        let is_late = || Instant::now() >= until;
        crate::socket::write_in_time(&mut self.stream, pdus, is_late).map_err(broken)?;
        // A long object is no idle association.
        self.requestor.on_message(false, Instant::now());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ScuError> {
        let output = self.requestor.take_output();
        if output.is_empty() {
            Ok(())
        } else {
            self.stream.write_all(&output).map_err(broken)
        }
    }

    fn abort(&mut self) {
        self.requestor.abort(Abort::SERVICE_USER, Instant::now());
        self.flush().unwrap_or_default();
    }
}

/// Keeps responses and N-EVENT-REPORT requests; whatever else a peer may send to a requestor is no part of what we asked
/// for.
fn collect(
    data: PData<'_>,
    assembler: &mut Assembler,
    partial: &mut Option<Message>,
    messages: &mut VecDeque<Message>,
) -> Result<(), (ScuError, Abort)> {
    for pdv in data {
        let event = assembler
            .push(pdv)
            .map_err(|error| (ScuError::Broken(error.to_string()), error.abort()))?;
        match event {
            Some(DimseEvent::Command {
                context,
                command,
                has_data_set,
            }) => {
                let is_asked_for =
                    command.response().is_some() || matches!(command, Command::EventReportRq(..));
                if !is_asked_for {
                    let what = format!("the peer sent {} to a requestor", command.name());
                    return Err((ScuError::Broken(what), Abort::UNEXPECTED_PDU));
                }
                let message = Message {
                    context,
                    command,
                    data: Vec::new(),
                };
                if has_data_set {
                    *partial = Some(message);
                } else {
                    messages.push_back(message);
                }
            }
            Some(DimseEvent::Data { bytes, is_last, .. }) => {
                let Some(mut message) = partial.take() else {
                    continue;
                };
                message.data.extend_from_slice(bytes);
                if message.data.len() > limits::DATA_SET_BYTES_MAX {
                    let what = "the peer sent too long a data set".to_owned();
                    return Err((ScuError::Broken(what), Abort::SERVICE_USER));
                }
                if is_last {
                    messages.push_back(message);
                } else {
                    *partial = Some(message);
                }
            }
            None => {}
        }
    }
    Ok(())
}

fn connect(address: &PeerAddress, timeout: Duration) -> Result<TcpStream, ScuError> {
    let places = (address.host.as_str(), address.port)
        .to_socket_addrs()
        .map_err(|error| ScuError::Unknown(address.host.clone(), error))?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for place in places {
        match TcpStream::connect_timeout(&place, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(ScuError::Connect(last))
}

#[expect(clippy::needless_pass_by_value, reason = "used as map_err's function")]
fn broken(error: io::Error) -> ScuError {
    ScuError::Broken(error.to_string())
}
