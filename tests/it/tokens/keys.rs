//! Where keys come from, and what happens when that place rotates, stalls, lies or disappears: rows F3 and F11.
#![expect(
    clippy::unwrap_used,
    reason = "what cannot be made for a test fails it"
)]

use std::net::SocketAddr;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use socket2::{Domain, Socket, Type};
use vestibule::config::TokenAlgorithm::ES256;
use vestibule::config::TokenKeys;
use vestibule::jwks::JwksTimings;
use vestibule::resolve::{TokenVerdict, TokensError};

use super::bench::{Bench, TIMINGS, acme, issuer, jwks, server_of};
use crate::harness::jwks_server::{Answer, JwksServer};
use crate::harness::mint::Signer;

const NO_KEYS: &str = "the issuer's keys are not available";
const UNKNOWN_KEY: &str = "its key is not among the issuer's";

/// Short enough that a stalled fetch ends soon.
const HASTY: JwksTimings = JwksTimings {
    fetch: Duration::from_millis(300),
    ..TIMINGS
};

fn misbehaviours(elsewhere: &JwksServer, attacker: &Signer) -> Vec<(Answer, &'static str)> {
    vec![
        (Answer::Stall, "timeout"),
        (Answer::StallInBody, "timeout"),
        (Answer::Redirect(elsewhere.url()), "redirect"),
        (
            Answer::Redirect("http://169.254.169.254/latest/meta-data/".to_owned()),
            "redirect",
        ),
        (Answer::Status(500, jwks(&[attacker])), "status"),
        (Answer::Status(404, jwks(&[attacker])), "status"),
        (Answer::Status(204, vec![]), "status"),
        (Answer::Body(b"<html>".to_vec()), "malformed"),
        (Answer::Body(b"[]".to_vec()), "malformed"),
        (Answer::Body(br#"{"keys":{}}"#.to_vec()), "malformed"),
        (Answer::Body(Vec::new()), "malformed"),
        (Answer::Garbage(b"\x16\x03\x01\x02\x00".to_vec()), "http"),
        (Answer::Garbage(Vec::new()), "http"),
        (
            Answer::Garbage(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"keys\":[]}".to_vec()),
            "http",
        ),
    ]
}

/// Makes the bench ask for keys now.
fn provoke_fetch(bench: &Bench) {
    bench.pass(TIMINGS.refetch);
    bench.refuses(&bench.good(&Signer::es256("nobody's")));
}

#[test]
fn f11_whatever_the_issuer_does_the_last_good_keys_stay() {
    let (signer, attacker) = (Signer::es256("k"), Signer::es256("attacker"));
    let (server, elsewhere) = (server_of(&[&signer]), server_of(&[&attacker]));
    let bench = Bench::try_new(&[issuer(TokenKeys::Url(server.url()), &[ES256])], HASTY).unwrap();
    bench.accepts(&bench.good(&signer));
    for (misbehaviour, result) in misbehaviours(&elsewhere, &attacker) {
        let before = bench.fetches(result);
        server.becomes(misbehaviour);
        provoke_fetch(&bench);
        assert_eq!(bench.fetches(result), before + 1, "{result}");
        bench.accepts(&bench.good(&signer));
        bench.refuses(&bench.good(&attacker));
    }
    assert_eq!(elsewhere.requests(), 0);
    assert_eq!(bench.fetches("ok"), 1);
}

#[test]
fn f11_without_keys_a_token_of_ours_is_refused_and_others_are_not_held_up() {
    let (signer, attacker) = (Signer::es256("k"), Signer::es256("attacker"));
    let elsewhere = server_of(&[&attacker]);
    for (misbehaviour, _) in misbehaviours(&elsewhere, &attacker) {
        let server = JwksServer::start(misbehaviour);
        let bench =
            Bench::try_new(&[issuer(TokenKeys::Url(server.url()), &[ES256])], HASTY).unwrap();
        assert_eq!(bench.verify("opaque"), TokenVerdict::Foreign { jwt: false });
        assert_eq!(bench.refuses(&bench.good(&signer)), NO_KEYS);
        // The first may have waited for the fetch at start: this one asks for a fetch of its own, if that did not.
        assert_eq!(bench.refuses(&bench.good(&signer)), NO_KEYS);
        let requests = server.requests();
        assert_eq!(bench.refuses(&bench.good(&signer)), NO_KEYS);
        assert_eq!(server.requests(), requests, "the third token asks nobody");
        assert_eq!(
            bench.tokens.peek(&bench.good(&signer)),
            Some(TokenVerdict::Invalid(NO_KEYS))
        );

        server.publishes(jwks(&[&signer]));
        bench.pass(TIMINGS.refetch);
        bench.accepts(&bench.good(&signer));
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[test]
fn f11_a_server_that_is_not_there_is_no_reason_to_wait() {
    let signer = Signer::es256("k");
    // Bound but not listening, so that nobody else gets the port.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let bench = Bench::new(&[issuer(
        TokenKeys::Url(format!("http://{address}/")),
        &[ES256],
    )]);
    assert_eq!(bench.refuses(&bench.good(&signer)), NO_KEYS);
    assert!(bench.fetches("unreachable") >= 1);
}

#[test]
fn f11_an_issuer_that_stalls_costs_a_visitor_one_timeout() {
    let signer = Signer::es256("k");
    let server = JwksServer::start(Answer::Stall);
    // Long enough that the token comes while the fetch at start is under way.
    let timings = JwksTimings {
        fetch: Duration::from_secs(2),
        ..TIMINGS
    };
    let bench = Bench::try_new(&[issuer(TokenKeys::Url(server.url()), &[ES256])], timings).unwrap();
    server.reached(1);
    assert_eq!(bench.refuses(&bench.good(&signer)), NO_KEYS);
    // A second fetch may have begun; nobody has waited for its end.
    assert!(bench.fetches("timeout") <= 1);
}

#[test]
fn f11_when_the_control_plane_has_ended_nobody_waits() {
    let signer = Signer::es256("k");
    let server = JwksServer::start(Answer::Stall);
    let mut bench = Bench::with_server(&server, &[ES256]);
    server.reached(1);
    assert_eq!(bench.tokens.peek(&bench.good(&signer)), None);
    bench.end_control_plane();
    assert_eq!(bench.refuses(&bench.good(&signer)), NO_KEYS);
    assert!(bench.fetches("abandoned") >= 1);
}

#[test]
fn f11_a_hundred_megabytes_are_not_read() {
    let signer = Signer::es256("k");
    for announced in [true, false] {
        let server = JwksServer::start(Answer::Huge { announced });
        let bench = Bench::with_server(&server, &[ES256]);
        assert_eq!(bench.refuses(&bench.good(&signer)), NO_KEYS);
        assert!(bench.fetches("too_large") >= 1);
        // One MiB read, and what the kernel takes in on both sides, for each of the two fetches.
        assert!(server.written() < 40_000_000, "{}", server.written());
    }
}

#[test]
fn f11_the_last_good_keys_are_kept_for_a_day_and_no_longer() {
    let signer = Signer::es256("k");
    let server = server_of(&[&signer]);
    let bench = Bench::with_server(&server, &[ES256]);
    let lasting =
        signer.token(&bench.claims(json!({ "exp": bench.clock.now().seconds() + 1_000_000 })));
    bench.accepts(&lasting);
    server.becomes(Answer::Status(503, vec![]));
    bench.pass(TIMINGS.keep - Duration::from_secs(60));
    bench.accepts(&lasting);
    bench.accepts(&bench.good(&signer));
    bench.pass(Duration::from_secs(120));
    assert_eq!(
        bench.refuses(&lasting),
        NO_KEYS,
        "also where it was verified before"
    );
    assert_eq!(bench.refuses(&bench.good(&signer)), NO_KEYS);
    server.publishes(jwks(&[&signer]));
    bench.pass(TIMINGS.refetch);
    bench.accepts(&lasting);
}

#[test]
fn f3_a_new_key_is_fetched_for_the_first_token_that_has_it() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let server = server_of(&[&old]);
    let bench = Bench::with_server(&server, &[ES256]);
    let earlier = bench.good(&old);
    bench.accepts(&earlier);
    server.publishes(jwks(&[&old, &new]));
    bench.accepts(&bench.good(&new));
    bench.accepts(&earlier);
    assert_eq!(server.requests(), 2);
}

