//! Names and their certificates: who waits for one, and what is said of it.

use crate::model::domain_life::{Certified, Reason, Step};
use crate::model::{Causes, Check, CheckCode, DomainPattern, DomainState, TenantId};

use super::certificate_owners::counts_for;
use super::domain_claims::{claims_locked, finish, put};
use super::domain_steps::walk;
use super::domains::{Domain, claims, domain_columns, read};
use super::error::readable;
use super::session::Session;
use super::{READ, Store, StoreError, WRITE};

impl Store {
    /// Puts verified names into service whose certificate is in place by now, at most `limit` of them; what they are now.
    pub async fn activate_certified(&self, limit: u32) -> Result<Vec<Domain>, StoreError> {
        let waiting = async {
            let mut session = self.inner.reading().await?;
            let waiting = session.either(WAITING_SQLITE, WAITING_POSTGRES);
            let now = self.inner.clock.now().0;
            let rows = session
                .rows(waiting, &[now.into(), i64::from(limit).into()])
                .await?;
            let mut claims = Vec::with_capacity(rows.len());
            for row in &rows {
                claims.extend(readable(read(row), "a claim")?);
            }
            Ok(claims)
        };
        let waiting = self.timed("domains_certified", READ, waiting).await?;
        let mut active = Vec::with_capacity(waiting.len());
        for claim in waiting {
            match self.activate(&claim).await {
                Ok(claim) => active.extend(claim),
                Err(error) if error.is_unavailable() => return Err(error),
                // No reason to keep all others waiting.
                Err(error) => {
                    let name = &claim.pattern;
                    tracing::warn!(error = %Causes(&error), %name, "a name whose certificate has come stays as it is for now");
                }
            }
        }
        Ok(active)
    }

    /// Puts a verified name into service whose certificate has come; nothing where none waits.
    pub async fn certificate_in_place(&self, pattern: &DomainPattern) -> Result<(), StoreError> {
        let claims = async { claims(&mut self.inner.reading().await?, pattern).await };
        let claims = self.timed("domain", READ, claims).await?;
        let waiting = claims
            .iter()
            .find(|claim| claim.state == DomainState::Verified);
        if let Some(claim) = waiting {
            self.activate(claim).await?;
        }
        Ok(())
    }

    async fn activate(&self, claim: &Domain) -> Result<Option<Domain>, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let claims = claims_locked(&mut tx, &claim.pattern).await?;
            let own = claims.into_iter().find(|own| {
                own.tenant == claim.tenant
                    && own.secret == claim.secret
                    && own.state == DomainState::Verified
            });
            let Some(mut own) = own else { return Ok(None) };
            let step = Step {
                to: DomainState::Active,
                why: Reason::CertificateInPlace,
            };
            walk(&mut tx, &mut own, &[step]).await?;
            own.looks = 0;
            // What was said of it before is not so any more, and its time to be looked at was that of a name that waits.
            own.checks
                .retain(|check| check.code != CheckCode::Certificate);
            let now = tx.now().0;
            let certificate = certificate_check(&own, Certified::Valid, now);
            own.checks.extend(certificate);
            own.next_look_at = Some(now);
            put(&mut tx, &own).await?;
            finish(tx, &own, true).await?;
            Ok(Some(own))
        };
        self.timed("domain_activate", WRITE, work).await
    }
}

/// How `tenant`'s claim of a name stands with the certificate that the name's visitors are shown: the one for it, else that of the wildcard
/// above it. One that another tenant brought is none.
pub(super) async fn certified(
    session: &mut Session,
    (pattern, tenant): (&DomainPattern, TenantId),
    tls: bool,
    now: i64,
) -> Result<Certified, StoreError> {
    if !tls {
        return Ok(Certified::Elsewhere);
    }
    let parent = match pattern {
        DomainPattern::Exact(name) => name.parent(),
        DomainPattern::Wildcard(_) => None,
    };
    let (name, wildcard) = (pattern.to_string(), parent.map(|it| format!("*.{it}")));
    let row = session
        .row(
            concat!(
                "select c.not_before as not_before, c.not_after as not_after, cast(case when ",
                counts_for!("n", "c", "$3"),
                " then 1 else 0 end as bigint) as counts from certificate_names n join certificates c on c.id = n.certificate \
                 where n.pattern in ($1, $2) order by n.pattern = $1 desc limit 1"
            ),
            &[
                (&name).into(),
                wildcard.as_deref().into(),
                tenant.0.into(),
            ],
        )
        .await?;
    let Some(row) = row else {
        return Ok(Certified::Missing);
    };
    if row.get::<i64>("counts")? == 0 {
        return Ok(Certified::Missing);
    }
    Ok(Certified::of(
        row.get("not_before")?,
        row.get("not_after")?,
        now,
    ))
}

/// What is said of the certificate; nothing before there is to be one.
pub(super) fn certificate_check(claim: &Domain, certified: Certified, at: i64) -> Option<Check> {
    let comes_later = certified == Certified::Missing && !claim.state.holds();
    certificate_finding(certified, at).filter(|_| !comes_later)
}

/// What is said of a certificate that is wanted and so ordered; nothing where there is no TLS here.
pub fn certificate_finding(certified: Certified, at: i64) -> Option<Check> {
    let (ok, observed, hint) = match certified {
        Certified::Elsewhere => return None,
        Certified::Missing => (
            false,
            "none yet",
            Some("it is ordered in the background; `cert show` tells how far it is"),
        ),
        Certified::Valid => (true, "a valid certificate", None),
        Certified::Expiring => (
            false,
            "a certificate that is about to expire",
            Some("`cert show` tells why it is not renewed"),
        ),
        Certified::Expired => (
            false,
            "a certificate that has expired",
            Some("`cert show` tells why it is not renewed"),
        ),
    };
    Some(Check {
        code: CheckCode::Certificate,
        ok,
        expected: "a valid certificate".into(),
        observed: observed.into(),
        hint: hint.map(Into::into),
        seen_by: Vec::new(),
        at,
    })
}

/// Verified names with a certificate that counts: what visitors will be shown, their own before that of the wildcard above them.
macro_rules! waiting {
    ($parent:literal) => {
        concat!(
            domain_columns!(),
            "d.state = 'verified' and exists (select 1 from certificate_names n join certificates c on c.id = n.certificate \
             where c.not_after > $1 and c.not_before <= $1 and n.pattern in (d.pattern, '*.' || ",
            $parent,
            ") and (n.pattern = d.pattern or not exists (select 1 from certificate_names e where e.pattern = d.pattern)) and ",
            counts_for!("n", "c", "d.tenant"),
            ") order by d.since limit $2"
        )
    };
}
const WAITING_SQLITE: &str = waiting!("substr(d.pattern, instr(d.pattern, '.') + 1)");
const WAITING_POSTGRES: &str = waiting!("substr(d.pattern, strpos(d.pattern, '.') + 1)");
