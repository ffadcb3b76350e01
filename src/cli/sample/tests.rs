//! The application over real sockets, with assertions as the edge signs them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::config::{Signing, SigningAlgorithm};
use crate::model::{Hostname, Route, Secret, Slug, Source, TenantId, TenantState};
use crate::seal::Sealer;
use crate::shutdown::Shutdown;
use crate::sign::{Claims, JWKS_CACHE_CONTROL, Signer, keys};

const SECRET: &[u8] = b"a secret of thirty-two bytes or so";
const ID: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0001;

/// The application, the keys it fetches, and a signer that has them.
struct Stage {
    address: SocketAddr,
    signer: Arc<Signer>,
    fetches: Arc<AtomicUsize>,
    shutdown: Shutdown,
}

impl Stage {
    async fn new() -> Self {
        let config = Signing {
            algorithm: SigningAlgorithm::EdDsa,
            issuer: ISSUER.into(),
            lifetime: Duration::from_secs(60),
            publish_on_edge: true,
        };
        let signer = Signer::new(&config, &[], None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::create(&folder.path().join("secret.key")).unwrap();
        let key = keys::generate(&sealer, Clock::system().now()).unwrap();
        signer.load(&[key], &sealer).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let fetches = Arc::new(AtomicUsize::new(0));
        tokio::spawn(publish(listener, Arc::clone(&signer), Arc::clone(&fetches)));
        let (address, shutdown) = start(url);
        Self {
            address,
            signer,
            fetches,
            shutdown,
        }
    }

    /// The identity fields of a request to `host`, which was found by `source`.
    fn identity(&self, upstream: &str, host: &str, source: Source, now: Timestamp) -> String {
        let route = Route {
            tenant: TenantId(Uuid::from_u128(ID)),
            slug: Slug::parse("acme").unwrap(),
            state: TenantState::Active,
            progress: 0,
            removed_at: None,
            plan: Some("gold".into()),
            upstream: None,
            limits: Default::default(),
            placement: Default::default(),
            meta: None,
            version: 1,
        };
        let claims = Claims {
            route: Some(&route),
            upstream,
            sources: [source].into_iter().collect(),
            host: &Hostname::parse(host).unwrap(),
        };
        let value = self.signer.thread().assertion(&claims, now).unwrap();
        let assertion = value.to_str().unwrap();
        format!(
            "x-tenant-id: {}\r\nx-tenant-slug: acme\r\nx-tenant-assertion: {assertion}\r\n",
            route.tenant
        )
    }

    fn acme(&self) -> String {
        self.identity(
            UPSTREAM,
            "acme.localhost",
            Source::Subdomain,
            Clock::system().now(),
        )
    }

    async fn get(&self, path: &str, fields: &str) -> (u16, String) {
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: acme.localhost:8080\r\nconnection: close\r\n{fields}\r\n"
        );
        exchange(self.address, head.as_bytes()).await
    }
}

fn start(url: String) -> (SocketAddr, Shutdown) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, stopping) = Shutdown::new();
    let sessions = Sessions::new(&Secret::new(SECRET.to_vec()), Clock::system());
    tokio::spawn(serve(listener, url, Some(sessions), stopping));
    (address, shutdown)
}

