//! An order that waits though nothing is wrong says so, and no certificate expires over what is kept back of a CA's limits.

use serde_json::Value;
use vestibule::model::webhook::Reply;
use vestibule::model::{CheckCode, EventKind, Secret, WebhookUrl};
use vestibule::store::{Bucket, NewWebhook};

use super::ca::limited;
use super::*;
use crate::command::Folder;
use crate::harness::name_server::{NameServers, Says};

on_both_engines!(
    an_order_that_waits_for_the_limits_says_so_once_and_is_no_failure,
    a_certificate_that_is_about_to_expire_has_the_last_token,
    a_certificate_that_is_about_to_expire_goes_to_another_ca_that_has_room,
    certificates_of_a_day_are_kept_alive_where_a_ca_has_no_limits,
    a_ca_without_limits_is_left_alone_where_it_asks_for_it,
    what_is_told_of_certificates_says_whose_why_and_until_when,
    of_a_name_that_is_not_ready_no_failed_order_is_told,
);

const NAME: &str = "shop.acme.test";

/// A name that has its certificate, in a world where there is one for the same names in `refill`.
async fn one_a(place: Place, cas: usize, refill: Duration) -> (World, Arc<Certificates>) {
    let mut world = World::new(place, cas).await;
    world.limits.same_names = Bucket {
        capacity: 1,
        refill,
        ..world.limits.same_names
    };
    create(&world.store, "acme").await;
    world.verified("acme", NAME).await;
    let node = world.node();
    world.work(&node, MINUTE).await;
    assert!(world.is_kept(NAME).await);
    (world, node)
}

async fn an_order_that_waits_for_the_limits_says_so_once_and_is_no_failure(place: Place) {
    let (world, node) = one_a(place, 1, DAY * 10).await;
    let issued_at = world.ca().orders_of(NAME)[0].at;
    for _ in 0..3 {
        world.store.renew_certificate(&pattern(NAME)).await.unwrap();
        world.work(&node, MINUTE).await;
    }
    let row = world.row(NAME).await;
    assert_eq!((row.stage, row.failures), (OrderStage::Due, 0));
    assert_eq!(row.last_error, None);
    let why = row.waits_for.unwrap();
    let said = "the certificates that https://one.test/directory issues in a week for exactly the same names are used up";
    assert_eq!(why, said);
    let hours = (row.next_at - issued_at) / 3_600_000;
    assert!((239..=240).contains(&hours), "{hours}");
    assert_eq!(
        put_off(&world),
        1,
        "one wait, however often it is looked at"
    );
    world.work(&node, DAY * 10).await;
    assert!(world.is_kept(NAME).await);
    assert_eq!(world.ca().many(), 2);
    assert_eq!(world.row(NAME).await.waits_for, None);
}

fn put_off(world: &World) -> u64 {
    let labels = ["https://one.test/directory", "put_off"];
    world.metrics.acme_orders.with_label_values(&labels).get()
}

async fn a_certificate_that_is_about_to_expire_has_the_last_token(place: Place) {
    let (world, node) = one_a(place, 1, DAY * 200).await;
    let first = world.row(NAME).await.not_after.unwrap();
    world.work(&node, DAY * 75).await;
    assert_eq!(world.ca().many(), 1, "it waits as long as it can");
    assert!(world.row(NAME).await.waits_for.is_some());
    world.work(&node, DAY * 2).await;
    let orders = world.ca().orders_of(NAME);
    assert_eq!(orders.len(), 2);
    assert!(orders[1].at < first && first - orders[1].at <= 14 * 86_400_000);
    assert!(world.is_kept(NAME).await);
}

async fn a_certificate_that_is_about_to_expire_goes_to_another_ca_that_has_room(place: Place) {
    let (world, node) = one_a(place, 2, DAY * 200).await;
    // The last one too.
    world.work(&node, DAY * 88).await;
    assert_eq!((world.cas[0].many(), world.cas[1].many()), (2, 0));
    world.work(&node, DAY * 88).await;
    assert_eq!((world.cas[0].many(), world.cas[1].many()), (2, 1));
    assert!(world.is_kept(NAME).await);
}

