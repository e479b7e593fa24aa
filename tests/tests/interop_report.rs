//! The whole path: a cart sends, the PACS ends up with one report. And what gets none.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sonode_tests::dcmtk;
use sonode_tests::node::{Config, Node};
use sonode_tests::orthanc::{AE_TITLE as ORTHANC, Orthanc, Pacs};
use sonode_tests::part10::Object;
use sonode_tests::report::{Region, Report};
use sonode_tests::wait::throughout;
use sonode_tests::{python, samples};

/// From the last image to the report in the PACS: a minute of it is a busy machine's.
const REPORT: Duration = Duration::from_mins(4);
/// How long it is watched that nothing more comes.
const SETTLED: Duration = Duration::from_secs(8);

/// The volume curve is flat where it turns: so many frames at 60 a beat are one and the same instant to a reader.
const FRAMES_OFF: u32 = 4;

/// A PACS and a node that reports to it.
fn hospital() -> Result<(Orthanc, Node)> {
    let pacs = Pacs::new()?;
    let config = Config::with_pacs(pacs.dicom_port(), ORTHANC);
    Ok((pacs.start()?, Node::start(&config)?))
}

/// Study UID and SOP Instance UID of a file, from pydicom.
fn uids(file: &PathBuf) -> Result<(String, String)> {
    let list = python::json("attributes.py", &[file])?;
    let get = |name: &str| {
        let found = list.pointer(&format!("/0/{name}")).and_then(Value::as_str);
        found
            .map(str::to_owned)
            .with_context(|| format!("no {name}"))
    };
    Ok((get("study")?, get("sop_instance")?))
}

/// The one report of a study, downloaded from the PACS and validated.
fn the_report(pacs: &Orthanc, node: &Node, study: &str) -> Result<Report> {
    let held = pacs.report(study, REPORT)?;
    node.study_done(study, REPORT)?;
    let reports = pacs.reports(study)?;
    ensure!(
        reports.len() == 1,
        "{} reports of one study: {reports:?}",
        reports.len()
    );
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.dcm");
    pacs.download(&held, &file)?;
    Report::read(&file)
}

/// What every report with a measurement says of itself.
fn check_frame(report: &Report, study: &str, sop_instance: &str) {
    assert_eq!(report.study, study);
    assert!(
        report.evidence.iter().any(|uid| uid == sop_instance),
        "{:?}",
        report.evidence
    );
    assert_eq!(report.series_description, "AI LVEF, unverified");
    assert_eq!(report.verification, "UNVERIFIED");
    assert_eq!(report.content_qualification, "RESEARCH");
    assert_eq!(report.planar_groups, report.contours.len());
    for (quantity, unit) in [
        (&report.lvef, "%"),
        (&report.edv, "ml"),
        (&report.esv, "ml"),
    ] {
        assert_eq!(quantity.as_ref().map(|q| q.unit.as_str()), Some(unit));
    }
}

/// The measurement hangs together: EF is that of the volumes, and end diastole is the larger one.
fn check_numbers(report: &Report) -> Result<f64> {
    let value = |quantity: &Option<sonode_tests::report::Quantity>| {
        quantity
            .as_ref()
            .map(|q| q.value)
            .context("a number is missing")
    };
    let (ef, edv, esv) = (
        value(&report.lvef)?,
        value(&report.edv)?,
        value(&report.esv)?,
    );
    ensure!(esv < edv, "ESV {esv} ml, EDV {edv} ml");
    let of_volumes = 100.0 * (edv - esv) / edv;
    // The report states the median over the beats, each number for itself.
    ensure!(
        (ef - of_volumes).abs() < 5.0,
        "EF {ef} %, but {of_volumes} % of the volumes"
    );
    Ok(ef)
}

