//! How webhooks are printed.

use serde::Serialize;

use crate::cli::CliError;
use crate::cli::output::{self, OutputOption};
use crate::model::{EventKind, Secret};
use crate::store::{Delivery, DeliveryState, Webhook};
use crate::tasks::webhooks::secret_text;

/// A webhook with its secret, this once.
#[derive(Serialize)]
struct WithSecret<'s> {
    #[serde(flatten)]
    webhook: Webhook,
    secret: &'s str,
}

/// A webhook with its last deliveries.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    webhook: Webhook,
    deliveries: Vec<Delivery>,
}

/// With its secret.
pub(super) fn with_secret(
    output: OutputOption,
    webhook: Webhook,
    secret: &Secret,
) -> Result<(), CliError> {
    let text = secret_text(secret);
    let shown = WithSecret {
        webhook,
        secret: &text,
    };
    output.print(&shown, |shown| {
        let mut facts = facts(&shown.webhook);
        facts.push(("secret", shown.secret.to_owned()));
        output::facts(facts)
    })
}

/// Without.
pub(super) fn one(output: OutputOption, webhook: &Webhook) -> Result<(), CliError> {
    output.print(webhook, |webhook| output::facts(facts(webhook)))
}

/// What it was.
pub(super) fn removed(output: OutputOption, webhook: &Webhook) -> Result<(), CliError> {
    output.print(webhook, |webhook| {
        format!("{} at {} is told nothing any more", webhook.id, webhook.url)
    })
}

/// A list.
pub(super) fn many(output: OutputOption, webhooks: &[Webhook]) -> Result<(), CliError> {
    output.print(&webhooks, |webhooks| {
        let row = |webhook: &Webhook| {
            [
                webhook.id.to_string(),
                webhook.url.to_string(),
                events(webhook),
                tenant(webhook),
                state(webhook).to_owned(),
                webhook.pending.to_string(),
            ]
        };
        let header = ["id", "url", "events", "tenant", "state", "pending"];
        output::table(header, webhooks.iter().map(row))
    })
}

/// With its last deliveries.
pub(super) fn whole(
    output: OutputOption,
    webhook: Webhook,
    deliveries: Vec<Delivery>,
) -> Result<(), CliError> {
    let whole = Whole {
        webhook,
        deliveries,
    };
    output.print(&whole, |whole| {
        let facts = output::facts(facts(&whole.webhook));
        match whole.deliveries.as_slice() {
            [] => facts,
            deliveries => format!("{facts}\n\n{}", table(deliveries)),
        }
    })
}

/// One delivery.
pub(super) fn delivery(output: OutputOption, delivery: &Delivery) -> Result<(), CliError> {
    output.print(delivery, |delivery| table(std::slice::from_ref(delivery)))
}

fn facts(webhook: &Webhook) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("id", webhook.id.to_string()),
        ("url", webhook.url.to_string()),
        ("events", events(webhook)),
        ("tenant", tenant(webhook)),
        ("state", state(webhook).to_owned()),
        ("pending", webhook.pending.to_string()),
        ("created", output::moment(webhook.created_at)),
    ];
    if webhook.allow_private {
        facts.push(("private addresses", "allowed".to_owned()));
    }
    let paused = webhook.paused_at.zip(webhook.paused_why.as_deref());
    if let Some((at, why)) = paused {
        facts.push(("paused", format!("{}: {why}", output::moment(at))));
    }
    if let Some(since) = webhook.failing_since {
        facts.push(("failing since", output::moment(since)));
    }
    if let Some(until) = webhook.old_secret_until {
        facts.push(("old secret until", output::moment(until)));
    }
    facts
}

fn state(webhook: &Webhook) -> &'static str {
    match (webhook.paused_at, webhook.failing_since) {
        (Some(_), _) => "paused",
        (None, Some(_)) => "failing",
        (None, None) => "active",
    }
}

fn events(webhook: &Webhook) -> String {
    let names: Vec<_> = webhook
        .events
        .iter()
        .map(|kind| EventKind::as_str(*kind))
        .collect();
    match names.as_slice() {
        [] => "all".to_owned(),
        names => names.join(" "),
    }
}

fn tenant(webhook: &Webhook) -> String {
    match (&webhook.tenant_slug, webhook.tenant) {
        (Some(slug), _) => slug.to_string(),
        (None, Some(id)) => id.to_string(),
        (None, None) => "-".to_owned(),
    }
}

fn table(deliveries: &[Delivery]) -> String {
    let row = |delivery: &Delivery| {
        let state = match delivery.state {
            DeliveryState::Pending => "pending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "failed",
        };
        let moment = |at: Option<i64>| at.map_or_else(|| "-".to_owned(), output::moment);
        let said = match (&delivery.error, delivery.status) {
            (Some(error), _) => error.clone(),
            (None, Some(status)) => format!("status {status}"),
            (None, None) => "-".to_owned(),
        };
        [
            delivery.id.to_string(),
            delivery.kind.as_str().to_owned(),
            delivery.subject.clone(),
            state.to_owned(),
            delivery.attempts.to_string(),
            moment(delivery.tried_at),
            moment(delivery.due_at),
            said,
        ]
    };
    let header = [
        "delivery",
        "event",
        "of",
        "state",
        "attempts",
        "last tried",
        "next try",
        "last answer",
    ];
    output::table(header, deliveries.iter().map(row))
}
