//! PyJWT and jose, the libraries that application servers verify with, on assertions as they are sent: they accept what is
//! right, and refuse any changed bit, another key, and what was meant for somebody else.
//! `tests/install` brings both; `verifiers/` holds what runs them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;
use vestibule::clock::{Clock, Timestamp};
use vestibule::config::{
    Balance, HostPolicy, Signing, SigningAlgorithm, Upstream, UpstreamTimeouts,
};
use vestibule::model::{
    Hostname, Placement, Route, Secret, SigningKeyRecord, Slug, Source, TenantId, TenantState,
};
use vestibule::seal::Sealer;
use vestibule::sign::{Claims, Signer, keys};

const LIFETIME: Duration = Duration::from_secs(60);
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER_SECRET: &str = "fedcba9876543210fedcba9876543210";

#[test]
fn pyjwt_verifies_eddsa_assertions() {
    check(&pyjwt(&eddsa_order()), EDDSA_CASES);
}

#[test]
fn jose_verifies_eddsa_assertions() {
    check(&jose(&eddsa_order()), EDDSA_CASES);
}

#[test]
fn pyjwt_verifies_hs256_assertions() {
    check(&pyjwt(&hs256_order()), HS256_CASES);
}

#[test]
fn jose_verifies_hs256_assertions() {
    check(&jose(&hs256_order()), HS256_CASES);
}

/// Cases by name, and whether they are accepted.
const EDDSA_CASES: &[(&str, bool)] = &[
    ("tenant", true),
    ("nobody", true),
    ("d9 old key in the overlap", true),
    ("d9 new key in the overlap", true),
    ("d9 unknown kid", false),
    ("wrong key under the same kid", false),
    ("expired", false),
    ("for another upstream", false),
    ("of another issuer", false),
    ("f1 without a signature", false),
];
const HS256_CASES: &[(&str, bool)] = &[
    ("tenant", true),
    ("wrong secret", false),
    ("for another upstream", false),
    ("expired", false),
];

fn check(report: &Value, expected: &[(&str, bool)]) {
    assert_eq!(report["cases"].as_object().unwrap().len(), expected.len());
    for (name, accepted) in expected {
        let verdict = &report["cases"][name];
        assert_eq!(
            verdict.get("accepted").is_some(),
            *accepted,
            "{name}: {verdict}"
        );
    }
    let claims = &report["cases"]["tenant"]["accepted"];
    assert_eq!(claims["slug"], "acme");
    assert_eq!(claims["agree"], json!(["domain", "token"]));
    assert_eq!(claims["meta"], json!({"größe": "✓"}));
    assert!(
        report["flips"].as_u64().unwrap() > 3000,
        "{}",
        report["flips"]
    );
    assert_eq!(report["flips_accepted"], 0);
}

/// What the verifiers are asked about Ed25519.
fn eddsa_order() -> Value {
    let now = Clock::system().now();
    let made = Timestamp(now.0 - i64::try_from(keys::PUBLISHED_FIRST.as_millis()).unwrap());
    let sealer = sealer();
    let first = keys::generate(&sealer, made).unwrap();
    let signer = |issuer: &str, keys: &[SigningKeyRecord]| {
        let signer = Signer::new(&signing(SigningAlgorithm::EdDsa, issuer), &[], None).unwrap();
        signer.load(keys, &sealer).unwrap();
        signer
    };
    let ours = signer("vestibule", std::slice::from_ref(&first));
    let jwks = set(&ours, now);
    let tenant = sign(&ours, "default", now);

    // The successor signs when its time has come; here that was just now.
    let make = |now| keys::generate(&sealer, now);
    let mut records = vec![first.clone()];
    keys::rotate(&mut records, keys::Mode::Scheduled, made, LIFETIME, make).unwrap();
    let rotated = signer("vestibule", &records);
    let overlap = set(&rotated, now);
    let successor = sign(&rotated, "default", now);

    // Another key that goes by the same name.
    let mut wrong = set(
        &signer("vestibule", &[keys::generate(&sealer, now).unwrap()]),
        now,
    );
    wrong["keys"][0]["kid"] = json!(first.kid);

    let expired = sign(&ours, "default", Timestamp(now.0 - 120_000));
    let issuer = sign(&signer("somebody", &[first]), "default", now);
    let case = |name: &str, token: &str, jwks: &Value| json!({"name": name, "token": token, "jwks": jwks, "algorithm": "EdDSA"});
    json!({
        "rules": {"issuer": "vestibule", "audience": "default"},
        "cases": [
            case("tenant", &tenant, &jwks),
            case("nobody", &sign_nobody(&ours, now), &jwks),
            case("d9 old key in the overlap", &tenant, &overlap),
            case("d9 new key in the overlap", &successor, &overlap),
            case("d9 unknown kid", &successor, &jwks),
            case("wrong key under the same kid", &tenant, &wrong),
            case("expired", &expired, &jwks),
            case("for another upstream", &sign(&ours, "api", now), &jwks),
            case("of another issuer", &issuer, &jwks),
            case("f1 without a signature", &unsigned(&tenant), &jwks),
        ],
        "flip": {"token": tenant, "jwks": jwks, "algorithm": "EdDSA"},
    })
}

