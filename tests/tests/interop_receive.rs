//! Carts send: negotiation, refusals, and what is kept, byte for byte.
//!
//! The nodes here close a study after an hour, so that nothing moves while a test looks.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sonode_tests::cart::{Answer, Cart, Proposal, Rejection, VERIFICATION, at_once};
use sonode_tests::node::{AE_TITLE, CART, Config, Node};
use sonode_tests::part10::{EXPLICIT_LITTLE, IMPLICIT_LITTLE, JPEG_BASELINE, Object};
use sonode_tests::wait::eventually;
use sonode_tests::{dcmtk, python, samples};

const US_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.6.1";
const US_MULTIFRAME: &str = "1.2.840.10008.5.1.4.1.1.3.1";
const CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
const EXPLICIT_BIG: &str = "1.2.840.10008.1.2.2";
const FIND_STUDY: &str = "1.2.840.10008.5.1.4.1.2.2.1";

/// PS3.8 table 9-21.
const CALLED_NOT_RECOGNIZED: Rejection = Rejection {
    result: 1,
    source: 1,
    reason: 7,
};
const CALLING_NOT_RECOGNIZED: Rejection = Rejection {
    result: 1,
    source: 1,
    reason: 3,
};
const LOCAL_LIMIT_EXCEEDED: Rejection = Rejection {
    result: 2,
    source: 3,
    reason: 2,
};

/// Error: data set doesn't match SOP class (PS3.4 table B.2-1).
const DATA_SET_MISMATCH: u16 = 0xA900;

/// Objects of every transfer syntax and storage class that pydicom's test data has, no two with the same UID.
const ASSORTED: &[&str] = &[
    "ExplVR_BigEnd.dcm",
    "JPGExtended.dcm",
    "JPEGLSNearLossless_08.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_gdcm_KY.dcm",
    "SC_rgb_jpeg_dcmd.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "examples_jpeg2k.dcm",
    "examples_palette.dcm",
    "examples_rgb_color.dcm",
    "examples_ybr_color.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
    "reportsi.dcm",
    "rtdose_rle.dcm",
    "test-SR.dcm",
    "waveform_ecg.dcm",
];

fn open_for_an_hour() -> Config {
    Config {
        quiet_period_s: 3600,
        ..Config::default()
    }
}

fn associate(node: &Node, proposals: &[Proposal]) -> Result<Cart> {
    Cart::associate(node.address(), AE_TITLE, CART, proposals)
}

fn sample(name: &str) -> Result<Object> {
    Object::read(&samples::pydicom(name)?)
}

fn study_of(name: &str) -> Result<String> {
    let list = python::json("attributes.py", &[samples::pydicom(name)?])?;
    let study = list.pointer("/0/study").and_then(Value::as_str);
    Ok(study.context("no study")?.to_owned())
}

/// Every stored version of an instance, whatever its study.
fn versions(node: &Node, sop_instance: &str) -> Result<Vec<Object>> {
    let mut files = node.all_stored()?;
    files.retain(|file| {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        name.strip_prefix(sop_instance)
            .is_some_and(|rest| rest.starts_with('.') && rest.len() == 21)
    });
    files.iter().map(|file| Object::read(file)).collect()
}

#[test]
fn echoes_and_negotiation_stress_leave_the_node_as_it_was() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let at = node.address();
    dcmtk::echoscu(at, &[])?.success()?;
    // 128 contexts with 38 transfer syntaxes each.
    dcmtk::echoscu(at, &["-ppc", "128", "-pts", "38", "--repeat", "20"])?.success()?;
    dcmtk::echoscu(at, &["--repeat", "3", "--abort"])?.success()?;
    // A load balancer's probes: connect, say nothing, close.
    for _ in 0..100 {
        drop(TcpStream::connect(at)?);
    }
    dcmtk::echoscu(at, &[])?.success()?;
    Ok(())
}

