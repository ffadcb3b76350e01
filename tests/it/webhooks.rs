//! Events on their way to receivers, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commands;
mod delivery;
mod papers;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use vestibule::clock::Clock;
use vestibule::config::Config;
use vestibule::metrics::Metrics;
use vestibule::model::{DomainPattern, Secret, SigningKeyRecord, Slug, WebhookUrl};
use vestibule::seal::Sealer;
use vestibule::store::{Access, Claim, Delivery, NewTenant, NewWebhook, Store, Webhook};
use vestibule::tasks::webhooks::{Courier, Sender, WebhookTask, draw_secret};

/// A store with a tenant, and as many nodes that deliver as a test wants; time goes on where the test lets it.
struct Bench {
    config: Config,
    clock: Clock,
    store: Store,
    sealer: Sealer,
    _folder: TempDir,
}

impl Bench {
    async fn with(store: Option<&str>) -> Self {
        let folder = TempDir::new().unwrap();
        let place = folder.path().display();
        let url = store.map_or_else(|| format!("sqlite:{place}/store.db"), str::to_owned);
        let toml = format!("[store]\nurl = {url:?}\nsecret_key_file = \"{place}/secret.key\"\n");
        let config = Config::parse(&toml, "test", std::iter::empty()).unwrap();
        let clock = Clock::system();
        let store = Store::open(&config.store, Access::Serve, clock.clone(), None);
        let store = store.await.unwrap();
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
        let file = &config.store.secret_key_file;
        let sealer = store.first_run(file, make).await.unwrap();
        let acme = NewTenant::new(Slug::parse("acme").unwrap());
        store.create_tenant(acme).await.unwrap();
        Self {
            config,
            clock,
            store,
            sealer,
            _folder: folder,
        }
    }

    /// A webhook of all events, on this machine.
    async fn webhook(&self, url: &str) -> (Webhook, Secret) {
        self.webhook_at(url, true).await
    }

    async fn webhook_at(&self, url: &str, allow_private: bool) -> (Webhook, Secret) {
        let new = NewWebhook {
            url: WebhookUrl::parse(url).unwrap(),
            events: Vec::new(),
            tenant: None,
            allow_private,
        };
        let secret = draw_secret().unwrap();
        let made = self.store.add_webhook(&new, &secret, &self.sealer).await;
        (made.unwrap(), secret)
    }

    /// A node with connections of its own, whose attempts end in `limit`.
    async fn node(&self, limit: Duration) -> WebhookTask {
        self.node_trusting(limit, None).await
    }

    /// As [`Self::node`], where the CA in a file is trusted too.
    async fn node_trusting(&self, limit: Duration, ca_file: Option<&Path>) -> WebhookTask {
        let store = Store::open(&self.config.store, Access::Serve, self.clock.clone(), None);
        let sealer = self.sealer.clone();
        let trust = vestibule::tls::client_config(ca_file).unwrap();
        let courier = Courier {
            store: store.await.unwrap(),
            sender: Sender::new(trust, limit),
            unseal: Box::new(move |purpose, sealed| sealer.unseal(purpose, sealed)),
            clock: self.clock.clone(),
        };
        WebhookTask {
            courier: Arc::new(courier),
            metrics: Metrics::new(0).unwrap(),
        }
    }

    async fn patient_node(&self) -> WebhookTask {
        self.node(vestibule::tasks::webhooks::LIMIT).await
    }

    /// A name of the tenant's comes into service.
    async fn comes(&self, name: &str) {
        let acme = "acme".parse().unwrap();
        let name = DomainPattern::parse(name).unwrap();
        let added = self.store.add_domain(&acme, &name, Claim::TRUSTED).await;
        added.unwrap();
    }

    async fn goes(&self, name: &str) {
        let name = DomainPattern::parse(name).unwrap();
        self.store.remove_domain(&name, None).await.unwrap();
    }

    async fn last(&self, webhook: &Webhook) -> Delivery {
        let mut list = self.store.deliveries(webhook.id, 1).await.unwrap();
        list.remove(0)
    }

    fn later(&self, seconds: i64) {
        self.clock.shift(seconds * 1000);
    }
}
