//! Who makes which delivery now.

use std::time::Duration;

use super::{DueDelivery, due_columns, due_delivery, target, target_columns};
use crate::clock::Timestamp;
use crate::store::values::Row;
use crate::store::writing::Writing;
use crate::store::{Store, StoreError, WRITE};

/// PostgreSQL's advisory lock for taking deliveries: who counts what is under way at a receiver must be alone. ("vestibul", the last
/// letter 4.)
const DELIVERIES_LOCK: i64 = 0x7665_7374_6962_7504;

impl Store {
    /// Takes at most `limit` deliveries that are to be made by now and keeps them from other nodes for `lease`. The webhooks that have
    /// waited longest come first, and of none so many are under way that it could keep the others from theirs.
    pub async fn due_deliveries(
        &self,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let work = async {
            let now = self.inner.clock.now();
            // Mostly nothing is due, and that is found out without keeping others from writing.
            let args = [now.0.into()];
            let any = self.inner.reading().await?.row(ANY_WAITING, &args).await?;
            if any.is_none() {
                return Ok(Vec::new());
            }
            let mut tx = self.writing().await?;
            tx.lock(DELIVERIES_LOCK).await?;
            let mut due = Vec::new();
            for waiting in tx.rows(WAITING, &[now.0.into()]).await? {
                let left = i64::from(limit) - i64::try_from(due.len()).unwrap_or(i64::MAX);
                let room = waiting.get::<i64>("room")?.min(left);
                if room > 0 {
                    due.extend(take(&mut tx, &waiting, room, now.plus(lease)).await?);
                }
            }
            tx.finish_unannounced().await?;
            Ok(due)
        };
        self.timed("deliveries_due", WRITE, work).await
    }
}

/// Takes at most `room` deliveries of a webhook until `until`.
async fn take(
    tx: &mut Writing,
    waiting: &Row,
    room: i64,
    until: Timestamp,
) -> Result<Vec<DueDelivery>, StoreError> {
    let target = target(waiting)?;
    let now = tx.now().0;
    let rows = tx
        .rows(HEADS, &[now.into(), target.webhook.into(), room.into()])
        .await?;
    let mut taken = Vec::with_capacity(rows.len());
    for row in &rows {
        let lease = tx.new_uuid();
        let due = due_delivery(row, target.clone(), lease)?;
        tx.run(
            "update deliveries set lease = $2, due_at = $3 where id = $1",
            &[due.id.into(), lease.into(), until.0.into()],
        )
        .await?;
        taken.push(due);
    }
    Ok(taken)
}

/// A delivery that is due, and before which nothing of its subject waits.
macro_rules! head {
    () => {
        "d.state = 'pending' and d.due_at <= $1 and not exists (select 1 from deliveries b where b.webhook = d.webhook \
         and b.subject = d.subject and b.state = 'pending' and b.id < d.id)"
    };
}
/// Webhooks with something to deliver, and how much more may be under way there, from all nodes together: eight in all, one where the
/// last attempt has failed, which finds out as well as many whether the receiver is back.
macro_rules! waiting {
    () => {
        concat!(
            "select webhook, url, allow_private, sealed_secret, old_secret, most - busy as room from (select ",
            target_columns!(),
            ", case when w.failing_since is null then 8 else 1 end as most, (select count(*) from deliveries u where u.webhook = w.id \
             and u.lease is not null and u.due_at > $1) as busy, (select min(d.due_at) from deliveries d where d.webhook = w.id \
             and d.state = 'pending') as oldest from webhooks w where w.paused_at is null and w.hold_until <= $1 \
             and exists (select 1 from deliveries d where d.webhook = w.id and ",
            head!(),
            ")) as waiting where busy < most "
        )
    };
}
const ANY_WAITING: &str = concat!(waiting!(), "limit 1");
const WAITING: &str = concat!(waiting!(), "order by oldest, webhook");
const HEADS: &str = concat!(
    due_columns!(),
    "where d.webhook = $2 and ",
    head!(),
    " order by d.due_at, d.id limit $3"
);
