//! What `explain` says is what happens: requests drawn at random, asked about and then sent.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Method, Uri};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use vestibule::cli::ExplainArguments;
use vestibule::model::{Authority, ChallengeKind, LimitOverrides, Slug, TenantState};
use vestibule::store::Challenge;

use crate::harness::assertion::Assertion;
use crate::harness::client::{Answer, get, request};
use crate::harness::edge::Edge;
use crate::harness::issuer::Issuer;
use crate::harness::upstream::{Reply, Seen, TestUpstream};

mod coming;
mod corpus;
mod demands;

use corpus::{Case, HOSTS, TOKEN, fields};

/// Requests in the corpus.
const CASES: usize = 500;
/// Fields that are drawn for each request, or made when it is sent.
const DRAWN: [&str; 3] = ["x-request-id", "traceparent", "x-tenant-assertion"];
/// Fields of which `explain` does not show the value.
const MASKED: [&str; 2] = ["authorization", "cookie"];

/// An edge with a bit of everything, and the two upstreams behind it.
struct World {
    edge: Edge,
    upstreams: [(&'static str, TestUpstream); 2],
    fields: Vec<Vec<String>>,
}

impl World {
    async fn make() -> Self {
        let [app, api] = ["default", "api"].map(|name| {
            (
                name,
                TestUpstream::answering(move |_| Reply::text(name).header("x-upstream", name)),
            )
        });
        let issuer = Issuer::with_secret();
        let config = "[routing]\nplatform_hosts = [\"app.localhost\", \"platform.test\"]\nplatform_upstream = \"default\"\n\
            cors_origins = [\"https://spa.example\"]\n[[route]]\npath = \"/api\"\nupstream = \"api\"\n";
        let behind = format!(
            "[[upstream]]\nname = \"api\"\nendpoints = [\"http://{}\"]\nhost = \"endpoint\"\n",
            api.1.address
        );
        let short = LimitOverrides {
            body: Some(4),
            ..LimitOverrides::default()
        };
        let edge = issuer
            .believed_by(Edge::with(app.1.address))
            .config(config)
            .config_behind(&behind)
            .tenants(&["acme", "globex", "old"])
            .tenant_with("short", short)
            .tenant_in("closed", TenantState::Suspended)
            .tenant_in("kept", TenantState::Maintenance)
            .tenant_in("soon", TenantState::Provisioning)
            .tenant_in("gone", TenantState::Active)
            .domain("acme", "shop.acme.test")
            .domain("globex", "*.wild.test")
            .domain("acme", "exact.wild.test")
            .domain("closed", "closed.test")
            .start()
            .await;
        let new = Slug::parse("new").unwrap();
        edge.store
            .rename_tenant(&"old".parse().unwrap(), &new)
            .await
            .unwrap();
        edge.store
            .remove_tenant(&"gone".parse().unwrap())
            .await
            .unwrap();
        open_challenges(&edge).await;
        edge.comes_to("new.localhost", 200).await;
        edge.comes_to("gone.localhost", 410).await;
        app.1.seen().await;
        let fields = fields(&issuer);
        Self {
            edge,
            upstreams: [app, api],
            fields,
        }
    }

    /// What the library says that the command line would say.
    async fn explained(&self, case: &Case) -> Value {
        let headers = case.lines.iter().map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (
                HeaderName::try_from(name).unwrap(),
                HeaderValue::try_from(value).unwrap(),
            )
        });
        let url = format!("http://{}{}", case.host, case.path);
        let asked = ExplainArguments::new(
            case.method.clone(),
            url.parse::<Uri>().unwrap(),
            headers.collect(),
        );
        let explanation = asked
            .explanation(&self.edge.config, &self.edge.store)
            .await
            .unwrap();
        serde_json::to_value(explanation).unwrap()
    }

    /// What happens, in the same words.
    async fn happens(&self, case: &Case) -> Value {
        let method = case.method.as_str();
        let mut lines: Vec<_> = case.lines.iter().map(String::as_str).collect();
        // As with other tools, a `Host` that is given takes the place of the URL's.
        let given = lines.iter().position(|line| line.starts_with("Host: "));
        let host = given.map_or(&*case.host, |at| &lines.remove(at)["Host: ".len()..]);
        let bytes = request(method, host, &case.path, &lines, &case.body());
        let mut visitor = self.edge.visit().await;
        visitor.write(bytes).await;
        let answer = visitor.reply_to(method).await.unwrap();
        if let Some(name) = answer.header("x-upstream") {
            let (name, upstream) = self
                .upstreams
                .iter()
                .find(|(known, _)| *known == name)
                .unwrap();
            return sent(name, &upstream.seen().await);
        }
        // What HEAD is answered has no text.
        if answer.header("content-type") == Some("application/octet-stream") {
            let right = [format!("{TOKEN}.thumbprint"), String::new()];
            assert!(right.contains(&answer.text()), "{}", answer.text());
            return json!({ "outcome": "answer", "status": answer.status, "kind": "http-01" });
        }
        match refusal(&answer) {
            Some(code) => json!({ "outcome": "refusal", "status": answer.status, "code": code }),
            None => json!({ "outcome": "answer", "status": answer.status }),
        }
    }
}

/// Opens an http-01 challenge for every host of the corpus.
async fn open_challenges(edge: &Edge) {
    for host in HOSTS {
        let Ok(authority) = Authority::parse(host) else {
            continue;
        };
        let challenge = Challenge {
            name: authority.hostname,
            kind: ChallengeKind::Http01,
            token: TOKEN.to_owned(),
            key_authorization: format!("{TOKEN}.thumbprint"),
            expires_at: i64::MAX,
        };
        edge.store.publish_challenge(&challenge).await.unwrap();
    }
}

