//! Certificates on standard output.

use serde::Serialize;

use super::waits::Waits;
use crate::cli::CliError;
use crate::cli::output::{self, OutputOption};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::model::{Check, DomainPattern};
use crate::store::{Date, Store, StoreError, StoredCertificate};

/// Names asked for at once.
const PAGE: u32 = 1000;

/// A certificate as it is printed: nothing of its key.
#[derive(Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    certificate: StoredCertificate,
    state: &'static str,
}

impl Row {
    pub(super) fn new(certificate: StoredCertificate, now: Timestamp) -> Self {
        let state = if certificate.not_after <= now.0 {
            "expired"
        } else if now.0 < certificate.not_before {
            "not_yet_valid"
        } else {
            "valid"
        };
        Self { certificate, state }
    }

    pub(super) fn hostname(&self) -> &DomainPattern {
        &self.certificate.pattern
    }

    fn names(&self) -> String {
        let names = self.certificate.names.iter();
        names
            .map(DomainPattern::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Prints all names with their certificates.
pub(super) async fn list(
    output: OutputOption,
    store: &Store,
    now: Timestamp,
) -> Result<(), CliError> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = store.certificates(after.as_ref(), PAGE).await?;
        rows.extend(page.items.into_iter().map(|it| Row::new(it, now)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    output.print(&rows, |rows| {
        let cells = rows.iter().map(|row| {
            let certificate = &row.certificate;
            [
                certificate.pattern.to_string(),
                row.state.to_owned(),
                Date(certificate.not_after).to_string(),
                certificate.source.as_str().to_owned(),
                certificate.fingerprint.chars().take(16).collect(),
            ]
        });
        output::table(
            ["hostname", "state", "expires", "source", "fingerprint"],
            cells,
        )
    })
}

/// How the ordering of a name's certificate stands.
#[derive(Serialize)]
struct OrderShown {
    stage: &'static str,
    ca: Option<String>,
    failures: u32,
    last_error: Option<String>,
    /// What it waits for though nothing is wrong, and until when.
    waits_for: Option<String>,
    waits_until: Option<i64>,
    /// What the look before an order found, where it kept one from being placed.
    checks: Vec<Check>,
    renew_at: Option<i64>,
    next_at: i64,
}

/// A certificate, and how its renewal stands where one is ordered here.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    row: Option<Row>,
    order: Option<OrderShown>,
}

/// Prints what visitors of a name are shown, and what is ordered for it. A name that has neither is an error.
pub(super) async fn name(
    output: OutputOption,
    config: &Config,
    store: &Store,
    hostname: &DomainPattern,
    now: Timestamp,
) -> Result<(), CliError> {
    let order = store.order(hostname).await?;
    let waits = Waits::of(config, store, order.as_ref(), now).await?;
    let row = match store.certificate(hostname).await {
        Ok(found) => Some(Row::new(found.about, now)),
        Err(StoreError::UnknownCertificate(_)) if order.is_some() => None,
        Err(error) => return Err(error.into()),
    };
    let order = order.map(|order| OrderShown {
        stage: order.stage.as_str(),
        ca: order.issued_by.or(order.ca),
        failures: order.failures,
        last_error: order.last_error,
        waits_until: waits.as_ref().map(|it| it.until),
        waits_for: waits.map(|it| it.why),
        checks: order.checks.to_vec(),
        renew_at: order.renew_at,
        next_at: order.next_at,
    });
    output.print(&Shown { row, order }, |shown| {
        let head = ("hostname", hostname.to_string());
        let mut facts = match &shown.row {
            Some(row) => of_row(row),
            None => vec![head, ("state", "ordered".to_owned())],
        };
        facts.extend(shown.order.iter().flat_map(of_order));
        output::facts(facts)
    })
}

fn of_order(order: &OrderShown) -> Vec<(&'static str, String)> {
    let mut facts = vec![("order", order.stage.to_owned())];
    facts.extend(order.ca.clone().map(|ca| ("ca", ca)));
    facts.extend(order.renew_at.map(|at| ("renewal", output::moment(at))));
    if let Some(error) = &order.last_error {
        facts.push(("failures", order.failures.to_string()));
        facts.push(("last failure", error.clone()));
    }
    facts.extend(order.waits_for.clone().map(|why| ("waits for", why)));
    if order.last_error.is_some() || order.waits_for.is_some() {
        let next = order.waits_until.unwrap_or(order.next_at);
        facts.push(("next try", output::moment(next)));
        let hints = order.checks.iter().filter_map(|check| check.hint.clone());
        facts.extend(hints.map(|hint| ("to do", hint)));
    }
    facts
}

/// Prints one certificate.
pub(super) fn one(
    output: OutputOption,
    certificate: StoredCertificate,
    now: Timestamp,
) -> Result<(), CliError> {
    output.print(&Row::new(certificate, now), |row| {
        output::facts(of_row(row))
    })
}

fn of_row(row: &Row) -> Vec<(&'static str, String)> {
    let certificate = &row.certificate;
    let mut facts = vec![
        ("hostname", certificate.pattern.to_string()),
        ("names", row.names()),
        ("state", row.state.to_owned()),
        ("valid from", output::moment(certificate.not_before)),
        ("expires", output::moment(certificate.not_after)),
        ("source", certificate.source.as_str().to_owned()),
        ("kept since", output::moment(certificate.created_at)),
        ("fingerprint", certificate.fingerprint.clone()),
    ];
    facts.extend(certificate.former_tenant.map(|tenant| {
        let what = format!("a former tenant's ({tenant}): it counts for no other's claim");
        ("brought as", what)
    }));
    facts
}
