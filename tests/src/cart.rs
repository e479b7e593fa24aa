//! A cart that speaks DICOM's upper layer (PS3.8 section 9.3) byte by byte, so that a test decides what is sent when:
//! half an object, a UID that is a path, an abort in the middle, a context with the syntaxes in an awkward order.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::part10::{Object, trimmed};

/// Verification.
pub const VERIFICATION: &str = "1.2.840.10008.1.1";

/// A peer that says nothing for so long has failed the test.
const SILENCE: Duration = Duration::from_mins(1);
/// What we can take in one PDU.
const OUR_PDU_LENGTH: u32 = 131_072;
const APPLICATION_CONTEXT: &[u8] = b"1.2.840.10008.3.1.1.1";
const IMPLEMENTATION: &[u8] = b"2.25.262144444733741023423482837461";

/// Runs a cart each in threads of their own; gives what they give, in their order.
pub fn at_once<N: Send, T: Send>(
    carts: impl IntoIterator<Item = N>,
    send: impl Fn(N) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let send = &send;
    thread::scope(|scope| {
        let carts: Vec<_> = carts
            .into_iter()
            .map(|cart| scope.spawn(move || send(cart)))
            .collect();
        carts
            .into_iter()
            .map(|cart| cart.join().map_err(|_| anyhow!("a cart died"))?)
            .collect()
    })
}

/// One proposed presentation context.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Abstract syntax.
    pub sop_class: String,
    /// Transfer syntaxes, in this order.
    pub transfer_syntaxes: Vec<String>,
}

impl Proposal {
    /// A class with its syntaxes.
    pub fn new(sop_class: &str, transfer_syntaxes: &[&str]) -> Self {
        Self {
            sop_class: sop_class.to_owned(),
            transfer_syntaxes: transfer_syntaxes.iter().map(|&ts| ts.to_owned()).collect(),
        }
    }

    /// What an object needs.
    pub fn for_object(object: &Object) -> Self {
        Self::new(&object.sop_class, &[&object.transfer_syntax])
    }
}

/// The answer to an A-ASSOCIATE-RQ.
#[derive(Debug)]
pub enum Answer {
    /// A-ASSOCIATE-AC.
    Accepted(Cart),
    /// A-ASSOCIATE-RJ (PS3.8 table 9-21).
    Rejected(Rejection),
}

/// Result, source and reason of an A-ASSOCIATE-RJ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// 1 permanent, 2 transient.
    pub result: u8,
    /// 1 service user, 2 provider (ACSE), 3 provider (presentation).
    pub source: u8,
    /// By source.
    pub reason: u8,
}

/// How one presentation context was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Its id.
    pub id: u8,
    /// 0 acceptance, 1 user rejection, 3 abstract syntax, 4 transfer syntaxes not supported.
    pub result: u8,
    /// The accepted transfer syntax.
    pub transfer_syntax: String,
}

/// A C-STORE-RSP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status (0000,0900).
    pub status: u16,
    /// Error Comment (0000,0902); empty if there is none.
    pub comment: String,
}

/// An open association. Dropping it closes the socket, as a cart that loses its network does.
#[derive(Debug)]
pub struct Cart {
    stream: TcpStream,
    proposals: Vec<Proposal>,
    /// The answers, one for each proposal.
    pub answers: Vec<Answered>,
    pdu_length: usize,
    message_id: u16,
}

impl Cart {
    /// Calls `called` as `calling`.
    pub fn call(
        at: SocketAddr,
        called: &str,
        calling: &str,
        proposals: &[Proposal],
    ) -> Result<Answer> {
        let mut stream = TcpStream::connect(at).context("could not connect")?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_nodelay(true)?;
        stream.write_all(&associate_rq(called, calling, proposals)?)?;
        let (kind, body) = read_pdu(&mut stream)?;
        match (kind, body.as_slice()) {
            (0x02, ac) => {
                let (answers, pdu_length) = parse_ac(ac).context("malformed A-ASSOCIATE-AC")?;
                Ok(Answer::Accepted(Self {
                    stream,
                    proposals: proposals.to_vec(),
                    answers,
                    pdu_length,
                    message_id: 0,
                }))
            }
            (0x03, &[_, result, source, reason]) => Ok(Answer::Rejected(Rejection {
                result,
                source,
                reason,
            })),
            _ => bail!("PDU of type {kind:#04x} instead of an answer"),
        }
    }

