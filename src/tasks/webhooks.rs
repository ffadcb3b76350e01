//! Delivers events to webhooks. What is to be delivered stands in the store, and which node does it is settled there too: one that is
//! lost with its node is made by another when its lease is over, so a receiver hears of an event at least once.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::model::webhook::Reply;
use crate::model::{Causes, DomainState, Secret};
use crate::seal::SealError;
use crate::shutdown::{Phase, Stopping};
use crate::store::{DeliveryOutcome, DueDelivery, Store, StoreError};

mod send;
mod sign;

pub use send::Sender;
pub use sign::{draw_secret, secret_text};

use send::Post;

/// How long a receiver has for its answer.
pub const LIMIT: Duration = Duration::from_secs(10);
/// For this long a node has a delivery to itself: longer than an attempt takes, with what the store takes before and after.
pub const LEASE: Duration = Duration::from_secs(60);
/// Between two questions for what is due.
const TICK: Duration = Duration::from_secs(1);
/// After the store could not be asked.
const PAUSE: Duration = Duration::from_secs(5);
/// Attempts under way at a time; the store sees to it that they are not all at one receiver.
const AT_ONCE: usize = 64;
/// Between two counts of what the gauges show.
const COUNT: Duration = Duration::from_secs(60);
/// How long events are kept, and their deliveries with them.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Events forgotten in one transaction.
const FORGET: u32 = 500;

/// Opens a secret of the store that was sealed for a purpose.
pub type Unseal = Box<dyn Fn(&str, &[u8]) -> Result<Secret, SealError> + Send + Sync>;

/// Who carries an event to its receiver.
pub struct Courier {
    /// Where deliveries are.
    pub store: Store,
    /// How they are sent.
    pub sender: Sender,
    /// Opens the secrets that they are signed with.
    pub unseal: Unseal,
    /// The time.
    pub clock: Clock,
}

/// The reconciler of deliveries.
pub struct WebhookTask {
    /// Who carries them.
    pub courier: Arc<Courier>,
    /// Where attempts are counted.
    pub metrics: Arc<Metrics>,
}

impl Courier {
    /// Sends what is due, signed, and has the store draw the consequences. `None` where another node has the delivery by now.
    pub async fn carry(
        &self,
        due: &DueDelivery,
    ) -> Result<(Reply, Option<DeliveryOutcome>), StoreError> {
        let reply = match self.post(due) {
            Ok(post) => {
                let (url, private) = (&due.target.url, due.target.allow_private);
                self.sender.send(url, private, post, self.clock.now()).await
            }
            Err(error) => Reply::Unsent(Causes(&error).to_string()),
        };
        let outcome = self.store.delivery_tried(due, &reply).await?;
        Ok((reply, outcome))
    }

    fn post(&self, due: &DueDelivery) -> Result<Post, SealError> {
        let purpose = due.target.purpose();
        let sealed = due.target.sealed_secrets.iter();
        let secrets: Vec<Secret> = sealed
            .map(|sealed| (self.unseal)(&purpose, sealed))
            .collect::<Result<_, _>>()?;
        let (id, body) = (&due.message.id, &due.message.body);
        let seconds = self.clock.now().seconds();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("webhook-id", id.clone()),
            ("webhook-timestamp", seconds.to_string()),
            (
                "webhook-signature",
                sign::signatures(&secrets, id, seconds, body),
            ),
        ] {
            // Digits, letters, base64: always a field's value.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        let body = body.clone();
        Ok(Post { headers, body })
    }
}

impl WebhookTask {
    /// Delivers, counts and forgets until the node stops.
    pub async fn run(self, stopping: Stopping) {
        tokio::join!(self.deliver(&stopping), self.keep_house(&stopping));
    }

    /// Makes every delivery that is due now, at most as many as are under way at a time, and waits for all; how many they were.
    pub async fn round(&self) -> Result<usize, StoreError> {
        let mut under_way = JoinSet::new();
        self.begin(&mut under_way).await?;
        let many = under_way.len();
        under_way.join_all().await;
        Ok(many)
    }

