//! What was seen of names: which claims are to be looked at, and what follows from it, in one transaction.

use std::time::Duration;

use crate::model::domain_life::{
    Certified, Holder, Reason, Rules, Seen, Sight, Step, Verdict, judge, next_look,
};
use crate::model::{Check, CheckCode, DomainPattern, DomainState, TenantId};

use super::domain_certificates::{certificate_check, certified};
use super::domain_claims::{Handover, claims_locked, finish, put};
use super::domain_steps::{displace, stay, walk};
use super::domain_tls::hand_over;
use super::domains::{Domain, claims, domain_columns, read};
use super::error::readable;
use super::session::Session;
use super::values::Row;
use super::writing::Writing;
use super::{READ, Store, StoreError, WRITE};

/// A claim that is to be looked at.
#[derive(Clone, PartialEq, Debug)]
pub struct DueLook {
    /// It.
    pub claim: Domain,
    /// The claim of another tenant that has the name: whether its proof still stands decides whether the name may move.
    pub holder: Option<Domain>,
}

/// What was seen of a claim.
#[derive(Clone, PartialEq, Debug)]
pub struct LookedAt {
    /// The name.
    pub pattern: DomainPattern,
    /// Whose claim it is.
    pub tenant: TenantId,
    /// Which claim: one that has begun anew meanwhile has another.
    pub secret: String,
    /// Its proof and where the name leads.
    pub sight: Sight,
    /// All that was found.
    pub checks: Vec<Check>,
    /// Of whoever has the name.
    pub holder: Option<HolderSeen>,
    /// Whether a certificate among the node's own files is good for the name.
    pub own_certificate: bool,
    /// Drawn evenly from 0 to 1; spreads the looks at names that were claimed together.
    pub chance: f64,
}

/// What was seen of the claim of whoever has the name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HolderSeen {
    /// Who.
    pub tenant: TenantId,
    /// Which claim.
    pub secret: String,
    /// Its own proof.
    pub proof: Seen,
    /// Whether an operator gives the name to whoever claims it: then the holder's proof does not count, as if it were gone.
    pub given_away: bool,
    /// What goes with the name, should it move.
    pub handover: Handover,
}

/// What holds for every claim on this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Times of a life.
    pub rules: Rules,
    /// Whether visitors are served over TLS here, so that a name needs a certificate.
    pub tls: bool,
}

/// What became of a claim.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// As it is now.
    pub domain: Domain,
    /// How its state changed, in order.
    pub steps: Vec<Step>,
}

