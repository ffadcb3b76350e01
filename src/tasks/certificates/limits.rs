//! What a CA lets an account do, as token buckets; and which of them an order takes a token of.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::AcmeLimits;
use crate::model::DomainPattern;
use crate::store::{Bucket, CertificateOrder, Charge};

const MINUTE: Duration = Duration::from_secs(60);

/// A CA's limits. The defaults are Let's Encrypt's ("Rate Limits", as of 2026-08-05) and two of our own. Each bucket of the CA's is taken to
/// be a little smaller than it is: an order that is long on its way comes closer to the next one than it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Orders, but for renewals: 300 (290 of them), one back every 36 s.
    pub orders: Bucket,
    /// Certificates for a registered domain and all below it, but for renewals: 50 (49), one back every 202 minutes.
    pub domain: Bucket,
    /// Certificates for exactly the same names: 5 (4), one back every 34 hours.
    pub same_names: Bucket,
    /// Failed authorizations of a name. The CA's is 5, one back every 12 minutes; ours is never more than three in an hour, so that a
    /// name that fails with us can still be tried by somebody else with the same account.
    pub failures: Bucket,
    /// Orders of every kind, ours: 50 at once, then one a second.
    pub pace: Bucket,
}

impl Default for Limits {
    fn default() -> Self {
        let bucket = |name, capacity, refill| Bucket {
            name,
            capacity,
            refill,
        };
        Self {
            orders: bucket("orders", 290, Duration::from_secs(36)),
            domain: bucket("domain", 49, MINUTE * 202),
            same_names: bucket("same_names", 4, MINUTE * 60 * 34),
            failures: bucket("failures", 2, MINUTE * 30),
            pace: bucket("pace", 50, Duration::from_secs(1)),
        }
    }
}

impl Limits {
    /// Of a CA that lets an account do what it wants.
    pub const NONE: Self = Self {
        orders: Bucket::endless("orders"),
        domain: Bucket::endless("domain"),
        same_names: Bucket::endless("same_names"),
        failures: Bucket::endless("failures"),
        pace: Bucket::endless("pace"),
    };
}

impl From<AcmeLimits> for Limits {
    fn from(limits: AcmeLimits) -> Self {
        match limits {
            AcmeLimits::LetsEncrypt => Self::default(),
            AcmeLimits::None => Self::NONE,
        }
    }
}

/// What becomes of what an order has taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The CA has issued: nothing has failed, and the certificate counts, also where it cannot be had or used.
    Issued,
    /// The name failed: no certificate came.
    NameFailed,
    /// Neither: the CA was not able to.
    Neither,
}

impl Limits {
    /// What `order` takes at `ca`. A failure is taken in advance: who dies before the outcome must not be able to fail once more.
    ///
    /// An order by which a CA lets a certificate be replaced counts against no limit of the CA's, so only what is ours is taken; another
    /// renewal takes nothing of the limits of orders and of the registered domain.
    pub fn charges(&self, order: &CertificateOrder, ca: &str, replaces: bool) -> Vec<Charge> {
        let charge = |bucket: &Bucket, name: String| Charge {
            ca: ca.to_owned(),
            bucket: *bucket,
            name,
        };
        let mut charges = vec![
            charge(&self.pace, String::new()),
            charge(&self.failures, identifier(&order.pattern).to_owned()),
        ];
        if !replaces {
            charges.push(charge(&self.same_names, order.pattern.to_string()));
            // Where it was renewed is where it is known.
            if !(order.is_renewal() && order.issued_by.as_deref() == Some(ca)) {
                charges.push(charge(&self.domain, registered(&order.pattern)));
                charges.push(charge(&self.orders, String::new()));
            }
        }
        charges.retain(|charge| !charge.bucket.is_endless());
        charges
    }

    /// [`Limits::charges`], down to the CA's last token where a certificate is about to expire: what is kept back is for orders that are long
    /// on their way, and a refusal costs no more than the certificate's end would.
    pub(super) fn charges_now(
        &self,
        order: &CertificateOrder,
        ca: &str,
        replaces: bool,
        now: Timestamp,
    ) -> Vec<Charge> {
        let mut charges = self.charges(order, ca, replaces);
        if order.is_about_to_expire(now) {
            let of_the_ca = [self.orders.name, self.domain.name, self.same_names.name];
            let kept_back = |it: &&mut Charge| of_the_ca.contains(&it.bucket.name);
            for charge in charges.iter_mut().filter(kept_back) {
                charge.bucket.capacity = charge.bucket.capacity.saturating_add(1);
            }
        }
        charges
    }

    /// What of it is given back after `outcome`.
    pub fn refunds(&self, order: &CertificateOrder, ca: &str, outcome: Outcome) -> Vec<Charge> {
        let mut charges = self.charges(order, ca, order.replaces);
        charges.retain(|charge| {
            let failure = charge.bucket.name == self.failures.name;
            let certificate =
                [self.domain.name, self.same_names.name].contains(&charge.bucket.name);
            match outcome {
                Outcome::Issued => failure,
                Outcome::NameFailed => certificate,
                Outcome::Neither => failure || certificate,
            }
        });
        charges
    }

    /// What every order at `ca` takes, and what every new one takes besides.
    pub fn shared(&self, ca: &str) -> [Charge; 2] {
        [self.pace, self.orders].map(|bucket| Charge {
            ca: ca.to_owned(),
            bucket,
            name: String::new(),
        })
    }
}

/// The name that control is shown of: `*.x` and `x` are one.
pub(super) fn identifier(pattern: &DomainPattern) -> &str {
    let (DomainPattern::Exact(name) | DomainPattern::Wildcard(name)) = pattern;
    name.as_str()
}

/// The registered domain that a name is or lies below (publicsuffix.org); the name itself where it lies below no suffix.
pub(super) fn registered(pattern: &DomainPattern) -> String {
    let name = identifier(pattern);
    psl::domain_str(name).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_three_failures_of_a_name_in_an_hour() {
        let bucket = Limits::default().failures;
        let (mut full_at, mut taken) = (0, Vec::new());
        // Somebody who tries again every minute for a day.
        for minute in 0..1_440_i64 {
            let now = Timestamp(1_000_000_000 + minute * 60_000);
            if let Ok(after) = bucket.take(full_at, now) {
                full_at = after;
                taken.push(now.0);
            }
        }
        assert!(taken.len() > 40, "{}", taken.len());
        for (place, first) in taken.iter().enumerate() {
            let hour = taken[place..].iter().filter(|it| **it < first + 3_600_000);
            assert!(hour.count() <= 3);
        }
    }

    #[test]
    fn names_below_one_registered_domain_share_its_bucket() {
        let of = |text: &str| registered(&DomainPattern::parse(text).unwrap());
        assert_eq!(of("a.b.example.co.uk"), "example.co.uk");
        assert_eq!(of("*.example.co.uk"), "example.co.uk");
        assert_eq!(of("me.github.io"), "me.github.io");
    }
}
