//! Backups: everything is in them, either engine takes them, and what is not whole is not taken at all.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::PathBuf;

use sqlx::{Connection, PgConnection, Row};
use vestibule::config::StoreUrl;
use vestibule::model::SigningKeyRecord;
use vestibule::store::{
    Backup, BackupError, Changed, Changes, Claim, Existing, Exported, Held, NewTenant, RouteSource,
    Store, StoreError, TenantPatch,
};

use super::{Place, add, by, changes, create, leads, pattern, slug, sqlite_connection};

mod damage;

on_both_engines!(
    a_backup_comes_back_whole,
    a_backup_holds_every_table_and_column,
    a_restore_begins_another_epoch,
    tenants_that_are_there_stay_unless_they_may_go,
    a_file_that_changes_while_it_is_put_back_changes_nothing,
    rows_that_do_not_fit_change_nothing,
    a_backup_is_of_one_moment,
);

/// Where a test's backup is.
fn file(place: &Place) -> PathBuf {
    place.folder.path().join("backup")
}

async fn write(store: &Store, place: &Place) -> Held {
    let mut out = File::create(file(place)).unwrap();
    store.backup(&mut out).await.unwrap()
}

fn read(place: &Place) -> Result<Backup, BackupError> {
    Backup::read(File::options().read(true).open(file(place)).unwrap())
}

/// One of each: an alias, a removed tenant, every setting, a pending and a routed domain, a key, what an operator wrote.
async fn fill(store: &Store) {
    create(store, "acme").await;
    let rich = NewTenant {
        name: Some("Ünïcode \"quoted\" \\ 名".to_owned()),
        upstream: Some("api".to_owned()),
        plan: Some("gold".to_owned()),
        meta: serde_json::from_str(r#"{"region":"eu","n":[1,2.5,null]}"#).unwrap(),
        ..NewTenant::new(slug("globex"))
    };
    store.create_tenant(rich).await.unwrap();
    store
        .rename_tenant(&by("globex"), &slug("globex-inc"))
        .await
        .unwrap();
    create(store, "gone").await;
    store.remove_tenant(&by("gone")).await.unwrap();
    create(store, "paused").await;
    store.suspend_tenant(&by("paused")).await.unwrap();
    add(store, "acme", "shop.example.com").await;
    add(store, "acme", "*.example.net").await;
    store.insert_signing_key(&key("one", None)).await.unwrap();
    store
        .insert_signing_key(&key("two", Some(9)))
        .await
        .unwrap();
}

fn key(kid: &str, retired_at: Option<i64>) -> SigningKeyRecord {
    SigningKeyRecord {
        kid: kid.into(),
        public_key: vec![0, 255, 7],
        sealed_private_key: (0..=255).collect(),
        created_at: 1,
        active_from: 2,
        retired_at,
    }
}

/// Everything that there is to see.
async fn seen(
    store: &Store,
) -> (
    Vec<Exported>,
    Vec<SigningKeyRecord>,
    Vec<String>,
    Vec<String>,
) {
    let mut tenants = Vec::new();
    let collect = |mut tenant: Exported| {
        tenant
            .domains
            .sort_by_key(|domain| domain.pattern.to_string());
        tenants.push(tenant);
        std::ops::ControlFlow::Continue(())
    };
    store.export(collect).await.unwrap();
    let mut names: Vec<String> = (store.names().await.unwrap().names.iter())
        .map(ToString::to_string)
        .collect();
    names.sort();
    let audit = store.audit(None, 1000).await.unwrap();
    let audit = audit
        .into_iter()
        .map(|entry| {
            format!(
                "{} {} {} {}",
                entry.at, entry.action, entry.subject, entry.detail
            )
        })
        .collect();
    (tenants, store.signing_keys().await.unwrap(), names, audit)
}

async fn a_backup_comes_back_whole(place: Place) {
    let store = place.open().await;
    fill(&store).await;
    let before = seen(&store).await;
    let held = write(&store, &place).await;
    assert_eq!(
        (held.tenants, held.domains, held.signing_keys),
        (4, 2, 2),
        "{held:?}"
    );
    create(&store, "later").await;
    store.remove_tenant(&by("acme")).await.unwrap();
    let restored = store
        .restore(read(&place).unwrap(), Existing::Replace)
        .await
        .unwrap();
    assert_eq!(restored, held);
    let mut after = seen(&store).await;
    assert!(after.3.remove(0).contains("store.restore"), "the newest");
    assert_eq!(after, before);
    assert_eq!(leads(&store, "globex").await.as_deref(), Some("globex-inc"));
    assert_eq!(leads(&store, "later").await, None);
    // What it leaves can be worked on: numbers go on, constraints hold.
    create(&store, "later").await;
    store.restore_tenant(&by("gone")).await.unwrap();
    let taken = store
        .add_domain(&by("later"), &pattern("shop.example.com"), Claim::TRUSTED)
        .await;
    assert!(matches!(taken, Err(StoreError::DomainTaken { .. })));
}

/// A table that comes to be and is not in the backup would be lost, quietly.
async fn a_backup_holds_every_table_and_column(place: Place) {
    let store = place.open().await;
    write(&store, &place).await;
    let text = std::fs::read_to_string(file(&place)).unwrap();
    let mut held: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["table"].is_string())
        .flat_map(|line| {
            let table = line["table"].as_str().unwrap().to_owned();
            let columns = line["columns"].as_array().unwrap().clone();
            columns
                .into_iter()
                .map(move |column| format!("{table}.{}", column.as_str().unwrap()))
        })
        .collect();
    held.sort();
    let mut there = columns(&place).await;
    // The history that a restore begins anew, what lives no longer than some days, and numbers that the database draws.
    there.retain(|column| {
        let table = column.split('.').next().unwrap();
        let not_held = [
            "feed",
            "changes",
            "events",
            "deliveries",
            "vestibule_schema",
            "challenges",
            "ticket_keys",
        ];
        !not_held.contains(&table) && column != "audit.id"
    });
    there.sort();
    assert_eq!(held, there);
}

