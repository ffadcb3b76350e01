//! How much of what there is one source, or one label, may have at once: whoever asks ten thousand times a second must not leave nothing for
//! the one question that is meant.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where questions come from: an IPv4 address, or the /56 that is handed out to one household (RIPE-690); IPv4-mapped addresses are what
/// they say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Source {
    V4(Ipv4Addr),
    V6(u64),
}

impl Source {
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(ip) => Self::V6((u128::from(ip) >> 72) as u64),
        }
    }
}

/// Bounds what each of many has at once.
#[derive(Clone)]
pub(super) struct Shares<K: Eq + Hash> {
    most: usize,
    /// Those who have something. Strangers choose the keys, so the map keeps its seeded hasher.
    held: Arc<Mutex<HashMap<K, usize>>>,
}

/// One of somebody's share, until it is dropped.
pub(super) struct Share<K: Eq + Hash> {
    of: Shares<K>,
    key: K,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            held: Arc::default(),
        }
    }

    /// Nothing where all of the share is taken.
    pub(super) fn take(&self, key: K) -> Option<Share<K>> {
        let mut held = self.lock();
        let count = held.entry(key.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share {
            of: self.clone(),
            key,
        })
    }
}

impl<K: Eq + Hash> Shares<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.of.lock();
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

/// Places for questions whose answers are waited for. Those for labels that had something when anybody last looked have places of their own:
/// in a flood of made-up labels it is looked all the time, so that what a CA asks for is known to be there before its resolver has asked
/// twice.
pub(super) struct Places {
    likely: Kind,
    others: Kind,
    labels: Shares<String>,
}

struct Kind {
    free: Arc<Semaphore>,
    sources: Shares<Source>,
}

/// A place, until it is dropped.
pub(super) struct Place {
    _slot: OwnedSemaphorePermit,
    _source: Share<Source>,
    _label: Option<Share<String>>,
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            likely: Kind::new(LIKELY),
            others: Kind::new(OTHERS),
            labels: Shares::new(OF_ONE_LABEL),
        }
    }

    /// A place for a question for `label`, which had something or not; nothing where there is none left.
    pub(super) fn take(&self, from: IpAddr, label: &str, likely: bool) -> Option<Place> {
        let kind = if likely { &self.likely } else { &self.others };
        let source = kind.sources.take(Source::of(from))?;
        // Made-up labels are each asked for once.
        let label = match likely {
            true => Some(self.labels.take(label.to_owned())?),
            false => None,
        };
        let slot = Arc::clone(&kind.free).try_acquire_owned().ok()?;
        Some(Place {
            _slot: slot,
            _source: source,
            _label: label,
        })
    }
}

impl Kind {
    fn new((places, of_one_source): (usize, usize)) -> Self {
        Self {
            free: Arc::new(Semaphore::new(places)),
            sources: Shares::new(of_one_source),
        }
    }
}

/// Places for what is likely meant, and how many of them one source has. A question waits for a tenth of a second: this is as many thousands
/// a second as there are hundreds of places.
const LIKELY: (usize, usize) = (1024, 128);
/// Places for all others; some ten mebibytes where all are taken.
const OTHERS: (usize, usize) = (4096, 256);
/// Places for one label: whoever asks for somebody's all the time is in nobody else's way.
const OF_ONE_LABEL: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_is_an_address_or_what_a_household_has() {
        let of = |text| Source::of(address(text));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_eq!(of("2001:db8:1:200::1"), of("2001:db8:1:2ff:9::1"));
        assert_ne!(of("2001:db8:1:200::1"), of("2001:db8:1:300::1"));
    }

    #[test]
    fn what_is_given_back_can_be_had_again_and_nobody_is_remembered() {
        let shares = Shares::new(2);
        let (one, two) = (shares.take("a"), shares.take("a"));
        assert!(one.is_some() && two.is_some() && shares.take("a").is_none());
        assert!(shares.take("b").is_some());
        drop(one);
        assert!(shares.take("a").is_some());
        drop(two);
        assert!(shares.lock().is_empty());
    }

    #[test]
    fn nobody_takes_the_places_of_others() {
        let places = Places::new();
        let mut taken = Vec::new();
        let mut take = |from: &str, label: &str, likely| {
            let place = places.take(address(from), label, likely);
            let had = place.is_some();
            taken.extend(place);
            had
        };
        // One source has its share, many have all that there is; what is likely meant has its own.
        let first = (0..9_999).filter(|_| take("192.0.2.1", "x", false)).count();
        assert_eq!(first, OTHERS.1);
        assert!(take("192.0.2.2", "x", false));
        for source in 0..=255 {
            let source = format!("198.51.100.{source}");
            for _ in 0..OTHERS.1 {
                take(&source, "x", false);
            }
        }
        assert!(!take("192.0.2.3", "x", false));
        assert!(take("192.0.2.1", "open", true));
        // Of that no label has everything.
        for source in 0..=255 {
            let source = format!("203.0.113.{source}");
            for _ in 0..LIKELY.1 {
                take(&source, "open", true);
            }
        }
        assert!(!take("192.0.2.4", "open", true));
        assert!(take("192.0.2.4", "other", true));
    }
}
