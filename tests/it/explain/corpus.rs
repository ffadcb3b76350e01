//! Requests drawn from everything that makes a difference to who they are for and what becomes of them.

use http::Method;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::json;

use crate::harness::issuer::Issuer;
use crate::harness::mint::Signer;

/// One request.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) method: Method,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) lines: Vec<String>,
}

impl Case {
    pub(super) fn draw(random: &mut StdRng, fields: &[Vec<String>]) -> Self {
        let method = pick(random, &METHODS).parse().unwrap();
        let mut lines: Vec<String> = Vec::new();
        for _ in 0..random.random_range(0..4) {
            lines.extend(fields[random.random_range(0..fields.len())].iter().cloned());
        }
        // Of a length there is one, and where it usually stands it does: what the codec makes of others is no matter of resolution.
        lines.retain(|line| !line.starts_with("Content-Length"));
        if matches!(method, Method::POST | Method::PUT | Method::PATCH)
            || random.random_range(0..10) == 0
        {
            lines.push(format!("Content-Length: {}", random.random_range(0..9)));
        }
        let path = match random.random_range(0..40) {
            0 => format!("/{}", "a".repeat(9000)),
            _ => pick(random, &PATHS).to_owned(),
        };
        Self {
            method,
            host: pick(random, &HOSTS).to_owned(),
            path,
            lines,
        }
    }

    pub(super) fn body(&self) -> Vec<u8> {
        let length = self
            .lines
            .iter()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        vec![b'x'; length.map_or(0, |length| length.parse().unwrap())]
    }
}

fn pick<'a>(random: &mut StdRng, from: &[&'a str]) -> &'a str {
    from[random.random_range(0..from.len())]
}

const METHODS: [&str; 10] = [
    "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE",
];
pub(super) const HOSTS: [&str; 30] = [
    "acme.localhost",
    "acme.localhost",
    "globex.localhost",
    "ACME.LocalHost.",
    "acme.localhost:8080",
    "globex.localhost:80",
    "app.localhost",
    "app.localhost",
    "app.localhost",
    "platform.test",
    "platform.test:8443",
    "shop.acme.test",
    "any.wild.test",
    "exact.wild.test",
    "a.b.wild.test",
    "wild.test",
    "closed.test",
    "old.localhost",
    "new.localhost",
    "short.localhost",
    "short.localhost",
    "short.localhost",
    "closed.localhost",
    "kept.localhost",
    "soon.localhost",
    "gone.localhost",
    "nobody.localhost",
    "www.localhost",
    "-bad-.localhost",
    "127.0.0.1",
];
/// The token of a challenge that is open for every host.
pub(super) const TOKEN: &str = "DGyRejmCefe7v4NfDGDKfA";
const PATHS: [&str; 34] = [
    "/",
    "/",
    "/x?y=1",
    "/api",
    "/api/x?y",
    "/apis",
    "/a//b/%252e%252e?q=/../",
    "/t/acme/x",
    "/t/acme/x",
    "/t/globex/api/z?y",
    "/t/acme",
    "/t/acme/",
    "/t/acme//evil.example/",
    "/t/old/x?y",
    "/t/new",
    "/t/closed/x",
    "/t/nobody/x",
    "/t/ACME/x",
    "/t/www/",
    "/t/",
    "/t",
    "/T/acme",
    "/t/acme/../globex",
    "/t/acme/%2e%2e/x",
    "/t/acme%2fx",
    "/t//acme",
    "//t/acme",
    "/%zz",
    "/.well-known/vestibule/jwks.json",
    "/.well-known/vestibule/forget-session",
    "/.well-known/acme-challenge/DGyRejmCefe7v4NfDGDKfA",
    "/.well-known/acme-challenge/DGyRejmCefe7v4NfDGDKfA",
    "/.well-known/acme-challenge/DGyRejmCefe7v4NfDGDKfA?x",
    "/.well-known/acme-challenge/nobodysnobodysnobodysno",
];

/// Sets of lines that go together.
pub(super) fn fields(issuer: &Issuer) -> Vec<Vec<String>> {
    let mut sets: Vec<Vec<String>> = Vec::new();
    let forged = Issuer::of(Signer::hs256(b"another secret, as long as it must be")).names("acme");
    let tokens = [
        issuer.names("acme"),
        issuer.names("acme"),
        issuer.names("globex"),
        issuer.names("new"),
        issuer.names("old"),
        issuer.names("closed"),
        issuer.names("nobody"),
        issuer.names(json!(["acme", "globex"])),
        issuer.names(json!(["acme"])),
        issuer.says(&json!({})),
        issuer.says(&json!({ "tenant_id": "acme", "exp": 1 })),
        issuer.says(&json!({ "iss": "https://elsewhere.example" })),
        forged,
        "opaque".to_owned(),
    ];
    for token in &tokens {
        sets.push(vec![format!("Authorization: Bearer {token}")]);
        sets.push(vec![format!("Cookie: theme=dark; session={token}")]);
    }
    let twice = format!("Cookie: session={}; session={}; a=b", tokens[10], tokens[0]);
    sets.push(vec![twice]);
    sets.extend(
        PLAIN
            .iter()
            .map(|set| set.iter().map(|line| (*line).to_owned()).collect()),
    );
    sets
}

/// Lines without a token in them.
const PLAIN: &[&[&str]] = &[
    &["Authorization: Basic dTpw"],
    &["Cookie: a=b", "Cookie: c=d"],
    &[
        "X-Tenant-Id: evil",
        "X_Tenant_Slug: evil",
        "x-tenant-assertion: evil",
    ],
    &["Connection: X-Tenant-Id, X-Mine, close", "X-Mine: 1"],
    &[
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: globex.localhost",
    ],
    &[
        "Forwarded: for=192.0.2.1;proto=https;host=globex.localhost",
        "X-Real-IP: 192.0.2.1",
    ],
    &["X-Original-URL: /admin", "X-HTTP-Method-Override: DELETE"],
    &["TE: trailers", "Connection: TE"],
    &[
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ],
    &["Connection: Upgrade", "Upgrade: h2c"],
    &[
        "Origin: https://spa.example",
        "Access-Control-Request-Method: PUT",
    ],
    &[
        "Origin: https://evil.example",
        "Access-Control-Request-Method: PUT",
    ],
    &["Origin: http://acme.localhost"],
    &["Origin: http://app.localhost"],
    &[
        "Via: 1.1 test-node, 1.1 test-node",
        "Via: 2 test-node, 1.1 test-node, 1.1 test-node",
    ],
    &["Via: 1.1 elsewhere"],
    &["Accept: text/html"],
    &[
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate: a=1",
    ],
    &["X-Request-Id: mine"],
    &[
        "Signature-Input: vestibule=(\"@method\"), theirs=(\"@path\")",
        "Signature: vestibule=:AA==:, theirs=:AA==:",
    ],
    &["Expect: 100-continue"],
    &["odd_name: x", "odd.name: y", "X-Plain: z"],
    &["Host: globex.localhost"],
];
