//! Tenants: making, changing, states, listing, the audit.

use futures_util::future::join_all;
use serde_json::json;
use vestibule::model::{Isolation, LimitOverrides, TenantState};
use vestibule::store::{LimitPatch, NewTenant, StoreError, TenantPatch};

use super::{Place, by, create, found, leads, slug};

on_both_engines!(
    a_new_tenant_is_found_with_all_it_was_given,
    a_tenant_of_its_own_schema_begins_provisioning,
    settings_change_one_by_one,
    what_does_not_fit_is_refused_cleanly,
    what_is_too_big_or_unknown_is_refused_cleanly,
    hostile_texts_come_back_as_they_went_in,
    changes_at_the_same_time_all_stay,
    only_legal_states_follow_each_other,
    provisioning_shows_its_progress,
    a_list_comes_in_pages,
    who_did_what_is_written_down,
);

async fn a_new_tenant_is_found_with_all_it_was_given(place: Place) {
    let store = place.open().await;
    let new = NewTenant {
        name: Some("Acme & Söhne".into()),
        upstream: Some("blue".into()),
        plan: Some("gold".into()),
        limits: LimitOverrides {
            burst: Some(7),
            body: Some(u64::from(u32::MAX) + 1),
            ..LimitOverrides::default()
        },
        meta: json!({"region": "eu", "seats": 3})
            .as_object()
            .unwrap()
            .clone(),
        ..NewTenant::new(slug("acme"))
    };
    let made = store.create_tenant(new).await.unwrap();
    assert_eq!(made.id.0.get_version_num(), 7);
    assert_eq!((made.state, made.version), (TenantState::Active, 1));
    for reference in ["acme", &made.id.to_string()] {
        assert_eq!(store.tenant(&by(reference)).await.unwrap(), made);
    }
    let route = found(&store, "acme").await.unwrap();
    assert_eq!((route.tenant, route.slug), (made.id, made.slug));
    assert_eq!(route.upstream.as_deref(), Some("blue"));
    assert_eq!(route.plan.as_deref(), Some("gold"));
    assert_eq!(route.limits, made.limits);
    assert_eq!(route.meta.as_deref(), Some(r#"{"region":"eu","seats":3}"#));
    assert_eq!(route.removed_at, None);
}

async fn a_tenant_of_its_own_schema_begins_provisioning(place: Place) {
    let store = place.open().await;
    let new = NewTenant {
        isolation: Isolation::Schema,
        ..NewTenant::new(slug("acme"))
    };
    let made = store.create_tenant(new).await.unwrap();
    assert_eq!(made.state, TenantState::Provisioning);
    let route = found(&store, "acme").await.unwrap();
    assert_eq!(
        (route.state, route.placement.isolation),
        (TenantState::Provisioning, Isolation::Schema)
    );
}

async fn settings_change_one_by_one(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    let patch = TenantPatch {
        plan: Some(Some("gold".into())),
        limits: LimitPatch {
            burst: Some(Some(3)),
            in_flight: Some(Some(9)),
            ..LimitPatch::default()
        },
        meta: json!({"a": 1, "b": 2}).as_object().unwrap().clone(),
        ..TenantPatch::default()
    };
    let first = store.set_tenant(&by("acme"), patch).await.unwrap();
    let patch = TenantPatch {
        name: Some("Acme".into()),
        limits: LimitPatch {
            burst: Some(None),
            ..LimitPatch::default()
        },
        meta: json!({"a": null, "c": 3}).as_object().unwrap().clone(),
        ..TenantPatch::default()
    };
    let second = store.set_tenant(&by("acme"), patch.clone()).await.unwrap();
    assert_eq!(
        (second.name.as_str(), second.plan.as_deref()),
        ("Acme", Some("gold"))
    );
    assert_eq!(
        (second.limits.burst, second.limits.in_flight),
        (None, Some(9))
    );
    assert_eq!(second.meta, *json!({"b": 2, "c": 3}).as_object().unwrap());
    assert_eq!((first.version, second.version), (2, 3));
    assert_eq!(found(&store, "acme").await.unwrap().version, 3);

    let cursor = store.cursor().await.unwrap();
    assert_eq!(store.set_tenant(&by("acme"), patch).await.unwrap(), second);
    assert_eq!(
        store.cursor().await.unwrap(),
        cursor,
        "nothing changed, so nothing is announced"
    );
}

async fn what_does_not_fit_is_refused_cleanly(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    let cursor = store.cursor().await.unwrap();
    let huge = "x".repeat(1 << 20);
    for (field, text) in [
        ("name", huge.as_str()),
        ("name", ""),
        ("name", "a\0b"),
        ("name", "a\nb"),
        ("plan", &huge),
        ("plan", "\0"),
        ("upstream", &huge),
        ("upstream", "\0"),
    ] {
        let text = text.to_owned();
        let patch = match field {
            "name" => TenantPatch {
                name: Some(text),
                ..TenantPatch::default()
            },
            "plan" => TenantPatch {
                plan: Some(Some(text)),
                ..TenantPatch::default()
            },
            _ => TenantPatch {
                upstream: Some(Some(text)),
                ..TenantPatch::default()
            },
        };
        let refused = store.set_tenant(&by("acme"), patch).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::BadText { field: f, .. } if f == field),
            "{refused}"
        );
        assert!(refused.to_string().len() < 200);
    }
    assert_eq!(
        store.cursor().await.unwrap(),
        cursor,
        "a refusal leaves no trace"
    );
}

