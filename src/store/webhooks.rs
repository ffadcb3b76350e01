//! Webhooks: who wants to hear of what, and the secrets that what they hear is signed with, sealed. What is sent stands in
//! `deliveries.rs`.

use std::time::Duration;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::model::{EventKind, Secret, Slug, TenantId, WebhookUrl};
use crate::seal::Sealer;

use super::session::Session;
use super::signing_keys::{KEYS_LOCK, check_sealed_by};
use super::tenant_rows::{self as tenants, corrupt};
use super::tenants::TenantRef;
use super::values::{Arg, Row};
use super::writing::Writing;
use super::{READ, Store, StoreError, WRITE};

/// A webhook to be made.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// Where events are sent.
    pub url: WebhookUrl,
    /// Which; empty for all, those of later versions too.
    pub events: Vec<EventKind>,
    /// Only those of this tenant.
    pub tenant: Option<TenantRef>,
    /// Whether it may lead to addresses that are nobody's on the internet.
    pub allow_private: bool,
}

/// A webhook, without its secrets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Webhook {
    /// What it is known by.
    pub id: Uuid,
    /// Where events are sent; shown without the query, which may hold a password.
    #[serde(serialize_with = "as_text")]
    pub url: WebhookUrl,
    /// Which; empty for all.
    pub events: Vec<EventKind>,
    /// Only those of this tenant.
    pub tenant: Option<TenantId>,
    /// Its slug.
    pub tenant_slug: Option<Slug>,
    /// Whether it may lead to addresses that are nobody's on the internet.
    pub allow_private: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// Since when nothing is sent, in milliseconds since 1970; what happens meanwhile waits.
    pub paused_at: Option<i64>,
    /// Why nothing is sent.
    pub paused_why: Option<String>,
    /// Since when every attempt has failed, in milliseconds since 1970.
    pub failing_since: Option<i64>,
    /// Until when what is sent is signed with the secret before this one too, in milliseconds since 1970.
    pub old_secret_until: Option<i64>,
    /// Deliveries that wait.
    pub pending: i64,
}

/// Selects what [`read`] reads.
macro_rules! webhook_columns {
    () => {
        "select w.id as id, w.url as url, w.kinds as kinds, w.tenant as tenant, t.slug as tenant_slug, \
         w.allow_private as allow_private, w.created_at as created_at, w.paused_at as paused_at, w.paused_why as paused_why, \
         w.failing_since as failing_since, w.old_secret_until as old_secret_until, \
         (select count(*) from deliveries d where d.webhook = w.id and d.state = 'pending') as pending \
         from webhooks w left join tenants t on t.id = w.tenant "
    };
}
/// What the secrets of the webhook `id` are sealed for.
pub(super) fn purpose(id: Uuid) -> String {
    format!("webhook secret {id}")
}

impl Store {
    /// Makes a webhook, which hears of what happens from now on. Its secret is sealed with `sealer`; refused where that is not the one
    /// that sealed what the store holds.
    pub async fn add_webhook(
        &self,
        new: &NewWebhook,
        secret: &Secret,
        sealer: &Sealer,
    ) -> Result<Webhook, StoreError> {
        let work = async {
            let mut tx = self.sealing(sealer).await?;
            let tenant = match &new.tenant {
                Some(tenant) => Some(tenants::present(&mut tx, tenant).await?.id),
                None => None,
            };
            let (id, now) = (tx.new_uuid(), tx.now().0);
            let sealed = sealer.seal(&purpose(id), secret.expose());
            let kinds = joined(&new.events);
            tx.run(
                "insert into webhooks (id, url, kinds, tenant, allow_private, sealed_secret, created_at, hold_until) \
                 values ($1, $2, $3, $4, $5, $6, $7, 0)",
                &[
                    id.into(),
                    new.url.as_str().into(),
                    (&kinds).into(),
                    tenant.map(|tenant| tenant.0).into(),
                    i64::from(new.allow_private).into(),
                    sealed.as_slice().into(),
                    now.into(),
                ],
            )
            .await?;
            let private = if new.allow_private {
                ", private addresses allowed"
            } else {
                ""
            };
            let detail = format!("{}{private}", new.url);
            tx.audit("webhook.add", &id.to_string(), &detail).await?;
            let made = one(&mut tx, id).await?;
            tx.finish_unannounced().await?;
            Ok(made)
        };
        self.timed("webhook_add", WRITE, work).await
    }