    /// Calls, and fails unless it is accepted.
    pub fn associate(
        at: SocketAddr,
        called: &str,
        calling: &str,
        proposals: &[Proposal],
    ) -> Result<Self> {
        match Self::call(at, called, calling, proposals)? {
            Answer::Accepted(cart) => Ok(cart),
            Answer::Rejected(why) => bail!("rejected: {why:?}"),
        }
    }

    /// Sends an object and waits for the response.
    pub fn store(&mut self, object: &Object) -> Result<Response> {
        self.store_as(object, &object.sop_instance)
    }

    /// Sends an object under another Affected SOP Instance UID than its own.
    pub fn store_as(&mut self, object: &Object, affected_uid: &str) -> Result<Response> {
        let mut sending = self.begin(object, affected_uid)?;
        sending.send(usize::MAX)?;
        sending.response()
    }

    /// Sends the command and nothing of the data set yet.
    pub fn begin<'a>(&'a mut self, object: &'a Object, affected_uid: &str) -> Result<Sending<'a>> {
        let context = self.context_for(object)?;
        self.message_id += 1;
        let command = store_rq(self.message_id, &object.sop_class, affected_uid)?;
        self.write_fragment(context, true, true, &command)?;
        Ok(Sending {
            cart: self,
            context,
            rest: &object.data_set,
        })
    }

    /// Sends a data set that is cut into P-DATA-TFs for [`Self::context_for`] and [`Self::pdu_length`] already, the first
    /// of them together with the command: `head` first, then `rest`. Gives the time from its last byte to the response.
    pub fn store_ready(
        &mut self,
        object: &Object,
        affected_uid: &str,
        head: &[u8],
        rest: &[u8],
    ) -> Result<(Duration, Response)> {
        let context = self.context_for(object)?;
        self.message_id = self.message_id.wrapping_add(1);
        let command = store_rq(self.message_id, &object.sop_class, affected_uid)?;
        let mut first = fragment(context, true, true, &command)?;
        first.extend_from_slice(head);
        self.stream.write_all(&first)?;
        self.stream.write_all(rest)?;
        let sent = Instant::now();
        let response = self.read_response()?;
        Ok((sent.elapsed(), response))
    }

    /// Longest variable field that the peer takes, in bytes.
    pub fn pdu_length(&self) -> usize {
        self.pdu_length
    }

    /// C-ECHO; returns its status.
    pub fn echo(&mut self) -> Result<u16> {
        self.message_id += 1;
        let command = echo_rq(self.message_id)?;
        let context = self.accepted(|proposal, _| proposal.sop_class == VERIFICATION)?;
        self.write_fragment(context, true, true, &command)?;
        Ok(self.read_response()?.status)
    }

    /// A-RELEASE.
    pub fn release(mut self) -> Result<()> {
        self.stream.write_all(&pdu(0x05, &[0; 4])?)?;
        let (kind, _) = read_pdu(&mut self.stream)?;
        ensure!(
            kind == 0x06,
            "PDU of type {kind:#04x} instead of A-RELEASE-RP"
        );
        Ok(())
    }

    /// A-ABORT by the service user.
    pub fn abort(mut self) -> Result<()> {
        self.stream.write_all(&pdu(0x07, &[0; 4])?)?;
        self.stream.shutdown(Shutdown::Write)?;
        Ok(())
    }

    /// The accepted presentation context for an object.
    pub fn context_for(&self, object: &Object) -> Result<u8> {
        self.accepted(|proposal, answer| {
            proposal.sop_class == object.sop_class
                && answer.transfer_syntax == object.transfer_syntax
        })
    }

    fn accepted(&self, fits: impl Fn(&Proposal, &Answered) -> bool) -> Result<u8> {
        self.proposals
            .iter()
            .zip(&self.answers)
            .find(|(proposal, answer)| answer.result == 0 && fits(proposal, answer))
            .map(|(_, answer)| answer.id)
            .with_context(|| format!("no context was accepted for it: {:?}", self.answers))
    }

    fn write_fragment(
        &mut self,
        context: u8,
        command: bool,
        last: bool,
        bytes: &[u8],
    ) -> Result<()> {
        let pdu = fragment(context, command, last, bytes)?;
        Ok(self.stream.write_all(&pdu)?)
    }

