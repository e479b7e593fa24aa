//! The workspace's dependency directions, over `cargo metadata`: what may know of what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Each crate of the workspace and the ones that it may depend on. A crate that isn't here fails the test, so that a
/// new one is given its place.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("sonode-conformance", &[]),
    ("sonode-findings", &["sonode-conformance"]),
    ("sonode-phantom", &["sonode-conformance"]),
    (
        "sonode-worker",
        &["sonode-conformance", "sonode-findings", "sonode-phantom"],
    ),
    (
        "sonode-sr-writer",
        &["sonode-conformance", "sonode-findings"],
    ),
    ("sonode-dimse", &["sonode-conformance"]),
    (
        "sonode-pipeline",
        &["sonode-conformance", "sonode-findings", "sonode-sr-writer"],
    ),
    (
        "sonode",
        &[
            "sonode-conformance",
            "sonode-dimse",
            "sonode-findings",
            "sonode-pipeline",
            "sonode-sr-writer",
        ],
    ),
    // Black box: the whole-node tests see what a hospital sees, and link nothing of the node.
    ("sonode-tests", &[]),
    // Its targets feed each parser directly.
    (
        "sonode-fuzz",
        &[
            "sonode",
            "sonode-conformance",
            "sonode-dimse",
            "sonode-findings",
            "sonode-phantom",
            "sonode-sr-writer",
            "sonode-worker",
        ],
    ),
];

/// Crates from outside, and the only ones of ours that may name them.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("tch", &["sonode-worker"]),
    ("torch-sys", &[]),
    ("sled", &["sonode-pipeline"]),
    ("dicom-ul", &["sonode-dimse"]),
    ("tokio", &["sonode"]),
    ("axum", &["sonode"]),
    // The node must not parse a peer's data set: a nested one overflows the parser's stack, which ends the process.
    (
        "dicom-object",
        &["sonode-phantom", "sonode-sr-writer", "sonode-worker"],
    ),
    ("dicom-pixeldata", &["sonode-worker"]),
];

/// Crates that must not be linked into a program at all, not even through another crate: `sonode` decodes no pixel
/// data and doesn't load libtorch.
const NEVER_UNDER: &[(&str, &[&str])] = &[
    ("sonode", &["tch", "torch-sys", "dicom-pixeldata"]),
    ("sonode-worker", &["tokio", "sled", "dicom-ul"]),
    ("sonode-dimse", &["tokio", "sled"]),
    ("sonode-sr-writer", &["tokio", "sled", "dicom-ul"]),
];

fn metadata() -> Result<Metadata> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    // Crates for other platforms are in the lock file and were never downloaded.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = MetadataCommand::new();
    command.manifest_path(manifest).other_options([
        "--locked".to_owned(),
        "--offline".to_owned(),
        "--filter-platform".to_owned(),
        platform,
    ]);
    command.exec().context("cargo metadata failed")
}

/// What a crate links: its dependencies without those for its tests and build script.
fn linked(package: &Package) -> BTreeSet<&str> {
    let normal = package
        .dependencies
        .iter()
        .filter(|d| d.kind == DependencyKind::Normal);
    normal.map(|d| d.name.as_str()).collect()
}

#[test]
fn the_crates_depend_on_each_other_in_one_direction_only() -> Result<()> {
    let metadata = metadata()?;
    let members = metadata.workspace_packages();
    let ours: BTreeSet<&str> = members
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let allowed: BTreeMap<&str, &[&str]> = MAY_DEPEND_ON.iter().copied().collect();
    assert_eq!(
        ours,
        allowed.keys().copied().collect(),
        "the table above names every crate"
    );
    for package in members {
        let may = allowed
            .get(package.name.as_str())
            .copied()
            .unwrap_or_default();
        for used in linked(package).intersection(&ours) {
            assert!(
                may.contains(used),
                "{} must not depend on {used}",
                package.name
            );
        }
    }
    Ok(())
}

#[test]
fn each_heavy_dependency_stays_in_its_crate() -> Result<()> {
    let metadata = metadata()?;
    for package in metadata.workspace_packages() {
        let used = linked(package);
        for (name, may) in ONLY_IN {
            let allowed = may.contains(&package.name.as_str());
            assert!(
                allowed || !used.contains(name),
                "{} must not depend on {name}",
                package.name
            );
        }
    }
    Ok(())
}

#[test]
fn what_a_program_must_not_link_is_not_reachable_from_it() -> Result<()> {
    let metadata = metadata()?;
    let graph = metadata.resolve.as_ref().context("no resolved graph")?;
    let names: BTreeMap<_, _> = metadata
        .packages
        .iter()
        .map(|p| (&p.id, p.name.as_str()))
        .collect();
    for (root, never) in NEVER_UNDER {
        let start = metadata
            .workspace_packages()
            .into_iter()
            .find(|p| p.name.as_str() == *root);
        let mut open = vec![&start.with_context(|| format!("no crate {root}"))?.id];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let name = names.get(id).copied().unwrap_or_default();
            assert!(!never.contains(&name), "{root} must not link {name}");
            let node = graph.nodes.iter().find(|node| node.id == *id);
            for dependency in node.iter().flat_map(|node| &node.deps) {
                let normal = dependency
                    .dep_kinds
                    .iter()
                    .any(|k| k.kind == DependencyKind::Normal);
                if normal {
                    open.push(&dependency.pkg);
                }
            }
        }
        assert!(seen.len() > 1, "{root} has no dependencies at all?");
    }
    Ok(())
}
