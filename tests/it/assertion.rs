//! The assertion as an upstream gets it: what it says, who signed it, how long it is used, and how keys come and go meanwhile.

use serde_json::{Value, json};
use vestibule::store::{NewTenant, TenantPatch, TenantRef};

use crate::harness::assertion::Assertion;
use crate::harness::client::get;
use crate::harness::edge::{Edge, Plan};
use crate::harness::eventually;
use crate::harness::upstream::TestUpstream;

mod keys;

/// An upstream, an edge before it, and what the upstream was told last.
struct Bench {
    upstream: TestUpstream,
    edge: Edge,
}

impl Bench {
    async fn start(change: impl FnOnce(Plan) -> Plan) -> Self {
        let upstream = TestUpstream::echo();
        let plan = Edge::with(upstream.address).tenants(&["acme", "globex"]);
        let edge = change(plan).start().await;
        Self { upstream, edge }
    }

    /// Asks and gives the assertion that the upstream got.
    async fn ask(&self, host: &str) -> Assertion {
        let answer = self.edge.visit().await.ask(get(host, "/", &[])).await;
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
        Assertion::of(&self.upstream.seen().await)
    }

    /// The public keys as the edge shows them to everybody.
    async fn jwks(&self) -> Value {
        let path = "/.well-known/vestibule/jwks.json";
        let answer = self
            .edge
            .visit()
            .await
            .ask(get("acme.localhost", path, &[]))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }
}

