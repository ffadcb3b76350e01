//! `explain URL`: what would become of a request, step by step. Reads the store of the configuration; sends nothing, takes nobody's
//! rate.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Uri};
use serde::Serialize;

use super::CliError;
use super::output::{self, OutputOption};
use super::session::with_store;
use crate::app::{StartError, tokens};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::decide::explain::{Explanation, Forwarded, Outcome, explain};
use crate::decide::{self, Policy};
use crate::metrics::Metrics;
use crate::model::{DomainPattern, Refusal, identity};
use crate::resolve::{Facts, Resolver};
use crate::seal::SealError;
use crate::sign::{Claims, Signer};
use crate::store::{
    Access, CertificateStore as _, ChallengeSource as _, Changes, OpenChallenges, Store,
    StoredCertificate,
};
use crate::tls::Inventory;
use crate::upstream::Upstreams;

mod coming;

use coming::{Coming, Door};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArguments {
    /// The address that a visitor would ask for
    pub url: Uri,
    /// The request's method
    #[arg(long, default_value = "GET", value_name = "M")]
    pub method: Method,
    /// A header field of the request; may be given several times
    #[arg(long = "header", value_name = "K: V", value_parser = header)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Where the connection comes from, as seen by the node: a visitor, or a proxy before it [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<IpAddr>,
    #[command(flatten)]
    pub(super) output: OutputOption,
}

/// An explanation with where it comes from.
#[derive(Serialize)]
struct Report {
    /// The request that was asked about, without its fields.
    request: String,
    /// Who was asked: the store, not a running node.
    asked: &'static str,
    #[serde(flatten)]
    explanation: Explanation,
}

impl ExplainArguments {
    /// What would be typed to ask about this request.
    pub fn new(method: Method, url: Uri, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self {
            url,
            method,
            headers,
            from: None,
            output: OutputOption::default(),
        }
    }

    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        let output = self.output;
        let request = format!("{} {}", self.method, self.url);
        let explanation = with_store(config, Access::Command, async |store: &Store| {
            self.explanation(config, store).await
        })?;
        let report = Report {
            request,
            asked: "the store, as it is now; no running node was asked",
            explanation,
        };
        output.print(&report, Report::text)
    }

    /// What becomes of the request under `config` and with what `store` holds now.
    pub async fn explanation(
        self,
        config: &Config,
        store: &Store,
    ) -> Result<Explanation, CliError> {
        let coming = Coming::new(self.method, &self.url, self.headers, self.from)?;
        let stored = stored_certificate(&coming, store).await?;
        let explainer = Explainer::new(config, store).await?;
        explainer.explain(coming, stored.as_ref()).await
    }
}

/// The parts that a decision needs, on a command's own store.
struct Explainer {
    door: Door,
    policy: Policy,
    resolver: Arc<Resolver>,
    challenges: Arc<OpenChallenges>,
    signer: Arc<Signer>,
    clock: Clock,
}

impl Explainer {
    async fn new(config: &Config, store: &Store) -> Result<Self, CliError> {
        let (clock, control) = (Clock::system(), tokio::runtime::Handle::current());
        let metrics = Metrics::new(0).map_err(StartError::Metrics)?;
        let source = Arc::new(store.clone());
        let resolver = Resolver::new(
            &config.cache,
            Some(source),
            control.clone(),
            clock.clone(),
            Arc::clone(&metrics),
        );
        let tokens = tokens(config, &control, &clock, &metrics)?;
        resolver.verify_tokens_with(Box::new(tokens));
        let upstreams =
            Upstreams::new(&config.upstreams, &[], &metrics).map_err(StartError::Upstream)?;
        let (inventory, _) =
            Inventory::load(&config.tls, metrics, clock.now()).map_err(StartError::Tls)?;
        if !config.edge.https.is_empty() {
            know_demands(&inventory, store).await?;
            if config.edge.redirect_https {
                know_names(&inventory, store, clock.now()).await?;
            }
        }
        let challenges = OpenChallenges::new(tokio::runtime::Handle::current());
        challenges.attach(store.clone());
        let signer =
            Signer::new(&config.signing, &config.upstreams, None).map_err(StartError::Sign)?;
        Ok(Self {
            door: Door::new(config),
            policy: Policy::new(config, upstreams, inventory),
            resolver,
            challenges,
            signer,
            clock,
        })
    }

    async fn explain(
        &self,
        coming: Coming,
        stored: Option<&StoredCertificate>,
    ) -> Result<Explanation, CliError> {
        let (visit, mut steps) = match self.door.enter(&coming, stored, &self.policy) {
            Ok(entered) => entered,
            Err(turned_away) => return Ok(*turned_away),
        };
        if let Some((name, token)) = decide::challenge(&coming.head, &visit) {
            let answer = self.challenges.http01(&name, token).await?;
            let found = coming::challenge(name, token, answer.is_some(), &mut steps);
            if let Some(answered) = found {
                return Ok(answered);
            }
        }
        let (head, visit) = (coming.head, &visit);
        let arrival = decide::arrive(&head, visit, None, &self.policy);
        let facts = match &arrival {
            Ok(arrival) => match decide::keys(arrival) {
                Some(keys) => self.resolver.facts(keys).await,
                None => Facts::default(),
            },
            Err(_) => Facts::default(),
        };
        let now = self.clock.now();
        let claims = |forward: &decide::Forward| {
            let claims = Claims {
                route: forward.route.as_deref(),
                upstream: &forward.upstream.name,
                sources: forward.sources,
                host: &forward.hostname,
            };
            self.signer.claims(&claims, now).ok()
        };
        let mut explanation = explain(
            head,
            visit,
            arrival.as_ref().map_err(Refusal::clone),
            &facts,
            now,
            &self.policy,
            claims,
        );
        explanation.steps.splice(0..0, steps);
        Ok(explanation)
    }
}

