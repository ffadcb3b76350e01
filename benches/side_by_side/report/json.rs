//! The report for programs: every row, and every sample behind it.

use serde_json::{Value, json};

use crate::compare::Sample;
use crate::fault::Result;
use crate::options::Options;
use crate::table::{Asked, Found, Outcome, TABLE, Unit};

/// The whole report.
pub(super) fn render(facts: &[(&str, String)], found: &Found, options: &Options) -> Result<String> {
    let facts: serde_json::Map<String, Value> = facts
        .iter()
        .map(|(what, is)| ((*what).to_owned(), json!(is)))
        .collect();
    let rows = TABLE
        .iter()
        .map(|asked| row(asked, &found.outcome(asked, options)));
    let report = json!({
        "facts": facts,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "rows": rows.collect::<Vec<_>>(),
        "samples": found.samples.iter().map(sample).collect::<Vec<_>>(),
    });
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

fn row(asked: &Asked, outcome: &Outcome) -> Value {
    let mut row = json!({
        "name": asked.name,
        "work": asked.work,
        "against": asked.against,
        "at_most": asked.limit,
        "unit": unit(asked.unit),
    });
    let more = match outcome {
        Outcome::Measured { figure, note } => json!({
            "measured": figure.value,
            "lowest": figure.low,
            "highest": figure.high,
            "holds": figure.value <= asked.limit,
            "verdict": asked.verdict(figure.value),
            "note": note,
        }),
        Outcome::NotMeasured(why) => json!({ "measured": null, "why_not": why }),
    };
    if let (Value::Object(row), Value::Object(more)) = (&mut row, more) {
        row.extend(more);
    }
    row
}

fn sample(sample: &Sample) -> Value {
    json!({
        "work": sample.work,
        "who": sample.who.key(),
        "round": sample.round + 1,
        "requests": sample.load.requests,
        "seconds": sample.load.seconds,
        "errors": sample.load.errors,
        "user_us": sample.cpu.user,
        "system_us": sample.cpu.system,
        "cpu_us_per_request": sample.cost(),
        "p50_us": sample.load.latency.p50,
        "p90_us": sample.load.latency.p90,
        "p99_us": sample.load.latency.p99,
        "memory_bytes": sample.memory,
        "store_look_ups": sample.look_ups,
        "signed": sample.signed,
        "access_lines_dropped": sample.lines_dropped,
    })
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Ratio => "ratio",
        Unit::Kilobytes => "kB",
        Unit::Megabytes => "MB",
        Unit::Micros => "us",
        Unit::Percent => "%",
        Unit::Millis => "ms",
        Unit::Count => "count",
    }
}
