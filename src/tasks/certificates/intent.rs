//! What certificates are wanted for, looked at page by page: ten thousand names at once hold up nobody.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Certificates;
use crate::clock::Timestamp;
use crate::config::{Config, Routing};
use crate::model::{Causes, DomainPattern, Hostname};
use crate::store::{StoreError, Swept};

/// Names looked at in one transaction.
const PAGE: u32 = 500;
/// Between two looks at everything.
pub const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Names that are told of one by one; more are found by a look at everything.
const MOST_TOLD: usize = 1_000;

/// Says that there may be something to do. Cheap, never blocks.
#[derive(Default)]
pub struct Wake {
    news: Notify,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    names: HashSet<DomainPattern>,
    everything: bool,
}

impl Wake {
    /// Something about these names has changed: their domain, or their certificate.
    pub fn names(&self, names: impl IntoIterator<Item = DomainPattern>) {
        self.tell(|told| {
            told.names.extend(names);
            if told.names.len() > MOST_TOLD {
                (told.names, told.everything) = (HashSet::new(), true);
            }
        });
    }

    /// Anything may have changed.
    pub fn everything(&self) {
        self.tell(|told| told.everything = true);
    }

    fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_one();
    }

    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    fn take(&self) -> Told {
        std::mem::take(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How far the look at everything has come.
#[derive(Default)]
pub(super) struct Look {
    part: Part,
    after: Option<DomainPattern>,
    /// When the next one begins.
    next: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Part {
    #[default]
    Own,
    Domains,
    Orders,
    Done,
}

impl Certificates {
    /// Brings a part of the rows in step with what is wanted; true where more is to be looked at.
    pub(super) async fn look(&self) -> Result<bool, StoreError> {
        let mut look = self.look.lock().await;
        let told = self.parts.wake.take();
        let now = self.parts.clock.now();
        if told.everything || (look.part == Part::Done && look.next <= now) {
            (look.part, look.after) = (Part::Own, None);
        }
        let done = self.look_at(&mut look, told).await;
        if done.is_err() {
            // Whatever was told is lost with it.
            (look.part, look.after) = (Part::Own, None);
        }
        done?;
        Ok(look.part != Part::Done)
    }

    async fn look_at(&self, look: &mut Look, told: Told) -> Result<(), StoreError> {
        if !told.names.is_empty() {
            let names: Vec<_> = told.names.into_iter().collect();
            for page in names.chunks(100) {
                let swept = self.parts.store.sweep_names(page).await?;
                self.pass_on(swept).await;
            }
        }
        let swept = match look.part {
            Part::Done => return Ok(()),
            Part::Own => {
                self.begin_look(look).await?;
                self.parts.store.sweep_own(&self.parts.own).await?
            }
            Part::Domains => {
                self.parts
                    .store
                    .sweep_domains(look.after.as_ref(), PAGE)
                    .await?
            }
            Part::Orders => {
                self.parts
                    .store
                    .sweep_orders(look.after.as_ref(), PAGE)
                    .await?
            }
        };
        look.after = swept.next.clone();
        if look.after.is_none() {
            look.part = match look.part {
                Part::Own => Part::Domains,
                Part::Domains => Part::Orders,
                Part::Orders | Part::Done => Part::Done,
            };
        }
        self.pass_on(swept).await;
        Ok(())
    }

    async fn begin_look(&self, look: &mut Look) -> Result<(), StoreError> {
        look.next = self.parts.clock.now().plus(self.parts.look_every);
        let cas: Vec<_> = self.parts.issuers.iter().map(|it| it.ca.id()).collect();
        self.parts.store.ask_only(&cas).await?;
        self.parts.store.prune_acme_budgets().await.map(drop)
    }

    /// Tells who waits for certificates that are there.
    async fn pass_on(&self, swept: Swept) {
        if swept.added + swept.dropped.len() > 0 {
            tracing::debug!(
                added = swept.added,
                dropped = swept.dropped.len(),
                "names that certificates are ordered for"
            );
        }
        for verified in swept.verified {
            if verified.in_place || (self.parts.covered)(&verified.pattern).is_some() {
                self.tell(&verified.pattern).await;
            }
        }
    }

    /// Says that visitors of a name can be served. Where that cannot be written down, the next look says it again.
    pub(super) async fn tell(&self, pattern: &DomainPattern) {
        if let Err(error) = self.parts.life.certificate_in_place(pattern).await {
            tracing::warn!(hostname = %pattern, error = %Causes(&error), "a domain with a certificate stays as it is for now");
        }
    }
}

/// The names of the operator's own that certificates are ordered for: platform hosts and base domains, and, with `wildcards`, all names
/// one label below the latter. None that no CA would certify: single labels, public suffixes, names below `localhost`.
pub fn own_names(routing: &Routing, wildcards: bool) -> Vec<DomainPattern> {
    let platform = routing.platform_hosts.iter().cloned();
    let bases = || routing.base_domains.iter().cloned();
    let exact = platform.chain(bases()).map(DomainPattern::Exact);
    let below = bases().filter(|_| wildcards).map(DomainPattern::Wildcard);
    let mut names: Vec<_> = exact.chain(below).filter(is_certifiable).collect();
    names.sort();
    names.dedup();
    names
}

/// Those of [`own_names`] that certificates are ordered for.
pub fn own_names_to_order(config: &Config, wildcards: bool) -> Vec<DomainPattern> {
    let mut names = own_names(&config.routing, wildcards);
    names.retain(|name| !config.tls.not_ordered.contains(name));
    names
}

fn is_certifiable(pattern: &DomainPattern) -> bool {
    let (DomainPattern::Exact(name) | DomainPattern::Wildcard(name)) = pattern;
    let last = Hostname::as_str(name).rsplit('.').next();
    pattern.unownable().is_none() && last != Some("localhost")
}
