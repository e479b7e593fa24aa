//! Many associations at once, and one that carries a whole stress echo. Short here; `make soak` has them at full length.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sonode_tests::cart::{Cart, Proposal, at_once};
use sonode_tests::node::{AE_TITLE, CART, Config, Node};
use sonode_tests::reliability;
use sonode_tests::synthetic::{FRAME_BYTES, cine, native};

const ASSOCIATIONS: u32 = 64;
const STUDY_ROOT: &str = "1.2.826.0.1.3680043.10.1234";
/// Instances of a study of small stills.
const STILLS: u64 = 50;
const DONE: Duration = Duration::from_hours(1);

/// A number from the environment, for `make soak`.
fn setting(name: &str, default: u64) -> Result<u64> {
    std::env::var(name).map_or(Ok(default), |text| {
        text.parse()
            .with_context(|| format!("{name}={text} is no number"))
    })
}

/// One cart's association for so long, with a rest after each object: the instances that were acknowledged.
fn carry(node: &Node, cart: u32, until: Instant, rest: Duration) -> Result<u64> {
    let study = format!("{STUDY_ROOT}.{cart}");
    let first = cine(&study, &format!("{study}.2.0"), 1);
    let mut association = Cart::associate(
        node.address(),
        AE_TITLE,
        CART,
        &[Proposal::for_object(&first)],
    )?;
    let mut stored = 0;
    while Instant::now() < until {
        let object = cine(&study, &format!("{study}.2.{stored}"), 1);
        let answer = association.store(&object)?;
        ensure!(
            answer.status == 0,
            "{:#06x}: {}",
            answer.status,
            answer.comment
        );
        stored += 1;
        thread::sleep(rest);
    }
    association.release()?;
    Ok(stored)
}

#[test]
fn sixty_four_associations_send_at_once() -> Result<()> {
    let seconds = setting("SONODE_LOAD_S", 10)?;
    // Ten minutes without a rest would fill any disk.
    let rest = Duration::from_millis(setting("SONODE_LOAD_REST_MS", 0)?);
    let node = Node::start(&Config::default())?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let stored = at_once(0..ASSOCIATIONS, |cart| carry(&node, cart, until, rest))?;
    ensure!(
        stored.iter().all(|stored| *stored > 0),
        "a cart waited for the others: {stored:?}"
    );
    let sent: u64 = stored.iter().sum();
    let kept = node.all_stored()?.len();
    ensure!(
        u64::try_from(kept)? == sent,
        "{kept} of {sent} acknowledged instances are there"
    );
    reliability::row(
        &format!(
            "{ASSOCIATIONS} associations send for {seconds} s; peak memory {} MB",
            node.peak_memory()?
        ),
        1,
        &format!("nothing of {sent} instances"),
        &[],
    )
}

#[test]
fn one_association_carries_a_stress_echo() -> Result<()> {
    let clips = setting("SONODE_STRESS_CLIPS", 40)?;
    let frames = u16::try_from(setting("SONODE_STRESS_FRAMES", 4)?)?;
    let node = Node::start(&Config::default())?;
    let study = format!("{STUDY_ROOT}.100");
    let first = cine(&study, &format!("{study}.2.0"), 1);
    let mut cart = Cart::associate(
        node.address(),
        AE_TITLE,
        CART,
        &[Proposal::for_object(&first)],
    )?;
    for clip in 0..clips {
        let answer = cart.store(&cine(&study, &format!("{study}.2.{clip}"), frames))?;
        ensure!(
            answer.status == 0,
            "{:#06x}: {}",
            answer.status,
            answer.comment
        );
    }
    cart.release()?;
    let kept = node.all_stored()?.len();
    ensure!(
        u64::try_from(kept)? == clips,
        "{kept} of {clips} clips are there"
    );
    let done = node.study_done(&study, DONE)?;
    let listed = done["instance_list"].as_array().map(Vec::len);
    ensure!(
        listed.map(u64::try_from) == Some(Ok(clips)),
        "{listed:?} of {clips} are listed"
    );
    let bytes = clips * u64::from(frames) * u64::try_from(FRAME_BYTES)?;
    reliability::row(
        &format!(
            "a stress echo of {clips} clips and {} MB over one association; peak memory {} MB",
            bytes / 1_000_000,
            node.peak_memory()?
        ),
        1,
        "nothing",
        &[],
    )
}

/// Sends this cart's studies of small stills; nothing of it is analysed.
fn fill(node: &Node, cart: u64, studies: u64) -> Result<()> {
    let still =
        |study: &str, n: u64| native([study, &format!("{study}.2.{n}")], 1, [8, 8], &[7; 192]);
    let proposal = Proposal::for_object(&still(STUDY_ROOT, 0));
    let mut association = Cart::associate(node.address(), AE_TITLE, CART, &[proposal])?;
    for number in 0..studies {
        let study = format!("{STUDY_ROOT}.9.{cart}.{number}");
        for n in 0..STILLS {
            let answer = association.store(&still(&study, n))?;
            ensure!(answer.status == 0, "{:#06x}", answer.status);
        }
    }
    association.release()
}

#[test]
fn a_lost_queue_is_rebuilt_from_what_is_open() -> Result<()> {
    const CARTS: u64 = 8;
    let studies = setting("SONODE_OPEN_INSTANCES", 800)? / (CARTS * STILLS);
    let mut node = Node::start(&Config {
        quiet_period_s: 3600,
        ..Config::default()
    })?;
    let stopped = node.stop_worker()?;
    at_once(0..CARTS, |cart| fill(&node, cart, studies))?;
    node.kill()?;
    drop(stopped);
    std::fs::remove_dir_all(node.data_dir().join("queue"))?;
    let begun = Instant::now();
    node.restart()?;
    let ready = begun.elapsed();
    let known = node.studies()?.len();
    ensure!(
        u64::try_from(known)? == CARTS * studies,
        "{known} of {} studies are known",
        CARTS * studies
    );
    reliability::row(
        &format!(
            "the queue is deleted with {} open instances",
            CARTS * studies * STILLS
        ),
        1,
        "nothing",
        &[ready],
    )
}
