//! Accounts at certificate authorities, one for each, shared by all nodes; what they are opened with, sealed.

use std::time::Duration;

use crate::seal::Sealer;

use super::session::Session;
use super::signing_keys::{self, KEYS_LOCK};
use super::values::Row;
use super::writing::Writing;
use super::{READ, Store, StoreError, WRITE};

/// How long a node may take to register an account, or to tell the CA something of it, before another one does.
const REGISTERING: Duration = Duration::from_secs(60);

/// An account as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcmeAccount {
    /// Its address at the CA.
    pub url: String,
    /// What it is opened with, sealed for [`AcmeAccount::purpose`].
    pub sealed_credentials: Vec<u8>,
}

impl AcmeAccount {
    /// What the credentials of the account at `ca` are sealed for.
    pub fn purpose(ca: &str) -> String {
        format!("acme account {ca}")
    }
}

/// An account and when it was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcmeAccountRow {
    /// The directory of its CA.
    pub ca: String,
    /// The account.
    pub account: AcmeAccount,
    /// Since when it is kept, in milliseconds since 1970.
    pub created_at: i64,
}

/// What has changed of an account that is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccountChange {
    /// The CA had forgotten it, and it was registered anew.
    Registered,
    /// A key was drawn that it is to get.
    NextKey,
    /// The CA takes that key now, and no other.
    Rolled,
    /// The CA was told whom to write to.
    Contact,
}

impl AccountChange {
    /// What the audit calls it.
    fn action(self) -> &'static str {
        match self {
            Self::Registered => "acme.account",
            Self::NextKey => "acme.roll_begun",
            Self::Rolled => "acme.roll",
            Self::Contact => "acme.contact",
        }
    }
}

/// Who is to do what about the account at a CA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccountClaim {
    /// There is one: open it.
    Kept(AcmeAccount),
    /// There is none, and it is the caller's to register one.
    Register,
    /// Another node is registering one.
    Busy,
}

impl Store {
    /// The account at `ca`, or the task of registering one: of several nodes that need one at once a single one gets that.
    pub async fn claim_acme_account(
        &self,
        ca: &str,
        holder: &str,
    ) -> Result<AccountClaim, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let now = tx.now();
            let until = now.plus(REGISTERING).0;
            let claimed = tx
                .run(
                    CLAIM,
                    &[ca.into(), holder.into(), until.into(), now.0.into()],
                )
                .await?;
            let row = tx.row(BY_CA, &[ca.into()]).await?;
            tx.finish_unannounced().await?;
            let kept = row.as_ref().map_or(Ok(None), kept)?;
            Ok(match kept {
                Some(account) => AccountClaim::Kept(account),
                None if claimed == 1 => AccountClaim::Register,
                None => AccountClaim::Busy,
            })
        };
        self.timed("acme_account_claim", WRITE, work).await
    }

    /// Keeps the account at `ca`, whose credentials `sealer` sealed.
    pub async fn keep_acme_account(
        &self,
        ca: &str,
        account: &AcmeAccount,
        sealer: &Sealer,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            // Whoever seals anew meanwhile would leave these behind.
            tx.lock(KEYS_LOCK).await?;
            signing_keys::check_sealed_by(&mut tx, sealer).await?;
            let now = tx.now().0;
            tx.run(
                "insert into acme_accounts (ca, url, sealed_credentials, lease_until, created_at, updated_at) \
                 values ($1, $2, $3, 0, $4, $4) on conflict (ca) do update set url = excluded.url, \
                 sealed_credentials = excluded.sealed_credentials, lease_until = 0, updated_at = excluded.updated_at",
                &[
                    ca.into(),
                    (&account.url).into(),
                    account.sealed_credentials.as_slice().into(),
                    now.into(),
                ],
            )
            .await?;
            tx.audit("acme.account", ca, &account.url).await?;
            tx.finish_unannounced().await
        };
        self.timed("acme_account_keep", WRITE, work).await
    }

    /// Puts `to`, whose credentials `sealer` sealed, in the place of the account at `ca`. False, and nothing is changed, where that has
    /// other credentials than `from` by now: somebody else was faster.
    pub async fn change_acme_account(
        &self,
        ca: &str,
        (from, to): (&AcmeAccount, &AcmeAccount),
        change: AccountChange,
        sealer: &Sealer,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.lock(KEYS_LOCK).await?;
            signing_keys::check_sealed_by(&mut tx, sealer).await?;
            let now = tx.now().0;
            let changed = tx
                .run(
                    "update acme_accounts set url = $3, sealed_credentials = $4, updated_at = $5 \
                     where ca = $1 and sealed_credentials = $2",
                    &[
                        ca.into(),
                        from.sealed_credentials.as_slice().into(),
                        (&to.url).into(),
                        to.sealed_credentials.as_slice().into(),
                        now.into(),
                    ],
                )
                .await?;
            if changed == 0 {
                return Ok(false);
            }
            tx.audit(change.action(), ca, &to.url).await?;
            tx.finish_unannounced().await?;
            Ok(true)
        };
        self.timed("acme_account_change", WRITE, work).await
    }

    /// Leaves it to `holder` for a while to tell the CA something of the account that is kept; false where that is another's.
    pub async fn lease_acme_account(&self, ca: &str, holder: &str) -> Result<bool, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let now = tx.now();
            let leased = tx
                .run(
                    "update acme_accounts set lease_holder = $2, lease_until = $3 \
                     where ca = $1 and url is not null and lease_until <= $4",
                    &[
                        ca.into(),
                        holder.into(),
                        now.plus(REGISTERING).0.into(),
                        now.0.into(),
                    ],
                )
                .await?;
            tx.finish_unannounced().await?;
            Ok(leased == 1)
        };
        self.timed("acme_account_lease", WRITE, work).await
    }

    /// The account at `ca`, if there is one.
    pub async fn acme_account(&self, ca: &str) -> Result<Option<AcmeAccount>, StoreError> {
        let work = async {
            let row = self.inner.reading().await?.row(BY_CA, &[ca.into()]).await?;
            row.map_or(Ok(None), |row| kept(&row))
        };
        self.timed("acme_account", READ, work).await
    }

    /// Every account, by its CA.
    pub async fn acme_accounts(&self) -> Result<Vec<AcmeAccountRow>, StoreError> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let rows = session
                .rows(
                    "select ca, url, sealed_credentials, created_at from acme_accounts where url is not null order by ca",
                    &[],
                )
                .await?;
            let mut all = Vec::with_capacity(rows.len());
            for row in &rows {
                if let Some(account) = kept(row)? {
                    all.push(AcmeAccountRow {
                        ca: row.get("ca")?,
                        account,
                        created_at: row.get("created_at")?,
                    });
                }
            }
            Ok(all)
        };
        self.timed("acme_accounts", READ, work).await
    }

    /// Leaves the registering of an account, or what there is to tell of it, to whoever asks next.
    pub async fn release_acme_account(&self, ca: &str, holder: &str) -> Result<(), StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.run(
                "update acme_accounts set lease_until = 0 where ca = $1 and lease_holder = $2",
                &[ca.into(), holder.into()],
            )
            .await?;
            tx.finish_unannounced().await
        };
        self.timed("acme_account_release", WRITE, work).await
    }

    /// The address of the account at `ca`, if there is one: what CAA records may name (RFC 8657).
    pub async fn acme_account_url(&self, ca: &str) -> Result<Option<String>, StoreError> {
        let work = async {
            let row = self.inner.reading().await?.row(BY_CA, &[ca.into()]).await?;
            row.map_or(Ok(None), |row| row.get("url"))
        };
        self.timed("acme_account_url", READ, work).await
    }
}

