//! Open challenges of certificate authorities: published by the node that orders, answered by whichever node the CA comes to.
//!
//! A key authorization is no secret and a challenge lasts minutes, so that nothing here is sealed, audited or in the feed.

use std::collections::HashMap;

use futures_util::future::BoxFuture;

use crate::clock::Timestamp;
use crate::model::challenge::{delegation_label, txt_value};
use crate::model::{ChallengeKind, Hostname};

use super::tenant_rows::corrupt;
use super::values::Row;
use super::{READ, Store, StoreError, WRITE};

mod open;

pub use open::OpenChallenges;

/// Challenges that are answered at once, the latest ones where there are more: no fleet within a CA's limits comes near.
const MOST: i64 = 10_000;

/// One challenge that stands until its CA has looked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// The name that is proved, without `*.`: a wildcard's challenge stands for the name below which it is. Several challenges of
    /// one kind may stand for a name at once.
    pub name: Hostname,
    /// How it is proved.
    pub kind: ChallengeKind,
    /// The CA's token (see [`is_token`](crate::model::challenge::is_token)).
    pub token: String,
    /// What is answered, or made into an answer (RFC 8555 section 8.1).
    pub key_authorization: String,
    /// When it is no longer answered whatever became of it, in milliseconds since 1970.
    pub expires_at: i64,
}

/// What is answered to CAs now. A seam for the data plane and the name server.
///
/// An implementer keeps: what was published anywhere in the fleet before the call is in the answer, also where the same was asked for
/// a moment too early; no flood of questions becomes a flood to the store. May be awaited on any thread.
pub trait ChallengeSource: Send + Sync + 'static {
    /// The key authorization for `token` on `name`, which is matched exactly (RFC 8555 section 8.3).
    fn http01<'a>(
        &'a self,
        name: &'a Hostname,
        token: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>>;
    /// The key authorizations of `name` to be shown in a handshake, the latest first (RFC 8737).
    fn tls_alpn01<'a>(
        &'a self,
        name: &'a Hostname,
    ) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;
    /// Whether there was something at `label` in our own zone when anybody last looked. Asks nobody, and says nothing of now: it tells
    /// questions that are likely meant from made-up ones.
    fn had_dns01(&self, label: &str) -> bool;
    /// The TXT values at `label` in our own zone ([`delegation_label`]), the latest first.
    fn dns01<'a>(&'a self, label: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;
}

/// Every open challenge as of one statement, by what it is asked for with.
#[derive(Default)]
struct Standing {
    http01: HashMap<Hostname, Vec<(String, String)>>,
    tls_alpn01: HashMap<Hostname, Vec<String>>,
    dns01: HashMap<String, Vec<String>>,
}

impl Store {
    /// Lets every node answer `challenge`, from the next question on. Published again it has the later content and end.
    pub async fn publish_challenge(&self, challenge: &Challenge) -> Result<(), StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.run(
                "insert into challenges (name, kind, token, key_authorization, expires_at) values ($1, $2, $3, $4, $5) \
                 on conflict (name, kind, token) do update set \
                 key_authorization = excluded.key_authorization, expires_at = excluded.expires_at",
                &[
                    challenge.name.as_str().into(),
                    challenge.kind.as_str().into(),
                    (&challenge.token).into(),
                    (&challenge.key_authorization).into(),
                    challenge.expires_at.into(),
                ],
            )
            .await?;
            tx.finish_unannounced().await
        };
        self.timed("challenge_publish", WRITE, work).await
    }

    /// Ends the challenges of `name` (see [`Challenge::name`]), or the one with `token`; how many there were. A node may still answer
    /// them for a second.
    pub async fn withdraw_challenges(
        &self,
        name: &Hostname,
        token: Option<&str>,
    ) -> Result<u64, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let gone = tx
                .run(
                    "delete from challenges where name = $1 and ($2 is null or token = $2)",
                    &[name.as_str().into(), token.into()],
                )
                .await?;
            tx.finish_unannounced().await?;
            Ok(gone)
        };
        self.timed("challenge_withdraw", WRITE, work).await
    }

    /// Clears away what has expired, which is not answered any more; how many there were.
    pub async fn prune_challenges(&self) -> Result<u64, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let now = tx.now().0;
            let gone = tx
                .run(
                    "delete from challenges where expires_at <= $1",
                    &[now.into()],
                )
                .await?;
            tx.finish_unannounced().await?;
            Ok(gone)
        };
        self.timed("challenge_prune", WRITE, work).await
    }

    /// Everything that is to be answered now.
    async fn standing_challenges(&self) -> Result<Standing, StoreError> {
        let work = async {
            let now: Timestamp = self.inner.clock.now();
            let mut session = self.inner.reading().await?;
            let rows = session
                .rows(
                    "select name, kind, token, key_authorization from challenges where expires_at > $1 \
                     order by expires_at desc, token limit $2",
                    &[now.0.into(), MOST.into()],
                )
                .await?;
            let mut standing = Standing::default();
            rows.iter().try_for_each(|row| standing.put(row))?;
            Ok(standing)
        };
        self.timed("challenges", READ, work).await
    }
}

impl Standing {
    fn put(&mut self, row: &Row) -> Result<(), StoreError> {
        let (name, kind): (&str, &str) = (row.get("name")?, row.get("kind")?);
        let hostname = Hostname::parse(name).map_err(|_| corrupt("challenge's name", name))?;
        let kind =
            ChallengeKind::from_name(kind).ok_or_else(|| corrupt("kind of challenge", kind))?;
        let authorization: String = row.get("key_authorization")?;
        match kind {
            ChallengeKind::Http01 => {
                let of_name = self.http01.entry(hostname).or_default();
                of_name.push((row.get("token")?, authorization));
            }
            ChallengeKind::TlsAlpn01 => {
                self.tls_alpn01
                    .entry(hostname)
                    .or_default()
                    .push(authorization);
            }
            ChallengeKind::Dns01 => {
                let at = self.dns01.entry(delegation_label(&hostname)).or_default();
                at.push(txt_value(&authorization));
            }
        }
        Ok(())
    }
}
