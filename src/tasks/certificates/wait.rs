//! Why an order has to wait though nothing is wrong with it: a CA asked to be left alone, or of its limits, as the fleet's books say,
//! nothing is left.

use std::time::Duration;

use super::limits::{Limits, registered};
use super::setback::PATIENCE;
use crate::clock::Timestamp;
use crate::store::{CertificateOrder, Short, Store, StoreError};

/// What is over sooner is not worth telling.
const WORTH_TELLING: Duration = Duration::from_secs(60);

/// What an order waits for at a CA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wait {
    /// Until then.
    pub until: Timestamp,
    /// In words, the same for as long as it is the same wait.
    pub why: String,
    /// Whether the CA asked for it.
    asked: bool,
}

impl Wait {
    /// What `order` waits for at the CA `ca` with these `limits`; `None` where it can be placed now.
    pub(super) async fn at(
        store: &Store,
        (ca, limits): (&str, &Limits),
        order: &CertificateOrder,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let charges = limits.charges_now(order, ca, order.may_replace_at(ca), now);
        let price = store.acme_price(ca, &charges).await?;
        if price.held_until > now {
            return Ok(Some(Self {
                until: price.held_until,
                why: format!("{ca} asked to be left alone for a while"),
                asked: true,
            }));
        }
        Ok(price.short.map(|short| Self::of(&short, ca, order, now)))
    }

    /// What it means that a bucket is empty.
    pub(super) fn of(short: &Short, ca: &str, order: &CertificateOrder, now: Timestamp) -> Self {
        let why = match short.bucket {
            "same_names" => format!(
                "the certificates that {ca} issues in a week for exactly the same names are used up"
            ),
            "domain" => format!(
                "the certificates that {ca} issues in a week for {} and all below it are used up",
                registered(&order.pattern)
            ),
            "orders" => format!("the orders that {ca} takes in three hours are used up"),
            "failures" => format!("{ca} is not asked more often for a name that has failed"),
            _ => format!("orders at {ca} are spread over time"),
        };
        // From then on it may have what is kept back of the limits, or go to another CA.
        let late = order.late_from().filter(|late| *late > now);
        Self {
            until: late.map_or(short.until, |late| late.min(short.until)),
            why,
            asked: false,
        }
    }

    /// Whether another CA is asked instead, where there is one: this one asks for too much patience, or has no room in time for a
    /// certificate that is about to expire.
    pub(super) fn is_passed_over(&self, order: &CertificateOrder, now: Timestamp) -> bool {
        let long = self.until.since(now) > PATIENCE;
        long && (self.asked || order.is_about_to_expire(now))
    }

    pub(super) fn is_worth_telling(&self, now: Timestamp) -> bool {
        self.until.since(now) > WORTH_TELLING
    }
}

/// What keeps `order` from being placed at any of `cas`, by their directories and in order of preference, as a node would find it now:
/// `None` where nothing does. Takes nothing, and looks at no name.
pub async fn waits_now(
    store: &Store,
    cas: &[(&str, Limits)],
    order: &CertificateOrder,
    now: Timestamp,
) -> Result<Option<Wait>, StoreError> {
    let asked = |it: &(&str, Limits)| Some(it.0) == order.ca.as_deref();
    let first = cas.iter().position(asked).unwrap_or(0);
    for step in 0..cas.len() {
        let (ca, limits) = &cas[(first + step) % cas.len()];
        let Some(wait) = Wait::at(store, (ca, limits), order, now).await? else {
            return Ok(None);
        };
        if step + 1 == cas.len() || !wait.is_passed_over(order, now) {
            return Ok(Some(wait).filter(|it| it.is_worth_telling(now)));
        }
    }
    Ok(None)
}
