//! What may be asked of a CA and when, shared by all nodes: token buckets as the CAs publish theirs, one number each.

use std::time::Duration;

use crate::clock::Timestamp;

use super::session::Session;
use super::writing::Writing;
use super::{READ, Store, StoreError, WRITE, orders};

/// A bucket that holds `capacity` tokens and gets one back every `refill`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// Its name in the store.
    pub name: &'static str,
    /// Tokens in a full one.
    pub capacity: u32,
    /// Until one token is back.
    pub refill: Duration,
}

/// One token of one bucket at a CA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Charge {
    /// The CA, by [`crate::store::CertificateOrder::ca`].
    pub ca: String,
    /// The bucket.
    pub bucket: Bucket,
    /// Whose bucket of that name: a hostname, a registered domain, or empty where all orders share it.
    pub name: String,
}

/// A bucket is kept as the time at which it will be full again (the "virtual scheduling" form of the generic cell rate algorithm, ITU-T
/// I.371): one number, no clean-up of what is past, and the same answers as counting tokens.
impl Bucket {
    /// Takes a token; when the bucket will be full then.
    ///
    /// # Errors
    /// When there will be a token, where there is none.
    pub fn take(&self, full_at: i64, now: Timestamp) -> Result<i64, Timestamp> {
        let after = full_at.max(now.0).saturating_add(self.millis());
        let free_at = after.saturating_sub(self.span());
        match free_at > now.0 {
            true => Err(Timestamp(free_at)),
            false => Ok(after),
        }
    }

    /// Tokens in it.
    pub fn left(&self, full_at: i64, now: Timestamp) -> u32 {
        let missing = full_at.saturating_sub(now.0).max(0);
        let left = self.span().saturating_sub(missing).max(0) / self.millis();
        u32::try_from(left).unwrap_or(self.capacity)
    }

    fn millis(&self) -> i64 {
        i64::try_from(self.refill.as_millis())
            .unwrap_or(i64::MAX)
            .max(1)
    }

    fn span(&self) -> i64 {
        self.millis().saturating_mul(i64::from(self.capacity))
    }
}

/// What of a CA's budget is left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Room {
    /// For each bucket that was asked about the tokens in it, and when there is one: now where there are any.
    pub left: Vec<(u32, Timestamp)>,
    /// Until when the CA asked to be left alone; in the past where it did not.
    pub held_until: Timestamp,
}

/// When something can be asked of a CA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Price {
    /// When the budgets have it; now where they do.
    pub free_at: Timestamp,
    /// Until when the CA asked to be left alone; in the past where it did not.
    pub held_until: Timestamp,
}

/// The bucket under which a CA's wish to be left alone is kept.
const HOLD: &str = "hold";

impl Store {
    /// What is left in the buckets of `charges`, all of them at `ca`, and whether that asked to be left alone.
    pub async fn acme_room(&self, ca: &str, charges: &[Charge]) -> Result<Room, StoreError> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let now = self.inner.clock.now();
            let mut left = Vec::with_capacity(charges.len());
            for charge in charges {
                let full_at = full_at(&mut session, charge).await?;
                let free_at = charge.bucket.take(full_at, now).err().unwrap_or(now);
                left.push((charge.bucket.left(full_at, now), free_at));
            }
            let held_until = Timestamp(read(&mut session, ca, HOLD, "").await?);
            Ok(Room { left, held_until })
        };
        self.timed("acme_room", READ, work).await
    }

    /// When all of `charges` at `ca` can be had. Takes none.
    pub async fn acme_price(&self, ca: &str, charges: &[Charge]) -> Result<Price, StoreError> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let now = self.inner.clock.now();
            let mut free_at = now;
            for charge in charges {
                let full_at = full_at(&mut session, charge).await?;
                let free = charge.bucket.take(full_at, now);
                free_at = free_at.max(free.err().unwrap_or(now));
            }
            let held_until = Timestamp(read(&mut session, ca, HOLD, "").await?);
            Ok(Price {
                free_at,
                held_until,
            })
        };
        self.timed("acme_price", READ, work).await
    }

    /// Leaves a CA alone until `until`: no node places an order there before that.
    pub async fn hold_ca(&self, ca: &str, until: Timestamp) -> Result<(), StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.lock(orders::ORDERS_LOCK).await?;
            let until = until.0.max(read(&mut tx, ca, HOLD, "").await?);
            write(&mut tx, ca, HOLD, "", until).await?;
            tx.finish_unannounced().await
        };
        self.timed("acme_hold", WRITE, work).await
    }

    /// Forgets buckets that are full and holds that are over: they say nothing.
    pub async fn prune_acme_budgets(&self) -> Result<u64, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let now = tx.now().0;
            let gone = tx
                .run(
                    "delete from acme_budgets where spent_until < $1",
                    &[now.into()],
                )
                .await?;
            tx.finish_unannounced().await?;
            Ok(gone)
        };
        self.timed("acme_prune", WRITE, work).await
    }
}