#[test]
fn a_key_that_is_withdrawn_stops_also_for_tokens_verified_before() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let server = server_of(&[&old]);
    let bench = Bench::with_server(&server, &[ES256]);
    let earlier = bench.good(&old);
    bench.accepts(&earlier);
    server.publishes(jwks(&[&new]));
    bench.accepts(&bench.good(&new));
    assert_eq!(bench.refuses(&earlier), UNKNOWN_KEY);
    // The same name for another key.
    let replaced = Signer::es256("new");
    let token = bench.good(&new);
    bench.accepts(&token);
    server.publishes(jwks(&[&replaced]));
    provoke_fetch(&bench);
    assert_eq!(bench.refuses(&token), "its signature is wrong");
    // All of them.
    server.publishes(vec![]);
    provoke_fetch(&bench);
    assert_eq!(bench.refuses(&bench.good(&replaced)), UNKNOWN_KEY);
    assert_eq!(bench.fetches("no_keys"), 1);
}

#[test]
fn keys_are_fetched_again_without_anybody_asking() {
    let (old, new) = (Signer::es256("k"), Signer::es256("k"));
    let server = server_of(&[&old]);
    let timings = JwksTimings {
        refresh: Duration::from_millis(20),
        ..TIMINGS
    };
    let bench = Bench::try_new(&[issuer(TokenKeys::Url(server.url()), &[ES256])], timings).unwrap();
    let token = bench.good(&old);
    bench.accepts(&token);
    server.publishes(jwks(&[&new]));
    // One may have been on its way; the one after it has landed before the third begins.
    server.reached(server.requests() + 3);
    assert_eq!(bench.refuses(&token), "its signature is wrong");
    bench.accepts(&bench.good(&new));
}