/// What the verifiers are asked about HMAC.
fn hs256_order() -> Value {
    let now = Clock::system().now();
    let upstreams = [upstream("default", SECRET), upstream("api", OTHER_SECRET)];
    let signer = Signer::new(
        &signing(SigningAlgorithm::Hs256, "vestibule"),
        &upstreams,
        None,
    )
    .unwrap();
    let tenant = sign(&signer, "default", now);
    let case = |name: &str, token: &str, secret: &str| json!({"name": name, "token": token, "secret": secret, "algorithm": "HS256"});
    json!({
        "rules": {"issuer": "vestibule", "audience": "default"},
        "cases": [
            case("tenant", &tenant, SECRET),
            case("wrong secret", &tenant, OTHER_SECRET),
            case("for another upstream", &sign(&signer, "api", now), OTHER_SECRET),
            case("expired", &sign(&signer, "default", Timestamp(now.0 - 120_000)), SECRET),
        ],
        "flip": {"token": tenant, "secret": SECRET, "algorithm": "HS256"},
    })
}

fn sign(signer: &Arc<Signer>, upstream: &str, now: Timestamp) -> String {
    let route = Route {
        tenant: TenantId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
        slug: Slug::parse("acme").unwrap(),
        state: TenantState::Active,
        progress: 0,
        removed_at: None,
        plan: Some("gold".into()),
        upstream: None,
        limits: Default::default(),
        placement: Placement::default(),
        meta: Some(r#"{"größe":"✓"}"#.into()),
        version: 1,
    };
    let claims = Claims {
        route: Some(&route),
        upstream,
        sources: [Source::Domain, Source::Token].into_iter().collect(),
        host: &Hostname::parse("www.acme.test").unwrap(),
    };
    let value = signer.thread().assertion(&claims, now).unwrap();
    value.to_str().unwrap().to_owned()
}

fn sign_nobody(signer: &Arc<Signer>, now: Timestamp) -> String {
    let claims = Claims {
        route: None,
        upstream: "default",
        sources: Default::default(),
        host: &Hostname::parse("app.example.com").unwrap(),
    };
    let value = signer.thread().assertion(&claims, now).unwrap();
    value.to_str().unwrap().to_owned()
}

/// The claims of `token` under `{"alg":"none","typ":"tenant+jwt","kid":…}`.
fn unsigned(token: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut parts = token.split('.');
    let header = URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
    let header = String::from_utf8(header).unwrap().replace("EdDSA", "none");
    let claims = parts.next().unwrap();
    format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(header))
}

fn set(signer: &Signer, now: Timestamp) -> Value {
    serde_json::from_slice(&signer.jwks(now)).unwrap()
}

fn sealer() -> Sealer {
    let folder = tempfile::tempdir().unwrap();
    Sealer::create(&folder.path().join("secret.key")).unwrap()
}

fn signing(algorithm: SigningAlgorithm, issuer: &str) -> Signing {
    Signing {
        algorithm,
        issuer: issuer.into(),
        lifetime: LIFETIME,
        publish_on_edge: true,
    }
}

fn upstream(name: &str, secret: &str) -> Upstream {
    let second = Duration::from_secs(1);
    Upstream {
        name: name.into(),
        endpoints: Vec::new(),
        balance: Balance::PowerOfTwo,
        host: HostPolicy::Preserve,
        timeouts: UpstreamTimeouts {
            connect: second,
            response: second,
            idle: second,
            keep_alive: second,
        },
        idle_connections: 1,
        hmac_secret: Some(Secret::new(secret.as_bytes().to_vec())),
        ca_file: None,
    }
}

fn pyjwt(order: &Value) -> Value {
    let python = installed("python/bin/python");
    run(Command::new(python).arg(script("verify.py")), order)
}

fn jose(order: &Value) -> Value {
    let library = installed("node/node_modules/jose/dist/webapi/index.js");
    run(
        Command::new("node").arg(script("verify.mjs")).arg(library),
        order,
    )
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/verifiers")
        .join(name)
}

/// Where `tests/install` has put `path`.
pub(crate) fn installed(path: &str) -> PathBuf {
    let place = std::env::var_os("VESTIBULE_TEST_CACHE").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let place = place
        .unwrap_or_else(|| home().join(".cache/vestibule-tests"))
        .join(path);
    assert!(
        place.exists(),
        "{} is missing: run tests/install first",
        place.display()
    );
    place
}

/// Gives `order` to a verifier and returns its report. It ends by itself when this process does: its input ends then.
fn run(command: &mut Command, order: &Value) -> Value {
    let mut verifier = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}: run tests/install first"));
    let mut input = verifier.stdin.take().unwrap();
    input.write_all(order.to_string().as_bytes()).unwrap();
    drop(input);
    let output = verifier.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "the verifier ended with {}",
        output.status
    );
    serde_json::from_slice(&output.stdout).unwrap()
}
