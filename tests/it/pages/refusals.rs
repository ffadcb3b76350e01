//! One provocation for each code of `docs/refusals.md`.

use http::Request;
use serde_json::json;
use vestibule::model::{LimitOverrides, TenantState};

use crate::harness::client::{Answer, request};
use crate::harness::edge::Edge;
use crate::harness::frames::ask_h2;
use crate::harness::mint::Signer;
use crate::harness::upstream::{Reply, TestUpstream};

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
/// Names that no visitor here sends: those of tenants, upstreams, and the node's own places.
const OURS: &[&str] = &[
    "hidden-slug",
    "dead-end",
    "garbled",
    "sleepy",
    "secret-plan",
];

/// How to be refused.
struct Provocation {
    code: &'static str,
    status: u16,
    method: &'static str,
    host: &'static str,
    path: String,
    fields: Vec<String>,
    body: &'static [u8],
}

/// A GET of `/` at `host`.
fn at(code: &'static str, status: u16, host: &'static str) -> Provocation {
    Provocation {
        code,
        status,
        method: "GET",
        host,
        path: "/".to_owned(),
        fields: Vec::new(),
        body: b"",
    }
}

fn provocations(signer: &Signer) -> Vec<Provocation> {
    let token = |slug: &str, expires: i64| {
        let claims =
            json!({ "iss": "https://auth.test", "aud": "app", "exp": expires, "tenant_id": slug });
        vec![format!("Authorization: Bearer {}", signer.token(&claims))]
    };
    let acme = |code, status| at(code, status, "acme.localhost");
    vec![
        Provocation {
            fields: vec![
                "Authorization: Basic a".into(),
                "Authorization: Basic b".into(),
            ],
            ..acme("bad_request", 400)
        },
        Provocation {
            path: format!("/{}", "p".repeat(9000)),
            ..acme("uri_too_long", 414)
        },
        Provocation {
            fields: vec![format!("X-Long: {}", "v".repeat(17_000))],
            ..acme("headers_too_large", 431)
        },
        Provocation {
            fields: token("acme", 1),
            ..acme("token_invalid", 401)
        },
        Provocation {
            fields: token("globex", 4_000_000_000),
            ..acme("tenant_conflict", 403)
        },
        at("tenant_suspended", 403, "suspended.example"),
        at("unknown_tenant", 404, "nobody.localhost"),
        at("tenant_removed", 410, "removed.localhost"),
        Provocation {
            method: "TRACE",
            ..acme("method_not_allowed", 405)
        },
        Provocation {
            method: "POST",
            fields: vec!["Content-Length: 5".into()],
            body: b"12345",
            ..at("body_too_large", 413, "tiny.localhost")
        },
        at("upstream_unreachable", 502, "unreachable.localhost"),
        at("upstream_invalid", 502, "invalid.localhost"),
        at("upstream_timeout", 504, "timeout.localhost"),
        at("unknown_upstream", 503, "misplaced.localhost"),
        at("tenant_provisioning", 503, "prepared.localhost"),
        at("tenant_provisioning", 503, "failed.localhost"),
        at("tenant_maintenance", 503, "maintained.localhost"),
        at("rate_limited", 429, "eager.localhost"),
        Provocation {
            fields: vec![format!("Via: {}", ["1.1 test-node"; 5].join(", "))],
            ..acme("loop_detected", 508)
        },
    ]
}

/// The upstreams beside the default one.
struct Broken {
    garbled: TestUpstream,
    sleepy: TestUpstream,
}