/// Every contour is on a frame of the image, each can be told from the others, and the ventricle is larger at end
/// diastole than at any end systole.
fn check_regions(report: &Report, image: &str, frames: u32) -> Result<()> {
    let (ed, es) = report.ed_and_es()?;
    let smallest_ed = ed
        .iter()
        .map(|region| region.area())
        .fold(f64::INFINITY, f64::min);
    for region in &es {
        let area = region.area();
        assert!(
            area < smallest_ed,
            "{area} at end systole, {smallest_ed} at end diastole"
        );
    }
    let mut tracked = BTreeSet::new();
    for region in &report.contours {
        assert_eq!(region.image, image);
        assert!(
            (1..=frames).contains(&region.frame),
            "frame {}",
            region.frame
        );
        let uid = region.tracking_uid.clone().context("no tracking UID")?;
        assert!(tracked.insert(uid), "two contours with one tracking UID");
    }
    Ok(())
}

/// Whether a point lies inside a polygon (ray casting).
fn contains(region: &Region, point: (f64, f64)) -> bool {
    let next = region.points.iter().cycle().skip(1);
    let crossings = region.points.iter().zip(next).filter(|(a, b)| {
        let between = (a.1 > point.1) != (b.1 > point.1);
        between && point.0 < a.0 + (point.1 - a.1) / (b.1 - a.1) * (b.0 - a.0)
    });
    crossings.count() % 2 == 1
}

#[test]
fn a_real_cine_from_a_cart_ends_as_one_report_in_the_pacs() -> Result<()> {
    let (pacs, node) = hospital()?;
    let file = samples::pydicom(samples::CINE)?;
    let (study, cine) = uids(&file)?;

    dcmtk::storescu(node.address(), &["-xy"], &[file])?.success()?;

    let report = the_report(&pacs, &node, &study)?;
    check_frame(&report, &study, &cine);
    assert_eq!(
        (report.patient_name.as_str(), report.patient_id.as_str()),
        ("PLA", "204")
    );
    let ef = check_numbers(&report)?;
    assert!((35.0..=75.0).contains(&ef), "EF {ef} %");
    check_regions(&report, &cine, 30)?;
    for region in &report.contours {
        region.check_inside(320.0, 240.0)?;
        // Read off the images by eye: the cavity lies between the septum (column 155), the lateral wall (208), the
        // apex (row 45) and the annulus (130) in every phase, and (180, 92) is blood in all thirty frames.
        assert!(
            contains(region, (180.0, 92.0)),
            "the cavity's middle is outside: {region:?}"
        );
        let (x, y) = region.centre();
        assert!(
            (160.0..=200.0).contains(&x) && (70.0..=115.0).contains(&y),
            "centre ({x}, {y})"
        );
        for &(x, y) in &region.points {
            let near = (138.0..=228.0).contains(&x) && (30.0..=152.0).contains(&y);
            assert!(near, "({x}, {y}) is not on the ventricle");
        }
        // 50 x 80 pixels of an ellipse's three quarters, and twice as much or half of it.
        let area = region.area();
        assert!((1500.0..=6300.0).contains(&area), "{area} square pixels");
    }
    // 0.1021 cm a pixel, after the raster trap of this very file; a raw reading gives volumes eight times too small.
    let edv = report.edv.as_ref().context("no EDV")?.value;
    assert!((40.0..=300.0).contains(&edv), "EDV {edv} ml");

    throughout("the PACS holds one report", SETTLED, || {
        Ok(pacs.reports(&study)?.len() == 1)
    })
}

#[test]
fn a_phantom_study_is_reported_and_agrees_with_the_truth() -> Result<()> {
    let (pacs, node) = hospital()?;
    let folder = tempfile::tempdir()?;
    let phantom = samples::phantom(11, folder.path())?;
    let (study, _) = uids(&phantom.files[0])?;

    dcmtk::dcmsend(node.address(), &phantom.files)?.success()?;

    let report = the_report(&pacs, &node, &study)?;
    let region = report.contours.first().context("no contour")?;
    let image = region.image.clone();
    check_frame(&report, &study, &image);
    let measured = check_numbers(&report)?;
    let truth = phantom.true_lvef(&image)?;
    assert!(
        (measured - truth).abs() < 15.0,
        "EF {measured} %, truth {truth} %"
    );
    check_regions(&report, &image, 60)?;
    let beats = phantom.true_beats(&image)?;
    let (ed, es) = report.ed_and_es()?;
    for region in ed {
        let near = beats
            .iter()
            .any(|beat| beat.0.abs_diff(region.frame) <= FRAMES_OFF);
        assert!(
            near,
            "frame {} is no end diastole of {beats:?}",
            region.frame
        );
    }
    for region in es {
        let near = beats
            .iter()
            .any(|beat| beat.1.abs_diff(region.frame) <= FRAMES_OFF);
        assert!(
            near,
            "frame {} is no end systole of {beats:?}",
            region.frame
        );
    }
    Ok(())
}