impl Store {
    /// Takes at most `limit` claims that are to be looked at by now and keeps them from other nodes for `lease`. Of many that are due
    /// the tenants take turns, so that one with thousands delays nobody.
    pub async fn domains_to_look_at(
        &self,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<DueLook>, StoreError> {
        let work = async {
            // Mostly nothing is due, and that is found out without keeping others from writing.
            let now = self.inner.clock.now().0;
            let any = self
                .inner
                .reading()
                .await?
                .row(ANY_DUE, &[now.into()])
                .await?;
            if any.is_none() {
                return Ok(Vec::new());
            }
            let mut tx = self.writing().await?;
            let until = now.saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX));
            let rows = tx.rows(DUE, &[now.into(), i64::from(limit).into()]).await?;
            let mut claims: Vec<Domain> = Vec::with_capacity(rows.len());
            for row in &rows {
                match readable(read(row), "a claim")? {
                    Some(claim) => claims.push(claim),
                    None => put_off(&mut tx, row, now).await?,
                }
            }
            // In one order on every node: who takes the same rows waits, and not in a circle.
            claims.sort_by_cached_key(|claim| (claim.pattern.to_string(), claim.tenant.0));
            let mut due = Vec::with_capacity(claims.len());
            for claim in claims {
                let name = claim.pattern.to_string();
                let taken = tx
                    .run(
                        "update domains set next_look_at = $3 where pattern = $1 and tenant = $2 and next_look_at <= $4",
                        &[(&name).into(), claim.tenant.0.into(), until.into(), now.into()],
                    )
                    .await?;
                if taken == 1 {
                    let holder = holder(&mut tx, &claim).await;
                    let holder = readable(holder, "another claim of a name")?;
                    due.extend(holder.map(|holder| DueLook { claim, holder }));
                }
            }
            tx.finish_unannounced().await?;
            Ok(due)
        };
        self.timed("domains_due", WRITE, work).await
    }

    /// Every claim of a name that has not ended, to be looked at now.
    pub async fn domain_to_look_at(
        &self,
        pattern: &DomainPattern,
    ) -> Result<Vec<DueLook>, StoreError> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let claims = claims(&mut session, pattern).await?;
            let live = claims
                .iter()
                .filter(|claim| claim.state != DomainState::Removed);
            let due: Vec<DueLook> = live
                .map(|claim| DueLook {
                    claim: claim.clone(),
                    holder: other_holder(&claims, claim.tenant).cloned(),
                })
                .collect();
            match due.is_empty() {
                true => Err(StoreError::UnknownDomain(pattern.clone())),
                false => Ok(due),
            }
        };
        self.timed("domain_due", READ, work).await
    }

    /// Draws the consequences of a look: the claim's new state (with an audit row and an event for each step), its checks, and when it
    /// is looked at again. A name that moves does so here: the old claim ends and the new one begins in one transaction. `None` where
    /// the claim has ended or begun anew meanwhile: what was seen says nothing about it.
    pub async fn domain_looked(
        &self,
        looked: &LookedAt,
        settings: &Settings,
    ) -> Result<Option<Outcome>, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let claims = claims_locked(&mut tx, &looked.pattern).await?;
            let own = claims.iter().find(|claim| {
                claim.tenant == looked.tenant
                    && claim.secret == looked.secret
                    && claim.state != DomainState::Removed
            });
            let Some(own) = own else { return Ok(None) };
            let holder = other_holder(&claims, own.tenant);
            let now = tx.now().0;
            let certified = match looked.own_certificate && settings.tls {
                true => Certified::Valid,
                false => {
                    let whose = holder.filter(|_| looked.hands_over()).unwrap_or(own);
                    let of = (&looked.pattern, whose.tenant);
                    certified(&mut tx, of, settings.tls, now).await?
                }
            };
            let verdict = judge(
                &own.standing(),
                looked.sight,
                certified,
                holder.map(|holder| looked.seen_of(holder)),
                &settings.rules,
                now,
            );
            let mut domain = own.clone();
            domain.checks = looked.checks.clone().into();
            domain.checks.extend(certificate_check(own, certified, now));
            if let Some(holder) = holder.filter(|_| verdict.held) {
                domain.checks.push(held_check(holder, now));
            }
            let displaced = holder.filter(|_| verdict.displaces);
            let why = looked.why_displaced();
            let displaces = displaced.map(|old| (old, why));
            let rerouted = draw(&mut tx, &mut domain, displaces, &verdict).await?;
            domain.looks = match verdict.steps.is_empty() && verdict.cause.is_none() {
                true => own.looks.saturating_add(1),
                false => 0,
            };
            domain.checked_at = Some(now);
            domain.next_look_at = next_at(&domain, looked, settings, now);
            put(&mut tx, &domain).await?;
            if let Some(old) = displaced.filter(|_| looked.hands_over()) {
                hand_over(&mut tx, old, &domain).await?;
            }
            finish(tx, &domain, rerouted).await?;
            let steps = verdict.steps;
            Ok(Some(Outcome { domain, steps }))
        };
        self.timed("domain_looked", WRITE, work).await
    }

    /// Forgets tombstones that are older than `age`; how many.
    pub async fn forget_removed_domains(&self, age: Duration) -> Result<u64, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            let before = tx.now().0.saturating_sub(age);
            let gone = tx
                .run(
                    "delete from domains where state = 'removed' and since < $1",
                    &[before.into()],
                )
                .await?;
            tx.finish_unannounced().await?;
            Ok(gone)
        };
        self.timed("domains_forget", WRITE, work).await
    }
}

/// What follows for the claims themselves; whether nodes must hear of it.
async fn draw(
    tx: &mut Writing,
    domain: &mut Domain,
    displaced: Option<(&Domain, Reason)>,
    verdict: &Verdict,
) -> Result<bool, StoreError> {
    if let Some((holder, why)) = displaced {
        displace(tx, holder, domain, why).await?;
    }
    if let Some(cause) = verdict.cause {
        stay(tx, domain, cause).await?;
    }
    let rerouted = walk(tx, domain, &verdict.steps).await?;
    Ok(rerouted || displaced.is_some_and(|(holder, _)| holder.state.is_routed()))
}

