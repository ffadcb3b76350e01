//! Hosts that a thread has served before: what their name says, which never changes, and what was last found and signed for them,
//! which is asked each time whether it still holds. One look-up instead of one in every mechanism.

use std::cell::RefCell;
use std::collections::{HashMap, hash_map};
use std::hint::black_box;
use std::rc::Rc;

use prometheus::IntCounter;

use crate::decide::{HostClass, RequestHost};
use crate::guard;
use crate::model::{Route, TenantId, ahead};
use crate::resolve::Remembered;
use crate::sign::Slot;

/// Hosts in one generation: a node that serves 100,000 tenants at once keeps them all. With its assertion a host takes about 1 KB.
const GENERATION: usize = 128 * 1024;

/// The hosts of one thread, by their text. Two generations: what was not asked for while the younger one filled up goes.
#[derive(Default)]
pub(super) struct KnownHosts(RefCell<Generations>);

#[derive(Default)]
struct Generations {
    young: Table,
    old: Table,
    /// Given back a few hosts at a time, because freeing all at once would hold up a request.
    leaving: Option<hash_map::IntoIter<Box<[u8]>, Rc<KnownHost>>>,
}

type Table = HashMap<Box<[u8]>, Rc<KnownHost>>;

/// One of them. Each part says itself what it is about; whoever uses it compares.
pub(super) struct KnownHost {
    pub(super) host: RequestHost,
    pub(super) route: RefCell<Option<Remembered>>,
    pub(super) assertion: RefCell<Slot>,
    pub(super) used: RefCell<guard::AtHand>,
    /// The counter of the tenant in this version of its row, which says the slug.
    series: RefCell<Option<(TenantId, u64, IntCounter)>>,
}

impl KnownHosts {
    /// The host that `text` says, if it was served before.
    pub(super) fn get(&self, text: &[u8]) -> Option<Rc<KnownHost>> {
        let mut generations = self.0.borrow_mut();
        if let Some(known) = generations.young.get(text) {
            return Some(Rc::clone(known));
        }
        let (text, known) = generations.old.remove_entry(text)?;
        generations.insert(text, Rc::clone(&known));
        Some(known)
    }

    /// Keeps what `text` says. Only of names that are somebody's, and only in the one spelling that browsers use on
    /// a listener with this port: a flood of names that lead nowhere, or of spellings of one that does, pushes nobody out.
    pub(super) fn keep(&self, text: &[u8], port: u16, host: RequestHost) -> Option<Rc<KnownHost>> {
        let name = text.strip_prefix(host.hostname.as_str().as_bytes())?;
        if !name.is_empty() && name != format!(":{port}").as_bytes() {
            return None;
        }
        let known = Rc::new(KnownHost {
            host,
            route: RefCell::default(),
            assertion: RefCell::default(),
            used: RefCell::default(),
            series: RefCell::default(),
        });
        let mut generations = self.0.borrow_mut();
        generations.insert(text.into(), Rc::clone(&known));
        Some(known)
    }
}

impl Generations {
    fn insert(&mut self, text: Box<[u8]>, known: Rc<KnownHost>) {
        if let Some(leaving) = &mut self.leaving {
            leaving.take(4).for_each(drop);
        }
        if self.young.len() >= GENERATION {
            let young = std::mem::take(&mut self.young);
            self.leaving = Some(std::mem::replace(&mut self.old, young).into_iter());
        }
        self.young.insert(text, known);
    }
}

impl KnownHost {
    /// Reads what most requests need, so that all of it is on its way at the same time; see [`ahead`].
    pub(super) fn read_ahead(&self) {
        if let Some((.., counter)) = &*self.series.borrow() {
            black_box(counter.get());
        }
        self.used.borrow().read_ahead();
        if let HostClass::Subdomain(slug) = &self.host.class {
            ahead::read_ahead(slug.as_str().as_bytes());
        }
        ahead::read_ahead(self.host.hostname.as_str().as_bytes());
        if let Some(route) = &*self.route.borrow() {
            route.read_ahead();
        }
        self.assertion.borrow().read_ahead();
    }

    /// Counts a request of the tenant whose host this is now; `find` gives its counter.
    pub(super) fn count(&self, route: &Route, find: impl FnOnce() -> IntCounter) {
        let mut series = self.series.borrow_mut();
        let counter = match &*series {
            Some((tenant, version, counter))
                if (*tenant, *version) == (route.tenant, route.version) =>
            {
                counter
            }
            _ => &series.insert((route.tenant, route.version, find())).2,
        };
        counter.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hostname;

    fn keep(hosts: &KnownHosts, text: &str, name: &str) -> Option<Rc<KnownHost>> {
        let host = RequestHost {
            hostname: Hostname::parse(name).unwrap(),
            port: None,
            class: HostClass::Custom,
        };
        hosts.keep(text.as_bytes(), 8080, host)
    }

    #[test]
    fn a_host_that_is_asked_for_stays_and_the_others_go_in_time() {
        let hosts = KnownHosts::default();
        for name in ["a.test", "b.test"] {
            keep(&hosts, name, name).unwrap();
        }
        for number in 0..2 * GENERATION {
            let name = format!("n{number}.test");
            keep(&hosts, &name, &name).unwrap();
            if number % 1000 == 0 {
                let known = hosts.get(b"a.test").unwrap();
                assert_eq!(known.host.hostname.as_str(), "a.test");
            }
            let generations = hosts.0.borrow();
            assert!(generations.young.len() <= GENERATION && generations.old.len() <= GENERATION);
        }
        assert!(hosts.get(b"b.test").is_none());
    }

    #[test]
    fn a_host_is_kept_in_one_spelling_only() {
        let hosts = KnownHosts::default();
        assert!(keep(&hosts, "a.test", "a.test").is_some());
        assert!(keep(&hosts, "a.test:8080", "a.test").is_some());
        for text in [
            "A.test",
            "a.test.",
            "a.test:81",
            "a.test:08080",
            "a.test:",
            "a.test.:8080",
        ] {
            assert!(keep(&hosts, text, "a.test").is_none(), "{text}");
        }
    }

    #[test]
    fn a_series_belongs_to_one_tenant_under_one_name() {
        let hosts = KnownHosts::default();
        let known = keep(&hosts, "a.test", "a.test").unwrap();
        let counters = ["a", "b", "c"].map(|name| IntCounter::new(name, "help").unwrap());
        let [a, b, c] = &counters;
        let mut route = Route::plain(1, "one");
        known.count(&route, || a.clone());
        known.count(&route, || b.clone());
        // A tenant that is renamed has another row.
        route.version = 2;
        known.count(&route, || b.clone());
        route.tenant = TenantId(uuid::Uuid::from_u128(2));
        known.count(&route, || c.clone());
        assert_eq!(counters.map(|counter| counter.get()), [2, 1, 1]);
    }
}
