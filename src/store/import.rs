//! Many tenants at once, all or none; and the way out again.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use uuid::Uuid;

use crate::model::domain_life::Reason;
use crate::model::{DomainPattern, Slug, Tenant, TenantId};

use super::domains::{self, Claim, Domain};
use super::tenant_rows::{self as tenants, Stored};
use super::tenants::NewTenant;
use super::values::Arg;
use super::writing::Writing;
use super::{BULK, Changed, Store, StoreError, slugs};

/// One line of an import, read.
#[derive(Clone, PartialEq, Debug)]
pub struct ImportLine {
    /// Its number, from 1.
    pub number: usize,
    /// The tenant.
    pub tenant: NewTenant,
    /// The names it claims.
    pub domains: Vec<DomainPattern>,
}

/// What is wrong with one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportFault {
    /// The line's number, from 1.
    pub line: usize,
    /// For the operator.
    pub reason: String,
}

/// What an import made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Imported {
    /// Tenants.
    pub tenants: usize,
    /// Claims of names.
    pub domains: usize,
}

/// A tenant with its claims, as exported.
#[derive(Clone, PartialEq, Debug)]
pub struct Exported {
    /// The tenant.
    pub tenant: Tenant,
    /// Its claims, tombstones left out.
    pub domains: Vec<Domain>,
}

/// Lines that are good, as rows, and faults of those that are not.
#[derive(Default)]
struct Batch {
    lines: Vec<Checked>,
    faults: Vec<ImportFault>,
}

struct Checked {
    number: usize,
    tenant: Tenant,
    domains: Vec<String>,
}

impl Store {
    /// Makes all tenants of `lines` with their claims, or none: a line that could not be read (`Err`), that repeats another's slug
    /// or name, or that asks for what somebody has, is a fault, and [`StoreError::Import`] lists all of them by line.
    pub async fn import<I>(&self, lines: I, claim: Claim) -> Result<Imported, StoreError>
    where
        I: IntoIterator<Item = Result<ImportLine, ImportFault>>,
    {
        let mut batch = self.read_lines(lines, claim);
        let work =
            async {
                let mut tx = self.writing().await?;
                tx.unhurried().await?;
                batch.ask_for_slugs(&mut tx).await?;
                if claim.state.is_routed() {
                    batch.ask_for_domains(&mut tx).await?;
                }
                if !batch.faults.is_empty() {
                    batch.faults.sort_by_key(|fault| fault.line);
                    return Err(StoreError::Import(batch.faults));
                }
                let imported = batch.insert(&mut tx, claim).await.map_err(|error| {
                    match error.is_duplicate() {
                        true => StoreError::Overtaken,
                        false => error,
                    }
                })?;
                let detail = format!("{} tenants, {} domains", imported.tenants, imported.domains);
                tx.audit("tenant.import", "tenants", &detail).await?;
                tx.finish(&Changed::Bulk).await?;
                Ok(imported)
            };
        self.timed("import", BULK, work).await
    }

    /// Hands every tenant that is not removed to `each`, in the order in which they were made and as of one moment, until it breaks.
    /// Returns how many.
    pub async fn export(
        &self,
        mut each: impl FnMut(Exported) -> ControlFlow<()> + Send,
    ) -> Result<usize, StoreError> {
        let work = async {
            let mut session = self.inner.snapshot().await?;
            session.unhurried().await?;
            let (mut after, mut count) = (None, 0);
            loop {
                let tenants = tenants::page(&mut session, None, after, 1000).await?;
                let Some(last) = tenants.last() else {
                    return Ok(count);
                };
                after = Some(last.id);
                let ids: Vec<Arg<'_>> = tenants.iter().map(|tenant| tenant.id.0.into()).collect();
                let mut of: HashMap<Uuid, Vec<Domain>> = HashMap::new();
                for row in session.rows_with(domains::LIVE_OF, &ids).await? {
                    let domain = domains::read(&row)?;
                    of.entry(domain.tenant.0).or_default().push(domain);
                }
                for tenant in tenants
                    .into_iter()
                    .filter(|tenant| tenant.removed_at.is_none())
                {
                    let domains = of.remove(&tenant.id.0).unwrap_or_default();
                    count += 1;
                    if each(Exported { tenant, domains }).is_break() {
                        return Ok(count);
                    }
                }
            }
        };
        self.timed("export", BULK, work).await
    }

