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
    series: RefCell<Option<(Slug, Rc<IntCounter>)>>,
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
    /// The counter of the tenant called `slug`, whose host this is now.
    pub(super) fn series(&self, slug: &Slug, find: impl FnOnce() -> IntCounter) -> Rc<IntCounter> {
        let mut series = self.series.borrow_mut();
        match &*series {
            Some((of, counter)) if of == slug => Rc::clone(counter),
            _ => {
                let counter = Rc::new(find());
                *series = Some((slug.clone(), Rc::clone(&counter)));
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
    fn a_series_belongs_to_one_tenant() {
        let hosts = KnownHosts::default();
        let known = keep(&hosts, "a.test", "a.test").unwrap();
        let counter = |name: &str| IntCounter::new(name, "help").unwrap();
        let [one, other] = ["one", "other"].map(|slug| Slug::parse(slug).unwrap());
        known.series(&one, || counter("one")).inc();
        assert_eq!(known.series(&one, || counter("again")).get(), 1);
        assert_eq!(known.series(&other, || counter("other")).get(), 0);
    }
}