async fn edge(default: &TestUpstream, broken: &Broken) -> Edge {
    let plan = Edge::with(default.address);
    let secret = plan.folder().join("issuer.secret");
    std::fs::write(&secret, SECRET).unwrap();
    let token = format!(
        "[[routing.token]]\nissuer = \"https://auth.test\"\naudience = [\"app\"]\nalgorithms = [\"HS256\"]\n\
         hmac_secret_file = {:?}\nclaim = \"tenant_id\"",
        secret.display().to_string()
    );
    let upstreams = format!(
        "[[upstream]]\nname = \"dead-end\"\nendpoints = [\"http://127.0.0.1:1\"]\n\
         [[upstream]]\nname = \"garbled\"\nendpoints = [\"http://{}\"]\n\
         [[upstream]]\nname = \"sleepy\"\nendpoints = [\"http://{}\"]\n[upstream.timeouts]\nresponse = \"100ms\"",
        broken.garbled.address, broken.sleepy.address,
    );
    let limited = |requests_per_second, body| LimitOverrides {
        requests_per_second,
        body,
        ..LimitOverrides::default()
    };
    let edge = plan
        .config(&token)
        .config_behind(&upstreams)
        .tenants(&["acme", "globex", "removed"])
        .tenant_in("hidden-slug", TenantState::Suspended)
        .domain("hidden-slug", "suspended.example")
        .tenant_in("prepared", TenantState::Provisioning)
        .tenant_in("failed", TenantState::Failed)
        .tenant_in("maintained", TenantState::Maintenance)
        .tenant_with("tiny", limited(None, Some(4)))
        .tenant_with("eager", limited(Some(1), None))
        .tenant_at("unreachable", "dead-end")
        .tenant_at("invalid", "garbled")
        .tenant_at("timeout", "sleepy")
        .tenant_at("misplaced", "secret-plan")
        .start()
        .await;
    edge.store
        .remove_tenant(&"removed".parse().unwrap())
        .await
        .unwrap();
    while edge
        .visit()
        .await
        .ask(request("GET", "removed.localhost", "/", &[], b""))
        .await
        .status
        != 410
    {}
    edge
}

fn broken() -> Broken {
    Broken {
        garbled: TestUpstream::raw("garbled answer\r\n\r\n"),
        sleepy: TestUpstream::script(|mut connection| async move {
            connection.read_to_end().await;
        }),
    }
}

/// Uses up what a rate allows.
async fn use_up(edge: &Edge, provoked: &Provocation) {
    if provoked.code == "rate_limited" {
        while ask(edge, provoked, "GET", &[]).await.status == 200 {}
    }
}

async fn ask(edge: &Edge, provoked: &Provocation, method: &str, more: &[&str]) -> Answer {
    let mut lines: Vec<&str> = provoked.fields.iter().map(String::as_str).collect();
    lines.extend(more);
    let asked = request(method, provoked.host, &provoked.path, &lines, provoked.body);
    let mut visitor = edge.visit().await;
    visitor.write(asked).await;
    let answer = visitor.reply_to(method).await;
    answer.unwrap_or_else(|| panic!("no answer where {} was expected", provoked.code))
}

async fn ask_over_h2(edge: &Edge, provoked: &Provocation, accept: &str) -> Answer {
    let uri = format!("http://{}{}", provoked.host, provoked.path);
    let mut asked = Request::builder().method(provoked.method).uri(uri);
    for field in &provoked.fields {
        let (name, value) = field.split_once(": ").unwrap();
        asked = asked.header(name.to_lowercase(), value);
    }
    let asked = asked.header("accept", accept).body(()).unwrap();
    ask_h2(edge.http(), asked, provoked.body).await
}

/// What every refusal has, whatever its form.
fn check_head(answer: &Answer, provoked: &Provocation) {
    let code = provoked.code;
    let head = format!("{answer:?}");
    assert_eq!(answer.status, provoked.status, "{code}: {head}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{code}");
    assert_eq!(
        answer.header("x-content-type-options"),
        Some("nosniff"),
        "{code}"
    );
    let proxy_status = answer.header("proxy-status").unwrap();
    assert!(
        proxy_status.starts_with("test-node; error="),
        "{code}: {proxy_status}"
    );
    assert!(
        proxy_status.contains(&format!("details=\"{code}\"")),
        "{code}: {proxy_status}"
    );
    let request_id = answer.header("x-request-id").unwrap();
    assert_eq!(request_id.len(), 32, "{code}: {request_id}");
    let waits = matches!(answer.status, 429 | 503);
    let wait = answer
        .header("retry-after")
        .map(|wait| wait.parse::<u64>().unwrap());
    assert_eq!(
        wait.is_some_and(|wait| wait >= 1),
        waits,
        "{code}: {wait:?}"
    );
    let challenge = answer.header("www-authenticate");
    assert_eq!(
        challenge.is_some_and(|it| it.starts_with("Bearer")),
        code == "token_invalid"
    );
    let allow = answer.header("allow");
    assert_eq!(
        allow.is_some_and(|it| it.contains("GET")),
        code == "method_not_allowed"
    );
    assert_eq!(answer.header("server"), None);
    for name in OURS {
        let said = head.contains(name) || answer.text().contains(name);
        assert!(!said, "{code} names {name}: {head}\n{}", answer.text());
    }
}

