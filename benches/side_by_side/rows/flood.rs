//! A flood of hosts that do not exist, beside ordinary visitors and a few who are the first of their tenant.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;

use crate::bed::{Bed, SHORT, TENANTS};
use crate::compare::Figure;
use crate::contender::{Application, Contender};
use crate::edge::{self, Plan};
use crate::fault::{Fault, Result};
use crate::load::pace::{Pace, Timed};
use crate::load::visitor::Answer;
use crate::load::wrk::{self, Wrk};
use crate::load::{Walk, host, percentile, touch};
use crate::table::Found;

pub(crate) const ROWS: &[&str] = &[
    "flood-p99",
    "flood-evicted",
    "flood-unanswered",
    "flood-queries",
];

/// Hosts of the flood, how many of them a second, and over how many connections.
const HOSTS: usize = 1_000_000;
const RATE: f64 = 2_000.0;
const CONNECTIONS: usize = 64;
/// Tenants that are known beforehand; the others are cold.
const KNOWN: usize = TENANTS / 2;
/// Share of what it can do that the known tenants' visitors ask for.
const SHARE: f64 = 0.2;
/// First requests for cold tenants, a second.
const COLD: f64 = 5.0;
/// The 99th percentile is taken over spans of this length and their median compared: one hiccup of the machine is not the flood's.
const SPAN: Duration = Duration::from_secs(5);

pub(crate) fn measure(bed: &Bed, found: &mut Found) -> Result<()> {
    let (application, wrk) = (Application::start(bed)?, Wrk::find(bed)?);
    let plan = Plan {
        store: edge::store(bed, TENANTS)?,
        workers: 1,
        certificates: &bed.place("certs"),
        // Otherwise routes that are looked up again because they are old would count as queries, too.
        cache: "ttl = \"1h\"",
    };
    let edge = edge::start(bed, &application, &plan)?;
    touch::all(bed, edge.http, 0..KNOWN, "Vestibule")?;
    edge.names_known(TENANTS)?;
    let rate = SHARE * capacity(&wrk, &edge)?;
    let seconds = bed.options.scaled(HOSTS) as f64 / RATE;
    let before = run(bed, &edge, rate, seconds.min(60.0), false)?;
    let look_ups = edge.look_ups()?;
    let during = run(bed, &edge, rate, seconds, true)?;
    let flood_look_ups = edge.look_ups()? - look_ups;

    let look_ups = edge.look_ups()?;
    touch::all(bed, edge.http, 0..KNOWN, "Vestibule")?;
    let (p99_before, p99_during) = (p99(&before.known), p99(&during.known));
    let said = format!(
        "{} random hosts at {RATE:.0}/s beside {rate:.0}/s; {p99_before:.0} µs before, {p99_during:.0} µs in the flood",
        during.flooded
    );
    found.value("flood-p99", p99_during / p99_before, said);
    let evicted = edge.look_ups()? - look_ups;
    found.value("flood-evicted", evicted, format!("of {KNOWN}"));
    let said = format!("{} were asked for", during.cold);
    found.value("flood-unanswered", during.unanswered as f64, said);
    let strays = flood_look_ups - during.cold as f64;
    let said = format!(
        "{flood_look_ups:.0} queries in all, {} for cold tenants",
        during.cold
    );
    found.value("flood-queries", strays, said);
    Ok(())
}

/// Requests a second at full load.
fn capacity(wrk: &Wrk, edge: &Contender) -> Result<f64> {
    let load = wrk.run(wrk::Order {
        address: edge.http,
        tls: false,
        path: "/",
        tenants: KNOWN,
        start: 0,
        connections: CONNECTIONS,
        seconds: 5,
    })?;
    let load = load.checked("Vestibule")?;
    Ok(load.requests as f64 / load.seconds)
}

#[derive(Default)]
struct Tally {
    known: Vec<Timed>,
    flooded: usize,
    cold: usize,
    /// Of the cold ones.
    unanswered: usize,
}

enum Crowd {
    Known(Vec<Timed>),
    Flood(usize),
    Cold { asked: usize, unanswered: usize },
}

/// Known tenants' visitors, and with `flood` the others beside them. An answer that is not the right one ends it.
fn run(bed: &Bed, edge: &Contender, rate: f64, seconds: f64, flood: bool) -> Result<Tally> {
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let pace = |rate, connections| Pace {
        address: edge.http,
        connections,
        rate,
        until,
    };
    bed.runtime.block_on(async {
        let mut crowds = JoinSet::new();
        for number in 0..CONNECTIONS {
            let mut walk = Walk::over(KNOWN, number * 7919);
            let known = pace(rate, CONNECTIONS).walk(number, move || host(walk.next()), served);
            crowds.spawn(async { known.await.map(Crowd::Known) });
            if flood {
                let mut chance = StdRng::seed_from_u64(number as u64);
                let names = move || random_host(&mut chance);
                let flood = pace(RATE, CONNECTIONS).walk(number + CONNECTIONS, names, unknown);
                crowds.spawn(async { Ok(Crowd::Flood(flood.await?.len())) });
            }
        }
        if flood {
            let mut cold = KNOWN..TENANTS;
            let names = move || host(cold.next().unwrap_or(TENANTS));
            crowds.spawn(cold_visitors(pace(COLD, 1), names));
        }
        let mut tally = Tally::default();
        while let Some(crowd) = crowds.join_next().await {
            match crowd?? {
                Crowd::Known(times) => tally.known.extend(times),
                Crowd::Flood(count) => tally.flooded += count,
                Crowd::Cold { asked, unanswered } => {
                    (tally.cold, tally.unanswered) = (asked, unanswered);
                }
            }
        }
        Ok(tally)
    })
}

/// Those who are the first of their tenant; the ones that are not served are counted.
async fn cold_visitors(pace: Pace, names: impl FnMut() -> String) -> Result<Crowd> {
    let refused = AtomicUsize::new(0);
    let count = |answer: &Answer| {
        refused.fetch_add(usize::from(served(answer).is_err()), Ordering::Relaxed);
        Ok(())
    };
    let asked = pace.walk(0, names, count).await?.len();
    let unanswered = refused.load(Ordering::Relaxed);
    Ok(Crowd::Cold { asked, unanswered })
}

fn served(answer: &Answer) -> Result<()> {
    answer.expect(SHORT.as_bytes(), "Vestibule")
}

fn unknown(answer: &Answer) -> Result<()> {
    match answer.status {
        404 => Ok(()),
        status => {
            let said = format!("a host that does not exist was answered {status}");
            Err(Fault::wrong_answer(said))
        }
    }
}

/// A slug below the base domain or a custom domain, in equal parts.
fn random_host(chance: &mut StdRng) -> String {
    let (one, other): (u64, u32) = chance.random();
    match other % 2 {
        0 => format!("r{one:x}.example.com"),
        _ => format!("www.r{one:x}-{other:x}.example.net"),
    }
}

/// Microseconds; the median over the spans.
fn p99(times: &[Timed]) -> f64 {
    let begun = times.iter().map(|(at, _)| *at).min();
    let Some(begun) = begun else {
        return f64::NAN;
    };
    let mut spans: Vec<Vec<f64>> = Vec::new();
    for (at, time) in times {
        let span = (at.duration_since(begun).as_secs_f64() / SPAN.as_secs_f64()) as usize;
        if span >= spans.len() {
            spans.resize(span + 1, Vec::new());
        }
        spans[span].push(*time);
    }
    let p99 = |span: &mut Vec<f64>| {
        span.sort_by(f64::total_cmp);
        percentile(span, 99.0)
    };
    Figure::of(spans.iter_mut().map(p99).collect()).value
}
