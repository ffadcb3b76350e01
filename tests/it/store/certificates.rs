//! Certificates: who is shown which, all or none of an import, what the feed says of it, and keys that only the sealing key opens.

use std::collections::HashSet;
use std::convert::Infallible;

use vestibule::clock::Timestamp;
use vestibule::model::certificate::CertificateSource;
use vestibule::model::{Secret, SigningKeyRecord};
use vestibule::seal::{SealError, Sealer};
use vestibule::store::{
    CertificateChange, CertificateStore, CertificateSummary, Changed, ImportedCertificates,
    NewCertificate, SealedCertificate, Store, StoreError,
};

use super::{Place, changes, pattern};

on_both_engines!(
    a_name_of_its_own_comes_before_the_wildcard,
    the_latest_import_is_shown_and_what_no_name_is_left_of_goes,
    an_import_is_one_row_of_the_feed_and_of_the_audit,
    an_import_of_many_is_told_without_its_names,
    a_name_whose_certificate_is_taken_away_has_none,
    names_are_listed_in_order_and_in_parts,
    certificates_are_counted_by_validity,
    a_key_is_sealed_for_its_own_row,
    who_has_another_sealing_key_can_keep_nothing,
    a_sealing_key_is_not_made_beside_sealed_certificates,
    resealing_takes_the_certificates_along,
    a_hundred_thousand_certificates_take_seconds,
);

/// What is kept for `names`; `mark` tells it from others.
fn new(mark: &str, names: &[&str]) -> NewCertificate {
    valid(mark, names, 0, i64::MAX)
}

pub(super) fn valid(mark: &str, names: &[&str], from: i64, to: i64) -> NewCertificate {
    NewCertificate {
        names: names.iter().map(|name| pattern(name)).collect(),
        chain: format!("chain of {mark}"),
        key: Secret::new(format!("key of {mark}").into_bytes()),
        not_before: from,
        not_after: to,
        source: CertificateSource::Import,
        fingerprint: mark.to_owned(),
        ca: None,
    }
}

/// The store's sealing key, with the first signing key beside it.
pub(super) async fn sealer(place: &Place, store: &Store) -> Sealer {
    let make = |sealer: &Sealer| {
        Ok::<_, Infallible>(SigningKeyRecord {
            kid: "first".into(),
            public_key: vec![1; 32],
            sealed_private_key: sealer.seal("signing-key", b"x"),
            created_at: 1,
            active_from: 2,
            retired_at: None,
        })
    };
    store
        .first_run(&place.settings.secret_key_file, make)
        .await
        .unwrap()
}

pub(super) async fn started(place: &Place) -> (Store, Sealer) {
    let store = place.open().await;
    let sealer = sealer(place, &store).await;
    (store, sealer)
}

pub(super) async fn import(
    store: &Store,
    sealer: &Sealer,
    list: &[NewCertificate],
) -> ImportedCertificates {
    store.import_certificates(list, sealer).await.unwrap()
}

/// The mark of the certificate that a visitor of `name` is shown.
async fn shown(store: &Store, name: &str) -> Option<String> {
    let looked = store.certificate_for(&pattern(name)).await.unwrap();
    assert_eq!(looked.at, store.cursor().await.unwrap());
    looked.certificate.map(|it| it.about.fingerprint)
}

async fn found(store: &Store, name: &str) -> SealedCertificate {
    store.certificate(&pattern(name)).await.unwrap()
}