#[test]
fn a_wrong_title_is_rejected_with_its_reason() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let proposals = [Proposal::new(VERIFICATION, &[IMPLICIT_LITTLE])];
    for (called, calling, expected) in [
        ("NOBODY", CART, CALLED_NOT_RECOGNIZED),
        (AE_TITLE, "STRANGER", CALLING_NOT_RECOGNIZED),
    ] {
        match Cart::call(node.address(), called, calling, &proposals)? {
            Answer::Rejected(why) => assert_eq!(why, expected, "{calling} to {called}"),
            Answer::Accepted(_) => panic!("{calling} to {called} was accepted"),
        }
    }
    let run =
        dcmtk::client("echoscu", node.address(), &["-aet", "STRANGER"], &[])?.expect_code(1)?;
    assert!(
        run.text().contains("Calling AE Title Not Recognized"),
        "{}",
        run.text()
    );
    Ok(())
}

#[test]
fn one_association_too_many_is_rejected_until_another_ends() -> Result<()> {
    let limit = 3;
    let config = Config {
        max_associations: limit,
        ..open_for_an_hour()
    };
    let node = Node::start(&config)?;
    let proposals = [Proposal::new(VERIFICATION, &[IMPLICIT_LITTLE])];
    let mut open = Vec::new();
    let why = loop {
        match Cart::call(node.address(), AE_TITLE, CART, &proposals)? {
            Answer::Accepted(cart) => open.push(cart),
            Answer::Rejected(why) => break why,
        }
        ensure!(
            open.len() <= limit as usize,
            "{} associations at once",
            open.len()
        );
    };
    assert_eq!(why, LOCAL_LIMIT_EXCEEDED);
    open.pop()
        .context("not one association was accepted")?
        .release()?;
    eventually("a free place", Duration::from_secs(10), || {
        let answer = Cart::call(node.address(), AE_TITLE, CART, &proposals)?;
        Ok(matches!(answer, Answer::Accepted(_)).then_some(()))
    })
}

#[test]
fn contexts_are_answered_one_by_one_and_cines_stay_compressed() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let proposals = [
        Proposal::new(
            US_MULTIFRAME,
            &[IMPLICIT_LITTLE, EXPLICIT_LITTLE, JPEG_BASELINE],
        ),
        Proposal::new(US_MULTIFRAME, &[EXPLICIT_LITTLE]),
        Proposal::new(US_IMAGE, &[JPEG_BASELINE, IMPLICIT_LITTLE, EXPLICIT_LITTLE]),
        Proposal::new(US_IMAGE, &["1.2.3.4.5.6.7.8"]),
        Proposal::new(FIND_STUDY, &[IMPLICIT_LITTLE]),
        Proposal::new(CT_IMAGE, &[IMPLICIT_LITTLE]),
    ];
    let cart = associate(&node, &proposals)?;
    let answers: Vec<(u8, u8, &str)> = cart
        .answers
        .iter()
        .map(|a| (a.id, a.result, a.transfer_syntax.as_str()))
        .collect();
    assert_eq!(answers[0], (1, 0, JPEG_BASELINE));
    assert_eq!(answers[1], (3, 0, EXPLICIT_LITTLE));
    assert_eq!(answers[2], (5, 0, EXPLICIT_LITTLE));
    assert_eq!(
        (answers[3].0, answers[3].1),
        (7, 4),
        "transfer syntaxes not supported"
    );
    assert_eq!(
        (answers[4].0, answers[4].1),
        (9, 3),
        "abstract syntax not supported"
    );
    assert_eq!(
        answers[5],
        (11, 0, IMPLICIT_LITTLE),
        "an unlisted storage class is kept"
    );
    cart.release()
}

#[test]
fn unlisted_storage_classes_are_refused_where_the_peer_says_so() -> Result<()> {
    let mut config = open_for_an_hour();
    config.peers[0].accept_unknown = Some(false);
    let node = Node::start(&config)?;
    let proposals = [
        Proposal::new(CT_IMAGE, &[IMPLICIT_LITTLE]),
        Proposal::new(US_IMAGE, &[IMPLICIT_LITTLE]),
    ];
    let cart = associate(&node, &proposals)?;
    let results: Vec<u8> = cart.answers.iter().map(|answer| answer.result).collect();
    assert_eq!(results, [3, 0]);
    cart.release()
}

#[test]
fn every_syntax_and_class_arrives_byte_for_byte() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let objects: Vec<Object> = ASSORTED
        .iter()
        .map(|name| sample(name))
        .collect::<Result<_>>()?;
    let proposals: Vec<Proposal> = objects.iter().map(Proposal::for_object).collect();
    let mut cart = associate(&node, &proposals)?;
    for (object, name) in objects.iter().zip(ASSORTED) {
        let response = cart.store(object).with_context(|| (*name).to_owned())?;
        assert_eq!(response.status, 0, "{name}: {}", response.comment);
        // Success means durable: it is there now.
        assert_eq!(
            versions(&node, &object.sop_instance)?,
            std::slice::from_ref(object),
            "{name}"
        );
    }
    cart.release()
}