fn names(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn it_says_what_the_contract_says_and_nothing_else() {
    let mut full = NewTenant::new(vestibule::model::Slug::parse("full").unwrap());
    full.plan = Some("team".to_owned());
    full.meta = json!({ "region": "eu", "größe": [1, null] })
        .as_object()
        .unwrap()
        .clone();
    let bench = Bench::start(|plan| {
        plan.config("[signing]\nissuer = \"https://edge.example\"\nlifetime = \"120s\"")
    })
    .await;
    let tenant = bench.edge.store.create_tenant(full).await.unwrap();
    bench.edge.comes_to("full.localhost", 200).await;
    let seen = bench.upstream.seen().await;
    let Assertion { header, claims, .. } = Assertion::of(&seen);

    let kid = header["kid"].clone();
    assert_eq!(
        header,
        json!({ "alg": "EdDSA", "typ": "tenant+jwt", "kid": kid })
    );
    let (iat, exp) = (
        claims["iat"].as_i64().unwrap(),
        claims["exp"].as_i64().unwrap(),
    );
    assert_eq!(
        claims,
        json!({
            "iss": "https://edge.example",
            "aud": "default",
            "sub": tenant.id.to_string(),
            "slug": "full",
            "via": "subdomain",
            "agree": ["subdomain"],
            "host": "full.localhost",
            "iat": iat,
            "exp": exp,
            "plan": "team",
            "placement": { "isolation": "shared" },
            "meta": { "region": "eu", "größe": [1, null] },
        })
    );
    assert_eq!(exp - iat, 120);
    let now = bench.edge.clock.now().seconds();
    assert!(iat <= now && now - iat <= 60, "{iat} {now}");
    assert_eq!(seen.header("x-tenant-id"), Some(&*tenant.id.to_string()));
    assert_eq!(seen.header("x-tenant-slug"), Some("full"));
    // What a tenant has not got is not there, rather than null.
    let plain = bench.ask("acme.localhost").await.claims;
    let expected = [
        "agree",
        "aud",
        "exp",
        "host",
        "iat",
        "iss",
        "placement",
        "slug",
        "sub",
        "via",
    ];
    assert_eq!(names(&plain), expected);
}

#[tokio::test]
async fn both_key_sets_verify_it_and_are_the_same() {
    let bench = Bench::start(|plan| plan).await;
    let assertion = bench.ask("acme.localhost").await;
    let admin = crate::harness::client::Visitor::connect(bench.edge.admin())
        .await
        .ask(get("localhost", "/.well-known/jwks.json", &[]))
        .await;
    let edge = {
        let path = "/.well-known/vestibule/jwks.json";
        bench
            .edge
            .visit()
            .await
            .ask(get("globex.localhost", path, &[]))
            .await
    };
    assert_eq!(admin.text(), edge.text());
    for answer in [&admin, &edge] {
        assert_eq!(
            answer.header("content-type"),
            Some("application/jwk-set+json")
        );
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
        assert!(assertion.is_signed_by_one_of(&answer.json()));
    }
    assert_eq!(
        names(&edge.json()["keys"][0]),
        ["alg", "crv", "kid", "kty", "use", "x"]
    );

    // Any other word than the one that was signed is refused.
    let mut changed = assertion.text.clone().into_bytes();
    let at = changed.iter().position(|byte| *byte == b'.').unwrap() + 20;
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    let (head, rest) = assertion.text.split_once('.').unwrap();
    let (_, changed_rest) = std::str::from_utf8(&changed)
        .unwrap()
        .split_once('.')
        .unwrap();
    assert_ne!(rest, changed_rest);
    let forged = Assertion {
        text: format!("{head}.{changed_rest}"),
        ..assertion
    };
    assert!(!forged.is_signed_by_one_of(&edge.json()));
}

#[tokio::test]
async fn the_keys_are_shown_where_a_host_resolves_and_before_a_tenants_state() {
    let bench =
        Bench::start(|plan| plan.tenant_in("closed", vestibule::model::TenantState::Suspended))
            .await;
    let path = "/.well-known/vestibule/jwks.json";
    let ask = async |host: &str| bench.edge.visit().await.ask(get(host, path, &[])).await;
    assert_eq!(ask("closed.localhost").await.status, 200);
    assert_eq!(ask("app.localhost").await.status, 200);
    for nowhere in ["nobody.localhost", "localhost", "never.heard.test"] {
        assert_eq!(ask(nowhere).await.status, 404, "{nowhere}");
    }
    assert_eq!(bench.upstream.connections(), 0);
}

#[tokio::test]
async fn the_same_statement_is_signed_once_until_half_its_life_is_over() {
    let bench = Bench::start(|plan| plan.domain("acme", "acme.test")).await;
    let first = bench.ask("acme.localhost").await;
    for _ in 0..5 {
        assert_eq!(bench.ask("acme.localhost").await, first);
    }
    // Another tenant, another host, another source: another statement.
    for host in ["globex.localhost", "acme.test"] {
        assert_ne!(bench.ask(host).await.claims, first.claims);
    }
    // The same one again, though others came between.
    assert_eq!(bench.ask("acme.localhost").await, first);
    bench.edge.clock.shift(31_000);
    let second = bench.ask("acme.localhost").await;
    assert_ne!(second.text, first.text);
    let of = |assertion: &Assertion, name: &str| assertion.claims[name].clone();
    assert_eq!(of(&second, "sub"), of(&first, "sub"));
    assert!(of(&second, "iat").as_i64() > of(&first, "iat").as_i64());
}

#[tokio::test]
async fn it_never_comes_with_less_than_half_a_minute_to_live() {
    for lifetime in [40, 60, 300] {
        let bench =
            Bench::start(|plan| plan.config(&format!("[signing]\nlifetime = \"{lifetime}s\"")))
                .await;
        let mut texts = std::collections::HashSet::new();
        for _ in 0..60 {
            let before = bench.edge.clock.now().0;
            let sent = bench.ask("acme.localhost").await;
            let left = sent.claims["exp"].as_i64().unwrap() * 1000 - before;
            assert!(left >= 30_000, "{lifetime}: {left} ms left");
            texts.insert(sent.text);
            bench.edge.clock.shift(7_000);
        }
        assert!(
            texts.len() > 1 && (lifetime == 40 || texts.len() < 60),
            "{}",
            texts.len()
        );
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_brings_no_statement_of_the_future() {
    let bench = Bench::start(|plan| plan).await;
    let first = bench.ask("acme.localhost").await;
    bench.edge.clock.shift(-86_400_000);
    let second = bench.ask("acme.localhost").await;
    assert_ne!(first.text, second.text);
    assert!(second.claims["iat"].as_i64().unwrap() <= bench.edge.clock.now().seconds());
}

#[tokio::test]
async fn a_changed_tenant_is_stated_anew_at_once() {
    let bench = Bench::start(|plan| plan).await;
    let before = bench.ask("acme.localhost").await;
    let acme: TenantRef = "acme".parse().unwrap();
    let mut patch = TenantPatch {
        plan: Some(Some("team".to_owned())),
        ..TenantPatch::default()
    };
    patch.meta.insert("region".to_owned(), json!("eu"));
    bench.edge.store.set_tenant(&acme, patch).await.unwrap();
    let after = eventually("the changed tenant", async || {
        let now = bench.ask("acme.localhost").await;
        (now.text != before.text).then_some(now)
    })
    .await;
    assert_eq!(after.claims["plan"], "team");
    assert_eq!(after.claims["meta"], json!({ "region": "eu" }));
    assert!(after.is_signed_by_one_of(&bench.jwks().await));
    // From then on there is one of them again.
    assert_eq!(bench.ask("acme.localhost").await, after);
}

#[tokio::test]
async fn under_hs256_each_upstream_has_its_own_secret_and_no_key_is_shown() {
    const SECRETS: [&[u8]; 2] = [
        b"the secret of the first upstream",
        b"the secret of the second upstrea",
    ];
    let (first, second) = (TestUpstream::echo(), TestUpstream::echo());
    let plan = Edge::with(first.address);
    let files = ["one", "two"].map(|name| plan.folder().join(name));
    for (file, secret) in files.iter().zip(SECRETS) {
        std::fs::write(file, secret).unwrap();
    }
    let more = format!(
        "hmac_secret_file = {:?}\n[[upstream]]\nname = \"second\"\nendpoints = [\"http://{}\"]\nhmac_secret_file = {:?}\n",
        files[0], second.address, files[1]
    );
    let edge = plan
        .config_behind(&more)
        .config("[signing]\nalgorithm = \"HS256\"\n[[route]]\npath = \"/second\"\nupstream = \"second\"")
        .tenants(&["acme"])
        .start()
        .await;
    let mut kids = Vec::new();
    for (path, upstream, [ours, others]) in [
        ("/", &first, [SECRETS[0], SECRETS[1]]),
        ("/second", &second, [SECRETS[1], SECRETS[0]]),
    ] {
        let answer = edge
            .visit()
            .await
            .ask(get("acme.localhost", path, &[]))
            .await;
        assert_eq!(answer.status, 200);
        let assertion = Assertion::of(&upstream.seen().await);
        assert_eq!(
            (&assertion.header["alg"], &assertion.header["typ"]),
            (&json!("HS256"), &json!("tenant+jwt"))
        );
        assert!(assertion.is_signed_with(ours) && !assertion.is_signed_with(others));
        kids.push(assertion.kid().to_owned());
    }
    assert_ne!(kids[0], kids[1]);
    let path = "/.well-known/vestibule/jwks.json";
    let keys = edge
        .visit()
        .await
        .ask(get("acme.localhost", path, &[]))
        .await;
    assert_eq!(keys.json(), json!({ "keys": [] }));
}