async fn covered(store: &Store) -> Vec<String> {
    let covered = store.covered_names().await.unwrap();
    assert_eq!(covered.at, store.cursor().await.unwrap());
    let mut names: Vec<_> = covered.names.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

async fn a_name_of_its_own_comes_before_the_wildcard(place: Place) {
    let (store, sealer) = started(&place).await;
    assert_eq!(shown(&store, "acme.test").await, None);
    let list = [
        new("wild", &["*.acme.test"]),
        new("exact", &["x.acme.test", "acme.test"]),
    ];
    import(&store, &sealer, &list).await;
    for (name, mark) in [
        ("x.acme.test", Some("exact")),
        ("acme.test", Some("exact")),
        ("y.acme.test", Some("wild")),
        ("*.acme.test", Some("wild")),
        ("*.x.acme.test", None),
        ("a.b.acme.test", None),
        ("test", None),
    ] {
        assert_eq!(shown(&store, name).await.as_deref(), mark, "{name}");
    }
    let one = found(&store, "y.acme.test").await;
    assert_eq!(one.about.pattern, pattern("*.acme.test"));
    assert_eq!(one.chain, "chain of wild");
    let nobody = store.certificate(&pattern("globex.test")).await;
    assert!(
        matches!(nobody, Err(StoreError::UnknownCertificate(name)) if name == pattern("globex.test"))
    );
}

async fn the_latest_import_is_shown_and_what_no_name_is_left_of_goes(place: Place) {
    let (store, sealer) = started(&place).await;
    import(&store, &sealer, &[new("first", &["a.test", "b.test"])]).await;
    let second = import(&store, &sealer, &[new("second", &["b.test", "c.test"])]).await;
    assert_eq!(
        second,
        ImportedCertificates {
            certificates: 1,
            names: 2,
            replaced: 1
        }
    );
    assert_eq!(shown(&store, "a.test").await.as_deref(), Some("first"));
    assert_eq!(shown(&store, "b.test").await.as_deref(), Some("second"));
    let many = |summary: CertificateSummary| summary.valid;
    let now = Timestamp(1);
    assert_eq!(many(store.certificate_summary(now).await.unwrap()), 2);
    let third = import(&store, &sealer, &[new("third", &["a.test"])]).await;
    assert_eq!(third.replaced, 1);
    assert_eq!(shown(&store, "a.test").await.as_deref(), Some("third"));
    assert_eq!(
        many(store.certificate_summary(now).await.unwrap()),
        2,
        "nobody can be shown the first any more"
    );
    assert_eq!(covered(&store).await, ["a.test", "b.test", "c.test"]);
}

fn change(name: &str, present: bool) -> CertificateChange {
    CertificateChange {
        pattern: pattern(name),
        present,
    }
}

async fn an_import_is_one_row_of_the_feed_and_of_the_audit(place: Place) {
    let (store, sealer) = started(&place).await;
    let start = store.cursor().await.unwrap();
    let list = [new("one", &["a.test", "*.b.test"]), new("two", &["c.test"])];
    import(&store.acting_as("ops"), &sealer, &list).await;
    let told = [
        change("a.test", true),
        change("*.b.test", true),
        change("c.test", true),
    ];
    assert_eq!(
        changes(&store, start).await,
        [Changed::Certificates(told.to_vec())]
    );
    let audit = store.audit(None, 1).await.unwrap();
    let row = (audit[0].action.as_str(), audit[0].subject.as_str());
    assert_eq!(row, ("cert.import", "a.test *.b.test c.test"));
    assert_eq!(audit[0].actor, "ops");
    import(&store, &sealer, &[]).await;
    assert_eq!(changes(&store, start).await.len(), 1, "nothing came");
}

async fn an_import_of_many_is_told_without_its_names(place: Place) {
    let (store, sealer) = started(&place).await;
    let start = store.cursor().await.unwrap();
    let list: Vec<_> = (0..257)
        .map(|number| new("many", &[&format!("n{number}.test")]))
        .collect();
    let imported = import(&store, &sealer, &list).await;
    assert_eq!((imported.certificates, imported.replaced), (257, 0));
    assert_eq!(
        changes(&store, start).await,
        [Changed::Certificates(Vec::new())]
    );
    let audit = store.audit(None, 1).await.unwrap();
    assert!(
        audit[0].subject.ends_with("and 237 more"),
        "{}",
        audit[0].subject
    );
    assert_eq!(import(&store, &sealer, &list).await.replaced, 257);
    let summary = store.certificate_summary(Timestamp(1)).await.unwrap();
    assert_eq!(summary.valid, 257);
}

async fn a_name_whose_certificate_is_taken_away_has_none(place: Place) {
    let (store, sealer) = started(&place).await;
    import(
        &store,
        &sealer,
        &[
            new("both", &["a.test", "x.acme.test"]),
            new("wild", &["*.acme.test"]),
        ],
    )
    .await;
    let start = store.cursor().await.unwrap();
    let gone = store
        .remove_certificate(&pattern("x.acme.test"))
        .await
        .unwrap();
    assert_eq!(gone.fingerprint, "both");
    assert_eq!(shown(&store, "x.acme.test").await.as_deref(), Some("wild"));
    assert_eq!(shown(&store, "a.test").await.as_deref(), Some("both"));
    assert_eq!(
        changes(&store, start).await,
        [Changed::Certificates(vec![change("x.acme.test", false)])]
    );
    // Only the name's own: that of the wildcard is not meant.
    let again = store.remove_certificate(&pattern("x.acme.test")).await;
    assert!(matches!(again, Err(StoreError::UnknownCertificate(_))));
    store.remove_certificate(&pattern("a.test")).await.unwrap();
    store
        .remove_certificate(&pattern("*.acme.test"))
        .await
        .unwrap();
    let summary = store.certificate_summary(Timestamp(1)).await.unwrap();
    assert_eq!(summary, CertificateSummary::default());
    let audit = store.audit(None, 1).await.unwrap();
    assert_eq!(
        (audit[0].action.as_str(), audit[0].subject.as_str()),
        ("cert.remove", "*.acme.test")
    );
}

async fn names_are_listed_in_order_and_in_parts(place: Place) {
    let (store, sealer) = started(&place).await;
    let list = [
        new("one", &["b.test", "*.a.test", "a-b.test"]),
        new("two", &["a.test"]),
    ];
    import(&store, &sealer, &list).await;
    let (mut names, mut after, mut parts) = (Vec::new(), None, 0);
    loop {
        let page = store.certificates(after.as_ref(), 2).await.unwrap();
        names.extend(page.items);
        (after, parts) = (page.next, parts + 1);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(parts, 3, "a full part may be the last");
    let marks: Vec<_> = names
        .iter()
        .map(|it| (it.pattern.to_string(), it.fingerprint.as_str()))
        .collect();
    let expected = [
        ("*.a.test", "one"),
        ("a-b.test", "one"),
        ("a.test", "two"),
        ("b.test", "one"),
    ];
    assert_eq!(marks, expected.map(|(name, mark)| (name.to_owned(), mark)));
    assert_eq!(names[0].names.len(), 3);
    assert_eq!(names[0].source, CertificateSource::Import);
}

async fn certificates_are_counted_by_validity(place: Place) {
    let (store, sealer) = started(&place).await;
    let list = [
        valid("old", &["a.test"], 0, 10),
        valid("now", &["b.test"], 0, 11),
        valid("later", &["c.test"], 10, 30),
        valid("future", &["d.test"], 11, 40),
    ];
    import(&store, &sealer, &list).await;
    let summary = store.certificate_summary(Timestamp(10)).await.unwrap();
    let expected = CertificateSummary {
        valid: 2,
        outside_validity: 2,
        soonest: Some(11),
        // A sixth of the first one's life before its end, and it expired all the same.
        late_at: Some(9),
    };
    assert_eq!(summary, expected);
}

async fn a_key_is_sealed_for_its_own_row(place: Place) {
    let (store, sealer) = started(&place).await;
    import(
        &store,
        &sealer,
        &[new("one", &["a.test"]), new("two", &["b.test"])],
    )
    .await;
    let (one, two) = (found(&store, "a.test").await, found(&store, "b.test").await);
    let clear = b"key of one";
    assert!(
        !one.sealed_key
            .windows(clear.len())
            .any(|part| part == clear)
    );
    let opened = sealer.unseal(&one.purpose(), &one.sealed_key).unwrap();
    assert_eq!(opened.expose(), clear);
    let swapped = sealer.unseal(&one.purpose(), &two.sealed_key);
    assert!(matches!(swapped, Err(SealError::Broken)));
}

async fn who_has_another_sealing_key_can_keep_nothing(place: Place) {
    let (store, _) = started(&place).await;
    let start = store.cursor().await.unwrap();
    let other = Sealer::create(&place.folder.path().join("other.key")).unwrap();
    let refused = store
        .import_certificates(&[new("one", &["a.test"])], &other)
        .await;
    assert!(matches!(refused, Err(StoreError::SealedAnew)));
    assert_eq!(shown(&store, "a.test").await, None);
    assert_eq!(store.cursor().await.unwrap(), start);
}

async fn a_sealing_key_is_not_made_beside_sealed_certificates(place: Place) {
    let (store, sealer) = started(&place).await;
    import(&store, &sealer, &[new("one", &["a.test"])]).await;
    place.tamper("delete from signing_keys").await;
    std::fs::remove_file(&place.settings.secret_key_file).unwrap();
    let make = |_: &Sealer| -> Result<SigningKeyRecord, Infallible> { panic!("no key is made") };
    let file = &place.settings.secret_key_file;
    let missing = store.first_run(file, make).await.err().unwrap();
    assert!(matches!(missing, StoreError::SealingKeyMissing { .. }));
    Sealer::create(file).unwrap();
    let wrong = store.first_run(file, make).await.err().unwrap();
    assert!(matches!(wrong, StoreError::SealingKeyWrong { .. }));
}

async fn resealing_takes_the_certificates_along(place: Place) {
    let (store, old) = started(&place).await;
    let list: Vec<_> = (0..501)
        .map(|number| new("x", &[&format!("n{number}.test")]))
        .collect();
    import(&store, &old, &list).await;
    let before = found(&store, "n7.test").await;
    let new = Sealer::create(&place.folder.path().join("new.key")).unwrap();
    let keys = |keys: &[SigningKeyRecord]| Ok::<_, StoreError>(keys.to_vec());
    let failed = store
        .reseal(keys, |_, _| Err(StoreError::Seal(SealError::Broken)))
        .await;
    assert!(failed.is_err());
    assert_eq!(found(&store, "n7.test").await, before);
    let again = |purpose: &str, sealed: &[u8]| {
        let plain = old.unseal(purpose, sealed)?;
        Ok::<_, StoreError>(new.seal(purpose, plain.expose()))
    };
    assert_eq!(store.reseal(keys, again).await.unwrap(), (1, 501));
    for number in [0, 7, 499, 500] {
        let it = found(&store, &format!("n{number}.test")).await;
        let opened = new.unseal(&it.purpose(), &it.sealed_key).unwrap();
        assert_eq!(opened.expose(), b"key of x");
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the figure is for whoever runs it alone"
)]
async fn a_hundred_thousand_certificates_take_seconds(place: Place) {
    let (store, sealer) = started(&place).await;
    // As long as a leaf with its intermediate.
    let chain = "x".repeat(3000);
    let list: Vec<_> = (0..100_000)
        .map(|number| NewCertificate {
            chain: chain.clone(),
            ..new(&number.to_string(), &[&format!("n{number}.test")])
        })
        .collect();
    let started = std::time::Instant::now();
    import(&store, &sealer, &list).await;
    let imported = started.elapsed();
    let names = store.covered_names().await.unwrap().names;
    let listed = started.elapsed() - imported;
    println!("imported in {imported:?}, names read in {listed:?}");
    assert_eq!(names.len(), 100_000);
    let different: HashSet<_> = names.into_iter().collect();
    assert_eq!(different.len(), 100_000, "each of them, and once");
    assert_eq!(shown(&store, "n77777.test").await.as_deref(), Some("77777"));
}
