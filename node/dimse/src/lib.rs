//! The DICOM upper layer and the DIMSE message layer (PS3.8, PS3.7) without sockets and without a clock.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`pdu`] | [`PduReader`]: which bytes to read next, and whole PDUs out of one reused buffer |
//! | [`associate`] | A-ASSOCIATE-RQ and -AC as types, [`negotiate`] |
//! | [`refusal`] | A-ASSOCIATE-RJ and A-ABORT as types and as plain words |
//! | [`acceptor`], [`requestor`] | the two association state machines; their common table is in `machine` |
//! | [`data_set`], [`commitment`], [`procedure_step`] | small data sets of the normalized services |
//! | [`assembler`] | PDVs into [`Command`]s and data set bytes |
//! | [`command`], [`response`] | command sets, read and written |
//! | [`encoder`] | command and data sets into P-DATA-TF PDUs |
//! | [`header`] | [`HeaderScanner`]: the attributes that the node needs, out of the bytes as they pass |
//!
//! **Architecture invariant:** nothing here reads a socket, a file or a clock. Bytes and `now` are arguments;
//! what comes out is bytes to send, one event at most for each input, and one next deadline.
//!
//! The driver's loop, here over a peer that sends its bytes all at once:
//!
//! ```
//! use std::time::Instant;
//! use sonode_conformance::negotiation::Offer;
//! use sonode_dimse::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let now = Instant::now();
//! # let proposal = Proposal::new("CART".parse()?, "SONODE".parse()?)
//! #     .with_context("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])?;
//! # let mut cart = Requestor::new(proposal, Timers::default(), now)?;
//! # let bytes_from_peer = cart.take_output();
//! let mut reader = PduReader::new();
//! let mut acceptor = Acceptor::new(Timers::default(), now);
//! let mut assembler = None;
//! let mut to_send = Vec::new();
//!
//! let mut incoming = bytes_from_peer.as_slice();
//! while !incoming.is_empty() {
//!     // 1. read(2) into the slice that the reader asks for
//!     let read = std::io::Read::read(&mut incoming, reader.space())?;
//!     reader.advance(read);
//!     // 2. every PDU that is whole now
//!     loop {
//!         let event = match reader.pdu() {
//!             Ok(None) => break,
//!             Ok(Some(pdu)) => acceptor.on_pdu(pdu, now),
//!             Err(error) => acceptor.on_pdu_error(error, now),
//!         };
//!         match event {
//!             Some(AcceptorEvent::Requested(request)) => {
//!                 let accept = Acceptance::new(negotiate(&request, Offer::default()));
//!                 assembler = Some(Assembler::new(accept.accepted_ids()));
//!                 acceptor.accept(&accept, now);
//!                 reader.set_body_max(data_body_max(accept.max_pdu_length));
//!             }
//!             Some(AcceptorEvent::Data(data)) => {
//!                 let assembler = assembler.as_mut().ok_or("data before acceptance")?;
//!                 for pdv in data {
//!                     match assembler.push(pdv) {
//!                         Ok(Some(_event)) => { /* the DIMSE services; answers with `respond` */ }
//!                         Ok(None) => {}
//!                         Err(error) => { acceptor.abort(error.abort(), now); break; }
//!                     }
//!                 }
//!                 acceptor.on_message(assembler.is_inside_message(), now);
//!             }
//!             Some(AcceptorEvent::Released | AcceptorEvent::Refused { .. }) => {}
//!             Some(AcceptorEvent::Aborted(_) | AcceptorEvent::Failed(_)) => { /* drop what is unfinished */ }
//!             None => {}
//!         }
//!         reader.consume();
//!     }
//!     acceptor.on_bytes(reader.is_inside_pdu(), now);
//!     // 3. what there is to send
//!     to_send.extend(acceptor.take_output());
//!     // 4. close the transport when acceptor.is_closed(), else wait for bytes until acceptor.next_deadline(),
//!     //    and call acceptor.on_timeout(now) when it has passed
//! }
//! assert_eq!(to_send.first(), Some(&0x02));
//! # Ok(())
//! # }
//! ```
#![warn(clippy::indexing_slicing)]

pub mod acceptor;
pub mod assembler;
pub mod associate;
pub mod command;
pub mod commitment;
mod cursor;
pub mod data_set;
pub mod encoder;
pub mod header;
mod machine;
pub mod pdu;
pub mod procedure_step;
pub mod refusal;
pub mod requestor;
pub mod response;

pub use acceptor::{Acceptor, AcceptorEvent};
pub use assembler::{Assembler, DimseEvent, ProtocolError};
pub use associate::{
    Acceptance, AssociateAccept, AssociateError, AssociateRequest, ContextResult,
    NegotiatedContext, Proposal, ProposalError, ProposedContext, RoleSelection, TitleField,
    UserIdentity, negotiate,
};
pub use command::{Command, CommandError, RawUid, Request, Response, StoreRq};
pub use data_set::{DataSet, DataSetError, DataSetWriter};
pub use encoder::{PdataEncoder, PdvKind, write_message};
pub use header::{HeaderFacts, HeaderScanner, ScanEnd, Tag};
pub use machine::{Failure, Timer, Timers};
pub use pdu::{OpenPdv, PData, PduError, PduKind, PduReader, Pdv, RawPdu, data_body_max};
pub use refusal::{Abort, Rejection};
pub use requestor::{Requestor, RequestorEvent};
pub use response::respond;
