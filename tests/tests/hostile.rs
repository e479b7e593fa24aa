//! Peers and objects that mean harm: the node goes on, its memory stays where it was, and what it took is kept.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use sonode_tests::cart::{Cart, Proposal};
use sonode_tests::node::{AE_TITLE, CART, Config, Node};
use sonode_tests::part10::{JPEG_BASELINE, Object};
use sonode_tests::{dcmtk, reliability, synthetic};

const REPORT: Duration = Duration::from_mins(4);
const STUDY: &str = "1.2.826.0.1.3680043.10.1234";
/// What a peer that only connects may cost, in MB (10^6 bytes).
const MEMORY: u64 = 64;

fn unharmed(node: &Node) -> Result<()> {
    dcmtk::echoscu(node.address(), &[])?.success()?;
    let peak = node.peak_memory()?;
    ensure!(peak < MEMORY, "{peak} MB");
    Ok(())
}

#[test]
fn ten_thousand_connections_that_ask_for_nothing_leave_no_trace() -> Result<()> {
    const ATTEMPTS: u32 = 10_000;
    let node = Node::start(&Config::default())?;
    for attempt in 0..ATTEMPTS {
        // Refused where the backlog is full: that is an attempt too.
        let Ok(mut probe) = TcpStream::connect(node.address()) else {
            continue;
        };
        // Load balancers' probes, web browsers, and some that begin a PDU.
        let said: &[u8] = match attempt % 4 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\n\r\n",
            2 => &[0x01, 0x00, 0x00, 0x00],
            _ => &[0x04, 0x00, 0xFF, 0xFF, 0xFF, 0xFF],
        };
        drop(probe.write_all(said));
    }
    unharmed(&node)?;
    reliability::row(
        "connections that ask for nothing, or for nonsense",
        ATTEMPTS,
        "nothing",
        &[],
    )
}

#[test]
fn connections_that_stay_silent_take_nobodys_place() -> Result<()> {
    let node = Node::start(&Config::default())?;
    // Several times as many as the node has room for: the oldest goes for each newcomer.
    let mut silent = Vec::new();
    for _ in 0..500 {
        let mut half = TcpStream::connect(node.address())?;
        // A request that never goes on.
        drop(half.write_all(&[0x01, 0x00, 0x00, 0x00, 0x10]));
        silent.push(half);
    }
    unharmed(&node)?;
    drop(silent);
    unharmed(&node)
}

#[test]
fn a_pdu_of_an_absurd_length_ends_its_association_alone() -> Result<()> {
    let node = Node::start(&Config::default())?;
    let mut peer = TcpStream::connect(node.address())?;
    peer.set_read_timeout(Some(Duration::from_mins(1)))?;
    peer.write_all(&[0x01, 0x00, 0xFF, 0xFF, 0xFF, 0xFF])?;
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer)?;
    ensure!(answer.first() == Some(&0x07), "no A-ABORT: {answer:02x?}");
    unharmed(&node)
}

/// A frame header of a JPEG that claims the greatest size there is.
fn bomb() -> Vec<u8> {
    let sof = [
        0xFF, 0xC0, 0, 17, 8, 0xFF, 0xFF, 0xFF, 0xFF, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1,
    ];
    let sos = [0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0];
    [&[0xFF, 0xD8][..], &sof, &sos, &[0; 64], &[0xFF, 0xD9]].concat()
}

/// Twelve hundred zeros for each byte, half a gibibyte and more in all.
fn deflated_bomb(instance: &str) -> Result<Object> {
    const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
    let mut object = synthetic::cine(STUDY, instance, 500);
    let folder = tempfile::tempdir()?;
    let plain = folder.path().join("plain");
    fs::write(&plain, &object.data_set)?;
    let python = "import sys, zlib; d = zlib.compressobj(9, zlib.DEFLATED, -15); \
                  b = open(sys.argv[1], 'rb').read(); open(sys.argv[1], 'wb').write(d.compress(b) + d.flush())";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", python]).arg(&plain);
    sonode_tests::process::Run::of(&mut command)?.success()?;
    object.data_set = fs::read(&plain)?;
    DEFLATED.clone_into(&mut object.transfer_syntax);
    Ok(object)
}

#[test]
fn objects_that_would_blow_up_are_kept_and_refused_by_name() -> Result<()> {
    let node = Node::start(&Config::default())?;
    let uid = |n: u32| format!("{STUDY}.2.{n}");
    let [deep, jpeg, frames, deflated] = [uid(1), uid(2), uid(3), uid(4)];
    let objects = [
        synthetic::nested(STUDY, &deep, 100_000),
        synthetic::encapsulated(
            [STUDY, &jpeg],
            JPEG_BASELINE,
            30,
            [65_535, 65_535],
            &[&bomb()],
        ),
        // Frames that are not there.
        synthetic::encapsulated(
            [STUDY, &frames],
            JPEG_BASELINE,
            9_999,
            [600, 800],
            &[&bomb()],
        ),
        deflated_bomb(&deflated)?,
    ];
    let proposals: Vec<Proposal> = objects.iter().map(Proposal::for_object).collect();
    let mut cart = Cart::associate(node.address(), AE_TITLE, CART, &proposals)?;
    for object in &objects {
        let answer = cart.store(object)?;
        ensure!(
            answer.status == 0,
            "{:#06x}: {}",
            answer.status,
            answer.comment
        );
    }
    cart.release()?;
    let study = node.study_done(STUDY, REPORT)?;
    for object in &objects {
        let why = Node::rejection(&study, &object.sop_instance)?;
        ensure!(why.is_some(), "{} was measured", object.sop_instance);
        let stored = node.stored(STUDY, &object.sop_instance)?;
        let [file] = stored.as_slice() else {
            anyhow::bail!("{} is stored as {stored:?}", object.sop_instance);
        };
        ensure!(Object::read(file)? == *object, "{} changed", file.display());
    }
    let health = node.http().json("/api/v1/health")?;
    let deaths = health
        .pointer("/counters/worker_deaths")
        .and_then(Value::as_u64);
    ensure!(deaths == Some(0), "the worker died of them: {health}");
    unharmed(&node)
}
