//! Reports that waited for the PACS: how fast they leave once it is there, and on how many associations.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use sonode_tests::cart::{Cart, Proposal};
use sonode_tests::dcmtk::{STORE_SCP, StoreScp};
use sonode_tests::node::{AE_TITLE, CART, Config, Node};
use sonode_tests::synthetic;
use sonode_tests::wait::{eventually, free_port};

const WITHIN: Duration = Duration::from_mins(3);

/// What a backlog took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    studies: u32,
    /// That the PACS took.
    associations: usize,
    /// From the first report in the PACS's folder to the last.
    seconds: f64,
}

/// So many studies of one small still each, whose reports say that nothing was measured, wait for a PACS that is away.
pub(crate) fn measure(studies: u32) -> Result<Backlog> {
    let port = free_port()?;
    let mut config = Config::with_pacs(port, STORE_SCP);
    for route in &mut config.routes {
        route.report_unmeasured = Some("always".to_owned());
    }
    let node = Node::start(&config)?;
    let uids: Vec<String> = (1..=studies).map(|n| format!("2.25.777.{n}")).collect();
    let still = |uid: &str| synthetic::native([uid, &format!("{uid}.1")], 1, [8, 8], &[0; 192]);
    let first = still(uids.first().context("no study")?);
    let mut cart = Cart::associate(
        node.address(),
        AE_TITLE,
        CART,
        &[Proposal::for_object(&first)],
    )?;
    for uid in &uids {
        let answer = cart.store(&still(uid))?;
        ensure!(answer.status == 0, "{:#06x}", answer.status);
    }
    cart.release()?;
    let times = |uid: &String, name: &str| -> Result<Option<jiff::Timestamp>> {
        let study = node
            .study(uid)?
            .with_context(|| format!("no study {uid}"))?;
        let time = study
            .pointer("/timeline")
            .and_then(|times| times[name].as_str());
        Ok(time.map(str::parse).transpose()?)
    };
    let all = |name: &str| -> Result<Option<Vec<jiff::Timestamp>>> {
        uids.iter().map(|uid| times(uid, name)).collect()
    };
    eventually("every study to owe its report", WITHIN, || all("reported"))?;
    let pacs = StoreScp::start(port, &[])?;
    for uid in &uids {
        node.http()
            .post(&format!("/api/v1/studies/{uid}/retry"), "")?;
    }
    // A look at the PACS's folder costs the node nothing.
    eventually("the PACS to have every report", WITHIN, || {
        Ok((pacs.received()?.len() == uids.len()).then_some(()))
    })?;
    // The node learns of them as one answer, at the association's end.
    let written = |file: &PathBuf| anyhow::Ok(std::fs::metadata(file)?.modified()?);
    let written: Result<Vec<SystemTime>> = pacs.received()?.iter().map(written).collect();
    let written = written?;
    let (first, last) = (written.iter().min(), written.iter().max());
    let (first, last) = first.zip(last).context("no report")?;
    eventually("every report to be delivered", WITHIN, || all("delivered"))?;
    Ok(Backlog {
        studies,
        associations: pacs.associations()?,
        seconds: last.duration_since(*first)?.as_secs_f64(),
    })
}

/// In a sentence.
pub(crate) fn sentence(backlog: Backlog) -> String {
    let Backlog {
        studies,
        associations,
        seconds,
    } = backlog;
    format!(
        "{studies} reports that had waited for the PACS left on {associations} association{}, {:.0} a second.",
        if associations == 1 { "" } else { "s" },
        f64::from(studies) / seconds
    )
}
