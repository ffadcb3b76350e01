//! Accounts that change while nodes work: their key, and whom the CA writes to. Real exchanges with a CA that believes every challenge.

use std::process::Stdio;

use vestibule::acme::{AccountFacts, AcmeCa};
use vestibule::config::{AcmeIssuer, StoreUrl};
use vestibule::store::AcmeAccount;
use vestibule::tasks::certificates::KeptAccount;

use super::*;
use crate::command::{Folder, vestibule};
use crate::harness::eventually;
use crate::harness::pebble::Pebble;
use crate::harness::stub_ca::{Instead, Kind, Rules, StubCa};

on_both_engines!(
    g19_nodes_that_run_go_on_with_the_key_that_an_account_got,
    g19_a_change_of_key_that_is_cut_short_loses_no_account,
    g19_two_who_change_the_key_at_once_give_it_one,
    a_contact_that_has_changed_is_told_once_by_the_whole_fleet,
    a_ca_that_does_not_like_a_contact_takes_orders_all_the_same,
);

/// A fleet's world, with a tenant and a CA that speaks ACME.
struct Bench {
    world: World,
    stub: StubCa,
    /// Names that were verified.
    names: AtomicU64,
}

impl Bench {
    async fn new(place: Place) -> Self {
        let stub = StubCa::with_clock(place.clock.clone()).await;
        let mut world = World::new(place, 0).await;
        world.look_every = Duration::from_secs(5);
        create(&world.store, "acme").await;
        Self {
            world,
            stub,
            names: AtomicU64::default(),
        }
    }

    fn ca(&self, issuer: &AcmeIssuer) -> Arc<dyn Ca> {
        Arc::new(AcmeCa::new(issuer, self.world.place.clock.clone()).unwrap())
    }

    /// Another node.
    fn node(&self) -> Arc<Certificates> {
        self.node_of(&self.stub.issuer())
    }

    fn node_of(&self, issuer: &AcmeIssuer) -> Arc<Certificates> {
        self.world.node_of(vec![self.ca(issuer)], &Arc::default())
    }

    /// The account, for whoever wants to change it.
    fn account(&self) -> KeptAccount {
        let file = self.world.place.settings.secret_key_file.clone();
        KeptAccount {
            store: self.world.store.clone(),
            ca: self.ca(&self.stub.issuer()),
            sealed_with: Arc::new(move || Sealer::open(&file).unwrap()),
        }
    }

    /// What is kept of it.
    async fn facts(&self) -> AccountFacts {
        let ca = self.stub.directory();
        let kept = self.world.store.acme_account(&ca).await.unwrap().unwrap();
        let file = &self.world.place.settings.secret_key_file;
        let sealer = Sealer::open(file).unwrap().unwrap();
        let saved = sealer.unseal(&AcmeAccount::purpose(&ca), &kept.sealed_credentials);
        AccountFacts::of(&saved.unwrap()).unwrap()
    }

    /// Has `node` get a certificate for another name, with one order and no failure.
    async fn orders_with(&self, node: &Certificates) {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let name = format!("n{number}.acme.test");
        self.world.verified("acme", &name).await;
        self.world.work(node, MINUTE).await;
        assert!(self.world.is_kept(&name).await, "{name}");
        assert_eq!(self.world.row(&name).await.failures, 0);
        let orders = self.stub.orders();
        let of_name = orders.iter().filter(|it| it.names[0] == name);
        assert_eq!(of_name.count(), 1);
    }

    async fn audited(&self, action: &str) -> usize {
        let audit = self.world.store.audit(None, 1_000).await.unwrap();
        audit.iter().filter(|it| it.action == action).count()
    }
}

async fn g19_nodes_that_run_go_on_with_the_key_that_an_account_got(place: Place) {
    let bench = Bench::new(place).await;
    let nodes = [bench.node(), bench.node()];
    for node in &nodes {
        bench.orders_with(node).await;
    }
    // An order that is under way is gone on with.
    bench.world.verified("acme", "under-way.acme.test").await;
    while bench.stub.orders().len() == 2 {
        bench.world.work(&nodes[0], Duration::from_secs(1)).await;
    }
    bench.account().roll().await.unwrap();
    assert_eq!(bench.stub.key_changes(), 1);
    bench.world.work(&nodes[1], MINUTE).await;
    assert!(bench.world.is_kept("under-way.acme.test").await);
    for node in nodes.iter().chain([&bench.node()]) {
        bench.orders_with(node).await;
    }
    assert_eq!(bench.stub.contacts().len(), 1, "it is the same account");
    assert_eq!(bench.audited("acme.roll_begun").await, 1);
    assert_eq!(bench.audited("acme.roll").await, 1);
    assert!(!bench.facts().await.changes_key);
}

