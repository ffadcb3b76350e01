//! The page of a conflict, and the way out of it without a script.

use super::{Bench, bearer, cookie};
use crate::harness::client::{Answer, Visitor, request};

const FORGET: &str = "/.well-known/vestibule/forget-session";

async fn forget(bench: &Bench, host: &str, lines: &[&str]) -> Answer {
    let lines = [&["Content-Length: 0"], lines].concat();
    bench
        .edge
        .visit()
        .await
        .ask(request("POST", host, FORGET, &lines, b""))
        .await
}

#[tokio::test]
async fn the_page_offers_to_forget_the_session_and_that_works() {
    let bench = Bench::start().await;
    let session = cookie(&bench.issuer.names("globex"));
    let lines = [&*session, "Accept: text/html,*/*;q=0.8"];
    let page = bench.ask("acme.localhost", "/board?id=1", &lines).await;
    assert_eq!(page.status, 403);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let html = page.text();
    assert!(
        html.contains(&format!("<form method=\"post\" action=\"{FORGET}\">")),
        "{html}"
    );
    assert!(html.contains("acme.localhost") && html.contains("session"));
    assert!(
        !html.contains("globex"),
        "a name that the visitor did not send"
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'self'"), "{policy}");

    // What a browser posts for that button.
    let origin = [
        "Origin: http://acme.localhost",
        "Referer: http://acme.localhost/board?id=1",
        &session,
    ];
    let answer = forget(&bench, "acme.localhost", &origin).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("/board"))
    );
    let deleted: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert!(!deleted.is_empty());
    for cookie in deleted {
        assert!(cookie.starts_with("session=; Max-Age=0;"), "{cookie}");
    }
    assert_eq!(bench.upstream.connections(), 0);
    // And without the cookie the address is open.
    bench
        .forwarded("acme.localhost", "/board", &["Cookie: theme=dark"])
        .await;
}

#[tokio::test]
async fn a_conflict_by_bearer_has_nothing_to_forget() {
    let bench = Bench::start().await;
    let lines = [&*bearer(&bench.issuer.names("globex")), "Accept: text/html"];
    let page = bench.ask("acme.localhost", "/", &lines).await;
    assert_eq!(page.status, 403);
    assert!(!page.text().contains("<form"), "{}", page.text());
}

#[tokio::test]
async fn only_a_page_of_the_same_host_may_end_a_session() {
    let bench = Bench::start().await;
    let session = cookie(&bench.issuer.names("globex"));
    for origin in [
        "X-A: no origin at all",
        "Origin: null",
        "Origin: http://globex.localhost",
        "Origin: http://acme.localhost.evil.example",
        "Origin: http://evil.example",
        "Origin: acme.localhost",
    ] {
        let answer = forget(&bench, "acme.localhost", &[origin, &session]).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "bad_request"),
            "{origin}"
        );
        assert_eq!(answer.header("set-cookie"), None);
    }
    assert_eq!(bench.upstream.connections(), 0);
}

#[tokio::test]
async fn a_platform_host_forgets_too_and_a_host_that_is_nobodys_does_not() {
    let bench = Bench::start().await;
    let session = cookie(&bench.issuer.names("globex"));
    let from = |host: &str| format!("Origin: http://{host}");
    let answer = forget(&bench, "app.localhost", &[&from("app.localhost"), &session]).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let nobody = forget(
        &bench,
        "nobody.localhost",
        &[&from("nobody.localhost"), &session],
    )
    .await;
    assert_eq!(
        (nobody.status, nobody.code().as_str()),
        (404, "unknown_tenant")
    );
    assert_eq!(bench.upstream.connections(), 0);
}

#[tokio::test]
async fn what_is_no_post_there_is_the_applications() {
    let bench = Bench::start().await;
    let (seen, _) = bench.forwarded("acme.localhost", FORGET, &[]).await;
    assert_eq!(seen.target, FORGET);
    let mut visitor: Visitor = bench.edge.visit().await;
    let put = request("PUT", "acme.localhost", FORGET, &["Content-Length: 0"], b"");
    assert_eq!(visitor.ask(put).await.status, 200);
}