/// Takes all of `charges` or none; when all can be had, where they cannot now. The caller holds [`orders::ORDERS_LOCK`].
pub(super) async fn spend(
    tx: &mut Writing,
    charges: &[Charge],
) -> Result<Result<(), Timestamp>, StoreError> {
    let now = tx.now();
    let (mut taken, mut later) = (Vec::with_capacity(charges.len()), None);
    for charge in charges {
        match charge.bucket.take(full_at(tx, charge).await?, now) {
            Ok(after) => taken.push(after),
            Err(free_at) => later = later.max(Some(free_at)),
        }
    }
    if let Some(later) = later {
        return Ok(Err(later));
    }
    for (charge, after) in charges.iter().zip(taken) {
        write(tx, &charge.ca, charge.bucket.name, &charge.name, after).await?;
    }
    Ok(Ok(()))
}

/// Gives tokens back. The caller holds [`orders::ORDERS_LOCK`].
pub(super) async fn refund(tx: &mut Writing, charges: &[Charge]) -> Result<(), StoreError> {
    for charge in charges {
        tx.run(
            "update acme_budgets set spent_until = spent_until - $4 where ca = $1 and bucket = $2 and name = $3",
            &[
                (&charge.ca).into(),
                charge.bucket.name.into(),
                (&charge.name).into(),
                charge.bucket.millis().into(),
            ],
        )
        .await?;
    }
    Ok(())
}

async fn full_at(session: &mut Session, charge: &Charge) -> Result<i64, StoreError> {
    read(session, &charge.ca, charge.bucket.name, &charge.name).await
}

async fn read(
    session: &mut Session,
    ca: &str,
    bucket: &str,
    name: &str,
) -> Result<i64, StoreError> {
    let row = session
        .row(
            "select spent_until from acme_budgets where ca = $1 and bucket = $2 and name = $3",
            &[ca.into(), bucket.into(), name.into()],
        )
        .await?;
    row.map_or(Ok(0), |row| row.get("spent_until"))
}

async fn write(
    tx: &mut Writing,
    ca: &str,
    bucket: &str,
    name: &str,
    spent_until: i64,
) -> Result<(), StoreError> {
    tx.run(
        "insert into acme_budgets (ca, bucket, name, spent_until) values ($1, $2, $3, $4) \
         on conflict (ca, bucket, name) do update set spent_until = excluded.spent_until",
        &[ca.into(), bucket.into(), name.into(), spent_until.into()],
    )
    .await
    .map(drop)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The same answers as a bucket in which tokens are counted.
        #[test]
        fn one_number_says_what_counted_tokens_say(
            capacity in 1..6_u32,
            refill in 1..50_i64,
            pauses in proptest::collection::vec(0..80_i64, 1..80),
        ) {
            let bucket = Bucket { name: "x", capacity, refill: Duration::from_millis(refill.unsigned_abs()) };
            let (mut full_at, mut now) = (0, 1_000);
            // In parts of a token, `refill` of which make one.
            let mut parts = i64::from(capacity) * refill;
            for pause in pauses {
                now += pause;
                parts = (parts + pause).min(i64::from(capacity) * refill);
                prop_assert_eq!(i64::from(bucket.left(full_at, Timestamp(now))), parts / refill);
                match bucket.take(full_at, Timestamp(now)) {
                    Ok(after) => {
                        prop_assert!(parts >= refill);
                        (full_at, parts) = (after, parts - refill);
                    }
                    Err(free_at) => {
                        prop_assert!(parts < refill);
                        prop_assert_eq!(free_at.0, now + refill - parts);
                        prop_assert!(bucket.take(full_at, free_at).is_ok());
                    }
                }
            }
        }
    }
}