async fn certificates_of_a_day_are_kept_alive_where_a_ca_has_no_limits(place: Place) {
    let mut world = World::new(place, 1).await;
    Arc::get_mut(&mut world.cas[0]).unwrap().lifetime = DAY;
    world.limits = Limits::NONE;
    create(&world.store, "acme").await;
    world.verified("acme", NAME).await;
    let node = world.node();
    world.work(&node, DAY * 15).await;
    let orders = world.ca().orders_of(NAME);
    for two in orders.windows(2) {
        let after = (two[1].at - two[0].at) / 3_600_000;
        assert!((9..13).contains(&after), "{after} h");
    }
    assert!(orders.len() > 25, "{}", orders.len());
    assert!(world.is_kept(NAME).await);
}

async fn a_ca_without_limits_is_left_alone_where_it_asks_for_it(place: Place) {
    let mut world = World::new(place, 1).await;
    world.limits = Limits::NONE;
    create(&world.store, "acme").await;
    world.verified("acme", NAME).await;
    let enough = limited("that is enough", HOUR);
    world.ca().books(|books| books.answers.push(enough));
    let node = world.node();
    world.work(&node, MINUTE * 50).await;
    assert_eq!(world.ca().many(), 0);
    world.work(&node, MINUTE * 30).await;
    assert!(world.is_kept(NAME).await);
}

/// What is sent of certificates, with its type, and is taken.
async fn told(world: &World) -> Vec<(String, Value)> {
    let taken = Reply::Answered {
        status: 200,
        retry_after: None,
    };
    let mut told = Vec::new();
    loop {
        // Of one name the next one comes after the first is taken.
        let due = world.store.due_deliveries(100, MINUTE).await.unwrap();
        if due.is_empty() {
            return told;
        }
        for one in due {
            let body: Value = serde_json::from_str(&one.message.body).unwrap();
            let kind = body["type"].as_str().unwrap().to_owned();
            told.push((kind, body["data"].clone()));
            world.store.delivery_tried(&one, &taken).await.unwrap();
        }
    }
}

async fn listens(world: &World) {
    let new = NewWebhook {
        url: WebhookUrl::parse("https://hooks.example").unwrap(),
        events: vec![
            EventKind::CertificateIssued,
            EventKind::CertificateRenewed,
            EventKind::CertificateFailed,
        ],
        tenant: None,
        allow_private: false,
    };
    let sealer = Sealer::open(&world.place.settings.secret_key_file).unwrap();
    let secret = Secret::new(b"a secret of 32 bytes, as it were".to_vec());
    let sealer = sealer.unwrap();
    let made = world.store.add_webhook(&new, &secret, &sealer).await;
    made.unwrap();
}

async fn what_is_told_of_certificates_says_whose_why_and_until_when(place: Place) {
    let mut world = World::new(place, 1).await;
    world.own = vec![pattern("app.example.test")];
    create(&world.store, "acme").await;
    listens(&world).await;
    world.verified("acme", NAME).await;
    world.ca().books(|books| books.failing.insert(NAME.into()));
    let node = world.node();
    world.work(&node, MINUTE * 10).await;
    world.ca().books(|books| books.failing.clear());
    world.work(&node, HOUR).await;
    let told = told(&world).await;
    let of = |kind: &str, name: &str| -> Vec<Value> {
        let it = told.iter().filter(|it| it.0 == kind);
        it.map(|it| it.1.clone())
            .filter(|data| data["hostname"] == name)
            .collect()
    };
    let failed = of("certificate.failed", NAME);
    assert_eq!(failed.len(), 1, "{told:?}");
    assert_eq!(failed[0]["reason"], "order_failed");
    assert_eq!(failed[0]["state"], "verified");
    assert_eq!(failed[0]["ca"], "https://one.test/directory");
    assert_eq!(failed[0]["text"], "unauthorized: not shown");
    assert!(is_moment(&failed[0]["again_at"]), "{failed:?}");
    let issued = of("certificate.issued", NAME);
    assert_eq!(issued.len(), 1, "{told:?}");
    assert_eq!(issued[0]["reason"], "issued");
    assert_eq!(issued[0]["state"], "verified");
    assert_eq!(issued[0]["tenant"]["slug"], "acme");
    assert_eq!(issued[0]["ca"], "https://one.test/directory");
    assert_eq!(issued[0]["text"], "a certificate was issued");
    let end = world.row(NAME).await.not_after.unwrap();
    let end = Timestamp(end).to_string();
    assert_eq!(issued[0]["not_after"], end);
    // Nobody's name has no state.
    let own = of("certificate.issued", "app.example.test");
    assert_eq!((own.len(), own[0].get("state")), (1, None));
}

/// As the events' own timestamp.
fn is_moment(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T'
}