    async fn deliver(&self, stopping: &Stopping) {
        for result in ["delivered", "failed", "given_up"] {
            let _ = self.metrics.webhook_deliveries.with_label_values(&[result]);
        }
        let mut under_way = JoinSet::new();
        loop {
            let pause = match self.begin(&mut under_way).await {
                Ok(()) => TICK,
                Err(error) => {
                    tracing::warn!(error = %Causes(&error), "webhooks cannot be looked after");
                    PAUSE
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                // There is room for another, and what comes behind it in its order may go.
                Some(_) = under_way.join_next() => {}
                () = stopping.reached(Phase::Draining) => break,
            }
            while under_way.try_join_next().is_some() {}
        }
        // A receiver that has the event and is not asked for its answer is sent it again.
        under_way.join_all().await;
    }

    /// Begins every delivery that is due and for which there is room.
    async fn begin(&self, under_way: &mut JoinSet<()>) -> Result<(), StoreError> {
        let free = AT_ONCE.saturating_sub(under_way.len());
        let free = u32::try_from(free).unwrap_or_default();
        if free == 0 {
            return Ok(());
        }
        for due in self.courier.store.due_deliveries(free, LEASE).await? {
            let (courier, metrics) = (Arc::clone(&self.courier), Arc::clone(&self.metrics));
            under_way.spawn(async move {
                match courier.carry(&due).await {
                    Ok((reply, Some(outcome))) => told(&due, &reply, &outcome, &metrics),
                    Ok((_, None)) => {}
                    Err(error) => {
                        let delivery = due.id;
                        tracing::warn!(error = %Causes(&error), delivery, "what became of a delivery is lost; it is made again");
                    }
                }
            });
        }
        Ok(())
    }

    async fn keep_house(&self, stopping: &Stopping) {
        let mut ticks = interval(COUNT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stopping.reached(Phase::Draining) => return,
            }
            let done = async {
                self.count().await?;
                self.forget().await
            };
            if let Err(error) = done.await {
                tracing::warn!(error = %Causes(&error), "events cannot be counted or forgotten now");
            }
        }
    }

    async fn count(&self) -> Result<(), StoreError> {
        let store = &self.courier.store;
        let counted = store.domain_states().await?;
        for state in DomainState::ALL {
            let many = counted.iter().find(|(counted, _)| *counted == state);
            let gauge = self.metrics.domains.with_label_values(&[state.as_str()]);
            gauge.set(many.map_or(0, |(_, many)| *many));
        }
        let pending = store.pending_deliveries().await?;
        self.metrics.webhook_pending.set(pending);
        Ok(())
    }

    async fn forget(&self) -> Result<(), StoreError> {
        // Others may write between two of them.
        while self.courier.store.prune_events(KEPT, FORGET).await? == u64::from(FORGET) {}
        Ok(())
    }
}

fn told(due: &DueDelivery, reply: &Reply, outcome: &DeliveryOutcome, metrics: &Metrics) {
    let result = match outcome {
        DeliveryOutcome::Delivered => "delivered",
        DeliveryOutcome::Again | DeliveryOutcome::Paused(_) => "failed",
        DeliveryOutcome::GivenUp => "given_up",
    };
    metrics
        .webhook_deliveries
        .with_label_values(&[result])
        .inc();
    let (delivery, webhook) = (due.id, due.target.webhook);
    let why = reply.fault();
    match outcome {
        DeliveryOutcome::Delivered => {}
        DeliveryOutcome::Again if matches!(reply, Reply::Unsent(_)) => {
            tracing::warn!(delivery, %webhook, why, "an event cannot be signed");
        }
        DeliveryOutcome::Again => {
            tracing::debug!(delivery, %webhook, why, "an event is not delivered yet")
        }
        DeliveryOutcome::GivenUp => {
            tracing::warn!(delivery, %webhook, why, "an event could not be delivered and is given up");
        }
        DeliveryOutcome::Paused(reason) => {
            tracing::warn!(delivery, %webhook, why, reason, "a webhook is paused");
        }
    }
}
