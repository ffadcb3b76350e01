//! The change feed and the positions of what is read: a follower misses nothing and knows when it has lost its way.

use std::collections::HashSet;

use futures_util::future::join_all;
use vestibule::model::{LookupKey, TenantId};
use vestibule::store::{Changed, Changes, Cursor, RouteSource, Store, TenantPatch};

use super::{Place, add, by, changes, create, found, key, pattern, slug};

on_both_engines!(
    every_change_is_announced_with_the_names_it_touches,
    what_changes_no_answer_is_not_announced,
    a_change_that_touches_too_many_names_is_a_bulk,
    a_look_up_says_as_of_when_it_is,
    a_row_and_its_position_are_of_one_moment,
    a_follower_of_busy_writers_misses_nothing,
    a_follower_that_is_far_behind_reads_in_parts,
    another_epoch_loses_the_way,
    a_pruned_gap_loses_the_way,
    a_head_below_the_cursor_loses_the_way,
    numbers_go_on_after_everything_is_pruned,
    a_kind_of_change_from_the_future_is_told_as_such,
);

pub(super) fn changed(id: TenantId, names: &[&str]) -> Changed {
    Changed::Tenant {
        id,
        names: names.iter().map(|name| key(name)).collect(),
    }
}

async fn every_change_is_announced_with_the_names_it_touches(place: Place) {
    let store = place.open().await;
    let start = store.cursor().await.unwrap();
    assert_eq!(changes(&store, start).await, []);
    let acme = create(&store, "acme").await.id;
    let globex = create(&store, "globex").await.id;
    add(&store, "acme", "shop.example.com").await;
    add(&store, "acme", "*.example.org").await;
    store
        .move_domain(&pattern("shop.example.com"), &by("globex"))
        .await
        .unwrap();
    store
        .rename_tenant(&by("acme"), &slug("initech"))
        .await
        .unwrap();
    store.suspend_tenant(&by("acme")).await.unwrap();
    store.remove_tenant(&by("acme")).await.unwrap();
    store.restore_tenant(&by("acme")).await.unwrap();
    store
        .remove_domain(&pattern("shop.example.com"), None)
        .await
        .unwrap();
    assert_eq!(
        changes(&store, start).await,
        [
            changed(acme, &["acme"]),
            changed(globex, &["globex"]),
            changed(acme, &["shop.example.com"]),
            changed(acme, &["*.example.org"]),
            changed(globex, &["shop.example.com"]),
            changed(acme, &["initech", "acme"]),
            changed(acme, &[]),
            changed(acme, &["*.example.org"]),
            changed(acme, &[]),
            changed(globex, &["shop.example.com"]),
        ]
    );
    let end = store.cursor().await.unwrap();
    assert_eq!(
        (end.epoch, end.position),
        (start.epoch, start.position + 10)
    );
    assert_eq!(changes(&store, end).await, []);
}

async fn what_changes_no_answer_is_not_announced(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    let start = store.cursor().await.unwrap();
    assert!(
        store
            .rename_tenant(&by("acme"), &slug("acme"))
            .await
            .is_ok()
    );
    assert!(
        store
            .set_tenant(&by("acme"), TenantPatch::default())
            .await
            .is_ok()
    );
    assert!(store.resume_tenant(&by("acme")).await.is_err());
    assert!(
        store
            .remove_domain(&pattern("x.example.com"), None)
            .await
            .is_err()
    );
    store.prune(1000).await.unwrap();
    assert_eq!(store.cursor().await.unwrap(), start);
}

async fn a_change_that_touches_too_many_names_is_a_bulk(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    for number in 0..300 {
        add(&store, "acme", &format!("d{number}.example.com")).await;
    }
    let start = store.cursor().await.unwrap();
    store.remove_tenant(&by("acme")).await.unwrap();
    assert_eq!(changes(&store, start).await, [Changed::Bulk]);
    assert_eq!(found(&store, "d299.example.com").await, None);
}

async fn a_look_up_says_as_of_when_it_is(place: Place) {
    let store = place.open().await;
    let id = create(&store, "acme").await.id;
    add(&store, "acme", "shop.example.com").await;
    let keys = [
        key("acme"),
        key("shop.example.com"),
        LookupKey::Id(id),
        key("nobody"),
        key("*.nobody.example"),
    ];
    let at = store.cursor().await.unwrap();
    for key in &keys {
        assert_eq!(
            store.lookup(key).await.unwrap().at,
            at,
            "{key}: found or not"
        );
    }
    store.suspend_tenant(&by("acme")).await.unwrap();
    for key in &keys {
        let looked = store.lookup(key).await.unwrap();
        assert_eq!(
            looked.at,
            Cursor {
                position: at.position + 1,
                ..at
            },
            "{key}"
        );
    }
}

