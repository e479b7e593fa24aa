//! Drives one accepted connection: bytes from the socket into the state machine of `sonode-dimse`, its events to a
//! [`Service`], answers back to the socket. One blocking thread an association, so that the disk's flush that
//! precedes every success blocks nobody else.

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sonode_conformance::limits::PDU_LENGTH;
use sonode_dimse::{
    Abort, Acceptance, Acceptor, AcceptorEvent, Assembler, AssociateRequest, DimseEvent, PData,
    PduReader, ProtocolError, Rejection, Timers, data_body_max, write_message,
};

use crate::socket;

/// What one read may take once an association stands, of a sender that is ahead of us: two PDUs as long as those that we ask
/// for, and some for their headers.
const READ_AHEAD_BYTES: usize = 2 * PDU_LENGTH as usize + 1024;
/// How long a blocked read may keep a stopping node waiting.
const STOP_POLL: Duration = Duration::from_millis(500);

/// What stands behind an association.
pub(crate) trait Service {
    /// Decides about a request.
    ///
    /// # Errors
    /// The rejection that the peer gets.
    fn admit(&mut self, request: &AssociateRequest) -> Result<Acceptance, Rejection>;

    /// Takes a piece of a message. An answer is the command set of a response, for the message's own context.
    fn message(&mut self, event: DimseEvent<'_>) -> Option<Vec<u8>>;

    /// A request of ours for the peer, if one waits: its context, command set and data set. Asked between two messages.
    fn take_request(&mut self) -> Option<(u8, Vec<u8>, Vec<u8>)> {
        None
    }

    /// Bytes came (`true`), or all that came was dealt with and no message is unfinished (`false`).
    fn set_busy(&mut self, _busy: bool) {}

    /// Whether the association has to end so that another peer gets its place. Asked only while nothing comes.
    fn has_to_yield(&mut self) -> bool {
        false
    }
}

/// How an association ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// In order.
    Released,
    /// Never stood, and the peer was told why.
    Rejected(Rejection),
    /// The peer connected and went without a word, as a load balancer's probe does.
    Probe,
    /// The node is stopping.
    Stopped,
    /// It was idle, the node full, and another peer had less than its share.
    Yielded,
    /// Otherwise, in words.
    Broken(String),
}

/// Runs one connection to its end.
pub(crate) fn run(
    stream: &TcpStream,
    timers: Timers,
    stop: &AtomicBool,
    service: &mut dyn Service,
) -> End {
    let mut driver = Driver {
        stream,
        reader: PduReader::new(),
        acceptor: Acceptor::new(timers, Instant::now()),
        assembler: None,
        peer_max: 0,
        heard: false,
        patience: Duration::ZERO,
        end: None,
    };
    let end = match driver.drive(stop, service) {
        Ok(()) => driver
            .end
            .take()
            .unwrap_or(End::Broken("the association ended".to_owned())),
        Err(error) => End::Broken(error.to_string()),
    };
    // The peer may have closed already; either way nothing more is to be said.
    stream.shutdown(Shutdown::Both).unwrap_or_default();
    end
}

struct Driver<'s> {
    stream: &'s TcpStream,
    reader: PduReader,
    acceptor: Acceptor,
    assembler: Option<Assembler>,
    peer_max: u32,
    /// Whether a byte has come.
    heard: bool,
    /// The socket's read time-out as it was set last.
    patience: Duration,
    /// The first reason to end; what follows it are consequences.
    end: Option<End>,
}

