//! `webhook …` beside a running node: what an operator types, and what the receiver hears of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::Value;

use crate::command::with_store;
use crate::harness::edge::Edge;
use crate::harness::receiver::{Manner, Receiver};
use crate::harness::upstream::TestUpstream;
use crate::harness::{eventually, on_both_stores};

on_both_stores!(a_receiver_hears_of_what_happens_on_a_node);

async fn a_receiver_hears_of_what_happens_on_a_node(store: Option<&str>) {
    let (upstream, receiver) = (TestUpstream::echo(), Receiver::start());
    let plan = Edge::with(upstream.address).store_at(store);
    let edge = plan.tenants(&["acme"]).start().await;
    let url = receiver.url();
    let line = format!("webhook add {url} --event domain.active --allow-private --output json");
    let added: Value = edge.command(&line).await.json();
    let (id, secret) = (text(&added, "id"), text(&added, "secret"));
    assert!(secret.starts_with("whsec_"), "{secret}");
    for line in ["domain add acme a.test --trusted", "domain remove a.test"] {
        edge.command(line).await.succeeds();
    }
    let told = eventually("the event", async || {
        let told = receiver.told();
        (!told.is_empty()).then_some(told)
    });
    assert_eq!(told.await, ["domain.active a.test"]);
    let delivered = "vestibule_webhook_deliveries_total{result=\"delivered\"}";
    let counted = eventually("the count", async || {
        (edge.metric(delivered).await >= 1.0).then_some(())
    });
    counted.await;
    let metrics = edge.metrics().await;
    for series in [
        "vestibule_webhook_pending ",
        "vestibule_domains{state=\"active\"} ",
    ] {
        assert!(metrics.contains(series), "{series}");
    }

    let test = format!("webhook test {id}");
    let tested = edge.command(&test).await.succeeds();
    let right = tested.contains("ping") && tested.contains("delivered");
    assert!(right, "{tested}");
    assert_eq!(receiver.told(), ["domain.active a.test", "ping -"]);
    receiver.becomes(Manner::Answer(500, ""));
    let refused = edge.command(&test).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("status 500"), "{refused:?}");

    let show = format!("webhook show {id}");
    let json = edge.command(&format!("{show} --output json")).await.json();
    let states = json["deliveries"].as_array().unwrap().iter();
    let states: Vec<&str> = states.map(|it| it["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["failed", "delivered", "delivered"]);
    for line in ["webhook list", "webhook list --output json", &show] {
        let shown = edge.command(line).await.succeeds();
        assert!(shown.contains(&id), "{line}: {shown}");
        assert!(!shown.contains(&secret), "{line}: the secret is shown once");
        assert!(
            !shown.contains("canary-query"),
            "{line}: a query may hold a password"
        );
    }
    if store.is_none() {
        assert_absent(edge.folder(), &secret);
    }
}

/// No file of the folder holds the secret, as text or as the bytes that it stands for.
fn assert_absent(folder: &Path, secret: &str) {
    use base64::Engine;
    let encoded = secret.strip_prefix("whsec_").unwrap();
    let bytes = base64::prelude::BASE64_STANDARD.decode(encoded).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(content) = std::fs::read(&path) else {
            continue;
        };
        for canary in [encoded.as_bytes(), &bytes] {
            let there = content.windows(canary.len()).any(|part| part == canary);
            assert!(!there, "{} holds a webhook's secret", path.display());
        }
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap().to_owned()
}

#[test]
fn what_cannot_be_a_webhook_is_refused_with_a_reason() {
    let folder = with_store("");
    for (line, why) in [
        ("webhook add http://hooks.example/ --all", "https"),
        ("webhook add https://u:p@hooks.example/ --all", "user"),
        ("webhook add hooks.example --all", "absolute"),
        ("webhook add https://hooks.example/", "--event"),
        (
            "webhook add https://hooks.example/ --event domain.sold",
            "domain.active",
        ),
        (
            "webhook add https://hooks.example/ --event ping",
            "domain.active",
        ),
        (
            "webhook add https://hooks.example/ --all --event domain.active",
            "cannot be used",
        ),
        ("webhook add http://127.0.0.1:1/ --all", "--allow-private"),
        ("webhook add https://10.0.0.1/ --all", "--allow-private"),
        ("webhook add https://[::1]/ --all", "--allow-private"),
        ("webhook show acme", "invalid value"),
        (
            "webhook remove 01890000-0000-7000-8000-000000000000",
            "--yes",
        ),
    ] {
        let ran = folder.typed(line);
        assert_eq!(ran.code, 2, "{line}: {ran:?}");
        assert!(ran.err.contains(why), "{line}: {ran:?}");
    }
    let unknown = folder.typed("webhook show 01890000-0000-7000-8000-000000000000");
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.err.contains("hint: "), "{unknown:?}");
    let none = folder.typed("webhook list --output json").json();
    assert_eq!(none, serde_json::json!([]));
}

#[test]
fn a_webhook_is_paused_resumed_rotated_and_removed() {
    let folder = with_store("");
    folder.typed("tenant create acme").succeeds();
    let line = "webhook add https://hooks.example/ --all --tenant acme --output json";
    let added = folder.typed(line);
    assert!(added.err.contains("not shown again"), "{added:?}");
    let added = added.json();
    assert_eq!(added["tenant_slug"], "acme");
    let (id, first) = (text(&added, "id"), text(&added, "secret"));
    let json = |line: &str| {
        let line = format!("webhook {line} --output json");
        folder.typed(&line).json()
    };
    folder.typed("domain add acme a.test --trusted").succeeds();

    let paused = json(&format!("pause {id}"));
    assert!(paused["paused_at"].is_i64(), "{paused}");
    assert_eq!(paused["pending"], 1);
    let delivery = json(&format!("show {id}"))["deliveries"][0]["id"].clone();
    let again = json(&format!("redeliver {delivery}"));
    assert_eq!(again["state"], "pending");
    assert!(json(&format!("resume {id}"))["paused_at"].is_null());
    let rotated = json(&format!("rotate {id} --overlap 2"));
    assert_ne!(text(&rotated, "secret"), first);
    assert!(rotated["old_secret_until"].is_i64());
    let resealed = folder.typed("key reseal --output json").json();
    assert_eq!(resealed["keys"], 1);
    // Sealed with the key that is in force now, or it would be refused.
    let again = json(&format!("rotate {id}"));
    assert_ne!(again["secret"], rotated["secret"], "{again}");

    let gone = folder.typed(&format!("webhook remove {id} --yes"));
    assert!(gone.succeeds().contains(&id));
    assert_eq!(json("list"), serde_json::json!([]));
    assert_eq!(folder.typed(&format!("webhook show {id}")).code, 1);
}