/// What becomes of a real ultrasound object that can't be measured.
struct Unmeasured {
    file: &'static str,
    reasons: &'static [&'static str],
    /// Whether the PACS gets a report that says why (`echo-only`, the default).
    reported: bool,
}

const UNMEASURED: &[Unmeasured] = &[
    // An obstetric still (Image Type OBSTETRICAL).
    Unmeasured {
        file: "examples_palette.dcm",
        reasons: &["not-an-echo", "fetal"],
        reported: false,
    },
    // Stills of a small part (Image Type SMALL PARTS), one study with the next.
    Unmeasured {
        file: "examples_rgb_color.dcm",
        reasons: &["not-an-echo"],
        reported: false,
    },
    Unmeasured {
        file: "examples_jpeg2k.dcm",
        reasons: &["not-an-echo"],
        reported: false,
    },
    // An epicardial still: an echo, but no cine.
    Unmeasured {
        file: "ExplVR_BigEnd.dcm",
        reasons: &["not-a-cine"],
        reported: true,
    },
];

#[test]
fn real_objects_that_cannot_be_measured_are_kept_and_refused_with_the_reason() -> Result<()> {
    let (pacs, node) = hospital()?;
    let mut files = Vec::new();
    for unmeasured in UNMEASURED {
        files.push(samples::pydicom(unmeasured.file)?);
    }
    dcmtk::dcmsend(node.address(), &files)?.success()?;
    for (unmeasured, file) in UNMEASURED.iter().zip(&files) {
        let (study, sop_instance) = uids(file)?;
        let done = node.study_done(&study, REPORT)?;
        let name = unmeasured.file;
        assert_eq!(
            node.stored(&study, &sop_instance)?.len(),
            1,
            "{name} is kept"
        );
        let why = Node::rejection(&done, &sop_instance)?.unwrap_or_default();
        assert!(
            unmeasured.reasons.contains(&why.as_str()),
            "{name}: {why:?}"
        );
        let reports = pacs.reports(&study)?;
        assert_eq!(reports.len(), usize::from(unmeasured.reported), "{name}");
        if let Some(held) = reports.first() {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("report.dcm");
            pacs.download(held, &path)?;
            let report = Report::read(&path)?;
            assert_eq!((report.lvef, report.contours.len()), (None, 0), "{name}");
            assert!(report.evidence.contains(&sop_instance), "{name}");
        }
    }
    Ok(())
}

#[test]
fn images_are_forwarded_as_they_came() -> Result<()> {
    let (pacs, port) = dcmtk::StoreScp::start_anywhere(&[])?;
    let mut config = Config::with_pacs(port, dcmtk::STORE_SCP);
    config.routes[0].send = vec!["sr".to_owned(), "images".to_owned()];
    let node = Node::start(&config)?;
    let file = samples::pydicom("examples_rgb_color.dcm")?;
    let (study, sop_instance) = uids(&file)?;
    dcmtk::dcmsend(node.address(), std::slice::from_ref(&file))?.success()?;
    node.study_done(&study, REPORT)?;
    let received = pacs.received()?;
    ensure!(received.len() == 1, "the PACS received {received:?}");
    let forwarded = Object::read(&received[0])?;
    assert_eq!(forwarded.sop_instance, sop_instance);
    python::run("same_data_set.py", &[&file, &received[0]])?.success()?;
    Ok(())
}