impl Driver<'_> {
    fn drive(&mut self, stop: &AtomicBool, service: &mut dyn Service) -> io::Result<()> {
        loop {
            self.flush()?;
            if self.acceptor.is_closed() {
                return Ok(());
            }
            // Who has not asked for an association yet may, and is told that there is none.
            let stands = self.assembler.is_some();
            if stands && self.has_to_stop(stop) {
                return self.abort(End::Stopped);
            }
            let incoming = self.read()?;
            match incoming {
                Incoming::Nothing => {}
                Incoming::Closed => {
                    if let Some(event) = self.acceptor.on_transport_closed(Instant::now()) {
                        let probe = !self.heard;
                        self.note(&event);
                        if probe {
                            self.end = Some(End::Probe);
                        }
                    }
                    return Ok(());
                }
                Incoming::Bytes => {
                    service.set_busy(true);
                    self.take_pdus(service)?;
                    service.set_busy(self.inside_message());
                }
            }
            // After bytes too: of a peer that never stops talking no read ever comes back empty. And after they were
            // dealt with, so that what lay in the socket while the disk was slow counts as having come.
            if let Some(event) = self.acceptor.on_timeout(Instant::now()) {
                self.note(&event);
            } else if matches!(incoming, Incoming::Nothing) {
                if self.has_to_stop(stop) {
                    return self.abort(End::Stopped);
                }
                if !self.inside_message() && self.end.is_none() && service.has_to_yield() {
                    return self.abort(End::Yielded);
                }
            }
            self.send_requests(service)?;
        }
    }

    fn send_requests(&mut self, service: &mut dyn Service) -> io::Result<()> {
        while self.acceptor.may_send_data()
            && !self.inside_message()
            && let Some((context, command, data)) = service.take_request()
        {
            let mut out = Vec::new();
            write_message(&mut out, context, &command, Some(&data), self.peer_max);
            (&*self.stream).write_all(&out)?;
        }
        Ok(())
    }

    /// Ends an association that stands, between two messages.
    ///
    /// By A-ABORT, as when the idle timer runs out, and not by A-RELEASE: PS3.8 lets an acceptor ask for release, but
    /// that needs the SCU's answer, and one that waits for nothing between two loops need not give it. After an A-ABORT
    /// a sender opens another association for its next object.
    fn abort(&mut self, why: End) -> io::Result<()> {
        self.end = Some(why);
        self.acceptor.abort(Abort::NOT_SPECIFIED, Instant::now());
        self.flush()
    }

    fn has_to_stop(&self, stop: &AtomicBool) -> bool {
        stop.load(Ordering::Relaxed) && !self.inside_message() && self.end.is_none()
    }

    fn inside_message(&self) -> bool {
        self.reader.is_inside_pdu()
            || self
                .assembler
                .as_ref()
                .is_some_and(Assembler::is_inside_message)
    }

    fn flush(&mut self) -> io::Result<()> {
        let output = self.acceptor.take_output();
        if output.is_empty() {
            Ok(())
        } else {
            (&*self.stream).write_all(&output)
        }
    }

    fn read(&mut self) -> io::Result<Incoming> {
        let wait = self
            .acceptor
            .next_deadline()
            .map_or(STOP_POLL, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            })
            .clamp(Duration::from_millis(1), STOP_POLL);
        if wait != self.patience {
            self.stream.set_read_timeout(Some(wait))?;
            self.patience = wait;
        }
        match socket::read(self.stream, self.reader.space()) {
            Ok(0) => Ok(Incoming::Closed),
            Ok(read) => {
                self.heard = true;
                self.reader.advance(read);
                Ok(Incoming::Bytes)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(Incoming::Nothing),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Ok(Incoming::Closed),
                _ => Err(error),
            },
        }
    }

    /// Deals with every PDU that is whole.
    fn take_pdus(&mut self, service: &mut dyn Service) -> io::Result<()> {
        loop {
            let now = Instant::now();
            let event = match self.reader.pdu() {
                Ok(None) => break,
                Ok(Some(pdu)) => self.acceptor.on_pdu(pdu, now),
                Err(error) => self.acceptor.on_pdu_error(error, now),
            };
            match event {
                Some(AcceptorEvent::Requested(request)) => match service.admit(&request) {
                    Ok(acceptance) => {
                        self.peer_max = request.max_pdu_length;
                        self.assembler = Some(Assembler::new(acceptance.accepted_ids()));
                        self.acceptor.accept(&acceptance, Instant::now());
                        self.reader
                            .set_body_max(data_body_max(acceptance.max_pdu_length));
                        self.reader.set_read_ahead(READ_AHEAD_BYTES);
                    }
                    Err(rejection) => {
                        self.end = Some(End::Rejected(rejection));
                        self.acceptor.reject(rejection, Instant::now());
                    }
                },
                Some(AcceptorEvent::Data(data)) => {
                    let outcome =
                        messages(data, self.assembler.as_mut(), service, |context, answer| {
                            let mut out = Vec::new();
                            write_message(&mut out, context, &answer, None, self.peer_max);
                            (&*self.stream).write_all(&out)
                        });
                    match outcome {
                        Ok(inside) => self.acceptor.on_message(inside, Instant::now()),
                        Err(Broken::Socket(error)) => return Err(error),
                        Err(Broken::Protocol(error)) => {
                            self.end.get_or_insert(End::Broken(error.to_string()));
                            self.acceptor.abort(error.abort(), Instant::now());
                        }
                    }
                }
                Some(other) => {
                    let end = ending(&other);
                    self.end.get_or_insert(end);
                }
                None => {}
            }
            self.reader.consume();
            if self.acceptor.is_closed() {
                return Ok(());
            }
        }
        self.acceptor
            .on_bytes(self.reader.is_inside_pdu(), Instant::now());
        Ok(())
    }

    fn note(&mut self, event: &AcceptorEvent<'_>) {
        self.end.get_or_insert(ending(event));
    }
}

enum Incoming {
    Nothing,
    Closed,
    Bytes,
}

enum Broken {
    Protocol(ProtocolError),
    Socket(io::Error),
}

/// Gives every PDV's event to the service and its answers to `reply`; says whether a message is unfinished.
fn messages(
    data: PData<'_>,
    assembler: Option<&mut Assembler>,
    service: &mut dyn Service,
    mut reply: impl FnMut(u8, Vec<u8>) -> io::Result<()>,
) -> Result<bool, Broken> {
    let Some(assembler) = assembler else {
        // The state machine delivers no data before acceptance.
        return Err(Broken::Protocol(ProtocolError::DataWithoutCommand));
    };
    for pdv in data {
        let context = pdv.context;
        if let Some(event) = assembler.push(pdv).map_err(Broken::Protocol)?
            && let Some(answer) = service.message(event)
        {
            reply(context, answer).map_err(Broken::Socket)?;
        }
    }
    Ok(assembler.is_inside_message())
}

fn ending(event: &AcceptorEvent<'_>) -> End {
    match event {
        AcceptorEvent::Released => End::Released,
        AcceptorEvent::Refused { rejection, .. } => End::Rejected(*rejection),
        AcceptorEvent::Aborted(abort) => End::Broken(abort.to_string()),
        AcceptorEvent::Failed(failure) => End::Broken(failure.to_string()),
        AcceptorEvent::Requested(_) | AcceptorEvent::Data(_) => {
            End::Broken("unfinished".to_owned())
        }
    }
}
