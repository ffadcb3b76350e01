//! Names that a tenant had, and names that it shares.

use vestibule::model::Slug;
use vestibule::store::TenantRef;

use super::{Bench, bearer};
use crate::harness::assertion::Assertion;
use crate::harness::client::{get, request};
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

async fn rename(edge: &Edge, from: &str, to: &str) {
    let from: TenantRef = from.parse().unwrap();
    let to = Slug::parse(to).unwrap();
    edge.store.rename_tenant(&from, &to).await.unwrap();
    edge.comes_to(&format!("{to}.localhost"), 200).await;
}

#[tokio::test]
async fn an_old_slug_leads_to_the_new_one_and_still_serves_what_has_an_effect() {
    let bench = Bench::start().await;
    rename(&bench.edge, "acme", "apex").await;
    bench.upstream.seen().await;
    for method in ["GET", "HEAD"] {
        for (host, path, location) in [
            ("acme.localhost", "/a?b=c", "http://apex.localhost/a?b=c"),
            ("acme.localhost:8080", "/", "http://apex.localhost:8080/"),
            ("app.localhost", "/t/acme/a?b=c", "/t/apex/a?b=c"),
            ("app.localhost", "/t/acme", "/t/apex"),
            (
                "app.localhost",
                "/t/acme//evil.example/",
                "/t/apex//evil.example/",
            ),
        ] {
            let mut visitor = bench.edge.visit().await;
            visitor.write(request(method, host, path, &[], b"")).await;
            let answer = visitor.reply_to(method).await.unwrap();
            assert_eq!(
                (answer.status, answer.header("location")),
                (308, Some(location))
            );
        }
    }
    assert_eq!(
        bench.upstream.connections(),
        1,
        "only the one that waited for the new name"
    );
    for (host, path) in [("acme.localhost", "/a"), ("app.localhost", "/t/acme/a")] {
        let post = request("POST", host, path, &["Content-Length: 2"], b"hi");
        let answer = bench.edge.visit().await.ask(post).await;
        assert_eq!(answer.status, 200, "{host}");
        let seen = bench.upstream.seen().await;
        assert_eq!(
            (seen.target.as_str(), seen.body.as_slice()),
            ("/a", &b"hi"[..])
        );
        assert_eq!(seen.header("x-tenant-slug"), Some("apex"));
    }
    // The tenant's domains know nothing of its slugs, and a token may still use the old one.
    for line in [None, Some(bearer(&bench.issuer.names("acme")))] {
        let lines: Vec<_> = line.iter().map(String::as_str).collect();
        let (_, claims) = bench.forwarded("shop.acme.test", "/", &lines).await;
        assert_eq!(claims["slug"], "apex");
    }
}

#[tokio::test]
async fn c21_an_exact_domain_comes_before_the_wildcard_over_it() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme", "globex"])
        .domain("acme", "*.both.test")
        .domain("globex", "exact.both.test")
        .start()
        .await;
    for (host, slug) in [
        ("any.both.test", "acme"),
        ("exact.both.test", "globex"),
        ("EXACT.both.test.", "globex"),
    ] {
        let answer = edge.visit().await.ask(get(host, "/", &[])).await;
        assert_eq!(answer.status, 200, "{host}");
        assert_eq!(Assertion::of(&upstream.seen().await).claims["slug"], slug);
    }
    for host in ["both.test", "a.any.both.test"] {
        let answer = edge.visit().await.ask(get(host, "/", &[])).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "unknown_tenant")
        );
    }
}

#[tokio::test]
async fn a_row_never_takes_a_host_that_configuration_owns() {
    let upstream = TestUpstream::echo();
    // The claim is older than the configuration that owns the name now.
    let edge = Edge::with(upstream.address)
        .config("[routing]\nbase_domains = [\"localhost\"]\nplatform_hosts = []")
        .tenants(&["acme", "globex"])
        .domain("globex", "acme.base.test")
        .domain("globex", "app.base.test")
        .start()
        .await;
    let answer = edge
        .visit()
        .await
        .ask(get("acme.base.test", "/", &[]))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        upstream.seen().await.header("x-tenant-slug"),
        Some("globex")
    );
    let owner = Edge::with(upstream.address)
        .in_folder_of(&edge)
        .config("[routing]\nbase_domains = [\"base.test\"]\nplatform_hosts = [\"app.base.test\"]")
        .start()
        .await;
    let answer = owner
        .visit()
        .await
        .ask(get("acme.base.test", "/", &[]))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.seen().await.header("x-tenant-slug"), Some("acme"));
    let answer = owner
        .visit()
        .await
        .ask(get("app.base.test", "/", &[]))
        .await;
    assert_eq!(answer.status, 404);
}
