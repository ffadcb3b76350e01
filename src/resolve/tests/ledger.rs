//! A routing database in memory, small enough to be compared with at every step: rows, a feed, and answers that can be held back
//! between being read and being given.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::model::{LookupKey, Placement, Route, Slug, TenantId, TenantState};
use crate::store::{Change, Changed, Changes, Cursor, Looked, Names, RouteSource, StoreError};

#[derive(Default)]
pub(crate) struct Ledger(Mutex<State>);

#[derive(Default)]
struct State {
    epoch: u128,
    rows: HashMap<LookupKey, Route>,
    feed: Vec<Change>,
    asked: Vec<LookupKey>,
    lists: usize,
    holding: bool,
    held: Vec<oneshot::Sender<()>>,
    down: bool,
    versions: u64,
}

impl Ledger {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Lets `key` lead to tenant number `tenant`, or to nobody; a new version of the route each time.
    pub(crate) fn put(&self, key: &LookupKey, tenant: Option<u128>) {
        let mut state = self.state();
        state.versions += 1;
        let version = state.versions;
        let before = state.rows.remove(key).map(|route| route.tenant);
        if let Some(tenant) = tenant {
            state.rows.insert(key.clone(), route(tenant, version));
        }
        // One change that names the tenant who has the name now, as the real store writes it.
        if let Some(id) = tenant.map(id).or(before) {
            state.write(Changed::Tenant {
                id,
                names: vec![key.clone()],
            });
        }
    }

    /// Gives the row of tenant number `tenant` a new version under all its names.
    pub(crate) fn touch(&self, tenant: u128) {
        let mut state = self.state();
        state.versions += 1;
        let version = state.versions;
        for route in state
            .rows
            .values_mut()
            .filter(|route| route.tenant == id(tenant))
        {
            route.version = version;
        }
        state.write(Changed::Tenant {
            id: id(tenant),
            names: Vec::new(),
        });
    }

    /// As [`Ledger::put`], in a bulk write.
    pub(crate) fn put_in_bulk(&self, key: &LookupKey, tenant: u128) {
        let mut state = self.state();
        state.versions += 1;
        let version = state.versions;
        state.rows.insert(key.clone(), route(tenant, version));
        state.write(Changed::Bulk);
    }

    /// Another history, with the same rows and a shorter feed.
    pub(crate) fn restore(&self) {
        let mut state = self.state();
        state.epoch += 1;
        let half = state.feed.len() / 2;
        state.feed.truncate(half);
    }

    pub(crate) fn hold(&self, holding: bool) {
        self.state().holding = holding;
    }

    /// Gives the answer held for longest but `nth`.
    pub(crate) fn release(&self, nth: usize) -> bool {
        let mut state = self.state();
        if state.held.is_empty() {
            return false;
        }
        let nth = nth % state.held.len();
        state.held.remove(nth).send(()).is_ok()
    }

    pub(crate) fn release_all(&self) {
        self.hold(false);
        while !self.state().held.is_empty() {
            self.release(0);
        }
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// How often `key` was asked for.
    pub(crate) fn asked(&self, key: &LookupKey) -> usize {
        self.state()
            .asked
            .iter()
            .filter(|asked| *asked == key)
            .count()
    }

    /// How many queries for keys there were.
    pub(crate) fn queries(&self) -> usize {
        self.state().asked.len()
    }

    pub(crate) fn truth(&self, key: &LookupKey) -> Option<Route> {
        self.state().rows.get(key).cloned()
    }
}

impl State {
    fn write(&mut self, what: Changed) {
        let position = self.at().position + 1;
        self.feed.push(Change {
            position,
            at: 0,
            what,
        });
    }

    fn at(&self) -> Cursor {
        Cursor {
            epoch: Uuid::from_u128(self.epoch + 1),
            position: self.feed.len() as i64,
        }
    }

    /// What is given after it was read: at once, later, or never.
    fn give<T: Send + 'static>(&mut self, answer: T) -> BoxFuture<'static, Result<T, StoreError>> {
        if self.down {
            return std::future::ready(Err(failure())).boxed();
        }
        if !self.holding {
            return std::future::ready(Ok(answer)).boxed();
        }
        let (give, given) = oneshot::channel();
        self.held.push(give);
        async move {
            let _ = given.await;
            Ok(answer)
        }
        .boxed()
    }
}

impl RouteSource for Ledger {
    fn lookup<'a>(&'a self, key: &'a LookupKey) -> BoxFuture<'a, Result<Looked, StoreError>> {
        let mut state = self.state();
        state.asked.push(key.clone());
        let looked = Looked {
            at: state.at(),
            route: state.rows.get(key).cloned(),
        };
        state.give(looked)
    }

    fn names(&self) -> BoxFuture<'_, Result<Names, StoreError>> {
        let mut state = self.state();
        state.lists += 1;
        let names = Names {
            at: state.at(),
            names: state.rows.keys().cloned().collect(),
        };
        state.give(names)
    }

    fn changes_after(&self, cursor: Cursor) -> BoxFuture<'_, Result<Changes, StoreError>> {
        let state = self.state();
        let head = state.at();
        let answer = if state.down {
            Err(failure())
        } else if cursor.epoch != head.epoch || cursor.position > head.position {
            Ok(Changes::Lost(head))
        } else {
            Ok(Changes::Next(
                state.feed[cursor.position as usize..].to_vec(),
            ))
        };
        std::future::ready(answer).boxed()
    }
}

fn failure() -> StoreError {
    StoreError::TimedOut {
        after: std::time::Duration::from_secs(2),
    }
}

pub(crate) fn id(tenant: u128) -> TenantId {
    TenantId(Uuid::from_u128(tenant))
}

pub(crate) fn route(tenant: u128, version: u64) -> Route {
    Route {
        tenant: id(tenant),
        slug: Slug::parse(&format!("tenant-{tenant}")).unwrap(),
        state: TenantState::Active,
        progress: 100,
        removed_at: None,
        plan: None,
        upstream: None,
        limits: Default::default(),
        placement: Placement::default(),
        meta: None,
        version,
    }
}