    /// Checks what can be checked without the database.
    fn read_lines<I>(&self, lines: I, claim: Claim) -> Batch
    where
        I: IntoIterator<Item = Result<ImportLine, ImportFault>>,
    {
        let mut batch = Batch::default();
        let mut slugs: HashMap<Slug, usize> = HashMap::new();
        let mut names: HashMap<String, usize> = HashMap::new();
        for line in lines {
            let ImportLine {
                number,
                tenant,
                domains,
            } = match line {
                Ok(line) => line,
                Err(fault) => {
                    batch.faults.push(fault);
                    continue;
                }
            };
            if let Some(first) = slugs.insert(tenant.slug.clone(), number) {
                let reason = format!("the slug {} stands in line {first} already", tenant.slug);
                batch.fault(number, reason);
            }
            let mut own = HashSet::new();
            for name in domains.iter().map(ToString::to_string) {
                // Claims of the same name by several tenants only exclude each other where they are routed.
                let first = names
                    .insert(name.clone(), number)
                    .filter(|_| claim.state.is_routed());
                if !own.insert(name.clone()) {
                    batch.fault(number, format!("the domain {name} stands in it twice"));
                } else if let Some(first) = first {
                    batch.fault(
                        number,
                        format!("the domain {name} stands in line {first} already"),
                    );
                }
            }
            match self.begin_tenant(tenant) {
                Ok(tenant) => batch.lines.push(Checked {
                    number,
                    tenant,
                    domains: own.into_iter().collect(),
                }),
                Err(error) => batch.fault(number, error.to_string()),
            }
        }
        batch
    }
}

impl Batch {
    fn fault(&mut self, line: usize, reason: String) {
        self.faults.push(ImportFault { line, reason });
    }

    /// Finds slugs that somebody has, and frees those whose cool-off is over.
    async fn ask_for_slugs(&mut self, tx: &mut Writing) -> Result<(), StoreError> {
        let numbers: HashMap<String, usize> = (self.lines.iter())
            .map(|line| (line.tenant.slug.to_string(), line.number))
            .collect();
        let wanted: Vec<Arg<'_>> = numbers.keys().map(Into::into).collect();
        for row in tx.rows_with(slugs::HELD_IN, &wanted).await? {
            let slug = tenants::slug(row.get("slug")?)?;
            match slugs::held(&row)?.refusal(&slug, tx.now()) {
                Some(refusal) => {
                    let line = numbers.get(slug.as_str()).copied().unwrap_or_default();
                    self.fault(line, refusal.to_string());
                }
                None => {
                    tx.run("delete from slugs where slug = $1", &[slug.as_str().into()])
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// Finds names that somebody has.
    async fn ask_for_domains(&mut self, tx: &mut Writing) -> Result<(), StoreError> {
        let numbers: HashMap<&str, usize> = (self.lines.iter())
            .flat_map(|line| line.domains.iter().map(|name| (name.as_str(), line.number)))
            .collect();
        let wanted: Vec<Arg<'_>> = numbers.keys().map(|name| (*name).into()).collect();
        for row in tx.rows_with(domains::HELD_IN, &wanted).await? {
            let domain = domains::read(&row)?;
            let line = numbers
                .get(&*domain.pattern.to_string())
                .copied()
                .unwrap_or_default();
            let (pattern, tenant) = (domain.pattern, domain.tenant_slug);
            let reason = StoreError::DomainTaken { pattern, tenant }.to_string();
            self.faults.push(ImportFault { line, reason });
        }
        Ok(())
    }

    async fn insert(&self, tx: &mut Writing, claim: Claim) -> Result<Imported, StoreError> {
        let stored: Vec<Stored<'_>> = self
            .lines
            .iter()
            .map(|line| Stored::new(&line.tenant))
            .collect::<Result<_, _>>()?;
        let rows: Vec<_> = stored.iter().map(Stored::row).collect();
        tx.insert_many(tenants::INSERT, &rows).await?;
        let rows: Vec<_> = (self.lines.iter())
            .map(|line| {
                vec![
                    line.tenant.slug.as_str().into(),
                    line.tenant.id.0.into(),
                    "current".into(),
                ]
            })
            .collect();
        tx.insert_many("insert into slugs (slug, tenant, kind) values", &rows)
            .await?;
        let now = tx.now().0;
        let why = match claim.trusted {
            true => Reason::Trusted,
            false => Reason::Claimed,
        };
        let claims: Vec<_> = (self.lines.iter())
            .flat_map(|line| {
                line.domains
                    .iter()
                    .map(|name| (line.tenant.id, name, domains::new_secret()))
            })
            .collect();
        let each = claims
            .iter()
            .map(|(tenant, name, secret): &(TenantId, &String, String)| {
                vec![
                    (*name).into(),
                    tenant.0.into(),
                    claim.state.as_str().into(),
                    i64::from(claim.trusted).into(),
                    now.into(),
                    now.into(),
                    now.into(),
                    first_look(now, claim).into(),
                    why.as_str().into(),
                    secret.into(),
                ]
            });
        let rows: Vec<Vec<Arg<'_>>> = each.collect();
        tx.insert_many(
            "insert into domains (pattern, tenant, state, trusted, created_at, updated_at, since, next_look_at, reason, secret) values",
            &rows,
        )
        .await?;
        Ok(Imported {
            tenants: self.lines.len(),
            domains: rows.len(),
        })
    }
}

/// Names that an operator vouches for are in service already: a hundred thousand of them are looked at over a day, not at once.
fn first_look(now: i64, claim: Claim) -> i64 {
    const DAY: i64 = 86_400_000;
    match claim.trusted {
        true => now + rand::random_range(0..DAY),
        false => now,
    }
}
