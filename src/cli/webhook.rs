//! `webhook …`: receivers that are told what happens.

use std::time::Duration;

use clap::Subcommand;
use uuid::Uuid;

use super::output::OutputOption;
use super::{CliError, error, session};
use crate::clock::Clock;
use crate::config::Config;
use crate::model::{EventKind, Secret, WebhookUrl, WebhookUrlError};
use crate::seal::Sealer;
use crate::sign::keys;
use crate::store::{Access, DeliveryOutcome, NewWebhook, Store, StoreError, TenantRef};
use crate::tasks::webhooks::{Courier, LEASE, LIMIT, Sender, draw_secret};
use crate::tls;

mod show;

/// Deliveries that `show` lists.
const LAST: u32 = 20;

/// Verbs on webhooks. ID is what `list` shows.
#[derive(Debug, Subcommand)]
pub(super) enum WebhookVerb {
    /// Tell a receiver what happens from now on; its secret is shown once
    Add {
        /// Where it listens: https, or http on this machine
        #[arg(value_parser = url)]
        url: WebhookUrl,
        /// Tell it of this, as in domain.active; may be given several times
        #[arg(long = "event", value_name = "KIND", value_parser = kind, conflicts_with = "all")]
        events: Vec<EventKind>,
        /// Tell it of everything, of what later versions bring too
        #[arg(long)]
        all: bool,
        /// Only of this tenant's names
        #[arg(long)]
        tenant: Option<TenantRef>,
        /// Let it be in a private network, or on this machine
        #[arg(long)]
        allow_private: bool,
        #[command(flatten)]
        output: OutputOption,
    },
    /// List webhooks
    List {
        #[command(flatten)]
        output: OutputOption,
    },
    /// Show a webhook and what became of its last deliveries
    Show {
        id: Uuid,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Send a ping now, from here, and say what the receiver answered
    Test {
        id: Uuid,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Send nothing for now; what happens meanwhile waits, for thirty days
    Pause {
        id: Uuid,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Send again, what waits at once
    Resume {
        id: Uuid,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Give a webhook another secret, shown once; for some time what is sent is signed with both
    Rotate {
        id: Uuid,
        /// For so many hours the old secret counts too
        #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=720))]
        overlap: u32,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Send one delivery again; DELIVERY is its number, as `show` lists it
    Redeliver {
        delivery: i64,
        #[command(flatten)]
        output: OutputOption,
    },
    /// End a webhook, with all that waits for it
    Remove {
        id: Uuid,
        /// Confirm that what waits for it goes too
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        output: OutputOption,
    },
}

impl WebhookVerb {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        match &self {
            Self::Add {
                events, all: false, ..
            } if events.is_empty() => {
                let what = "of what is it to be told? --event KIND says of one kind, --all of all";
                return Err(CliError::Usage(what.to_owned()));
            }
            Self::Add {
                url,
                allow_private: false,
                ..
            } if url.is_private() => {
                let what = format!(
                    "{url} leads to an address that is nobody's on the internet; --allow-private lets it"
                );
                return Err(CliError::Usage(what));
            }
            Self::Remove { id, yes: false, .. } => {
                let what = format!("removing webhook {id}, with all that waits for it,");
                return Err(CliError::NotConfirmed(what));
            }
            _ => {}
        }
        session::with_store(config, Access::Command, async |store| {
            self.act(config, store).await
        })
    }

    async fn act(self, config: &Config, store: &Store) -> Result<(), CliError> {
        match self {
            Self::Add {
                url,
                events,
                all: _,
                tenant,
                allow_private,
                output,
            } => {
                let new = NewWebhook {
                    url,
                    events,
                    tenant,
                    allow_private,
                };
                add(config, store, &new, output).await
            }
            Self::List { output } => show::many(output, &store.webhooks().await?),
            Self::Show { id, output } => {
                let webhook = store.webhook(id).await?;
                show::whole(output, webhook, store.deliveries(id, LAST).await?)
            }
            Self::Test { id, output } => test(config, store, id, output).await,
            Self::Pause { id, output } => show::one(output, &store.pause_webhook(id).await?),
            Self::Resume { id, output } => show::one(output, &store.resume_webhook(id).await?),
            Self::Rotate {
                id,
                overlap,
                output,
            } => {
                let (sealer, secret) = (sealer(config, store).await?, draw_secret()?);
                let overlap = Duration::from_secs(u64::from(overlap) * 3_600);
                let webhook = store.rotate_webhook(id, &secret, &sealer, overlap).await?;
                with_secret(output, webhook, &secret)
            }
            Self::Redeliver { delivery, output } => {
                show::delivery(output, &store.redeliver(delivery).await?)
            }
            Self::Remove { id, output, .. } => {
                show::removed(output, &store.remove_webhook(id).await?)
            }
        }
    }
}

async fn add(
    config: &Config,
    store: &Store,
    new: &NewWebhook,
    output: OutputOption,
) -> Result<(), CliError> {
    let (sealer, secret) = (sealer(config, store).await?, draw_secret()?);
    let webhook = store.add_webhook(new, &secret, &sealer).await?;
    with_secret(output, webhook, &secret)
}

fn with_secret(
    output: OutputOption,
    webhook: crate::store::Webhook,
    secret: &Secret,
) -> Result<(), CliError> {
    show::with_secret(output, webhook, secret)?;
    error::note("the secret is not shown again; the receiver checks signatures with it");
    Ok(())
}

/// Sends a ping from here, whatever nodes run.
async fn test(
    config: &Config,
    store: &Store,
    id: Uuid,
    output: OutputOption,
) -> Result<(), CliError> {
    let path = config.store.secret_key_file.clone();
    let sealer = Sealer::open(&path)?.ok_or(StoreError::SealingKeyMissing { path })?;
    let trust = tls::client_config(None).map_err(crate::app::StartError::Webhooks)?;
    let courier = Courier {
        store: store.clone(),
        sender: Sender::new(trust, LIMIT),
        unseal: Box::new(move |purpose, sealed| sealer.unseal(purpose, sealed)),
        clock: Clock::system(),
    };
    let due = store.ping_webhook(id, LEASE).await?;
    let (reply, outcome) = courier.carry(&due).await?;
    let sent = store.deliveries(id, LAST).await?.into_iter();
    if let Some(delivery) = sent.into_iter().find(|delivery| delivery.id == due.id) {
        show::delivery(output, &delivery)?;
    }
    match outcome {
        Some(DeliveryOutcome::Delivered) => Ok(()),
        _ => Err(CliError::Undelivered {
            webhook: id,
            why: reply.fault().unwrap_or_default(),
        }),
    }
}

/// The key that seals what the store holds; where there has been no node yet, made as its first run would.
async fn sealer(config: &Config, store: &Store) -> Result<Sealer, CliError> {
    let now = Clock::system().now();
    let make = |sealer: &Sealer| keys::generate(sealer, now);
    Ok(store.first_run(&config.store.secret_key_file, make).await?)
}

fn url(text: &str) -> Result<WebhookUrl, WebhookUrlError> {
    WebhookUrl::parse(text)
}

fn kind(text: &str) -> Result<EventKind, String> {
    let known = EventKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == text);
    known.ok_or_else(|| {
        let all = EventKind::ALL.map(EventKind::as_str).join(", ");
        format!("there are {all}")
    })
}
