//! Requests that come at their own pace, whether or not the answers keep up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::visitor::Visitor;
use crate::fault::Result;

/// A stream of requests over some connections.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// In all, a second.
    pub(crate) rate: f64,
    pub(crate) until: Instant,
}

/// When a request was sent, and how long its answer took in microseconds.
pub(crate) type Timed = (Instant, f64);

impl Pace {
    /// One connection's share. `host` names whom to ask, `right` looks at the answer.
    ///
    /// A request that could not be sent when it was due, because the answer before it was late, has waited since it was due.
    pub(crate) async fn walk(
        self,
        number: usize,
        mut host: impl FnMut() -> String,
        right: impl Fn(&super::visitor::Answer) -> Result<()>,
    ) -> Result<Vec<Timed>> {
        let period = Duration::from_secs_f64(self.connections as f64 / self.rate);
        let mut due = Instant::now() + period.mul_f64(number as f64 / self.connections as f64);
        let mut visitor = Visitor::arrive(self.address, number, None).await?;
        let mut times = Vec::new();
        while due < self.until {
            let is_late = due < Instant::now();
            tokio::time::sleep_until(due.into()).await;
            let sent = if is_late { due } else { Instant::now() };
            let answer = visitor.ask(&host(), "/").await?;
            times.push((sent, sent.elapsed().as_secs_f64() * 1e6));
            right(&answer)?;
            if answer.is_last {
                visitor = Visitor::arrive(self.address, number, None).await?;
            }
            due += period;
        }
        Ok(times)
    }
}