    fn read_response(&mut self) -> Result<Response> {
        let mut command = Vec::new();
        loop {
            let (kind, body) = read_pdu(&mut self.stream)?;
            ensure!(
                kind == 0x04,
                "PDU of type {kind:#04x} instead of a response: {body:?}"
            );
            let mut rest = body.as_slice();
            while let Some((pdv, after)) = split_u32(rest, 0) {
                let control = *pdv.get(1).context("a PDV without its header")?;
                ensure!(control & 1 == 1, "a data set instead of a response");
                command.extend_from_slice(pdv.get(2..).unwrap_or_default());
                if control & 2 == 2 {
                    return parse_response(&command).context("malformed response");
                }
                rest = after;
            }
        }
    }
}

/// An object that is on its way.
#[derive(Debug)]
pub struct Sending<'a> {
    cart: &'a mut Cart,
    context: u8,
    rest: &'a [u8],
}

impl Sending<'_> {
    /// Sends at most so many bytes more; the fragment with the last byte is marked as the last.
    pub fn send(&mut self, at_most: usize) -> Result<()> {
        let mut budget = at_most;
        // The PDV's length, context and control header count against the PDU (PS3.8 D.1).
        let fragment = self.cart.pdu_length.saturating_sub(6).max(1);
        while budget > 0 && !self.rest.is_empty() {
            let size = fragment.min(budget).min(self.rest.len());
            let (now, later) = self.rest.split_at(size);
            self.cart
                .write_fragment(self.context, false, later.is_empty(), now)?;
            self.rest = later;
            budget -= size;
        }
        Ok(())
    }

    /// Bytes that weren't sent yet.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Waits for the response.
    pub fn response(self) -> Result<Response> {
        self.cart.read_response()
    }
}

/// A P-DATA-TF with one PDV (PS3.8 sections 9.3.5 and E.2).
fn fragment(context: u8, command: bool, last: bool, bytes: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(bytes.len() + 2)?;
    let mut body = length.to_be_bytes().to_vec();
    body.push(context);
    body.push(u8::from(command) | (u8::from(last) << 1));
    body.extend_from_slice(bytes);
    pdu(0x04, &body)
}

fn pdu(kind: u8, body: &[u8]) -> Result<Vec<u8>> {
    let mut pdu = vec![kind, 0];
    pdu.extend_from_slice(&u32::try_from(body.len())?.to_be_bytes());
    pdu.extend_from_slice(body);
    Ok(pdu)
}

fn read_pdu(stream: &mut TcpStream) -> Result<(u8, Vec<u8>)> {
    let mut header = [0; 6];
    // A peer that answers in two pieces under Nagle's algorithm, as DCMTK does, would wait 40 ms for our delayed ACK.
    rustix::net::sockopt::set_tcp_quickack(&*stream, true)?;
    stream.read_exact(&mut header).context("no PDU came")?;
    let [kind, _, length @ ..] = header;
    let length = u32::from_be_bytes(length);
    ensure!(length <= 1 << 20, "a PDU of {length} bytes");
    let mut body = vec![0; usize::try_from(length)?];
    rustix::net::sockopt::set_tcp_quickack(&*stream, true)?;
    stream.read_exact(&mut body).context("a PDU was cut")?;
    Ok((kind, body))
}

fn associate_rq(called: &str, calling: &str, proposals: &[Proposal]) -> Result<Vec<u8>> {
    let mut body = vec![0, 1, 0, 0];
    body.extend_from_slice(format!("{called:<16}{calling:<16}").as_bytes());
    body.extend_from_slice(&[0; 32]);
    body.extend(item(0x10, APPLICATION_CONTEXT)?);
    for (id, proposal) in context_ids().zip(proposals) {
        let mut context = vec![id, 0, 0, 0];
        context.extend(item(0x30, proposal.sop_class.as_bytes())?);
        for syntax in &proposal.transfer_syntaxes {
            context.extend(item(0x40, syntax.as_bytes())?);
        }
        body.extend(item(0x20, &context)?);
    }
    let mut user = item(0x51, &OUR_PDU_LENGTH.to_be_bytes())?;
    user.extend(item(0x52, IMPLEMENTATION)?);
    body.extend(item(0x50, &user)?);
    pdu(0x01, &body)
}