/// The certificate that the store has for the name that a visitor would ask one for.
async fn stored_certificate(
    coming: &Coming,
    store: &Store,
) -> Result<Option<StoredCertificate>, CliError> {
    let Some(name) = coming.server_name() else {
        return Ok(None);
    };
    let looked = store.certificate_for(&DomainPattern::Exact(name)).await?;
    Ok(looked.certificate.map(|certificate| certificate.about))
}

/// Gives `inventory` the store, and lets it know what names demand of their visitors. No certificate is opened.
async fn know_demands(inventory: &Inventory, store: &Store) -> Result<(), CliError> {
    let unseal = |_: &str, _: &[u8]| Err(SealError::OtherKey);
    inventory.expect_store(tokio::runtime::Handle::current(), Box::new(unseal));
    inventory.attach(Arc::new(store.clone()));
    inventory.refresh_policies().await?;
    Ok(())
}

/// Lets `inventory` know for which names the store has certificates.
async fn know_names(inventory: &Inventory, store: &Store, now: Timestamp) -> Result<(), CliError> {
    inventory.apply(&Changes::Lost(store.cursor().await?));
    inventory.refresh(now).await?;
    Ok(())
}

impl Report {
    fn text(&self) -> String {
        let mut pairs = vec![
            ("request", self.request.clone()),
            ("asked", self.asked.to_owned()),
        ];
        if let Some(visitor) = self.explanation.visitor {
            pairs.push(("visitor", visitor.to_string()));
        }
        if let (Some(host), Some(class)) = (&self.explanation.host, self.explanation.class) {
            pairs.push(("host", format!("{host} ({class})")));
        }
        for step in &self.explanation.steps {
            let asked = step
                .asked
                .as_ref()
                .map(|asked| format!("{asked} -> "))
                .unwrap_or_default();
            pairs.push((step.source, format!("{asked}{}", step.found)));
        }
        match &self.explanation.outcome {
            Outcome::Forward(forward) => return self.forwarded(pairs, forward),
            Outcome::Handshake { reason } => pairs.push(("refused", reason.clone())),
            Outcome::Answer { status, answer } => {
                pairs.push(("answer", format!("{status}, {answer}")))
            }
            Outcome::Refusal {
                code,
                status,
                detail,
                reason,
            } => {
                pairs.push(("refusal", format!("{status} {code}: {detail}")));
                pairs.extend(reason.iter().map(|reason| ("reason", reason.to_string())));
            }
        }
        output::facts(pairs)
    }

    fn forwarded(&self, mut pairs: Vec<(&'static str, String)>, forward: &Forwarded) -> String {
        let tenant = match (&forward.slug, &forward.tenant) {
            (Some(slug), Some(id)) => format!("{slug} ({id})"),
            _ => "nobody".to_owned(),
        };
        let limits = &forward.limits;
        let or_none = |value: u64| {
            if value == 0 {
                "none".to_owned()
            } else {
                value.to_string()
            }
        };
        pairs.extend([
            ("tenant", tenant),
            (
                "via",
                match forward.agree.is_empty() {
                    true => forward.via.to_owned(),
                    false => format!("{} (named by {})", forward.via, forward.agree.join(", ")),
                },
            ),
            (
                "limits",
                format!(
                    "requests per second {}, burst {}, in flight {}, body {} bytes",
                    or_none(limits.requests_per_second.into()),
                    or_none(limits.burst.into()),
                    or_none(limits.in_flight.into()),
                    limits.body
                ),
            ),
            ("upstream", forward.upstream.clone()),
            ("target", forward.target.clone()),
        ]);
        let mut text = output::facts(pairs);
        text.push_str("\n\nfields that the upstream would be sent:\n");
        let lines = forward.headers.iter().map(|(name, value)| {
            let claims = forward.claims.as_ref();
            match claims.filter(|_| *name == identity::TENANT_ASSERTION.as_str()) {
                Some(claims) => format!("  {name}: {value} {claims}"),
                None => format!("  {name}: {value}"),
            }
        });
        text.push_str(&lines.collect::<Vec<_>>().join("\n"));
        text
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write it as 'Name: value'")?;
    let name = name
        .trim()
        .parse::<HeaderName>()
        .map_err(|error| error.to_string())?;
    // The value's own error would show it, and it may be a token.
    let value = value
        .trim()
        .parse::<HeaderValue>()
        .map_err(|_| "the value has a character that no header field may have")?;
    Ok((name, value))
}