    /// Every webhook, oldest first.
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let rows = session
                .rows(
                    concat!(webhook_columns!(), "order by w.created_at, w.id"),
                    &[],
                )
                .await?;
            rows.iter().map(read).collect()
        };
        self.timed("webhooks", READ, work).await
    }

    /// The webhook `id`.
    pub async fn webhook(&self, id: Uuid) -> Result<Webhook, StoreError> {
        let work = async { one(&mut self.inner.reading().await?, id).await };
        self.timed("webhook", READ, work).await
    }

    /// Sends it nothing from now on; what happens waits.
    pub async fn pause_webhook(&self, id: Uuid) -> Result<Webhook, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            pause(&mut tx, id, "paused by an operator").await?;
            let paused = one(&mut tx, id).await?;
            tx.finish_unannounced().await?;
            Ok(paused)
        };
        self.timed("webhook_pause", WRITE, work).await
    }

    /// Sends again, what waits at once, as if nothing of it had been tried.
    pub async fn resume_webhook(&self, id: Uuid) -> Result<Webhook, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let now = tx.now().0;
            tx.run(
                "update webhooks set paused_at = null, paused_why = null, failing_since = null, hold_until = 0 where id = $1",
                &[id.into()],
            )
            .await?;
            tx.run(
                "update deliveries set due_at = $2, attempts = 0, tried_from = null \
                 where webhook = $1 and state = 'pending' and lease is null",
                &[id.into(), now.into()],
            )
            .await?;
            let resumed = one(&mut tx, id).await?;
            tx.audit("webhook.resume", &id.to_string(), "").await?;
            tx.finish_unannounced().await?;
            Ok(resumed)
        };
        self.timed("webhook_resume", WRITE, work).await
    }

    /// Gives it another secret. What is sent for `overlap` from now on is signed with both.
    pub async fn rotate_webhook(
        &self,
        id: Uuid,
        secret: &Secret,
        sealer: &Sealer,
        overlap: Duration,
    ) -> Result<Webhook, StoreError> {
        let work = async {
            let mut tx = self.sealing(sealer).await?;
            let until = tx.now().plus(overlap).0;
            let sealed = sealer.seal(&purpose(id), secret.expose());
            tx.run(
                "update webhooks set sealed_old_secret = sealed_secret, old_secret_until = $3, sealed_secret = $2 where id = $1",
                &[id.into(), sealed.as_slice().into(), until.into()],
            )
            .await?;
            let rotated = one(&mut tx, id).await?;
            tx.audit("webhook.rotate", &id.to_string(), "").await?;
            tx.finish_unannounced().await?;
            Ok(rotated)
        };
        self.timed("webhook_rotate", WRITE, work).await
    }

    /// Ends a webhook, with all that waits for it. Returns what it was.
    pub async fn remove_webhook(&self, id: Uuid) -> Result<Webhook, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let gone = one(&mut tx, id).await?;
            tx.run("delete from webhooks where id = $1", &[id.into()])
                .await?;
            let detail = format!("{}, {} waited for it", gone.url, gone.pending);
            tx.audit("webhook.remove", &id.to_string(), &detail).await?;
            tx.finish_unannounced().await?;
            Ok(gone)
        };
        self.timed("webhook_remove", WRITE, work).await
    }

    /// Begins a change that seals something: nobody seals everything anew meanwhile, and would leave it behind.
    async fn sealing(&self, sealer: &Sealer) -> Result<Writing, StoreError> {
        let mut tx = self.writing().await?;
        tx.lock(KEYS_LOCK).await?;
        check_sealed_by(&mut tx, sealer).await?;
        Ok(tx)
    }
}

