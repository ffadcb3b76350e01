//! An edge for a test: configured in one line, started on free ports with a store of its own, stopped with the test.
//!
//! ```ignore
//! let upstream = TestUpstream::echo().await;
//! let edge = Edge::with(&upstream).tenants(&["acme", "globex"]).start().await;
//! let reply = edge.visit().await.ask(get("acme.localhost", "/", &[])).await;
//! ```
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use vestibule::app;
use vestibule::clock::Clock;
use vestibule::config::Config;
use vestibule::model::{DomainPattern, LimitOverrides, Slug, TenantState};
use vestibule::store::{Access, Claim, NewTenant, Store, TenantRef};

use super::client::{Visitor, get};

mod beside;

/// A running edge; stopped when dropped.
pub struct Edge {
    running: Option<app::Edge>,
    addresses: app::Addresses,
    pub config: Arc<Config>,
    pub store: Store,
    pub clock: Clock,
    text: String,
    folder: Arc<TempDir>,
}

/// What an edge will be.
pub struct Plan {
    toml: String,
    store: Option<String>,
    /// The store that this node had opened before: it is left alone, and may be away.
    opened: Option<Store>,
    tenants: Vec<NewTenant>,
    domains: Vec<(String, String)>,
    folder: Arc<TempDir>,
    clock: Clock,
}

impl Edge {
    /// An edge whose default upstream is at `upstream`.
    pub fn with(upstream: SocketAddr) -> Plan {
        Plan {
            toml: format!(
                "[[upstream]]\nname = \"default\"\nendpoints = [\"http://{upstream}\"]\n"
            ),
            store: None,
            opened: None,
            tenants: Vec::new(),
            domains: Vec::new(),
            folder: Arc::new(TempDir::new().unwrap()),
            clock: Clock::system(),
        }
    }

    /// Where it listens.
    pub fn addresses(&self) -> &app::Addresses {
        &self.addresses
    }

    /// Where its first plain listener is.
    pub fn http(&self) -> SocketAddr {
        self.addresses.http[0]
    }

    /// Where its first TLS listener is.
    pub fn https(&self) -> SocketAddr {
        self.addresses.https[0]
    }

    /// Where the operator's listener is.
    pub fn admin(&self) -> SocketAddr {
        self.addresses.admin.expect("an admin listener")
    }

    /// A visitor's connection to the plain listener.
    pub async fn visit(&self) -> Visitor {
        Visitor::connect(self.http()).await
    }

    /// Where the scrapers' listener is.
    pub fn metrics_address(&self) -> SocketAddr {
        self.addresses.metrics.expect("a metrics listener")
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> String {
        let request = get("localhost", "/metrics", &["connection: close"]);
        Visitor::connect(self.admin())
            .await
            .ask(request)
            .await
            .text()
    }

    /// The value of the series whose line begins with `series`, 0 where there is none.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.metrics().await;
        let lines = text.lines().filter(|line| line.starts_with(series));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// The access lines so far, once there are `count` of them.
    pub async fn access_lines(&self, count: usize) -> Vec<serde_json::Value> {
        let file = self.folder.path().join("access.log");
        super::until(|| {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let lines: Vec<_> = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            (lines.len() >= count).then_some(lines)
        })
        .await
    }

    /// The folder with its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops it in order and waits for the end.
    pub async fn stop(self) {
        self.pause().await;
    }

    /// Stops it in order. What comes back starts the same node again: its folder, its configuration, its clock; the store is not
    /// touched before that.
    pub async fn pause(mut self) -> Plan {
        if let Some(running) = self.running.take() {
            tokio::task::spawn_blocking(move || running.stop())
                .await
                .unwrap();
        }
        Plan {
            toml: self.text.clone(),
            store: None,
            opened: Some(self.store.clone()),
            tenants: Vec::new(),
            domains: Vec::new(),
            folder: Arc::clone(&self.folder),
            clock: self.clock.clone(),
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // It has a runtime of its own, which must not be ended from within the test's.
            std::thread::spawn(move || running.stop());
        }
    }
}

impl Plan {
    /// More configuration; a table may be given once.
    pub fn config(mut self, toml: &str) -> Self {
        self.toml = format!("{toml}\n{}", self.toml);
        self
    }

    /// Configuration behind the default upstream, such as its sub-tables.
    pub fn config_behind(mut self, toml: &str) -> Self {
        self.toml.push_str(toml);
        self.toml.push('\n');
        self
    }

    /// Speaks TLS with the default upstream.
    pub fn over_tls(mut self) -> Self {
        self.toml = self.toml.replacen("\"http://", "\"https://", 1);
        self
    }

    /// Another store than a SQLite file of its own.
    pub fn store(mut self, url: &str) -> Self {
        self.store = Some(url.to_owned());
        self
    }

    /// A node of the same fleet as `other`: its store, a copy of its sealing key, and everything else of its own.
    pub fn in_fleet_of(mut self, other: &Edge) -> Self {
        let document: toml::Table = other.text.parse().unwrap();
        self.store = document["store"]["url"].as_str().map(str::to_owned);
        let key = &other.config.store.secret_key_file;
        std::fs::copy(key, self.folder.path().join("secret.key")).unwrap();
        self
    }

    /// It starts so many milliseconds from now, by its clock.
    pub fn later(self, millis: i64) -> Self {
        self.clock.shift(millis);
        self
    }

    /// By the clock of `other`: moved by hand, it moves for both.
    pub fn by_the_clock_of(mut self, other: &Edge) -> Self {
        self.clock = other.clock.clone();
        self
    }