async fn columns(place: &Place) -> Vec<String> {
    match &place.settings.url {
        StoreUrl::Sqlite(file) => {
            let sql = "select m.name || '.' || c.name from sqlite_master m, pragma_table_info(m.name) c \
                       where m.type = 'table' and m.name not like 'sqlite_%'";
            let mut connection = sqlite_connection(file).await;
            let rows = sqlx::query(sql).fetch_all(&mut connection);
            rows.await.unwrap().iter().map(|row| row.get(0)).collect()
        }
        StoreUrl::Postgres(url) => {
            let sql = "select table_name || '.' || column_name from information_schema.columns where table_schema = 'public'";
            let mut connection = PgConnection::connect(url.expose()).await.unwrap();
            let rows = sqlx::query(sql).fetch_all(&mut connection);
            rows.await.unwrap().iter().map(|row| row.get(0)).collect()
        }
    }
}

async fn a_restore_begins_another_epoch(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    write(&store, &place).await;
    let before = store.cursor().await.unwrap();
    store
        .restore(read(&place).unwrap(), Existing::Replace)
        .await
        .unwrap();
    let Changes::Lost(after) = store.changes_after(before).await.unwrap() else {
        panic!("it was followed")
    };
    assert_ne!(after.epoch, before.epoch);
    assert!(after.position > before.position, "{before:?} {after:?}");
    create(&store, "globex").await;
    let next = changes(&store, after).await;
    assert!(matches!(next[..], [Changed::Tenant { .. }]), "{next:?}");
}

async fn tenants_that_are_there_stay_unless_they_may_go(place: Place) {
    let store = place.open().await;
    write(&store, &place).await;
    store
        .restore(read(&place).unwrap(), Existing::Keep)
        .await
        .expect("nobody is there");
    create(&store, "acme").await;
    store.remove_tenant(&by("acme")).await.unwrap();
    let before = store.cursor().await.unwrap();
    let refused = store.restore(read(&place).unwrap(), Existing::Keep).await;
    assert!(matches!(refused, Err(StoreError::NotEmpty { tenants: 1 })));
    assert_eq!(store.cursor().await.unwrap(), before);
    store.restore_tenant(&by("acme")).await.unwrap();
    store
        .restore(read(&place).unwrap(), Existing::Replace)
        .await
        .unwrap();
    assert_eq!(leads(&store, "acme").await, None);
}

async fn a_file_that_changes_while_it_is_put_back_changes_nothing(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    write(&store, &place).await;
    let backup = read(&place).unwrap();
    let text = std::fs::read_to_string(file(&place)).unwrap();
    let at = text.find("\"acme\"").unwrap() as u64 + 1;
    let mut writer = File::options().write(true).open(file(&place)).unwrap();
    writer.seek(std::io::SeekFrom::Start(at)).unwrap();
    writer.write_all(b"acne").unwrap();
    let before = store.cursor().await.unwrap();
    let refused = store.restore(backup, Existing::Replace).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Backup(BackupError::Changed)),
        "{refused:?}"
    );
    assert_eq!(store.cursor().await.unwrap(), before);
    assert_eq!(leads(&store, "acme").await.as_deref(), Some("acme"));
}

