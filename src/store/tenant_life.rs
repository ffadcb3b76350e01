//! A tenant's states: which lead to which, removal and the way back.

use crate::model::{LookupKey, Tenant, TenantState};

use super::tenant_rows::{find_locked, save};
use super::tenants::TenantRef;
use super::writing::Writing;
use super::{Changed, Store, StoreError, WRITE, domain_claims, slugs};

impl Store {
    /// Stops serving a tenant, from active or maintenance.
    pub async fn suspend_tenant(&self, tenant: &TenantRef) -> Result<Tenant, StoreError> {
        self.turn(tenant, "tenant.suspend", TenantState::Suspended)
            .await
    }

    /// Shows a tenant's visitors the maintenance page, from active. Not from suspended: the end of maintenance would lift it.
    pub async fn maintain_tenant(&self, tenant: &TenantRef) -> Result<Tenant, StoreError> {
        self.turn(tenant, "tenant.maintain", TenantState::Maintenance)
            .await
    }

    /// Serves a suspended or maintained tenant again.
    pub async fn resume_tenant(&self, tenant: &TenantRef) -> Result<Tenant, StoreError> {
        self.turn(tenant, "tenant.resume", TenantState::Active)
            .await
    }

    /// Says how far provisioning has come, in percent; only while it is going on.
    pub async fn set_progress(
        &self,
        tenant: &TenantRef,
        percent: u8,
    ) -> Result<Tenant, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let mut tenant = find_locked(&mut tx, tenant).await?;
            if tenant.state != TenantState::Provisioning {
                return Err(transition(&tenant, TenantState::Provisioning));
            }
            tenant.progress = percent.min(100);
            save(&mut tx, &mut tenant).await?;
            announce(tx, tenant, Vec::new()).await
        };
        self.timed("tenant_progress", WRITE, work).await
    }

    /// Removes a tenant, from any state. Its custom domains stop at once and become tombstones; its slug and aliases still lead
    /// to it (its visitors are told that it is gone) and nobody else can have the slug for the cool-off of slugs. Its id and its row stay.
    pub async fn remove_tenant(&self, tenant: &TenantRef) -> Result<Tenant, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let mut tenant = find_locked(&mut tx, tenant).await?;
            if tenant.state == TenantState::Removed {
                return Err(transition(&tenant, TenantState::Removed));
            }
            let before = std::mem::replace(&mut tenant.state, TenantState::Removed);
            tenant.removed_at = Some(tx.now().0);
            slugs::release(&mut tx, tenant.id).await?;
            let names = domain_claims::remove_all(&mut tx, tenant.id).await?;
            save(&mut tx, &mut tenant).await?;
            tx.run(
                "update tenants set state_before = $2 where id = $1",
                &[tenant.id.0.into(), before.as_str().into()],
            )
            .await?;
            let detail = format!("was {}, {} domains stopped", before.as_str(), names.len());
            tx.audit("tenant.remove", tenant.slug.as_str(), &detail)
                .await?;
            announce(tx, tenant, names).await
        };
        self.timed("tenant_remove", WRITE, work).await
    }

    /// Brings a removed tenant back in the state in which it was removed (a suspended one stays suspended), while its slug has not
    /// gone to another. Its domains stay removed: whoever has them may have changed meanwhile.
    pub async fn restore_tenant(&self, tenant: &TenantRef) -> Result<Tenant, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let mut tenant = find_locked(&mut tx, tenant).await?;
            if tenant.state != TenantState::Removed {
                return Err(transition(&tenant, TenantState::Active));
            }
            slugs::take_back(&mut tx, &tenant).await?;
            let before = tx
                .row(
                    "select state_before from tenants where id = $1",
                    &[tenant.id.0.into()],
                )
                .await?
                .and_then(|row| row.get::<Option<String>>("state_before").transpose())
                .transpose()?;
            tenant.state = before
                .and_then(|name| TenantState::from_name(&name))
                .unwrap_or(TenantState::Suspended);
            tenant.removed_at = None;
            save(&mut tx, &mut tenant).await?;
            tx.audit(
                "tenant.restore",
                tenant.slug.as_str(),
                tenant.state.as_str(),
            )
            .await?;
            announce(tx, tenant, Vec::new()).await
        };
        self.timed("tenant_restore", WRITE, work).await
    }

    async fn turn(
        &self,
        tenant: &TenantRef,
        action: &'static str,
        to: TenantState,
    ) -> Result<Tenant, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let mut tenant = find_locked(&mut tx, tenant).await?;
            if !leads(tenant.state, to) {
                return Err(transition(&tenant, to));
            }
            let before = std::mem::replace(&mut tenant.state, to);
            save(&mut tx, &mut tenant).await?;
            tx.audit(
                action,
                tenant.slug.as_str(),
                &format!("was {}", before.as_str()),
            )
            .await?;
            announce(tx, tenant, Vec::new()).await
        };
        self.timed("tenant_state", WRITE, work).await
    }
}

/// Whether an operator may take a tenant from one of the states in between to another.
fn leads(from: TenantState, to: TenantState) -> bool {
    use TenantState::{Active, Maintenance, Suspended};
    matches!(
        (from, to),
        (Active | Maintenance, Suspended)
            | (Active, Maintenance)
            | (Suspended | Maintenance, Active)
    )
}

fn transition(tenant: &Tenant, to: TenantState) -> StoreError {
    StoreError::Transition {
        slug: tenant.slug.clone(),
        from: tenant.state,
        to,
    }
}

async fn announce(
    tx: Writing,
    tenant: Tenant,
    names: Vec<LookupKey>,
) -> Result<Tenant, StoreError> {
    tx.finish(&Changed::Tenant {
        id: tenant.id,
        names,
    })
    .await?;
    Ok(tenant)
}
