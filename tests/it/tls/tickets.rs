//! Sessions that go on at another node, after a restart and under new keys.

use std::sync::Arc;

use rustls::server::ProducesTickets;
use rustls::{ClientConfig, HandshakeKind};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vestibule::clock::Clock;
use vestibule::config::{self, StoreUrl};
use vestibule::seal::Sealer;
use vestibule::store::{Access, Store};
use vestibule::tasks::tickets::{Safe, TicketTask};
use vestibule::tls::Tickets;

use super::client;
use crate::certificates::Folder;
use crate::harness::client::{Visitor, get};
use crate::harness::edge::{Edge, Plan};
use crate::harness::postgres;
use crate::harness::upstream::TestUpstream;

/// A node with the folder's certificates.
fn secure(upstream: &TestUpstream, folder: &Folder) -> Plan {
    let directory = folder.directory.path();
    let tls = format!("[edge]\nhttps = [\"127.0.0.1:0\"]\n[tls]\ndirectory = {directory:?}\n");
    Edge::with(upstream.address).config(&tls)
}

/// Asks for a page, which the ticket comes before, and says what kind of handshake it took.
async fn visit(edge: &Edge, config: &Arc<ClientConfig>) -> HandshakeKind {
    let socket = TcpStream::connect(edge.https()).await.unwrap();
    let name = ServerName::try_from("acme.localhost").unwrap();
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, socket);
    let stream = stream.await.unwrap();
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    let mut visitor = Visitor::over(stream);
    let answer = visitor.ask(get("acme.localhost", "/", &[])).await;
    assert_eq!(answer.status, 200);
    kind
}

#[tokio::test]
async fn a_session_goes_on_at_another_node_and_after_a_restart() {
    let upstream = TestUpstream::echo();
    let folder = Folder::new().with("acme", &["acme.localhost"]);
    let url = postgres::database().await;
    let here = secure(&upstream, &folder).tenants(&["acme"]).store(&url);
    let here = here.start().await;
    let there = secure(&upstream, &folder).in_fleet_of(&here).start().await;
    let mut config = client(&folder);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    assert_eq!(visit(&here, &config).await, HandshakeKind::Full);
    assert_eq!(visit(&there, &config).await, HandshakeKind::Resumed);
    let again = here.pause().await.start().await;
    assert_eq!(visit(&again, &config).await, HandshakeKind::Resumed);
}

/// A fleet's store, by itself, and what opens its secrets.
struct Fleet {
    store: Store,
    sealer: Sealer,
    clock: Clock,
    _folder: tempfile::TempDir,
}

impl Fleet {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let settings = config::Store {
            url: StoreUrl::Sqlite(folder.path().join("vestibule.db")),
            owner_url: None,
            listen_url: None,
            secret_key_file: folder.path().join("secret.key"),
            connections: 4,
            timeout: std::time::Duration::from_secs(20),
            poll: std::time::Duration::from_secs(1),
            heartbeat: std::time::Duration::from_secs(15),
        };
        let store = Store::open(&settings, Access::Serve, clock.clone(), None);
        Self {
            store: store.await.unwrap(),
            sealer: Sealer::create(&settings.secret_key_file).unwrap(),
            clock,
            _folder: folder,
        }
    }

    fn node_with(&self, sealer: &Sealer) -> (Arc<Tickets>, TicketTask) {
        let (inventory, _) = Folder::new().load();
        let tickets = Arc::clone(inventory.tickets());
        let (seal, open) = (sealer.clone(), sealer.clone());
        let task = TicketTask {
            tickets: Arc::clone(&tickets),
            safe: Safe {
                seal: Box::new(move |purpose, plain| Some(seal.seal(purpose, plain))),
                open: Box::new(move |purpose, sealed| open.unseal(purpose, sealed)),
            },
            clock: self.clock.clone(),
        };
        (tickets, task)
    }

    fn node(&self) -> (Arc<Tickets>, TicketTask) {
        self.node_with(&self.sealer)
    }

    fn minutes_pass(&self, minutes: i64) {
        self.clock.shift(minutes * 60_000);
    }
}

fn opens(tickets: &Tickets, ticket: &[u8]) -> bool {
    tickets.decrypt(ticket).as_deref() == Some(b"session")
}

#[tokio::test]
async fn a_new_key_seals_only_when_every_node_has_had_the_time_to_read_it() {
    let fleet = Fleet::new().await;
    let ((one, first), (other, second)) = (fleet.node(), fleet.node());
    first.reconcile(&fleet.store).await.unwrap();
    second.reconcile(&fleet.store).await.unwrap();
    let old = one.encrypt(b"session").unwrap();
    assert!(opens(&other, &old));
    // The first node makes a new key; the other has not looked since.
    fleet.minutes_pass(12 * 60);
    first.reconcile(&fleet.store).await.unwrap();
    let still = one.encrypt(b"session").unwrap();
    assert!(opens(&other, &still) && still[..16] == old[..16]);
    fleet.minutes_pass(5);
    second.reconcile(&fleet.store).await.unwrap();
    first.reconcile(&fleet.store).await.unwrap();
    let new = one.encrypt(b"session").unwrap();
    assert!(opens(&other, &new) && new[..16] != old[..16]);
    assert!(opens(&one, &old), "for as long as it was promised");
    fleet.minutes_pass(13 * 60);
    first.reconcile(&fleet.store).await.unwrap();
    assert!(!opens(&one, &old) && opens(&one, &new));
}

#[tokio::test]
async fn a_key_sealed_with_another_sealing_key_is_left_to_those_who_have_it() {
    let fleet = Fleet::new().await;
    let (one, task) = fleet.node();
    task.reconcile(&fleet.store).await.unwrap();
    let ticket = one.encrypt(b"session").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let foreign = Sealer::create(&folder.path().join("secret.key")).unwrap();
    let (stranger, task_of_stranger) = fleet.node_with(&foreign);
    task_of_stranger.reconcile(&fleet.store).await.unwrap();
    assert!(!opens(&stranger, &ticket));
    let own = stranger.encrypt(b"session").unwrap();
    assert!(opens(&stranger, &own));
    task.reconcile(&fleet.store).await.unwrap();
    assert!(opens(&one, &ticket) && !opens(&one, &own));
}
