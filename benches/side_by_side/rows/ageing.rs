//! What it costs that routes are looked up again when they are old.
//!
//! The same work in turns at two nodes: one whose routes stay fresh, and one whose routes are old after a second, so that nearly every
//! request starts a look-up. The difference, over the look-ups, is what one costs.

use crate::bed::{Bed, SHORT, TENANTS};
use crate::compare::{Figure, Sample, Work, take_turns};
use crate::contender::{Application, Contender};
use crate::edge::{self, Plan};
use crate::fault::Result;
use crate::load::touch;
use crate::load::wrk::{self, Wrk};
use crate::table::Found;

pub(crate) const ROWS: &[&str] = &["ageing"];

/// Out of the box: in this time all routes that are asked for are looked up again.
const TTL: f64 = 60.0;

const FRESH: &str = "h1, fresh routes";
const OLD: &str = "h1, old routes";

pub(crate) fn measure(bed: &Bed, found: &mut Found) -> Result<()> {
    let (application, wrk) = (Application::start(bed)?, Wrk::find(bed)?);
    let fresh = node(bed, &application, "ttl = \"1h\"")?;
    let old = node(bed, &application, "ttl = \"1s\"")?;
    let load = |contender: &Contender, start, seconds| {
        wrk.run(wrk::Order {
            address: contender.http,
            tls: false,
            path: "/",
            tenants: TENANTS,
            start,
            connections: 64,
            seconds,
        })
    };
    let work = |title| Work {
        title,
        tls: false,
        path: "/",
        expected: SHORT.as_bytes(),
        tenants: TENANTS,
        ages: true,
        load: &load,
    };
    let samples = take_turns(bed, &[(&fresh, &work(FRESH)), (&old, &work(OLD))])?;
    let of = |title| samples.iter().filter(move |sample| sample.work == title);
    let request = Figure::of(of(FRESH).map(Sample::cost).collect()).value;
    let look_ups: Vec<_> = of(OLD)
        .map(|sample| {
            let more = sample.cpu.total() - request * sample.load.requests as f64;
            more / sample.look_ups
        })
        .collect();
    let cost = Figure::of(look_ups);
    // Microseconds of a second become per cent.
    let share = |cost: f64| cost * TENANTS as f64 / TTL / 1e4;
    let figure = Figure {
        value: share(cost.value),
        low: share(cost.low),
        high: share(cost.high),
    };
    let note = format!(
        "one look-up costs {:.0} µs ({:.0} to {:.0}), in SQLite; each of {TENANTS} routes is looked up again every {TTL:.0} s",
        cost.value, cost.low, cost.high
    );
    found.row("ageing", figure, note);
    found.samples.extend(samples);
    Ok(())
}

fn node(bed: &Bed, application: &Application, cache: &str) -> Result<Contender> {
    let plan = Plan {
        store: edge::store(bed, TENANTS)?,
        workers: 1,
        certificates: &bed.place("certs"),
        cache,
    };
    let node = edge::start(bed, application, &plan)?;
    touch::all(bed, node.http, 0..TENANTS, "Vestibule")?;
    Ok(node)
}
