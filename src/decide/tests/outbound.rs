//! What the upstream would be sent.

use http::header::HeaderMap;

use super::*;
use crate::decide::FailedCookie;
use crate::decide::rewrite::{self, outbound};

const SPAN: &str = "00f067aa0ba902b7";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn sent(fields: &[(&str, &str)], change: impl FnOnce(&mut Forward)) -> (String, HeaderMap) {
    let policy = policy();
    let mut request = Request::builder()
        .uri("/t/acme/x?y")
        .header("host", "App.localhost.:8080");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let head = request.body(()).unwrap().into_parts().0;
    let visit = Visit::plain_for_tests();
    let arrival = arrive(&head, &visit, None, &policy).unwrap();
    let facts = Facts {
        path: Some(found("acme")),
        ..Facts::default()
    };
    let case = Case {
        head: &head,
        visit: &visit,
        arrival: &arrival,
        facts: &facts,
        now: Timestamp(0),
    };
    let Ok(Decision::Forward(mut forward)) = decide(&case, &policy) else {
        panic!("not forwarded")
    };
    change(&mut forward);
    let id = HeaderValue::from_static("id");
    let ids = rewrite::ids(
        &head.headers,
        Present::of(&head.headers),
        false,
        id,
        TRACE.as_bytes().try_into().unwrap(),
        SPAN.as_bytes().try_into().unwrap(),
    );
    let origin = origin(&head, &visit, &policy);
    let head = outbound(Vec::new(), &head, &forward, &visit, &origin, &policy, &ids);
    let mut fields = HeaderMap::new();
    for (name, value) in head.fields() {
        let name: http::HeaderName = name.parse().unwrap();
        fields.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    (head.target().to_owned(), fields)
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect()
}

#[test]
fn the_prefix_is_cut_and_told_and_the_host_is_canonical() {
    let (target, headers) = sent(&[], |_| {});
    assert_eq!(target, "/x?y");
    assert_eq!(all(&headers, "host"), ["app.localhost:8080"]);
    assert_eq!(all(&headers, "x-forwarded-prefix"), ["/t/acme"]);
    assert_eq!(all(&headers, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(all(&headers, "x-tenant-slug"), ["acme"]);
    assert_eq!(
        all(&headers, "forwarded"),
        ["for=127.0.0.1;host=\"app.localhost:8080\";proto=http"]
    );
    assert_eq!(all(&headers, "via").len(), 1);
}

#[test]
fn d1_d2_every_spelling_of_our_fields_is_replaced_by_ours() {
    let forged = [
        "X-Tenant-Id",
        "x_tenant_id",
        "X.Tenant.Id",
        "X-Tenant_Slug",
        "x-tenant-assertion",
        "X_TENANT_ASSERTION",
    ];
    let fields: Vec<_> = forged.iter().map(|name| (*name, "evil")).collect();
    let (_, headers) = sent(&fields, |_| {});
    assert!(headers.values().all(|value| value != "evil"), "{headers:?}");
    assert_eq!(all(&headers, "x-tenant-id").len(), 1);
}

#[test]
fn d3_connection_removes_the_visitors_fields_and_never_ours() {
    let nominated = "close, X-Tenant-Id, X-Forwarded-For, Host, Authorization, X-Custom";
    let (_, headers) = sent(
        &[
            ("connection", nominated),
            ("authorization", "Basic x"),
            ("x-custom", "1"),
        ],
        |_| {},
    );
    assert!(
        !headers.contains_key("connection")
            && !headers.contains_key("authorization")
            && !headers.contains_key("x-custom")
    );
    assert_eq!(all(&headers, "host").len(), 1);
    assert_eq!(all(&headers, "x-tenant-id").len(), 1);
}

#[test]
fn d6_b10_claims_of_origin_and_fields_for_one_hop_do_not_pass() {
    let names = [
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-real-ip",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "forwarded",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
        "proxy-authorization",
        "expect",
        "odd_name",
        "odd.name",
    ];
    let fields: Vec<_> = names.iter().map(|name| (*name, "evil")).collect();
    let (_, headers) = sent(&fields, |_| {});
    assert!(
        headers
            .values()
            .all(|value| !value.to_str().unwrap().contains("evil")),
        "{headers:?}"
    );
}

#[test]
fn b8_cookie_crumbs_are_joined_and_failed_tokens_taken_out() {
    let (_, headers) = sent(&[("cookie", "a=1"), ("cookie", "session=bad; b=2")], |_| {});
    assert_eq!(all(&headers, "cookie"), ["a=1; session=bad; b=2"]);
    let failed = |value: &str| FailedCookie {
        name: "session".into(),
        value: value.into(),
    };
    let fields = [
        ("cookie", "session=bad; b=2;session=\"bad\" ; session"),
        ("cookie", "session=good; sessions=bad"),
    ];
    let (_, headers) = sent(&fields, |forward| {
        forward.failed_cookies = vec![failed("bad")]
    });
    assert_eq!(
        all(&headers, "cookie"),
        ["b=2; session; session=good; sessions=bad"]
    );
    let (_, headers) = sent(&[("cookie", "session=bad")], |forward| {
        forward.failed_cookies = vec![failed("bad")]
    });
    assert!(!headers.contains_key("cookie"));
}

#[test]
fn traces_are_continued_and_bad_ones_begun_anew() {
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (_, headers) = sent(&[("traceparent", given), ("tracestate", "a=1")], |_| {});
    assert_eq!(
        all(&headers, "traceparent"),
        [format!("00-0af7651916cd43dd8448eb211c80319c-{SPAN}-01")]
    );
    assert_eq!(all(&headers, "tracestate"), ["a=1"]);
    for bad in [
        "00-0-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x",
    ] {
        let (_, headers) = sent(&[("traceparent", bad), ("tracestate", "a=1")], |_| {});
        assert_eq!(
            all(&headers, "traceparent"),
            [format!("00-{TRACE}-{SPAN}-00")]
        );
        assert!(!headers.contains_key("tracestate"));
    }
}

#[test]
fn a_request_that_names_nobody_carries_no_identity() {
    let (_, headers) = sent(&[("x-tenant-id", "evil")], |forward| forward.route = None);
    assert!(!headers.contains_key("x-tenant-id") && !headers.contains_key("x-tenant-slug"));
}