    /// The URL of the store, where the tests chose it.
    pub fn store_at(mut self, url: Option<&str>) -> Self {
        self.store = url.map(str::to_owned);
        self
    }

    /// Active tenants with these slugs.
    pub fn tenants(mut self, slugs: &[&str]) -> Self {
        self.tenants.extend(
            slugs
                .iter()
                .map(|slug| NewTenant::new(Slug::parse(slug).unwrap())),
        );
        self
    }

    /// A tenant in a state.
    pub fn tenant_in(mut self, slug: &str, state: TenantState) -> Self {
        let mut tenant = NewTenant::new(Slug::parse(slug).unwrap());
        tenant.state = Some(state);
        self.tenants.push(tenant);
        self
    }

    /// A tenant with limits of its own.
    pub fn tenant_with(mut self, slug: &str, limits: LimitOverrides) -> Self {
        let mut tenant = NewTenant::new(Slug::parse(slug).unwrap());
        tenant.limits = limits;
        self.tenants.push(tenant);
        self
    }

    /// A tenant served by the upstream of this name.
    pub fn tenant_at(mut self, slug: &str, upstream: &str) -> Self {
        let mut tenant = NewTenant::new(Slug::parse(slug).unwrap());
        tenant.upstream = Some(upstream.to_owned());
        self.tenants.push(tenant);
        self
    }

    /// A trusted domain (or wildcard) of a tenant.
    pub fn domain(mut self, tenant: &str, pattern: &str) -> Self {
        self.domains.push((tenant.to_owned(), pattern.to_owned()));
        self
    }

    /// The folder that will be the edge's.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The same folder as another edge's: its store (if embedded), key and snapshot.
    pub fn in_folder_of(mut self, edge: &Edge) -> Self {
        self.folder = Arc::clone(&edge.folder);
        self
    }

    /// The whole configuration, with every file in the edge's folder and every time as given.
    pub fn toml(&self) -> String {
        let folder = self.folder.path().display();
        let url = self
            .store
            .clone()
            .unwrap_or_else(|| format!("sqlite:{folder}/vestibule.db"));
        let mut document: toml::Table = self
            .toml
            .parse()
            .unwrap_or_else(|error| panic!("{error}\n{}", self.toml));
        let defaults = format!(
            "[edge]\nhttp = [\"127.0.0.1:0\"]\nworkers = 1\nnode = \"test-node\"\n\
             [edge.timeouts]\nshutdown_wait = \"0s\"\nshutdown_drain = \"5s\"\n\
             [store]\nurl = \"{url}\"\nsecret_key_file = \"{folder}/secret.key\"\npoll = \"50ms\"\n\
             [cache]\nsnapshot_file = \"{folder}/routes.snapshot\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n\
             [tls]\ndirectory = \"{folder}/certs\"\n\
             [routing]\nplatform_hosts = [\"app.localhost\"]\n\
             [log]\naccess = \"{folder}/access.log\"\nlevel = \"warn\"\n"
        );
        merge(&mut document, defaults.parse().unwrap());
        toml::to_string(&document).unwrap()
    }

    /// Makes the tenants, starts the edge, and waits until it knows its routes.
    pub async fn start(self) -> Edge {
        let text = self.toml();
        let config = Config::parse(&text, "test", std::iter::empty())
            .unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        let store = match &self.opened {
            Some(store) => store.clone(),
            None => self.fill(&config).await,
        };
        self.run(config, text, store).await
    }

    async fn run(self, config: Config, text: String, store: Store) -> Edge {
        let config = Arc::new(config);
        let (running, addresses) = start(Arc::clone(&config), self.clock.clone()).await;
        Edge {
            running: Some(running),
            addresses,
            config,
            store,
            clock: self.clock,
            text,
            folder: self.folder,
        }
    }

    /// Makes the tenants, for an edge that is a process of its own.
    pub async fn filled(mut self) -> Self {
        let text = self.toml();
        let config = Config::parse(&text, "test", std::iter::empty());
        let config = config.unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        self.fill(&config).await;
        self.tenants.clear();
        self.domains.clear();
        self
    }

    async fn fill(&self, config: &Config) -> Store {
        let store = Store::open(&config.store, Access::Serve, self.clock.clone(), None)
            .await
            .unwrap();
        for tenant in &self.tenants {
            store.create_tenant(tenant.clone()).await.unwrap();
        }
        for (tenant, pattern) in &self.domains {
            let tenant: TenantRef = tenant.parse().unwrap();
            store
                .add_domain(
                    &tenant,
                    &DomainPattern::parse(pattern).unwrap(),
                    Claim::TRUSTED,
                )
                .await
                .unwrap();
        }
        store
    }

    /// Starts without touching the store: it may be away.
    pub async fn start_blind(self, store: Store) -> Edge {
        let text = self.toml();
        let config = Config::parse(&text, "test", std::iter::empty()).unwrap();
        self.run(config, text, store).await
    }
}

async fn start(config: Arc<Config>, clock: Clock) -> (app::Edge, app::Addresses) {
    let started = tokio::task::spawn_blocking(move || app::Edge::start(&config, clock))
        .await
        .unwrap();
    let running = started.unwrap_or_else(|error| panic!("{error:?}"));
    let addresses = running.addresses().clone();
    (running, addresses)
}

/// `over` keeps what it says; `under` fills what it does not say.
fn merge(over: &mut toml::Table, under: toml::Table) {
    for (key, value) in under {
        match (over.get_mut(&key), value) {
            (Some(toml::Value::Table(over)), toml::Value::Table(under)) => merge(over, under),
            (Some(_), _) => {}
            (None, value) => {
                over.insert(key, value);
            }
        }
    }
}
