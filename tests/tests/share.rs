//! A full node: idle associations of one peer don't use up the others' share, and busy ones keep their places.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sonode_tests::cart::{Answer, Cart, Proposal, Rejection, VERIFICATION};
use sonode_tests::node::{AE_TITLE, CART, Config, Node, Peer};
use sonode_tests::part10::{IMPLICIT_LITTLE, Object};
use sonode_tests::samples;
use sonode_tests::wait::{eventually, throughout};

const OTHER_CART: &str = "CART2";

/// PS3.8 table 9-21.
const LOCAL_LIMIT_EXCEEDED: Rejection = Rejection {
    result: 2,
    source: 3,
    reason: 2,
};

/// Two carts, and a node that takes an association for idle after a second.
fn two_carts(max_associations: u32) -> Config {
    let mut config = Config {
        quiet_period_s: 3600,
        max_associations,
        share_idle_s: 1,
        ..Config::default()
    };
    config.peers.push(Peer::caller("cart-2", OTHER_CART));
    config
}

fn call(node: &Node, calling: &str) -> Result<Answer> {
    let proposals = [Proposal::new(VERIFICATION, &[IMPLICIT_LITTLE])];
    Cart::call(node.address(), AE_TITLE, calling, &proposals)
}

/// Opens as many associations as the node lets this cart have.
fn fill(node: &Node, places: u32) -> Result<Vec<Cart>> {
    let mut open = Vec::new();
    for _ in 0..places {
        match call(node, CART)? {
            Answer::Accepted(cart) => open.push(cart),
            Answer::Rejected(why) => bail!("rejected: {why:?}"),
        }
    }
    Ok(open)
}

#[test]
fn one_cart_holds_every_place_and_another_still_gets_in() -> Result<()> {
    let places = 3;
    let node = Node::start(&two_carts(places))?;
    let mut open = fill(&node, places)?;
    // It has the most, so nobody has to make room for one more of it.
    let more = call(&node, CART)?;
    assert!(matches!(more, Answer::Rejected(why) if why == LOCAL_LIMIT_EXCEEDED));
    let mut other = eventually(
        "a place for the other cart",
        Duration::from_secs(20),
        || match call(&node, OTHER_CART)? {
            Answer::Accepted(cart) => Ok(Some(cart)),
            Answer::Rejected(why) => {
                ensure!(why == LOCAL_LIMIT_EXCEEDED, "{why:?}");
                Ok(None)
            }
        },
    )?;
    assert_eq!(other.echo()?, 0);
    // The one that was idle longest is gone, and only that one.
    let still: Vec<bool> = open.iter_mut().map(|cart| cart.echo().is_ok()).collect();
    assert_eq!(still, [false, true, true]);
    let metrics = node.http().text("/metrics")?;
    let counted = r#"sonode_yielded_associations_total{peer="cart-1"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    let peers = node.http().json("/api/v1/peers")?;
    let held = |n: usize| peers.pointer(&format!("/{n}/associations")).cloned();
    assert_eq!(
        (held(0), held(1)),
        (Some(2.into()), Some(1.into())),
        "{peers}"
    );
    other.release()
}

#[test]
fn busy_associations_keep_their_places() -> Result<()> {
    let node = Node::start(&two_carts(2))?;
    let object = Object::read(&samples::pydicom("examples_rgb_color.dcm")?)?;
    let proposals = [Proposal::for_object(&object)];
    let associate = || Cart::associate(node.address(), AE_TITLE, CART, &proposals);
    let (mut first, mut second) = (associate()?, associate()?);
    let mut in_the_middle = Vec::new();
    for cart in [&mut first, &mut second] {
        let mut sending = cart.begin(&object, &object.sop_instance)?;
        sending.send(object.data_set.len() / 2)?;
        in_the_middle.push(sending);
    }
    throughout(
        "no association is cut for another",
        Duration::from_secs(3),
        || {
            let answer = call(&node, OTHER_CART)?;
            Ok(matches!(answer, Answer::Rejected(why) if why == LOCAL_LIMIT_EXCEEDED))
        },
    )?;
    for mut sending in in_the_middle {
        sending.send(usize::MAX)?;
        let response = sending.response()?;
        assert_eq!(response.status, 0, "{}", response.comment);
    }
    let uid = node.studies()?;
    let uid = uid
        .first()
        .and_then(|study| study.get("study_instance_uid")?.as_str());
    let kept = node.stored(uid.context("no study")?, &object.sop_instance)?;
    assert_eq!(kept.len(), 1);
    Ok(())
}
