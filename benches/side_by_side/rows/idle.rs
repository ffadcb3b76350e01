//! What a visitor's connection takes while nothing happens on it.

use tokio_rustls::TlsConnector;

use crate::bed::{Bed, SHORT};
use crate::compare::Figure;
use crate::contender::{Application, Certificates, Contender, start};
use crate::fault::{Fault, Result};
use crate::load::visitor::{self, Visitor};
use crate::load::{Walk, host};
use crate::options::Name;
use crate::process::Process;
use crate::table::Found;

pub(crate) const ROWS: &[&str] = &["idle", "idle-tls"];

/// Idle connections.
const CONNECTIONS: usize = 5_000;
/// Connections that came and went before, so that what the first visitors cost once is not counted.
const BEFORE: usize = 200;

pub(crate) fn measure(bed: &Bed, found: &mut Found) -> Result<()> {
    let connector = visitor::tls(&bed.authority, &["http/1.1"])?;
    for (row, tls) in [("idle", None), ("idle-tls", Some(&connector))] {
        if !bed.options.wants(row) {
            continue;
        }
        let mut others = Vec::new();
        for name in [Name::Nginx, Name::Haproxy, Name::Caddy, Name::Vestibule] {
            if !bed.options.admits(name) {
                continue;
            }
            match once(bed, name, tls) {
                Ok(each) if name == Name::Vestibule => {
                    let each = Figure::of(vec![each]);
                    found.row(
                        row,
                        each,
                        format!("{CONNECTIONS} of them; {}", others.join(", ")),
                    );
                }
                Ok(each) => others.push(format!("{} {each:.1} KB", name.title())),
                Err(why) if name == Name::Vestibule => found.miss(&[row], &why),
                Err(why) => others.push(format!("{why}")),
            }
        }
    }
    Ok(())
}

/// Kilobytes for each connection, to a contender that has just been started.
fn once(bed: &Bed, name: Name, tls: Option<&TlsConnector>) -> Result<f64> {
    let application = Application::start(bed)?;
    let contender = start(bed, name, &application, Certificates::Wildcard)?;
    bed.runtime.block_on(async {
        drop(visitors(&contender, BEFORE, tls).await?);
        let before = settled(&contender.process).await?;
        let idle = visitors(&contender, CONNECTIONS, tls).await?;
        let memory = settled(&contender.process).await?;
        drop(idle);
        Ok((memory - before) / CONNECTIONS as f64 / 1024.0)
    })
}

/// Visitors who have been answered once and stay.
async fn visitors(
    contender: &Contender,
    count: usize,
    tls: Option<&TlsConnector>,
) -> Result<Vec<Visitor>> {
    let mut walk = Walk::over(1000, 0);
    let mut visitors = Vec::with_capacity(count);
    for number in 0..count {
        let host = host(walk.next());
        let (to, tls) = match tls {
            Some(connector) => (contender.https, Some((connector, host.as_str()))),
            None => (contender.http, None),
        };
        let mut visitor = Visitor::arrive(to, number, tls).await?;
        let answer = visitor.ask(&host, "/").await?;
        answer.expect(SHORT.as_bytes(), contender.name.title())?;
        visitors.push(visitor);
    }
    Ok(visitors)
}

/// Memory once it does not change any more.
async fn settled(process: &Process) -> Result<f64> {
    let mut last = 0;
    for _ in 0..40 {
        let memory = process.memory()?;
        if memory.abs_diff(last) < 16 << 10 {
            return Ok(memory as f64);
        }
        last = memory;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    Err(Fault::new(
        "its memory goes on changing although nobody asks",
    ))
}
