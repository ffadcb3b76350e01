//! Answers and tunnels in flight, so that those of a tenant that was suspended, removed or moved can be ended.
//!
//! One table per data-plane thread. After any change each entry's names are looked up again; an entry whose names no longer lead to
//! the same tenant in a state that is served is cut, within [`PERIOD`] and a look-up: under the 5 s that are promised. An answer
//! whose visitor takes nothing hears of that only when it is asked for more: its connection is closed one [`PERIOD`] later.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt as _;

use super::open::{Course, Ending};
use crate::decide::Target;
use crate::model::{LookupKey, Match, TenantId, TenantState};
use crate::resolve::{HostKey, Keys, Resolver};

/// How often a thread looks whether anything has changed.
const PERIOD: Duration = Duration::from_secs(1);
/// Look-ups under way at once: after an import every name is cold.
const AT_ONCE: usize = 16;

/// Everything in flight on one thread.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// By number; a number is given again when its entry is gone.
    entries: RefCell<Vec<Option<Rc<Entry>>>>,
    free: RefCell<Vec<usize>>,
}

#[derive(Debug)]
struct Entry {
    tenant: TenantId,
    names: [Option<HostKey>; 2],
    /// The resolver's generation at which this was last known to be right.
    generation: Cell<u64>,
    cut: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// The visitor's connection.
    connection: Rc<Ending>,
}

/// One answer or tunnel in flight; leaves the table when dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    table: Rc<Live>,
    number: usize,
    entry: Rc<Entry>,
}

impl Live {
    fn enter(seed: Seed) -> InFlight {
        let Seed {
            table,
            tenant,
            names,
            connection,
        } = seed;
        let entry = Rc::new(Entry {
            tenant,
            generation: Cell::new(names.generation),
            names: names.host_keys(),
            cut: Cell::new(false),
            waker: RefCell::new(None),
            connection,
        });
        let mut entries = table.entries.borrow_mut();
        let number = table.free.borrow_mut().pop().unwrap_or(entries.len());
        if number == entries.len() {
            entries.push(None);
        }
        entries[number] = Some(Rc::clone(&entry));
        drop(entries);
        InFlight {
            table,
            number,
            entry,
        }
    }

    /// Watches for changes for as long as the thread lives.
    pub(super) async fn watch(self: Rc<Self>, resolver: Arc<Resolver>) {
        loop {
            tokio::time::sleep(PERIOD).await;
            self.close_what_did_not_end();
            let generation = resolver.generation();
            let outdated = |entry: &&Rc<Entry>| entry.generation.get() != generation;
            let entries: Vec<Rc<Entry>> = self
                .entries
                .borrow()
                .iter()
                .flatten()
                .filter(outdated)
                .cloned()
                .collect();
            futures_util::stream::iter(entries)
                .for_each_concurrent(AT_ONCE, |entry| {
                    let resolver = Arc::clone(&resolver);
                    async move { entry.review(&resolver, generation).await }
                })
                .await;
        }
    }
}

impl Live {
    /// What was cut last time and is still here belongs to a visitor who takes nothing: the codec asks for no more of the answer, so
    /// the connection is all that can be ended.
    fn close_what_did_not_end(&self) {
        self.entries
            .borrow()
            .iter()
            .flatten()
            .filter(|entry| entry.cut.get())
            .for_each(|entry| entry.connection.tell(Course::Stop));
    }
}

