//! Visitors who come once: a new connection with a full TLS handshake, one request, and gone.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use super::visitor::{self, Visitor};
use super::{Latency, Load, Walk, host, request};
use crate::bed::{Bed, SHORT};
use crate::fault::{Fault, Result};

/// What is to be asked for.
#[derive(Clone, Copy)]
pub(crate) struct Order {
    pub(crate) address: SocketAddr,
    /// Each with a certificate of its own.
    pub(crate) names: usize,
    pub(crate) start: usize,
    /// Visitors who come one after another, at a time.
    pub(crate) at_once: usize,
    pub(crate) seconds: u64,
}

/// Comes and goes for as long as the order says.
pub(crate) fn run(bed: &Bed, order: Order) -> Result<Load> {
    let connector = visitor::tls(&bed.authority, &["http/1.1"])?;
    let times = Rc::new(RefCell::new(Vec::new()));
    let begun = Instant::now();
    let until = begun + Duration::from_secs(order.seconds);
    let all = LocalSet::new();
    let doors: Vec<_> = (0..order.at_once)
        .map(|door| {
            let (connector, times) = (connector.clone(), Rc::clone(&times));
            all.spawn_local(async move {
                let mut walk = Walk::over(order.names, order.start + door * 7919);
                while Instant::now() < until {
                    let (came, host) = (Instant::now(), host(walk.next()));
                    let tls = Some((&connector, host.as_str()));
                    let mut visitor = Visitor::arrive(order.address, door, tls).await?;
                    visitor.send(&request(&host, "/")).await?;
                    let answer = visitor.answer().await?;
                    answer.expect(SHORT.as_bytes(), &host)?;
                    let spent = came.elapsed().as_secs_f64() * 1e6;
                    times.borrow_mut().push(spent);
                }
                Ok::<_, Fault>(())
            })
        })
        .collect();
    bed.runtime.block_on(all.run_until(async {
        for door in doors {
            door.await??;
        }
        Ok::<_, Fault>(())
    }))?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut times = times.borrow_mut();
    Ok(Load {
        requests: times.len() as u64,
        seconds,
        errors: 0,
        latency: Latency::of(&mut times),
    })
}