#[test]
fn dcmtk_sends_every_real_ultrasound_object() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let real = samples::ultrasound()?;
    let files: Vec<PathBuf> = real.iter().map(|(file, _)| file.clone()).collect();
    dcmtk::dcmsend(node.address(), &files)?.success()?;
    for (file, object) in &real {
        let mut stored = node.all_stored()?;
        stored.retain(|path| path.to_string_lossy().contains(&object.sop_instance));
        ensure!(
            stored.len() == 1,
            "{} is stored as {stored:?}",
            file.display()
        );
        let kept = Object::read(&stored[0])?.transfer_syntax;
        // DCMTK offers each native object in every native syntax; compressed ones only as they are.
        let native = [IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG];
        if native.contains(&object.transfer_syntax.as_str()) {
            assert!(native.contains(&kept.as_str()), "{kept}");
        } else {
            assert_eq!(kept, object.transfer_syntax);
        }
        python::run("same_data_set.py", &[file, &stored[0]])?.success()?;
    }
    Ok(())
}

#[test]
fn storescu_sends_a_cine_over_hundreds_of_contexts() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let file = samples::pydicom(samples::CINE)?;
    dcmtk::storescu(node.address(), &["-xy"], std::slice::from_ref(&file))?.success()?;
    let stored = node.stored(
        &study_of(samples::CINE)?,
        &Object::read(&file)?.sop_instance,
    )?;
    ensure!(stored.len() == 1, "stored as {stored:?}");
    python::run("same_data_set.py", &[&file, &stored[0]])?.success()?;
    Ok(())
}

#[test]
fn pynetdicom_sends_with_everything_that_can_be_negotiated() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let at = node.address();
    let mut arguments = vec![at.ip().to_string(), at.port().to_string()];
    arguments.extend([AE_TITLE.to_owned(), CART.to_owned()]);
    let names = [
        "examples_ybr_color.dcm",
        "examples_rgb_color.dcm",
        "image_dfl.dcm",
    ];
    for name in names {
        arguments.push(samples::pydicom(name)?.to_string_lossy().into_owned());
    }
    let sent = python::json("send.py", &arguments)?;
    assert_eq!(
        sent.pointer("/accepted_contexts").and_then(Value::as_u64),
        Some(3),
        "{sent}"
    );
    assert_eq!(
        sent.pointer("/statuses"),
        Some(&serde_json::json!([0, 0, 0])),
        "{sent}"
    );
    assert_eq!(
        sent.pointer("/released"),
        Some(&Value::Bool(true)),
        "{sent}"
    );
    for name in names {
        let object = sample(name)?;
        assert_eq!(versions(&node, &object.sop_instance)?, [object], "{name}");
    }
    Ok(())
}

#[test]
fn the_same_bytes_change_nothing_and_other_bytes_are_a_second_version() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let name = "examples_rgb_color.dcm";
    let (first, study) = (sample(name)?, study_of(name)?);
    let second = first.clone().with_another_pixel();
    let mut cart = associate(&node, &[Proposal::for_object(&first)])?;
    for object in [&first, &first, &second, &second, &first] {
        let response = cart.store(object)?;
        assert_eq!(response.status, 0, "{}", response.comment);
    }
    cart.release()?;
    let kept = versions(&node, &first.sop_instance)?;
    assert_eq!(kept.len(), 2, "one file a version");
    assert!(kept.contains(&first) && kept.contains(&second));
    let listed = node.study(&study)?.context("the study is listed")?;
    assert_eq!(
        listed.get("instances").and_then(Value::as_u64),
        Some(1),
        "{listed}"
    );
    let instance = Node::instance(&listed, &first.sop_instance)?;
    let recorded = instance
        .get("versions")
        .and_then(Value::as_array)
        .map(Vec::len);
    assert_eq!(recorded, Some(2), "the study's record says so: {instance}");
    Ok(())
}

