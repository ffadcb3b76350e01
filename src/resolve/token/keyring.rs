//! The keys of one issuer, kept fresh: fetched on the control plane, at start and again and again, one fetch at a time. A token
//! with an unknown key may ask for a fetch out of turn, but only so often.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::clock::{Clock, Timestamp};
use crate::jwks::{FetchError, Fetcher, JwksTimings, KeySet, KeySetUrl, RefusedKey};
use crate::metrics::Metrics;
use crate::model::Causes;

/// What every ring that fetches needs.
#[derive(Clone)]
pub(super) struct Net {
    pub(super) fetcher: Fetcher,
    pub(super) timings: JwksTimings,
    pub(super) control: Handle,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct Keyring {
    held: ArcSwap<Held>,
    /// Counts landed fetches, as [`Held::serial`]; whoever waits for one waits here.
    landed: watch::Sender<u64>,
    fetching: Mutex<Fetching>,
    source: Option<Source>,
}

/// What a ring holds at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    /// Fetches that have landed, well or badly.
    pub(super) serial: u64,
    set: Option<Arc<KeySet>>,
    /// Grows when the set becomes another.
    generation: u64,
    /// When the set ceases to be believed; `None` for keys that the configuration gave.
    until: Option<Timestamp>,
    /// Whether the last fetch failed.
    failing: bool,
}

#[derive(Debug, Default)]
struct Fetching {
    under_way: bool,
    /// When a token last asked.
    asked: Option<Timestamp>,
}

struct Source {
    url: KeySetUrl,
    net: Net,
}

/// A fetch under way. It lands whatever happens: also when its runtime ends before it does.
struct Flight {
    ring: Arc<Keyring>,
    outcome: Result<(KeySet, Vec<RefusedKey>), FetchError>,
}

enum Asked {
    /// Something has landed meanwhile.
    Look,
    Wait(watch::Receiver<u64>),
    No,
}

impl Held {
    /// The set and its generation, if there is one that is still believed.
    pub(super) fn usable(&self, now: Timestamp) -> Option<(&KeySet, u64)> {
        let fresh = self.until.is_none_or(|until| now < until);
        self.set
            .as_deref()
            .filter(|_| fresh)
            .map(|set| (set, self.generation))
    }
}

impl Keyring {
    /// Keys from the configuration, which never change.
    pub(super) fn fixed(set: KeySet) -> Arc<Self> {
        let held = Held {
            set: Some(Arc::new(set)),
            ..Held::default()
        };
        Arc::new(Self::new(held, None))
    }

    /// Keys from `url`. The first fetch is under way when this returns; fetching ends when the ring is dropped.
    pub(super) fn fetched(url: KeySetUrl, net: Net) -> Arc<Self> {
        let control = net.control.clone();
        let ring = Arc::new(Self::new(Held::default(), Some(Source { url, net })));
        control.spawn(keep_fresh(Arc::downgrade(&ring), ring.landed.subscribe()));
        ring.refresh();
        ring
    }

    fn new(held: Held, source: Option<Source>) -> Self {
        Self {
            held: ArcSwap::from_pointee(held),
            landed: watch::Sender::new(0),
            fetching: Mutex::default(),
            source,
        }
    }

    /// What it holds now.
    pub(super) fn held(&self) -> Guard<Arc<Held>> {
        self.held.load()
    }

    /// Whether waiting could bring keys that were not there when `seen` was the serial.
    pub(super) fn may_learn(&self, seen: u64) -> bool {
        let fetching = self.lock();
        self.held().serial != seen || fetching.under_way || self.may_ask(&fetching)
    }

    /// Waits for keys that were not there when `seen` was the serial: for the fetch under way, else for one that is begun if the
    /// last token that asked did so long enough ago. False at once where there is nothing to wait for.
    pub(super) async fn learn(self: &Arc<Self>, seen: u64) -> bool {
        match self.ask(seen) {
            Asked::Look => true,
            Asked::Wait(mut landed) => landed.wait_for(|serial| *serial != seen).await.is_ok(),
            Asked::No => false,
        }
    }

    /// How long a token waits for keys at most: as long as one fetch may take, and a moment, so that one which it asked for itself has
    /// landed by then.
    pub(super) fn patience(&self) -> Duration {
        let fetch = |source: &Source| source.net.timings.fetch + GRACE;
        self.source.as_ref().map(fetch).unwrap_or_default()
    }

