//! Connections: a cap for the node, one for each address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use ipnet::IpNet;
use prometheus::{IntCounter, IntCounterVec};

use crate::config::LimitDefaults;

/// Which cap a connection ran into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionCap {
    /// The node's.
    Node,
    /// That of its address.
    Address,
}

impl ConnectionCap {
    /// The cap's name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Address => "address",
        }
    }
}

/// One connection counted; given back when dropped.
#[derive(Debug)]
#[must_use = "the connection counts only while this is held"]
pub struct ConnectionPermit {
    counts: Arc<Counts>,
    block: Option<Block>,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(block) = self.block {
            self.counts.give_back(block);
        }
    }
}

/// The caps and what has been used of them. Zero means no cap.
#[derive(Debug)]
pub(super) struct Network {
    cap: usize,
    cap_by_address: usize,
    trusted_proxies: Box<[IpNet]>,
    counts: Arc<Counts>,
    refused_by_node: IntCounter,
    refused_by_address: IntCounter,
}

impl Network {
    pub(super) fn new(
        defaults: &LimitDefaults,
        trusted_proxies: &[IpNet],
        refused: IntCounterVec,
    ) -> Self {
        Self {
            cap: defaults.connections,
            cap_by_address: defaults.connections_per_ip,
            trusted_proxies: trusted_proxies.into(),
            counts: Arc::default(),
            refused_by_node: refused.with_label_values(&[ConnectionCap::Node.as_str()]),
            refused_by_address: refused.with_label_values(&[ConnectionCap::Address.as_str()]),
        }
    }

    pub(super) fn take(&self, ip: IpAddr) -> Result<ConnectionPermit, ConnectionCap> {
        let open = self.counts.open.fetch_add(1, Ordering::Relaxed) + 1;
        // From here on dropping the permit undoes what was counted.
        let mut permit = ConnectionPermit {
            counts: Arc::clone(&self.counts),
            block: None,
        };
        if self.cap != 0 && open > self.cap {
            self.refused_by_node.inc();
            return Err(ConnectionCap::Node);
        }
        let ip = ip.to_canonical();
        if self.cap_by_address == 0 || self.is_trusted_proxy(ip) {
            return Ok(permit);
        }
        let block = Block::of(ip);
        if !self.counts.take(block, self.cap_by_address) {
            self.refused_by_address.inc();
            return Err(ConnectionCap::Address);
        }
        permit.block = Some(block);
        Ok(permit)
    }

    #[cfg(test)]
    pub(super) fn addresses(&self) -> usize {
        self.counts.lock().len()
    }

    fn is_trusted_proxy(&self, ip: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&ip))
    }
}

/// What is taken for one visitor: an IPv4 address, or the /64 that an IPv6 visitor usually has to itself. IPv4-mapped addresses
/// have been folded before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Block {
    V4(Ipv4Addr),
    V6(u64),
}

impl Block {
    fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(ip) => Self::V6((u128::from(ip) >> 64) as u64),
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    /// Blocks with connections open. One lock will do: it is taken twice in a connection's life. Visitors choose these keys, so
    /// the map keeps its seeded hasher.
    blocks: Mutex<HashMap<Block, usize>>,
}

impl Counts {
    fn take(&self, block: Block, cap: usize) -> bool {
        let mut blocks = self.lock();
        let open = blocks.entry(block).or_default();
        let free = *open < cap;
        *open += usize::from(free);
        free
    }

    fn give_back(&self, block: Block) {
        if let Entry::Occupied(mut open) = self.lock().entry(block) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Block, usize>> {
        self.blocks
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
