//! How evenly few connections load the threads.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::bed::{Bed, SHORT, TENANTS};
use crate::compare::Figure;
use crate::contender::{Application, Contender};
use crate::edge::{self, Plan};
use crate::fault::{Fault, Result};
use crate::load::pace::Pace;
use crate::load::{Walk, host};
use crate::table::Found;

pub(crate) const ROWS: &[&str] = &["balance"];

const WORKERS: usize = 4;
const CONNECTIONS: usize = 8;
/// Requests a second, in all: far from what it can do, so that no thread holds another up.
const RATE: f64 = 2_000.0;
/// The system spreads connections by a hash of their ports: one try says little.
const TRIES: usize = 10;

pub(crate) fn measure(bed: &Bed, found: &mut Found) -> Result<()> {
    let application = Application::start(bed)?;
    let plan = Plan {
        store: edge::store(bed, TENANTS)?,
        workers: WORKERS,
        certificates: &bed.place("certs"),
        cache: "",
    };
    let edge = edge::start(bed, &application, &plan)?;
    let mut tries = Vec::new();
    for _ in 0..TRIES {
        let before = busy(&edge)?;
        steady(bed, &edge)?;
        let after = busy(&edge)?;
        let spent = after.iter().map(|(name, micros)| {
            let before = before.get(name).copied().unwrap_or(0.0);
            micros - before
        });
        let spent: Vec<f64> = spent.collect();
        let mean = spent.iter().sum::<f64>() / spent.len() as f64;
        tries.push(spent.iter().copied().fold(0.0, f64::max) / mean);
    }
    let Figure { value, low, high } = Figure::of(tries);
    let note = format!("the worst of {TRIES} tries; median {value:.2}, best {low:.2}");
    found.value("balance", high, note);
    Ok(())
}

/// What each data-plane thread has used, in microseconds.
fn busy(edge: &Contender) -> Result<BTreeMap<String, f64>> {
    let threads = edge.process.threads()?;
    let workers = threads
        .into_iter()
        .filter(|thread| thread.name.starts_with("edge-"));
    let workers: BTreeMap<_, _> = workers.map(|thread| (thread.name, thread.micros)).collect();
    match workers.len() {
        WORKERS => Ok(workers),
        count => Err(Fault::new(format!("there are {count} data-plane threads"))),
    }
}

/// The same load on each of the connections, for two seconds.
fn steady(bed: &Bed, edge: &Contender) -> Result<()> {
    let pace = Pace {
        address: edge.http,
        connections: CONNECTIONS,
        rate: RATE,
        until: Instant::now() + Duration::from_secs(2),
    };
    bed.runtime.block_on(async {
        let mut visitors = JoinSet::new();
        for number in 0..CONNECTIONS {
            let mut walk = Walk::over(100, number);
            visitors.spawn(pace.walk(
                number,
                move || host(walk.next()),
                |answer| answer.expect(SHORT.as_bytes(), "Vestibule"),
            ));
        }
        while let Some(visitor) = visitors.join_next().await {
            visitor??;
        }
        Ok(())
    })
}