async fn of_a_name_that_is_not_ready_no_failed_order_is_told(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    listens(&world).await;
    world.verified("acme", NAME).await;
    world.looks.fails(NAME, CheckCode::Pointing, None);
    let node = world.node();
    world.work(&node, HOUR).await;
    assert!(world.row(NAME).await.failures > 5);
    assert!(told(&world).await.is_empty());
    // The CA is to blame, and nothing was ordered either.
    world.looks.wrong.lock().unwrap().clear();
    world.verified("acme", "b.acme.test").await;
    world.ca().books(|books| books.away = true);
    world.work(&world.node(), HOUR).await;
    let told = told(&world).await;
    let reasons: Vec<_> = told
        .iter()
        .map(|(_, data)| (data["hostname"].as_str(), data["reason"].as_str()))
        .collect();
    assert_eq!(reasons, [(Some("b.acme.test"), Some("ca_failed"))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_say_what_an_order_waits_for() {
    let (world, node) = one_a(Place::sqlite(), 1, DAY * 200).await;
    let servers = NameServers::start(Says::lines(""), &[]).await;
    let folder = Folder::new(&commands_of(&world, &servers));
    let said = "the certificates that https://one.test/directory issues in a week for exactly the same names are used up";
    // No node has come to it yet.
    let renewed = folder.typed(&format!("cert renew {NAME}")).succeeds();
    let late = world.row(NAME).await.late_from().unwrap();
    let until = &late.to_string()[..19];
    let words = format!("a certificate for {NAME} is ordered, but not before {until}Z: {said}");
    assert_eq!(renewed.trim(), words);
    let json = folder
        .typed(&format!("cert renew {NAME} --output json"))
        .json();
    assert_eq!(
        (&json["waits_for"], &json["waits_until"]),
        (&said.into(), &late.0.into())
    );
    let shown = || folder.typed(&format!("cert show {NAME}")).succeeds();
    assert!(
        !shown().contains("waits for"),
        "the renewal is not looked at yet"
    );
    world.work(&node, MINUTE).await;
    let table = shown();
    let until = Timestamp(world.row(NAME).await.next_at).to_string();
    let next = table.lines().find(|line| line.starts_with("next try"));
    assert!(next.unwrap().contains(&until[..19]), "{table}");
    assert!(table.contains(said), "{table}");
    let order = &folder
        .typed(&format!("cert show {NAME} --output json"))
        .json()["order"];
    assert_eq!(order["waits_for"], said);
    assert_eq!(order["waits_until"], order["next_at"]);
    assert_eq!(
        (&order["failures"], &order["last_error"]),
        (&0.into(), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_says_what_a_missing_certificate_waits_for() {
    let (mut world, _) = one_a(Place::sqlite(), 1, DAY).await;
    world.limits.domain.capacity = 1;
    world.verified("acme", "b.acme.test").await;
    world.work(&world.node(), MINUTE).await;
    let servers = NameServers::start(Says::lines(""), &[]).await;
    let folder = Folder::new(&commands_of(&world, &servers));
    let until = Timestamp(world.row("b.acme.test").await.next_at).to_string();
    let ran = folder.typed("domain doctor b.acme.test");
    assert_eq!(ran.code, 1);
    let said = format!(
        "FIX certificate: none yet\n      expected: a valid certificate\n      hint: An order waits until {}Z: the certificates that \
         https://one.test/directory issues in a week for acme.test and all below it are used up",
        &until[..19]
    );
    assert!(ran.out.contains(&said), "{ran:?}");
    // One that is there and lasts is well, whatever its renewal waits for.
    world.store.renew_certificate(&pattern(NAME)).await.unwrap();
    world.work(&world.node(), MINUTE).await;
    assert!(world.row(NAME).await.waits_for.is_some());
    let ran = folder.typed(&format!("domain doctor {NAME}"));
    assert!(!ran.out.contains("certificate"), "{ran:?}");
}

/// A configuration with the store of `world` and its CA.
fn commands_of(world: &World, servers: &NameServers) -> String {
    let settings = &world.place.settings;
    let vestibule::config::StoreUrl::Sqlite(file) = &settings.url else {
        panic!("an embedded store")
    };
    format!(
        "[edge]\nhttps = [\"127.0.0.1:0\"]\n[store]\nurl = \"sqlite:{}\"\nsecret_key_file = {:?}\n\
         [domains]\nresolvers = [\"{}\"]\n[[acme]]\ndirectory_url = \"https://one.test/directory\"\n\
         caa_identities = [\"one.test\"]\n",
        file.display(),
        settings.secret_key_file,
        servers.resolver(),
    )
}
