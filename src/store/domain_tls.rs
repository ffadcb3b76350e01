//! What visitors of a custom domain must bring to a handshake beyond what all must: a version of TLS, a certificate of their own.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::changes::domain_key;
use super::domains::Domain;
use super::tenant_rows::{self as tenants, corrupt};
use super::tenants::TenantRef;
use super::values::Row;
use super::writing::Writing;
use super::{BULK, Changed, READ, Store, StoreError, WRITE, certificate_owners, domains};
use crate::config::TlsVersion;
use crate::model::{DomainPattern, DomainState, TenantId};

/// A name's own demands. Without any it is served as all others are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NameTls {
    /// The lowest version spoken, where that is above the node's own.
    pub minimum: Option<TlsVersion>,
    /// Certificates (PEM) of those who vouch for visitors: only who brings a certificate of theirs is let in.
    pub client_ca: Option<String>,
}

/// What one tenant's claim of a name demands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimTls {
    /// Whose claim it is.
    pub tenant: TenantId,
    /// What it demands, or would if the name were routed to it.
    pub tls: NameTls,
}

/// What is changed of a name's demands: `Some(None)` takes one away, `None` leaves it as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NameTlsPatch {
    /// See [`NameTls::minimum`].
    pub minimum: Option<Option<TlsVersion>>,
    /// See [`NameTls::client_ca`].
    pub client_ca: Option<Option<String>>,
}

impl Store {
    /// Gives a name demands of its own: the claim that is routed, or that of `tenant` whatever its state, so that it is served with them
    /// from the first moment. Returns what it demands now.
    pub async fn set_domain_tls(
        &self,
        pattern: &DomainPattern,
        tenant: Option<&TenantRef>,
        patch: NameTlsPatch,
    ) -> Result<NameTls, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let tenant = match tenant {
                Some(tenant) => Some(tenants::find(&mut tx, tenant).await?.id),
                None => None,
            };
            let (name, now) = (pattern.to_string(), tx.now().0);
            let args = [(&name).into(), tenant.map(|id| id.0).into()];
            let row = tx.row(CLAIM, &args).await?;
            let row = row.ok_or_else(|| StoreError::UnknownDomain(pattern.clone()))?;
            let id = TenantId(row.get("tenant")?);
            let state: &str = row.get("state")?;
            let is_routed = DomainState::from_name(state).is_some_and(DomainState::is_routed);
            let (_, mut tls) = read(&row)?;
            tls.minimum = patch.minimum.unwrap_or(tls.minimum);
            tls.client_ca = patch.client_ca.unwrap_or(tls.client_ca);
            let minimum = tls.minimum.map(TlsVersion::as_str);
            tx.run(
                "update domains set minimum_tls = $3, client_ca = $4, updated_at = $5 where pattern = $1 and tenant = $2",
                &[
                    (&name).into(),
                    id.0.into(),
                    minimum.into(),
                    tls.client_ca.as_deref().into(),
                    now.into(),
                ],
            )
            .await?;
            let ca = if tls.client_ca.is_some() {
                "own"
            } else {
                "none"
            };
            let detail = format!("minimum {}, client CA {ca}", minimum.unwrap_or("none"));
            tx.audit("domain.set_tls", &name, &detail).await?;
            if !is_routed {
                tx.finish_unannounced().await?;
                return Ok(tls);
            }
            let names = vec![domain_key(pattern.clone())];
            tx.finish(&Changed::Tenant { id, names }).await?;
            Ok(tls)
        };
        self.timed("domain_set_tls", WRITE, work).await
    }

    /// What each claim of a name demands that has not ended.
    pub async fn domain_tls(&self, pattern: &DomainPattern) -> Result<Vec<ClaimTls>, StoreError> {
        let work = async {
            let pattern = pattern.to_string();
            let mut session = self.inner.reading().await?;
            let rows = session.rows(CLAIMS, &[(&pattern).into()]).await?;
            let claim = |row: &Row| {
                Ok(ClaimTls {
                    tenant: TenantId(row.get("tenant")?),
                    tls: read(row)?.1,
                })
            };
            rows.iter().map(claim).collect()
        };
        self.timed("domain_demands", READ, work).await
    }

    /// The demands of every routed name that has any; and the names without, below a wildcard with: exact comes before wildcard.
    pub(super) fn all_tls(
        &self,
    ) -> BoxFuture<'_, Result<Vec<(DomainPattern, NameTls)>, StoreError>> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let rows = session.rows(ALL, &[]).await?;
            let mut all: Vec<_> = rows.iter().map(read).collect::<Result<_, _>>()?;
            if all
                .iter()
                .any(|(name, _)| matches!(name, DomainPattern::Wildcard(_)))
            {
                for row in session.rows(BELOW_WILDCARDS, &[]).await? {
                    let name = domains::pattern(row.get("pattern")?)?;
                    all.push((name, NameTls::default()));
                }
            }
            Ok(all)
        };
        self.timed("domain_tls", BULK, work).boxed()
    }
}

/// What `old` demanded `new` does, and a certificate that was brought for the one counts for the other.
pub(super) async fn hand_over(
    tx: &mut Writing,
    old: &Domain,
    new: &Domain,
) -> Result<(), StoreError> {
    let name = new.pattern.to_string();
    let args = [(&name).into(), new.tenant.0.into(), old.tenant.0.into()];
    tx.run(HAND_OVER, &args).await?;
    certificate_owners::handed_over(tx, &name, old.tenant).await?;
    let detail = format!("as for {}, for {}", old.tenant_slug, new.tenant_slug);
    tx.audit("domain.set_tls", &name, &detail).await
}

const HAND_OVER: &str = "update domains set \
     minimum_tls = (select o.minimum_tls from domains o where o.pattern = $1 and o.tenant = $3), \
     client_ca = (select o.client_ca from domains o where o.pattern = $1 and o.tenant = $3) \
     where pattern = $1 and tenant = $2";
const CLAIMS: &str = "select pattern, tenant, minimum_tls, client_ca from domains where pattern = $1 and state <> 'removed'";
/// The routed claim, else the oldest.
const CLAIM: &str = "select pattern, tenant, state, minimum_tls, client_ca from domains where pattern = $1 and state <> 'removed' and ($2 is null or tenant = $2) \
     order by case when state in ('active', 'degraded') then 0 else 1 end, created_at limit 1";
/// More than one label below too, which does no harm: they have a row of their own.
const BELOW_WILDCARDS: &str = "select distinct d.pattern as pattern from domains w \
     join domains d on d.pattern like '%' || substr(w.pattern, 2) and d.pattern <> w.pattern \
     where w.pattern like '*.%' and (w.minimum_tls is not null or w.client_ca is not null) and w.state in ('active', 'degraded') \
     and d.minimum_tls is null and d.client_ca is null and d.state in ('active', 'degraded')";
/// By the index of those that have any: a hundred thousand names without cost nothing.
const ALL: &str = "select pattern, minimum_tls, client_ca from domains \
     where (minimum_tls is not null or client_ca is not null) and state in ('active', 'degraded')";

fn read(row: &Row) -> Result<(DomainPattern, NameTls), StoreError> {
    let minimum: Option<&str> = row.get("minimum_tls")?;
    let tls = NameTls {
        minimum: minimum
            .map(|name| TlsVersion::from_name(name).ok_or_else(|| corrupt("version of TLS", name)))
            .transpose()?,
        client_ca: row.get("client_ca")?,
    };
    Ok((domains::pattern(row.get("pattern")?)?, tls))
}