async fn what_is_too_big_or_unknown_is_refused_cleanly(place: Place) {
    let store = place.open().await;
    let cursor = store.cursor().await.unwrap();
    let meta = json!({ "k": "x".repeat(1100) })
        .as_object()
        .unwrap()
        .clone();
    let refused = store
        .create_tenant(NewTenant {
            meta,
            ..NewTenant::new(slug("big"))
        })
        .await;
    assert!(matches!(refused, Err(StoreError::MetaTooLarge(1108))));
    let unknown = store
        .set_tenant(&by("nobody"), TenantPatch::default())
        .await;
    assert!(matches!(unknown, Err(StoreError::UnknownTenant(name)) if name == "nobody"));
    assert!(matches!(
        "No Body".parse::<vestibule::store::TenantRef>(),
        Err(StoreError::BadReference(..))
    ));
    assert_eq!(
        store.cursor().await.unwrap(),
        cursor,
        "a refusal leaves no trace"
    );
}

async fn hostile_texts_come_back_as_they_went_in(place: Place) {
    let store = place.open().await;
    create(&store, "other").await;
    for (number, text) in [
        "'; drop table tenants; --",
        "$1 ? :a @b",
        "%_\\",
        "\u{202e}\u{1f980}",
    ]
    .iter()
    .enumerate()
    {
        let meta = json!({ *text: format!("{text}\0") })
            .as_object()
            .unwrap()
            .clone();
        let new = NewTenant {
            name: Some((*text).to_owned()),
            plan: Some((*text).to_owned()),
            meta,
            ..NewTenant::new(slug(&format!("t{number}")))
        };
        let made = store.create_tenant(new).await.unwrap();
        assert_eq!(store.tenant(&by(made.slug.as_str())).await.unwrap(), made);
    }
    assert_eq!(leads(&store, "other").await.as_deref(), Some("other"));
}

async fn changes_at_the_same_time_all_stay(place: Place) {
    const CHANGES: u64 = 12;
    let (one, two) = (place.open().await, place.open().await);
    create(&one, "acme").await;
    let changes = (0..CHANGES).map(|number| {
        let store = if number % 2 == 0 { &one } else { &two };
        let meta = json!({ format!("k{number}"): number });
        let patch = TenantPatch {
            meta: meta.as_object().unwrap().clone(),
            ..TenantPatch::default()
        };
        async move { store.set_tenant(&by("acme"), patch).await.unwrap() }
    });
    join_all(changes).await;
    let tenant = one.tenant(&by("acme")).await.unwrap();
    assert_eq!(tenant.meta.len() as u64, CHANGES);
    assert_eq!(tenant.version, 1 + CHANGES);
}

