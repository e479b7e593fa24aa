//! The command line, as the interface contract has it: exit 0 done, 1 failed, 2 usage or configuration.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use sonode_tests::dcmtk::{STORE_SCP, StoreScp, validate_report};
use sonode_tests::node::{Config, Node};
use sonode_tests::paths;
use sonode_tests::process::Run;
use sonode_tests::report::Report;
use sonode_tests::samples;
use sonode_tests::wait::free_port;

fn sonode(arguments: &[&str]) -> Result<Run> {
    let mut command = Command::new(paths::program("sonode")?);
    Run::of(command.args(arguments).current_dir(paths::repository()))
}

/// Nothing moves while a test looks.
fn open_for_an_hour() -> Config {
    Config {
        quiet_period_s: 3600,
        ..Config::default()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// A file that isn't there is named, and nothing is done.
fn names_what_is_missing(arguments: &[&str]) -> Result<()> {
    let run = sonode(arguments)?;
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("no-such-file.dcm"), "{}", run.stderr);
    Ok(())
}

#[test]
fn every_command_has_help_and_a_wrong_one_is_usage() -> Result<()> {
    for command in [
        "serve",
        "demo",
        "analyze",
        "check",
        "echo",
        "send",
        "studies",
        "sr",
        "conformance",
        "models",
    ] {
        let help = sonode(&[command, "--help"])?.success()?;
        assert!(help.stdout.contains("Usage:"), "{command}: {}", help.stdout);
    }
    let help = sonode(&["--help"])?.success()?;
    assert!(help.stdout.contains("Exit codes"), "{}", help.stdout);
    for wrong in [
        &["no-such-command"] as &[&str],
        &["serve"],
        &["echo"],
        &["check", "--config"],
        &[],
    ] {
        sonode(wrong)?.expect_code(2)?;
    }
    Ok(())
}

#[test]
fn check_names_every_problem_at_once_with_its_key() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("sonode.toml");
    fs::write(
        &config,
        r#"
[node]
ae_title = "A TITLE THAT IS TOO LONG"
data_dir = "data"
colour = "blue"
[study]
quiet_period_s = 0
[[peer]]
name = "pacs"
ae_title = "PACS"
host = "10.0.0.5"
[[route]]
to = "nobody"
send = ["everything"]
"#,
    )?;
    let run = sonode(&["check", "--config", text(&config)])?.expect_code(2)?;
    for key in [
        "node.ae_title",
        "node.colour",
        "study.quiet_period_s",
        "port",
        "nobody",
        "everything",
    ] {
        assert!(
            run.text().contains(key),
            "{key} is not named:\n{}",
            run.text()
        );
    }
    sonode(&["serve", "--config", text(&config)])?.expect_code(2)?;
    sonode(&[
        "check",
        "--config",
        text(&folder.path().join("missing.toml")),
    ])?
    .expect_code(2)?;
    let example = paths::repository().join("deploy/sonode.example.toml");
    sonode(&["check", "--config", text(&example)])?.success()?;
    Ok(())
}

#[test]
fn echo_says_what_a_rejection_means() -> Result<()> {
    let node = Node::start(&Config::default())?;
    let at = node.address();
    sonode(&["echo", &format!("SONODE@{at}"), "--from", "CART1"])?.success()?;
    // PS3.8 table 9-21: 3 is the calling title, 7 the called one.
    for (called, calling, reason) in [("SONODE", "STRANGER", 3), ("NOBODY", "CART1", 7)] {
        let peer = format!("{called}@{at}");
        let run = sonode(&["echo", &peer, "--from", calling])?.expect_code(1)?;
        let decoded = format!("A-ASSOCIATE-RJ result 1, source 1, reason {reason}");
        assert!(run.stderr.contains(&decoded), "{}", run.text());
        assert!(
            run.stderr.contains("AE title"),
            "in words, too: {}",
            run.text()
        );
    }
    let silent = format!("PACS@127.0.0.1:{}", free_port()?);
    sonode(&["echo", &silent])?.expect_code(1)?;
    sonode(&["echo", "PACS@127.0.0.1"])?.expect_code(2)?;
    Ok(())
}

#[test]
fn send_stores_files_and_fails_when_they_are_refused() -> Result<()> {
    let (scp, port) = StoreScp::start_anywhere(&[])?;
    let to = format!("{STORE_SCP}@127.0.0.1:{port}");
    let files = [
        samples::pydicom("examples_rgb_color.dcm")?,
        samples::pydicom(samples::CINE)?,
    ];
    sonode(&["send", text(&files[0]), text(&files[1]), "--to", &to])?.success()?;
    assert_eq!(scp.received()?.len(), 2);
    let (_refusing, port) = StoreScp::start_anywhere(&["--refuse"])?;
    let to = format!("{STORE_SCP}@127.0.0.1:{port}");
    sonode(&["send", text(&files[0]), "--to", &to])?.expect_code(1)?;
    names_what_is_missing(&["send", "no-such-file.dcm", "--to", &to])?;
    Ok(())
}

