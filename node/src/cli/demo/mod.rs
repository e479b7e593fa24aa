//! `sonode demo`: a cart, the node and a PACS on loopback, and the report that comes out.

mod pacs;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use sonode_conformance::{AeTitle, StudyInstanceUid};
use sonode_findings::{Findings, StudyContext};

use super::CliError;
use crate::config::{Config, PeerAddress, default_models_dir};
use crate::node::Running;
use pacs::{Pacs, Received};

/// Loading the models takes seconds; a slow disk and a busy machine take longer.
const WORKER_START: Duration = Duration::from_mins(3);
/// From the last image to the report.
const REPORT: Duration = Duration::from_mins(10);

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// DICOM files of one study. None: a phantom study with a known ejection fraction.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Which phantom.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where report.dcm, findings.json and overlay.png go.
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,
}

/// Runs the whole path once.
pub(super) fn run(args: &Demo) -> Result<(), CliError> {
    for file in &args.files {
        if let Err(error) = std::fs::File::open(file) {
            return Err(CliError::Usage(anyhow::anyhow!(
                "{}: {error}",
                file.display()
            )));
        }
    }
    let work = tempfile::tempdir().context("no temporary folder")?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{} can't be made", args.out.display()))?;
    let (files, truth) = study(args, work.path())?;
    let runtime = tokio::runtime::Runtime::new().context("tokio can't start")?;
    let (report, findings, context) = runtime.block_on(through_the_node(&files, work.path()))?;

    let report_path = args.out.join("report.dcm");
    let write = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).with_context(|| format!("{} can't be written", path.display()))
    };
    write(&report_path, &report.part10)?;
    let findings_path = args.out.join("findings.json");
    let json = serde_json::to_vec_pretty(&findings).context("the findings make no JSON")?;
    write(&findings_path, &json)?;
    let overlay_path = args.out.join("overlay.png");
    let has_picture = findings.lv.is_some();
    if has_picture {
        let language = sonode_sr_writer::Language::default();
        super::analyze::overlay(&findings, &context, &files, language, &overlay_path)?;
    }

    println!(
        "\n{}",
        sonode_sr_writer::show(&report.part10).context("the report can't be shown")?
    );
    print!("{}", super::summary::of(&findings));
    if let Some(truth) = truth {
        println!("{truth}");
    }
    println!(
        "\nwritten: {} {}",
        report_path.display(),
        findings_path.display()
    );
    if has_picture {
        println!("         {}", overlay_path.display());
    }
    Ok(())
}

/// The files to send, and for a phantom the line that tells its true values.
fn study(args: &Demo, work: &Path) -> Result<(Vec<PathBuf>, Option<String>), CliError> {
    if !args.files.is_empty() {
        return Ok((args.files.clone(), None));
    }
    println!("A phantom study, seed {}.", args.seed);
    let folder = work.join("phantom");
    let mut command = super::worker::command("phantom");
    command
        .arg("--seed")
        .arg(args.seed.to_string())
        .arg("--out")
        .arg(&folder);
    super::worker::output(command)?;
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<Result<_, _>>()
        })
        .context("the phantom can't be listed")?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "dcm"));
    files.sort();
    let truth =
        std::fs::read(folder.join("truth.json")).context("the phantom has no truth.json")?;
    let truth: serde_json::Value =
        serde_json::from_slice(&truth).context("the phantom's truth.json can't be read")?;
    // A study's instances show one and the same ventricle.
    let number = |key: &str| {
        let value = truth.pointer(&format!("/instances/0/{key}"));
        value
            .and_then(serde_json::Value::as_f64)
            .unwrap_or(f64::NAN)
    };
    let line = format!(
        "The phantom's truth: LVEF {:.0} %, EDV {:.0} ml, ESV {:.0} ml.",
        number("lvef_percent"),
        number("edv_ml"),
        number("esv_ml"),
    );
    Ok((files, Some(line)))
}

/// Starts PACS and node, sends the files as a cart would, and waits for the report.
async fn through_the_node(
    files: &[PathBuf],
    work: &Path,
) -> anyhow::Result<(Received, Findings, StudyContext)> {
    let pacs = Pacs::start(AeTitle::parse(b"PACS")?)?;
    let running = Running::start(configuration(work, pacs.port)?).await?;
    println!(
        "The node listens on {}, a PACS on port {}.",
        running.dicom, pacs.port
    );
    ready(&running).await?;
    let address = PeerAddress {
        host: running.dicom.ip().to_string(),
        port: running.dicom.port(),
    };
    let (cart, sonode) = (AeTitle::parse(b"CART")?, AeTitle::parse(b"SONODE")?);
    let to_send = files.to_vec();
    let sent =
        tokio::task::spawn_blocking(move || super::send::files(&cart, &sonode, address, to_send));
    sent.await??;
    let report = tokio::task::spawn_blocking(move || pacs.report(REPORT)).await?;
    let Some(report) = report else {
        let studies = running.node.pipeline().studies();
        let why = studies.iter().find_map(|study| study.reason.clone());
        running.stop().await;
        bail!(
            "no report came: {}",
            why.unwrap_or_else(|| "the log says more with -v".to_owned())
        );
    };
    let study: StudyInstanceUid = report.study.clone();
    let findings = running
        .node
        .pipeline()
        .findings(&study)
        .context("the study has no findings")?;
    let mut context = StudyContext::unknown(study.clone());
    if let Some(detail) = running.node.pipeline().study(&study) {
        context.patient_name = detail.patient_name;
        context.patient_id = detail.patient_id;
        context.study_date = detail.study_date;
    }
    running.stop().await;
    Ok((report, findings, context))
}

/// The configuration is written and checked as a hospital's would be.
fn configuration(work: &Path, pacs_port: u16) -> anyhow::Result<Config> {
    let text = format!(
        r#"
        [node]
        ae_title = "SONODE"
        listen = "127.0.0.1:0"
        data_dir = {data_dir:?}
        [http]
        listen = "127.0.0.1:0"
        [study]
        quiet_period_s = 1
        [inference]
        models_dir = {models_dir:?}
        allow_research_models = true
        [[peer]]
        name = "cart"
        ae_title = "CART"
        [[peer]]
        name = "pacs"
        ae_title = "PACS"
        host = "127.0.0.1"
        port = {pacs_port}
        [[route]]
        from = ["cart"]
        to = "pacs"
        send = ["sr"]
        report_unmeasured = "always"
        "#,
        data_dir = work.join("data").display().to_string(),
        models_dir = std::path::absolute(default_models_dir())?
            .display()
            .to_string(),
    );
    Config::check(text.parse()?, work).map_err(|problems| {
        anyhow::anyhow!(
            "the demo's configuration: {}",
            problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        )
    })
}

async fn ready(running: &Running) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let health = running.node.health();
        if health.ready {
            return Ok(());
        }
        if began.elapsed() > WORKER_START {
            bail!("the node did not get ready: {}", health.problems.join("; "));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