#[test]
fn a_uid_that_is_a_path_names_nothing() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let object = sample("examples_rgb_color.dcm")?;
    let outside = node.data_dir().parent().context("no parent")?.to_owned();
    let mut cart = associate(&node, &[Proposal::for_object(&object)])?;
    let absolute = format!("{}/escaped", outside.display());
    let too_long = "1.".repeat(40) + "1";
    let foreign = "1.2.840.99999.1";
    for uid in [
        "../../escaped",
        "..",
        "1.2/../../escaped",
        &absolute,
        "",
        &too_long,
        foreign,
    ] {
        let response = cart.store_as(&object, uid)?;
        assert_eq!(
            response.status, DATA_SET_MISMATCH,
            "{uid:?}: {}",
            response.comment
        );
        assert!(
            !response.comment.is_empty(),
            "{uid:?} is refused without a word"
        );
    }
    assert_eq!(node.all_stored()?, [] as [PathBuf; 0]);
    assert!(!outside.join("escaped").exists() && !fs::exists(node.data_dir().join("escaped"))?);
    // The association is as good as before, and padding isn't a difference.
    for uid in [
        object.sop_instance.clone() + " ",
        object.sop_instance.clone() + "\0",
    ] {
        let response = cart.store_as(&object, &uid)?;
        assert_eq!(response.status, 0, "{uid:?}: {}", response.comment);
    }
    assert_eq!(versions(&node, &object.sop_instance)?, [object]);
    cart.release()
}

/// How a cart can vanish in the middle of an object.
#[derive(Debug, Clone, Copy)]
enum Vanish {
    Abort,
    LostNetwork,
}

#[test]
fn an_object_that_was_cut_short_is_not_there() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let object = sample("examples_palette.dcm")?;
    for vanish in [Vanish::Abort, Vanish::LostNetwork] {
        let mut cart = associate(&node, &[Proposal::for_object(&object)])?;
        let mut sending = cart.begin(&object, &object.sop_instance)?;
        sending.send(object.data_set.len() / 2)?;
        match vanish {
            Vanish::Abort => cart.abort()?,
            Vanish::LostNetwork => drop(cart),
        }
    }
    // A complete object on another association, so that the node has had its turn.
    let other = sample("examples_rgb_color.dcm")?;
    let mut cart = associate(
        &node,
        &[Proposal::for_object(&object), Proposal::for_object(&other)],
    )?;
    assert_eq!(cart.store(&other)?.status, 0);
    assert_eq!(versions(&node, &object.sop_instance)?, []);
    assert_eq!(node.study(&study_of("examples_palette.dcm")?)?, None);
    assert_eq!(
        cart.store(&object)?.status,
        0,
        "the same object, sent again, is welcome"
    );
    assert_eq!(versions(&node, &object.sop_instance)?, [object]);
    cart.release()?;
    no_half_objects(&node)
}

/// Half-received objects are removed as soon as their association is gone.
fn no_half_objects(node: &Node) -> Result<()> {
    eventually("the half objects to go", Duration::from_secs(10), || {
        let mut files = sonode_tests::node::files_under(&node.data_dir())?;
        files.retain(|file| {
            file.extension()
                .is_some_and(|extension| extension == "part")
        });
        Ok(files.is_empty().then_some(()))
    })
}

#[test]
fn many_carts_send_at_once_and_nothing_gets_mixed_up() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let names = [
        "examples_rgb_color.dcm",
        "examples_palette.dcm",
        "examples_ybr_color.dcm",
    ];
    let objects: Vec<Object> = names
        .iter()
        .map(|name| sample(name))
        .collect::<Result<_>>()?;
    at_once(0..9, |n| send_in_rotation(node.address(), &objects, n))?;
    for object in objects {
        assert_eq!(versions(&node, &object.sop_instance)?, [object]);
    }
    Ok(())
}

fn send_in_rotation(at: SocketAddr, objects: &[Object], first: usize) -> Result<()> {
    let proposals: Vec<Proposal> = objects.iter().map(Proposal::for_object).collect();
    let mut cart = Cart::associate(at, AE_TITLE, CART, &proposals)?;
    for object in objects.iter().cycle().skip(first).take(objects.len()) {
        let response = cart.store(object)?;
        ensure!(
            response.status == 0,
            "{:#06x}: {}",
            response.status,
            response.comment
        );
    }
    cart.release()
}
