//! Many tenants at once: all or none.

use std::collections::HashSet;
use std::ops::ControlFlow;

use serde_json::json;
use vestibule::model::{DomainState, TenantState};
use vestibule::store::{
    Changed, Claim, ImportFault, ImportLine, Imported, NewTenant, RouteSource, Store, StoreError,
};

use super::{Place, add, by, changes, cool_off, create, found, leads, pattern, slug};

on_both_engines!(
    every_line_becomes_a_tenant_with_its_domains,
    one_bad_line_and_nothing_is_imported,
    claims_without_trust_are_not_routed_and_exclude_nobody,
    a_slug_whose_cool_off_is_over_can_be_imported,
    what_is_exported_says_what_was_imported,
    a_hundred_thousand_lines_take_seconds,
);

type Line = Result<ImportLine, ImportFault>;

fn line(number: usize, name: &str, domains: &[&str]) -> Line {
    Ok(ImportLine {
        number,
        tenant: NewTenant::new(slug(name)),
        domains: domains.iter().map(|name| pattern(name)).collect(),
    })
}

async fn import(store: &Store, lines: Vec<Line>) -> Result<Imported, StoreError> {
    store.import(lines, Claim::TRUSTED).await
}

async fn every_line_becomes_a_tenant_with_its_domains(place: Place) {
    let store = place.open().await;
    let start = store.cursor().await.unwrap();
    let lines = vec![
        line(1, "acme", &["a.example.com", "*.example.org"]),
        line(2, "globex", &[]),
    ];
    let imported = import(&store, lines).await.unwrap();
    assert_eq!(
        imported,
        Imported {
            tenants: 2,
            domains: 2
        }
    );
    assert_eq!(
        found(&store, "acme").await.unwrap().state,
        TenantState::Active
    );
    assert_eq!(
        leads(&store, "*.example.org").await.as_deref(),
        Some("acme")
    );
    assert_eq!(
        changes(&store, start).await,
        [Changed::Bulk],
        "one row however many lines"
    );
    assert_eq!(
        import(&store, Vec::new()).await.unwrap(),
        Imported::default()
    );
}

/// Every kind of fault, one or two a line; line 1 alone is good.
fn bad_lines() -> Vec<Line> {
    let long = ImportLine {
        number: 9,
        tenant: NewTenant {
            name: Some("x".repeat(1 << 20)),
            ..NewTenant::new(slug("long"))
        },
        domains: Vec::new(),
    };
    vec![
        line(1, "good", &["good.example.com"]),
        line(2, "taken", &[]),
        line(3, "old", &[]),
        line(4, "gone", &[]),
        Err(ImportFault {
            line: 5,
            reason: "not JSON".into(),
        }),
        line(6, "good", &[]),
        line(7, "seven", &["taken.example.com", "good.example.com"]),
        line(8, "eight", &["twice.example.com", "twice.example.com"]),
        Ok(long),
    ]
}

