//! Decisions over a table of heads and facts: no store, no socket, no clock.

use std::sync::Arc;

use http::Request;

use super::*;
use crate::config::{Config, ForeignTokens, PathPrefix, TokenAlgorithm, TokenIssuer, TokenKeys};
use crate::model::{Code, Match, Refusal, Secret, Source, TenantState};
use crate::resolve::TokenFact;

impl Visit {
    /// A stranger on a plain listener of this machine.
    pub(crate) fn plain_for_tests() -> Self {
        let local = "127.0.0.1:8080".parse().unwrap();
        Self {
            remote: "127.0.0.1:40000".parse().unwrap(),
            local,
            secure: false,
            trusted: false,
            names: None,
            demanded: None,
        }
    }
}

/// A request to `a.test` that is sent on for nobody.
pub(crate) fn forward_for_tests(port: Option<u16>) -> Forward {
    let policy = policy();
    Forward {
        route: None,
        sources: Sources::default(),
        limits: policy.limits,
        upstream: Arc::clone(policy.upstreams.iter().next().unwrap()),
        hostname: Hostname::parse("a.test").unwrap(),
        port,
        target: None,
        prefix: None,
        upgrade: false,
        length: None,
        failed_cookies: Vec::new(),
    }
}

fn config() -> Config {
    Config::parse("", "test", std::iter::empty()).unwrap()
}

/// Base domain `localhost`, platform host `app.localhost`, prefix `/t/{tenant}`, one issuer with a cookie.
pub(crate) fn routing() -> config::Routing {
    let mut routing = config().routing;
    routing.platform_hosts = vec![Hostname::parse("app.localhost").unwrap()];
    routing.path_prefix = Some(PathPrefix {
        before: "/t/".into(),
    });
    routing.tokens = vec![TokenIssuer {
        issuer: "https://auth.test".into(),
        audience: vec!["app".into()],
        algorithms: vec![TokenAlgorithm::HS256],
        keys: TokenKeys::Hmac(Secret::new(vec![7; 32])),
        claim: vec!["tenant_id".into()],
        claim_required: true,
        cookie: Some("session".into()),
    }];
    routing
}

pub(crate) fn policy() -> Policy {
    let mut config = config();
    config.routing = routing();
    let metrics = crate::metrics::Metrics::new(0).unwrap();
    let upstreams = Upstreams::new(&config.upstreams, &[], &metrics).unwrap();
    config.tls.directory = "there/is/none".into();
    let (inventory, _) = Inventory::load(&config.tls, metrics, Timestamp(0)).unwrap();
    Policy::new(&config, upstreams, inventory)
}

fn route(slug: &str, state: TenantState) -> Arc<Route> {
    let number = slug
        .bytes()
        .fold(1_u128, |sum, byte| sum * 257 + u128::from(byte));
    Arc::new(Route {
        state,
        progress: 40,
        removed_at: (state == TenantState::Removed).then_some(0),
        ..Route::plain(number, slug)
    })
}

fn found(slug: &str) -> Match {
    Match::Found(route(slug, TenantState::Active))
}

fn names(slugs: &[&str]) -> TokenFact {
    TokenFact::Names(
        slugs
            .iter()
            .map(|slug| {
                if slug.is_empty() {
                    Match::Absent
                } else {
                    found(slug)
                }
            })
            .collect(),
    )
}

struct Asked {
    policy: Policy,
    method: &'static str,
    url: &'static str,
    fields: Vec<(&'static str, &'static str)>,
    facts: Facts,
    now: Timestamp,
}

fn ask(url: &'static str) -> Asked {
    Asked {
        policy: policy(),
        method: "GET",
        url,
        fields: Vec::new(),
        facts: Facts::default(),
        now: Timestamp(1000),
    }
}

impl Asked {
    fn by_host(mut self, found: Match) -> Self {
        self.facts.host = Some(found);
        self
    }

    fn by_path(mut self, found: Match) -> Self {
        self.facts.path = Some(found);
        self
    }

    fn bearer(mut self, fact: TokenFact) -> Self {
        self.facts.bearer = Some(fact);
        self
    }

    fn cookie(mut self, fact: TokenFact) -> Self {
        self.facts.cookies.push((0, fact));
        self
    }

    fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    fn field(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.push((name, value));
        self
    }

