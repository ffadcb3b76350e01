//! Every tenant once: what is to be known is known afterwards, and every answer was right.

use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;

use tokio::task::LocalSet;

use super::host;
use super::visitor::Visitor;
use crate::bed::{Bed, SHORT};
use crate::fault::{Fault, Result};

/// Visitors at once.
const VISITORS: usize = 64;

/// Asks for the front page of each of the `tenants`.
pub(crate) fn all(
    bed: &Bed,
    to: SocketAddr,
    tenants: Range<usize>,
    who: &'static str,
) -> Result<()> {
    let next = Rc::new(std::cell::RefCell::new(tenants));
    let all = LocalSet::new();
    let visitors: Vec<_> = (0..VISITORS)
        .map(|number| {
            let next = Rc::clone(&next);
            all.spawn_local(async move {
                let mut visitor = Visitor::arrive(to, number, None).await?;
                loop {
                    let tenant = next.borrow_mut().next();
                    let Some(tenant) = tenant else {
                        return Ok::<_, Fault>(());
                    };
                    let answer = visitor.ask(&host(tenant), "/").await?;
                    answer.expect(SHORT.as_bytes(), who)?;
                    if answer.is_last {
                        visitor = Visitor::arrive(to, number, None).await?;
                    }
                }
            })
        })
        .collect();
    bed.runtime.block_on(all.run_until(async {
        for visitor in visitors {
            visitor.await??;
        }
        Ok(())
    }))
}