/// The code of a refusal, which HEAD and pages have only there.
fn refusal(answer: &Answer) -> Option<&str> {
    let (_, code) = answer.header("proxy-status")?.split_once("details=\"")?;
    code.strip_suffix('"')
}

fn sent(upstream: &str, seen: &Seen) -> Value {
    let mut claims = Assertion::of(seen).claims;
    json!({
        "outcome": "forward",
        "tenant": seen.header("x-tenant-id"),
        "slug": seen.header("x-tenant-slug"),
        "via": claims["via"].clone(),
        "agree": claims["agree"].clone(),
        "upstream": upstream,
        "target": seen.target,
        "headers": comparable(seen.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
        "claims": timeless(&mut claims),
    })
}

/// The parts of an explanation that can be seen from outside.
fn visible(explanation: &Value) -> Value {
    let part = |name: &str| explanation[name].clone();
    match explanation["outcome"].as_str().unwrap() {
        "forward" => json!({
            "outcome": "forward",
            "tenant": part("tenant"),
            "slug": part("slug"),
            "via": part("via"),
            "agree": part("agree"),
            "upstream": part("upstream"),
            "target": part("target"),
            "headers": comparable(explanation["headers"].as_array().unwrap().iter().map(|pair| {
                (pair[0].as_str().unwrap(), pair[1].as_str().unwrap())
            })),
            "claims": timeless(&mut part("claims")),
        }),
        "refusal" => {
            json!({ "outcome": "refusal", "status": part("status"), "code": part("code") })
        }
        _ if part("answer").as_str().unwrap().contains("http-01") => {
            json!({ "outcome": "answer", "status": part("status"), "kind": "http-01" })
        }
        _ => json!({ "outcome": "answer", "status": part("status") }),
    }
}

/// Fields by name, each with its values in order.
fn comparable<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    let mut by_name: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, value) in fields {
        let name = name.to_ascii_lowercase();
        let value = if MASKED.contains(&&*name) {
            "(masked)"
        } else {
            value
        };
        if !DRAWN.contains(&&*name) {
            by_name.entry(name).or_default().push(value);
        }
    }
    serde_json::to_value(by_name).unwrap()
}

fn timeless(claims: &mut Value) -> Value {
    for time in ["iat", "exp"] {
        claims
            .as_object_mut()
            .unwrap()
            .remove(time)
            .expect("a time");
    }
    claims.clone()
}

#[tokio::test]
async fn what_explain_says_is_what_happens() {
    let world = World::make().await;
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut random = StdRng::seed_from_u64(20);
    for _ in 0..CASES {
        let case = Case::draw(&mut random, &world.fields);
        let (explained, happened) = (world.explained(&case).await, world.happens(&case).await);
        assert_eq!(visible(&explained), happened, "{case:#?}\n{explained:#}");
        let kind = ["kind", "code", "status", "via"]
            .iter()
            .find_map(|name| happened.get(name));
        *outcomes.entry(kind.unwrap().to_string()).or_default() += 1;
    }
    // The corpus is worth something: it reaches what there is.
    for reached in [
        "\"none\"",
        "\"subdomain\"",
        "\"domain\"",
        "\"path\"",
        "\"token\"",
        "\"bad_request\"",
        "\"token_invalid\"",
        "\"tenant_conflict\"",
        "\"tenant_suspended\"",
        "\"unknown_tenant\"",
        "\"tenant_removed\"",
        "\"method_not_allowed\"",
        "\"body_too_large\"",
        "\"uri_too_long\"",
        "\"tenant_provisioning\"",
        "\"tenant_maintenance\"",
        "308",
        "200",
        "\"http-01\"",
    ] {
        assert!(
            outcomes.contains_key(reached),
            "{reached} was never reached: {outcomes:?}"
        );
    }
    for (_, upstream) in &world.upstreams {
        assert!(upstream.requests().len() > 3);
    }
}

#[tokio::test]
async fn the_command_says_what_the_library_says_and_asks_nobody() {
    let world = World::make().await;
    let before = world.upstreams[0].1.requests().len();
    let case = Case {
        method: Method::POST,
        host: "acme.localhost".to_owned(),
        path: "/x?y".to_owned(),
        lines: vec!["X-A: b".to_owned()],
    };
    let line = "explain http://acme.localhost/x?y --method POST --header X-A:b --output json";
    let ran = world.edge.command(line).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let mut printed: Value = serde_json::from_str(&ran.out).unwrap();
    let mut explained = world.explained(&case).await;
    for explanation in [&mut printed, &mut explained] {
        timeless(&mut explanation["claims"]);
    }
    for name in explained.as_object().unwrap().keys() {
        assert_eq!(printed[name], explained[name], "{name}");
    }
    assert_eq!(world.upstreams[0].1.requests().len(), before);
}

#[tokio::test]
async fn asking_takes_nothing_from_a_tenants_rate() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .config("[limits]\nrequests_per_second = 1\nburst = 1")
        .tenants(&["acme"])
        .start()
        .await;
    for _ in 0..5 {
        let url = Uri::from_static("http://acme.localhost/");
        let asked = ExplainArguments::new(Method::GET, url, Vec::new());
        let explanation = asked.explanation(&edge.config, &edge.store).await.unwrap();
        assert_eq!(
            serde_json::to_value(explanation).unwrap()["outcome"],
            "forward"
        );
    }
    let answer = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/", &[]))
        .await;
    assert_eq!(answer.status, 200);
}
