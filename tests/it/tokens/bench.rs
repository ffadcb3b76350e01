//! One configured issuer and whatever it needs, and words to say what a token is.
#![expect(
    clippy::unwrap_used,
    reason = "what cannot be made for a test fails it"
)]

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use vestibule::clock::Clock;
use vestibule::config::{TokenAlgorithm, TokenIssuer, TokenKeys};
use vestibule::jwks::{Fetcher, JwksTimings};
use vestibule::metrics::Metrics;
use vestibule::model::{LookupKey, Slug};
use vestibule::resolve::{TokenVerdict, Tokens, TokensError};

use crate::harness::jwks_server::{Answer, JwksServer};
use crate::harness::mint::Signer;

pub(super) const ISSUER: &str = "https://auth.example.com";

/// Short where a failure waits for it, long where nothing must happen by itself.
pub(super) const TIMINGS: JwksTimings = JwksTimings {
    fetch: Duration::from_secs(5),
    refresh: Duration::from_secs(3600),
    refetch: Duration::from_secs(30),
    keep: Duration::from_secs(24 * 3600),
};

pub(super) struct Bench {
    pub(super) tokens: Arc<Tokens>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// What a data-plane thread must be able to do without: this one has neither timers nor sockets.
    caller: Runtime,
    control: Option<Runtime>,
}

impl Bench {
    /// Verifies tokens of one issuer whose keys `server` publishes.
    pub(super) fn with_server(server: &JwksServer, algorithms: &[TokenAlgorithm]) -> Self {
        Self::new(&[issuer(TokenKeys::Url(server.url()), algorithms)])
    }

    pub(super) fn new(issuers: &[TokenIssuer]) -> Self {
        Self::try_new(issuers, TIMINGS).unwrap()
    }

    pub(super) fn try_new(
        issuers: &[TokenIssuer],
        timings: JwksTimings,
    ) -> Result<Self, TokensError> {
        Self::with_roots(issuers, timings, RootCertStore::empty())
    }

    pub(super) fn with_roots(
        issuers: &[TokenIssuer],
        timings: JwksTimings,
        roots: RootCertStore,
    ) -> Result<Self, TokensError> {
        let control = vestibule::runtime::control_plane().unwrap();
        let (clock, metrics) = (Clock::system(), Metrics::new(10).unwrap());
        let fetcher = Fetcher::with_roots(roots, timings.fetch).unwrap();
        let tokens = Tokens::with_fetcher(
            issuers,
            fetcher,
            timings,
            control.handle().clone(),
            clock.clone(),
            Arc::clone(&metrics),
        )?;
        let caller = Builder::new_current_thread().enable_time().build().unwrap();
        Ok(Self {
            tokens,
            clock,
            metrics,
            caller,
            control: Some(control),
        })
    }

    pub(super) fn verify(&self, raw: &str) -> TokenVerdict {
        self.caller.block_on(self.tokens.verify(raw))
    }

    pub(super) fn verify_all(&self, raw: &[String]) -> Vec<TokenVerdict> {
        let all = raw.iter().map(|raw| self.tokens.verify(raw));
        self.caller.block_on(futures_util::future::join_all(all))
    }

    /// The reason why `raw` is invalid; anything else fails the test.
    #[track_caller]
    pub(super) fn refuses(&self, raw: &str) -> &'static str {
        match self.verify(raw) {
            TokenVerdict::Invalid(reason) => reason,
            other => panic!("{other:?} for {raw}"),
        }
    }

    /// Fails the test unless `raw` is valid and names acme.
    #[track_caller]
    pub(super) fn accepts(&self, raw: &str) {
        assert_eq!(self.verify(raw), acme(), "{raw}");
    }

    pub(super) fn fetches(&self, result: &str) -> u64 {
        self.metrics.jwks_fetches.with_label_values(&[result]).get()
    }

    /// What a good token says now, with `more` in it, or something else in place of the usual; null takes a claim away.
    pub(super) fn claims(&self, more: Value) -> Value {
        let now = self.clock.now().seconds();
        let mut claims = json!({
            "iss": ISSUER, "aud": "app", "sub": "somebody", "tenant_id": "acme", "iat": now, "exp": now + 3600,
        });
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }

    /// A good token of `signer`.
    pub(super) fn good(&self, signer: &Signer) -> String {
        signer.token(&self.claims(json!({})))
    }

    pub(super) fn end_control_plane(&mut self) {
        if let Some(control) = self.control.take() {
            control.shutdown_timeout(Duration::from_secs(60));
        }
    }

    pub(super) fn pass(&self, span: Duration) {
        self.clock.shift(i64::try_from(span.as_millis()).unwrap());
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(control) = self.control.take() {
            control.shutdown_background();
        }
    }
}

/// The verdict on a good token of the first issuer.
pub(super) fn acme() -> TokenVerdict {
    TokenVerdict::Valid {
        issuer: 0,
        claim: Some(vec![slug("acme")]),
    }
}

pub(super) fn slug(text: &str) -> Option<LookupKey> {
    Some(LookupKey::Slug(Slug::parse(text).unwrap()))
}

pub(super) fn issuer(keys: TokenKeys, algorithms: &[TokenAlgorithm]) -> TokenIssuer {
    TokenIssuer {
        issuer: ISSUER.to_owned(),
        audience: vec!["app".to_owned(), "mobile".to_owned()],
        algorithms: algorithms.to_vec(),
        keys,
        claim: vec!["tenant_id".to_owned()],
        claim_required: true,
        cookie: None,
    }
}

/// A server that publishes the keys of `signers`.
pub(super) fn server_of(signers: &[&Signer]) -> JwksServer {
    JwksServer::start(Answer::Keys(jwks(signers)))
}

pub(super) fn jwks(signers: &[&Signer]) -> Vec<Value> {
    signers.iter().map(|signer| signer.jwk()).collect()
}

/// An issuer with one P-256 key called `k`, its key server, and a bench that has the key already.
pub(super) fn one_key() -> (Signer, JwksServer, Bench) {
    let signer = Signer::es256("k");
    let server = server_of(&[&signer]);
    let bench = Bench::with_server(&server, &[TokenAlgorithm::ES256]);
    bench.accepts(&bench.good(&signer));
    (signer, server, bench)
}
