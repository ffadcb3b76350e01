//! Signing keys and the first start.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use vestibule::model::SigningKeyRecord;
use vestibule::seal::{SealError, Sealer};
use vestibule::store::{Changed, Store, StoreError};

use super::{Place, changes};

on_both_engines!(
    the_first_start_makes_both_keys_and_the_second_keeps_them,
    of_many_first_starts_one_makes_the_keys,
    a_node_without_the_sealing_key_is_told_what_to_copy,
    a_key_file_without_secrets_is_used,
    keys_change_by_plan_or_not_at_all,
    resealing_changes_all_or_none,
);

fn record(kid: &str, sealer: &Sealer) -> SigningKeyRecord {
    SigningKeyRecord {
        kid: kid.into(),
        public_key: vec![1; 32],
        sealed_private_key: sealer.seal("signing-key", kid.as_bytes()),
        created_at: 1,
        active_from: 2,
        retired_at: None,
    }
}

async fn first_run(place: &Place, store: &Store, kid: &str) -> Result<Sealer, StoreError> {
    store
        .first_run(&place.settings.secret_key_file, |sealer| {
            Ok::<_, Infallible>(record(kid, sealer))
        })
        .await
}

fn opens(sealer: &Sealer, key: &SigningKeyRecord) -> bool {
    let secret = sealer.unseal("signing-key", &key.sealed_private_key);
    secret.is_ok_and(|secret| secret.expose() == key.kid.as_bytes())
}

async fn the_first_start_makes_both_keys_and_the_second_keeps_them(place: Place) {
    let store = place.open().await;
    let start = store.cursor().await.unwrap();
    first_run(&place, &store, "one").await.unwrap();
    let keys = store.signing_keys().await.unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(changes(&store, start).await, [Changed::SigningKeys]);
    let again = first_run(&place, &place.open().await, "two").await.unwrap();
    assert_eq!(store.signing_keys().await.unwrap(), keys);
    assert!(opens(&again, &keys[0]));
}

async fn of_many_first_starts_one_makes_the_keys(place: Place) {
    let made = AtomicU32::new(0);
    let stores = join_all((0..6).map(|_| place.open())).await;
    let starts = stores.iter().enumerate().map(|(number, store)| {
        let (place, made) = (&place, &made);
        async move {
            let make = |sealer: &Sealer| {
                made.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(record(&format!("k{number}"), sealer))
            };
            store
                .first_run(&place.settings.secret_key_file, make)
                .await
                .unwrap()
        }
    });
    let sealers = join_all(starts).await;
    let keys = place.open().await.signing_keys().await.unwrap();
    assert_eq!((made.into_inner(), keys.len()), (1, 1));
    assert!(sealers.iter().all(|sealer| opens(sealer, &keys[0])));
}

async fn a_node_without_the_sealing_key_is_told_what_to_copy(place: Place) {
    let store = place.open().await;
    first_run(&place, &store, "one").await.unwrap();
    let file = &place.settings.secret_key_file;
    let aside = file.with_extension("aside");
    std::fs::rename(file, &aside).unwrap();
    let missing = first_run(&place, &store, "two").await.err().unwrap();
    assert!(matches!(&missing, StoreError::SealingKeyMissing { path } if path == file));
    assert!(
        missing
            .hint()
            .unwrap()
            .contains(&file.display().to_string())
    );
    assert!(
        !file.exists(),
        "no key is made beside secrets that it cannot open"
    );
    Sealer::create(file).unwrap();
    let wrong = first_run(&place, &store, "two").await.err().unwrap();
    assert!(matches!(wrong, StoreError::SealingKeyWrong { .. }));
    std::fs::write(file, b"short").unwrap();
    let short = first_run(&place, &store, "two").await.err().unwrap();
    assert!(matches!(short, StoreError::Seal(SealError::Length { .. })));
    std::fs::rename(&aside, file).unwrap();
    first_run(&place, &store, "two").await.unwrap();
    assert_eq!(store.signing_keys().await.unwrap().len(), 1);
}

async fn a_key_file_without_secrets_is_used(place: Place) {
    let sealer = Sealer::create(&place.settings.secret_key_file).unwrap();
    let store = place.open().await;
    first_run(&place, &store, "one").await.unwrap();
    assert!(opens(&sealer, &store.signing_keys().await.unwrap()[0]));
}

async fn keys_change_by_plan_or_not_at_all(place: Place) {
    let store = place.open().await;
    let sealer = first_run(&place, &store, "one").await.unwrap();
    let one = store.signing_keys().await.unwrap();
    store
        .insert_signing_key(&record("two", &sealer))
        .await
        .unwrap();
    let twice = store.insert_signing_key(&record("two", &sealer)).await;
    assert!(matches!(twice, Err(StoreError::KeyExists(kid)) if kid == "two"));
    let start = store.cursor().await.unwrap();

    let said: Result<&str, StoreError> = store
        .update_signing_keys("key.rotate", |keys| {
            assert_eq!(keys.len(), 2);
            keys[0].retired_at = Some(9);
            keys.push(record("three", &sealer));
            Ok("rotated")
        })
        .await;
    assert_eq!(said.unwrap(), "rotated");
    let now = store.signing_keys().await.unwrap();
    let retired = SigningKeyRecord {
        retired_at: Some(9),
        ..one[0].clone()
    };
    assert!(now.contains(&retired) && now.len() == 3);
    assert_eq!(changes(&store, start).await, [Changed::SigningKeys]);

    let refused: Result<(), StoreError> = store
        .update_signing_keys("key.rotate", |keys| {
            keys.clear();
            Err(StoreError::KeyExists("no".into()))
        })
        .await;
    assert!(refused.is_err());
    assert_eq!(store.signing_keys().await.unwrap(), now);
    let audit = store.audit(None, 1).await.unwrap();
    assert_eq!(
        (audit[0].action.as_str(), audit[0].subject.as_str()),
        ("key.rotate", "one three")
    );
}

async fn resealing_changes_all_or_none(place: Place) {
    let store = place.open().await;
    let old = first_run(&place, &store, "one").await.unwrap();
    store
        .insert_signing_key(&record("two", &old))
        .await
        .unwrap();
    let before = store.signing_keys().await.unwrap();
    let failed: Result<(usize, usize), StoreError> = store
        .reseal(
            |_| Err(StoreError::Seal(SealError::Broken)),
            |_, _| Ok(Vec::new()),
        )
        .await;
    assert!(failed.is_err());
    assert_eq!(store.signing_keys().await.unwrap(), before);
    let new = Sealer::create(&place.folder.path().join("new.key")).unwrap();
    let count: Result<(usize, usize), StoreError> = store
        .reseal(
            |keys| Ok(keys.iter().map(|key| record(&key.kid, &new)).collect()),
            |_, sealed| Ok(sealed.to_vec()),
        )
        .await;
    assert_eq!(count.unwrap(), (2, 0));
    assert!(
        store
            .signing_keys()
            .await
            .unwrap()
            .iter()
            .all(|key| opens(&new, key))
    );
}