    fn ask(self: &Arc<Self>, seen: u64) -> Asked {
        let mut fetching = self.lock();
        if self.held().serial != seen {
            return Asked::Look;
        }
        let begin = !fetching.under_way;
        if begin {
            if !self.may_ask(&fetching) {
                return Asked::No;
            }
            fetching.asked = self.source.as_ref().map(|source| source.net.clock.now());
            fetching.under_way = true;
        }
        let landed = self.landed.subscribe();
        drop(fetching);
        if begin {
            self.take_off();
        }
        Asked::Wait(landed)
    }

    fn may_ask(&self, fetching: &Fetching) -> bool {
        let Some(Source { net, .. }) = &self.source else {
            return false;
        };
        let now = net.clock.now();
        // A clock that was set back must not silence us until it has caught up.
        fetching
            .asked
            .is_none_or(|last| now < last || now.since(last) >= net.timings.refetch)
    }

    /// Begins a fetch unless one is under way.
    fn refresh(self: &Arc<Self>) {
        if !std::mem::replace(&mut self.lock().under_way, true) {
            self.take_off();
        }
    }

    /// Must not be called under the lock: on a runtime that has ended the flight lands at once.
    fn take_off(self: &Arc<Self>) {
        let Some(Source { url, net }) = &self.source else {
            return;
        };
        let mut flight = Flight {
            ring: Arc::clone(self),
            outcome: Err(FetchError::Abandoned),
        };
        let (url, fetcher) = (url.clone(), net.fetcher.clone());
        net.control.spawn(async move {
            flight.outcome = fetcher.fetch(&url).await;
            drop(flight);
        });
    }

    fn land(&self, outcome: Result<(KeySet, Vec<RefusedKey>), FetchError>) {
        let Some(source) = &self.source else {
            return;
        };
        source.report(&outcome);
        let mut fetching = self.lock();
        let mut held = Held::clone(&self.held());
        held.serial += 1;
        held.failing = outcome.is_err();
        if let Ok((set, _)) = outcome {
            if held.set.as_deref() != Some(&set) {
                held.generation += 1;
                held.set = Some(Arc::new(set));
            }
            held.until = Some(source.net.clock.now().plus(source.net.timings.keep));
        }
        let serial = held.serial;
        self.held.store(Arc::new(held));
        fetching.under_way = false;
        drop(fetching);
        self.landed.send_replace(serial);
    }

    /// How long to leave the issuer alone: a little less than allowed, by chance, so that a fleet does not come all at once.
    fn pause(&self) -> Duration {
        let Some(Source { net, .. }) = &self.source else {
            return Duration::MAX;
        };
        let most = if self.held().failing {
            net.timings.refetch
        } else {
            net.timings.refresh
        };
        most.mul_f64(rand::random_range(0.8..1.0))
    }

    fn lock(&self) -> MutexGuard<'_, Fetching> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fetches again whenever the last fetch, whoever began it, is old enough.
async fn keep_fresh(ring: Weak<Keyring>, mut landed: watch::Receiver<u64>) {
    while let Some(pause) = ring.upgrade().map(|ring| ring.pause()) {
        match tokio::time::timeout(pause, landed.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => ring.upgrade().iter().for_each(Keyring::refresh),
        }
    }
}

impl Source {
    fn report(&self, outcome: &Result<(KeySet, Vec<RefusedKey>), FetchError>) {
        let url = &self.url;
        let result = match outcome {
            Ok((set, refused)) => {
                for RefusedKey { index, fault } in refused {
                    tracing::warn!(%url, index, %fault, "a key of a token issuer is refused");
                }
                if set.is_empty() { "no_keys" } else { "ok" }
            }
            Err(error) => {
                tracing::warn!(%url, error = %Causes(error), "the keys of a token issuer were not fetched");
                error.label()
            }
        };
        self.net
            .metrics
            .jwks_fetches
            .with_label_values(&[result])
            .inc();
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.url.fmt(f)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Err(FetchError::Abandoned));
        self.ring.land(outcome);
    }
}

/// For a fetch to end after its time is over, on a busy machine.
const GRACE: Duration = Duration::from_millis(500);
