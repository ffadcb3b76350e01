//! What may be asked of a CA and when, shared by all nodes: token buckets as the CAs publish theirs, one number each.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Timestamp;

use super::session::Session;
use super::values::Arg;
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
    /// One that is never empty.
    pub const fn endless(name: &'static str) -> Self {
        Self {
            name,
            capacity: u32::MAX,
            refill: Duration::from_millis(1),
        }
    }

    /// Whether it is never empty.
    pub fn is_endless(&self) -> bool {
        self.capacity == u32::MAX
    }

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
    /// What keeps it the longest, where the budgets do not have it now.
    pub short: Option<Short>,
    /// Until when the CA asked to be left alone; in the past where it did not.
    pub held_until: Timestamp,
}

/// A bucket that has no token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Short {
    /// When it has one again.
    pub until: Timestamp,
    /// Its name.
    pub bucket: &'static str,
}

impl Charge {
    /// See [`Bucket::take`].
    fn take(&self, full_at: i64, now: Timestamp) -> Result<i64, Short> {
        let bucket = self.bucket.name;
        let taken = self.bucket.take(full_at, now);
        taken.map_err(|until| Short { until, bucket })
    }
}

/// The bucket under which a CA's wish to be left alone is kept.
const HOLD: &str = "hold";

impl Store {
    /// What is left in the buckets of `charges`, all of them at `ca`, and whether that asked to be left alone.
    pub async fn acme_room(&self, ca: &str, charges: &[Charge]) -> Result<Room, StoreError> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let now = self.inner.clock.now();
            let Books {
                full_at,
                held_until,
            } = books(&mut session, ca, charges).await?;
            let left = charges.iter().zip(full_at).map(|(charge, full_at)| {
                let free_at = charge.bucket.take(full_at, now).err().unwrap_or(now);
                (charge.bucket.left(full_at, now), free_at)
            });
            Ok(Room {
                left: left.collect(),
                held_until,
            })
        };
        self.timed("acme_room", READ, work).await
    }

    /// When all of `charges` at `ca` can be had. Takes none.
    pub async fn acme_price(&self, ca: &str, charges: &[Charge]) -> Result<Price, StoreError> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let now = self.inner.clock.now();
            let Books {
                full_at,
                held_until,
            } = books(&mut session, ca, charges).await?;
            let each = charges.iter().zip(full_at);
            let short = each.filter_map(|(charge, full_at)| charge.take(full_at, now).err());
            Ok(Price {
                short: short.max(),
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
            let until = until.max(books(&mut tx, ca, &[]).await?.held_until);
            write(&mut tx, &[entry(ca, HOLD, "", until.0)]).await?;
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

/// Takes all of `charges`, which are at one CA, or none; what keeps them the longest, where they cannot be had now. The caller holds [`orders::ORDERS_LOCK`].
pub(super) async fn spend(
    tx: &mut Writing,
    charges: &[Charge],
) -> Result<Result<(), Short>, StoreError> {
    let now = tx.now();
    let Some(first) = charges.first() else {
        return Ok(Ok(()));
    };
    let full_at = books(tx, &first.ca, charges).await?.full_at;
    let (mut taken, mut short) = (Vec::with_capacity(charges.len()), None);
    for (charge, full_at) in charges.iter().zip(full_at) {
        match charge.take(full_at, now) {
            Ok(after) => taken.push(entry(&charge.ca, charge.bucket.name, &charge.name, after)),
            Err(one) => short = short.max(Some(one)),
        }
    }
    if let Some(short) = short {
        return Ok(Err(short));
    }
    write(tx, &taken).await?;
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

/// What the books of a CA say.
struct Books {
    /// When each of the buckets that were asked about will be full again; 0 where nothing was ever taken.
    full_at: Vec<i64>,
    held_until: Timestamp,
}

/// Looks all of `charges`, which are at `ca`, up in one question: it is asked several times for every order.
async fn books(session: &mut Session, ca: &str, charges: &[Charge]) -> Result<Books, StoreError> {
    let mut found = HashMap::new();
    let wanted = charges.iter().map(|it| (it.bucket.name, it.name.as_str()));
    let wanted: Vec<_> = wanted.chain([(HOLD, "")]).collect();
    for few in wanted.chunks(AT_ONCE) {
        let mut args = vec![ca.into()];
        for place in 0..AT_ONCE {
            // No bucket has no name.
            let (bucket, name) = few.get(place).copied().unwrap_or_default();
            args.extend([bucket.into(), name.into()]);
        }
        for row in session.rows(SPENT, &args).await? {
            let key: (String, String) = (row.get("bucket")?, row.get("name")?);
            found.insert(key, row.get("spent_until")?);
        }
    }
    let of = |(bucket, name): (&str, &str)| {
        let key = (bucket.to_owned(), name.to_owned());
        found.get(&key).copied().unwrap_or(0)
    };
    let mut all: Vec<i64> = wanted.into_iter().map(of).collect();
    let held_until = Timestamp(all.pop().unwrap_or(0));
    Ok(Books {
        full_at: all,
        held_until,
    })
}

fn entry<'a>(ca: &'a str, bucket: &'a str, name: &'a str, spent_until: i64) -> Vec<Arg<'a>> {
    vec![ca.into(), bucket.into(), name.into(), spent_until.into()]
}

/// Each of the buckets once.
async fn write(tx: &mut Writing, entries: &[Vec<Arg<'_>>]) -> Result<(), StoreError> {
    tx.insert_or(
        "insert into acme_budgets (ca, bucket, name, spent_until) values",
        entries,
        "on conflict (ca, bucket, name) do update set spent_until = excluded.spent_until",
    )
    .await
}

/// Buckets in one question: the five of an order, and the hold.
const AT_ONCE: usize = 6;
const SPENT: &str = "select b.bucket as bucket, b.name as name, b.spent_until as spent_until from \
     (select $2 as bucket, $3 as name union all select $4, $5 union all select $6, $7 union all select $8, $9 \
     union all select $10, $11 union all select $12, $13) as k \
     join acme_budgets b on b.ca = $1 and b.bucket = k.bucket and b.name = k.name";

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
