//! Hosts that a thread has served before: what their name says, which never changes, and what was last found and signed for them,
//! which is asked each time whether it still holds. One look-up instead of one in every mechanism.

use std::cell::RefCell;
use std::collections::{HashMap, hash_map};
use std::rc::Rc;

use prometheus::IntCounter;

use crate::decide::RequestHost;
use crate::model::Slug;
use crate::resolve::Remembered;
use crate::sign::Slot;

/// Hosts in one generation: a node that serves 100,000 tenants at once keeps them all. With its assertion a host takes about 1 KB.
const GENERATION: usize = 128 * 1024;
/// Longest text that is kept: no host name with its port is longer.
const LONGEST: usize = 260;

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
    series: RefCell<Option<(Slug, IntCounter)>>,
}

impl KnownHosts {
    /// The host that `text` says, if it was served before.
    pub(super) fn get(&self, text: &[u8]) -> Option<Rc<KnownHost>> {
        let mut generations = self.0.borrow_mut();
        let Generations { young, old, .. } = &mut *generations;
        if let Some(known) = young.get(text) {
            return Some(Rc::clone(known));
        }
        let (text, known) = old.remove_entry(text)?;
        young.insert(text, Rc::clone(&known));
        Some(known)
    }

    /// Keeps what `text` says. Only of hosts that are served: a flood of names that lead nowhere pushes nobody out.
    pub(super) fn keep(&self, text: &[u8], host: RequestHost) -> Option<Rc<KnownHost>> {
        if text.len() > LONGEST {
            return None;
        }
        let mut generations = self.0.borrow_mut();
        let Generations {
            young,
            old,
            leaving,
        } = &mut *generations;
        if let Some(leaving) = leaving {
            leaving.take(4).for_each(drop);
        }
        if young.len() >= GENERATION {
            let young = std::mem::take(young);
            *leaving = Some(std::mem::replace(old, young).into_iter());
        }
        let known = Rc::new(KnownHost {
            host,
            route: RefCell::default(),
            assertion: RefCell::default(),
            series: RefCell::default(),
        });
        young.insert(text.into(), Rc::clone(&known));
        Some(known)
    }
}

impl KnownHost {
    /// The counter of the tenant called `slug`, whose host this is now.
    pub(super) fn series(&self, slug: &Slug, find: impl FnOnce() -> IntCounter) -> IntCounter {
        let mut series = self.series.borrow_mut();
        match &*series {
            Some((of, counter)) if of == slug => counter.clone(),
            _ => {
                let counter = find();
                *series = Some((slug.clone(), counter.clone()));
                counter
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::HostClass;
    use crate::model::Hostname;

    fn host(name: &str) -> RequestHost {
        RequestHost {
            hostname: Hostname::parse(name).unwrap(),
            port: None,
            class: HostClass::Custom,
        }
    }

    #[test]
    fn a_host_that_is_asked_for_stays_and_the_others_go_in_time() {
        let hosts = KnownHosts::default();
        hosts.keep(b"A.test.", host("a.test")).unwrap();
        hosts.keep(b"b.test", host("b.test")).unwrap();
        for number in 0..2 * GENERATION {
            hosts.keep(format!("{number}").as_bytes(), host("c.test"));
            if number % 1000 == 0 {
                let known = hosts.get(b"A.test.").unwrap();
                assert_eq!(known.host.hostname.as_str(), "a.test");
            }
        }
        assert!(hosts.get(b"b.test").is_none());
        assert!(hosts.keep(&[b'a'; LONGEST + 1], host("a.test")).is_none());
    }

    #[test]
    fn a_series_belongs_to_one_tenant() {
        let hosts = KnownHosts::default();
        let known = hosts.keep(b"a.test", host("a.test")).unwrap();
        let counter = |name: &str| IntCounter::new(name, "help").unwrap();
        let [one, other] = ["one", "other"].map(|slug| Slug::parse(slug).unwrap());
        known.series(&one, || counter("one")).inc();
        assert_eq!(known.series(&one, || counter("again")).get(), 1);
        assert_eq!(known.series(&other, || counter("other")).get(), 0);
    }
}
