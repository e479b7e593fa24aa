//! A PACS of a few lines: it takes every object and hands over the first report.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use sonode_conformance::negotiation::Offer;
use sonode_conformance::{AeTitle, DimseStatus, StudyInstanceUid, transfer_syntax};
use sonode_dimse::{
    Acceptance, AssociateRequest, Command, DimseEvent, HeaderScanner, Rejection, Timers, negotiate,
    respond,
};

use crate::association::{self, Service};

/// A report that arrived.
pub(super) struct Received {
    /// As a Part 10 file.
    pub(super) part10: Vec<u8>,
    /// The study that it is about.
    pub(super) study: StudyInstanceUid,
}

/// A PACS that listens.
pub(super) struct Pacs {
    pub(super) port: u16,
    reports: Receiver<Received>,
}

impl Pacs {
    /// Listens on loopback.
    pub(super) fn start(title: AeTitle) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port on loopback")?;
        let port = listener.local_addr()?.port();
        let (sender, reports) = sync_channel(8);
        std::thread::Builder::new()
            .name("pacs".to_owned())
            .spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    serve(&stream, &title, &sender);
                }
            })?;
        Ok(Self { port, reports })
    }

    /// Waits for a report.
    pub(super) fn report(&self, longest: Duration) -> Option<Received> {
        self.reports.recv_timeout(longest).ok()
    }
}

fn serve(stream: &TcpStream, title: &AeTitle, reports: &SyncSender<Received>) {
    let mut archive = Archive {
        title: title.clone(),
        reports: reports.clone(),
        syntaxes: HashMap::new(),
        incoming: None,
    };
    association::run(
        stream,
        Timers::default(),
        &AtomicBool::new(false),
        &mut archive,
    );
}

struct Archive {
    title: AeTitle,
    reports: SyncSender<Received>,
    syntaxes: HashMap<u8, &'static str>,
    incoming: Option<(Command, &'static str, Vec<u8>)>,
}

impl Service for Archive {
    fn admit(&mut self, request: &AssociateRequest) -> Result<Acceptance, Rejection> {
        if request.called.title().ok().as_ref() != Some(&self.title) {
            return Err(Rejection::CALLED_AE_TITLE);
        }
        let contexts = negotiate(request, Offer::default());
        self.syntaxes = contexts
            .iter()
            .filter_map(|context| Some((context.id, context.transfer_syntax()?)))
            .collect();
        Ok(Acceptance::new(contexts))
    }

    fn message(&mut self, event: DimseEvent<'_>) -> Option<Vec<u8>> {
        match event {
            DimseEvent::Command {
                command,
                has_data_set: false,
                ..
            } => respond(&command, DimseStatus::SUCCESS, ""),
            DimseEvent::Command {
                context, command, ..
            } => {
                let syntax = self.syntaxes.get(&context).copied();
                self.incoming = Some((
                    command,
                    syntax.unwrap_or(transfer_syntax::EXPLICIT_LITTLE),
                    Vec::new(),
                ));
                None
            }
            DimseEvent::Data { bytes, is_last, .. } => {
                let (_, _, data) = self.incoming.as_mut()?;
                data.extend_from_slice(bytes);
                if !is_last {
                    return None;
                }
                let (command, syntax, data) = self.incoming.take()?;
                if let Some(received) = file(&command, syntax, &data) {
                    // A second report, or one after the demo has its own, is stored nowhere.
                    self.reports.try_send(received).unwrap_or_default();
                }
                respond(&command, DimseStatus::SUCCESS, "")
            }
        }
    }
}

/// The data set as a Part 10 file (PS3.10 section 7).
fn file(command: &Command, syntax: &str, data: &[u8]) -> Option<Received> {
    let request = command.request()?;
    let encoding = transfer_syntax::find(syntax)?.encoding;
    let mut scanner = HeaderScanner::new(encoding);
    scanner.push(data);
    let study = scanner.finish().study().ok()??;
    let mut meta = Vec::new();
    element(
        &mut meta,
        0x02,
        request.sop_class.sop_class().ok()?.as_str(),
    );
    element(
        &mut meta,
        0x03,
        request.sop_instance.sop_instance().ok()?.as_str(),
    );
    element(&mut meta, 0x10, syntax);
    element(
        &mut meta,
        0x12,
        sonode_conformance::implementation::CLASS_UID,
    );
    let mut version = vec![2, 0, 1, 0, b'O', b'B', 0, 0, 2, 0, 0, 0, 0, 1];
    version.append(&mut meta);
    let mut part10 = vec![0; 128];
    part10.extend_from_slice(b"DICM\x02\0\0\0UL\x04\0");
    part10.extend_from_slice(&u32::try_from(version.len()).ok()?.to_le_bytes());
    part10.extend_from_slice(&version);
    part10.extend_from_slice(data);
    Some(Received { part10, study })
}

/// A UI element of group 2, padded to an even length.
fn element(meta: &mut Vec<u8>, number: u8, uid: &str) {
    let padded = uid.len() + uid.len() % 2;
    meta.extend_from_slice(&[2, 0, number, 0, b'U', b'I']);
    meta.extend_from_slice(&u16::try_from(padded).unwrap_or(0).to_le_bytes());
    meta.extend_from_slice(uid.as_bytes());
    meta.resize(meta.len() + padded - uid.len(), 0);
}
