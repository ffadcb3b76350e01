//! Scale: what a request costs among a million tenants, and what a node needs to start with them.

use std::path::PathBuf;
use std::time::Duration;

use crate::bed::{Bed, SHORT};
use crate::compare::{Figure, Work, ratio_of, take_turns};
use crate::contender::{Application, Contender};
use crate::edge::{self, Plan};
use crate::fault::{Fault, Result};
use crate::load::touch;
use crate::load::wrk::{self, Wrk};
use crate::table::Found;

pub(crate) const GROWTH: &[&str] = &["growth"];
pub(crate) const START: &[&str] = &["start", "start-memory"];

const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
const CERTIFICATES: usize = 100_000;
const CONNECTIONS: usize = 64;

pub(crate) fn growth(bed: &Bed, found: &mut Found) -> Result<()> {
    let (application, wrk) = (Application::start(bed)?, Wrk::find(bed)?);
    let many = bed.options.scaled(MANY);
    let (few_edge, many_edge) = (
        with(bed, &application, FEW)?,
        with(bed, &application, many)?,
    );
    let load = |tenants: usize| {
        let wrk = &wrk;
        move |contender: &Contender, start: usize, seconds: u64| {
            wrk.run(wrk::Order {
                address: contender.http,
                tls: false,
                path: "/",
                tenants,
                start,
                connections: CONNECTIONS,
                seconds,
            })
        }
    };
    let (ask_few, ask_many) = (load(FEW), load(many));
    let work = |title, tenants, load| Work {
        title,
        tls: false,
        path: "/",
        expected: SHORT.as_bytes(),
        tenants,
        ages: false,
        load,
    };
    let (few, many_title) = ("h1, few tenants", "h1, many tenants");
    let few_work = work(few, FEW, &ask_few as _);
    let many_work = work(many_title, many, &ask_many as _);
    let turns = [(&few_edge, &few_work), (&many_edge, &many_work)];
    let samples = take_turns(bed, &turns)?;
    let ratio = ratio_of(
        &samples,
        |sample| sample.work == many_title,
        |sample| sample.work == few,
    );
    let memory = |edge: &Contender| edge.process.memory().map(|bytes| bytes as f64 / 1e6);
    let note = format!(
        "{many} to {FEW}, all asked for before, ttl 1h; memory {:.0} MB to {:.0} MB",
        memory(&many_edge)?,
        memory(&few_edge)?
    );
    found.row("growth", ratio, note);
    found.samples.extend(samples);
    Ok(())
}

/// A node that knows all its tenants. They do not age: how often routes are looked up again is no matter of how many there are.
fn with(bed: &Bed, application: &Application, tenants: usize) -> Result<Contender> {
    let plan = Plan {
        store: edge::store(bed, tenants)?,
        workers: 1,
        certificates: &bed.place("certs"),
        cache: "ttl = \"1h\"",
    };
    let edge = edge::start(bed, application, &plan)?;
    eprintln!("asking for each of {tenants} tenants once");
    touch::all(bed, edge.http, 0..tenants, "Vestibule")?;
    Ok(edge)
}

/// From the start of the process until it is ready, and its memory from then until it knows all names.
pub(crate) fn start(bed: &Bed, found: &mut Found) -> Result<()> {
    let application = Application::start(bed)?;
    let tenants = bed.options.scaled(MANY);
    let certificates = bed.options.scaled(CERTIFICATES);
    let keeps_certificates = edge::keeps_certificates(bed);
    let store = if keeps_certificates {
        let folder = bed.place("hundred-thousand.certs");
        bed.certificates(&folder, certificates)?;
        edge::store_with(bed, tenants, &folder, certificates)?
    } else {
        edge::store(bed, tenants)?
    };
    let starts = starts(bed, &application, store, tenants)?;
    let said = format!(
        "ready after {:.0} ms, at most {:.0} MB until the names are loaded, {:.0} MB after that",
        starts.ready.value, starts.peak.value, starts.settled.value
    );
    if !keeps_certificates {
        let why = format!(
            "this Vestibule takes no certificates into its store; with {tenants} tenants alone: {said}"
        );
        found.miss(START, &Fault::new(why));
        return Ok(());
    }
    let with = format!("{tenants} tenants, {certificates} certificates");
    found.row("start", starts.ready, with);
    found.row("start-memory", starts.peak, said);
    Ok(())
}

/// Milliseconds and megabytes.
struct Starts {
    ready: Figure,
    peak: Figure,
    settled: Figure,
}

fn starts(bed: &Bed, application: &Application, store: PathBuf, tenants: usize) -> Result<Starts> {
    let plan = Plan {
        store,
        workers: 1,
        certificates: &bed.place("certs"),
        cache: "",
    };
    let (mut ready, mut peak, mut settled) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bed.options.rounds {
        let mut edge = edge::launch(bed, application, &plan)?;
        let admin = edge.admin;
        let took = edge.process.until(|| admin.is_some_and(edge::ready))?;
        ready.push(took.as_secs_f64() * 1000.0);
        edge.names_known(tenants)?;
        // Lists that were only needed on the way are given back a moment later.
        std::thread::sleep(Duration::from_secs(2));
        peak.push(edge.process.peak_memory()? as f64 / 1e6);
        settled.push(edge.process.memory()? as f64 / 1e6);
    }
    Ok(Starts {
        ready: Figure::of(ready),
        peak: Figure::of(peak),
        settled: Figure::of(settled),
    })
}