    fn decision(&self) -> Result<Decision, Refusal> {
        let uri: http::Uri = self.url.parse().unwrap();
        let mut request = Request::builder()
            .method(self.method)
            .uri(uri.path_and_query().unwrap().as_str());
        request = request.header("host", uri.authority().unwrap().as_str());
        for (name, value) in &self.fields {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let visit = Visit::plain_for_tests();
        let arrival = arrive(&head, &visit, None, &self.policy)?;
        decide(
            &Case {
                head: &head,
                visit: &visit,
                arrival: &arrival,
                facts: &self.facts,
                now: self.now,
            },
            &self.policy,
        )
    }

    /// `slug` (or `-`) and the sources that named it, or the refusal's code.
    fn outcome(&self) -> String {
        match self.decision() {
            Ok(Decision::Forward(forward)) => {
                let slug = forward
                    .route
                    .map_or("-".to_owned(), |route| route.slug.to_string());
                let sources: Vec<_> = forward.sources.iter().map(Source::as_str).collect();
                format!("{slug} {}", sources.join("+"))
            }
            Ok(Decision::Answer(answer)) => format!("{answer:?}"),
            Err(refusal) => refusal.code.as_str().to_owned(),
        }
    }
}

#[test]
fn one_source_names_the_tenant() {
    assert_eq!(
        ask("http://acme.localhost/")
            .by_host(found("acme"))
            .outcome(),
        "acme subdomain"
    );
    assert_eq!(
        ask("http://app.acme.test/")
            .by_host(found("acme"))
            .outcome(),
        "acme domain"
    );
    assert_eq!(
        ask("http://app.localhost/t/acme/x")
            .by_path(found("acme"))
            .outcome(),
        "acme path"
    );
    assert_eq!(
        ask("http://app.localhost/")
            .bearer(names(&["acme"]))
            .outcome(),
        "acme token"
    );
    assert_eq!(
        ask("http://app.localhost/")
            .cookie(names(&["acme"]))
            .outcome(),
        "acme token"
    );
}

#[test]
fn states_refuse_and_a_conflict_comes_before_a_state() {
    let state = |state| ask("http://acme.localhost/").by_host(Match::Found(route("acme", state)));
    assert_eq!(state(TenantState::Suspended).outcome(), "tenant_suspended");
    assert_eq!(
        state(TenantState::Maintenance).outcome(),
        "tenant_maintenance"
    );
    assert_eq!(
        state(TenantState::Provisioning).outcome(),
        "tenant_provisioning"
    );
    assert_eq!(state(TenantState::Removed).outcome(), "tenant_removed");
    assert_eq!(
        state(TenantState::Suspended)
            .bearer(names(&["globex"]))
            .outcome(),
        "tenant_conflict"
    );
    let mut later = state(TenantState::Removed);
    later.now = Timestamp(91 * 24 * 3600 * 1000);
    assert_eq!(later.outcome(), "unknown_tenant");
}

#[test]
fn old_slugs_lead_to_the_current_one() {
    let old = |method| {
        ask("http://old.localhost:8080/a?b=1")
            .by_host(found("acme"))
            .method(method)
            .outcome()
    };
    assert_eq!(old("GET"), "Redirect(\"http://acme.localhost:8080/a?b=1\")");
    assert_eq!(old("POST"), "acme subdomain");
    let path = ask("http://app.localhost/t/old/a?b=1").by_path(found("acme"));
    assert_eq!(path.outcome(), "Redirect(\"/t/acme/a?b=1\")");
}

#[test]
fn nobody_named_goes_to_the_platform_upstream_or_is_404() {
    let mut asked = ask("http://app.localhost/login");
    assert_eq!(asked.outcome(), "unknown_tenant");
    asked.policy.routing.platform_upstream = Some("default".into());
    assert_eq!(asked.outcome(), "- ");
    asked.policy.routing.platform_upstream = Some("missing".into());
    assert_eq!(asked.outcome(), "unknown_upstream");
}

#[test]
fn preflights_with_nobody_to_go_to_are_answered_for_allowed_origins() {
    let mut asked = ask("http://app.localhost/").method("OPTIONS");
    asked = asked
        .field("origin", "https://www.test")
        .field("access-control-request-method", "POST");
    assert_eq!(asked.outcome(), "unknown_tenant");
    asked.policy.routing.cors_origins = vec!["https://www.test".into()];
    assert_eq!(asked.outcome(), "Preflight");
}

#[test]
fn keys_are_served_on_hosts_that_resolve_before_the_state() {
    let suspended = Match::Found(route("acme", TenantState::Suspended));
    assert_eq!(
        ask("http://acme.localhost/.well-known/vestibule/jwks.json")
            .by_host(suspended)
            .outcome(),
        "Keys"
    );
    assert_eq!(
        ask("http://acme.localhost/.well-known/vestibule/jwks.json")
            .by_host(Match::Absent)
            .outcome(),
        "unknown_tenant"
    );
}

#[test]
fn j16_a21_methods_and_forms_without_a_tenant() {
    assert_eq!(
        ask("http://acme.localhost/").method("TRACE").outcome(),
        "method_not_allowed"
    );
    assert_eq!(
        ask("http://acme.localhost/").method("CONNECT").outcome(),
        "method_not_allowed"
    );
}

#[test]
fn rules_choose_the_upstream_after_stripping() {
    let mut asked = ask("http://app.localhost/t/acme/api/x").by_path(found("acme"));
    asked.policy.routes = vec![config::PathRoute {
        path: "/api".into(),
        upstream: "missing".into(),
    }];
    assert_eq!(asked.outcome(), "unknown_upstream");
    asked.url = "http://app.localhost/t/acme/apix";
    assert_eq!(asked.outcome(), "acme path");
}

#[test]
fn a_body_announced_too_long_is_refused_before_it_comes() {
    let asked = ask("http://acme.localhost/")
        .by_host(found("acme"))
        .method("POST")
        .field("content-length", "999999999999");
    assert_eq!(asked.outcome(), "body_too_large");
}

#[test]
fn requests_that_go_in_circles_are_ended() {
    let mut asked = ask("http://acme.localhost/").by_host(found("acme"));
    asked.policy.node = "edge1".into();
    let asked = asked
        .field("via", "1.1 edge1, 1.1 edge1, 1.1 other, 1.1 edge1, 2 edge1")
        .field("via", "1.1 edge1");
    assert_eq!(asked.outcome(), Code::LoopDetected.as_str());
}

mod agreement;
mod outbound;
