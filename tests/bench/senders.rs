//! Who sends: DCMTK's `storescu`, one process an association, and a load generator of our own, whose objects are ready
//! in memory as PDUs, so that a receiver never waits for it.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::ValueEnum;
use sonode_tests::cart::{Cart, Proposal};
use sonode_tests::node::CART;

use crate::objects::{HEAD_BYTES, Stock, Uids, number};
use crate::pump;

/// A sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Sender {
    /// DCMTK's, as most carts are built.
    Storescu,
    /// Ours.
    Own,
}

/// Where the objects go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The called AE title; none for the pump.
    pub(crate) title: Option<&'static str>,
}

/// What a sender saw.
#[derive(Debug)]
pub(crate) struct Sent {
    /// From the first connection to the last release.
    pub(crate) elapsed: Duration,
    /// From the last byte of each object to its response; empty for `storescu`, which doesn't tell.
    pub(crate) responses: Vec<Duration>,
}

impl Sender {
    /// Writes what it needs beforehand, outside the time that is measured.
    pub(crate) fn prepare(self, stock: &Stock, associations: u32) -> Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Storescu => {
                (0..associations).try_for_each(|at| files(stock, associations, at).map(drop))
            }
        }
    }

    /// Sends [`Stock::objects`] over each of so many associations at once. Every object must be taken.
    pub(crate) fn send(self, stock: &Stock, associations: u32, to: Target) -> Result<Sent> {
        match self {
            Self::Storescu => storescu(stock, associations, to),
            Self::Own => own(stock, associations, to),
        }
    }
}

fn files(stock: &Stock, associations: u32, association: u32) -> Result<Vec<PathBuf>> {
    let objects = 0..stock.objects(associations);
    objects
        .map(|object| stock.file(&Uids::new(association, object)))
        .collect()
}

fn storescu(stock: &Stock, associations: u32, to: Target) -> Result<Sent> {
    let title = to.title.context("storescu speaks DICOM only")?;
    let mut commands = Vec::new();
    for association in 0..associations {
        let mut command = Command::new("storescu");
        command
            .args(["--max-pdu", "131072", "--max-send-pdu", "131072", "-xy"])
            .args(["-aec", title, "-aet", CART])
            .arg(to.address.ip().to_string())
            .arg(to.address.port().to_string())
            .args(files(stock, associations, association)?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        commands.push(command);
    }
    let begun = Instant::now();
    let running: Result<Vec<_>, _> = commands.iter_mut().map(Command::spawn).collect();
    for child in running.context("storescu can't be started")? {
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && said.is_empty(),
            "storescu: {}: {said}",
            output.status
        );
    }
    Ok(Sent {
        elapsed: begun.elapsed(),
        responses: Vec::new(),
    })
}

fn own(stock: &Stock, associations: u32, to: Target) -> Result<Sent> {
    let objects = stock.objects(associations);
    // The context and PDU length are the same for every association with this receiver.
    let pdus = match to.title {
        Some(title) => {
            let cart = associate(stock, to.address, title)?;
            let pdus = stock.pdus(cart.context_for(stock.template())?, cart.pdu_length())?;
            cart.release()?;
            pdus
        }
        None => stock.pdus(1, 131_072)?,
    };
    let (head, rest) = pdus.split_at_checked(HEAD_BYTES).context("too short")?;
    let all_ready = Barrier::new(usize::try_from(associations)?);
    let begun = Instant::now();
    let responses = thread::scope(|scope| {
        let threads: Vec<_> = (0..associations)
            .map(|association| {
                let all_ready = &all_ready;
                scope.spawn(move || {
                    all_ready.wait();
                    let mut line = Line::open(stock, to)?;
                    let mut responses = Vec::new();
                    for object in 0..objects {
                        let uids = Uids::new(association, object);
                        let mut head = head.to_vec();
                        number(&mut head, &uids)?;
                        responses.push(line.send(stock, &uids, &head, rest)?);
                    }
                    line.close()?;
                    Ok(responses)
                })
            })
            .collect();
        let each = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a sender died"))?);
        each.collect::<Result<Vec<_>>>()
    })?;
    Ok(Sent {
        elapsed: begun.elapsed(),
        responses: responses.concat(),
    })
}

fn associate(stock: &Stock, address: SocketAddr, title: &str) -> Result<Cart> {
    Cart::associate(
        address,
        title,
        CART,
        &[Proposal::for_object(stock.template())],
    )
}

/// One connection of the load generator.
enum Line {
    Dicom(Cart),
    Pump(TcpStream),
}

impl Line {
    fn open(stock: &Stock, to: Target) -> Result<Self> {
        if let Some(title) = to.title {
            return Ok(Self::Dicom(associate(stock, to.address, title)?));
        }
        let stream = TcpStream::connect(to.address)?;
        stream.set_nodelay(true)?;
        Ok(Self::Pump(stream))
    }

    fn send(&mut self, stock: &Stock, uids: &Uids, head: &[u8], rest: &[u8]) -> Result<Duration> {
        match self {
            Self::Pump(stream) => pump::send(stream, head, rest),
            Self::Dicom(cart) => {
                let (took, answer) =
                    cart.store_ready(stock.template(), &uids.instance, head, rest)?;
                ensure!(
                    answer.status == 0,
                    "{:#06x}: {}",
                    answer.status,
                    answer.comment
                );
                Ok(took)
            }
        }
    }

    fn close(self) -> Result<()> {
        match self {
            Self::Dicom(cart) => cart.release(),
            Self::Pump(_) => Ok(()),
        }
    }
}
