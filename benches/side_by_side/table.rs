//! What is asked of the finished product, row by row, and what was found beside it. A row that was not measured says why.

use std::collections::BTreeMap;

use crate::compare::{Figure, Sample};
use crate::fault::Fault;
use crate::options::Options;

/// One row of what is asked: the value may be at most `limit`.
pub(crate) struct Asked {
    pub(crate) name: &'static str,
    pub(crate) work: &'static str,
    pub(crate) against: &'static str,
    pub(crate) limit: f64,
    pub(crate) unit: Unit,
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// To somebody else's.
    Ratio,
    Kilobytes,
    Megabytes,
    Micros,
    Percent,
    Millis,
    Count,
}

/// What came of a row.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Measured { figure: Figure, note: String },
    NotMeasured(String),
}

/// Everything that a run found.
#[derive(Default)]
pub(crate) struct Found {
    outcomes: BTreeMap<&'static str, Outcome>,
    pub(crate) samples: Vec<Sample>,
    /// Somebody answered wrongly: the run fails.
    pub(crate) is_refused: bool,
}

const CHEAPER: &str = "the cheaper of nginx and HAProxy, which only forward";

/// All rows, in the order in which they are asked for.
pub(crate) const TABLE: [Asked; 25] = [
    row("h1", "h1 keep-alive", CHEAPER, 1.0, Unit::Ratio),
    row(
        "h1-lua",
        "h1 keep-alive",
        "nginx + Lua doing the same job",
        0.65,
        Unit::Ratio,
    ),
    row(
        "h1-caddy",
        "h1 keep-alive",
        "Caddy, which only forwards",
        0.2,
        Unit::Ratio,
    ),
    row("tls", "h1 over TLS", CHEAPER, 1.0, Unit::Ratio),
    row("h2", "h2 over TLS, 32 streams", CHEAPER, 0.75, Unit::Ratio),
    row(
        "handshake",
        "full handshake, one certificate of 10,000",
        CHEAPER,
        0.6,
        Unit::Ratio,
    ),
    row("body", "1 MiB answer", CHEAPER, 0.6, Unit::Ratio),
    row(
        "body-tls",
        "1 MiB answer over TLS",
        CHEAPER,
        0.6,
        Unit::Ratio,
    ),
    row("idle", "idle connection", "", 8.0, Unit::Kilobytes),
    row(
        "idle-tls",
        "idle connection over TLS",
        "",
        20.0,
        Unit::Kilobytes,
    ),
    row(
        "h1-user",
        "user-space time, h1 keep-alive",
        "",
        4.5,
        Unit::Micros,
    ),
    row(
        "storm",
        "queries for 10,000 requests at once for one cold host",
        "",
        1.0,
        Unit::Count,
    ),
    row(
        "flood-p99",
        "p99 of known tenants in a flood of random hosts",
        "before the flood",
        1.2,
        Unit::Ratio,
    ),
    row(
        "flood-evicted",
        "known routes that the flood evicted",
        "",
        0.0,
        Unit::Count,
    ),
    row(
        "flood-unanswered",
        "uncached tenants not answered in the flood",
        "",
        0.0,
        Unit::Count,
    ),
    row(
        "flood-queries",
        "queries for hosts that do not exist",
        "",
        0.0,
        Unit::Count,
    ),
    row(
        "balance",
        "busiest of 4 workers, 8 connections",
        "the mean worker",
        2.0,
        Unit::Ratio,
    ),
    row(
        "listen-2",
        "commit to effect, p99, LISTEN, 2 nodes",
        "",
        50.0,
        Unit::Millis,
    ),
    row(
        "listen-8",
        "commit to effect, p99, LISTEN, 8 nodes",
        "",
        50.0,
        Unit::Millis,
    ),
    row(
        "polling-2",
        "commit to effect, p99, polling, 2 nodes",
        "",
        1000.0,
        Unit::Millis,
    ),
    row(
        "polling-8",
        "commit to effect, p99, polling, 8 nodes",
        "",
        1000.0,
        Unit::Millis,
    ),
    row(
        "start",
        "ready with 1,000,000 tenants and 100,000 certificates",
        "",
        1000.0,
        Unit::Millis,
    ),
    row(
        "start-memory",
        "memory then, before traffic",
        "",
        150.0,
        Unit::Megabytes,
    ),
    row(
        "growth",
        "cost per request, 1,000,000 tenants",
        "1,000 tenants",
        1.15,
        Unit::Ratio,
    ),
    // Not asked for as such, but part of "everything on": the rows above are measured while no route is old.
    row(
        "ageing",
        "share of a core that keeps 100,000 busy routes fresh",
        "a goal set here",
        5.0,
        Unit::Percent,
    ),
];

const fn row(
    name: &'static str,
    work: &'static str,
    against: &'static str,
    limit: f64,
    unit: Unit,
) -> Asked {
    Asked {
        name,
        work,
        against,
        limit,
        unit,
    }
}

impl Unit {
    /// A value with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2}"),
            Self::Kilobytes => format!("{value:.1} KB"),
            Self::Megabytes => format!("{value:.0} MB"),
            Self::Micros => format!("{value:.1} µs"),
            Self::Percent => format!("{value:.1} %"),
            Self::Millis => format!("{value:.1} ms"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

impl Asked {
    /// "holds", or by how much it does not.
    pub(crate) fn verdict(&self, value: f64) -> String {
        if value <= self.limit {
            return "holds".to_owned();
        }
        format!("falls short by {}", self.unit.show(value - self.limit))
    }
}

impl Found {
    /// A row was measured.
    pub(crate) fn row(&mut self, name: &'static str, figure: Figure, note: impl Into<String>) {
        let note = note.into();
        self.outcomes
            .insert(name, Outcome::Measured { figure, note });
    }

    /// A row was measured once.
    pub(crate) fn value(&mut self, name: &'static str, value: f64, note: impl Into<String>) {
        let figure = Figure {
            value,
            low: value,
            high: value,
        };
        self.row(name, figure, note);
    }

    /// Adds to what is said of a row that was measured.
    pub(crate) fn remark(&mut self, name: &str, remark: &str) {
        if let Some(Outcome::Measured { note, .. }) = self.outcomes.get_mut(name) {
            *note = format!("{note}; {remark}");
        }
    }

    /// Rows could not be measured; those that were measured before stand.
    pub(crate) fn miss(&mut self, names: &[&'static str], why: &Fault) {
        self.is_refused |= why.is_wrong_answer;
        for name in names {
            let outcome = Outcome::NotMeasured(why.to_string());
            self.outcomes.entry(name).or_insert(outcome);
        }
    }

    /// What came of a row.
    pub(crate) fn outcome(&self, asked: &Asked, options: &Options) -> Outcome {
        self.outcomes.get(asked.name).cloned().unwrap_or_else(|| {
            let why = match options.wants(asked.name) {
                true => "nobody measured it",
                false => "not asked for (--row)",
            };
            Outcome::NotMeasured(why.to_owned())
        })
    }
}