/// Odd, from 1 (PS3.8 table 9-13).
fn context_ids() -> impl Iterator<Item = u8> {
    (1..=u8::MAX).step_by(2)
}

fn item(kind: u8, value: &[u8]) -> Result<Vec<u8>> {
    let mut item = vec![kind, 0];
    item.extend_from_slice(&u16::try_from(value.len())?.to_be_bytes());
    item.extend_from_slice(value);
    Ok(item)
}

/// Splits off a value whose length stands at `at` in 32 bits, big endian, and right before it.
fn split_u32(bytes: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let start = at + 4;
    let length = u32::from_be_bytes(bytes.get(at..start)?.try_into().ok()?);
    bytes
        .get(start..)?
        .split_at_checked(usize::try_from(length).ok()?)
}

/// The items (PS3.8 section 9.3.1) of a PDU, an item or a sub-item.
fn items(mut bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut items = Vec::new();
    while let [kind, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, after) = rest.split_at_checked(length)?;
        items.push((*kind, value));
        bytes = after;
    }
    Some(items)
}

fn parse_ac(body: &[u8]) -> Option<(Vec<Answered>, usize)> {
    let mut answers = Vec::new();
    let mut pdu_length = 0;
    for (kind, value) in items(body.get(68..)?)? {
        match kind {
            0x21 => {
                let syntax = items(value.get(4..)?)?;
                answers.push(Answered {
                    id: *value.first()?,
                    result: *value.get(2)?,
                    transfer_syntax: syntax
                        .first()
                        .map(|(_, ts)| trimmed(ts))
                        .unwrap_or_default(),
                });
            }
            0x50 => {
                for (kind, value) in items(value)? {
                    if kind == 0x51 {
                        pdu_length = u32::from_be_bytes(value.try_into().ok()?);
                    }
                }
            }
            _ => {}
        }
    }
    // 0 means no limit; ours is as good as any then.
    let limit = if pdu_length == 0 {
        OUR_PDU_LENGTH
    } else {
        pdu_length.min(OUR_PDU_LENGTH)
    };
    Some((answers, usize::try_from(limit).ok()?))
}

/// One element of a command set: group 0000 in Implicit VR Little Endian (PS3.7 section 6.3).
fn command_element(element: u16, value: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = vec![0, 0];
    bytes.extend_from_slice(&element.to_le_bytes());
    let padding = value.len() % 2;
    bytes.extend_from_slice(&u32::try_from(value.len() + padding)?.to_le_bytes());
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(&[0][..padding]);
    Ok(bytes)
}

fn command(elements: &[(u16, &[u8])]) -> Result<Vec<u8>> {
    let mut rest = Vec::new();
    for (element, value) in elements {
        rest.extend(command_element(*element, value)?);
    }
    let mut command = command_element(0x0000, &u32::try_from(rest.len())?.to_le_bytes())?;
    command.extend(rest);
    Ok(command)
}

fn store_rq(message_id: u16, sop_class: &str, affected_uid: &str) -> Result<Vec<u8>> {
    command(&[
        (0x0002, sop_class.as_bytes()),
        (0x0100, &0x0001_u16.to_le_bytes()),
        (0x0110, &message_id.to_le_bytes()),
        (0x0700, &0_u16.to_le_bytes()),
        (0x0800, &0x0102_u16.to_le_bytes()),
        (0x1000, affected_uid.as_bytes()),
    ])
}

fn echo_rq(message_id: u16) -> Result<Vec<u8>> {
    command(&[
        (0x0002, VERIFICATION.as_bytes()),
        (0x0100, &0x0030_u16.to_le_bytes()),
        (0x0110, &message_id.to_le_bytes()),
        (0x0800, &0x0101_u16.to_le_bytes()),
    ])
}

fn parse_response(mut bytes: &[u8]) -> Option<Response> {
    let mut status = None;
    let mut comment = String::new();
    while !bytes.is_empty() {
        let element = u16::from_le_bytes(bytes.get(2..4)?.try_into().ok()?);
        let length = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
        let (value, after) = bytes
            .get(8..)?
            .split_at_checked(usize::try_from(length).ok()?)?;
        match element {
            0x0900 => status = Some(u16::from_le_bytes(value.try_into().ok()?)),
            0x0902 => comment = trimmed(value),
            _ => {}
        }
        bytes = after;
    }
    Some(Response {
        status: status?,
        comment,
    })
}
