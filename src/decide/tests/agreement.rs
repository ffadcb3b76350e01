//! What happens when several sources name a tenant.

use super::*;

#[test]
fn f7_two_sources_that_disagree_are_a_conflict_and_that_agree_are_both_named() {
    let places: [(&'static str, bool); 3] = [
        ("http://acme.localhost/", true),
        ("http://app.acme.test/", true),
        ("http://app.localhost/t/acme", false),
    ];
    for (url, by_host) in places {
        let at = || {
            let asked = ask(url);
            if by_host {
                asked.by_host(found("acme"))
            } else {
                asked.by_path(found("acme"))
            }
        };
        let bearer = |fact| at().bearer(fact).outcome();
        let cookie = |fact| at().cookie(fact).outcome();
        assert!(bearer(names(&["acme"])).ends_with("+token"), "{url}");
        assert!(cookie(names(&["acme"])).ends_with("+token"), "{url}");
        for other in ["globex", ""] {
            assert_eq!(bearer(names(&[other])), "tenant_conflict", "{url}");
            assert_eq!(cookie(names(&[other])), "tenant_conflict", "{url}");
        }
        let invalid = || TokenFact::Invalid { reason: "x" };
        assert_eq!(bearer(invalid()), "token_invalid", "{url}");
        assert!(!cookie(invalid()).contains("token"), "{url}");
        assert!(
            !bearer(TokenFact::Foreign { jwt: true }).contains("token"),
            "{url}"
        );
    }
}

#[test]
fn f9_bearer_and_cookie_must_agree_too() {
    let both = |bearer: &str, cookie: &str| {
        ask("http://app.localhost/")
            .bearer(names(&[bearer]))
            .cookie(names(&[cookie]))
            .outcome()
    };
    assert_eq!(both("acme", "acme"), "acme token");
    assert_eq!(both("acme", "globex"), "tenant_conflict");
    let twice = ask("http://app.localhost/")
        .field("authorization", "Bearer a")
        .field("authorization", "Bearer a");
    assert_eq!(twice.outcome(), "bad_request");
}

#[test]
fn f9_a_claim_that_names_nobody_is_not_alone_beside_another_token_wherever_the_two_stand() {
    let both = |bearer: &str, cookie: &str| {
        ask("http://app.localhost/")
            .bearer(names(&[bearer]))
            .cookie(names(&[cookie]))
            .outcome()
    };
    assert_eq!(both("acme", ""), "tenant_conflict");
    assert_eq!(both("", "acme"), "tenant_conflict");
    assert_eq!(both("", ""), "unknown_tenant");
    let several = ask("http://app.localhost/")
        .bearer(names(&["globex", "acme"]))
        .cookie(names(&["acme"]));
    assert_eq!(several.outcome(), "acme token");
}

/// Why a request to `url` is refused, in the words for the operator.
fn reason(asked: &Asked) -> String {
    asked.decision().unwrap_err().reason.unwrap().into()
}

#[test]
fn a_conflict_tells_the_operator_who_named_whom() {
    let id = |slug| route(slug, TenantState::Active).tenant;
    let (acme, globex, initech) = (id("acme"), id("globex"), id("initech"));
    let host = || ask("http://acme.localhost/").by_host(found("acme"));
    let platform = || ask("http://app.localhost/");
    for (asked, wanted) in [
        (
            host().bearer(names(&["globex"])),
            format!("subdomain names {acme}, bearer names {globex}"),
        ),
        (
            host().cookie(names(&[""])),
            format!("subdomain names {acme}, cookie names nobody"),
        ),
        (
            host().bearer(names(&["globex", "", "initech"])),
            format!("subdomain names {acme}, bearer names {globex} or {initech}"),
        ),
        (
            ask("http://app.acme.test/")
                .by_host(found("acme"))
                .bearer(names(&[])),
            format!("domain names {acme}, bearer names nobody"),
        ),
        (
            ask("http://app.localhost/t/acme")
                .by_path(found("acme"))
                .cookie(names(&["globex"])),
            format!("path names {acme}, cookie names {globex}"),
        ),
        (
            platform()
                .bearer(names(&["acme"]))
                .cookie(names(&["globex"])),
            format!("bearer names {acme}, cookie names {globex}"),
        ),
        (
            platform().bearer(names(&[""])).cookie(names(&["globex"])),
            format!("cookie names {globex}, bearer names nobody"),
        ),
    ] {
        assert_eq!(reason(&asked), wanted);
    }
}

#[test]
fn an_array_agrees_with_any_member_and_names_only_if_it_has_one() {
    let host = |members: &[&str]| {
        ask("http://acme.localhost/")
            .by_host(found("acme"))
            .bearer(names(members))
            .outcome()
    };
    assert_eq!(host(&["globex", "acme"]), "acme subdomain+token");
    assert_eq!(host(&["globex", "initech"]), "tenant_conflict");
    assert_eq!(host(&[]), "tenant_conflict");
    let mut alone = ask("http://app.localhost/").bearer(names(&["globex", "acme"]));
    assert_eq!(alone.outcome(), "unknown_tenant");
    alone.policy.routing.platform_upstream = Some("default".into());
    assert_eq!(alone.outcome(), "- ");
}

#[test]
fn a_claim_that_names_nobody_is_404_alone() {
    assert_eq!(
        ask("http://app.localhost/").bearer(names(&[""])).outcome(),
        "unknown_tenant"
    );
}

#[test]
fn foreign_tokens_are_refused_where_that_is_set() {
    let mut asked = ask("http://acme.localhost/")
        .by_host(found("acme"))
        .bearer(TokenFact::Foreign { jwt: true });
    asked.policy.routing.foreign_tokens = ForeignTokens::Refuse;
    assert_eq!(asked.outcome(), "token_invalid");
    asked.facts.bearer = Some(TokenFact::Foreign { jwt: false });
    assert_eq!(asked.outcome(), "acme subdomain");
}

#[test]
fn the_store_away_is_503_and_never_404() {
    assert_eq!(
        ask("http://acme.localhost/")
            .by_host(Match::Unavailable)
            .outcome(),
        "store_unavailable"
    );
    let token = TokenFact::Names(vec![Match::Unavailable]);
    assert_eq!(
        ask("http://acme.localhost/")
            .by_host(found("acme"))
            .bearer(token.clone())
            .outcome(),
        "store_unavailable"
    );
    assert_eq!(
        ask("http://app.localhost/").bearer(token).outcome(),
        "store_unavailable"
    );
    assert_eq!(ask("http://www.localhost/").outcome(), "unknown_tenant");
}