#[test]
fn after_a_failure_keys_are_fetched_again_soon() {
    let signer = Signer::es256("k");
    let server = JwksServer::start(Answer::Status(500, vec![]));
    let timings = JwksTimings {
        refetch: Duration::from_millis(20),
        ..TIMINGS
    };
    let bench = Bench::try_new(&[issuer(TokenKeys::Url(server.url()), &[ES256])], timings).unwrap();
    server.reached(3);
    server.publishes(jwks(&[&signer]));
    bench.accepts(&bench.good(&signer));
}

#[test]
fn a_thousand_tokens_wait_for_one_fetch() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let server = server_of(&[&old]);
    let bench = Bench::with_server(&server, &[ES256]);
    bench.accepts(&bench.good(&old));
    server.publishes(jwks(&[&old, &new]));
    let tokens: Vec<_> = (0..1000)
        .map(|n| new.token(&bench.claims(json!({ "jti": n }))))
        .collect();
    assert_eq!(bench.tokens.peek(&tokens[0]), None);
    assert!(
        bench
            .verify_all(&tokens)
            .iter()
            .all(|verdict| *verdict == acme())
    );
    assert_eq!(server.requests(), 2);
    assert_eq!(bench.tokens.peek(&tokens[0]), Some(acme()));
}

#[test]
fn entries_with_one_url_share_its_keys() {
    let signer = Signer::es256("k");
    let server = server_of(&[&signer]);
    let mut second = issuer(TokenKeys::Url(server.url()), &[ES256]);
    second.issuer = "https://second.example".to_owned();
    let bench = Bench::new(&[issuer(TokenKeys::Url(server.url()), &[ES256]), second]);
    bench.accepts(&bench.good(&signer));
    let token = signer.token(&bench.claims(json!({ "iss": "https://second.example" })));
    assert!(matches!(
        bench.verify(&token),
        TokenVerdict::Valid { issuer: 1, .. }
    ));
    assert_eq!(server.requests(), 1);
}

#[test]
fn a_url_that_is_not_safe_is_refused_at_start() {
    for url in [
        "http://keys.example/",
        "http://10.0.0.1/",
        "ftp://localhost/",
        "/keys",
        "https://u:p@keys.example/",
        "",
    ] {
        let started = Bench::try_new(&[issuer(TokenKeys::Url(url.to_owned()), &[ES256])], TIMINGS);
        assert!(matches!(started, Err(TokensError::Url { .. })), "{url}");
    }
}

#[test]
fn over_tls_only_a_trusted_server_is_believed() {
    let signer = Signer::es256("k");
    let (roots, config) = authority_and_server();
    let server = JwksServer::start_tls(Answer::Keys(jwks(&[&signer])), config);
    let issuers = [issuer(TokenKeys::Url(server.url()), &[ES256])];
    let trusting = Bench::with_roots(&issuers, TIMINGS, roots).unwrap();
    trusting.accepts(&trusting.good(&signer));
    let strange = Bench::with_roots(&issuers, TIMINGS, authority_and_server().0).unwrap();
    assert_eq!(strange.refuses(&strange.good(&signer)), NO_KEYS);
    assert!(strange.fetches("unreachable") >= 1);
}

fn authority_and_server() -> (RootCertStore, ServerConfig) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            key.serialize_der().try_into().unwrap(),
        )
        .unwrap();
    (roots, config)
}
