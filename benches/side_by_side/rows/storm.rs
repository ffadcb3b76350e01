//! Very many requests at once for one tenant that nobody has asked for yet.

use crate::bed::{Bed, TENANTS};
use crate::contender::{Application, Certificates};
use crate::edge;
use crate::fault::{Fault, Result};
use crate::load::h2;
use crate::table::Found;

pub(crate) const ROWS: &[&str] = &["storm"];

/// Connections over HTTP/2, and requests at once on each.
const CONNECTIONS: usize = 100;
const STREAMS: usize = 100;

pub(crate) fn measure(bed: &Bed, found: &mut Found) -> Result<()> {
    let application = Application::start(bed)?;
    let edge = edge::ordinary(bed, &application, Certificates::Wildcard)?;
    let order = h2::Order {
        address: edge.https,
        tenants: TENANTS,
        start: 0,
        connections: CONNECTIONS,
        streams: STREAMS,
        seconds: 0,
    };
    let before = edge.look_ups()?;
    let load = h2::at_once(bed, order, TENANTS / 2, &edge.process)?.checked("Vestibule")?;
    let queries = edge.look_ups()? - before;
    if load.requests != (CONNECTIONS * STREAMS) as u64 {
        let said = format!("only {} requests were answered", load.requests);
        return Err(Fault::wrong_answer(said));
    }
    let note = format!(
        "{CONNECTIONS} HTTP/2 connections of {STREAMS} streams, sent before it could look at the first; all answered by the \
         application after {:.0} ms",
        load.seconds * 1000.0
    );
    found.value("storm", queries, note);
    Ok(())
}
