//! The tenants of `dev`: two that are served and one that is still being built.

use serde_json::json;

use crate::cli::sample::TENANTS;
use crate::cli::{CliError, session};
use crate::config::Config;
use crate::model::{Isolation, Slug, Tenant, TenantState};
use crate::store::{Access, NewTenant, StoreError, TenantRef};

/// As many tenants as `dev` shows and has certificates for.
const MOST: u32 = 100;
/// How far the unfinished one has come, in percent.
const PROGRESS: u8 = 40;

/// Makes the store and those tenants that are not there, whatever became of the others; gives the first hundred of all.
pub(super) fn seed(config: &Config) -> Result<Vec<Tenant>, CliError> {
    session::with_store(config, Access::Serve, async |store| {
        for tenant in wanted() {
            match store.tenant(&TenantRef::Slug(tenant.slug.clone())).await {
                Err(StoreError::UnknownTenant(_)) => drop(store.create_tenant(tenant).await?),
                other => drop(other?),
            }
        }
        Ok(store.tenants(None, None, MOST).await?.items)
    })
}

fn wanted() -> Vec<NewTenant> {
    let [ready @ .., (unfinished, unfinished_name)] = TENANTS;
    let plans = ["pro", "starter"];
    let mut wanted: Vec<NewTenant> = ready
        .into_iter()
        .zip(plans)
        .filter_map(|((slug, name), plan)| {
            let mut tenant = NewTenant::new(Slug::parse(slug).ok()?);
            tenant.name = Some(name.to_owned());
            tenant.plan = Some(plan.to_owned());
            tenant.meta.insert("region".to_owned(), json!("eu"));
            Some(tenant)
        })
        .collect();
    wanted.extend(Slug::parse(unfinished).ok().map(|slug| NewTenant {
        name: Some(unfinished_name.to_owned()),
        isolation: Isolation::Schema,
        state: Some(TenantState::Provisioning),
        progress: PROGRESS,
        ..NewTenant::new(slug)
    }));
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_finds_what_the_first_one_made_and_the_operator_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let text = format!("[store]\nurl = \"sqlite:{path}/vestibule.db\"");
        let config = Config::parse(&text, "test", std::iter::empty()).unwrap();
        let first = seed(&config).unwrap();
        let states: Vec<_> = first
            .iter()
            .map(|tenant| (tenant.slug.as_str(), tenant.state, tenant.progress))
            .collect();
        let expected = [
            ("acme", TenantState::Active, 0),
            ("globex", TenantState::Active, 0),
            ("initech", TenantState::Provisioning, PROGRESS),
        ];
        assert_eq!(states, expected);
        let renamed = session::with_store(&config, Access::Command, async |store| {
            let acme = TenantRef::Slug(Slug::parse("acme").unwrap());
            Ok(store
                .rename_tenant(&acme, &Slug::parse("apex").unwrap())
                .await?)
        });
        let second = seed(&config).unwrap();
        assert_eq!(second.len(), 3);
        assert_eq!(second[0].id, renamed.unwrap().id);
    }
}
