//! Golden files in `tests/golden/refusals`: `UPDATE_GOLDEN=1` writes them anew; the pages among them open in a browser.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response};

use super::{RefusalContext, render};
use crate::model::refusal::Extra;
use crate::model::{Code, Refusal};

static BROWSER: HeaderValue = HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8");

fn context() -> RefusalContext<'static> {
    RefusalContext {
        method: &Method::GET,
        accept: None,
        request_id: "0192f0c1-7e1a-7cc0-b8a5-000000000001",
        node: "edge-1",
        cors_origin: None,
        host: Some("acme.example.com"),
        cookie: Some("session"),
    }
}

fn in_browser() -> RefusalContext<'static> {
    RefusalContext {
        accept: Some(&BROWSER),
        ..context()
    }
}

/// One of each code, with the extras that it comes with.
fn specimen(code: Code) -> Refusal {
    match code {
        Code::UnknownTenant => Refusal::unknown_tenant(),
        Code::TenantConflict => Refusal::new(code, "Change one of the two.").with(Extra::Cookie(0)),
        Code::TenantProvisioning => {
            Refusal::new(code, "This takes a minute or two.").with(Extra::Progress(42))
        }
        Code::MethodNotAllowed => {
            Refusal::new(code, "Use another one.").with(Extra::Allow("GET, HEAD"))
        }
        Code::RateLimited => {
            Refusal::new(code, "Slow down.").retry_after(Duration::from_millis(2001))
        }
        code => Refusal::new(code, "What was wrong, and what to do.").because("for the log only"),
    }
}

fn head(response: &Response<Bytes>) -> String {
    let mut text = format!("{}\n", response.status());
    for (name, value) in response.headers() {
        writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    text
}

fn text(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

fn golden(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/refusals")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == now,
        "{} differs; with UPDATE_GOLDEN=1 it is written anew. Now:\n{now}",
        path.display()
    );
}

#[test]
fn every_refusal_as_a_document() {
    let mut all = String::new();
    for code in Code::ALL {
        let response = render(&specimen(*code), &context());
        writeln!(all, "{}\n{}\n", head(&response), text(&response)).unwrap();
    }
    golden("documents.txt", &all);
}

#[test]
fn every_refusal_as_a_page() {
    let mut heads = String::new();
    for code in Code::ALL {
        let response = render(&specimen(*code), &in_browser());
        writeln!(heads, "{}", head(&response)).unwrap();
        golden(&format!("{}.html", code.as_str()), text(&response));
    }
    golden("pages.txt", &heads);
}

#[test]
fn every_refusal_carries_what_it_must() {
    for code in Code::ALL {
        for context in [context(), in_browser()] {
            let response = render(&specimen(*code), &context);
            let field = |name: &str| {
                response
                    .headers()
                    .get(name)
                    .map(|value| value.to_str().unwrap())
            };
            assert_eq!(response.status().as_u16(), code.status());
            assert_eq!(field("cache-control"), Some("no-store"));
            assert_eq!(field("x-request-id"), Some(context.request_id));
            assert_eq!(
                field("content-length"),
                Some(&*response.body().len().to_string())
            );
            let status = field("proxy-status").unwrap();
            assert!(
                status.starts_with("edge-1; error=") && status.contains(code.as_str()),
                "{status}"
            );
            assert_eq!(
                field("retry-after").is_some(),
                matches!(code.status(), 429 | 503),
                "{code:?}"
            );
            assert_eq!(field("www-authenticate").is_some(), code.status() == 401);
            assert_eq!(field("allow").is_some(), code.status() == 405);
            assert!(!text(&response).contains("for the log only"));
            assert!(!head(&response).contains("for the log only"));
        }
    }
}

#[test]
fn a_document_is_a_problem_of_rfc_9457() {
    let response = render(&specimen(Code::TenantProvisioning), &context());
    let problem: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    let expected = serde_json::json!({
        "type": "urn:vestibule:refusal:tenant_provisioning",
        "title": "Your workspace is being prepared",
        "status": 503,
        "detail": "This takes a minute or two.",
        "code": "tenant_provisioning",
        "request_id": context().request_id,
        "progress": 42,
    });
    assert_eq!(problem, expected);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
}

#[test]
fn head_gets_the_head_of_get() {
    for get in [context(), in_browser()] {
        for code in Code::ALL {
            let head_context = RefusalContext {
                method: &Method::HEAD,
                ..get
            };
            let (get, answer) = (
                render(&specimen(*code), &get),
                render(&specimen(*code), &head_context),
            );
            assert_eq!(head(&get), head(&answer));
            assert!(answer.body().is_empty());
        }
    }
}

#[test]
fn waits_are_rounded_up_and_at_least_a_second() {
    for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_999, "60")] {
        let refusal =
            Refusal::new(Code::RateLimited, "").retry_after(Duration::from_millis(millis));
        assert_eq!(
            render(&refusal, &context()).headers()["retry-after"],
            seconds
        );
    }
    let bare = Refusal {
        retry_after: None,
        ..Refusal::new(Code::Overloaded, "")
    };
    assert_eq!(render(&bare, &context()).headers()["retry-after"], "1");
}