fn check_document(answer: &Answer, provoked: &Provocation) {
    check_head(answer, provoked);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.json();
    assert_eq!(problem["code"], provoked.code);
    assert_eq!(problem["status"], provoked.status);
    let kind = format!("urn:vestibule:refusal:{}", provoked.code);
    assert_eq!(problem["type"], kind);
    assert_eq!(
        problem["request_id"].as_str(),
        answer.header("x-request-id")
    );
    for member in ["title", "detail"] {
        assert!(!problem[member].as_str().unwrap().is_empty(), "{problem}");
    }
}

fn check_page(answer: &Answer, provoked: &Provocation) {
    check_head(answer, provoked);
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = answer.text();
    assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
    assert!(page.contains(provoked.code), "{page}");
    assert!(
        page.contains(answer.header("x-request-id").unwrap()),
        "{page}"
    );
    assert!(!page.contains("<script"), "{page}");
    let refreshes = page.contains("http-equiv=\"refresh\"");
    let waits = matches!(provoked.code, "tenant_provisioning" | "tenant_maintenance");
    assert_eq!(refreshes, waits, "{page}");
}

#[tokio::test]
async fn every_refusal_over_http_1_says_the_same_as_document_page_head_and_log() {
    let (default, broken) = (TestUpstream::echo(), broken());
    let edge = edge(&default, &broken).await;
    for provoked in provocations(&Signer::hs256(SECRET)) {
        use_up(&edge, &provoked).await;
        let document = ask(&edge, &provoked, provoked.method, &[]).await;
        check_document(&document, &provoked);
        let html = &["Accept: text/html,application/xhtml+xml,*/*;q=0.8"];
        let page = ask(&edge, &provoked, provoked.method, html).await;
        check_page(&page, &provoked);
        if provoked.method == "GET" {
            let head = ask(&edge, &provoked, "HEAD", &[]).await;
            check_head(&head, &provoked);
            let length = head.header("content-length");
            // Request ids and waits are of one length, so the documents are.
            assert_eq!(
                length,
                document.header("content-length"),
                "{}",
                provoked.code
            );
        }
        let id = document.header("x-request-id").unwrap().to_owned();
        check_line(&edge, &id, &provoked).await;
    }
}

/// The access line of the request with this id.
async fn check_line(edge: &Edge, id: &str, provoked: &Provocation) {
    let mut count = 1;
    let line = loop {
        let lines = edge.access_lines(count).await;
        if let Some(line) = lines.iter().find(|line| line["request_id"] == id) {
            break line.clone();
        }
        count = lines.len() + 1;
    };
    assert_eq!(line["refusal"], provoked.code, "{line}");
    assert_eq!(line["status"], provoked.status, "{line}");
    assert_eq!(line["host"], provoked.host, "{line}");
}

#[tokio::test]
async fn every_refusal_over_http_2_is_the_same() {
    let (default, broken) = (TestUpstream::echo(), broken());
    let edge = edge(&default, &broken).await;
    for provoked in provocations(&Signer::hs256(SECRET)) {
        use_up(&edge, &provoked).await;
        let document = ask_over_h2(&edge, &provoked, "application/json").await;
        check_document(&document, &provoked);
        let page = ask_over_h2(&edge, &provoked, "text/html").await;
        check_page(&page, &provoked);
    }
}

#[tokio::test]
async fn a_refusal_reaches_no_upstream() {
    let upstream = TestUpstream::answering(|_| Reply::status(204));
    let broken = broken();
    let edge = edge(&upstream, &broken).await;
    let mut refused = provocations(&Signer::hs256(SECRET));
    refused.retain(|provoked| {
        !provoked.code.starts_with("upstream_") && provoked.code != "rate_limited"
    });
    for provoked in &refused {
        check_document(&ask(&edge, provoked, provoked.method, &[]).await, provoked);
    }
    assert_eq!(upstream.connections(), 0);
    assert_eq!(
        broken.garbled.connections() + broken.sleepy.connections(),
        0
    );
}