async fn g19_a_change_of_key_that_is_cut_short_loses_no_account(place: Place) {
    let bench = Bench::new(place).await;
    let running = bench.node();
    bench.orders_with(&running).await;
    // The CA has not heard of it, and the CA has done it.
    for (cut, done) in [(Instead::Silence, 0), (Instead::Mute, 1)] {
        bench
            .stub
            .rules(|rules| rules.instead_times(Kind::KeyChange, cut, 1));
        let (asked, changes) = (
            bench.stub.requests(Kind::KeyChange),
            bench.stub.key_changes(),
        );
        let account = bench.account();
        let rolling = tokio::spawn(async move { account.roll().await });
        eventually("the CA to be asked", async || {
            let heard = bench.stub.requests(Kind::KeyChange) > asked;
            (heard && bench.stub.key_changes() == changes + done).then_some(())
        })
        .await;
        rolling.abort();
        assert!(rolling.await.unwrap_err().is_cancelled());
        assert!(bench.facts().await.changes_key);
        // Whichever of the two the CA takes, by a node that has one open and by one that begins.
        bench.orders_with(&running).await;
        bench.orders_with(&bench.node()).await;
        assert_eq!(bench.facts().await.changes_key, done == 0);
        // What was begun is gone on with.
        bench.account().roll().await.unwrap();
        assert_eq!(bench.stub.key_changes(), changes + done + 1);
        assert!(!bench.facts().await.changes_key);
        bench.orders_with(&running).await;
    }
    assert_eq!(bench.stub.contacts().len(), 1, "it is the same account");
}

async fn g19_two_who_change_the_key_at_once_give_it_one(place: Place) {
    let bench = Bench::new(place).await;
    let node = bench.node();
    bench.orders_with(&node).await;
    let (one, two) = (bench.account(), bench.account());
    let (one, two) = tokio::join!(one.roll(), two.roll());
    assert_eq!(one.unwrap(), two.unwrap());
    assert!(!bench.facts().await.changes_key);
    bench.orders_with(&node).await;
    bench.orders_with(&bench.node()).await;
}

async fn a_contact_that_has_changed_is_told_once_by_the_whole_fleet(place: Place) {
    let bench = Bench::new(place).await;
    let mut issuer = bench.stub.issuer();
    issuer.contact = vec!["mailto:ops@example.com".to_owned()];
    bench.orders_with(&bench.node_of(&issuer)).await;
    bench.orders_with(&bench.node_of(&issuer)).await;
    assert_eq!(
        bench.stub.requests(Kind::Account),
        0,
        "told when it was made"
    );
    let other = vec!["mailto:night@example.com".to_owned()];
    issuer.contact.clone_from(&other);
    let nodes = [bench.node_of(&issuer), bench.node_of(&issuer)];
    for name in ["a.acme.test", "b.acme.test"] {
        bench.world.verified("acme", name).await;
    }
    let passed = futures_util::future::join_all(nodes.iter().map(|node| node.pass())).await;
    assert!(passed.iter().all(Result::is_ok));
    for node in nodes.iter().chain([&bench.node_of(&issuer)]) {
        bench.orders_with(node).await;
    }
    assert_eq!(bench.stub.requests(Kind::Account), 1);
    assert_eq!(bench.stub.contacts(), [serde_json::json!(other)]);
    assert_eq!(bench.facts().await.contact, Some(other));
    assert_eq!(bench.audited("acme.contact").await, 1);
}

async fn a_ca_that_does_not_like_a_contact_takes_orders_all_the_same(place: Place) {
    let bench = Bench::new(place).await;
    bench.orders_with(&bench.node()).await;
    let mut issuer = bench.stub.issuer();
    issuer.contact = vec!["mailto:ops@example.com".to_owned()];
    bench
        .stub
        .rules(|rules| rules.refuse(Kind::Account, 400, "invalidContact", None));
    let node = bench.node_of(&issuer);
    bench.orders_with(&node).await;
    bench.orders_with(&node).await;
    assert_eq!(bench.stub.requests(Kind::Account), 1, "not with each order");
    bench.stub.rules(Rules::behave);
    bench.world.pass_by(HOUR);
    bench.orders_with(&node).await;
    assert_eq!(bench.stub.contacts(), [serde_json::json!(issuer.contact)]);
}