#[test]
fn unknown_hosts_get_the_same_bytes_but_for_the_request_id() {
    for accept in [None, Some(&BROWSER)] {
        let answer = |host, id| {
            let response = render(
                &Refusal::unknown_tenant(),
                &RefusalContext {
                    host,
                    request_id: id,
                    accept,
                    ..context()
                },
            );
            format!("{}{}", head(&response), text(&response)).replace(id, "ID")
        };
        assert_eq!(
            answer(Some("a.example"), "r-1"),
            answer(Some("reserved.example.com"), "r-2")
        );
        assert_eq!(answer(None, "r-1"), answer(Some("a.example"), "r-3"));
    }
}

#[test]
fn what_the_visitor_sent_is_escaped() {
    let context = RefusalContext {
        host: Some("<script>alert(1)</script>"),
        cookie: Some("\"><img src=x>"),
        request_id: "<b>&\"",
        ..in_browser()
    };
    let response = render(&specimen(Code::TenantConflict), &context);
    let page = text(&response);
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>"));
    assert!(page.contains("&lt;script&gt;") && page.contains("&quot;&gt;&lt;img"));

    let response = render(
        &specimen(Code::TenantConflict),
        &RefusalContext {
            accept: None,
            ..context
        },
    );
    let problem: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(problem["request_id"], "<b>&\"");
}

#[test]
fn what_cannot_stand_in_a_field_is_left_out() {
    let response = render(
        &specimen(Code::TenantConflict),
        &RefusalContext {
            request_id: "a\r\nb",
            node: "x\ny",
            ..context()
        },
    );
    assert!(!response.headers().contains_key("x-request-id"));
    assert!(
        response.headers()["proxy-status"]
            .to_str()
            .unwrap()
            .starts_with("vestibule;")
    );
}

#[test]
fn the_waiting_pages_refresh_themselves_and_no_other_does() {
    for code in Code::ALL {
        let response = render(&specimen(*code), &in_browser());
        let refreshes = text(&response).contains("http-equiv=\"refresh\"");
        assert_eq!(
            refreshes,
            matches!(code, Code::TenantProvisioning | Code::TenantMaintenance),
            "{code:?}"
        );
    }
    let response = render(&specimen(Code::TenantProvisioning), &in_browser());
    assert!(text(&response).contains("<meta http-equiv=\"refresh\" content=\"5\">"));
    assert!(text(&response).contains("<progress max=\"100\" value=\"42\">"));
}

#[test]
fn only_a_conflict_with_a_cookie_has_a_form() {
    for (extra, offered) in [(Extra::Cookie(0), true), (Extra::None, false)] {
        let response = render(
            &Refusal::new(Code::TenantConflict, "").with(extra),
            &in_browser(),
        );
        assert_eq!(
            text(&response).contains(
                "<form method=\"post\" action=\"/.well-known/vestibule/forget-session\">"
            ),
            offered
        );
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert_eq!(policy.contains("form-action 'self'"), offered);
    }
}

#[test]
fn pages_need_nothing_from_elsewhere_and_no_script() {
    let mut policies = HashSet::new();
    for code in Code::ALL {
        let response = render(&specimen(*code), &in_browser());
        let page = text(&response);
        for forbidden in [
            "<script", " style=", " on", "http://", "https://", "src=", "url(", "@import",
        ] {
            let inside_tags = page
                .split('<')
                .filter_map(|tag| tag.split('>').next())
                .any(|tag| tag.contains(forbidden));
            assert!(!inside_tags, "{code:?}: {forbidden}");
        }
        policies.insert(response.headers()["content-security-policy"].clone());
    }
    assert_eq!(policies.len(), 2);
}

#[test]
fn allowed_origins_can_read_refusals() {
    let origin = HeaderValue::from_static("https://app.example");
    let response = render(
        &specimen(Code::RateLimited),
        &RefusalContext {
            cors_origin: Some(&origin),
            ..context()
        },
    );
    assert_eq!(response.headers()["access-control-allow-origin"], origin);
    assert_eq!(
        response.headers()["access-control-allow-credentials"],
        "true"
    );
    assert_eq!(
        response.headers()["access-control-expose-headers"],
        "x-request-id, retry-after"
    );
    assert_eq!(response.headers()["vary"], "accept, origin");
    let others = render(&specimen(Code::RateLimited), &context());
    assert!(
        !others
            .headers()
            .keys()
            .any(|name| name.as_str().starts_with("access-control"))
    );
}

#[test]
fn the_policy_lets_in_the_page_s_own_style_and_no_other() {
    use base64::Engine;
    let response = render(&Refusal::unknown_tenant(), &in_browser());
    let (_, rest) = text(&response).split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, style.as_bytes());
    let hash = base64::engine::general_purpose::STANDARD.encode(digest);
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(
        policy.contains(&format!("style-src 'sha256-{hash}';")),
        "{policy}"
    );
}