async fn one_bad_line_and_nothing_is_imported(place: Place) {
    let store = place.open().await;
    create(&store, "taken").await;
    create(&store, "old").await;
    store
        .rename_tenant(&by("old"), &slug("renamed"))
        .await
        .unwrap();
    create(&store, "gone").await;
    store.remove_tenant(&by("gone")).await.unwrap();
    add(&store, "taken", "taken.example.com").await;
    let start = store.cursor().await.unwrap();
    let Err(StoreError::Import(faults)) = import(&store, bad_lines()).await else {
        panic!()
    };
    let faults: Vec<_> = faults
        .iter()
        .map(|fault| (fault.line, fault.reason.as_str()))
        .collect();
    let expected = [
        (2, "the slug taken is taken"),
        (3, "the slug old is an alias of renamed"),
        (4, "the slug gone belonged to a removed tenant"),
        (5, "not JSON"),
        (6, "the slug good stands in line 1 already"),
        (7, "the domain good.example.com stands in line 1 already"),
        (7, "the domain taken.example.com belongs to taken"),
        (8, "the domain twice.example.com stands in it twice"),
        (9, "name is too long"),
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for ((line, reason), (expected_line, begins)) in faults.iter().zip(expected) {
        assert_eq!(*line, expected_line);
        assert!(reason.starts_with(begins), "{line}: {reason}");
    }
    assert_eq!(store.cursor().await.unwrap(), start);
    for name in ["good", "seven", "eight", "good.example.com"] {
        assert_eq!(found(&store, name).await, None, "{name}");
    }
}

async fn claims_without_trust_are_not_routed_and_exclude_nobody(place: Place) {
    let store = place.open().await;
    create(&store, "taken").await;
    add(&store, "taken", "a.example.com").await;
    let claim = Claim {
        state: DomainState::Pending,
        trusted: false,
    };
    let lines = vec![
        line(1, "one", &["a.example.com"]),
        line(2, "two", &["a.example.com"]),
    ];
    store.import(lines, claim).await.unwrap();
    assert_eq!(
        store.domain(&pattern("a.example.com")).await.unwrap().len(),
        3
    );
    assert_eq!(
        leads(&store, "a.example.com").await.as_deref(),
        Some("taken")
    );
}

async fn a_slug_whose_cool_off_is_over_can_be_imported(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    store.remove_tenant(&by("acme")).await.unwrap();
    cool_off(&place);
    import(&store, vec![line(1, "acme", &[])]).await.unwrap();
    assert_eq!(
        found(&store, "acme").await.unwrap().state,
        TenantState::Active
    );
}

async fn what_is_exported_says_what_was_imported(place: Place) {
    let store = place.open().await;
    let meta = json!({"region": "eu"}).as_object().unwrap().clone();
    let first = ImportLine {
        number: 1,
        tenant: NewTenant {
            plan: Some("gold".into()),
            meta: meta.clone(),
            ..NewTenant::new(slug("acme"))
        },
        domains: vec![pattern("b.example.com"), pattern("a.example.com")],
    };
    let rest = (2..1200).map(|number| line(number, &format!("t{number}"), &[]));
    import(&store, std::iter::once(Ok(first)).chain(rest).collect())
        .await
        .unwrap();
    store.remove_tenant(&by("t7")).await.unwrap();
    let mut lines = Vec::new();
    let count = store
        .export(|exported| {
            lines.push(exported);
            ControlFlow::Continue(())
        })
        .await
        .unwrap();
    assert_eq!((count, lines.len()), (1198, 1198));
    assert_eq!(
        (lines[0].tenant.plan.as_deref(), &lines[0].tenant.meta),
        (Some("gold"), &meta)
    );
    let mut domains: Vec<_> = lines[0]
        .domains
        .iter()
        .map(|domain| domain.pattern.to_string())
        .collect();
    domains.sort();
    assert_eq!(domains, ["a.example.com", "b.example.com"]);
    let stopped = store.export(|_| ControlFlow::Break(())).await.unwrap();
    assert_eq!(stopped, 1, "a reader that is gone stops it");
}

#[expect(
    clippy::print_stdout,
    reason = "the figure is for whoever runs it alone"
)]
async fn a_hundred_thousand_lines_take_seconds(place: Place) {
    let store = place.open().await;
    let lines: Vec<_> = (1..=100_000)
        .map(|number| {
            line(
                number,
                &format!("tenant-{number}"),
                &[&format!("t{number}.example.com")],
            )
        })
        .collect();
    let started = std::time::Instant::now();
    import(&store, lines).await.unwrap();
    let imported = started.elapsed();
    let names = store.names().await.unwrap().names;
    println!(
        "imported in {imported:?}, names read in {:?}",
        started.elapsed() - imported
    );
    assert_eq!(names.len(), 200_000);
    let different: HashSet<_> = names.into_iter().collect();
    assert_eq!(different.len(), 200_000, "each of them, and once");
    assert_eq!(
        leads(&store, "t77777.example.com").await.as_deref(),
        Some("tenant-77777")
    );
}
