//! Drives one accepted connection: bytes from the socket into the state machine of `sonode-dimse`, its events to a
//! [`Service`], answers back to the socket. One blocking thread an association, so that the disk's flush that
//! precedes every success blocks nobody else.
//!
//! Short PDVs are read many at a time and copied to where they are kept. Long ones are received there, where the service has a
//! place for them: but for what came with the command, the reader sees their headers and their last byte.

mod messages;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sonode_conformance::limits::PDU_LENGTH;
use sonode_dimse::{
    Abort, Acceptance, Acceptor, AcceptorEvent, AssociateRequest, DimseEvent, OpenPdv, PduReader,
    Pdv, Rejection, Timers, data_body_max,
};

use crate::socket;
use messages::{Broken, Messages};

/// What one read may take once an association stands, of a sender that is ahead of us: two PDUs as long as those that we ask
/// for, and some for their headers.
const READ_AHEAD_BYTES: usize = 2 * PDU_LENGTH as usize + 1024;
/// From here on a PDV is long: a read of its own costs less than to copy it.
const LONG_PDV_BYTES: usize = 48 * 1024;
/// What one read may take between two messages of a sender whose PDVs are long: a command, and little that is copied.
const COMMAND_BYTES: usize = 1024;
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

    /// Where the next bytes of the message's data set are kept, if they can be received there: `most` bytes or fewer, none
    /// if they can't. Followed by [`Self::filled`], or by nothing.
    fn space(&mut self, _most: usize) -> &mut [u8] {
        &mut []
    }

    /// That many bytes were received into [`Self::space`]. They are not the message's last.
    fn filled(&mut self, _bytes: usize) {}

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
        messages: Messages::new(stream),
        long_pdvs: false,
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
    messages: Messages<'s>,
    /// Whether the peer's PDVs are long, by the last one of which a part came.
    long_pdvs: bool,
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
            if self.messages.have_begun() && self.has_to_stop(stop) {
                return self.abort(End::Stopped);
            }
            let incoming = self.read(service)?;
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
                Incoming::Bytes { in_place } => {
                    service.set_busy(true);
                    let came = Instant::now();
                    if in_place > 0 {
                        service.filled(in_place);
                    }
                    self.take_pdus(service)?;
                    self.take_open_pdv(service)?;
                    self.acceptor.on_delay(came.elapsed());
                    self.acceptor
                        .on_bytes(self.reader.is_inside_pdu(), Instant::now());
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
            self.messages.send(context, &command, Some(&data))?;
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
        self.reader.is_inside_pdu() || self.messages.is_inside_one()
    }

    fn flush(&mut self) -> io::Result<()> {
        let output = self.acceptor.take_output();
        if output.is_empty() {
            Ok(())
        } else {
            (&*self.stream).write_all(&output)
        }
    }

    fn read(&mut self, service: &mut dyn Service) -> io::Result<Incoming> {
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
        let most = self.bytes_in_place();
        let asked = Instant::now();
        let in_place = service.space(most);
        self.acceptor.on_delay(asked.elapsed());
        let room = in_place.len();
        let behind = match room {
            0 => self.reader.space(),
            _ if room == most => self.reader.space_behind(),
            _ => &mut [],
        };
        match socket::read(self.stream, [in_place, behind]) {
            Ok(0) => Ok(Incoming::Closed),
            Ok(read) => {
                self.heard = true;
                let in_place = read.min(room);
                self.reader.shorten(in_place);
                self.reader.advance(read - in_place);
                Ok(Incoming::Bytes { in_place })
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
                Ok(None) => return Ok(()),
                Ok(Some(pdu)) => self.acceptor.on_pdu(pdu, now),
                Err(error) => self.acceptor.on_pdu_error(error, now),
            };
            match event {
                Some(AcceptorEvent::Requested(request)) => match service.admit(&request) {
                    Ok(acceptance) => {
                        self.messages.begin(&request, &acceptance);
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
                    let outcome = self.messages.take(data, service);
                    self.took(outcome)?;
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
    }

    /// Deals with what came of a PDV, if the peer's are long, so that the rest can be received in its place.
    fn take_open_pdv(&mut self, service: &mut dyn Service) -> io::Result<()> {
        let Some(open) = self.reader.open_pdv() else {
            return Ok(());
        };
        if !self.is_due(open.came) {
            return Ok(());
        }
        // The last one of a data set is as long as what is left, whatever the others were.
        if open.length >= LONG_PDV_BYTES || !open.is_last {
            self.long_pdvs = open.length >= LONG_PDV_BYTES;
        }
        let bytes = open.came.bytes.len();
        let outcome =
            (self.long_pdvs && bytes > 0).then(|| self.messages.take([open.came], service));
        if outcome.is_some() {
            self.reader.shorten(bytes);
        }
        self.reader.set_read_ahead(if self.long_pdvs {
            COMMAND_BYTES
        } else {
            READ_AHEAD_BYTES
        });
        outcome.map_or(Ok(()), |outcome| self.took(outcome))
    }

    /// Whether the data set of the message goes on with it.
    fn is_due(&self, pdv: Pdv<'_>) -> bool {
        self.acceptor.may_send_data() && self.messages.go_on_with(pdv)
    }

    /// Bytes that may be received where they are kept.
    fn bytes_in_place(&self) -> usize {
        match self.reader.open_pdv() {
            // The last one goes to the reader: with it the PDU is whole.
            Some(OpenPdv { came, missing, .. })
                if self.long_pdvs && came.bytes.is_empty() && self.is_due(came) =>
            {
                missing - 1
            }
            _ => 0,
        }
    }

    /// Notes how it went with the messages.
    fn took(&mut self, outcome: Result<bool, Broken>) -> io::Result<()> {
        match outcome {
            Ok(inside) => self.acceptor.on_message(inside, Instant::now()),
            Err(Broken::Socket(error)) => return Err(error),
            Err(Broken::Protocol(error)) => {
                self.end.get_or_insert(End::Broken(error.to_string()));
                self.acceptor.abort(error.abort(), Instant::now());
            }
        }
        Ok(())
    }

    fn note(&mut self, event: &AcceptorEvent<'_>) {
        self.end.get_or_insert(ending(event));
    }
}

enum Incoming {
    Nothing,
    Closed,
    /// Some came, so many of them where they are kept and the others into the reader.
    Bytes {
        in_place: usize,
    },
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