/// While only one thing changes, each change moves the row and the position by one: their difference never does.
async fn a_row_and_its_position_are_of_one_moment(place: Place) {
    const CHANGES: i64 = 25;
    let (node, other) = (place.open().await, place.open().await);
    create(&node, "acme").await;
    let offset = async || {
        let looked = node.lookup(&key("acme")).await.unwrap();
        looked.at.position - i64::try_from(looked.route.unwrap().version).unwrap()
    };
    let still = offset().await;
    let end = node.cursor().await.unwrap().position + CHANGES;
    let turns = async {
        for turn in 0..CHANGES {
            let result = match turn % 2 {
                0 => other.suspend_tenant(&by("acme")).await,
                _ => other.resume_tenant(&by("acme")).await,
            };
            result.unwrap();
        }
    };
    let reads = async {
        while node.cursor().await.unwrap().position < end {
            assert_eq!(offset().await, still);
        }
    };
    tokio::join!(turns, reads);

    let offset = async || {
        let names = node.names().await.unwrap();
        names.at.position - i64::try_from(names.names.len()).unwrap()
    };
    let still = offset().await;
    let end = node.cursor().await.unwrap().position + CHANGES;
    let creations = async {
        for number in 0..CHANGES {
            create(&other, &format!("t{number}")).await;
        }
    };
    let reads = async {
        while node.cursor().await.unwrap().position < end {
            assert_eq!(offset().await, still);
        }
    };
    tokio::join!(creations, reads);
}

/// Reads the feed until `done` says of what was seen that it is enough.
async fn follow(
    store: &Store,
    mut cursor: Cursor,
    done: impl Fn(&[Changed]) -> bool,
) -> Vec<Changed> {
    let mut seen = Vec::new();
    while !done(&seen) {
        let Changes::Next(list) = store.changes_after(cursor).await.unwrap() else {
            panic!("lost");
        };
        for change in list {
            assert_eq!(
                change.position,
                cursor.position + 1,
                "in order and without a gap"
            );
            cursor.position = change.position;
            seen.push(change.what);
        }
        tokio::task::yield_now().await;
    }
    seen
}

async fn a_follower_of_busy_writers_misses_nothing(place: Place) {
    const WRITERS: usize = 4;
    const EACH: usize = 15;
    let reader = place.open().await;
    let start = reader.cursor().await.unwrap();
    let (one, two) = (place.open().await, place.open().await);
    let writers = (0..WRITERS).map(|writer| {
        let store = if writer % 2 == 0 { &one } else { &two };
        async move {
            for number in 0..EACH {
                create(store, &format!("w{writer}n{number}")).await;
            }
        }
    });
    let everything = |seen: &[Changed]| seen.len() == WRITERS * EACH;
    let (seen, _) = tokio::join!(follow(&reader, start, everything), join_all(writers));
    let tenants: HashSet<_> = (seen.iter())
        .map(|change| match change {
            Changed::Tenant { id, .. } => *id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(tenants.len(), WRITERS * EACH);
}

async fn a_follower_that_is_far_behind_reads_in_parts(place: Place) {
    let store = place.open().await;
    let start = store.cursor().await.unwrap();
    place
        .tamper(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1005) \
             insert into changes (position, at, kind, names) select i, 0, 'bulk', '[]' from n",
        )
        .await;
    let Changes::Next(first) = store.changes_after(start).await.unwrap() else {
        panic!()
    };
    assert_eq!((first.len(), first[999].position), (1000, 1000));
    let next = Cursor {
        position: 1000,
        ..start
    };
    assert_eq!(changes(&store, next).await.len(), 5);
}

async fn another_epoch_loses_the_way(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    let before = store.cursor().await.unwrap();
    store.new_epoch().await.unwrap();
    let after = store.cursor().await.unwrap();
    assert_ne!(before.epoch, after.epoch);
    assert_eq!(
        store.changes_after(before).await.unwrap(),
        Changes::Lost(after)
    );
    assert_eq!(changes(&store, after).await, []);
}

async fn a_pruned_gap_loses_the_way(place: Place) {
    let store = place.open().await;
    let start = store.cursor().await.unwrap();
    for number in 0..10 {
        create(&store, &format!("t{number}")).await;
    }
    let head = store.cursor().await.unwrap();
    assert_eq!(store.prune(4).await.unwrap(), 6);
    let at = |position| Cursor { position, ..start };
    assert_eq!(
        store.changes_after(start).await.unwrap(),
        Changes::Lost(head)
    );
    assert_eq!(
        store.changes_after(at(head.position - 5)).await.unwrap(),
        Changes::Lost(head)
    );
    assert_eq!(
        changes(&store, at(head.position - 4)).await.len(),
        4,
        "what is left is whole"
    );
    assert_eq!(store.prune(4).await.unwrap(), 0);
    assert_eq!(
        store.prune(100).await.unwrap(),
        0,
        "what is pruned stays pruned"
    );
    assert_eq!(
        store.changes_after(start).await.unwrap(),
        Changes::Lost(head)
    );
}

async fn a_head_below_the_cursor_loses_the_way(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    let head = store.cursor().await.unwrap();
    let ahead = Cursor {
        position: head.position + 1,
        ..head
    };
    assert_eq!(
        store.changes_after(ahead).await.unwrap(),
        Changes::Lost(head)
    );
}

async fn numbers_go_on_after_everything_is_pruned(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    let before = store.cursor().await.unwrap();
    store.prune(0).await.unwrap();
    assert_eq!(store.cursor().await.unwrap(), before);
    create(&store, "globex").await;
    assert_eq!(store.cursor().await.unwrap().position, before.position + 1);
    assert_eq!(changes(&store, before).await.len(), 1);
}

async fn a_kind_of_change_from_the_future_is_told_as_such(place: Place) {
    let store = place.open().await;
    let start = store.cursor().await.unwrap();
    place
        .tamper(
            "insert into changes (position, at, kind, names) values (1, 0, 'certificate', '[]')",
        )
        .await;
    assert_eq!(changes(&store, start).await, [Changed::Unknown]);
}
