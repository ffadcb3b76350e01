//! `domain doctor`, and that a name which is not well costs the CA nothing.

use vestibule::model::{DomainPattern, DomainState};

use super::bench::{claim, comes_to, hard_to_please, node};
use crate::harness::eventually;
use crate::harness::upstream::TestUpstream;

const NAME: &str = "app.acmecorp.com";

/// The findings of `doctor` that are not well: code and hint of each.
fn to_fix(out: &str) -> Vec<(String, String)> {
    let found: serde_json::Value = serde_json::from_str(out).unwrap();
    let text = |check: &serde_json::Value, key: &str| check[key].as_str().unwrap_or("").to_owned();
    let checks = found[0]["checks"].as_array().unwrap();
    let wrong = checks.iter().filter(|check| check["ok"] == false);
    wrong
        .map(|check| (text(check, "code"), text(check, "hint")))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_and_nothing_is_ordered_until_it_is_right() {
    let pebble = hard_to_please().start().await;
    let upstream = TestUpstream::echo();
    let (here, plan) = node(&pebble, upstream.address, &[]);
    let edge = plan.tenants(&["acme"]).start().await;
    let doctor = format!("domain doctor {NAME} --output json");

    let proof = claim(&edge, "acme", NAME).await;
    let ran = edge.command(&doctor).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("to be fixed"), "{ran:?}");
    let wrong = to_fix(&ran.out);
    let codes: Vec<&str> = wrong.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["proof", "pointing"], "{wrong:?}");
    assert!(
        wrong[0].1.contains(&format!("_vestibule.{NAME}")),
        "{wrong:?}"
    );
    assert!(wrong[0].1.contains(&proof), "{wrong:?}");
    assert!(wrong[1].1.contains(&here.to_string()), "{wrong:?}");

    // Proved, and forbidden by CAA: verified, and no order.
    pebble.dns.set_a(NAME, &[here]).await;
    pebble.dns.set_caa(NAME, "another-ca.example").await;
    pebble
        .dns
        .set_txt(&format!("_vestibule.{NAME}"), &proof)
        .await;
    comes_to(&edge, NAME, DomainState::Verified).await;
    let pattern = DomainPattern::parse(NAME).unwrap();
    eventually("the look before an order to have failed", async || {
        let order = edge.store.order(&pattern).await.unwrap()?;
        order.last_error.is_some().then_some(())
    })
    .await;
    let wrong = to_fix(&edge.command(&doctor).await.out);
    assert!(wrong.iter().any(|(code, _)| code == "caa"), "{wrong:?}");
    // What kept the order from being placed is among what `show` says, though no look at the claim sees it.
    let show = format!("domain show {NAME} --output json");
    let shown: serde_json::Value = serde_json::from_str(&edge.command(&show).await.out).unwrap();
    let checks = shown["checks"].as_array().unwrap();
    assert!(
        checks
            .iter()
            .any(|it| it["code"] == "caa" && it["ok"] == false),
        "{checks:?}"
    );
    assert_eq!(pebble.orders(), 0);
}
