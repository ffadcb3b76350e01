//! A small CA of the tests' own, which can do what Pebble cannot: renewal windows, profiles, limits, outages, orders that are stuck,
//! short lives. It checks signatures, nonces and addresses; challenges it believes, unless told to look.
//!
//! ```ignore
//! let ca = StubCa::start().await;
//! ca.rules(|rules| rules.refuse(Kind::NewOrder, 429, "rateLimited", Some("120")));
//! … let an edge with `ca.config()` go …
//! assert_eq!(ca.requests(Kind::NewOrder), 1);
//! ca.rules(Rules::behave);
//! ```

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod answer;
mod books;
mod issue;
mod jws;
mod rules;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::serve::Listener;
use http::{Method, Request, Response, header};
use tokio::io;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use vestibule::clock::Clock;
use vestibule::config::AcmeIssuer;

use super::identity::TestIdentity;
use super::pebble;
use answer::{instead, problem};
use books::Books;
use issue::Authority;

pub(crate) use books::Placed;
pub(crate) use issue::Issued;
pub(crate) use rules::{Instead, Kind, Renewals, Rules};

/// A running CA; ends with the value.
pub(crate) struct StubCa {
    identity: TestIdentity,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    rules: Mutex<Rules>,
    books: Mutex<Books>,
    seen: Mutex<Vec<Kind>>,
    authority: Authority,
    clock: Clock,
}

impl StubCa {
    /// A friendly one.
    pub(crate) async fn start() -> Self {
        Self::with_clock(Clock::system()).await
    }

    /// One whose certificates begin when this clock says.
    pub(crate) async fn with_clock(clock: Clock) -> Self {
        let identity = TestIdentity::of(&["127.0.0.1"]);
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}", tcp.local_addr().unwrap());
        let shared = Arc::new(Shared {
            rules: Mutex::default(),
            books: Mutex::new(Books::at(base)),
            seen: Mutex::default(),
            authority: Authority::new(),
            clock,
        });
        let listener = Secured {
            tcp,
            tls: TlsAcceptor::from(Arc::clone(&identity.server)),
        };
        let app = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            identity,
            shared,
            serving,
        }
    }

    /// Its directory's address.
    pub(crate) fn directory(&self) -> String {
        format!("{}/directory", self.shared.books.lock().unwrap().base)
    }

    /// Who signed the certificate of its listener (not those that it issues).
    pub(crate) fn ca_file(&self) -> &Path {
        self.identity.ca_file()
    }

    /// An `[[acme]]` section that means it; more keys may follow.
    pub(crate) fn config(&self) -> String {
        pebble::section(&self.directory(), self.ca_file())
    }

    /// It, as read from a configuration.
    pub(crate) fn issuer(&self) -> AcmeIssuer {
        pebble::issuer(self.directory(), self.ca_file().to_owned())
    }

    /// The certificate of its root, PEM: what clients of the names trust.
    pub(crate) fn root(&self) -> String {
        self.shared.authority.root.clone()
    }

    /// Changes how it behaves from now on.
    pub(crate) fn rules(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.shared.rules.lock().unwrap());
    }

    /// Requests of a kind so far, refused ones too.
    pub(crate) fn requests(&self, kind: Kind) -> usize {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter().filter(|it| **it == kind).count()
    }

    /// Orders placed so far, oldest first.
    pub(crate) fn orders(&self) -> Vec<Placed> {
        let books = self.shared.books.lock().unwrap();
        books.orders.values().cloned().collect()
    }

    /// Certificates issued so far, oldest order first.
    pub(crate) fn issued(&self) -> Vec<Issued> {
        let orders = self.orders();
        orders.iter().filter_map(Placed::issued).cloned().collect()
    }

    /// The contacts of its accounts, oldest first.
    pub(crate) fn contacts(&self) -> Vec<serde_json::Value> {
        let books = self.shared.books.lock().unwrap();
        books
            .accounts
            .values()
            .map(|it| it.contact.clone())
            .collect()
    }

    /// How often an account got another key.
    pub(crate) fn key_changes(&self) -> usize {
        self.shared.books.lock().unwrap().key_changes
    }

    /// Forgets every account; orders and certificates stay.
    pub(crate) fn forget_accounts(&self) {
        self.shared.books.lock().unwrap().accounts.clear();
    }
}

impl Drop for StubCa {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    /// The rules of now. Nobody holds the lock while working by them.
    fn told(&self) -> Rules {
        self.rules.lock().unwrap().clone()
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let mut path = parts.uri.path().trim_matches('/').split('/');
    let (head, rest) = (path.next().unwrap_or_default(), path.collect::<Vec<_>>());
    let Some(kind) = kind(head) else {
        return problem(404, "malformed", parts.uri.path());
    };
    shared.seen.lock().unwrap().push(kind);
    let told = shared.rules.lock().unwrap().take_instead(kind);
    let usual = async || match parts.method {
        Method::POST => {
            let posted = shared.post(kind, parts.uri.path(), &rest, &body).await;
            posted.unwrap_or_else(|fault| problem(fault.0, fault.1, &fault.2))
        }
        _ => shared.get(kind, &rest),
    };
    let mut answered = match told {
        Some(Instead::Silence) => std::future::pending().await,
        Some(Instead::Mute) => {
            usual().await;
            std::future::pending().await
        }
        Some(told @ Instead::Lost) => {
            usual().await;
            instead(told)
        }
        Some(told) => instead(told),
        None => usual().await,
    };
    let nonce = shared.books.lock().unwrap().nonce();
    let fields = answered.headers_mut();
    fields.insert("replay-nonce", nonce.parse().unwrap());
    fields.insert(header::CACHE_CONTROL, "no-store".parse().unwrap());
    answered
}

fn kind(head: &str) -> Option<Kind> {
    Some(match head {
        "directory" => Kind::Directory,
        "new-nonce" => Kind::Nonce,
        "new-account" => Kind::NewAccount,
        "account" => Kind::Account,
        "new-order" => Kind::NewOrder,
        "order" => Kind::Order,
        "authz" => Kind::Authorization,
        "challenge" => Kind::Challenge,
        "finalize" => Kind::Finalize,
        "certificate" => Kind::Certificate,
        "key-change" => Kind::KeyChange,
        "renewal-info" => Kind::RenewalInfo,
        _ => return None,
    })
}

/// Connections over TLS.
struct Secured {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for Secured {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, from) = self.tcp.accept().await.unwrap();
            // Those who do not believe us end the handshake.
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
