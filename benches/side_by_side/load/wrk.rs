//! Keep-alive requests over HTTP/1.1, made by wrk.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use super::{Load, fields};
use crate::bed::{Bed, write};
use crate::fault::{Fault, Result, While};

/// wrk with its script.
pub(crate) struct Wrk {
    program: PathBuf,
    script: PathBuf,
}

/// What it is to ask for.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) path: &'a str,
    pub(crate) tenants: usize,
    /// Where the walk over the tenants begins.
    pub(crate) start: usize,
    pub(crate) connections: usize,
    pub(crate) seconds: u64,
}

#[derive(Deserialize)]
struct Done {
    requests: u64,
    micros: f64,
    errors: u64,
    p50: f64,
    p90: f64,
    p99: f64,
}

impl Wrk {
    pub(crate) fn find(bed: &Bed) -> Result<Self> {
        let program = bed.program("WRK", "wrk")?;
        let script = bed.place("hosts.lua");
        let template = include_str!("../../peers/hosts.lua");
        let step = super::STEP.to_string();
        write(&script, template, &[("HEAD", &fields()), ("STEP", &step)])?;
        Ok(Self { program, script })
    }

    /// Runs it: one thread, which is all that its core has.
    pub(crate) fn run(&self, order: Order<'_>) -> Result<Load> {
        let scheme = if order.tls { "https" } else { "http" };
        let output = Command::new(&self.program)
            .args(["--threads", "1", "--timeout", "10s"])
            .args(["--connections", &order.connections.to_string()])
            .args(["--duration", &format!("{}s", order.seconds)])
            .arg("--script")
            .arg(&self.script)
            .arg(format!(
                "{scheme}://t0.example.com:{}/",
                order.address.port()
            ))
            .args(["--", &order.tenants.to_string(), &order.start.to_string()])
            .arg(order.path)
            .output()
            .when(|| "wrk does not start".to_owned())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
        let Some(line) = line else {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Fault::new(format!("wrk did not finish: {text} {said}")));
        };
        let done: Done = serde_json::from_str(line)?;
        Ok(Load {
            requests: done.requests,
            seconds: done.micros / 1e6,
            errors: done.errors,
            latency: super::Latency {
                p50: done.p50,
                p90: done.p90,
                p99: done.p99,
            },
        })
    }
}