/// The account of a row; nothing while it is being registered.
fn kept(row: &Row) -> Result<Option<AcmeAccount>, StoreError> {
    let url = row.get::<Option<String>>("url")?;
    let sealed = row.get::<Option<Vec<u8>>>("sealed_credentials")?;
    let account = |(url, sealed_credentials)| AcmeAccount {
        url,
        sealed_credentials,
    };
    Ok(url.zip(sealed).map(account))
}

/// One account's sealed credentials, where there are any.
pub(super) async fn any_sealed(session: &mut Session) -> Result<Option<Vec<u8>>, StoreError> {
    let row = session
        .row(
            "select sealed_credentials from acme_accounts where sealed_credentials is not null limit 1",
            &[],
        )
        .await?;
    row.map(|row| row.get("sealed_credentials")).transpose()
}

/// Puts what `reseal` makes of every account's credentials (given with their purpose) in their place; how many there were.
pub(super) async fn reseal<E: From<StoreError>>(
    tx: &mut Writing,
    reseal: impl Fn(&str, &[u8]) -> Result<Vec<u8>, E>,
) -> Result<usize, E> {
    let rows = tx
        .rows(
            "select ca, sealed_credentials from acme_accounts where sealed_credentials is not null",
            &[],
        )
        .await?;
    for row in &rows {
        let ca: &str = row.get("ca")?;
        let sealed = reseal(&AcmeAccount::purpose(ca), row.get("sealed_credentials")?)?;
        tx.run(
            "update acme_accounts set sealed_credentials = $2 where ca = $1",
            &[ca.into(), sealed.as_slice().into()],
        )
        .await?;
    }
    Ok(rows.len())
}

const BY_CA: &str = "select url, sealed_credentials from acme_accounts where ca = $1";
/// Nobody's, or that of a node which did not come to an end.
const CLAIM: &str = "insert into acme_accounts (ca, lease_holder, lease_until, created_at, updated_at) values ($1, $2, $3, $4, $4) \
     on conflict (ca) do update set lease_holder = excluded.lease_holder, lease_until = excluded.lease_until \
     where acme_accounts.url is null and acme_accounts.lease_until <= excluded.updated_at";
