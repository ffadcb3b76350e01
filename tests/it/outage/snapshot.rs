//! Snapshots that cannot be trusted.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::serves;
use crate::harness::edge::Edge;
use crate::harness::on_both_stores;
use crate::harness::upstream::TestUpstream;

on_both_stores!(i14_a_snapshot_that_cannot_be_trusted_is_ignored_and_counted);

/// Puts something in the place of a good snapshot.
type Damage = fn(&Path, Vec<u8>);

/// What may have become of a snapshot.
const DAMAGES: [(&str, Damage); 8] = [
    ("empty", |file, _| write(file, &[])),
    ("cut in half", |file, good| {
        write(file, &good[..good.len() / 2])
    }),
    ("cut by a byte", |file, good| {
        write(file, &good[..good.len() - 1])
    }),
    ("a byte longer", |file, good| {
        write(file, &[&good[..], b"!"].concat())
    }),
    ("a bit flipped", |file, mut good| {
        let middle = good.len() / 2;
        good[middle] ^= 4;
        write(file, &good);
    }),
    ("of a newer version", |file, mut good| {
        good[8] += 1;
        write(file, &good);
    }),
    ("written by anybody", |file, good| {
        write(file, &good);
        std::fs::set_permissions(file, PermissionsExt::from_mode(0o666)).unwrap();
    }),
    ("a folder", |file, _| std::fs::create_dir(file).unwrap()),
];

async fn i14_a_snapshot_that_cannot_be_trusted_is_ignored_and_counted(store: Option<&str>) {
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address).store_at(store);
    let mut node = node.tenants(&["acme"]).start().await;
    let file = node.config.cache.snapshot_file.clone();
    let loaded = async |node: &Edge, result: &str| {
        let series = format!("vestibule_snapshot_total{{operation=\"load\",result=\"{result}\"}}");
        node.metric(&series).await
    };
    for (what, damage) in DAMAGES {
        node.comes_to("acme.localhost", 200).await;
        let plan = node.pause().await;
        let good = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        damage(&file, good);
        node = plan.start().await;
        assert_eq!(loaded(&node, "ignored").await, 1.0, "{what}");
        serves(&node, &["acme.localhost"]).await;
        if file.is_dir() {
            std::fs::remove_dir(&file).unwrap();
        }
    }
    let node = node.pause().await.start().await;
    assert_eq!(loaded(&node, "ok").await, 1.0, "written anew");
}

fn write(file: &Path, bytes: &[u8]) {
    std::fs::write(file, bytes).unwrap();
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
}
