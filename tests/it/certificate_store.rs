//! Certificates of the store, shown over real sockets: what is asked of it and how often, what is remembered, and what a change does.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vestibule::clock::Clock;
use vestibule::config::{self, SecretText, StoreUrl};
use vestibule::model::{DomainPattern, Hostname, SigningKeyRecord};
use vestibule::seal::Sealer;
use vestibule::store::{Access, Changes, Cursor, RouteSource, Store};
use vestibule::tls::{Brought, Inventory};

use crate::certificates::Folder;
use crate::tls::{Edge, HOUR, client, hello};

mod gate;
mod memory;
mod nodes;
mod outage;
mod shown;

use gate::Gate;

/// A fatal `internal_error` alert, byte for byte.
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];
const MIB: u64 = 1 << 20;

/// An inventory with a store behind a gate, whose feed is followed step by step.
struct Node {
    /// Makes the certificates; none of its files are shown but those in `shown`.
    issuer: Folder,
    /// Believes the issuer, and begins each visit anew.
    visitor: Arc<ClientConfig>,
    store: Store,
    sealer: Sealer,
    gate: Arc<Gate>,
    inventory: Arc<Inventory>,
    followed: Cursor,
    _folder: TempDir,
}

impl Node {
    /// In contact with its store (`None`: an embedded one), of which it knows nothing yet.
    async fn new(url: Option<&str>) -> Self {
        Self::with_memory(url, 16 * MIB).await
    }

    async fn with_memory(url: Option<&str>, memory: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(url, folder.path()).await;
        let sealer = first_run(&store, &folder.path().join("secret.key")).await;
        let mut issuer = Folder::new();
        issuer.settings.directory = folder.path().join("shown");
        std::fs::create_dir(&issuer.settings.directory).unwrap();
        issuer.settings.memory = memory;
        let (inventory, gate) = loaded(&issuer, &store, &sealer);
        let followed = store.cursor().await.unwrap();
        inventory.apply(&Changes::Lost(followed));
        inventory.in_contact(true);
        let mut visitor = client(&issuer);
        visitor.resumption = Resumption::disabled();
        Self {
            issuer,
            visitor: Arc::new(visitor),
            store,
            sealer,
            gate,
            inventory,
            followed,
            _folder: folder,
        }
    }

    /// The same with the settings and files of now, and with nothing in memory.
    async fn again(mut self) -> Self {
        (self.inventory, self.gate) = loaded(&self.issuer, &self.store, &self.sealer);
        self.followed = self.store.cursor().await.unwrap();
        self.inventory.apply(&Changes::Lost(self.followed));
        self.inventory.in_contact(true);
        self
    }

    /// What is answered to a ClientHello for `name` at first, by an edge that then waits for more.
    async fn first_byte(&self, edge: &Edge, name: &str) -> u8 {
        let mut socket = TcpStream::connect(edge.address).await.unwrap();
        let hello = hello(ClientConfig::clone(&self.visitor), name);
        socket.write_all(&hello).await.unwrap();
        socket.read_u8().await.unwrap()
    }

    /// A node that has listed the names of its store.
    async fn with_names(url: Option<&str>, list: &[(&str, &[&str])]) -> Self {
        let mut node = Self::new(url).await;
        for (name, hosts) in list {
            node.import(name, hosts).await;
        }
        node.list_names().await;
        node
    }

    /// Keeps a new certificate for `hosts`; the node has not heard of it when this returns.
    async fn import_unheard(&mut self, name: &str, hosts: &[&str]) {
        self.issuer.issue(name, hosts);
        let brought = Brought {
            chain: self.issuer.path(&format!("{name}.crt")),
            key: self.issuer.path(&format!("{name}.key")),
            hostname: None,
        };
        let new = brought.check(Clock::system().now()).unwrap();
        self.store
            .import_certificates(&[new], &self.sealer)
            .await
            .unwrap();
    }

    /// Keeps a new certificate for `hosts`, and the node has heard of it.
    async fn import(&mut self, name: &str, hosts: &[&str]) {
        self.import_unheard(name, hosts).await;
        self.follow().await;
    }

    async fn remove(&mut self, name: &str) {
        let pattern = DomainPattern::parse(name).unwrap();
        self.store.remove_certificate(&pattern).await.unwrap();
        self.follow().await;
    }

    /// Applies what has happened in the store.
    async fn follow(&mut self) {
        let changes = self.store.changes_after(self.followed).await.unwrap();
        self.inventory.apply(&changes);
        self.followed = self.store.cursor().await.unwrap();
    }

    async fn list_names(&self) {
        let now = Clock::system().now();
        assert!(self.inventory.refresh(now).await.unwrap());
    }

    async fn edge(&self) -> Edge {
        let inventory = Arc::clone(&self.inventory);
        Edge::with(inventory, &self.issuer.metrics, |acceptor| acceptor, HOUR).await
    }

    /// The certificate that a visitor of `name` is shown, as it is on the wire.
    async fn shown(&self, edge: &Edge, name: &str) -> Vec<u8> {
        let stream = edge.visit(&self.visitor, name).await.unwrap();
        crate::tls::presented(&stream)
    }

    /// What is answered to a ClientHello for `name`.
    async fn answer(&self, edge: &Edge, name: &str) -> Vec<u8> {
        edge.answer_to(&hello(ClientConfig::clone(&self.visitor), name))
            .await
    }
}

fn loaded(issuer: &Folder, store: &Store, sealer: &Sealer) -> (Arc<Inventory>, Arc<Gate>) {
    let (inventory, _) = issuer.load();
    let opener = sealer.clone();
    let unseal = move |purpose: &str, sealed: &[u8]| opener.unseal(purpose, sealed);
    inventory.expect_store(tokio::runtime::Handle::current(), Box::new(unseal));
    let gate = Gate::before(store.clone());
    let source: Arc<Gate> = Arc::clone(&gate);
    inventory.attach(source);
    (inventory, gate)
}

async fn open(url: Option<&str>, folder: &Path) -> Store {
    let url = match url {
        Some(url) => StoreUrl::Postgres(SecretText::new(url.to_owned())),
        None => StoreUrl::Sqlite(folder.join("vestibule.db")),
    };
    let settings = config::Store {
        url,
        owner_url: None,
        listen_url: None,
        secret_key_file: folder.join("secret.key"),
        connections: 4,
        timeout: Duration::from_secs(20),
        poll: Duration::from_secs(1),
        heartbeat: Duration::from_secs(15),
    };
    Store::open(&settings, Access::Serve, Clock::system(), None)
        .await
        .unwrap()
}

async fn first_run(store: &Store, key: &Path) -> Sealer {
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
    store.first_run(key, make).await.unwrap()
}

fn host(name: &str) -> Hostname {
    Hostname::parse(name).unwrap()
}
