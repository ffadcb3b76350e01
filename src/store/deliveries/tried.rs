//! What follows from an attempt, for the delivery and for its webhook.

use std::time::Duration;

use uuid::Uuid;

use super::{DueDelivery, Outcome};
use crate::clock::Timestamp;
use crate::model::EventKind;
use crate::model::webhook::{Next, PATIENCE, Reply};
use crate::store::values::Row;
use crate::store::webhooks::pause;
use crate::store::writing::Writing;
use crate::store::{Store, StoreError, WRITE};

/// How long a delivery waits that could not be sent for a reason that is ours.
const OUR_FAULT: Duration = Duration::from_secs(300);
/// Longest text of a fault that is kept, in bytes.
const MAX_FAULT: usize = 300;

impl Store {
    /// Draws the consequences of an attempt. `None` where another node has the delivery by now, or it is gone.
    pub async fn delivery_tried(
        &self,
        due: &DueDelivery,
        reply: &Reply,
    ) -> Result<Option<Outcome>, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            // First the webhook, as who removes one does: in the other order two could wait for each other.
            if tx.either(false, true) {
                tx.row(WEBHOOK_LOCKED, &[due.target.webhook.into()]).await?;
            }
            let held = tx.either(HELD_SQLITE, HELD_POSTGRES);
            let row = tx.row(held, &[due.id.into(), due.lease.into()]).await?;
            let Some(row) = row else { return Ok(None) };
            let outcome = draw(&mut tx, due, reply, &row).await?;
            tx.finish_unannounced().await?;
            Ok(Some(outcome))
        };
        self.timed("delivery_tried", WRITE, work).await
    }
}

/// Writes down what follows from `reply`; `row` is what the store knew of it.
async fn draw(
    tx: &mut Writing,
    due: &DueDelivery,
    reply: &Reply,
    row: &Row,
) -> Result<Outcome, StoreError> {
    let now = tx.now();
    let ours = matches!(reply, Reply::Unsent(_));
    let attempts = row.get::<i64>("attempts")? + i64::from(!ours);
    let from: i64 = row.get::<Option<i64>>("tried_from")?.unwrap_or(now.0);
    let next = reply.next(
        u32::try_from(attempts).unwrap_or(u32::MAX),
        now.since(Timestamp(from)),
    );
    let webhook = due.target.webhook;
    let (state, wait, outcome) = match next {
        Next::Delivered => {
            tx.run(
                "update webhooks set failing_since = null where id = $1 and failing_since is not null",
                &[webhook.into()],
            )
            .await?;
            ("delivered", Duration::ZERO, Outcome::Delivered)
        }
        // Whoever made it is waiting for the answer, whatever it is.
        _ if due.kind == EventKind::Ping => ("failed", Duration::ZERO, Outcome::GivenUp),
        _ if ours => ("pending", OUR_FAULT, Outcome::Again),
        Next::Again { wait, hold } => match failed(tx, webhook, reply, hold).await? {
            Some(why) => ("pending", wait, Outcome::Paused(why)),
            None => ("pending", wait, Outcome::Again),
        },
        Next::GiveUp => match failed(tx, webhook, reply, Duration::ZERO).await? {
            Some(why) => ("pending", Duration::ZERO, Outcome::Paused(why)),
            None => ("failed", Duration::ZERO, Outcome::GivenUp),
        },
    };
    let mut fault = reply.fault();
    if let Some(text) = &mut fault {
        text.truncate(text.floor_char_boundary(MAX_FAULT));
    }
    tx.run(
        "update deliveries set state = $2, due_at = $3, lease = null, attempts = $4, tried_from = $5, tried_at = $6, \
         status = $7, error = $8 where id = $1",
        &[
            due.id.into(),
            state.into(),
            now.plus(wait).0.into(),
            attempts.into(),
            from.into(),
            now.0.into(),
            reply.status().map(i64::from).into(),
            fault.as_deref().into(),
        ],
    )
    .await?;
    Ok(outcome)
}

/// Counts a failure against the webhook; why it is paused, if it is now.
async fn failed(
    tx: &mut Writing,
    webhook: Uuid,
    reply: &Reply,
    hold: Duration,
) -> Result<Option<&'static str>, StoreError> {
    let now = tx.now();
    tx.run(
        "update webhooks set failing_since = coalesce(failing_since, $2), \
         hold_until = case when hold_until < $3 then $3 else hold_until end where id = $1",
        &[webhook.into(), now.0.into(), now.plus(hold).0.into()],
    )
    .await?;
    let row = tx
        .row(
            "select failing_since from webhooks where id = $1",
            &[webhook.into()],
        )
        .await?;
    let since = row.map_or(Ok(None), |row| row.get::<Option<i64>>("failing_since"))?;
    let failing = now.since(Timestamp(since.unwrap_or(now.0)));
    let why = if reply.is_gone() {
        "the receiver says that it is gone (410)"
    } else if failing >= PATIENCE {
        "every attempt of three days has failed"
    } else {
        return Ok(None);
    };
    pause(tx, webhook, why).await?;
    Ok(Some(why))
}

const WEBHOOK_LOCKED: &str = "select id from webhooks where id = $1 for no key update";
const HELD_SQLITE: &str = "select attempts, tried_from from deliveries where id = $1 and lease = $2 and state = 'pending'";
const HELD_POSTGRES: &str = "select attempts, tried_from from deliveries where id = $1 and lease = $2 and state = 'pending' for update";
