//! Answers to CAs from the store, however many ask: all open challenges are read in one statement, by one reader at a time, and whoever
//! finds no answer in what was read last waits for a reading that began after he asked.
//!
//! Absence is never remembered, so that a CA which comes right behind the publishing is answered; a flood of made-up tokens, names and
//! labels costs a small statement for each [`GAP`], and no challenge is crowded out by it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::{ChallengeSource, Standing};
use crate::model::Hostname;
use crate::store::{Store, StoreError};

/// From the beginning of one reading to that of the next, at least.
const GAP: Duration = Duration::from_millis(100);
/// How long what was read answers without another look: what has been withdrawn is not answered for longer.
const FRESH: Duration = Duration::from_secs(1);
/// How long one question waits at most. CAs wait ten seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The open challenges of a store that may be away. Asked on any thread; the store is read on the control plane.
pub struct OpenChallenges {
    control: Handle,
    store: OnceLock<Store>,
    turns: Arc<Mutex<Turns>>,
    /// What the last reading brought.
    last: watch::Sender<Reading>,
}

/// Readings, counted.
struct Turns {
    begun: u64,
    wanted: u64,
    /// Whether somebody reads, or is about to.
    manned: bool,
    next_at: Instant,
}

#[derive(Clone)]
struct Reading {
    number: u64,
    at: Instant,
    standing: Result<Arc<Standing>, Arc<StoreError>>,
}

impl OpenChallenges {
    /// None, until a store is there. The store is read on `control`.
    pub fn new(control: Handle) -> Arc<Self> {
        let now = Instant::now();
        let nothing = Reading {
            number: 0,
            at: now,
            standing: Err(Arc::new(StoreError::NotOpen)),
        };
        Arc::new(Self {
            control,
            store: OnceLock::new(),
            turns: Arc::new(Mutex::new(Turns {
                begun: 0,
                wanted: 0,
                manned: false,
                next_at: now,
            })),
            last: watch::Sender::new(nothing),
        })
    }

    /// From now on `store` is asked. Only the first one counts.
    pub fn attach(&self, store: Store) {
        let _ = self.store.set(store);
    }

    /// What `find` finds: in what has just been read, else in what is read from now on. For what stands alone: once it is there, nothing
    /// is to be added to it.
    async fn ask<T>(&self, find: impl Fn(&Standing) -> Option<T>) -> Result<Option<T>, StoreError> {
        if let Some(found) = self.fresh().and_then(|standing| find(&standing)) {
            return Ok(Some(found));
        }
        self.ask_anew(find).await
    }

    /// What `find` finds in what is read from now on.
    async fn ask_anew<T>(
        &self,
        find: impl Fn(&Standing) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let Some(store) = self.store.get() else {
            return Err(StoreError::NotOpen);
        };
        let mut readings = self.last.subscribe();
        let number = self.want(store);
        let read = timeout(
            PATIENCE,
            readings.wait_for(|reading| reading.number >= number),
        );
        let standing = match read.await {
            Ok(Ok(reading)) => reading.standing.clone().map_err(StoreError::Shared)?,
            // The sender is in `self`.
            Ok(Err(_)) | Err(_) => return Err(StoreError::TimedOut { after: PATIENCE }),
        };
        Ok(find(&standing))
    }

    fn fresh(&self) -> Option<Arc<Standing>> {
        let last = self.last.borrow();
        let standing = last.standing.as_ref().ok()?;
        (last.at.elapsed() < FRESH).then(|| Arc::clone(standing))
    }

    /// The number of the reading that begins next; somebody will do it.
    fn want(&self, store: &Store) -> u64 {
        let mut turns = lock(&self.turns);
        turns.wanted = turns.begun + 1;
        if !turns.manned {
            turns.manned = true;
            let watchman = Watchman {
                turns: Arc::clone(&self.turns),
                on_duty: true,
            };
            let reading = read(watchman, store.clone(), self.last.clone());
            self.control.spawn(reading);
        }
        turns.wanted
    }
}

impl ChallengeSource for OpenChallenges {
    fn http01<'a>(
        &'a self,
        name: &'a Hostname,
        token: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        let find = move |standing: &Standing| {
            let of_name = standing.http01.get(name)?;
            let (_, answer) = of_name.iter().find(|(known, _)| known == token)?;
            Some(answer.clone())
        };
        self.ask(find).boxed()
    }

    fn tls_alpn01<'a>(
        &'a self,
        name: &'a Hostname,
    ) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        let find = move |standing: &Standing| standing.tls_alpn01.get(name).cloned();
        self.ask_anew(find)
            .map_ok(Option::unwrap_or_default)
            .boxed()
    }

    fn had_dns01(&self, label: &str) -> bool {
        let last = self.last.borrow();
        let standing = last.standing.as_ref();
        standing.is_ok_and(|standing| standing.dns01.contains_key(label))
    }

    fn dns01<'a>(&'a self, label: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        // A name and the wildcard below it are shown at one label: whoever has read the one may miss the other.
        let find = move |standing: &Standing| standing.dns01.get(label).cloned();
        self.ask_anew(find)
            .map_ok(Option::unwrap_or_default)
            .boxed()
    }
}

/// Reads for as long as anybody waits for it.
async fn read(mut watchman: Watchman, store: Store, last: watch::Sender<Reading>) {
    loop {
        let due = lock(&watchman.turns).next_at;
        sleep_until(due).await;
        let (number, at) = (watchman.begin(), Instant::now());
        let standing = store.standing_challenges().await;
        last.send_replace(Reading {
            number,
            at,
            standing: standing.map(Arc::new).map_err(Arc::new),
        });
        if watchman.leave() {
            return;
        }
    }
}

/// Who reads. Gone while on duty, however it comes to that, it lets another one begin.
struct Watchman {
    turns: Arc<Mutex<Turns>>,
    on_duty: bool,
}

impl Watchman {
    fn begin(&self) -> u64 {
        let mut turns = lock(&self.turns);
        turns.begun += 1;
        turns.next_at = Instant::now() + GAP;
        turns.begun
    }

    /// Goes off duty where nobody wants another reading; whether that is so.
    fn leave(&mut self) -> bool {
        let mut turns = lock(&self.turns);
        self.on_duty = turns.wanted > turns.begun;
        turns.manned = self.on_duty;
        !self.on_duty
    }
}

impl Drop for Watchman {
    fn drop(&mut self) {
        if self.on_duty {
            lock(&self.turns).manned = false;
        }
    }
}

fn lock(turns: &Mutex<Turns>) -> MutexGuard<'_, Turns> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}