async fn only_legal_states_follow_each_other(place: Place) {
    use TenantState::{Active, Failed, Maintenance, Provisioning, Suspended};
    let store = place.open().await;
    for (number, (from, action, to)) in [
        (Active, "suspend", Some(Suspended)),
        (Active, "maintain", Some(Maintenance)),
        (Active, "resume", None),
        (Suspended, "resume", Some(Active)),
        (Suspended, "suspend", None),
        (Suspended, "maintain", None),
        (Maintenance, "resume", Some(Active)),
        (Maintenance, "suspend", Some(Suspended)),
        (Maintenance, "maintain", None),
        (Provisioning, "resume", None),
        (Provisioning, "suspend", None),
        (Failed, "resume", None),
        (Failed, "maintain", None),
    ]
    .into_iter()
    .enumerate()
    {
        let new = NewTenant {
            state: Some(from),
            ..NewTenant::new(slug(&format!("t{number}")))
        };
        let tenant = by(store.create_tenant(new).await.unwrap().slug.as_str());
        let result = match action {
            "suspend" => store.suspend_tenant(&tenant).await,
            "maintain" => store.maintain_tenant(&tenant).await,
            _ => store.resume_tenant(&tenant).await,
        };
        match (result, to) {
            (Ok(tenant), Some(to)) => assert_eq!(tenant.state, to),
            (Err(StoreError::Transition { from: named, .. }), None) => assert_eq!(named, from),
            (result, _) => panic!("{from:?} {action}: {result:?}"),
        }
        let is = found(&store, &format!("t{number}")).await.unwrap().state;
        assert_eq!(is, to.unwrap_or(from), "{from:?} {action}");
    }
}

async fn provisioning_shows_its_progress(place: Place) {
    let store = place.open().await;
    let new = NewTenant {
        state: Some(TenantState::Provisioning),
        progress: 10,
        ..NewTenant::new(slug("acme"))
    };
    store.create_tenant(new).await.unwrap();
    assert_eq!(found(&store, "acme").await.unwrap().progress, 10);
    store.set_progress(&by("acme"), 60).await.unwrap();
    assert_eq!(found(&store, "acme").await.unwrap().progress, 60);
    create(&store, "done").await;
    assert!(store.set_progress(&by("done"), 1).await.is_err());
}

async fn a_list_comes_in_pages(place: Place) {
    let store = place.open().await;
    for number in 0..7 {
        create(&store, &format!("t{number}")).await;
    }
    store.suspend_tenant(&by("t3")).await.unwrap();
    store.rename_tenant(&by("t5"), &slug("five")).await.unwrap();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = store.tenants(None, after, 3).await.unwrap();
        assert!(page.items.len() <= 3);
        seen.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let slugs: Vec<_> = seen.iter().map(|tenant| tenant.slug.to_string()).collect();
    assert_eq!(
        slugs,
        ["t0", "t1", "t2", "t3", "t4", "five", "t6"],
        "in the order in which they were made"
    );
    assert_eq!(seen[5].aliases, [slug("t5")]);
    let suspended = store
        .tenants(Some(TenantState::Suspended), None, 10)
        .await
        .unwrap();
    assert_eq!((suspended.items.len(), suspended.next), (1, None));
}

async fn who_did_what_is_written_down(place: Place) {
    let store = place.open().await.acting_as("cli:\u{7}ann");
    create(&store, "acme").await;
    store
        .rename_tenant(&by("acme"), &slug("acme-2"))
        .await
        .unwrap();
    store.remove_tenant(&by("acme-2")).await.unwrap();
    let refused = store.remove_tenant(&by("acme-2")).await;
    assert!(refused.is_err());
    let entries = store.audit(None, 10).await.unwrap();
    let actions: Vec<_> = entries
        .iter()
        .map(|entry| (entry.action.as_str(), entry.subject.as_str()))
        .collect();
    assert_eq!(
        actions,
        [
            ("tenant.remove", "acme-2"),
            ("tenant.rename", "acme-2"),
            ("tenant.create", "acme")
        ]
    );
    assert!(entries.iter().all(|entry| entry.actor == "cli:ann"));
    let older = store.audit(Some(entries[1].id), 10).await.unwrap();
    assert_eq!(older, entries[2..]);
}