/// The operator's listener, as far as the application needs it.
async fn publish(listener: TcpListener, signer: Arc<Signer>, fetches: Arc<AtomicUsize>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (signer, fetches) = (Arc::clone(&signer), Arc::clone(&fetches));
        let service = service_fn(move |_: Request<Incoming>| {
            fetches.fetch_add(1, Ordering::SeqCst);
            let mut response =
                Response::new(Full::<Bytes>::from(signer.jwks(Clock::system().now())));
            let headers = response.headers_mut();
            headers.insert(CACHE_CONTROL, JWKS_CACHE_CONTROL);
            std::future::ready(Ok::<_, Infallible>(response))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn exchange(address: SocketAddr, head: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

fn document(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn a_browser_gets_a_page_about_its_tenant() {
    let stage = Stage::new().await;
    let fields = "accept: text/html,*/*;q=0.8\r\nx-note: <script>\r\ncookie: session=canary\r\n";
    let (status, page) = stage
        .get("/a?b=c", &(fields.to_owned() + &stage.acme()))
        .await;
    assert_eq!(status, 200, "{page}");
    for part in [
        "<h1>Acme Rockets</h1>",
        "Assertion verified",
        "01900000-0000-7000-8000-000000000001",
        "/a?b=c",
        "x-note",
        "&lt;script&gt;",
        "session=•••",
        "http://globex.localhost:8080/",
        "http://app.localhost:8080/t/acme/",
        "http://initech.localhost:8080/",
        "data-path=\"/echo\"",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(!page.contains("canary"));
    assert!(!page.contains(&*stage.acme()));
}

#[tokio::test]
async fn a_program_gets_json() {
    let stage = Stage::new().await;
    for accept in [
        "",
        "accept: */*\r\n",
        "accept: text/html;q=0.1, application/json\r\n",
    ] {
        let (status, answer) = stage.get("/", &(accept.to_owned() + &stage.acme())).await;
        assert_eq!(status, 200);
        let document = document(&answer);
        assert_eq!(document["tenant"], "acme");
        assert_eq!(document["assertion"]["verified"], true);
        assert_eq!(document["assertion"]["claims"]["via"], "subdomain");
        assert_eq!(document["request"]["method"], "GET");
    }
    let head = format!(
        "POST / HTTP/1.1\r\nhost: acme.localhost\r\nconnection: close\r\ncontent-length: 5\r\n{}\r\nhello",
        stage.acme()
    );
    let (_, answer) = exchange(stage.address, head.as_bytes()).await;
    assert_eq!(document(&answer)["request"]["body_bytes"], 5);
}

#[tokio::test]
async fn links_keep_the_path_prefix_and_the_scheme() {
    let stage = Stage::new().await;
    let now = Clock::system().now();
    let fields = stage.identity(UPSTREAM, "app.localhost", Source::Path, now)
        + "x-forwarded-host: app.localhost:8443\r\nx-forwarded-proto: https\r\nx-forwarded-prefix: /t/acme\r\naccept: text/html\r\n";
    let (status, page) = stage.get("/", &fields).await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("data-path=\"/t/acme/echo\""));
    assert!(page.contains("https://globex.localhost:8443/"));
}

#[tokio::test]
async fn signing_in_sets_a_cookie_unless_another_site_asks() {
    let stage = Stage::new().await;
    let post = async |path: &str, fields: &str| {
        let identity = stage.acme();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: acme.localhost\r\nconnection: close\r\n{fields}{identity}\r\n"
        );
        exchange(stage.address, head.as_bytes()).await
    };
    let (status, answer) = post(
        "/sign-in/globex",
        "x-forwarded-prefix: /t/acme\r\nsec-fetch-site: same-origin\r\n",
    )
    .await;
    assert_eq!(status, 303, "{answer}");
    assert!(answer.contains("\r\nlocation: /t/acme/\r\n"), "{answer}");
    let token = answer
        .split_once("set-cookie: session=")
        .unwrap()
        .1
        .split(';')
        .next()
        .unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    rules.set_issuer(&[SESSION_ISSUER]);
    rules.set_audience(&[SESSION_ISSUER]);
    let key = jsonwebtoken::DecodingKey::from_secret(SECRET);
    let claims = jsonwebtoken::decode::<Value>(token, &key, &rules)
        .unwrap()
        .claims;
    assert_eq!(claims["tenant"], "globex");

    let (status, answer) = post("/sign-out", "").await;
    assert_eq!(status, 303);
    assert!(
        answer.contains("set-cookie: session=; Max-Age=0;"),
        "{answer}"
    );
    for (path, fields) in [
        ("/sign-in/globex", "sec-fetch-site: cross-site\r\n"),
        ("/sign-in/No", ""),
    ] {
        let (status, answer) = post(path, fields).await;
        assert_eq!(status, 200);
        assert!(!answer.contains("set-cookie"), "{answer}");
    }
    let (_, answer) = exchange(
        stage.address,
        b"POST /sign-in/acme HTTP/1.1\r\nhost: acme.localhost\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(
        !answer.contains("set-cookie"),
        "who is not the edge gets no session: {answer}"
    );
}

#[tokio::test]
async fn what_cannot_be_believed_is_refused() {
    let stage = Stage::new().await;
    let now = Clock::system().now();
    let good = stage.acme();
    let past = Timestamp(now.0 - 120_000);
    for (fields, reason) in [
        (String::new(), "there is no assertion"),
        (
            good.replace("slug: acme", "slug: globex"),
            "x-tenant-slug is not the slug",
        ),
        (
            good.replace("0001\r\n", "0002\r\n"),
            "x-tenant-id is not the sub",
        ),
        (
            stage.identity(UPSTREAM, "globex.localhost", Source::Subdomain, now),
            "made for another host",
        ),
        (
            stage.identity("api", "acme.localhost", Source::Subdomain, now),
            "InvalidAudience",
        ),
        (
            stage.identity(UPSTREAM, "acme.localhost", Source::Subdomain, past),
            "ExpiredSignature",
        ),
        ("x-tenant-assertion: nonsense\r\n".to_owned(), "malformed"),
    ] {
        let (status, answer) = stage.get("/", &fields).await;
        assert_eq!(status, 403, "{answer}");
        let document = document(&answer);
        assert_eq!(document["tenant"], Value::Null);
        let said = document["assertion"]["reason"].as_str().unwrap();
        assert!(said.contains(reason), "{said}");
    }
}

#[tokio::test]
async fn who_comes_past_the_edge_is_shown_no_way_that_leads_past_it() {
    let stage = Stage::new().await;
    let (status, page) = stage.get("/", "accept: text/html\r\n").await;
    assert_eq!(status, 403);
    assert!(!page.contains("<a href"), "{page}");
    assert!(page.contains("vestibule dev"), "{page}");
}

#[tokio::test]
async fn keys_are_fetched_once_and_not_for_every_strange_name() {
    let stage = Stage::new().await;
    let stranger = Stage::new().await;
    for fields in [stage.acme(), stranger.acme(), stage.acme(), stranger.acme()] {
        stage.get("/", &fields).await;
    }
    let (status, answer) = stage.get("/", &stranger.acme()).await;
    assert_eq!(status, 403);
    assert!(answer.contains("is not published"));
    assert!(stage.fetches.load(Ordering::SeqCst) < 5);
}

#[tokio::test]
async fn without_keys_nobody_is_let_in() {
    let stage = Stage::new().await;
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", unused.local_addr().unwrap());
    drop(unused);
    let (address, _shutdown) = start(url);
    let stage = Stage { address, ..stage };
    let (status, page) = stage
        .get("/", &(stage.acme() + "accept: text/html\r\n"))
        .await;
    assert_eq!(status, 503);
    assert!(page.contains("Cannot verify"));
}

#[tokio::test]
async fn a_websocket_echoes_until_the_application_stops() {
    let stage = Stage::new().await;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    let head = format!(
        "GET /echo HTTP/1.1\r\nhost: acme.localhost:8080\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
        stage.acme()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream
        .write_all(&[0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2])
        .await
        .unwrap();
    let mut frame = [0; 4];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame, [0x81, 2, b'h', b'i']);
    stage.shutdown.enter(Phase::Draining);
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame, [0x88, 2, 0x03, 0xe9]);

    let stage = Stage::new().await;
    let (status, _) = stage.get("/echo", &stage.acme()).await;
    assert_eq!(status, 426);
    let (status, _) = stage.get("/echo", "").await;
    assert_eq!(status, 403);
}