/// Sends it nothing from now on. One that is paused stays so, for the reason it was.
pub(super) async fn pause(tx: &mut Writing, id: Uuid, why: &str) -> Result<(), StoreError> {
    let now = tx.now().0;
    let paused = tx
        .run(
            "update webhooks set paused_at = $2, paused_why = $3 where id = $1 and paused_at is null",
            &[id.into(), now.into(), why.into()],
        )
        .await?;
    match paused {
        0 => Ok(()),
        _ => tx.audit("webhook.pause", &id.to_string(), why).await,
    }
}

/// One sealed secret, where there is any.
pub(super) async fn any_sealed(session: &mut Session) -> Result<Option<Vec<u8>>, StoreError> {
    let row = session
        .row("select sealed_secret from webhooks limit 1", &[])
        .await?;
    row.map(|row| row.get("sealed_secret")).transpose()
}

/// Puts what `reseal` makes of every secret (given with its purpose) in its place; how many webhooks there were.
pub(super) async fn reseal<E: From<StoreError>>(
    tx: &mut Writing,
    reseal: impl Fn(&str, &[u8]) -> Result<Vec<u8>, E>,
) -> Result<usize, E> {
    let rows = tx
        .rows(
            "select id, sealed_secret, sealed_old_secret from webhooks",
            &[],
        )
        .await?;
    for row in &rows {
        let id: Uuid = row.get("id")?;
        let purpose = purpose(id);
        let secret = reseal(&purpose, row.get("sealed_secret")?)?;
        let old: Option<&[u8]> = row.get("sealed_old_secret")?;
        let old = old.map(|old| reseal(&purpose, old)).transpose()?;
        let args = [
            id.into(),
            secret.as_slice().into(),
            Arg::Bytes(old.as_deref()),
        ];
        tx.run(
            "update webhooks set sealed_secret = $2, sealed_old_secret = $3 where id = $1",
            &args,
        )
        .await?;
    }
    Ok(rows.len())
}

async fn one(session: &mut Session, id: Uuid) -> Result<Webhook, StoreError> {
    let row = session
        .row(concat!(webhook_columns!(), "where w.id = $1"), &[id.into()])
        .await?;
    read(&row.ok_or(StoreError::UnknownWebhook(id))?)
}

fn read(row: &Row) -> Result<Webhook, StoreError> {
    let slug: Option<&str> = row.get("tenant_slug")?;
    let slug = slug.map(|slug| Slug::parse(slug).map_err(|_| corrupt("slug", slug)));
    let kinds: &str = row.get("kinds")?;
    let kind =
        |name: &str| EventKind::from_name(name).ok_or_else(|| corrupt("kind of event", name));
    Ok(Webhook {
        id: row.get("id")?,
        url: url(row)?,
        events: kinds
            .split_whitespace()
            .map(kind)
            .collect::<Result<_, _>>()?,
        tenant: row.get::<Option<Uuid>>("tenant")?.map(TenantId),
        tenant_slug: slug.transpose()?,
        allow_private: row.get::<i64>("allow_private")? != 0,
        created_at: row.get("created_at")?,
        paused_at: row.get("paused_at")?,
        paused_why: row.get("paused_why")?,
        failing_since: row.get("failing_since")?,
        old_secret_until: row.get("old_secret_until")?,
        pending: row.get("pending")?,
    })
}

/// Reads `url`.
pub(super) fn url(row: &Row) -> Result<WebhookUrl, StoreError> {
    let text: &str = row.get("url")?;
    // What is wrong with it could be that there is a password in it.
    WebhookUrl::parse(text).map_err(|_| corrupt("webhook's URL", "(not shown)"))
}

/// ` domain.active domain.lapsed `: each between spaces, so that it is found by a pattern. Empty for all.
fn joined(kinds: &[EventKind]) -> String {
    let each = kinds.iter().map(|kind| format!(" {}", kind.as_str()));
    let mut joined: String = each.collect();
    if !joined.is_empty() {
        joined.push(' ');
    }
    joined
}

fn as_text<S: Serializer>(url: &WebhookUrl, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(url)
}