/// A row that cannot be read does not stand before others, and is tried again in an hour: by then there may be another version here.
async fn put_off(tx: &mut Writing, row: &Row, now: i64) -> Result<(), StoreError> {
    const HOUR: i64 = 3_600_000;
    let pattern: &str = row.get("pattern")?;
    let tenant: uuid::Uuid = row.get("tenant")?;
    tx.run(
        "update domains set next_look_at = $3 where pattern = $1 and tenant = $2",
        &[
            pattern.into(),
            tenant.into(),
            now.saturating_add(HOUR).into(),
        ],
    )
    .await
    .map(drop)
}

impl LookedAt {
    /// Whether an operator wants what the name has of TLS to go with it.
    fn hands_over(&self) -> bool {
        let handover = self.holder.as_ref().map(|holder| holder.handover);
        handover == Some(Handover::Tls)
    }

    /// What was seen of `holder`; nothing where another had the name when it was looked at.
    fn seen_of(&self, holder: &Domain) -> Holder {
        let same =
            |seen: &&HolderSeen| seen.tenant == holder.tenant && seen.secret == holder.secret;
        Holder {
            trusted: holder.trusted,
            proof: match self.holder.as_ref().filter(same) {
                Some(seen) if seen.given_away => Seen::No,
                seen => seen.map_or(Seen::Unknown, |seen| seen.proof),
            },
        }
    }

    /// Why whoever had the name has it no more, where it moves.
    fn why_displaced(&self) -> Reason {
        match self.holder.as_ref().is_some_and(|seen| seen.given_away) {
            true => Reason::GivenAway,
            false => Reason::Displaced,
        }
    }
}

/// The end of a wait is met when it comes, not at the look behind it.
fn next_at(domain: &Domain, looked: &LookedAt, settings: &Settings, now: i64) -> Option<i64> {
    let standing = domain.standing();
    let wait = next_look(&standing, looked.sight, &settings.rules, looked.chance)?;
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let next = now.saturating_add(millis(wait));
    let end = match domain.state {
        DomainState::Pending => settings.rules.give_up,
        DomainState::Degraded => settings.rules.grace,
        _ => return Some(next),
    };
    let end = domain.since.saturating_add(millis(end));
    Some(if end > now { next.min(end) } else { next })
}

async fn holder(session: &mut Session, claim: &Domain) -> Result<Option<Domain>, StoreError> {
    // Whoever has the name needs not ask.
    if claim.state.holds() {
        return Ok(None);
    }
    let claims = claims(session, &claim.pattern).await?;
    Ok(other_holder(&claims, claim.tenant).cloned())
}

fn other_holder(claims: &[Domain], than: TenantId) -> Option<&Domain> {
    claims
        .iter()
        .find(|claim| claim.tenant != than && claim.state.holds())
}

fn held_check(holder: &Domain, at: i64) -> Check {
    let hint = match holder.trusted {
        true => {
            "an operator vouched for the other tenant: only an operator can move the name (`domain move`)"
        }
        false => {
            "take the other tenant's `_vestibule` record away, or have an operator move the name (`domain move`)"
        }
    };
    Check {
        code: CheckCode::Holder,
        ok: false,
        expected: "a name that no other tenant has".into(),
        observed: "another tenant has the name and has not lost control of it".into(),
        hint: Some(hint.into()),
        seen_by: Vec::new(),
        at,
    }
}

const ANY_DUE: &str =
    "select 1 as one from domains where next_look_at is not null and next_look_at <= $1 limit 1";
/// The oldest that is due of each tenant, then the second of each, and so on.
const DUE: &str = concat!(
    domain_columns!(),
    "(d.pattern, d.tenant) in (select pattern, tenant from (select pattern, tenant, next_look_at, \
     row_number() over (partition by tenant order by next_look_at) as turn from domains where next_look_at <= $1) as due \
     order by turn, next_look_at limit $2)"
);
