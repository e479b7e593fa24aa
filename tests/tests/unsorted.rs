//! Objects whose study the node's own header scanner can't read: kept, shown, and filed where the worker can.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use sonode_tests::cart::{Cart, Proposal};
use sonode_tests::node::{AE_TITLE, CART, Config, Node};
use sonode_tests::part10::{EXPLICIT_LITTLE, Object};
use sonode_tests::wait::eventually;
use sonode_tests::{python, samples};

const SAMPLE: &str = "examples_rgb_color.dcm";

/// A real object, and its Study Instance UID.
fn sample() -> Result<(Object, String)> {
    let file = samples::pydicom(SAMPLE)?;
    let object = Object::read(&file)?;
    assert_eq!(object.transfer_syntax, EXPLICIT_LITTLE);
    let list = python::json("attributes.py", &[file])?;
    let study = list.pointer("/0/study").and_then(Value::as_str);
    Ok((object, study.context("no study")?.to_owned()))
}

/// With a Patient's Name before everything else: the elements don't ascend any more, and the scanner, which stops where
/// a data set is not in order (PS3.5 section 7.1), sees no UID.
fn out_of_order(mut object: Object) -> Object {
    let mut data_set = b"\x10\x00\x10\x00PN\x04\x00X^Y ".to_vec();
    data_set.append(&mut object.data_set);
    Object { data_set, ..object }
}

/// With an empty value in the place of its Study Instance UID.
fn without_study(mut object: Object) -> Result<Object> {
    let element = b"\x20\x00\x0D\x00UI";
    let at = object
        .data_set
        .windows(element.len())
        .position(|window| window == element)
        .context("no Study Instance UID")?;
    let length = object.data_set.get(at + 6..at + 8).context("cut")?;
    let length = usize::from(u16::from_le_bytes(length.try_into()?));
    let value = object.data_set.get_mut(at + 8..at + 8 + length);
    value.context("cut")?.fill(0);
    Ok(object)
}

fn send(node: &Node, object: &Object) -> Result<()> {
    let mut cart = Cart::associate(
        node.address(),
        AE_TITLE,
        CART,
        &[Proposal::for_object(object)],
    )?;
    let response = cart.store(object)?;
    assert_eq!(response.status, 0, "{}", response.comment);
    cart.release()
}

fn unsorted(node: &Node) -> Result<Vec<Value>> {
    let list = node.http().json("/api/v1/unsorted")?;
    list.as_array().cloned().context("not a list")
}

fn open_for_an_hour() -> Config {
    Config {
        quiet_period_s: 3600,
        ..Config::default()
    }
}

#[test]
fn an_object_that_only_the_worker_can_read_is_filed_and_stays_what_it_was() -> Result<()> {
    let node = Node::start(&open_for_an_hour())?;
    let (object, study) = sample()?;
    let object = out_of_order(object);
    send(&node, &object)?;
    let listed = eventually("the object to be filed", Duration::from_mins(1), || {
        node.study(&study)
    })?;
    Node::instance(&listed, &object.sop_instance)?;
    assert_eq!(
        listed.pointer("/from/0").and_then(Value::as_str),
        Some("cart-1"),
        "{listed}"
    );
    assert_eq!(unsorted(&node)?, [] as [Value; 0]);
    let files = node.stored(&study, &object.sop_instance)?;
    assert_eq!(files.len(), 1);
    assert_eq!(Object::read(&files[0])?, object);
    assert_eq!(node.all_stored()?.len(), 1);
    // Sent again, it lies there once.
    send(&node, &object)?;
    eventually("the copy to go", Duration::from_mins(1), || {
        Ok((node.all_stored()?.len() == 1 && unsorted(&node)?.is_empty()).then_some(()))
    })
}

#[test]
fn an_object_without_a_study_is_kept_and_shown_with_the_reason() -> Result<()> {
    let mut node = Node::start(&open_for_an_hour())?;
    let (object, _) = sample()?;
    let object = without_study(object)?;
    send(&node, &object)?;
    for restarted in [false, true] {
        if restarted {
            node.kill()?;
            node.restart()?;
        }
        let entry = eventually("the worker's word", Duration::from_mins(1), || {
            let entry = unsorted(&node)?.pop().context("it isn't listed")?;
            Ok(entry
                .get("reason")
                .is_some_and(Value::is_string)
                .then_some(entry))
        })?;
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        assert!(text("reason").contains("Study Instance UID"), "{entry}");
        assert_eq!(text("from"), "cart-1", "{entry}");
        assert_eq!(text("sop_instance_uid"), object.sop_instance, "{entry}");
        let file: PathBuf = node.data_dir().join("unsorted").join(text("file"));
        assert_eq!(Object::read(&file)?, object);
        let list = node.cli(&["studies", "list"])?.success()?;
        assert!(list.stdout.contains(text("file")), "{}", list.stdout);
        assert!(list.stdout.contains(text("reason")), "{}", list.stdout);
        assert_eq!(node.studies()?, [] as [Value; 0]);
    }
    Ok(())
}