impl Entry {
    fn cut(&self) {
        self.cut.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Looks whether the tenant is still served. What cannot be looked up now is left alone (known tenants are served while the store
    /// is away) and looked at again next time.
    async fn review(&self, resolver: &Arc<Resolver>, generation: u64) {
        match self.is_served(resolver).await {
            Some(true) => self.generation.set(generation),
            Some(false) => self.cut(),
            None => {}
        }
    }

    async fn is_served(&self, resolver: &Arc<Resolver>) -> Option<bool> {
        for name in self.names.iter().flatten() {
            let found = match name {
                HostKey::Subdomain(slug) => resolver.find(&LookupKey::Slug(slug.clone())).await,
                HostKey::Domain(hostname) => resolver.find_domain(hostname).await,
            };
            if !self.agrees(&found)? {
                return Some(false);
            }
        }
        self.agrees(&resolver.find(&LookupKey::Id(self.tenant)).await)
    }

    fn agrees(&self, found: &Match) -> Option<bool> {
        match found {
            Match::Found(route) => Some(
                route.tenant == self.tenant
                    && matches!(route.state, TenantState::Active | TenantState::Maintenance),
            ),
            Match::Absent => Some(false),
            Match::Unavailable => None,
        }
    }
}

impl InFlight {
    /// Whether it has to end; if not, `cx` is woken when it has to.
    pub(super) fn is_cut(&self, cx: &Context<'_>) -> bool {
        if self.entry.cut.get() {
            return true;
        }
        let mut waker = self.entry.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        false
    }
}

/// Something that serves a visitor and may have to be cut. It enters the table only where it lasts: where it makes its visitor wait,
/// or has more to say than fits at once.
#[derive(Debug)]
pub(super) enum Cuttable {
    /// Nobody's: no change of a tenant ends it.
    Never,
    /// Has not waited yet.
    Later(Seed),
    /// In the table.
    Entered(InFlight),
}

/// What is needed to enter the table.
#[derive(Debug)]
pub(super) struct Seed {
    table: Rc<Live>,
    tenant: TenantId,
    names: Names,
    connection: Rc<Ending>,
}

/// The names that led to the tenant, and the resolver's generation before they were looked up.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) target: Target,
    pub(super) generation: u64,
}

impl Names {
    /// What has to go on leading to the same tenant for as long as the answer lasts.
    fn host_keys(self) -> [Option<HostKey>; 2] {
        let Target::Tenant(Keys { host, path, .. }) = self.target else {
            return [None, None];
        };
        [host, path.map(HostKey::Subdomain)]
    }
}

impl Cuttable {
    /// What serves `tenant`, found by `names`, on `connection`.
    pub(super) fn new(
        table: &Rc<Live>,
        tenant: Option<TenantId>,
        names: Names,
        connection: &Rc<Ending>,
    ) -> Self {
        match tenant {
            None => Self::Never,
            Some(tenant) => Self::Later(Seed {
                table: Rc::clone(table),
                tenant,
                names,
                connection: Rc::clone(connection),
            }),
        }
    }

    /// Whether it has to end; if not, `cx` is woken when it has to.
    pub(super) fn is_cut(&self, cx: &Context<'_>) -> bool {
        matches!(self, Self::Entered(entry) if entry.is_cut(cx))
    }

    /// It lasts: from now on it can be cut.
    pub(super) fn lasts(&mut self) {
        if let Self::Later(_) = self
            && let Self::Later(seed) = std::mem::replace(self, Self::Never)
        {
            *self = Self::Entered(Live::enter(seed));
        }
    }

    /// The visitor has to wait: as [`lasts`](Self::lasts), and `cx` is woken when it has to end.
    pub(super) fn waits(&mut self, cx: &Context<'_>) {
        if let Self::Later(_) = self {
            self.lasts();
            // Registers the waker; nothing can have been cut yet.
            self.is_cut(cx);
        }
    }

    /// Runs `work`, which stays where it is, unless it has to be cut: then `None`.
    pub(super) async fn run<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        std::future::poll_fn(|cx| {
            if self.is_cut(cx) {
                return Poll::Ready(None);
            }
            let outcome = work.as_mut().poll(cx).map(Some);
            if outcome.is_pending() {
                self.waits(cx);
            }
            outcome
        })
        .await
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.table.entries.borrow_mut()[self.number] = None;
        self.table.free.borrow_mut().push(self.number);
    }
}