/// Whole by its sum, and not what the schema takes.
async fn rows_that_do_not_fit_change_nothing(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    write(&store, &place).await;
    let text = std::fs::read_to_string(file(&place)).unwrap();
    let row = text.lines().find(|line| line.contains("\"acme\"")).unwrap();
    std::fs::write(
        file(&place),
        summed(&text.replacen(row, &format!("{row}\n{row}"), 1)),
    )
    .unwrap();
    let before = store.cursor().await.unwrap();
    let refused = store
        .restore(read(&place).unwrap(), Existing::Replace)
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::Query(_)), "{refused:?}");
    assert_eq!(store.cursor().await.unwrap(), before);
    assert_eq!(leads(&store, "acme").await.as_deref(), Some("acme"));
}

/// `text` with the end line that it should have.
fn summed(text: &str) -> String {
    let body = &text[..text.rfind("{\"end\"").unwrap()];
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
    let hex: String = (sum.as_ref().iter())
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let lines = body.lines().count();
    format!("{body}{{\"end\":{{\"lines\":{lines},\"sha256\":\"{hex}\"}}}}\n")
}

/// What is written while it is made is in it or not, and never half of it: each tenant has its name, each name its tenant.
async fn a_backup_is_of_one_moment(place: Place) {
    /// Adds a tenant each time that a part is written.
    struct Busy {
        file: File,
        parts: std::sync::mpsc::Sender<()>,
    }
    impl Write for Busy {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.parts.send(());
            self.file.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            self.file.flush()
        }
    }
    let store = place.open().await;
    create(&store, "acme").await;
    let (parts, news) = std::sync::mpsc::channel();
    let mut out = Busy {
        file: File::create(file(&place)).unwrap(),
        parts,
    };
    let other = place.open().await;
    let busy = async {
        // The first row was read, and with it the moment is settled: its parts are the head, the table's line, the row.
        for _ in 0..3 {
            while news.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
        }
        for n in 0..20 {
            create(&other, &format!("t{n}")).await;
        }
    };
    let (held, ()) = tokio::join!(store.backup(&mut out), busy);
    assert_eq!(held.unwrap().tenants, 1);
    let text = std::fs::read_to_string(file(&place)).unwrap();
    assert!(!text.contains("\"t0\""), "{text}");
}

#[tokio::test]
async fn either_engine_restores_what_the_other_wrote() {
    let places = [Place::sqlite(), Place::postgres().await];
    let [sqlite, postgres] = &places;
    for (from, to) in [(sqlite, postgres), (postgres, sqlite)] {
        let (here, there) = (from.open().await, to.open().await);
        if from.folder.path() == sqlite.folder.path() {
            fill(&here).await;
        }
        let patch = TenantPatch {
            name: Some("Changed since".to_owned()),
            ..TenantPatch::default()
        };
        here.set_tenant(&by("acme"), patch).await.unwrap();
        let held = write(&here, from).await;
        let backup = read(from).unwrap();
        assert_eq!(
            there.restore(backup, Existing::Replace).await.unwrap(),
            held
        );
        let (before, mut after) = (seen(&here).await, seen(&there).await);
        after.3.remove(0);
        assert_eq!(after, before);
    }
}

/// More rows than one statement takes.
#[tokio::test]
async fn many_tenants_come_back() {
    let (from, to) = (Place::sqlite(), Place::postgres().await);
    let (here, there) = (from.open().await, to.open().await);
    let line = |number: usize| {
        Ok(vestibule::store::ImportLine {
            number,
            tenant: NewTenant::new(slug(&format!("t{number}"))),
            domains: vec![pattern(&format!("t{number}.example.com"))],
        })
    };
    here.import((1..=3000).map(line), Claim::TRUSTED)
        .await
        .unwrap();
    write(&here, &from).await;
    let held = there
        .restore(read(&from).unwrap(), Existing::Keep)
        .await
        .unwrap();
    assert_eq!((held.tenants, held.domains), (3000, 3000));
    assert_eq!(
        leads(&there, "t2999.example.com").await.as_deref(),
        Some("t2999")
    );
}