#[test]
fn send_is_a_load_generator() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let file = samples::pydicom("examples_rgb_color.dcm")?;
    let to = format!("SONODE@{}", node.address());
    let arguments = [
        "send",
        text(&file),
        "--to",
        &to,
        "--from",
        "CART1",
        "--associations",
        "3",
        "--repeat",
        "4",
    ];
    sonode(&arguments)?.success()?;
    assert!(!node.all_stored()?.is_empty());
    Ok(())
}

#[test]
fn studies_lists_shows_and_closes() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let file = samples::pydicom("examples_rgb_color.dcm")?;
    let to = format!("SONODE@{}", node.address());
    sonode(&["send", text(&file), "--to", &to, "--from", "CART1"])?.success()?;
    let studies = node.studies()?;
    let uid = studies
        .first()
        .and_then(|s| s.get("study_instance_uid"))
        .and_then(Value::as_str);
    let uid = uid.context("no study is listed")?;
    let list = node.cli(&["studies", "list"])?.success()?;
    assert!(list.stdout.contains(uid), "{}", list.stdout);
    let show = node.cli(&["studies", "show", uid])?.success()?;
    assert!(
        show.stdout.contains("1.2.826.0.1.3680043.8.498"),
        "the instance: {}",
        show.stdout
    );
    node.cli(&["studies", "close", uid])?.success()?;
    node.study_done(uid, std::time::Duration::from_mins(2))?;
    let again = node.cli(&["studies", "close", uid])?.expect_code(1)?;
    assert!(again.stderr.contains("studies retry"), "{}", again.stderr);
    node.cli(&["studies", "show", "1.2.3.4.5"])?
        .expect_code(1)?;
    Ok(())
}

#[test]
fn sr_shows_a_report_as_a_tree() -> Result<()> {
    let report = samples::pydicom("test-SR.dcm")?;
    let shown = sonode(&["sr", "show", text(&report)])?.success()?;
    assert!(shown.stdout.lines().count() > 5, "{}", shown.stdout);
    let image = samples::pydicom("examples_rgb_color.dcm")?;
    sonode(&["sr", "show", text(&image)])?.expect_code(1)?;
    names_what_is_missing(&["sr", "show", "no-such-file.dcm"])?;
    names_what_is_missing(&["sr", "lint", "no-such-file.dcm"])?;
    Ok(())
}

#[test]
fn analyze_writes_findings_a_report_and_a_picture() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (report, overlay) = (
        folder.path().join("sr.dcm"),
        folder.path().join("overlay.png"),
    );
    let cine = samples::pydicom(samples::CINE)?;
    let arguments = [
        "analyze",
        text(&cine),
        "--json",
        "--sr",
        text(&report),
        "--overlay",
        text(&overlay),
    ];
    let run = sonode(&arguments)?.success()?;
    let findings: Value = serde_json::from_str(&run.stdout).context("not JSON alone on stdout")?;
    assert_eq!(
        findings.get("schema").and_then(Value::as_str),
        Some("sonode.findings/1")
    );
    let ef = findings
        .pointer("/lv/lvef_percent")
        .and_then(Value::as_f64)
        .context("no EF")?;
    let read = Report::read(&report)?;
    let reported = read.lvef.context("no EF in the report")?.value;
    assert!(
        (reported - ef).abs() < 0.06,
        "{reported} in the report, {ef} in the findings"
    );
    assert!(fs::read(&overlay)?.starts_with(b"\x89PNG"));
    names_what_is_missing(&["analyze", "no-such-file.dcm"])?;
    Ok(())
}

#[test]
fn a_demo_depends_on_its_seed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut fractions = Vec::new();
    for seed in ["1", "2"] {
        let out = folder.path().join(seed);
        sonode(&["demo", "--seed", seed, "--out", text(&out)])?.success()?;
        validate_report(&out.join("report.dcm"))?;
        assert!(fs::read(out.join("overlay.png"))?.starts_with(b"\x89PNG"));
        let findings: Value = serde_json::from_slice(&fs::read(out.join("findings.json"))?)?;
        let ef = findings.pointer("/lv/lvef_percent").and_then(Value::as_f64);
        fractions.push(ef.with_context(|| format!("no EF for seed {seed}"))?);
    }
    assert!((fractions[0] - fractions[1]).abs() > 1e-6, "{fractions:?}");
    Ok(())
}
