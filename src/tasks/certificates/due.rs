//! What is due, and how much of it is taken up: as much as there are places, and as the CAs' budgets go.

use super::{Certificates, Issuer};
use crate::clock::Timestamp;
use crate::store::{AtCa, CertificateOrder, OrderClass, StoreError};
use crate::tasks::certificates::setback::PATIENCE;

/// Places for rows that are only looked after.
const LOOKED_AFTER: u32 = 8;

/// What a CA takes now. More than that is not leased: whoever has a row and cannot pay has it in vain, and its tenant's turn is over.
#[derive(Clone, Copy)]
enum Open {
    /// So much.
    Yes(Takes),
    /// Nothing until then.
    Held(Timestamp),
}

#[derive(Clone, Copy)]
struct Takes {
    renewals: u32,
    new: u32,
    /// When it takes more, where it takes none.
    more_at: Timestamp,
}

impl Certificates {
    /// Leases what is due, at most `free` rows: what a CA has already first, then renewals, then new names as far as the CA's budget goes,
    /// then what is only looked after. With it, when something else will be due.
    pub(super) async fn due(
        &self,
        free: u32,
    ) -> Result<(Vec<CertificateOrder>, Timestamp), StoreError> {
        let left = |taken: &Vec<_>| free.saturating_sub(u32::try_from(taken.len()).unwrap_or(free));
        let now = self.parts.clock.now();
        let (mut orders, mut next) = (Vec::new(), Timestamp(i64::MAX));
        let due = self.parts.store.due_stages().await?;
        if due.in_flight {
            orders = self.lease(OrderClass::InFlight, free).await?;
        }
        if due.due {
            for (number, issuer) in self.parts.issuers.iter().enumerate() {
                let ca = issuer.ca.id();
                let first = number == 0;
                let at = AtCa { ca, first };
                match self.open(number).await? {
                    Open::Held(until) => next = next.min(until),
                    Open::Yes(takes) => {
                        let many = left(&orders).min(takes.renewals);
                        let renewals = self.lease(OrderClass::Renewals(at), many).await?;
                        let taken = u32::try_from(renewals.len()).unwrap_or(many);
                        orders.extend(renewals);
                        let many = left(&orders).min(takes.new).min(takes.renewals - taken);
                        orders.extend(self.lease(OrderClass::New(at), many).await?);
                        if takes.more_at > now {
                            next = next.min(takes.more_at);
                        }
                    }
                }
            }
        }
        if due.kept {
            let many = left(&orders).min(LOOKED_AFTER);
            orders.extend(self.lease(OrderClass::Kept, many).await?);
        }
        if let Some(later) = self.parts.store.next_order_at().await? {
            next = next.min(later);
        }
        Ok((orders, next))
    }

    async fn lease(
        &self,
        class: OrderClass<'_>,
        many: u32,
    ) -> Result<Vec<CertificateOrder>, StoreError> {
        let (store, holder) = (&self.parts.store, &self.parts.holder);
        match many {
            0 => Ok(Vec::new()),
            _ => store.lease_orders(class, holder, many).await,
        }
    }

    /// What rows that wait for the CA number `at` may do: go there, or to the one that they would be passed on to.
    async fn open(&self, at: usize) -> Result<Open, StoreError> {
        let own = self.open_itself(&self.parts.issuers[at]).await?;
        let Open::Held(until) = own else {
            return Ok(own);
        };
        if !self.is_long(until) {
            return Ok(own);
        }
        let many = self.parts.issuers.len();
        for step in 1..many {
            let other = &self.parts.issuers[(at + step) % many];
            if let open @ Open::Yes(..) = self.open_itself(other).await? {
                return Ok(open);
            }
        }
        Ok(own)
    }

    async fn open_itself(&self, issuer: &Issuer) -> Result<Open, StoreError> {
        let ca = issuer.ca.id();
        let room = self
            .parts
            .store
            .acme_room(ca, &issuer.limits.shared(ca))
            .await?;
        let now = self.parts.clock.now();
        let [(renewals, renewals_at), (new, new_at)] = room.left[..] else {
            return Ok(Open::Held(now));
        };
        Ok(match room.held_until > now {
            true => Open::Held(room.held_until),
            false => Open::Yes(Takes {
                renewals,
                new,
                more_at: if renewals == 0 { renewals_at } else { new_at },
            }),
        })
    }

    /// Whether it is too long to wait until then for a CA, where there is another one.
    pub(super) fn is_long(&self, until: Timestamp) -> bool {
        until.since(self.parts.clock.now()) > PATIENCE
    }
}
