//! Looking up again what is served past its `ttl`: nobody waits for it, so many routes are asked for at once. One by one they would
//! cost a busy node more than the requests for which they are kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Resolver;
use super::lookup::PATIENCE;
use crate::model::{Causes, LookupKey};

/// Routes asked for at once.
const AT_ONCE: usize = 256;
/// Routes that may wait for their turn; any other is left for later, and served meanwhile.
const WAITING: usize = 8192;
/// How long a round waits for more to come together.
const GATHER: Duration = Duration::from_millis(10);

/// What is to be looked up again.
#[derive(Default)]
pub(super) struct Revalidations(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    keys: VecDeque<LookupKey>,
    /// Whether somebody is at it.
    attended: bool,
}

impl Revalidations {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next of them; where there are none, whoever comes from now on finds nobody at it.
    fn next(&self) -> Option<Vec<LookupKey>> {
        let mut queue = self.queue();
        let many = queue.keys.len().min(AT_ONCE);
        let keys: Vec<_> = queue.keys.drain(..many).collect();
        queue.attended = !keys.is_empty();
        queue.attended.then_some(keys)
    }
}

impl Resolver {
    /// Looks `key` up again in the background; leaves it where enough of that is going on.
    pub(super) fn revalidate(self: &Arc<Self>, key: LookupKey) {
        let mut queue = self.revalidations.queue();
        if queue.keys.len() >= WAITING {
            return;
        }
        queue.keys.push_back(key);
        if std::mem::replace(&mut queue.attended, true) {
            return;
        }
        // A runtime that has ended drops the work here and now, which takes the lock.
        drop(queue);
        self.control.spawn(Rounds(Some(Arc::clone(self))).run());
    }
}

/// Works the queue off. Where that is dropped before its end, because of a panic or because the runtime ends, the queue is left to
/// somebody else.
struct Rounds(Option<Arc<Resolver>>);

impl Rounds {
    async fn run(mut self) {
        while let Some(resolver) = &self.0 {
            let Some(keys) = resolver.revalidations.next() else {
                self.0 = None;
                return;
            };
            resolver.look_up_again(&keys).await;
            if keys.len() < AT_ONCE {
                tokio::time::sleep(GATHER).await;
            }
        }
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        if let Some(resolver) = &self.0 {
            resolver.revalidations.queue().attended = false;
        }
    }
}

impl Resolver {
    async fn look_up_again(&self, keys: &[LookupKey]) {
        let Some(source) = self.source.get() else {
            return;
        };
        let turn = self.flights.query().await;
        let era = self.applied.era();
        let looked = tokio::time::timeout(PATIENCE, source.lookup_many(keys)).await;
        drop(turn);
        match looked {
            Ok(Ok(looked)) => {
                self.metrics.cache_revalidated.inc_by(keys.len() as u64);
                for (key, looked) in keys.iter().zip(looked) {
                    self.keep(&era, key, looked);
                }
            }
            // One row that cannot be read must not keep the others from being looked up: each by itself.
            Ok(Err(error)) if !error.is_unavailable() && keys.len() > 1 => {
                for key in keys {
                    Box::pin(self.look_up_again(std::slice::from_ref(key))).await;
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %Causes(&error), "looking routes up again failed");
                if error.is_unavailable() {
                    self.contact.suspect();
                }
            }
            Err(_) => self.contact.suspect(),
        }
    }
}