#[tokio::test]
async fn g19_a_node_goes_on_with_the_new_key_at_pebble() {
    let pebble = Pebble::plan().always_valid().reject_nonces(50);
    let pebble = pebble.start().await;
    let mut world = World::new(Place::sqlite(), 0).await;
    world.look_every = Duration::from_secs(5);
    create(&world.store, "acme").await;
    let ca = || -> Arc<dyn Ca> {
        Arc::new(AcmeCa::new(&pebble.issuer(), world.place.clock.clone()).unwrap())
    };
    let node = world.node_of(vec![ca()], &Arc::default());
    let kept = async |name: &str| {
        world.verified("acme", name).await;
        eventually("a certificate", async || {
            node.pass().await.unwrap();
            world.pass_by(Duration::from_secs(1));
            let row = world.store.order(&pattern(name)).await.unwrap()?;
            (row.stage == OrderStage::Kept).then_some(())
        })
        .await;
        assert_eq!(world.row(name).await.failures, 0);
    };
    kept("a.acme.test").await;
    let file = world.place.settings.secret_key_file.clone();
    let account = KeptAccount {
        store: world.store.clone(),
        ca: ca(),
        sealed_with: Arc::new(move || Sealer::open(&file).unwrap()),
    };
    account.roll().await.unwrap();
    kept("b.acme.test").await;
    assert_eq!(pebble.orders(), 2);
}

/// The command, killed when the CA has done as it was asked and before it says so.
#[tokio::test]
async fn g19_a_command_that_is_killed_loses_no_account() {
    let bench = Bench::new(Place::sqlite()).await;
    let node = bench.node();
    bench.orders_with(&node).await;
    let settings = &bench.world.place.settings;
    let StoreUrl::Sqlite(database) = &settings.url else {
        panic!("{:?}", settings.url);
    };
    let folder = Folder::new(&format!(
        "[store]\nurl = \"sqlite:{}\"\nsecret_key_file = {:?}\n{}",
        database.display(),
        settings.secret_key_file,
        bench.stub.config(),
    ));
    let folder = Arc::new(folder);
    let typed = async |line: &'static str| {
        let folder = Arc::clone(&folder);
        // The CA answers while it runs.
        let ran = tokio::task::spawn_blocking(move || folder.typed(line));
        ran.await.unwrap()
    };
    let listed = async || {
        let rows = typed("cert account --output json").await.json();
        assert_eq!(rows[0]["ca"], bench.stub.directory());
        rows[0]["changes_key"].as_bool().unwrap()
    };
    assert!(!listed().await);
    bench
        .stub
        .rules(|rules| rules.instead_times(Kind::KeyChange, Instead::Mute, 1));
    let mut command = vestibule();
    command
        .arg("--config")
        .arg(folder.path("vestibule.toml"))
        .args(["cert", "account", "roll"])
        .stdout(Stdio::null());
    let mut rolling = command.spawn().unwrap();
    eventually("the CA to change the key", async || {
        (bench.stub.key_changes() == 1).then_some(())
    })
    .await;
    rolling.kill().unwrap();
    rolling.wait().unwrap();
    assert!(listed().await);
    let said = typed("cert account").await.succeeds();
    assert!(said.contains("cert account roll"), "{said}");
    let said = typed("cert account roll 127.0.0.1").await.succeeds();
    assert!(said.contains("has another key"), "{said}");
    assert_eq!(bench.stub.key_changes(), 1, "the same one was gone on with");
    assert!(!listed().await);
    bench.orders_with(&node).await;
    let unknown = typed("cert account roll ca.example").await;
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains(&bench.stub.directory()), "{unknown:?}");
    // A CA in trouble is told of, and how to go on.
    bench
        .stub
        .rules(|rules| rules.instead(Kind::KeyChange, Instead::Page(503)));
    let failed = typed("cert account roll").await;
    assert_eq!(failed.code, 1);
    assert!(failed.err.contains("hint: nothing is lost"), "{failed:?}");
    bench.stub.rules(Rules::behave);
    bench.orders_with(&node).await;
}
